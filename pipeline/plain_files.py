"""Files out of folders that belong to somebody else: opened only where they are plain files, read only as far as allowed.

Reading a named pipe or a device under a picture's name would never end. The check looks at what was opened, not at the path:
between a check and the opening the path may come to mean something else.
"""

import errno
import hashlib
import io
import os
import stat
from pathlib import Path

MAX_BYTES = 2**30
"""Read at once, where nothing less is said."""


class NotAPlainFile(OSError):
    """A folder, pipe, socket or device; `strerror` says which."""


class FileTooLarge(OSError):
    """More bytes than allowed; `strerror` says how many are."""


def plain(path: str, flags: int) -> int:
    """The `opener` of `open` for anything that somebody else may have put there; never waits.

    Raises `NotAPlainFile` for what is no plain file nor a link to one, and other `OSError`s.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def open_plain(path: Path) -> io.BufferedReader:
    """Open a plain file, or a link to one, for reading; never waits. Raises as `plain` does."""
    return open(path, "rb", opener=plain)


def plain_path(path: Path) -> Path:
    """The path, where a plain file lies now: for libraries that open by themselves. Raises as `plain` does."""
    _check(path.stat().st_mode, str(path))
    return path


def read_plain(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a plain file. Raises `FileTooLarge` where it has more than `max_bytes`."""
    with open_plain(path) as file:
        data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            size_bytes = max(len(data), os.fstat(file.fileno()).st_size)
            raise FileTooLarge(errno.EFBIG, f"{size_bytes} bytes, allowed are {max_bytes}", str(path))
        return data


def read_plain_text(path: Path, max_bytes: int = MAX_BYTES, errors: str = "strict") -> str:
    """The text of a plain file in UTF-8, its lines ended by `\\n`. Raises as `read_plain` does, and `UnicodeDecodeError`."""
    return io.StringIO(read_plain(path, max_bytes).decode("utf-8", errors), newline=None).read()


def file_sha256(path: Path) -> str:
    """SHA-256 of a plain file's bytes, in hex. Raises as `plain` does."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(mode: int, path: str) -> None:
    if not stat.S_ISREG(mode):
        raise NotAPlainFile(errno.EINVAL, f"it is {kind_of(mode)}, no plain file", path)


def kind_of(mode: int) -> str:
    """What a file's mode says it is, with its article."""
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFREG: "a file",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFLNK: "a link",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")

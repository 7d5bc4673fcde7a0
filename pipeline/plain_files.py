"""Files out of folders that belong to somebody else: opened only where they are plain files, read only as far as allowed.

Reading a named pipe or a device under a picture's name would never end. The check looks at what was opened, not at the path:
between a check and the opening the path may come to mean something else.

A folder may have files that lie elsewhere until they are opened, such as those of a home on object storage: whoever keeps
them says so to `lies_elsewhere`, and they are brought when they are opened or asked for by `at_hand`.
"""

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

TRIES = 3
"""So often a file is brought that another process makes room of before it is opened."""
Opened = TypeVar("Opened")
MAX_BYTES = 2**30
"""Read at once, where nothing less is said."""


class NotAPlainFile(OSError):
    """A folder, pipe, socket or device; `strerror` says which."""


class FileTooLarge(OSError):
    """More bytes than allowed; `strerror` says how many are. `errno` is EOVERFLOW: EFBIG is of files that are written."""


class Elsewhere(Protocol):
    """Who has files of a folder that are not in it yet; paths are those that they get there."""

    def bring(self, path: Path) -> bool:
        """Put the file in its place; False where there is none."""
        ...

    def keep(self, path: Path) -> None:
        """Have the file stay, if it is here or brought from now on, until this process ends."""
        ...

    def has(self, path: Path) -> bool:
        """Whether there is such a file, here or elsewhere."""
        ...

    def paths(self, folder: Path) -> Iterable[Path]:
        """Files below the folder, here or elsewhere."""
        ...


_ELSEWHERE: dict[str, Elsewhere] = {}


def lies_elsewhere(root: Path, keeper: Elsewhere) -> None:
    """From now on `keeper` is asked for files below `root` that are not there."""
    _ELSEWHERE[f"{root}{os.sep}"] = keeper


def _keeper(path: Path | str) -> Elsewhere | None:
    return next((keeper for root, keeper in _ELSEWHERE.items() if f"{path}{os.sep}".startswith(root)), None)


def at_hand(path: Path) -> bool:
    """Whether the file exists; it is brought where it lies elsewhere, and stays until this process ends."""
    if keeper := _keeper(path):
        keeper.keep(path)
        return path.exists() or keeper.bring(path)
    return path.exists()


def may_lie_elsewhere(folder: Path) -> bool:
    """Whether files of the folder may lie elsewhere until they are opened."""
    return _keeper(folder) is not None


def all_at_hand(folder: Path) -> None:
    """`at_hand` for all files below the folder, for a process that opens them by itself and asks nobody."""
    for path in keeper.paths(folder) if (keeper := _keeper(folder)) else ():
        at_hand(path)


def is_there(path: Path) -> bool:
    """Whether the file exists, here or elsewhere; it is not brought."""
    keeper = _keeper(path)
    return path.exists() or (keeper is not None and keeper.has(path))


def paths_in(folder: Path, suffix: str) -> list[Path]:
    """The files of the folder whose names end so, here or elsewhere, in order of names."""
    keeper = _keeper(folder)
    far = (path for path in keeper.paths(folder) if path.parent == folder) if keeper else ()
    return sorted(path for path in {*folder.glob("*"), *far} if path.suffix == suffix)


def _brought(path: str, opened: Callable[[], Opened]) -> Opened:
    """What `opened` gives, with the file brought where it is not here."""
    keeper = _keeper(path)
    for _ in range(TRIES if keeper else 0):
        try:
            return opened()
        except FileNotFoundError:
            if keeper is None or not keeper.bring(Path(path)):
                raise
    return opened()


def plain(path: str, flags: int) -> int:
    """The `opener` of `open` for anything that somebody else may have put there; never waits.

    Raises `NotAPlainFile` for what is no plain file nor a link to one, and other `OSError`s.
    """
    descriptor = _brought(path, lambda: os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666))
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
    """The path, where a plain file lies now: for libraries that open by themselves. Raises as `plain` does.

    A file that lay elsewhere stays until this process ends, as libraries may map it or open it again.
    """
    at_hand(path)
    _check(path.stat().st_mode, str(path))
    return path


def read_plain(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a plain file. Raises `FileTooLarge` where it has more than `max_bytes`."""
    with open_plain(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        data = file.read(min(max_bytes, max(size_bytes, MAX_BYTES)) + 1)  # room for which is made before any is read
        if len(data) > max_bytes:
            size_bytes = max(len(data), size_bytes)
            raise FileTooLarge(errno.EOVERFLOW, f"{size_bytes} bytes, allowed are {max_bytes}", str(path))
        return data


def read_plain_text(path: Path, max_bytes: int = MAX_BYTES, errors: str = "strict") -> str:
    """The text of a plain file in UTF-8, its lines ended by `\\n`. Raises as `read_plain` does, and `UnicodeDecodeError`."""
    return io.StringIO(read_plain(path, max_bytes).decode("utf-8", errors), newline=None).read()


def file_sha256(path: Path) -> str:
    """SHA-256 of a plain file's bytes, in hex. Raises as `plain` does."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """`file_sha256`, read once as long as the file stays as it is: for who asks every few seconds. Raises likewise."""
    found = path.stat()
    return _sha256_of_state(path, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(65_536)
def _sha256_of_state(path: Path, mtime_ns: int, size_bytes: int, inode: int) -> str:
    return file_sha256(path)


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

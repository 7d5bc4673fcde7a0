"""Files out of folders that belong to somebody else: opened only where they are plain files, read only as far as allowed.

Reading a named pipe or a device under a picture's name would never end. The check looks at what was opened, not at the path:
between a check and the opening the path may come to mean something else.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


class NotAPlainFile(OSError):
    """A folder, pipe, socket or device; `strerror` says which."""


class FileTooLarge(OSError):
    """More bytes than allowed; `strerror` says how many are."""


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file, or a link to one, for reading; never waits. Raises `NotAPlainFile` and other `OSError`s."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise NotAPlainFile(errno.EINVAL, f"it is {kind_of(mode)}, no plain file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, max_bytes: int) -> bytes:
    """The bytes of a plain file. Raises `FileTooLarge` where it has more than `max_bytes`."""
    with open_plain(path) as file:
        data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            size_bytes = max(len(data), os.fstat(file.fileno()).st_size)
            raise FileTooLarge(errno.EFBIG, f"{size_bytes} bytes, allowed are {max_bytes}", str(path))
        return data


def kind_of(mode: int) -> str:
    """What a file's mode says it is, with its article."""
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFREG: "a file",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFLNK: "a link",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")

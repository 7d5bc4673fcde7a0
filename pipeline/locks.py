"""Locks between processes: files that one process holds alone, or several share. The kernel frees them with their holder."""

import fcntl
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.plain_files import plain

AGAIN_AFTER_S = 0.05
MOST_BYTES = 4096
"""Of what a holder says of itself."""


class Held(Exception):
    """Somebody else holds the lock; the text is what the holder says of itself, or nothing."""


@contextmanager
def locked(path: Path, *, shared: bool = False, patience_s: float = math.inf, only_there: bool = False) -> Iterator[int]:
    """Hold the lock at `path`, alone or among others who share it; the file is made where it is missing, and stays.

    Yields a descriptor of it for reading and writing; with `only_there` for reading, and nothing is made. Waits
    `patience_s` for others and then raises `Held`; also raises `OSError` where the file cannot be opened.
    """
    descriptor = plain(str(path), os.O_RDONLY if only_there else os.O_RDWR | os.O_CREAT)
    try:
        _take(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, patience_s)
        yield descriptor
    finally:
        os.close(descriptor)


def sign(descriptor: int, text: str) -> None:
    """Say who holds the lock, for those who wait in vain."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _take(descriptor: int, kind: int, patience_s: float) -> None:
    if patience_s == math.inf:
        fcntl.flock(descriptor, kind)
        return
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise Held(os.pread(descriptor, MOST_BYTES, 0).decode(errors="replace").strip()) from None
            time.sleep(AGAIN_AFTER_S)

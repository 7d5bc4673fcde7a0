"""Atomic files and folders: written under a temporary name beside the target, then renamed.

The lowest brick of all: the trainer's process, which knows nothing of `storage`, uses it as well.
A reader sees the old file or the new one, never half of one.
"""

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from io import FileIO
from pathlib import Path
from uuid import uuid4

from pipeline.errors import does_not_fit
from pipeline.machine import MachinePlace, here

TEMPORARY_SUFFIX = ".tmp"
"""Ends the name of every unfinished file or folder, after the number and the place of the process that writes it."""
ABANDONED_AFTER_S = 7 * 86_400
"""So long unchanged, what a process of another machine wrote counts as left behind: nothing here can ask that machine."""
LONG_NAME_BYTES = 180
"""Longer names may be too long once something is added; file systems take 255."""
_WRITER = re.compile(r"(?:^|\.)([0-9]{1,9})-(?:([0-9a-f]{18})-)?[0-9a-f]+" + re.escape(TEMPORARY_SUFFIX))


def temporary_beside(target: Path) -> Path:
    """A hidden name beside `target` for what shall take its place, that of this process and of no other."""
    name = shortened(target.name)
    return target.with_name(f".{name}.{os.getpid()}-{here().mark}-{uuid4().hex[:8]}{TEMPORARY_SUFFIX}")


def shortened(name: str) -> str:
    """A file's name to which something is to be added: where it is long, its beginning and a digest of the whole.

    >>> shortened("me.jpg"), shortened(100 * "肖像")
    ('me.jpg', '肖像肖像肖像肖像肖像肖像肖像肖像肖像肖像-c93bbe63')
    """
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONG_NAME_BYTES else f"{name[:20]}-{hashlib.sha256(encoded).hexdigest()[:8]}"


def own_name() -> str:
    """A name for an unfinished file beside nothing, that of this process, on this machine."""
    return f"{os.getpid()}-{here().mark}-{uuid4().hex}{TEMPORARY_SUFFIX}"


def is_temporary(name: str, is_shared: bool = False) -> bool:
    """Whether an unfinished file or folder has this name, of whatever process.

    Where other programs write too, names of older versions, which did not tell the process, are not known from theirs.
    """
    if is_shared and _WRITER.search(name) is None:
        return False
    return name.endswith(TEMPORARY_SUFFIX) and (name.startswith(".") or _WRITER.match(name) is not None)


def writer_of(path: Path) -> str | None:
    """Who may still write the unfinished file, in words; None where its name tells nobody, or that one is gone.

    Files of versions before names told the machine count as this machine's.
    """
    from psutil import pid_exists

    found = _WRITER.search(path.name)
    if found is None:
        return None
    place = MachinePlace.of(found[2] or here().mark)
    if place is None or place.is_here():
        return f"process {found[1]}" if pid_exists(int(found[1])) else None
    if place.is_over() or _unchanged_s(path) > ABANDONED_AFTER_S:
        return None
    return f"process {found[1]} of another machine or container"


def _unchanged_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def sweep(paths: Iterable[Path]) -> int:
    """Delete those of these unfinished files and folders whose process is gone; returns how many.

    Where the name tells no process, an older version left it. What another machine writes stays, unless nothing came to it
    for a week.
    """
    abandoned = [path for path in paths if writer_of(path) is None]
    for path in abandoned:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return len(abandoned)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is synced and renamed to `target`.

    On any exception, and on KeyboardInterrupt, the temporary file is removed and `target` stays as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        with naming(target):
            yield temporary
            put_in_place(temporary, target)
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, which takes its name at the end; after a failure nothing remains.

    Only with `replace` may `target` hold something already; between the two renames there is none. Whoever needs the
    files on the disk syncs them. What a process that is gone left of the same target goes first.
    """
    temporary = temporary_beside(target)
    sweep(
        path
        for path in target.parent.glob(f".{escape(shortened(target.name))}.*{TEMPORARY_SUFFIX}")
        if _WRITER.search(path.name)
    )
    try:
        temporary.mkdir(parents=True)
        with naming(target):
            yield temporary
        if replace and target.exists():
            old = temporary_beside(target)
            os.replace(target, old)
            os.replace(temporary, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, target)
        sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(target: Path, data: bytes) -> None:
    """Write `data` to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def write_remade(files: Mapping[Path, bytes]) -> None:
    """Write files that are made anew where they are missing: after a power cut each is whole or gone.

    All are written before the first is synced: one sync after the other waits less than one between any two pictures.
    """
    temporaries: dict[Path, Path] = {}
    try:
        for target, data in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporaries[target] = temporary_beside(target)
            with naming(target):
                temporaries[target].write_bytes(data)
        for target, temporary in temporaries.items():
            with naming(target):
                put_in_place(temporary, target)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Where the disk takes no more meanwhile, the error names `target`; the system names files to who opens them alone."""
    try:
        yield
    except OSError as error:
        if does_not_fit(error) and error.filename is None:
            raise OSError(error.errno or errno.ENOSPC, error.strerror or str(error), str(target)) from error
        raise


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, newlines unchanged, to `target` atomically."""
    write_bytes(target, text.encode())


def append_whole(file: FileIO, data: bytes) -> None:
    """Add to the end of a file, opened without a buffer, and have it on the disk; else the file is as it was before."""
    size_bytes = os.fstat(file.fileno()).st_size
    try:
        if file.write(data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size_bytes)
        raise


def put_in_place(temporary: Path, target: Path) -> None:
    """Rename a finished file once its content is on the disk: after a power cut `target` is whole, or not there.

    That it is there is sure only when its folder is synced as well, which costs as much again. Raises `FileExistsError`
    where something else than a file lies there: root could put a file in the place of `/dev/null`, for all programs.
    """
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    sync(temporary)
    os.replace(temporary, target)


def sync(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk before this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

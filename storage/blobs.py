"""Content-addressed files: `blobs/ab/abcd…`, each named by the SHA-256 of its content."""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.atomic import TEMPORARY_SUFFIX, naming, own_name, put_in_place, sweep
from pipeline.errors import CorruptBlob, StorageError
from pipeline.file_names import child, is_sha256, sha256_of
from pipeline.plain_files import file_sha256, read_plain

AT_ONCE = 4
"""Files read at a time where all are."""
FETCHES = 10
"""So often a blob is fetched that goes again before it is read."""


class Elsewhere(Protocol):
    """Where blobs lie that are fetched when they are read; names are those in the home."""

    def size(self, name: str) -> int | None:
        """Size in bytes; None where there is none of that name."""
        ...

    def fetch(self, name: str) -> bool:
        """Bring it to its place; False where there is none."""
        ...

    def remove(self, name: str) -> None:
        """Delete it there, at the latest when the command ends."""
        ...


@dataclass(frozen=True)
class BlobStore:
    """Blobs below `root`; equal content is stored once."""

    root: Path
    elsewhere: Elsewhere | None = None

    def path(self, sha256: str) -> Path:
        """Where the blob lies, whether it exists or not. Raises `UnsafeName` for a text that is no digest."""
        checked = sha256_of(sha256)
        return child(child(self.root, checked[:2]), checked)

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Whether the blob exists, holds anything and, where its size is known, has that size.

        Versions that did not sync left empty blobs after a power cut: such a one counts as missing, and is fetched again.
        """
        if not is_sha256(sha256):
            return False
        size = _size_bytes(f"{self.root}/{sha256[:2]}/{sha256}")
        if size is None and self.elsewhere:
            size = self.elsewhere.size(self._name(sha256))
        return size is not None and (size > 0 if size_bytes is None else size == size_bytes)

    def missing(self, sizes: Iterable[tuple[str, int]]) -> int:
        """How many of these digests are not here at this size in bytes, as `has` tells of each that is doubtful."""
        root, missing = str(self.root), 0
        for sha256, size_bytes in sizes:
            if not sha256.isalnum() or _size_bytes(f"{root}/{sha256[:2]}/{sha256}") != size_bytes:
                missing += not self.has(sha256, size_bytes)
        return missing

    def remove(self, sha256: str) -> int | None:
        """Delete the blob; its size in bytes, or None where there was none."""
        path, size = self.path(sha256), self.elsewhere.size(self._name(sha256)) if self.elsewhere else None
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
        if self.elsewhere:
            self.elsewhere.remove(self._name(sha256))
        return size

    def _content(self, path: Path) -> bytes:
        """Its bytes, fetched where they are not here: again if another process makes room before it is read."""
        if self.elsewhere is None:
            return read_plain(path)
        for _ in range(FETCHES):
            if path.exists() or self.elsewhere.fetch(self._name(path.name)):
                with suppress(FileNotFoundError):
                    data, found = read_plain(path), path.stat()
                    with suppress(OSError):  # what was used last goes last, as far as that can be noted
                        os.utime(path, ns=(time.time_ns(), found.st_mtime_ns))
                    return data
        return read_plain(path)

    def _name(self, sha256: str) -> str:
        return self.path(sha256).relative_to(self.root.parent).as_posix()

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A path on the same file system to write to before `adopt`; removed at the end if still there."""
        folder = self.root / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        path = child(folder, own_name())
        try:
            with naming(path):
                yield path
        finally:
            path.unlink(missing_ok=True)

    def corrupt(self) -> Iterator[Path]:
        """Those here whose content is not what their name says. Every byte of all is read."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
                paths = [path for path in sorted(folder.iterdir()) if is_sha256(path.name)]
                digests = pool.map(file_sha256, paths)
                yield from (path for path, digest in zip(paths, digests, strict=True) if digest != path.name)

    def sweep(self) -> int:
        """Delete what processes that are gone left unfinished; returns how many files."""
        return sweep((self.root / "incoming").glob(f"*-*{TEMPORARY_SUFFIX}"))

    def adopt(self, path: Path, sha256: str) -> None:
        """Move a finished file, whose digest the caller has computed, to its place.

        Its content is on the disk before. Its name may be lost in a power cut, even where a table that speaks of it is
        not: the next run finds the blob missing and fetches it, which costs less than to sync a folder for each photo.
        """
        target = self.path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(path, target)

    def read(self, sha256: str) -> bytes:
        """The blob's bytes, checked against its name.

        Raises `StorageError` when it is missing and `CorruptBlob` when its content differs; one of nothing but zeros is
        deleted then.
        """
        path = self.path(sha256)
        if not self.has(sha256):
            raise StorageError(f"{path}: this picture is missing; run `bokehflow run` to fetch it again")
        data = self._content(path)
        found = hashlib.sha256(data).hexdigest()
        if found != sha256 and not data.strip(b"\0"):  # the other thing that a power cut leaves
            path.unlink(missing_ok=True)
            raise CorruptBlob(f"{path}: a power cut left only zeros of this picture; run `bokehflow run` to fetch it again")
        if found != sha256:
            raise CorruptBlob(
                f"{path}: this picture is corrupt (its content has the SHA-256 {found[:12]}…); "
                f"delete the file and run `bokehflow run`, which fetches it again"
            )
        return data


def _size_bytes(path: str) -> int | None:
    """Of a file; None where nothing lies, and -1 where something else does. A path of objects takes ten times as long."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else -1

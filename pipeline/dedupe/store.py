"""Fingerprints of pictures on disk: computed once for every picture, kept for ever, never rewritten.

    NAME.records.npy   per picture: SHA-256, window hashes, mirrored hash, whether it is flat, its mean colour
    NAME.small.npy     uint8 [pictures, 32, 32]: grey, to reject most candidates in memory
    NAME.large.npy     uint8 [pictures, 96, 96]: grey, to align candidates; memory-mapped, read where needed

Each batch of new pictures is one such triple, named by its content and by `VERSION`; the records are written last and
are what makes a batch count. Beside them `grey-vVERSION.npy` grows: which pictures of those that were asked about have no
colour. Anything here may be deleted: it is computed again.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from pipeline.atomic import atomic_path
from pipeline.dedupe.hashes import WINDOWS
from pipeline.errors import StorageError, disk_failed
from pipeline.file_names import child
from pipeline.plain_files import plain_path

VERSION = 1
"""Fingerprints made by another version of their code are passed over."""
SMALL_PX, LARGE_PX = 32, 96
THUMBNAILS = ("small", "large")
"""Parts of a batch that show its pictures."""
RECORD = np.dtype([
    ("sha256", "u1", 32), ("windows", "<u8", len(WINDOWS)), ("mirrored", "<u8"), ("mean_rgb", "u1", 3), ("is_flat", "?"),
])  # fmt: skip
GREY, GREY_FILE = np.dtype([("sha256", "u1", 32), ("is_grey", "?")]), f"grey-v{VERSION}.npy"


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One picture: `record` is a scalar of `RECORD`, `small` and `large` its grey thumbnails, uint8."""

    record: np.void
    small: np.ndarray
    large: np.ndarray


@dataclass(frozen=True, eq=False)
class Shelf:
    """The fingerprints of some pictures, in the order that was asked for.

    `records` has dtype `RECORD`, `small` is uint8 [pictures, 32, 32].
    """

    digests: Sequence[str]
    records: np.ndarray
    small: np.ndarray
    _large: Callable[[int], np.ndarray]
    """From a batch to its thumbnails."""
    _places: np.ndarray

    def large(self, position: int) -> np.ndarray:
        """The grey thumbnail uint8 [96, 96] of one picture, read from the disk."""
        batch, row = self._places[position]
        return np.asarray(self._large(int(batch))[row])


@dataclass(frozen=True)
class FingerprintStore:
    """The batches below `root`."""

    root: Path

    def add(self, fingerprints: Sequence[Fingerprint]) -> None:
        """Write a batch; adding what is there already does no harm."""
        if not fingerprints:
            return
        records = np.array([fingerprint.record for fingerprint in fingerprints], RECORD)
        small, large = (np.stack([getattr(one, part) for one in fingerprints]) for part in THUMBNAILS)
        self._add(records, small, large)

    def _add(self, records: np.ndarray, small: np.ndarray, large: np.ndarray) -> None:
        name = f"v{VERSION}-{hashlib.sha256(records['sha256'].tobytes()).hexdigest()[:16]}"
        self._save(f"{name}.large.npy", large)
        self._save(f"{name}.small.npy", small)
        self._save(f"{name}.records.npy", records)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of the pictures (SHA-256 in hexadecimal) that have no fingerprint yet, each once, in order."""
        wanted = sorted(set(digests))
        places = self._index().find(wanted)
        return [digest for digest, source in zip(wanted, places[:, 0].tolist(), strict=True) if source < 0]

    def read(self, digests: Sequence[str], with_pictures: bool = True) -> Shelf:
        """The fingerprints of these pictures; without pictures `small` has no rows and `large` cannot be asked for.

        Raises `StorageError` when one has none.
        """
        index = self._index()
        places = index.find(digests)
        if len(places) and places[:, 0].min() < 0:
            gone = digests[int(places[:, 0].argmin())]
            raise StorageError(
                f"{self.root}: picture {gone[:12]}… has no fingerprint; `bokehflow run --until fingerprints` makes it"
            )
        records = np.empty(len(digests), RECORD)
        small = np.empty((len(digests) if with_pictures else 0, SMALL_PX, SMALL_PX), np.uint8)
        by_batch = np.argsort(places[:, 0], kind="stable")
        batches, starts = np.unique(places[by_batch, 0], return_index=True)
        for batch, here in zip(batches.tolist(), np.split(by_batch, starts[1:]), strict=False):  # of nothing one part
            records[here] = self.map(f"{index.names[batch]}.records.npy")[places[here, 1]]
            if with_pictures:
                small[here] = self.map(f"{index.names[batch]}.small.npy")[places[here, 1]]
        return Shelf(digests, records, small, cache(lambda batch: self.map(f"{index.names[batch]}.large.npy")), places)

    def grey(self, digests: Sequence[str], is_grey: Callable[[str], bool]) -> list[str]:
        """Those of these pictures that have no colour; each is asked about once, on all cores, and the answer kept."""
        names, keys, known = np.array(digests, object), keys_of(digests), self._known_grey()
        new = names[~np.isin(keys, _keys(known["sha256"]))].tolist()
        if new:
            with ThreadPoolExecutor() as pool:
                answers = np.empty(len(new), GREY)
                answers["sha256"], answers["is_grey"] = _raw(new), list(pool.map(is_grey, new))
            known = np.concatenate([known, answers])
            self._write(GREY_FILE, known)
        return names[np.isin(keys, _keys(known["sha256"][known["is_grey"]]))].tolist()

    def _known_grey(self) -> np.ndarray:
        """Nothing where there is no readable file, since it can be asked again."""
        try:
            found = np.array(self.map(GREY_FILE))
        except StorageError:
            return np.empty(0, GREY)
        return found if found.dtype == GREY and found.ndim == 1 else np.empty(0, GREY)

    def forget(self, digests: Iterable[str], is_alone: bool = False) -> int:
        """Delete the fingerprints of these pictures, thumbnails included; returns how many there were.

        Interrupted anywhere, it is finished by the next. With `is_alone` nobody adds meanwhile, and the thumbnails of
        batches that were cut off go too, since nothing tells whose they are.
        """
        gone, count = sorted(set(digests)), 0
        answers = self._known_grey()
        leaving = np.isin(_keys(answers["sha256"]), keys_of(gone))
        if leaving.any():
            self._write(GREY_FILE, answers[~leaving])
        for name in self._batches():
            rows = self.map(f"{name}.records.npy")
            leaving = np.isin(_keys(rows["sha256"]), keys_of(gone))
            if not leaving.any():
                continue
            rows = np.array(rows)
            if not leaving.all() and all(child(self.root, f"{name}.{part}.npy").exists() for part in THUMBNAILS):
                # Once a batch: what is mapped holds its file open.
                small, large = (self.map(f"{name}.{part}.npy") for part in THUMBNAILS)
                self._add(rows[~leaving], small[~leaving], large[~leaving])
            # The records go last: they are all by which the next one finds thumbnails that are left.
            for part in (*THUMBNAILS, "records"):
                child(self.root, f"{name}.{part}.npy").unlink(missing_ok=True)
            count += int(leaving.sum())
        if is_alone:
            self._drop_cut_off()
        return count

    def _drop_cut_off(self) -> None:
        """Thumbnails, of any version, that a process left which was killed before it wrote their records."""
        for path in [*self.root.glob("v*.small.npy"), *self.root.glob("v*.large.npy")]:
            batch = path.name.removesuffix(".small.npy").removesuffix(".large.npy")
            if not child(self.root, f"{batch}.records.npy").exists():
                path.unlink(missing_ok=True)

    def _index(self) -> "_Index":
        return _index_of(self, tuple(f"{name}.records.npy" for name in self._batches()))

    def _batches(self) -> list[str]:
        """Their names, in order."""
        return sorted(path.name.removesuffix(".records.npy") for path in self.root.glob(f"v{VERSION}-*.records.npy"))

    def map(self, name: str) -> np.ndarray:
        """One of the files below `root`, mapped. Raises `StorageError`."""
        try:
            return np.load(plain_path(child(self.root, name)), mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise StorageError(
                f"{self.root}: {name} cannot be read ({error}); delete the files of this batch, they are computed again"
            ) from error

    def _save(self, name: str, array: np.ndarray) -> None:
        if not child(self.root, name).exists():
            self._write(name, array)

    def _write(self, name: str, array: np.ndarray) -> None:
        try:
            with atomic_path(child(self.root, name)) as temporary, temporary.open("wb") as file:
                np.save(file, array)
        except OSError as error:
            raise disk_failed(error, self.root) from error


@dataclass(frozen=True, eq=False)
class _Index:
    """Where each picture is: keys, uint64, ascending, and batch and row of each, intp [pictures, 2]."""

    names: list[str]
    """The batches. A picture that two processes added at once is in several."""
    keys: np.ndarray
    places: np.ndarray

    def find(self, digests: Sequence[str]) -> np.ndarray:
        """Batch and row of each picture, intp [pictures, 2]; batch −1: none."""
        if not len(self.keys) or not len(digests):
            return np.full((len(digests), 2), -1, np.intp)
        wanted = keys_of(digests)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found = self.places[at].copy()
        found[self.keys[at] != wanted] = -1
        return found


@lru_cache(2)
def _index_of(store: FingerprintStore, records: tuple[str, ...]) -> _Index:
    """Of batches by the names of their records. What has a name never changes, so that the same names say the same."""
    keys = [_keys(store.map(name)["sha256"]) for name in records]
    places = [np.stack([np.full(len(key), n), np.arange(len(key))], axis=1) for n, key in enumerate(keys)]
    joined = np.concatenate(keys) if keys else np.empty(0, np.uint64)
    order = np.argsort(joined, kind="stable")
    names = [name.removesuffix(".records.npy") for name in records]
    return _Index(names, joined[order], np.concatenate(places)[order] if places else np.empty((0, 2), np.intp))


def keys_of(digests: Sequence[str]) -> np.ndarray:
    """What stands for each picture, SHA-256 in hexadecimal: the first 64 bits, uint64."""
    return _keys(_raw(digests))


def _raw(digests: Sequence[str]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32)


def _keys(raw: np.ndarray) -> np.ndarray:
    """The first 64 bits of each digest: among a million pictures two agree with a probability of 3 in 10⁸."""
    return np.ascontiguousarray(raw[:, :8]).view(">u8")[:, 0].astype(np.uint64)

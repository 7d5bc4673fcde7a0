"""Which hashes lie near each other: searched once for every pair of hashes, kept for ever.

A picture's whole hash, and that of its mirror image, are searched among the hashes of all pictures' windows. That two
hashes are near is a fact about these numbers, so it holds whatever pictures come and go: new pictures are searched
among the old ones and the old among the new, never the old among themselves again. So it is with pictures that were looked
at for each other and both stayed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipeline.atomic import atomic_path
from pipeline.dedupe.neighbours import Pairs, pairs_between
from pipeline.dedupe.store import VERSION, keys_of
from pipeline.file_names import child
from pipeline.plain_files import open_plain

EDGE = np.dtype([("whole", "<u8"), ("window", "<u8"), ("distance_bits", "u1")])
NONE = np.empty(0, np.uint64)


@dataclass(frozen=True, eq=False)
class NearHashes:
    """What is known: `edges` with dtype `EDGE`, sorted and distinct, and the hashes that were searched, sorted.

    `apart` are pictures of which no two are one, by the settings `told_by`: uint64, as `store.keys_of` has them, sorted.
    """

    edges: np.ndarray
    wholes: np.ndarray
    windows: np.ndarray
    apart: np.ndarray = field(default_factory=NONE.copy)
    told_by: str = ""

    @classmethod
    def nothing(cls) -> "NearHashes":
        """Before the first search."""
        return cls(np.empty(0, EDGE), NONE, NONE)


def near_hashes(wholes: np.ndarray, windows: np.ndarray, radius_bits: int, known: NearHashes) -> NearHashes:
    """All pairs of a whole hash and a window's within the radius, equal ones included; `known` is added to.

    Both are uint64 of any shape, and searched only as far as they are new. `known` must be of the same radius.
    """
    wholes, windows = _distinct(wholes), _distinct(windows)
    new_wholes = np.setdiff1d(wholes, known.wholes, assume_unique=True)
    new_windows = np.setdiff1d(windows, known.windows, assume_unique=True)
    all_windows = _distinct(known.windows, new_windows)
    found = [known.edges]
    found += _edges(new_wholes, all_windows, pairs_between(new_wholes, all_windows, radius_bits))
    if len(known.wholes) and len(new_windows):
        pairs = pairs_between(new_windows, known.wholes, radius_bits)
        found += _edges(known.wholes, new_windows, ((j, i, distance) for i, j, distance in pairs))
    edges = np.concatenate(found)
    if len(found) > 1:
        edges = edges[np.lexsort((edges["window"], edges["whole"]))]
    return replace(known, edges=edges, wholes=_distinct(known.wholes, new_wholes), windows=all_windows)


def _distinct(*hashes: np.ndarray) -> np.ndarray:
    """The different values, ascending; by sorting, which is several times as fast as `numpy.unique` here."""
    ordered = np.sort(np.concatenate([part.ravel() for part in hashes]))
    return ordered[np.concatenate([np.ones(min(1, len(ordered)), bool), ordered[1:] != ordered[:-1]])]


def _edges(wholes: np.ndarray, windows: np.ndarray, pairs: Iterable[Pairs]) -> list[np.ndarray]:
    found = []
    for i, j, distance in pairs:
        edges = np.empty(len(i), EDGE)
        edges["whole"], edges["window"], edges["distance_bits"] = wholes[i], windows[j], distance
        found.append(edges)
    return found


@dataclass(frozen=True)
class NearHashStore:
    """Where that is kept: two files for each radius, since who forgets a picture rewrites the small one."""

    root: Path

    def path(self, radius_bits: int) -> Path:
        """The file of a radius with its hashes."""
        return child(self.root, f"near-v{VERSION}-{radius_bits}.npz")

    def apart_path(self, radius_bits: int) -> Path:
        """That with its pictures."""
        return child(self.root, f"apart-v{VERSION}-{radius_bits}.npz")

    def read(self, radius_bits: int) -> NearHashes:
        """What is known; nothing where there is no readable file, since it can be found again."""
        hashes = _read(self.path(radius_bits), "edges", "wholes", "windows")
        if hashes is None:
            return NearHashes.nothing()
        edges, wholes, windows = hashes
        apart, told_by = _read(self.apart_path(radius_bits), "apart", "told_by") or (NONE, "")
        return NearHashes(edges, wholes, windows, apart, str(told_by))

    def write(self, radius_bits: int, near: NearHashes) -> None:
        """Keep it."""
        _write(self.path(radius_bits), edges=near.edges, wholes=near.wholes, windows=near.windows)
        _write(self.apart_path(radius_bits), apart=near.apart, told_by=np.array(near.told_by))

    def forget(self, digests: Iterable[str]) -> None:
        """Drop these pictures (SHA-256 in hexadecimal). Hashes stay: many pictures may share one, and none is named."""
        gone = keys_of(sorted(digests))
        for path in self.root.glob("apart-*.npz"):
            if (pictures := _read(path, "apart", "told_by")) is None:
                path.unlink(missing_ok=True)
            elif (leaving := np.isin(pictures[0], gone)).any():
                _write(path, apart=pictures[0][~leaving], told_by=pictures[1])


def _read(path: Path, *names: str) -> list[np.ndarray] | None:
    try:
        # numpy leaves a file open that it opened and could not read.
        with open_plain(path) as stream, np.load(stream) as file:
            return [file[name] for name in names]
    except Exception:  # a damaged archive makes numpy, zipfile and zlib raise nearly anything
        return None


def _write(path: Path, **arrays: np.ndarray) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)

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
from pipeline.dedupe.store import VERSION
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
    """Where that is kept: one file for each radius."""

    root: Path

    def path(self, radius_bits: int) -> Path:
        """The file of a radius."""
        return child(self.root, f"near-v{VERSION}-{radius_bits}.npz")

    def read(self, radius_bits: int) -> NearHashes:
        """What is known; nothing where there is no readable file, since it can be found again."""
        try:
            # numpy leaves a file open that it opened and could not read.
            with open_plain(self.path(radius_bits)) as stream, np.load(stream) as file:
                known = NearHashes(file["edges"], file["wholes"], file["windows"])
                return replace(known, apart=file["apart"], told_by=str(file["told_by"])) if "apart" in file else known
        except Exception:  # a damaged archive makes numpy, zipfile and zlib raise nearly anything
            return NearHashes.nothing()

    def write(self, radius_bits: int, near: NearHashes) -> None:
        """Keep it."""
        with atomic_path(self.path(radius_bits)) as temporary, temporary.open("wb") as file:
            np.savez(file, **vars(near))

"""Which pictures may be one: near hashes, equal resolution and size, and a quick look at the small grey pictures.

Pairs are never listed as a whole, since thousands of equal pictures have millions: the walk below asks for one
picture's candidates at a time and passes over everything that is settled already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.dedupe.hashes import WINDOWS
from pipeline.dedupe.near_hashes import NearHashes
from pipeline.dedupe.store import SMALL_PX, Shelf
from pipeline.dedupe.verify import Candidate

MIN_LIKENESS = 0.75
"""Candidates whose small pictures correlate less are passed over. On portraits every true pair reaches it, and nine
in ten pairs with near hashes that are no duplicates do not."""


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists of numbers, one after the other: list k is `values[starts[k] : starts[k + 1]]`."""

    starts: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, values: np.ndarray, count: int) -> "Lists":
        """The values of each key from 0 to `count` − 1, in the order in which they came."""
        order = np.argsort(keys, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=count))]).astype(np.int64)
        return cls(starts, values[order].astype(np.int32))


class CandidateWalk:
    """The candidates of pictures 0 … n − 1, in order.

    `same_size`, int64 [n], numbers the pictures' resolution and file size together; −1: no other has it.
    Flat pictures have no candidates: their hashes mean nothing.
    """

    def __init__(self, shelf: Shelf, near: NearHashes, same_size: np.ndarray) -> None:
        records, count = shelf.records, len(shelf.records)
        textured = np.flatnonzero(~records["is_flat"])
        wholes, whole_of = np.unique(
            np.concatenate([records["windows"][textured, 0], records["mirrored"][textured]]), return_inverse=True
        )
        windows, window_of = np.unique(records["windows"][textured], return_inverse=True)
        window_of = window_of.reshape(-1, len(WINDOWS))
        # A member of a whole hash is 2 · picture + (1 if mirrored), one of a window's hash 11 · picture + window.
        whole_members = np.concatenate([2 * textured, 2 * textured + 1])
        window_members = (textured[:, None] * len(WINDOWS) + np.arange(len(WINDOWS))).ravel()
        by_whole = Lists.of(whole_of, whole_members, len(wholes))
        by_window = Lists.of(window_of.ravel(), window_members, len(windows))
        left, right, bits = _present(near, wholes, windows)
        self._nodes = np.full((count, 2 + len(WINDOWS)), -1, np.int32)
        self._nodes[textured, 0], self._nodes[textured, 1] = whole_of[: len(textured)], whole_of[len(textured) :]
        self._nodes[textured, 2:] = window_of
        to_windows = Lists.of(left, np.arange(len(left)), len(wholes))
        to_wholes = Lists.of(right, np.arange(len(left)), len(windows))
        sizes = np.where(records["is_flat"], -1, same_size)
        sized = np.flatnonzero(sizes >= 0)
        by_size = Lists.of(sizes[sized], sized, int(sizes.max(initial=-1)) + 1)
        self._graph = (
            self._nodes, by_whole.starts, by_whole.values, by_window.starts, by_window.values,
            to_windows.starts, to_windows.values, to_wholes.starts, to_wholes.values, left, right, bits,
            sizes.astype(np.int64), by_size.starts, by_size.values,
        )  # fmt: skip
        self._windows, self._small = np.ascontiguousarray(records["windows"]), shelf.small
        self._rank = np.argsort(np.argsort(np.array(shelf.digests))).astype(np.int32)
        self._seen, self._stamp = np.zeros((count, 2), np.int64), np.zeros(1, np.int64)
        self._slot = np.zeros((count, 2), np.int32)
        self._out = np.empty((2 * count + 1, 5), np.int32)
        self._uniform = tuple(
            np.full(max(size, 1), -1, np.int32) for size in (len(wholes), len(windows), len(by_size.starts))
        )
        self._members = ((by_whole, 2), (by_window, len(WINDOWS)), (by_size, 1))
        self.likeness_checks = 0

    def next(
        self, start: int, stop: int, settled: np.ndarray, group: np.ndarray, kept: np.ndarray
    ) -> tuple[int, Sequence[Candidate]]:
        """The first picture in [start, stop) that has candidates behind it, and these; (stop, []) where there is none.

        Pictures that are `settled` (bool [n]) neither ask nor are asked for, nor are pairs of one `group` (int32 [n]),
        nor pairs that are both `kept` (bool [n]).
        """
        from pipeline.dedupe.candidate_walk import walk

        picture, found, looked_at = walk(
            start, stop, settled, group, kept, self._uniform, self._graph, self._windows, self._small,
            SAMPLES, MIN_LIKENESS, self._rank, self._seen, self._slot, self._stamp, self._out,
        )  # fmt: skip
        self.likeness_checks += looked_at
        rows = self._out[:found].tolist()
        return picture, [Candidate(picture, j, bool(m), windowed, window, bits) for j, m, windowed, window, bits in rows]

    def join(self, group: np.ndarray) -> None:
        """From now on pictures of one `group` (int32 [n]) stay together: their shared hashes are passed over at once."""
        for uniform, (lists, per_picture) in zip(self._uniform, self._members, strict=True):
            sizes = np.diff(lists.starts)
            filled = np.flatnonzero(sizes)
            if len(filled):
                groups = group[lists.values // per_picture]
                starts = lists.starts[filled]
                same = np.minimum.reduceat(groups, starts) == np.maximum.reduceat(groups, starts)
                uniform[filled] = np.where(same, lists.values[starts] // per_picture, -1)

    def part(self) -> None:
        """Undo `join`."""
        for uniform in self._uniform:
            uniform.fill(-1)


def _present(near: NearHashes, wholes: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The edges between hashes that are here: positions int32 of both ends, and bits."""
    if not len(wholes):
        return np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint8)
    left = np.minimum(np.searchsorted(wholes, near.edges["whole"]), len(wholes) - 1)
    right = np.minimum(np.searchsorted(windows, near.edges["window"]), len(windows) - 1)
    here = (wholes[left] == near.edges["whole"]) & (windows[right] == near.edges["window"])
    return left[here].astype(np.int32), right[here].astype(np.int32), near.edges["distance_bits"][here]


def _samples() -> np.ndarray:
    """Where in the small picture each window is sampled: [windows, axis, sample, (pixel, fraction)], axis 0 being x."""
    middles = (np.arange(SMALL_PX) + 0.5) / SMALL_PX
    samples = np.empty((len(WINDOWS), 2, SMALL_PX, 2), np.float32)
    for number, (left, top, right, bottom) in enumerate(WINDOWS):
        for axis, (low, high) in enumerate(((left, right), (top, bottom))):
            at = np.clip((low + (high - low) * middles) * SMALL_PX - 0.5, 0, SMALL_PX - 1.001)
            samples[number, axis, :, 0] = np.floor(at)
            samples[number, axis, :, 1] = at - np.floor(at)
    return samples


SAMPLES = _samples()

"""Whether two pictures are one: they are laid over each other, and what they show is compared there.

1. Thumbnails of 96 pixels are aligned by the affine map that maximises their correlation (ECC: Evangelidis and
   Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization", 2008), starting from
   the windows whose hashes were near.
2. What still agrees is decoded exactly, at full size, and compared block by block: two frames of a burst correlate
   as wholes, but not where something moved.

The measures depend on the two pictures alone, so they are kept for ever; thresholds are applied when groups are made.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from math import isnan

import cv2
import numpy as np
import pandas as pd

from pipeline.dedupe.fingerprints import ReadBytes
from pipeline.dedupe.hashes import WINDOWS, HashWindow, grey_exact, mirrored_window
from pipeline.dedupe.store import Shelf

EXACT_PX = 192
"""Side of the squares that exactly decoded pictures are compared at; less where a picture is smaller."""
MIN_OVERLAP = 0.5
"""Pictures that share a smaller part of the frame are not compared."""
BLOCKS = 8
"""The frame is compared in so many blocks each way …"""
BLOCK_LEVELS = 3.0
"""… of which those count that vary by so many grey levels (standard deviation, a plane apart) in both pictures …"""
MIN_BLOCKS = 4
"""… and where there are fewer, the pictures have to agree in their levels:"""
SMOOTH_LEVELS = 2.0
DETAIL_SHARE = 0.2
"""This share of the blocks may agree less than the measure says: watermarks, clipped highlights."""
FLOOR = 0.85
"""Pairs whose thumbnails correlate less are never decoded; the least value of `dedupe.min_correlation`."""
WHOLE_FRAME = 0.985
"""Pictures that show less than this share of each other are cropped."""
EXACT_CACHED = 256
COLUMNS = ["sha256_a", "sha256_b", "mirrored", "distance_bits", "correlation", "shown", "detail"]
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
_SMOOTHING_PX = 5


@dataclass(frozen=True)
class Candidate:
    """Two pictures by position, and why they may be one.

    Window `window` of `windowed` looks like the whole of the other; `mirrored`: after one of them is flipped.
    """

    i: int
    j: int
    mirrored: bool
    windowed: int
    window: int
    distance_bits: int


@dataclass(frozen=True)
class PairComparison:
    """What was measured on one pair.

    `correlation` in [-1, 1] of the aligned thumbnails, `shown` the share of the frame that the picture which shows
    less has of the other, `detail` in [-1, 1] as measured on the exactly decoded pictures; NaN: it never came to that.
    """

    distance_bits: int
    correlation: float
    shown: float
    detail: float


@dataclass
class Work:
    """What a run did: pictures decoded exactly, pairs aligned, pairs compared in detail."""

    exact_decodes: int = 0
    alignments: int = 0
    detail_comparisons: int = 0


class Verifier:
    """Compares pairs of pictures, each pair once for ever: `known` is the table `duplicate_pairs`."""

    def __init__(self, read_bytes: ReadBytes, known: pd.DataFrame) -> None:
        self.work = Work()
        self._read = lru_cache(EXACT_CACHED)(self._exact)
        self._read_bytes = read_bytes
        rows = known[COLUMNS].astype(object).to_numpy()
        self._known = {(a, b, bool(mirrored)): PairComparison(*measures) for a, b, mirrored, *measures in rows}

    def compare(self, shelf: Shelf, candidates: Iterable[Candidate]) -> list[PairComparison]:
        """The measures of each candidate, on all cores; positions are those of the shelf."""
        chosen = [(_key(shelf, candidate), candidate) for candidate in candidates]
        new = {key: candidate for key, candidate in chosen if key not in self._known}
        if len(new) > 1:
            with ThreadPoolExecutor() as pool:
                found = list(pool.map(lambda candidate: self._measure(shelf, candidate), new.values()))
        else:
            found = [self._measure(shelf, candidate) for candidate in new.values()]
        self._known.update(zip(new, found, strict=True))
        self.work.alignments += len(found)
        self.work.detail_comparisons += sum(not isnan(comparison.detail) for comparison in found)
        self.work.exact_decodes = self._read.cache_info().misses
        return [self._known[key] for key, _ in chosen]

    def table(self) -> pd.DataFrame:
        """Everything known, those of other pictures too: the table `duplicate_pairs`."""
        rows = [(*key, *vars(comparison).values()) for key, comparison in self._known.items()]
        return pd.DataFrame(rows, columns=COLUMNS)

    def _measure(self, shelf: Shelf, candidate: Candidate) -> PairComparison:
        """Always with the smaller digest as the fixed picture, so that the measure is one, whoever asks."""
        a, b = sorted((candidate.i, candidate.j), key=lambda position: shelf.digests[position])
        flip = candidate.mirrored
        fixed, moving = shelf.large(a), _flipped(shelf.large(b), flip)
        warp = align(fixed, moving, _first_guess(candidate, a))
        if warp is None:
            return PairComparison(candidate.distance_bits, -1.0, 0.0, float("nan"))
        correlation, shown = overlap_correlation(fixed, moving, warp)
        detail = self._detail(shelf.digests[a], shelf.digests[b], flip, warp) if correlation >= FLOOR else float("nan")
        return PairComparison(candidate.distance_bits, round(correlation, 4), round(shown, 4), round(detail, 4))

    def _detail(self, fixed: str, moving: str, flip: bool, warp: np.ndarray) -> float:
        return detail_agreement(self._read(fixed), _flipped(self._read(moving), flip), warp)

    def _exact(self, digest: str) -> np.ndarray:
        grey = grey_exact(self._read_bytes(digest))
        return _square(grey, min(EXACT_PX, *grey.shape))


def _key(shelf: Shelf, candidate: Candidate) -> tuple[str, str, bool]:
    a, b = sorted((shelf.digests[candidate.i], shelf.digests[candidate.j]))
    return a, b, candidate.mirrored


def _flipped(picture: np.ndarray, flip: bool) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1]) if flip else picture


def _square(picture: np.ndarray, side_px: int) -> np.ndarray:
    return cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA)


def _first_guess(candidate: Candidate, fixed: int) -> np.ndarray:
    """The affine map from the fixed to the moving picture, [2, 3] in fractions of the frame."""
    window: HashWindow = WINDOWS[candidate.window]
    if candidate.windowed == fixed:
        width, height = window.right - window.left, window.bottom - window.top
        return np.array([[1 / width, 0, -window.left / width], [0, 1 / height, -window.top / height]])
    if candidate.mirrored:
        window = mirrored_window(window)
    width, height = window.right - window.left, window.bottom - window.top
    return np.array([[width, 0, window.left], [0, height, window.top]])


def _in_pixels(warp: np.ndarray, side_px: int) -> np.ndarray:
    """From fractions of the frame to pixel centres."""
    linear = warp[:, :2]
    shift = warp[:, 2] * side_px + linear.sum(axis=1) / 2 - 0.5
    return np.column_stack([linear, shift]).astype(np.float32)


def _in_fractions(warp: np.ndarray, side_px: int) -> np.ndarray:
    linear = warp[:, :2].astype(np.float64)
    return np.column_stack([linear, (warp[:, 2] + 0.5 - linear.sum(axis=1) / 2) / side_px])


def align(fixed: np.ndarray, moving: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """The affine map [2, 3], in fractions of the frame, under which two grey squares of one size correlate best.

    None where the search finds nothing, as with pictures that have nothing in common.
    """
    side_px = len(fixed)
    warp = _in_pixels(guess, side_px)
    first, second = fixed.astype(np.float32), moving.astype(np.float32)
    try:
        _, warp = cv2.findTransformECC(first, second, warp, cv2.MOTION_AFFINE, _STEPS, np.ones_like(moving), _SMOOTHING_PX)
    except cv2.error:
        return None
    return _in_fractions(np.asarray(warp), side_px) if np.isfinite(warp).all() else None


def _laid_over(moving: np.ndarray, warp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The moving picture in the fixed one's frame, and where it covers that: both float32 [side, side]."""
    side_px, pixels = len(moving), _in_pixels(warp, len(moving))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    over = cv2.warpAffine(moving.astype(np.float32), pixels, (side_px, side_px), flags=flags)
    cover = cv2.warpAffine(np.ones((side_px, side_px), np.float32), pixels, (side_px, side_px), flags=flags)
    return over, cover > 0.999


def _share_inside(warp: np.ndarray, side: int) -> float:
    """The share of the frame that the map keeps inside the frame, by the middles of `side` × `side` cells."""
    middles = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(middles, middles)
    across, down = (row[0] * x + row[1] * y + row[2] for row in warp)
    return float(((across >= 0) & (across <= 1) & (down >= 0) & (down <= 1)).mean())


def overlap_correlation(fixed: np.ndarray, moving: np.ndarray, warp: np.ndarray) -> tuple[float, float]:
    """Normalised correlation in [-1, 1] of two grey squares where they overlap, and the share shown of the other."""
    over, covered = _laid_over(moving, warp)
    share = _share_inside(warp, len(fixed))
    area = abs(float(np.linalg.det(warp[:, :2])))
    if not covered.any() or share < MIN_OVERLAP or not MIN_OVERLAP < area < 1 / MIN_OVERLAP:
        return -1.0, 0.0
    return _correlation(fixed[covered].astype(np.float32), over[covered]), min(share, share * area, 1.0)


def detail_agreement(fixed: np.ndarray, moving: np.ndarray, warp: np.ndarray) -> float:
    """How well two grey squares (uint8, of any sizes) agree in detail, in [-1, 1]; `warp` is a first alignment.

    The correlation that all but a fifth of the structured blocks reach. Smooth pictures, which have hardly any such
    block, have to agree in their levels instead: otherwise all clear skies were one picture.
    """
    side_px = min(len(fixed), len(moving))
    fixed, moving = (_square(picture, side_px) for picture in (fixed, moving))
    refined = align(fixed, moving, warp)
    if refined is None:
        return -1.0
    over, covered = _laid_over(moving, refined)
    if covered.mean() < MIN_OVERLAP:
        return -1.0
    first, second = (cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.0) for picture in (fixed, over))
    inside = [block for block in _blocks(side_px) if covered[block].mean() > 0.9]
    blocks = [(_without_plane(first[block]), _without_plane(second[block])) for block in inside]
    agreement = [_correlation(a, b) for a, b in blocks if min(a.std(), b.std()) >= BLOCK_LEVELS]
    if len(agreement) >= MIN_BLOCKS:
        return float(np.quantile(agreement, DETAIL_SHARE))
    differ = float(np.abs(first[covered] - second[covered]).mean())
    return _correlation(first[covered], second[covered]) if differ <= SMOOTH_LEVELS else -1.0


def _blocks(side_px: int) -> list[tuple[slice, slice]]:
    edges = [side_px * number // BLOCKS for number in range(BLOCKS + 1)]
    bands = [slice(edges[number], edges[number + 1]) for number in range(BLOCKS) if edges[number] < edges[number + 1]]
    return [(rows, columns) for rows in bands for columns in bands]


def _without_plane(block: np.ndarray) -> np.ndarray:
    """A smooth gradient is no structure: all skies have it."""
    rest = block - block.mean()
    for axis in (0, 1):
        ramp = np.arange(block.shape[axis]) - (block.shape[axis] - 1) / 2
        ramp = ramp[:, None] if axis == 0 else ramp[None, :]
        rest = rest - ramp * (rest * ramp).sum() / max(1e-9, (np.ones_like(rest) * ramp * ramp).sum())
    return rest


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt(np.vdot(first, first) * np.vdot(second, second)))
    return float(np.vdot(first, second)) / norm if norm > 1e-6 else 0.0

"""Perceptual hashes of grey pictures: `imagehash.phash`, bit for bit on equal pixels, at a fraction of its time.

A picture is decoded as grey from the start, a JPEG at the largest reduction that leaves enough pixels; the few
frequencies that a hash needs come from one small matrix. The hash has 64 bits: the 8 × 8 lowest frequencies of the
32 × 32 picture, row by row from the highest bit on, each 1 where it exceeds their median.
"""

import io
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from pipeline.errors import StorageError
from pipeline.orientation import TRANSPOSE, orientation
from pipeline.pillow import open_picture, silenced

SIDE_PX = 32
"""The picture is scaled to this square before its frequencies are taken."""
FREQUENCIES = 8
MIN_SHORT_EDGE_PX = 128
"""Below it a reduced decode moves a hash by up to 6 bits, from it on by at most 2."""
SMALL_PRODUCT = 250_000
"""Multiplications up to which OpenBLAS uses one thread, a little less."""


class HashWindow(NamedTuple):
    """A part of a picture, by fractions of its width and height in [0, 1]."""

    left: float
    top: float
    right: float
    bottom: float


FULL = HashWindow(0.0, 0.0, 1.0, 1.0)
WINDOWS = (
    FULL,
    HashWindow(0.05, 0.05, 0.95, 0.95),
    HashWindow(0.025, 0.025, 0.975, 0.975),
    HashWindow(0.05, 0.0, 1.0, 1.0),
    HashWindow(0.0, 0.05, 1.0, 1.0),
    HashWindow(0.0, 0.0, 0.95, 1.0),
    HashWindow(0.0, 0.0, 1.0, 0.95),
    HashWindow(0.05, 0.05, 1.0, 1.0),
    HashWindow(0.0, 0.05, 0.95, 1.0),
    HashWindow(0.05, 0.0, 1.0, 0.95),
    HashWindow(0.0, 0.0, 0.95, 0.95),
)
"""The whole picture, two centres, and what is left without 5 % of a side or of two that meet in a corner."""


# --- decoding ---------------------------------------------------------------------------------------------------------


def grey_exact(data: bytes) -> np.ndarray:
    """Grey uint8 [height, width] of the upright picture in `data`, at full size: what `imagehash.phash` looks at.

    Colour profiles do not enter, as they do not there. Raises `StorageError` where the bytes cannot be decoded.
    """
    return _grey(data, None)


def grey_fast(data: bytes) -> np.ndarray:
    """`grey_exact`, a JPEG reduced to 1/2, 1/4 or 1/8 as far as its short edge keeps `MIN_SHORT_EDGE_PX`.

    Its luminance is taken as the file has it, without decoding the colours; saturated colours differ by some levels
    from their grey by way of RGB.
    """
    return _grey(data, (MIN_SHORT_EDGE_PX, MIN_SHORT_EDGE_PX))


def _grey(data: bytes, at_least_px: tuple[int, int] | None) -> np.ndarray:
    try:
        with silenced(), open_picture(io.BytesIO(data)) as image:
            if at_least_px:
                image.draft("L", at_least_px)
            grey = _convert(image)
            upright = TRANSPOSE.get(orientation(image))
            return np.asarray(grey if upright is None else grey.transpose(upright))
    except Exception as error:  # Pillow's readers let through whatever their parsing stumbles over
        if isinstance(error, MemoryError):
            raise
        raise StorageError(f"A stored picture cannot be decoded ({type(error).__name__}: {error}).") from error


def _convert(image: Image.Image) -> Image.Image:
    """Mode L; transparency over white, 16-bit grey by its upper byte."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("L")
    rgba = image.convert("RGBA")
    opaque = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(opaque, rgba).convert("L")


# --- hashing ----------------------------------------------------------------------------------------------------------


def phash(grey: np.ndarray) -> int:
    """The perceptual hash (64 bits) of grey uint8 [height, width]; equal to `imagehash.phash` of the same pixels."""
    return int(_whole(grey)[0])


def phash_mirrored(grey: np.ndarray) -> int:
    """The perceptual hash of the same picture mirrored left to right."""
    return int(_whole(grey)[1])


def both_ways(grey: np.ndarray, windows: Sequence[HashWindow] = WINDOWS) -> np.ndarray:
    """Perceptual hashes of parts of one picture as they are and mirrored left to right: uint64 [2, windows].

    `grey` is uint8 [height, width]. The mirrored hash of window i is that of the same pixels, flipped; in the mirrored
    picture they lie at `mirrored_window(windows[i])`. The hash of `FULL` is `phash`, exactly. Those of other windows come
    without the rounding to whole grey levels on the way, all from two matrix products; they differ from `phash` of the
    cut-out pixels by 0 bits mostly, by 2 or 4 seldom.
    """
    hashes = np.empty((2, len(windows)), np.uint64)
    parts = [number for number, window in enumerate(windows) if window != FULL]
    if parts:
        hashes[:, parts] = _parts(grey, tuple(windows[number] for number in parts))
    if len(parts) < len(windows):
        hashes[:, [number for number, window in enumerate(windows) if window == FULL]] = _whole(grey)[:, None]
    return hashes


def mirrored_window(window: HashWindow) -> HashWindow:
    """Where the pixels of `window` lie in the picture mirrored left to right."""
    return HashWindow(1 - window.right, window.top, 1 - window.left, window.bottom)


def _whole(grey: np.ndarray) -> np.ndarray:
    """The hash as imagehash has it, and that of the mirrored picture: uint64 [2]."""
    small = np.asarray(Image.fromarray(grey).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS))
    cosines = _cosines()
    frequencies = cosines @ small.astype(np.float64) @ cosines.T
    above, margin = _above_median(np.stack([frequencies, frequencies * _FLIPPED]))
    # Flat, striped and symmetric pictures have frequencies that are zero but for rounding. There the bits depend on
    # the order of the additions, and equal bits take imagehash itself.
    if margin < 1e-9 * max(float(small.sum(dtype=np.int64)), 1.0):
        return np.concatenate([_as_imagehash(small), _as_imagehash(small[:, ::-1])])
    return _packed(above)


def _as_imagehash(small: np.ndarray) -> np.ndarray:
    import imagehash

    return _packed(imagehash.phash(Image.fromarray(small)).hash.reshape(1, -1))


def _parts(grey: np.ndarray, windows: tuple[HashWindow, ...]) -> np.ndarray:
    """uint64 [2, windows], by matrices from pixels straight to frequencies."""
    if (factor := min(grey.shape) // MIN_SHORT_EDGE_PX) > 1:
        grey = np.asarray(Image.fromarray(grey).reduce(factor))
    columns, rows = (tuple(dict.fromkeys(edges)) for edges in zip(*map(_edges, windows), strict=True))
    across = _from_pixels(grey.shape[1], columns)
    down = np.ascontiguousarray(_from_pixels(grey.shape[0], rows).T)
    lines = _product(grey.astype(np.float32), across)
    frequencies = _product(down, lines).reshape(len(rows), FREQUENCIES, len(columns), FREQUENCIES)
    at = [(rows.index(row), columns.index(column)) for column, row in map(_edges, windows)]
    chosen = np.stack([frequencies[row, :, column] for row, column in at])
    above, _ = _above_median(np.stack([chosen, chosen * _FLIPPED.astype(np.float32)]), tolerance=1e-5)
    return _packed(above)


def _edges(window: HashWindow) -> tuple[tuple[float, float], tuple[float, float]]:
    return (window.left, window.right), (window.top, window.bottom)


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left @ right` for float32 matrices, in pieces so small that BLAS keeps to the thread that asks.

    Pictures are hashed in parallel already; on a busy machine BLAS's threads, waiting for each other, take a
    thousand times as long as the product itself.
    """
    inner = max(1, min(len(right), SMALL_PRODUCT // right.shape[1]))
    rows = max(1, SMALL_PRODUCT // (inner * right.shape[1]))
    whole = len(left) // rows * rows
    product = np.zeros((len(left), right.shape[1]), np.float32)
    for begin in range(0, len(right), inner):
        a, b = left[:, begin : begin + inner], right[begin : begin + inner]
        product[:whole] += (a[:whole].reshape(whole // rows, rows, len(b)) @ b).reshape(whole, right.shape[1])
        product[whole:] += a[whole:] @ b
    return product


@lru_cache(maxsize=512)
def _from_pixels(length_px: int, parts: tuple[tuple[float, float], ...]) -> np.ndarray:
    """From a line of pixels to the lowest frequencies of each part of it: float32 [length_px, 8 · parts].

    Each part is scaled to 32 pixels by Lanczos's kernel, cut off at its edges, as if the rest did not exist.
    """
    cosines = _cosines().astype(np.float32)
    return np.concatenate([_product(cosines, _lanczos(length_px, *part).astype(np.float32)).T for part in parts], axis=1)


def _lanczos(length_px: int, begin: float, end: float) -> np.ndarray:
    """Weights float64 [32, length_px] of the pixels in each of 32 samples of the part from `begin` to `end`.

    Three resamplings by Lanczos's kernel are no doubles of one another. This one is a matrix in floating point, so that
    frequencies of any part of a line come of one product. `pipeline.dataset.lanczos` is compiled and in integers: its bytes
    are the same on every machine, and snapshots are named by them. Pillow's is for pictures that somebody looks at.
    """
    begin_px, end_px = begin * length_px, end * length_px
    step_px = (end_px - begin_px) / SIDE_PX
    centre_px = begin_px + (np.arange(SIDE_PX) + 0.5)[:, None] * step_px
    pixel = np.arange(length_px)
    offset = (pixel + 0.5 - centre_px) / max(step_px, 1.0)
    covered = np.clip(np.minimum(pixel + 1, end_px) - np.maximum(pixel, begin_px), 0.0, 1.0)
    weights = np.where(np.abs(offset) < 3, np.sinc(offset) * np.sinc(offset / 3), 0.0) * covered
    return weights / weights.sum(axis=1, keepdims=True)


def _above_median(frequencies: np.ndarray, tolerance: float = 0.0) -> tuple[np.ndarray, float]:
    """Which of float [..., 8, 8] exceed the median of their 64: bool [..., 64]; and how near the nearest comes to it.

    What exceeds it by less than `tolerance` times the largest does not count.
    """
    flat = frequencies.reshape(*frequencies.shape[:-2], FREQUENCIES**2)
    middle = np.partition(flat, (31, 32), axis=-1)[..., 31:33]
    beyond = flat - (middle[..., :1] + middle[..., 1:]) / 2
    if tolerance:
        return beyond > tolerance * np.abs(flat).max(axis=-1, keepdims=True), 0.0
    return beyond > 0, float(np.abs(beyond).min())


def _packed(bits: np.ndarray) -> np.ndarray:
    """uint64 [...] from bool [..., 64], the first bit being the highest."""
    return np.packbits(bits, axis=-1).view(">u8")[..., 0].astype(np.uint64)


@cache
def _cosines() -> np.ndarray:
    """The lowest rows of the DCT-II that scipy calls unnormalised: float64 [8, 32]."""
    frequency, position = np.ogrid[:FREQUENCIES, :SIDE_PX]
    return 2 * np.cos(np.pi * frequency * (2 * position + 1) / (2 * SIDE_PX))


_FLIPPED = (-1.0) ** np.arange(FREQUENCIES)
"""By mirroring, the frequencies with an odd number of half-waves across change their sign."""

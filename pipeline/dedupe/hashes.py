"""Perceptual hashes of grey pictures: `imagehash.phash`, bit for bit on equal pixels, at a fraction of its time.

A picture is decoded as grey from the start, a JPEG at the largest reduction that leaves enough pixels; the few
frequencies that a hash needs come from one small matrix. The hash has 64 bits: the 8 × 8 lowest frequencies of the
32 × 32 picture, row by row from the highest bit on, each 1 where it exceeds their median.
"""

import io
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from pipeline.errors import StorageError

SIDE_PX = 32
"""The picture is scaled to this square before its frequencies are taken."""
FREQUENCIES = 8
MIN_SHORT_EDGE_PX = 128
"""Below it a reduced decode moves a hash by up to 6 bits, from it on by at most 2."""


class Window(NamedTuple):
    """A part of a picture, by fractions of its width and height in [0, 1]."""

    left: float
    top: float
    right: float
    bottom: float


FULL = Window(0.0, 0.0, 1.0, 1.0)
WINDOWS = (
    FULL,
    Window(0.05, 0.05, 0.95, 0.95),
    Window(0.025, 0.025, 0.975, 0.975),
    Window(0.05, 0.0, 1.0, 1.0),
    Window(0.0, 0.05, 1.0, 1.0),
    Window(0.0, 0.0, 0.95, 1.0),
    Window(0.0, 0.0, 1.0, 0.95),
    Window(0.05, 0.05, 1.0, 1.0),
    Window(0.0, 0.05, 0.95, 1.0),
    Window(0.05, 0.0, 1.0, 0.95),
    Window(0.0, 0.0, 0.95, 0.95),
)
"""The whole picture, two centres, and what is left without 5 % of a side or of two that meet in a corner."""


# --- decoding ---------------------------------------------------------------------------------------------------------


def grey_exact(data: bytes) -> np.ndarray:
    """Grey uint8 [height, width] of the upright picture in `data`, at full size: what `imagehash.phash` looks at.

    Colour profiles do not enter: they hardly move a hash, and a JPEG's grey is then ready without its colours.
    Raises `StorageError` where the bytes cannot be decoded.
    """
    return _grey(data, None)


def grey_fast(data: bytes) -> np.ndarray:
    """`grey_exact`, a JPEG reduced to 1/2, 1/4 or 1/8 as far as its short edge keeps `MIN_SHORT_EDGE_PX`."""
    return _grey(data, (MIN_SHORT_EDGE_PX, MIN_SHORT_EDGE_PX))


def _grey(data: bytes, at_least_px: tuple[int, int] | None) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", at_least_px)
            grey = _convert(image)
            upright = _TRANSPOSE.get(_orientation(image))
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


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""From the EXIF orientation to what makes the picture upright (EXIF 2.32, tag 0x0112)."""


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged block makes Pillow raise nearly anything, and spoils no picture
        return 1


# --- hashing ----------------------------------------------------------------------------------------------------------


def phash(grey: np.ndarray) -> int:
    """The perceptual hash (64 bits) of grey uint8 [height, width]; equal to `imagehash.phash` of the same pixels."""
    return int(window_hashes(grey, (FULL,))[0])


def phash_mirrored(grey: np.ndarray) -> int:
    """The perceptual hash of the same picture mirrored left to right."""
    return int(both_ways(grey, (FULL,))[1, 0])


def window_hashes(grey: np.ndarray, windows: Sequence[Window] = WINDOWS) -> np.ndarray:
    """Perceptual hashes of parts of one picture: uint64 [windows], for grey uint8 [height, width]."""
    return both_ways(grey, windows)[0]


def both_ways(grey: np.ndarray, windows: Sequence[Window] = WINDOWS) -> np.ndarray:
    """`window_hashes` of the picture as it is and of each window mirrored left to right: uint64 [2, windows].

    The mirrored hash of window i is that of the same pixels, flipped; in the mirrored picture they lie at
    `mirrored_window(windows[i])`.
    """
    image = Image.fromarray(grey)
    height_px, width_px = grey.shape
    small = np.empty((2, len(windows), SIDE_PX, SIDE_PX), np.uint8)
    for number, (left, top, right, bottom) in enumerate(windows):
        box = (left * width_px, top * height_px, right * width_px, bottom * height_px)
        small[0, number] = np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, box))
    small[1] = small[0, ..., ::-1]
    cosines = _cosines()
    frequencies = cosines @ small @ cosines.T
    return _threshold(frequencies)


def mirrored_window(window: Window) -> Window:
    """Where the pixels of `window` lie in the picture mirrored left to right."""
    return Window(1 - window.right, window.top, 1 - window.left, window.bottom)


def _threshold(frequencies: np.ndarray) -> np.ndarray:
    """uint64 [...] from [..., 8, 8]: bit 1 where a frequency exceeds the median."""
    flat = frequencies.reshape(*frequencies.shape[:-2], FREQUENCIES**2)
    above = flat > np.median(flat, axis=-1, keepdims=True)
    return np.packbits(above, axis=-1).view(">u8")[..., 0].astype(np.uint64)


@cache
def _cosines() -> np.ndarray:
    """The lowest rows of the DCT-II that scipy calls unnormalised: float64 [8, 32]."""
    frequency, position = np.ogrid[:FREQUENCIES, :SIDE_PX]
    return 2 * np.cos(np.pi * frequency * (2 * position + 1) / (2 * SIDE_PX))

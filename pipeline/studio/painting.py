"""Pictures painted anew: few colours of one palette, laid down in strokes along the edges, large ones first.

After Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes" (SIGGRAPH 1998), with straight strokes.
All chance comes from one seed, and brushes draw on whole pixels: same picture and seed, same bytes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Bytes = NDArray[np.uint8]

PALETTE: Bytes = np.array(
    [
        (28, 26, 38), (58, 40, 44), (96, 58, 40), (140, 84, 44), (184, 122, 52), (214, 164, 68), (236, 200, 110),
        (246, 228, 178), (232, 190, 156), (204, 142, 112), (158, 94, 84), (120, 44, 46), (176, 60, 50), (40, 66, 84),
        (62, 104, 110), (106, 142, 128), (72, 92, 56), (128, 134, 74), (92, 84, 120), (170, 168, 160),
    ],
    np.uint8,
)  # fmt: skip
"""sRGB of the colours on the palette: ochres, gold and flesh, few blues and greens."""
BRIGHTER = 1.25
"""A painter lights a scene up: levels are raised by this power before a colour is chosen."""


@dataclass(frozen=True)
class Brush:
    """Strokes of one size: their width and length, how far apart they start, and the error that calls for one; the
    lengths as shares of the picture's smaller side, the error in [0, 255]."""

    width: float
    length: float
    spacing: float
    from_error: float


BRUSHES = (Brush(0.075, 0.22, 0.045, 0), Brush(0.036, 0.11, 0.022, 22), Brush(0.017, 0.05, 0.012, 30))


def painted(rgb: Bytes, seed: int) -> Bytes:
    """The picture, uint8 [height, width, 3] in sRGB, as a painting of the same size."""
    rng = np.random.default_rng([seed, 77])
    canvas = Image.new("RGB", (rgb.shape[1], rgb.shape[0]), (150, 120, 84))
    along = _edge_directions(rgb)
    for brush in BRUSHES:
        _paint_layer(canvas, rgb, brush, along, rng)
    return np.asarray(canvas)


def nearest_on_palette(colours: NDArray[np.floating]) -> Bytes:
    """For each colour [..., 3] in 0 to 255 that of the palette with the nearest levels, green counting most.

    >>> nearest_on_palette(np.array([0.0, 0.0, 0.0])).tolist()
    [28, 26, 38]
    """
    weights = np.array([0.5, 1.0, 0.35])
    apart = (((colours[..., None, :] - PALETTE.astype(np.float64)) ** 2) * weights).sum(-1)
    return PALETTE[apart.argmin(-1)]


def _paint_layer(
    canvas: Image.Image, rgb: Bytes, brush: Brush, along: NDArray[np.float64], rng: np.random.Generator
) -> None:
    limits = rgb.shape[1] - 1, rgb.shape[0] - 1
    side_px = min(rgb.shape[:2])
    width, length, step = (max(1.0, share * side_px) for share in (brush.width, brush.length, brush.spacing))
    meant = _smoothed(rgb, width / 2)
    rows, columns = np.mgrid[step / 2 : rgb.shape[0] : step, step / 2 : rgb.shape[1] : step]
    starts = np.stack([columns.ravel(), rows.ravel()], 1)
    starts = np.clip(starts + rng.uniform(-step / 2, step / 2, starts.shape), 0, limits)
    places = starts.astype(int)
    colours = nearest_on_palette(_lit(meant[places[:, 1], places[:, 0]]))
    error = np.abs(_smoothed(np.asarray(canvas), width / 2) - _lit(meant)).mean(-1)[places[:, 1], places[:, 0]]
    angles = along[places[:, 1], places[:, 0]] + rng.normal(0, 0.15, len(starts))
    reach = np.stack([np.cos(angles), np.sin(angles)], 1) * length / 2 * rng.uniform(0.6, 1.2, (len(starts), 1))
    wanted = [stroke for stroke in rng.permutation(len(starts)) if error[stroke] >= brush.from_error]
    ends = np.rint(np.concatenate([starts - reach, starts + reach], 1)).astype(int)[wanted].tolist()
    draw, width_px = ImageDraw.Draw(canvas), max(1, round(width))
    for line, colour in zip(ends, map(tuple, colours[wanted].tolist()), strict=True):
        draw.line(line, fill=colour, width=width_px)


def _lit(levels: NDArray[np.floating]) -> NDArray[np.float64]:
    return 255 * (levels / 255) ** (1 / BRIGHTER)


def _smoothed(rgb: Bytes, radius_px: float) -> NDArray[np.float64]:
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.BoxBlur(radius_px)), np.float64)


def _edge_directions(rgb: Bytes) -> NDArray[np.float64]:
    """Angle of the edge at each pixel, in radians: where light changes least, by the smoothed structure tensor."""
    grey = _smoothed(rgb, 2) @ np.array([0.3, 0.59, 0.11])
    down, across = np.gradient(grey)
    products = [_averaged(np.asarray(one)) for one in (across * across, down * down, across * down)]
    return 0.5 * np.arctan2(2 * products[2], products[0] - products[1]) + np.pi / 2


def _averaged(values: NDArray[np.float64], reach_px: int = 4) -> NDArray[np.float64]:
    padded = np.pad(values, reach_px, mode="edge")
    for axis in (0, 1):
        padded = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach_px + 1, axis=axis).mean(-1)
    return padded

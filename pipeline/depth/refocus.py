"""Refocusing a photo of any size by its depth: which plane is sharp, how strong the lens is, and the blur, tile by tile.

Small discs are spread at the photo's own size. Larger ones are smooth, so they are spread on a photo made so much smaller
that they still have `LEAST_RADIUS_PX`, one octave of radii after the other, and made larger again. Memory is that of some
tiles besides one half-size photo for each octave.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from pipeline.depth.units import DepthError, Disparity
from pipeline.models.images import RgbPhoto
from pipeline.models.layered_lens import Highlights, Layer, LayeredLens, behind, blurred_share, brought_to_full, isolation
from pipeline.models.lens import linear, srgb

TILE_PX = 1024
LEAST_RADIUS_PX = 4.0
"""Of the discs of an octave, on the photo made smaller: by so much a disc of pixels is round."""
LARGEST_SHARE = 0.25
"""Of the shorter side: a larger disc is no photograph any more."""
PICKED_SHARE = 0.01
"""Of the shorter side: radius of the surroundings of a point whose depth is asked for."""
FULL = 1 - 1e-4
"""Coverage from which on nothing farther is seen: a fraction of a level of 8 bits."""
OUTER_SHARE = 0.01
"""Of the pixels, left out at either end of the range of depths: a few wrong ones do not set the strength."""
RENDERED_HIGHLIGHTS = Highlights(gain=2.0, knee=0.98)
"""Fitted on rendered scenes whose lamps are two to four times as bright as white (`benchmarks/renderer.py --fit`)."""


@dataclass(frozen=True)
class ThinLens:
    """A lens as pictures see it: a pixel at disparity δ gets a disc of the radius `px_per_dioptre` · |δ − `focus`|.

    `focus` is in the units of the map it is used with, 1/m for a metric one, and `px_per_dioptre` for each of these.
    """

    focus: float
    px_per_dioptre: float

    def radii_px(self, disparity: Disparity) -> Disparity:
        """Signed: positive before the plane in focus."""
        return ((disparity - self.focus) * self.px_per_dioptre).astype(np.float32)


def lens_of_strength(disparity: Disparity, focus: float, strength_percent: float) -> ThinLens:
    """A lens whose disc for the farthest thing, when the nearest is in focus, has that share of the shorter side as radius.

    Raises DepthError for a flat map, in which everything has one distance.
    """
    near, far = _outermost(disparity)
    if near <= far:
        raise DepthError("the depth map is flat: everything is as far away, and there is nothing to refocus")
    return ThinLens(focus, strength_percent / 100 * min(disparity.shape) / (near - far))


def lens_of_camera(focus_m: float, focal_mm: float, f_number: float, sensor_mm: float, side_px: int) -> ThinLens:
    """The lens of a camera focused at a distance; `sensor_mm` is the side of the picture on it that has `side_px` pixels.

    For metric maps: radius = aperture radius · image distance in pixels · |1/s − 1/d|, exact for a thin lens.
    """
    image_mm = 1 / (1 / focal_mm - 1 / (focus_m * 1000)) if focus_m * 1000 > focal_mm else focal_mm
    return ThinLens(1 / focus_m, focal_mm / (2 * f_number) / 1000 * image_mm / sensor_mm * side_px)


def disparity_at(disparity: Disparity, x_px: float, y_px: float) -> float:
    """The disparity of what is seen at a point of the picture: the median of the known around it.

    Raises DepthError for a point outside the picture, or around which nothing is known.
    """
    height_px, width_px = disparity.shape
    if not (0 <= x_px < width_px and 0 <= y_px < height_px):
        raise DepthError(f"the point {x_px:g},{y_px:g} lies outside the photo, which has {width_px} × {height_px} pixels")
    reach_px = max(1, round(PICKED_SHARE * min(disparity.shape)))
    rows, columns = (slice(max(0, int(place) - reach_px), int(place) + reach_px + 1) for place in (y_px, x_px))
    around = disparity[rows, columns]
    if not (around > 0).any():
        raise DepthError(f"nothing is known of the depth around the point {x_px:g},{y_px:g}; take another")
    return float(np.median(around[around > 0]))


def planes_from_far_to_near(disparity: Disparity, count: int) -> list[float]:
    """So many planes, evenly spread in disparity over what is known."""
    near, far = _outermost(disparity)
    return np.linspace(far, near, count).tolist()


def _outermost(disparity: Disparity) -> tuple[float, float]:
    near, far = np.quantile(disparity[disparity > 0], [1 - OUTER_SHARE, OUTER_SHARE])
    return float(near), float(far)


def fitted_to(disparity: Disparity, height_px: int, width_px: int) -> Disparity:
    """The map at a photo's size, the unknown filled with what is nearest to it in the picture.

    Values are taken over, never mixed: halfway between a face and a wall there is nothing. Raises DepthError where the map
    has other proportions than the photo.
    """
    rows, columns = disparity.shape
    if abs(math.log(rows / columns * width_px / height_px)) > 0.02 + 1 / min(rows, columns):
        told = f"the depth map has {columns} × {rows} pixels and the photo {width_px} × {height_px}"
        raise DepthError(f"{told}: it is of another picture, or cropped or turned")
    filled = _filled(disparity)
    if filled.shape == (height_px, width_px):
        return filled
    row, column = ((np.arange(size) * 2 + 1) * old // (2 * size) for size, old in ((height_px, rows), (width_px, columns)))
    return filled[row[:, None], column]


def _filled(disparity: Disparity) -> Disparity:
    unknown = disparity <= 0
    if not unknown.any():
        return disparity
    nearest = np.asarray(ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True))
    return disparity[nearest[0], nearest[1]]


# --- the blur ---------------------------------------------------------------------------------------------------------


class _Group(NamedTuple):
    """Layers that follow one another from near to far and are spread at sides `shrink` times smaller than the photo's."""

    shrink: int
    numbers: Sequence[int]


@dataclass(frozen=True, eq=False)
class _LayeredPhoto:
    """A photo, its signed radii, and how its layers are grouped; parts of it come as light on the device."""

    rgb: RgbPhoto
    radius_px: Disparity
    highlights: Highlights
    device: torch.device
    tile_px: int = TILE_PX

    @property
    def size_px(self) -> tuple[int, int]:
        height_px, width_px = self.radius_px.shape
        return height_px, width_px

    @cached_property
    def _light_of(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of each of the 256 levels: the light, and what is beyond white."""
        levels = torch.arange(256) / 255.0
        return linear(levels).numpy(), self.highlights.extra(levels).numpy()

    @cached_property
    def _isolation(self) -> NDArray[np.float32]:
        """Of each pixel, which takes the whole photo to tell."""
        excess = self.highlights.excess(torch.arange(256) / 255.0).numpy().take(self.rgb.max(2))
        return isolation(torch.from_numpy(excess)[None, None])[0, 0].numpy()

    def part(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Light [1, 3, …] and signed radii [1, 1, …]."""
        rgb = np.ascontiguousarray(self.rgb[rows, columns].transpose(2, 0, 1))
        plain, extra = (self._at_device(values.take(rgb))[None] for values in self._light_of)
        radius_px = self.radii_px(rows, columns)
        if not self.highlights.gain:
            return plain, radius_px
        return plain + extra * blurred_share(radius_px) * self._at_device(self._isolation[rows, columns]), radius_px

    def radii_px(self, rows: slice, columns: slice) -> Tensor:
        """Signed radii [1, 1, …]."""
        return self._at_device(self.radius_px[rows, columns])[None, None]

    def _at_device(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def tiles(self, multiple_px: int) -> Iterator[tuple[slice, slice]]:
        """The photo in tiles whose corners lie on multiples of so many pixels."""
        side_px = max(self.tile_px // multiple_px, 1) * multiple_px
        for top, left in product(*(range(0, length, side_px) for length in self.size_px)):
            yield slice(top, min(top + side_px, self.size_px[0])), slice(left, min(left + side_px, self.size_px[1]))


@torch.inference_mode()
def refocus_photo(
    rgb: RgbPhoto,
    disparity: Disparity,
    lens: ThinLens,
    highlights: Highlights = RENDERED_HIGHLIGHTS,
    device: torch.device | None = None,
    tile_px: int = TILE_PX,
) -> UInt8[np.ndarray, "height width 3"]:
    """A photo in focus throughout as `lens` would take it; uint8, same shape.

    `disparity` has the photo's size and is known everywhere (`fitted_to`). Where a disc is no larger than a pixel and
    nothing else arrives, the photo is unchanged. Raises DepthError for a lens whose discs have more than `LARGEST_SHARE`.
    """
    photo = _LayeredPhoto(rgb, lens.radii_px(disparity), highlights, device or torch.device("cpu"), tile_px)
    largest_px, limit_px = float(np.abs(photo.radius_px).max()), LARGEST_SHARE * min(photo.size_px)
    if largest_px > limit_px:
        told = f"a disc has a radius of {largest_px:.0f} px, at most are {limit_px:.0f} px"
        raise DepthError(f"the lens is too strong: {told}")
    layers = LayeredLens(largest_px)
    groups = _near_to_far(layers)
    smaller = {group: _spread_smaller(photo, layers, group) for group in groups if group.shrink > 1}
    result = np.empty_like(rgb)
    for rows, columns in photo.tiles(max(group.shrink for group in groups)):
        total = torch.zeros(1, 4, rows.stop - rows.start, columns.stop - columns.start, device=photo.device)
        for group in groups:
            blur = smaller.get(group)
            if group.shrink == 1:
                layer = _spread(photo, layers, group, rows, columns)
            else:
                layer = None if blur is None else _enlarged(blur, group, rows, columns)
            if layer is not None:
                total = behind(total, layer)
            if float(total[:, 3].min()) > FULL:  # nothing farther is seen
                break
        seen = srgb(brought_to_full(total))
        result[rows, columns] = (seen[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return result


def _near_to_far(layers: LayeredLens) -> list[_Group]:
    """All layers, in groups of one size."""
    grouped = groupby(layers.near_to_far(), key=lambda number: _shrink_of(layers.radii_px[abs(number)]))
    return [_Group(shrink, tuple(numbers)) for shrink, numbers in grouped]


def _shrink_of(radius_px: float) -> int:
    """The power of two by which the sides may be smaller."""
    return 2 ** max(0, int(math.log2(radius_px / LEAST_RADIUS_PX)))


def _spread_smaller(photo: _LayeredPhoto, layers: LayeredLens, group: _Group) -> Layer | None:
    """A group over the whole photo, at the smaller size, rounded up to whole pixels; None where it has no pixel."""
    height, width = (-(-length // group.shrink) for length in photo.size_px)
    whole = None
    for rows, columns in photo.tiles(group.shrink):
        layer = _spread(photo, layers, group, rows, columns)
        if layer is not None:
            whole = torch.zeros(1, 4, height, width, device=photo.device) if whole is None else whole
            whole[..., _divided(rows, group.shrink), _divided(columns, group.shrink)] = layer
    return whole


def _spread(photo: _LayeredPhoto, layers: LayeredLens, group: _Group, rows: slice, columns: slice) -> Layer | None:
    """A group over a tile, at the group's size; None where it has no pixel there."""
    reach_px = int(max(layers.radii_px[abs(number)] for number in group.numbers) + 0.5)
    margin_px = (reach_px // group.shrink + 1) * group.shrink
    near = [_grown(part, margin_px, length) for part, length in zip((rows, columns), photo.size_px, strict=True)]
    if not layers.present(photo.radii_px(*near), group.numbers):
        return None
    blended = layers.blended(*photo.part(*near), group.numbers, group.shrink)
    inner = [_divided(_within(part, whole), group.shrink) for part, whole in zip((rows, columns), near, strict=True)]
    return blended[..., inner[0], inner[1]]


def _enlarged(blur: Layer, group: _Group, rows: slice, columns: slice) -> Layer:
    """A tile of the photo's size of what was spread at a smaller one; linear interpolation."""
    parts = [
        _grown(_divided(part, group.shrink), 1, length)
        for part, length in zip((rows, columns), blur.shape[-2:], strict=True)
    ]
    part = blur[..., parts[0], parts[1]]
    larger = functional.interpolate(part, scale_factor=group.shrink, mode="bilinear", align_corners=False)
    first = [whole.start - part.start * group.shrink for whole, part in zip((rows, columns), parts, strict=True)]
    return larger[..., first[0] : first[0] + rows.stop - rows.start, first[1] : first[1] + columns.stop - columns.start]


def _divided(part: slice, factor: int) -> slice:
    """A slice of the photo on one that many times smaller; it begins on a whole pixel there, and ends on one rounded up."""
    return slice(part.start // factor, -(-part.stop // factor))


def _grown(part: slice, margin_px: int, length_px: int) -> slice:
    """`part` with a margin to both sides, as far as there is any."""
    return slice(max(0, part.start - margin_px), min(length_px, part.stop + margin_px))


def _within(part: slice, whole: slice) -> slice:
    """Where `part` lies in `whole`, which holds it."""
    return slice(part.start - whole.start, part.stop - whole.start)

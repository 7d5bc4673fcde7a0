"""Refocusing a photo of any size by its depth: which plane is sharp, how strong the lens is, and the blur, tile by tile.

Small discs are spread at the photo's own size. Larger ones are smooth, so they are spread on a photo made so much smaller
that they still have `LEAST_RADIUS_PX`, one octave of radii after the other, and made larger again. Of a tile only
those layers are spread that have pixels in it: few, since what is side by side is mostly as far away. Memory is that of the
layers at their smaller sizes.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.arrays import check_array
from pipeline.depth.units import DepthError, Disparity
from pipeline.models.images import RgbPhoto
from pipeline.models.large_photos import grown, within
from pipeline.models.layered_lens import (
    SHARP_RADIUS_PX,
    Highlights,
    Layer,
    LayeredLens,
    LinearImages,
    behind,
    brought_to_full,
    enlarged,
    isolation,
    shrunk,
    spread,
)
from pipeline.models.lens import linear, srgb

TILE_PX = 256
"""So that what is done to a tile stays in the processor's own memory, and few layers are in it."""
DEVICE_TILE_PX = 1024
"""On a GPU, which starts many small things no faster than few large ones."""
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
DIAGONAL_35_MM = 43.27
"""Of a frame of 35 mm film."""
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


def lens_of_full_frame(disparity: Disparity, focus: float, focal_mm: float, f_number: float) -> ThinLens:
    """`lens_of_camera` for a metric map at the photo's size; the focal length is the one on 35 mm film."""
    return lens_of_camera(1 / focus, focal_mm, f_number, DIAGONAL_35_MM, round(math.hypot(*disparity.shape)))


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
    """A photo, the lens over it, and for each pixel the number of its layer; parts of it come as light on the device.

    `level` is signed, as the layers' numbers are; a pixel between two of them belongs to both in shares.
    """

    rgb: RgbPhoto
    level: NDArray[np.float32]
    layers: LayeredLens
    groups: Sequence[_Group]
    highlights: Highlights
    device: torch.device
    tile_px: int

    @property
    def reach_px(self) -> int:
        """How far the discs that are spread at the photo's size reach."""
        return max(int(self.layers.radii_px[max(group.numbers)] + 0.5) for group in self.groups if group.shrink == 1)

    @property
    def size_px(self) -> tuple[int, int]:
        height_px, width_px = self.level.shape
        return height_px, width_px

    @cached_property
    def _light_of(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of each of the 256 levels of sRGB: the light, and what is beyond white."""
        levels = torch.arange(256) / 255.0
        return linear(levels).numpy(), self.highlights.extra(levels).numpy()

    @cached_property
    def _clipped_from(self) -> int:
        """The least level of sRGB with light beyond white; 256 where none has."""
        beyond = np.flatnonzero(self._light_of[1])
        return int(beyond[0]) if len(beyond) else 256

    @cached_property
    def _isolation(self) -> NDArray[np.float32]:
        """Of each pixel, which takes the whole photo to tell."""
        excess = self.highlights.excess(torch.arange(256) / 255.0).numpy()
        brightest = np.maximum(np.maximum(self.rgb[..., 0], self.rgb[..., 1]), self.rgb[..., 2])
        return isolation(torch.from_numpy(cv2.LUT(brightest, excess))[None, None])[0, 0].numpy()

    def light(self, rows: slice, columns: slice) -> LinearImages:
        """[1, 3, …]."""
        rgb = np.ascontiguousarray(self.rgb[rows, columns])
        light = cv2.LUT(rgb, self._light_of[0])
        if rgb.max() >= self._clipped_from:
            # A disc that leaves its pixel is that of another layer than 0.
            share = np.minimum(np.abs(self.level[rows, columns]), 1) * self._isolation[rows, columns]
            light += cv2.LUT(rgb, self._light_of[1]) * share[..., None]
        return torch.from_numpy(light.transpose(2, 0, 1).copy())[None].to(self.device)

    def present(self, rows: slice, columns: slice) -> list[int]:
        """The layers that have pixels in a part, from near to far."""
        last = len(self.layers.radii_px) - 1
        below = np.bincount((np.floor(self.level[rows, columns]).astype(np.int64) + last).ravel(), minlength=2 * last + 2)
        return [number for number in self.layers.near_to_far() if below[number + last] or below[max(number - 1 + last, 0)]]

    def layer(self, light: LinearImages, rows: slice, columns: slice, number: int) -> Layer:
        """What of a part belongs to a layer; `light` is the part's."""
        away = np.abs(self.level[rows, columns] - np.float32(number))
        share = torch.from_numpy(np.maximum(1 - away, 0))[None, None].to(self.device)
        return torch.cat([light * share, share], 1)


@torch.inference_mode()
def refocus_photo(
    rgb: RgbPhoto,
    disparity: Disparity,
    lens: ThinLens,
    highlights: Highlights = RENDERED_HIGHLIGHTS,
    device: torch.device | None = None,
    tile_px: int | None = None,
    least_radius_px: float = LEAST_RADIUS_PX,
) -> UInt8[np.ndarray, "height width 3"]:
    """A photo in focus throughout as `lens` would take it; uint8, same shape.

    `disparity` has the photo's size and is known everywhere (`fitted_to`). Where a disc is no larger than a pixel and
    nothing else arrives, the photo is unchanged. A processor works at as many tiles at a time as torch may use threads.
    With less than `LEAST_RADIUS_PX` discs are less round and sooner done. Raises DepthError for a lens whose discs have more
    than `LARGEST_SHARE`, and for a map of another size.
    """
    check_array("rgb", rgb, RgbPhoto)
    if disparity.shape != rgb.shape[:2]:
        raise DepthError(
            f"the map has the shape {disparity.shape} and the photo {rgb.shape[:2]}; `fitted_to` brings it there"
        )
    radius_px = lens.radii_px(disparity)
    largest_px, limit_px = float(np.abs(radius_px).max()), LARGEST_SHARE * min(radius_px.shape)
    if largest_px > limit_px:
        told = f"a disc has a radius of {largest_px:.0f} px, at most are {limit_px:.0f} px"
        raise DepthError(f"the lens is too strong: {told}")
    if largest_px <= SHARP_RADIUS_PX:
        return rgb.copy()
    layers, device = LayeredLens(largest_px), device or torch.device("cpu")
    usual_px = TILE_PX if device.type == "cpu" else DEVICE_TILE_PX
    level = _levels(radius_px, layers.radii_px)
    photo = _LayeredPhoto(rgb, level, layers, _near_to_far(layers, least_radius_px), highlights, device, tile_px or usual_px)
    result = np.empty_like(rgb)
    with _workers(device) as for_each:
        blurs = _spread_smaller(photo, for_each)

        def see(tile: tuple[slice, slice]) -> None:
            result[tile] = _seen(photo, blurs, *tile)

        for_each(see, _tiles(photo.size_px, photo.tile_px, max(group.shrink for group in photo.groups)))
    return result


_ForEach = Callable[[Callable[[tuple[slice, slice]], None], Iterable[tuple[slice, slice]]], object]


@contextmanager
def _workers(device: torch.device) -> Iterator[_ForEach]:
    """Does something for each tile. Tiles are too small for torch to divide them: its threads would wait for one another."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield lambda work, tiles: [work(tile) for tile in tiles]
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            yield lambda work, tiles: list(pool.map(torch.inference_mode()(work), tiles))
        finally:
            torch.set_num_threads(threads)  # what a thread sets is what later ones begin with


def _levels(radius_px: Disparity, radii_px: Sequence[float]) -> NDArray[np.float32]:
    """For each signed radius the signed number of the layer, linear between two layers."""
    level = np.empty_like(radius_px)
    for top in range(0, len(radius_px), TILE_PX):
        rows = radius_px[top : top + TILE_PX]
        level[top : top + TILE_PX] = np.copysign(np.interp(np.abs(rows), radii_px, range(len(radii_px))), rows)
    return level


def _near_to_far(layers: LayeredLens, least_radius_px: float) -> list[_Group]:
    """All layers, in groups of one size."""
    grouped = groupby(layers.near_to_far(), key=lambda number: _shrink_of(layers.radii_px[abs(number)], least_radius_px))
    return [_Group(shrink, tuple(numbers)) for shrink, numbers in grouped]


def _shrink_of(radius_px: float, least_radius_px: float) -> int:
    """The power of two by which the sides may be smaller."""
    return 2 ** max(0, int(math.log2(radius_px / least_radius_px)))


def _tiles(size_px: tuple[int, int], tile_px: int, multiple_px: int = 1) -> Iterator[tuple[slice, slice]]:
    """A picture in tiles whose corners lie on multiples of so many pixels."""
    side_px = max(tile_px // multiple_px, 1) * multiple_px
    for top, left in product(*(range(0, length, side_px) for length in size_px)):
        yield slice(top, min(top + side_px, size_px[0])), slice(left, min(left + side_px, size_px[1]))


def _spread_smaller(photo: _LayeredPhoto, for_each: _ForEach) -> dict[_Group, Layer]:
    """The groups that are spread at smaller sizes, over the whole photo, as far as they have pixels."""
    smaller = _made_smaller(photo, for_each)
    blurs = {}
    for group in photo.groups:
        if there := {number: smaller[number] for number in group.numbers if number in smaller}:
            blurs[group] = _spread_group(photo, group, there, for_each)
    return blurs


def _made_smaller(photo: _LayeredPhoto, for_each: _ForEach) -> dict[int, Layer]:
    """By its number, each layer that is spread at a smaller size and has pixels, at that size, rounded up."""
    shrinks = {number: group.shrink for group in photo.groups for number in group.numbers if group.shrink > 1}
    smaller: dict[int, Layer] = {}
    for number in photo.present(slice(None), slice(None)):
        if number in shrinks:
            sides = [-(-length // shrinks[number]) for length in photo.size_px]
            smaller[number] = torch.zeros(1, 4, *sides, device=photo.device)

    def make(tile: tuple[slice, slice]) -> None:
        rows, columns = tile
        numbers = [number for number in photo.present(rows, columns) if number in smaller]
        if not numbers:
            return
        light = photo.light(rows, columns)
        for number in numbers:
            shrink = shrinks[number]
            part = shrunk(photo.layer(light, rows, columns, number), shrink)
            smaller[number][..., _divided(rows, shrink), _divided(columns, shrink)] = part

    if smaller:
        for_each(make, _tiles(photo.size_px, photo.tile_px, max(shrinks.values())))
    return smaller


def _spread_group(photo: _LayeredPhoto, group: _Group, there: Mapping[int, Layer], for_each: _ForEach) -> Layer:
    """The layers of a group spread and laid over one another at their size."""
    whole = torch.zeros_like(next(iter(there.values())))
    size_px = whole.shape[-2:]

    def lay(tile: tuple[slice, slice]) -> None:
        for number, layer in there.items():
            radius_px = photo.layers.radii_px[abs(number)] / group.shrink
            near = [grown(part, int(radius_px + 0.5), length) for part, length in zip(tile, size_px, strict=True)]
            part = layer[..., near[0], near[1]]
            if part[:, 3].any():
                inner = [within(part, around) for part, around in zip(tile, near, strict=True)]
                arrived = spread(part, radius_px)[..., inner[0], inner[1]]
                whole[..., tile[0], tile[1]] = behind(whole[..., tile[0], tile[1]], arrived)

    for_each(lay, _tiles((size_px[0], size_px[1]), photo.tile_px))
    return whole


def _seen(photo: _LayeredPhoto, blurs: Mapping[_Group, Layer], rows: slice, columns: slice) -> RgbPhoto:
    """A tile of the result."""
    total = None
    for layer in _arriving(photo, blurs, rows, columns):
        total = layer if total is None else behind(total, layer)
        if _is_full(total):
            break
    if total is None:
        return photo.rgb[rows, columns]
    return (srgb(brought_to_full(total))[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def _arriving(photo: _LayeredPhoto, blurs: Mapping[_Group, Layer], rows: slice, columns: slice) -> Iterator[Layer]:
    """The layers that reach a tile, from near to far; none for one that the lens leaves as it is."""
    is_first = True
    for group in photo.groups:
        if group.shrink > 1:
            layer = _enlarged(blurs[group], group.shrink, rows, columns) if group in blurs else None
        else:
            near = [grown(part, photo.reach_px, length) for part, length in zip((rows, columns), photo.size_px, strict=True)]
            if is_first and photo.level[near[0], near[1]].max() <= 0 and not photo.level[rows, columns].any():
                return
            layer = _spread_own(photo, group, (rows, columns), near)
        if layer is not None:
            yield layer
            is_first = False


def _spread_own(photo: _LayeredPhoto, group: _Group, tile: Sequence[slice], near: Sequence[slice]) -> Layer | None:
    """What of a tile is spread at the photo's size, or None; `near` is the tile and what reaches it."""
    numbers = [number for number in photo.present(near[0], near[1]) if number in group.numbers]
    if not numbers:
        return None
    inner = [within(part, whole) for part, whole in zip(tile, near, strict=True)]
    light, total = photo.light(near[0], near[1]), None
    for number in numbers:
        layer = photo.layer(light, near[0], near[1], number)
        arrived = (spread(layer, photo.layers.radii_px[abs(number)]) if number else layer)[..., inner[0], inner[1]]
        total = arrived if total is None else behind(total, arrived)
        if _is_full(total):
            break
    return total


def _is_full(layer: Layer) -> bool:
    """Whether nothing farther is seen."""
    return float(layer[:, 3].min()) > FULL


def _enlarged(blur: Layer, shrink: int, rows: slice, columns: slice) -> Layer | None:
    """A tile of the photo's size of what was spread at a smaller one; None where nothing arrived."""
    near = [grown(_divided(part, shrink), 1, length) for part, length in zip((rows, columns), blur.shape[-2:], strict=True)]
    part = blur[..., near[0], near[1]]
    if not part[:, 3].any():
        return None
    first = [whole.start - part.start * shrink for whole, part in zip((rows, columns), near, strict=True)]
    inner = [slice(start, start + part.stop - part.start) for start, part in zip(first, (rows, columns), strict=True)]
    return enlarged(part, shrink)[..., inner[0], inner[1]]


def _divided(part: slice, factor: int) -> slice:
    """A slice of the photo on one that many times smaller; it begins on a whole pixel there, and ends on one rounded up."""
    return slice(part.start // factor, -(-part.stop // factor))

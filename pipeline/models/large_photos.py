"""Applying a generator to photos larger than what it was trained on, with memory that does not grow with them.

A generator that ends in a lens looks at the photo at the size it was trained on and sets a lens of the photo's own size,
whose discs have grown with it. Any other is applied at the photo's size as it is, tile by tile, and blurs by as few pixels
as it does in training.
"""

import math
from itertools import product

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from pipeline.arrays import check_array
from pipeline.models.images import (
    AlphaArray,
    AlphaPhoto,
    Images,
    RgbArray,
    RgbPhoto,
    UnitRgbArray,
    UnitRgbPhoto,
    from_model_range,
    images_from_uint8,
    masks_from_uint8,
    padded_to_stride,
    translate,
)
from pipeline.models.lens import LEVELS, SMALLEST_RADIUS_PX, Lens, LensPlan, faint, grain, linear, srgb
from pipeline.models.lens_generator import LensGenerator
from pipeline.models.networks import Generator

TILE_PX, TILE_OVERLAP_PX = 1024, 64
LEAST_RADIUS_PX = 4.0
"""Radius that the smallest disc keeps where a photo is made smaller to be spread: below it a disc of pixels is not round."""
_LIGHT_OF = linear(torch.arange(256) / 255.0).numpy()


def translate_photo(
    generator: nn.Module,
    rgb: RgbPhoto,
    alpha: AlphaPhoto | None = None,
    tile_px: int = TILE_PX,
    overlap_px: int = TILE_OVERLAP_PX,
) -> UnitRgbPhoto:
    """Apply `generator` to one photo of any size; returns float32 [height, width, 3] in [0, 1].

    `alpha` is the subject's, for a generator that holds it and does not find it itself.
    Without a lens a photo of at most `tile_px`² pixels goes through whole. A larger one goes through in tiles of that
    side which overlap and are blended linearly. Instance norm sees each tile by itself, so tiles may differ a little in
    contrast; the blending hides their seams. Raises ValueError for arrays of another type.
    """
    check_array("rgb", rgb, RgbPhoto)
    if alpha is not None:
        check_array("alpha", alpha, AlphaPhoto)
    if isinstance(generator, LensGenerator):
        return _through_grown_lens(generator, rgb, alpha, tile_px)
    told = alpha if isinstance(generator, Generator) and generator.holds_subject else None
    return _in_tiles(generator, rgb, told, tile_px, overlap_px)


def translate_pictures(generator: nn.Module, rgb: RgbArray, alpha: AlphaArray | None = None) -> UnitRgbArray:
    """Apply `generator` to pictures of any one size as to photos of that size, in batches where they are no larger than
    what a lens was trained on; returns float32 in [0, 1], same shape."""
    if not isinstance(generator, LensGenerator) or min(rgb.shape[1:3]) <= generator.config.lens_side_px:
        return translate(generator, rgb, alpha)
    alphas = [None] * len(rgb) if alpha is None else alpha
    return np.stack([translate_photo(generator, *pair) for pair in zip(rgb, alphas, strict=True)])


@torch.inference_mode()
def _through_grown_lens(generator: LensGenerator, rgb: RgbPhoto, alpha: AlphaPhoto | None, tile_px: int) -> UnitRgbPhoto:
    """Through a lens that is set at the training size, where the shorter side is that of the training pictures.

    The plan changes smoothly, so that it is interpolated. What is spread is smooth as well: it is computed on a photo so
    much smaller that the smallest disc still has `LEAST_RADIUS_PX`. What stays sharp, where it ends, and grain are the
    photo's own.
    """
    side_px, (height_px, width_px) = generator.config.lens_side_px, rgb.shape[:2]
    growth = min(height_px, width_px) / side_px
    if growth <= 1:
        return translate(generator, rgb[None], None if alpha is None else alpha[None])[0]
    device, small = next(generator.parameters()).device, _scaled(rgb, growth)
    plan = _plan_of(generator, small, device)
    if generator.finder is not None:
        alpha = _found_alpha(generator, small, (width_px, height_px), device)
    shrink = max(1.0, growth * SMALLEST_RADIUS_PX / LEAST_RADIUS_PX)
    lens = generator.lens_of(growth / shrink).to(device)
    soft = _soft(generator, lens, _averaged(rgb, shrink), None if alpha is None else _shrunk(alpha, shrink), plan, tile_px)
    seen = np.empty(rgb.shape, np.float32)
    enlarged = _Enlarged(soft, (height_px, width_px)), _Enlarged(plan[:, : 1 + LEVELS], (height_px, width_px))
    grains = _Grain(images_from_uint8(small[None], device), (height_px, width_px)) if lens.keeps_grain else None
    for rows, columns in product(_tiles(height_px, tile_px, 0), _tiles(width_px, tile_px, 0)):
        tile = np.s_[None, rows, columns]
        held = generator.held(None if alpha is None else masks_from_uint8(alpha[tile], device))
        softened, levels = (whole.part(rows, columns) for whole in enlarged)
        images = images_from_uint8(rgb[tile], device)
        if grains is not None:
            softened = (softened + grains.part(images, rows, columns)).clamp(-1.0, 1.0)
        output = softened + lens.shares(levels, held)[:, :1] * (images - softened)
        seen[rows, columns] = from_model_range(output)[0].permute(1, 2, 0).cpu().numpy()
    return seen


def _soft(
    generator: LensGenerator, lens: Lens, rgb: RgbPhoto, alpha: AlphaPhoto | None, plan: LensPlan, tile_px: int
) -> Images:
    """What is seen of the light that is spread, for a photo whose lens this is; [1, 3, height, width]."""
    height_px, width_px = rgb.shape[:2]
    whole, device = _Enlarged(plan, (height_px, width_px)), plan.device
    soft = torch.empty(1, 3, height_px, width_px, device=device)
    for rows, columns in product(_tiles(height_px, tile_px, 0), _tiles(width_px, tile_px, 0)):
        near_rows, near_columns = grown(rows, lens.sight_px, height_px), grown(columns, lens.sight_px, width_px)
        near, tile_plan = np.s_[None, near_rows, near_columns], whole.part(near_rows, near_columns)
        held = generator.held(None if alpha is None else masks_from_uint8(alpha[near], device))
        output = lens.soft(images_from_uint8(rgb[near], device), tile_plan, lens.shares(tile_plan, held))
        soft[..., rows, columns] = output[..., within(rows, near_rows), within(columns, near_columns)]
    return soft


class _Grain:
    """A photo's grain: that of the photo at the training size, enlarged, and of what is finer."""

    def __init__(self, small: Images, size_px: tuple[int, int]) -> None:
        self._whole = _Enlarged(torch.cat([small, grain(small)], 1), size_px)

    def part(self, images: Images, rows: slice, columns: slice) -> Images:
        """Of `images`, these rows and columns of the photo."""
        small, coarse = self._whole.part(rows, columns).chunk(2, 1)
        return coarse + faint(images - small)


class _Enlarged:
    """Something [1, channels, rows, columns] at another size, of which parts are asked for; linear interpolation."""

    def __init__(self, small: Float[Tensor, "1 channels rows columns"], size_px: tuple[int, int]) -> None:
        self._small = small
        self._rows, self._columns = (
            _interpolation(*lengths, small.device) for lengths in zip(small.shape[-2:], size_px, strict=True)
        )

    def part(self, rows: slice, columns: slice) -> Float[Tensor, "1 channels height width"]:
        """Of these rows and columns of the whole."""
        down = torch.einsum("bphw,hr->bprw", *_needed(self._small, self._rows[:, rows], 2))
        return torch.einsum("bprw,wc->bprc", *_needed(down, self._columns[:, columns], 3))


def _needed(small: Tensor, weights: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """What the weights count of `small` along a dimension: a tile needs few rows of a whole photo."""
    used = weights.any(1).nonzero().flatten()
    first, last = int(used[0]), int(used[-1]) + 1
    return small.narrow(dimension, first, last - first), weights[first:last]


def _averaged(rgb: RgbPhoto, factor: float) -> RgbPhoto:
    """The photo with sides `factor` times smaller, each pixel the mean of the light that fell on it."""
    if factor == 1:
        return rgb
    light = _LIGHT_OF[rgb]
    size = max(1, round(rgb.shape[1] / factor)), max(1, round(rgb.shape[0] / factor))
    mean = torch.from_numpy(cv2.resize(light, size, interpolation=cv2.INTER_AREA))
    return np.round(srgb(mean).numpy() * 255).astype(np.uint8)


def _shrunk(alpha: AlphaPhoto, factor: float) -> AlphaPhoto:
    size = max(1, round(alpha.shape[1] / factor)), max(1, round(alpha.shape[0] / factor))
    return cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)


def _scaled(rgb: RgbPhoto, factor: float) -> RgbPhoto:
    """The photo with sides `factor` times smaller, by Lanczos."""
    size = max(1, round(rgb.shape[1] / factor)), max(1, round(rgb.shape[0] / factor))
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def _plan_of(generator: LensGenerator, rgb: RgbPhoto, device: torch.device) -> LensPlan:
    """How the generator would set its lens for a picture of any size, float32."""
    height_px, width_px = rgb.shape[:2]
    return generator.plan(padded_to_stride(images_from_uint8(rgb[None], device)))[..., :height_px, :width_px]


def _found_alpha(generator: LensGenerator, rgb: RgbPhoto, size_px: tuple[int, int], device: torch.device) -> AlphaPhoto:
    """The subject that it finds in a picture, enlarged to that width and height: as logits, so that edges stay sharp."""
    padded = padded_to_stride(images_from_uint8(rgb[None], device))
    logits = generator.subject_logits(padded)[0, 0, : rgb.shape[0], : rgb.shape[1]]
    enlarged = torch.from_numpy(cv2.resize(logits.cpu().numpy(), size_px, interpolation=cv2.INTER_LINEAR))
    return enlarged.sigmoid().mul(255.0).round().to(torch.uint8).numpy()


def _interpolation(length_px: int, target_px: int, device: torch.device) -> Float[Tensor, "length target"]:
    """The matrix of linear interpolation from so many values to so many, pixels taken as areas."""
    one_hot = torch.eye(length_px, device=device)[None]
    return functional.interpolate(one_hot, size=target_px, mode="linear", align_corners=False)[0]


def grown(part: slice, margin_px: int, length_px: int) -> slice:
    """`part` with a margin to both sides, as far as there is any."""
    return slice(max(0, part.start - margin_px), min(length_px, part.stop + margin_px))


def within(part: slice, whole: slice) -> slice:
    """Where `part` lies in `whole`, which holds it."""
    return slice(part.start - whole.start, part.stop - whole.start)


def _in_tiles(generator: nn.Module, rgb: RgbPhoto, alpha: AlphaPhoto | None, tile_px: int, overlap_px: int) -> UnitRgbPhoto:
    height_px, width_px = rgb.shape[:2]
    if height_px * width_px <= tile_px**2:
        return translate(generator, rgb[None], None if alpha is None else alpha[None])[0]
    total = np.zeros(rgb.shape, np.float32)
    weight = np.zeros((height_px, width_px, 1), np.float32)
    for rows, columns in product(_tiles(height_px, tile_px, overlap_px), _tiles(width_px, tile_px, overlap_px)):
        ramp = _ramp(rows, height_px, overlap_px)[:, None, None] * _ramp(columns, width_px, overlap_px)[None, :, None]
        told = None if alpha is None else alpha[None, rows, columns]
        total[rows, columns] += ramp * translate(generator, rgb[None, rows, columns], told)[0]
        weight[rows, columns] += ramp
    return total / weight


def _tiles(length_px: int, tile_px: int, overlap_px: int) -> list[slice]:
    """Slices of at most `tile_px` that cover the length, each overlapping the next by `overlap_px` or more."""
    if length_px <= tile_px:
        return [slice(0, length_px)]
    count = math.ceil((length_px - overlap_px) / (tile_px - overlap_px))
    starts = [round(number * (length_px - tile_px) / (count - 1)) for number in range(count)]
    return [slice(start, start + tile_px) for start in starts]


def _ramp(tile: slice, length_px: int, overlap_px: int) -> Float32[np.ndarray, " side"]:
    """Weights of a tile's rows: rising from its inner edges over the overlap, 1 at the photo's own borders."""
    places = np.arange(tile.start, tile.stop, dtype=np.float32)
    rising = (places - tile.start + 1) / (overlap_px + 1) if tile.start > 0 else np.ones_like(places)
    falling = (tile.stop - places) / (overlap_px + 1) if tile.stop < length_px else np.ones_like(places)
    return np.minimum(1.0, np.minimum(rising, falling))

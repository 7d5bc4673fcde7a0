"""A thin lens over a picture whose every pixel knows its disc: what a depth map lets one refocus by.

A point at disparity δ (1/m) is spread over a disc of radius r = K·|δ − δ_f|, δ_f being the plane in focus and K, in pixels
for each 1/m, the lens: linear in disparity, exact for a thin lens (Potmesil and Chakravarty 1981). The sign is kept: behind
the plane in focus it is negative, before it positive, and what has the larger one is nearer.

The picture is cut into layers of like radius, each is spread by its disc, and the layers are laid over one another from the
nearest to the farthest. A layer fills what the nearer ones have left open and no more. Since the layers share the picture's
pixels among them, that is exact for one surface cut into many layers, where independent sheets would let the light behind
shine through every cut. A sharp subject is filled by itself and lets nothing bleed in; what it hides is made up of what is
around, for nobody knows better.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.lens import disc, linear, srgb

SHARP_RADIUS_PX = 0.5
"""A disc no larger than a pixel is none."""
LEAST_STEP_PX, GROWTH = 0.5, 1.25
"""From a layer's radius to the next: by so many pixels, and from where that is more by this factor. Pixels between two
layers give their light to both in shares, so that their disc lies between as well."""
EMPTY = 1e-6
AROUND_SHARE = 1 / 20
"""Of the shorter side: how far around a highlight it is looked for others."""
ISOLATION_POWER = 4
"""Fitted with `RENDERED_HIGHLIGHTS`."""
TRANSFORM_STEP_PX = 32
DIRECT_SIDE_PX = 11
"""Up to this side of a disc's square, adding up is faster on a processor than transforming."""

LinearImages = Float[Tensor, "batch 3 height width"]
"""RGB proportional to light, >= 0."""
SignedRadii = Float[Tensor, "batch 1 height width"]
"""Of each pixel's disc, in pixels: negative behind the plane in focus, positive before it."""
Layer = Float[Tensor, "batch 4 height width"]
"""Light times coverage, and the coverage itself, in [0, 1]."""


@dataclass(frozen=True)
class Highlights:
    """How much brighter than white the clipped parts of a picture really were.

    A channel at sRGB 1 stands for `1 + gain` times the light; down to the level `knee` it is less and less. Lamps and glints
    are small, white shirts are not and hardly clip: the more of what is around is clipped, the less it counts. Where a
    picture is not clipped nothing changes, nor where it is in focus: there it shows already what it can.
    """

    gain: float = 0.0
    knee: float = 0.95

    def light(self, unit: Float[Tensor, "batch 3 height width"], radius_px: SignedRadii) -> LinearImages:
        """sRGB in [0, 1] to the light that is spread by discs of these radii."""
        if not self.gain:
            return linear(unit)
        return linear(unit) + self.extra(unit) * blurred_share(radius_px) * isolation(
            self.excess(unit).amax(1, keepdim=True)
        )

    def extra(self, unit: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The light beyond white, where all of it is spread and counts."""
        return linear(unit) * self.gain * self.excess(unit)

    def excess(self, unit: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """How much of a level is beyond the knee, from 0 to 1."""
        return ((unit - self.knee) / (1 - self.knee)).clamp(0.0, 1.0)


def isolation(excess: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """1 where hardly anything around is clipped, 0 where all is; `excess` of a whole picture, in [0, 1]."""
    reach_px = max(1, round(AROUND_SHARE * min(excess.shape[-2:])))
    around = _mean_in_square(excess, reach_px)
    return (1.0 - around).clamp(0.0, 1.0) ** ISOLATION_POWER


def _mean_in_square(values: Float[Tensor, "batch 1 height width"], reach_px: int) -> Float[Tensor, "batch 1 height width"]:
    """Of so many pixels to each side, as far as there are any."""
    if not _is_plain(values):
        return _mean_around(_mean_around(values, reach_px).mT, reach_px).mT
    sums = partial(cv2.boxFilter, ddepth=-1, ksize=(2 * reach_px + 1,) * 2, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return _plane_by_plane(values, sums) / _plane_by_plane(torch.ones_like(values[:1]), sums)


def _mean_around(values: Float[Tensor, "batch 1 height width"], reach_px: int) -> Float[Tensor, "batch 1 height width"]:
    """Of so many pixels to the left and right, as far as there are any."""
    sums = functional.pad(values.cumsum(-1), (1, 0))
    places = torch.arange(values.shape[-1], device=values.device)
    first, last = (places - reach_px).clamp(min=0), (places + reach_px + 1).clamp(max=values.shape[-1])
    return (sums[..., last] - sums[..., first]) / (last - first)


def blurred_share(radius_px: SignedRadii) -> SignedRadii:
    """How much of a pixel's light leaves it: none up to `SHARP_RADIUS_PX`, all from a layer further on."""
    return ((radius_px.abs() - SHARP_RADIUS_PX) / LEAST_STEP_PX).clamp(0.0, 1.0)


def layer_radii_px(largest_radius_px: float) -> list[float]:
    """Radii of the layers on one side of the plane in focus, from the sharp one to at least the largest.

    >>> layer_radii_px(3.0)
    [0.5, 1.0, 1.5, 2.0, 2.5, 3.125]
    """
    radii = [SHARP_RADIUS_PX]
    while radii[-1] < largest_radius_px:
        radii.append(max(radii[-1] + LEAST_STEP_PX, radii[-1] * GROWTH))
    return radii


class LayeredLens(nn.Module):
    """Spreads the light of a picture by the disc of each pixel; it has no parameters. Differentiable in both inputs."""

    def __init__(self, largest_radius_px: float) -> None:
        """`largest_radius_px`: larger discs are taken for as large."""
        super().__init__()
        self.radii_px = layer_radii_px(largest_radius_px)
        for radius_px in self.radii_px[1:]:
            _disc(radius_px)  # an export records what runs in it, and shall find the discs made

    def forward(self, light: LinearImages, radius_px: SignedRadii) -> LinearImages:
        """The light that arrives; what the frame or nearer things hide is made up of what is around."""
        return brought_to_full(self.blended(light, radius_px, self.near_to_far()))

    def near_to_far(self) -> Sequence[int]:
        """The numbers of the layers: positive before the plane in focus, negative behind it, 0 what is sharp."""
        last = len(self.radii_px) - 1
        return range(last, -last - 1, -1)

    def blended(self, light: LinearImages, radius_px: SignedRadii, numbers: Sequence[int]) -> Layer:
        """Some of the layers, given from near to far, spread and laid over one another."""
        batch, _, height, width = light.shape
        total = light.new_zeros(batch, 4, height, width)
        for number in numbers if torch.compiler.is_exporting() else self.present(radius_px, numbers):
            share = self.share(radius_px, number)
            layer = torch.cat([light * share, share], 1)
            total = behind(total, spread(layer, self.radii_px[abs(number)]) if number else layer)
        return total

    def present(self, radius_px: SignedRadii, numbers: Sequence[int]) -> list[int]:
        """Those of the layers that some pixel may belong to."""
        least, most = (float(value) for value in radius_px.detach().aminmax())
        return [number for number in numbers if self._radius(number - 1) < most and least < self._radius(number + 1)]

    def _radius(self, number: int) -> float:
        """The signed radius of a layer, endless beyond the last."""
        if abs(number) >= len(self.radii_px):
            return math.copysign(math.inf, number)
        return math.copysign(self.radii_px[abs(number)], number) if number else 0.0

    def share(self, radius_px: SignedRadii, number: int) -> Float[Tensor, "batch 1 height width"]:
        """Which part of each pixel belongs to a layer; over all layers they sum to 1."""
        if len(self.radii_px) == 1:
            return torch.ones_like(radius_px)
        size, own = (radius_px * (number > 0) - radius_px * (number < 0), abs(number)) if number else (radius_px.abs(), 0)
        share = torch.ones_like(size)
        if own > 0:
            share = self._rising(size, own)
        return share if own + 1 == len(self.radii_px) else torch.minimum(share, 1.0 - self._rising(size, own + 1))

    def _rising(self, size: SignedRadii, number: int) -> Float[Tensor, "batch 1 height width"]:
        """From 0 at the radius of the layer before to 1 at that of this one."""
        before, own = self.radii_px[number - 1], self.radii_px[number]
        return ((size - before) / (own - before)).clamp(0.0, 1.0)


def shrunk(layer: Layer, factor: int) -> Layer:
    """Means over squares; where the last reach beyond the frame, its outermost pixels go on."""
    height, width = layer.shape[-2:]
    below, right = -height % factor, -width % factor
    if below or right:
        layer = functional.pad(layer, (0, right, 0, below), mode="replicate")
    if not _is_plain(layer):
        return functional.avg_pool2d(layer, factor)
    size = layer.shape[-1] // factor, layer.shape[-2] // factor
    return _plane_by_plane(layer, lambda plane: cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def enlarged(layer: Layer, factor: int) -> Layer:
    """With so many times larger sides; linear interpolation."""
    if not _is_plain(layer):
        return functional.interpolate(layer, scale_factor=factor, mode="bilinear", align_corners=False)
    size = layer.shape[-1] * factor, layer.shape[-2] * factor
    return _plane_by_plane(layer, lambda plane: cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))


def _is_plain(layer: Layer) -> bool:
    """Whether these are numbers in memory that nobody traces: OpenCV is several times faster with them."""
    is_traced = torch.compiler.is_exporting() or (torch.is_grad_enabled() and layer.requires_grad)
    return layer.device.type == "cpu" and layer.dtype == torch.float32 and not is_traced


def _plane_by_plane(layer: Layer, change: Callable[[np.ndarray], np.ndarray]) -> Layer:
    batch, channels, height, width = layer.shape
    planes = layer.detach().reshape(-1, height, width).numpy()
    changed = torch.from_numpy(np.stack([change(plane) for plane in planes]))
    return changed.reshape(batch, channels, *changed.shape[-2:])


def brought_to_full(layer: Layer) -> LinearImages:
    """The light of a layer where it covers in part, as if it covered in full."""
    return layer[:, :3] / layer[:, 3:].clamp(min=EMPTY)


def behind(nearer: Layer, farther: Layer) -> Layer:
    """Two layers as one: the farther fills as much as the nearer leaves open, as far as it goes."""
    room = (1.0 - nearer[:, 3:]).clamp(min=0.0)
    return nearer + farther * (room / farther[:, 3:].clamp(min=EMPTY)).clamp(max=1.0)


def spread(layer: Layer, radius_px: float) -> Layer:
    """By a disc; beyond the frame the picture goes on as its mirror image, so that none of it fades towards the border."""
    kernel = _disc(radius_px).to(layer)
    reach_px = kernel.shape[-1] // 2
    is_mirrored = min(layer.shape[-2:]) > reach_px
    if kernel.shape[-1] <= DIRECT_SIDE_PX and _is_plain(layer):
        border, weights = cv2.BORDER_REFLECT_101 if is_mirrored else cv2.BORDER_REPLICATE, kernel.numpy()
        return _plane_by_plane(layer, lambda plane: cv2.filter2D(plane, -1, weights, borderType=border))
    mirrored = functional.pad(layer, [reach_px] * 4, mode="reflect" if is_mirrored else "replicate")
    if torch.compiler.is_exporting():  # what runs ONNX can always convolve, and seldom transform
        return functional.conv2d(mirrored, kernel.expand(4, 1, -1, -1), groups=4)
    sides = [-(-length // TRANSFORM_STEP_PX) * TRANSFORM_STEP_PX for length in mirrored.shape[-2:]]
    waves = torch.fft.rfft2(mirrored, s=sides) * torch.fft.rfft2(kernel, s=sides)
    arrived = torch.fft.irfft2(waves, s=sides)[..., 2 * reach_px : mirrored.shape[-2], 2 * reach_px : mirrored.shape[-1]]
    return arrived.clamp(min=0.0)  # rounding leaves a little less than nothing


@lru_cache(maxsize=256)
def _disc(radius_px: float) -> Float[Tensor, "side side"]:
    with torch.inference_mode(False):  # what is made in there serves no training afterwards
        return disc(radius_px, int(radius_px + 0.5))


def refocused(
    unit: Float[Tensor, "batch 3 height width"],
    radius_px: SignedRadii,
    highlights: Highlights | None = None,
) -> Float[Tensor, "batch 3 height width"]:
    """A picture in sRGB, [0, 1], through a lens with these discs; same shape and range.

    Where a disc is no larger than a pixel and nothing else arrives the picture is unchanged. Light spreads over the whole
    picture at once: photographs go through `pipeline.depth.refocus`, tile by tile.
    """
    lens = LayeredLens(float(radius_px.detach().abs().max()))
    return srgb(lens((highlights or Highlights()).light(unit, radius_px), radius_px))

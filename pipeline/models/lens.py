"""A thin lens with learned settings: what a `LensGenerator` paints through.

A lens does one thing to a scene point out of focus: it spreads its light evenly over a disc, the circle of confusion
(Potmesil and Chakravarty, "A lens and aperture camera model for synthetic image generation", 1981). Such a generator
says for each pixel which disc its light goes to, and how much brighter a clipped highlight really was; the spreading
itself is computed. What it can get wrong is then where and how much to blur, but not the look of the blur, the colours
of a wall or the shape of a disc of light.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.images import Images, Masks, to_model_range

LEVELS = 5
"""Discs to choose from, beside staying sharp."""
LARGEST_RADIUS = 1 / 12
"""Of the largest disc, as a share of the side of the pictures trained on."""
SMALLEST_RADIUS_PX = 1.0
TRANSFORM_STEP_PX = 32
SAMPLES = 8
"""Per pixel and direction, for the soft edge of a disc."""

CLIPPED_FROM = 0.9
"""Level of the brightest channel, sRGB, from which on there may have been more light than the picture could hold."""
HIGHLIGHT_GAIN = 10.0
PALEST_SHARE = 0.5
"""Each channel gets at least this share of the strongest one's extra light: what clips in all channels is not pure red."""
SHARP_START, DARK_START = 2.0, -4.0
"""Logits that training starts from: nearly sharp, hardly brighter."""
LEVEL_LIMIT = 4.0
"""Limit of the levels' logits where they are bounded: no pixel's light is lost to one level, whose gradient would vanish."""
HELD_LOGIT = 8.0
"""Added to the sharp level inside a subject that is held: twice what bounded logits can say against it."""
NOT_HELD, SURELY_HELD = 0.1, 0.4
"""Alpha up to which a held pixel's light goes to its single disc, and from which on all of it stays sharp. A fringe of faint
alpha is background; and what is seen where alpha is .4 is subject and background already, so that to mix in what is blurred
once more would thin hair out."""
POINT_GAIN = 2.0
"""How much more light than a picture could hold a clipped point is taken to have had, in parts of white."""
GRAIN = 2 / 255
"""How much of a pixel's difference from the mean around it counts as grain, in parts of the range of sRGB."""
GRAIN_SIDE_PX = 3
EMPTY = 1e-3
"""Weight of the pixel itself where no light arrives from anywhere."""

LinearImages = Float[Tensor, "batch 3 height width"]
"""RGB proportional to light, >= 0; 1 is the brightest that sRGB holds."""
Light = Float[Tensor, "batch channels level height width"]
"""What each pixel gives to each level of blur, in any number of channels."""
LensPlan = Float[Tensor, "batch plan height width"]
"""What a generator's last layer puts out for a lens: `PLAN_CHANNELS` logits for each pixel."""

PLAN_CHANNELS = 1 + LEVELS + 3


class Lens(nn.Module):
    """Spreads the light of a picture as a plan of logits says; it has no parameters of its own."""

    discs: Tensor
    squares: Float[Tensor, " level"]
    """Of the radii, 0 for what stays sharp first."""

    def __init__(
        self,
        radii_px: Sequence[float],
        bounded: bool = False,
        highlights: bool = True,
        single_disc: bool = False,
        keeps_grain: bool = False,
        opens_points: bool = False,
    ) -> None:
        """`radii_px`: of the `LEVELS` discs, from the smallest to the largest; `bounded`: keeps their logits small;
        `highlights`: whether clipped light may be told to have been brighter; `single_disc`: whether, but in training, a
        pixel's light goes to one disc, or to two neighbours in place of one between them, and never to sharp and to large
        ones at once; `keeps_grain`: whether, but in training, what is spread keeps the picture's `grain`; `opens_points`:
        whether, but in training, clipped points of light are taken to have been brighter, as by `with_points`."""
        super().__init__()
        self.bounded, self.highlights, self.single_disc = bounded, highlights, single_disc
        self.keeps_grain, self.opens_points = keeps_grain, opens_points
        self.reach_px = int(radii_px[-1] + 0.5)
        """Pixels to each side that light is spread."""
        self.sight_px = self.reach_px + self.reach_px // 2 if opens_points else self.reach_px
        """Pixels to each side that decide what is seen."""
        self.register_buffer("squares", torch.tensor([0.0, *radii_px]).square(), persistent=False)
        self.register_buffer("discs", torch.stack([disc(radius, self.reach_px) for radius in radii_px]), persistent=False)

    def forward(self, images: Images, plan: LensPlan, held: Masks | None = None) -> Images:
        """`images` through the lens.

        The first logits of `plan` choose between sharp and the discs, the last three tell the extra light of clipped
        highlights. Sharp pixels stay in front of what is spread, so that no background bleeds over a sharp subject,
        and give no light away, so that a subject leaves no halo. What is `held` stays sharp whatever the plan says.
        """
        shares = self.shares(plan, held)
        soft = self.soft(images, plan, shares)
        if self.keeps_grain and not self.training:
            soft = (soft + grain(images)).clamp(-1.0, 1.0)
        return soft + shares[:, :1] * (images - soft)

    def shares(self, plan: LensPlan, held: Masks | None = None) -> Float[Tensor, "batch level height width"]:
        """Which part of each pixel's light stays sharp, first, and which goes to each disc; they sum to 1."""
        if self.training or not self.single_disc:
            return self._levels(plan, held).softmax(1)
        shares = gathered(self._levels(plan, None).softmax(1), self.squares)
        if held is None:
            return shares
        stays = ((held - NOT_HELD) / (SURELY_HELD - NOT_HELD)).clamp(0.0, 1.0)
        spread = 1.0 - stays.square() * (3.0 - 2.0 * stays)
        return torch.cat([1.0 - spread + spread * shares[:, :1], spread * shares[:, 1:]], 1)

    def soft(self, images: Images, plan: LensPlan, shares: Float[Tensor, "batch level height width"]) -> Images:
        """What is seen of the light that is spread, everywhere: behind what is sharp it is made up of what is around."""
        gains = plan[:, 1 + LEVELS :].to(images.dtype)
        light = with_highlights(images, gains) if self.highlights else linear((images + 1.0) * 0.5)
        if self.opens_points and not self.training:
            light = with_points(images, light, self.reach_px // 2)
        lit = torch.cat([light, torch.ones_like(light[:, :1])], 1)
        spread = self._spread(lit[:, :, None] * shares[:, None, 1:].to(images.dtype)) + EMPTY * lit
        return to_model_range(srgb(spread[:, :3] / spread[:, 3:]))

    def _levels(self, plan: LensPlan, held: Masks | None) -> Float[Tensor, "batch level height width"]:
        """The logits of sharp and of each disc."""
        levels = plan[:, : 1 + LEVELS]
        if self.bounded:
            levels = LEVEL_LIMIT * (levels / LEVEL_LIMIT).tanh()
        if held is None:
            return levels
        return torch.cat([levels[:, :1] + HELD_LOGIT * held, levels[:, 1:]], 1)

    def _spread(self, light: Light) -> Float[Tensor, "batch channels height width"]:
        """Each level spread by its disc, then added up; nothing comes in from beyond the border."""
        if torch.compiler.is_exporting():  # what runs ONNX can always convolve, and seldom transform
            channels = light.shape[1]
            kernels = self.discs.expand(channels, -1, -1, -1)
            return functional.conv2d(light.flatten(1, 2), kernels, padding=self.reach_px, groups=channels)
        return self._spread_by_transforms(light)

    def _spread_by_transforms(self, light: Light) -> Float[Tensor, "batch channels height width"]:
        """The same by Fourier transforms, whose time does not grow with the discs: a fortieth at 256 px."""
        reach_px, (height_px, width_px) = self.reach_px, light.shape[-2:]
        sides = (_transform_length(height_px + 2 * reach_px), _transform_length(width_px + 2 * reach_px))
        waves = (torch.fft.rfft2(light, s=sides) * torch.fft.rfft2(self.discs, s=sides)).sum(2)
        spread = torch.fft.irfft2(waves, s=sides)
        return spread[..., reach_px : reach_px + height_px, reach_px : reach_px + width_px]


def gathered(
    shares: Float[Tensor, "batch level height width"], squares: Float[Tensor, " level"]
) -> Float[Tensor, "batch level height width"]:
    """As much blur everywhere, but by the two neighbouring levels alone that make it: as one disc has one size.

    Light that is divided among sharp and large discs is a sharp picture in a haze, which no lens makes. How far light is
    spread on the mean, by the `squares` of the levels' radii, stays.

    >>> squares = torch.tensor([0.0, 1.0, 4.0, 8.0, 16.0, 24.0])
    >>> gathered(torch.tensor([0.75, 0.0, 0.0, 0.0, 0.0, 0.25]).reshape(1, 6, 1, 1), squares).flatten().tolist()
    [0.0, 0.0, 0.5, 0.5, 0.0, 0.0]
    """
    mean = (shares * squares[:, None, None]).sum(1, keepdim=True)
    lower, higher = squares[:-1, None, None], squares[1:, None, None]
    level = ((mean - lower) / (higher - lower)).clamp(0.0, 1.0).sum(1, keepdim=True)
    numbers = torch.arange(1 + LEVELS, dtype=shares.dtype, device=shares.device)[:, None, None]
    return (1.0 - (level - numbers).abs()).clamp(min=0.0)


def grain(images: Images) -> Images:
    """What a sensor adds to a picture behind the lens, and no lens spreads: as much of the finest detail as may be noise.

    A photograph that is soft keeps it. Without it, what is spread is smoother than any photograph, in bands where its
    colours hardly change.
    """
    around = functional.avg_pool2d(images, GRAIN_SIDE_PX, 1, GRAIN_SIDE_PX // 2, count_include_pad=False)
    return faint(images - around)


def faint(detail: Images) -> Images:
    """As much of `detail`, differences of pictures in the range from -1 to 1, as may be grain."""
    return detail.clamp(-2 * GRAIN, 2 * GRAIN)


def sharp_plan() -> Float[Tensor, " plan"]:
    """The logits of a plan that hardly changes a picture, the same for every pixel."""
    plan = torch.zeros(PLAN_CHANNELS)
    plan[0], plan[1 + LEVELS :] = SHARP_START, DARK_START
    return plan


def radii_px(side_px: int) -> list[float]:
    """Radii of the discs for pictures of that side, each the same factor larger than the one before.

    >>> [round(radius, 1) for radius in radii_px(96)]
    [1.0, 1.7, 2.8, 4.8, 8.0]
    """
    growth = max(1.0, LARGEST_RADIUS * side_px / SMALLEST_RADIUS_PX) ** (1 / (LEVELS - 1))
    return [SMALLEST_RADIUS_PX * growth**number for number in range(LEVELS)]


def disc(radius_px: float, reach_px: int) -> Float[Tensor, "side side"]:
    """A disc of even light in a square that reaches so far to each side, its edge as soft as pixels make it; sum 1."""
    side = 2 * reach_px + 1
    places = (torch.arange(side * SAMPLES) + 0.5) / SAMPLES - side / 2
    inside = (places[:, None].square() + places.square() <= radius_px**2).float()
    coverage = inside.reshape(side, SAMPLES, side, SAMPLES).mean((1, 3))
    return coverage / coverage.sum()


def _transform_length(length_px: int) -> int:
    """At least so long, without large prime factors, with which a transform is slow."""
    return -(-length_px // TRANSFORM_STEP_PX) * TRANSFORM_STEP_PX


def with_highlights(images: Images, gains: Float[Tensor, "batch 3 height width"]) -> LinearImages:
    """Light of `images`, more of it where they are clipped.

    The mean of the three `gains` is a logit for how much more, their differences tint it.
    """
    brighter = HIGHLIGHT_GAIN * functional.softplus(gains.mean(1, keepdim=True))
    tint = PALEST_SHARE + (1.0 - PALEST_SHARE) * 2.0 * (gains - gains.amax(1, keepdim=True)).sigmoid()
    return linear((images + 1.0) * 0.5) * (1.0 + clipped(images) * brighter * tint)


def with_points(images: Images, light: LinearImages, reach_px: int) -> LinearImages:
    """`light` of `images`, more of it where they are clipped and dark around: in a square that reaches so far to each side.

    A lamp is brighter than white, a white wall or an overcast sky hardly. So it opens into a disc, where its light would
    else be lost in the dark that it is spread over.
    """
    side_px = 2 * reach_px + 1
    around = light.amax(1, keepdim=True)
    for sides, margins in (((side_px, 1), (reach_px, 0)), ((1, side_px), (0, reach_px))):
        around = functional.avg_pool2d(around, sides, 1, margins, count_include_pad=False)
    return light * (1.0 + POINT_GAIN * clipped(images) * (1.0 - around).clamp(min=0.0).square())


def clipped(images: Images) -> Float[Tensor, "batch 1 height width"]:
    """How far the brightest channel is on the way from `CLIPPED_FROM` to white, 0 to 1."""
    brightest = (images.amax(1, keepdim=True) + 1.0) * 0.5
    return ((brightest - CLIPPED_FROM) / (1.0 - CLIPPED_FROM)).clamp(0.0, 1.0)


def linear(unit: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """sRGB in [0, 1] to light (IEC 61966-2-1)."""
    curved = ((unit.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(unit <= 0.04045, unit.clamp(min=0.0) / 12.92, curved)


def srgb(light: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Light to sRGB; what is brighter than white is clipped."""
    light = light.clamp(0.0, 1.0)
    curved = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, curved)

"""How soft backgrounds are, by measures that neither their content nor the picture's size fools; and how near a set of
pictures comes to domain B in that.

The mean |Laplacian| of a background is mostly content: a plain wall in focus has less of it than soft foliage. So it is
taken in parts of two things that content moves alike, and as a logarithm:

    relative    mean |Laplacian| / mean local contrast (standard deviation in windows of 1/12 of the side)
    scales      mean |Laplacian| / mean |Laplacian| at half the size

Both are of the grey picture's background alone. Outputs are taken as a model gives them: rounded to 8 bits, a background
that was smoothed to nothing would have the sharpness of the rounding. Of a set of outputs come

    gap         distance of the distributions of `relative`, outputs to B, in parts of what it is for the inputs: 1 where
                nothing was done, 0 where they are alike; blurring too much raises it again (1-Wasserstein)
    scales      the same for the second number. A disc of one size everywhere can close the gap, and not this one
    above       chance that an output is sharper than a picture of B, by `relative`: .5 is right, less is too soft
    left        mean share of the background's |Laplacian| that is left of the input's

Pure functions of their arguments: what is drawn by chance comes from a fixed seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import cv2
import numpy as np
from jaxtyping import Float, Float64

from pipeline.arrays import check_array
from pipeline.intervals import ends
from pipeline.regions import Mask, background_region, margin_px

TELLING_SIDE_PX, STRONG_SIDE_PX = 192, 96
"""From the first on a blur of a few pixels can be told in photographs; in smaller pictures little of it is left. A strong
one can be told at the second, where a camera's noise and what a codec left, which count as sharpness, are gone."""
NOTHING_LEFT, EVERYTHING_LEFT = 0.97, 0.5
"""A model blurs nothing where more of the backgrounds' |Laplacian| is left, and everything where less than so much is left
of the subjects' too. The right blur leaves .2 to .5; runs that collapse leave .992 after 16 steps and .998 after 32. What a
lens begins with, a haze over all of the picture, leaves .63 of subjects."""
LUMA = (0.299, 0.587, 0.114)
WINDOW_SHARE = 1 / 12
MIN_BACKGROUND_SHARE = 1 / 50
"""Of the picture; less background says nothing."""
FLAT_CONTRAST = 1 / 255
"""A background with less local contrast is flat: whether it is soft cannot be seen."""
FLOOR = 0.05 / 255
"""A mean |Laplacian| is taken for at least so much, so that a background that was smoothed to nothing has a logarithm."""
MIN_PICTURES = 5
"""Of inputs and of B each, for distributions to be compared."""
SHUFFLES, CHANCE = 200, 0.01
"""The domains differ where a distance as large as theirs comes up in less than this share of shuffles."""
RESAMPLES = 300
SEED = 0

Rgb = Float[np.ndarray, "batch height width 3"]
"""sRGB in [0, 1]."""
Numbers = Float64[np.ndarray, " _"]


@dataclass(frozen=True)
class Softness:
    """What is known of each picture's background; NaN in all three where there is none, or where it is flat."""

    laplacian: Numbers
    """Mean |Laplacian|, 0 to 8, of a range of 1."""
    relative: Numbers
    """Logarithm of the above / local contrast."""
    scales: Numbers
    """Logarithm of the above / that at half the size."""

    @property
    def known(self) -> np.ndarray:
        """Which pictures have one."""
        return np.isfinite(self.relative) & np.isfinite(self.scales)

    def __len__(self) -> int:
        return len(self.laplacian)

    def __getitem__(self, chosen: np.ndarray | slice) -> "Softness":
        """That of some of the pictures."""
        return Softness(self.laplacian[chosen], self.relative[chosen], self.scales[chosen])

    def __add__(self, other: "Softness") -> "Softness":
        """Those of both, one after the other."""
        parts = ((getattr(one, field.name) for one in (self, other)) for field in fields(self))
        return Softness(*map(np.concatenate, map(list, parts)))

    @classmethod
    def none(cls) -> "Softness":
        """Of no picture."""
        return cls(*(np.empty(0) for _ in fields(cls)))


@dataclass(frozen=True)
class Estimate:
    """A figure with the interval by bootstrap that holds it with a probability of `intervals.LEVEL`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """Outputs against domain B, as above; None where it cannot be told."""

    gap: Estimate | None
    scales: Estimate | None
    above: Estimate | None
    left: Estimate | None


def softness(images: Rgb, mask: Mask, flat_too: bool = False) -> Softness:
    """Measure each picture's background, by the mask of its subject.

    `flat_too` is for outputs: what was smoothed until it is flat counts as soft. Whether anything was there to be blurred
    is then for the input to say. Raises ValueError for arrays of another type.
    """
    check_array("images", images, Rgb)
    check_array("mask", mask, Mask)
    regions = background_region(mask, margin_px(images.shape[1]))[..., 0]
    found = [_of_one(picture, region, flat_too) for picture, region in zip(images, regions, strict=True)]
    return Softness(*np.array(found, np.float64).reshape(-1, 3).T)


def standing(inputs: Softness, outputs: Softness, domain_b: Softness, resamples: int = RESAMPLES) -> Standing:
    """Where outputs, given picture by picture with their inputs, stand between these and domain B.

    `gap` and `scales` are None where B is not softer than the inputs for sure, `above` without enough pictures.
    `resamples` 0 leaves the intervals out: both ends are the value.
    """
    known = inputs.known & outputs.known
    before, after, of_b = inputs[known], outputs[known], domain_b[domain_b.known]
    enough = min(len(before), len(of_b)) >= MIN_PICTURES
    draws = [*_draws(len(before), len(of_b), resamples)] if len(before) and len(of_b) else []

    def share(name: str) -> Estimate | None:
        first, second, third = (getattr(part, name) for part in (before, after, of_b))
        if not enough or not is_softer(third, first):
            return None
        return _estimate(lambda a, b: distance(second[a], third[b]) / distance(first[a], third[b]), draws)

    left = after.laplacian / np.maximum(before.laplacian, FLOOR)
    return Standing(
        gap=share("relative"),
        scales=share("scales"),
        above=_estimate(lambda a, b: chance_above(after.relative[a], of_b.relative[b]), draws) if enough else None,
        left=_estimate(lambda a, _: float(left[a].mean()), [(a, a) for a in _draws_of(len(left), resamples)])
        if len(left)
        else None,
    )


class Misfit:
    """How far outputs, given picture by picture, are from domain B: `gap` + `scales` of `standing`, each as far as B is
    softer in it than the inputs are for sure; 0 where it is in neither.

    What does not depend on the outputs is found once, for many outputs of the same inputs.
    """

    def __init__(self, inputs: Softness, domain_b: Softness) -> None:
        self._inputs, self._of_b = inputs, domain_b[domain_b.known]
        self._apart: dict[bytes, dict[str, float]] = {}

    def __call__(self, outputs: Softness) -> float:
        """Of these outputs."""
        known = self._inputs.known & outputs.known
        after, apart = outputs[known], self._distances(known)
        return sum(distance(getattr(after, name), getattr(self._of_b, name)) / inputs for name, inputs in apart.items())

    def _distances(self, known: np.ndarray) -> dict[str, float]:
        """Those of the known inputs to domain B, in what it is softer in."""
        if known.tobytes() not in self._apart:
            self._apart[known.tobytes()] = self._compared(self._inputs[known])
        return self._apart[known.tobytes()]

    def _compared(self, before: Softness) -> dict[str, float]:
        if min(len(before), len(self._of_b)) < MIN_PICTURES:
            return {}
        pairs = {name: (getattr(before, name), getattr(self._of_b, name)) for name in ("relative", "scales")}
        return {name: distance(*pair) for name, pair in pairs.items() if is_softer(*pair[::-1])}


def telling(domain_a: Softness, domain_b: Softness) -> tuple[int, float]:
    """How well the domains are told apart: by how many of the two measures for sure, and how often a picture of A is
    sharper than one of B, added up over both. The more the better; a size at which a camera's noise counts as sharpness
    has less."""
    a, b = domain_a[domain_a.known], domain_b[domain_b.known]
    if min(len(a), len(b)) < MIN_PICTURES:
        return 0, 0.0
    pairs = [(getattr(a, name), getattr(b, name)) for name in ("relative", "scales")]
    return sum(is_softer(second, first) for first, second in pairs), round(sum(chance_above(*pair) for pair in pairs), 2)


def distance(first: Numbers, second: Numbers) -> float:
    """1-Wasserstein: how far the values of the one must be moved on the mean to have the distribution of the other.

    >>> distance(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    2.0
    """
    places = np.sort(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(values), places[:-1], "right") / len(values) for values in (first, second)]
    return float(np.sum(np.abs(shares[0] - shares[1]) * np.diff(places)))


def chance_above(first: Numbers, second: Numbers) -> float:
    """Chance that a value of the first lies above one of the second, ties by half.

    >>> chance_above(np.array([1.0, 3.0]), np.array([2.0, 1.0]))
    0.625
    """
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, "left") + np.searchsorted(ordered, first, "right")
    return float(below.mean() / (2 * len(second)))


def differ(first: Numbers, second: Numbers) -> bool:
    """Whether two sets are further apart than sets drawn by chance from both of them."""
    random, pool = np.random.default_rng(SEED), np.concatenate([first, second])
    shuffled = [distance(*np.split(random.permutation(pool), [len(first)])) for _ in range(SHUFFLES)]
    return float(np.mean(np.array(shuffled) >= distance(first, second))) < CHANCE


def is_softer(first: Numbers, second: Numbers) -> bool:
    """Whether the first set lies below the second, for sure."""
    return chance_above(second, first) > 0.5 and differ(first, second)


def _of_one(image: np.ndarray, region: np.ndarray, flat_too: bool) -> tuple[float, float, float]:
    from pipeline.pixel_loops import mean_laplacian, mean_local_contrast

    unknown = (np.nan, np.nan, np.nan)
    if region.mean() < MIN_BACKGROUND_SHARE:
        return unknown
    grey = cv2.transform(np.ascontiguousarray(image, np.float32), np.array([LUMA], np.float32))
    contrast = mean_local_contrast(grey, region, max(3, round(min(grey.shape) * WINDOW_SHARE)))
    half_grey, half_region = _half(grey), _wholly(region)
    if (contrast < FLAT_CONTRAST and not flat_too) or not half_region.any():
        return unknown
    laplacian, at_half = (max(mean_laplacian(*pair), FLOOR) for pair in ((grey, region), (half_grey, half_region)))
    return laplacian, float(np.log(laplacian / max(contrast, FLAT_CONTRAST))), float(np.log(laplacian / at_half))


def _half(values: np.ndarray) -> np.ndarray:
    """Means of two by two; an odd last row or column is left out."""
    height, width = (length // 2 for length in values.shape)
    if not height or not width:
        return values[:0, :0]
    return cv2.resize(values[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def _wholly(region: np.ndarray) -> np.ndarray:
    """Two by two: where all of them are in the region."""
    height, width = (length // 2 for length in region.shape)
    even = region[: 2 * height, : 2 * width]
    return even[::2, ::2] & even[1::2, ::2] & even[::2, 1::2] & even[1::2, 1::2]


def _draws(count: int, other: int, resamples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """First everything, then so many draws of both with replacement."""
    random = np.random.default_rng(SEED)
    yield np.arange(count), np.arange(other)
    for _ in range(resamples):
        yield random.integers(0, count, count), random.integers(0, other, other)


def _draws_of(count: int, resamples: int) -> Iterator[np.ndarray]:
    return (first for first, _ in _draws(count, 1, resamples)) if count else iter(())


def _estimate(
    figure: Callable[[np.ndarray, np.ndarray], float], draws: list[tuple[np.ndarray, np.ndarray]]
) -> Estimate | None:
    """The figure of everything, and where the others' lie around it.

    A distance is larger between draws than between what they are drawn from, since draws repeat pictures. So the draws
    are moved until their mean is the figure.
    """
    value, *drawn = (figure(*draw) for draw in draws)
    if not drawn:
        return Estimate(value, value, value)
    low, high = np.quantile(drawn, ends(min(map(len, draws[0])))) + value - np.mean(drawn)
    return Estimate(value, max(0.0, min(value, float(low))), max(value, float(high)))

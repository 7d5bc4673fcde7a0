"""Whether a difference is more than chance: paired tests, correction for many of them, intervals.

Everything is a pure function of its arguments: random numbers come from a fixed seed, so equal scores give equal
answers. Models are compared on the same photos, photo by photo, which a test on two means would waste.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from pipeline.intervals import LEVEL, Interval, mean_interval

Values = Float[np.ndarray, " _"]
"""One value a photo, NaN where there is none."""
Key = TypeVar("Key", bound=Hashable)

SIGNIFICANCE = 0.05
MOST_EXACT, MOST_EXACT_WITH_TIES = 50, 13
"""Differences for which the p-value of Wilcoxon's test is exact."""
MIN_SEEDS = 3
"""With fewer runs of a recipe nothing is said of the recipe, only of its runs."""


@dataclass(frozen=True)
class Difference:
    """Mean of first − second over the photos that both have, its interval, and how likely chance gives as much."""

    mean: float
    interval: Interval
    p_value: float
    photos: int


def wilcoxon_p(differences: Values) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test on paired differences; 1 where all are zero or none is there.

    Zeros are left out, as Wilcoxon did. Exact for up to 50 differences, with ties for up to 13; normal beyond. These are
    the choices of `scipy.stats.wilcoxon`, which takes longer to import than a report's other figures to compute.
    """
    known = np.asarray(differences, float)
    known = known[np.isfinite(known) & (known != 0)]
    if not len(known):
        return 1.0
    _, places, counts = np.unique(np.abs(known), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positive = float(ranks[known > 0].sum())
    if len(known) <= (MOST_EXACT if len(counts) == len(known) else MOST_EXACT_WITH_TIES):
        return _exact_p(positive, ranks)
    variance = float((ranks**2).sum()) / 4
    return math.erfc(abs(positive - float(ranks.sum()) / 2) / math.sqrt(2 * variance))


def _exact_p(positive: float, ranks: np.ndarray) -> float:
    """By the distribution of the positive ranks' sum, all patterns of signs equally likely."""
    steps = (2 * ranks).astype(int)  # ranks of ties may be halves
    chances = np.zeros(steps.sum() + 1)
    chances[0] = 1.0
    for step in steps:
        shifted = np.concatenate([np.zeros(step), chances[:-step]])
        chances = (chances + shifted) / 2
    place = round(2 * positive)
    return float(min(1.0, 2 * min(chances[: place + 1].sum(), chances[place:].sum())))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """P-values of several tests corrected after Holm, so that together they err as seldom as one would.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    corrected: dict[Key, float] = {}
    largest = 0.0
    for index, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - index) * p_values[key]))
        corrected[key] = largest
    return {key: corrected[key] for key in p_values}


def paired_difference(first: Values, second: Values) -> Difference | None:
    """First − second, photo by photo; None with fewer than two photos that both have."""
    differences = np.asarray(first, float) - np.asarray(second, float)
    differences = differences[np.isfinite(differences)]
    interval = mean_interval(differences)
    if interval is None:
        return None
    return Difference(float(differences.mean()), interval, wilcoxon_p(differences), len(differences))


def seeds_mean(scores: Float[np.ndarray, "seeds photos"]) -> tuple[float | None, Interval | None]:
    """The mean over seeds and photos, either of which might have been others, with its interval.

    Photos that a seed has no score for are left out of both. With fewer than `MIN_SEEDS` seeds or two photos it is the mean
    of all scores that there are, None without any, and has no interval.
    """
    every = np.atleast_2d(np.asarray(scores, float))
    if not _enough(known := _complete(every)):
        return (float(np.nanmean(every)) if np.isfinite(every).any() else None), None
    mean = float(known.mean())
    return mean, _Uncertainty.of(known.mean(axis=1), known.mean(axis=0)).interval(mean)


def recipe_difference(
    first: Float[np.ndarray, "seeds photos"], second: Float[np.ndarray, "other_seeds photos"]
) -> Difference | None:
    """First − second of two recipes, over their seeds and the photos that all runs have.

    The photos are the same for both. None where either has fewer than `MIN_SEEDS` seeds.
    """
    one, other = np.atleast_2d(np.asarray(first, float)), np.atleast_2d(np.asarray(second, float))
    kept = np.isfinite(one).all(axis=0) & np.isfinite(other).all(axis=0)
    one, other = one[:, kept], other[:, kept]
    if not (_enough(one) and _enough(other)):
        return None
    mean = float(one.mean() - other.mean())
    photos = one.mean(axis=0) - other.mean(axis=0)
    uncertainty = _Uncertainty.of(one.mean(axis=1), other.mean(axis=1), photos)
    return Difference(mean, uncertainty.interval(mean), uncertainty.p_value(mean), one.shape[1])


@dataclass(frozen=True)
class _Uncertainty:
    """Of a figure that sums means of several small samples: its standard error, with as many degrees of freedom as these
    have together. Few seeds scatter less than the next ones may, which draws from them alone would not know.

    B. L. Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances are Involved",
    Biometrika 34, 1947.
    """

    error: float
    freedom: float

    @classmethod
    def of(cls, *samples: Values) -> "_Uncertainty":
        """Of the sum of these samples' means, or of its difference, where each scatters by itself."""
        parts = [float(sample.var(ddof=1)) / len(sample) for sample in samples]
        total = sum(parts)
        weighed = sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, samples, strict=True))
        return cls(math.sqrt(total), total**2 / weighed if weighed > 0 else math.inf)

    def interval(self, figure: float) -> Interval:
        """What holds the true figure with a probability of `LEVEL`."""
        from scipy.special import stdtrit  # takes a while to import, and most reports have too few seeds to ask

        reach = float(stdtrit(self.freedom, (1 + LEVEL) / 2)) * self.error
        return Interval(figure - reach, figure + reach)

    def p_value(self, figure: float) -> float:
        """Two-sided, of a figure whose truth is 0."""
        from scipy.special import stdtr

        if self.error == 0:
            return float(figure == 0)
        return float(2 * stdtr(self.freedom, -abs(figure) / self.error))


def beats_all(scores: Mapping[str, Values], lower_is_better: bool) -> str | None:
    """The method with the best mean, where each other one differs from it significantly, corrected after Holm.

    Arrays hold the same photos in the same order, with NaN for unknown. None where nothing is ahead for sure.
    """
    known = {name: np.asarray(values, float) for name, values in scores.items() if np.isfinite(values).any()}
    if len(known) < 2:
        return None
    sign = 1.0 if lower_is_better else -1.0
    first = min(known, key=lambda name: sign * float(np.nanmean(known[name])))
    tests = {name: _p_value_ahead(known[first], values, sign) for name, values in known.items() if name != first}
    return first if all(p < SIGNIFICANCE for p in holm(tests).values()) else None


def p_words(p_value: float) -> str:
    """How a p-value is written.

    >>> [p_words(value) for value in (0.00001, 0.0125, 0.25)]
    ['p < 0.001', 'p = 0.013', 'p = 0.25']
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def all_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each two of the names, in their order."""
    return [(first, second) for index, first in enumerate(names) for second in names[index + 1 :]]


def _p_value_ahead(first: Values, second: Values, sign: float) -> float:
    """The two-sided p-value, or 1 where on the photos that both have the first is not ahead at all."""
    difference = paired_difference(first, second)
    return difference.p_value if difference is not None and sign * difference.mean < 0 else 1.0


def _complete(scores: np.ndarray) -> np.ndarray:
    return scores[:, np.isfinite(scores).all(axis=0)]


def _enough(scores: np.ndarray) -> bool:
    return scores.shape[0] >= MIN_SEEDS and scores.shape[1] >= 2

"""Intervals by bootstrap over pictures: between which two values a figure lies."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with a probability of `LEVEL`."""

    low: float
    high: float


def percentiles(drawn: np.ndarray, pictures: int) -> Interval:
    """The interval by figures of draws, with replacement, from so many pictures that do not depend on one another."""
    low, high = np.quantile(drawn, ends(pictures))
    return Interval(float(low), float(high))


def mean_interval(values: Float[np.ndarray, " _"]) -> Interval | None:
    """That of the mean over pictures; unknown values do not count, two are needed.

    >>> mean_interval(np.array([1.0, 1.0, np.nan]))
    Interval(low=1.0, high=1.0)
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return percentiles(known[_draws(len(known))].mean(axis=1), len(known)) if len(known) > 1 else None


@lru_cache(maxsize=64)
def ends(pictures: int) -> tuple[float, float]:
    """The shares of draws below an interval's ends, which lie the farther out the fewer pictures were drawn from.

    Draws scatter less than such pictures do, by the root of n/(n-1), and as if their scatter were known: so Student's
    quantile takes the place of the normal one. After T. Hesterberg, "What Teachers Should Know About the Bootstrap", The
    American Statistician 69, 2015.
    """
    if pictures < 2:
        return (1 - LEVEL) / 2, (1 + LEVEL) / 2
    from scipy.special import ndtr, stdtrit  # takes a while to import

    reach = math.sqrt(pictures / (pictures - 1)) * float(stdtrit(pictures - 1, (1 + LEVEL) / 2))
    return float(ndtr(-reach)), float(ndtr(reach))


@lru_cache(maxsize=4)
def _draws(pictures: int) -> np.ndarray:
    """The same for all figures of so many; not to be written to."""
    return np.random.default_rng(SEED).integers(0, pictures, (RESAMPLES, pictures))

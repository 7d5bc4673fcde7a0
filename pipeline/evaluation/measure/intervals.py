"""Intervals by bootstrap: between which two values a figure lies."""

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Share of the resampled means that an interval holds."""


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with a probability of `LEVEL`."""

    low: float
    high: float


def percentiles(drawn: np.ndarray) -> Interval:
    """The interval that holds `LEVEL` of the drawn figures."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))

"""Intervals by bootstrap hold what they promise."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from pipeline.intervals import LEVEL, Interval, ends, mean_interval


def held(pictures: int, sample: Callable[[int], np.ndarray], truth: float, tries: int = 1000) -> float:
    """How often an interval of so many pictures holds the true mean."""
    found = [mean_interval(sample(pictures)) for _ in range(tries)]
    return float(np.mean([one is not None and one.low <= truth <= one.high for one in found]))


@pytest.mark.parametrize("pictures", [6, 12, 20, 100])
def test_intervals_of_few_pictures_hold_the_truth_as_often_as_those_of_many(pictures: int) -> None:
    """1,000 tries scatter by .007; draws' percentiles as they are hold .86 of 6 pictures and .92 of 12."""
    random = np.random.default_rng(pictures)
    assert held(pictures, lambda count: random.normal(3.0, 2.0, count), 3.0) == pytest.approx(LEVEL, abs=0.03)
    assert held(pictures, random.random, 0.5) == pytest.approx(LEVEL, abs=0.03)


def test_an_interval_lies_within_what_was_seen() -> None:
    """A similarity's does not pass 1."""
    values = np.array([0.9, 0.99, 1.0, 1.0, 1.0])
    found = mean_interval(values)
    assert found is not None
    assert 0.9 <= found.low < values.mean() < found.high <= 1.0


def test_of_many_it_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=1000)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    ours = mean_interval(values)
    assert ours is not None
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.01), pytest.approx(theirs.high, abs=0.01))


def test_two_known_values_are_needed() -> None:
    assert mean_interval(np.array([1.0, np.nan])) is None
    assert mean_interval(np.array([2.0, 2.0, np.nan])) == Interval(2.0, 2.0)


def test_its_ends_move_outwards_as_pictures_become_few() -> None:
    low = [ends(pictures)[0] for pictures in (1000, 100, 20, 6, 3)]
    assert low == sorted(low, reverse=True)
    assert ends(10**6) == pytest.approx(((1 - LEVEL) / 2, (1 + LEVEL) / 2), abs=1e-6)
    assert ends(20) == pytest.approx((1 - ends(20)[1], 1 - ends(20)[0]))

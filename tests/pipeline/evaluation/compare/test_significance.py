"""Tests of differences, against cases worked out by hand and against scipy."""

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation.compare import significance
from pipeline.intervals import Interval, mean_interval


def test_wilcoxon_by_hand() -> None:
    """Five differences of one sign: of the 2⁵ equally likely sign patterns two are as extreme."""
    assert significance.wilcoxon_p(np.array([1.0, 2, 3, 4, 5])) == pytest.approx(2 / 32)
    assert significance.wilcoxon_p(-np.array([1.0, 2, 3, 4, 5])) == pytest.approx(2 / 32)
    # Rank sums 1 and 9, of 16 patterns 4 have a smaller sum of at most 1 (none or one rank 1, either side).
    assert significance.wilcoxon_p(np.array([-1.0, 2, 3, 4])) == pytest.approx(4 / 16)


def test_wilcoxon_leaves_zeros_and_unknown_out() -> None:
    assert significance.wilcoxon_p(np.array([1.0, 2, 3, 4, 5, 0, np.nan])) == pytest.approx(2 / 32)
    assert significance.wilcoxon_p(np.zeros(9)) == 1.0
    assert significance.wilcoxon_p(np.empty(0)) == 1.0


def test_wilcoxon_with_ties_says_nothing_of_chance_where_there_is_little() -> None:
    assert significance.wilcoxon_p(np.array([1.0, 1, -1, -1])) == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [1, 6, 13, 14, 50, 51, 200])
@pytest.mark.parametrize("digits", [15, 1], ids=["no_ties", "ties"])
def test_wilcoxon_agrees_with_scipys(count: int, digits: int) -> None:
    for seed in range(2):
        differences = np.random.default_rng(seed).normal(0.2, 0.4, count).round(digits)
        differences = differences[differences != 0]
        if len(differences):
            theirs = np.asarray(stats.wilcoxon(differences), float)[1]
            assert significance.wilcoxon_p(differences) == pytest.approx(theirs, rel=1e-9)


def test_holm_by_hand() -> None:
    """Steps 3·.01, 2·.02 raised to the step before, 1·.04 likewise."""
    corrected = significance.holm({"a": 0.04, "b": 0.01, "c": 0.012})
    assert corrected == pytest.approx({"a": 0.04, "b": 0.03, "c": 0.03})
    assert list(corrected) == ["a", "b", "c"]
    assert significance.holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert significance.holm({}) == {}


def test_paired_difference_uses_the_photos_that_both_have() -> None:
    first, second = np.array([1.0, 2, 3, np.nan, 9]), np.array([0.5, 1.0, 1.0, 1.0, np.nan])
    found = significance.paired_difference(first, second)
    assert found is not None
    assert (found.mean, found.photos) == (pytest.approx(3.5 / 3), 3)
    assert found.p_value == pytest.approx(2 / 8)
    assert found.interval.low > 0 or found.interval.high < 0
    assert significance.paired_difference(first[:1], second[:1]) is None


def test_pairing_sees_what_two_means_hide() -> None:
    photos = np.random.default_rng(0).normal(0, 10, 30)
    found = significance.paired_difference(photos + 0.1, photos + np.linspace(-0.05, 0.05, 30))
    assert found is not None
    assert found.p_value < 1e-6


def test_seeds_widen_the_interval() -> None:
    """Every photo alike, seeds 0, 1 and 2: only the seeds vary, and by Student's t with 2 degrees of freedom."""
    _, found = significance.seeds_mean(np.repeat([[0.0], [1.0], [2.0]], 20, axis=1))
    assert found is not None
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, 1.0, 1 / np.sqrt(3)))


def test_equal_seeds_leave_the_interval_of_the_photos() -> None:
    photos = np.random.default_rng(5).normal(size=60)
    (_, both), photos_only = significance.seeds_mean(np.tile(photos, (4, 1))), mean_interval(photos)
    assert both is not None
    assert photos_only is not None
    assert (both.low, both.high) == (pytest.approx(photos_only.low, abs=0.03), pytest.approx(photos_only.high, abs=0.03))


def test_a_mean_is_of_the_photos_that_its_interval_is_of() -> None:
    scores = np.random.default_rng(2).normal(size=(3, 20))
    scores[0, 4], scores[2, 9] = np.nan, 100.0
    scores[1, 9] = np.nan
    mean, interval = significance.seeds_mean(scores)
    assert interval is not None
    assert mean == pytest.approx(np.delete(scores, [4, 9], axis=1).mean())
    assert (interval.low + interval.high) / 2 == pytest.approx(mean)


def test_fewer_than_three_seeds_say_nothing_of_a_recipe() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 20))
    assert significance.seeds_mean(scores[:2]) == (pytest.approx(scores[:2].mean()), None)
    assert significance.seeds_mean(np.full((3, 4), np.nan)) == (None, None)
    assert significance.recipe_difference(scores, scores[:2]) is None
    assert significance.recipe_difference(scores, scores + 1) is not None


def test_recipes_differ_by_more_than_their_seeds() -> None:
    random = np.random.default_rng(2)
    photos = random.normal(0, 1, 40)
    first = photos + np.array([[0.0], [0.1], [0.2]])
    apart = significance.recipe_difference(first, first - 5)
    assert apart is not None
    assert apart.mean == pytest.approx(5.0)
    assert apart.p_value < 1e-5
    close = significance.recipe_difference(first, first - 0.02)
    assert close is not None
    assert close.p_value > 0.3
    assert close.interval.low < 0 < close.interval.high


def test_recipes_whose_photos_differ_alike_are_compared_as_by_welch() -> None:
    first, second = np.array([0.1, 0.4, 0.2]), np.array([0.5, 0.7, 0.55, 0.9])
    found = significance.recipe_difference(np.repeat(first[:, None], 9, 1), np.repeat(second[:, None], 9, 1))
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert found is not None
    assert found.p_value == pytest.approx(np.asarray(welch, float)[1])
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(welch.confidence_interval()))


def test_recipes_that_are_the_same_are_called_different_in_one_of_twenty() -> None:
    """Three seeds each, which differ more than photos do; draws from the seeds alone err in one of five."""
    wrong = missed = 0
    for trial in range(400):
        random = np.random.default_rng(trial)
        photos = random.normal(0, 1, 30)
        runs = photos + random.normal(0, 0.5, (6, 1)) + random.normal(0, 0.3, (6, 30))
        found, (_, own) = significance.recipe_difference(runs[:3], runs[3:]), significance.seeds_mean(runs[:3])
        assert found is not None
        assert own is not None
        wrong += found.p_value < significance.SIGNIFICANCE
        missed += not own.low <= 0 <= own.high
    assert wrong <= 0.07 * 400
    assert missed <= 0.1 * 400


def test_recipes_that_never_vary() -> None:
    same = significance.recipe_difference(np.ones((3, 5)), np.ones((3, 5)))
    other = significance.recipe_difference(np.ones((3, 5)), np.zeros((3, 5)))
    assert same is not None
    assert other is not None
    assert (same.p_value, same.interval) == (1.0, Interval(0.0, 0.0))
    assert (other.p_value, other.interval) == (0.0, Interval(1.0, 1.0))


def test_the_best_must_differ_from_each_other() -> None:
    base = np.linspace(0, 1, 12)
    noise = np.random.default_rng(4).normal(0, 0.2, 12)
    clear = {"a": base, "b": base + 0.3, "c": base + 0.2 + np.linspace(0, 0.01, 12)}
    assert significance.beats_all(clear, lower_is_better=True) == "a"
    assert significance.beats_all(clear, lower_is_better=False) == "b"
    assert significance.beats_all({**clear, "d": base + noise - noise.mean() + 0.01}, lower_is_better=True) is None
    assert significance.beats_all({"a": base}, lower_is_better=True) is None


def test_many_comparisons_need_more_evidence() -> None:
    """Seven photos of one sign have p = 2/128; corrected for four comparisons that is more than 1 in 20."""
    first = np.arange(7.0)
    others = {f"m{index}": first + 1 + np.arange(7) / 10 for index in range(4)}
    assert significance.beats_all({"a": first, "m0": others["m0"]}, lower_is_better=True) == "a"
    assert significance.beats_all({"a": first, **others}, lower_is_better=True) is None


def test_equal_scores_give_equal_answers() -> None:
    values = np.random.default_rng(1).normal(size=(3, 50))
    assert significance.seeds_mean(values) == significance.seeds_mean(values.copy())
    assert mean_interval(values[0]) == mean_interval(values[0].copy())


def test_all_pairs() -> None:
    assert significance.all_pairs(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]

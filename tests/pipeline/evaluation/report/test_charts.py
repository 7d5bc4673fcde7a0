"""Geometry of the charts: everything inside its axes, nothing invented."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.report import charts


def losses(steps: int) -> pd.DataFrame:
    step = np.arange(steps)
    table = pd.DataFrame({"step": step, "cycle_a": 1.0 / (1 + step), "cycle_b": 0.5, "gan_b": 0.25, "mask_a": 0.1})
    table["r1_a"] = np.where(step % 8 == 0, 0.02, np.nan)
    return table


def points(curve: charts.Curve) -> np.ndarray:
    return np.array([[float(number) for number in point.split(",")] for point in curve.points.split()])


def test_terms_of_both_domains_share_a_panel() -> None:
    panels = charts.loss_panels({"x@0": losses(900), "y@0": losses(50)})
    assert [panel.title for panel in panels] == [
        "Adversarial loss, generators",
        "Cycle loss",
        "Mask loss, pixels",
        "R1 penalty",
    ]
    cycle = panels[1].curves
    assert [(curve.label, curve.colour, curve.dashed) for curve in cycle] == [
        ("x@0: cycle_a", 0, False), ("x@0: cycle_b", 0, True), ("y@0: cycle_a", 1, False), ("y@0: cycle_b", 1, True),
    ]  # fmt: skip


def test_a_curve_is_thinned_by_means() -> None:
    step = np.arange(480)
    (panel,) = charts.loss_panels({"x@0": pd.DataFrame({"step": step, "cycle_a": (step % 4 == 0) * 4.0})})
    curve = points(panel.curves[0])
    assert len(curve) == charts.MAX_POINTS
    assert np.ptp(curve[:, 1]) == 0


def test_terms_computed_now_and_then_keep_their_steps() -> None:
    panel = charts.loss_panels({"x@0": losses(33)})[-1]
    assert panel.title == "R1 penalty"
    assert len(points(panel.curves[0])) == 5
    assert [tick.label for tick in panel.x_ticks] == ["0", "16", "32"]


@pytest.mark.parametrize("steps", [1, 2, 1000])
def test_curves_stay_inside_the_panel(steps: int) -> None:
    for panel in charts.loss_panels({"x@0": losses(steps)}):
        for curve in panel.curves:
            x, y = points(curve).T
            assert x.min() >= charts.LEFT - 0.1
            assert x.max() <= charts.PANEL_WIDTH - charts.RIGHT + 0.1
            assert y.min() >= charts.TOP - 0.1
            assert y.max() <= charts.PANEL_HEIGHT - charts.BOTTOM + 0.1


def test_no_losses_are_no_panels() -> None:
    assert charts.loss_panels({"x@0": losses(0)}) == []


def test_strip_places_dots_in_percent_and_leaves_unknown_out() -> None:
    values = {"input": pd.Series({"s1": 0.02, "s2": 0.04, "s3": np.nan}), "x@0": pd.Series({"s1": np.nan})}
    strip = charts.strip(values, {"input": "Input"}, {"input": "reference", "x@0": "model"}, digits=3)
    (row,) = strip.rows
    assert row.dots == [(pytest.approx(50.0), "s1: 0.020"), (pytest.approx(100.0), "s2: 0.040")]
    assert (row.label, row.mean, row.mean_label, row.role) == ("Input", pytest.approx(75.0), "0.030", "reference")
    assert charts.strip({}, {}, {}, digits=3) == charts.Strip([], [])


@given(st.floats(1e-6, 1e6))
def test_axes_reach_the_largest_value_in_few_round_steps(largest: float) -> None:
    steps = charts._nice_steps(largest)
    assert steps[0] == 0
    assert largest * (1 - 1e-6) <= steps[-1] <= 2 * largest
    assert 3 <= len(steps) <= 7


def test_a_scatter_has_a_dot_for_every_photo_with_both_scores() -> None:
    blur = {"m@0": pd.Series({"a": 0.2, "b": 0.4, "c": np.nan}), "base": pd.Series({"a": 0.3, "b": 0.3})}
    kept = {"m@0": pd.Series({"a": 0.9, "b": 1.0, "c": 0.5}), "base": pd.Series({"a": 1.0, "b": 1.0})}
    found = charts.scatter(blur, kept, ["base"], {"base": "Baseline"})
    assert found is not None
    assert [(dot.photo_id, dot.series) for dot in found.dots] == [("a", "m@0"), ("b", "m@0")]
    assert [mean.words for mean in found.means] == ["m@0: 0.300, 0.950", "Baseline: 0.300, 1.000"]
    (first, second), (mean, _) = found.dots, found.means
    assert (mean.x, mean.y) == (pytest.approx((first.x + second.x) / 2), pytest.approx((first.y + second.y) / 2))
    assert first.x < second.x
    assert first.y > second.y
    for dot in (*found.dots, *found.means):
        assert charts.SCATTER_LEFT <= dot.x <= charts.SCATTER_WIDTH - charts.RIGHT
        assert charts.SCATTER_TOP <= dot.y <= charts.SCATTER_HEIGHT - charts.SCATTER_BOTTOM


def test_a_scatter_without_scores_is_none() -> None:
    assert charts.scatter({"m": pd.Series({"a": np.nan})}, {"m": pd.Series({"a": 1.0})}, [], {}) is None


def test_seeds_of_a_recipe_share_a_colour() -> None:
    panels = charts.loss_panels({"x@0": losses(9), "x@1": losses(9)}, {"x@0": 2, "x@1": 2})
    assert {curve.colour for panel in panels for curve in panel.curves} == {2}

"""Backgrounds against domain B's, out of a table of scores: what is close, what fails, what cannot be told."""

import pandas as pd
import pytest

from pipeline.evaluation.compare.softness import SoftnessTable, compare_softness
from pipeline.evaluation.measure.judged_size import INPUT
from pipeline.evaluation.measure.set_scores import DOMAIN_B, ENDS, TEST_SET

MODEL = "m@0"
CLOSE = {"gap": 0.3, "scales": 0.4, "above": 0.5, "left": 0.5, "subject_left": 1.0}
UNCHANGED = {"gap": 1.0, "scales": 1.0, "above": 0.8, "left": 1.0, "subject_left": 1.0}


def table(model: dict[str, float | None], px: int = 192, of_input: dict[str, float] | None = None) -> SoftnessTable:
    rows: list[tuple[str, str, str, float | None]] = [
        (TEST_SET, DOMAIN_B, "softness_px", px),
        (TEST_SET, DOMAIN_B, "pictures", 61),
        ("flickr:1", MODEL, "gap", 9.0),  # of a photo, not of the set
    ]
    for method, scores in ((INPUT, of_input or UNCHANGED), (MODEL, model)):
        for name, value in scores.items():
            ends = ("",) if name == "subject_left" else ENDS
            rows += [(TEST_SET, method, name + end, value) for end in ends]
    found = compare_softness(pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"]), [MODEL])
    assert found is not None
    return found


def test_rows_are_read_from_the_scores_of_the_set() -> None:
    found = table(CLOSE)
    assert [row.method for row in found.rows] == [INPUT, MODEL]
    assert (found.measured_px, found.pictures_b, found.limits) == (192, 61, [])
    unchanged, close = found.rows
    assert (unchanged.distance, unchanged.is_close, unchanged.changes_nothing) == (1.0, False, True)
    assert (close.distance, close.is_close, close.changes_nothing, close.blurs_everything) == (
        pytest.approx(0.35), True, False, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "is_close", "unknown", "distance"),
    [
        ({"gap": 0.5, "scales": 0.7}, True, None, 0.6),
        ({"gap": 0.51}, False, None, 0.455),
        ({"scales": 0.71}, False, None, 0.505),
        ({"scales": None}, True, "across scales", 0.3),
        ({"gap": None}, True, "relative to contrast", 0.4),
        ({"gap": None, "scales": None}, False, None, None),
    ],
)
def test_both_measures_must_be_close_as_far_as_they_are_known(
    changed: dict[str, float | None], is_close: bool, unknown: str | None, distance: float | None
) -> None:
    row = table({**CLOSE, **changed}).rows[1]
    assert (row.is_close, row.unknown, row.distance) == (is_close, unknown, distance and pytest.approx(distance))


@pytest.mark.parametrize(
    ("left", "subject_left", "nothing", "everything"),
    [(0.97, 1.0, False, False), (0.98, 1.0, True, False), (0.3, 0.4, False, True), (0.3, 0.5, False, False),
     (0.5, 0.3, False, False), (None, 0.3, False, False)],
)  # fmt: skip
def test_models_that_blur_nothing_or_everything_are_told(
    left: float | None, subject_left: float, nothing: bool, everything: bool
) -> None:
    row = table({**CLOSE, "left": left, "subject_left": subject_left}).rows[1]
    assert (row.changes_nothing, row.blurs_everything) == (nothing, everything)


def test_limits_are_said() -> None:
    assert "Measured at 96 px" in table(CLOSE, px=96).limits[0]
    neither = {"gap": None, "scales": None, "left": 0.5, "subject_left": 1.0}
    nobody = table(neither, of_input={"left": 1.0, "subject_left": 1.0})
    assert ["do not differ for sure" in words for words in nobody.limits] == [True]


def test_without_domain_b_there_is_no_table() -> None:
    scores = pd.DataFrame([(TEST_SET, MODEL, "gap", 0.3)], columns=["photo_id", "method", "metric", "value"])
    assert compare_softness(scores, [MODEL]) is None

"""What is said of models of depth: means over scenes, verdicts by what asks for no network, and obedience."""

import pandas as pd
import pytest

from pipeline.evaluation.compare import depth_outcomes as outcomes

Rows = list[tuple[str, str, str, float]]


def scores(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])


def depth_of(model: float, mean_map: float = 0.3, mask: float = 0.2) -> Rows:
    values = {"depth@0": model, outcomes.MEAN_MAP: mean_map, outcomes.MASK: mask, outcomes.CONSTANT: 0.5}
    rows = [(f"folder:{n}", method, "abs_rel", value) for method, value in values.items() for n in range(3)]
    return [*rows, *((picture, method, "aligned_abs_rel", value) for picture, method, _, value in rows)]


def views(obeyed: float) -> Rows:
    rows: Rows = []
    for scene, count in (("scene:1", 1), ("scene:2", 3)):
        for view in range(1, count + 1):
            name = f"{scene}@{view}"
            rows += [(name, "depth@0", f"obeyed_{told}", obeyed) for told in ("map", "patch", "click")]
            rows += [(name, outcomes.TRUE_DEPTH, "obeyed_click", 1.0), (name, outcomes.TRUE_DEPTH, "l1", 0.01)]
            rows += [(name, outcomes.UNCHANGED, "l1", 0.05), (name, "depth@0", "l1", 0.02 if scene == "scene:1" else 0.03)]
    return rows


@pytest.mark.parametrize(("error", "verdict"), [(0.1, "good"), (0.25, "mixed"), (0.3, "bad"), (0.4, "bad")])
def test_the_verdict_is_by_what_looks_at_no_picture(error: float, verdict: str) -> None:
    found = outcomes.depth_headline(scores(depth_of(error)), "depth@0")
    assert (found.verdict, found.figure) == (verdict, f"{error:.3f}")
    assert "mean map of the training pictures 0.300" in found.sentences[0]


def test_without_masks_nothing_is_said_of_one() -> None:
    rows = [row for row in depth_of(0.25) if row[1] != outcomes.MASK]
    found = outcomes.depth_headline(scores(rows), "depth@0")
    assert (found.verdict, found.verdict_words) == ("good", "Better than the mean map, which looks at no picture")
    assert "mask" not in " ".join(found.sentences)


def test_scenes_weigh_alike_however_many_views_they_have() -> None:
    table = scores(views(1.0))
    cell = outcomes.cell_of(table, "depth@0", "l1")
    assert cell is not None
    assert (cell.mean, cell.count) == (pytest.approx(0.025), 4)
    assert cell.interval is not None
    assert cell.interval.low <= cell.mean <= cell.interval.high
    assert outcomes.closed_gap(table, "depth@0") == pytest.approx((0.05 - 0.025) / (0.05 - 0.01))


@pytest.mark.parametrize(("obeyed", "verdict"), [(1.0, "good"), (0.8, "mixed"), (0.2, "bad")])
def test_a_model_for_pictures_is_asked_whether_it_obeys(obeyed: float, verdict: str) -> None:
    found = outcomes.focus_headline(scores([*depth_of(0.1), *views(obeyed)]), "depth@0")
    assert found is not None
    assert (found.verdict, found.figure) == (verdict, f"{obeyed:.0%}")
    assert outcomes.focus_headline(scores(depth_of(0.1)), "depth@0") is None


def test_tables_leave_out_what_was_not_measured() -> None:
    pooled: Rows = [("set:pooled", "depth@0", "abs_rel", 0.15)]
    tables = outcomes.tables_of(scores([*depth_of(0.1), *views(1.0), *pooled]), ["depth@0"])
    test, of_all = tables["depth"]
    assert [metric.name for metric in test.metrics] == ["abs_rel", "aligned_abs_rel"]
    assert [method for method, _ in test.rows] == [outcomes.CONSTANT, outcomes.MEAN_MAP, outcomes.MASK, "depth@0"]
    assert [method for method, _ in of_all.rows] == ["depth@0"]
    assert [metric.name for table in tables["zones"] for metric in table.metrics] == ["l1"]
    assert outcomes.is_of_depth_scores(scores(depth_of(0.1)))
    assert not outcomes.is_of_depth_scores(scores(pooled))

"""From scores to means, ranks and sentences."""

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.compare import summary
from tests.pipeline.evaluation.worlds import JUDGED_PX, METHODS, judge_photos, photos, scores, truth, unchanged

METHODS_OF_TEN = {name: list(error + np.linspace(-0.001, 0.001, 10)) for name, error in METHODS.items()}


def column(table: summary.Comparison, metric: str) -> dict[str, summary.Cell]:
    index = [one.name for one in table.metrics].index(metric)
    return {row.method: row.cells[index] for row in table.rows}


def test_means_and_spreads_leave_unknown_scores_out() -> None:
    table = summary.compare_photos(scores("subject_l1", {"m@0": [0.1, 0.3, np.nan]}, "flickr:"), ["m@0"])
    cell = column(table, "subject_l1")["m@0"]
    assert (cell.mean, cell.count, cell.missing) == (pytest.approx(0.2), 2, 1)
    assert cell.interval == summary.Interval(pytest.approx(0.1), pytest.approx(0.3))
    assert column(table, "subject_ssim")["m@0"].mean is None
    assert table.pictures == 3


def test_one_picture_has_no_interval() -> None:
    cell = column(summary.compare_scenes(truth(0.05, count=1), ["m@0"]), "truth_background_l1")["m@0"]
    assert cell.interval is None


def test_best_needs_a_significant_difference_to_every_other() -> None:
    clear = column(summary.compare_scenes(truth(0.05), ["m@0"]), "truth_background_l1")
    assert {name for name, cell in clear.items() if cell.standing == "best"} == {"m@0"}
    few = column(summary.compare_scenes(truth(0.05, count=5), ["m@0"]), "truth_background_l1")
    assert all(cell.standing == "ranked" for cell in few.values())


def test_equal_methods_have_no_best() -> None:
    same = column(summary.compare_scenes(truth(METHODS["gaussian_9x9"]), ["m@0"]), "truth_background_l1")
    assert all(cell.standing == "ranked" for cell in same.values())


def test_higher_is_better_where_it_is() -> None:
    values = {"a@0": list(np.linspace(0.90, 0.92, 10)), "b@0": list(np.linspace(0.95, 0.97, 10))}
    table = column(summary.compare_photos(scores("subject_ssim", values, "flickr:"), ["a@0", "b@0"]), "subject_ssim")
    assert {name: cell.standing for name, cell in table.items()} == {"a@0": "ranked", "b@0": "best"}


def test_pasted_subjects_are_given_and_sharpness_is_not_ranked() -> None:
    table = summary.compare_photos(judge_photos("m@0", unchanged, JUDGED_PX, photos(8)), ["m@0"])
    for metric in ("subject_l1", "subject_ssim", "subject_psnr_db"):
        standings = {name: cell.standing for name, cell in column(table, metric).items()}
        assert standings == {"input": "given", "average_5x5": "given", "gaussian_9x9": "given", "m@0": "ranked"}
    sharpness = {name: cell.standing for name, cell in column(table, "background_sharpness").items()}
    assert sharpness == {"input": "given", "average_5x5": "unranked", "gaussian_9x9": "unranked", "m@0": "unranked"}


def test_iou_is_told_for_photos_and_scenes_apart() -> None:
    world = pd.concat([scores("mask_iou", {"segmenter": [0.9, 1.0]}), scores("mask_iou", {"segmenter": [0.5]}, "flickr:")])
    assert summary.segmenter_iou(world, scenes=True) == summary.Iou(0.95, 0.9, 2)
    assert summary.segmenter_iou(world, scenes=False) == summary.Iou(0.5, 0.5, 1)
    assert summary.segmenter_iou(world.iloc[:0], scenes=True) == summary.Iou(None, None, 0)


def test_merging_models_counts_what_they_share_once() -> None:
    first = truth(0.05)
    second = first.replace({"method": {"m@0": "n@0"}})
    merged = summary.merge({"m@0": first, "n@0": second})
    shared = merged[merged["method"] == "input"]
    assert len(shared) == 10
    assert {row.method for row in summary.compare_scenes(merged, ["m@0", "n@0"]).rows} == {*METHODS, "m@0", "n@0"}


def pair_world(shift: float, count: int = 10) -> pd.DataFrame:
    base = np.linspace(0.90, 0.95, count)
    wobble = np.linspace(-0.001, 0.001, count)
    values = {"a@0": list(base), "b@0": list(base + shift + wobble), "c@0": list(base + 2 * shift + wobble[::-1])}
    return scores("subject_ssim", values, "flickr:")


def test_pairs_are_corrected_for_their_number() -> None:
    found = summary.compare_pairs(pair_world(0.01), ["a@0", "b@0", "c@0"])
    assert [metric.name for metric in found.metrics] == ["subject_ssim"]
    (pair, *_) = found.pairs
    (difference,) = pair.differences
    assert (pair.first, pair.second) == ("a@0", "b@0")
    assert difference is not None
    assert difference.mean == pytest.approx(-0.01)
    assert difference.p_value == pytest.approx(3 * 2 / 2**10)
    assert difference.interval.high < 0


def test_one_model_has_no_pair() -> None:
    assert summary.compare_pairs(pair_world(0.01), ["a@0"]).pairs == []


def test_recipes_are_compared_over_three_seeds_and_not_fewer() -> None:
    random = np.random.default_rng(0)
    photos = random.normal(0.9, 0.02, 20)
    values = {
        f"{recipe}@{seed}": list(photos + mean + 0.001 * seed)
        for recipe, mean in (("a", 0.0), ("b", 0.03))
        for seed in range(3)
    }
    table = scores("subject_ssim", values, "flickr:")
    runs = {recipe: [f"{recipe}@{seed}" for seed in range(3)] for recipe in ("a", "b")}
    found = summary.compare_recipes(table, runs)
    (pair,) = found.pairs
    (difference,) = pair.differences
    assert difference is not None
    assert difference.mean == pytest.approx(-0.03)
    assert difference.p_value < summary.significance.SIGNIFICANCE
    assert [row.seeds for row in found.rows] == [3, 3]
    few = summary.compare_recipes(table, {**runs, "b": runs["b"][:2]})
    assert few.pairs == []
    assert [cell[1] is None for row in few.rows for cell in row.cells] == [False, True]


def test_overlaid_subjects_are_given_whatever_the_method_is_called() -> None:
    spread = list(np.linspace(0.9, 0.95, 10))
    values = {"x@0": [1.0] * 10, "x@0-overlay": spread, "y@0": spread, "y@0+overlay": [1.0] * 10}
    table = summary.compare_photos(scores("subject_ssim", values, "flickr:"), ["x@0", "y@0"])
    standings = {name: cell.standing for name, cell in column(table, "subject_ssim").items()}
    assert standings == {"x@0": "given", "x@0-overlay": "ranked", "y@0": "ranked", "y@0+overlay": "given"}
    assert [row.label for row in table.rows] == [
        "x@0, subject laid over", "x@0, without overlay", "y@0", "y@0, subject laid over",
    ]  # fmt: skip


def test_faces_are_shares_of_those_that_were_there() -> None:
    table = summary.compare_photos(scores("face_kept", {"m@0": [1.0, 0.0, np.nan, 1.0]}, "flickr:"), ["m@0"])
    cell = column(table, "face_kept")["m@0"]
    assert (cell.mean, cell.count, cell.missing) == (pytest.approx(2 / 3), 3, 1)


def test_errors_are_told_by_how_scenes_were_taken() -> None:
    errors = scores("truth_background_l1", {"m@0": [0.1, 0.2, 0.3, 0.4]})
    apertures = scores("aperture_mm", {"true_lens": [10.0, 20.0, 30.0, 40.0]})
    found = summary.by_condition(pd.concat([errors, apertures]), ["m@0"])
    assert found is not None
    assert [(row.label, row.scenes, row.errors) for row in found.rows] == [
        ("lens of 25.0 mm and less", 2, [pytest.approx(0.15)]),
        ("lens wider than 25.0 mm", 2, [pytest.approx(0.35)]),
    ]
    assert summary.by_condition(errors, ["m@0"]) is None


def test_sets_are_compared_by_the_features_that_are_asked_for() -> None:
    rows = {"kid": 0.2, "kid_low": 0.1, "kid_high": 0.3, "precision": 0.5, "recall": 0.6, "fid": 80.0}
    table = pd.DataFrame(
        [("set:test", "m@0", f"inception_{name}", value) for name, value in rows.items()],
        columns=["photo_id", "method", "metric", "value"],
    )
    (found,) = summary.compare_sets(table, ["m@0"], "inception_")
    assert (found.kid, found.fid, found.standing) == (0.2, 80.0, "ranked")
    assert summary.compare_sets(table, ["m@0"]) == []


def test_a_models_variant_does_not_stand_in_its_way() -> None:
    close = list(np.linspace(0.05, 0.06, 10))
    values = {**METHODS_OF_TEN, "m@0": close, "m@0+overlay": [value + 1e-6 for value in close]}
    table = column(summary.compare_scenes(scores("truth_background_l1", values), ["m@0"]), "truth_background_l1")
    assert {name for name, cell in table.items() if cell.standing == "best"} == {"m@0"}


def test_a_subject_that_is_laid_over_is_in_no_pair() -> None:
    laid_over = pair_world(0.01)
    plain = laid_over[laid_over["method"] == "b@0"].assign(method="b@0-overlay")
    table = pd.concat([laid_over, plain], ignore_index=True)
    known = {
        (pair.first, pair.second): pair.differences[0] is not None
        for pair in summary.compare_pairs(table, ["a@0", "b@0", "c@0"]).pairs
    }
    assert known == {("a@0", "b@0"): False, ("a@0", "c@0"): True, ("b@0", "c@0"): False}
    recipes = summary.compare_recipes(table, {"a": ["a@0"], "b": ["b@0"]})
    assert [row.cells[0][0] is None for row in recipes.rows] == [False, True]

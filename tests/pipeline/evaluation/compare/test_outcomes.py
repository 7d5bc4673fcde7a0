"""The study's groups, on scores made so that each photo belongs to one."""

import pandas as pd
import pytest

from pipeline.evaluation.compare.outcomes import Outcome, Outcomes, sort_photos

REFERENCE, MODEL = "cyclegan@0", "mask_loss@0"


def scores(rows: dict[str, tuple[float, float, float, float]], method: str) -> pd.DataFrame:
    """By photo: background sharpness, subject SSIM, imagined structure, colour shift."""
    names = ("background_sharpness", "subject_ssim", "imagined", "subject_colour_shift")
    table = [
        (photo, method, name, value) for photo, values in rows.items() for name, value in zip(names, values, strict=True)
    ]
    return pd.DataFrame(table, columns=["photo_id", "method", "metric", "value"])


PHOTOS = {
    "blurrier": (0.60, 0.97, 0.0, 0.5),
    "a loss elsewhere": (0.60, 0.94, 0.0, 0.5),
    "better kept": (0.80, 0.99, 0.0, 0.5),
    "alike": (0.78, 0.975, 0.0, 0.5),
    "imagined": (0.60, 0.97, 0.01, 0.5),
    "another colour": (0.60, 0.97, 0.0, 9.0),
    "drawn anew": (0.60, 0.80, 0.0, 0.5),
}


def sorted_photos(pictured: set[str] | None = None, references: dict[str, str] | None = None) -> Outcomes:
    before = scores(dict.fromkeys(PHOTOS, (0.80, 0.97, 0.0, 0.5)), REFERENCE)
    table = pd.concat([before, scores(PHOTOS, MODEL)], ignore_index=True)
    held = {REFERENCE: REFERENCE, MODEL: REFERENCE} if references is None else references
    return sort_photos(table, [REFERENCE, MODEL], held, set(PHOTOS) if pictured is None else pictured)


def groups(found: Outcomes) -> dict[str, Outcome]:
    return {one.group: one for one in found.outcomes}


def test_each_photo_lands_where_the_definitions_put_it() -> None:
    found = groups(sorted_photos())
    assert {name: one.photos for name, one in found.items()} == {
        "success": ["better kept", "blurrier"],
        "failure": ["a loss elsewhere", "alike", "another colour", "drawn anew", "imagined"],
        "imagined": ["imagined"],
        "stylised": ["another colour", "drawn anew"],
    }
    assert found["success"].by_model == {REFERENCE: 0, MODEL: 2}
    assert found["failure"].by_model == {}


def test_a_step_below_the_threshold_is_no_success() -> None:
    before = scores({"p": (0.80, 0.97, 0.0, 0.0)}, REFERENCE)
    for sharpness, count in ((0.7501, 0), (0.7499, 1)):
        table = pd.concat([before, scores({"p": (sharpness, 0.97, 0.0, 0.0)}, MODEL)])
        found = groups(sort_photos(table, [REFERENCE, MODEL], {MODEL: REFERENCE}, {"p"}))
        assert len(found["success"].photos) == count


def test_the_typical_photo_is_in_the_middle_and_has_pictures() -> None:
    rows = {f"p{index}": (0.70 - 0.05 * index, 0.97, 0.0, 0.0) for index in range(5)}
    table = pd.concat([scores(dict.fromkeys(rows, (0.80, 0.97, 0.0, 0.0)), REFERENCE), scores(rows, MODEL)])

    def typical(pictured: set[str]) -> str | None:
        found = groups(sort_photos(table, [REFERENCE, MODEL], {MODEL: REFERENCE}, pictured))["success"].typical
        return found.photo_id if found else None

    assert typical(set(rows)) == "p2"
    assert typical({"p3", "p4", "p0"}) == "p3"
    assert typical(set()) is None


def test_without_a_reference_there_are_no_successes_to_tell() -> None:
    found = sorted_photos(references={})
    assert found.reference is None
    assert list(groups(found)) == ["imagined", "stylised"]


@pytest.mark.parametrize("hidden", ["background_sharpness", "subject_ssim"])
def test_photos_without_a_score_are_not_sorted(hidden: str) -> None:
    table = pd.concat([scores({"p": (0.8, 0.97, 0.0, 0.0)}, REFERENCE), scores({"p": (0.6, 0.97, 0.0, 0.0)}, MODEL)])
    table.loc[table["metric"] == hidden, "value"] = float("nan")
    found = sort_photos(table, [REFERENCE, MODEL], {MODEL: REFERENCE}, {"p"})
    assert found.photos == 0
    assert all(not one.photos for one in found.outcomes)

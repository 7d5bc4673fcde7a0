"""The check that marks models which are worse than the project file's reference."""

from pathlib import Path

import dagster as dg
import pytest

from assets.evaluation import reference_check
from pipeline.config import parse_project
from pipeline.errors import ConfigError
from tests.judged_world import CONFIG, judge, judged_home, train


def checked(tmp_path: Path, ssim: float, sharpness: float, reference: str | None = "cyclegan@0") -> dg.AssetCheckResult:
    home, world = judged_home(tmp_path / "home")
    snapshot = world.freeze(range(1, 80))
    for recipe, scores in (("cyclegan@0", (0.95, 0.6)), ("mask_loss@0", (ssim, sharpness))):
        train(home, snapshot, recipe)
        judge(home, snapshot, recipe, *scores)
    return reference_check(reference, home, snapshot, ["mask_loss@0"])


def test_a_worse_model_is_marked_and_nothing_is_blocked(tmp_path: Path) -> None:
    found = checked(tmp_path, 0.90, 0.6)
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "mask_loss@0 is worse than cyclegan@0: Subject SSIM is worse (−0.050" in str(found.description)


@pytest.mark.parametrize(("ssim", "sharpness"), [(0.97, 0.6), (0.95, 0.6), (0.90, 0.5)])
def test_better_alike_and_traded_pass(tmp_path: Path, ssim: float, sharpness: float) -> None:
    found = checked(tmp_path, ssim, sharpness)
    assert found.passed
    assert "mask_loss@0" in str(found.metadata["comparisons"].value)


def test_without_a_reference_nothing_is_said(tmp_path: Path) -> None:
    found = checked(tmp_path, 0.90, 0.6, reference=None)
    assert (found.passed, found.description) == (True, "[evaluation] names no reference")


def test_a_reference_that_is_not_judged_yet_marks_nothing(tmp_path: Path) -> None:
    found = checked(tmp_path, 0.90, 0.6, reference="cyclegan@7")
    assert (found.passed, found.description) == (True, "nothing to hold against cyclegan@7 yet")


def test_the_reference_must_be_a_recipe_of_the_project(tmp_path: Path) -> None:
    said = r":11: evaluation\.reference: names the model 'cyclegan@5', which is not among \['cyclegan@0', 'mask_loss@0'\]"
    with pytest.raises(ConfigError, match=said):
        parse_project(CONFIG.replace("cyclegan@0", "cyclegan@5"), tmp_path / "bokehflow.toml")

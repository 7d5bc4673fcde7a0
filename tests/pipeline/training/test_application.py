"""What `translate` calls its results and says of photos, and which run it takes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.commands.training import run_folder
from pipeline.errors import ConfigError
from pipeline.training.application import Application, result_stems
from storage import Home


@pytest.mark.parametrize(
    ("photos", "stems"),
    [
        ([], []),
        (["a/IMG_1.jpg"], ["IMG_1"]),
        (["a/IMG_1.jpg", "b/IMG_1.jpg", "b/IMG_2.jpg"], ["a_IMG_1_jpg", "b_IMG_1_jpg", "IMG_2"]),
        (["IMG_1.jpg", "IMG_1.png"], ["IMG_1_jpg", "IMG_1_png"]),
        (["a/x/1.jpg", "a/y/1.jpg"], ["x_1_jpg", "y_1_jpg"]),
    ],
)
def test_photos_of_one_name_have_results_of_different_names(photos: list[str], stems: list[str]) -> None:
    assert result_stems([Path(photo) for photo in photos]) == stems


@pytest.mark.parametrize(("alpha", "nobody"), [(0, True), (127, True), (200, False)])
def test_it_is_told_where_nobody_is_found(monkeypatch: pytest.MonkeyPatch, alpha: int, nobody: bool) -> None:
    monkeypatch.setattr(
        "pipeline.training.application.load_generator", lambda *_: (SimpleNamespace(holds_subject=True), None)
    )
    monkeypatch.setattr("pipeline.training.application.translate_photo", lambda generator, rgb, alpha: rgb / np.float32(255))
    application = Application(Path("run"), lambda rgb: np.full(rgb.shape[:2], alpha, np.uint8))
    application.translate(np.zeros((9, 8, 3), np.uint8))
    assert application.found_nobody == nobody


@pytest.mark.parametrize(
    ("name", "found"), [("5f-one-0", True), ("5f-o", True), ("one@0", True), ("two@0", False), ("ne@0", False)]
)
def test_a_run_is_known_by_name_beginning_or_recipe_and_seed(tmp_path: Path, name: str, found: bool) -> None:
    home = Home(tmp_path)
    for run in ("5f-one-0", "5f-two-1"):
        (home.runs / run).mkdir(parents=True)
        (home.runs / run / "job.json").touch()
    if found:
        assert run_folder(home, name).name == "5f-one-0"
    else:
        with pytest.raises(ConfigError, match="does not exist; there are: 5f-one-0, 5f-two-1"):
            run_folder(home, name)

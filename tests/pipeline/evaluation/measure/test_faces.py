"""Faces: what counts as kept, that real ones are found when small, and what happens without weights."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import WeightsError
from pipeline.evaluation.measure import faces
from pipeline.evaluation.measure.faces import FaceFinder, load_face_finder

REPOSITORY = Path(__file__).parents[4]
WEIGHTS = REPOSITORY / ".venv" / "test-home" / "weights"
PORTRAITS = REPOSITORY.parent / "shared" / "portraits"

needs_weights = pytest.mark.skipif(
    not (WEIGHTS / "face_detection_yunet_2023mar.onnx").exists(), reason="`bokehflow weights` fetches them"
)


class Told(FaceFinder):
    """Finds what it is told: one array of boxes for each grey level of a picture."""

    def __init__(self, boxes: dict[int, list[list[float]]]) -> None:
        self._told = boxes

    def boxes(self, picture: np.ndarray) -> np.ndarray:
        return np.array(self._told[int(picture[0, 0, 0])], np.float32).reshape(-1, 4)


def grey(*levels: int) -> np.ndarray:
    return np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])


def test_a_face_is_kept_where_it_overlaps_by_half() -> None:
    finder = Told({0: [[0, 0, 10, 10]], 1: [[0, 0, 10, 9]], 2: [[5, 5, 10, 10]], 3: [], 4: [[9, 9, 9, 9], [0, 0, 10, 8]]})
    before = finder.main_faces(grey(0, 0, 0, 0))
    np.testing.assert_array_equal(finder.kept(grey(1, 2, 3, 4), before), [1.0, 0.0, 0.0, 1.0])


def test_without_a_face_in_the_input_nothing_is_known() -> None:
    finder = Told({0: [], 1: [[0, 0, 10, 10]]})
    before = finder.main_faces(grey(0, 1))
    assert np.isnan(before[0]).all()
    scores = finder.kept(grey(1, 1), before)
    assert np.isnan(scores[0])
    assert scores[1] == 1


def test_missing_weights_leave_it_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(name: str, folder: Path) -> Path:
        raise WeightsError(f"{folder}: no package index")

    monkeypatch.setattr(faces.weights, "ensure", refuse)
    assert load_face_finder(tmp_path) is None
    assert "whether faces are kept is not measured" in caplog.text
    assert "no package index" in caplog.text


@needs_weights
def test_a_flat_picture_has_no_face() -> None:
    assert FaceFinder(WEIGHTS / "face_detection_yunet_2023mar.onnx").boxes(np.full((64, 64, 3), 90, np.uint8)).shape == (
        0,
        4,
    )


@needs_weights
@pytest.mark.skipif(not PORTRAITS.exists(), reason="needs portraits of people")
@pytest.mark.parametrize("side_px", [64, 256])
def test_faces_of_portraits_are_found_though_small_and_lost_when_hidden(side_px: int) -> None:
    finder = load_face_finder(WEIGHTS)
    assert finder is not None
    paths = [path for name in ("ordinary", "shallow") for path in sorted((PORTRAITS / name).glob("*.jpg"))[::12]]
    pictures = np.stack([np.asarray(Image.open(path).convert("RGB").resize((side_px, side_px))) for path in paths])
    before = finder.main_faces(pictures)
    assert np.isfinite(before).all()
    assert (finder.kept(pictures, before) == 1).all()
    assert (finder.kept(np.roll(pictures, side_px // 2, axis=2), before) == 0).all()
    assert (finder.kept(np.full_like(pictures, 128), before) == 0).all()

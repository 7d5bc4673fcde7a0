"""What models share: the same scores as measured at once, kept and read again, measured once."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.measure.judge import Trial, Yardstick, judge_common, judge_model
from pipeline.evaluation.measure.shared_scores import Common, read_common, write_common
from tests.pipeline.evaluation.measure.test_faces import Told
from tests.pipeline.evaluation.measure.test_judge import FourColours
from tests.pipeline.evaluation.worlds import JUDGED_PX, background_blur, photos, scenes

WORLD, SCENES = photos(12), scenes(3)


def segment(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Takes what is dark for the subject."""
    return [np.where(picture.mean(axis=2) < 128, 255, 0).astype(np.uint8) for picture in pictures]


class Everywhere(Told):
    """Finds one face in every picture."""

    def __init__(self) -> None:
        super().__init__({})

    def boxes(self, picture: np.ndarray) -> np.ndarray:
        return np.array([[4, 4, 9, 9]], np.float32)


@pytest.fixture
def yardstick() -> Yardstick:
    return Yardstick(photos(20), FourColours(), segment, Everywhere())


def test_it_comes_back_as_it_was(tmp_path: Path, yardstick: Yardstick) -> None:
    made = judge_common(Trial(JUDGED_PX, WORLD, (SCENES, SCENES.mask), yardstick=yardstick))
    write_common(made, tmp_path / "kept")
    found = read_common(tmp_path / "kept")
    assert found is not None
    assert found.scores.equals(made.scores.reset_index(drop=True))
    assert found.widths == made.widths
    assert found.references.keys() == made.references.keys() == {"", "background_"}
    for name in made.references:
        np.testing.assert_array_equal(found.references[name], made.references[name])
    np.testing.assert_array_equal(found.masks, made.masks)
    np.testing.assert_array_equal(found.faces, made.faces)
    for name in ("softness_b", "softness_inputs"):
        np.testing.assert_array_equal(getattr(found, name).relative, getattr(made, name).relative)


def test_what_was_not_measured_is_none_again(tmp_path: Path) -> None:
    made = judge_common(Trial(JUDGED_PX, WORLD))
    write_common(made, tmp_path)
    found = read_common(tmp_path)
    assert found is not None
    assert (found.masks, found.faces, found.widths, found.references) == (None, None, {}, {})


def test_a_model_scores_the_same_with_and_without_what_was_kept(tmp_path: Path, yardstick: Yardstick) -> None:
    truth = (SCENES, SCENES.mask)
    write_common(judge_common(Trial(JUDGED_PX, WORLD, truth, yardstick=yardstick)), tmp_path / "kept")
    tables = [
        judge_model(
            "m@0", background_blur(1.5), Trial(JUDGED_PX, WORLD, truth, yardstick=yardstick), tmp_path / name, common=common
        )
        for name, common in (("at-once", None), ("with-kept", read_common(tmp_path / "kept")))
    ]
    assert tables[0].equals(tables[1])


def test_with_what_was_kept_only_the_model_is_measured(tmp_path: Path, yardstick: Yardstick) -> None:
    common = judge_common(Trial(JUDGED_PX, WORLD, yardstick=yardstick))
    seen: list[int] = []

    class Counting(FourColours):
        def look(self, images: np.ndarray) -> SimpleNamespace:
            seen.append(len(images))
            return super().look(images)

    counted = Yardstick(yardstick.shallow, Counting(), segment, Everywhere())
    judge_model("m@0", background_blur(1.5), Trial(JUDGED_PX, WORLD, yardstick=counted), tmp_path / "p", common=common)
    assert sum(seen) == 2 * len(WORLD.ids), "one pass for each input and one for each output"


@pytest.mark.parametrize("damage", ["scores.parquet", "arrays.npz"])
def test_unfinished_or_damaged_remains_are_made_anew(tmp_path: Path, damage: str) -> None:
    assert read_common(tmp_path) is None
    write_common(judge_common(Trial(JUDGED_PX, WORLD)), tmp_path)
    (tmp_path / damage).write_bytes(b"cut off")
    assert read_common(tmp_path) is None
    (tmp_path / damage).unlink()
    assert read_common(tmp_path) is None


def test_no_damaged_byte_is_more_than_nothing(tmp_path: Path) -> None:
    write_common(Common(pd.DataFrame(columns=["photo_id", "method", "metric", "value"]), {"": np.ones((2, 3))}), tmp_path)
    path = tmp_path / "arrays.npz"
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        found = read_common(tmp_path)
        assert found is None or found.references.keys() <= {""}
    path.write_bytes(whole[: len(whole) // 2])
    assert read_common(tmp_path) is None


def test_an_empty_common_holds_nothing() -> None:
    common = Common(judge_common(Trial(JUDGED_PX, WORLD)).scores)
    assert not common.references
    assert not len(common.softness_b)

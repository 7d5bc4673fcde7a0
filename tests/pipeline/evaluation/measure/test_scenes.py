"""Loading the truth: what is read, and what is said when something is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import DatasetError
from pipeline.evaluation.measure.scenes import Cut, load_scenes, load_true_masks

SIDE_PX = 20
HEADER = "scene,sharp,shallow,mask,depth\n"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def top_left(pixels: np.ndarray) -> np.ndarray:
    return pixels[:SIDE_PX, :SIDE_PX]


def frame(sharp: np.ndarray) -> tuple[Cut, np.ndarray]:
    """As if the subject were found everywhere, and lay at the top left."""
    return top_left, np.full(sharp.shape[:2], 255, np.uint8)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two scenes of 48×40 pixels; grey 10, 20 and a mask on the left half."""
    folder, mask = tmp_path / "scoring", np.zeros((40, 48), np.uint8)
    mask[:, :24] = 255
    for name in ("s1", "s2"):
        save(folder / f"{name}_sharp.png", np.full((40, 48, 3), 10, np.uint8))
        save(folder / f"{name}_shallow.png", np.full((40, 48, 3), 20, np.uint8))
        save(folder / f"{name}_mask.png", mask)
    rows = [f"{name},{name}_sharp.png,{name}_shallow.png,{name}_mask.png,{name}_depth.png\n" for name in ("s1", "s2")]
    (folder / "scoring.csv").write_text(HEADER + "".join(rows))
    return tmp_path


def test_scenes_are_framed_as_their_sharp_picture_asks(truth: Path) -> None:
    scenes, alpha = load_scenes(truth, frame)
    assert scenes.ids == ["scene:s1", "scene:s2"]
    assert scenes.sharp.shape == scenes.shallow.shape == (2, SIDE_PX, SIDE_PX, 3)
    assert (scenes.sharp == 10).all()
    assert (scenes.shallow == 20).all()
    assert (scenes.mask == 255).all()  # the true subject covers the left 24 columns
    assert (alpha == 255).all()
    assert alpha.shape == scenes.mask.shape


def test_how_scenes_were_taken_is_read_where_it_is_told(truth: Path) -> None:
    assert load_scenes(truth, frame)[0].conditions == {}
    path = truth / "scoring" / "scoring.csv"
    lines = path.read_text().splitlines()
    path.write_text(f"{lines[0]},aperture_mm,focus_distance_m\n{lines[1]},70.5,0.9\n{lines[2]},,0.8\n")
    conditions = load_scenes(truth, frame)[0].conditions
    assert set(conditions) == {"aperture_mm", "focus_distance_m"}
    assert conditions["focus_distance_m"] == [0.9, 0.8]
    assert conditions["aperture_mm"][0] == 70.5
    assert np.isnan(conditions["aperture_mm"][1])


def test_true_masks_are_found_by_number_and_cut_as_their_pictures_were(truth: Path) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[:, 20:] = 255
    save(truth / "masks" / "123.png", mask)
    pictures = {
        "flickr:123#x0y0": ("flickr:123", top_left),
        "flickr:123#x20y0": ("flickr:123", lambda pixels: pixels[:SIDE_PX, 20:]),
        "flickr:124": ("flickr:124", top_left),
    }
    found = load_true_masks(truth, pictures, SIDE_PX)
    assert found.photo_ids == ["flickr:123#x0y0", "flickr:123#x20y0"]
    assert found.masks.shape == (2, SIDE_PX, SIDE_PX)
    assert (found.masks[0] == 0).all()
    assert (found.masks[1] == 255).all()


def test_no_true_masks_are_an_empty_set(truth: Path) -> None:
    found = load_true_masks(truth, {"flickr:123": ("flickr:123", top_left)}, 16)
    assert found.photo_ids == []
    assert found.masks.shape == (0, 16, 16)


def test_a_missing_list_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"scoring\.csv: there is no such list of scenes; correct `truth`"):
        load_scenes(tmp_path, frame)


def test_missing_columns_are_named(truth: Path) -> None:
    (truth / "scoring" / "scoring.csv").write_text("scene,sharp\ns1,s1_sharp.png\n")
    with pytest.raises(DatasetError, match="lacks the columns shallow, mask"):
        load_scenes(truth, frame)


@pytest.mark.parametrize(("text", "says"), [(HEADER, "lists no scenes"), ("", "cannot be read as CSV")])
def test_an_empty_list_is_refused(truth: Path, text: str, says: str) -> None:
    (truth / "scoring" / "scoring.csv").write_text(text)
    with pytest.raises(DatasetError, match=says):
        load_scenes(truth, frame)


def test_a_scene_listed_twice_is_refused(truth: Path) -> None:
    path = truth / "scoring" / "scoring.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    with pytest.raises(DatasetError, match="names the scene 's1' twice"):
        load_scenes(truth, frame)


def test_a_missing_picture_is_named(truth: Path) -> None:
    (truth / "scoring" / "s2_shallow.png").unlink()
    with pytest.raises(DatasetError, match=r"s2_shallow\.png: this picture is listed but not there"):
        load_scenes(truth, frame)


def test_a_broken_picture_is_named(truth: Path) -> None:
    (truth / "scoring" / "s2_mask.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"s2_mask\.png: cannot be read as a picture"):
        load_scenes(truth, frame)


def test_pictures_of_different_sizes_are_refused(truth: Path) -> None:
    save(truth / "scoring" / "s1_shallow.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"scene 's1' differ in size .*s1_sharp\.png 48×40, s1_shallow\.png 40×40"):
        load_scenes(truth, frame)

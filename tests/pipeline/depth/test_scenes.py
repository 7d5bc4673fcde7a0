"""Rendered sets as they are read back, and what of them is refused; depth in colour."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.depth.colours import UNKNOWN_GREY, coloured, coloured_error, range_of
from pipeline.depth.scenes import read_true_scenes
from pipeline.errors import DatasetError

HEADER = "scene,view,rgb,depth,mask,refocused,focus_dioptre,px_per_dioptre"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One scene of 12 by 8 pixels with two views: the left half at 1 m, the right one at 2 m."""
    near = np.tile(np.arange(12) < 6, (8, 1))
    pictures = {"rgb/7.png": np.full((8, 12, 3), 90), "refocused/7_0.png": np.full((8, 12, 3), 91),
                "refocused/7_1.png": np.full((8, 12, 3), 92), "mask/7.png": near * 255}  # fmt: skip
    for name, pixels in pictures.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
    (tmp_path / "depth").mkdir()
    Image.fromarray(np.where(near, 2000, 1000).astype(np.uint16)).save(tmp_path / "depth" / "7.png")
    (tmp_path / "depth.toml").write_text('unit = "dioptre"\nsteps_per_unit = 2000\n')
    rows = ["7,1,rgb/7.png,depth/7.png,mask/7.png,refocused/7_1.png,0.5,4.0",
            "7,0,rgb/7.png,depth/7.png,mask/7.png,refocused/7_0.png,1.0,4.0"]  # fmt: skip
    (tmp_path / "views.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return tmp_path


def test_a_scene_has_depth_and_its_views_in_order(folder: Path) -> None:
    (scene,) = read_true_scenes(folder)
    assert (scene.name, scene.rgb.shape, scene.alpha.shape) == ("7", (8, 12, 3), (8, 12))
    assert scene.disparity[0, [0, 11]].tolist() == [1.0, 0.5]
    assert [(view.number, view.lens.focus, int(view.picture[0, 0, 0])) for view in scene.views] == [
        (0, 1.0, 91),
        (1, 0.5, 92),
    ]


def test_a_folder_without_a_list_has_no_scenes(tmp_path: Path) -> None:
    assert read_true_scenes(tmp_path) == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "views.csv").write_text("scene,view\n7,0\n"), "lacks the columns rgb"),
        (lambda folder: (folder / "depth.toml").unlink(), "does not tell in which unit"),
        (lambda folder: (folder / "depth.toml").write_text('unit = "disparity"\n'), "does not tell in which unit"),
        (lambda folder: (folder / "refocused" / "7_1.png").unlink(), "cannot be read as a picture"),
        (lambda folder: Image.new("L", (8, 8)).save(folder / "mask" / "7.png"), "differ in size"),
        (lambda folder: (folder / "views.csv").write_text(
            f"{HEADER}\n7,0,rgb/7.png,depth/7.png,mask/7.png,refocused/7_0.png,near,4.0\n"), "the lens of"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(folder: Path, spoil: object, told: str) -> None:
    assert callable(spoil)
    spoil(folder)
    with pytest.raises(DatasetError, match=told):
        read_true_scenes(folder)


def test_near_is_light_far_is_dark_and_the_unknown_grey() -> None:
    disparity = np.array([[0.0, 0.5, 1.0, 2.0]], np.float32)
    far, near = range_of(disparity)
    assert 0.5 <= far < near <= 2.0
    seen = coloured(disparity, far, near)[0].astype(int)
    assert seen[0].tolist() == [UNKNOWN_GREY] * 3
    assert seen[1].sum() < seen[2].sum() < seen[3].sum()


def test_errors_are_blue_where_too_near_red_where_too_far_and_white_where_right() -> None:
    true = np.array([[1.0, 1.0, 1.0, 0.0]], np.float32)
    near, far, right, unknown = coloured_error(np.array([[3.0, 0.3, 1.0, 5.0]], np.float32), true)[0].astype(int)
    assert near[2] > near[0]
    assert far[0] > far[2]
    assert right.tolist() == [255] * 3
    assert unknown.tolist() == [UNKNOWN_GREY] * 3

"""The committed scenes with depth: complete, of one seed each, and as a person would bring them."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.depth.layouts import pairs
from pipeline.depth.scenes import read_true_scenes
from pipeline.plain_files import read_plain
from pipeline.studio import depth_study
from pipeline.studio.depth_set import DepthSet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("study")
    depth_study.build_depth_study(built)
    return built


def test_every_training_scene_is_a_pair_with_a_mask(folder: Path) -> None:
    found = pairs(folder / depth_study.PAIRS)
    assert len(found.pairs) == sum(part.scenes for part in depth_study.TRAINING)
    assert not found.problems
    for pair in found.pairs[::20]:
        assert pair.depth is not None
        depth, picture = pair.depth(read_plain), pair.rgb(read_plain)
        assert 0.2 < depth.range_m()[0] < depth.range_m()[2] < 20
        assert (folder / depth_study.MASKS / f"{sha256(picture).hexdigest()}.png").exists()


def test_scenes_held_out_have_planes_far_apart(folder: Path) -> None:
    scenes = read_true_scenes(folder / depth_study.TRUTH)
    assert [int(scene.name) for scene in scenes] == [seed for part in depth_study.HELD_OUT for seed in part.seeds]
    for scene in scenes:
        planes = [view.lens.focus for view in scene.views[1:]]
        assert len(planes) == 5
        assert planes == sorted(planes)
        assert planes[-1] > 1.5 * planes[0]


def test_what_is_committed_is_rendered_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mitsuba")
    tiny = (DepthSet(1, 16, 0, 5, clean=False),), (DepthSet(1, 16, 1, 6, clean=False),)
    monkeypatch.setattr(depth_study, "HELD_OUT", tiny[1])
    monkeypatch.setattr(depth_study, "SETS", {"training": tiny[0], "held_out": tiny[1]})
    depth_study.render_depth_pictures(tmp_path / "rendered", tmp_path / "pictures")
    (scene,) = read_true_scenes(tmp_path / "pictures" / "depth" / "held_out")
    with Image.open(tmp_path / "rendered" / "held_out" / "depth" / "6.png") as stored:
        finer = np.asarray(stored).astype(float) / 10_000
    assert np.abs(scene.disparity - finer).max() <= 0.5 / 2000 + 1e-6
    assert sorted(path.name for path in (tmp_path / "pictures").rglob("5.*")) == ["5.jpg", "5.png", "5.png"]

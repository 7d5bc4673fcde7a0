"""Pictures through a lens are judged as they are: true depth obeys, a flat map cannot, and zones are told apart."""

import numpy as np
import pandas as pd
import pytest

from pipeline.depth.colours import range_of
from pipeline.depth.refocus import ThinLens, refocus_photo
from pipeline.depth.scenes import TrueScene, TrueView
from pipeline.evaluation.measure.tiles import picture_folder, read_pictures, told_of
from pipeline.operations import depth_evaluation as judged

SIDE_PX = 48


@pytest.fixture(scope="module")
def scene() -> TrueScene:
    """Three stripes of noise, each farther than the other; views are what the lens makes of true depth."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    disparity = np.tile(np.repeat([0.3, 0.8, 1.3], SIDE_PX // 3), (SIDE_PX, 1)).astype(np.float32)
    lenses = [ThinLens(focus, 6.0) for focus in (1.3, 0.3, 0.8, 1.3)]
    views = [TrueView(number, refocus_photo(rgb, disparity, lens), lens) for number, lens in enumerate(lenses)]
    return TrueScene("7", rgb, disparity, np.where(disparity > 1, 255, 0).astype(np.uint8), views)


@pytest.fixture(scope="module")
def scores(scene: TrueScene) -> pd.DataFrame:
    maps = {"depth@0": scene.disparity * 1.0, "mask, two constants": np.full_like(scene.disparity, 0.7),
            judged.TRUE_DEPTH: scene.disparity}  # fmt: skip
    rows = judged._view_rows(scene, 0, maps, None, asked=tuple(maps))
    return pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])


def mean(scores: pd.DataFrame, method: str, metric: str) -> float:
    return scores[(scores["method"] == method) & (scores["metric"] == metric)]["value"].mean()


def test_true_depth_obeys_however_the_plane_is_told_and_a_flat_map_does_not(scores: pd.DataFrame) -> None:
    for told in ("map", "patch", "click"):
        assert mean(scores, "depth@0", f"obeyed_{told}") == 1
        assert mean(scores, "mask, two constants", f"obeyed_{told}") < 0.7


def test_errors_are_told_by_zone(scores: pd.DataFrame) -> None:
    assert mean(scores, "depth@0", "l1") == 0
    assert mean(scores, judged.UNCHANGED, "l1_out_of_focus") > 2 * mean(scores, judged.UNCHANGED, "l1_in_focus")
    assert mean(scores, "depth@0", "psnr_db_rim") == 100
    assert mean(scores, judged.UNCHANGED, "changed_in_focus") == 0
    assert scores["photo_id"].unique().tolist() == [f"scene:7@{view}" for view in range(4)]


def test_a_map_without_metres_is_brought_to_the_truths_scale(scene: TrueScene) -> None:
    found = judged._in_dioptres({"m": scene.disparity * 7 + 3}, scene, "m", is_metric=False)
    assert np.abs(found["m"] - scene.disparity).max() < 1e-3


def test_a_sweep_is_drawn_from_far_to_near(scene: TrueScene, tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path)) / "translated"
    with picture_folder(folder) as writer:
        judged._draw_sweep(writer, "scene:7", "model", scene.rgb, scene.disparity, is_metric=True)
        judged._draw_sweep(writer, "scene:8", "model", scene.rgb, np.ones_like(scene.disparity), is_metric=True)
    (tiles,) = read_pictures(folder)
    assert len(tiles.files) == 1 + judged.SWEEP_PLANES * len(judged.SWEEP_PERCENT)
    metres = [float(one) for one in told_of(tiles.files["planes-model"]).split()]
    far, near = range_of(scene.disparity)
    assert metres == sorted(metres, reverse=True)
    np.testing.assert_allclose([metres[0], metres[-1]], [1 / far, 1 / near], rtol=0.01)

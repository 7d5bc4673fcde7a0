"""Maps of kept photos: made once, made anew when what they come from changes, and what cannot be right is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.depth.depth_maps import GivenDepth, PredictedDepth, estimate_photos, odd_maps, with_estimated_depth
from pipeline.depth.maps import read_map
from pipeline.depth.units import DepthMap, DepthUnit
from pipeline.errors import ConfigError

SIDE_PX = 64
SUBJECT = np.zeros((SIDE_PX, SIDE_PX), bool)
SUBJECT[16:48, 16:48] = True
NEAR = np.where(SUBJECT, 1.0, 0.4).astype(np.float32)


def masks(count: int = 2) -> pd.DataFrame:
    rows = [(f"folder:{k}", "ordinary", f"{k}" * 64, f"m/{k}.png") for k in range(1, count + 1)]
    return pd.DataFrame(rows, columns=["photo_id", "domain", "sha256", "mask"])


def picture(sha256: str) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 20, (SIDE_PX, SIDE_PX, 3))
    return (np.where(SUBJECT[..., None], 200, 40) + noise).astype(np.uint8)


def alpha(mask: str) -> np.ndarray:
    return np.where(SUBJECT, 255, 0).astype(np.uint8)


class Network:
    """Predicts one map, and counts how often it is asked."""

    def __init__(self, disparity: np.ndarray) -> None:
        self.disparity, self.asked = disparity.astype(np.float32), 0

    def __call__(self, rgb: np.ndarray) -> DepthMap:
        self.asked += 1
        return DepthMap(self.disparity, is_metric=True)


def test_a_map_is_made_once_and_says_what_its_numbers_mean(tmp_path: Path) -> None:
    network = Network(NEAR)
    first = estimate_photos(masks(), PredictedDepth("a", network), tmp_path, picture, alpha)
    assert network.asked == 2
    again = estimate_photos(masks(), PredictedDepth("a", network), tmp_path, picture, alpha)
    assert network.asked == 2
    pd.testing.assert_frame_equal(first, again)
    row = first.iloc[0]
    stored, encoding = read_map(tmp_path / row["depth_source"])
    assert encoding == f"{row['unit']} {float(row['scale'])!r} {float(row['shift'])!r}"
    assert np.abs(row["scale"] * stored + row["shift"] - NEAR).max() < 1e-4
    assert (row["nearest_m"], row["farthest_m"], row["known"]) == (pytest.approx(1), pytest.approx(2.5), 1)
    assert row["nearer"] == pytest.approx(2.5)
    assert not any(odd_maps(first).values())
    estimate_photos(masks(), PredictedDepth("b", network), tmp_path, picture, alpha)
    assert network.asked == 4


def test_what_an_earlier_result_lists_is_not_even_read(tmp_path: Path) -> None:
    read: list[str] = []

    def noting(sha256: str) -> np.ndarray:
        read.append(sha256[0])
        return picture(sha256)

    def made(of: pd.DataFrame, known: pd.DataFrame | None, network: str = "a") -> pd.DataFrame:
        estimator = PredictedDepth(network, Network(NEAR))
        return estimate_photos(of, estimator, tmp_path, noting, alpha, lambda done, total: None, known)

    drawn = masks(3).assign(mask_sha256=["d1", "d2", None])
    first = made(drawn, None)
    assert sorted(read) == ["1", "2", "3"]
    pd.testing.assert_frame_equal(made(drawn, first), first)
    assert len(read) == 3
    of_before = first.drop(columns="mask_sha256")
    assert made(drawn, of_before)["mask_sha256"].tolist()[:2] == ["d1", "d2"]
    assert sorted(read[3:]) == ["1", "2", "3"], "a table of an earlier version tells of no masks"
    read.clear()
    made(masks(4).assign(mask_sha256=["other", "d2", None, "d4"]), first)
    assert sorted(read) == ["1", "4"], "another mask, and a new photo"
    read.clear()
    made(drawn, first.assign(depth_source=["../../elsewhere.png", *first["depth_source"][1:]]))
    assert read == ["1"], "a path that is not ours is not looked for"
    read.clear()
    (tmp_path / first["depth_source"][1]).unlink()
    made(drawn, first)
    assert read == ["2"]
    read.clear()
    made(drawn, first, "b")
    assert sorted(read) == ["1", "2", "3"]


def test_a_damaged_map_is_made_anew(tmp_path: Path) -> None:
    network = Network(NEAR)
    (path,) = estimate_photos(masks(1), PredictedDepth("a", network), tmp_path, picture, alpha)["depth_source"]
    (tmp_path / path).write_bytes(b"spoilt")
    estimate_photos(masks(1), PredictedDepth("a", network), tmp_path, picture, alpha)
    assert network.asked == 2


def test_an_inverted_map_is_found_out(tmp_path: Path) -> None:
    found = estimate_photos(masks(1), PredictedDepth("a", Network(1.4 - NEAR)), tmp_path, picture, alpha)
    assert "inverted" in odd_maps(found)["odd"][0]
    assert found["nearer"][0] < 1


def test_given_maps_are_found_by_photo_or_picture_and_followed(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    np.save(given / "folder_1.npy", 1 / NEAR)
    found = estimate_photos(masks(), GivenDepth(given, DepthUnit.parse("m")), tmp_path / "depth", picture, alpha)
    assert found["depth_source"].notna().tolist() == [True, False]
    assert odd_maps(found)["without a map"] == [f"folder:2: {given} has no folder_2.png or {'2' * 64}.png"]
    np.save(given / "folder_1.npy", 2 / NEAR)
    np.save(given / f"{'2' * 64}.npy", np.ones((SIDE_PX, 2 * SIDE_PX)))
    again = estimate_photos(masks(), GivenDepth(given, DepthUnit.parse("m")), tmp_path / "depth", picture, alpha)
    assert again["farthest_m"][0] == pytest.approx(5, rel=1e-3)
    assert "other proportions" in again["detail"][1]
    np.save(given / "folder_1.npy", 1000 / NEAR)
    wrong = estimate_photos(masks(1), GivenDepth(given, DepthUnit.parse("m")), tmp_path / "depth", picture, alpha)
    assert "which no portrait has" in wrong["detail"][0]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        GivenDepth(tmp_path / "none", DepthUnit.parse("mm"))


def test_what_came_with_a_photo_counts_before_what_is_estimated(tmp_path: Path) -> None:
    maps = estimate_photos(masks(), PredictedDepth("a", Network(NEAR)), tmp_path, picture, alpha)
    plain = with_estimated_depth(masks(), maps)
    assert plain["depth_source"].tolist() == maps["depth_source"].tolist()
    own = masks().assign(depth_source=["imported/x.png", None], depth_source_sha256=["ab", None])
    both = with_estimated_depth(own, maps)
    assert both["depth_source"].tolist() == ["imported/x.png", maps["depth_source"][1]]
    assert both["depth_source_sha256"].tolist() == ["ab", maps["depth_source_sha256"][1]]

"""Folders with depth as training data: what is cut, and what is left out with its reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.dataset.shards import Shard
from pipeline.errors import DatasetError
from pipeline.operations.depth_pairs import pack_pairs
from pipeline.photos.decode import decode
from pipeline.picture_layers import BY_NAME, Encoding
from pipeline.plain_files import read_plain

SIDE_PX = 16


def put(folder: Path, name: str, depth: np.ndarray, width_px: int = 24) -> None:
    """A picture whose left third is black, and its map in millimetres."""
    rgb = np.full((SIDE_PX, width_px, 3), 200, np.uint8)
    rgb[:, : width_px // 3] = 0
    for kind, pixels in (("rgb", rgb), ("depth", depth)):
        (folder / kind).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{name}.png")


def packed(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    (folder / "depth.toml").write_text('unit = "mm"\n')
    (folder / "shards").mkdir()
    rows, problems = pack_pairs(
        folder, SIDE_PX, "ordinary", folder / "shards", read_plain, lambda data: decode(data, 10_000).rgb
    )
    return rows, list(problems)


def test_the_middle_is_cut_alike_from_picture_and_map(tmp_path: Path) -> None:
    depth = np.full((SIDE_PX, 24), 2000, np.uint16)
    depth[:, :8] = 1000
    put(tmp_path, "one", depth)
    rows, problems = packed(tmp_path)
    assert problems == []
    shard = Shard(tmp_path / "shards" / rows["shard"][0])
    stored = shard.stored(BY_NAME["depth"], 0)
    assert stored is not None
    metres = 1 / Encoding.parse(str(shard.encoding(BY_NAME["depth"], 0))).disparity(stored)
    np.testing.assert_allclose(metres[:, :4], 1.0, atol=1e-3)
    np.testing.assert_allclose(metres[:, 4:], 2.0, atol=1e-3)
    assert (shard.rgb[0][:, :3].max(), shard.rgb[0][:, 6:].min()) == (0, 200)


def test_what_cannot_be_used_is_left_out_by_name(tmp_path: Path) -> None:
    good = np.full((SIDE_PX, 24), 2000, np.uint16)
    put(tmp_path, "good", good)
    put(tmp_path, "turned", good.T.copy())
    put(tmp_path, "unknown", good * 0)
    put(tmp_path, "masked", good)
    (tmp_path / "mask").mkdir()
    Image.fromarray(np.zeros((24, SIDE_PX), np.uint8)).save(tmp_path / "mask" / "masked.png")
    rows, problems = packed(tmp_path)
    assert rows["photo_id"].tolist() == ["good"]
    assert [problem.split(":")[0] for problem in problems] == ["masked", "turned", "unknown"]
    assert "its mask is 16×24, the picture 24×16: other proportions" in problems[0]


def test_a_folder_of_which_nothing_can_be_used_is_refused_with_the_reasons(tmp_path: Path) -> None:
    put(tmp_path, "unknown", np.zeros((SIDE_PX, 24), np.uint16))
    with pytest.raises(DatasetError, match=r"no picture with depth can be used: unknown: .*no pixel has a depth"):
        packed(tmp_path)

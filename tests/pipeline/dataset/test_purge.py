"""Pictures that are taken out of shards, and those beside them."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.dataset.purge import frozen_rows, purge_rows
from pipeline.dataset.shards import Picture, Shard, ShardReader, write_shard


def shard_of(folder: Path, count: int) -> str:
    chance = np.random.default_rng(0)
    return write_shard(
        folder,
        [
            Picture(
                f"{number:032x}",
                chance.integers(1, 255, (32, 32, 3), dtype=np.uint8),
                chance.integers(1, 255, (32, 32), dtype=np.uint8),
            )
            for number in range(count)
        ],
    )


def test_only_rows_that_nobody_needs_are_blanked(tmp_path: Path) -> None:
    name = shard_of(tmp_path, 6)
    before = (tmp_path / name).read_bytes()
    rgb, alpha = ShardReader([tmp_path / name] * 6, list(range(6))).batch(np.arange(6))
    index = Shard(tmp_path / name).index()
    images = pd.DataFrame({"photo_id": ["a", "b", "c", "d", "d2", "e"], "shard": name, "row": [0, 1, 2, 3, 3, 5]})
    frozen = pd.DataFrame({"photo_id": ["c"], "source_sha256": ["s"], "shard": [name], "row": [2], "snapshot": ["x"]})
    for _ in range(2):
        # a goes; c is frozen; the picture of d is that of d2 as well.
        assert purge_rows(images, frozen, ["a", "c", "d", "nobody"], tmp_path) == 1
        now_rgb, now_alpha = ShardReader([tmp_path / name] * 6, list(range(6))).batch(np.arange(6))
        assert not now_rgb[0].any()
        assert not now_alpha[0].any()
        np.testing.assert_array_equal(now_rgb[1:], rgb[1:])
        np.testing.assert_array_equal(now_alpha[1:], alpha[1:])
        after = Shard(tmp_path / name).index()
        pd.testing.assert_frame_equal(after[1:], index[1:])
        assert set(after.loc[0, "key"]) == {"0"}
        assert len((tmp_path / name).read_bytes()) == len(before)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o444


def test_a_shard_that_is_gone_is_no_error(tmp_path: Path) -> None:
    images = pd.DataFrame({"photo_id": ["a"], "shard": "none.arrow", "row": [0]})
    assert purge_rows(images, frozen_rows(tmp_path), ["a"], tmp_path) == 1


def test_frozen_rows_of_all_snapshots(tmp_path: Path) -> None:
    for name in ("one", "two", ".half.tmp"):
        (tmp_path / name).mkdir()
        pd.DataFrame({"photo_id": ["a"], "source_sha256": ["s"], "shard": ["x"], "row": [1], "title": ["t"]}).to_parquet(
            tmp_path / name / "manifest.parquet"
        )
    assert frozen_rows(tmp_path)["snapshot"].tolist() == ["one", "two"]

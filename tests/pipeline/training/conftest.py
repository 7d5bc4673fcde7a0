"""A tiny run: random pictures in real shards, networks of a few hundred weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.dataset.shards import ShardPicture, write_shard
from pipeline.training.jobs import TrainingJob
from pipeline.training.recipes import TrainingSettings, resolve
from pipeline.training.sampling import ArrayImages

TINY = {
    "size_px": 16,
    "steps": 12,
    "generator_channels": 4,
    "generator_blocks": 1,
    "skip_channels": 4,
    "discriminator_channels": 4,
    "discriminator_layers": 1,
    "pool_size": 3,
    "r1_every_steps": 4,
    "identity_weight": 1.0,
}
STORED_SIZE_PX = 24
TRAIN_A, TRAIN_B, TEST_A = 5, 7, 2


@pytest.fixture
def tiny_settings() -> TrainingSettings:
    return resolve("smoke", TINY)


@pytest.fixture
def random_source() -> Callable[..., ArrayImages]:
    """Makes a source of `count` random pictures of `size_px`, the same for the same arguments."""

    def make(count: int, size_px: int = STORED_SIZE_PX, seed: int = 0) -> ArrayImages:
        generator = np.random.default_rng(seed)
        rgb = generator.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)
        return ArrayImages(rgb, generator.integers(0, 256, (count, size_px, size_px), dtype=np.uint8))

    return make


@pytest.fixture
def make_job(tmp_path: Path, tiny_settings: TrainingSettings) -> Callable[..., TrainingJob]:
    """Makes jobs over one small snapshot on disk; keywords replace fields, `settings` takes overrides."""
    manifest_path = _write_snapshot(tmp_path)

    def make(name: str = "run", settings: dict[str, object] | None = None, **fields: object) -> TrainingJob:
        values = {
            "run_id": f"tiny-{name}",
            "run_dir": tmp_path / "runs" / name,
            "recipe": "tiny",
            "seed": 3,
            "model": "cyclegan",
            "settings": resolve("smoke", {**TINY, **(settings or {})}),
            "snapshot_id": "0123456789abcdef",
            "manifest_path": manifest_path,
            "shards_dir": tmp_path / "shards",
            "lineage": {"code_revision": "abc"},
        }
        return TrainingJob.model_validate({**values, **fields})

    return make


def _write_snapshot(root: Path) -> Path:
    generator, tables = np.random.default_rng(0), []
    for domain, split, count in (
        ("ordinary", "train", TRAIN_A),
        ("shallow", "train", TRAIN_B),
        ("ordinary", "test", TEST_A),
    ):
        side = (STORED_SIZE_PX, STORED_SIZE_PX)
        pictures = [
            ShardPicture(
                f"{domain}-{split}-{number}",
                generator.integers(0, 256, (*side, 3), dtype=np.uint8),
                generator.integers(0, 256, side, dtype=np.uint8),
            )
            for number in range(count)
        ]
        shard = write_shard(root / "shards", pictures)
        ids = [picture.key for picture in pictures]
        row = range(count)
        tables.append(pd.DataFrame({"photo_id": ids, "domain": domain, "split": split, "shard": shard, "row": row}))
    path = root / "manifest.parquet"
    pd.concat(tables).to_parquet(path)
    return path

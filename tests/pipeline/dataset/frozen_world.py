"""A small world of frozen snapshots: noise for pictures, everything else as the pipeline makes it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import DatasetSection
from pipeline.dataset.manifest import build_manifest
from pipeline.dataset.shards import ShardPicture, write_shard
from pipeline.dataset.snapshot import all_rows, freeze
from pipeline.tables import conform

SIZE_PX = 16
LICENSES = ["4", "0", "2", "9", "5", "16"]


def domain_of(number: int) -> str:
    return "ordinary" if number % 2 else "shallow"


def picture(number: int, alpha_of: int | None = None) -> ShardPicture:
    rgb = np.random.default_rng(number).integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
    alpha = np.random.default_rng(10_000 + (number if alpha_of is None else alpha_of)).integers(0, 256, (SIZE_PX, SIZE_PX))
    return ShardPicture(f"key{number}", rgb, alpha.astype(np.uint8))


def listing(numbers: Iterable[int]) -> pd.DataFrame:
    rows = [
        {
            "photo_id": f"flickr:{n}",
            "owner": f"{n % 5}@N00",
            "owner_name": None if n == 3 else f"Ann, {n % 5}",
            "title": f'On the "{n}th" day',
            "license": LICENSES[n % len(LICENSES)],
            "page_url": f"https://www.flickr.com/photos/{n % 5}@N00/{n}/",
            "image_url": f"https://live.staticflickr.com/{n}_h.jpg",
        }
        for n in numbers
    ]
    return pd.DataFrame(rows)


def curated(numbers: Iterable[int]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"photo_id": f"flickr:{n}", "curator": "Bo", "file": "reviewed.csv", "row": n + 2} for n in numbers]
    )


def masks(numbers: Iterable[int]) -> pd.DataFrame:
    rows = [
        {
            "photo_id": f"flickr:{n}", "domain": domain_of(n), "sha256": f"{n:064x}", "split_key": f"flickr:{n}",
            "mask": f"selfie/{n}.png", "mask_sha256": f"{n:064d}", "coverage": 0.4, "reason": None,
        }
        for n in numbers
    ]  # fmt: skip
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class World:
    """Folders of a home, as `pipeline.dataset` sees it."""

    root: Path

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    def images(self, numbers: Iterable[int], shard_rows: int = 4, alphas: dict[int, int] | None = None) -> pd.DataFrame:
        """The table `training_images`, its pictures written where they are missing."""
        numbers, alphas = list(numbers), alphas or {}
        made = {n: picture(n, alphas.get(n)) for n in numbers}
        known = set(all_rows(self.shards)[["pixels_sha256", "alpha_sha256"]].itertuples(index=False, name=None))
        missing = [made[n] for n in numbers if (made[n].pixels_sha256, made[n].alpha_sha256) not in known]
        for start in range(0, len(missing), shard_rows):
            write_shard(self.shards, missing[start : start + shard_rows])
        rows = [
            {
                "photo_id": f"flickr:{n}", "domain": domain_of(n), "split_key": f"flickr:{n}", "sha256": f"{n:064x}",
                "transform": f"centre-square-lanczos-{SIZE_PX}-v1",
                "pixels_sha256": made[n].pixels_sha256, "alpha_sha256": made[n].alpha_sha256,
            }
            for n in numbers
        ]  # fmt: skip
        where = all_rows(self.shards).drop_duplicates(["pixels_sha256", "alpha_sha256"]).drop(columns="key")
        return conform("training_images", pd.DataFrame(rows).merge(where, on=["pixels_sha256", "alpha_sha256"]))

    def manifest(self, images: pd.DataFrame) -> pd.DataFrame:
        return self.manifest_of(images, sorted(int(photo_id.split(":")[1]) for photo_id in images["photo_id"]))

    def manifest_of(self, images: pd.DataFrame, numbers: Iterable[int]) -> pd.DataFrame:
        """The table `dataset_manifest` of these pictures of the photos with these numbers."""
        numbers = list(numbers)
        section = DatasetSection.model_validate({"test_share": {"ordinary": 0.3, "shallow": 0.0}})
        return conform(
            "dataset_manifest",
            build_manifest(images, listing(numbers), curated(numbers), masks(numbers), section, "ordinary"),
        )

    def freeze(self, numbers: Iterable[int], shard_rows: int = 4, alphas: dict[int, int] | None = None) -> str:
        """Freeze a snapshot of these photos; returns its id."""
        manifest = self.manifest(self.images(numbers, shard_rows, alphas))
        return freeze(manifest, self.snapshots, self.shards).name

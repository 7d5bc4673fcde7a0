"""A small world of frozen snapshots: noise for pictures, everything else as the pipeline makes it."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import DatasetSection
from pipeline.dataset.manifest import build_manifest
from pipeline.dataset.shards import ShardPicture, write_shard
from pipeline.dataset.snapshot import all_rows, freeze, locate
from pipeline.picture_layers import DIGESTS, LAYERS, OPTIONAL
from pipeline.tables import conform

SIZE_PX = 16
LICENSES = ["4", "0", "2", "9", "5", "16"]


def domain_of(number: int) -> str:
    return "ordinary" if number % 2 else "shallow"


def picture(number: int, alpha_of: int | None = None) -> ShardPicture:
    rgb = np.random.default_rng(number).integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
    alpha = np.random.default_rng(10_000 + (number if alpha_of is None else alpha_of)).integers(0, 256, (SIZE_PX, SIZE_PX))
    return ShardPicture(f"key{number}", rgb, alpha.astype(np.uint8))


ENCODING = "dioptre 0.0001 0.0"


def layered_picture(number: int) -> ShardPicture:
    """The picture with a map of depth, whose first row is unknown, and a target."""
    plain = picture(number)
    depth = np.random.default_rng(20_000 + number).integers(1, 65_536, (SIZE_PX, SIZE_PX), np.uint16)
    depth[0] = 0
    layers = {"depth": depth, "target": picture(30_000 + number).rgb}
    return ShardPicture(f"layered{number}", plain.rgb, plain.alpha, layers, {"depth": ENCODING})


def layer_columns(made: ShardPicture) -> dict[str, str]:
    """What the tables say of a picture's layers."""
    if not made.layers:
        return {}
    digests = {layer.digest: str(made.digest(layer)) for layer in OPTIONAL}
    number = int(made.key.removeprefix("layered"))
    return {
        **digests, "depth_encoding": ENCODING, "depth_source": f"studio/{number}.png",
        "depth_source_sha256": f"{40_000 + number:064x}",
        "target_source": f"{50_000 + number:064x}", "target_source_sha256": f"{50_000 + number:064x}",
    }  # fmt: skip


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
            "fetched_at_s": 1_700_000_000,
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

    def images(
        self,
        numbers: Iterable[int],
        shard_rows: int = 4,
        alphas: dict[int, int] | None = None,
        layered: Container[int] = (),
    ) -> pd.DataFrame:
        """The table `training_images`, its pictures written where they are missing; those `layered` have all layers."""
        numbers, alphas = list(numbers), alphas or {}
        made = {n: layered_picture(n) if n in layered else picture(n, alphas.get(n)) for n in numbers}
        known = set(all_rows(self.shards)[DIGESTS].itertuples(index=False, name=None))
        missing = [made[n] for n in numbers if tuple(made[n].digest(layer) or "" for layer in LAYERS) not in known]
        for start in range(0, len(missing), shard_rows):
            write_shard(self.shards, missing[start : start + shard_rows])
        rows = [
            {
                "photo_id": f"flickr:{n}", "domain": domain_of(n), "split_key": f"flickr:{n}", "sha256": f"{n:064x}",
                "transform": f"centre-square-lanczos-{SIZE_PX}-v1",
                "pixels_sha256": made[n].pixels_sha256, "alpha_sha256": made[n].alpha_sha256, **layer_columns(made[n]),
            }
            for n in numbers
        ]  # fmt: skip
        return conform("training_images", locate(pd.DataFrame(rows), self.shards).drop(columns="key"))

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

    def freeze(
        self,
        numbers: Iterable[int],
        shard_rows: int = 4,
        alphas: dict[int, int] | None = None,
        layered: Container[int] = (),
    ) -> str:
        """Freeze a snapshot of these photos; returns its id."""
        manifest = self.manifest(self.images(numbers, shard_rows, alphas, layered))
        return freeze(manifest, self.snapshots, self.shards).name

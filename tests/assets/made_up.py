"""A home in which everything is made in no time: tables that hold what was decided and no pictures.

What a table holds follows from its provenance, as it does in truth, and some changes of it change nothing.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from pipeline.config import Project, parse_project
from pipeline.curation.queue import thumbnail_name
from pipeline.dataset.manifest import snapshot_id
from pipeline.operations.planning import Planner
from pipeline.operations.reports import evaluation_provenance
from pipeline.operations.stages import provenance_of
from pipeline.operations.training import run_folder, training_job
from pipeline.tables import columns_of, conform, empty
from storage import Home
from tests.judged_world import train

SETTINGS = {
    "queries": '[{ text = "portrait" }]',
    "radius_bits": "6",
    "min_edge_px": "64",
    "batch_size": "500",
    "views": "4",
    "split": '"share"',
    "perceptual": "false",
    "automatic": "[]",
    "profile": '"smoke"',
    "rules": "[]",
}
PROJECT = """
[collect]
from = "2024-01"
to = "2024-02"
[domains.ordinary]
queries = {queries}
[domains.shallow]
[photos]
min_edge_px = {min_edge_px}
[dedupe]
radius_bits = {radius_bits}
[curation]
batch_size = {batch_size}
rules = {rules}
[masks]
views = {views}
[dataset]
split = {split}
[training]
automatic = {automatic}
[recipes.one]
model = "cyclegan"
profile = {profile}
[recipes.two]
model = "one_sided"
profile = "smoke"
[evaluation]
perceptual = {perceptual}
"""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class MadeUp:
    """One home, its project, and what is on record of it."""

    root: Path
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    made: dict[tuple[str, str | None], float] = field(default_factory=dict)
    history: list[tuple[str, str | None]] = field(default_factory=list)
    """All that was made, in order."""

    @property
    def home(self) -> Home:
        return Home(self.root)

    @property
    def project(self) -> Project:
        return parse_project(PROJECT.format(**self.settings), self.root / "bokehflow.toml")

    @property
    def planner(self) -> Planner:
        return Planner(self.project, self.home, self.root, self)

    # --- what Dagster would have on record

    def made_at_s(self, asset: str, partition: str | None) -> float | None:
        return self.made.get((asset, partition))

    def partitions(self, asset: str) -> set[str]:
        return {partition for name, partition in self.made if name == asset and partition}

    def failed_checks(self, asset: str, checks: Sequence[str]) -> dict[str, str] | None:
        if (asset, None) not in self.made:
            return None
        waits = asset == "curated_photos" and not list(self.home.reviewed.glob("*.csv"))
        return {"enough_kept": "0 of 10"} if waits else {}

    # --- making

    def make(self, asset: str, key: str | None) -> None:
        """Make it, and put it on record."""
        self._makers().get(asset, self._make_table)(asset, key)
        self.made[asset, key] = time.time()
        self.history.append((asset, key))

    def _makers(self) -> dict[str, Callable[[str, str | None], None]]:
        return {
            "dataset_snapshot": self._freeze,
            "trained_model": self._train,
            "evaluation": self._judge,
            "comparison": self._report,
        }

    def _make_table(self, name: str, key: str | None) -> None:
        provenance = provenance_of(self.project, self.home, name, key)
        # Of some changes nothing follows.
        content = digest(f"{name} {key} {int(digest(provenance.to_json()), 16) % 5}")
        rows = self._rows(name, content)
        frame = conform(name, rows.reindex(columns=columns_of(name))) if len(rows) else empty(name)
        with patch("storage.tables.data_version", lambda name, frame: content[:16]):
            self.home.tables.write(name, frame, key, provenance)

    def _rows(self, name: str, content: str) -> pd.DataFrame:
        """A row that speaks of a file, which is made too, or no row at all."""
        photo = {"photo_id": f"flickr:{int(content[:12], 16)}", "domain": "ordinary", "split_key": "s", "sha256": content}
        home, rows = self.home, []
        if name == "photo_files":
            path = home.blobs.path(content)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            rows = [{**photo, "month": "2024-01", "size_bytes": 1, "pending": False, "fetched_at_s": 1}]
        elif name == "unique_photos":
            rows = [{**photo, "width_px": 1, "height_px": 1, "group": photo["photo_id"]}]
        elif name == "photo_hints":
            unique = home.tables.read("unique_photos")["sha256"].iloc[0]
            home.thumbnails.joinpath(thumbnail_name(unique)).parent.mkdir(parents=True, exist_ok=True)
            home.thumbnails.joinpath(thumbnail_name(unique)).touch()
            numbers = dict.fromkeys(columns_of(name), 0)
            rows = [{**numbers, "sha256": unique, "measured_by": content, "camera": "c", "software": "s"}]
        elif name == "person_masks":
            home.masks.mkdir(parents=True, exist_ok=True)
            (home.masks / f"{content}.png").touch()
            rows = [{**photo, "mask": f"{content}.png", "coverage": 0.5}]
        elif name == "training_images":
            home.shards.mkdir(parents=True, exist_ok=True)
            (home.shards / content).touch()
            rows = [{**photo, "transform": "t", "shard": content, "row": 0, "pixels_sha256": content, "alpha_sha256": "a"}]
        elif name == "dataset_manifest":
            digests = {"pixels_sha256": content, "alpha_sha256": "a", "source_sha256": content}
            rows = [{**photo, **digests, "split": "test", "transform": "t", "shard": content, "row": 0}]
        return pd.DataFrame(rows)

    def _freeze(self, asset: str, key: str | None) -> None:
        assert key == snapshot_id(self.home.tables.read("dataset_manifest"))
        (self.home.snapshots / str(key)).mkdir(parents=True)

    def _train(self, asset: str, key: str | None) -> None:
        recipe, _, snapshot = str(key).partition("|")
        train(self.home, snapshot, recipe, training_job(self.project, self.home, snapshot, recipe))

    def _judge(self, asset: str, key: str | None) -> None:
        recipe, _, snapshot = str(key).partition("|")
        run = run_folder(self.home, snapshot, recipe)
        run.translated.mkdir(exist_ok=True)
        provenance = evaluation_provenance(self.project, self.home, None, run)
        self.home.tables.write("evaluation", empty("evaluation"), str(key), provenance)

    def _report(self, asset: str, key: str | None) -> None:
        path = self.home.reports / str(key) / "index.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

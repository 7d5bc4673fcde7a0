"""A small Flickr on loopback, and a home that collects from it headless."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
from PIL import Image

from assets.headless import HeadlessRun, open_instance
from pipeline.config import Project, parse_project
from pipeline.definitions import build_definitions
from pipeline.emulators.collection import Collection, CollectionPhoto
from pipeline.emulators.flickr import Emulator
from pipeline.operations.planning import Plan
from storage import Home

FLICKR = """
[flickr]
endpoint = "{endpoint}"
image_hosts = ["{image_host}"]
retries = 1
"""
PROJECT = """
[collect]
from = "2024-01"
to = "2024-02"
rescrape_weeks = 1
[domains.ordinary]
queries = [{ text = "portrait", licenses = ["4", "0"] }]
[domains.shallow]
[photos]
min_edge_px = 32
threads = 2
"""
KEY, SECRET = "marked-key-5e1f00d", "marked-secret-ca11ab1e"


def save_noise(path: Path, seed: int, edge_px: int = 96) -> None:
    """A picture unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((edge_px, edge_px), Image.Resampling.BICUBIC).save(path, quality=92)


def photo(folder: Path, number: int, month: int = 1, **fields: object) -> CollectionPhoto:
    """A portrait of January 2024, or another month of it, with a picture of its own below `folder`."""
    save_noise(folder / f"{number}.jpg", number)
    begin_s = int(datetime(2024, month, 10, tzinfo=UTC).timestamp())
    values: dict[str, object] = {
        "title": f"portrait {number}",
        "tags": ("portrait",),
        "license": "4",
        "owner_name": "Somebody",
        **fields,
    }
    return CollectionPhoto(
        str(4950000000 + number), f"{number}@N01", begin_s + number, file=f"{number}.jpg",
        **values,
    )  # fmt: skip


class CollectWorld:
    """An emulator, a home, a project; the project's text may be changed between runs."""

    def __init__(self, folder: Path, emulator: Emulator, text: str, instance: dg.DagsterInstance) -> None:
        self.folder, self.emulator, self.text, self.instance = folder, emulator, text, instance
        self.home = Home(folder / "home")
        self.said: list[str] = []

    @property
    def project(self) -> Project:
        flickr = FLICKR.format(endpoint=self.emulator.endpoint, image_host=self.emulator.image_host)
        return parse_project(self.text + flickr, self.folder / "bokehflow.toml")

    def run(self, until: str = "unique_photos", rescrape: bool = False) -> None:
        definitions = build_definitions(self.project, self.home, self.folder / "bokehflow.toml")
        run = HeadlessRun(self.project, self.home, self.folder, definitions, self.instance, self.said.append)
        run.go(Plan(until=until, rescrape=rescrape))

    def materialise(self, asset: str, job: str = "dataset") -> None:
        """Make one asset as a run of Dagster's UI would, with no headless run around it."""
        definition = build_definitions(self.project, self.home, self.folder / "bokehflow.toml").resolve_job_def(job)
        assert definition.execute_in_process(instance=self.instance, asset_selection=[dg.AssetKey(asset)]).success

    def made(self) -> dict[tuple[str, str | None], int]:
        """How often each table was made, by asset and partition."""
        counts: dict[tuple[str, str | None], int] = {}
        for name in ("photo_listing", "photo_files", "fingerprints", "photo_history", "unique_photos"):
            for record in self.instance.fetch_materializations(dg.AssetKey(name), limit=1000).records:
                key = (name, record.partition_key)
                counts[key] = counts.get(key, 0) + 1
        return counts

    def history(self) -> Any:  # noqa: ANN401 - pandas' stubs know no cells
        return self.home.tables.read("photo_history").set_index("photo_id")

    def listing(self, month: int) -> Any:  # noqa: ANN401
        return self.home.tables.read("photo_listing", f"ordinary|2024-{month:02d}").set_index("photo_id")


@contextmanager
def collect_world(
    folder: Path, *photos: CollectionPhoto, text: str = PROJECT, on_disk: bool = False
) -> Iterator[CollectWorld]:
    """The photos' pictures lie in `folder / "collection"`; the key must be in the environment.

    Dagster's instance is in memory or, `on_disk`, the home's own.
    """
    emulator = Emulator(photos)
    emulator.collection = Collection(photos, folder / "collection")
    home = Home(folder / "home")
    with emulator, open_instance(home) if on_disk else dg.DagsterInstance.ephemeral() as instance:
        yield CollectWorld(folder, emulator, text, instance)

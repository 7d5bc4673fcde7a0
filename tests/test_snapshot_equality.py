"""Equal inputs give the equal snapshot: on other paths, in another order, grown or made at once, and interrupted."""

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from pipeline.dataset.crop import Crop
from pipeline.dataset.layout import ATTRIBUTION, CANONICAL, MANIFEST, list_snapshots
from pipeline.dataset.prepare import Readers, ShardFolder, prepare_images
from pipeline.dataset.shards import Shard
from pipeline.dataset.snapshot import freeze, read_snapshot
from pipeline.licenses import license_name
from pipeline.tables import conform
from tests.conftest import bokehflow, make_demo_home
from tests.pipeline.dataset.frozen_world import World, masks

SAME_BYTES = (CANONICAL, MANIFEST, ATTRIBUTION)


def pictures(root: Path, identifier: str) -> dict[str, tuple[bytes, bytes]]:
    """Pixels and alpha of every row, wherever it is packed."""
    rows = read_snapshot(root / "snapshots", identifier)
    shards = {name: Shard(root / "shards" / name) for name in rows["shard"].unique()}
    places = rows[["photo_id", "shard", "row"]].itertuples(index=False, name=None)
    return {photo: (shards[shard].rgb[row].tobytes(), shards[shard].alpha[row].tobytes()) for photo, shard, row in places}


def assert_equal_snapshots(first: Path, second: Path, identifier: str) -> None:
    for name in SAME_BYTES:
        assert (first / "snapshots" / identifier / name).read_bytes() == (
            second / "snapshots" / identifier / name
        ).read_bytes(), name
    assert pictures(first, identifier) == pictures(second, identifier)


@pytest.mark.parametrize("seed", range(5))
def test_order_packing_and_growth_do_not_count(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    at_once, grown = World(tmp_path / "a"), World(tmp_path / "elsewhere" / "b")
    numbers = list(range(1, 25))
    identifier = at_once.freeze(numbers, shard_rows=9)
    shuffled = chance.sample(numbers, len(numbers))
    cuts = sorted(chance.sample(range(13, 24), 2))
    ids = [grown.freeze(shuffled[:cut], shard_rows=chance.randint(1, 5)) for cut in (*cuts, len(numbers))]
    assert ids[-1] == identifier
    assert len(set(ids)) == 3
    assert len(list(grown.shards.iterdir())) > len(list(at_once.shards.iterdir()))
    assert_equal_snapshots(at_once.root, grown.root, identifier)


@dataclass(frozen=True)
class Photo:
    """A decoded photo, as `prepare_images` reads it."""

    rgb: np.ndarray

    @property
    def extent(self) -> tuple[float, float]:
        return self.rgb.shape[1], self.rgb.shape[0]


def prepare_and_freeze(world: World, numbers: list[int], shard_rows: int, interrupted: Callable[[], None]) -> str:
    """From masks to a snapshot by the pipeline's own functions; `interrupted` may end it anywhere. Returns the id."""

    def pixels(name: str) -> np.ndarray:
        interrupted()
        return np.random.default_rng(int(name, 16)).integers(0, 256, (40, 50, 3), np.uint8)

    images = prepare_images(
        masks=masks(numbers).assign(mask=[f"{number:x}" for number in numbers]),
        readers=Readers(lambda sha256, edge_px: Photo(pixels(sha256)), lambda mask: pixels(mask)[..., 0]),
        shards=ShardFolder(world.shards, shard_rows),
        plan=Crop("subject", 16),
    )
    manifest = world.manifest(conform("training_images", images))
    interrupted()
    with patch("pipeline.dataset.snapshot.license_name", lambda value: (interrupted(), license_name(value))[1]):
        return freeze(manifest, world.snapshots, world.shards).name


@pytest.mark.parametrize("seed", range(5))
def test_interruptions_anywhere_do_not_count(tmp_path: Path, seed: int) -> None:
    chance, interruptions = random.Random(seed), 0

    def perhaps() -> None:
        nonlocal interruptions
        if chance.random() < 0.04:
            interruptions += 1
            raise KeyboardInterrupt

    at_once, grown, numbers = World(tmp_path / "a"), World(tmp_path / "b"), list(range(1, 25))
    identifier = prepare_and_freeze(at_once, numbers, 9, lambda: None)
    shuffled, ids = chance.sample(numbers, len(numbers)), []
    for wanted, cut in enumerate((16, 20, len(numbers)), 1):
        while len(ids) < wanted:
            with suppress(KeyboardInterrupt):
                ids.append(prepare_and_freeze(grown, shuffled[:cut], chance.randint(1, 5), perhaps))
    assert interruptions > 0
    assert ids[-1] == identifier
    assert_equal_snapshots(at_once.root, grown.root, identifier)
    assert not list(tmp_path.rglob("*.tmp"))


def make_small_home(root: Path) -> Path:
    """A demo home with a third of its photos, whose test pictures are enough for each month to be frozen."""
    make_demo_home(root)
    path = root / "collection" / "collection.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[::3]))
    text = (root / "bokehflow.toml").read_text()
    dataset = "[curation]\nmin_kept_per_domain = 3\n\n[dataset]\nshard_rows = 1024\n"
    (root / "bokehflow.toml").write_text(text.replace("[dataset]\n", dataset).replace("ordinary = 0.25", "ordinary = 0.4"))
    return root


def months_of(collection: Path) -> Mapping[str, str]:
    """Upload month by photo id."""
    photos = map(json.loads, (collection / "collection.jsonl").read_text().splitlines())
    return {photo["id"]: f"{datetime.fromtimestamp(photo['date_upload'], UTC):%Y-%m}" for photo in photos}


def hand_in(root: Path, months: set[str], chance: random.Random | None = None) -> None:
    """The reviewer's decisions about the photos of these months: as they are, or shuffled over several files."""
    with (root / "collection" / "decisions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    month_of = months_of(root / "collection")
    wanted = [row for row in rows if month_of.get(row["photo_id"].removeprefix("flickr:")) in months]
    files: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in wanted if chance is None else chance.sample(wanted, len(wanted)):
        files[0 if chance is None else chance.randrange(3)].append(row)
    (root / "review" / "reviewed").mkdir(parents=True, exist_ok=True)
    for number, part in files.items():
        with (root / "review" / "reviewed" / f"{min(months)}-{number}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(part)


def run_with_interruptions(root: Path, chance: random.Random, kills: int, *arguments: str) -> None:
    """`bokehflow run`, killed at random times first."""
    command = [sys.executable, "-m", "pipeline.cli", "run", "--until", "dataset_snapshot", *arguments, "--home", str(root)]
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(3, 14))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = bokehflow(root, "run", "--until", "dataset_snapshot", *arguments)
    assert done.returncode == 0, done.stderr


def newest(root: Path) -> str:
    return list_snapshots(root / "snapshots")[0]


@pytest.mark.slow
@pytest.mark.timeout(900)  # a dozen processes one after another
def test_two_homes_one_killed_at_random_and_grown_month_by_month_give_the_same_snapshot(tmp_path: Path) -> None:
    at_once, grown = make_small_home(tmp_path / "one"), tmp_path / "quite" / "another path"
    shutil.copytree(at_once, grown)
    text = (grown / "bokehflow.toml").read_text()
    (grown / "bokehflow.toml").write_text(text.replace("shard_rows = 1024", "shard_rows = 7"))
    all_months = {"2024-01", "2024-02", "2024-03"}
    hand_in(at_once, all_months)
    done = bokehflow(at_once, "run", "--until", "dataset_snapshot")
    assert done.returncode == 0, done.stderr
    identifier = newest(at_once)

    chance = random.Random(6)
    for number, month in enumerate(sorted(all_months)):
        hand_in(grown, {month}, chance)
        run_with_interruptions(grown, chance, 1 + number % 2, "--to", month)
    assert newest(grown) == identifier
    assert len(list_snapshots(grown / "snapshots")) == 3
    assert_equal_snapshots(at_once, grown, identifier)
    for root in (at_once, grown):
        assert bokehflow(root, "snapshot", "verify").returncode == 0

    changed = read_snapshot(at_once / "snapshots", identifier)["photo_id"].iloc[4]
    decision = at_once / "review" / "reviewed" / "later.csv"
    decision.write_text(f"photo_id,decision,reason,curator\n{changed},drop,edited,Bo\n")
    done = bokehflow(at_once, "run", "--until", "dataset_snapshot")
    assert done.returncode == 0, done.stderr
    assert newest(at_once) != identifier
    diff = bokehflow(at_once, "snapshot", "diff", identifier, newest(at_once), "--json")
    (change,) = json.loads(diff.stdout)["changes"]
    assert (change["photo_id"], change["kind"]) == (changed, "went")
    assert change["why"] == "drop (edited); decided in later.csv, row 2, Bo"


@pytest.mark.slow
def test_a_bundle_is_restored_in_an_empty_home_and_what_is_gone_is_named(finished_demo: Path, tmp_path: Path) -> None:
    identifier = newest(finished_demo)
    bundle, empty = tmp_path / "bundle", tmp_path / "empty"
    assert bokehflow(finished_demo, "snapshot", "export", identifier, str(bundle), "--format", "bundle").returncode == 0
    shutil.copytree(finished_demo / "collection", empty / "collection")
    shutil.copy(finished_demo / "bokehflow.toml", empty)
    gone = str(read_snapshot(finished_demo / "snapshots", identifier)["photo_id"].iloc[7])
    lines = (empty / "collection" / "collection.jsonl").read_text()
    photos = [json.loads(line) for line in lines.splitlines()]
    removed = [{**photo, "removed": photo["removed"] or f"flickr:{photo['id']}" == gone} for photo in photos]
    (empty / "collection" / "collection.jsonl").write_text("".join(f"{json.dumps(photo)}\n" for photo in removed))
    done = bokehflow(empty, "snapshot", "restore", str(bundle))
    assert done.returncode == 1
    assert f"  {gone}: missing, unavailable" in done.stdout
    assert list_snapshots(empty / "snapshots") == []
    (empty / "collection" / "collection.jsonl").write_text(lines)
    done = bokehflow(empty, "snapshot", "restore", str(bundle), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["whole"], found["fetched"], found["already_there"]) == (True, 1, found["pictures"] - 1)
    assert_equal_snapshots(finished_demo, empty, identifier)
    assert bokehflow(empty, "snapshot", "verify").returncode == 0

"""A million photos: every stage that reads all rows, every command and page that looks; seconds, processor, memory.

    python benchmarks/million.py                     the home is made in a temporary folder (some 25 GB) and goes at the end
    python benchmarks/million.py --photos 100000     the same in minutes
    python benchmarks/million.py --home FOLDER       keeps the home; what is made there already is not made again

Photos are made up: rows of tables, written as the program writes them, in the order of its stages. Pictures are links to
empty files of a plausible size, thumbnails of fingerprints are noise (the large ones nothing), training pictures have 32 px.
Each step and command is a process of its own, whose processor seconds and peak memory the system counts.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipeline.config import Project
    from storage import Home

MEMORY_GOAL_MB, COMMAND_GOAL_S, STATUS_GOAL_S, NEXT_PHOTO_GOAL_MS = 4000, 30, 5, 100
MONTHS = [f"{year}-{month:02d}" for year in range(2017, 2025) for month in range(1, 13)]
DOMAINS = ("ordinary", "shallow")
FIRST_ID, FIRST_UPLOAD_S = 4_950_000_000, 1_483_228_800
REFUSED, FAILED, TWICE, DECIDED = 0.03, 0.01, 0.01, 0.8
"""Shares of the photos: refused by a filter, without a file, with the bytes of another; of the queue: decided."""
SIZES, LINKS = 512, 60_000
"""So many sizes of files there are, and so many names one file may have: ext4 allows 65,000."""
PER_BATCH, SHARD_ROWS, SIZE_PX = 20_000, 1024, 32
ASKED, NEXT = 40, 60

PROJECT = """\
[project]
name = "million"
[collect]
from = "2017-01"
to = "2024-12"
[domains.ordinary]
queries = [{ text = "portrait", camera = "apple/iphone_7" }]
[domains.shallow]
queries = [{ text = "bokeh portrait" }]
[photos]
min_edge_px = 128
[curation]
batch_size = 10000
double_review = 0.05
[masks]
views = 1
refine = []
[dataset]
size_px = 32
test_share = { ordinary = 0.05, shallow = 0.0 }
[training]
automatic = []
"""


# --- what the photos are ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MadeUp:
    """Photos 0 … count − 1; what is said of them follows from their number alone."""

    count: int

    def photo_ids(self, numbers: "np.ndarray") -> list[str]:
        """Their ids."""
        return [f"flickr:{FIRST_ID + number}" for number in numbers.tolist()]

    def months(self) -> "Iterator[tuple[str, str, np.ndarray]]":
        """Domain, month and numbers of the photos of each partition."""
        import numpy as np

        numbers = np.arange(self.count)
        for place, domain in enumerate(DOMAINS):
            own = numbers[numbers % 2 == place]
            for at, month in enumerate(MONTHS):
                yield domain, month, own[own // 2 % len(MONTHS) == at]

    @cache  # noqa: B019 - there is one for as long as the process is
    def chance(self, name: str) -> "np.ndarray":
        """A number in [0, 1) for each photo."""
        import numpy as np

        return np.random.default_rng(sum(name.encode())).random(self.count)

    @cache  # noqa: B019
    def pictures(self) -> "np.ndarray":
        """For each photo the number of its picture, −1 where it has none."""
        import numpy as np

        numbers = np.arange(self.count)
        picture = np.where(self.chance("twice") < TWICE, np.maximum(numbers - 7, 0), numbers)
        none = (self.chance("refused") < REFUSED) | (self.chance("failed") < FAILED)
        picture[none[picture]] = numbers[none[picture]]
        return np.where(none, -1, picture)

    @cache  # noqa: B019
    def sizes(self) -> "np.ndarray":
        """Bytes, width and height of each photo's picture, int64 [count, 3]."""
        import numpy as np

        rng = np.random.default_rng(1)
        bytes_of = 150_000 + 777 * rng.integers(0, SIZES, self.count)
        return np.stack([bytes_of, np.full(self.count, 1600), rng.integers(900, 1600, self.count)], axis=1)


def digest_of(number: int) -> str:
    """The SHA-256 that picture has."""
    import hashlib

    return hashlib.sha256(str(number).encode()).hexdigest()


def partition_rows(photos: MadeUp, domain: str, month: str, numbers: "np.ndarray") -> "dict[str, pd.DataFrame]":
    """`photo_listing`, `photo_files` and `fingerprints` of a month."""
    import numpy as np
    import pandas as pd

    count, sizes, picture = len(numbers), photos.sizes()[numbers], photos.pictures()[numbers]
    refused = (photos.chance("refused") < REFUSED)[numbers]
    ids, key = photos.photo_ids(numbers), {"domain": domain, "month": month}
    url = [f"https://live.staticflickr.com/65535/{FIRST_ID + n}_{n:010x}_h.jpg" for n in numbers.tolist()]
    words = np.array(["portrait", "bokeh", "girl", "street", "50mm", "light", "blackhair", "summer", "canon", "face"])
    chosen = np.random.default_rng(int(numbers[0]) if count else 0).integers(0, len(words), (count, 8))
    listing = pd.DataFrame({
        **key, "photo_id": ids, "query": 0, "owner": [f"{n % 50_000}@N00" for n in numbers.tolist()],
        "owner_name": [f"Photographer {n % 50_000}" for n in numbers.tolist()],
        "title": [f"Portrait no. {n}, in the park" for n in numbers.tolist()],
        "tags": [" ".join(row) for row in words[chosen].tolist()], "license": np.array(list("124579"))[numbers % 6],
        "date_upload_s": FIRST_UPLOAD_S + numbers, "date_taken": None, "last_update_s": FIRST_UPLOAD_S + numbers,
        "media": "photo", "page_url": [f"https://www.flickr.com/photos/someone/{FIRST_ID + n}/" for n in numbers.tolist()],
        "image_url": url, "image_width_px": sizes[:, 1], "image_height_px": sizes[:, 2],
        "reason": pd.Series(refused).map({True: "too_small", False: None}), "truncated": False,
        "split": None, "pair": None, "views": 7, "fetched_at_s": FIRST_UPLOAD_S + 10**8,
    })  # fmt: skip
    stored = picture >= 0
    digests = np.array([digest_of(n) if n >= 0 else None for n in picture.tolist()], object)
    sizes = photos.sizes()[np.where(stored, picture, numbers)]
    facts = dict(zip(("size_bytes", "width_px", "height_px"), sizes.T, strict=True))
    known = {name: pd.array(np.where(stored, values, 0), "Int64") for name, values in facts.items()}
    files = pd.DataFrame({
        **key, "photo_id": ids, "image_url": url, "last_update_s": FIRST_UPLOAD_S + numbers, "sha256": digests, **known,
        "format": "JPEG", "frames": 1, "etag": None, "reason": pd.Series(stored).map({True: None, False: "not_found"}),
        "pending": False, "detail": None, "fetched_at_s": FIRST_UPLOAD_S + 10**8,
    })  # fmt: skip
    hashes = [f"{int(text[:16], 16):016x}" if text else "" for text in digests]
    fingerprints = pd.DataFrame({
        "photo_id": ids, "domain": domain, "sha256": digests, **facts, "date_upload_s": FIRST_UPLOAD_S + numbers,
        "phash": hashes, "phash_mirrored": [text[::-1] for text in hashes], "pair": None,
    })  # fmt: skip
    return {"photo_listing": listing, "photo_files": files[~refused], "fingerprints": fingerprints[stored]}


# --- making the home, a process for each step -------------------------------------------------------------------------


def write(project: "Project", home: "Home", name: str, frame: "pd.DataFrame", key: str | None = None) -> None:
    """As the stage of this name does."""
    from pipeline.operations.stages import provenance_of

    home.tables.write(name, frame, key, provenance_of(project, home, name, key))


def tables(project: "Project", home: "Home", photos: MadeUp) -> None:
    """What is collected: three tables a month."""
    from pipeline.tables import empty

    for domain, month, numbers in photos.months():
        for name, frame in partition_rows(photos, domain, month, numbers).items():
            write(project, home, name, frame, f"{domain}|{month}")
    write(project, home, "imported_photos", empty("imported_photos"))


def files(project: "Project", home: "Home", photos: MadeUp) -> None:
    """A name for each picture, thumbnail and mask; and the store of fingerprints."""
    import numpy as np

    from pipeline.curation.queue import thumbnail_name

    picture, sizes = photos.pictures(), photos.sizes()
    numbers = np.unique(picture[picture >= 0])
    digests = {number: digest_of(number) for number in numbers.tolist()}
    by_size = {size: numbers[sizes[numbers, 0] == size].tolist() for size in np.unique(sizes[numbers, 0]).tolist()}
    for size, own in by_size.items():
        link_all([home.blobs.path(digests[number]) for number in own], size)
    for folder, ending in ((home.thumbnails, ".jpg"), (home.masks, ".png")):
        link_all([folder / thumbnail_name(digest).replace(".jpg", ending) for digest in digests.values()], 2000)
    fill_fingerprints(home, list(digests.values()))


def link_all(paths: list[Path], size_bytes: int) -> None:
    """Files of next to nothing that take no room, all of one size."""
    for start in range(0, len(paths), LINKS):
        first, *others = paths[start : start + LINKS]
        for folder in {path.parent for path in (first, *others)}:
            folder.mkdir(parents=True, exist_ok=True)
        with first.open("wb") as file:
            file.write(b"\xff\xd8")  # nothing but zeros is taken for what a power cut has left
            file.truncate(size_bytes)
        for path in others:
            os.link(first, path)


def fill_fingerprints(home: "Home", digests: list[str]) -> None:
    """As `FingerprintStore` writes them; the large thumbnails are holes in their files, which take no room."""
    import hashlib

    import numpy as np

    from pipeline.dedupe.store import LARGE_PX, RECORD, SMALL_PX, VERSION

    rng = np.random.default_rng(2)
    home.fingerprints.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(digests), PER_BATCH):
        own = digests[start : start + PER_BATCH]
        records = np.zeros(len(own), RECORD)
        records["sha256"] = np.frombuffer(bytes.fromhex("".join(own)), np.uint8).reshape(-1, 32)
        records["windows"] = rng.integers(0, 2**64, records["windows"].shape, np.uint64)
        records["mirrored"] = rng.integers(0, 2**64, len(own), np.uint64)
        name = f"v{VERSION}-{hashlib.sha256(records['sha256'].tobytes()).hexdigest()[:16]}"
        large = home.fingerprints / f"{name}.large.npy"
        np.lib.format.open_memmap(large, "w+", np.uint8, (len(own), LARGE_PX, LARGE_PX)).flush()
        np.save(home.fingerprints / f"{name}.small.npy", rng.integers(0, 256, (len(own), SMALL_PX, SMALL_PX), np.uint8))
        np.save(home.fingerprints / f"{name}.records.npy", records)


def history(project: "Project", home: "Home", photos: MadeUp) -> None:
    """The stage `photo_history`."""
    from pipeline.operations.history import make_history
    from resources.sources import SourcesResource

    write(project, home, "photo_history", make_history(project, home, SourcesResource(project)).table)


def unique(project: "Project", home: "Home", photos: MadeUp) -> None:
    """The stage `unique_photos`."""
    from pipeline.operations.duplicates import make_unique_photos

    write(project, home, "unique_photos", make_unique_photos(project, home, lambda done, total: None)[0])


def hints(project: "Project", home: "Home", photos: MadeUp) -> None:
    """`photo_hints` of all pictures."""
    import numpy as np
    import pandas as pd

    from pipeline.hint_table import HINTS
    from pipeline.tables import empty

    digests = home.tables.read("unique_photos", columns=["sha256"])["sha256"].unique()
    rng, count = np.random.default_rng(3), len(digests)
    numbers = {
        name: rng.random(count).round(3) for name, hint in HINTS.items() if hint.scale != "words" and name != "people"
    }
    words = {
        name: ["Apple iPhone 7" if chance < 0.5 else None for chance in rng.random(count).tolist()]
        for name in ("camera", "software")
    }
    measured = {"sha256": digests, **numbers, **words, "people": 1, "inappropriate": np.nan, "measured_by": "benchmark"}
    home.tables.write("unmeasured_pictures", empty("unmeasured_pictures"))
    write(project, home, "photo_hints", pd.DataFrame(measured))


def queue(project: "Project", home: "Home", photos: MadeUp) -> None:
    """The stage `review_queue`."""
    from pipeline.operations.curation import make_queue

    write(project, home, "review_queue", make_queue(project, home).table)


def decide(project: "Project", home: "Home", photos: MadeUp) -> None:
    """Fill in the queue's CSVs as people do in a spreadsheet, and put them where they are read."""
    import numpy as np
    import pandas as pd

    from pipeline.curation.double_review import DoubleReview

    rng, double = np.random.default_rng(4), DoubleReview.of(project.curation)
    home.reviewed.mkdir(parents=True, exist_ok=True)
    for path in sorted(home.review_queue.glob("*.csv")):
        batch = pd.read_csv(path, dtype=str, keep_default_na=False)
        dropped, decided = rng.random(len(batch)) < 0.3, rng.random(len(batch)) < DECIDED
        batch["decision"] = np.where(decided, np.where(dropped, "drop", "keep"), "")
        batch["reason"] = np.where(decided & dropped, "edited", "")
        for curator, rows in (("Ann", batch), ("Ben", batch[batch["photo_id"].map(double.includes)])):
            told = rows.assign(curator=curator)
            told.to_csv(home.reviewed / f"{curator}-{path.name}", index=False, encoding="utf-8-sig", lineterminator="\r\n")


def curated(project: "Project", home: "Home", photos: MadeUp) -> None:
    """The stage `curated_photos`."""
    from pipeline.operations.curation import make_curated

    write(project, home, "curated_photos", make_curated(project, home).table)


def masks(project: "Project", home: "Home", photos: MadeUp) -> None:
    """`person_masks` of all that is kept."""
    import numpy as np

    kept = home.tables.read("curated_photos")
    kept = kept[kept["target_domain"].notna()]
    chance = np.random.default_rng(5).random(len(kept))
    names = [f"{digest[:2]}/{digest}.png" for digest in kept["sha256"]]
    rows = kept[["photo_id", "sha256", "split_key"]].assign(
        domain=kept["target_domain"], mask=names, mask_sha256=kept["sha256"], coverage=0.2 + chance / 2, people=1,
        runner_up=None, uncertainty=(chance / 3).round(3), drawn_by=None, reason=None, detail=None,
    )  # fmt: skip
    write(project, home, "person_masks", rows)


def images(project: "Project", home: "Home", photos: MadeUp) -> None:
    """`training_images` of all masks, tiny pictures in shards."""
    import numpy as np
    import pandas as pd

    from pipeline.dataset.shards import ShardPicture, write_shard
    from pipeline.operations.training_images import plan

    found, rng, places = home.tables.read("person_masks"), np.random.default_rng(6), []
    for start in range(0, len(found), SHARD_ROWS):
        keys = found["mask_sha256"].iloc[start : start + SHARD_ROWS].tolist()
        pixels = rng.integers(0, 256, (len(keys), SIZE_PX, SIZE_PX, 4), np.uint8)
        pictures = [
            ShardPicture(key, np.ascontiguousarray(one[..., :3]), np.ascontiguousarray(one[..., 3]))
            for key, one in zip(keys, pixels, strict=True)
        ]
        shard = write_shard(home.shards, pictures)
        places += [(shard, row, one.pixels_sha256, one.alpha_sha256) for row, one in enumerate(pictures)]
    told = pd.DataFrame(places, columns=["shard", "row", "pixels_sha256", "alpha_sha256"], index=found.index)
    rows = found[["photo_id", "domain", "split_key", "sha256"]].assign(transform=str(plan(project))).join(told)
    write(project, home, "training_images", rows)


def manifest(project: "Project", home: "Home", photos: MadeUp) -> None:
    """The stage `dataset_manifest`."""
    from pipeline.operations.dataset import make_manifest

    frame, problems = make_manifest(project, home)
    assert not problems, problems
    write(project, home, "dataset_manifest", frame)


def snapshot(project: "Project", home: "Home", photos: MadeUp) -> None:
    """The stage `dataset_snapshot`."""
    from pipeline.dataset.manifest import snapshot_id
    from pipeline.operations.dataset import freeze_manifest

    freeze_manifest(project, home, snapshot_id(home.tables.read("dataset_manifest")))


def earlier(project: "Project", home: "Home", photos: MadeUp) -> None:
    """A snapshot of 99 % of the photos."""
    from pipeline.dataset.snapshot import freeze

    frame = home.tables.read("dataset_manifest")
    freeze(frame.iloc[len(frame) // 100 :], home.snapshots, home.shards)


def models(project: "Project", home: "Home", photos: MadeUp) -> None:
    """A model of either snapshot; they were never judged, so that with them something is due."""
    from benchmarks.lineage import add_run
    from pipeline.dataset.snapshot import list_snapshots

    for seed, identifier in enumerate(list_snapshots(home.snapshots)):
        add_run(home, identifier, seed)


def records(project: "Project", home: "Home", photos: MadeUp) -> None:
    """Tell Dagster of all that is made, as its runs would have."""
    import dagster as dg

    from assets.headless import open_instance
    from assets.partitions import SNAPSHOTS
    from pipeline.dataset.manifest import snapshot_id
    from pipeline.operations.stages import STAGES
    from storage.tables import WHOLE

    newest = snapshot_id(home.tables.read("dataset_manifest"))
    with open_instance(home) as instance:
        instance.add_dynamic_partitions(SNAPSHOTS.name or "", [newest])
        made = [(name, None if key == WHOLE else key) for name in STAGES for key in home.tables.partitions(name)]
        for name, key in [*made, ("dataset_snapshot", newest)]:
            instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=key))
        for name, stage in STAGES.items():
            for check in stage.blocking_checks:
                passed = dg.AssetCheckEvaluation(dg.AssetKey(name), check, passed=True, metadata={})
                instance.report_runless_asset_event(passed)


MADE: dict[str, Callable[["Project", "Home", MadeUp], None]] = {
    "tables": tables, "files": files, "photo_history": history, "unique_photos": unique, "photo_hints": hints,
    "review_queue": queue, "decide": decide, "curated_photos": curated, "person_masks": masks, "training_images": images,
    "dataset_manifest": manifest, "dataset_snapshot": snapshot, "earlier": earlier, "photo_history_again": history,
    "unique_photos_again": unique, "review_queue_again": queue, "records": records,
}  # fmt: skip
STAGES_MEASURED = (
    "photo_history", "unique_photos", "review_queue", "curated_photos", "dataset_manifest", "dataset_snapshot",
    "review_queue_again", "photo_history_again", "unique_photos_again",
)  # fmt: skip
OF_MEASURING: dict[str, Callable[["Project", "Home", MadeUp], None]] = {"models": models}


def make(name: str, root: Path, count: int) -> None:
    """One step, in this process."""
    from pipeline.config import load_project
    from storage import Home

    home = Home(root)
    {**MADE, **OF_MEASURING}[name](load_project(home.project_file()), home, MadeUp(count))


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spent:
    """What a process took; memory with what it maps of files."""

    seconds: float
    cpu_s: float
    peak_mb: float
    text: str = ""


def spent(command: list[str], codes: tuple[int, ...] = (0,)) -> Spent:
    """Run a command to its end. Ends the benchmark where it fails."""
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds, process.returncode = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if process.returncode not in codes:
        sys.exit(f"not measured: {' '.join(command)} ended with {process.returncode}: {text[-3000:]}")
    return Spent(round(seconds, 2), round(used.ru_utime + used.ru_stime, 2), round(used.ru_maxrss / 1024), text)


def step(name: str, root: Path, count: int) -> Spent:
    """One step, in a process of its own."""
    return spent([sys.executable, __file__, "--home", str(root), "--photos", str(count), "--step", name])


def ready(root: Path, count: int) -> dict[str, Spent]:
    """Make the home, as far as it is not made; what each step that was made now took."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "bokehflow.toml").write_text(PROJECT, encoding="utf-8")
    done, told = root / "benchmark-steps.json", {}
    if done.exists():
        told = json.loads(done.read_text())
    for name in MADE:
        if name not in told:
            took = step(name, root, count)
            told[name] = [took.seconds, took.cpu_s, took.peak_mb]
            print(f"{name}: {took.seconds} s, {took.cpu_s} CPU s, {took.peak_mb} MB", file=sys.stderr, flush=True)
            done.write_text(json.dumps(told))
    return {name: Spent(*figures) for name, figures in told.items()}


def frozen_photo(root: Path) -> str:
    """A photo that both snapshots hold and that was not forgotten: of no other is there as much to tell, or to purge."""
    from pipeline.dataset.layout import MANIFEST, list_snapshots
    from pipeline.file_names import child
    from pipeline.operations.tombstones import forgotten_photos
    from pipeline.parquet_files import parquet_table
    from storage import Home

    home = Home(root)
    manifests = (child(home.snapshots, name) / MANIFEST for name in list_snapshots(home.snapshots))
    held = [set(parquet_table(path, ["photo_id"])["photo_id"].to_pylist()) for path in manifests]
    return min(set.intersection(*held) - forgotten_photos(home))


def commands(root: Path) -> dict[str, tuple[list[str], tuple[int, ...]]]:
    """Commands that look, by their names, with the exit codes that are no failure."""
    from pipeline.dataset.layout import list_snapshots
    from storage import Home

    first, *_, last = list_snapshots(Home(root).snapshots)
    photo = frozen_photo(root)
    words = {
        "run --plan": "run --plan", "run, the first": "run", "run": "run",
        "status": "status", "status --json": "status --json", "snapshot list": "snapshot list",
        "snapshot show": f"snapshot show {last}", "snapshot diff": f"snapshot diff {first} {last}",
        "lineage photo": f"lineage photo {photo}", "lineage snapshot": f"lineage snapshot {last}",
        "lineage model": "lineage model smoke@0", "duplicates": "duplicates --pages 2", "doctor": "doctor",
        "snapshot publish --dry-run": f"snapshot publish {last} a/b --dry-run",
        "mask-sheet": "mask-sheet --odd",
    }  # fmt: skip
    may_fail = {"duplicates": (0, 1), "doctor": (0, 1), "mask-sheet": (0, 1)}
    return {name: (text.split(), may_fail.get(name, (0,))) for name, text in words.items()}


def asked(root: Path, count: int, only: str = "") -> dict[str, Spent]:
    """What each command takes; those whose names begin with `only`."""
    found, runs = dict[str, Spent](), root / "runs"
    chosen = {name: one for name, one in commands(root).items() if name.startswith(only)}
    if not chosen:
        raise SystemExit(f"no command begins with {only!r}; there are {', '.join(commands(root))}")
    if next(iter(chosen)).startswith("run"):
        shutil.rmtree(runs, ignore_errors=True)
    for name, (words, codes) in chosen.items():
        if not name.startswith("run") and not runs.exists():
            step("models", root, count)
        found[name] = one = spent([sys.executable, "-m", "pipeline.cli", *words, "--home", str(root)], codes)
        print(f"{name}: {one.seconds} s, {one.cpu_s} CPU s, {one.peak_mb} MB", file=sys.stderr, flush=True)
    return found


def reviewed(root: Path) -> dict[str, float]:
    """The review page: until it listens, its next photos, its memory."""
    import requests

    command = [sys.executable, "-m", "pipeline.cli", "review", "--home", str(root), "--port", "0", "--curator", "Eve"]
    start = time.perf_counter()
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        lines = server.stderr or ()
        door = next((found[1] for line in lines if (found := re.search(r"review page on (\S+)", line))), None)
        if door is None:
            raise SystemExit("not measured: the review page did not start")
        session, address = requests.Session(), re.sub(r"/[^/]*$", "", door)
        session.get(door, timeout=300).raise_for_status()
        figures = {"start_s": round(time.perf_counter() - start, 2), "start_cpu_s": cpu_s(server.pid)}
        next_ms, decided_ms = [], []
        token = session.get(f"{address}/session", timeout=60).json()["token"]
        for _ in range(NEXT):
            at = time.perf_counter()
            page = session.get(f"{address}/single", timeout=60)
            page.raise_for_status()
            next_ms.append((time.perf_counter() - at) * 1000)
            photo = re.search(r'data-photo="([^"]+)"', page.text)
            assert photo, page.text[:500]
            at = time.perf_counter()
            fields = {"photo_id": photo[1], "verdict": "keep", "back": "/single"}
            headers = {"X-Review-Token": token, "Accept": "application/json"}
            session.post(f"{address}/decide", data=fields, headers=headers, timeout=60).raise_for_status()
            decided_ms.append((time.perf_counter() - at) * 1000)
        grids = []
        for _ in range(5):
            at = time.perf_counter()
            session.get(f"{address}/grid", timeout=60).raise_for_status()
            grids.append((time.perf_counter() - at) * 1000)
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
        peak = re.search(r"VmHWM:\s+(\d+)", status)
        return {
            **figures, "next_photo_ms": median(next_ms), "next_photo_slowest_ms": round(max(next_ms), 1),
            "decision_ms": median(decided_ms), "grid_ms": median(grids), "cpu_s": cpu_s(server.pid),
            "peak_mb": round(int(peak[1]) / 1024) if peak else 0,
        }  # fmt: skip
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def cpu_s(process: int) -> float:
    """What it has taken so far."""
    import psutil

    times = psutil.Process(process).cpu_times()
    return round(times.user + times.system, 1)


def median(values: list[float]) -> float:
    """Rounded."""
    return round(sorted(values)[len(values) // 2], 1)


def measure(root: Path, count: int) -> None:
    """Make, ask, serve, report."""
    stages = ready(root, count)
    looked = asked(root, count)
    page = reviewed(root)
    looked["forget"] = spent([sys.executable, "-m", "pipeline.cli", "forget", frozen_photo(root), "--home", str(root)])
    after = reviewed(root)
    figures: dict[str, float | str] = {"photos": count, "load_before": round(LOAD[0], 1)}
    for name, one in {**{name: stages[name] for name in STAGES_MEASURED}, **looked}.items():
        figures |= {f"{name}, s": one.seconds, f"{name}, CPU s": one.cpu_s, f"{name}, MB": one.peak_mb}
    figures |= {f"review page, {name}": value for name, value in page.items()}
    figures |= {f"review page after forget, {name}": after[name] for name in ("start_s", "start_cpu_s", "peak_mb")}
    greediest = max([*(stages[name] for name in STAGES_MEASURED), *looked.values()], key=lambda one: one.peak_mb)
    memory = max(greediest.peak_mb, page["peak_mb"], after["peak_mb"])
    started = {"review page": page["start_cpu_s"], "review page after forget": after["start_cpu_s"]}
    of_all = {name: one.cpu_s for name, one in looked.items()} | started
    slowest = max(of_all, key=lambda name: of_all[name])
    status, ms = min(looked["status"].seconds, looked["status"].cpu_s), page["next_photo_ms"]
    figures["slowest command"] = slowest
    report("million" if count == MILLION else f"million_{count}", figures, [
        Goal(f"{count:,} photos: nothing above {MEMORY_GOAL_MB:,} MB", memory, memory <= MEMORY_GOAL_MB),
        Goal(
            f"no command above {COMMAND_GOAL_S} processor seconds", of_all[slowest], of_all[slowest] <= COMMAND_GOAL_S,
        ),
        Goal(f"status within {STATUS_GOAL_S} s", status, status <= STATUS_GOAL_S),
        Goal(f"the review page's next photo within {NEXT_PHOTO_GOAL_MS} ms", ms, ms <= NEXT_PHOTO_GOAL_MS),
    ])  # fmt: skip


LOAD, MILLION = os.getloadavg(), 1_000_000


def main() -> None:
    """Measure in a home of one's own or one that goes at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=MILLION, help="others than a million have a result of their own")
    parser.add_argument("--home", type=Path, help="where the home is made, and stays")
    parser.add_argument("--step", choices=[*MADE, *OF_MEASURING], help="make this step and measure nothing")
    parser.add_argument("--only", help="make the home, then measure only commands that begin so")
    options = parser.parse_args()
    if options.step:
        make(options.step, options.home, options.photos)
    elif options.only is not None:
        ready(options.home, options.photos)
        asked(options.home, options.photos, options.only)
    elif options.home:
        measure(options.home, options.photos)
    else:
        with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
            measure(Path(folder), options.photos)


if __name__ == "__main__":
    main()

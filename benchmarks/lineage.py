"""How long a question about lineage takes in a home of 100,000 photos: the query alone, and the whole command."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import numpy as np
import pandas as pd

from benchmarks.results import Goal, report
from pipeline.config import DatasetSection
from pipeline.dataset.manifest import build_manifest
from pipeline.dataset.shards import ShardPicture, write_shard
from pipeline.dataset.snapshot import freeze
from pipeline.licenses import LICENSES
from pipeline.operations.lineage import lineage_of_model, lineage_of_photo, lineage_of_snapshot
from pipeline.tables import TABLES
from storage import Home

QUERY_GOAL_S, COMMAND_GOAL_S = 1.0, 2.0
MONTHS = [f"{year}-{month:02d}" for year in range(2017, 2025) for month in range(1, 13)]
SNAPSHOTS, SIZE_PX, SHARD_ROWS = 3, 8, 1024
REPEATS = 5


def filled(name: str, rows: Mapping[Any, Any], count: int) -> pd.DataFrame:
    """A table with these columns and harmless values of the right type in the others."""
    columns = TABLES[name].schema.columns
    kinds = {column: str(facts.dtype).lower() for column, facts in columns.items()}
    blanks = {column: 0 if kind.startswith(("int", "float", "bool")) else "x" for column, kind in kinds.items()}
    return pd.DataFrame({**{column: np.full(count, blank) for column, blank in blanks.items()}, **rows})[list(columns)]


def store(home: Home, name: str, frame: pd.DataFrame, key: str | None = None) -> None:
    """Write a table without its checks: what is measured is reading."""
    path = home.tables.path(name, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.sort_values(["domain", "photo_id"] if "domain" in frame else "photo_id").to_parquet(path, index=False)


def build_home(home: Home, count: int) -> tuple[list[str], list[str]]:
    """Tables, shards, three snapshots and two runs of `count` photos; returns photo ids and snapshot ids."""
    chance = np.random.default_rng(0)
    ids = np.array([f"flickr:{4_950_000_000 + number}" for number in range(count)])
    domain = np.where(np.arange(count) % 2, "ordinary", "shallow")
    month = np.array(MONTHS)[chance.integers(len(MONTHS), size=count)]
    source = np.array([f"{number:064x}" for number in range(count)])
    license = np.array(list(LICENSES))[chance.integers(len(LICENSES), size=count)]
    owner = np.array([f"{number}@N00" for number in chance.integers(5000, size=count)])
    common = {"photo_id": ids, "domain": domain}
    origin = {"owner": owner, "owner_name": owner, "license": license, "month": month, "reason": None}
    listing = filled("photo_listing", {**common, **origin}, count)
    files = filled("photo_files", {**common, "month": month, "sha256": source, "reason": None}, count)
    for key, rows in listing.groupby(["domain", "month"]):
        store(home, "photo_listing", rows, "|".join(map(str, key)))  # pyright: ignore[reportArgumentType]
        store(home, "photo_files", files.loc[rows.index], "|".join(map(str, key)))  # pyright: ignore[reportArgumentType]
    flags = {"absent": False, "forgotten": False}
    store(home, "photo_history", filled("photo_history", {"photo_id": ids, **flags}, count))
    unique = {**common, "sha256": source, "group": ids, "split_key": ids, "rule": None, "duplicate_of": None}
    store(home, "unique_photos", filled("unique_photos", unique, count))
    store(home, "review_queue", filled("review_queue", common, count))
    decided = {"decision": "keep", "target_domain": domain, "file": "reviewed.csv", "row": np.arange(count) + 2}
    curated = filled("curated_photos", {**common, "sha256": source, "split_key": ids, **decided}, count)
    store(home, "curated_photos", curated)
    masks = filled("person_masks", {**common, "sha256": source, "split_key": ids, "reason": None}, count)
    store(home, "person_masks", masks)
    images = prepared(home.shards, common, source, count)
    section = DatasetSection.model_validate({"test_share": {"ordinary": 0.05, "shallow": 0.0}})
    manifest = build_manifest(images, listing, curated, masks, section, "ordinary")
    parts = [manifest.iloc[: count - count * part // 100] for part in reversed(range(SNAPSHOTS))]
    snapshots = [freeze(part, home.snapshots, home.shards).name for part in parts]
    for seed in (0, 1):
        add_run(home, snapshots[-1], seed)
    return ids.tolist(), snapshots


def prepared(shards: Path, common: dict[str, Any], source: np.ndarray, count: int) -> pd.DataFrame:
    """The table `training_images`, with tiny pictures in the shards."""
    chance, rows = np.random.default_rng(1), []
    for start in range(0, count, SHARD_ROWS):
        numbers = range(start, min(start + SHARD_ROWS, count))
        pixels = chance.integers(0, 256, (len(numbers), SIZE_PX, SIZE_PX, 4), np.uint8)
        pictures = [
            ShardPicture(f"{n:032x}", np.ascontiguousarray(p[..., :3]), np.ascontiguousarray(p[..., 3]))
            for n, p in zip(numbers, pixels, strict=True)
        ]
        shard = write_shard(shards, pictures)
        rows += [(shard, row, p.pixels_sha256, p.alpha_sha256) for row, p in enumerate(pictures)]
    places = pd.DataFrame(rows, columns=["shard", "row", "pixels_sha256", "alpha_sha256"])
    images = {**common, "sha256": source, "split_key": common["photo_id"], "transform": "centre-8"}
    return filled("training_images", {**images, **{name: places[name].to_numpy() for name in places}}, count)


def add_run(home: Home, snapshot: str, seed: int) -> None:
    """A finished run as training leaves it, and its evaluation."""
    run = f"{snapshot}-smoke-{seed}"
    folder = home.runs / run
    folder.mkdir(parents=True)
    told = {"run_id": run, "recipe": "smoke", "seed": seed, "snapshot_id": snapshot, "model": "cyclegan"}
    (folder / "job.json").write_text(json.dumps({"digest": "d", "job": told}))
    done = {**told, "digest": "d", "steps": 6, "seconds": 1.0, "final_losses": {}, "sample": "s.png"}
    done["files"] = {"generator_a_to_b.safetensors": "0" * 64}
    (folder / "complete.json").write_text(json.dumps(done))
    (folder / "model.json").write_text(json.dumps({**done, "domains": {"a": "ordinary", "b": "shallow"}}))
    scores = {"photo_id": ["a", "b"], "method": f"smoke@{seed}", "metric": "subject_l1", "value": [0.1, 0.2]}
    store(home, "evaluation", pd.DataFrame(scores), f"smoke@{seed}|{snapshot}")


def median_s(ask: Callable[[], object]) -> float:
    """Median of several times, the first included."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ask()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 3)


def main() -> None:
    """Build the home, ask about a photo, a snapshot and a model, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=100_000)
    count = parser.parse_args().photos
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        home = Home(Path(folder))
        ids, snapshots = build_home(home, count)
        questions = {"photo": ids[count // 2], "snapshot": snapshots[-1], "model": f"{snapshots[-1]}-smoke-0"}
        asked = {"photo": lineage_of_photo, "snapshot": lineage_of_snapshot, "model": lineage_of_model}
        figures: dict[str, float] = {"photos": count, "snapshots": len(snapshots), "tables": 2 * len(MONTHS) * 2 + 5}
        for kind, subject in questions.items():
            figures[f"{kind}_query_s"] = median_s(lambda kind=kind, subject=subject: asked[kind](home, subject))
            command = [sys.executable, "-m", "pipeline.cli", "lineage", kind, subject, "--home", folder]
            run = lambda command=command: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
            figures[f"{kind}_command_s"] = median_s(run)
        json_command = [
            sys.executable,
            "-m",
            "pipeline.cli",
            "lineage",
            "model",
            questions["model"],
            "--json",
            "--home",
            folder,
        ]
        figures["model_json_with_every_photo_s"] = median_s(
            lambda: subprocess.run(json_command, check=True, stdout=subprocess.DEVNULL)
        )
    queries = max(value for name, value in figures.items() if name.endswith("_query_s"))
    commands = max(value for name, value in figures.items() if name.endswith("_command_s"))
    report(
        "lineage",
        figures,
        [
            Goal(f"at {count:,} photos every query under {QUERY_GOAL_S:g} s", queries, queries < QUERY_GOAL_S),
            Goal(f"every command under {COMMAND_GOAL_S:g} s", commands, commands < COMMAND_GOAL_S),
        ],
    )


if __name__ == "__main__":
    main()

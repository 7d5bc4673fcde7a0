"""Stages over Dask: hints with one and with two workers, and the bookkeeping of a million photos over 32 sleeping slots.

Workers are warm in both: they have loaded what they need. The driver's figures hold Dask's scheduler, which runs in this
process; beside a cluster it has a process of its own.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.results import Goal, report
from pipeline.compute.batches import Batches, Row, Task, Work, answer, run_batches
from pipeline.compute.engines import local_dask, open_engine
from pipeline.config import Project
from pipeline.operations.curation import update_hints
from pipeline.operations.tasks import Engaged
from pipeline.studio.pictures import PICTURES
from resources.segmenter import SegmenterResource
from storage import Home

SPEEDUP_GOAL, SLOTS_GOAL, DRIVER_GOAL_MS, MEMORY_GOAL_MB = 1.8, 28.0, 6.0, 400.0
EDGE_PX = 1200
SLOTS, SLEEP_S, BATCH = 32, 1.0, 256
VERSION = "benchmark"


def pictures(home: Home, count: int, seed: int) -> pd.DataFrame:
    """The studio's portraits at the size of photos, each with a noise of its own."""
    rng, rows = np.random.default_rng(seed), []
    sources = sorted(PICTURES.rglob("*.jpg"))
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as image:
            rgb = np.asarray(image.convert("RGB").resize((EDGE_PX, EDGE_PX)), np.int16)
        buffer = io.BytesIO()
        noisy = np.clip(rgb + rng.integers(-4, 5, rgb.shape, np.int16), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
        with home.blobs.temporary() as path:
            path.write_bytes(buffer.getvalue())
            home.blobs.adopt(path, sha256)
        rows.append({"photo_id": f"bench:{seed}-{number}", "sha256": sha256})
    return pd.DataFrame(rows)


def hints_s(home: Home, project: Project, workers: int, photos: pd.DataFrame, warming: pd.DataFrame) -> float:
    """Seconds that the hints of these photos take over so many workers."""
    segmenter = SegmenterResource(project.masks)
    with local_dask(workers, retries=0) as address:
        for chosen in (warming, photos):
            home.hints_journal.unlink(missing_ok=True)
            began_s = time.monotonic()
            update_hints(project, home, segmenter, chosen, engine=lambda _: Engaged(project, home, address))
            taken_s = time.monotonic() - began_s
    home.hints_journal.unlink(missing_ok=True)
    return taken_s


def pausing(text: str) -> str:
    """What a sleeping worker does."""
    return answer(text, VERSION, work_of)


def work_of(task: Task) -> Work:
    """Sleeps, and gives an empty row for each name."""

    def sleep(names: Sequence[str]) -> Iterator[Row]:
        time.sleep(float(task.settings))
        yield from ({"name": name} for name in names)

    return sleep


def bookkeeping(folder: Path, batches: int) -> dict[str, float]:
    """So many batches of a second each over 32 slots: how often one slot, and what the driver needs."""
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(batches * BATCH)]
    task = Task("pause", VERSION, str(folder), str(folder / "work"), str(SLEEP_S))
    with local_dask(4, retries=0, threads=SLOTS // 4) as address:
        engine = partial(open_engine, "dask", address, 0)
        cpu_s, began_s = time.process_time(), time.monotonic()
        rows = sum(1 for _ in run_batches(Batches(engine, pausing, BATCH), task, names))
        taken_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
    assert rows == len(names)
    return {
        "batches": batches,
        "seconds": round(taken_s, 1),
        "times_one_slot": round(batches * SLEEP_S / taken_s, 1),
        "driver_cpu_ms_a_batch": round(cpu_s / batches * 1000, 2),
        "driver_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=384)
    parser.add_argument("--batches", type=int, default=3907, help="of 256 photos: 3,907 are a million")
    parser.add_argument("--weights", type=Path, default=Path(".venv/test-home/weights"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        slots = bookkeeping(Path(folder), options.batches)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.weights.symlink_to(options.weights.resolve())
        settings = {"domains": {"ordinary": {}, "shallow": {}}, "compute": {"engine": "dask", "batch_size": 16}}
        project = Project.model_validate(settings)
        photos, warming = pictures(home, options.photos, 1), pictures(home, 64, 2)
        taken = {workers: hints_s(home, project, workers, photos, warming) for workers in (1, 2)}
    speedup = round(taken[1] / taken[2], 2)
    figures = {
        "photos": options.photos,
        "hints_one_worker_s": round(taken[1], 1),
        "hints_two_workers_s": round(taken[2], 1),
        "speedup": speedup,
        **slots,
        "load_before": json.dumps([round(value, 1) for value in LOAD]),
    }
    cpu_ms, peak_mb = slots["driver_cpu_ms_a_batch"], slots["driver_peak_mb"]
    report("scale_out", figures, [
        Goal(f"hints with two workers ≥ {SPEEDUP_GOAL} × one", speedup, speedup >= SPEEDUP_GOAL),
        Goal(f"{SLOTS} slots ≥ {SLOTS_GOAL:g} × one", slots["times_one_slot"], slots["times_one_slot"] >= SLOTS_GOAL),
        Goal(f"driver ≤ {DRIVER_GOAL_MS:g} CPU ms a batch", cpu_ms, cpu_ms <= DRIVER_GOAL_MS),
        Goal(f"driver ≤ {MEMORY_GOAL_MB:g} MB", peak_mb, peak_mb <= MEMORY_GOAL_MB),
    ])  # fmt: skip


LOAD = os.getloadavg()

if __name__ == "__main__":
    main()

"""From the listing to a snapshot with many small synthetic photos: seconds and memory by stage, then 1 % more photos.

Sitters of the studio before random backgrounds, served by the emulator in a process of its own; everything else is the
program as it is used: `bokehflow run` in a fresh home. Seconds of a stage are those of its Dagster steps; what is left of
the wall clock is the program's start, the look whether anything changed, and Dagster itself.
"""

import argparse
import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import numpy as np
from PIL import Image

from benchmarks.results import Goal, memory_mb, report
from pipeline.operations.emulated_flickr import free_ports
from pipeline.studio.pictures import PICTURES
from storage import Home

MEMORY_GOAL_MB, GROWTH_GOAL = 1300, 0.02
WALL_GOAL_MS = 15.0
"""For each photo: 100,000 in 25 minutes."""
EDGE_PX = 192
MONTHS = [f"2021-{month:02d}" for month in range(1, 13)]
NEW_MONTH = "2022-01"
AT_ONCE = 500
FIRST_ID = 4_950_000_000
SAMPLE_EVERY_S = 0.2

PROJECT = """\
[project]
name = "scale"
[flickr]
endpoint = "http://127.0.0.1:{port}/services/rest/"
image_hosts = ["127.0.0.1:{image_port}"]
[collect]
from = "2021-01"
to = "2022-01"
[domains.ordinary]
queries = [{{ text = "portrait", camera = "apple/iphone_7" }}]
[domains.shallow]
queries = [{{ text = "bokeh" }}]
[photos]
min_edge_px = 128
[curation]
batch_size = 100000
[masks]
views = 1
refine = []
min_coverage = 0.0
[dataset]
size_px = {size_px}
test_share = {{ ordinary = 0.05, shallow = 0.0 }}
[training]
automatic = []
"""


# --- the photos -------------------------------------------------------------------------------------------------------


def make_photos(folder: str, numbers: range) -> list[str]:
    """Write pictures of these numbers; returns their lines of `collection.jsonl`."""
    sitters = [_sitter(path) for path in sorted((PICTURES / "ordinary").glob("*[0-9].jpg"))[:24]]
    return [_photo(Path(folder), number, sitters) for number in numbers]


def _sitter(path: Path) -> Image.Image:
    image, mask = Image.open(path).convert("RGB"), Image.open(path.with_name(f"{path.stem}_mask.png")).convert("L")
    image.putalpha(mask.resize(image.size))
    image.thumbnail((EDGE_PX, EDGE_PX))
    return image


def _photo(folder: Path, number: int, sitters: list[Image.Image]) -> str:
    chance = np.random.default_rng(number)
    coarse = chance.integers(0, 256, (8, 8, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((EDGE_PX, EDGE_PX), Image.Resampling.BICUBIC)
    sitter = sitters[int(chance.integers(len(sitters)))]
    at = (int(chance.integers(-20, 21)) + (EDGE_PX - sitter.width) // 2, EDGE_PX - sitter.height)
    picture.paste(sitter, at, sitter)
    name = f"files/{number // 1000:04d}/{FIRST_ID + number}.jpg"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "JPEG", quality=85)
    ordinary = number % 2 == 0
    month = NEW_MONTH if folder.name == "new" else MONTHS[int(chance.integers(len(MONTHS)))]
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).timestamp()
    photo = {
        "id": str(FIRST_ID + number),
        "owner": f"{int(chance.integers(10_000, 15_000))}@N00",
        "date_upload": int(start + chance.integers(27 * 86_400)),
        "title": "portrait" if ordinary else "bokeh",
        "tags": ["portrait" if ordinary else "bokeh"],
        "license": "4",
        "camera": "apple/iphone_7" if ordinary else "canon/eos",
        "file": name,
        "width_px": EDGE_PX,
        "height_px": EDGE_PX,
    }
    return json.dumps(photo)


def make_collection(folder: Path, numbers: range) -> None:
    """The pictures and `collection.jsonl`, by all cores."""
    parts = [range(start, min(start + AT_ONCE, numbers.stop)) for start in range(numbers.start, numbers.stop, AT_ONCE)]
    with ProcessPoolExecutor() as pool:
        lines = [line for part in pool.map(make_photos, [str(folder)] * len(parts), parts) for line in part]
    (folder / "collection.jsonl").write_text("\n".join(lines) + "\n")


# --- running ----------------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """Wall clock and memory of the commands that were run."""

    wall_s: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=list)
    """When (Unix seconds) how many MB the command's processes held."""

    def run(self, home: Path, until: str, to_month: str) -> None:
        """`bokehflow run` up to an asset."""
        command = [sys.executable, "-m", "pipeline.cli", "run", "--until", until, "--to", to_month, "--home", str(home)]
        environment = {**os.environ, "FLICKR_API_KEY": "key", "FLICKR_API_SECRET": "secret"}
        start = time.perf_counter()
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                self.memory.append((time.time(), memory_mb(process.pid)))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(SAMPLE_EVERY_S)
            self.wall_s += time.perf_counter() - start
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")

    def peak_mb(self, start: float = 0.0, end: float = float("inf")) -> float | None:
        """The most that was held between two times; None where nobody looked meanwhile."""
        return max((round(held) for at, held in self.memory if start <= at <= end), default=None)


@contextmanager
def emulator(collection: Path, ports: list[int]) -> Iterator[None]:
    """Serve the collection from a process of its own."""
    command = [sys.executable, "-m", "pipeline.cli", "emulator", str(collection), "--port", str(ports[0])]
    process = subprocess.Popen([*command, "--image-port", str(ports[1])], stderr=subprocess.DEVNULL)
    try:
        _wait_for(ports[0])
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("the emulator does not answer")


def decide(home: Path, collection: Path, name: str) -> None:
    """Keep every photo of the collection."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["photo_id", "decision", "curator"])
    for line in (collection / "collection.jsonl").read_text().splitlines():
        writer.writerow([f"flickr:{json.loads(line)['id']}", "keep", "benchmark"])
    (home / "review" / "reviewed").mkdir(parents=True, exist_ok=True)
    (home / "review" / "reviewed" / name).write_text(text.getvalue())


def stage_times(home: Path, since: float) -> dict[str, list[tuple[float, float]]]:
    """Start and end of every step after `since`, by asset."""
    from assets.headless import open_instance

    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with open_instance(Home(home)) as instance:
        for run in instance.get_runs():
            for step in instance.get_run_step_stats(run.run_id):
                if step.start_time and step.end_time and step.start_time >= since:
                    found[step.step_key].append((step.start_time, step.end_time))
    return found


def collect_and_freeze(home: Path, collection: Path, decisions: str, to_month: str, ports: list[int]) -> Watched:
    """From the listing to the snapshot, the decisions handed in between."""
    watched = Watched()
    with emulator(collection, ports):
        watched.run(home, "review_queue", to_month)
        decide(home, collection, decisions)
        watched.run(home, "dataset_snapshot", to_month)
    return watched


def main() -> None:
    """Make the photos, run, add one per cent, run again, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--size-px", type=int, default=64, help="side of the training pictures")
    parser.add_argument("--weights", type=Path, default=Path(".venv/test-home/weights"), help="the segmenter's weights")
    options = parser.parse_args()
    count, more = options.photos, max(1, options.photos // 100)
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as name:
        folder, home, ports = Path(name), Path(name) / "home", free_ports(2)
        shutil.copytree(options.weights, home / "weights")
        text = PROJECT.format(port=ports[0], image_port=ports[1], size_px=options.size_px)
        (home / "bokehflow.toml").write_text(text)
        make_collection(folder / "first", range(count))
        make_collection(folder / "new", range(count, count + more))
        started = time.time()
        first = collect_and_freeze(home, folder / "first", "first.csv", MONTHS[-1], ports)
        stages, again = stage_times(home, started), time.time()
        grown = collect_and_freeze(home, folder / "new", "new.csv", NEW_MONTH, ports)
        stages_again = stage_times(home, again)
        kept = [json.loads((path / "snapshot.json").read_text())["counts"] for path in (home / "snapshots").iterdir()]
    conclude(count, first, grown, stages, stages_again, kept)


def conclude(
    count: int,
    first: Watched,
    grown: Watched,
    stages: dict[str, list[tuple[float, float]]],
    stages_again: dict[str, list[tuple[float, float]]],
    kept: list[dict[str, dict[str, int]]],
) -> None:
    """The table of stages, and the goals."""
    figures: dict[str, float | str] = {"photos": count}
    figures["pictures_frozen"] = max(sum(sum(splits.values()) for splits in counts.values()) for counts in kept)
    for stage, spans in stages.items():
        figures[f"{stage}_s"] = round(sum(end - start for start, end in spans), 1)
        peaks = [peak for span in spans if (peak := first.peak_mb(*span)) is not None]
        figures[f"{stage}_peak_mb"] = max(peaks, default="shorter than a look")
        figures[f"{stage}_1_percent_more_s"] = round(sum(end - start for start, end in stages_again.get(stage, [])), 1)
    spent = {stage: float(figures[f"{stage}_s"]) for stage in stages}
    figures["bound_by"] = max(spent, key=lambda stage: spent[stage])
    figures |= {"wall_s": round(first.wall_s, 1), "beside_the_stages_s": round(first.wall_s - sum(spent.values()), 1)}
    peak = round(max(held for _, held in first.memory + grown.memory))
    share, each_ms = grown.wall_s / first.wall_s, 1000 * first.wall_s / count
    figures |= {"peak_mb": peak, "one_percent_more_wall_s": round(grown.wall_s, 1)}
    report(
        "scale",
        figures,
        [
            Goal(f"{count:,} photos from listing to snapshot under {MEMORY_GOAL_MB} MB", peak, peak < MEMORY_GOAL_MB),
            Goal(f"in {WALL_GOAL_MS:.0f} ms each, 25 minutes for 100,000", f"{each_ms:.1f} ms", each_ms <= WALL_GOAL_MS),
            Goal(
                f"a snapshot after 1 % new photos costs at most {GROWTH_GOAL:.0%} of the first", f"{share:.1%}",
                share <= GROWTH_GOAL,
            ),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()

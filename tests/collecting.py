"""A world to collect from, and the collect stages as a process that may be killed.

Run as a script it reads homes from its standard input and collects into each in a process of its own, forked from one
in which everything is imported: it prints that process's id at once and its exit code at its end.
"""

import io
import os
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.config import load_project
from pipeline.emulators.collection import CollectionPhoto
from pipeline.emulators.faults import ApiFaults, FaultPlan
from pipeline.emulators.flickr import Emulator
from pipeline.emulators.server import Reply, Request
from pipeline.flickr.source import FlickrSource
from pipeline.photos.download import Asking, Known, download_photos
from pipeline.sources.listing import list_month
from pipeline.sources.windows import clear_state
from resources.flickr import make_client
from storage import Home

MONTH = "2024-03"
MONTH_BEGINS_S = 1_709_251_200
DOMAINS = ("ordinary", "shallow")

FINAL = {
    "html": "not_an_image",
    "broken": "not_an_image",
    "unavailable": "unavailable",
    "removed": "unavailable",
    "missing": "unavailable",
    "truncated": "truncated",
    "small": "too_small",
    "text": "not_an_image",
}
"""Planted failures that stay, by name, with the reason that must come of each."""

STORM = {
    "api": {"http_429": 0.05, "http_5xx": 0.02, "error_201": 0.01, "html": 0.01, "slow": 0.02, "slow_s": 0.3, "drift": 0.5},
    "images": {"http_429": 0.05, "http_5xx": 0.02, "cut": 0.01, "html": 0.01, "slow": 0.02, "slow_s": 0.3},
}

PROJECT = """\
[flickr]
endpoint = "{endpoint}"
image_hosts = ["{image_host}"]
timeout_s = 5.0

[collect]
from = "{month}"
to = "{month}"

[domains.ordinary]
[[domains.ordinary.queries]]
text = "portrait"
licenses = ["4"]

[domains.shallow]
[[domains.shallow.queries]]
text = "bokeh"
licenses = ["4"]

[photos]
min_edge_px = 48
threads = 4
"""


class SlowEmulator(Emulator):
    """Flickr at a distance: each answer takes its time, so that there is a while to be killed in."""

    latency_s = 0.03

    def _api_reply(self, request: Request) -> Reply:
        time.sleep(self.latency_s)
        return super()._api_reply(request)

    def _image_reply(self, request: Request) -> Reply:
        time.sleep(self.latency_s)
        return super()._image_reply(request)


def make_photos(folder: Path, accepted: int, rejected: int) -> tuple[list[CollectionPhoto], dict[str, str]]:
    """A month's photos of both domains, some in both, and the ids of those that always fail with their kind."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    planted = {str(7_000 + 7 * index): kind for index, kind in enumerate([*FINAL, *FINAL])}
    photos = []
    for index in range(accepted + rejected):
        id = str(7_000 + index)
        tags = {0: ("portrait",), 1: ("bokeh",), 2: ("portrait", "bokeh")}[index % 3]
        is_accepted = index < accepted
        tags = tags if is_accepted else (*tags, "no_cv")
        file = _write_picture(folder / f"{id}.jpg", planted.get(id), rng) if is_accepted else None
        seconds = int(rng.integers(0, 31 * 86_400))
        photos.append(
            CollectionPhoto(
                id=id, owner=f"{index % 9}@N00", title=f"photo {id}", tags=tags, license="4",
                date_upload=MONTH_BEGINS_S + seconds, last_update=MONTH_BEGINS_S + seconds, file=file,
                width_px=96, height_px=64, removed=planted.get(id) == "removed",
            )
        )  # fmt: skip
    return photos, {f"flickr:{id}": kind for id, kind in planted.items()}


def _write_picture(path: Path, kind: str | None, rng: np.random.Generator) -> str:
    size = (40, 30, 3) if kind == "small" else (64, 96, 3)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(buffer, "JPEG", quality=90)
    data = buffer.getvalue()
    if kind == "text":
        data = b"this is no picture"
    if kind != "missing":
        path.write_bytes(data[: len(data) // 2] if kind == "truncated" else data)
    return str(path)


def fault_plan(planted: dict[str, str], *, storm: bool, seed: int = 3) -> FaultPlan:
    """The planted failures that the server makes, with the storm around them or without."""
    photos = {id.removeprefix("flickr:"): kind for id, kind in planted.items() if kind in ("html", "broken", "unavailable")}
    faults = STORM if storm else {"api": {}, "images": {}}
    return FaultPlan.model_validate({"seed": seed, "api": faults["api"], "images": faults["images"] | {"photos": photos}})


def storm_plan(planted: dict[str, str], calls: int, within_calls: int) -> FaultPlan:
    """A storm that has each of its faults of REST calls come up in the `within_calls` after so many calls.

    What meets one call in a hundred may spare a month's few calls altogether: of the storms with these shares this is
    the first that does not.
    """
    wanted = {name for name in STORM["api"] if name in ApiFaults.kinds}
    plans = (fault_plan(planted, storm=True, seed=seed) for seed in range(100_000))
    ahead = range(calls + 1, calls + 1 + within_calls)
    return next(plan for plan in plans if wanted <= {plan.api_fault(call) for call in ahead})


def write_project(root: Path, emulator: Emulator) -> None:
    root.mkdir(parents=True, exist_ok=True)
    text = PROJECT.format(endpoint=emulator.endpoint, image_host=emulator.image_host, month=MONTH)
    (root / "bokehflow.toml").write_text(text)


def collect(root: str) -> None:
    """Both stages for both domains, as their assets do it; what is finished is passed over."""
    os.environ.update(FLICKR_API_KEY="key", FLICKR_API_SECRET="secret")
    home, project = Home.at(root), load_project(Path(root) / "bokehflow.toml")
    home.sweep()
    client = make_client(project, home)
    for domain in DOMAINS:
        key, state = f"{domain}|{MONTH}", home.listing_windows(domain, MONTH)
        if home.tables.info("photo_listing", key) is None:
            frame = list_month(FlickrSource(client), project, domain, MONTH, state, int(time.time()))
            home.tables.write("photo_listing", frame, key)
            clear_state(state)
        known = home.tables.read_or_empty("photo_files", key)
        if home.tables.info("photo_files", key) is None or known["pending"].any():
            journal = home.root / "journals" / f"{domain}+{MONTH}.jsonl"
            downloads = download_photos(
                home.tables.read("photo_listing", key),
                Known(known, journal),
                home.blobs,
                project.photos,
                Asking(project.flickr.image_hosts, "test", project.flickr.timeout_s, project.flickr.retries),
                int(time.time()),
            )
            home.tables.write("photo_files", downloads.table, key)
            journal.unlink(missing_ok=True)


def serve() -> None:
    """Collect into the home named by each line of standard input."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                collect(line.strip())
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()

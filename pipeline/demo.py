"""The demo's world, and what the command line does on the whole pipeline.

Like `cli` and `definitions`, this module stands at the top and may import everything.
"""

import os
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests
from PIL import Image

from assets.common import photo_reader
from assets.dataset import segmented_masks
from assets.headless import HeadlessRun, Plan, bury_dead_runs, open_instance
from assets.imports import import_folder
from assets.imports import summary as summary_of_import
from assets.training import run_id
from pipeline.atomic import atomic_folder, atomic_path, write_bytes, write_text
from pipeline.config import Project, load_project
from pipeline.dataset.snapshot import read_snapshot
from pipeline.definitions import build_definitions
from pipeline.errors import ConfigError
from pipeline.file_names import child
from pipeline.flickr.emulator import Emulator
from pipeline.operations.status import status, summary
from pipeline.spreadsheet import csv_text, read_rows
from pipeline.studio.collection import build_collection
from pipeline.web.reading import parse_json
from pipeline.web.session import BoundedSession
from resources.flickr import KEY_VARIABLE, SECRET_VARIABLE
from resources.segmenter import SegmenterResource
from storage import Home
from storage.home import PROJECT_FILE

Say = Callable[[str], None]

COLLECTION = "collection"
DECISIONS_FILE = "demo-reviewer.csv"
EMULATOR_KEY = "emulator-key"

PROJECT = """\
# The demo: rendered portraits behind a Flickr emulator on this machine. Written by `bokehflow demo`.

[project]
name = "demo"

[flickr]
endpoint = "http://127.0.0.1:{port}/services/rest/"
image_hosts = ["127.0.0.1:{image_port}"]
retries = 3

[collect]
from = "2024-01"
to = "2024-03"

[domains.ordinary]
title = "Rendered portraits, all in focus"

[[domains.ordinary.queries]]
text = "portrait"
camera = "apple/iphone_7"
exclude_tags = ["blackandwhite", "BW", "monochrome", "animal", "cat", "dog", "bird", "flower"]

[domains.shallow]
title = "Rendered portraits through a thin lens"

[[domains.shallow.queries]]
text = "portrait bokeh"
exclude_tags = ["blackandwhite", "BW", "monochrome", "animal", "cat", "dog", "bird", "flower"]

[photos]
min_edge_px = 192   # the rendered pictures are small

[dataset]
test_share = {{ ordinary = 0.25, shallow = 0.0 }}

[training]
automatic = ["cyclegan", "mask_loss_overlay"]

[recipes.cyclegan]
model = "cyclegan"
profile = "smoke"

[recipes.mask_loss_overlay]
model = "mask_loss_overlay"
profile = "smoke"

[evaluation]
truth = "collection/truth"
reference = "cyclegan@0"   # do masks help?
"""


PHOTOGRAPHS = """\
# A study on two folders of photographs. Written by `bokehflow demo --photographs`; edit it as you like.

[project]
name = "photographs"

[domains.ordinary]
title = "Photographs in focus throughout"

[domains.shallow]
title = "Photographs with a shallow depth of field"

[photos]
min_edge_px = 256

[curation]
min_kept_per_domain = 5

[dataset]
crop = "subject"
test_share = { ordinary = 0.25, shallow = 0.0 }   # test photos train nothing; the report is about them

[training]
automatic = ["one_sided"]

[recipes.one_sided]
model = "one_sided"
profile = "small"   # two minutes of one core; "corrected" is the same at full size, for a GPU
"""
CURATOR = "suggested"
"""Who decides where a person let the suggestions stand."""
RESULTS, MOST_RESULTS = "results", 24
RESULTS_RECIPE = "one_sided@0"


def run_photographs(home: Home, folders: Mapping[str, Path], say: Say) -> None:
    """Import a folder for each domain, accept what the hints suggest, freeze, train, judge, and translate photos.

    Interrupted anywhere it is simply run again; photos that were added to the folders join.
    """
    path = home.root / PROJECT_FILE
    if not path.exists():
        write_text(path, PHOTOGRAPHS)
    project = load_project(path)
    for domain, folder in folders.items():
        say(summary_of_import(import_folder(project, home, folder, domain, None), folder))
    run_plan(Plan(until="review_queue"), project, path, home, say)
    say(accept_suggestions(home))
    snapshot = str(run_plan(Plan(), project, path, home, say))
    report = child(home.reports, snapshot) / "index.html"
    results = write_results(home, project, snapshot, say)
    say(f"\n{summary(status(project, home))}\n\nsnapshot  {snapshot}\nreport    {report}\nresults   {results}")


def accept_suggestions(home: Home) -> str:
    """Decide each queued photo as its hints suggest, in the name of `CURATOR`; returns what to tell the person.

    Where they suggest nothing it is kept: somebody put it into that folder. Each batch is decided once; what stands in
    `review/reviewed/` already is not touched.
    """
    counts: Counter[str] = Counter()
    for batch in sorted(home.review_queue.glob("*.csv")):
        target = child(home.reviewed, f"{CURATOR}-{batch.name}")
        if target.exists():
            continue
        rows = [["photo_id", "decision", "reason", "move_to", "curator", "note"]]
        for row in read_rows(batch):
            decision, reason = row["suggested_decision"] or "keep", row["suggested_reason"]
            counts[decision] += 1
            told = (reason, "") if decision == "drop" else ("", reason) if decision == "move" else ("", "")
            rows.append([row["photo_id"], decision, *told, CURATOR, row["suggestion"]])
        write_text(target, csv_text(rows))
    if not counts:
        return "all photos were decided before"
    told = ", ".join(f"{decision} {count}" for decision, count in counts.most_common())
    return (
        f"NOBODY LOOKED AT THESE PHOTOS: what the hints suggest was accepted in the name of {CURATOR!r} ({told}).\n"
        f"To decide yourself: bokehflow review --home {home.root}, then run this command again."
    )


def write_results(home: Home, project: Project, snapshot: str, say: Say) -> Path:
    """Translate photos of domain A at their own size into `results/`, those that trained nothing first; returns the folder.

    Beside each result lies the photo. What is there already is not made again.
    """
    from pipeline.training.application import Application

    folder = child(home.root / RESULTS, snapshot)
    manifest = read_snapshot(home.snapshots, snapshot)
    mine = manifest[manifest["domain"] == project.training.domain_a].sort_values("split", kind="stable")
    people = segmented_masks(project, home, SegmenterResource.of(project.masks).load(home))
    application = Application(child(home.runs, run_id(snapshot, RESULTS_RECIPE)), people.full_size_alpha)
    read, chosen = photo_reader(home, project), mine.head(MOST_RESULTS)
    for number, (photo_id, sha256) in enumerate(zip(chosen["photo_id"], chosen["source_sha256"], strict=True), start=1):
        stem = str(photo_id).replace(":", "_")
        before, after = child(folder, f"{stem}-photo.jpg"), child(folder, f"{stem}.png")
        if before.exists() and after.exists():
            continue
        rgb = read(str(sha256))
        say(f"result {number} of {len(chosen)}: {stem}, {rgb.shape[1]} × {rgb.shape[0]} px")
        for path, picture, form in ((before, rgb, "jpeg"), (after, application.translate(rgb), "png")):
            with atomic_path(path) as temporary:
                Image.fromarray(picture).save(temporary, format=form)
    if len(mine) > len(chosen):
        say(f"{len(mine) - len(chosen)} photos were not translated; bokehflow translate does any")
    return folder


def run_demo(home: Home, say: Say) -> None:
    """Build the collection, run the pipeline up to the queue, hand in the reviewer's decisions, run the rest."""
    project = prepare_demo(home)
    path = home.root / PROJECT_FILE
    with emulated_flickr(home, project):
        say(f"demo in {home.root}")
        run_plan(Plan(until="review_queue"), project, path, home, say)
        hand_in_decisions(home)
        snapshot = run_plan(Plan(), project, path, home, say)
    report = child(home.reports, str(snapshot)) / "index.html"
    say(f"\n{summary(status(project, home))}\n\nsnapshot  {snapshot}\nreport    {report}\nthe graph make dev")


def prepare_demo(home: Home) -> Project:
    """Collection and project file of the demo, made where they are missing; ports that are taken are replaced."""
    collection = home.root / COLLECTION
    if not collection.exists():
        with atomic_folder(collection) as temporary:
            build_collection(temporary)
    path = home.root / PROJECT_FILE
    if not path.exists():
        port, image_port = _free_ports()
        write_text(path, PROJECT.format(port=port, image_port=image_port))
    project = load_project(path)
    if all(map(_is_free, emulator_ports(project))) or _emulator_answers(project):
        return project
    text = path.read_text(encoding="utf-8")
    for taken, port in zip(emulator_ports(project), _free_ports(), strict=True):
        text = text.replace(f"127.0.0.1:{taken}", f"127.0.0.1:{port}")
    write_text(path, text)
    # Listings name the old port; files that were fetched are known by their path and stay.
    shutil.rmtree(home.tables.root / "photo_listing", ignore_errors=True)
    return load_project(path)


def hand_in_decisions(home: Home) -> None:
    """Put the demo reviewer's CSV where a curator would save it, once."""
    target = home.reviewed / DECISIONS_FILE
    if not target.exists():
        write_bytes(target, (home.root / COLLECTION / "decisions.csv").read_bytes())


def run_plan(plan: Plan, project: Project, path: Path, home: Home, say: Say) -> str | None:
    """Run the plan in this process; returns the snapshot id where the plan reaches it."""
    # While `bokehflow dev` is open its daemon runs stages too, and both would fetch and write the same.
    with home.lock("dev"), open_instance(home) as instance:
        home.sweep()
        for run_id in bury_dead_runs(instance):
            say(f"an earlier run died ({run_id[:8]}); going on from what it finished")
        definitions = build_definitions(project, home, path.parent)
        return HeadlessRun(project, home, path.parent, definitions, instance, say).go(plan)


def train_configured(
    snapshot: str, recipe: str, project: Project, path: Path, home: Home, say: Say, anew: bool = False
) -> None:
    """Train and evaluate `recipe@seed` of the project file on a frozen snapshot, in this process.

    With `anew` it takes the place of a finished model of other settings. Raises `DatasetError` for an unknown snapshot.
    """
    read_snapshot(home.snapshots, snapshot)
    with home.lock("dev"), open_instance(home) as instance:
        bury_dead_runs(instance)
        definitions = build_definitions(project, home, path.parent)
        HeadlessRun(project, home, path.parent, definitions, instance, say).train(snapshot, recipe, anew=anew)


@contextmanager
def emulated_flickr(home: Home, project: Project) -> Iterator[None]:
    """Where the home is a demo's, its emulator for the time being; else nothing.

    An emulator that already answers on the project's ports (that of `bokehflow dev`, say) is used as it is.
    """
    collection = home.root / COLLECTION
    if not collection.exists() or urlsplit(project.flickr.endpoint).hostname != "127.0.0.1":
        yield
        return
    for variable in (KEY_VARIABLE, SECRET_VARIABLE):
        os.environ.setdefault(variable, EMULATOR_KEY)
    port, image_port = emulator_ports(project)
    if _emulator_answers(project):
        yield
        return
    if taken := [number for number in (port, image_port) if not _is_free(number)]:
        raise ConfigError(f"port {taken[0]} is taken by another program; `bokehflow demo` chooses others")
    with Emulator(collection, api_port=port, image_port=image_port):
        yield


def emulator_ports(project: Project) -> tuple[int, int]:
    """Ports of the REST calls and of the pictures in the demo's project file."""
    try:
        return int(urlsplit(project.flickr.endpoint).port or 0), int(project.flickr.image_hosts[0].split(":")[1])
    except (IndexError, ValueError):
        raise ConfigError("the demo's project file names no ports; delete it and run `bokehflow demo` again") from None


def _emulator_answers(project: Project) -> bool:
    """Whether an emulator (that of `bokehflow dev`, say) is at work on the project's port."""
    arguments = {
        "method": "flickr.photos.licenses.getInfo",
        "api_key": EMULATOR_KEY,
        "format": "json",
        "nojsoncallback": "1",
    }
    try:
        with BoundedSession(longest_s=5) as session:
            session.trust_env = False  # a proxy is for other machines
            return "stat" in parse_json(session.get(project.flickr.endpoint, params=arguments, timeout=2).content)  # pyright: ignore[reportOperatorIssue]
    except (requests.RequestException, ValueError, TypeError):
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]

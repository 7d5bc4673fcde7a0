"""The demo: its worlds and reviewer, and what `bokehflow demo` does with them.

Nothing that production uses. Like `cli` and `definitions`, this module stands at the top and may import everything.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.atomic import atomic_folder, write_bytes, write_text
from pipeline.config import Project, load_project
from pipeline.counted import counted
from pipeline.dataset.snapshot import read_snapshot
from pipeline.errors import ConfigError
from pipeline.file_names import child
from pipeline.headless import Say, run_plan
from pipeline.hint_table import SUGGESTED
from pipeline.operations.emulated_flickr import (
    COLLECTION,
    emulator_answers,
    emulator_ports,
    free_ports,
    is_free,
)
from pipeline.operations.imports import import_folder
from pipeline.operations.imports import summary as summary_of_import
from pipeline.operations.layered_imports import import_layout
from pipeline.operations.masks import segmented_masks
from pipeline.operations.photos import photo_reader
from pipeline.operations.planning import Plan
from pipeline.operations.status import status, summary
from pipeline.operations.training import run_folder
from pipeline.package_files import (
    COLLECTIONS_PROJECT,
    DEMO_PROJECT,
    DEPTH_PROJECT,
    FOCUS_PROJECT,
    PHOTOGRAPHS_PROJECT,
    PROJECT_FILE,
)
from pipeline.plain_files import read_plain, read_plain_text
from pipeline.spreadsheet import csv_text, read_rows
from pipeline.studio.collection import build_collection
from pipeline.studio.depth_study import PAIRS, build_depth_study
from pipeline.studio.two_collections import PAINTINGS, PHOTOS, build_two_collections
from resources.segmenter import SegmenterResource
from storage import Home

DECISIONS_FILE = "demo-reviewer.csv"
DEMO_CURATOR = "demo"
MOST_RESULTS = 24
RESULTS_RECIPE = "one_sided@0"
TWO_COLLECTIONS = "collections"
"""The folder of the pictures of that study."""
SCENES = "scenes"
"""The domain of the studies of depth and focus, and the folder of its pictures."""


def run_photographs(home: Home, folders: Mapping[str, Path], say: Say, accept_from: float = 0.5) -> None:
    """Import a folder for each domain, accept what the hints suggest, freeze, train, judge, and translate photos.

    `accept_from` is that of `accept_suggestions`.

    Interrupted anywhere it is simply run again; photos that were added to the folders join.
    """
    path = home.root / PROJECT_FILE
    if not path.exists():
        write_text(path, read_plain_text(PHOTOGRAPHS_PROJECT))
    project = load_project(path)
    for domain, folder in folders.items():
        say(summary_of_import(import_folder(project, home, folder, domain, None)))
    run_plan(Plan(until="review_queue"), project, path, home, say)
    say(accept_suggestions(home, accept_from))
    snapshot = str(run_plan(Plan(), project, path, home, say))
    report = child(home.reports, snapshot) / "index.html"
    results = write_results(home, project, snapshot, say)
    say(f"\n{summary(status(project, home))}\n\nsnapshot  {snapshot}\nreport    {report}\nresults   {results}")


def accept_suggestions(home: Home, accept_from: float = 0.5) -> str:
    """Decide each queued photo as its hints suggest, in the name of `SUGGESTED`; returns what to tell the person.

    Where they suggest nothing, or what has a smaller chance than `accept_from` of being right, it is kept: somebody put
    it into that folder. A suggestion of which no chance is known is accepted. Each batch is decided once; what stands in
    `review/reviewed/` already is not touched.
    """
    counts: Counter[str] = Counter()
    for batch in sorted(home.review_queue.glob("*.csv")):
        target = child(home.reviewed, f"{SUGGESTED}-{batch.name}")
        if target.exists():
            continue
        rows = [["photo_id", "decision", "reason", "move_to", "curator", "note"]]
        for row in read_rows(batch):
            is_sure = float(row.get("suggestion_probability") or 1) >= accept_from
            decision, reason = (row["suggested_decision"] if is_sure else "") or "keep", row["suggested_reason"]
            counts[decision] += 1
            told = (reason, "") if decision == "drop" else ("", reason) if decision == "move" else ("", "")
            rows.append([row["photo_id"], decision, *told, SUGGESTED, row["suggestion"]])
        write_text(target, csv_text(rows))
    if not counts:
        return "all photos were decided before"
    told = ", ".join(f"{decision} {count}" for decision, count in counts.most_common())
    return (
        f"NOBODY LOOKED AT THESE PHOTOS: what the hints suggest was accepted in the name of {SUGGESTED!r} ({told}).\n"
        f"To decide yourself: bokehflow review --home {home.root}, then run this command again."
    )


def write_results(home: Home, project: Project, snapshot: str, say: Say) -> Path:
    """Translate photos of domain A at their own size into `results/`, those that trained nothing first; returns the folder.

    Beside each result lies the photo. What the same model made already is not made again.
    """
    from pipeline.operations.results import are_there, enter, result_paths, write_pair
    from pipeline.training.application import Application
    from pipeline.training.inference import provenance_of

    run, folder = run_folder(home, snapshot, RESULTS_RECIPE).root, child(home.results, snapshot)
    manifest = read_snapshot(home.snapshots, snapshot)
    mine = manifest[manifest["domain"] == project.training.domain_a].sort_values("split", kind="stable")
    people = segmented_masks(project, home, SegmenterResource(project.masks).load(home))
    application = Application(run, people.full_size_alpha)
    enter(folder, str(provenance_of(run)["generator_sha256"]))
    read, chosen = photo_reader(home, project), mine.head(MOST_RESULTS)
    imports = home.tables.read_or_empty("imports", columns=["photo_id", "file"])
    files = dict(zip(imports["photo_id"].tolist(), imports["file"].tolist(), strict=True))
    for number, (photo_id, sha256) in enumerate(zip(chosen["photo_id"], chosen["source_sha256"], strict=True), start=1):
        file = files.get(str(photo_id), "")
        if are_there(folder, str(photo_id), file):
            continue
        paths, rgb = result_paths(folder, str(photo_id), file), read(str(sha256))
        say(f"result {number} of {len(chosen)}: {paths[1].stem}, {rgb.shape[1]} × {rgb.shape[0]} px")
        write_pair(paths, rgb, application.translate(rgb))
    if len(mine) > len(chosen):
        say(f"not translated: {counted(len(mine) - len(chosen), 'photo')}; `bokehflow translate` does any")
    return folder


def run_demo(home: Home, say: Say) -> None:
    """Build the collection, run the pipeline up to the queue, hand in the reviewer's decisions, run the rest."""
    project = prepare_demo(home)
    path = home.root / PROJECT_FILE
    say(f"demo in {home.root}")
    run_plan(Plan(until="review_queue"), project, path, home, say)
    hand_in_decisions(home)
    snapshot = run_plan(Plan(), project, path, home, say)
    report = child(home.reports, str(snapshot)) / "index.html"
    places = f"snapshot  {snapshot}\nreport    {report}\nthe graph bokehflow dev --home {home.root}"
    say(f"\n{summary(status(project, home))}\n\n{places}")


def _begun(
    home: Home, pictures: Path, build: Callable[[Path], object], project_file: Path, domains: Set[str]
) -> tuple[Project, Path]:
    """The home with a study's pictures and project file, where they are not there yet; the project, and its file.

    Raises `ConfigError` where the project file is of a study without these domains.
    """
    path = home.root / PROJECT_FILE
    if not pictures.exists():
        with atomic_folder(pictures) as temporary:
            build(temporary)
    if not path.exists():
        write_text(path, read_plain_text(project_file))
    project = load_project(path)
    if not domains <= set(project.domains):
        raise ConfigError(f"{path}: another study than this one lies here; name another home with --home")
    return project, path


def run_collections(home: Home, say: Say) -> None:
    """Paint one of two collections, import both, keep everything, freeze, train with and without semantic loss, judge.

    Interrupted anywhere it is simply run again.
    """
    say(f"demo in {home.root}: paintings of scenes")
    pictures = home.root / TWO_COLLECTIONS
    project, path = _begun(home, pictures, build_two_collections, COLLECTIONS_PROJECT, {PHOTOS, PAINTINGS})
    for domain in (PHOTOS, PAINTINGS):
        say(summary_of_import(import_folder(project, home, child(pictures, domain), domain, None)))
    run_plan(Plan(until="review_queue"), project, path, home, say)
    say(accept_suggestions(home))
    snapshot = str(run_plan(Plan(), project, path, home, say))
    report = child(home.reports, snapshot) / "index.html"
    say(f"\n{summary(status(project, home))}\n\nsnapshot  {snapshot}\nreport    {report}")


def run_scenes(home: Home, say: Say, project_file: Path) -> None:
    """Import scenes with depth, keep all of them, freeze, train a model of depth, and judge it on scenes held out.

    `project_file` is the one to begin with. Interrupted anywhere it is simply run again.
    """
    say(f"demo in {home.root}: scenes with depth")
    pictures = home.root / SCENES
    project, path = _begun(home, pictures, build_depth_study, project_file, {SCENES})
    say(summary_of_import([import_layout(project, home, pictures / PAIRS, "pairs", SCENES)]))
    run_plan(Plan(until="review_queue"), project, path, home, say)
    keep_everything(home)
    snapshot = str(run_plan(Plan(), project, path, home, say))
    report = child(home.reports, snapshot) / "index.html"
    say(f"\n{summary(status(project, home))}\n\nsnapshot  {snapshot}\nreport    {report}")


def keep_everything(home: Home) -> None:
    """Decide that all queued pictures stay, in the demo's name: whoever rendered them knows what they show."""
    for batch in sorted(home.review_queue.glob("*.csv")):
        target = child(home.reviewed, f"{DEMO_CURATOR}-{batch.name}")
        if not target.exists():
            kept = [[row["photo_id"], "keep", DEMO_CURATOR] for row in read_rows(batch)]
            write_text(target, csv_text([["photo_id", "decision", "curator"], *kept]))


@dataclass(frozen=True)
class Study:
    """One of the studies that the demo shows: what runs it, and the folder of its data."""

    run: Callable[[Home, Say], None]
    folder: str


def prepare_demo(home: Home) -> Project:
    """Collection and project file of the demo, made where they are missing; ports that are taken are replaced."""
    collection = home.root / COLLECTION
    if not collection.exists():
        with atomic_folder(collection) as temporary:
            build_collection(temporary)
    path = home.root / PROJECT_FILE
    if not path.exists():
        port, image_port = free_ports(2)
        text = read_plain_text(DEMO_PROJECT)
        write_text(path, text.replace("{port}", str(port)).replace("{image_port}", str(image_port)))
    project = load_project(path)
    if all(map(is_free, emulator_ports(project))) or emulator_answers(project):
        return project
    text = read_plain_text(path)
    for taken, port in zip(emulator_ports(project), free_ports(2), strict=True):
        text = text.replace(f"127.0.0.1:{taken}", f"127.0.0.1:{port}")
    write_text(path, text)
    # Listings name the old port; files that were fetched are known by their path and stay.
    shutil.rmtree(home.tables.root / "photo_listing", ignore_errors=True)
    return load_project(path)


def hand_in_decisions(home: Home) -> None:
    """Put the demo reviewer's CSV where a curator would save it, once."""
    target = home.reviewed / DECISIONS_FILE
    if not target.exists():
        write_bytes(target, read_plain(home.root / COLLECTION / "decisions.csv"))


STUDIES: dict[str, Study] = {
    "portraits": Study(run_demo, "demo-data"),
    "collections": Study(run_collections, "demo-collections"),
    "depth": Study(partial(run_scenes, project_file=DEPTH_PROJECT), "demo-depth"),
    "focus": Study(partial(run_scenes, project_file=FOCUS_PROJECT), "demo-focus"),
}
"""By the name that `bokehflow demo --study` takes."""
STUDY = "portraits"
"""The one that runs unasked."""

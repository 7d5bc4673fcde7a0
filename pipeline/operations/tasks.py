"""What workers of an engine do in a home, by name; and a stage's work handed to them, where the project asks for it.

Workers are told the home's folder or address, the project and digests, and nothing else. What they make lies in the home
when a batch is done: masks, thumbnails and fingerprints in their places, numbers in the batch's file. With an address each
machine has a working folder, and hands over by the store.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from pipeline.compute.batches import Batches, Over, Row, Task, Work, answer, run_batches
from pipeline.compute.engines import ADDRESS_VARIABLE, Engine, open_engine
from pipeline.compute.pieces import Function
from pipeline.config import Project
from pipeline.dedupe.store import FingerprintStore
from pipeline.errors import BokehflowError
from pipeline.file_names import child
from pipeline.machine import host_name
from pipeline.masks.person_masks import Masks, StoredMask, make_masks
from pipeline.masks.sources import PhotoToMask, RefusedMask
from pipeline.package_files import CODE
from pipeline.plain_files import read_plain
from resources.segmenter import SegmenterResource
from storage import Home

log = logging.getLogger(__name__)

WORTH_PROCESSES = 2000
"""From so many pictures on processes of this machine are sooner done than threads, which wait for Python's lock."""
PACKAGES = ("pipeline", "resources", "storage")
"""What a worker runs of bokehflow."""


@dataclass(frozen=True)
class Engaged:
    """A project's stages over its engine; `workers` processes where the engine is of this machine, one a core if None."""

    project: Project
    home: Home
    address: str | None = None
    workers: int | None = None
    function: Function | None = None
    """What a worker runs, `work` but for tests."""

    def __call__(
        self, name: str, names: Sequence[str], told: Mapping[str, str], batch_size: int | None = None
    ) -> Iterator[Row]:
        """A row for each of the names, by the task `name`; see `run_batches`. `told` is what the rows depend on besides."""
        settings = json.dumps(
            {"project": self.project.model_dump(mode="json", by_alias=True, exclude_unset=True), **told}, sort_keys=True
        )
        plan = hashlib.sha256(f"{code_version()} {settings}".encode()).hexdigest()[:16]
        place = child(self.home.work, name)
        for other in place.glob("*"):
            if other.name != plan:
                shutil.rmtree(other, ignore_errors=True)
        task = Task(name, code_version(), str(self.home.root), str(child(place, plan)), settings)
        batches = Batches(self._engine, self.function or work, batch_size or self.project.compute.batch_size)
        if self.address and (working := self.home.working):
            working.settle(log.info)  # what workers need must be there
            task = replace(task, home=working.address, list_number=working.number)
            batches = replace(batches, receive=lambda batch: working.receive(f"{plan}-{batch}"))
        yield from run_batches(batches, task, names)
        shutil.rmtree(place, ignore_errors=True)

    def _engine(self) -> AbstractContextManager[Engine]:
        compute = self.project.compute
        return open_engine(compute.engine, self.address, compute.retries, self.workers)


def engine_of(project: Project, home: Home, pictures: int = 0) -> Engaged | None:
    """The engine that a project's stage runs over so many pictures; None for threads of this process.

    Without a cluster that is what few pictures get: processes take seconds to start.
    """
    if project.compute.engine != "local":
        return Engaged(project, home, os.environ.get(ADDRESS_VARIABLE) or None)
    return Engaged(project, home) if pictures >= WORTH_PROCESSES and (os.cpu_count() or 1) > 1 else None


def work(text: str) -> str:
    """What a worker runs: see `pipeline.compute.batches.answer`. With a home at an address it has a working folder."""
    asked = json.loads(text)
    task = asked["task"]
    if "://" not in task["home"]:
        return answer(text, code_version(), work_of)
    try:
        home = _home_at(task["home"], task["list_number"])
        plan = Path(task["folder"]).name
        folder = child(child(home.work, task["name"]), plan)
        folder.mkdir(parents=True, exist_ok=True)
        task.update(home=str(home.root), folder=str(folder))
        told = answer(json.dumps(asked), code_version(), work_of)
        if (batch := json.loads(told).get("batch")) and home.working:
            home.working.hand_over(f"{plan}-{batch}", folder)
        return told
    except BokehflowError as error:
        return json.dumps({"failed": f"{error} (on {host_name()})", "kind": type(error).__name__})


@cache
def _home_at(address: str, list_number: int) -> Home:
    """This worker's home at the address, at least as new as that list; asked for anew with each."""
    return Home.at(address)


@cache
def code_version() -> str:
    """The version of bokehflow with 12 digits of the digest of its code: who shares work must run the same."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted(child(CODE, package).rglob("*.py")):
            digest.update(f"{path.relative_to(CODE)}\n".encode() + read_plain(path))
    return f"{version('bokehflow')} ({digest.hexdigest()[:12]})"


@cache
def work_of(task: Task) -> Work:
    """The work of a task, with what it loads once for each process. Raises `KeyError` for a name that is none."""
    settings = json.loads(task.settings)
    return TASKS[task.name](Project.model_validate(settings["project"]), Home(Path(task.home)))


def _hints(project: Project, home: Home) -> Work:
    from pipeline.curation.hints import few_at_a_time
    from pipeline.operations.curation import hints_measurer

    measured, _ = hints_measurer(project, home, SegmenterResource(project.masks))

    def made(names: Sequence[str]) -> Iterator[Row]:
        for few in few_at_a_time(names):
            yield from ({"name": name, **asdict(hints)} for name, hints in zip(few, measured(few), strict=True))

    return made


def _masks(project: Project, home: Home) -> Work:
    from pipeline.operations.masks import source_for_photos

    source = source_for_photos(project, home, SegmenterResource(project.masks))

    def made(names: Sequence[str]) -> Iterator[Row]:
        pictures = [PhotoToMask(sha256, tuple(photos)) for sha256, *photos in map(json.loads, names)]
        by_picture = {picture.sha256: name for picture, name in zip(pictures, names, strict=True)}
        for masks in make_masks(pictures, source, home.masks):
            yield from ({"name": by_picture[sha256], **asdict(mask)} for sha256, mask in masks.items())

    return made


def masks_over(over: Over, told: Mapping[str, str]) -> Callable[[Sequence[PhotoToMask]], Iterator[Masks]]:
    """What makes masks over an engine, for `segment_photos`."""

    def each(pictures: Sequence[PhotoToMask]) -> Iterator[Masks]:
        names = [json.dumps([picture.sha256, *picture.photo_ids]) for picture in pictures]
        for row in over("masks", names, told):
            sha256, *_ = json.loads(row.pop("name"))
            yield {sha256: RefusedMask(**row) if "reason" in row else StoredMask(**row)}

    return each


def _fingerprints(project: Project, home: Home) -> Work:
    from pipeline.dedupe.fingerprints import fingerprint

    store = FingerprintStore(home.fingerprints)

    def made(names: Sequence[str]) -> Iterator[Row]:
        store.add([fingerprint(name, home.blobs.read(name)) for name in names])
        yield from ({"name": name} for name in names)

    return made


def fingerprints_over(over: Over, home: Home, digests: Sequence[str], report: Callable[[int, int], None]) -> dict[str, str]:
    """Make the fingerprints that are missing over an engine; the pictures that no worker survives, with what is known."""
    missing, crashed = FingerprintStore(home.fingerprints).missing(digests), {}
    for done, row in enumerate(over("fingerprints", missing, {}), 1):
        if "reason" in row:
            crashed[row["name"]] = f"{row['reason']}, {row['detail']}"
        report(done, len(missing))
    return crashed


def _training_images(project: Project, home: Home) -> Work:
    from pipeline.dataset.prepare import write_shard_of
    from pipeline.operations.training_images import readers

    def made(names: Sequence[str]) -> Iterator[Row]:
        read = readers(project, home)
        for name in names:
            write_shard_of(pd.DataFrame(json.loads(name)), read, home.shards)
            yield {"name": name}

    return made


def shards_over(over: Engaged) -> Callable[[Iterator[pd.DataFrame]], Iterator[int]]:
    """What writes shards over an engine, for `prepare_images`: a shard is a batch, halved where no worker survives it."""

    def write(packs: Iterator[pd.DataFrame]) -> Iterator[int]:
        waiting = list(packs)
        while waiting:
            rows_of = {rows.to_json(orient="records"): rows for rows in waiting}
            waiting = []
            for row in over("training_images", list(rows_of), {}, batch_size=1):
                rows = rows_of[row["name"]]
                if "reason" not in row:
                    yield len(rows)
                elif len(rows) > 1:
                    waiting += [rows.iloc[: len(rows) // 2], rows.iloc[len(rows) // 2 :]]
                else:
                    log.warning("%s: %s, %s", rows["photo_id"].iloc[0], row["reason"], row["detail"])

    return write


TASKS: dict[str, Callable[[Project, Home], Work]] = {
    "fingerprints": _fingerprints,
    "hints": _hints,
    "masks": _masks,
    "training_images": _training_images,
}
"""Every task, by the name that workers are told."""

"""The pipeline without daemon or UI: the stages in order, in this process, on the home's own Dagster instance.

Each stage is asked whether its inputs changed since its table was written; if not, it is passed over. Runs show
up in the UI like any others. A run that died (kill -9, power cut) is marked as failed first and its pool slots
are freed, since without a daemon nobody else does it.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from assets.partitions import SNAPSHOTS, snapshot_recipe_key
from assets.schedules import DATASET_ASSETS, decisions_observed, due_for_rescrape
from pipeline.config import Project
from pipeline.curation.decisions import folder_version
from pipeline.dataset.manifest import snapshot_id
from pipeline.errors import ConfigError, StageFailed
from pipeline.file_names import child, inside
from pipeline.operations.forget import finish_forgetting, leftovers
from pipeline.operations.history import questions_left
from pipeline.operations.imports import imports_are_whole
from pipeline.operations.months import listed_keys
from pipeline.operations.reports import evaluated_recipes, judged_by, truth_folder, yardstick_version
from pipeline.operations.training import kept_model, training_job
from pipeline.operations.versions import inputs_version
from pipeline.package_files import DAGSTER_SETTINGS
from pipeline.training.jobs import ProcessIdentity
from pipeline.training.runs import RunFolder, completion_of, holds_another_result
from resources.dagster_internals import BlockingCheckFailed, free_slots_of_ended_runs
from resources.sources import source_problem
from storage import Home

COLLECT = ["photo_listing", "photo_files", "fingerprints"]
FROZEN = ["dataset_snapshot", "trained_model", "evaluation", "comparison"]
STAGES = [*COLLECT, "imported_photos", *DATASET_ASSETS, *FROZEN]
"""All assets in the order in which a headless run makes them."""
BLOCKING_CHECKS = {"curated_photos": ["decisions_valid", "enough_kept"], "dataset_manifest": ["can_be_frozen"]}

PID_TAG, STARTED_TAG = "bokehflow/process", "bokehflow/process_started"
TICKS_TAG = "bokehflow/process_started_ticks"


class WaitingForDecisions(Exception):
    """Not an error: too few photos are decided for the pipeline to go on."""


@dataclass(frozen=True)
class Plan:
    """What a headless run is to cover: upload months (first and last), the last asset, the recipes."""

    from_month: str | None = None
    to_month: str | None = None
    until: str = STAGES[-1]
    rescrape: bool = False
    """List again what the weekly schedule would: this month, the last, and older ones in rotation."""
    recipes: Sequence[str] | None = None
    """Keys `recipe@seed`; None: those of the recipes that `[training] automatic` lists."""


@contextmanager
def open_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """The home's Dagster instance, set up on first use."""
    prepare_instance(home)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield instance


def prepare_instance(home: Home) -> None:
    """Make `dagster/` in the home and link the settings there: Dagster reads them from nowhere else."""
    if "?" in str(home.root):
        raise ConfigError(f"{home.root}: a path with ? cannot hold Dagster's database, whose address ends there; rename it")
    home.dagster.mkdir(parents=True, exist_ok=True)
    link = child(home.dagster, DAGSTER_SETTINGS.name)
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(DAGSTER_SETTINGS)
    os.environ["DAGSTER_HOME"] = str(home.dagster)


def bury_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process is gone, and free their pool slots; returns their ids.

    To be called with the home's lock `dev`: runs of the UI and its daemon are then dead, since nothing serves them.
    """
    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    dead = [run for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)) if _is_dead(run)]
    for run in dead:
        instance.report_run_failed(run, "the process of this run is gone; what it finished is kept")
    free_slots_of_ended_runs(instance)
    return [run.run_id for run in dead]


def _is_dead(run: dg.DagsterRun) -> bool:
    """Runs without the tags belong to a UI, and none is open."""
    if PID_TAG not in run.tags:
        return True
    ticks = int(run.tags[TICKS_TAG]) if TICKS_TAG in run.tags else None
    started_at_s = float(run.tags[STARTED_TAG])
    return not ProcessIdentity(pid=int(run.tags[PID_TAG]), started_at_s=started_at_s, started_at_ticks=ticks).is_alive()


class HeadlessRun:
    """One pass over the stages of a project in a home."""

    def __init__(
        self,
        project: Project,
        home: Home,
        folder: Path,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        say: Callable[[str], None],
    ) -> None:
        """`folder` is that of the project file."""
        self.project, self.home, self.folder, self.instance, self.say = project, home, folder, instance, say
        self.definitions = definitions
        process = ProcessIdentity.current()
        self.tags = {PID_TAG: str(process.pid), STARTED_TAG: repr(process.started_at_s)}
        if process.started_at_ticks is not None:
            self.tags[TICKS_TAG] = str(process.started_at_ticks)

    def go(self, plan: Plan) -> str | None:
        """Run what is not up to date; returns the snapshot id, or None when the plan ends before it.

        Raises `StageFailed` for a failed blocking check, `WaitingForDecisions` when only decisions are missing,
        and whatever a stage raises.
        """
        wanted = set(STAGES[: STAGES.index(plan.until) + 1])
        if purged := finish_forgetting(self.home, int(time.time())):
            for problem in purged.problems:
                self.say(f"an interrupted `bokehflow forget` is still not complete: {problem}")
            if not purged.problems:
                self.say(f"an interrupted `bokehflow forget` is complete: {len(purged.photos)} photos purged")
            for left in leftovers(purged):
                self.say(left)
        again = set(due_for_rescrape(self.project, self.home, datetime.now(UTC))) if plan.rescrape else set()
        self._collect(self._months(plan), [name for name in COLLECT if name in wanted], again)
        # Without imports too: Dagster's UI warns of an input that has never been made.
        for name in ("imported_photos", *DATASET_ASSETS):
            if name in wanted:
                self._stage(name)
        if "dataset_snapshot" not in wanted:
            return None
        snapshot = self._freeze()
        for recipe in self._recipes(plan):
            if "trained_model" in wanted:
                self.train(snapshot, recipe, evaluate="evaluation" in wanted)
        if "comparison" in wanted and evaluated_recipes(self.home, snapshot)[snapshot]:
            self._compare(snapshot)
        return snapshot

    def _months(self, plan: Plan) -> list[str]:
        """Partition keys of the months that the plan covers; an unknown month is an error."""
        keys = listed_keys(self.project)
        months = sorted({key.split("|")[1] for key in keys})
        if not months and not any(domain.queries for domain in self.project.domains.values()):
            return []
        if not months:
            raise ConfigError(f"[collect] begins with {self.project.collect.from_month}, which is still to come")
        for month in (plan.from_month, plan.to_month):
            if month is not None and month not in months:
                raise ConfigError(f"unknown month {month!r}: this project covers {months[0]} to {months[-1]} ([collect])")
        first, last = plan.from_month or months[0], plan.to_month or months[-1]
        if first > last:
            raise ConfigError(f"--from {first} lies after --to {last}")
        return [key for key in keys if first <= key.split("|")[1] <= last]

    def _recipes(self, plan: Plan) -> list[str]:
        if plan.recipes is not None:
            return list(plan.recipes)
        return [key for key in self.project.recipe_keys() if key.split("@")[0] in self.project.training.automatic]

    def _collect(self, keys: list[str], names: list[str], again: Set[str]) -> None:
        """`again`: keys to be listed whether they are current or not."""
        for position, key in enumerate(keys, 1):
            stale = self._first_stale(names, key, key in again)
            if names[stale : stale + 1] == ["photo_listing"]:
                if problem := source_problem(self.project, self.project.domains[key.split("|")[0]].source):
                    raise ConfigError(problem)
                if self.home.tables.info("photo_files", key) is not None:
                    # Listed before: where the new listing says the same, nothing follows.
                    self._run_collect(["photo_listing"], key, position, len(keys))
                    stale = self._first_stale(names, key, False)
            if names[stale:]:
                self._run_collect(names[stale:], key, position, len(keys))

    def _first_stale(self, names: list[str], key: str, again: bool) -> int:
        """Position in `names` of the first table that has to be made anew; their number where none has."""
        if again:
            return 0
        return next((index for index, name in enumerate(names) if not self._is_current(name, key)), len(names))

    def _run_collect(self, names: list[str], key: str, position: int, count: int) -> None:
        self.say(f"{', '.join(names)}: {key.replace('|', ' ')} ({position} of {count})")
        self._execute("collect", names, key)

    def _stage(self, name: str) -> None:
        if name == "curated_photos":
            self._observe_decisions()
        if not self._is_current(name):
            self.say(name)
            self._execute("dataset", [name])

    def _freeze(self) -> str:
        """Freeze the manifest, whose check has passed, unless it is frozen already."""
        snapshot = snapshot_id(self.home.tables.read("dataset_manifest"))
        if not self.instance.has_dynamic_partition(SNAPSHOTS.name or "", snapshot):
            self.instance.add_dynamic_partitions(SNAPSHOTS.name or "", [snapshot])
        if not self._has_materialised("dataset_snapshot", snapshot) or not child(self.home.snapshots, snapshot).exists():
            self.say(f"dataset_snapshot {snapshot}")
            self._execute("freeze", ["dataset_snapshot"], snapshot)
        return snapshot

    def train(self, snapshot: str, recipe: str, evaluate: bool = True, anew: bool = False) -> None:
        """Train `recipe@seed` on a frozen snapshot and evaluate it, where that has not been done.

        A finished model of other settings, or of an older version, is kept and judged; with `anew` it is superseded.
        """
        key = str(snapshot_recipe_key(snapshot, recipe))
        job = training_job(self.project, self.home, snapshot, recipe)
        is_done = completion_of(RunFolder(job.run_dir)) is not None and self._has_materialised("trained_model", key)
        if (another := holds_another_result(job)) and not anew:
            if kept := kept_model(job):
                self.say(kept)
        elif another or not is_done:
            self.say(f"trained_model {recipe}")
            self._execute("train", ["trained_model"], key)
        if evaluate and not (self._has_materialised("evaluation", key) and self._is_judged(snapshot, recipe)):
            self.say(f"evaluation {recipe}")
            self._execute("train", ["evaluation"], key)

    def _is_judged(self, snapshot: str, recipe: str) -> bool:
        """Whether the model as it is now was judged by what models are judged by now."""
        now = yardstick_version(self.project, self.home, truth_folder(self.project, self.folder))
        return judged_by(self.home, snapshot, recipe) == now

    def _compare(self, snapshot: str) -> None:
        """The report is made anew when an evaluation of the snapshot is newer than it."""
        report = child(self.home.reports, snapshot) / "index.html"
        keys = [snapshot_recipe_key(snapshot, recipe) for recipe in evaluated_recipes(self.home, snapshot)[snapshot]]
        infos = [self.home.tables.info("evaluation", str(key)) for key in keys]
        newest_s = max(info.made_s for info in infos if info)
        if not report.exists() or report.stat().st_mtime < newest_s or not self._has_materialised("comparison", snapshot):
            self.say(f"comparison {snapshot}")
            self._execute("report", ["comparison"], snapshot)

    def _is_current(self, name: str, key: str | None = None) -> bool:
        info = self.home.tables.info(name, key)
        if info is None or info.inputs_version != inputs_version(self.project, self.home, name, key):
            return False
        if not self._has_materialised(name, key, since=info.made_s) or not self._checks_passed(name):
            return False
        return self._is_whole(name, key)

    def _is_whole(self, name: str, key: str | None) -> bool:
        """Whether the files that the table speaks of are there."""
        if name == "photo_files":
            return self._files_are_complete(key)
        if name == "imported_photos":
            return imports_are_whole(self.home)
        if name == "photo_history":
            return not questions_left(self.project, self.home)
        if name == "person_masks":
            return all(inside(self.home.masks, mask).exists() for mask in self.home.tables.read(name)["mask"].dropna())
        if name == "training_images":
            return all(child(self.home.shards, shard).exists() for shard in self.home.tables.read(name)["shard"].unique())
        return True

    def _files_are_complete(self, key: str | None) -> bool:
        """No photo is worth another try, and every blob is there at its full size."""
        files = self.home.tables.read("photo_files", key)
        stored = files[files["sha256"].notna()]
        return not files["pending"].any() and all(
            self.home.blobs.has(digest, int(size))
            for digest, size in zip(stored["sha256"], stored["size_bytes"], strict=True)
        )

    def _has_materialised(self, name: str, key: str | None = None, since: float = 0.0) -> bool:
        filters = dg.AssetRecordsFilter(dg.AssetKey(name), asset_partitions=[key] if key else None)
        records = self.instance.fetch_materializations(filters, limit=1).records
        return bool(records) and records[0].timestamp >= since

    def _checks_passed(self, name: str) -> bool:
        keys = [dg.AssetCheckKey(dg.AssetKey(name), check) for check in BLOCKING_CHECKS.get(name, [])]
        found = map(self.instance.get_latest_asset_check_evaluation_record, keys)
        return all(record is not None and record.status.value == "SUCCEEDED" for record in found)

    def _observe_decisions(self) -> None:
        """Tell the instance what the folder of reviewed CSVs holds, as its observable source would."""
        self.instance.report_runless_asset_event(decisions_observed(folder_version(self.home.reviewed)))

    def _execute(self, job: str, names: Sequence[str], key: str | None = None) -> None:
        definition = self.definitions.resolve_job_def(job)
        try:
            result = definition.execute_in_process(
                instance=self.instance,
                partition_key=key,
                asset_selection=[dg.AssetKey(name) for name in names],
                tags=self.tags,
                run_config={"loggers": {"console": {}}},
                raise_on_error=True,
            )
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        except dg.DagsterExecutionStepExecutionError as error:
            raise error.user_exception from error
        except BlockingCheckFailed:
            self._explain_failed_check(names[0])
            raise
        if not result.success:
            raise StageFailed(f"{', '.join(names)} failed; `bokehflow dev` shows the run {result.run_id}")

    def _explain_failed_check(self, name: str) -> None:
        keys = [dg.AssetCheckKey(dg.AssetKey(name), check) for check in BLOCKING_CHECKS.get(name, [])]
        problems: dict[str, str] = {}
        for key in keys:
            record = self.instance.get_latest_asset_check_evaluation_record(key)
            event = record.event.dagster_event if record and record.event else None
            if event and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                evaluation = event.asset_check_evaluation_data
                if not evaluation.passed:
                    problems[key.name] = str(evaluation.metadata["problems"].value)
        if set(problems) == {"enough_kept"}:
            raise WaitingForDecisions(
                f"{problems['enough_kept']}\nFill in decision and reason in {self.home.review_queue}/*.csv, "
                f"save to {self.home.reviewed}/ and run again."
            )
        shown = "\n".join(f"{check}:\n{text}" for check, text in problems.items())
        raise StageFailed(f"{name} is not passed on, its blocking check failed.\n{shown}")

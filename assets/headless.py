"""The pipeline without daemon or UI: what is due, in this process, on the home's own Dagster instance.

What is due the planner says; here it is executed until nothing is. Runs show up in the UI like any others. A run that
died (kill -9, power cut) is marked as failed first and its pool slots are freed, since without a daemon nobody else
does it.
"""

import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from assets.attempts import others_at_work
from assets.jobs import WHY_TAG, job_of, observed_before, snapshots_of, together
from assets.partitions import SNAPSHOTS
from assets.records import InstanceRecords
from assets.schedules import due_for_rescrape
from pipeline.atomic import write_text
from pipeline.config import Project
from pipeline.counted import counted
from pipeline.dataset.snapshot import read_snapshot
from pipeline.errors import BokehflowError, ConfigError, StageFailed, database_trouble, disk_failed
from pipeline.file_names import child, inside
from pipeline.operations.due import Due, NothingCollected, Waiting, WaitingForDecisions, told_problems
from pipeline.operations.forget import finish_forgetting, leftovers
from pipeline.operations.lineage_events import KILLED, Making, is_on, tell_killed
from pipeline.operations.lists import TURN
from pipeline.operations.lost_files import FindLoss, RememberingLosses
from pipeline.operations.months import IMPORTED
from pipeline.operations.photo_tables import all_rows
from pipeline.operations.planning import NEVER_MADE, Plan, Planner, reached
from pipeline.operations.snapshots_due import UNRECORDED, evaluations_due, kept_models, trainings_due
from pipeline.operations.stages import PHOTO_TABLES, STAGES, TABLES_OF_ALL, hindrance
from pipeline.operations.training import ready_job, run_id
from pipeline.package_files import DAGSTER_ON_POSTGRES, DAGSTER_SETTINGS, POSTGRES_VARIABLE
from pipeline.plain_files import plain_path, read_plain, read_plain_text
from pipeline.postgres import claiming_records, is_shared
from pipeline.training.jobs import ProcessIdentity
from resources.dagster_internals import (
    BlockingCheckFailed,
    databases_held,
    free_slots_of_ended_runs,
    keep_log_copies_from_the_terminal,
)
from resources.trainer import TrainingsAhead
from storage import Home
from storage.tables import WHOLE

log = logging.getLogger(__name__)

PROCESS_TAG = "bokehflow/made_by"
"""Names the process of a run, as JSON: one tag, since the list of runs shows all of them, and has room for few."""
FORMER_TAGS = {
    "pid": "bokehflow/process",
    "started_at_s": "bokehflow/process_started",
    "started_at_ticks": "bokehflow/process_started_ticks",
    "place": "bokehflow/process_place",
    "host": "bokehflow/host",
}
"""The same in runs that an earlier version began, which may be at work beside this one."""

RECORDS_MARK = "records-mark"
"""A file of the home's Dagster folder that tells its records in a database from those of another home."""
MAX_IDENTITY_BYTES = 10_000
NO_ADDRESS = re.compile(r"\?|%[0-9A-Fa-f]{2}")
"""What stands for something else in the address of a database, which Dagster makes of a path as it is."""


def _heed_sigterm() -> None:
    """Dagster gives SIGTERM what SIGINT has, and what a shell starts in the background ignores that: neither this process
    nor a training that it starts next could be ended."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def open_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """The home's Dagster instance, set up on first use. Raises `StorageError` where the disk does not take its records."""
    prepare_instance(home)
    keep_log_copies_from_the_terminal()
    try:
        with databases_held(), ExitStack() as stack:
            with _claimed(home, _is_on_postgres(child(home.dagster, DAGSTER_SETTINGS.name))):
                instance = stack.enter_context(dg.DagsterInstance.from_config(str(home.dagster)))
            yield instance
    except Exception as error:
        if not isinstance(error, BokehflowError) and (trouble := database_trouble(error)):
            raise disk_failed(trouble, home.dagster) from error
        raise


@contextmanager
def instance_to_look(home: Home) -> Iterator[dg.DagsterInstance]:
    """The home's Dagster instance for who only asks: SQLite writes to be read, so of a home that may not be written a copy.

    Where nothing ever ran there is one without records: to look must not set anything up. Of a home at an address other
    machines may have put some into PostgreSQL, before anything ran here.
    """
    is_elsewhere = home.working is not None and is_shared()
    with ExitStack() as stack:
        if not home.dagster.exists() and not is_elsewhere:
            yield stack.enter_context(dg.DagsterInstance.ephemeral())
        elif home.dagster.exists() and not home.is_read_only:
            yield stack.enter_context(open_instance(home))
        else:
            keep_log_copies_from_the_terminal()
            copy = Path(stack.enter_context(TemporaryDirectory(prefix="bokehflow-")))
            _copy_records(home, copy)
            with _claimed(home, is_elsewhere):
                instance = stack.enter_context(dg.DagsterInstance.from_config(str(copy)))
            yield instance


def _claimed(home: Home, is_on_postgres: bool) -> AbstractContextManager[None]:
    """Meanwhile nobody else opens the home's records. Raises `ConfigError` where the database has another home's."""
    if not is_on_postgres:
        return nullcontext()
    if home.working:
        return claiming_records(home.working.address)
    return claiming_records(str(home.root.resolve()), child(home.dagster, RECORDS_MARK))


def _copy_records(home: Home, target: Path) -> None:
    """What an instance in `target` needs to answer as the home's: settings and databases, and no output of steps."""
    own = child(home.dagster, DAGSTER_SETTINGS.name)
    if not own.exists() and is_shared():
        _check_postgres_settings()
        own = DAGSTER_ON_POSTGRES
    shutil.copyfile(plain_path(own if own.exists() else DAGSTER_SETTINGS), child(target, DAGSTER_SETTINGS.name))
    for path in (path for folder in ("history", "schedules") for path in child(home.dagster, folder).rglob("*.db*")):
        copy = inside(target, path.relative_to(home.dagster).as_posix())
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(plain_path(path), copy)


def prepare_instance(home: Home) -> None:
    """Make `dagster/` in the home and link the settings there: Dagster reads them from nowhere else.

    A file of one's own there stays. Raises `ConfigError` where records in PostgreSQL cannot be reached as it stands, and
    where the path of a database, or of Dagster itself, means another one to Dagster.
    """
    if wrong := NO_ADDRESS.search(str(home.dagster.absolute())):
        why = "ends there" if wrong[0] == "?" else "takes that for another character"
        raise ConfigError(
            f"{home.root}: a path with {wrong[0]} cannot hold Dagster's database, whose address {why}; rename it"
        )
    if "%" in str(dg.__file__):
        raise ConfigError(
            f"{dg.__file__}: from a path with % Dagster sets up no database; install bokehflow in another folder"
        )
    home.dagster.mkdir(parents=True, exist_ok=True)
    link = child(home.dagster, DAGSTER_SETTINGS.name)
    was_on_postgres = _is_on_postgres(link)
    is_on_postgres = is_shared()
    if was_on_postgres and not is_on_postgres:
        raise ConfigError(
            f"{link}: this home's records are in PostgreSQL; set {POSTGRES_VARIABLE} and its like, or delete that link to "
            "begin with records in the home"
        )
    if is_on_postgres and (link.is_symlink() or not link.exists()):
        _check_postgres_settings()
    if not link.exists() or (link.is_symlink() and is_on_postgres and not was_on_postgres):
        link.unlink(missing_ok=True)
        link.symlink_to(DAGSTER_ON_POSTGRES if is_on_postgres else DAGSTER_SETTINGS)
    os.environ["DAGSTER_HOME"] = str(home.dagster)


def _is_on_postgres(link: Path) -> bool:
    return link.is_symlink() and link.readlink().name == DAGSTER_ON_POSTGRES.name


def _check_postgres_settings() -> None:
    """Raise `ConfigError` where Dagster could not even begin to connect."""
    names = re.findall(r"env: (\w+)", read_plain_text(DAGSTER_ON_POSTGRES))
    if missing := [name for name in names if not os.environ.get(name)]:
        raise ConfigError(f"{POSTGRES_VARIABLE} is set, so records go to PostgreSQL; set {', '.join(missing)} as well")
    if find_spec("dagster_postgres") is None:
        raise ConfigError(f"{POSTGRES_VARIABLE} is set, so records go to PostgreSQL: pip install 'bokehflow[postgres]'")


def bury_dead_runs(instance: dg.DagsterInstance, home: Home, ui_is_open: bool = False) -> list[str]:
    """Mark runs as failed whose process is gone, and free their pool slots; returns their ids.

    To be called with the home's lock `dev`: runs of the UI and its daemon are then dead, since nothing serves them. Where
    another process holds it, that is, `ui_is_open`, its runs are left alone. So are runs of another machine that shares the
    home's disk: whether these are at work cannot be told from here.
    """
    dead = [run for run in unfinished_runs(instance) if _is_dead(run, home, ui_is_open)]
    for run in dead:
        instance.report_run_failed(run, f"{KILLED}; what it finished is kept")
        if is_on():
            _tell_of_killed(instance, home, run)
    free_slots_of_ended_runs(instance)
    return [run.run_id for run in dead]


def _tell_of_killed(instance: dg.DagsterInstance, home: Home, run: dg.DagsterRun) -> None:
    """Tell OpenLineage that what the run had begun and not made will not come."""
    begun, made = (
        {str(entry.get_dagster_event().step_key) for entry in instance.all_logs(run.run_id, of_type=kind)}
        for kind in (dg.DagsterEventType.STEP_START, dg.DagsterEventType.ASSET_MATERIALIZATION)
    )
    for asset in sorted(begun - made):
        partition = run.tags.get("dagster/partition")
        tell_killed(Making(None, home, asset, partition, run.run_id, run.job_name), log.warning)


def take_on_record(instance: dg.DagsterInstance, home: Home) -> None:
    """Put on record what other machines made of a home at an address, whose records are not here: it is not made again.

    Tables with blocking checks are, which is cheap: whether those passed is on record elsewhere alone.
    """
    if home.working is None:
        return
    records, names = InstanceRecords(instance), (*PHOTO_TABLES, *TABLES_OF_ALL)
    for name in [name for name in names if not STAGES[name].blocking_checks]:
        for key in home.tables.partitions(name):
            partition = None if key == WHOLE else key
            info, made_s = home.tables.info(name, partition), records.made_at_s(name, partition)
            if info and not key.endswith(f"|{IMPORTED}") and (made_s is None or made_s < info.made_s):
                tags = {"dagster/data_version": info.data_version}
                instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=partition, tags=tags))


def runs_elsewhere(instance: dg.DagsterInstance) -> list[str]:
    """In words, the unfinished runs of other machines; what to do about each of which one knows that it is dead."""
    found = [(run, identity) for run in unfinished_runs(instance) if (identity := _process_of(run)) and identity.elsewhere()]
    return [
        f"run {run.run_id[:8]} of {identity.host or 'another machine'} (process {identity.pid}) is not finished; if that "
        "machine is gone, cancel it on the page of `bokehflow dev`, which frees what it holds"
        for run, identity in found
    ]


def unfinished_runs(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    """Runs of any machine that began and did not end."""
    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
    return instance.get_runs(dg.RunsFilter(statuses=unfinished))


def served_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Unfinished runs that the code server of a UI has at work."""
    return [run for run in unfinished_runs(instance) if _process_of(run) is None]


def _is_dead(run: dg.DagsterRun, home: Home, ui_is_open: bool) -> bool:
    """Runs without the tags belong to a UI."""
    process = _process_of(run)
    if process is None:
        return not ui_is_open and not _served_elsewhere(home)
    if (place := process.elsewhere()) and place.shares_kernel():
        return not home.is_present(process.label)
    return not process.is_alive()


def _process_of(run: dg.DagsterRun) -> ProcessIdentity | None:
    """The process that the run's tags name; None of a UI's run, whose tags may be anything."""
    try:
        if PROCESS_TAG in run.tags:
            return ProcessIdentity.model_validate_json(run.tags[PROCESS_TAG])
        former = {name: run.tags[tag] for name, tag in FORMER_TAGS.items() if tag in run.tags}
        return ProcessIdentity.model_validate(former) if former else None
    except ValueError:
        return None


def process_tags() -> dict[str, str]:
    """Tags by which a run names this process."""
    return tags_of_process(ProcessIdentity.current())


def tags_of_process(process: ProcessIdentity) -> dict[str, str]:
    """The same of another."""
    return {PROCESS_TAG: process.model_dump_json(exclude_defaults=True)}


@contextmanager
def serving_ui(home: Home) -> Iterator[None]:
    """Meanwhile the home names this process as the one that serves the UI, for other machines to see."""
    home.root.mkdir(parents=True, exist_ok=True)
    write_text(home.ui_process, ProcessIdentity.current().model_dump_json())
    try:
        yield
    finally:
        home.ui_process.unlink(missing_ok=True)


def _served_elsewhere(home: Home) -> bool:
    """Whether a UI of another machine may be open. Locks tell it on this machine."""
    try:
        process = ProcessIdentity.model_validate_json(read_plain(home.ui_process, MAX_IDENTITY_BYTES))
    except (OSError, ValueError):
        return False
    place = process.elsewhere()
    return place is not None and not place.shares_kernel()


class HeadlessRun:
    """Executes what is due of a project in a home, each thing once."""

    def __init__(
        self,
        project: Project,
        home: Home,
        folder: Path,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        say: Callable[[str], None],
        find_loss: FindLoss | None = None,
    ) -> None:
        """`folder` is that of the project file. What looks for lost files remembers what it found whole."""
        self.project, self.home, self.folder, self.instance, self.say = project, home, folder, instance, say
        self.definitions = definitions
        self.planner = Planner(project, home, folder, InstanceRecords(instance), find_loss or RememberingLosses())
        self.tried: set[tuple[str, str | None]] = set()
        self.ahead: TrainingsAhead | None = None
        self.tags = process_tags()

    def go(self, plan: Plan) -> str | None:
        """Execute what the plan covers until nothing is due; returns the snapshot id, or None when the plan ends before it.

        Raises `StageFailed` for a failed blocking check, `WaitingForDecisions` when only decisions are missing,
        and whatever a stage raises.
        """
        scope = plan.scope(self.project)
        self._finish_forgetting()
        again = set(due_for_rescrape(self.project, self.home, datetime.now(UTC))) if plan.rescrape else set()
        # Of months as they should be, which are most, one question tells.
        at_first = replace(self.planner, records=InstanceRecords(self.instance, at_once=True))
        for position, key in enumerate(scope.keys, 1):
            if key not in again and not at_first.of_month(key, scope):
                continue
            place = f"{key.replace('|', ' ')} ({position} of {len(scope.keys)})"
            if key in again:
                self._make([Due("photo_listing", key, ("its turn to be listed again",))], place)
            self._until_nothing_is_due(lambda key=key: self.planner.of_month(key, scope), place)
        if plan.rescrape and scope.has("imported_photos") and any(one.lists for one in self.project.domains.values()):
            self._make([Due("imported_photos", None, (TURN,))])
        self._until_nothing_is_due(lambda: self.planner.of_all(scope).due)
        if waiting := self.planner.of_all(scope).waiting:
            self._explain(waiting[0])
        with TrainingsAhead() as self.ahead:
            self._until_nothing_is_due(lambda: self.planner.of_snapshots(scope))
        return reached(self.project, self.home, scope, self.say)

    def train(self, snapshot: str, recipe: str, anew: bool = False) -> None:
        """Train `recipe@seed` on a frozen snapshot and evaluate it, where that has not been done.

        A finished model of other settings, or of an older version, is kept and judged; with `anew` it is superseded.
        """
        home, records, tried = self.home, self.planner.records, len(self.tried)
        self._until_nothing_is_due(
            lambda: list(trainings_due(self.project, home, records, snapshot, [recipe], anew)), recipe
        )
        for words in kept_models(self.project, home, snapshot, [recipe]):
            self.say(words)
        self._until_nothing_is_due(
            lambda: list(evaluations_due(self.project, home, self.folder, records, snapshot, [recipe])), recipe
        )
        if len(self.tried) == tried:
            self.say(f"{recipe} on {snapshot} is trained and judged: nothing is due")

    def _finish_forgetting(self) -> None:
        # Beside a training run a purge is not complete: it shows samples of photos that are being forgotten.
        if purged := finish_forgetting(self.home, int(time.time()), lambda: not others_at_work(self.instance)):
            for problem in purged.problems:
                self.say(f"an interrupted `bokehflow forget` is still not complete: {problem}")
            if not purged.problems:
                self.say(f"an interrupted `bokehflow forget` is complete: {counted(len(purged.photos), 'photo')} purged")
            for left in leftovers(purged):
                self.say(left)

    def _until_nothing_is_due(self, ask: Callable[[], Sequence[Due]], place: str = "") -> None:
        """What is due again after it was made waits for the next run: a failure that may pass, an answer from Flickr."""
        while due := [one for one in ask() if one.name not in self.tried]:
            # A training that ran ahead is put on record before its model is judged.
            due.sort(key=lambda one: (one.asset, one.why) != ("trained_model", UNRECORDED))
            if self.ahead and due[0].asset == "trained_model" and self._train_ahead(self.ahead, due):
                continue
            self._make(together(due), place)

    def _train_ahead(self, ahead: TrainingsAhead, due: Sequence[Due]) -> bool:
        """Wait for the first training, where it runs already; else let the others that are due run beside it.

        Whether it was waited for.
        """
        keys = [str(one.partition).split("|") for one in due if one.asset == "trained_model"]
        if ahead.wait(run_id(keys[0][1], keys[0][0])):
            return True
        if self.project.training.trainer != "process":
            return False
        beside = self.project.recipes[keys[0][0].split("@")[0]].resolved().cpu_threads
        for recipe, snapshot in keys[1:] if beside else ():
            job = ready_job(self.project, self.home, snapshot, recipe, read_snapshot(self.home.snapshots, snapshot))
            if ahead.start(job, beside):
                self.say(f"{recipe} trains beside {keys[0][0]}")
        return False

    def _make(self, due: Sequence[Due], place: str = "") -> None:
        first, names = due[0], [one.asset for one in due]
        if problem := hindrance(self.project, first.asset, first.partition):
            raise ConfigError(problem)
        self.tried.update(one.name for one in due)
        why = "" if first.why == NEVER_MADE else f": {first.why}"
        self.say(f"{', '.join(names)}{f' {place}' if place else f' {first.partition}' if first.partition else ''}{why}")
        self.instance.add_dynamic_partitions(SNAPSHOTS.name or "", snapshots_of(due))
        self._execute(job_of(first.asset), names, first.partition, first.why)

    def _execute(self, job: str, names: Sequence[str], key: str | None, why: str) -> None:
        definition = self.definitions.resolve_job_def(job)
        for event in observed_before(names, self.home):
            self.instance.report_runless_asset_event(event)
        try:
            result = definition.execute_in_process(
                instance=self.instance,
                partition_key=key,
                asset_selection=[dg.AssetKey(name) for name in names],
                tags={**self.tags, WHY_TAG: why},
                run_config={"loggers": {"console": {}}},
                raise_on_error=True,
            )
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        except dg.DagsterExecutionStepExecutionError as error:
            raise error.user_exception from error
        except BlockingCheckFailed:
            return  # the table is made, and the planner says what it waits for
        finally:
            _heed_sigterm()
        if not result.success:
            raise StageFailed(f"{', '.join(names)} failed; `bokehflow dev` shows the run {result.run_id}")

    def _explain(self, waiting: Waiting) -> None:
        """Raise what says to a person why it goes no further."""
        if set(waiting.problems) == {"enough_kept"}:
            if not len(self.home.tables.read_or_empty("unique_photos", columns=["photo_id"])):
                if found := len(all_rows(self.project, self.home, "photo_listing", ["photo_id"])):
                    came = f"{counted(found, 'photo')} came into {self.home.root}"
                    raise NothingCollected(f"{came}, and none is left: `bokehflow status` says why")
                raise NothingCollected(
                    f"{self.home.root} holds no photo yet: `bokehflow import FOLDER` brings your own, queries under "
                    "[domains] of the project file find others"
                )
            raise WaitingForDecisions(
                f"{waiting.problems['enough_kept']}\nFill in decision and reason in {self.home.review_queue}/*.csv, "
                f"save to {self.home.reviewed}/ and run again."
            )
        raise StageFailed(f"{waiting.asset} is not passed on, its blocking check failed.\n{told_problems(waiting)}")

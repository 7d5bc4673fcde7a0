"""What runs by itself while `bokehflow dev` is open: the sensor that asks what is due and has it made."""

import json
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from assets.attempts import attempt_tags, why_not_now
from assets.jobs import JOBS, WHY_TAG, job_of, observed_before, snapshots_of, together
from assets.partitions import SNAPSHOTS
from assets.records import InstanceRecords
from pipeline.config import Project, load_project
from pipeline.errors import ConfigError
from pipeline.operations.due import Due
from pipeline.operations.lost_files import RememberingLosses
from pipeline.operations.planning import FROZEN, NEVER_MADE, ORDER, Planner, order_of
from pipeline.operations.stages import PHOTO_TABLES, STAGES, hindrance
from resources.dagster_internals import AssetJob
from storage import Home

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]  # fmt: skip
MOST_AT_ONCE = 25
"""So many runs are asked for at one tick."""
LOOK_EVERY_S = 15
MAY_BE_MISSING = ("imported_photos", "photo_history")
"""Whoever reads these takes them for empty where they were never made."""

Name = tuple[str, str | None]
"""An asset and a partition; None for all of them, or where there are none."""


@dataclass
class Next:
    """What is started at one tick, and in words what is not."""

    due: list[list[Due]] = field(default_factory=list)
    """Each list is one run."""
    why_not: list[str] = field(default_factory=list)
    unsettled: dict[str, str] = field(default_factory=dict)
    """By label: what people's files were when they were last seen otherwise than before."""


def sensors(project: Project, home: Home, file: Path, jobs: Sequence[AssetJob]) -> list[dg.SensorDefinition]:
    """The sensor; `file` is the project file."""
    losses = RememberingLosses()

    @dg.sensor(
        name="what_is_due",
        jobs=jobs,
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes what is due: what `bokehflow run --plan` says, which counts settings, decisions, imports, "
        "forgotten photos and lost files. Each run says in its tag `bokehflow/why` what for.",
    )
    def what_is_due(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if why_not := not_as_loaded(project, file):
            return dg.SensorResult(skip_reason=why_not, cursor=context.cursor)
        planner = Planner(project, home, file.parent, InstanceRecords(context.instance, at_once=True), losses)
        found = next_runs(planner, context.instance, json.loads(context.cursor or "{}"))
        for due in (one for run in found.due for one in run):
            context.log.info(str(due))
        snapshots = snapshots_of(one for run in found.due for one in run)
        names = [one.asset for run in found.due for one in run]
        return dg.SensorResult(
            run_requests=[request(run) for run in found.due],
            dynamic_partitions_requests=[SNAPSHOTS.build_add_request(snapshots)] if snapshots else None,
            asset_events=list(observed_before(names, home)),
            skip_reason=None if found.due else "; ".join(found.why_not) or "nothing is due",
            cursor=json.dumps(found.unsettled),
        )

    return [what_is_due]


def not_as_loaded(project: Project, file: Path) -> str | None:
    """In words that the project file does not say what the definitions were loaded from; None where it does.

    Runs read it when they begin, and would make something else than what was found due, again and again.
    """
    try:
        if load_project(file) == project:
            return None
    except ConfigError as error:
        return f"nothing is started until the project file is mended: {error}"
    return f"nothing is started: {file} says something else by now; it counts from `Reload definitions` on, or a new start"


def request(run: Sequence[Due]) -> dg.RunRequest:
    """The request for a run that makes these, which belong together."""
    first = run[0]
    return dg.RunRequest(
        job_name=job_of(first.asset),
        partition_key=first.partition,
        asset_selection=[dg.AssetKey(one.asset) for one in run],
        tags={WHY_TAG: first.why, **attempt_tags(first)},
    )


def next_runs(planner: Planner, instance: dg.DagsterInstance, seen: dict[str, str]) -> Next:
    """What of that which is due is to be started now: nothing whose inputs are on their way, nothing too often.

    `seen` is `unsettled` of the tick before.
    """
    # What is recorded while the planner looks may be missing in what it saw: it counts as on its way.
    before, outlook, found = set(_moving(instance)), planner.outlook(), Next()
    moving = before | set(_moving(instance))
    found.why_not += [f"{one.asset} waits: {', '.join(one.problems)} did not pass" for one in outlook.waiting]
    missing: set[Name] = set()
    for due in outlook.due:
        if due.name in moving:
            continue
        if _lacks(planner.project, due, missing):
            missing.add(due.name)
        elif len(found.due) >= MOST_AT_ONCE or (due.needs_quiet and moving) or _is_held(planner.project, due, moving):
            found.why_not.append(f"{due.label} waits for its turn")
        elif not _is_settled(planner, due, seen, found.unsettled):
            found.why_not.append(f"{due.label}: files of its folder have just changed; are they complete?")
            moving.add(due.name)
        elif why_not := hindrance(planner.project, due.asset, due.partition) or why_not_now(instance, due):
            found.why_not.append(why_not)
            if due.why == NEVER_MADE:
                missing.add(due.name)
        else:
            run = together([due, *outlook.due[outlook.due.index(due) + 1 :]])
            found.due.append(run)
            moving.update(one.name for one in run)
    return found


def _lacks(project: Project, due: Due, missing: Set[Name]) -> bool:
    """Whether it would be made from a table that is not there, and cannot come now: its run could but fail."""
    made_from = STAGES[due.asset].tables(project) if due.asset in STAGES else ()
    return any((name, due.partition) in missing for name in made_from if name not in MAY_BE_MISSING)


def _is_held(project: Project, due: Due, moving: Iterable[Name]) -> bool:
    """Whether something that it may be made from is on its way."""
    before = order_of(project)[: order_of(project).index(due.asset)]
    return any(asset in before and _concerns(asset, key, due) for asset, key in moving)


def _concerns(asset: str, key: str | None, due: Due) -> bool:
    """Whether the one may decide the other: a table everything after it, a month not another month, nor a model another."""
    alike = next((kind for kind in (PHOTO_TABLES, FROZEN) if asset in kind and due.asset in kind), ())
    if not alike or key is None or due.partition is None:
        return True
    one, other = set(key.split("|")), set(due.partition.split("|"))
    return one <= other or other <= one


def _is_settled(planner: Planner, due: Due, seen: dict[str, str], unsettled: dict[str, str]) -> bool:
    """Whether what people put there is as it was at the tick before; a file that is being copied is not."""
    if due.asset not in STAGES or not STAGES[due.asset].settles:
        return True
    outside = STAGES[due.asset].outside(planner.project, planner.home, due.partition)
    unsettled[due.label] = json.dumps(dict(outside), sort_keys=True)
    return seen.get(due.label) == unsettled[due.label]


def _moving(instance: dg.DagsterInstance) -> Iterator[Name]:
    """What runs that are not over make."""
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        selected = [key.to_user_string() for key in run.asset_selection or ()]
        known = JOBS.get(run.job_name, ((), ""))[0]
        for asset in selected or known:
            if asset in ORDER:
                yield asset, run.tags.get("dagster/partition")

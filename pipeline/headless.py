"""Runs of the whole pipeline in this process: what `bokehflow run`, `train` and the demo start.

Where nothing is due, Dagster is not even imported, which takes seconds.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Project
from pipeline.dataset.snapshot import read_snapshot
from pipeline.errors import StorageError
from pipeline.operations.due import Outlook, told_problems
from pipeline.operations.emulated_flickr import emulated_flickr
from pipeline.operations.forget import AT_WORK
from pipeline.operations.kept_records import Answers, AskedRecords, is_current, keep_answers
from pipeline.operations.lost_files import RememberingLosses
from pipeline.operations.planning import Plan, Planner, Scope, reached
from pipeline.training.jobs import ProcessIdentity
from storage import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance

NOTHING_DUE = "nothing is due"
Say = Callable[[str], None]
"""Shows a line to the person at the terminal."""


def run_plan(plan: Plan, project: Project, path: Path, home: Home, say: Say) -> str | None:
    """Run the plan in this process; returns the snapshot id where the plan reaches it."""
    scope, losses = plan.scope(project), RememberingLosses()
    # While `bokehflow dev` is open its daemon makes what is due too, and both would fetch and write the same.
    with home.lock("dev"), home.lock(AT_WORK, shared=True):
        home.sweep()
        if not plan.rescrape and is_current(project, home, path.parent, scope, losses):
            return reached(project, home, scope, say)
        with emulated_flickr(home, project):
            snapshot, answers = _run(plan, project, path, home, say, losses)
        if answers:
            keep_answers(home, answers)
        return snapshot


def _run(
    plan: Plan, project: Project, path: Path, home: Home, say: Say, losses: RememberingLosses
) -> tuple[str | None, Answers | None]:
    """What `run_plan` returns, and what Dagster answers now, where the planner has nothing more to ask it."""
    from assets.headless import HeadlessRun, bury_dead_runs, open_instance, runs_elsewhere, take_on_record, unfinished_runs
    from assets.old_runs import delete_old_runs
    from assets.records import InstanceRecords
    from pipeline.definitions import build_definitions

    with present(home), open_instance(home) as instance:
        for run_id in bury_dead_runs(instance, home):
            say(f"an earlier run died ({run_id[:8]}); going on from what it finished")
        for words in runs_elsewhere(instance):
            say(words)
        take_on_record(instance, home)
        delete_old_runs(instance, home)
        definitions = build_definitions(project, home, path)
        snapshot = HeadlessRun(project, home, path.parent, definitions, instance, say, losses).go(plan)
        records = AskedRecords(InstanceRecords(instance, at_once=True))
        outlook = Planner(project, home, path.parent, records, losses).outlook(plan.scope(project))
        is_settled = not outlook.due and not outlook.waiting and not unfinished_runs(instance)
        return snapshot, records.answers if is_settled else None


def told_plan(plan: Plan, project: Project, path: Path, home: Home) -> str:
    """What the plan would make, a line for each with the reason, and what would wait; nothing is changed."""
    scope, losses = plan.scope(project), RememberingLosses()
    if not plan.rescrape and is_current(project, home, path.parent, scope, losses):
        return NOTHING_DUE
    from assets.headless import instance_to_look
    from assets.records import InstanceRecords

    with instance_to_look(home) as instance:
        outlook = Planner(project, home, path.parent, InstanceRecords(instance, at_once=True), losses).outlook(scope)
    waits = [f"{one.asset} waits, and with it what comes after:\n{told_problems(one)}" for one in outlook.waiting]
    after = _what_may_follow(outlook, scope)
    return "\n".join([*map(str, outlook.due), *after, *waits]) or NOTHING_DUE


def _what_may_follow(outlook: Outlook, scope: Scope) -> list[str]:
    """The assets after the first that is due which are not, but may be once that is made."""
    if not outlook.due:
        return []
    due, held = {one.asset for one in outlook.due}, {one.asset for one in outlook.waiting}
    first = min(scope.order.index(asset) for asset in due)
    names = [name for name in scope.order[first:] if scope.has(name) and name not in due | held]
    return [f"then, where that changes anything: {', '.join(names)}"] if names else []


def train_configured(snapshot: str, recipe: str, project: Project, path: Path, home: Home, say: Say, anew: bool) -> None:
    """Train and evaluate `recipe@seed` of the project file on a frozen snapshot, in this process.

    Others may train other models meanwhile. With `anew` it takes the place of a finished model of other settings. Raises
    `DatasetError` for an unknown snapshot, `StorageError` where another process trains this model.
    """
    from assets.headless import HeadlessRun, open_instance
    from pipeline.definitions import build_definitions

    read_snapshot(home.snapshots, snapshot)
    with home.lock(AT_WORK, shared=True), present(home), open_instance(home) as instance:
        _bury_beside_others(home, instance)
        definitions = build_definitions(project, home, path)
        HeadlessRun(project, home, path.parent, definitions, instance, say).train(snapshot, recipe, anew=anew)


def _bury_beside_others(home: Home, instance: "DagsterInstance") -> None:
    """Bury dead runs; where a UI or another run is open, only those whose process can be told to be gone."""
    from assets.headless import bury_dead_runs

    try:
        with home.lock("dev"):
            bury_dead_runs(instance, home)
    except StorageError:
        bury_dead_runs(instance, home, ui_is_open=True)


def present(home: Home) -> AbstractContextManager[None]:
    """Meanwhile other containers of this machine can tell that this process is at work."""
    return home.presence(ProcessIdentity.current().label)

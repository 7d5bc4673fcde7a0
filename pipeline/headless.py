"""Runs of the whole pipeline in this process: what `bokehflow run`, `train` and the demo start."""

from collections.abc import Callable, Set
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import dagster as dg

from assets.headless import HeadlessRun, Plan, bury_dead_runs, open_instance, runs_elsewhere
from assets.records import InstanceRecords
from pipeline.config import Project
from pipeline.dataset.snapshot import read_snapshot
from pipeline.definitions import build_definitions
from pipeline.errors import StorageError
from pipeline.operations.due import Outlook, told_problems
from pipeline.operations.forget import AT_WORK
from pipeline.operations.planning import ORDER, Planner, Scope
from pipeline.operations.stages import TABLES_OF_ALL, tables_of_all
from pipeline.training.jobs import ProcessIdentity
from storage import Home

Say = Callable[[str], None]
"""Shows a line to the person at the terminal."""


def run_plan(plan: Plan, project: Project, path: Path, home: Home, say: Say) -> str | None:
    """Run the plan in this process; returns the snapshot id where the plan reaches it."""
    # While `bokehflow dev` is open its daemon makes what is due too, and both would fetch and write the same.
    with home.lock("dev"), home.lock(AT_WORK, shared=True), present(home), open_instance(home) as instance:
        home.sweep()
        for run_id in bury_dead_runs(instance, home):
            say(f"an earlier run died ({run_id[:8]}); going on from what it finished")
        for words in runs_elsewhere(instance):
            say(words)
        definitions = build_definitions(project, home, path.parent)
        return HeadlessRun(project, home, path.parent, definitions, instance, say).go(plan)


def told_plan(plan: Plan, project: Project, path: Path, home: Home) -> str:
    """What the plan would make, a line for each with the reason, and what would wait; nothing is changed."""
    with ExitStack() as stack:
        # Where nothing ever ran, to look must not set anything up.
        instance = stack.enter_context(open_instance(home) if home.dagster.exists() else dg.DagsterInstance.ephemeral())
        scope = plan.scope(project)
        outlook = Planner(project, home, path.parent, InstanceRecords(instance)).outlook(scope)
    waits = [f"{one.asset} waits, and with it what comes after:\n{told_problems(one)}" for one in outlook.waiting]
    after = _what_may_follow(outlook, scope, left_out=set(TABLES_OF_ALL) - set(tables_of_all(project)))
    return "\n".join([*map(str, outlook.due), *after, *waits]) or "nothing is due"


def _what_may_follow(outlook: Outlook, scope: Scope, left_out: Set[str]) -> list[str]:
    """The assets after the first that is due which are not, but may be once that is made."""
    if not outlook.due:
        return []
    due, held = {one.asset for one in outlook.due}, {one.asset for one in outlook.waiting} | left_out
    first = min(ORDER.index(asset) for asset in due)
    names = [name for name in ORDER[first:] if scope.has(name) and name not in due | held]
    return [f"then, where that changes anything: {', '.join(names)}"] if names else []


def train_configured(
    snapshot: str, recipe: str, project: Project, path: Path, home: Home, say: Say, anew: bool = False
) -> None:
    """Train and evaluate `recipe@seed` of the project file on a frozen snapshot, in this process.

    Others may train other models meanwhile. With `anew` it takes the place of a finished model of other settings. Raises
    `DatasetError` for an unknown snapshot, `StorageError` where another process trains this model.
    """
    read_snapshot(home.snapshots, snapshot)
    with home.lock(AT_WORK, shared=True), present(home), open_instance(home) as instance:
        _bury_beside_others(home, instance)
        definitions = build_definitions(project, home, path.parent)
        HeadlessRun(project, home, path.parent, definitions, instance, say).train(snapshot, recipe, anew=anew)


def _bury_beside_others(home: Home, instance: dg.DagsterInstance) -> None:
    """Bury dead runs; where a UI or another run is open, only those whose process can be told to be gone."""
    try:
        with home.lock("dev"):
            bury_dead_runs(instance, home)
    except StorageError:
        bury_dead_runs(instance, home, ui_is_open=True)


def present(home: Home) -> AbstractContextManager[None]:
    """Meanwhile other containers of this machine can tell that this process is at work."""
    return home.presence(ProcessIdentity.current().label)

"""Runs of the whole pipeline in this process: what `bokehflow run`, `train` and the demo start."""

from collections.abc import Callable
from pathlib import Path

from assets.headless import HeadlessRun, Plan, bury_dead_runs, open_instance
from pipeline.config import Project
from pipeline.dataset.snapshot import read_snapshot
from pipeline.definitions import build_definitions
from storage import Home

Say = Callable[[str], None]
"""Shows a line to the person at the terminal."""


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

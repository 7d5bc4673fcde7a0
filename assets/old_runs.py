"""Dagster's records of old runs, which would grow for ever: 200 kB a run, a gigabyte a year beside `bokehflow dev`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.attempts import ENDED
from assets.records import InstanceRecords
from pipeline.operations.planning import ORDER
from pipeline.operations.stages import STAGES
from resources.dagster_internals import delete_run
from storage import Home

KEPT_FOR = timedelta(days=90)
AT_ONCE = 50
"""So many are deleted at once, which takes a second or two: somebody may wait for something else."""


def delete_old_runs(instance: dg.DagsterInstance, home: Home, now: datetime | None = None) -> int:
    """Delete what is on record of runs that ended long ago, the oldest first; returns how many went.

    Those stay that made what there is of a table, snapshot, model or report, or whose checks of it were the last: by these
    it is known what is due.
    """
    before = (now or datetime.now(UTC)) - KEPT_FOR
    old = instance.get_run_ids(dg.RunsFilter(statuses=ENDED, updated_before=before))
    needed = set(_needed(instance)) if old else set()
    gone = [run_id for run_id in reversed(old) if run_id not in needed][:AT_ONCE]
    for run_id in gone:
        delete_run(instance, home.dagster, run_id)
    return len(gone)


def _needed(instance: dg.DagsterInstance) -> Iterator[str]:
    records = InstanceRecords(instance)
    for name in ORDER:
        yield from records.runs_of_newest(name)
        for check in STAGES[name].blocking_checks if name in STAGES else ():
            last = instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(dg.AssetKey(name), check))
            if last:
                yield last.run_id

"""Runs that the sensor asks for: one at a time, again after a failure with longer and longer pauses, most not for ever.

Dagster's run keys will not do: a key that any earlier run had is passed over for ever, so that what failed once, or is
wanted again after something else was, would never come.
"""

import time
from datetime import datetime
from itertools import takewhile

import dagster as dg

from pipeline.operations.due import Due, is_ahead
from pipeline.operations.stages import PHOTO_TABLES

RETRY_AFTER_S = (60, 600, 3600, 86_400)
"""Pauses after the first, second … run that did not bring what was wanted. After the last try nothing is asked for, but
for a month, whose source may be out of reach for days: that is tried on, each time after the last pause."""
COUNTED_TRIES = len(RETRY_AFTER_S) + 2
"""Enough for a pause of an hour to become one of a day."""
FORGOTTEN_AFTER_S = 30 * 86_400
"""A run so long ago says nothing about now."""
ASKED_FOR, VERSION = "bokehflow/asked_for", "bokehflow/version"
AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def attempt_tags(due: Due) -> dict[str, str]:
    """Tags by which a run for what is due is known again."""
    return {ASKED_FOR: due.label, VERSION: due.version}


def why_not_now(instance: dg.DagsterInstance, due: Due) -> str | None:
    """In words why no run is to be started now for what is due; None where one is.

    Every earlier run for the same reasons counts as one that did not bring it.
    """
    records = instance.get_run_records(dg.RunsFilter(tags={ASKED_FOR: due.label}), limit=COUNTED_TRIES)
    now_s = time.time()
    recent = [record for record in records if now_s - _ended_s(record) < FORGOTTEN_AFTER_S]
    recent = [record for record in recent if not is_ahead(_ended_s(record), now_s)]  # it would hold up the next until then
    tries = list(takewhile(lambda record: record.dagster_run.tags.get(VERSION) == due.version, recent))
    if recent and (wait_s := _ended_s(recent[0]) + _pause_s(due, len(tries)) - now_s) > 0:
        return f"{due.label}: again in {wait_s:,.0f} s"
    return _too_often(due, tries) if tries and not due.pause_s else None


def _pause_s(due: Due, tries: int) -> float:
    """What comes in portions pauses longer and longer, up to a day, while runs bring nothing: its source may be away."""
    return min(due.pause_s * 2 ** max(tries - 1, 0), max(due.pause_s, RETRY_AFTER_S[-1]))


def _ended_s(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()


def _too_often(due: Due, tries: list[dg.RunRecord]) -> str | None:
    last, by_hand = tries[0], "materialise it in the UI, or end this and `bokehflow run`"
    run_id = last.dagster_run.run_id[:8]
    if last.dagster_run.status == dg.DagsterRunStatus.CANCELED:
        return f"{due.label}: run {run_id} was cancelled; to have it after all, {by_hand}"
    if len(tries) > len(RETRY_AFTER_S) and due.asset not in PHOTO_TABLES:
        return f"{due.label}: {len(tries)} runs did not bring it, the last was {run_id}; mend what it says, then {by_hand}"
    wait_s = _ended_s(last) + RETRY_AFTER_S[: len(tries)][-1] - time.time()
    return f"{due.label}: run {run_id} did not bring it; tried again in {wait_s:,.0f} s" if wait_s > 0 else None


def others_at_work(instance: dg.DagsterInstance, own_run_id: str = "", since: datetime | None = None) -> bool:
    """Whether a run other than one's own is at work, or was at some time since then; a queued one has yet to begin."""
    runs = instance.get_runs(dg.RunsFilter(statuses=AT_WORK))
    if since is not None:
        runs = [*runs, *instance.get_runs(dg.RunsFilter(statuses=ENDED, updated_after=since))]
    return any(run.run_id != own_run_id for run in runs)

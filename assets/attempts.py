"""Runs that sensors ask for: one at a time, again after a failure with longer and longer pauses, not for ever.

Dagster's run keys will not do: a key that any earlier run had is passed over for ever, so that what failed once, or is
wanted again after something else was, would never come.
"""

import time
from datetime import datetime
from itertools import takewhile
from typing import Any

import dagster as dg

RETRY_AFTER_S = (60, 600, 3600, 86_400)
"""Pauses after the first, second … run that did not bring what was wanted; after the last try nothing is asked for."""
ASKED_FOR, VERSION = "bokehflow/asked_for", "bokehflow/version"
AT_WORK = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def attempt(
    instance: dg.DagsterInstance,
    what: str,
    version: str,
    **request: Any,  # noqa: ANN401 - passed on to dagster.RunRequest
) -> dg.RunRequest | str:
    """A request for `what`, whose inputs have this version, or in words why none is made now.

    To be called while `what` is still wanted: every earlier run for this version counts as one that did not bring it.
    """
    records = instance.get_run_records(dg.RunsFilter(tags={ASKED_FOR: what}), limit=len(RETRY_AFTER_S) + 1)
    if open_runs := [record.dagster_run.run_id for record in records if not record.dagster_run.is_finished]:
        return f"{what}: run {open_runs[0][:8]} is not over"
    tries = list(takewhile(lambda record: record.dagster_run.tags.get(VERSION) == version, records))
    if tries and (why := _not_now(what, tries)):
        return why
    return dg.RunRequest(tags={ASKED_FOR: what, VERSION: version}, **request)


def _not_now(what: str, tries: list[dg.RunRecord]) -> str | None:
    last, by_hand = tries[0], "materialise it in the UI, or end this and `bokehflow run`"
    run_id = last.dagster_run.run_id[:8]
    if last.dagster_run.status == dg.DagsterRunStatus.CANCELED:
        return f"{what}: run {run_id} was cancelled; to have it after all, {by_hand}"
    if len(tries) > len(RETRY_AFTER_S):
        return f"{what}: {len(tries)} runs did not bring it, the last was {run_id}; mend what it says, then {by_hand}"
    wait_s = (last.end_time or last.update_timestamp.timestamp()) + RETRY_AFTER_S[len(tries) - 1] - time.time()
    return f"{what}: run {run_id} did not bring it; tried again in {wait_s:,.0f} s" if wait_s > 0 else None


def has_succeeded(instance: dg.DagsterInstance, what: str, version: str) -> bool:
    """Whether the last run for `what` was for this version and succeeded."""
    records = instance.get_run_records(dg.RunsFilter(tags={ASKED_FOR: what}), limit=1)
    return any(record.dagster_run.tags.get(VERSION) == version and record.dagster_run.is_success for record in records)


def others_at_work(instance: dg.DagsterInstance, own_run_id: str = "", since: datetime | None = None) -> bool:
    """Whether a run other than one's own is at work, or was at some time since then; a queued one has yet to begin."""
    runs = instance.get_runs(dg.RunsFilter(statuses=AT_WORK))
    if since is not None:
        runs = [*runs, *instance.get_runs(dg.RunsFilter(statuses=ENDED, updated_after=since))]
    return any(run.run_id != own_run_id for run in runs)

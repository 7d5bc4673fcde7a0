"""What is due of snapshots and of what is made from them, which nothing upstream ever changes."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.config import Project
from pipeline.evaluation.report.sources_record import record_of, recorded_evaluations
from pipeline.file_names import child
from pipeline.operations.due import Due, Records, is_ahead
from pipeline.operations.reports import evaluated_recipes, truth_folder, why_judge_again
from pipeline.operations.training import kept_model, run_folder, training_job
from pipeline.training.runs import completion_of, holds_another_result, model_version
from storage import Home, TableInfo
from storage.provenance import changed_partitions

UNRECORDED = "Dagster has no record of it"


def snapshots_due(home: Home, records: Records, newest: str) -> Iterator[Due]:
    """The snapshot of the newest manifest, unless it is frozen."""
    if not child(home.snapshots, newest).exists():
        yield Due("dataset_snapshot", newest, ("is not frozen yet",))
    elif records.made_at_s("dataset_snapshot", newest) is None:
        yield Due("dataset_snapshot", newest, (UNRECORDED,))


def trainings_due(
    project: Project, home: Home, records: Records, snapshot: str, recipes: Sequence[str], anew: bool = False
) -> Iterator[Due]:
    """Which of these recipes are to be trained on the snapshot; with `anew` also where a model of other settings is."""
    for recipe in recipes:
        if reason := _why_train(project, home, records, snapshot, recipe, anew):
            yield Due("trained_model", f"{recipe}|{snapshot}", (reason,))


def _why_train(project: Project, home: Home, records: Records, snapshot: str, recipe: str, anew: bool) -> str | None:
    run = run_folder(home, snapshot, recipe)
    if completion_of(run) is None:
        return "its training was interrupted" if run.job.exists() else "was never trained"
    is_recorded = records.made_at_s("trained_model", f"{recipe}|{snapshot}") is not None
    if is_recorded and not anew:
        return None
    # A finished model of other settings, or of an older version, is kept and judged.
    if holds_another_result(training_job(project, home, snapshot, recipe)):
        return "is to be trained anew" if anew else None
    return None if is_recorded else UNRECORDED


def kept_models(project: Project, home: Home, snapshot: str, recipes: Sequence[str]) -> list[str]:
    """For each of these recipes whose finished model has other settings now, that it is kept and what to do about it."""
    finished = [one for one in recipes if completion_of(run_folder(home, snapshot, one))]
    told = (kept_model(training_job(project, home, snapshot, recipe)) for recipe in finished)
    return [words for words in told if words]


def evaluations_due(
    project: Project, home: Home, folder: Path, records: Records, newest: str, recipes: Sequence[str] | None = None
) -> Iterator[Due]:
    """Models of the newest snapshot that were not judged as they would be now; of older ones those that never were.

    With `recipes` only these, and only of that snapshot.
    """
    truth = truth_folder(project, folder)
    for recipe in project.recipe_keys() if recipes is None else recipes:
        if not model_version(run_folder(home, newest, recipe)):
            continue
        key = f"{recipe}|{newest}"
        reasons = why_judge_again(project, home, truth, newest, recipe)
        if not reasons and records.made_at_s("evaluation", key) is None:
            reasons = [UNRECORDED]
        if reasons:
            yield Due("evaluation", key, tuple(reasons))
    if recipes is None:
        yield from _never_judged(project, home, records, newest)


def _never_judged(project: Project, home: Home, records: Records, newest: str) -> Iterator[Due]:
    for key in sorted(records.partitions("trained_model") - set(home.tables.partitions("evaluation"))):
        recipe, _, snapshot = key.partition("|")
        is_known = recipe in project.recipe_keys() and snapshot != newest and child(home.snapshots, snapshot).exists()
        if is_known and model_version(run_folder(home, snapshot, recipe)):
            yield Due("evaluation", key, ("was never judged",))


def reports_due(home: Home, records: Records, newest: str) -> Iterator[Due]:
    """The report of the newest snapshot where it is missing, and every report that was made from other evaluations."""
    judged = {key.partition("|")[2] for key in home.tables.partitions("evaluation")}
    for snapshot in sorted(judged, key=lambda one: one != newest):
        if not child(home.snapshots, snapshot).exists():
            continue
        recipes = evaluated_recipes(home, snapshot)[snapshot]
        infos = {one: info for one in recipes if (info := home.tables.info("evaluation", f"{one}|{snapshot}"))}
        if reasons := _why_report(home, records, snapshot, infos, snapshot == newest):
            inputs = record_of({one: info.data_version for one, info in infos.items()})
            yield Due("comparison", snapshot, tuple(reasons), inputs=inputs)


def _why_report(
    home: Home, records: Records, snapshot: str, infos: Mapping[str, TableInfo], is_newest: bool
) -> Sequence[str]:
    # Of older snapshots version 0.1 made no report by itself, and none is made of what it judged.
    judged_s = [info.made_s for info in infos.values() if is_newest or info.provenance]
    if not judged_s:
        return []
    report, made_s = child(home.reports, snapshot) / "index.html", records.made_at_s("comparison", snapshot)
    if is_newest and made_s is None:
        return ["was never made"]
    if is_newest and not report.exists():
        return ["is missing"]
    if (stored := recorded_evaluations(report)) is not None:
        return changed_partitions("evaluation", stored, {one: info.data_version for one, info in infos.items()})
    was_made_s = (made_s or 0.0, report.stat().st_mtime if report.exists() else 0.0)
    return ["an evaluation is newer than it"] if _is_newer(judged_s, was_made_s) else []


def _is_newer(judged_s: Sequence[float], made_s: Sequence[float]) -> bool:
    """Whether an evaluation is newer than a report that does not record from which it was made, as far as clocks tell."""
    # By a clock that was ahead one would be newer than whatever comes until then.
    now_s = time.time()
    judged, made = (max((at_s for at_s in times if not is_ahead(at_s, now_s)), default=0.0) for times in (judged_s, made_s))
    return made < judged

"""Every evaluation that a home holds, sorted by what may stand in one table."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.config import Project
from pipeline.dataset.layout import list_snapshots
from pipeline.dataset.snapshot import read_snapshot
from pipeline.errors import DatasetError, StorageError
from pipeline.evaluation.measure.instruments import METHOD_VERSION
from pipeline.operations.made_from import code_revision
from pipeline.operations.reports import (
    credits_of,
    is_of_depth,
    judgement,
    model_report,
    outside_reports,
    predicts_depth,
    test_rows,
    without_outside,
)
from pipeline.operations.training import run_folder
from pipeline.training.recipes import PROFILES
from pipeline.training.runs import model_version
from storage import Home

if TYPE_CHECKING:
    # What draws takes a second to import, which only those wait for who do it.
    from pipeline.evaluation.report.leaderboard import Bench, Entry, LeaderboardInputs

Key = tuple[str, int, str, str]
"""Snapshot, judged size, version of the method, yardstick."""


def leaderboard_inputs(project: Project, home: Home) -> "LeaderboardInputs":
    """All that stands on the leaderboard: nothing is trained or judged for it."""
    from pipeline.evaluation.report.leaderboard import LeaderboardInputs

    found: dict[Key, list[Entry]] = {}
    left_out: list[str] = []
    for partition in sorted(home.tables.partitions("evaluation")):
        recipe, _, snapshot = partition.partition("|")
        if is_of_depth(run_folder(home, snapshot, recipe)):
            left_out.append(f"{recipe} on {snapshot}: it predicts depth, which the report of its snapshot shows")
            continue
        try:
            key, entry = _entry(home, snapshot, recipe)
        except (OSError, ValueError, KeyError, StorageError) as error:
            left_out.append(f"{recipe} on {snapshot}: its run is not there or cannot be read ({type(error).__name__})")
            continue
        if predicts_depth(entry.report):
            left_out.append(f"{recipe} on {snapshot}: it predicts depth, which its own report judges")
            continue
        found.setdefault(key, []).append(entry)
    newest = {name: index for index, name in enumerate(list_snapshots(home.snapshots))}
    keys = sorted(found, key=lambda key: (newest.get(key[0], len(newest)), key[0], key[1], -_judged_s(found[key])))
    benches = [_bench(project, home, key, found[key], is_newest=newest.get(key[0]) == 0) for key in keys]
    return LeaderboardInputs(project.project.name, benches, datetime.now(UTC).date(), left_out, code_revision())


def _judged_s(entries: "list[Entry]") -> float:
    return max(datetime.fromisoformat(entry.facts["judged"]).timestamp() for entry in entries)


def _entry(home: Home, snapshot: str, recipe: str) -> "tuple[Key, Entry]":
    from pipeline.evaluation.report.leaderboard import Entry

    info = home.tables.info("evaluation", f"{recipe}|{snapshot}")
    if info is None:
        raise KeyError(recipe)
    report, told = model_report(home, snapshot, recipe), judgement(info)
    remarks = []
    run = run_folder(home, snapshot, recipe)
    if told.model != model_version(run):
        remarks.append("Trained anew since: these figures are of an earlier model.")
    if not run.translated.is_dir():
        remarks.append("Its pictures are not there any more.")
    card = report.card
    facts = {
        "seed": str(card.get("seed", "–")),
        "profile": nearest_profile(settings) if isinstance(settings := card.get("settings"), Mapping) else "–",
        "steps": str(card.get("steps", "–")),
        "run": str(card.get("run_id", "–")),
        "judged": datetime.fromtimestamp(info.made_s, UTC).date().isoformat(),
    }
    return (snapshot, report.judged_px, told.method, told.yardstick), Entry(report, facts, remarks)


def nearest_profile(settings: Mapping[str, object]) -> str:
    """The profile that a run's settings are nearest to, which no run keeps, and how many of them differ."""
    changes = {
        name: sum(settings[key] != value for key, value in json.loads(profile.model_dump_json()).items() if key in settings)
        for name, profile in PROFILES.items()
    }
    name = min(changes, key=lambda one: changes[one])
    few = f", {changes[name]} setting{'' if changes[name] == 1 else 's'} changed"
    return name + (few if changes[name] else "")


def _bench(project: Project, home: Home, key: Key, entries: "list[Entry]", is_newest: bool) -> "Bench":
    from pipeline.evaluation.report.leaderboard import Bench, Entry

    snapshot, judged_px, method, yardstick = key
    reports = [entry.report for entry in entries]
    outside = [Entry(one, {one.outside.kind: one.outside.origin}) for one in outside_reports(home, snapshot, reports)
               if one.outside]  # fmt: skip
    own = [replace(entry, report=without_outside(entry.report, home)) for entry in entries]
    info = home.tables.info("evaluation", f"{reports[0].name}|{snapshot}")
    parts = dict(info.provenance.outside) if info and info.provenance else {}
    judged_by = {"version of the method": method + ("" if method == METHOD_VERSION else f" (now {METHOD_VERSION})"), **parts}
    return Bench(snapshot, judged_px, yardstick, judged_by, [*own, *outside], _credits(project, home, snapshot), is_newest)


def _credits(project: Project, home: Home, snapshot: str) -> pd.DataFrame:
    """Whose the test photos are; nothing of a snapshot that is not there any more."""
    try:
        return credits_of(home, test_rows(project, read_snapshot(home.snapshots, snapshot)))
    except (DatasetError, StorageError, OSError):
        return pd.DataFrame(columns=["photo_id", "title", "owner_name", "license_name", "page_url"])

"""Where every photo stands, and which snapshots, models and reports there are."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import Project
from pipeline.curation.agreement import Agreement
from pipeline.dataset.layout import list_snapshots, read_facts, read_forgotten
from pipeline.dataset.lineage import forgotten_seen
from pipeline.file_names import child
from pipeline.masks.uncertainty import uncertain
from pipeline.operations.curation import review_state
from pipeline.operations.lineage import finished_runs
from pipeline.operations.photo_tables import newest_rows
from pipeline.operations.tombstones import unpurged
from pipeline.photos.history import history_counts, stricter_photos
from pipeline.tables import among
from pipeline.training.runs import describe_run
from storage import Home

KEY = ["domain", "photo_id"]
COUNTED = {"photo_listing": [*KEY, "reason"], "photo_files": [*KEY, "sha256", "reason", "pending"]}
SHOWN = 5
"""So many ids are written out for a person."""


def status(project: Project, home: Home) -> dict[str, Any]:
    """One object for scripts and reports.

    For each domain: listed = pending + Σ rejected + downloaded, downloaded = Σ duplicates + queued,
    queued = undecided + kept + moved + Σ dropped.
    """
    state = review_state(project, home)
    return {
        "domains": funnel(project, home),
        "decisions": {name: state[name] for name in ("wrong", "notes")},
        "double_review": state["double_review"],
        "history": history(home),
        "masks": masks(home),
        "snapshots": [
            {
                "id": name,
                "counts": read_facts(home.snapshots, name)["counts"],
                "forgotten": len(read_forgotten(child(home.snapshots, name))),
            }
            for name in list_snapshots(home.snapshots)
        ],
        "models": models_of(home),
        "reports": [{"path": str(path)} for path in _newest_first(home.reports.glob("*/index.html"))],
    }


def masks(home: Home) -> dict[str, int]:
    """How many pictures have a mask, how many of these cannot be trusted, and how many a person has drawn."""
    found = home.tables.read_or_empty("person_masks")
    drawn = int(found["drawn_by"].notna().sum()) if "drawn_by" in found else 0
    return {"made": int(found["mask"].notna().sum()), "uncertain": len(uncertain(found)), "drawn": drawn}


def history(home: Home) -> dict[str, Any]:
    """Counts of what became of photos over time, and the ids of those that need somebody's attention."""
    found = home.tables.read_or_empty("photo_history")
    if "stricter" not in found:
        return {}
    kept = found[~found["forgotten"]]
    return {
        **history_counts(found),
        "gone_photos": kept.loc[kept["gone_s"].notna(), "photo_id"].tolist(),
        "stricter_photos": stricter_photos(found),
        "not_purged_yet": unpurged(home),
    }


def funnel(project: Project, home: Home) -> dict[str, dict[str, Any]]:
    """Counts of photos by what became of them, for each domain."""
    listing, files = (newest_rows(project, home, name, columns) for name, columns in COUNTED.items())
    told = {"unique_photos": ["group", "rule"], "curated_photos": ["decision", "reason"]}
    unique, curated = (home.tables.read_or_empty(name, columns=[*KEY, *columns]) for name, columns in told.items())
    return {
        domain: _domain(*(table[table["domain"] == domain] for table in (listing, files, unique, curated)))
        for domain in project.domains
    }


def _domain(listing: pd.DataFrame, files: pd.DataFrame, unique: pd.DataFrame, curated: pd.DataFrame) -> dict[str, Any]:
    """A table that is behind the one before it counts only for the photos that are in that one too."""
    accepted = listing.loc[listing["reason"].isna(), "photo_id"]
    files = files[among(files["photo_id"], accepted)]
    failed = files["sha256"].isna() & ~files["pending"]
    stored = files.loc[files["sha256"].notna(), "photo_id"]
    is_stored = among(unique["photo_id"], stored)
    duplicates = unique.loc[is_stored & unique["rule"].notna(), "rule"]
    open_groups = unique.loc[is_stored & unique["rule"].isna(), "group"]
    decided = curated[among(curated["photo_id"].map(unique.set_index("photo_id")["group"]), open_groups)]
    queued = len(stored) - len(duplicates)
    said = decided["decision"].value_counts()
    return {
        "listed": len(listing),
        "pending": len(accepted) - int(failed.sum()) - len(stored),
        "rejected": _counted(pd.concat([listing["reason"], files.loc[failed, "reason"]])),
        "downloaded": len(stored),
        "duplicates": _counted(duplicates),
        "queued": queued,
        "undecided": queued - len(decided),
        "kept": int(said.get("keep", 0)),
        "moved": int(said.get("move", 0)),
        "dropped": _counted(decided.loc[decided["decision"] == "drop", "reason"]),
    }


def _counted(words: pd.Series) -> dict[str, int]:
    """How often each is there; what is unknown is left out."""
    return {str(word): int(count) for word, count in sorted(words.value_counts().items())}


def models_of(home: Home) -> list[dict[str, Any]]:
    """Finished training runs, newest first, each with how many photos it was trained on that are forgotten since."""
    folders = _newest_first(home.runs.glob("*/job.json"))
    found = [describe_run(path.parent) for path in folders]
    seen = {run.run: len(forgotten_seen(run, home.snapshots)) for run in finished_runs(home)}
    return [
        {**run, "forgotten_photos": seen.get(str(run["run"]), 0)} for run in found if run is not None and run["complete"]
    ]


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (-path.stat().st_mtime_ns, str(path)))


def summary(found: dict[str, Any]) -> str:
    """`status` for a person."""
    lines = [line for domain, counts in found["domains"].items() for line in _domain_lines(domain, counts)]
    lines += _review_lines(found.get("decisions", {}), found.get("double_review", {}))
    lines += _history_lines(found["history"])
    if doubtful := found.get("masks", {}).get("uncertain"):
        lines.append(f"uncertain masks {doubtful}: `bokehflow mask-sheet --odd` shows, `bokehflow review` draws them")
    for snapshot in found["snapshots"]:
        parts = ", ".join(f"{domain} {splits['train']}+{splits['test']}" for domain, splits in snapshot["counts"].items())
        forgotten = f", {snapshot['forgotten']} forgotten since" if snapshot["forgotten"] else ""
        lines.append(f"snapshot {snapshot['id']}: {parts} (train+test){forgotten}")
    lines += [
        f"model {run['run']}: {run['recipe']}, seed {run['seed']}, {run['steps']:,} steps"
        + (f"; {run['failing']}" if run["failing"] else "")
        + (f"; trained on {run['forgotten_photos']} photos that were forgotten since" if run["forgotten_photos"] else "")
        for run in found["models"]
    ]
    lines += [f"report {report['path']}" for report in found["reports"]]
    return "\n".join(lines)


def _review_lines(decisions: dict[str, list[str]], double: dict[str, Any]) -> list[str]:
    lines = []
    for name, problems in (("wrong", decisions.get("wrong")), ("noted", decisions.get("notes"))):
        if problems:
            lines.append(f"in the reviewed CSVs {name} {len(problems)}:")
            lines += [f"  {problem}" for problem in problems[:SHOWN]]
            lines += [f"  and {len(problems) - SHOWN} more; `--json` has all"] * (len(problems) > SHOWN)
    return lines + (_double_lines(double) if double else [])


def _double_lines(double: dict[str, Any]) -> list[str]:
    people = ", ".join(f"by {name} {double[f'decided_by_{name}']}" for name in ("one", "more"))
    lines = [f"double review {double['share']:.0%}: undecided {double['undecided']}, decided {people}"]
    if double["agreement"]["photos"]:
        found = {"in all": double["agreement"], **double["domains"]}
        lines.append("  decided alike: " + "; ".join(f"{name} {Agreement(**one)}" for name, one in found.items()))
    if conflicts := double["conflicts"]:
        lines.append(f"  conflicts {len(conflicts)}: `bokehflow review` lists them, and a third person settles them")
        lines += [f"    {photo_id}: {'; '.join(said)}" for photo_id, said in list(conflicts.items())[:SHOWN]]
    return lines


def _history_lines(history: dict[str, Any]) -> list[str]:
    """Only what asks for something to be done."""
    lines = []
    if gone := history.get("gone_photos"):
        lines.append(f"gone {len(gone)}: deleted or made private; `bokehflow forget --gone` purges them")
    if stricter := history.get("stricter_photos"):
        shown = "; ".join(stricter[:SHOWN]) + (" …" if len(stricter) > SHOWN else "")
        lines.append(f"licence got stricter {len(stricter)}: {shown}; `bokehflow forget PHOTO_ID` where it binds you")
    if left := history.get("not_purged_yet"):
        lines.append(f"forgotten but not purged yet {len(left)}: `bokehflow forget` completes it")
    return lines


def _domain_lines(domain: str, counts: dict[str, Any]) -> list[str]:
    def reasons(by_reason: dict[str, int]) -> str:
        return f"{sum(by_reason.values())}" + (
            f" ({', '.join(f'{name} {n}' for name, n in by_reason.items())})" if by_reason else ""
        )

    return [
        f"{domain}",
        f"  listed {counts['listed']} = pending {counts['pending']} + rejected {reasons(counts['rejected'])}"
        f" + downloaded {counts['downloaded']}",
        f"  downloaded {counts['downloaded']} = duplicates {reasons(counts['duplicates'])} + queued {counts['queued']}",
        f"  queued {counts['queued']} = undecided {counts['undecided']} + kept {counts['kept']} + moved {counts['moved']}"
        f" + dropped {reasons(counts['dropped'])}",
    ]

"""Where every photo stands, and which snapshots, models and reports there are."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import Project
from pipeline.counted import counted
from pipeline.curation.agreement import Agreement
from pipeline.dataset.layout import list_snapshots, read_facts, read_forgotten
from pipeline.dataset.lineage import forgotten_seen
from pipeline.file_names import child
from pipeline.masks.uncertainty import uncertain
from pipeline.operations.curation import review_state
from pipeline.operations.lineage import finished_runs
from pipeline.operations.months import LISTING_IS_STALE_AFTER, listed_keys
from pipeline.operations.photo_tables import all_rows
from pipeline.operations.tombstones import unpurged
from pipeline.photos.history import history_counts, stricter_photos
from pipeline.training.runs import describe_run
from storage import Home

COUNTED = {"photo_listing": ["photo_id", "reason"], "photo_files": ["photo_id", "sha256", "reason", "pending"]}
FATES = ["photo_id", "forgotten", "absent", "gone_s", "changed_s", "stricter", "license_first", "license"]
SHOWN = 5
"""So many ids are written out for a person."""


def status(project: Project, home: Home) -> dict[str, Any]:
    """One object for scripts and reports.

    For each domain: listed = pending + Σ rejected + downloaded, downloaded = Σ duplicates + queued,
    queued = undecided + kept + moved + Σ dropped.
    """
    with ThreadPoolExecutor() as beside:  # digests of the reviewed CSVs, while Arrow reads tables
        reading = beside.submit(review_state, project, home)
        domains = funnel(project, home)
    state = reading.result()
    return {
        "domains": domains,
        "imported_since": imported_since(home),
        "not_listed_since": not_listed_since(project, home),
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


def imported_since(home: Home) -> int:
    """How many photos more are imported than the last run has taken in."""
    imports, taken = home.tables.info("imports"), home.tables.info("imported_photos")
    if imports is None or (taken is not None and taken.made_s >= imports.made_s):
        return 0
    return max(0, imports.row_count - (taken.row_count if taken else 0))


def not_listed_since(project: Project, home: Home) -> dict[str, str]:
    """By domain that has queries for the current month the day on which it was listed last, where that is long ago."""
    now, keys = datetime.now(UTC), [key.split("|") for key in listed_keys(project)]
    stale = dict[str, str]()
    for domain in sorted(name for name, month in keys if month == f"{now:%Y-%m}"):
        infos = [home.tables.info("photo_listing", f"{domain}|{month}") for name, month in keys if name == domain]
        last_s = max((info.made_s for info in infos if info), default=now.timestamp())
        if now.timestamp() - last_s > LISTING_IS_STALE_AFTER.total_seconds():
            stale[domain] = f"{datetime.fromtimestamp(last_s, UTC):%Y-%m-%d}"
    return stale


def masks(home: Home) -> dict[str, int]:
    """How many pictures have a mask, how many of these cannot be trusted, and how many a person has drawn."""
    found = home.tables.read_or_empty("person_masks", columns=["mask", "uncertainty", "drawn_by"])
    made, drawn = (int(found[name].notna().sum()) for name in ("mask", "drawn_by"))
    return {"made": made, "uncertain": len(uncertain(found)), "drawn": drawn}


def history(home: Home) -> dict[str, Any]:
    """Counts of what became of photos over time, and the ids of those that need somebody's attention."""
    columns = home.tables.columns("photo_history")
    if columns and "stricter" not in columns:
        return {}
    found = home.tables.read_or_empty("photo_history", columns=FATES)
    kept = found[~found["forgotten"]]
    return {
        **history_counts(found),
        "gone_photos": kept.loc[kept["gone_s"].notna(), "photo_id"].tolist(),
        "stricter_photos": stricter_photos(found),
        "not_purged_yet": unpurged(home),
    }


def funnel(project: Project, home: Home) -> dict[str, dict[str, Any]]:
    """Counts of photos by what became of them, for each domain."""
    told = {"unique_photos": ["group", "rule"], "curated_photos": ["decision", "reason", "target_domain"]}
    later = [home.tables.read_or_empty(name, columns=["domain", "photo_id", *names]) for name, names in told.items()]

    def counted(domain: str) -> dict[str, Any]:
        first = [all_rows(project, home, name, columns, domain) for name, columns in COUNTED.items()]
        return _domain(*first, *(table[table["domain"] == domain] for table in later))

    with ThreadPoolExecutor() as beside:
        return dict(zip(project.domains, beside.map(counted, project.domains), strict=True))


def _domain(listing: pd.DataFrame, files: pd.DataFrame, unique: pd.DataFrame, curated: pd.DataFrame) -> dict[str, Any]:
    """A table that is behind the one before it counts only for the photos that are in that one too.

    Ids are numbered once for all tables, and then looked up by number: a look at a million texts hashes all of them.
    """
    ids = [listing["photo_id"], files["photo_id"], unique["photo_id"], unique["group"], curated["photo_id"]]
    numbers, photos = pd.factorize(pd.concat(ids))
    of_listing, of_file, of_unique, of_group, of_decision = np.split(numbers, np.cumsum([len(part) for part in ids])[:-1])

    def marked(some: np.ndarray) -> np.ndarray:
        """For each photo whether its number is one of these."""
        marks = np.zeros(len(photos), bool)
        marks[some] = True
        return marks

    is_listed, is_stored = _last_of_each(of_listing, len(photos)), files["sha256"].notna().to_numpy()
    accepted = of_listing[is_listed & listing["reason"].isna().to_numpy()]
    is_asked = _last_of_each(of_file, len(photos)) & marked(accepted)[of_file]
    failed = is_asked & ~is_stored & ~files["pending"].to_numpy(bool)
    stored = of_file[is_asked & is_stored]
    is_known, is_duplicate = marked(stored)[of_unique], unique["rule"].notna().to_numpy()
    duplicates = unique.loc[is_known & is_duplicate, "rule"]
    is_open = marked(of_group[is_known & ~is_duplicate])[of_group]
    decided = curated[marked(of_unique[is_open])[of_decision]]
    queued = len(stored) - len(duplicates)
    is_dropped = decided["decision"] == "drop"
    # Who moves a photo where it is keeps it.
    is_moved = (decided["decision"] == "move") & (decided["target_domain"] != decided["domain"])
    return {
        "listed": int(is_listed.sum()),
        "pending": len(accepted) - int(failed.sum()) - len(stored),
        "rejected": _counted(pd.concat([listing.loc[is_listed, "reason"], files.loc[failed, "reason"]])),
        "downloaded": len(stored),
        "duplicates": _counted(duplicates),
        "queued": queued,
        "undecided": queued - len(decided),
        "kept": len(decided) - int(is_moved.sum()) - int(is_dropped.sum()),
        "moved": int(is_moved.sum()),
        "dropped": _counted(decided.loc[is_dropped, "reason"]),
    }


def _last_of_each(numbers: np.ndarray, count: int) -> np.ndarray:
    """Whether each is the last of its number; numbers are below `count`.

    An owner may change a photo's upload date, and then two months list it; the later month counts.
    """
    rows, last = np.arange(len(numbers)), np.zeros(count, int)
    last[numbers] = rows
    return last[numbers] == rows


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
    if waiting := found.get("imported_since"):
        lines.append(f"imported {waiting:,} more: the next `bokehflow run` takes them in")
    for domain, day in found.get("not_listed_since", {}).items():
        lines.append(f"{domain} was listed last on {day}: `bokehflow doctor` says whether its source answers")
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
        + (f"; trained on {counted(number, 'photo')} forgotten since" if (number := run["forgotten_photos"]) else "")
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

"""Lineage over a home: its tables, snapshots, runs and reports put together for `pipeline.dataset.lineage`.

Free of Dagster and pandas, so that the command answers at once.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.dataset.layout import find_snapshot, frozen_s, read_facts
from pipeline.dataset.lineage import (
    Lineage,
    RunFacts,
    forgotten_seen,
    model_lineage,
    photo_lineage,
    read_columns,
    snapshot_lineage,
)
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.models import layer_learnt_from
from pipeline.photo_ids import commons_file, written_id
from pipeline.plain_files import read_plain
from storage import Home

if TYPE_CHECKING:
    from pipeline.dataset.spdx import Frozen

COMPLETION, CARD = "complete.json", "model.json"
"""What `pipeline.training.runs` writes of a finished run, read here as plain JSON: pydantic takes longer to import than
the answer takes."""


def lineage_of_photo(home: Home, photo_id: str) -> Lineage:
    """From a photo, its id as a person writes it, to decisions, snapshots, models and evaluations."""
    if commons_file(photo_id):
        from pipeline.operations.forget import meant_photos  # needs pandas, which other ids do without

        (photo_id,) = meant_photos(home, [photo_id])
    return photo_lineage(written_id(photo_id), home.table_files, home.snapshots, finished_runs(home))


def lineage_of_snapshot(home: Home, identifier: str) -> Lineage:
    """From a snapshot to its queries, decisions, owners, licences and models; the beginning of its id will do."""
    found = find_snapshot(home.snapshots, identifier)
    return snapshot_lineage(found, home.snapshots, finished_runs(home))


def lineage_of_model(home: Home, run: str) -> Lineage:
    """From a model to its photos, owners and licences, its code and configuration."""
    facts = find_run(home, run)
    return model_lineage(facts, home.snapshots, forgotten_seen(facts, home.snapshots))


def find_run(home: Home, name: str) -> RunFacts:
    """The finished run of that name (`runs_called`), or of that `recipe@seed` where only one snapshot has it."""
    runs = finished_runs(home)
    called = runs_called(name, [run.run for run in runs])
    found = [run for run in runs if run.key == name or run.run in called]
    if len(found) != 1:
        known = ", ".join(run.run for run in found or runs) or "none"
        problem = f"{name!r} may be any of" if found else f"there is no finished run {name!r}; known here"
        raise DatasetError(f"{home.runs}: {problem}: {known}")
    return found[0]


def runs_called(name: str, runs: Sequence[str]) -> list[str]:
    """Which of these runs, `SNAPSHOT-RECIPE-SEED`, a name may mean: the beginnings of both parts will do."""
    snapshot, _, rest = name.partition("-")
    of_snapshot = [(run, run.partition("-")[2]) for run in runs if run.partition("-")[0].startswith(snapshot)]
    whole = [run for run in runs if run == name] or [run for run, its_rest in of_snapshot if rest and its_rest == rest]
    return whole or [run for run, its_rest in of_snapshot if its_rest.startswith(rest)]


def frozen(home: Home, snapshot: str) -> "Frozen":
    """What an SPDX document tells of a snapshot besides its photos."""
    from pipeline.dataset.responsible_ai import responsible
    from pipeline.dataset.snapshot import read_snapshot
    from pipeline.dataset.spdx import Frozen

    facts = read_facts(home.snapshots, snapshot)
    at_s = frozen_s(child(home.snapshots, snapshot))
    return Frozen(str(facts["sha256"]), at_s, responsible(read_snapshot(home.snapshots, snapshot), facts))


def trained_s(home: Home, run: RunFacts) -> float:
    """When the run ended, Unix seconds: the time of its completion marker."""
    return (child(home.runs, run.run) / COMPLETION).stat().st_mtime


def finished_runs(home: Home) -> list[RunFacts]:
    """All finished training runs with their cards and scores, by name."""
    return [run for path in sorted(home.runs.glob(f"*/{COMPLETION}")) if (run := _run(home, path.parent))]


def _run(home: Home, folder: Path) -> RunFacts | None:
    done, card = _json(folder / COMPLETION), _json(folder / CARD) or {}
    if done is None:
        return None
    key, snapshot, domains = f"{done['recipe']}@{done['seed']}", str(done["snapshot_id"]), card.get("domains", {})
    report = child(home.reports, snapshot) / "index.html"
    return RunFacts(
        run=str(done["run_id"]),
        recipe=str(done["recipe"]),
        seed=int(done["seed"]),
        model=str(done["model"]),
        snapshot=snapshot,
        steps=int(done["steps"]),
        uses=(domains.get("a", "ordinary"), domains.get("b", "shallow")),
        card=card,
        scores=_scores(home, key, snapshot),
        report=str(report) if report.exists() else None,
        learns_from=layer_learnt_from(str(done["model"])),
    )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(read_plain(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DatasetError(f"{path}: is damaged ({error}); delete it to finish the run anew") from None


def _scores(home: Home, key: str, snapshot: str) -> dict[str, float]:
    """Means of the model's own scores by metric."""
    path = child(home.root / "tables" / "evaluation", f"{key}+{snapshot}.parquet")
    if not path.exists():
        return {}
    values: dict[str, list[float]] = defaultdict(list)
    columns = read_columns(path, ["method", "metric", "value"])
    for method, metric, value in zip(*columns.values(), strict=True):
        if method == key and value is not None:
            values[metric].append(value)
    return {metric: sum(found) / len(found) for metric, found in sorted(values.items())}

"""What is due in a home, and why: the one answer by which `run` and `dev` act and that `run --plan` prints.

Everything here looks and changes nothing. What Dagster knows of the home is asked through `Records`, so that the planner
may be used from a REPL without it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pipeline.config import Project
from pipeline.dataset.manifest import TOLD_APART, snapshot_id
from pipeline.errors import ConfigError
from pipeline.operations.due import Due, Outlook, Records, Waiting
from pipeline.operations.former_versions import is_former_current
from pipeline.operations.lost_files import FindLoss, find_loss
from pipeline.operations.months import listed_keys
from pipeline.operations.snapshots_due import (
    UNRECORDED,
    evaluations_due,
    kept_models,
    reports_due,
    snapshots_due,
    trainings_due,
)
from pipeline.operations.stages import (
    DECIDED,
    PHOTO_TABLES,
    STAGES,
    TABLES_OF_ALL,
    UNQUEUED,
    Key,
    default_settings,
    provenance_of,
    tables_of_all,
)
from storage import Home, TableInfo, TableStore
from storage.provenance import differences

FROZEN = ("dataset_snapshot", "trained_model", "evaluation", "comparison")
ORDER = (*PHOTO_TABLES, *TABLES_OF_ALL, *FROZEN)
"""All assets in the order in which they are made, unless a project has its own; see `order_of`."""
NEVER_MADE = "was never made"


def order_of(project: Project) -> tuple[str, ...]:
    """The assets that the project has, in the order in which they are made."""
    return (*PHOTO_TABLES, *tables_of_all(project), *FROZEN)


@dataclass(frozen=True)
class Scope:
    """What of a project is looked at."""

    keys: Sequence[str]
    """Months `domain|month`."""
    recipes: Sequence[str] = ()
    """Keys `recipe@seed` to be trained."""
    until: str = ORDER[-1]
    """The last asset."""
    order: Sequence[str] = ORDER
    """All assets of the project, or of any."""

    @classmethod
    def whole(cls, project: Project) -> "Scope":
        """All months, all assets, the recipes that train by themselves."""
        return cls(listed_keys(project), automatic_recipes(project), order=order_of(project))

    def has(self, asset: str) -> bool:
        """Whether the asset is to be made at all."""
        order = self.order if self.until in self.order else ORDER
        return asset in order and order.index(asset) <= order.index(self.until)


def automatic_recipes(project: Project) -> list[str]:
    """Keys `recipe@seed` of what `[training] automatic` lists."""
    return [key for key in project.recipe_keys() if key.split("@")[0] in project.training.automatic]


@dataclass(frozen=True)
class Plan:
    """What a headless run is to cover: upload months (first and last), the last asset, the recipes."""

    from_month: str | None = None
    to_month: str | None = None
    until: str = ORDER[-1]
    rescrape: bool = False
    """List again what the weekly schedule would: this month, the last, and older ones in rotation."""
    recipes: Sequence[str] | None = None
    """Keys `recipe@seed`; None: those of the recipes that `[training] automatic` lists."""

    def scope(self, project: Project) -> Scope:
        """What of the project it covers. Raises `ConfigError` for months that the project does not have."""
        recipes = automatic_recipes(project) if self.recipes is None else self.recipes
        return Scope(self._keys(project), recipes, self.until, order_of(project))

    def _keys(self, project: Project) -> list[str]:
        keys = listed_keys(project)
        months = sorted({key.split("|")[1] for key in keys})
        if not months and not any(domain.queries for domain in project.domains.values()):
            if self.from_month or self.to_month:
                raise ConfigError("--from and --to are about months that queries cover, and no domain has a query")
            return []
        if not months:
            raise ConfigError(f"[collect] begins with {project.collect.from_month}, which is still to come")
        for month in (self.from_month, self.to_month):
            if month is not None and month not in months:
                raise ConfigError(f"unknown month {month!r}: this project covers {months[0]} to {months[-1]} ([collect])")
        first, last = self.from_month or months[0], self.to_month or months[-1]
        if first > last:
            raise ConfigError(f"--from {first} lies after --to {last}")
        return [key for key in keys if first <= key.split("|")[1] <= last]


def reached(project: Project, home: Home, scope: Scope, say: Callable[[str], None]) -> str | None:
    """The snapshot at which a run of this scope ends that left nothing due; says which models are kept as they are."""
    if not scope.has(FROZEN[0]):
        return None
    snapshot = newest_snapshot(home)
    for words in kept_models(project, home, snapshot, scope.recipes if scope.has("trained_model") else ()):
        say(words)
    return snapshot


def newest_snapshot(home: Home) -> str:
    """The id under which the manifest is frozen."""
    info = home.tables.info(TABLES_OF_ALL[-1])
    return _snapshot_of(home.tables, info.data_version if info else "")


@lru_cache(8)
def _snapshot_of(tables: TableStore, data_version: str) -> str:
    """It is remembered, since `dev` asks every few seconds: the data version counts all that the id does."""
    manifest = TABLES_OF_ALL[-1]
    return snapshot_id(tables.read(manifest, columns=[name for name in tables.columns(manifest) if name in TOLD_APART]))


@dataclass(frozen=True)
class Planner:
    """Answers for one project in one home; `folder` is that of the project file."""

    project: Project
    home: Home
    folder: Path
    records: Records
    find_loss: FindLoss = field(default=find_loss)
    """What looks for lost files; one that remembers what it found whole looks less often."""

    def outlook(self, scope: Scope | None = None) -> Outlook:
        """Everything that is due, and what holds up the rest."""
        chosen = scope or Scope.whole(self.project)
        months = [due for key in chosen.keys for due in self.of_month(key, chosen)]
        whole = self.of_all(chosen)
        frozen = [] if whole.waiting else self.of_snapshots(chosen)
        return Outlook([*sorted(months, key=lambda due: ORDER.index(due.asset)), *whole.due, *frozen], whole.waiting)

    def of_month(self, key: str, scope: Scope) -> list[Due]:
        """What is due of the tables of one month of a domain."""
        found = (self._table(name, key) for name in PHOTO_TABLES if scope.has(name))
        return [due for due in found if due]

    def of_all(self, scope: Scope) -> Outlook:
        """What is due of the tables without partitions; of none that comes after one that is not passed on."""
        due: list[Due] = []
        for name in filter(scope.has, tables_of_all(self.project)):
            if found := self._table(name, None):
                due.append(found)
            elif failed := self.failed_checks(name):
                return Outlook(due, [Waiting(name, failed)])
        return Outlook(due)

    def of_snapshots(self, scope: Scope) -> list[Due]:
        """What is due of the newest manifest's snapshot and of all models; nothing while that manifest itself is due."""
        manifest = TABLES_OF_ALL[-1]
        if not scope.has(FROZEN[0]) or self._table(manifest, None) is not None:
            return []
        newest = newest_snapshot(self.home)
        frozen = list(snapshots_due(self.home, self.records, newest))
        due = frozen or [
            # Models are judged as soon as they are trained.
            *evaluations_due(self.project, self.home, self.folder, self.records, newest),
            *trainings_due(self.project, self.home, self.records, newest, scope.recipes),
            *reports_due(self.home, self.records, newest),
        ]
        return [one for one in due if scope.has(one.asset)]

    def _table(self, name: str, key: Key) -> Due | None:
        info = self.home.tables.info(name, key)
        if info is None:
            return Due(name, key, (NEVER_MADE,))
        if reasons := self._changes(name, key, info):
            return Due(name, key, tuple(reasons), inputs=self._inputs(name, key))
        if loss := self.find_loss(self.project, self.home, name, key, info.made_s):
            return Due(name, key, (loss.words,), loss.pause_s, loss.needs_quiet)
        reason = self._unrecorded(name, key, info) or self._checks_to_run(name, info) or self._unqueued(name, info)
        return Due(name, key, (reason,), inputs=self._inputs(name, key)) if reason else None

    def _inputs(self, name: str, key: Key) -> str:
        """Notes too: they say by which decisions the queue leaves nobody out."""
        return json.dumps(vars(provenance_of(self.project, self.home, name, key)), sort_keys=True)

    def _changes(self, name: str, key: Key, info: TableInfo) -> list[str]:
        if info.provenance is not None:
            required = provenance_of(self.project, self.home, name, key)
            return differences(info.provenance, required, default_settings(name))
        same = is_former_current(self.project, self.home, name, key, info)
        return [] if same else ["what it was made from is no longer the same; an older version kept no record of it"]

    def _unrecorded(self, name: str, key: Key, info: TableInfo) -> str | None:
        """Version 0.1 made some tables by another asset's name, and what it made counts as it is.

        What another machine made of a home at an address a run puts on record, and does not make; but for what has checks.
        """
        if self.home.working is not None and not STAGES[name].blocking_checks:
            return None
        made_s = self.records.made_at_s(name, key) if info.provenance else info.made_s
        return UNRECORDED if made_s is None or made_s < info.made_s else None

    def _checks_to_run(self, name: str, info: TableInfo) -> str | None:
        checks = STAGES[name].blocking_checks
        failed = self.records.failed_checks(name, checks) if checks else {}
        if failed is None:
            return f"not all of its checks are on record: {', '.join(checks)}"
        if failed and self._newer_before(name, info.made_s):
            return f"its check {' and '.join(failed)} failed, and something before it was made anew since"
        return None

    def _unqueued(self, name: str, info: TableInfo) -> str | None:
        """Decisions may be taken back of photos that were decided before they were ever put into a batch."""
        curated = self.home.tables.info("curated_photos") if name == "review_queue" else None
        if curated is None or curated.provenance is None or info.provenance is None:
            return None
        count = curated.provenance.notes.get(UNQUEUED)
        seen = info.provenance.notes.get(DECIDED) == curated.data_version
        return None if seen or not count else f"photos that nobody decides any more are in no batch: {count}"

    def _newer_before(self, name: str, made_s: float) -> bool:
        """The queue, from which nothing is made, may be newer: no check has another outcome for it."""
        made_from = {table for stage in STAGES.values() for table in stage.tables(self.project)}
        names = made_from.intersection(TABLES_OF_ALL[: TABLES_OF_ALL.index(name)])
        before = (self.home.tables.info(one) for one in names)
        return any(one.made_s > made_s for one in before if one)

    def failed_checks(self, name: str) -> dict[str, str]:
        """Blocking checks of a table that did not pass when they last ran, with what was found."""
        checks = STAGES[name].blocking_checks
        return (self.records.failed_checks(name, checks) or {}) if checks else {}

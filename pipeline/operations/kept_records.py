"""What Dagster answered when a run left nothing due, kept in the home.

While its databases are as they were then, the planner may ask here and Dagster, which takes seconds to start, need not.
What is kept can be older than the databases, when another process recorded something just then; it then lacks a record,
which makes something due, and Dagster is asked after all.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.atomic import write_text
from pipeline.bounded import MAX_JSON_BYTES
from pipeline.config import Project
from pipeline.file_names import child
from pipeline.operations.due import Records
from pipeline.operations.lost_files import FindLoss, find_loss
from pipeline.operations.planning import Planner, Scope
from pipeline.operations.tombstones import unpurged
from pipeline.package_files import DAGSTER_SETTINGS, POSTGRES_VARIABLE
from pipeline.plain_files import read_plain
from storage import Home

Answer = TypeVar("Answer")


class Answers(BaseModel):
    """Answers of `Records` by what was asked."""

    databases: str = ""
    """`databases_of` the home."""
    made_at_s: dict[str, float | None] = {}
    partitions: dict[str, list[str]] = {}
    failed_checks: dict[str, dict[str, str] | None] = {}


class NeverAsked(Exception):
    """Of this no answer was kept."""


@dataclass(frozen=True)
class AskedRecords:
    """`Records` that notes what it is asked and answers."""

    records: Records
    answers: Answers = field(default_factory=Answers)

    def made_at_s(self, asset: str, partition: str | None) -> float | None:
        """As `Records` has it."""
        answer = self.answers.made_at_s[_asked(asset, partition)] = self.records.made_at_s(asset, partition)
        return answer

    def partitions(self, asset: str) -> set[str]:
        """As `Records` has it."""
        answer = self.records.partitions(asset)
        self.answers.partitions[asset] = sorted(answer)
        return answer

    def failed_checks(self, asset: str, checks: Sequence[str]) -> dict[str, str] | None:
        """As `Records` has it."""
        answer = self.answers.failed_checks[_asked(asset, *checks)] = self.records.failed_checks(asset, checks)
        return answer


@dataclass(frozen=True)
class KeptRecords:
    """`Records` out of kept answers. Raises `NeverAsked`."""

    answers: Answers

    def made_at_s(self, asset: str, partition: str | None) -> float | None:
        """As `Records` has it."""
        return _answer(self.answers.made_at_s, _asked(asset, partition))

    def partitions(self, asset: str) -> set[str]:
        """As `Records` has it."""
        return set(_answer(self.answers.partitions, asset))

    def failed_checks(self, asset: str, checks: Sequence[str]) -> dict[str, str] | None:
        """As `Records` has it."""
        return _answer(self.answers.failed_checks, _asked(asset, *checks))


def _asked(asset: str, *more: str | None) -> str:
    return " ".join([asset, *filter(None, more)])


def _answer(answers: Mapping[str, Answer], asked: str) -> Answer:
    if asked not in answers:
        raise NeverAsked(asked)
    return answers[asked]


def databases_of(home: Home) -> str | None:
    """Digest of the state of Dagster's databases in the home; None where they are not all there, or not ours to know."""
    settings = child(home.dagster, DAGSTER_SETTINGS.name)
    if os.environ.get(POSTGRES_VARIABLE) or not settings.exists():
        return None
    # Settings of one's own may keep records anywhere; those of another installation are the same.
    if read_plain(settings) != read_plain(DAGSTER_SETTINGS):
        return None
    files = sorted(path for folder in ("history", "schedules") for path in child(home.dagster, folder).rglob("*.db*"))
    states = ((path.relative_to(home.dagster), path.stat()) for path in files if path.is_file())
    lines = [f"{path} {found.st_size} {found.st_mtime_ns}\n" for path, found in states]
    if not lines:  # another Dagster might keep them elsewhere
        return None
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def keep_answers(home: Home, answers: Answers) -> None:
    """Keep what was answered; to be called when no instance is open."""
    with suppress(OSError):  # the run is done, and what is not kept is asked again
        if databases := databases_of(home):
            write_text(home.kept_records, answers.model_copy(update={"databases": databases}).model_dump_json())


def is_current(project: Project, home: Home, folder: Path, scope: Scope, find_loss: FindLoss = find_loss) -> bool:
    """Whether a run of this scope would do nothing, as far as can be told without Dagster; the rest as the planner's."""
    try:
        answers = Answers.model_validate_json(read_plain(home.kept_records, MAX_JSON_BYTES))
        if answers.databases != databases_of(home) or unpurged(home):
            return False
        outlook = Planner(project, home, folder, KeptRecords(answers), find_loss).outlook(scope)
    except (OSError, ValidationError, NeverAsked):
        return False
    return not outlook.due and not outlook.waiting

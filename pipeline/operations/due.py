"""The words of an answer to what is due: what is to be made and why, what waits, and what Dagster must be asked for it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

CLOCKS_DIFFER_S = 60


class Records(Protocol):
    """What Dagster has on record of a home's assets."""

    def made_at_s(self, asset: str, partition: str | None) -> float | None:
        """When the newest materialisation was recorded, Unix seconds; None where there is none."""
        ...

    def partitions(self, asset: str) -> set[str]:
        """The partitions that were ever materialised."""
        ...

    def failed_checks(self, asset: str, checks: Sequence[str]) -> dict[str, str] | None:
        """Of these checks those that did not pass when they last ran, with what was found; None where one never ran."""
        ...


def is_ahead(at_s: float, now_s: float) -> bool:
    """Whether something was made at a time, Unix seconds, that has yet to come: by a clock that was ahead."""
    return at_s > now_s + CLOCKS_DIFFER_S


@dataclass(frozen=True)
class Loss:
    """Why a table that was made from what it should be is not as it should be, or not all of it."""

    words: str
    pause_s: int = 0
    """Nobody needs it mended sooner than so long after the last time."""
    needs_quiet: bool = False
    """Can be mended only while nothing else is at work."""


@dataclass(frozen=True)
class Due:
    """One table, snapshot, model or report that is to be made, and why."""

    asset: str
    partition: str | None
    reasons: tuple[str, ...]
    pause_s: int = 0
    needs_quiet: bool = False
    inputs: str = field(default="", compare=False)
    """Of what it is to be made, where that is known: the same reason may come again, as whenever people decide more."""

    @property
    def name(self) -> tuple[str, str | None]:
        """What is due, whyever."""
        return self.asset, self.partition

    @property
    def label(self) -> str:
        """`asset` or `asset partition`, for people."""
        return " ".join(filter(None, self.name))

    @property
    def version(self) -> str:
        """Digest of what is wanted, why, and of what: the same wish has the same."""
        return hashlib.sha256(f"{self}{self.inputs}".encode()).hexdigest()[:16]

    @property
    def why(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)

    def __str__(self) -> str:
        return " ".join(filter(None, [f"`{self.asset}`", self.partition])) + f": {self.why}"


class WaitingForDecisions(Exception):
    """Not an error: too few photos are decided for the pipeline to go on."""


class NothingCollected(WaitingForDecisions):
    """Nor an error: there is no photo yet about which anything could be decided."""


@dataclass(frozen=True)
class Waiting:
    """A table that is as it should be and is not passed on, since blocking checks of it did not pass."""

    asset: str
    problems: dict[str, str]
    """What each of these checks found."""


def told_problems(waiting: Waiting) -> str:
    """What the checks found, for a person."""
    return "\n".join(f"{check}:\n{text}" for check, text in waiting.problems.items())


@dataclass(frozen=True)
class Outlook:
    """The answer: what is due, in the order in which it is made, and what holds the rest up."""

    due: list[Due] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)

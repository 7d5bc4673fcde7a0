"""Where a report's numbers come from: the funnel of photos, and each model's run, snapshot, code and digests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FunnelKind = Literal["stage", "loss", "waiting", "moved"]

CARD_LABELS = {
    "run_id": "Run",
    "recipe": "Recipe",
    "model": "Architecture",
    "seed": "Seed",
    "snapshot_id": "Snapshot",
    "steps": "Steps",
    "seconds": "Training time, s",
    "domains": "Domains",
    "training_images": "Training pictures",
    "weights": "Weights",
    "parameters": "Parameters",
    "lineage": "Lineage",
    "best": "Best checkpoint",
    "licences": "Licences",
    "versions": "Versions",
    "hardware": "Hardware",
    "kind": "Made for",
    "strengths": "Strengths of its lens",
    "failing": "Failing, by its last check",
    "digest": "Digest of the configuration",
    "settings_digest": "Digest of the settings",
    "files": "Digests of the model files",
}
FUNNEL: tuple[tuple[str, str, FunnelKind], ...] = (
    ("listed", "Listed", "stage"),
    ("rejected", "rejected", "loss"),
    ("pending", "pending", "waiting"),
    ("downloaded", "Downloaded", "stage"),
    ("duplicates", "duplicate", "loss"),
    ("queued", "Queued for review", "stage"),
    ("undecided", "undecided", "waiting"),
    ("dropped", "dropped", "loss"),
    ("moved", "moved to another domain", "moved"),
    ("kept", "Kept", "stage"),
)
CARD_LEFT_OUT = {"settings", "final_losses", "sample"}
"""Shown elsewhere on the page, or of no use outside the run's folder."""


@dataclass(frozen=True)
class FunnelLine:
    """One line of a domain's funnel: a stage, or what left on the way to the next one."""

    label: str
    count: int
    share: float
    kind: FunnelKind


@dataclass(frozen=True)
class Fact:
    """A line of a model's lineage, with parts where the value is a mapping."""

    label: str
    value: str
    parts: list[tuple[str, str]]


@dataclass(frozen=True)
class ModelFacts:
    """A model's lineage, and the name by which the page's links lead to it."""

    name: str
    anchor: str
    facts: list[Fact]
    settings: list[tuple[str, str]]


def funnel_lines(counts: Mapping[str, int | Mapping[str, int]]) -> list[FunnelLine]:
    """Stages in order, each with what left the way there; shares are of all listed photos."""
    listed = max(1, _total(counts.get("listed", 0)))
    lines: list[FunnelLine] = []
    for key, label, kind in FUNNEL:
        value = counts.get(key, 0)
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        lines += [
            FunnelLine(f"{label}: {reason}" if reason else label, count, 100 * count / listed, kind)
            for reason, count in parts
            if count or kind == "stage"
        ]
    return lines


def _total(value: int | Mapping[str, int]) -> int:
    return sum(value.values()) if isinstance(value, Mapping) else value


def model_facts(name: str, anchor: str, card: Mapping[str, object]) -> ModelFacts:
    others = sorted(set(card) - CARD_LABELS.keys() - CARD_LEFT_OUT)
    keys = [key for key in (*CARD_LABELS, *others) if card.get(key) not in (None, "", [], {})]
    settings = card.get("settings")
    return ModelFacts(
        name,
        anchor,
        [_fact(CARD_LABELS.get(key, key.replace("_", " ")), card[key]) for key in keys],
        _parts(settings) if isinstance(settings, Mapping) else [],
    )


def _fact(label: str, value: object) -> Fact:
    return Fact(label, "", _parts(value)) if isinstance(value, Mapping) else Fact(label, _words(value), [])


def _parts(values: Mapping[object, object]) -> list[tuple[str, str]]:
    return [(str(key), _words(value)) for key, value in values.items()]


def _words(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ") if abs(value) >= 10_000 else str(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)

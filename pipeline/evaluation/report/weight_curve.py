"""What the weight of the semantic loss does: content kept, and likeness to domain B, over the weights of a report's models.

A `cyclegan` of equal settings is the weight 0, with which the model `semantic` is that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from pipeline.evaluation.report import charts

WEIGHT, SET = "semantic_weight", "set:test"
PLAIN, HELD = "cyclegan", "semantic"
SCORES = {
    "class_iou": "Classes kept, IoU (more is better)",
    "kid": "Kernel distance to domain B (less is better)",
    "colour_distance": "Distance of colours to domain B (less is better)",
}
"""In the order of the panels; the first is of photos, the others are of the set."""


class Judged(Protocol):
    """A model of the report."""

    @property
    def name(self) -> str: ...
    @property
    def card(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class WeightRow:
    """The models of one weight: how many, and the mean of each score over them, None where it was not measured."""

    weight: float
    models: list[str]
    means: dict[str, float | None]
    ranges: dict[str, tuple[float, float] | None]
    """Of the models, where there are several."""


@dataclass(frozen=True)
class WeightCurve:
    """Each weight, rising, and a panel for each score that several of them have."""

    rows: list[WeightRow]
    panels: list[charts.LossPanel]
    titles: Mapping[str, str]


def weight_curve(models: Sequence[Judged], scores: pd.DataFrame) -> WeightCurve | None:
    """The curve over the models that differ in this weight and their seed alone; None of fewer than two weights.

    `scores` is the table `evaluation` of all of them.
    """
    held = [model for model in models if model.card.get("model") == HELD and _others(model) is not None]
    if not held:
        return None
    alike = [model for model in models if _others(model) == _others(held[0])]
    by_weight: dict[float, list[str]] = {}
    for model in alike:
        by_weight.setdefault(_weight(model), []).append(model.name)
    if len(by_weight) < 2:
        return None
    values = {(model.name, name): _score(scores, model.name, name) for model in alike for name in SCORES}
    rows = [_row(weight, by_weight[weight], values) for weight in sorted(by_weight)]
    return WeightCurve(rows, [panel for name in SCORES if (panel := _panel(name, rows))], SCORES)


def _others(model: Judged) -> dict[str, Any] | None:
    """All settings but those of the semantic loss; None of other models than the two, and where no weight is told."""
    settings = dict(model.card.get("settings") or {})
    if model.card.get("model") != PLAIN and (model.card.get("model") != HELD or WEIGHT not in settings):
        return None
    return {name: value for name, value in settings.items() if not name.startswith("semantic_")}


def _weight(model: Judged) -> float:
    return 0.0 if model.card.get("model") == PLAIN else float(model.card["settings"][WEIGHT])


def _score(scores: pd.DataFrame, method: str, name: str) -> float | None:
    own = scores[(scores["method"] == method) & (scores["metric"] == name)]
    of_set = own["photo_id"] == SET
    found = own[of_set if of_set.any() else ~own["photo_id"].str.startswith("set:")]["value"].dropna()
    return float(found.mean()) if len(found) else None


def _row(weight: float, names: Sequence[str], values: Mapping[tuple[str, str], float | None]) -> WeightRow:
    known = {score: [one for name in names if (one := values[name, score]) is not None] for score in SCORES}
    means = {score: sum(found) / len(found) if found else None for score, found in known.items()}
    ranges = {score: (min(found), max(found)) if len(found) > 1 else None for score, found in known.items()}
    return WeightRow(weight, list(names), means, ranges)


def _panel(name: str, rows: Sequence[WeightRow]) -> charts.LossPanel | None:
    points = [(row.weight, row.means[name]) for row in rows if row.means[name] is not None]
    if len(points) < 2:
        return None
    curve = pd.DataFrame(points, columns=["step", "value"])
    return charts.panel(SCORES[name], [(SCORES[name], 0, False, curve)], rows[-1].weight)

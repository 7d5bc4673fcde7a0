"""One model against another, named one: is it worse? By the subject and by the blur, on the same pictures.

Blur is the background's error to the true lens where there are scenes with known truth, and else what is left of the
background's sharpness, which praises whatever blurs and is the best that photos alone can say. Models of a study without
subjects are compared by how much is left of what their inputs show: classes and edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from pipeline.evaluation.compare import significance
from pipeline.evaluation.compare.significance import Difference
from pipeline.evaluation.compare.summary import (
    BLUR,
    CLASSES,
    EDGES,
    SUBJECT,
    TRUTH,
    Metric,
    is_of_content,
    overlaid_methods,
    scores_of,
)

Standing = Literal["better", "worse", "traded", "alike"]
"""`traded`: better in one and worse in the other."""


@dataclass(frozen=True)
class ScoreChange:
    """One metric: the model's mean − the reference's over shared pictures, p-value corrected for both metrics."""

    metric: Metric
    difference: Difference

    @property
    def direction(self) -> int:
        """1 where the model is significantly better, −1 where worse, else 0."""
        if self.difference.p_value >= significance.SIGNIFICANCE:
            return 0
        return 1 if (self.difference.mean < 0) == (self.metric.better == "lower") else -1

    @property
    def words(self) -> str:
        """The change as a sentence's part."""
        verb = {1: "is better", -1: "is worse", 0: "does not differ for sure"}[self.direction]
        number = f"{self.difference.mean:+.{self.metric.digits}f}".replace("-", "−")
        basis = f"{number} over {self.difference.photos} pictures, {significance.p_words(self.difference.p_value)}"
        return f"{self.metric.label} {verb} ({basis})"


@dataclass(frozen=True)
class Against:
    """A model against the reference."""

    model: str
    reference: str
    changes: list[ScoreChange]

    @property
    def standing(self) -> Standing:
        """What the changes amount to."""
        directions = {change.direction for change in self.changes}
        if directions >= {1, -1}:
            return "traded"
        return "better" if 1 in directions else "worse" if -1 in directions else "alike"

    @property
    def words(self) -> str:
        """One sentence for people."""
        verdict = {
            "better": "is better than",
            "worse": "is worse than",
            "traded": "wins in one and loses in the other against",
            "alike": "does not differ for sure from",
        }[self.standing]
        if {change.metric for change in self.changes} <= {CLASSES, EDGES}:
            # An unchanged picture keeps everything: to keep more is not to be better.
            verdict = {"better": "keeps more than", "worse": "keeps less than"}.get(self.standing, verdict)
        changes = "; ".join(change.words for change in self.changes)
        # The table of pairs, which corrects for the models instead, tells other p-values of the same differences.
        corrected = " Each p is corrected for both scores." if len(self.changes) > 1 else ""
        return f"{self.model} {verdict} {self.reference}: {changes}.{corrected}"


def against(scores: pd.DataFrame, model: str, reference: str) -> Against | None:
    """`model` against `reference` in one table of scores; None where they share fewer than two pictures.

    Where either lays the real subject over its result, only the blur is compared.
    """
    if is_of_content(scores):
        found = [(metric, _difference(scores, metric, model, reference, scenes=False)) for metric in (CLASSES, EDGES)]
        return _changes(found, model, reference)
    truth = _difference(scores, TRUTH, model, reference, scenes=True)
    is_fair = not overlaid_methods(scores["method"]) & {model, reference}
    found = [
        (SUBJECT, _difference(scores, SUBJECT, model, reference, scenes=False) if is_fair else None),
        (TRUTH, truth) if truth else (BLUR, _difference(scores, BLUR, model, reference, scenes=False)),
    ]
    return _changes(found, model, reference)


def _changes(found: Sequence[tuple[Metric, Difference | None]], model: str, reference: str) -> Against | None:
    """With p-values corrected for all metrics."""
    known = {metric.name: (metric, difference) for metric, difference in found if difference is not None}
    p_values = significance.holm({name: difference.p_value for name, (_, difference) in known.items()})
    changes = [
        ScoreChange(metric, replace(difference, p_value=p_values[name])) for name, (metric, difference) in known.items()
    ]
    return Against(model, reference, changes) if changes else None


def _difference(scores: pd.DataFrame, metric: Metric, model: str, reference: str, scenes: bool) -> Difference | None:
    first, second = (scores_of(scores, metric.name, name, scenes) for name in (model, reference))
    both = first.index.intersection(second.index)
    return significance.paired_difference(first.loc[both].to_numpy(), second.loc[both].to_numpy())

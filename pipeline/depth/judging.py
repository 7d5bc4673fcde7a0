"""Judging predicted depth: every metric of every picture, beside what asks for no network.

Truth and predictions are disparity, float32 [height, width], 0 where the truth is unknown. Scores are rows: picture, method,
metric, value; the metrics' names are those of `metrics`, with `aligned_` before those after fitting scale and shift in
disparity, and `edge_f1`. `POOLED` in place of a picture's name stands for all their pixels together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from pipeline.depth import metrics
from pipeline.depth.metrics import Depth, Known, Scores
from pipeline.depth.units import Disparity

FARTHEST_M = 10.0
"""What a fitted prediction puts beyond it is put there: the range of indoor scenes."""
ALIGNED = "aligned_"
POOLED = "pooled"
SUBJECT_ALPHA = 128
COLUMNS = ["picture", "method", "metric", "value"]

Alpha = UInt8[np.ndarray, "height width"]
Pair = tuple[Depth, Depth, Known]
"""Predicted and true depth, and where that is known."""


def judged(method: str, names: Sequence[str], predicted: Sequence[Disparity], true: Sequence[Disparity]) -> pd.DataFrame:
    """Scores of a method on pictures, each and pooled. Raises ValueError where a prediction is not positive."""
    plain = [_pair(*both) for both in zip(predicted, true, strict=True)]
    fitted = [_fitted(*both) for both in zip(predicted, true, strict=True)]
    rows = [
        (name, method, metric, value)
        for name, *pairs in zip(names, plain, fitted, strict=True)
        for metric, value in {
            **_both(*(metrics.scores(*pair) for pair in pairs)),
            "edge_f1": metrics.edge_f1(*pairs[0]),
        }.items()
    ]
    together = _both(metrics.pooled(plain), metrics.pooled(fitted))
    rows += [(POOLED, method, metric, value) for metric, value in together.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def means(scores: pd.DataFrame) -> pd.DataFrame:
    """One row for each method, one column for each metric: the means over pictures, as papers report them."""
    pictures = scores[scores["picture"] != POOLED]
    return pictures.pivot_table("value", "method", "metric", "mean", sort=False)


def nearer_than_surround(disparity: Disparity, alpha: Alpha) -> float:
    """How much nearer the subject is than the rest, by medians of a map: above 1 it is nearer, NaN without one of the two.

    An inverted map is found out by it at once.
    """
    subject = (alpha >= SUBJECT_ALPHA) & (disparity > 0)
    rest = (alpha < SUBJECT_ALPHA) & (disparity > 0)
    if not subject.any() or not rest.any():
        return float("nan")
    return float(np.median(disparity[subject]) / np.median(disparity[rest]))


@dataclass(frozen=True, eq=False)
class WithoutNetwork:
    """What can be said of a picture's depth by knowing other pictures' alone: the bars under which no network is of use."""

    constant: float
    mean_map: Disparity
    subject: float | None
    """None where masks tell nothing apart, as where there are none."""
    rest: float

    @classmethod
    def of(cls, true: Sequence[Disparity], alphas: Sequence[Alpha]) -> "WithoutNetwork":
        """From training pictures of one size. Raises ValueError where none of them has a known pixel."""
        maps, inside = np.stack(true), np.stack(alphas) >= SUBJECT_ALPHA
        known = maps > 0
        if not known.any():
            raise ValueError("no training picture has a known depth")
        log = np.log(np.where(known, maps, 1.0))
        constant = float(np.exp(np.median(log[known])))
        counts = known.sum(0)
        mean = np.where(counts > 0, (log * known).sum(0) / np.maximum(counts, 1), np.log(constant))
        mean_map = np.exp(mean).astype(np.float32)
        subject, rest = known & inside, known & ~inside
        if not subject.any() or not rest.any():
            return cls(constant, mean_map, None, constant)
        return cls(constant, mean_map, *(float(np.exp(np.median(log[part]))) for part in (subject, rest)))

    def predictions(self, alphas: Sequence[Alpha]) -> Mapping[str, list[Disparity]]:
        """For pictures with these true masks: one distance for all, the mean map, and, where masks told subjects, one
        distance for the subject and one for the rest, which is told where the subject is."""
        shape = self.mean_map.shape
        found = {
            "constant": [np.full(shape, self.constant, np.float32)] * len(alphas),
            "mean map": [self.mean_map] * len(alphas),
        }
        if self.subject is not None:
            subject, rest = np.float32(self.subject), np.float32(self.rest)
            found["mask, two constants"] = [np.where(alpha >= SUBJECT_ALPHA, subject, rest) for alpha in alphas]
        return found


def _pair(predicted: Disparity, true: Disparity) -> Pair:
    known = true > 0
    if not (predicted[known] > 0).all():
        raise ValueError("predicted disparity must be positive wherever the truth is known")
    return 1.0 / np.where(known, predicted, 1.0), 1.0 / np.where(known, true, 1.0), known


def _fitted(predicted: Disparity, true: Disparity) -> Pair:
    _, depth, known = _pair(predicted, true)
    if not known.any():
        return depth, depth, known
    return metrics.aligned_in_disparity(predicted, depth, known, FARTHEST_M), depth, known


def _both(plain: Scores, fitted: Scores) -> Scores:
    return {**plain, **{ALIGNED + metric: value for metric, value in fitted.items()}}

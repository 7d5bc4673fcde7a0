"""Scores of predicted depth, as pure functions; the field's names and formulas.

Every function takes one picture: predicted and true depth in metres, float [height, width], and where the truth is known.
Over a set the field means the mean of the scores of the pictures; pooling all pixels weighs pictures by what is known of
them and gives other figures. `pooled` does the latter.

Eigen et al., "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network" (2014): AbsRel, SqRel, RMSE,
RMSElog, δ. Uhrig et al. (KITTI, 2017): SILog. Ranftl et al., "Towards Robust Monocular Depth Estimation" (2020): alignment.
"""

from collections.abc import Callable, Iterable, Mapping

import cv2
import numpy as np
from jaxtyping import Bool, Float

Depth = Float[np.ndarray, "height width"]
"""Metres."""
Known = Bool[np.ndarray, "height width"]
"""Pixels whose true depth is known."""
Values = Float[np.ndarray, " pixels"]
Scores = Mapping[str, float]
"""Value by metric."""

DELTA = 1.25
EDGE_RATIO = 1.15
"""Of two neighbouring pixels' depths, from which on an edge lies between them."""
EDGE_REACH_PX = 2
"""How far from a true edge a predicted one still counts."""


def abs_rel(predicted: Values, true: Values) -> float:
    """Mean of |d − g| / g."""
    return float(np.mean(np.abs(predicted - true) / true))


def sq_rel(predicted: Values, true: Values) -> float:
    """Mean of (d − g)² / g, metres."""
    return float(np.mean((predicted - true) ** 2 / true))


def rmse(predicted: Values, true: Values) -> float:
    """Root of the mean of (d − g)², metres."""
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


def rmse_log(predicted: Values, true: Values) -> float:
    """Root of the mean of (ln d − ln g)²."""
    return float(np.sqrt(np.mean(_log_error(predicted, true) ** 2)))


def log10(predicted: Values, true: Values) -> float:
    """Mean of |log₁₀ d − log₁₀ g|."""
    return float(np.mean(np.abs(_log_error(predicted, true))) / np.log(10))


def silog(predicted: Values, true: Values) -> float:
    """100 times the standard deviation of ln d − ln g: what is left when the scale is forgiven (KITTI's form)."""
    return float(100 * np.std(_log_error(predicted, true)))


def delta(predicted: Values, true: Values, power: int) -> float:
    """Share of pixels with max(d/g, g/d) < 1.25 to that power."""
    return float(np.mean(np.maximum(predicted / true, true / predicted) < DELTA**power))


METRICS: Mapping[str, Callable[[Values, Values], float]] = {
    "abs_rel": abs_rel,
    "sq_rel": sq_rel,
    "rmse": rmse,
    "rmse_log": rmse_log,
    "log10": log10,
    "silog": silog,
    "delta1": lambda predicted, true: delta(predicted, true, 1),
    "delta2": lambda predicted, true: delta(predicted, true, 2),
    "delta3": lambda predicted, true: delta(predicted, true, 3),
}


def scores(predicted: Depth, true: Depth, known: Known) -> Scores:
    """Every metric of one picture over what is known; NaN where nothing is.

    Raises ValueError where a prediction is not a positive number: a metric of logarithms has no answer then.
    """
    return _scores(predicted[known].astype(np.float64), true[known].astype(np.float64))


def pooled(pictures: Iterable[tuple[Depth, Depth, Known]]) -> Scores:
    """Every metric over the pixels of all pictures together: predicted and true depth and where that is known."""
    parts = [(predicted[known], true[known]) for predicted, true, known in pictures]
    predicted, true = (np.concatenate([part[side] for part in parts]).astype(np.float64) for side in (0, 1))
    return _scores(predicted, true)


# --- alignment: for predictions whose scale, or scale and shift, cannot be known ----------------------------------------


def aligned_in_disparity(disparity: Depth, true: Depth, known: Known, farthest_m: float) -> Depth:
    """Depth from a prediction of disparity with unknown scale and shift: fitted to 1/g by least squares.

    What then lies beyond `farthest_m`, or behind infinity, is put there. To fit such a prediction to depth itself, or
    predicted depth to disparity, is a frequent error: the relation is then not linear.
    """
    fitted = _fitted(disparity, 1.0 / np.where(known, true, 1.0), known)
    return 1.0 / np.maximum(fitted, 1.0 / farthest_m)


def _fitted(values: Depth, target: Depth, known: Known) -> Depth:
    """s · values + t with the least squares to the target; a flat prediction becomes the target's mean."""
    x, y = values[known].astype(np.float64), target[known].astype(np.float64)
    variance = np.var(x)
    scale = np.mean((x - x.mean()) * (y - y.mean())) / variance if variance > 0 else 0.0
    return scale * (values.astype(np.float64) - x.mean()) + y.mean()


# --- edges: what bokeh depends on most -------------------------------------------------------------------------------


def edges(depth: Depth, known: Known) -> Known:
    """Pixels beside which depth jumps by `EDGE_RATIO` or more; where one of the two is unknown there is none."""
    log = np.log(np.where(known, depth, 1.0))
    found = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        here, there = [slice(None)] * 2, [slice(None)] * 2
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        one, other = tuple(here), tuple(there)
        jump = (np.abs(log[one] - log[other]) >= np.log(EDGE_RATIO)) & known[one] & known[other]
        found[one] |= jump
        found[other] |= jump
    return found


def edge_f1(predicted: Depth, true: Depth, known: Known, reach_px: int = EDGE_REACH_PX) -> float:
    """F1 of the predicted edges of depth: those within `reach_px` of a true one count, and the other way round.

    NaN where the truth has none.
    """
    ours, theirs = edges(predicted, known), edges(true, known)
    if not theirs.any():
        return float("nan")
    precision = _share(ours, widened(theirs, reach_px))
    recall = _share(theirs, widened(ours, reach_px))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def widened(region: Known, reach_px: int) -> Known:
    """The region and what lies within so many pixels of it, straight or aslant."""
    side = 2 * reach_px + 1
    return cv2.dilate(region.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)


def _share(region: Known, within: Known) -> float:
    return float((region & within).sum() / region.sum()) if region.any() else 0.0


def _scores(predicted: Values, true: Values) -> Scores:
    if not len(true):
        return dict.fromkeys(METRICS, float("nan"))
    if not (np.isfinite(predicted) & (predicted > 0)).all():
        raise ValueError("predicted depth must be a positive number of metres wherever the truth is known")
    return {name: metric(predicted, true) for name, metric in METRICS.items()}


def _log_error(predicted: Values, true: Values) -> Values:
    return np.log(predicted) - np.log(true)

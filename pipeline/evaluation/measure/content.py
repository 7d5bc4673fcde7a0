"""Whether a translation shows what its input showed, and in whose colours: scores that ask nothing of a subject.

Classes come from a parser; which one must be named beside every figure, and it must not be the one that a model was trained
against.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Integer

from pipeline.evaluation.measure.metrics import Rgb, Scores
from pipeline.regions import Mask

Classes = Integer[np.ndarray, "batch height width"]
"""A class for each place."""
Parse = Callable[[Rgb], Classes]

SMALLEST_CLASS = 0.01
"""Share of the input below which a class does not count."""
EDGE_SHARE = 0.1
"""Of the places of a picture, those that change most count as its edges, whatever its contrast."""
EDGE_TOLERANCE = 1 / 64
"""How far an edge may move, as a share of the picture's smaller side; a pixel at least."""
COLOUR_DIRECTIONS, COLOUR_LEVELS = 32, 64
COLOURS_PER_PICTURE = 256


def class_agreement(output: Classes, reference: Classes) -> Scores:
    """Share of the places that show the same class; 0 to 1 (all)."""
    return (output == reference).mean((1, 2), dtype=np.float64)


def class_iou(output: Classes, reference: Classes) -> Scores:
    """Intersection over union, the mean over the classes that cover at least a hundredth of the reference; 0 to 1."""
    scores = []
    for one, other in zip(output, reference, strict=True):
        kinds, counts = np.unique(other, return_counts=True)
        known = kinds[counts >= SMALLEST_CLASS * other.size]
        shares = [_overlap(one == kind, other == kind) for kind in known]
        scores.append(float(np.mean(shares)))
    return np.array(scores, np.float64)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def edges_kept(output: Rgb, reference: Rgb) -> Scores:
    """F1 of the output's edges against the reference's, each met within `EDGE_TOLERANCE`; 0 to 1, NaN for flat pictures.

    Edges are the tenth of the places where the smoothed lightness changes most, so that contrast does not count.
    """
    return np.array([_edge_f1(_edges(one), _edges(other)) for one, other in zip(output, reference, strict=True)])


def sampled_colours(pictures: Rgb) -> np.ndarray:
    """Colours of places spread evenly, float32 [batch, places, 3], the same places in every picture of a size."""
    places = pictures.shape[1] * pictures.shape[2]
    chosen = np.linspace(0, places - 1, min(places, COLOURS_PER_PICTURE)).astype(int)
    return pictures.reshape(len(pictures), places, 3)[:, chosen].astype(np.float32)


def colour_distance(colours: np.ndarray, reference: np.ndarray) -> float:
    """How far the colours of one set of pictures lie from those of another: sliced Wasserstein distance, 0 (alike) up.

    Of `sampled_colours` of both sets, each as one heap: the mean over directions through the colour cube of the mean
    distance between equal quantiles. Rabin et al., "Wasserstein Barycenter and Its Application to Texture Mixing" (2011).
    """
    directions = np.random.default_rng(0).normal(size=(3, COLOUR_DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    levels = (np.arange(COLOUR_LEVELS) + 0.5) / COLOUR_LEVELS
    one, other = (np.quantile(heap.reshape(-1, 3) @ directions, levels, axis=0) for heap in (colours, reference))
    return float(np.abs(one - other).mean())


def _edges(picture: np.ndarray) -> Mask:
    """bool [height, width]; none where the picture is flat."""
    grey = cv2.GaussianBlur(cv2.cvtColor(np.ascontiguousarray(picture, np.float32), cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    change = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    least = np.quantile(change, 1 - EDGE_SHARE)
    return change > max(float(least), 1e-6)


def _edge_f1(output: np.ndarray, reference: np.ndarray) -> float:
    if not output.any() or not reference.any():
        return float("nan")
    reach_px = max(1, round(EDGE_TOLERANCE * min(output.shape)))
    around = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    near_output, near_reference = (cv2.dilate(one.astype(np.uint8), around) > 0 for one in (output, reference))
    precision = float((output & near_reference).sum() / output.sum())
    recall = float((reference & near_output).sum() / reference.sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

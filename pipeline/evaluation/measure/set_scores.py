"""The test set as a whole against domain B: features of both, and the scores that come of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pipeline.evaluation.measure.content import colour_distance
from pipeline.evaluation.measure.distribution import fid, kid, kid_interval, precision_recall
from pipeline.evaluation.measure.metrics import Rgb
from pipeline.regions import SUBJECT_LEVEL, Mask
from pipeline.softness import Estimate, Softness, standing

TEST_SET = "set:test"
"""Stands in for a photo id where a score is of the whole test set."""
DOMAIN_B = "domain_b"
"""Method of the rows that say what the test set is compared with."""
MIN_SET = 10
"""Smaller sets say nothing about a distribution."""
MIN_REFERENCES, MAX_REFERENCES = 200, 2000
"""Pictures of domain B: twice as many as there are test photos, within these bounds. The kernel distance is unbiased
whatever their number; what makes it uncertain are the test photos, which are fewer."""
SOFTNESS_SCORES = ("gap", "scales", "above", "left")
"""As `pipeline.softness` explains them."""
ENDS = ("", "_low", "_high")
"""What ends the names of a figure and of its interval's ends."""
NEUTRAL = 0.5
"""Grey that stands for the subject where the features of backgrounds come of a pass of their own."""
VGG, VGG_BACKGROUND = "", "background_"
INCEPTION, INCEPTION_BACKGROUND = "inception_", "inception_background_"
"""What metrics' names begin with: whose features, of the picture or its background. VGG-16's have no name."""

COLOURS = "colours"
"""Sampled colours of the pictures, which are compared as they are and not by a kernel."""

Features = Mapping[str, np.ndarray]
"""Float32 [n, dimensions] by these beginnings; colours are [n, places, 3]."""


@dataclass
class Collected:
    """Features batch by batch."""

    parts: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, features: Features) -> None:
        """Take note of a batch."""
        for name, values in features.items():
            self.parts.setdefault(name, []).append(values)

    def whole(self) -> dict[str, np.ndarray]:
        """All batches as one."""
        return {name: np.concatenate(parts) for name, parts in self.parts.items()}


def reference_count(test_photos: int, available: int) -> int:
    """How many pictures of domain B a test set of this size is compared with."""
    return min(available, max(MIN_REFERENCES, min(MAX_REFERENCES, 2 * test_photos)))


def set_scores(method: str, outputs: Features, references: Features) -> pd.DataFrame:
    """Rows of one method's test set; none where a set is smaller than `MIN_SET`. Pictures without a background, whose
    features are NaN, do not count."""
    rows: list[tuple[str, str, str, float]] = []
    if COLOURS in outputs and COLOURS in references and min(len(outputs[COLOURS]), len(references[COLOURS])) >= MIN_SET:
        rows.append((TEST_SET, method, "colour_distance", colour_distance(outputs[COLOURS], references[COLOURS])))
    for prefix in (outputs.keys() & references.keys()) - {COLOURS}:
        fake, real = (part[np.isfinite(part).all(axis=1)] for part in (outputs[prefix], references[prefix]))
        if min(len(fake), len(real)) >= MIN_SET:
            scores = _scores(real, fake, with_fid=prefix in (INCEPTION, INCEPTION_BACKGROUND))
            rows += [(TEST_SET, method, prefix + name, value) for name, value in scores.items()]
    return pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])


@dataclass
class CollectedSoftness:
    """How soft each method's backgrounds are, and how sharp its subjects stay, batch by batch."""

    backgrounds: dict[str, Softness] = field(default_factory=dict)
    subjects: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, method: str, backgrounds: Softness, subject_left: np.ndarray) -> None:
        """Take note of a batch; `subject_left` is the share of each subject's sharpness that is left."""
        self.backgrounds[method] = self.backgrounds.get(method, Softness.none()) + backgrounds
        self.subjects.setdefault(method, []).append(subject_left)

    def table(self, inputs: Softness, domain_b: Softness) -> pd.DataFrame:
        """Rows of the test set: where each method stands, null where it cannot be told."""
        rows: list[tuple[str, str, str, float]] = []
        for method, backgrounds in self.backgrounds.items():
            told = standing(inputs, backgrounds, domain_b)
            for name in SOFTNESS_SCORES:
                found: Estimate | None = getattr(told, name)
                values = (found.value, found.low, found.high) if found else (np.nan,) * 3
                rows += [(TEST_SET, method, name + end, one) for end, one in zip(ENDS, values, strict=True)]
            left = np.concatenate(self.subjects[method])
            known = left[np.isfinite(left)]
            rows.append((TEST_SET, method, "subject_left", float(known.mean()) if len(known) else np.nan))
        return pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])


def greyed(image: Rgb, mask: Mask) -> Rgb:
    """The subject under neutral grey."""
    return np.where(mask >= SUBJECT_LEVEL, np.float32(NEUTRAL), image)


def ranks(values: Sequence[float] | np.ndarray, population: np.ndarray) -> np.ndarray:
    """Share of the population that lies below each value, ties by half; 0 to 1, NaN where either is unknown.

    >>> ranks([0.0, 2.0, 9.0], np.array([1.0, 2.0, 3.0, np.nan])).tolist()
    [0.0, 0.5, 1.0]
    """
    known = np.sort(population[np.isfinite(population)])
    values = np.asarray(values, np.float64)
    if not len(known):
        return np.full(len(values), np.nan)
    below = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")
    return np.where(np.isfinite(values), below / (2 * len(known)), np.nan)


def _scores(real: np.ndarray, fake: np.ndarray, with_fid: bool) -> dict[str, float]:
    interval = kid_interval(real, fake)
    precision, recall = precision_recall(real, fake)
    scores = {"kid": kid(real, fake), "kid_low": interval.low, "kid_high": interval.high}
    scores |= {"precision": precision, "recall": recall}
    score = fid(real, fake) if with_fid else float("nan")
    return {**scores, "fid": score} if np.isfinite(score) else scores

"""How near every method's backgrounds come to domain B's in softness, by the long table `evaluation`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation.compare.summary import method_label, with_variants
from pipeline.evaluation.measure.judged_size import BASELINES, INPUT
from pipeline.evaluation.measure.set_scores import DOMAIN_B, ENDS, SOFTNESS_SCORES, TEST_SET
from pipeline.softness import EVERYTHING_LEFT, NOTHING_LEFT, TELLING_SIDE_PX, Estimate

CLOSE_GAP, CLOSE_SCALES = 0.5, 0.7
"""Up to here backgrounds count as soft as domain B's; both must be met, since a disc of one size meets the first alone."""


@dataclass(frozen=True)
class SoftnessRow:
    """Where one method's backgrounds stand between the inputs' and domain B's; None where it cannot be told."""

    label: str
    method: str
    gap: Estimate | None
    scales: Estimate | None
    above: Estimate | None
    left: Estimate | None
    subject_left: float | None

    @property
    def distance(self) -> float | None:
        """Mean of `gap` and `scales`: 1 where nothing was done."""
        known = [one.value for one in (self.gap, self.scales) if one]
        return float(np.mean(known)) if known else None

    @property
    def is_close(self) -> bool:
        """Whether both measures are, as far as they are known."""
        limits = ((self.gap, CLOSE_GAP), (self.scales, CLOSE_SCALES))
        return self.distance is not None and all(one is None or one.value <= limit for one, limit in limits)

    @property
    def unknown(self) -> str | None:
        """In words, the measure that is not known where the other one is."""
        if self.gap is None and self.scales is not None:
            return "relative to contrast"
        return "across scales" if self.scales is None and self.gap is not None else None

    @property
    def changes_nothing(self) -> bool:
        """Whether backgrounds stay as sharp as they were."""
        return self.left is not None and self.left.value > NOTHING_LEFT

    @property
    def blurs_everything(self) -> bool:
        """Whether the subjects lose their sharpness with the backgrounds."""
        if self.left is None or self.subject_left is None:
            return False
        return max(self.left.value, self.subject_left) < EVERYTHING_LEFT


@dataclass(frozen=True)
class SoftnessTable:
    """Every method's backgrounds against domain B's: measured at which size, and what cannot be told by it."""

    rows: list[SoftnessRow]
    measured_px: int
    pictures_b: int

    @property
    def limits(self) -> list[str]:
        """In words."""
        found = []
        if self.measured_px < TELLING_SIDE_PX:
            found.append(
                f"Measured at {self.measured_px} px, all that is stored: in photographs of that size a blur of a few pixels "
                f"hardly shows, which takes {TELLING_SIDE_PX} px; a strong one does."
            )
        if all(row.distance is None for row in self.rows):
            found.append(
                "Inputs and domain B do not differ for sure in how soft their backgrounds are, or there are too few "
                "pictures to tell: how near a method comes to B is not known."
            )
        return found


def compare_softness(scores: pd.DataFrame, models: Sequence[str]) -> SoftnessTable | None:
    """Every method's backgrounds; None where there is no domain B to compare them with."""
    of_set = scores.loc[scores["photo_id"] == TEST_SET, ["method", "metric", "value"]]
    values = {(str(method), str(metric)): float(value) for method, metric, value in of_set.itertuples(index=False)}
    if (DOMAIN_B, "softness_px") not in values:
        return None
    methods = [INPUT, *BASELINES, *with_variants(scores, models)]
    rows = [softness_of(values, method) for method in methods if (method, "subject_left") in values]
    return SoftnessTable(rows, *(int(values[DOMAIN_B, name]) for name in ("softness_px", "pictures")))


def softness_of(values: Mapping[tuple[str, str], float], method: str) -> SoftnessRow:
    """One method's, by the set's scores: (method, metric) -> value."""

    def estimate(name: str) -> Estimate | None:
        found = [values.get((method, name + end), np.nan) for end in ENDS]
        return Estimate(*found) if np.isfinite(found).all() else None

    left = values.get((method, "subject_left"), np.nan)
    figures = [estimate(name) for name in SOFTNESS_SCORES]
    return SoftnessRow(method_label(method), method, *figures, subject_left=left if np.isfinite(left) else None)

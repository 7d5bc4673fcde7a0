"""What the study claimed of its loss curves, looked up in ours.

The study says that adding the overlay to the mask loss halves the mask loss. What it plotted was weighted, and the two
models do not weigh the term alike: lambda_mask is 1 without and 1/2 with the overlay. So the unweighted terms decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

PLAIN_MODEL, OVERLAY_MODEL = "mask_loss", "mask_loss_overlay"
STUDY_MASK_WEIGHT = {PLAIN_MODEL: 1.0, OVERLAY_MODEL: 0.5}
"""lambda_mask of the study's models, where a recipe names none."""
LAST_SHARE = 10 / 75
"""The study read its curves off the last ten of 75 epochs."""
BLOCKS = 10
"""Stretches of the last steps whose means show how far the curves swing."""
HALVED, LOWERED = 0.6, 0.9
"""Up to these ratios a loss counts as about halved, or as lowered."""

TERMS = {
    "mask_a": "on pixels, A to B",
    "mask_b": "on pixels, B to A",
    "mask_features_a": "on VGG's features, A to B",
    "mask_features_b": "on VGG's features, B to A",
}

Finding = Literal["about halved", "lowered", "not lowered"]


@dataclass(frozen=True)
class Run:
    """What is needed of a run: `model` and `settings` of its card, and the unweighted losses by step."""

    name: str
    model: str
    seed: int
    settings: Mapping[str, object]
    losses: pd.DataFrame


@dataclass(frozen=True)
class Mean:
    """A term over the last steps: its mean and the range of the means of `BLOCKS` stretches."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class TermComparison:
    """One mask term of both runs, unweighted, with their own lambda_mask, and what the study would have plotted."""

    label: str
    plain: Mean
    overlay: Mean
    plain_weight: float
    overlay_weight: float

    @property
    def ratio(self) -> float:
        """With the overlay against without, unweighted."""
        return self.overlay.mean / self.plain.mean

    @property
    def plotted_ratio(self) -> float:
        """The same with the study's weights, as it would have plotted it."""
        return self.ratio * STUDY_MASK_WEIGHT[OVERLAY_MODEL] / STUDY_MASK_WEIGHT[PLAIN_MODEL]

    @property
    def finding(self) -> Finding:
        """What the unweighted ratio says."""
        return "about halved" if self.ratio <= HALVED else "lowered" if self.ratio <= LOWERED else "not lowered"

    @property
    def is_clear(self) -> bool:
        """Whether the stretches of one run lie all above those of the other; else the curves swing by more."""
        return self.plain.low > self.overlay.high or self.overlay.low > self.plain.high


@dataclass(frozen=True)
class OverlayClaim:
    """Two runs of one seed, and their mask terms."""

    plain: str
    overlay: str
    terms: list[TermComparison]
    other_settings: list[str]
    """Settings beside the mask's weight in which the runs differ: what else may explain a difference."""


def overlay_claims(runs: Sequence[Run]) -> list[OverlayClaim]:
    """A claim for each pair of a `mask_loss` and a `mask_loss_overlay` run of the same seed; none without both."""
    plain = {run.seed: run for run in runs if run.model == PLAIN_MODEL}
    return [
        _claim(plain[run.seed], run) for run in runs if run.model == OVERLAY_MODEL and run.seed in plain and len(run.losses)
    ]


def _claim(plain: Run, overlay: Run) -> OverlayClaim:
    shared = [term for term in TERMS if _known(plain, term) and _known(overlay, term)]
    terms = [
        TermComparison(TERMS[term], _last(plain, term), _last(overlay, term), _weight(plain), _weight(overlay))
        for term in shared
    ]
    differing = sorted(key for key, value in plain.settings.items() if value != overlay.settings.get(key, value))
    return OverlayClaim(plain.name, overlay.name, terms, [key for key in differing if key != "mask_weight"])


def _known(run: Run, term: str) -> bool:
    return term in run.losses and bool(run.losses[term].notna().any()) and _last(run, term).mean > 0


def _last(run: Run, term: str) -> Mean:
    values = run.losses[term].dropna().to_numpy(float)
    last = values[-max(1, round(LAST_SHARE * len(values))) :]
    means = [float(block.mean()) for block in np.array_split(last, min(BLOCKS, len(last)))]
    return Mean(float(last.mean()), min(means), max(means))


def _weight(run: Run) -> float:
    weight = run.settings.get("mask_weight")
    return float(weight) if isinstance(weight, int | float) else STUDY_MASK_WEIGHT[run.model]

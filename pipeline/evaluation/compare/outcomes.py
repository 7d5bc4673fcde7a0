"""The study's groups, found by its own definitions instead of by eye: success, failure, imagined, stylised.

The study sorted its results by looking. Here a photo's scores sort it, with the thresholds of `Thresholds`, which the
report prints. A model's result is a success where it is better than that of `cyclegan` in blur or in preservation
without loss in the other, and is neither imagined nor stylised; a photo is a failure where no model succeeds.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.evaluation.compare.summary import BLUR, SUBJECT, scores_of

GroupName = Literal["success", "failure", "imagined", "stylised"]
GROUPS: tuple[GroupName, ...] = ("success", "failure", "imagined", "stylised")


@dataclass(frozen=True)
class Thresholds:
    """From where on a difference, or a score, counts."""

    blur: float = 0.05
    """Of the input's background sharpness: so much less is a better blur, so much more a loss."""
    subject_ssim: float = 0.01
    """So much more is a better preservation, so much less a loss."""
    imagined: float = 0.001
    """Mean gradient of the background beyond what the input has nearby, of a range of 1."""
    stylised_colour: float = 4.6
    """Shift of the subject's mean colour in ΔE: twice what is just noticeable."""
    stylised_ssim: float = 0.90
    """A subject below this SSIM is drawn anew."""


@dataclass(frozen=True)
class Result:
    """One model's translation of one photo against that of `cyclegan`: gains in multiples of the thresholds."""

    photo_id: str
    model: str
    blur_gain: float
    subject_gain: float
    imagined: float
    stylised: float

    @property
    def is_success(self) -> bool:
        """Better in one, no loss in the other, nothing imagined or stylised."""
        gains = (self.blur_gain, self.subject_gain)
        return max(gains) >= 1 and min(gains) > -1 and self.imagined < 1 and self.stylised < 1


@dataclass(frozen=True)
class Typical:
    """The photo that stands for a group, and the model whose result put it there; None where all failed alike."""

    photo_id: str
    model: str | None


@dataclass(frozen=True)
class Outcome:
    """A group: its photos, how many each model has in it (not for failures), and the most typical."""

    group: GroupName
    photos: list[str]
    by_model: dict[str, int]
    typical: Typical | None


@dataclass(frozen=True)
class Outcomes:
    """All groups over the photos that could be judged; without a `cyclegan` there are no successes or failures."""

    photos: int
    reference: str | None
    outcomes: list[Outcome]
    thresholds: Thresholds


def sort_photos(
    scores: pd.DataFrame,
    models: Sequence[str],
    references: Mapping[str, str],
    pictured: Set[str],
) -> Outcomes:
    """The groups of the test photos.

    `references` names for each model the run of `cyclegan` that it is held against; models without one, and the
    references themselves, can be imagined or stylised only. The typical photo is taken from `pictured`, whose pictures
    can be shown: of the group the one nearest to the middle of its scores.
    """
    thresholds = Thresholds()
    compared = {model: reference for model, reference in references.items() if model != reference}
    by_photo: dict[str, list[Result]] = {}
    everything = [result for model in models for result in _results(scores, model, references.get(model, model), thresholds)]
    for result in everything:
        if result.model in compared:
            by_photo.setdefault(result.photo_id, []).append(result)
    chosen: dict[GroupName, list[Result]] = {
        "success": [result for result in everything if result.model in compared and result.is_success],
        "failure": [_nearest(each) for each in by_photo.values() if not any(result.is_success for result in each)],
        "imagined": [result for result in everything if result.imagined >= 1],
        "stylised": [result for result in everything if result.stylised >= 1],
    }
    names: tuple[GroupName, ...] = GROUPS if compared else ("imagined", "stylised")
    return Outcomes(
        photos=len({result.photo_id for result in everything}),
        reference=next(iter(compared.values()), None),
        outcomes=[_outcome(name, chosen[name], models, pictured) for name in names],
        thresholds=thresholds,
    )


def _results(scores: pd.DataFrame, model: str, reference: str, thresholds: Thresholds) -> list[Result]:
    """Of the photos on which both blur and subject are known, of the model and of its reference."""
    columns = {
        "blur": scores_of(scores, BLUR.name, model, scenes=False),
        "subject": scores_of(scores, SUBJECT.name, model, scenes=False),
        "blur_before": scores_of(scores, BLUR.name, reference, scenes=False),
        "subject_before": scores_of(scores, SUBJECT.name, reference, scenes=False),
    }
    known = pd.DataFrame(columns).dropna()
    imagined = scores_of(scores, "imagined", model, scenes=False).reindex(known.index).fillna(0.0)
    colour = scores_of(scores, "subject_colour_shift", model, scenes=False).reindex(known.index).fillna(0.0)
    lost = (1 - known["subject"]) / (1 - thresholds.stylised_ssim)
    table = pd.DataFrame(
        {
            "blur_gain": (known["blur_before"] - known["blur"]) / thresholds.blur,
            "subject_gain": (known["subject"] - known["subject_before"]) / thresholds.subject_ssim,
            "imagined": imagined / thresholds.imagined,
            "stylised": np.maximum(colour / thresholds.stylised_colour, lost),
        }
    )
    return [
        Result(str(photo_id), model, *map(float, row)) for photo_id, row in zip(table.index, table.to_numpy(), strict=True)
    ]


def _nearest(results: Sequence[Result]) -> Result:
    """The result that comes nearest to a success."""
    return max(results, key=lambda result: (result.blur_gain + result.subject_gain, result.model))


def _outcome(group: GroupName, results: Sequence[Result], models: Sequence[str], pictured: Set[str]) -> Outcome:
    photos = sorted({result.photo_id for result in results})
    by_model = {model: sum(result.model == model for result in results) for model in models}
    shown = [result for result in results if result.photo_id in pictured]
    typical = _most_typical(group, shown) if shown else None
    model = None if typical is None or group == "failure" else typical.model
    found = None if typical is None else Typical(typical.photo_id, model)
    return Outcome(group, photos, {} if group == "failure" else by_model, found)


def _most_typical(group: GroupName, results: Sequence[Result]) -> Result:
    """The result nearest to the group's median, in what the group is defined by; ties go to the smaller id."""
    points = np.array([_point(group, result) for result in results])
    distance = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    order = sorted(range(len(results)), key=lambda index: (distance[index], results[index].photo_id, results[index].model))
    return results[order[0]]


def _point(group: GroupName, result: Result) -> tuple[float, ...]:
    if group == "imagined":
        return (result.imagined,)
    return (result.stylised,) if group == "stylised" else (result.blur_gain, result.subject_gain)

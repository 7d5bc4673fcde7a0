"""How far a run has come, by pictures of its own training set: which of its checkpoints is the best one, and whether it
fails in one of the two ways that there are.

Losses do not say it: each is relative to an opponent that learns as well. These figures do:

    gap, scales   what is left of the distance between the domains' backgrounds, by both measures of `pipeline.softness`
    change        L1 inside the subjects, in parts of what a Gaussian as wide as the study's would change there

Doing nothing has 1 and 1 at a change of 0, blurring everything has a change of 1, so that neither scores better than 1.
A lens is judged as it is trained, with divided light. None of them knows a true picture: the best checkpoint is the best by
these and no more. Where no picture of domain A has a subject, as in collections without people, nothing is said of softness
and the last checkpoint is the best.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import nn

from pipeline.atomic import write_text
from pipeline.models.images import AlphaArray, RgbArray, UnitRgbArray, translate
from pipeline.models.lens_generator import LensGenerator
from pipeline.regions import background_region, margin_px, subject_region
from pipeline.softness import EVERYTHING_LEFT, NOTHING_LEFT, TELLING_SIDE_PX, Softness, softness, standing, telling
from pipeline.squares import scaled, spread, unit
from pipeline.training.runs import Failing, recorded_checks
from pipeline.training.sampling import ImageSource

MOST_CHECKS, FEWEST_CHECKS, STEPS_A_CHECK = 20, 10, 30
"""In a run: fewer in short ones, where each would otherwise take as long as the steps before it."""
FEWEST_PICTURES, MOST_PICTURES, STEPS_A_PICTURE = 16, 48, 40
"""Of each domain: more in longer runs, so that checks take little of the time."""
FAILURE_PICTURES = 6
"""What a generator does to so many pictures tells whether it fails."""
FORGIVEN_SHARE = 0.1
"""Of the run: only after it does a run that fails end, where it shall."""
STUDY_SIGMA_SHARE = 1.7 / 256
"""Width of the study's Gaussian, in parts of the picture's side."""
NOTHING_CHANGED = 0.05
"""A generator blurs nothing, too, where backgrounds change by less than so much of the Gaussian's change. Runs that collapse
change .02 of it after 16 steps and .003 after 32."""
TINY = 1e-6
LEAST_GAUSSIAN = 0.1 / 255
"""What the Gaussian changes counts as so much at least: in pictures of one colour it changes nothing, of which no output's
change is a part. A tenth of a level is less than any photograph's."""

ADVICE = {
    "blurs nothing": (
        "backgrounds stay as sharp as they were, or get sharper. A generator that paints something of its own in its first "
        "steps may still learn; one that leaves pictures as they are seldom does. Then stop the run; lower identity_weight "
        "and cycle_weight, or give the discriminators a sight that tells the domains apart"
    ),
    "blurs everything": (
        "subjects lose their detail with the backgrounds. If it stays so, raise mask_weight, or let the lens hold the "
        "subject; in the first steps it may pass by itself"
    ),
}


@dataclass(frozen=True)
class Check:
    """A run after `step` steps. `gap` and `scales` are None where the softness of backgrounds cannot be told apart."""

    step: int
    gap: float | None
    scales: float | None
    change: float
    """Of the subjects, in parts of the Gaussian's, >= 0."""
    left: float | None
    """Share of the backgrounds' |Laplacian| that is left; None without backgrounds that have any."""
    failing: Failing | None = None
    """The way in which the run failed, by the weights of that step rather than by their average."""

    @property
    def score(self) -> float:
        """Mean of `gap` and `scales`, and `change`: the lower the better; infinite where it cannot be told."""
        known = [one for one in (self.gap, self.scales) if one is not None]
        return float(np.mean(known)) + self.change if known else math.inf

    @property
    def figures(self) -> dict[str, float]:
        """All that is known, by name."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int | float)}

    @property
    def words(self) -> str:
        """For a log."""
        figures = "gap", "scales", "change", "left"
        return ", ".join(f"{name} {_words(getattr(self, name))}" for name in figures)


class Checker:
    """Fixed pictures of both domains, RGB and alpha, against which generators are held."""

    def __init__(self, a: tuple[RgbArray, AlphaArray], b: tuple[RgbArray, AlphaArray]) -> None:
        self.rgb, self.alpha = a
        """Pictures of A and the alpha of their subjects, uint8."""
        self._before, self._mask = unit(a[0]), unit(a[1])[..., None]
        margin = margin_px(a[0].shape[1])
        self._background = background_region(self._mask, margin)[..., 0]
        self._subject = subject_region(self._mask, margin)[..., 0]
        pictures = (self._before, self._mask), (unit(b[0]), unit(b[1])[..., None])
        measured = {
            shrunk: [softness(_shrunk(images, shrunk), _shrunk(mask, shrunk)) for images, mask in pictures]
            for shrunk in (1, 2)
        }
        # A strong blur tells more at half the size, where a camera's noise no longer counts as sharpness.
        self._shrunk = max(measured, key=lambda shrunk: telling(*measured[shrunk]))
        self._softness_a, self._softness_b = measured[self._shrunk]
        self._most = _l1(gaussian(self._before), self._before, self._subject)
        self.has_subjects = bool(self._mask.any())
        """Whether masks tell a subject in any of the pictures of A."""

    @classmethod
    def of(cls, train_a: ImageSource, train_b: ImageSource, size_px: int, most: int) -> "Checker":
        """By at most so many pictures of each domain, spread evenly, at that size."""
        pictures = [source.batch(spread(len(source), most)) for source in (train_a, train_b)]
        return cls(*((scaled(rgb, size_px), scaled(alpha, size_px)) for rgb, alpha in pictures))

    def failing(self, generator: nn.Module) -> Failing | None:
        """The way in which a generator fails, by what it does to a few of the pictures of A.

        To be asked of the weights as they are now: a running average of them lags hundreds of steps behind. One that finds
        the subject itself is told it, as in training: at first it takes most of a picture for the subject, which passes.
        """
        few = slice(FAILURE_PICTURES)
        output = self._translated(generator, few, in_training=True)
        told = standing(self._softness_a[few], self._softness(output, few), self._softness_b, 0)
        subject_left = _left(output, self._before[few], self._subject[few])
        most = _l1(gaussian(self._before[few]), self._before[few], self._background[few])
        changed = _l1(output, self._before[few], self._background[few]) / max(most, LEAST_GAUSSIAN)
        if not self.has_subjects:
            return "blurs nothing" if changed < NOTHING_CHANGED else None
        return failure(told.left and told.left.value, subject_left, changed)

    @property
    def limits(self) -> list[str]:
        """What cannot be told by these pictures, in words."""
        side_px, told = self.rgb.shape[1] // self._shrunk, standing(self._softness_a, self._softness_a, self._softness_b, 0)
        found: list[str] = []
        if not self.has_subjects:
            return found
        if told.gap is None and told.scales is None:
            found.append(
                "by these training pictures the domains' backgrounds do not differ in softness, or there are too few to "
                "tell: there may be nothing to learn, and no checkpoint is the best one"
            )
        if side_px < TELLING_SIDE_PX:
            found.append(
                f"checks are made at {side_px} px, where a photograph's blur of a few pixels hardly shows; "
                f"they tell more from {TELLING_SIDE_PX} px on"
            )
        return found

    def check(self, generator: nn.Module, step: int, failing: Failing | None = None) -> Check:
        """Hold the generator from A to B, as it is after `step` steps, against the pictures."""
        output = self._translated(generator, slice(None))
        told = standing(self._softness_a, self._softness(output, slice(None)), self._softness_b, resamples=0)
        change = _l1(output, self._before, self._subject) / max(self._most, LEAST_GAUSSIAN)
        gap, scales = (told.gap, told.scales) if self.has_subjects else (None, None)
        return Check(
            step=step,
            gap=gap and round(gap.value, 6),
            scales=scales and round(scales.value, 6),
            change=round(change, 6),
            left=told.left and round(told.left.value, 6),
            failing=failing,
        )

    def misfit(self, output: UnitRgbArray) -> float:
        """How far these outputs of all pictures of A are from B: the root of the mean square of `gap` and `scales`, so
        that neither is paid for with the other; infinite where neither is known."""
        told = standing(self._softness_a, self._softness(output, slice(None)), self._softness_b, resamples=0)
        known = [one.value for one in (told.gap, told.scales) if one is not None]
        return float(np.sqrt(np.mean(np.square(known)))) if known else math.inf

    def _softness(self, output: UnitRgbArray, part: slice) -> Softness:
        return softness(*(_shrunk(one, self._shrunk) for one in (output, self._mask[part])), flat_too=True)

    def _translated(self, generator: nn.Module, part: slice, in_training: bool = False) -> UnitRgbArray:
        training = generator.training
        generator.train(in_training)
        if isinstance(generator, LensGenerator):
            # Single discs are too large or too small until they are calibrated, which would hide what is learnt.
            generator.lens.train()
        output = translate(generator, self.rgb[part], self.alpha[part])
        generator.train(training)
        return output


def failure(left: float | None, subject_left: float | None, background_change: float) -> Failing | None:
    """The way in which a generator fails; None where it does not, or where it cannot be told.

    Shares of the |Laplacian| that are left of backgrounds and of subjects, None without any, and how much backgrounds change
    in parts of the Gaussian's change.
    """
    if left is None:
        return None
    if left > NOTHING_LEFT or background_change < NOTHING_CHANGED:
        return "blurs nothing"
    if subject_left is not None and max(left, subject_left) < EVERYTHING_LEFT:
        return "blurs everything"
    return None


def gaussian(images: UnitRgbArray) -> UnitRgbArray:
    """The study's 9x9 Gaussian, as wide in parts of the picture's side as it was at 256 px; reflected at the border."""
    sigma_px = STUDY_SIGMA_SHARE * images.shape[2]
    side = 2 * max(1, round(4 * sigma_px / 1.7)) + 1
    blurred = [cv2.GaussianBlur(image, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT_101) for image in images]
    return np.stack(blurred)


def _l1(images: UnitRgbArray, others: UnitRgbArray, region: np.ndarray) -> float:
    """Mean absolute difference in the region, pictures weighing alike, >= 0; those without it are left out."""
    difference = np.abs(images - others).mean(3)
    known = [float(one[inside].mean()) for one, inside in zip(difference, region, strict=True) if inside.any()]
    return float(np.mean(known)) if known else 0.0


def _left(images: UnitRgbArray, before: UnitRgbArray, region: np.ndarray) -> float | None:
    """Mean share of the region's |Laplacian| that is left, pictures weighing alike; None where there was none."""
    sharpness = [
        [float(np.abs(cv2.Laplacian(one, cv2.CV_32F))[inside].mean()) for one in pair]
        for *pair, inside in zip(images, before, region, strict=True)
        if inside.any()
    ]
    known = [after / was for after, was in sharpness if was > TINY]
    return float(np.mean(known)) if known else None


def _shrunk(images: np.ndarray, factor: int) -> np.ndarray:
    """With sides so many times smaller, by the means of squares; [n, height, width, channels]."""
    count, height, width, channels = images.shape
    rows, columns = height // factor, width // factor
    squares = images[:, : rows * factor, : columns * factor].reshape(count, rows, factor, columns, factor, channels)
    return squares.mean((2, 4))


def _words(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"


def is_check_step(step: int, total: int) -> bool:
    """Whether a run is checked after `step` of `total` steps."""
    return falls_evenly(step, total, min(MOST_CHECKS, max(FEWEST_CHECKS, total // STEPS_A_CHECK)))


def falls_evenly(step: int, total: int, times: int) -> bool:
    """True for the last of `total` steps and, evenly before it, for as many more as make `times`, or all are fewer."""
    return step * times // total > (step - 1) * times // total


def pictures_to_check(total_steps: int) -> int:
    """Of each domain, at most, in a run of so many steps."""
    return min(MOST_PICTURES, max(FEWEST_PICTURES, total_steps // STEPS_A_PICTURE))


class CheckLog:
    """The checks of a run, in a JSON file; a run that goes on forgets those after its checkpoint.

    `best` is the check with the lowest score, the first of several, or the last one where none has a score. Beside the
    weights that are kept as the best ones, `kept` says which check that was: on a GPU the way from a checkpoint is not the
    same twice, and where it was killed in between they may be those of a step that comes out otherwise now.
    """

    def __init__(self, path: Path, last_step: int, kept: Path | None = None) -> None:
        self._path, self._kept = path, kept
        self.checks = [Check(**row) for row in recorded_checks(path) if _is_check(row) and row["step"] <= last_step]
        of_weights = [Check(**row) for row in (recorded_checks(kept) if kept else []) if _is_check(row)]
        self.best = of_weights[0] if of_weights else _best_of(self.checks)

    @property
    def failing(self) -> Failing | None:
        """The way in which the run fails by its last check."""
        return self.checks[-1].failing if self.checks else None

    def add(self, check: Check, keep_best: Callable[[], object]) -> None:
        """Note a check; where it is the best so far, `keep_best` is called before it is noted."""
        if self.best is None or check.score < self.best.score or math.isinf(self.best.score):
            keep_best()
            self.best = check
            if self._kept is not None:
                write_text(self._kept, json.dumps([asdict(check)]) + "\n")
        self.checks.append(check)
        write_text(self._path, json.dumps([asdict(row) for row in self.checks], indent=1) + "\n")


def _best_of(checks: list[Check]) -> Check | None:
    told = min(checks, key=lambda check: check.score, default=None)
    return checks[-1] if told is not None and math.isinf(told.score) else told


def _is_check(row: dict[str, Any]) -> bool:
    """Checks of older versions measured otherwise and cannot stand beside new ones."""
    names = {field.name for field in fields(Check)}
    numbers = (value for name, value in row.items() if name != "failing")
    are_right = all(isinstance(each, int | float | None) for each in numbers)
    return row.keys() == names and are_right and row["change"] is not None

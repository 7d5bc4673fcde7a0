"""How far a run has come, by pictures of its own training set: which of its checkpoints is the best one.

Losses do not say it: each is relative to an opponent that learns as well. Two figures do, both made so that doing
nothing and blurring everything, the two ways of failing, score no better than 1 in their sum:

    gap      what is left of the distance in background sharpness between the domains: 1 at first, 0 when closed
    change   L1 inside the subjects, in parts of what a Gaussian as wide as the study's would change there

Neither knows a true picture, so the best checkpoint is the best by these two and no more.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.atomic import write_text
from pipeline.models.images import (
    AlphaArray,
    Images,
    Masks,
    RgbArray,
    images_from_uint8,
    masks_from_uint8,
    to_model_range,
    translate,
)
from pipeline.models.sight import absolute_laplacian

CHECKS_IN_A_RUN = 20
CHECK_PICTURES = 16
MARGIN_SHARE = 1 / 32
"""Backgrounds begin this share of the picture's side away from the subject."""
STUDY_SIGMA_SHARE = 1.7 / 256
"""Width of the study's Gaussian, in parts of the picture's side."""
LEAST_GAP_SHARE = 0.01
"""Domains whose sharpness differs by less have no gap to close."""
TINY = 1e-6


@dataclass(frozen=True)
class Check:
    """A run after `step` steps; `gap` and `change` as above, both >= 0."""

    step: int
    gap: float
    change: float

    @property
    def score(self) -> float:
        """Their sum, the lower the better."""
        return self.gap + self.change


class Checker:
    """Fixed pictures of both domains, on the CPU, against which generators are held."""

    def __init__(self, a: tuple[RgbArray, AlphaArray], b: tuple[RgbArray, AlphaArray]) -> None:
        cpu = torch.device("cpu")
        self._rgb_a, self._images_a, self._masks_a = a[0], images_from_uint8(a[0], cpu), masks_from_uint8(a[1], cpu)
        images_b, masks_b = images_from_uint8(b[0], cpu), masks_from_uint8(b[1], cpu)
        self._sharpness_a, self._sharpness_b = sharpness(self._images_a, self._masks_a), sharpness(images_b, masks_b)
        self._blurred = subject_l1(gaussian(self._images_a), self._images_a, self._masks_a)

    def check(self, generator: torch.nn.Module, step: int) -> Check:
        """Hold the generator from A to B, as it is after `step` steps, against the pictures."""
        training = generator.training
        output = to_model_range(torch.from_numpy(translate(generator.eval(), self._rgb_a)).permute(0, 3, 1, 2))
        generator.train(training)
        width = abs(self._sharpness_a - self._sharpness_b)
        left = abs(sharpness(output, self._masks_a) - self._sharpness_b)
        gap = left / width if width > LEAST_GAP_SHARE * self._sharpness_a else 0.0
        change = subject_l1(output, self._images_a, self._masks_a) / max(self._blurred, TINY)
        return Check(step, round(gap, 6), round(change, 6))


@torch.no_grad()
def sharpness(images: Images, masks: Masks) -> float:
    """Mean absolute Laplacian of the backgrounds, pictures weighing alike, >= 0; those without background left out."""
    margin = max(1, round(images.shape[-1] * MARGIN_SHARE))
    background = 1.0 - functional.max_pool2d(masks, 2 * margin + 1, stride=1, padding=margin).round()
    return _mean_inside(absolute_laplacian(images), background)


@torch.no_grad()
def subject_l1(images: Images, others: Images, masks: Masks) -> float:
    """Mean absolute difference inside the masks, pictures weighing alike, >= 0; those without subject left out."""
    return _mean_inside((images - others).abs(), masks.round())


def gaussian(images: Images) -> Images:
    """The study's 9x9 Gaussian, as wide in parts of the picture's side as it was at 256 px; reflected at the border."""
    sigma_px = STUDY_SIGMA_SHARE * images.shape[-1]
    reach = max(1, round(4 * sigma_px / 1.7))
    places = torch.arange(-reach, reach + 1, dtype=images.dtype)
    kernel = torch.exp(-places.square() / (2 * sigma_px**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    across = functional.conv2d(padded, kernel[..., None, :], groups=3)
    return functional.conv2d(across, kernel[..., None], groups=3)


def _mean_inside(values: Images, region: Masks) -> float:
    areas = region.sum((1, 2, 3))
    means: Tensor = (values.mean(1, keepdim=True) * region).sum((1, 2, 3))[areas > 0] / areas[areas > 0]
    return float(means.mean()) if len(means) else 0.0


def is_check_step(step: int, total: int) -> bool:
    """Whether a run is checked after `step` of `total` steps."""
    return falls_evenly(step, total, CHECKS_IN_A_RUN)


def falls_evenly(step: int, total: int, times: int) -> bool:
    """True for the last of `total` steps and, evenly before it, for as many more as make `times`, or all are fewer."""
    return step * times // total > (step - 1) * times // total


def chosen(count: int) -> np.ndarray:
    """Indices of the pictures that a run is checked by: at most `CHECK_PICTURES`, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(CHECK_PICTURES, count)).astype(int))


class CheckLog:
    """The checks of a run, in a JSON file; a run that goes on forgets those after its checkpoint."""

    def __init__(self, path: Path, last_step: int) -> None:
        self._path = path
        rows = json.loads(path.read_bytes()) if path.exists() else []
        self.checks = [check for check in (Check(**row) for row in rows) if check.step <= last_step]

    @property
    def best(self) -> Check | None:
        """The check with the lowest score, the first of several; None without checks."""
        return min(self.checks, key=lambda check: check.score, default=None)

    def add(self, check: Check, keep_best: Callable[[], object]) -> None:
        """Note a check; where it is the best so far, `keep_best` is called before it is noted."""
        if self.best is None or check.score < self.best.score:
            keep_best()
        self.checks.append(check)
        write_text(self._path, json.dumps([asdict(row) for row in self.checks], indent=1) + "\n")

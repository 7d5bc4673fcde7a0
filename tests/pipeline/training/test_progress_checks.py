"""What a run is told of itself: doing nothing and blurring everything score 1, doing it right scores nearly 0."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.evaluation.measure.baselines import gaussian_9x9
from pipeline.models.lens import PLAN_CHANNELS
from pipeline.models.lens_generator import LensGenerator
from pipeline.models.networks import GeneratorConfig
from pipeline.softness import NOTHING_LEFT
from pipeline.training.progress_checks import (
    FORGIVEN_SHARE,
    MOST_PICTURES,
    Check,
    Checker,
    CheckLog,
    failure,
    gaussian,
    is_check_step,
    pictures_to_check,
)
from tests.pipeline.test_softness import blurred, pictures

SIGMA_PX = 0.7


def stored(seed: int, sigma_px: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and alpha as they are stored, their backgrounds blurred."""
    images, mask = pictures(12, seed)
    seen = np.where(mask > 0, images, blurred(images, sigma_px)) if sigma_px else images
    return np.round(255 * seen).astype(np.uint8), np.round(255 * mask[..., 0]).astype(np.uint8)


class Blur(nn.Module):
    """Stands in for a generator: blurs so much, in full or around the subject in the middle."""

    def __init__(self, sigma_px: float, spares_subject: bool = True) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.sigma_px, self.spares_subject = sigma_px, spares_subject

    def forward(self, images: Tensor, alpha: Tensor) -> Tensor:
        if not self.sigma_px:
            return images
        result = torch.from_numpy(blurred(images.permute(0, 2, 3, 1).numpy(), self.sigma_px)).permute(0, 3, 1, 2)
        return torch.where(alpha > 0.5, images, result) if self.spares_subject else result


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker(stored(0), stored(1, SIGMA_PX))


def test_doing_nothing_scores_one_and_fails(checker: Checker) -> None:
    check = checker.check(Blur(0), 1)
    assert (check.gap, check.scales, check.left) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
    assert check.score == pytest.approx(1, abs=1e-4)
    assert checker.failing(Blur(0)) == "blurs nothing"


def test_in_black_pictures_a_change_is_counted_in_levels() -> None:
    class Lighter(Blur):
        def forward(self, images: Tensor, alpha: Tensor) -> Tensor:
            return images + 2 / 255

    rgb, alpha = stored(0)
    black = Checker((0 * rgb, alpha), stored(1, SIGMA_PX))
    assert black.check(Lighter(0.0), 1).change == pytest.approx(10, rel=1e-3)
    assert black.check(Blur(SIGMA_PX), 1).change == 0


def test_blurring_the_background_as_much_as_b_is_the_best(checker: Checker) -> None:
    scores = {sigma: checker.check(Blur(sigma), 1).score for sigma in (0, 0.4, SIGMA_PX, 1.2, 3.0)}
    assert min(scores, key=lambda sigma: scores[sigma]) == SIGMA_PX
    assert scores[SIGMA_PX] < 0.4
    assert scores[3.0] > 1
    assert checker.failing(Blur(SIGMA_PX)) is None


def test_blurring_everything_changes_the_subject_and_fails(checker: Checker) -> None:
    assert checker.check(Blur(2.0, spares_subject=False), 1).score > 1
    assert checker.failing(Blur(2.0, spares_subject=False)) == "blurs everything"
    assert checker.failing(Blur(2.0)) is None


@pytest.mark.parametrize(
    ("left", "subject_left", "background_change", "expected"),
    [
        (0.999, 1.0, 0.01, "blurs nothing"),  # collapsed
        (1.02, 0.9, 0.8, "blurs nothing"),  # new colours, and no blur
        (0.64, 0.63, 1.38, None),  # the haze that a lens begins with
        (0.4, 1.0, 1.1, None),
        (0.2, 0.2, 1.0, "blurs everything"),
        (0.2, None, 1.0, None),
        (None, 1.0, 0.0, None),
    ],
)
def test_what_fails(left: float | None, subject_left: float | None, background_change: float, expected: str | None) -> None:
    assert failure(left, subject_left, background_change) == expected


def test_a_generator_is_left_as_it_was(checker: Checker) -> None:
    generator = Blur(0).train()
    checker.check(generator, 1)
    checker.failing(generator)
    assert generator.training


def test_a_lens_is_judged_as_it_is_trained(checker: Checker) -> None:
    """By a plan that divides light, which single discs would blur far more."""
    checks = []
    for single in (False, True):
        config = GeneratorConfig(channels=4, blocks=1, output="lens", lens_side_px=96, lens_single_disc=single)
        torch.manual_seed(0)
        generator = LensGenerator(config).eval()
        checks.append(checker.check(generator, 1))
        assert not generator.lens.training
    assert checks[0] == checks[1]


def test_the_gaussian_is_the_studys() -> None:
    images = np.random.default_rng(2).random((2, 256, 256, 3)).astype(np.float32)
    np.testing.assert_allclose(gaussian(images), gaussian_9x9(images), atol=2e-3)


def test_domains_that_do_not_differ_have_no_score_and_it_is_said() -> None:
    rgb, alpha = stored(0)
    alike, subjectless = Checker((rgb, alpha), stored(2)), Checker((rgb, 0 * alpha), stored(1, SIGMA_PX))
    check = alike.check(Blur(0), 3)
    assert (check.gap, check.scales, check.score) == (None, None, math.inf)
    assert "do not differ in softness" in alike.limits[0]
    assert subjectless.check(Blur(2.0, spares_subject=False), 3).change == 0.0


def test_small_pictures_are_said_to_tell_little(checker: Checker) -> None:
    assert checker.limits == [
        "checks are made at 96 px, where a photograph's blur of a few pixels hardly shows; they tell more from 192 px on"
    ]


def test_a_finder_that_has_not_learnt_yet_is_no_failure(checker: Checker) -> None:
    config = GeneratorConfig(
        channels=4, blocks=1, output="lens", lens_side_px=96, lens_holds_subject=True, lens_finds_subject=True
    )
    generator = LensGenerator(config)
    finder, plan = generator.finder, torch.full((PLAN_CHANNELS,), -4.0)
    assert finder is not None
    plan[2] = 0.0  # spread over a disc where it is not held
    with torch.no_grad():
        for layer, bias in ((generator.last_convolution, plan), (finder.last, torch.tensor([9.0]))):
            layer.weight.zero_()
            assert layer.bias is not None
            layer.bias.copy_(bias)
    assert checker.failing(generator) is None
    assert generator.training
    left = checker.check(generator, 1).left
    assert left is not None
    assert left > NOTHING_LEFT


@pytest.mark.parametrize(("total", "checks"), [(1000, 20), (600, 20), (450, 15), (300, 10), (5, 5)])
def test_a_run_is_checked_evenly_and_at_its_end(total: int, checks: int) -> None:
    steps = [step for step in range(1, total + 1) if is_check_step(step, total)]
    assert steps == [round(total / checks * number) for number in range(1, checks + 1)]
    assert steps[0] <= max(1, FORGIVEN_SHARE * total)


def test_longer_runs_are_checked_by_more_pictures() -> None:
    assert pictures_to_check(300) == 16
    assert pictures_to_check(100_000) == MOST_PICTURES


def check_at(step: int, gap: float | None, change: float) -> Check:
    return Check(step, gap, gap, change, 0.5)


def test_the_best_of_several_is_kept_once_and_the_future_forgotten(tmp_path: Path) -> None:
    path, kept = tmp_path / "checks.json", []
    log = CheckLog(path, 0)
    for check in (check_at(1, 1.0, 0.0), check_at(2, 0.5, 0.2), check_at(3, 0.6, 0.2), check_at(4, 0.5, 0.2)):
        log.add(check, lambda check=check: kept.append(check.step))
    assert kept == [1, 2]
    assert log.best == check_at(2, 0.5, 0.2)
    assert [row["step"] for row in json.loads(path.read_text())] == [1, 2, 3, 4]
    assert CheckLog(path, 1).best == check_at(1, 1.0, 0.0)
    assert CheckLog(tmp_path / "none.json", 9).best is None


def test_the_best_weights_stay_those_of_their_check_where_the_steps_since_a_checkpoint_are_lost(tmp_path: Path) -> None:
    path, weights = tmp_path / "checks.json", tmp_path / "best" / "check.json"
    log, kept = CheckLog(path, 0, weights), []
    for check in (check_at(1, 1.0, 0.0), check_at(2, 0.5, 0.2)):
        log.add(check, lambda check=check: kept.append(check.step))
    again = CheckLog(path, 1, weights)
    assert ([check.step for check in again.checks], again.best) == ([1], check_at(2, 0.5, 0.2))
    again.add(check_at(2, 0.7, 0.2), lambda: kept.append(-1))  # as a GPU may have it
    again.add(check_at(3, 0.4, 0.2), lambda: kept.append(3))
    assert kept == [1, 2, 3]
    assert CheckLog(path, 3, weights).best == check_at(3, 0.4, 0.2)


def test_without_a_score_the_last_weights_are_kept(tmp_path: Path) -> None:
    log, kept = CheckLog(tmp_path / "checks.json", 0), []
    for step in (1, 2):
        log.add(check_at(step, None, 0.1), lambda step=step: kept.append(step))
    assert kept == [1, 2]
    assert log.best == check_at(2, None, 0.1)
    assert CheckLog(tmp_path / "checks.json", 2).best == log.best


def test_checks_of_older_versions_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "checks.json"
    path.write_text('[{"step": 1, "gap": 0.1, "change": 0.0}]')
    assert CheckLog(path, 5).checks == []


class Recoloured(nn.Module):
    """Stands in for a generator that changes colours and no sharpness."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor, alpha: Tensor) -> Tensor:
        return images.flip(1)


def test_collections_without_subjects_are_not_asked_about_blur(tmp_path: Path) -> None:
    rgb, alpha = stored(0)
    checker = Checker((rgb, 0 * alpha), (stored(1, SIGMA_PX)[0], 0 * alpha))
    assert checker.failing(Blur(0)) == "blurs nothing"  # it has settled on the identity
    assert checker.failing(Recoloured()) is None
    assert checker.limits == []
    log, kept = CheckLog(tmp_path / "checks.json", 0), []
    for step in (1, 2, 3):
        check = checker.check(Blur(SIGMA_PX), step)
        assert (check.gap, check.scales, check.score) == (None, None, math.inf)
        log.add(check, lambda step=step: kept.append(step))
    assert kept == [1, 2, 3], "the last weights are the best"

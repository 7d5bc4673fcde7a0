"""What a run is told of itself: doing nothing and blurring everything score 1, doing it right scores 0."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.evaluation.baselines import gaussian_9x9
from pipeline.training.progress_checks import CHECKS_IN_A_RUN, Check, Checker, CheckLog, chosen, gaussian, is_check_step

SIDE = 256
SUBJECT = (slice(64, 192), slice(64, 192))


def pictures(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures of noise with a square subject in the middle."""
    rgb = np.random.default_rng(seed).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    alpha = np.zeros((2, SIDE, SIDE), np.uint8)
    alpha[:, *SUBJECT] = 255
    return rgb, alpha


def blurred(rgb: np.ndarray) -> np.ndarray:
    return np.round(gaussian_9x9(rgb.astype(np.float32) / 255) * 255).astype(np.uint8)


class Blur(nn.Module):
    """Stands in for a generator: blurs, in full or outside the subject only."""

    def __init__(self, spares_subject: bool) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.spares_subject = spares_subject

    def forward(self, images: Tensor) -> Tensor:
        result = gaussian(images)
        if self.spares_subject:
            result[..., *SUBJECT] = images[..., *SUBJECT]
        return result


class Nothing(Blur):
    def forward(self, images: Tensor) -> Tensor:
        return images


@pytest.fixture(scope="module")
def checker() -> Checker:
    (rgb_a, alpha), (rgb_b, _) = pictures(0), pictures(1)
    return Checker((rgb_a, alpha), (blurred(rgb_b), alpha))


def test_doing_nothing_leaves_the_gap(checker: Checker) -> None:
    check = checker.check(Nothing(False), 1)
    assert (check.gap, check.change) == (pytest.approx(1.0, abs=0.01), pytest.approx(0.0, abs=1e-5))


def test_blurring_everything_closes_it_and_changes_the_subject(checker: Checker) -> None:
    check = checker.check(Blur(False), 1)
    assert (check.gap, check.change) == (pytest.approx(0.0, abs=0.02), pytest.approx(1.0, abs=0.01))


def test_blurring_the_background_alone_is_the_best(checker: Checker) -> None:
    check = checker.check(Blur(True), 1)
    assert check.score == pytest.approx(0.0, abs=0.02)


def test_a_generator_is_left_as_it_was(checker: Checker) -> None:
    generator = Nothing(False).train()
    checker.check(generator, 1)
    assert generator.training


def test_the_gaussian_is_the_studys() -> None:
    rgb, _ = pictures(2)
    ours = gaussian(torch.from_numpy(rgb.astype(np.float32) / 255).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, gaussian_9x9(rgb.astype(np.float32) / 255), atol=2e-3)


def test_domains_without_a_gap_and_pictures_without_a_subject_count_nothing() -> None:
    rgb, alpha = pictures(0)
    check = Checker((rgb, 0 * alpha), (rgb, 0 * alpha)).check(Blur(False), 3)
    assert check == Check(3, 0.0, 0.0)


def test_a_run_is_checked_evenly_and_at_its_end() -> None:
    steps = [step for step in range(1, 1001) if is_check_step(step, 1000)]
    assert steps == list(range(50, 1001, 50))
    assert len(steps) == CHECKS_IN_A_RUN
    assert chosen(1000).tolist()[:2] == [0, 66]
    assert chosen(3).tolist() == [0, 1, 2]


def test_the_best_of_several_is_kept_once_and_the_future_forgotten(tmp_path: Path) -> None:
    path, kept = tmp_path / "checks.json", []
    log = CheckLog(path, 0)
    for check in (Check(1, 1.0, 0.0), Check(2, 0.5, 0.2), Check(3, 0.6, 0.2), Check(4, 0.5, 0.2)):
        log.add(check, lambda check=check: kept.append(check.step))
    assert kept == [1, 2]
    assert log.best == Check(2, 0.5, 0.2)
    assert [row["step"] for row in json.loads(path.read_text())] == [1, 2, 3, 4]
    assert CheckLog(path, 1).best == Check(1, 1.0, 0.0)
    assert CheckLog(tmp_path / "none.json", 9).best is None

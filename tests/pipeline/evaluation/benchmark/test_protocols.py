"""How benchmarks are scored."""

import numpy as np
import pytest

from pipeline.commands.reporting import benchmark
from pipeline.evaluation.benchmark.protocols import BENCHMARKS, NUMBERS_OF_VAL294, scores_of, ssim_uniform


def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    first = random.random((12, 15, 3))
    return first, np.clip(first + 0.1 * random.normal(size=first.shape), 0, 1)


def test_uniform_ssim_is_its_formula_window_by_window() -> None:
    first, second = pictures()
    found = []
    for row in range(3, 9):
        for column in range(3, 12):
            for channel in range(3):
                x, y = (one[row - 3 : row + 4, column - 3 : column + 4, channel].ravel() for one in (first, second))
                ((variance_x, covariance), (_, variance_y)) = np.cov(x, y)
                found.append(
                    (2 * x.mean() * y.mean() + 1e-4) * (2 * covariance + 9e-4)
                    / ((x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (variance_x + variance_y + 9e-4))
                )  # fmt: skip
    assert ssim_uniform(first, second) == pytest.approx(np.mean(found))
    assert ssim_uniform(first, first) == pytest.approx(1)


def test_each_benchmark_has_its_own_windows() -> None:
    first, second = pictures()
    one, other = (scores_of(first, second, uniform) for uniform in (True, False))
    assert one["psnr_db"] == other["psnr_db"] == pytest.approx(-10 * np.log10(((first - second) ** 2).mean()))
    assert one["ssim"] == ssim_uniform(first, second)
    assert one["ssim"] != pytest.approx(other["ssim"], abs=1e-3)


def test_the_command_knows_them_all_and_what_is_published_names_its_source() -> None:
    assert list(benchmark.params[2].type.choices) == list(BENCHMARKS)  # pyright: ignore[reportAttributeAccessIssue]
    assert len(NUMBERS_OF_VAL294) == 294
    published = [one for found in BENCHMARKS.values() for one in found.published]
    assert published
    assert all(one.source and one.differs and "|" not in one.source + one.differs for one in published)

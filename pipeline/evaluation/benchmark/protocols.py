"""What is scored on which benchmark, how, and what others have published there.

Published figures stand here only where their source was read; what its protocol does differently stands beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pipeline.evaluation.measure.metrics import SSIM_C1, SSIM_C2, psnr_db, ssim

UNIFORM_PX = 7
METRICS = ("psnr_db", "ssim", "lpips_vgg")
DIGITS = {"psnr_db": 2, "ssim": 4, "lpips_vgg": 4}
NUMBERS_OF_VAL294 = range(4400, 4694)
"""The pairs of EBB!'s training set that DMSHN's authors test on (`data/test.csv` of their code), others after them."""


@dataclass(frozen=True)
class PublishedFigures:
    """Somebody's figures: means over the benchmark."""

    method: str
    psnr_db: float
    ssim: float
    lpips: float
    source: str
    differs: str


@dataclass(frozen=True)
class Benchmark:
    """A set of pairs and how it is scored. `uniform_ssim`: in windows of 7×7 pixels that count alike; else Gaussian ones."""

    name: str
    title: str
    protocol: str
    uniform_ssim: bool
    published: Sequence[PublishedFigures] = ()


OURS = "Ours: LPIPS by VGG-16 (published values are mostly by AlexNet), so that LPIPS cannot be compared."
BENCHMARKS: Mapping[str, Benchmark] = {
    one.name: one
    for one in (
        Benchmark(
            "val294",
            "EBB!, Val294: pairs 4400 to 4693",
            "As DMSHN's evaluation code: whole pictures of 8 bits, PSNR over all channels, SSIM in uniform windows of 7×7 "
            f"pixels, mean of the channels. {OURS}",
            True,
            (
                PublishedFigures(
                    "BRViT", 24.76, 0.8904, 0.1924,
                    "README of github.com/Soester10/Bokeh-Rendering-with-Vision-Transformers",
                    "trained on EBB!'s other pairs, so that it knows their lens, exposure and shift; not aligned; the page "
                    "does not tell the windows of SSIM and the network of LPIPS",
                ),
            ),
        ),
        Benchmark(
            "ebb400",
            "EBB400: 400 pairs of EBB! that BokehMe's authors chose",
            "The folder says which pairs they are: all in it count. Scored as Val294. " + OURS,
            True,
        ),
        Benchmark(
            "realbokeh",
            "RealBokeh, test pictures: each scene at its widest aperture",
            "Whole pictures of 8 bits, PSNR over all channels, SSIM in Gaussian windows of 11×11 pixels, mean of the "
            "channels. " + OURS,
            False,
        ),
    )
}  # fmt: skip


def scores_of(output: np.ndarray, target: np.ndarray, uniform_ssim: bool) -> dict[str, float]:
    """`psnr_db` and `ssim` of one picture, both [height, width, 3] in [0, 1]; sides of 7 pixels at least."""
    whole = np.ones((1, *output.shape[:2], 1), bool)
    alike = ssim_uniform(output, target) if uniform_ssim else float(ssim(output[None], target[None], whole)[0])
    return {"psnr_db": float(psnr_db(output[None], target[None], whole)[0]), "ssim": alike}


def ssim_uniform(output: np.ndarray, target: np.ndarray) -> float:
    """SSIM with windows of 7×7 pixels that count alike and unbiased variances, mean of the channels and of all windows that
    lie inside: what scikit-image computes for pictures of 8 bits unless told otherwise."""
    x, y = np.asarray(output, np.float64), np.asarray(target, np.float64)
    mean_x, mean_y = _window(x), _window(y)
    unbiased = UNIFORM_PX**2 / (UNIFORM_PX**2 - 1)
    variance_x, variance_y = unbiased * (_window(x * x) - mean_x**2), unbiased * (_window(y * y) - mean_y**2)
    covariance = unbiased * (_window(x * y) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)
    rim = UNIFORM_PX // 2
    return float((luminance * structure)[rim:-rim, rim:-rim].mean())


def _window(values: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter1d(ndimage.uniform_filter1d(values, UNIFORM_PX, 0), UNIFORM_PX, 1)

"""Pictures and scores for the tests of judging and reporting: textured squares with a round subject, and simple models."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from pipeline.evaluation.measure.judge import Overlay, Trial, Yardstick, judge_model
from pipeline.evaluation.measure.judged_size import AlphaBytes, RgbBytes, Translate
from pipeline.evaluation.measure.scenes import Scenes

SIDE_PX, JUDGED_PX = 64, 32
METHODS = {"input": 0.10, "average_5x5": 0.09, "gaussian_9x9": 0.08}
"""Error of what stands beside models in `truth`."""


@dataclass(frozen=True)
class ArrayPhotos:
    """`Photos` in memory."""

    ids: Sequence[str]
    rgb: RgbBytes
    alpha: AlphaBytes

    def batch(self, indices: np.ndarray) -> tuple[RgbBytes, AlphaBytes]:
        """The photos at these indices."""
        return self.rgb[indices], self.alpha[indices]


def textured(count: int, seed: int = 0, side_px: int = SIDE_PX) -> np.ndarray:
    """RGB uint8 with detail at several widths."""
    noise = np.random.default_rng(seed).random((count, side_px, side_px, 3))
    smooth = np.sum([ndimage.gaussian_filter(noise, sigma, axes=(1, 2)) * sigma for sigma in (1, 2, 4)], axis=0)
    low, high = smooth.min(axis=(1, 2, 3), keepdims=True), smooth.max(axis=(1, 2, 3), keepdims=True)
    return np.round(255 * (smooth - low) / (high - low)).astype(np.uint8)


def round_alpha(count: int, side_px: int = SIDE_PX, radius: float = 0.3) -> np.ndarray:
    """Alpha uint8 of a disk in the middle."""
    rows, columns = np.indices((side_px, side_px)) / side_px - 0.5
    return np.repeat(((rows**2 + columns**2 < radius**2) * np.uint8(255))[None], count, axis=0)


def photos(count: int) -> ArrayPhotos:
    """ArrayPhotos with ids like Flickr's."""
    return ArrayPhotos([f"flickr:{1000 + index}" for index in range(count)], textured(count), round_alpha(count))


def scenes(count: int) -> Scenes:
    """Scenes whose true lens blurs the background by a Gaussian."""
    sharp, mask = textured(count, seed=7), round_alpha(count)
    return Scenes([f"s{index:03d}" for index in range(count)], sharp, blurred_around(sharp, mask, 3.0), mask)


def blurred_around(rgb: np.ndarray, mask: np.ndarray, sigma_px: float) -> np.ndarray:
    """The background blurred, the subject as it is."""
    share = mask[..., None] / 255.0
    soft = ndimage.gaussian_filter(rgb.astype(float), sigma_px, axes=(1, 2))
    return np.round(share * rgb + (1 - share) * soft).astype(np.uint8)


def background_blur(sigma_px: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A model that blurs around the middle and changes nothing else."""

    def translate(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        mask = round_alpha(len(rgb), rgb.shape[1], radius=0.32)
        return blurred_around(rgb, mask, sigma_px).astype(np.float32) / 255.0

    return translate


def unchanged(rgb: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """A model that does nothing."""
    return rgb.astype(np.float32) / 255.0


def judge_photos(
    model: str,
    translate: Translate,
    judged_px: int,
    world: ArrayPhotos,
    yardstick: Yardstick | None = None,
    overlay: Overlay | None = None,
) -> pd.DataFrame:
    """The table `evaluation` of a model judged on these photos; nobody sees its pictures."""
    trial = Trial(judged_px, world, yardstick=yardstick or Yardstick())
    with tempfile.TemporaryDirectory() as folder:
        return judge_model(model, translate, trial, Path(folder) / "pictures", overlay)


def scores(metric: str, values: dict[str, list[float]], prefix: str = "scene:s") -> pd.DataFrame:
    """Rows of `evaluation`: one metric of each method, by picture."""
    columns = ["photo_id", "method", "metric", "value"]
    named = ((method, f"{prefix}{index}", value) for method, each in values.items() for index, value in enumerate(each))
    return pd.DataFrame([(name, method, metric, value) for method, name, value in named], columns=columns)


def truth(model: float, count: int = 10, ssim: float | None = 0.97, sharpness: float = 0.4) -> pd.DataFrame:
    """A world in which every method has one background error, with a little spread."""
    spread = np.linspace(-0.001, 0.001, count)
    errors = {name: list(error + spread) for name, error in {**METHODS, "m@0": model}.items()}
    parts = [scores("truth_background_l1", errors), scores("background_sharpness", {"m@0": [sharpness] * 2}, "flickr:")]
    parts += [scores("subject_ssim", {"m@0": [np.nan if ssim is None else ssim] * 2}, "flickr:")]
    return pd.concat(parts, ignore_index=True)

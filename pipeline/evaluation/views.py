"""What is judged, at the size at which it is judged: pictures, masks, regions, and what the baselines make of them.

Pictures come at the size in which they are stored. The baselines smooth them there, as the study did; then input,
baselines, masks and truth are scaled down to `judged_px` by Lanczos, the filter by which training scales pictures down.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from pipeline.errors import DatasetError
from pipeline.evaluation import metrics
from pipeline.evaluation.baselines import average_5x5, gaussian, gaussian_9x9, matched_sigma_px, paste_subject
from pipeline.evaluation.metrics import Mask, Region, Rgb

RgbBytes = UInt8[np.ndarray, "_ _ _ 3"]
"""Squares of sRGB, 0 to 255, as they are stored: number, height, width; of several sets in one call."""
AlphaBytes = UInt8[np.ndarray, "_ _ _"]
"""The subject's alpha, 0 to 255, likewise."""
Translate = Callable[[RgbBytes], Float32[np.ndarray, "_ _ _ 3"]]
"""A model: pictures in, pictures in [0, 1] of the same shape out."""

INPUT, TRUE_LENS, SEGMENTER = "input", "true_lens", "segmenter"
"""Methods that are no attempt: doing nothing, the known truth, and whoever made the masks."""
BASELINES = ("average_5x5", "gaussian_9x9", "gaussian_matched")
"""The study's smoothing, and a Gaussian as wide as domain B is soft; each is judged with the subject pasted back."""

Blurs = dict[str, Callable[[Rgb], Rgb]]
STUDY_BLURS: Blurs = {"average_5x5": average_5x5, "gaussian_9x9": gaussian_9x9}

BATCH = 16
MATCHED_PICTURES = 48
"""Pictures of each domain by which the width of the matched Gaussian is found."""


class Photos(Protocol):
    """Photos of one size with the alpha of their subject, read from the shards as they are needed."""

    @property
    def ids(self) -> Sequence[str]:
        """Photo ids, in the order in which `batch` counts."""
        ...

    def batch(self, indices: np.ndarray) -> tuple[RgbBytes, AlphaBytes]:
        """The photos at these indices."""
        ...


@dataclass(frozen=True)
class View:
    """A batch at the judged size: the model's input, the mask, and what needs no model."""

    rgb: RgbBytes
    mask: Mask
    outputs: dict[str, Rgb]

    @classmethod
    def of(cls, rgb: RgbBytes, alpha: AlphaBytes, judged_px: int, blurs: Blurs) -> "View":
        """The input and what the blurs make of it. Raises `DatasetError` where sizes do not fit."""
        if rgb.shape[:3] != alpha.shape:
            raise DatasetError(f"pictures {rgb.shape[:3]} and masks {alpha.shape} differ (number, height, width)")
        if judged_px > rgb.shape[1]:
            raise DatasetError(f"the model works at {judged_px} px, the pictures have {rgb.shape[1]}; prepare larger ones")
        judged = scaled(rgb, judged_px)
        smoothed = {name: unit(scaled(_pasted(blur, rgb, alpha), judged_px)) for name, blur in blurs.items()}
        return cls(judged, unit_mask(scaled(alpha, judged_px)), {INPUT: unit(judged), **smoothed})

    @property
    def input(self) -> Rgb:
        """The picture as it is."""
        return self.outputs[INPUT]


@dataclass(frozen=True)
class Regions:
    """Where a batch is scored: clear of the subject's edge on either side."""

    subject: Region
    background: Region

    @classmethod
    def of(cls, mask: Mask) -> "Regions":
        """By the mask and the margin that belongs to its size."""
        margin = metrics.margin_px(mask.shape[1])
        return cls(metrics.subject_region(mask, margin), metrics.background_region(mask, margin))


def blurs_of(sigma_px: float | None) -> Blurs:
    """The baselines' blurs, the matched one where its width is known."""
    if sigma_px is None:
        return STUDY_BLURS
    return {**STUDY_BLURS, "gaussian_matched": partial(gaussian, sigma_px=sigma_px)}


def fitting_sigma_px(photos: Photos, shallow: Photos | None, judged_px: int) -> float | None:
    """Width, at the stored size, of the Gaussian that makes the photos' backgrounds as soft as those of domain B when
    they are judged; None without pictures of either."""
    if shallow is None or not len(shallow.ids) or not len(photos.ids):
        return None
    rgb, alpha = photos.batch(spread(len(photos.ids), MATCHED_PICTURES))
    rgb_b, mask_b = (np.concatenate(parts) for parts in zip(*judged(shallow, judged_px, MATCHED_PICTURES), strict=True))
    mask = unit_mask(scaled(alpha, judged_px))
    try:
        return matched_sigma_px(unit(rgb), mask, rgb_b, mask_b, lambda blurred: unit(scaled(to_bytes(blurred), judged_px)))
    except ValueError:
        return None


def spread(count: int, most: int) -> np.ndarray:
    """At most so many of `count` indices, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)) if count else np.empty(0, int)


def judged(photos: Photos, judged_px: int, most: int) -> Iterator[tuple[Rgb, Mask]]:
    """At most so many of the photos, spread evenly, at the judged size, batch by batch."""
    indices = spread(len(photos.ids), most)
    for part in batches(len(indices)):
        rgb, alpha = photos.batch(indices[part])
        yield unit(scaled(rgb, judged_px)), unit_mask(scaled(alpha, judged_px))


def batches(count: int) -> Iterator[slice]:
    """Slices of `BATCH` that cover the count."""
    return (slice(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def scaled(pictures: np.ndarray, side_px: int) -> np.ndarray:
    """Squares of uint8 to `side_px` by Lanczos."""
    if pictures.shape[1] == side_px:
        return pictures
    size = (side_px, side_px)
    return np.stack([np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)) for picture in pictures])


def unit(rgb: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [0, 1]."""
    return rgb.astype(np.float32) / np.float32(255.0)


def unit_mask(alpha: np.ndarray) -> np.ndarray:
    """uint8 [batch, height, width] to a `Mask`."""
    return unit(alpha)[..., None]


def to_bytes(unit: np.ndarray) -> np.ndarray:
    """[0, 1] to uint8, rounded."""
    return np.round(unit * 255.0).astype(np.uint8)


def hard(mask: Mask) -> Mask:
    """The mask cut to 0 and 1, as the study's were."""
    return (mask >= metrics.SUBJECT_LEVEL).astype(np.float32)


def _pasted(blur: Callable[[Rgb], Rgb], rgb: RgbBytes, alpha: AlphaBytes) -> RgbBytes:
    """A baseline at the stored size."""
    image = unit(rgb)
    return to_bytes(paste_subject(blur(image), image, hard(unit_mask(alpha))))

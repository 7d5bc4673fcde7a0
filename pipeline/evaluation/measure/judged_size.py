"""What is judged, at the size at which it is judged: pictures, masks, regions, and what the baselines make of them.

Pictures come at the size in which they are stored. The baselines smooth them there, as the study did; then input,
baselines, masks and truth are scaled down to `judged_px` by the filter of `pipeline.squares`, as training scales pictures.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Protocol

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from pipeline import regions
from pipeline.errors import DatasetError
from pipeline.evaluation.measure.baselines import (
    Baseline,
    OfWidth,
    average_5x5,
    discs_held,
    fitting_width,
    gaussian_9x9,
    gaussians,
    pasted,
)
from pipeline.evaluation.measure.metrics import Rgb
from pipeline.regions import Mask, Region
from pipeline.softness import STRONG_SIDE_PX, TELLING_SIDE_PX, Misfit, Softness, softness, telling
from pipeline.squares import scaled, spread, unit

RgbBytes = UInt8[np.ndarray, "_ _ _ 3"]
"""Squares of sRGB, 0 to 255, as they are stored: number, height, width; of several sets in one call."""
AlphaBytes = UInt8[np.ndarray, "_ _ _"]
"""The subject's alpha, 0 to 255, likewise."""
Translate = Callable[[RgbBytes, AlphaBytes], Float32[np.ndarray, "_ _ _ 3"]]
"""A model: pictures and their subjects' alpha in, pictures in [0, 1] of the same shape out."""

INPUT, TRUE_LENS, SEGMENTER = "input", "true_lens", "segmenter"
"""Methods that are no attempt: doing nothing, the known truth, and whoever made the masks."""
BASELINES = ("average_5x5", "gaussian_9x9", "gaussian_matched", "disc_matched")
"""The study's smoothing, and a Gaussian and a disc as wide as domain B is soft; all leave the subject as it is."""

Blurs = Mapping[str, Baseline]
Widths = Mapping[str, float]
"""Of the matched baselines, in pixels of the stored size."""
STUDY_BLURS: Blurs = {"average_5x5": pasted(average_5x5), "gaussian_9x9": pasted(gaussian_9x9)}
MATCHED: Mapping[str, Callable[[Rgb, Mask], OfWidth]] = {"gaussian_matched": gaussians, "disc_matched": discs_held}

BATCH = 16
MATCHED_PICTURES, MATCHED_AGAINST = 32, 200
"""Pictures of A by which the widths of the matched baselines are found, and of B that they are held against."""


class Photos(Protocol):
    """Photos of one size with the alpha of their subject, read from the shards as they are needed."""

    @property
    def ids(self) -> Sequence[str]:
        """Photo ids, in the order in which `batch` counts."""
        ...

    def batch(self, indices: np.ndarray) -> tuple[RgbBytes, AlphaBytes]:
        """The photos at these indices."""
        ...


class Given(Protocol):
    """What a method from outside gives, for the pictures of which it gives anything."""

    @property
    def ids(self) -> Set[str]:
        """Of which photos and scenes it gives a picture."""
        ...

    def at(self, ids: Sequence[str], size_px: int) -> Rgb:
        """Its pictures of these, in [0, 1], scaled to this side."""
        ...


@dataclass(frozen=True)
class View:
    """A batch at the judged size: the model's input, the mask, and what needs no model."""

    rgb: RgbBytes
    alpha: AlphaBytes
    outputs: dict[str, Rgb]

    @classmethod
    def of(cls, rgb: RgbBytes, alpha: AlphaBytes, judged_px: int, blurs: Blurs) -> "View":
        """The input and what the blurs make of it. Raises `DatasetError` where sizes do not fit."""
        if rgb.shape[:3] != alpha.shape:
            raise DatasetError(f"pictures {rgb.shape[:3]} and masks {alpha.shape} differ (number, height, width)")
        if judged_px > rgb.shape[1]:
            raise DatasetError(f"the model works at {judged_px} px, the pictures have {rgb.shape[1]}; prepare larger ones")
        judged, image, mask = scaled(rgb, judged_px), unit(rgb), unit_mask(alpha)
        if not blurs:
            return cls(judged, scaled(alpha, judged_px), {INPUT: unit(judged)})
        with one_core_each() as pool:
            smoothed = {name: pool.map(partial(_smoothed, blur, judged_px), image, mask) for name, blur in blurs.items()}
            outputs = {name: np.stack([*pictures]) for name, pictures in smoothed.items()}
        return cls(judged, scaled(alpha, judged_px), {INPUT: unit(judged), **outputs})

    def at(self, size_px: int) -> "View":
        """The same at a smaller size."""
        outputs = {name: scaled_unit(output, size_px) for name, output in self.outputs.items()}
        return View(scaled(self.rgb, size_px), scaled(self.alpha, size_px), outputs)

    @property
    def mask(self) -> Mask:
        """The alpha in [0, 1]."""
        return unit_mask(self.alpha)

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
        margin = regions.margin_px(mask.shape[1])
        return cls(regions.subject_region(mask, margin), regions.background_region(mask, margin))


def blurs_of(widths: Widths) -> Blurs:
    """The baselines, the matched ones where their widths are known."""
    return {**STUDY_BLURS, **{name: partial(_matched, name, width) for name, width in widths.items()}}


def _matched(name: str, width_px: float, image: Rgb, mask: Mask) -> Rgb:
    return MATCHED[name](image, mask)(width_px)


def _smoothed(blur: Baseline, judged_px: int, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What a blur makes of one picture."""
    return scaled_unit(blur(picture[None], mask[None]), judged_px)[0]


def softness_px(ordinary: Photos | None, shallow: Photos | None, judged_px: int) -> int:
    """The size at which the softness of backgrounds is measured: of the model's own and two others, as far as pictures are
    stored so large, that at which the training pictures tell the domains apart best. Photographs do when large, since their
    blur is weak; pictures with a strong blur and noise when small."""
    if ordinary is None or shallow is None or not len(ordinary.ids) or not len(shallow.ids):
        return judged_px
    stored_px = ordinary.batch(np.arange(1))[0].shape[1]
    sizes_px = dict.fromkeys((judged_px, *(size for size in (TELLING_SIDE_PX, STRONG_SIDE_PX) if size <= stored_px)))
    return max(sizes_px, key=lambda size_px: telling(*(softness_at(part, size_px) for part in (ordinary, shallow))))


def softness_at(photos: Photos, size_px: int, most: int = MATCHED_AGAINST) -> Softness:
    """That of at most so many of the photos, at this size."""
    return reduce(add, (softness(*pair) for pair in judged(photos, size_px, most)), Softness.none())


def fitting_widths(ordinary: Photos | None, shallow: Photos | None, measured_px: int) -> Widths:
    """Widths, at the stored size, at which the matched baselines make pictures of A most like B in both measures of
    softness, at the size at which they are measured; none where the domains do not differ, or there are no pictures.
    """
    if ordinary is None or shallow is None or not len(ordinary.ids) or not len(shallow.ids):
        return {}
    rgb, alpha = ordinary.batch(spread(len(ordinary.ids), MATCHED_PICTURES))
    image, mask, measured_mask = unit(rgb), unit_mask(alpha), unit_mask(scaled(alpha, measured_px))
    before = softness(unit(scaled(rgb, measured_px)), measured_mask)
    misfit = Misfit(before, softness_at(shallow, measured_px))
    if not misfit(before):
        return {}

    def one_picture(width_px: float, blurred: OfWidth, mask: np.ndarray) -> Softness:
        return softness(scaled_unit(blurred(width_px), measured_px), mask[None], flat_too=True)

    def of_width(pictures: Sequence[OfWidth], width_px: float) -> float:
        return misfit(reduce(add, pool.map(partial(one_picture, width_px), pictures, measured_mask)))

    found = {}
    with one_core_each() as pool:
        for name, blurs in MATCHED.items():
            pictures = [blurs(image[index : index + 1], mask[index : index + 1]) for index in range(len(image))]
            found[name] = fitting_width(partial(of_width, pictures), rgb.shape[1])
    return found


@contextmanager
def one_core_each() -> Iterator[Executor]:
    """As many threads as there are cores, for one picture after the other; in each of them torch keeps to one core."""
    with one_core(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield pool


@contextmanager
def one_core(alone: bool = True) -> Iterator[None]:
    """Meanwhile torch keeps to one core, if it is to be `alone`.

    Small pictures gain little by another, whose thread waits long for its share where other programs run too.
    """
    # torch takes seconds to import, and reports do without.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if alone else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def judged(photos: Photos, judged_px: int, most: int) -> Iterator[tuple[Rgb, Mask]]:
    """At most so many of the photos, spread evenly, at the judged size, batch by batch."""
    indices = spread(len(photos.ids), most)
    for part in batches(len(indices)):
        rgb, alpha = photos.batch(indices[part])
        yield unit(scaled(rgb, judged_px)), unit_mask(scaled(alpha, judged_px))


def batches(count: int) -> Iterator[slice]:
    """Slices of `BATCH` that cover the count."""
    return (slice(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def unit_mask(alpha: np.ndarray) -> np.ndarray:
    """uint8 [batch, height, width] to a `Mask`."""
    return unit(alpha)[..., None]


def scaled_unit(images: Rgb, side_px: int) -> Rgb:
    """Squares of float in [0, 1] to `side_px` by Lanczos, not rounded."""
    if images.shape[1] == side_px:
        return images
    size, lanczos = (side_px, side_px), Image.Resampling.LANCZOS
    planes = np.moveaxis(np.asarray(images, np.float32), 3, 1)
    resized = [[np.asarray(Image.fromarray(plane).resize(size, lanczos)) for plane in one] for one in planes]
    return np.clip(np.moveaxis(np.array(resized), 1, 3), 0.0, 1.0)


def to_bytes(unit: np.ndarray) -> np.ndarray:
    """[0, 1] to uint8, rounded."""
    return np.round(unit * 255.0).astype(np.uint8)


def hard(mask: Mask) -> Mask:
    """The mask cut to 0 and 1, as the study's were."""
    return (mask >= regions.SUBJECT_LEVEL).astype(np.float32)

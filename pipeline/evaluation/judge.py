"""Judging a model and the baselines on the same pictures, at the model's own size.

Pictures come at the size in which they are stored. The baselines smooth them there, as the study did; then
input, baselines, masks and truth are scaled down to `judged_px` by Lanczos, the filter by which training scales
pictures down, and everything is compared at that size.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
from jaxtyping import Float32, UInt8
from PIL import Image

from pipeline.errors import DatasetError
from pipeline.evaluation import faults, metrics
from pipeline.evaluation.baselines import average_5x5, gaussian, gaussian_9x9, matched_sigma_px, paste_subject
from pipeline.evaluation.distribution import kid_interval, precision_recall
from pipeline.evaluation.metrics import Mask, Region, Rgb
from pipeline.evaluation.pictures import PictureWriter, picture_folder, shown
from pipeline.evaluation.scenes import Scenes, TrueMasks
from pipeline.tables import conform

if TYPE_CHECKING:
    from pipeline.evaluation.perceptual import Look, PerceptualNetwork

logger = logging.getLogger(__name__)

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

TEST_SET = "set:test"
"""Stands in for a photo id where a score is of the whole test set."""
BATCH = 16
MATCHED_PICTURES = 48
"""Pictures of each domain by which the width of the matched Gaussian is found."""
MAX_REFERENCE_PICTURES = 2000
MIN_SET = 10
"""Smaller sets say nothing about a distribution."""
NEUTRAL = 0.5
"""Grey that stands for the subject where backgrounds alone are compared."""
SHOWN_PHOTOS, SHOWN_SCENES = 12, 6
FLAT_RANGE = 2 / 255
"""A picture whose values span less than this shows nothing."""
RANGE_TOLERANCE = 1e-3


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
class Yardstick:
    """What methods are measured against beside their input: pictures of domain B, and a network that looks."""

    shallow: Photos | None = None
    network: "PerceptualNetwork | None" = None


def judge_model(
    model: str,
    translate: Translate,
    judged_px: int,
    photos: Photos,
    pictures: Path,
    scenes: tuple[Scenes, AlphaBytes] | None = None,
    known_masks: tuple[TrueMasks, AlphaBytes] | None = None,
    yardstick: Yardstick | None = None,
) -> pd.DataFrame:
    """The table `evaluation` of one model, and the folder `pictures` with its side-by-side pictures.

    `model` names it in the column `method`, like `cyclegan@0`. With `scenes` and `known_masks` comes the alpha
    that the segmenter gave for them. Raises `DatasetError` for what cannot be judged.
    """
    yardstick = yardstick or Yardstick()
    blurs = _blurs(photos, yardstick.shallow)
    with picture_folder(pictures) as writer:
        tables = [judge_photos(model, translate, judged_px, photos, writer, yardstick, blurs)]
        if scenes is not None:
            tables += [judge_scenes(model, translate, judged_px, *scenes, writer, yardstick.network, blurs)]
            tables += [judge_masks(scenes[0].ids, scenes[1], scenes[0].mask)]
        if known_masks is not None:
            tables += [judge_masks(known_masks[0].photo_ids, known_masks[1], known_masks[0].masks)]
    return conform("evaluation", pd.concat(tables, ignore_index=True))


def judge_photos(
    model: str,
    translate: Translate,
    judged_px: int,
    photos: Photos,
    pictures: PictureWriter | None = None,
    yardstick: Yardstick | None = None,
    blurs: Blurs | None = None,
) -> pd.DataFrame:
    """Every method on every photo, against the input, and against domain B as a whole.

    Scores of photos are those of `PHOTO_METRICS` and `FAULT_METRICS` in `summary`; null where a photo has no subject
    or no background left. With a network come LPIPS and, with pictures of domain B too, the test set's scores under
    the id `TEST_SET`. Raises `DatasetError` without photos, or when the model's output is unusable.
    """
    if not len(photos.ids):
        raise DatasetError("the snapshot's test split has no photos to judge by; raise `test_share` under [dataset]")
    yardstick = yardstick or Yardstick()
    chosen, rows, looks = shown(photos.ids, SHOWN_PHOTOS), [], _SetLooks(yardstick)
    for part in _batches(len(photos.ids)):
        ids = photos.ids[part]
        view = _View.of(*photos.batch(np.arange(part.start, part.stop)), judged_px, blurs or STUDY_BLURS)
        regions = _Regions.of(view.mask)
        outputs = {**view.outputs, model: _translated(translate, view, model, ids)}
        before = yardstick.network.look(view.outputs[INPUT]) if yardstick.network else None
        for method, output in outputs.items():
            scores = _photo_scores(output, view, regions)
            if yardstick.network is not None and before is not None:
                look = yardstick.network.look(output)
                scores["subject_lpips"] = yardstick.network.distance(look, before, regions.subject)
                looks.add(method, output, view.mask, look)
            rows.append(_rows(ids, method, scores, _flat(output, view)))
        _write(pictures, chosen, ids, outputs, view, model)
    return pd.concat([_table(rows, model), looks.table(judged_px)], ignore_index=True)


def judge_scenes(
    model: str,
    translate: Translate,
    judged_px: int,
    scenes: Scenes,
    alpha: AlphaBytes,
    pictures: PictureWriter | None = None,
    network: "PerceptualNetwork | None" = None,
    blurs: Blurs | None = None,
) -> pd.DataFrame:
    """Errors of every method against the picture through the true lens.

    Regions come from the true mask; the baselines paste by `alpha`, the segmenter's, as they would have to on
    a photo. Metrics: those of `SCENE_METRICS` in `summary` (of the true lens too); LPIPS with a network.
    """
    chosen, rows = shown(scenes.ids, SHOWN_SCENES), []
    for part in _batches(len(scenes.names)):
        ids = scenes.ids[part]
        view = _View.of(scenes.sharp[part], alpha[part], judged_px, blurs or STUDY_BLURS)
        regions = _Regions.of(_unit_mask(_scaled(scenes.mask[part], judged_px)))
        truth = _unit(_scaled(scenes.shallow[part], judged_px))
        outputs = {**view.outputs, model: _translated(translate, view, model, ids), TRUE_LENS: truth}
        true_look = network.look(truth) if network else None
        for method, output in outputs.items():
            scores = _truth_scores(output, truth, view, regions)
            if network is not None and true_look is not None:
                scores["truth_lpips"] = network.distance(network.look(output), true_look)
            rows.append(_rows(ids, method, scores, _flat(output, view)))
        _write(pictures, chosen, ids, outputs, view, model)
    return _table(rows, model)


def judge_masks(ids: Sequence[str], alpha: AlphaBytes, truth: AlphaBytes) -> pd.DataFrame:
    """Metric `mask_iou` of the method `segmenter`: its masks against the true ones, at the stored size."""
    if not len(ids) == len(alpha) == len(truth) or alpha.shape != truth.shape:
        raise DatasetError(f"{len(ids)} masks to compare: {alpha.shape} and {truth.shape} (number, height, width) differ")
    iou = [metrics.mask_iou(_unit_mask(alpha[part]), _unit_mask(truth[part])) for part in _batches(len(ids))]
    values = np.concatenate(iou) if iou else np.empty(0)
    return pd.DataFrame({"photo_id": list(ids), "method": SEGMENTER, "metric": "mask_iou", "value": values})


class _SetLooks:
    """Features of each method's outputs, in full and with the subject greyed out, against those of domain B."""

    def __init__(self, yardstick: Yardstick) -> None:
        self._yardstick = yardstick
        self._full: dict[str, list[np.ndarray]] = {}
        self._backgrounds: dict[str, list[np.ndarray]] = {}

    def add(self, method: str, output: Rgb, mask: Mask, look: "Look") -> None:
        """Take note of a batch of a method's outputs."""
        if self._yardstick.network is None or self._yardstick.shallow is None:
            return
        self._full.setdefault(method, []).append(look.features)
        background = self._yardstick.network.look(_greyed(output, mask)).features
        self._backgrounds.setdefault(method, []).append(background)

    def table(self, judged_px: int) -> pd.DataFrame:
        """Rows of the test set: kernel distance with its interval, precision and recall, each in full and without
        the subjects; none where the sets are too small."""
        network, shallow = self._yardstick.network, self._yardstick.shallow
        rows: list[tuple[str, str, float]] = []
        if network is None or shallow is None or min(len(shallow.ids), _count(self._full)) < MIN_SET:
            return pd.DataFrame(columns=["photo_id", "method", "metric", "value"])
        real = [
            (network.look(rgb).features, network.look(_greyed(rgb, mask)).features)
            for rgb, mask in _judged(shallow, judged_px, MAX_REFERENCE_PICTURES)
        ]
        for prefix, fakes, place in (("", self._full, 0), ("background_", self._backgrounds, 1)):
            reference = np.concatenate([pair[place] for pair in real])
            for method, parts in fakes.items():
                distance = kid_interval(reference, np.concatenate(parts))
                precision, recall = precision_recall(reference, np.concatenate(parts))
                scores = {"kid": distance.value, "kid_low": distance.low, "kid_high": distance.high}
                scores |= {"precision": precision, "recall": recall}
                rows += [(method, prefix + name, value) for name, value in scores.items()]
        table = pd.DataFrame(rows, columns=["method", "metric", "value"])
        return table.assign(photo_id=TEST_SET)


def _count(fakes: dict[str, list[np.ndarray]]) -> int:
    return sum(len(part) for part in next(iter(fakes.values()), []))


def _greyed(image: Rgb, mask: Mask) -> Rgb:
    """The subject under neutral grey."""
    return np.where(mask >= metrics.SUBJECT_LEVEL, np.float32(NEUTRAL), image)


def _judged(photos: Photos, judged_px: int, most: int) -> Iterator[tuple[Rgb, Mask]]:
    """At most so many of the photos, spread evenly, at the judged size, batch by batch."""
    indices = np.unique(np.linspace(0, len(photos.ids) - 1, min(most, len(photos.ids))).astype(int))
    for part in _batches(len(indices)):
        rgb, alpha = photos.batch(indices[part])
        yield _unit(_scaled(rgb, judged_px)), _unit_mask(_scaled(alpha, judged_px))


def _blurs(photos: Photos, shallow: Photos | None) -> Blurs:
    """The baselines' blurs, the matched one where there are pictures of domain B to match."""
    if shallow is None or not len(shallow.ids) or not len(photos.ids):
        return STUDY_BLURS
    first, second = (_stored(part, MATCHED_PICTURES) for part in (photos, shallow))
    try:
        sigma_px = matched_sigma_px(*first, *second)
    except ValueError:
        return STUDY_BLURS
    return {**STUDY_BLURS, "gaussian_matched": partial(gaussian, sigma_px=sigma_px)}


def _stored(photos: Photos, most: int) -> tuple[Rgb, Mask]:
    indices = np.unique(np.linspace(0, len(photos.ids) - 1, min(most, len(photos.ids))).astype(int))
    rgb, alpha = photos.batch(indices)
    return _unit(rgb), _unit_mask(alpha)


@dataclass(frozen=True)
class _View:
    """A batch at the judged size: the model's input, the mask, and what needs no model."""

    rgb: RgbBytes
    mask: Mask
    outputs: dict[str, Rgb]

    @classmethod
    def of(cls, rgb: RgbBytes, alpha: AlphaBytes, judged_px: int, blurs: Blurs) -> "_View":
        if rgb.shape[:3] != alpha.shape:
            raise DatasetError(f"pictures {rgb.shape[:3]} and masks {alpha.shape} differ (number, height, width)")
        if judged_px > rgb.shape[1]:
            raise DatasetError(f"the model works at {judged_px} px, the pictures have {rgb.shape[1]}; prepare larger ones")
        judged = _scaled(rgb, judged_px)
        smoothed = {name: _unit(_scaled(_pasted(blur, rgb, alpha), judged_px)) for name, blur in blurs.items()}
        return cls(judged, _unit_mask(_scaled(alpha, judged_px)), {INPUT: _unit(judged), **smoothed})


def _pasted(blur: Callable[[Rgb], Rgb], rgb: RgbBytes, alpha: AlphaBytes) -> RgbBytes:
    """A baseline at the stored size; the mask is cut to 0 and 1, as the study's were."""
    image = _unit(rgb)
    mask = (_unit_mask(alpha) >= metrics.SUBJECT_LEVEL).astype(image.dtype)
    return _bytes(paste_subject(blur(image), image, mask))


@dataclass(frozen=True)
class _Regions:
    """Where a batch is scored: clear of the subject's edge on either side."""

    subject: Region
    background: Region

    @classmethod
    def of(cls, mask: Mask) -> "_Regions":
        margin = metrics.margin_px(mask.shape[1])
        return cls(metrics.subject_region(mask, margin), metrics.background_region(mask, margin))


def _photo_scores(output: Rgb, view: _View, regions: _Regions) -> dict[str, np.ndarray]:
    before = view.outputs[INPUT]
    return {
        "subject_l1": metrics.l1(output, before, regions.subject),
        "subject_psnr_db": metrics.psnr_db(output, before, regions.subject),
        "subject_ssim": metrics.ssim(output, before, regions.subject),
        "subject_colour_shift": faults.colour_shift(output, before, regions.subject),
        "background_sharpness": metrics.relative_sharpness(output, before, regions.background),
        "blur_unevenness": faults.blur_unevenness(output, before, regions.background),
        "rim_sharpness": faults.rim_sharpness(output, before, view.mask),
        "leak": faults.leak(output, before, view.mask),
        "imagined": faults.imagined(output, before, regions.background),
        "checkerboard": faults.checkerboard(output) / faults.checkerboard(before),
    }


def _truth_scores(output: Rgb, truth: Rgb, view: _View, regions: _Regions) -> dict[str, np.ndarray]:
    return {
        "truth_background_l1": metrics.l1(output, truth, regions.background),
        "truth_subject_l1": metrics.l1(output, truth, regions.subject),
        "truth_background_psnr_db": metrics.psnr_db(output, truth, regions.background),
        "truth_background_ssim": metrics.ssim(output, truth, regions.background),
        "background_sharpness": metrics.relative_sharpness(output, view.outputs[INPUT], regions.background),
    }


def _translated(translate: Translate, view: _View, model: str, ids: Sequence[str]) -> Rgb:
    """The model's output, refused when it is no picture."""
    output = np.asarray(translate(view.rgb))
    if output.shape != view.rgb.shape:
        raise DatasetError(f"{model}: gave an output of shape {output.shape} for pictures of shape {view.rgb.shape}")
    broken = ~np.isfinite(output).all(axis=(1, 2, 3))
    if broken.any():
        raise DatasetError(
            f"{model}: the output has NaN or infinite pixels in {broken.sum()} of {len(ids)} pictures, first in "
            f"{ids[int(broken.argmax())]}; its weights are broken: look at its losses and train it again"
        )
    if output.min() < -RANGE_TOLERANCE or output.max() > 1 + RANGE_TOLERANCE:
        raise DatasetError(f"{model}: the output reaches from {output.min():.3f} to {output.max():.3f} instead of 0 to 1")
    return np.clip(output, 0.0, 1.0)


def _flat(output: Rgb, view: _View) -> np.ndarray:
    """Which outputs show nothing although their input does."""
    return (_span(output) < FLAT_RANGE) & (_span(view.outputs[INPUT]) >= FLAT_RANGE)


def _span(pictures: Rgb) -> np.ndarray:
    return np.ptp(pictures.reshape(len(pictures), -1, 3), axis=1).max(axis=1)


def _rows(ids: Sequence[str], method: str, scores: dict[str, np.ndarray], flat: np.ndarray) -> pd.DataFrame:
    """Long rows; an output that shows nothing has the metric `flat_output` and no scores, which would look good."""
    values = {name: np.where(flat, np.nan, score) for name, score in scores.items()}
    wide = pd.DataFrame({"photo_id": list(ids), "method": method, **values})
    long = wide.melt(["photo_id", "method"], var_name="metric")
    marks = pd.DataFrame({"photo_id": np.asarray(ids)[flat], "method": method, "metric": "flat_output", "value": 1.0})
    return pd.concat([long, marks], ignore_index=True) if flat.any() else long


def _table(rows: list[pd.DataFrame], model: str) -> pd.DataFrame:
    table = pd.concat(rows, ignore_index=True)
    own = table[table["method"] == model]
    flat, judged = (own["metric"] == "flat_output").sum(), own["photo_id"].nunique()
    if flat == judged:
        raise DatasetError(f"{model}: all {judged} outputs are of one colour; look at its losses and train it again")
    if flat:
        logger.warning("%s: %d of %d outputs are of one colour and are not scored", model, flat, judged)
    return table


def _write(
    pictures: PictureWriter | None, chosen: set[str], ids: Sequence[str], outputs: dict[str, Rgb], view: _View, model: str
) -> None:
    if pictures is None:
        return
    for index, photo_id in enumerate(ids):
        if photo_id in chosen:
            pictures.add(photo_id, "mask", _bytes(view.mask[index, :, :, 0]))
            for method, output in outputs.items():
                pictures.add(photo_id, "model" if method == model else method, _bytes(output[index]))


def _batches(count: int) -> Iterator[slice]:
    return (slice(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def _scaled(pictures: np.ndarray, side_px: int) -> np.ndarray:
    """Squares of uint8 to `side_px` by Lanczos."""
    if pictures.shape[1] == side_px:
        return pictures
    size = (side_px, side_px)
    return np.stack([np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)) for picture in pictures])


def _unit(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.float32) / 255.0


def _unit_mask(alpha: np.ndarray) -> np.ndarray:
    return _unit(alpha)[..., None]


def _bytes(unit: np.ndarray) -> np.ndarray:
    return np.round(unit * 255.0).astype(np.uint8)

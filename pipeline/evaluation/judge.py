"""Judging a model and the baselines on the same pictures, at the model's own size.

Pictures come at the size in which they are stored. The baselines smooth them there, as the study did; then
input, baselines, masks and truth are scaled down to `judged_px` by Lanczos, the filter by which training scales
pictures down, and everything is compared at that size.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32, UInt8
from PIL import Image

from pipeline.errors import DatasetError
from pipeline.evaluation import metrics
from pipeline.evaluation.baselines import average_5x5, gaussian_9x9, paste_subject
from pipeline.evaluation.metrics import Mask, Region, Rgb
from pipeline.evaluation.pictures import PictureWriter, picture_folder, shown
from pipeline.evaluation.scenes import Scenes, TrueMasks
from pipeline.tables import conform

logger = logging.getLogger(__name__)

RgbBytes = UInt8[np.ndarray, "_ _ _ 3"]
"""Squares of sRGB, 0 to 255, as they are stored: number, height, width; of several sets in one call."""
AlphaBytes = UInt8[np.ndarray, "_ _ _"]
"""The subject's alpha, 0 to 255, likewise."""
Translate = Callable[[RgbBytes], Float32[np.ndarray, "_ _ _ 3"]]
"""A model: pictures in, pictures in [0, 1] of the same shape out."""

INPUT, TRUE_LENS, SEGMENTER = "input", "true_lens", "segmenter"
"""Methods that are no attempt: doing nothing, the known truth, and whoever made the masks."""
BASELINES: dict[str, Callable[[Rgb], Rgb]] = {"average_5x5": average_5x5, "gaussian_9x9": gaussian_9x9}
"""The study's smoothing; each is judged with the subject pasted back."""

BATCH = 16
SHOWN_PHOTOS, SHOWN_SCENES = 12, 6
FLAT_RANGE = 2 / 255
"""A picture whose values span less than this shows nothing."""
RANGE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Photos:
    """Photos of one size with the alpha of their subject, as they lie in the shards."""

    ids: Sequence[str]
    rgb: RgbBytes
    alpha: AlphaBytes


def judge_model(
    model: str,
    translate: Translate,
    judged_px: int,
    photos: Photos,
    pictures: Path,
    scenes: tuple[Scenes, AlphaBytes] | None = None,
    known_masks: tuple[TrueMasks, AlphaBytes] | None = None,
) -> pd.DataFrame:
    """The table `evaluation` of one model, and the folder `pictures` with its side-by-side pictures.

    `model` names it in the column `method`, like `cyclegan@0`. With `scenes` and `known_masks` comes the alpha
    that the segmenter gave for them. Raises `DatasetError` for what cannot be judged.
    """
    with picture_folder(pictures) as writer:
        tables = [judge_photos(model, translate, judged_px, photos, writer)]
        if scenes is not None:
            tables += [judge_scenes(model, translate, judged_px, *scenes, writer)]
            tables += [judge_masks(scenes[0].ids, scenes[1], scenes[0].mask)]
        if known_masks is not None:
            tables += [judge_masks(known_masks[0].photo_ids, known_masks[1], known_masks[0].masks)]
    return conform("evaluation", pd.concat(tables, ignore_index=True))


def judge_photos(
    model: str, translate: Translate, judged_px: int, photos: Photos, pictures: PictureWriter | None = None
) -> pd.DataFrame:
    """Subject preservation and background sharpness of every method on every photo, against the input.

    Metrics: `subject_l1`, `subject_psnr_db`, `subject_ssim`, `background_sharpness`; null where a photo has no
    subject or no background left. Raises `DatasetError` without photos, or when the model's output is unusable.
    """
    if not len(photos.ids):
        raise DatasetError("the snapshot's test split has no photos to judge by; raise `test_share` under [dataset]")
    chosen, rows = shown(photos.ids, SHOWN_PHOTOS), []
    for part in _batches(len(photos.ids)):
        ids = photos.ids[part]
        view = _View.of(photos.rgb[part], photos.alpha[part], judged_px)
        regions = _Regions.of(view.mask)
        outputs = {**view.outputs, model: _translated(translate, view, model, ids)}
        for method, output in outputs.items():
            rows.append(_rows(ids, method, _photo_scores(output, view, regions), _flat(output, view)))
        _write(pictures, chosen, ids, outputs, view, model)
    return _table(rows, model)


def judge_scenes(
    model: str,
    translate: Translate,
    judged_px: int,
    scenes: Scenes,
    alpha: AlphaBytes,
    pictures: PictureWriter | None = None,
) -> pd.DataFrame:
    """Errors of every method against the picture through the true lens.

    Regions come from the true mask; the baselines paste by `alpha`, the segmenter's, as they would have to on
    a photo. Metrics: `truth_background_l1`, `truth_subject_l1`, `background_sharpness` (of the true lens too).
    """
    chosen, rows = shown(scenes.ids, SHOWN_SCENES), []
    for part in _batches(len(scenes.names)):
        ids = scenes.ids[part]
        view = _View.of(scenes.sharp[part], alpha[part], judged_px)
        regions = _Regions.of(_unit_mask(_scaled(scenes.mask[part], judged_px)))
        truth = _unit(_scaled(scenes.shallow[part], judged_px))
        outputs = {**view.outputs, model: _translated(translate, view, model, ids), TRUE_LENS: truth}
        for method, output in outputs.items():
            rows.append(_rows(ids, method, _truth_scores(output, truth, view, regions), _flat(output, view)))
        _write(pictures, chosen, ids, outputs, view, model)
    return _table(rows, model)


def judge_masks(ids: Sequence[str], alpha: AlphaBytes, truth: AlphaBytes) -> pd.DataFrame:
    """Metric `mask_iou` of the method `segmenter`: its masks against the true ones, at the stored size."""
    if not len(ids) == len(alpha) == len(truth) or alpha.shape != truth.shape:
        raise DatasetError(f"{len(ids)} masks to compare: {alpha.shape} and {truth.shape} (number, height, width) differ")
    iou = [metrics.mask_iou(_unit_mask(alpha[part]), _unit_mask(truth[part])) for part in _batches(len(ids))]
    values = np.concatenate(iou) if iou else np.empty(0)
    return pd.DataFrame({"photo_id": list(ids), "method": SEGMENTER, "metric": "mask_iou", "value": values})


@dataclass(frozen=True)
class _View:
    """A batch at the judged size: the model's input, the mask, and what needs no model."""

    rgb: RgbBytes
    mask: Mask
    outputs: dict[str, Rgb]

    @classmethod
    def of(cls, rgb: RgbBytes, alpha: AlphaBytes, judged_px: int) -> "_View":
        if rgb.shape[:3] != alpha.shape:
            raise DatasetError(f"pictures {rgb.shape[:3]} and masks {alpha.shape} differ (number, height, width)")
        if judged_px > rgb.shape[1]:
            raise DatasetError(f"the model works at {judged_px} px, the pictures have {rgb.shape[1]}; prepare larger ones")
        judged = _scaled(rgb, judged_px)
        smoothed = {name: _unit(_scaled(_pasted(blur, rgb, alpha), judged_px)) for name, blur in BASELINES.items()}
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
        "background_sharpness": metrics.relative_sharpness(output, before, regions.background),
    }


def _truth_scores(output: Rgb, truth: Rgb, view: _View, regions: _Regions) -> dict[str, np.ndarray]:
    return {
        "truth_background_l1": metrics.l1(output, truth, regions.background),
        "truth_subject_l1": metrics.l1(output, truth, regions.subject),
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

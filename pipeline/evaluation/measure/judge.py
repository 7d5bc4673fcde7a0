"""Judging a model and the baselines on the same pictures, at the model's own size.

What needs no model (inputs, baselines, domain B, the truth against itself) is measured by `judge_common`, once for all
models of a snapshot; `judge_model` adds one model to it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import RANGE_TOLERANCE
from pipeline.errors import DatasetError
from pipeline.evaluation.measure import content, faults, metrics
from pipeline.evaluation.measure.baselines import paste_subject
from pipeline.evaluation.measure.judged_size import (
    INPUT,
    SEGMENTER,
    TRUE_LENS,
    AlphaBytes,
    Blurs,
    Given,
    Photos,
    Regions,
    RgbBytes,
    Translate,
    View,
    batches,
    blurs_of,
    fitting_widths,
    hard,
    judged,
    scaled_unit,
    softness_at,
    softness_px,
    to_bytes,
    unit_mask,
)
from pipeline.evaluation.measure.metrics import Region, Rgb
from pipeline.evaluation.measure.scenes import Scenes, TrueMasks
from pipeline.evaluation.measure.set_scores import (
    COLOURS,
    DOMAIN_B,
    INCEPTION,
    INCEPTION_BACKGROUND,
    MIN_SET,
    TEST_SET,
    VGG,
    VGG_BACKGROUND,
    Collected,
    CollectedSoftness,
    greyed,
    ranks,
    reference_count,
    set_scores,
)
from pipeline.evaluation.measure.shared_scores import COLUMNS, Common
from pipeline.evaluation.measure.tiles import PictureWriter, picture_folder, shown
from pipeline.softness import Softness, softness
from pipeline.squares import scaled, unit
from pipeline.tables import conform

if TYPE_CHECKING:
    from pipeline.evaluation.measure.faces import FaceFinder
    from pipeline.evaluation.measure.inception import InceptionFeatures
    from pipeline.evaluation.measure.perceptual import PerceptualNetwork

logger = logging.getLogger(__name__)

MODEL_SET = "set:model"
"""Stands in for a photo id where a score is of the model itself."""
LOOK_PIXELS, MIN_LOOK = 4 * 256 * 256, 4
"""Pixels that the perceptual network sees together, and pictures at least: activations of more do not fit the processor's
caches, and for fewer the weights are read too often."""
SHOWN_PHOTOS, SHOWN_SCENES = 100, 6
FLAT_RANGE = 2 / 255
"""A picture whose values span less than this shows nothing."""

Make = Callable[[View, Sequence[str]], tuple[dict[str, Rgb], dict[str, np.ndarray]]]
"""A batch and its ids to what a method makes of it, by name, and which of that shows nothing."""
Segment = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Pictures, uint8 [height, width, 3], to the alpha of the people in them, uint8 [height, width]."""


@dataclass(frozen=True)
class Yardstick:
    """What methods are measured by beside their input; what is None is not measured.

    `shallow`: pictures of domain B; `ordinary`: of domain A, by which baselines are matched with B, not those that are
    judged. `network`: for LPIPS and features. `segment`, `faces`: see what is left of the
    subject. `inception`: the features of the literature, beside VGG-16's. `parse`: tells classes, for content and colours.
    Without `people` nothing is asked about subjects and backgrounds, and there is nothing to blur.
    """

    shallow: Photos | None = None
    network: "PerceptualNetwork | None" = None
    segment: Segment | None = None
    faces: "FaceFinder | None" = None
    inception: "InceptionFeatures | None" = None
    ordinary: Photos | None = None
    parse: content.Parse | None = None
    people: bool = True


@dataclass(frozen=True)
class Trial:
    """What methods are judged on and by: pictures at one size, and the yardstick.

    With `scenes` and `known_masks` comes the alpha that the segmenter gave for them.
    """

    judged_px: int
    photos: Photos
    scenes: tuple[Scenes, AlphaBytes] | None = None
    known_masks: tuple[TrueMasks, AlphaBytes] | None = None
    yardstick: Yardstick = Yardstick()


@dataclass(frozen=True)
class Overlay:
    """How a recipe lays the real subject over its translations: whether its result has it, and by which mask."""

    on_result: bool
    soft: bool = False

    def variants(self, model: str, raw: Rgb, view: View) -> dict[str, Rgb]:
        """The recipe's result under the model's own name, and what is the other way round."""
        pasted = paste_subject(raw, view.input, view.mask if self.soft else hard(view.mask))
        if self.on_result:
            return {model: pasted, f"{model}-overlay": raw}
        return {model: raw, f"{model}+overlay": pasted}


def judge_model(
    model: str,
    translate: Translate,
    trial: Trial,
    pictures: Path,
    overlay: Overlay | None = None,
    common: Common | None = None,
    extra: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """The table `evaluation` of one model, and the folder `pictures` with its side-by-side pictures.

    `model` names it in the column `method`, like `cyclegan@0`; where its recipe has an `overlay`, the other way is
    judged too, as `MODEL+overlay` or `MODEL-overlay`. `common` is what `judge_common` gave for the same trial; without it
    that is done now. `extra` are scores of the model itself, under the id `MODEL_SET`. Scores of photos are null where one
    has no subject or no background left. Scenes are scored by their true mask, while the baselines and overlays paste by
    the segmenter's, as they would have to on a photo. Raises `DatasetError` for what cannot be judged.
    """
    common = common or judge_common(trial)
    make = partial(_outputs, model, translate, overlay)
    with picture_folder(pictures) as writer:
        tables = [common.scores, *_model_on_trial(model, make, trial, common, writer)]
    rows = [(MODEL_SET, model, name, value) for name, value in (extra or {}).items()]
    return conform("evaluation", _joined([*tables, pd.DataFrame(rows, columns=COLUMNS)]))


def judge_outside(method: str, given: Given, trial: Trial, common: Common) -> pd.DataFrame:
    """Scores of a method from outside, as a model's would be, on what it gives: the trial has no others.

    `common` is that of these photos (`Common.of`). Raises `DatasetError` where all its pictures are of one colour.
    """

    def make(view: View, ids: Sequence[str]) -> tuple[dict[str, Rgb], dict[str, np.ndarray]]:
        made = given.at(ids, view.rgb.shape[1])
        return {method: made}, {method: _flat(made, view)}

    return _joined(list(_model_on_trial(method, make, trial, common, None)))


def _model_on_trial(
    model: str, make: Make, trial: Trial, common: Common, pictures: PictureWriter | None
) -> Iterator[pd.DataFrame]:
    judged_px, yardstick = trial.judged_px, trial.yardstick
    if len(trial.photos.ids):
        yield _model_on_photos(model, make, judged_px, trial.photos, common, yardstick, pictures)
    if trial.scenes is not None and len(trial.scenes[0].names):
        yield _model_on_scenes(model, make, judged_px, trial.scenes, common, yardstick.network, pictures)


def judge_common(trial: Trial) -> Common:
    """Everything that is the same for all models of a trial.

    Raises `DatasetError` without photos, or where sizes do not fit.
    """
    judged_px, photos, yardstick = trial.judged_px, trial.photos, trial.yardstick
    if not len(photos.ids):
        raise DatasetError("the snapshot's test split has no photos to judge by; raise `test_share` under [dataset]")
    if not yardstick.people:
        return _with_photos(Common(pd.DataFrame(columns=COLUMNS), _references(judged_px, len(photos.ids), yardstick)),
                            judged_px, photos, yardstick)  # fmt: skip
    measured_px = softness_px(yardstick.ordinary, yardstick.shallow, judged_px)
    widths = fitting_widths(yardstick.ordinary, yardstick.shallow, measured_px)
    references = _references(judged_px, len(photos.ids), yardstick)
    softness_b = _softness_of_b(measured_px, len(photos.ids), yardstick.shallow)
    common = Common(pd.DataFrame(columns=COLUMNS), references, softness_b, widths=widths, softness_px=measured_px)
    common = _with_photos(common, judged_px, photos, yardstick)
    tables = [common.scores]
    if trial.scenes is not None:
        scenes, alpha = trial.scenes
        tables += [_scene_baselines(judged_px, scenes, alpha, blurs_of(widths), yardstick.network)]
        tables += [judge_masks(scenes.ids, alpha, scenes.mask), _conditions(scenes)]
    if trial.known_masks is not None:
        known, alpha = trial.known_masks
        tables += [judge_masks(known.photo_ids, alpha, known.masks)]
    return replace(common, scores=_joined(tables))


def judge_masks(ids: Sequence[str], alpha: AlphaBytes, truth: AlphaBytes) -> pd.DataFrame:
    """Metric `mask_iou` of the method `segmenter`: its masks against the true ones, at the stored size."""
    if not len(ids) == len(alpha) == len(truth) or alpha.shape != truth.shape:
        raise DatasetError(f"{len(ids)} masks to compare: {alpha.shape} and {truth.shape} (number, height, width) differ")
    iou = [metrics.mask_iou(unit_mask(alpha[part]), unit_mask(truth[part])) for part in batches(len(ids))]
    values = np.concatenate(iou) if iou else np.empty(0)
    return pd.DataFrame({"photo_id": list(ids), "method": SEGMENTER, "metric": "mask_iou", "value": values})


# --- photos -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """What segmenter and face finder see in a batch of inputs, where there are any."""

    masks: np.ndarray | None
    faces: np.ndarray | None

    @classmethod
    def of(cls, rgb: RgbBytes, yardstick: Yardstick) -> "_Seen":
        masks = np.stack(yardstick.segment(list(rgb))) if yardstick.segment else None
        return cls(masks, yardstick.faces.main_faces(rgb) if yardstick.faces else None)


def _with_photos(common: Common, judged_px: int, photos: Photos, yardstick: Yardstick) -> Common:
    """Input and baselines on the photos, and what is seen in the inputs."""
    rows, seen, sets, softnesses = [], [], _Sets(common), CollectedSoftness()
    blurs = blurs_of(common.widths) if yardstick.people else {}
    for part in batches(len(photos.ids)):
        rgb, alpha = photos.batch(np.arange(part.start, part.stop))
        view = View.of(rgb, alpha, judged_px, blurs)
        if len(common.softness_b):
            telling = _telling(view, rgb, alpha, common.softness_px, blurs)
            rows += _add_softness(photos.ids[part], telling.outputs, telling, common, softnesses)
        seen.append(_Seen.of(view.rgb, yardstick))
        flat = {method: _flat(output, view) for method, output in view.outputs.items()}
        rows += _score_photos(photos.ids[part], view.outputs, flat, view, seen[-1], yardstick, sets)
    masks, faces = ([getattr(one, name) for one in seen] for name in ("masks", "faces"))
    inputs = softnesses.backgrounds.get(INPUT, Softness.none())
    of_set = softnesses.table(inputs, common.softness_b)
    return replace(
        common,
        scores=_joined([*rows, sets.table(), of_set, _reference_rows(common)]),
        softness_inputs=inputs,
        masks=np.concatenate(masks) if yardstick.segment else None,
        faces=np.concatenate(faces) if yardstick.faces else None,
    )


def _model_on_photos(
    model: str,
    make: Make,
    judged_px: int,
    photos: Photos,
    common: Common,
    yardstick: Yardstick,
    pictures: PictureWriter | None,
) -> pd.DataFrame:
    rows, sets, softnesses = [], _Sets(common), CollectedSoftness()
    blurs = blurs_of(common.widths) if yardstick.people else {}
    shelf = _Shelf(pictures, shown(photos.ids, SHOWN_PHOTOS), model, judged_px, blurs, common.outside)
    if len(photos.ids) < MIN_SET:
        logger.warning("only %d test photos: nothing is said about the set as a whole", len(photos.ids))
    for part in batches(len(photos.ids)):
        ids = photos.ids[part]
        rgb, alpha = photos.batch(np.arange(part.start, part.stop))
        view = View.of(rgb, alpha, judged_px, {})
        seen = _Seen(*(None if known is None else known[part] for known in (common.masks, common.faces)))
        outputs, flat = make(view, ids)
        rows += _score_photos(ids, outputs, flat, view, seen, yardstick, sets)
        shelf.add(ids, rgb, alpha, {model: outputs[model]})
        if len(common.softness_b):
            telling = _telling(view, rgb, alpha, common.softness_px, {})
            if common.softness_px > judged_px:
                outputs, _ = make(telling, ids)
            outputs = {method: scaled_unit(output, common.softness_px) for method, output in outputs.items()}
            rows += _add_softness(ids, outputs, telling, common, softnesses)
    of_set = softnesses.table(common.softness_inputs, common.softness_b)
    return _joined([_refuse_flat(_joined(rows), model), sets.table(), of_set])


def _telling(view: View, rgb: RgbBytes, alpha: AlphaBytes, measured_px: int, blurs: Blurs) -> View:
    """The batch at the size at which the softness of backgrounds is measured."""
    return view.at(measured_px) if measured_px <= view.rgb.shape[1] else View.of(rgb, alpha, measured_px, blurs)


def _add_softness(
    ids: Sequence[str], outputs: Mapping[str, Rgb], view: View, common: Common, softnesses: CollectedSoftness
) -> list[pd.DataFrame]:
    """Note how soft a batch's backgrounds are; rows of their ranks in domain B."""
    rows, subject = [], Regions.of(view.mask).subject
    for method, output in outputs.items():
        found = softness(output, view.mask, flat_too=method != INPUT)
        softnesses.add(method, found, metrics.relative_sharpness(output, view.input, subject))
        scores = {"background_rank_in_b": ranks(found.relative, common.softness_b.relative)}
        rows.append(_rows(ids, method, scores, np.zeros(len(ids), bool)))
    return rows


def _score_photos(
    ids: Sequence[str],
    outputs: Mapping[str, Rgb],
    flat: Mapping[str, np.ndarray],
    view: View,
    seen: _Seen,
    yardstick: Yardstick,
    sets: "_Sets",
) -> list[pd.DataFrame]:
    """Rows of every output for one batch; features go to `sets`."""
    regions = Regions.of(view.mask)
    looked = _look(view.input, outputs, regions, yardstick)
    shown = yardstick.parse(view.input) if yardstick.parse else None
    rows = []
    for method, output in outputs.items():
        scores = _photo_scores(output, view, regions) if yardstick.people else _scores_without_people(output, view)
        scores |= {**_what_is_left(output, seen, yardstick), **_content(output, view, shown, yardstick)}
        if method in looked and yardstick.people:
            scores["subject_lpips"] = looked[method].lpips
        features = looked[method].features if method in looked else {}
        colours = {COLOURS: content.sampled_colours(output)} if yardstick.parse else {}
        sets.add(method, {**features, **_inception(output, view, yardstick), **colours})
        rows.append(_rows(ids, method, scores, flat[method]))
    return rows


def _photo_scores(output: Rgb, view: View, regions: Regions) -> dict[str, np.ndarray]:
    before = view.input
    scores = {
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
    return scores


def _scores_without_people(output: Rgb, view: View) -> dict[str, np.ndarray]:
    return {"checkerboard": faults.checkerboard(output) / faults.checkerboard(view.input)}


def _content(output: Rgb, view: View, shown: content.Classes | None, yardstick: Yardstick) -> dict[str, np.ndarray]:
    """Whether the output shows what the input showed; nothing without a parser."""
    if yardstick.parse is None or shown is None:
        return {}
    classes = yardstick.parse(output)
    return {
        "class_iou": content.class_iou(classes, shown),
        "class_agreement": content.class_agreement(classes, shown),
        "edges_kept": content.edges_kept(output, view.input),
    }


def _what_is_left(output: Rgb, seen: _Seen, yardstick: Yardstick) -> dict[str, np.ndarray]:
    """Whether segmenter and face finder see in the output what they see in the input."""
    scores, levels = {}, to_bytes(output)
    if yardstick.segment is not None and seen.masks is not None:
        masks = np.stack(yardstick.segment(list(levels)))
        scores["subject_mask_iou"] = metrics.mask_iou(unit_mask(masks), unit_mask(seen.masks))
    if yardstick.faces is not None and seen.faces is not None:
        scores["face_kept"] = yardstick.faces.kept(levels, seen.faces)
    return scores


@dataclass(frozen=True)
class _Looked:
    """What the perceptual network says of a batch of outputs."""

    lpips: np.ndarray
    features: dict[str, np.ndarray]


def _look(before: Rgb, outputs: Mapping[str, Rgb], regions: Regions, yardstick: Yardstick) -> dict[str, _Looked]:
    """One pass for each picture, the input's once for all outputs; nothing without a network."""
    network = yardstick.network
    if network is None:
        return {}
    found: dict[str, list[_Looked]] = {method: [] for method in outputs}
    for part in _looks(before):
        reference = network.look(before[part])
        for method, output in outputs.items():
            look = reference if output is before else network.look(output[part])
            lpips = network.distance(look, reference, regions.subject[part])
            background = network.background_features(look, regions.background[part])
            found[method].append(_Looked(lpips, {VGG: look.features, VGG_BACKGROUND: background}))
    return {
        method: _Looked(
            np.concatenate([one.lpips for one in parts]),
            {name: np.concatenate([one.features[name] for one in parts]) for name in (VGG, VGG_BACKGROUND)},
        )
        for method, parts in found.items()
    }


def _looks(pictures: Rgb) -> Iterator[slice]:
    """Which of the pictures are looked at together."""
    step = max(MIN_LOOK, LOOK_PIXELS // pictures.shape[1] ** 2)
    return (slice(start, start + step) for start in range(0, len(pictures), step))


def _inception(output: Rgb, view: View, yardstick: Yardstick) -> dict[str, np.ndarray]:
    if yardstick.inception is None or yardstick.shallow is None:
        return {}
    return _inception_features(yardstick.inception, output, view.mask)


def _inception_features(inception: "InceptionFeatures", image: Rgb, mask: np.ndarray) -> dict[str, np.ndarray]:
    return {
        INCEPTION: inception.features(to_bytes(image)),
        INCEPTION_BACKGROUND: inception.features(to_bytes(greyed(image, mask))),
    }


class _Sets:
    """Features of each method's outputs, to be compared with those of domain B."""

    def __init__(self, common: Common) -> None:
        self._references = common.references
        self._collected: dict[str, Collected] = {}

    def add(self, method: str, features: Mapping[str, np.ndarray]) -> None:
        """Take note of a batch of a method's outputs, where there is a domain B to compare with."""
        wanted = {name: values for name, values in features.items() if name in self._references}
        self._collected.setdefault(method, Collected()).add(wanted)

    def table(self) -> pd.DataFrame:
        """Rows of the test set."""
        tables = [set_scores(method, all_of.whole(), self._references) for method, all_of in self._collected.items()]
        return _joined(tables)


def _references(judged_px: int, test_photos: int, yardstick: Yardstick) -> dict[str, np.ndarray]:
    """Features of domain B, where there are enough test photos to be compared with it."""
    shallow, network, inception, collected = yardstick.shallow, yardstick.network, yardstick.inception, Collected()
    if shallow is None or test_photos < MIN_SET or not (network or inception or yardstick.parse):
        return {}
    for rgb, mask in judged(shallow, judged_px, reference_count(test_photos, len(shallow.ids))):
        if network is not None:
            collected.add(_vgg_features(network, rgb, Regions.of(mask).background))
        if inception is not None:
            collected.add(_inception_features(inception, rgb, mask))
        if yardstick.parse is not None:
            collected.add({COLOURS: content.sampled_colours(rgb)})
    return collected.whole()


def _softness_of_b(measured_px: int, test_photos: int, shallow: Photos | None) -> Softness:
    """How soft the backgrounds of domain B are."""
    if shallow is None:
        return Softness.none()
    return softness_at(shallow, measured_px, reference_count(test_photos, len(shallow.ids)))


def _vgg_features(network: "PerceptualNetwork", rgb: Rgb, background: Region) -> dict[str, np.ndarray]:
    collected = Collected()
    for part in _looks(rgb):
        look = network.look(rgb[part])
        texture = network.background_features(look, background[part])
        collected.add({VGG: look.features, VGG_BACKGROUND: texture})
    return collected.whole()


def _reference_rows(common: Common) -> pd.DataFrame:
    """How many pictures stand for domain B, and the size at which backgrounds are compared with its."""
    if not len(common.softness_b):
        return pd.DataFrame(columns=COLUMNS)
    facts = {"pictures": float(len(common.softness_b)), "softness_px": float(common.softness_px)}
    return pd.DataFrame([(TEST_SET, DOMAIN_B, name, value) for name, value in facts.items()], columns=COLUMNS)


# --- scenes -------------------------------------------------------------------------------------------------------------


def _scene_baselines(
    judged_px: int, scenes: Scenes, alpha: AlphaBytes, blurs: Blurs, network: "PerceptualNetwork | None"
) -> pd.DataFrame:
    """Input, baselines and the true lens itself, against the true lens."""
    rows = []
    for part in batches(len(scenes.names)):
        view = View.of(scenes.sharp[part], alpha[part], judged_px, blurs)
        truth = unit(scaled(scenes.shallow[part], judged_px))
        outputs = {**view.outputs, TRUE_LENS: truth}
        flat = {method: _flat(output, view) for method, output in outputs.items()}
        rows += _score_scenes(scenes, part, outputs, flat, truth, view, network)
    return _joined(rows)


def _model_on_scenes(
    model: str,
    make: Make,
    judged_px: int,
    seen: tuple[Scenes, AlphaBytes],
    common: Common,
    network: "PerceptualNetwork | None",
    pictures: PictureWriter | None,
) -> pd.DataFrame:
    rows, (scenes, alpha) = [], seen
    shelf = _Shelf(pictures, shown(scenes.ids, SHOWN_SCENES), model, judged_px, blurs_of(common.widths), common.outside)
    for part in batches(len(scenes.names)):
        ids = scenes.ids[part]
        view = View.of(scenes.sharp[part], alpha[part], judged_px, {})
        truth = unit(scaled(scenes.shallow[part], judged_px))
        outputs, flat = make(view, ids)
        rows += _score_scenes(scenes, part, outputs, flat, truth, view, network)
        shelf.add(ids, scenes.sharp[part], alpha[part], {model: outputs[model], TRUE_LENS: truth})
    return _refuse_flat(_joined(rows), model)


def _score_scenes(
    scenes: Scenes,
    part: slice,
    outputs: Mapping[str, Rgb],
    flat: Mapping[str, np.ndarray],
    truth: Rgb,
    view: View,
    network: "PerceptualNetwork | None",
) -> list[pd.DataFrame]:
    regions = Regions.of(unit_mask(scaled(scenes.mask[part], truth.shape[1])))
    everywhere = Regions(np.ones_like(regions.subject), np.ones_like(regions.background))
    looked = _look(truth, outputs, everywhere, Yardstick(network=network))
    rows = []
    for method, output in outputs.items():
        scores = _truth_scores(output, truth, view, regions, everywhere)
        if method in looked:
            scores["truth_lpips"] = looked[method].lpips
        rows.append(_rows(scenes.ids[part], method, scores, flat[method]))
    return rows


def _truth_scores(output: Rgb, truth: Rgb, view: View, regions: Regions, everywhere: Regions) -> dict[str, np.ndarray]:
    return {
        "truth_background_l1": metrics.l1(output, truth, regions.background),
        "truth_subject_l1": metrics.l1(output, truth, regions.subject),
        "truth_background_psnr_db": metrics.psnr_db(output, truth, regions.background),
        "truth_background_ssim": metrics.ssim(output, truth, regions.background),
        "truth_psnr_db": metrics.psnr_db(output, truth, everywhere.subject),
        "truth_ssim": metrics.ssim(output, truth, everywhere.subject),
        "background_sharpness": metrics.relative_sharpness(output, view.input, regions.background),
    }


def _conditions(scenes: Scenes) -> pd.DataFrame:
    """How each scene was taken, as rows of the true lens, so that errors can be read by aperture and distance."""
    rows = [
        (scene, TRUE_LENS, name, value)
        for name, values in scenes.conditions.items()
        for scene, value in zip(scenes.ids, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


# --- outputs ------------------------------------------------------------------------------------------------------------


def _outputs(
    model: str, translate: Translate, overlay: Overlay | None, view: View, ids: Sequence[str]
) -> tuple[dict[str, Rgb], dict[str, np.ndarray]]:
    """The model's output, with and without overlay where it has one, by one pass; and where the generator failed.

    A generator that shows nothing fails under an overlay too, which would hide it.
    """
    raw = _translated(translate, view, model, ids)
    outputs = overlay.variants(model, raw, view) if overlay else {model: raw}
    return outputs, dict.fromkeys(outputs, _flat(raw, view))


def _translated(translate: Translate, view: View, model: str, ids: Sequence[str]) -> Rgb:
    """The model's output, refused when it is no picture."""
    output = np.asarray(translate(view.rgb, view.alpha))
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


def _flat(output: Rgb, view: View) -> np.ndarray:
    """Which outputs show nothing although their input does."""
    return (_span(output) < FLAT_RANGE) & (_span(view.input) >= FLAT_RANGE)


def _span(pictures: Rgb) -> np.ndarray:
    return np.ptp(pictures.reshape(len(pictures), -1, 3), axis=1).max(axis=1)


def _rows(ids: Sequence[str], method: str, scores: Mapping[str, np.ndarray], flat: np.ndarray) -> pd.DataFrame:
    """Long rows; an output that shows nothing has the metric `flat_output` and no scores, which would look good."""
    values = {name: np.where(flat, np.nan, score) for name, score in scores.items()}
    wide = pd.DataFrame({"photo_id": list(ids), "method": method, **values})
    long = wide.melt(["photo_id", "method"], var_name="metric")
    marks = pd.DataFrame({"photo_id": np.asarray(ids)[flat], "method": method, "metric": "flat_output", "value": 1.0})
    return pd.concat([long, marks], ignore_index=True) if flat.any() else long


def _refuse_flat(table: pd.DataFrame, model: str) -> pd.DataFrame:
    own = table[table["method"] == model]
    flat, judged = (own["metric"] == "flat_output").sum(), own["photo_id"].nunique()
    if flat == judged:
        raise DatasetError(f"{model}: all {judged} outputs are of one colour; look at its losses and train it again")
    if flat:
        logger.warning("%s: %d of %d outputs are of one colour and are not scored", model, flat, judged)
    return table


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=COLUMNS)


@dataclass(frozen=True)
class _Shelf:
    """Puts the pictures that are shown into a folder, beside what the baselines and methods from outside make of them."""

    pictures: PictureWriter | None
    chosen: set[str]
    model: str
    size_px: int
    blurs: Blurs
    outside: Mapping[str, Given]

    def add(self, ids: Sequence[str], rgb: RgbBytes, alpha: AlphaBytes, outputs: Mapping[str, Rgb]) -> None:
        """Add those of a batch that are chosen; `outputs` are by method, at the judged size."""
        places = [index for index, one in enumerate(ids) if one in self.chosen]
        if self.pictures is None or not places:
            return
        view = View.of(rgb[places], alpha[places], self.size_px, self.blurs)
        shown = {**view.outputs, **{method: output[places] for method, output in outputs.items()}}
        for index, photo_id in enumerate(ids[place] for place in places):
            self.pictures.add(photo_id, "mask", to_bytes(view.mask[index, :, :, 0]))
            for method, output in shown.items():
                self.pictures.add(photo_id, "model" if method == self.model else method, to_bytes(output[index]))
            for method, given in self.outside.items():
                if photo_id in given.ids:
                    self.pictures.add(photo_id, method, to_bytes(given.at([photo_id], self.size_px)[0]))

"""Judging a model of depth: on its snapshot's test pictures, and on scenes whose pictures through a lens are known.

Scores of depth are those of `pipeline.depth.judging`, of a picture by its id, and under `POOLED` of all pixels together. A
picture through a lens stands as `scene:NAME@VIEW`: errors to the true picture, in all of it and by zone, and whether the
plane was obeyed, told by a map, a drawn patch and a click. `TRUE_DEPTH` is what the lens makes of true depth: the most that
any prediction can reach.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import Project
from pipeline.dataset.shards import ShardReader
from pipeline.dataset.snapshot import open_snapshot
from pipeline.depth import judging
from pipeline.depth.colours import coloured, coloured_error, range_of
from pipeline.depth.metrics import aligned_in_disparity
from pipeline.depth.obedience import in_focus, nearest_truth, plane_under, ways_to_tell, zones
from pipeline.depth.predicting import predict_depth
from pipeline.depth.refocus import ThinLens, fitted_to, lens_of_strength, planes_from_far_to_near, refocus_photo
from pipeline.depth.scenes import TrueScene, TrueView, read_true_scenes
from pipeline.depth.units import Disparity
from pipeline.errors import DatasetError
from pipeline.evaluation.measure import metrics
from pipeline.evaluation.measure.judged_size import one_core
from pipeline.evaluation.measure.perceptual import Look, PerceptualNetwork
from pipeline.evaluation.measure.tiles import PictureWriter, picture_folder, shown
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.images import RgbPhoto
from pipeline.operations.judged_pictures import SnapshotPhotos, is_test
from pipeline.operations.judging import Stopwatch, on_best_device
from pipeline.operations.training import run_folder
from pipeline.picture_layers import BY_NAME, METRIC, Encoding
from pipeline.squares import spread, unit
from pipeline.tables import conform
from pipeline.training.inference import load_run
from pipeline.training.runs import RunFolder
from storage import Home

UNCHANGED, TRUE_DEPTH, MASK = "input", "true depth", "mask, two constants"
POOLED = "set:pooled"
MOST_KNOWN = 500
"""Training pictures that the baselines know."""
SHOWN_PHOTOS, SHOWN_SCENES, SWEPT = 24, 12, 4
SWEEP_PLANES, SWEEP_PERCENT = 7, (1.5, 3.0, 6.0)
"""Of what can be leafed through: planes from far to near, and radii of the largest disc in per cent of the side."""
SMALL_PX = 256
LEAST_PLANES = 3
"""Of a scene, evenly spread, from which on it is asked whether they are obeyed."""
DEPTH = BY_NAME["depth"]

Row = tuple[str, str, str, float]
Maps = Mapping[str, Disparity]


@dataclass(frozen=True, eq=False)
class _Truth:
    """A picture whose depth is known."""

    name: str
    rgb: RgbPhoto
    true: Disparity
    alpha: np.ndarray


class _Predictor:
    """A run's network at work on pictures of any size; metric or not, as it and the truth are."""

    def __init__(self, run: RunFolder, is_metric: bool) -> None:
        trained = load_run(run.root, ("a_to_b",))
        generator = on_best_device(trained.generators)["a_to_b"]
        assert isinstance(generator, DisparityGenerator)
        self._generator, self._side_px = generator, trained.settings.size_px
        self.is_metric = is_metric and trained.settings.depth_loss == "log"

    def __call__(self, rgb: RgbPhoto) -> Disparity:
        return predict_depth(self._generator, rgb, self._side_px, self.is_metric).disparity


def evaluate_depth_model(
    project: Project, home: Home, snapshot: str, recipe: str, truth: Path | None, watch: Stopwatch
) -> tuple[pd.DataFrame, SnapshotPhotos]:
    """The table `evaluation` of a finished run, and the photos it was judged on; pictures go into the run's folder.

    Raises `DatasetError` for a snapshot without test pictures whose depth is known, `TrainingError` for an unfinished run.
    """
    run = run_folder(home, snapshot, recipe)
    manifest = open_snapshot(home.snapshots, snapshot, home.shards)
    test, train = _known(manifest, is_test(manifest, project)), _known(manifest, _is_training(manifest, project))
    if test.empty or train.empty:
        raise DatasetError(
            f"snapshot {snapshot}: none of its {'test' if test.empty else 'training'} pictures of"
            f" {project.training.domain_a!r} has depth to judge by; docs/depth.md says where depth comes from"
        )
    photos = SnapshotPhotos.of(home, test)
    pictures, known = _pictures(photos), _pictures(SnapshotPhotos.of(home, train.iloc[spread(len(train), MOST_KNOWN)]))
    without = judging.WithoutNetwork.of([one.true for one in known], [one.alpha for one in known])
    scenes = read_true_scenes(truth) if truth is not None else []
    predict = _Predictor(run, all(Encoding.parse(str(text)).unit == METRIC for text in test[DEPTH.encoding]))
    judged = [*pictures, *(_Truth(f"scene:{one.name}", one.rgb, one.disparity, one.alpha) for one in scenes)]
    are_small = max(max(one.true.shape) for one in judged) <= SMALL_PX
    with one_core(are_small), watch.timed("predictions"):
        maps = {one.name: {recipe: predict(one.rgb), **_without_network(without, one)} for one in judged}
    rows = [*_depth_rows(judged[: len(pictures)], maps, predict.is_metric, pooled=True)]
    rows += _depth_rows(judged[len(pictures) :], maps, predict.is_metric)
    network = PerceptualNetwork(home.weights) if scenes and project.evaluation.perceptual else None
    with one_core(are_small), watch.timed("pictures through a lens"):
        for number, scene in enumerate(scenes):
            by = {**_in_dioptres(maps[f"scene:{scene.name}"], scene, recipe, predict.is_metric), TRUE_DEPTH: scene.disparity}
            rows += _view_rows(scene, number, by, network, asked=[one for one in (recipe, MASK, TRUE_DEPTH) if one in by])
    with one_core(are_small), watch.timed("pictures for the report"):
        _draw(run, judged, {name: found[recipe] for name, found in maps.items()}, predict.is_metric)
    return conform("evaluation", pd.DataFrame(rows, columns=["photo_id", "method", "metric", "value"])), photos


def _known(manifest: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    has_depth = manifest[DEPTH.digest].notna() if DEPTH.digest in manifest else pd.Series(False, manifest.index)
    return manifest[chosen & has_depth].sort_values("photo_id", kind="stable")


def _is_training(manifest: pd.DataFrame, project: Project) -> pd.Series:
    return (manifest["split"] == "train") & (manifest["domain"] == project.training.domain_a)


def _pictures(photos: SnapshotPhotos) -> list[_Truth]:
    reader: ShardReader = photos.reader
    rgb, alpha = photos.batch(np.arange(len(photos.ids)))
    return [_Truth(name, rgb[k], reader.view_layer(DEPTH.name, k), alpha[k]) for k, name in enumerate(photos.ids)]


def _without_network(without: judging.WithoutNetwork, one: _Truth) -> dict[str, Disparity]:
    """What can be said without looking at the picture, at its size."""
    height_px, width_px = one.true.shape
    sized = judging.WithoutNetwork(
        without.constant, fitted_to(without.mean_map, height_px, width_px), without.subject, without.rest
    )
    return {name: found[0] for name, found in sized.predictions([one.alpha]).items()}


# --- depth ------------------------------------------------------------------------------------------------------------


def _depth_rows(judged: Sequence[_Truth], maps: Mapping[str, Maps], is_metric: bool, pooled: bool = False) -> Iterator[Row]:
    """Where distances are not known in metres, what is left after fitting scale and shift alone."""
    if not judged:
        return
    names, true = [one.name for one in judged], [one.true for one in judged]
    for method in maps[names[0]]:
        predicted = [maps[name][method] for name in names]
        found = judging.judged(method, names, predicted, true)
        for picture, _, metric, value in found.itertuples(index=False, name=None):
            if (pooled or picture != judging.POOLED) and (is_metric or str(metric).startswith(judging.ALIGNED)):
                yield (POOLED if picture == judging.POOLED else picture), method, metric, value
        for one, ours in zip(judged, predicted, strict=True):
            ratio = judging.nearer_than_surround(ours, one.alpha)
            yield one.name, method, "subject_nearer", float("nan") if np.isnan(ratio) else float(ratio > 1)


# --- pictures through a lens ------------------------------------------------------------------------------------------


def _in_dioptres(maps: Maps, scene: TrueScene, recipe: str, is_metric: bool) -> dict[str, Disparity]:
    """The maps, the model's brought to the truth's scale and shift where it knows no metres: the lens is told in metres."""
    if is_metric:
        return dict(maps)
    known = scene.disparity > 0
    depth = 1 / np.where(known, scene.disparity, 1.0)
    fitted = 1 / aligned_in_disparity(maps[recipe], depth, known, judging.FARTHEST_M)
    return {**maps, recipe: fitted.astype(np.float32)}


def _view_rows(
    scene: TrueScene, number: int, maps: Maps, network: PerceptualNetwork | None, asked: Sequence[str]
) -> Iterator[Row]:
    """Errors of all methods to each view, their plane told by a map of what is sharp; and the obedience of those `asked`."""
    apart = [view for view in scene.views if view.number > 0]
    for view in scene.views:
        sharp = in_focus(scene.disparity, view.lens)
        seen = {method: _refocused(scene, disparity, view, sharp) for method, disparity in maps.items()}
        name = f"scene:{scene.name}@{view.number}"
        yield from _error_rows(name, {UNCHANGED: scene.rgb, **seen}, scene, view, network)
        if view in apart and len(apart) >= LEAST_PLANES:
            ways = ways_to_tell(sharp, np.random.default_rng([number, view.number]))
            truths, own = [one.picture for one in apart], apart.index(view)
            for method in asked:
                for told, region in ways.items():
                    result = seen[method] if told == "map" else _refocused(scene, maps[method], view, region)
                    yield name, method, f"obeyed_{told}", float(nearest_truth(result, truths) == own)


def _refocused(scene: TrueScene, disparity: Disparity, view: TrueView, region: np.ndarray) -> RgbPhoto:
    """The plane is what the method itself sees under the region."""
    filled = fitted_to(disparity, *disparity.shape)
    return refocus_photo(scene.rgb, filled, ThinLens(plane_under(filled, region), view.lens.px_per_dioptre))


def _error_rows(
    name: str, seen: Mapping[str, RgbPhoto], scene: TrueScene, view: TrueView, network: PerceptualNetwork | None
) -> Iterator[Row]:
    parts = zones(scene.disparity, view.lens)
    regions = {"": np.ones_like(parts.rim), **{f"_{zone}": region for zone, region in parts._asdict().items()}}
    pictures, count = unit(np.stack(list(seen.values()))), len(seen)
    truth = np.repeat(unit(view.picture[None]), count, axis=0)
    looks = None if network is None else (network.look(pictures), _repeated(network.look(truth[:1]), count))
    for zone, region in regions.items():
        where = np.repeat(region[None, ..., None], count, axis=0)
        found = {"l1": metrics.l1, "psnr_db": metrics.psnr_db, "ssim": metrics.ssim}
        scores = {metric: score(pictures, truth, where) for metric, score in found.items()}
        if network is not None and looks is not None:
            scores["lpips"] = network.distance(*looks, where)
        for metric, values in scores.items():
            yield from ((name, method, metric + zone, float(value)) for method, value in zip(seen, values, strict=True))
    changed = metrics.l1(
        pictures, np.repeat(unit(scene.rgb[None]), count, axis=0), np.repeat(parts.in_focus[None, ..., None], count, axis=0)
    )
    yield from ((name, method, "changed_in_focus", float(value)) for method, value in zip(seen, changed, strict=True))


def _repeated(look: Look, count: int) -> Look:
    stages = [stage.expand(count, -1, -1, -1) for stage in look.stages]
    return Look(stages, np.repeat(look.features, count, axis=0), look.texture.expand(count, -1, -1, -1))


# --- pictures for the report ------------------------------------------------------------------------------------------


def _draw(run: RunFolder, judged: Sequence[_Truth], maps: Maps, is_metric: bool) -> None:
    """Tiles of what the report shows: maps in colour, and refocused pictures to leaf through."""
    scenes = [one for one in judged if one.name.startswith("scene:")]
    photos = [one for one in judged if one not in scenes]
    chosen = shown([one.name for one in photos], SHOWN_PHOTOS) | {one.name for one in scenes[:SHOWN_SCENES]}
    swept = [one.name for one in (scenes or photos)[:SWEPT]]
    with picture_folder(run.translated) as writer:
        for one in judged:
            if one.name in chosen or one.name in swept:
                _draw_depth(writer, one, maps[one.name], is_metric)
            if one.name in swept:
                _draw_sweep(writer, one.name, "model", one.rgb, maps[one.name], is_metric)
                _draw_sweep(writer, one.name, "true", one.rgb, fitted_to(one.true, *one.true.shape), is_metric)


def _draw_depth(writer: PictureWriter, one: _Truth, predicted: Disparity, is_metric: bool) -> None:
    writer.add(one.name, "input", one.rgb)
    if not is_metric:
        known = one.true > 0
        depth = aligned_in_disparity(predicted, 1 / np.where(known, one.true, 1.0), known, judging.FARTHEST_M)
        predicted = (1 / depth).astype(np.float32)
    far, near = range_of(one.true)
    writer.add(
        one.name, "true_depth", coloured(one.true, far, near), f"{1 / far:.3g} to {1 / near:.3g} m" if is_metric else ""
    )
    writer.add(one.name, "depth", coloured(predicted, far, near))
    writer.add(one.name, "error", coloured_error(predicted, one.true))


def _draw_sweep(writer: PictureWriter, name: str, by: str, rgb: RgbPhoto, disparity: Disparity, is_metric: bool) -> None:
    planes = planes_from_far_to_near(disparity, SWEEP_PLANES)
    if planes[0] >= planes[-1]:
        return  # flat: there is nothing to refocus
    nearest = np.abs(disparity[..., None] - np.array(planes, np.float32)).argmin(2)
    distances = " ".join(f"{1 / plane:.3g}" for plane in planes) if is_metric else ""
    writer.add(name, f"planes-{by}", nearest.astype(np.uint8), distances)
    for plane, focus in enumerate(planes):
        for strength, percent in enumerate(SWEEP_PERCENT, 1):
            lens = lens_of_strength(disparity, focus, percent)
            writer.add(name, f"sweep-{by}-{plane}-{strength}", refocus_photo(rgb, disparity, lens))

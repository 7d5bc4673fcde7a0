"""Judging a trained model: by what, what of it is kept for the next model, and how long each part took.

Imported only by those who judge: torch takes seconds.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import weights
from pipeline.atomic import write_text
from pipeline.config import Project
from pipeline.dataset.snapshot import open_snapshot
from pipeline.evaluation.measure.instruments import METHOD_VERSION
from pipeline.evaluation.measure.judge import Overlay, Segment, Trial, Yardstick, judge_common, judge_model
from pipeline.evaluation.measure.judged_size import Photos, one_core
from pipeline.evaluation.measure.scenes import Scenes, TrueMasks, load_scenes
from pipeline.evaluation.measure.shared_scores import Common, read_common, write_common
from pipeline.file_names import child
from pipeline.masks.segmenter import Segmenter
from pipeline.masks.selfie import EMBEDDED
from pipeline.operations.judged_pictures import SnapshotPhotos, is_test, outside_targets, scene_frame, true_masks
from pipeline.operations.training import run_folder
from pipeline.plain_files import read_plain_text
from pipeline.squares import scaled, spread
from storage import Home

if TYPE_CHECKING:
    from pipeline.evaluation.measure.cycles import Translate
    from pipeline.models.networks import Generator
    from pipeline.training.inference import TrainedRun

CYCLE_PICTURES, CYCLE_PICTURES_ON_GPU = 8, 1000
"""Of each domain, for cycle and identity errors: six passes through a generator for each pair."""
COSTS = "costs"
SMALL_PX = 128
"""Side of pictures that are translated on one core."""

Truth = tuple[tuple[Scenes, np.ndarray] | None, tuple[TrueMasks, np.ndarray] | None]
"""Scenes and true masks, each with the segmenter's alpha."""


@dataclass
class Stopwatch:
    """Seconds by what they were spent on; what is timed within something else counts there too."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the time within as spent on this."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start

    def wrapped(self, what: str, function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        """The function, its time counted."""

        def call(*arguments: np.ndarray) -> np.ndarray:
            with self.timed(what):
                return function(*arguments)

        return call


def evaluate_model(
    project: Project,
    home: Home,
    snapshot: str,
    recipe_key: str,
    truth: Path | None,
    segmenter: Segmenter,
    watch: Stopwatch,
) -> tuple[pd.DataFrame, SnapshotPhotos]:
    """The table `evaluation` of a trained model, and the photos it was judged on; pictures go into the run's folder.

    Raises `DatasetError` for a snapshot that is not there, `TrainingError` for a run that is not finished.
    """
    from pipeline.training.inference import load_run

    run = run_folder(home, snapshot, recipe_key)
    manifest, trained = open_snapshot(home.snapshots, snapshot, home.shards), load_run(run.root)
    test = manifest[is_test(manifest, project)]
    b_and_a = [
        manifest[(manifest["domain"] == domain) & (manifest["split"] == "train")]
        for domain in (project.training.domain_b, project.training.domain_a)
    ]
    photos, shallow, ordinary = (SnapshotPhotos.of(home, rows) for rows in (test, *b_and_a))
    known: Truth = (None, None)
    if truth is not None:
        known = load_scenes(truth, scene_frame(project, home, segmenter)), true_masks(home, manifest, truth)
    yardstick = yardstick_of(project, home, segmenter, shallow, ordinary)
    trial = Trial(trained.settings.size_px, photos, *known, yardstick)
    version = shared_version((test, *b_and_a), trial, segmenter, project.evaluation.parser)
    common = _common_of(project, home, snapshot, trial, version, test, watch)
    generators = on_best_device(trained.generators)
    translations = {direction: partial(_translated, generator) for direction, generator in generators.items()}
    with watch.timed("cycle and identity"):
        errors = cycle_errors(translations, trial.judged_px, photos, shallow)
    with watch.timed("costs"):
        costs = costs_of(home, generators["a_to_b"])
    timed = watch.wrapped("translation", translations["a_to_b"])
    own = {"overlay": overlay_of(trained), "common": common, "extra": {**errors, **costs}}
    return judge_model(recipe_key, timed, trial, run.translated, **own), photos


def _translated(generator: "Generator", images: np.ndarray, *alpha: np.ndarray) -> np.ndarray:
    # torch takes seconds to import, and the code location is imported for every step.
    from pipeline.models.large_photos import translate_pictures

    with one_core(images.shape[1] <= SMALL_PX):
        return translate_pictures(generator, images, *alpha)


def _common_of(
    project: Project, home: Home, snapshot: str, trial: Trial, version: str, test: pd.DataFrame, watch: Stopwatch
) -> Common:
    """What is the same for all models of the trial, methods from outside included; `test` are its rows of the manifest."""
    from pipeline.operations.outside_judging import METHODS, OutsideTrial, with_outside

    with watch.timed("what all models share"):
        common = shared(home, snapshot, trial, version)
    if project.evaluation.methods:
        folder = child(child(home.evaluations, snapshot), METHODS)
        with watch.timed("methods from outside"):
            bench = OutsideTrial(folder, trial, outside_targets(home, test), common, version)
            common = with_outside(project.evaluation.methods, bench)
    return common


def yardstick_of(project: Project, home: Home, segmenter: Segmenter, shallow: Photos, ordinary: Photos) -> Yardstick:
    """Everything that the project lets models be measured by; weights are fetched where they are missing."""
    # torch takes seconds to import, and the code location is imported for every step.
    from pipeline.evaluation.measure.faces import load_face_finder
    from pipeline.evaluation.measure.inception import load_inception
    from pipeline.evaluation.measure.perceptual import PerceptualNetwork

    network = PerceptualNetwork(home.weights) if project.evaluation.perceptual else None
    inception = load_inception([home.weights]) if project.evaluation.perceptual else None
    parse = _parse(project.evaluation.parser, home) if project.evaluation.parser else None
    if project.masks.segmenter == "none":
        return Yardstick(shallow, network, inception=inception, parse=parse, people=False)
    faces = load_face_finder(home.weights)
    segment = _on_all_cores(segmenter.alpha) if segmenter.name == EMBEDDED else segmenter.alpha
    return Yardstick(shallow, network, segment, faces, inception, ordinary, parse)


def _on_all_cores(segment: Segment) -> Segment:
    """One picture in each thread, for networks that keep to one core; threads stay, each with a network of its own."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="segment")
    return lambda pictures: [*pool.map(lambda picture: segment([picture])[0], pictures)]


def _parse(name: str, home: Home) -> Callable[[np.ndarray], np.ndarray]:
    """From pictures, float [batch, height, width, 3] in [0, 1], to the class of each place, by the parser of that name."""
    import torch

    from pipeline.models.images import images_from_uint8
    from pipeline.models.parsers import load_parser
    from pipeline.operations.parsers import ensure_parser

    ensure_parser(name, home.weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parser = load_parser(name, home.weights).to(device)

    def parse(pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            levels = np.round(pictures * 255).clip(0, 255).astype(np.uint8)
            return parser(images_from_uint8(levels, device)).argmax(1).cpu().numpy()

    return parse


def shared(home: Home, snapshot: str, trial: Trial, version: str) -> Common:
    """What is the same for all models of a trial on the snapshot: read where an evaluation has left it, else made."""
    folder = child(child(home.evaluations, snapshot), f"{trial.judged_px}px-{version}")
    found = read_common(folder)
    if found is None:
        found = judge_common(trial)
        write_common(found, folder)
    return found


def shared_version(pictures: Sequence[pd.DataFrame], trial: Trial, segmenter: Segmenter, parser: str | None) -> str:
    """Digest of all that decides `shared` beside the size; `pictures` are rows of the manifest: photos that are judged, and
    those of both domains that they are judged by."""
    yardstick = trial.yardstick
    instruments = {
        "method": METHOD_VERSION,
        "segmenter": [segmenter.name, segmenter.version],
        "network": weights.WEIGHTS["vgg16"].sha256 if yardstick.network else None,
        "faces": yardstick.faces.version if yardstick.faces else None,
        "inception": yardstick.inception is not None,
        **({"parser": parser} if parser else {}),
    }
    digest = sha256(json.dumps(instruments, sort_keys=True).encode())
    for rows in pictures:
        digest.update(rows[["photo_id", "pixels_sha256", "alpha_sha256"]].to_csv(index=False, lineterminator="\n").encode())
    for part in _arrays(trial):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def overlay_of(run: "TrainedRun") -> Overlay | None:
    """How the run's model overlays; None for a model that does not train so."""
    from pipeline.models import model_class

    model = model_class(run.model)
    if not model.TRAINS_WITH_OVERLAY:
        return None
    return Overlay(model.OVERLAYS_RESULT, soft=run.settings.mask_edge == "soft")


def on_best_device(generators: Mapping[str, "Generator"]) -> dict[str, "Generator"]:
    """The generators on the GPU, where there is one."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {direction: generator.to(device) for direction, generator in generators.items()}


def cycle_errors(generators: "Mapping[str, Translate]", judged_px: int, photos: Photos, shallow: Photos) -> dict[str, float]:
    """Cycle and identity errors on the same pictures for every model, spread evenly; on a GPU all, else a few."""
    import torch

    from pipeline.evaluation.measure.cycles import cycle_scores

    most = CYCLE_PICTURES_ON_GPU if torch.cuda.is_available() else CYCLE_PICTURES
    return cycle_scores(generators, *(_sample(domain, judged_px, most) for domain in (photos, shallow)))


def costs_of(home: Home, generator: "Generator") -> dict[str, float]:
    """What a generator of this architecture costs on this machine: measured once, since times never repeat."""
    import torch

    from pipeline.evaluation.measure.generator_costs import generator_costs

    device = next(generator.parameters()).device
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    described = json.dumps([str(generator.config), machine, torch.__version__])
    path = child(home.evaluations / COSTS, f"{sha256(described.encode()).hexdigest()[:16]}.json")
    found = _read_costs(path)
    if found is None:
        found = generator_costs(generator)
        write_text(path, json.dumps({"of": described, "costs": found}, indent=2) + "\n")
    return found


def _read_costs(path: Path) -> dict[str, float] | None:
    try:
        return {name: float(value) for name, value in json.loads(read_plain_text(path))["costs"].items()}
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def _sample(photos: Photos, judged_px: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many of the photos at the judged size, RGB and alpha, uint8."""
    indices = spread(len(photos.ids), most)
    if not len(indices):
        return np.empty((0, judged_px, judged_px, 3), np.uint8), np.empty((0, judged_px, judged_px), np.uint8)
    rgb, alpha = photos.batch(indices)
    return scaled(rgb, judged_px), scaled(alpha, judged_px)


def _arrays(trial: Trial) -> Iterator[np.ndarray]:
    scenes, known_masks = trial.scenes, trial.known_masks
    if scenes is not None:
        yield from (scenes[0].sharp, scenes[0].shallow, scenes[0].mask, scenes[1])
        yield np.frombuffer(json.dumps([scenes[0].names, scenes[0].conditions], default=list).encode(), np.uint8)
    if known_masks is not None:
        yield from (known_masks[0].masks, known_masks[1])
        yield np.frombuffer(json.dumps(known_masks[0].photo_ids).encode(), np.uint8)

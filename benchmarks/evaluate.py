"""How long it takes to measure the study's four models at full size, and what share of it is not translation.

100 test pictures at 256 px, the committed rendered portraits and their mirror images; generators with random weights,
which cost what trained ones do; VGG-16's features, segmenter and face finder as in `make demo`. All four models are of
one snapshot, so what they share is measured once, and so are the costs, since the generators are of one architecture.
The goal is strict: translation is that of the test pictures, and everything else counts as metrics, the passes that
cycle and identity errors need and those that are timed as well. Two milder ratios are printed beside it. Usage:

    python benchmarks/evaluate.py [pictures]     writes results/evaluate.json for 100
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from pipeline.evaluation.measure.faces import load_face_finder
from pipeline.evaluation.measure.judge import Overlay, Trial, Yardstick, judge_model
from pipeline.evaluation.measure.perceptual import Look, PerceptualNetwork
from pipeline.masks.segmenters import make_segmenter
from pipeline.models import model_class
from pipeline.models.images import translate
from pipeline.models.networks import Generator, GeneratorConfig
from pipeline.operations.judging import Stopwatch, costs_of, cycle_errors, shared
from pipeline.studio.pictures import PICTURES
from storage import Home

WEIGHTS = Path(__file__).parents[1] / ".venv" / "test-home" / "weights"
MODELS = ("cyclegan", "mask_loss", "mask_overlay", "mask_loss_overlay")
PICTURES_OF_TEST, SIDE_PX = 100, 256
MAX_MINUTES, MAX_RATIO = 20.0, 1.5


@dataclass(frozen=True)
class ArrayPhotos:
    """Photos in memory."""

    ids: Sequence[str]
    rgb: np.ndarray
    alpha: np.ndarray

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The photos at these indices."""
        return self.rgb[indices], self.alpha[indices]


class TimedNetwork(PerceptualNetwork):
    """VGG-16, its passes and its distances timed."""

    def __init__(self, weights_folder: Path, watch: Stopwatch) -> None:
        super().__init__(weights_folder)
        self._watch = watch

    def look(self, images: np.ndarray) -> Look:
        """See `PerceptualNetwork`."""
        with self._watch.timed("VGG-16 passes"):
            return super().look(images)

    def distance(self, first: Look, second: Look, regions: np.ndarray | None = None) -> np.ndarray:
        """See `PerceptualNetwork`."""
        with self._watch.timed("LPIPS of the passes"):
            return super().distance(first, second, regions)


def rendered(group: str, count: int) -> ArrayPhotos:
    """Rendered portraits and, as far as they are needed, their mirror images, 256 px."""
    paths = [path for path in sorted((PICTURES / group).glob("*.jpg")) if path.with_name(f"{path.stem}_mask.png").exists()]
    plain = [(square(path, "RGB"), square(path.with_name(f"{path.stem}_mask.png"), "L")) for path in paths]
    mirrored = [(rgb[:, ::-1], alpha[:, ::-1]) for rgb, alpha in plain]
    rgb, alpha = zip(*[*plain, *mirrored][:count], strict=True)
    return ArrayPhotos([f"{group}:{number}" for number in range(len(rgb))], np.stack(rgb), np.stack(alpha))


def square(path: Path, mode: str) -> np.ndarray:
    """The centred square of a picture."""
    with Image.open(path) as image:
        edge = min(image.size)
        left, top = (image.width - edge) / 2, (image.height - edge) / 2
        box = (left, top, left + edge, top + edge)
        return np.asarray(image.convert(mode).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, box=box))


def overlay_of(name: str) -> Overlay | None:
    """How the study's model of this name overlays."""
    model = model_class(name)
    return Overlay(model.OVERLAYS_RESULT) if model.TRAINS_WITH_OVERLAY else None


def generators_of(seed: int) -> dict[str, Callable[..., np.ndarray]]:
    """Both directions with random weights."""
    torch.manual_seed(seed)
    return {name: partial(translate, Generator(GeneratorConfig()).eval()) for name in ("a_to_b", "b_to_a")}


def evaluate(home: Home, test: ArrayPhotos, shallow: ArrayPhotos, watch: Stopwatch) -> int:
    """Measure the four models as the asset does; returns the number of scores."""
    segmenter, finder = make_segmenter("selfie", WEIGHTS), load_face_finder(WEIGHTS)
    segment = watch.wrapped("segmenter", segmenter.alpha)  # pyright: ignore[reportArgumentType]
    yardstick = Yardstick(shallow, TimedNetwork(WEIGHTS, watch), segment, finder)  # pyright: ignore[reportArgumentType]
    rows = 0
    for seed, name in enumerate(MODELS):
        with watch.timed(f"model {name}"):
            generators = generators_of(seed)
            with watch.timed("what all models share"):
                common = shared(home, "snapshot", Trial(SIDE_PX, test, yardstick=yardstick), "benchmark")
            with watch.timed("cycle and identity"):
                errors = cycle_errors(generators, SIDE_PX, test, shallow)
            with watch.timed("costs"):
                costs = costs_of(home, generators["a_to_b"].args[0])  # pyright: ignore[reportFunctionMemberAccess]
            table = judge_model(
                f"{name}@0",
                watch.wrapped("translation", generators["a_to_b"]),
                Trial(SIDE_PX, test, yardstick=yardstick),
                home.runs / name,
                overlay=overlay_of(name),
                common=common,
                extra={**errors, **costs},
            )
            rows += len(table)
    return rows


def figures_of(seconds: Mapping[str, float], pictures: int, rows: int) -> dict[str, float | str]:
    """Seconds a stage, and what they come to."""
    whole = sum(value for name, value in seconds.items() if name.startswith("model "))
    others = {f"s_{name.replace(' ', '_')}": round(value, 1) for name, value in seconds.items()}
    generators = seconds["translation"] + seconds["cycle and identity"] + seconds["costs"]
    metrics = whole - generators
    return {
        "test_pictures": pictures,
        "models": len(MODELS),
        "torch_threads": torch.get_num_threads(),
        "scores": rows,
        **others,
        "minutes": round(whole / 60, 2),
        "metrics_to_all_passes_of_generators": round(metrics / generators, 3),
        "metrics_to_translation_of_the_test_set": round(metrics / seconds["translation"], 3),
        "metrics_and_further_passes_to_translation_of_the_test_set": round(whole / seconds["translation"] - 1, 3),
    }


def main() -> None:
    """Measure and report."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PICTURES_OF_TEST
    watch = Stopwatch()
    test, shallow = rendered("ordinary", count), rendered("shallow", 2 * count)
    with tempfile.TemporaryDirectory() as folder:
        rows = evaluate(Home(Path(folder)), test, shallow, watch)
    figures = figures_of(watch.seconds, count, rows)
    if count < PICTURES_OF_TEST:
        print("\n".join(f"{name:<64}  {value}" for name, value in figures.items()))
        return
    minutes = float(figures["minutes"])
    ratio = float(figures["metrics_and_further_passes_to_translation_of_the_test_set"])
    report(
        "evaluate",
        figures,
        [
            Goal(f"four models, {count} pictures, under {MAX_MINUTES:.0f} minutes", minutes, minutes < MAX_MINUTES),
            Goal(f"metrics at most {MAX_RATIO} times the translation", ratio, ratio <= MAX_RATIO),
        ],
    )


if __name__ == "__main__":
    main()

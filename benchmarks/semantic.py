"""Whether the semantic loss keeps what a picture shows, at equal likeness to the other collection.

Photos of rendered scenes are translated to paintings of other scenes, cut closer (`pipeline.studio.two_collections`), by the
model `semantic` with the profile `collections_small` at several weights of its loss, 0 being CycleGAN, each with several
seeds. Judged on 24 scenes of neither collection by a parser of another build that learnt from other scenes than the one
trained against: how far its classes in input and output agree (mean IoU), and how far those of the output agree with the
true parts; how much of the input's edges is kept; kernel distance (KID of VGG-16) to the paintings; distance of colours to
theirs. A curve over the weight, not a point.

    python benchmarks/semantic.py --home FOLDER     train what is not trained yet, score, report

Interrupted it goes on where it was: each run leaves its scores.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from pipeline.evaluation.compare.significance import recipe_difference
from pipeline.evaluation.measure import content
from pipeline.evaluation.measure.distribution import kid
from pipeline.evaluation.measure.perceptual import PerceptualNetwork
from pipeline.models.images import RgbArray, UnitRgbArray, images_from_uint8, translate
from pipeline.models.parsers import Parser, load_parser
from pipeline.operations.parsers import ensure_parser
from pipeline.studio.two_collections import PAINTINGS, PHOTOS, TRUTH, build_two_collections
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import train_steps
from pipeline.training.recipes import TrainingSettings, canonical_digest, resolve
from pipeline.training.sampling import ArrayImages, PairSampler
from pipeline.training.state import TrainingState, build_model

HOME = Path(__file__).parent / "semantic-home"
WEIGHTS, SEEDS = (0.0, 4.0, 16.0), (0, 1, 2)
STORED_PX, SIDE_PX = 72, 64
AGREEMENT_GAIN, EQUAL_KID = 0.10, 0.005
CPU = torch.device("cpu")
SCORES = ("class_iou", "true_iou", "edges_kept")
"""One for each scene."""


@dataclass(frozen=True)
class Run:
    """One training run."""

    weight: float
    seed: int
    steps: int

    @property
    def settings(self) -> TrainingSettings:
        """Those of the profile, with this weight."""
        return resolve("collections_small", {"semantic_weight": self.weight, "steps": self.steps})

    @property
    def name(self) -> str:
        """Of its file of scores, by all that decides them."""
        told = {**asdict(self), **self.settings.deciding}
        return f"{self.weight:g}-{self.seed}-{canonical_digest(told)[:8]}"


@dataclass(frozen=True)
class Truth:
    """Scenes that nobody saw: photos, paintings of the same, and the true parts, at the size of the networks."""

    photos: RgbArray
    paintings: RgbArray
    parts: np.ndarray


@dataclass(frozen=True)
class Judge:
    """By what outputs are measured."""

    parser: Parser
    network: PerceptualNetwork
    truth: Truth
    paintings: RgbArray
    """Of domain B, those that were trained on."""

    def classes(self, rgb: RgbArray) -> np.ndarray:
        """Of each place."""
        with torch.inference_mode():
            return self.parser(images_from_uint8(rgb, CPU)).argmax(1).numpy()

    def scores(self, output: UnitRgbArray) -> dict[str, list[float] | float]:
        """Scene by scene, then of the set."""
        levels, photos = np.round(output * 255).astype(np.uint8), self.truth.photos
        classes, features = self.classes(levels), self.network.features
        colours = [content.sampled_colours(pictures / np.float32(255)) for pictures in (levels, self.paintings)]
        return {
            "class_iou": content.class_iou(classes, self.classes(photos)).tolist(),
            "true_iou": content.class_iou(classes, self.truth.parts).tolist(),
            "edges_kept": content.edges_kept(output, photos / np.float32(255)).tolist(),
            "truth_l1": np.abs(output - self.truth.paintings / np.float32(255)).mean((1, 2, 3)).tolist(),
            "kid": kid(features(self.paintings), features(levels)),
            "colours": content.colour_distance(*colours),
        }


def squares(paths: Sequence[Path], side_px: int, resampling: Image.Resampling = Image.Resampling.LANCZOS) -> np.ndarray:
    """The largest centred square of each file, uint8."""
    found = []
    for path in paths:
        with Image.open(path) as image:
            found.append(np.asarray(ImageOps.fit(image, (side_px, side_px), resampling)))
    return np.stack(found)


def domain(folder: Path) -> ArrayImages:
    """The pictures of a folder, without masks."""
    rgb = squares(sorted(folder.iterdir()), STORED_PX)
    return ArrayImages(rgb, np.zeros(rgb.shape[:3], np.uint8))


def load_truth(folder: Path) -> Truth:
    """The scenes held out."""
    views = [sorted(folder.glob(f"*_{view}.*")) for view in ("photo", "painting", "parts")]
    parts = squares(views[2], SIDE_PX, Image.Resampling.NEAREST)
    return Truth(squares(views[0], SIDE_PX), squares(views[1], SIDE_PX), parts)


def trained(run: Run, world: Path, parser: Parser) -> tuple[torch.nn.Module, float]:
    """The generator to paintings, and the seconds of one core that it took."""
    torch.manual_seed(run.seed)
    start_s, settings = time.process_time(), run.settings
    model = build_model("semantic", settings, run.seed, parser=parser)
    state = TrainingState(model, settings, run.seed, CPU)
    sampler = PairSampler(domain(world / PHOTOS), domain(world / PAINTINGS), settings, run.seed)
    for _ in train_steps(state, BatchLoader(sampler, CPU)):
        pass
    return state.results()["a_to_b"].eval(), time.process_time() - start_s


def scored(run: Run, home: Path, judge: Judge, parser: Parser) -> Mapping[str, list[float] | float]:
    """The run's scores, read where it left them."""
    path = home / "runs" / f"{run.name}.json"
    if not path.exists():
        generator, seconds = trained(run, home / "world", parser)
        output = translate(generator, judge.truth.photos)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.concatenate([np.concatenate(list(row), 1) for row in (judge.truth.photos, np.round(output * 255))])
        Image.fromarray(picture.astype(np.uint8)).save(path.with_suffix(".png"))
        path.write_text(json.dumps({**judge.scores(output), "seconds": round(seconds, 1)}), encoding="utf-8")
        print(f"{path.stem}: {seconds:.0f} s of one core", flush=True)
    return json.loads(path.read_text(encoding="utf-8"))


def figures_of(unchanged: Mapping, runs: Mapping[Run, Mapping]) -> dict[str, float | str]:
    """All figures by name: doing nothing, every run, then each weight against none, with its interval."""
    figures = {f"unchanged_{name}": float(np.mean(value)) for name, value in unchanged.items()}
    for run, scores in runs.items():
        figures |= {f"{run.weight:g}@{run.seed}_{name}": float(np.mean(value)) for name, value in scores.items()}
    for weight in dict.fromkeys(run.weight for run in runs):
        of_weight = [scores for run, scores in runs.items() if run.weight == weight]
        figures |= {f"{weight:g}_{name}": float(np.mean([one[name] for one in of_weight])) for name in of_weight[0]}
    for weight, name, found in differences(runs):
        figures |= {f"{weight:g}_gain_{name}{end}": value for end, value in found.items()}
    return {name: round(value, 4) for name, value in figures.items()}


def differences(runs: Mapping[Run, Mapping]) -> list[tuple[float, str, dict[str, float]]]:
    """Each weight above 0 against 0: the mean difference and its interval over seeds and, where there are any, scenes."""
    found = []
    weights = list(dict.fromkeys(run.weight for run in runs))
    for weight, name in product(weights[1:], (*SCORES, "kid", "colours")):
        one, other = (np.array([scores[name] for run, scores in runs.items() if run.weight == of]) for of in (weight, 0.0))
        if one.ndim == 1:
            each = one - other  # of equal seeds
            spread = 4.303 * each.std(ddof=1) / np.sqrt(len(each)) if len(each) == 3 else np.nan
            ends = {"": each.mean(), "_low": each.mean() - spread, "_high": each.mean() + spread}
        else:
            difference = recipe_difference(one, other)
            if difference is None:  # fewer than three seeds
                ends = {"": (one - other).mean(), "_low": np.nan, "_high": np.nan}
            else:
                ends = {"": difference.mean, "_low": difference.interval.low, "_high": difference.interval.high}
        found.append((weight, name, {end: float(value) for end, value in ends.items()}))
    return found


def goals_of(runs: Mapping[Run, Mapping]) -> list[Goal]:
    """The question: content kept at equal likeness to B, by the weight that keeps most of it there."""
    by_weight: dict[float, dict[str, dict[str, float]]] = {}
    for weight, name, found in differences(runs):
        by_weight.setdefault(weight, {})[name] = found
    equal = {weight: found for weight, found in by_weight.items() if found["kid"][""] <= EQUAL_KID}
    if not equal:
        return [Goal(f"a weight whose KID is within {EQUAL_KID} of CycleGAN's", "none", False)]
    best = max(equal, key=lambda weight: equal[weight]["class_iou"][""])
    gain, apart = equal[best]["class_iou"], equal[best]["kid"]
    told = f"{gain['']:.3f} ({gain['_low']:.3f} to {gain['_high']:.3f}) at weight {best:g}, KID {apart['']:+.4f}"
    return [
        Goal(f"classes agree more than CycleGAN's by {AGREEMENT_GAIN} at equal KID", told, gain[""] >= AGREEMENT_GAIN),
        Goal("the gain's interval lies above 0", told, gain["_low"] > 0),
    ]


def main() -> None:
    """Train what is missing, one run after the other, score and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=HOME, help="where pictures, weights and scores are kept")
    parser.add_argument("--weights", type=float, nargs="+", default=[*WEIGHTS], help="0 first: the others are held to it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[*SEEDS])
    parser.add_argument("--steps", type=int, default=160)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if not (asked.home / "world" / TRUTH / "scoring.csv").exists():
        build_two_collections(asked.home / "world")
    for name in ("parts", "parts_judge"):
        ensure_parser(name, asked.home / "weights")
    against, judging = (load_parser(name, asked.home / "weights") for name in ("parts", "parts_judge"))
    truth = load_truth(asked.home / "world" / TRUTH)
    paintings = squares(sorted((asked.home / "world" / PAINTINGS).iterdir()), SIDE_PX)
    judge = Judge(judging, PerceptualNetwork(asked.home / "weights"), truth, paintings)
    unchanged = judge.scores(truth.photos / np.float32(255))
    ordered = [Run(weight, seed, asked.steps) for seed, weight in product(asked.seeds, asked.weights)]
    runs = {run: scored(run, asked.home, judge, against) for run in ordered}
    report("semantic", figures_of(unchanged, runs), goals_of(runs))


if __name__ == "__main__":
    main()

"""Whether the recipes learn the lens, on rendered scenes whose true picture through the lens is known.

Each recipe is trained with each seed on the committed pictures, 66 in focus and 66 others through the lens, with the
profile `small` at 192 px, with the true masks. What it makes of scenes that it never saw is scaled down to 96 px and
compared with the true picture: errors are mean absolute differences in [0, 1], over the background and over the subject, a
rim between them left out. The study's Gaussian blurs at 256 px and is scaled down, as everywhere in the evaluation.

    python benchmarks/learning.py                  train what is not trained yet, then score
    python benchmarks/learning.py --set choosing   the same on the scenes for choosing settings, rendered on first use

Settings are chosen by the second; the first is for the figures that are reported. Weights are kept in `--home`, by the
digest of their settings, so that an interrupted benchmark goes on where it was.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from pipeline import regions
from pipeline.evaluation.measure import metrics
from pipeline.evaluation.measure.baselines import gaussian, gaussian_9x9, paste_subject
from pipeline.models.images import RgbArray, UnitRgbArray, translate
from pipeline.models.lens_generator import build_generator
from pipeline.squares import scaled
from pipeline.studio.pictures import PICTURES, Shot, render_shot
from pipeline.training.calibration import PICTURES as CALIBRATED_BY
from pipeline.training.calibration import calibrate
from pipeline.training.checkpoints import load_generator_weights, save_generator
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import train_steps
from pipeline.training.progress_checks import Checker
from pipeline.training.recipes import TrainingSettings, canonical_digest, resolve
from pipeline.training.sampling import ArrayImages, PairSampler
from pipeline.training.state import TrainingState, build_model, generator_config

HOME = Path(__file__).parent / "learning-home"
STORED_PX, JUDGED_PX = 256, 96
STEPS = {"steps": 500}
RECIPES: dict[str, Mapping[str, object]] = {
    "mask_loss_overlay": STEPS,
    "mask_loss": STEPS,
    "one_sided": STEPS,
    "cyclegan": STEPS,
}
"""Model -> what it changes of the profile `small`: where the scenes' blur is as strong as here, it takes longer."""
SEEDS = (0, 1, 2)
COMPARED = ("cyclegan", "mask_loss", "mask_loss_overlay")
REDUCTION, AIMED_REDUCTION, SUBJECT_ERROR = 0.55, 0.65, 0.0075
SHOWN_SCENES = 8
TIME_FILE = "seconds.json"
STAGES = 8
"""A run is looked at after each eighth."""
PASTED_SIGMAS_PX = (3, 4, 5, 6, 7, 8, 9, 10, 12)
"""At 256 px; the best of them is chosen on the scenes it is reported for, in its favour."""
CHOOSING = [Shot("scoring", 6000 + number, 256, 256, ("sharp", "shallow", "mask")) for number in range(24)]

Scores = Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """One training run, and where it leaves its weights."""

    recipe: str
    seed: int
    home: Path

    @property
    def settings(self) -> TrainingSettings:
        """The profile `small`, longer."""
        return resolve("small", RECIPES[self.recipe])

    @property
    def folder(self) -> Path:
        """Named by all that decides the weights."""
        told = {"model": self.recipe, "seed": self.seed, **self.settings.deciding}
        return self.home / "runs" / f"{self.recipe}-{self.seed}-{canonical_digest(told)[:8]}"

    @property
    def is_done(self) -> bool:
        """Whether it was trained to the end."""
        return (self.folder / TIME_FILE).exists()

    @property
    def seconds(self) -> float:
        """Time of one core that it took."""
        return json.loads((self.folder / TIME_FILE).read_text(encoding="utf-8"))

    def __str__(self) -> str:
        return f"{self.recipe}@{self.seed}"


Curves = Mapping[Run, Sequence[Scores]]
"""Scores of each run after each stage."""


@dataclass(frozen=True)
class Scenes:
    """Scenes at the judged size, floats in [0, 1]; `stored` and `alpha` are the input and its mask at 256 px."""

    stored: RgbArray
    alpha: np.ndarray
    truth: metrics.Rgb
    mask: regions.Mask

    @property
    def rgb(self) -> RgbArray:
        """The input at the judged size."""
        return scaled(self.stored, JUDGED_PX)

    def first(self, count: int) -> "Scenes":
        """The first ones."""
        return Scenes(self.stored[:count], self.alpha[:count], self.truth[:count], self.mask[:count])

    def scores(self, output: metrics.Rgb) -> Scores:
        """Mean errors over the scenes, and the sharpness that is left as a share of the input's."""
        margin = regions.margin_px(JUDGED_PX)
        parts = {
            "background": regions.background_region(self.mask, margin),
            "subject": regions.subject_region(self.mask, margin),
        }
        before = unit(self.rgb)
        errors = {f"{name}_l1": metrics.l1(output, self.truth, region) for name, region in parts.items()}
        left = {f"{name}_sharpness": metrics.relative_sharpness(output, before, region) for name, region in parts.items()}
        return {name: float(np.nanmean(values)) for name, values in {**errors, **left}.items()}


def unit(stored: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [0, 1]."""
    return stored.astype(np.float32) / 255.0


def square(path: Path, side_px: int) -> np.ndarray:
    """The largest centred square of a file, scaled by Lanczos, uint8."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.fit(image, (side_px, side_px), Image.Resampling.LANCZOS))


def training_pictures(domain: str) -> ArrayImages:
    """The committed pictures of `ordinary` or `shallow` with their true masks."""
    masks = sorted((PICTURES / domain).glob("*_mask.png"))
    rgb = [square(path.with_name(path.name.replace("_mask.png", ".jpg")), STORED_PX) for path in masks]
    return ArrayImages(np.stack(rgb), np.stack([square(path, STORED_PX) for path in masks]))


def load_scenes(folder: Path) -> Scenes:
    """The scenes in `folder`, named SEED_sharp.jpg, SEED_shallow.jpg and SEED_mask.png."""
    seeds = sorted(path.name.removesuffix("_mask.png") for path in folder.glob("*_mask.png"))
    sharp, shallow, mask = (
        np.stack([square(folder / f"{seed}_{ending}", STORED_PX) for seed in seeds])
        for ending in ("sharp.jpg", "shallow.jpg", "mask.png")
    )
    return Scenes(sharp, mask, unit(scaled(shallow, JUDGED_PX)), unit(scaled(mask, JUDGED_PX))[..., None])


def choosing_scenes(home: Path) -> Scenes:
    """The scenes that settings are chosen by, rendered where they are missing: minutes, with the extra `studio`."""
    for shot in CHOOSING:
        render_shot(home, shot)
    return load_scenes(home / "scoring")


def train(run: Run) -> None:
    """Train on one core and keep the generator after each stage, the last calibrated, the time it took last."""
    torch.set_num_threads(1)
    torch.manual_seed(run.seed)
    settings, start_s = run.settings, time.process_time()
    state = TrainingState(build_model(run.recipe, settings, run.seed), settings, run.seed, torch.device("cpu"))
    pictures = training_pictures("ordinary"), training_pictures("shallow")
    sampler = PairSampler(*pictures, settings, run.seed)
    loader, per_stage = BatchLoader(sampler, torch.device("cpu")), sampler.total_steps // STAGES
    for metrics_ in train_steps(state, loader):
        if metrics_.step % per_stage == 0:
            save_generator(state.results()["a_to_b"], run.folder / f"{metrics_.step // per_stage}.safetensors", {})
    if settings.lens_calibrated:
        generator = state.results()["a_to_b"]
        calibrate(generator, Checker.of(*pictures, settings.size_px, CALIBRATED_BY))
        save_generator(generator, run.folder / f"{STAGES}.safetensors", {})
    (run.folder / TIME_FILE).write_text(json.dumps(round(time.process_time() - start_s, 1)), encoding="utf-8")


def output_of(run: Run, stage: int, scenes: Scenes) -> UnitRgbArray:
    """What the generator made of the scenes after so many eighths of its run: at its own size, scaled down to the judged."""
    generator, side_px = build_generator(generator_config(run.settings)), run.settings.size_px
    load_generator_weights(generator, run.folder / f"{stage}.safetensors")
    output = translate(generator.eval(), scaled(scenes.stored, side_px), scaled(scenes.alpha, side_px))
    return unit(scaled(np.round(output * 255).astype(np.uint8), JUDGED_PX))


def curve_of(run: Run, scenes: Scenes) -> list[Scores]:
    """Scores after each stage."""
    return [scenes.scores(output_of(run, stage, scenes)) for stage in range(1, STAGES + 1)]


def baseline_scores(scenes: Scenes) -> dict[str, Scores]:
    """The input as it is, the study's Gaussian over the whole picture, and the best Gaussian with the subject pasted."""
    image = unit(scenes.stored)
    mask = (unit(scenes.alpha)[..., None] >= regions.SUBJECT_LEVEL).astype(np.float32)

    def judged(output: metrics.Rgb) -> Scores:
        return scenes.scores(unit(scaled(np.round(output * 255).astype(np.uint8), JUDGED_PX)))

    pasted = {sigma: judged(paste_subject(gaussian(image, sigma), image, mask)) for sigma in PASTED_SIGMAS_PX}
    best = min(pasted, key=lambda sigma: pasted[sigma]["background_l1"])
    return {
        "input": judged(image),
        "gaussian_9x9": judged(gaussian_9x9(image)),
        "best_gaussian_pasted": pasted[best],
    }


def at_equal_blur(curves: Curves) -> dict[str, float]:
    """Mean errors of the recipes with cycles, where their backgrounds are as sharp as those of the least blurring run.

    Along each run the scores are interpolated linearly at the sharpness that this run ends with.
    """
    compared = {run: curve for run, curve in curves.items() if run.recipe in COMPARED}
    if not compared:
        return {}
    level = max(curve[-1]["background_sharpness"] for curve in compared.values())
    figures = {"equal_blur_background_sharpness": level}
    for recipe, name in product(dict.fromkeys(run.recipe for run in compared), ("background_l1", "subject_l1")):
        errors = [_at(curve, level, name) for run, curve in compared.items() if run.recipe == recipe]
        figures[f"equal_blur_{recipe}_{name}"] = mean(errors)
    return figures


def _at(curve: Sequence[Scores], level: float, name: str) -> float:
    """`name` where the curve passes the sharpness `level` for the last time."""
    for before, after in zip(reversed(curve[:-1]), reversed(curve[1:]), strict=True):
        high, low = before["background_sharpness"], after["background_sharpness"]
        if high >= level >= low:
            share = (high - level) / (high - low) if high > low else 1.0
            return before[name] + share * (after[name] - before[name])
    return curve[-1][name]


def figures_of(baselines: Mapping[str, Scores], curves: Curves) -> dict[str, float | str]:
    """All figures by name: baselines, then every seed of every recipe, then recipes at equal blur."""
    figures = {f"{method}_{name}": value for method, scores in baselines.items() for name, value in scores.items()}
    for run, curve in curves.items():
        figures |= {f"{run}_{name}": value for name, value in curve[-1].items()}
        figures[f"{run}_background_reduction"] = 1 - curve[-1]["background_l1"] / baselines["input"]["background_l1"]
        figures[f"{run}_seconds_of_one_core"] = run.seconds
    for recipe in dict.fromkeys(run.recipe for run in curves):
        reductions = [figures[f"{run}_background_reduction"] for run in curves if run.recipe == recipe]
        figures[f"{recipe}_mean_background_reduction"] = mean(reductions)
    return {name: round(value, 4) for name, value in {**figures, **at_equal_blur(curves)}.items()}


def goals_of(baselines: Mapping[str, Scores], curves: Curves) -> list[Goal]:
    """What was asked for: of every seed, not of their mean."""
    before = baselines["input"]["background_l1"]
    limits = [
        (f"background's error at least {share:.0%} below the unchanged input's", "background_l1", (1 - share) * before)
        for share in (REDUCTION, AIMED_REDUCTION)
    ]
    limits += [
        (
            "background's error below the best pasted Gaussian's",
            "background_l1",
            baselines["best_gaussian_pasted"]["background_l1"],
        ),
        ("subject's error", "subject_l1", SUBJECT_ERROR),
    ]
    goals = []
    for recipe, (goal, name, limit) in product(dict.fromkeys(run.recipe for run in curves), limits):
        ends = [curve[-1][name] for run, curve in curves.items() if run.recipe == recipe]
        told = f"{recipe}, worst of {len(ends)} seeds: {goal}, at most {limit:.4f}"
        goals.append(Goal(told, round(max(ends), 4), max(ends) <= limit))
    return goals


def contact_sheet(runs: Sequence[Run], scenes: Scenes, count: int) -> RgbArray:
    """Rows of `count` scenes: input, what each run makes of it, truth."""
    shown = scenes.first(count)
    rows = [unit(shown.rgb), *(output_of(run, STAGES, shown) for run in runs), shown.truth]
    return np.concatenate([np.concatenate(list(np.round(row * 255).astype(np.uint8)), 1) for row in rows])


def main() -> None:
    """Train what is missing, two runs at a time, score and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=["scoring", "choosing"], default="scoring")
    parser.add_argument("--home", type=Path, default=HOME, help="where weights and rendered scenes are kept")
    parser.add_argument("--at-once", type=int, default=2, help="runs at a time, one core each; 0 scores what is there")
    parser.add_argument("--recipes", nargs="+", choices=[*RECIPES], default=[*RECIPES], help="what is trained, if missing")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of the first seed to this file")
    asked = parser.parse_args()
    runs = [Run(recipe, seed, asked.home) for recipe, seed in product(RECIPES, SEEDS)]
    if asked.at_once:
        with ProcessPoolExecutor(asked.at_once, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(train, [run for run in runs if run.recipe in asked.recipes and not run.is_done]))
    scenes = load_scenes(PICTURES / "scoring") if asked.set == "scoring" else choosing_scenes(asked.home)
    curves = {run: curve_of(run, scenes) for run in runs if run.is_done}
    if asked.sheet:
        firsts = [run for run in curves if run.seed == SEEDS[0]]
        Image.fromarray(contact_sheet(firsts, scenes, SHOWN_SCENES)).save(asked.sheet)
    baselines = baseline_scores(scenes)
    name = "learning" if asked.set == "scoring" else "learning_choosing"
    report(name, figures_of(baselines, curves), goals_of(baselines, curves))


if __name__ == "__main__":
    main()

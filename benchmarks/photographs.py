"""Whether the recipes learn a shallow depth of field on photographs, where no truth is known.

    python benchmarks/photographs.py FOLDER_A FOLDER_B     portraits in focus throughout, and such with a soft background

Pictures are divided by their names: half of them train, a quarter is left for choosing settings (`--part choosing`), a
quarter judges and chose nothing. Masks are those that the project's default finds. Each run takes one core some minutes;
`--at-once` of them go side by side. Weights stay in `--home` by the digest of their settings, so that an interrupted
benchmark goes on where it was.

Backgrounds are judged by `pipeline.softness` at 192 px, after rounding to 8 bits as a file would be. `unchanged`, the
study's Gaussian, and a disc of the radius that fits the training pictures best, held off the subject, stand beside the
recipes, and so does the sight of the whole picture that recipes had before.
"""

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from pipeline.config import MasksSection, PhotosSection
from pipeline.dataset.crop import centre_square
from pipeline.evaluation.measure import metrics
from pipeline.evaluation.measure.baselines import disc_held, fitting_width, gaussian_9x9
from pipeline.masks.sources import SegmentedMasks, at_size_of
from pipeline.models.images import AlphaArray, RgbArray, UnitRgbArray, translate
from pipeline.models.lens_generator import build_generator
from pipeline.photos.decode import decode
from pipeline.regions import margin_px, subject_region
from pipeline.softness import Softness, softness, standing
from pipeline.squares import scaled
from pipeline.training.calibration import PICTURES, calibrate
from pipeline.training.checkpoints import load_generator_weights, save_generator
from pipeline.training.loader import BatchLoader
from pipeline.training.loop import train_steps
from pipeline.training.progress_checks import Checker
from pipeline.training.recipes import PROFILES, TrainingSettings, canonical_digest, resolve
from pipeline.training.sampling import ArrayImages, PairSampler
from pipeline.training.state import TrainingState, build_model, generator_config
from resources.segmenter import SegmenterResource
from storage import Home

HOME = Path(__file__).parent / "photographs-home"
STORED_PX, JUDGED_PX = 256, 192
LEAST_COVERAGE = 0.02
PARTS = {"train": (0, 1), "choosing": (2,), "judging": (3,)}
SEEDS = (0, 1, 2)
WHOLE_PICTURE: Mapping[str, object] = {
    "discriminator_sight": "picture", "discriminator_laplacian": True, "r1_weight": 1.0, "identity_weight": 1.0,
    "pool_size": 50, "lens_bounded": False, "lens_highlights": True, "lens_holds_subject": False,
    "lens_calibrated": False, "lens_single_disc": False, "lens_keeps_grain": False, "lens_opens_points": False,
    "plan_scale": 1,
}  # fmt: skip
"""What recipes were before they saw backgrounds alone."""
RECIPES: dict[str, tuple[str, Mapping[str, object], Sequence[int]]] = {
    "one_sided": ("one_sided", {}, SEEDS),
    "mask_loss_overlay": ("mask_loss_overlay", {}, SEEDS),
    "mask_loss": ("mask_loss", {}, SEEDS),
    "cyclegan": ("cyclegan", {}, SEEDS),
    "one_sided_finds_subject": ("one_sided", {"lens_finds_subject": True}, SEEDS),
    "one_sided_whole_picture": ("one_sided", WHOLE_PICTURE, SEEDS[:1]),
}
"""Name -> model, what it changes of the profile `small`, seeds."""
MINUTES = 10
GAP, SCALES, ABOVE, SSIM = 0.40, 0.60, (0.3, 0.7), 0.99
MASK_FREE = ("one_sided_finds_subject",)
"""Recipes that need the photo alone; less was asked of them."""
LIMITS = {"one_sided": (GAP, SSIM), "mask_loss_overlay": (GAP, SSIM), **dict.fromkeys(MASK_FREE, (0.45, 0.98))}
"""Recipes that something was asked of: `gap` at most, and the subject's SSIM at least."""
TIME_FILE = "seconds.json"
SHOWN = 10


@dataclass(frozen=True)
class Run:
    """One training run, and where it leaves its weights."""

    recipe: str
    seed: int
    home: Path

    @property
    def model(self) -> str:
        """Key of the model."""
        return RECIPES[self.recipe][0]

    @property
    def settings(self) -> TrainingSettings:
        """The profile `small` with what the recipe changes."""
        return resolve("small", RECIPES[self.recipe][1])

    @property
    def folder(self) -> Path:
        """Named by all that decides the weights but the pictures."""
        told = {"model": self.model, "seed": self.seed, **self.settings.deciding}
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


@dataclass(frozen=True)
class Photographs:
    """Squares of one domain at `STORED_PX` with the subject's alpha, and the part that each belongs to, 0 to 3."""

    rgb: RgbArray
    alpha: AlphaArray
    quarter: np.ndarray

    def part(self, name: str) -> ArrayImages:
        """Those of a part."""
        chosen = np.isin(self.quarter, PARTS[name])
        return ArrayImages(self.rgb[chosen], self.alpha[chosen])


@dataclass(frozen=True)
class Judged:
    """Pictures at `JUDGED_PX`."""

    rgb: RgbArray
    alpha: AlphaArray

    @classmethod
    def of(cls, images: ArrayImages) -> "Judged":
        """Scaled down as everywhere."""
        return cls(scaled(images.rgb, JUDGED_PX), scaled(images.alpha, JUDGED_PX))

    @property
    def mask(self) -> np.ndarray:
        """Alpha in [0, 1], [n, side, side, 1]."""
        return unit(self.alpha)[..., None]

    def softness(self, output: UnitRgbArray | None = None) -> Softness:
        """Of the pictures as they are, or of what became of them, rounded as a file would be."""
        if output is None:
            return softness(unit(self.rgb), self.mask)
        return softness(unit(np.round(output * 255).astype(np.uint8)), self.mask, flat_too=True)


def unit(stored: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [0, 1]."""
    return stored.astype(np.float32) / 255.0


def photographs(folder: Path, home: Home) -> Photographs:
    """The pictures of a folder with the masks of the project's default; kept in the home for the next time."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    masks = MasksSection()
    people = SegmenterResource(masks).load(home)
    told = [people.version, *masks.refine, *(f"{path.name} {path.stat().st_size}" for path in paths)]
    kept = home.root / "pictures" / f"{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:16]}.npz"
    if not kept.exists():
        source = SegmentedMasks(people, _no_photo, masks.long_side_px, masks.others, tuple(masks.refine))
        kept.parent.mkdir(parents=True, exist_ok=True)
        rgb, alpha, quarter = zip(*_squares(paths, source), strict=True)
        np.savez(kept, rgb=np.stack(rgb), alpha=np.stack(alpha), quarter=np.array(quarter))
    with np.load(kept) as found:
        return Photographs(found["rgb"], found["alpha"], found["quarter"])


def _squares(paths: Sequence[Path], people: SegmentedMasks) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    for path in paths:
        rgb = decode(path.read_bytes(), PhotosSection().max_pixels).rgb
        alpha = at_size_of(people.subject(rgb).alpha, rgb)
        if alpha.mean() / 255 < LEAST_COVERAGE:
            continue
        square = centre_square(alpha.shape[1], alpha.shape[0]).box(alpha.shape[1], alpha.shape[0])
        quarter = int(hashlib.sha256(path.stem.encode()).hexdigest()[:4], 16) % 4
        yield _cut(rgb, square), _cut(alpha, square), quarter


def _cut(picture: np.ndarray, square: tuple[float, float, float, float]) -> np.ndarray:
    size = STORED_PX, STORED_PX
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, box=square))


def _no_photo(sha256: str) -> np.ndarray:
    raise ValueError(f"{sha256}: pictures are handed over here, not read by digest")


def train(run: Run, a: ArrayImages, b: ArrayImages) -> None:
    """Train on one core and keep the generator, the time it took last."""
    torch.set_num_threads(1)
    torch.manual_seed(run.seed)
    settings, start_s = run.settings, time.process_time()
    state = TrainingState(build_model(run.model, settings, run.seed), settings, run.seed, torch.device("cpu"))
    for _ in train_steps(state, BatchLoader(PairSampler(a, b, settings, run.seed), torch.device("cpu"))):
        pass
    generator = state.results()["a_to_b"]
    if settings.lens_calibrated:
        calibrate(generator, Checker.of(a, b, settings.size_px, PICTURES))
    save_generator(generator, run.folder / "a_to_b.safetensors", {})
    (run.folder / TIME_FILE).write_text(json.dumps(round(time.process_time() - start_s, 1)), encoding="utf-8")


def output_of(run: Run, pictures: Judged) -> UnitRgbArray:
    """What the generator made of the pictures."""
    generator = build_generator(generator_config(run.settings))
    load_generator_weights(generator, run.folder / "a_to_b.safetensors")
    return translate(generator.eval(), pictures.rgb, pictures.alpha)


def fitted_radius_px(a: Judged, b: Softness) -> float:
    """Of the disc that brings the training pictures of A nearest to those of B, by both measures."""
    before = a.softness()

    def misfit(radius_px: float) -> float:
        told = standing(before, a.softness(disc_held(unit(a.rgb), a.mask, radius_px)), b, resamples=0)
        return sum(share.value for share in (told.gap, told.scales) if share is not None)

    return fitting_width(misfit, JUDGED_PX)


def scores(output: UnitRgbArray, pictures: Judged, b: Softness) -> dict[str, float]:
    """`gap`, `scales`, `above` and `left` with the ends of their intervals, and the subject's SSIM."""
    told, found = standing(pictures.softness(), pictures.softness(output), b), {}
    for name in ("gap", "scales", "above", "left"):
        estimate = getattr(told, name)
        if estimate is not None:
            found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    region = subject_region(pictures.mask, margin_px(JUDGED_PX))
    found["subject_ssim"] = float(np.nanmean(metrics.ssim(output, unit(pictures.rgb), region)))
    return {name: round(value, 4) for name, value in found.items()}


def goals_of(found: Mapping[str, Mapping[str, float]], runs: Sequence[Run]) -> list[Goal]:
    """What was asked of every run, not of their mean."""
    goals = []
    for run in runs:
        if run.recipe not in LIMITS:
            continue
        one, (gap, ssim), minutes = found[str(run)], LIMITS[run.recipe], round(run.seconds / 60, 1)
        reached = {name: one.get(name, np.nan) for name in ("gap", "scales", "above", "subject_ssim")}
        checks = [
            (f"gap at most {gap}", reached["gap"], reached["gap"] <= gap),
            (f"subject's SSIM at least {ssim}", reached["subject_ssim"], reached["subject_ssim"] >= ssim),
            (f"at most {MINUTES} minutes of one core", minutes, minutes <= MINUTES),
        ]
        if run.recipe not in MASK_FREE:
            checks += [
                (f"scales at most {SCALES}", reached["scales"], reached["scales"] <= SCALES),
                (f"above between {ABOVE[0]} and {ABOVE[1]}", reached["above"], ABOVE[0] <= reached["above"] <= ABOVE[1]),
            ]
        goals += [Goal(f"{run}: {goal}", value, bool(met)) for goal, value, met in checks]
    return goals


def contact_sheet(outputs: Mapping[str, UnitRgbArray], pictures: Judged) -> RgbArray:
    """A row for each method, the pictures as they are first; the columns are photographs."""
    rows = [pictures.rgb[:SHOWN], *(np.round(one[:SHOWN] * 255).astype(np.uint8) for one in outputs.values())]
    return np.concatenate([np.concatenate(list(row), 1) for row in rows])


def main() -> None:
    """Train what is missing, judge and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="of domain A and of domain B")
    parser.add_argument("--part", choices=["choosing", "judging"], default="judging")
    parser.add_argument("--home", type=Path, default=HOME, help="where weights and cut pictures are kept")
    parser.add_argument("--at-once", type=int, default=2, help="runs at a time, one core each; 0 judges what is there")
    parser.add_argument("--recipes", nargs="+", choices=[*RECIPES], default=[*RECIPES])
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of each recipe's first seed to this file")
    asked = parser.parse_args()
    if len(asked.folders) != 2:
        sys.exit("not measured: name two folders of photographs, of domain A and of domain B")
    torch.set_num_threads(1)
    home = Home(asked.home)
    a, b = (photographs(folder, home) for folder in asked.folders)
    runs = [Run(name, seed, asked.home) for name in asked.recipes for seed in RECIPES[name][2]]
    if asked.at_once:
        with ProcessPoolExecutor(asked.at_once, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(partial(train, a=a.part("train"), b=b.part("train")), [run for run in runs if not run.is_done]))
    runs = [run for run in runs if run.is_done]
    pictures, of_b = Judged.of(a.part(asked.part)), Judged.of(b.part(asked.part)).softness()
    radius_px = fitted_radius_px(Judged.of(a.part("train")), Judged.of(b.part("train")).softness())
    image = unit(pictures.rgb)
    outputs = {
        "unchanged": image,
        "gaussian_9x9": unit(scaled(np.round(gaussian_9x9(unit(a.part(asked.part).rgb)) * 255).astype(np.uint8), JUDGED_PX)),
        "fixed_disc": disc_held(image, pictures.mask, radius_px),
        **{str(run): output_of(run, pictures) for run in runs},
    }
    found = {name: scores(output, pictures, of_b) for name, output in outputs.items()}
    if asked.sheet:
        shown = {name: one for name, one in outputs.items() if "@" not in name or name.endswith(f"@{SEEDS[0]}")}
        Image.fromarray(contact_sheet(shown, pictures)).save(asked.sheet)
    figures: dict[str, float | str] = {
        "train_a": len(a.part("train")), "train_b": len(b.part("train")),
        "judged_a": len(pictures.rgb), "judged_b": len(of_b), "steps": PROFILES["small"].steps or 0,
        "fixed_disc_radius_px": radius_px,
    }  # fmt: skip
    figures |= {f"{name} {score}": value for name, one in found.items() for score, value in one.items()}
    figures |= {f"{run} seconds_of_one_core": run.seconds for run in runs}
    report("photographs" if asked.part == "judging" else "photographs_choosing", figures, goals_of(found, runs))


if __name__ == "__main__":
    main()

"""Depth on photographs: is the subject nearer than its surround, and what do refocused photographs look like?

Two networks: TCMonoDepth's small one, brought as ONNX as a user would bring it (`[depth] estimator = "onnx"`), and a model
`depth` that was trained on the rendered scenes alone. For every portrait with a reference mask: the subject's median
disparity against that of what is right around it, and against the rest of the picture. With `--sheet` 40 photographs of
`ordinary/` are refocused on their subject by both and laid out beside the photo; nothing of it is measured, it is to be
looked at. The change of the sharp area is measured: what is in focus must stay as it is.

Whether blur that grows with distance comes nearer to photographs with a shallow depth of field than blur of one size does is
measured as `photographs.py` measures: one disc for every background, and one aperture with its plane on the person, each
of the strength that fits the half of the portraits that trains there best; scored on the quarter that judges there.

    bokehflow train depth --pairs pipeline/studio/pictures/depth/training      a run of the studio's scenes
    python benchmarks/photograph_depth.py PORTRAITS WEIGHTS [RUN] [--sheet FOLDER]

PORTRAITS has `ordinary/`, `shallow/` and `masks/` with a PNG for each picture; WEIGHTS is `tcmonodepth_small.pt.tar`.
Seconds are processor seconds of one thread.
"""

import argparse
import hashlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.photographs import PARTS, Judged, fitted_radius_px, scores, unit
from benchmarks.results import Goal, report
from benchmarks.tc_mono_depth import load
from pipeline.depth.checks import SURROUND_SHARE
from pipeline.depth.colours import coloured, range_of
from pipeline.depth.judging import nearer_than_surround
from pipeline.depth.metrics import widened
from pipeline.depth.onnx_depth import NetworkForm, OnnxDepth
from pipeline.depth.planes import SubjectPlane
from pipeline.depth.predicting import predict_depth
from pipeline.depth.refocus import lens_of_strength, refocus_photo
from pipeline.depth.units import DepthError, DepthMap
from pipeline.evaluation.measure.baselines import disc_held
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.softness import standing
from pipeline.training.inference import load_generator

KINDS = ("ordinary", "shallow")
MEASURED_PX, SHOWN_PX = 256, 512
SHEET, ROW = 40, 4
TILE_PX = 240
STRENGTH_PERCENT = 2.5
FORM = NetworkForm("bytes", 256, 32, "disparity")
STRENGTHS_PERCENT = (0.5, 0.8, 1.2, 1.8, 2.7)
"""Radius of the largest disc by the side, tried on the portraits that train in `photographs.py`."""
JUDGED_PX = 192
GOAL = 0.95

Estimate = Callable[[np.ndarray], DepthMap]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A photograph and the reference alpha of its person, uint8."""

    kind: str
    path: Path
    mask: Path

    def read(self, side_px: int) -> tuple[np.ndarray, np.ndarray]:
        """RGB and alpha at this side."""
        size = side_px, side_px
        with Image.open(self.path) as photo, Image.open(self.mask) as mask:
            rgb, alpha = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS), mask.convert("L").resize(size)
            return np.asarray(rgb), np.asarray(alpha)


def portraits(folder: Path) -> list[Portrait]:
    """All of them, by the digests that are their names."""
    return [
        Portrait(kind, folder / kind / f"{mask.stem}.jpg", mask)
        for kind in KINDS
        for mask in sorted((folder / "masks" / kind).glob("*.png"))
    ]


def as_onnx(weights: Path, folder: Path) -> Path:
    """TCMonoDepth's network as a user has it."""
    path = folder / "tcmonodepth_small.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(load(weights), (torch.zeros(1, 3, 256, 256),), str(path), dynamo=False)
    return path


def from_run(run: Path) -> Estimate:
    """A model of depth that was trained here."""
    generator, settings = load_generator(run)
    assert isinstance(generator, DisparityGenerator)
    return partial(predict_depth, generator, side_px=settings.size_px, is_metric=settings.depth_loss == "log")


def beside_surround(depth: DepthMap, alpha: np.ndarray) -> float:
    """The subject's median disparity by that of what is right around it."""
    subject, reach_px = alpha >= 128, round(SURROUND_SHARE * alpha.shape[0])
    around = widened(subject, reach_px) & ~widened(subject, 1)
    return float(np.median(depth.disparity[subject]) / np.median(depth.disparity[around]))


def measured(estimate: Estimate, photos: Sequence[Portrait]) -> tuple[dict[str, np.ndarray], float]:
    """How much nearer each subject is, by what it is held against; and processor seconds a photo."""
    began, against = time.process_time(), {"surround": [], "rest": []}
    for photo in photos:
        rgb, alpha = photo.read(MEASURED_PX)
        depth = estimate(rgb)
        against["surround"].append(beside_surround(depth, alpha))
        against["rest"].append(nearer_than_surround(depth.disparity, alpha))
    return {name: np.array(values) for name, values in against.items()}, (time.process_time() - began) / len(photos)


def refocused(estimate: Estimate, rgb: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Map in colour, and the photo focused on its person; None where the map puts that behind the rest."""
    depth = estimate(rgb)
    try:
        focus = SubjectPlane().disparity(depth.disparity, depth.is_metric, lambda: alpha)
    except DepthError:
        return None
    lens = lens_of_strength(depth.disparity, focus, STRENGTH_PERCENT)
    return coloured(depth.disparity, *range_of(depth.disparity)), refocus_photo(rgb, depth.disparity, lens)


def part(photos: Sequence[Portrait], kind: str, name: str) -> Judged:
    """The portraits of a part of `photographs.py`, with their reference masks."""
    chosen = [one for one in photos if one.kind == kind and _quarter(one) in PARTS[name]]
    rgb, alpha = zip(*(one.read(JUDGED_PX) for one in chosen), strict=True)
    return Judged(np.stack(rgb), np.stack(alpha))


def _quarter(photo: Portrait) -> int:
    return int(hashlib.sha256(photo.path.stem.encode()).hexdigest()[:4], 16) % 4


def by_depth(maps: Sequence[np.ndarray], pictures: Judged, strength_percent: float) -> np.ndarray:
    """Pictures through one aperture each, focused on the person, all of whom is at one distance; in [0, 1]."""
    found = []
    for rgb, alpha, disparity in zip(pictures.rgb, pictures.alpha, maps, strict=True):
        person = alpha >= 128
        focus = float(np.median(disparity[person]))
        lens = lens_of_strength(disparity, focus, strength_percent)
        blurred = refocus_photo(rgb, np.where(person, np.float32(focus), disparity), lens)
        found.append(np.where(person[..., None], rgb, blurred))
    return unit(np.stack(found))


def layouts(estimates: dict[str, Estimate], photos: Sequence[Portrait]) -> dict[str, str]:
    """Scores of each layout of blur, with 95 % intervals of the gap to photographs with a shallow depth of field."""
    train, judged = (part(photos, "ordinary", name) for name in ("train", "judging"))
    of_train, of_judged = (part(photos, "shallow", name).softness() for name in ("train", "judging"))
    radius_px = fitted_radius_px(train, of_train)
    outputs = {f"one disc of {radius_px:.2f} px": disc_held(unit(judged.rgb), judged.mask, radius_px)}
    before = train.softness()
    for name, estimate in estimates.items():
        maps = {id(images): [estimate(rgb).disparity for rgb in images.rgb] for images in (train, judged)}
        misfits = {}
        for strength in STRENGTHS_PERCENT:
            told = standing(before, train.softness(by_depth(maps[id(train)], train, strength)), of_train, resamples=0)
            misfits[strength] = sum(share.value for share in (told.gap, told.scales) if share is not None)
        best = min(misfits, key=misfits.__getitem__)
        outputs[f"by the depth of {name}, {best:g} %"] = by_depth(maps[id(judged)], judged, best)
    found = {name: scores(output, judged, of_judged) for name, output in outputs.items()}
    return {name: ", ".join(f"{score} {value:.3f}" for score, value in one.items()) for name, one in found.items()}


def sheets(estimates: dict[str, Estimate], photos: Sequence[Portrait], folder: Path) -> dict[str, float]:
    """Draw the sheets: photo, then map and refocused photo of each network. How much each changed the subject's inside."""
    rows, changes = [], {name: [] for name in estimates}
    for photo in photos:
        rgb, alpha = photo.read(SHOWN_PX)
        inside, tiles = ~widened(alpha < 250, 24), [rgb]
        for name, estimate in estimates.items():
            drawn = refocused(estimate, rgb, alpha)
            tiles += drawn or (np.full_like(rgb, 128), np.full_like(rgb, 128))
            if drawn and inside.any():
                changes[name].append(float(np.abs(drawn[1].astype(float) - rgb)[inside].mean() / 255))
        rows.append(np.hstack([np.asarray(Image.fromarray(tile).resize((TILE_PX, TILE_PX))) for tile in tiles]))
        Image.fromarray(np.hstack(tiles)).save(folder / f"{photo.path.stem}.png")
    for number in range(0, len(rows), ROW):
        Image.fromarray(np.vstack(rows[number : number + ROW])).save(folder / f"sheet_{number // ROW}.png")
    return {name: float(np.mean(values)) for name, values in changes.items() if values}


def main() -> None:
    """Measure both, draw, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a finished run of the model `depth`")
    parser.add_argument("--sheet", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if not asked.weights.exists():
        sys.exit(f"{asked.weights} is not there: nothing is measured")
    photos = portraits(asked.portraits)
    with tempfile.TemporaryDirectory() as temporary:
        network = OnnxDepth(as_onnx(asked.weights, Path(temporary)), FORM)
        estimates: dict[str, Estimate] = {"TCMonoDepth small": network.depth}
        if asked.run:
            estimates["trained on scenes"] = from_run(asked.run)
        figures: dict[str, float | str] = {"portraits": len(photos)}
        goals = []
        for name, estimate in estimates.items():
            ratios, seconds = measured(estimate, photos)
            for against, values in ratios.items():
                shares = {kind: (values[[photo.kind == kind for photo in photos]] > 1).mean() for kind in KINDS}
                told = ", ".join(f"{kind} {share:.3f}" for kind, share in shares.items())
                figures[f"{name}, nearer than its {against}"] = told
            share = round(float(np.mean(ratios["surround"] > 1)), 4)
            figures[f"{name}, processor seconds a photo of {MEASURED_PX} px"] = round(seconds, 3)
            goals.append(Goal(f"{name}: the subject is nearer than its surround in 95 %", share, share >= GOAL))
        figures |= layouts(estimates, photos)
        if asked.sheet:
            asked.sheet.mkdir(parents=True, exist_ok=True)
            drawn = [photo for photo in photos if photo.kind == "ordinary"][:SHEET]
            for name, change in sheets(estimates, drawn, asked.sheet).items():
                figures[f"{name}, change inside the subject of {len(drawn)} refocused photos, L1"] = round(change, 4)
    report("photograph_depth", figures, goals)


if __name__ == "__main__":
    main()

"""How near the blur by depth comes to a true lens, where the depth is true; how fast it is, and how much memory it takes.

The 24 scoring scenes were rendered in focus and through a thin lens, with their depth. Beside the layered lens stand the
unchanged picture, the best disc with the subject kept out and pasted back, and a peer: the classical renderer of BokehMe
(Peng et al., CVPR 2022), written down from its paper. Errors are mean absolute differences in [0, 1], at 256 px: over
everything, and over a rim of 4 px on either side of the subject's edge. Input and truth carry noise, which alone costs .007.

    python benchmarks/renderer.py                     the figures and goals
    python benchmarks/renderer.py --furnished FOLDER  also on a set of `bokehflow render-studio FOLDER --scenes N`
    python benchmarks/renderer.py --fit FOLDER        how bright highlights are, on other scenes, rendered there on first use
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from pipeline.depth.refocus import RENDERED_HIGHLIGHTS, ThinLens, refocus_photo
from pipeline.evaluation.measure.baselines import disc_held
from pipeline.models.layered_lens import Highlights
from pipeline.models.lens import linear, srgb
from pipeline.regions import background_region, subject_region
from pipeline.studio.depth_set import STEPS_PER_DIOPTRE
from pipeline.studio.pictures import PICTURES, Shot, render_shot
from pipeline.studio.scene import camera_of

RIM_PX = 4
DISC_RADII_PX = (6, 7, 8, 9, 10, 11, 12)
"""The best of them is chosen on the scenes it is reported for, in its favour."""
GAINS, KNEES = (1.0, 1.5, 2.0, 2.5), (0.95, 0.98)
FITTING = [Shot("scoring", 6000 + number, 256, 256, ("sharp", "shallow", "mask", "depth")) for number in range(8)]
LARGE_PX = (3000, 4000)
REPEATS = 3

Pixels = np.ndarray
Method = Callable[["Scene"], Pixels]


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene at 256 px: uint8 [height, width, 3] in focus and through the lens, mask in [0, 1], disparity in 1/m."""

    sharp: Pixels
    truth: Pixels
    mask: Pixels
    disparity: Pixels
    lens: ThinLens


@dataclass(frozen=True)
class Error:
    """L1 over all, background, subject and rim, and PSNR in dB; means over scenes."""

    l1: float
    background: float
    subject: float
    rim: float
    psnr_db: float

    def __str__(self) -> str:
        zones = f"behind {self.background:.4f}, subject {self.subject:.4f}, rim {self.rim:.4f}"
        return f"{self.psnr_db:.2f} dB, L1 {self.l1:.4f}, {zones}"


def committed(folder: Path, seeds: Sequence[int]) -> list[Scene]:
    """Scenes as `render_shot` leaves them."""
    return [_committed(folder / "scoring", seed) for seed in seeds]


def _committed(folder: Path, seed: int) -> Scene:
    sharp, truth, mask, depth = (
        _read(folder / f"{seed}_{name}") for name in ("sharp.jpg", "shallow.jpg", "mask.png", "depth.png")
    )
    camera = camera_of(seed)
    px_per_dioptre = camera.focal_px(min(mask.shape)) * camera.lens.aperture_mm / 2000
    lens = ThinLens(1 / camera.lens.focus_m, px_per_dioptre)
    return Scene(sharp, truth, mask / 255.0, (1000 / depth.astype(np.float32)).astype(np.float32), lens)


def furnished(folder: Path) -> list[Scene]:
    """Each view of each scene of a set with depth, judged by the picture without noise."""
    views = pd.read_csv(folder / "views.csv", keep_default_na=False).to_dict("records")
    return [_furnished(folder, view) for view in views]


def _furnished(folder: Path, view: Mapping[Hashable, Any]) -> Scene:
    names = view["rgb"], view["clean"] or view["refocused"], view["mask"], view["depth"]
    sharp, truth, mask, stored = (_read(folder / name) for name in names)
    lens = ThinLens(view["focus_dioptre"], view["px_per_dioptre"])
    return Scene(sharp, truth, mask / 255.0, stored.astype(np.float32) / np.float32(STEPS_PER_DIOPTRE), lens)


def _read(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


def error(method: Method, scenes: Sequence[Scene]) -> Error:
    """Of what a method makes of the scenes."""
    return Error(*np.mean([_error(method(scene), scene) for scene in scenes], axis=0).round(4).tolist())


def _error(result: Pixels, scene: Scene) -> list[float]:
    difference = (result.astype(float) - scene.truth) / 255
    l1, mask = np.abs(difference).mean(-1), scene.mask[None, ..., None]
    subject, background = (region(mask, RIM_PX)[0, ..., 0] for region in (subject_region, background_region))
    zones = np.ones_like(subject), background, subject, ~(subject | background)
    means = [float(l1[zone].mean()) if zone.any() else 0.0 for zone in zones]
    return [*means, float(-10 * np.log10((difference**2).mean()))]


# --- methods ----------------------------------------------------------------------------------------------------------


def layered(highlights: Highlights) -> Method:
    """The layered lens."""
    return lambda scene: refocus_photo(scene.sharp, scene.disparity, scene.lens, highlights)


def best_disc(scenes: Sequence[Scene]) -> tuple[float, Error]:
    """The disc over the background, the subject laid over it, whose radius suits the scenes best."""
    errors = {radius: error(lambda scene: _disc(scene, radius), scenes) for radius in DISC_RADII_PX}  # noqa: B023
    radius = min(errors, key=lambda radius: errors[radius].l1)
    return radius, errors[radius]


def _disc(scene: Scene, radius_px: float) -> Pixels:
    return disc_held(scene.sharp[None] / np.float32(255), scene.mask[None, ..., None], radius_px)[0] * 255


def scattered(scene: Scene) -> Pixels:
    """BokehMe's classical renderer: each pixel is scattered over its disc, the smaller discs weigh more, and what arrives is
    divided by the weights; in linear light."""
    unit = torch.tensor(scene.sharp).permute(2, 0, 1) / 255.0
    radius = torch.from_numpy(scene.lens.radii_px(scene.disparity)).abs()
    lit = torch.cat([linear(unit), torch.ones_like(unit[:1])])
    reach = int(radius.max()) + 1
    total = torch.zeros_like(lit)
    for down, right in product(range(-reach, reach + 1), repeat=2):
        distance = float(np.hypot(down, right))
        weight = (0.5 + 0.5 * (4 * (radius - distance)).tanh()) / (radius**2 + 0.2)
        rows, columns = (_shift(step, length) for step, length in zip((down, right), radius.shape, strict=True))
        total[:, rows[1], columns[1]] += (lit * weight)[:, rows[0], columns[0]]
    return srgb(total[:3] / total[3:].clamp(min=1e-6)).permute(1, 2, 0).numpy() * 255


def _shift(step: int, length: int) -> tuple[slice, slice]:
    """From where to where a shift takes the pixels that stay inside."""
    return slice(max(0, -step), length - max(0, step)), slice(max(0, step), length - max(0, -step))


# --- figures ----------------------------------------------------------------------------------------------------------


def seconds_each(method: Method, scenes: Sequence[Scene]) -> float:
    """Processor seconds for one picture, the best of some rounds."""
    rounds = []
    for _ in range(REPEATS):
        start = time.process_time()
        for scene in scenes:
            method(scene)
        rounds.append((time.process_time() - start) / len(scenes))
    return round(min(rounds), 3)


def large_photo() -> None:
    """Refocus 12 MP with a subject, a wall and a floor, in this process; prints processor seconds and megabytes as JSON."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (*LARGE_PX, 3), np.uint8)
    rows, columns = np.mgrid[: LARGE_PX[0], : LARGE_PX[1]].astype(np.float32) / LARGE_PX[0]
    subject = ((columns - 0.67) / 0.3) ** 2 + ((rows - 0.6) / 0.45) ** 2
    floor = 0.4 + 0.6 * np.maximum(rows - 0.5, 0)
    disparity = np.where(subject < 1, 1.1 + 0.15 * (1 - subject), floor).astype(np.float32)
    start = time.process_time()
    refocus_photo(rgb, disparity, ThinLens(1.2, 150.0))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"seconds": round(time.process_time() - start, 1), "megabytes": round(used)}))


def measure_large() -> dict[str, float]:
    """`large_photo` in a process of its own."""
    run = subprocess.run([sys.executable, __file__, "--large"], capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def fit(folder: Path) -> None:
    """How bright clipped light was, on scenes that are not scored."""
    for shot in FITTING:
        render_shot(folder, shot)
    scenes = committed(folder, [shot.seed for shot in FITTING])
    for gain, knee in [(0.0, 0.95), *product(GAINS, KNEES)]:
        print(f"gain {gain}, knee {knee}: {error(layered(Highlights(gain, knee)), scenes)}")


def main(folder: Path | None) -> None:
    """Measure, print, write."""
    scenes = committed(PICTURES, range(3000, 3024))
    radius, disc = best_disc(scenes)
    errors = {
        "unchanged": error(lambda scene: scene.sharp, scenes),
        f"disc of {radius} px, subject pasted": disc,
        "scattered (BokehMe's classical)": error(scattered, scenes),
        "layered, no highlights": error(layered(Highlights()), scenes),
        "layered": error(layered(RENDERED_HIGHLIGHTS), scenes),
    }
    if folder is not None:
        views = furnished(folder)
        errors["furnished: unchanged"] = error(lambda scene: scene.sharp, views)
        errors["furnished: scattered"] = error(scattered, views)
        errors["furnished: layered"] = error(layered(RENDERED_HIGHLIGHTS), views)
    ours, seconds, large = errors["layered"], seconds_each(layered(RENDERED_HIGHLIGHTS), scenes), measure_large()
    figures: dict[str, float | str] = {name: str(one) for name, one in errors.items()}
    figures["seconds at 256 px"] = seconds
    figures["processor seconds at 12 MP"], figures["megabytes at 12 MP"] = large["seconds"], large["megabytes"]
    report(
        "renderer",
        figures,
        [
            Goal("at least 30 dB to the true lens", ours.psnr_db, ours.psnr_db >= 30),
            Goal("31.5 dB with fitted highlights", ours.psnr_db, ours.psnr_db >= 31.5),
            Goal("L1 at most .0155", ours.l1, ours.l1 <= 0.0155),
            Goal("rim at most .024", ours.rim, ours.rim <= 0.024),
            Goal("nearer than the best disc", f"{ours.l1} against {disc.l1}", ours.l1 < disc.l1 and ours.rim < disc.rim),
            Goal("at most .25 s at 256 px, one thread", seconds, seconds <= 0.25),
            Goal("at most 10 s at 12 MP, one thread", large["seconds"], large["seconds"] <= 10),
            Goal("at most 3 GB at 12 MP", large["megabytes"], large["megabytes"] <= 3000),
        ],
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--furnished", type=Path)
    arguments.add_argument("--fit", type=Path)
    arguments.add_argument("--large", action="store_true", help="only the large photo, in this process")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    if chosen.large:
        large_photo()
    elif chosen.fit:
        fit(chosen.fit)
    else:
        main(chosen.furnished)

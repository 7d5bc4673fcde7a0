"""What the benchmarks `depth` and `refocus` share: rendered scenes with true disparity, and networks trained on them.

Scenes for training, choosing settings and scoring have seeds of their own; their files and the runs lie in a folder that is
given, rendered and trained on first use, at 96 px. The committed scoring scenes are figure and ground, the others furnished.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from pipeline.depth.predicting import predict_depth
from pipeline.depth.refocus import ThinLens
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.networks import Generator
from pipeline.picture_layers import scaled_nearest
from pipeline.studio.depth_set import STEPS_PER_DIOPTRE, DepthSet, render_depth_set
from pipeline.studio.pictures import PICTURES
from pipeline.training.inference import load_generator
from pipeline.training.jobs import TrainingJob
from pipeline.training.process import TrainingData, run_training
from pipeline.training.recipes import resolve
from pipeline.training.sampling import ArrayImages

SIDE_PX = 96
SETS = {
    "training": DepthSet(100, SIDE_PX, planes=0, first_seed=20_000, clean=False),
    "training_plain": DepthSet(100, SIDE_PX, planes=0, first_seed=20_500, clean=False, furnished=False),
    "choosing": DepthSet(12, SIDE_PX, planes=0, first_seed=21_000, clean=False),
    "scoring": DepthSet(16, SIDE_PX, planes=6, first_seed=22_000, clean=False),
    "scoring_plain": DepthSet(20, SIDE_PX, planes=2, first_seed=22_500, clean=False, furnished=False),
}
"""Half of the training scenes are furnished, half figure and ground, as those are that score.

Scoring scenes are seen with the eyes in focus and with planes spread evenly in disparity, the farthest first: five of the
furnished ones, of figure and ground the backdrop alone."""
COMMITTED = range(3000, 3024)
SEEDS = (0, 1, 2)

Pixels = np.ndarray


@dataclass(frozen=True, eq=False)
class Scenes:
    """Pictures in focus uint8 [n, side, side, 3], disparity float32 [n, side, side] in 1/m, the sitter's alpha uint8."""

    names: list[str]
    rgb: Pixels
    disparity: Pixels
    alpha: Pixels

    def first(self, count: int) -> "Scenes":
        """So many of them."""
        return Scenes(self.names[:count], self.rgb[:count], self.disparity[:count], self.alpha[:count])

    @classmethod
    def joined(cls, parts: "Sequence[Scenes]") -> "Scenes":
        """Those of every part, in order."""
        kinds = zip(*((part.rgb, part.disparity, part.alpha) for part in parts), strict=True)
        return cls([name for part in parts for name in part.names], *map(np.concatenate, kinds))


@dataclass(frozen=True, eq=False)
class View:
    """A scene through a lens: number of the scene among its set, number of the view, the picture, and the lens."""

    scene: int
    number: int
    picture: Pixels
    lens: ThinLens


@dataclass(frozen=True)
class Method:
    """A model, its profile, and what is changed of that."""

    model: str
    profile: str = "depth"
    settings: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Run:
    """A trained network, after how many steps, and the seconds that these took."""

    generator: Generator
    steps: int
    seconds: float


def rendered(folder: Path, name: str) -> Scenes:
    """One of `SETS`, rendered where it is missing."""
    wanted, place = SETS[name], folder / name
    if not (place / "views.csv").exists():
        render_depth_set(place, wanted, lambda done, total: print(f"{name}: {done} of {total}", file=sys.stderr))
    files = [f"{seed}.png" for seed in wanted.seeds]
    rgb, depth, mask = ([_read(place / kind / file) for file in files] for kind in ("rgb", "depth", "mask"))
    disparity = np.stack(depth).astype(np.float32) / np.float32(STEPS_PER_DIOPTRE)
    return Scenes([file.removesuffix(".png") for file in files], np.stack(rgb), disparity, np.stack(mask))


def committed() -> Scenes:
    """The committed scoring scenes at `SIDE_PX`."""
    folder, side = PICTURES / "scoring", (SIDE_PX, SIDE_PX)
    rgb = [np.asarray(_image(folder / f"{seed}_sharp.jpg").resize(side, Image.Resampling.LANCZOS)) for seed in COMMITTED]
    mask = [np.asarray(_image(folder / f"{seed}_mask.png").resize(side, Image.Resampling.BOX)) for seed in COMMITTED]
    depth_mm = [scaled_nearest(_read(folder / f"{seed}_depth.png"), SIDE_PX) for seed in COMMITTED]
    disparity = [(1000 / depth.astype(np.float32)).astype(np.float32) for depth in depth_mm]
    return Scenes([str(seed) for seed in COMMITTED], np.stack(rgb), np.stack(disparity), np.stack(mask))


def views(folder: Path, name: str, scenes: Scenes) -> list[View]:
    """The views through a lens of one of `SETS`."""
    place, found = folder / name, []
    for row in pd.read_csv(place / "views.csv").to_dict("records"):
        if str(row["scene"]) in scenes.names:
            lens = ThinLens(row["focus_dioptre"], row["px_per_dioptre"])
            scene = scenes.names.index(str(row["scene"]))
            found.append(View(scene, int(row["view"]), _read(place / str(row["refocused"])), lens))
    return found


def trained(method: Method, seed: int, scenes: Scenes, folder: Path, steps: int | None) -> Run:
    """A run in `folder`, trained where it is missing; `steps` where not those of the profile."""
    settings = resolve(method.profile, {**method.settings, **({} if steps is None else {"steps": steps})})
    changes = "".join(f"-{name}-{value}" for name, value in sorted(method.settings.items()))
    name = f"{method.model}{changes}-{len(scenes.names)}-{settings.steps}-{seed}"
    job = TrainingJob(
        run_id=name,
        run_dir=folder / "runs" / name,
        recipe=method.model,
        seed=seed,
        model=method.model,
        settings=settings,
        snapshot_id=f"{scenes.names[0]}-{scenes.names[-1]}",
        manifest_path=folder,
        shards_dir=folder,
    )
    source = ArrayImages(scenes.rgb, scenes.alpha, {"depth": scenes.disparity})
    done = run_training(job, lambda: TrainingData(source, source, source))
    generator, _ = load_generator(job.run_dir)
    assert done is not None
    return Run(generator, int(settings.steps or 0), done.seconds)


def predicted(generator: Generator, scenes: Scenes) -> list[Pixels]:
    """The disparity of each picture as photos get it."""
    assert isinstance(generator, DisparityGenerator)
    return [predict_depth(generator, picture, SIDE_PX, is_metric=True).disparity for picture in scenes.rgb]


def arguments(text: str | None, models: Sequence[str], several: bool = False) -> argparse.Namespace:
    """Of both benchmarks: one of the models, the first by default, or `several`, all by default. One thread from here on."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the scenes and runs; what is missing is made")
    if several:
        parser.add_argument("--models", choices=models, default=models, nargs="+", metavar="MODEL")
    else:
        parser.add_argument("--model", choices=models, default=models[0])
    parser.add_argument("--scenes", type=int, default=200, help="to train on, at most 200")
    parser.add_argument("--steps", type=int, help="else those of the profile")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    return parser.parse_args()


def training_scenes(folder: Path, count: int) -> Scenes:
    """So many training scenes, of either kind by half; raises ValueError if that is more than there are."""
    halves = []
    for name, scenes in (("training", count - count // 2), ("training_plain", count // 2)):
        if scenes > SETS[name].scenes:
            raise ValueError(f"there are {SETS[name].scenes} scenes of {name}, not {scenes}")
        halves.append(rendered(folder, name).first(scenes))
    return Scenes.joined(halves)


def _image(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def _read(path: Path) -> Pixels:
    return np.asarray(_image(path))

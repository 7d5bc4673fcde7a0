"""Whether refocused pictures obey the plane that they were told, on scenes that trained no network; three seeds.

Two planes: 20 scenes of figure and ground are photographed with the focus on the eyes and on the backdrop. Five planes: 16
furnished scenes, with the focus on planes spread evenly in disparity, at some of which there is hardly anything. A method is
told one of them by an exact map of what is sharp, by a patch drawn roughly, by a click, or by its distance, and obeys if its
picture is nearer (L1) to the true one of that plane than to those of the others: by chance, one in two or in five. No
network here saw these planes.

`depth` and `refocus` predict disparity from the picture alone; the plane is arithmetic on it and the blur is computed.
`defocus` is the fourth study's way: a network is shown the map and paints. It is held against pictures by true depth and the
lens that it was trained with. Its weights of 2000 in focus, and maps of rough patches in training, stand beside.

    python benchmarks/refocus.py FOLDER                     the figures and goals; FOLDER is that of `benchmarks/depth.py`
    python benchmarks/refocus.py FOLDER --models refocus    of one method alone, in results of its own
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from benchmarks.scenes_with_depth import (
    SIDE_PX,
    Method,
    Pixels,
    Run,
    Scenes,
    View,
    arguments,
    predicted,
    rendered,
    trained,
    training_scenes,
    views,
)
from pipeline.depth.judging import FARTHEST_M
from pipeline.depth.metrics import aligned_in_disparity, widened
from pipeline.depth.obedience import in_focus, nearest_truth, plane_under, ways_to_tell
from pipeline.depth.refocus import ThinLens, refocus_photo
from pipeline.models.defocus import LARGEST_SHARE, THRESHOLD, greys, patches
from pipeline.models.images import translate
from pipeline.models.networks import Generator
from pipeline.studio.depth_set import planes_through
from pipeline.studio.scene import camera_of

METHODS = {
    "depth": Method("depth"),
    "refocus": Method("refocus"),
    "defocus": Method("defocus", "defocus"),
    "defocus, 2000 in focus": Method("defocus", "defocus", {"focus_weights": "grey"}),
    "defocus, trained on patches": Method("defocus", "defocus", {"focus_map": "patches"}),
}
"""Trained where their runs are missing, each in some ten minutes on one core; the first is what `bokehflow refocus --model`
does with a run of `depth`."""
WAYS = ("map", "patch", "click", "distance")
"""The last in metres, which only those understand that know depth."""
CLICK_PX = 5
"""Radius of what a network that paints is shown of a click."""
RESAMPLED = 2000
FITTED = ", scale and shift fitted"
"""Beside what predicts depth: what is amiss beyond these two, which a picture hardly tells."""

Truths = Mapping[int, list[Pixels]]
"""By the scene's number, the true pictures of its planes."""
Paint = Callable[[View, Pixels | None], Pixels]
"""A view, and the region that tells its plane, or None where its distance does, to the refocused picture."""


@dataclass
class Answers:
    """What one method made of all pictures of all seeds, told in some ways."""

    obeyed: dict[str, list[bool]] = field(default_factory=dict)
    apart: dict[str, list[float]] = field(default_factory=dict)
    beyond_empty: list[float] = field(default_factory=list)
    scenes: list[int] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    unchanged: list[float] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)

    def share(self, way: str) -> float:
        """Of the pictures whose plane was obeyed."""
        return float(np.mean(self.obeyed[way]))

    @property
    def error(self) -> float:
        """L1 to the true picture of its own plane, told by a map, in parts of that of the unchanged picture."""
        return float(np.sum(self.own) / np.sum(self.unchanged))

    def errors(self) -> tuple[float, float]:
        """Its 95 % interval, scenes drawn anew with all that was asked of them."""
        scenes, rng = np.array(self.scenes), np.random.default_rng(0)
        of_scene = np.array([
            [np.sum(np.array(kind)[scenes == scene]) for kind in (self.own, self.unchanged)] for scene in np.unique(scenes)
        ])  # fmt: skip
        drawn = of_scene[rng.integers(0, len(of_scene), (RESAMPLED, len(of_scene)))].sum(1)
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
        return float(low), float(high)

    @property
    def changed_in_focus(self) -> float:
        """L1 to the input where the picture is in focus."""
        return float(np.mean(self.changed))

    def text(self) -> str:
        """The figures, with 95 % intervals of Wilson's for shares.

        How far apart a scene's pictures are, focused on its planes, is told in parts of how far the true ones are (L1): 0
        where the plane is ignored. So is, of methods that paint, how far what a click makes is from what an empty map makes.
        """
        told = [f"obeyed by {way} {self.share(way):.3f} ({_wilson(self.obeyed[way])})" for way in self.obeyed]
        apart = [f"planes apart by {way} {np.mean(values):.2f}" for way, values in self.apart.items()]
        if self.beyond_empty:
            apart.append(f"a click and an empty map apart {np.mean(self.beyond_empty):.2f}")
        low, high = self.errors()
        return ", ".join([
            *told, *apart, f"error {self.error:.3f} ({low:.2f} to {high:.2f}) of unchanged",
            f"changed in focus {self.changed_in_focus:.4f}",
        ])  # fmt: skip


@dataclass(frozen=True)
class Exam:
    """Scenes, and the views of each that a method is asked for."""

    scenes: Scenes
    seen: Sequence[View]

    @classmethod
    def of(cls, folder: Path, name: str, first_view: int) -> "Exam":
        """A set of scenes, with its views from that number on."""
        scenes = rendered(folder, name)
        return cls(scenes, [view for view in views(folder, name, scenes) if view.number >= first_view])

    @classmethod
    def of_training(cls, scenes: Scenes) -> "Exam":
        """Scenes that trained, with lenses as those of figure and ground have them; no true lens has seen them."""
        seen = []
        for number, name in enumerate(scenes.names):
            camera = camera_of(int(name))
            px_per_dioptre = camera.focal_px(SIDE_PX) * camera.lens.aperture_mm / 2000
            planes = 1 / camera.lens.focus_m, *planes_through(scenes.disparity[number], 1)
            lenses = [ThinLens(plane, px_per_dioptre) for plane in planes]
            seen += [View(number, view, scenes.rgb[number], lens) for view, lens in enumerate(lenses)]
        return cls(scenes, seen)

    def truths(self, picture_of: Callable[[View], Pixels]) -> dict[int, list[Pixels]]:
        """What is held to be the picture of each view."""
        found: dict[int, list[Pixels]] = {}
        for view in self.seen:
            found.setdefault(view.scene, []).append(picture_of(view))
        return found


def ask(method: Answers, paint: Paint, exam: Exam, truths: Truths) -> None:
    """Ask a method for every view of every scene, in every way that it understands."""
    scenes, asked = exam.scenes, Counter[int]()
    results: dict[tuple[int, str], list[Pixels]] = {}
    for view in exam.seen:
        scene, own = view.scene, asked[view.scene]
        asked[scene] += 1
        sharp = in_focus(scenes.disparity[scene], view.lens)
        told: dict[str, Pixels | None] = {
            **ways_to_tell(sharp, np.random.default_rng([scene, view.number])),
            "distance": None,
        }
        for way in method.obeyed:
            result = paint(view, told[way])
            results.setdefault((scene, way), []).append(result)
            method.obeyed[way].append(nearest_truth(result, truths[scene]) == own)
            if way == "map":
                method.scenes.append(scene)
                method.own.append(_l1(result, truths[scene][own]))
                method.unchanged.append(_l1(scenes.rgb[scene], truths[scene][own]))
                method.changed.append(_l1(result[sharp], scenes.rgb[scene][sharp]))
            if way == "click" and "distance" not in method.obeyed:
                empty = paint(view, np.zeros_like(sharp))
                method.beyond_empty.append(_l1(result, empty) / _apart(truths[scene]))
    for (scene, way), made in results.items():
        method.apart.setdefault(way, []).append(_apart(made) / _apart(truths[scene]))


def by_disparity(scenes: Scenes, maps: Sequence[Pixels]) -> Paint:
    """The plane is what the map has under the region."""

    def paint(view: View, region: Pixels | None) -> Pixels:
        disparity = maps[view.scene]
        focus = view.lens.focus if region is None else plane_under(disparity, region)
        return refocus_photo(scenes.rgb[view.scene], disparity, ThinLens(focus, view.lens.px_per_dioptre))

    return paint


def fitted(scenes: Scenes, maps: Sequence[Pixels]) -> list[Pixels]:
    """The maps as they would be if their scale and shift were known."""
    return [
        (1 / aligned_in_disparity(ours, 1 / true, true > 0, FARTHEST_M)).astype(np.float32)
        for ours, true in zip(maps, scenes.disparity, strict=True)
    ]


def painted(scenes: Scenes, generator: Generator, on_patches: bool) -> Paint:
    """By a network that is shown a map of what is near the plane in tones, as it was trained, or the region itself."""

    def paint(view: View, region: Pixels | None) -> Pixels:
        assert region is not None
        disparity = scenes.disparity[view.scene]
        is_map = np.array_equal(region, in_focus(disparity, view.lens))
        focus = _near_in_tones(disparity, view.lens.focus) if is_map else region
        if focus.sum() == 1:
            focus = widened(focus, CLICK_PX)
        if on_patches and is_map:
            focus = patches(torch.from_numpy(focus).float()[None, None])[0, 0].numpy()
        alpha = np.round(255 * focus.astype(np.float32)).astype(np.uint8)
        made = translate(generator, scenes.rgb[view.scene][None], alpha[None])[0]
        return np.round(255 * made).astype(np.uint8)

    return paint


def by_true_depth(scenes: Scenes) -> Callable[[View], Pixels]:
    """Makes a view by true depth, through the lens that `defocus` is trained with."""

    def picture(view: View) -> Pixels:
        disparity = scenes.disparity[view.scene]
        largest_px = LARGEST_SHARE * min(disparity.shape)
        lens = ThinLens(view.lens.focus, largest_px / float(disparity.max() - disparity[disparity > 0].min()))
        return refocus_photo(scenes.rgb[view.scene], disparity, lens)

    return picture


def _near_in_tones(disparity: Pixels, focus: float) -> Pixels:
    known = disparity[disparity > 0]
    tone = (focus - known.min()) / (known.max() - known.min())
    return np.abs(greys(torch.from_numpy(disparity)[None, None])[0, 0].numpy() - tone) <= THRESHOLD


def _l1(result: Pixels, truth: Pixels) -> float:
    return float(np.abs(result.astype(float) - truth).mean() / 255)


def _apart(pictures: Sequence[Pixels]) -> float:
    return float(np.mean([_l1(one, other) for one, other in combinations(pictures, 2)]))


def _wilson(obeyed: Sequence[bool]) -> str:
    count, share, z = len(obeyed), float(np.mean(obeyed)), 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * float(np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)))
    return f"{middle - half:.2f} to {middle + half:.2f}"


def examined(exam: Exam, runs_of: Mapping[str, Sequence[Run]]) -> dict[str, Answers]:
    """The answers of true depth and of every method."""
    scenes, true = exam.scenes, exam.truths(lambda view: view.picture)
    answers = {"true depth": Answers({way: [] for way in WAYS})}
    ask(answers["true depth"], by_disparity(scenes, list(scenes.disparity)), exam, true)
    predicting = {name: runs for name, runs in runs_of.items() if METHODS[name].model != "defocus"}
    for name, runs in predicting.items():
        answers |= {told: Answers({way: [] for way in WAYS}) for told in (name, name + FITTED)}
        for run in runs:
            maps = predicted(run.generator, scenes)
            ask(answers[name], by_disparity(scenes, maps), exam, true)
            ask(answers[name + FITTED], by_disparity(scenes, fitted(scenes, maps)), exam, true)
    return answers | painted_by_all(exam, {name: runs for name, runs in runs_of.items() if name not in predicting})


def painted_by_all(exam: Exam, runs_of: Mapping[str, Sequence[Run]]) -> dict[str, Answers]:
    """The answers of methods that paint, held against what they were trained for."""
    answers, by_depth = {}, exam.truths(by_true_depth(exam.scenes))
    for name, runs in runs_of.items():
        on_patches = METHODS[name].settings.get("focus_map") == "patches"
        answers[name] = Answers({way: [] for way in WAYS[:-1]})
        for run in runs:
            ask(answers[name], painted(exam.scenes, run.generator, on_patches), exam, by_depth)
    return answers


def main() -> None:
    """Train what is missing, ask, print, write."""
    asked = arguments(__doc__, list(METHODS), several=True)
    training = training_scenes(asked.folder, asked.scenes)
    two, five = Exam.of(asked.folder, "scoring_plain", 0), Exam.of(asked.folder, "scoring", 1)
    runs_of = {
        name: [trained(METHODS[name], seed, training, asked.folder, asked.steps) for seed in asked.seeds]
        for name in asked.models
    }
    figures: dict[str, float | str] = {}
    for name, runs in runs_of.items():
        seconds = ", ".join(f"{run.seconds:.0f}" for run in runs)
        figures[f"{name}: seeds, steps, seconds of training"] = f"{len(runs)}, {runs[0].steps}, {seconds}"
    of_two, of_five = examined(two, runs_of), examined(five, runs_of)
    painting = {name: runs for name, runs in runs_of.items() if METHODS[name].model == "defocus"}
    seen = painted_by_all(Exam.of_training(rendered(asked.folder, "training_plain").first(len(two.scenes.names))), painting)
    for planes, answers in (("two planes", of_two), ("five planes", of_five), ("two planes of training pictures", seen)):
        figures |= {f"{planes}, {name}": found.text() for name, found in answers.items()}
    goals = [_goals(name, of_two[name], of_five[name]) for name in ("depth", "refocus") if name in runs_of]
    report(result_of(asked.models), figures, list(chain.from_iterable(goals)))


def result_of(models: Sequence[str]) -> str:
    """The name of the results: one method alone leaves those of several as they are."""
    return f"refocus_of_{models[0]}" if len(models) == 1 else "refocus"


def _goals(name: str, two: Answers, five: Answers) -> Iterator[Goal]:
    for way in ("map", "click"):
        yield Goal(f"{name}: 95 % of two planes obeyed, told by {way}", f"{two.share(way):.3f}", two.share(way) >= 0.95)
    told = five.share("distance")
    yield Goal(f"{name}: 95 % of five planes obeyed, told by distance", f"{told:.3f}", told >= 0.95)
    yield Goal(f"{name}: error to the own plane at most .45 of unchanged", f"{two.error:.3f}", two.error <= 0.45)
    yield Goal(f"{name}: error to planes never seen at most .5 of unchanged", f"{five.error:.3f}", five.error <= 0.5)
    changed = two.changed_in_focus
    yield Goal(f"{name}: in focus changed by at most the input's noise, .0107", f"{changed:.4f}", changed <= 0.0107)


if __name__ == "__main__":
    main()

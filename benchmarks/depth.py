"""How right depth from one picture is, learnt from rendered scenes in minutes on one core; three seeds.

The model `depth` is trained on 100 furnished scenes and 100 of figure and ground, and scored on others: 24 committed ones,
which are figure and ground, and 16 furnished ones, where things stand at many distances. Beside it stand the same distance
everywhere, the mean map of the training scenes, and the true mask with one distance for the subject and one for the rest.
Scores are means over pictures.

The whole chain of the second study, picture to depth to blur, is held against pictures through a true lens, focused on the
eyes and on the farthest plane: how much of the way it goes from the unchanged picture to what true depth gives (L1).

    python benchmarks/depth.py FOLDER                 the figures and goals
    python benchmarks/depth.py FOLDER --model refocus the same of the network that `refocus` trains
    python benchmarks/depth.py FOLDER --model pix2pix the second study's comparison: L1, conditional GAN, and both
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from benchmarks.scenes_with_depth import (
    Method,
    Pixels,
    Scenes,
    View,
    arguments,
    committed,
    predicted,
    rendered,
    trained,
    training_scenes,
    views,
)
from pipeline.depth.judging import WithoutNetwork, judged, means
from pipeline.depth.obedience import in_focus, plane_under
from pipeline.depth.refocus import ThinLens, refocus_photo

SHOWN = ("abs_rel", "rmse", "log10", "silog", "delta1", "delta2", "aligned_abs_rel", "aligned_delta1", "edge_f1")
PLACES = {"eyes": 0, "farthest plane": 1}
"""Numbers of the views that the chain is held against."""
COMPARED = {
    "depth": {"depth": Method("depth")},
    "refocus": {"refocus": Method("refocus")},
    "pix2pix": {
        "pix2pix": Method("pix2pix", "pix2pix_small"),
        "pix2pix, L1 alone": Method("pix2pix", "pix2pix_small", {"gan_weight": 0.0}),
        "pix2pix, GAN alone": Method("pix2pix", "pix2pix_small", {"l1_weight": 0.0}),
    },
}
"""By the model that is asked for."""


def scores(scenes: Scenes, methods: Mapping[str, Sequence[Pixels]]) -> pd.DataFrame:
    """Of every method on every scene."""
    return pd.concat([judged(name, scenes.names, maps, list(scenes.disparity)) for name, maps in methods.items()])


def closed(scenes: Scenes, seen: Sequence[View], maps: Sequence[Pixels], number: int) -> float:
    """Share of the gap between unchanged pictures and those by true depth that a method's depth closes, a view each."""
    chosen = [view for view in seen if view.number == number]
    ours = np.mean([error(scenes, view, maps[view.scene]) for view in chosen])
    truth = np.mean([error(scenes, view, scenes.disparity[view.scene]) for view in chosen])
    nothing = np.mean([_l1(scenes.rgb[view.scene], view.picture) for view in chosen])
    return float((nothing - ours) / (nothing - truth))


def error(scenes: Scenes, view: View, disparity: Pixels) -> float:
    """L1 to the true picture of a scene that was refocused by `disparity`, its plane told by a map of what is sharp."""
    sharp = in_focus(scenes.disparity[view.scene], view.lens)
    lens = ThinLens(plane_under(disparity, sharp), view.lens.px_per_dioptre)
    return _l1(refocus_photo(scenes.rgb[view.scene], disparity, lens), view.picture)


def _l1(picture: Pixels, truth: Pixels) -> float:
    return float(np.abs(picture.astype(float) - truth).mean() / 255)


def spread(values: Sequence[float]) -> str:
    """The mean, and the least and greatest of the seeds."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _rows(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """A table of means as its rows by method."""
    return {str(method): {metric: float(table[metric].loc[method]) for metric in SHOWN} for method in table.index}


class Judged:
    """Scenes, and the scores on them of each method, a table a seed."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes
        self.seeds: dict[str, list[dict[str, float]]] = {}

    def add(self, method: str, maps: Sequence[Pixels]) -> None:
        """The scores of one more seed."""
        self.seeds.setdefault(method, []).append(_rows(means(scores(self.scenes, {method: maps})))[method])

    def mean(self, method: str) -> dict[str, float]:
        """Over seeds."""
        return {metric: float(np.mean([row[metric] for row in self.seeds[method]])) for metric in SHOWN}

    def without(self, without: WithoutNetwork) -> dict[str, dict[str, float]]:
        """The scores of what needs no network."""
        return _rows(means(scores(self.scenes, without.predictions(list(self.scenes.alpha)))))

    def texts(self, without: WithoutNetwork) -> dict[str, str]:
        """The scores of all, networks last."""
        told = {
            method: ", ".join(f"{metric} {row[metric]:.3f}" for metric in SHOWN)
            for method, row in self.without(without).items()
        }
        for method, rows in self.seeds.items():
            told[method] = ", ".join(f"{metric} {spread([row[metric] for row in rows])}" for metric in SHOWN)
        return told


def _goals(plain: Judged, rich: Judged, without: WithoutNetwork, least: float) -> list[Goal]:
    (method,) = plain.seeds
    of_plain, of_rich = plain.mean(method), rich.mean(method)["abs_rel"]
    two = rich.without(without)["mask, two constants"]["abs_rel"]
    return [
        Goal("AbsRel at most .13", round(of_plain["abs_rel"], 4), of_plain["abs_rel"] <= 0.13),
        Goal("δ1 at least .85", round(of_plain["delta1"], 4), of_plain["delta1"] >= 0.85),
        Goal("aligned AbsRel at most .10", round(of_plain["aligned_abs_rel"], 4), of_plain["aligned_abs_rel"] <= 0.10),
        Goal("aligned δ1 at least .88", round(of_plain["aligned_delta1"], 4), of_plain["aligned_delta1"] >= 0.88),
        Goal(
            "furnished: at most half the AbsRel of the true mask with two constants",
            f"{of_rich:.3f} against {two:.3f}",
            of_rich <= two / 2,
        ),
        Goal("at least 85 % of the gap closed on both planes", f"{least:.0%}", least >= 0.85),
    ]


def _goals_of_pix2pix(plain: Judged) -> list[Goal]:
    both, l1 = (plain.mean(name)["abs_rel"] for name in ("pix2pix", "pix2pix, L1 alone"))
    return [
        Goal(
            "with the GAN no worse than L1 alone by more than .01 of AbsRel",
            f"{both:.3f} against {l1:.3f}",
            both <= l1 + 0.01,
        )
    ]


def main() -> None:
    """Train what is missing, score, print, write."""
    asked = arguments(__doc__, list(COMPARED))
    training = training_scenes(asked.folder, asked.scenes)
    plain, rich = Judged(committed()), Judged(rendered(asked.folder, "scoring"))
    rich_views = views(asked.folder, "scoring", rich.scenes)
    shares: dict[tuple[str, str], list[float]] = {}
    figures: dict[str, float | str] = {}
    for name, method in COMPARED[asked.model].items():
        runs = [trained(method, seed, training, asked.folder, asked.steps) for seed in asked.seeds]
        for run in runs:
            plain.add(name, predicted(run.generator, plain.scenes))
            maps = predicted(run.generator, rich.scenes)
            rich.add(name, maps)
            for place, number in PLACES.items():
                shares.setdefault((name, place), []).append(closed(rich.scenes, rich_views, maps, number))
        seconds = ", ".join(f"{run.seconds:.0f}" for run in runs)
        figures[f"{name}: training scenes, steps"] = f"{len(training.names)}, {runs[0].steps}"
        figures[f"{name}: seconds of training a run, others running beside"] = seconds
    without = WithoutNetwork.of(list(training.disparity), list(training.alpha))
    for kind, judged_on in (("figure and ground", plain), ("furnished", rich)):
        figures |= {f"{kind}, {name}": text for name, text in judged_on.texts(without).items()}
    figures |= {f"{name}: gap closed, focus on {place}": spread(values) for (name, place), values in shares.items()}
    least = min(float(np.mean(shares[asked.model, place])) for place in PLACES)
    goals = _goals(plain, rich, without, least) if asked.model != "pix2pix" else _goals_of_pix2pix(plain)
    report({"depth": "depth", "refocus": "depth_of_refocus", "pix2pix": "depth_by_pix2pix"}[asked.model], figures, goals)


if __name__ == "__main__":
    main()

"""How right depth from one picture is, learnt from rendered scenes in minutes on one core; three seeds.

The model `depth` is trained on 200 furnished scenes and scored on others: 24 committed ones, which are figure and ground,
and 16 furnished ones, where things stand at many distances. Beside it stand the same distance everywhere, the mean map of
the training scenes, and the true mask with one distance for the subject and one for the rest. Scores are means over
pictures.

The whole chain of the second study, picture to depth to blur, is held against pictures through a true lens, focused on the
eyes and on the farthest plane: how much of the way it goes from the unchanged picture to what true depth gives (L1).

    python benchmarks/depth.py FOLDER                 the figures and goals
    python benchmarks/depth.py FOLDER --model refocus the same of the network that `refocus` trains
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from benchmarks.scenes_with_depth import (
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
EYES, FARTHEST = 0, 1
"""Numbers of the views that the chain is held against."""


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


def main() -> None:
    """Train what is missing, score, print, write."""
    asked = arguments(__doc__)
    training = training_scenes(asked.folder, asked.scenes)
    rich, plain = rendered(asked.folder, "scoring"), committed()
    rich_views = views(asked.folder, "scoring", rich)
    without = WithoutNetwork.of(list(training.disparity), list(training.alpha))
    table: dict[str, list[pd.DataFrame]] = {}
    shares: dict[str, list[float]] = {"eyes": [], "farthest plane": []}
    seconds = []
    for seed in asked.seeds:
        network, took = trained(asked.model, seed, training, asked.folder, asked.steps)
        seconds.append(took)
        for name, scenes in (("figure and ground", plain), ("furnished", rich)):
            maps = predicted(network, scenes)
            table.setdefault(name, []).append(means(scores(scenes, {asked.model: maps})))
            if scenes is rich:
                shares["eyes"].append(closed(rich, rich_views, maps, EYES))
                shares["farthest plane"].append(closed(rich, rich_views, maps, FARTHEST))
    figures: dict[str, float | str] = {}
    baselines = {}
    for name, scenes in (("figure and ground", plain), ("furnished", rich)):
        baselines[name] = means(scores(scenes, without.predictions(list(scenes.alpha))))
        for method, row in baselines[name].iterrows():
            figures[f"{name}, {method}"] = ", ".join(f"{metric} {row[metric]:.3f}" for metric in SHOWN)
        found = pd.concat(table[name])
        figures[f"{name}, {asked.model}"] = ", ".join(f"{metric} {spread(found[metric].tolist())}" for metric in SHOWN)
    for place, values in shares.items():
        figures[f"gap closed, focus on {place}"] = spread(values)
    figures["training scenes, steps a run"] = f"{len(training.names)}, {asked.steps or 'profile depth'}"
    figures["seconds of training a run, other programs running"] = ", ".join(f"{value:.0f}" for value in seconds)
    of_plain, of_rich = (pd.concat(table[name]).mean() for name in ("figure and ground", "furnished"))
    two = float(baselines["furnished"].loc["mask, two constants", "abs_rel"])
    least = min(float(np.mean(values)) for values in shares.values())
    goals = [
        Goal("AbsRel at most .13", round(of_plain["abs_rel"], 4), bool(of_plain["abs_rel"] <= 0.13)),
        Goal("δ1 at least .85", round(of_plain["delta1"], 4), bool(of_plain["delta1"] >= 0.85)),
        Goal("aligned AbsRel at most .10", round(of_plain["aligned_abs_rel"], 4), bool(of_plain["aligned_abs_rel"] <= 0.10)),
        Goal("aligned δ1 at least .88", round(of_plain["aligned_delta1"], 4), bool(of_plain["aligned_delta1"] >= 0.88)),
        Goal(
            "furnished: at most half the AbsRel of the true mask with two constants",
            f"{of_rich['abs_rel']:.3f} against {two:.3f}",
            bool(of_rich["abs_rel"] <= two / 2),
        ),
        Goal("at least 85 % of the gap closed on both planes", f"{least:.0%}", least >= 0.85),
    ]
    report("depth" if asked.model == "depth" else "depth_of_refocus", figures, goals)


if __name__ == "__main__":
    main()

"""How right the masks are: each step of the default against the studio's truth, on rendered scenes of four kinds.

IoU of the alpha at one half (mean, lowest, scenes below .85); boundary error, the mean distance between the two outlines
in percent of the long side; error of the alpha, mean absolute difference. Settings were chosen by looking at the
committed scenes; with `--further FOLDER` come 66 and 66 that chose nothing, rendered there on first use (minutes, with
the extra `studio`). What to expect on photographs neither says: for those, `bokehflow mask-sheet` draws what a person
can judge.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import FOLDER, Goal, report
from pipeline.config import MasksSection
from pipeline.masks.quality import alpha_error, boundary_error, iou
from pipeline.masks.refine import decide_by_colour, follow_edges
from pipeline.masks.segmenters import make_segmenter
from pipeline.masks.subject import choose_subject
from pipeline.studio.pictures import PICTURES, Shot, render_shot

WEIGHTS = Path(__file__).parents[1] / ".venv" / "test-home" / "weights"
LOW_IOU = 0.85
FURTHER = [
    Shot(domain, first + number, 256, 256, (view, "mask"))
    for domain, first, view in (("ordinary", 7000, "sharp"), ("shallow", 8000, "shallow"))
    for number in range(66)
]


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered picture, uint8 [height, width, 3], and the true alpha, uint8 [height, width]."""

    kind: str
    rgb: np.ndarray
    truth: np.ndarray


def scenes(further: Path | None) -> list[Scene]:
    """All committed scenes with a sitter, then the further ones where there is a folder for them."""
    found = []
    kinds = {
        "ordinary": (PICTURES / "ordinary", ""),
        "shallow": (PICTURES / "shallow", ""),
        "scoring_sharp": (PICTURES / "scoring", "_sharp"),
        "scoring_shallow": (PICTURES / "scoring", "_shallow"),
    }
    if further:
        for shot in FURTHER:
            render_shot(further, shot)
        kinds |= {f"further {domain}": (further / domain, "") for domain in ("ordinary", "shallow")}
    for kind, (folder, view) in kinds.items():
        for mask in sorted(folder.glob("*_mask.png")):
            picture = mask.with_name(mask.name.replace("_mask.png", f"{view}.jpg"))
            found.append(Scene(kind, _read(picture, "RGB"), _read(mask, "L")))
    return found


def _read(path: Path, mode: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


def steps() -> dict[str, Callable[[Scene, np.ndarray], np.ndarray]]:
    """Each step by name, from a scene and the alpha after the step before it."""
    one, two, four = (
        make_segmenter("selfie", WEIGHTS, MasksSection(views=views, second_opinion=False)) for views in (1, 2, 4)
    )
    asking = make_segmenter("selfie", WEIGHTS)
    return {
        "one view": lambda scene, _: one.alpha([scene.rgb])[0],
        "two views": lambda scene, _: two.alpha([scene.rgb])[0],
        "four views": lambda scene, _: four.alpha([scene.rgb])[0],
        "+ second network where in doubt": lambda scene, _: asking.see([scene.rgb])[0].alpha,
        "+ subject, specks, holes": lambda scene, alpha: choose_subject(scene.rgb, alpha, "drop").alpha,
        "+ edges": lambda scene, alpha: follow_edges(scene.rgb, alpha),
        "+ colour before both (a setting)": lambda scene, _: follow_edges(
            scene.rgb, choose_subject(scene.rgb, decide_by_colour(scene.rgb, asking.see([scene.rgb])[0].alpha), "drop").alpha
        ),
    }


def main() -> None:
    """Measure, print a table, write it beside the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--further", type=Path, metavar="FOLDER", help="where further scenes lie, or are rendered to")
    rows, figures, alphas, alphas_of = [], {}, {}, {}
    everything = scenes(parser.parse_args().further)
    for step, apply in steps().items():
        alphas = {index: apply(scene, alphas.get(index, scene.truth)) for index, scene in enumerate(everything)}
        alphas_of[step] = alphas
        for kind in dict.fromkeys(scene.kind for scene in everything):
            pairs = [(alphas[index], scene.truth) for index, scene in enumerate(everything) if scene.kind == kind]
            agreements = [iou(alpha, truth) for alpha, truth in pairs]
            scores = {
                "iou": np.mean(agreements),
                "lowest_iou": min(agreements),
                "below_85": sum(agreement < LOW_IOU for agreement in agreements),
                "boundary_percent": np.mean([boundary_error(alpha, truth) for alpha, truth in pairs]),
                "alpha_error": np.mean([alpha_error(alpha, truth) for alpha, truth in pairs]),
            }
            rows.append(
                [kind, step, *(f"{value:.3f}" if name != "below_85" else str(value) for name, value in scores.items())]
            )
            figures |= {f"{kind} {step} {name}": round(float(value), 4) for name, value in scores.items()}
    table = _markdown(sorted(rows, key=lambda row: [scene.kind for scene in everything].index(row[0])))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "mask_quality.md").write_text(table)
    print(table)
    worst, best = (float(figures[f"scoring_shallow {step} iou"]) for step in ("one view", "+ edges"))
    gained = Goal("IoU on thin-lens scenes gained over one view", round(best - worst, 3), best > worst)
    everywhere = float(np.mean([iou(alphas_of["+ edges"][index], scene.truth) for index, scene in enumerate(everything)]))
    report(
        "mask_quality", figures, [gained, Goal("IoU of the default on all scenes", round(everywhere, 4), everywhere >= 0.95)]
    )


def _markdown(rows: list[list[str]]) -> str:
    head = ["scenes", "after", "IoU", "lowest", f"below {LOW_IOU}", "boundary error, %", "alpha error"]
    lines = [head, ["---"] * len(head), *rows]
    return "# Masks against the studio's truth\n\n" + "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    main()

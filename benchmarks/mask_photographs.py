"""How right the masks are on photographs: portraits with reference masks, and people cut out of them in other poses.

The settings of the default were chosen on one half of the portraits and on compositions of it (`CHOSEN_ON`, by the hash
of the file's name); everything below is measured on the other half alone. The reference masks are those of a large
network, looked at; a few lose white headcloths. Compositions (`benchmarks/compositions.py`) have the alpha that was
pasted for their truth: harder than portraits, and no substitute for labelled photographs of bodies.
The former default (kept here as it was) runs beside the new one, picture by picture, for quality and for processor time.
Usage, with a folder that has `ordinary/`, `shallow/` and `masks/` with a PNG for each picture:

    python benchmarks/mask_photographs.py FOLDER
    python benchmarks/mask_photographs.py FOLDER --fit     print the curves of uncertainty that the other half gives
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.compositions import KINDS, LONG_SIDE_PX, Labelled, compose
from benchmarks.results import Goal, report
from pipeline.config import MasksSection
from pipeline.masks import selfie
from pipeline.masks.quality import alpha_error, boundary_error, iou
from pipeline.masks.refine import decide_by_colour, follow_edges
from pipeline.masks.segmenter import Segmenter
from pipeline.masks.segmenters import make_segmenter
from pipeline.masks.sources import SegmentedMasks, at_size_of
from pipeline.masks.subject import Subject, choose_subject
from pipeline.masks.uncertainty import UNCERTAIN

WEIGHTS = Path(__file__).parents[1] / ".venv" / "test-home" / "weights"
CHOSEN_ON = 0
EACH = 30
"""Compositions of each kind and half."""
FULL_SIZE_FROM = (256, 128)
"""Long sides from which alphas are enlarged to `LONG_SIDE_PX`, the size of the reference masks."""
LOW_IOU, PORTRAIT_IOU, MIN_IOU = 0.85, 0.97, 0.9
HALF_LENGTH = ("ordinary", "shallow")

Method = Callable[[np.ndarray], Subject]


@dataclass(frozen=True, eq=False)
class Judged:
    """What a method made of pictures: IoU and boundary error of each, chance of being wrong, processor time in all."""

    ious: np.ndarray
    boundaries: np.ndarray
    uncertainties: np.ndarray
    cpu_s: float


def portraits(folder: Path, half: int, side_px: int = LONG_SIDE_PX) -> list[Labelled]:
    """Those of one half, at this side, by default that at which masks are made."""
    found = []
    for kind in HALF_LENGTH:
        for mask in sorted((folder / "masks" / kind).glob("*.png")):
            if int(hashlib.sha256(mask.stem.encode()).hexdigest(), 16) % 2 == half:
                size = (side_px, side_px)
                found.append(Labelled(kind, _read(folder / kind / f"{mask.stem}.jpg", "RGB", size), _read(mask, "L", size)))
    return found


def pictures(folder: Path, half: int) -> list[Labelled]:
    """Portraits of one half, and compositions of them."""
    alone = portraits(folder, half)
    return alone + [compose(kind, alone, 1000 * half + number) for kind in KINDS for number in range(EACH)]


def _read(path: Path, mode: str, size: tuple[int, int]) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode).resize(size, Image.Resampling.BILINEAR))


def unread(sha256: str) -> np.ndarray:
    """Pictures are at hand here."""
    raise KeyError(sha256)


class Former:
    """The default until now: four views, two of them with clipped highlights, colour, one subject, edges."""

    HIGHLIGHTS = 0.7

    def __init__(self) -> None:
        self.segmenter = make_segmenter("selfie", WEIGHTS, MasksSection(views=2, second_opinion=False))

    def __call__(self, rgb: np.ndarray) -> Subject:
        clipped = (np.minimum(rgb, 255 * self.HIGHLIGHTS) / self.HIGHLIGHTS).astype(np.uint8)
        plain, bold = self.segmenter.alpha([rgb, clipped])
        alpha = ((plain.astype(np.uint16) + bold + 1) // 2).astype(np.uint8)
        subject = choose_subject(rgb, decide_by_colour(rgb, alpha), "drop")
        return Subject(_exact_edges(rgb, subject.alpha), subject.people, subject.runner_up)


def _exact_edges(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The guided filter at full size, as it was."""
    from pipeline.masks import refine

    shrink, refine.EDGE_SHRINK = refine.EDGE_SHRINK, 1
    try:
        return follow_edges(rgb, alpha)
    finally:
        refine.EDGE_SHRINK = shrink


def methods() -> dict[str, Method]:
    """From a picture to its subject; `default` is what a project that says nothing gets."""
    default = MasksSection()
    source = SegmentedMasks(make_segmenter("selfie", WEIGHTS), unread, LONG_SIDE_PX, refine=tuple(default.refine))
    alone = make_segmenter("selfie", WEIGHTS, MasksSection(second_opinion=False))
    one = make_segmenter("selfie", WEIGHTS, MasksSection(views=1))

    def plain(segmenter: Segmenter) -> Method:
        return lambda rgb: Subject(segmenter.see([rgb])[0].alpha, None, None)

    return {
        "former": Former(),
        "one view": plain(one),
        "four views": plain(alone),
        "four views, second network": plain(source.segmenter),
        "default": source.subject,
    }


def judge(method: Method, shown: Sequence[Labelled]) -> Judged:
    """Run a method over all pictures; a first one, not counted, warms it up."""
    method(shown[0].rgb)
    start = time.process_time()
    made = [method(one.rgb) for one in shown]
    cpu_s = time.process_time() - start
    doubts = [np.nan if one.uncertainty is None else one.uncertainty for one in made]
    pairs = [(subject.alpha, one.alpha) for subject, one in zip(made, shown, strict=True)]
    ious, boundaries = (np.array([score(*pair) for pair in pairs]) for score in (iou, boundary_error))
    return Judged(ious, boundaries, np.array(doubts), cpu_s)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Of the mean with 95 %, by the bootstrap."""
    draws = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return round(float(low), 3), round(float(high), 3)


def fit(folder: Path) -> None:
    """Print the logistic curves from disagreement to the chance of a low IoU, by the half that chooses."""
    shown = pictures(folder, CHOSEN_ON)
    segmenter = make_segmenter("selfie", WEIGHTS)
    seen = [segmenter.see([one.rgb])[0] for one in shown]
    wrong = np.array([iou(found.alpha, one.alpha) < LOW_IOU for found, one in zip(seen, shown, strict=True)])
    asked = np.array([found.asked for found in seen])
    for name, curve, chosen in (("ALONE", selfie.ALONE_CURVE, ~asked), ("ASKED", selfie.ASKED_CURVE, asked)):
        chance = np.array([found.uncertainty for found in seen], float)[chosen]
        apart = (np.log(chance / (1 - chance)) - curve[0]) / curve[1]
        line = LogisticRegression(C=100).fit(apart[:, None], wrong[chosen])
        print(f"{name}_CURVE = ({line.intercept_[0]:.1f}, {line.coef_[0, 0]:.1f})")


def full_size(folder: Path) -> None:
    """Alphas found at a half and a quarter of a portrait's size, enlarged along its edges, beside plain enlarging.

    `soft edge` is the mean difference of opacity where the reference is neither clear nor opaque, and around: hair.
    """
    shown = portraits(folder, 1 - CHOSEN_ON)
    segmenter = make_segmenter("selfie", WEIGHTS, MasksSection(second_opinion=False))
    figures: dict[str, float | str] = {"portraits": len(shown)}
    goals = []
    for side_px in FULL_SIZE_FROM:
        source = SegmentedMasks(segmenter, unread, side_px, refine=tuple(MasksSection().refine))
        pairs = [(at_size_of(source.subject(one.rgb).alpha, one.rgb), source.full_size_alpha(one.rgb)) for one in shown]
        both = np.array([[_edges(alpha, one.alpha) for alpha in pair] for pair, one in zip(pairs, shown, strict=True)])
        for number, name in enumerate(("IoU", "boundary, %", "soft edge, %")):
            plain, along = both[:, 0, number], both[:, 1, number]
            told = "{:.4f} (plain {:.4f}; difference {} to {})".format(along.mean(), plain.mean(), *interval(along - plain))
            figures[f"from {side_px} px: {name}"] = told
        gain = float(1 - both[:, 1, 2].mean() / both[:, 0, 2].mean())
        goals.append(Goal(f"from {side_px} px, soft edge nearer by .05 at least", round(gain, 3), gain >= 0.05))
    photo = np.asarray(Image.fromarray(shown[0].rgb).resize((4000, 3000), Image.Resampling.BICUBIC))
    source = SegmentedMasks(segmenter, unread, LONG_SIDE_PX, refine=tuple(MasksSection().refine))
    start = time.process_time()
    source.full_size_alpha(photo)
    figures["cpu seconds of an alpha of 12 MP"] = round(time.process_time() - start, 2)
    report("mask_full_size", figures, goals)


def _edges(alpha: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    soft = cv2.dilate(((truth > 12) & (truth < 243)).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    return iou(alpha, truth), boundary_error(alpha, truth), 100 * alpha_error(alpha[soft], truth[soft])


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="labelled portraits")
    parser.add_argument("--fit", action="store_true", help="print the curves of uncertainty")
    parser.add_argument("--full-size", action="store_true", help="measure how alphas are enlarged to photos instead")
    chosen = parser.parse_args()
    if chosen.folder is None or not (chosen.folder / "masks").is_dir():
        print("mask_photographs: skipped, since no folder of labelled portraits was given")
        return
    if chosen.fit:
        fit(chosen.folder)
        return
    if chosen.full_size:
        full_size(chosen.folder)
        return
    shown = pictures(chosen.folder, 1 - CHOSEN_ON)
    kinds = np.array([one.kind for one in shown])
    portrait, composed = np.isin(kinds, HALF_LENGTH), ~np.isin(kinds, HALF_LENGTH)
    found = {name: judge(method, shown) for name, method in methods().items()}
    groups = {"portraits": portrait, "compositions": composed, **{kind: kinds == kind for kind in dict.fromkeys(kinds)}}
    figures: dict[str, float | str] = {"pictures": len(shown)}
    for name, judged in found.items():
        for group, members in groups.items():
            figures[f"{name}: {group}, IoU"] = round(float(judged.ious[members].mean()), 4)
            figures[f"{name}: {group}, below {LOW_IOU}"] = f"{(judged.ious[members] < LOW_IOU).sum()} of {members.sum()}"
            print(f"{name:28} {group:14} {judged.ious[members].mean():.3f}  {(judged.ious[members] < LOW_IOU).sum():3}"
                  f"  boundary {judged.boundaries[members].mean():.2f} %")  # fmt: skip
        figures[f"{name}: cpu ms a picture"] = round(1000 * judged.cpu_s / len(shown), 1)
    new, old = found["default"], found["former"]
    wrong, told = new.ious < LOW_IOU, new.uncertainties >= UNCERTAIN
    figures |= {
        "default: portraits, IoU, 95 %": "{} to {}".format(*interval(new.ious[portrait])),
        "default: compositions, IoU, 95 %": "{} to {}".format(*interval(new.ious[composed])),
        "uncertainty, AUC": round(float(roc_auc_score(wrong, new.uncertainties)), 3),
        "uncertainty, Brier score": round(float(((new.uncertainties - wrong) ** 2).mean()), 4),
        "uncertainty, Brier score of the mean": round(float(wrong.mean() * (1 - wrong.mean())), 4),
        "uncertain masks": f"{told.sum()} of {len(told)}, {(told & wrong).sum()} of the {wrong.sum()} wrong ones among them",
        "times the former default's time": round(new.cpu_s / old.cpu_s, 3),
    }
    half, bodies = float(new.ious[portrait].mean()), float(new.ious[composed].mean())
    report(
        "mask_photographs",
        figures,
        [
            Goal(f"IoU on half-length portraits, {PORTRAIT_IOU} at least", round(half, 4), half >= PORTRAIT_IOU),
            Goal(f"IoU on compositions, {MIN_IOU} at least", round(bodies, 4), bodies >= MIN_IOU),
            Goal("times the former default's time, 1 at most", round(new.cpu_s / old.cpu_s, 3), new.cpu_s <= old.cpu_s),
        ],
    )


if __name__ == "__main__":
    main()

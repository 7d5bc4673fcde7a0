"""How far the hints can be trusted: on the rendered pictures, on the demo's planted photos and on real portraits.

The constants of `pipeline.curation.depth_of_field` were fixed on one half of the portraits (`FIXED_ON`), those whose
file names begin with an even number, by a logistic regression whose three weights may not change sign; no constant was
fitted on the other half. Which three views of the background are weighed was chosen among some hundred by their figures
on all portraits, so the held-out figure is a little kind. The peer is a plain high-pass of the background. Usage:

    python benchmarks/hints.py           measure
    python benchmarks/hints.py --fit     print the constants that the half gives
"""

import csv
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.optimize import minimize
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from pipeline.config import CurationSection, MasksSection
from pipeline.curation import depth_of_field as focus
from pipeline.curation.hints import Hints, measure
from pipeline.curation.suggestions import suggest
from pipeline.masks.segmenters import Segmenter, make_segmenter
from pipeline.studio.collection import build_collection
from pipeline.studio.pictures import PICTURES

PORTRAITS = Path(__file__).parents[2] / "shared" / "portraits"
WEIGHTS = Path(__file__).parents[1] / ".venv" / "test-home" / "weights"
FIXED_ON = 0
MIN_AUC, MIN_BALANCED, MIN_PRECISION, PEER_AUC = 0.85, 0.95, 0.95, 0.78


def read(path: Path) -> np.ndarray:
    """RGB uint8 [height, width, 3]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def halves(paths: Sequence[Path]) -> np.ndarray:
    """0 or 1 for each portrait, by the first two hex digits of its name."""
    return np.array([int(path.stem[:2], 16) % 2 for path in paths])


def high_pass(rgb: np.ndarray, people: np.ndarray) -> float:
    """The peer: mean absolute Laplacian of the grey background."""
    grey = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    return float(np.abs(ndimage.laplace(grey))[~people].mean()) if not people.all() else 0.0


def portraits() -> tuple[list[Path], np.ndarray]:
    """Paths, and whether the folder says shallow."""
    found = {name: sorted((PORTRAITS / name).glob("*.jpg")) for name in ("ordinary", "shallow")}
    return [*found["ordinary"], *found["shallow"]], np.repeat([0, 1], [len(found["ordinary"]), len(found["shallow"])])


def at_work_size(rgb: np.ndarray, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Picture and mask as the hints measure them."""
    scale = focus.WORK_EDGE_PX / max(rgb.shape[:2])
    size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    small, mask = Image.fromarray(rgb).resize(size, Image.Resampling.BOX), Image.fromarray(people)
    return np.asarray(small), np.asarray(mask.resize(size, Image.Resampling.BOX)) >= 128


def views(rgb: np.ndarray, people: np.ndarray) -> tuple[float, float, float]:
    """What the logistic function weighs."""
    small, mask = at_work_size(rgb, people)
    return focus.background_views({scale: focus._gradient(small, scale) for scale in (0.7, 1.0, 1.4, 2.0)}, mask)


def fit(segmenter: Segmenter) -> None:
    """Print the constants that the half `FIXED_ON` gives; both folders weigh the same."""
    paths, shallow = portraits()
    chosen = halves(paths) == FIXED_ON
    pictures = [read(path) for path, take in zip(paths, chosen, strict=True) if take]
    values = np.array([views(rgb, segmenter.alpha([rgb])[0]) for rgb in pictures])
    truth = shallow[chosen]
    weight, sign = 0.5 / np.bincount(truth)[truth], 2 * truth - 1

    def loss(parameters: np.ndarray) -> float:
        score = parameters[0] - values @ np.exp(parameters[1:])
        return float((weight * np.logaddexp(0, -sign * score)).sum() + 1e-3 * np.exp(2 * parameters[1:]).sum())

    found = minimize(loss, np.zeros(4), method="L-BFGS-B").x
    print("INTERCEPT, NEAR, MIDDLE, FAR =", ", ".join(f"{value:.2f}" for value in (found[0], *-np.exp(found[1:]))))


def studio(segmenter: Segmenter) -> dict[str, list[Hints]]:
    """Hints of the committed pictures by what they show, the scoring scenes among them."""
    groups = {
        "ordinary": [*(PICTURES / "ordinary").glob("*.jpg"), *(PICTURES / "scoring").glob("*_sharp.jpg")],
        "shallow": [*(PICTURES / "shallow").glob("*.jpg"), *(PICTURES / "scoring").glob("*_shallow.jpg")],
        "empty": [*(PICTURES / "empty").glob("*.jpg")],
    }
    return {name: [measure(read(path), segmenter) for path in sorted(paths)] for name, paths in groups.items()}


def demo(segmenter: Segmenter) -> list[tuple[str, str, str]]:
    """(what was planted, suggested decision, its reason) of every photo of the demo's collection that can be read."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "collection"
        build_collection(root)
        with (root / "planted.csv").open(newline="") as file:
            planted = {row["photo_id"]: row["kind"] for row in csv.DictReader(file)}
        with (root / "decisions.csv").open(newline="") as file:
            domain = {row["photo_id"]: row["domain"] for row in csv.DictReader(file)}
        found = []
        for photo_id, where in domain.items():
            rgb = read(root / "files" / f"{photo_id.removeprefix('flickr:')}.jpg")
            told = suggest(vars(measure(rgb, segmenter)), where, CurationSection())
            found.append((planted.get(photo_id, ""), told.decision, told.reason))
    return found


def precision_and_recall(rows: Sequence[tuple[str, str, str]], kind: str, reason: str) -> tuple[float, float]:
    """Of the suggestion `reason` against what was planted."""
    suggested = [what for what, decision, why in rows if (decision, why) == ("drop", reason)]
    there = sum(what == kind for what, _, _ in rows)
    right = sum(what == kind for what in suggested)
    return right / max(len(suggested), 1), right / there


def main() -> None:
    """Measure and report."""
    segmenter = make_segmenter("selfie", WEIGHTS, looks=MasksSection(views=1))
    if "--fit" in sys.argv:
        fit(segmenter)
        return
    paths, truth = portraits()
    half = halves(paths)
    pictures = [read(path) for path in paths]
    start = time.process_time()
    looks = np.array([measure(rgb, segmenter).shallowness for rgb in pictures])
    each_ms = 1000 * (time.process_time() - start) / max(len(pictures), 1)
    peer = -np.array([high_pass(*at_work_size(rgb, segmenter.alpha([rgb])[0])) for rgb in pictures])
    held_out = half != FIXED_ON
    auc, peer_auc = (float(roc_auc_score(truth[held_out], scores[held_out])) for scores in (looks, peer))
    rendered = studio(segmenter)
    told = [one.shallowness > 0.5 for name in ("ordinary", "shallow") for one in rendered[name]]
    balanced = float(balanced_accuracy_score(np.repeat([0, 1], [len(rendered["ordinary"]), len(rendered["shallow"])]), told))
    rows = demo(segmenter)
    monochrome = precision_and_recall(rows, "monochrome", "edited")
    nobody = precision_and_recall(rows, "no_person", "no_person")
    false_people = sum(one.person_share >= 0.01 for one in rendered["empty"])
    wrong_keeps = sum(decision == "keep" and what not in ("", "mirrored_copy") for what, decision, _ in rows)
    report(
        "hints",
        {
            "portraits": len(paths),
            "auc_on_the_other_half": round(auc, 4),
            "auc_of_a_high_pass_there": round(peer_auc, 4),
            "auc_on_the_half_fixed_on": round(float(roc_auc_score(truth[~held_out], looks[~held_out])), 4),
            "balanced_accuracy_at_0.5_there": round(
                float(balanced_accuracy_score(truth[held_out], looks[held_out] > 0.5)), 4
            ),
            "studio_balanced_accuracy": round(balanced, 4),
            "monochrome_precision": round(monochrome[0], 4),
            "monochrome_recall": round(monochrome[1], 4),
            "no_person_precision": round(nobody[0], 4),
            "no_person_recall": round(nobody[1], 4),
            "empty_scenes_with_a_person_found": f"{false_people} of {len(rendered['empty'])}",
            "planted_photos_suggested_to_keep": wrong_keeps,
            "cpu_ms_a_picture": round(each_ms, 1),
        },
        [
            Goal(f"shallow against ordinary, AUC from {MIN_AUC} (a high-pass {PEER_AUC})", round(auc, 4), auc >= MIN_AUC),
            Goal(f"studio, balanced accuracy from {MIN_BALANCED}", round(balanced, 4), balanced >= MIN_BALANCED),
            Goal(f"monochrome, precision from {MIN_PRECISION}", round(monochrome[0], 4), monochrome[0] >= MIN_PRECISION),
            Goal(f"no person, precision from {MIN_PRECISION}", round(nobody[0], 4), nobody[0] >= MIN_PRECISION),
        ],
    )


if __name__ == "__main__":
    main()

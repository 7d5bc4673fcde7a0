"""How far the hints can be trusted: on real portraits, on the rendered pictures, and on the demo's planted photos.

The constants of `pipeline.curation.depth_of_field` were fixed on one half of the portraits (`FIXED_ON`), those whose
file names, which are digests, begin with an even number: a logistic regression whose weights may not change sign, both
folders weighing the same, and then a second one with a single slope on what ten folds of that half say of photographs
they have not seen (Platt, 1999), so that `shallowness` is a chance and not a score. All figures are of the other half.
Which views of the background are weighed was chosen on the first half, by its folds and by the counterparts below.

Each source has one label here: A is generated and in focus, B official and mostly soft. What tells the sources apart
tells the labels apart too. So there are counterparts within one source: pictures of A, at 512 px, whose background is
seen out of focus through a disc, by reference masks; their people are cropped away; their colours are taken away. The
peer is a plain high-pass of the background. Intervals are of 95 %, by the bootstrap over pictures. Usage:

    python benchmarks/hints.py           measure
    python benchmarks/hints.py --fit     print the constants that the half gives
"""

import csv
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from scipy.optimize import minimize
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.pictures import PORTRAITS, portraits
from benchmarks.results import Goal, report
from pipeline.config import CurationSection, MasksSection
from pipeline.curation import depth_of_field as focus
from pipeline.curation import hints
from pipeline.curation.hints import Hints, measure
from pipeline.curation.suggestions import suggest
from pipeline.masks.segmenters import Segmenter, make_segmenter
from pipeline.memory import keep_freed_memory
from pipeline.models.lens import disc, linear, srgb
from pipeline.softness import chance_above
from pipeline.studio.collection import build_collection
from pipeline.studio.pictures import PICTURES

WEIGHTS = Path(__file__).parents[1] / ".venv" / "test-home" / "weights"
FIXED_ON, FOLDS, DRAWS = 0, 10, 2000
COUNTERPART_PX, DISCS = 512, (256, 128, 64, 32)
"""Side of the counterparts, and which parts of it the radii of their discs are."""
MIN_AUC, MIN_BALANCED, MIN_PRECISION, PEER_AUC, MAX_ECE = 0.85, 0.95, 0.95, 0.78, 0.1


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


def labelled() -> tuple[list[Path], np.ndarray]:
    """Paths, and whether the folder says shallow."""
    ordinary, shallow = portraits("ordinary"), portraits("shallow")
    return [*ordinary, *shallow], np.repeat([0, 1], [len(ordinary), len(shallow)])


def at_work_size(rgb: np.ndarray, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Picture and mask as the hints measure them."""
    scale = focus.WORK_EDGE_PX / max(rgb.shape[:2])
    size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    small, mask = Image.fromarray(rgb).resize(size, Image.Resampling.BOX), Image.fromarray(people)
    return np.asarray(small), np.asarray(mask.resize(size, Image.Resampling.BOX)) >= 128


def views(rgb: np.ndarray, segmenter: Segmenter) -> tuple[float, float, float]:
    """What the logistic function weighs."""
    alpha = segmenter.alpha([rgb])[0]
    small, people = at_work_size(rgb, alpha)
    finer = hints._scaled(rgb, focus.SOFTNESS_EDGE_PX)
    relative = focus.relative_softness(finer, hints._resized(alpha, finer))
    found = focus.background_views(focus.gradients_of(small), people, relative)
    return found.near, found.relative, found.far


def fit(segmenter: Segmenter) -> None:
    """Print the constants that the half `FIXED_ON` gives."""
    paths, shallow = labelled()
    chosen = halves(paths) == FIXED_ON
    values = np.array([views(read(path), segmenter) for path, take in zip(paths, chosen, strict=True) if take])
    truth = shallow[chosen]
    unseen = np.empty(len(truth))
    for seen, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(values, truth):
        unseen[rest] = score(weights_of(values[seen], truth[seen]), values[rest])
    intercept, slope = slope_of(unseen, truth)
    found = weights_of(values, truth)
    print(f"slope {slope:.3f}, intercept {intercept:.3f}")
    scaled = [intercept + slope * found[0], *(-slope * np.exp(found[1:]))]
    print("INTERCEPT, NEAR, SOFT, FAR =", ", ".join(f"{value:.2f}" for value in scaled))


def score(parameters: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Log odds; no weight can be positive."""
    return parameters[0] - values @ np.exp(parameters[1:])


def balance(truth: np.ndarray) -> np.ndarray:
    """Weights by which both labels count the same."""
    return 0.5 / np.bincount(truth, minlength=2)[truth]


def weights_of(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The intercept and the logarithms of the weights."""
    weight, sign = balance(truth), 2 * truth - 1

    def loss(parameters: np.ndarray) -> float:
        told = float((weight * np.logaddexp(0, -sign * score(parameters, values))).sum())
        return told + 1e-3 * float(np.exp(2 * parameters[1:]).sum())

    return minimize(loss, np.zeros(1 + values.shape[1]), method="L-BFGS-B").x


def slope_of(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Intercept and slope that make scores log odds (Platt, 1999)."""
    weight, sign = balance(truth), 2 * truth - 1

    def loss(line: np.ndarray) -> float:
        return float((weight * np.logaddexp(0, -sign * (line[0] + line[1] * scores))).sum())

    intercept, slope = minimize(loss, np.array([0.0, 1.0]), method="L-BFGS-B").x
    return float(intercept), float(slope)


def auc(truth: np.ndarray, scores: np.ndarray, pictures: np.ndarray | None = None) -> tuple[float, str]:
    """The area under the curve, and the same with its interval and the numbers of both kinds.

    `pictures` says which rows are versions of one picture; they are drawn together.
    """
    value = float(roc_auc_score(truth, scores))
    names, row_of = np.unique(np.arange(len(truth)) if pictures is None else pictures, return_inverse=True)
    rows = [np.flatnonzero(row_of == number) for number in range(len(names))]
    random, drawn = np.random.default_rng(0), []
    while len(drawn) < DRAWS:
        chosen = np.concatenate([rows[number] for number in random.integers(len(rows), size=len(rows))])
        if 0 < truth[chosen].sum() < len(chosen):
            drawn.append(chance_above(scores[chosen][truth[chosen] == 1], scores[chosen][truth[chosen] == 0]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return value, f"{value:.3f} ({low:.3f} to {high:.3f}; {(truth == 1).sum()} and {(truth == 0).sum()})"


def reliability(truth: np.ndarray, chance: np.ndarray) -> dict[str, str | float]:
    """Brier score, expected calibration error over tenths, and both numbers of each tenth; both labels weigh the same."""
    weight = balance(truth)
    weight = weight / weight.sum()
    places = np.minimum((10 * chance).astype(int), 9)
    error, told = 0.0, []
    for place in np.unique(places):
        here = places == place
        said, true = (float(np.average(values[here], weights=weight[here])) for values in (chance, truth))
        error += float(weight[here].sum()) * abs(said - true)
        told.append(f"{said:.2f}: {true:.2f} ({here.sum()})")
    brier = float((weight * (chance - truth) ** 2).sum())
    return {"Brier score": round(brier, 4), "ECE": round(error, 4), "said: true (pictures)": ", ".join(told)}


def counterparts(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Versions of a portrait whose truth is known: out of focus behind, in front, everywhere; without people, colours."""
    side = (COUNTERPART_PX, COUNTERPART_PX)
    rgb = cv2.resize(read(path), side, interpolation=cv2.INTER_AREA)
    with Image.open(PORTRAITS / "masks" / path.parent.name / f"{path.stem}.png") as mask:
        alpha = np.asarray(mask.convert("L").resize(side, Image.Resampling.BILINEAR))
    yield "as it is", rgb
    for share in DISCS:
        yield f"background out of focus, disc of 1/{share}", defocused(rgb, alpha, COUNTERPART_PX / share)
    yield "all out of focus, disc of 1/64", defocused(rgb, np.zeros_like(alpha), COUNTERPART_PX / 64)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    yield "grey", np.repeat(grey[..., None], 3, 2)
    yield "sepia", (grey[..., None] * np.array([1.0, 0.85, 0.65])).astype(np.uint8)
    above = np.flatnonzero((alpha > 12).any(1))[:1]
    beside = np.flatnonzero((alpha > 12).any(0))
    parts = [rgb[: int(above[0]) if len(above) else None], rgb[:, : int(beside[0])], rgb[:, int(beside[-1]) + 1 :]]
    largest = max(parts, key=lambda part: min(part.shape[:2]))
    if min(largest.shape[:2]) >= 64:
        yield "without people", np.ascontiguousarray(largest)


def defocused(rgb: np.ndarray, alpha: np.ndarray, radius_px: float) -> np.ndarray:
    """The background's light spread over discs; what is held by the alpha stays and gives no light away."""
    kernel = disc(radius_px, int(radius_px + 1)).numpy()
    light = linear(torch.from_numpy(rgb).float() / 255).numpy()
    behind = 1 - alpha.astype(np.float32) / 255
    spread, share = (
        cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_REFLECT) for values in (light * behind[..., None], behind)
    )
    soft = spread / np.maximum(share, 1e-3)[..., None]
    seen = light * (1 - behind[..., None]) + soft * behind[..., None]
    return (srgb(torch.from_numpy(seen)).numpy() * 255 + 0.5).astype(np.uint8)


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


def within(paths: Sequence[Path], segmenter: Segmenter) -> tuple[dict[str, str], dict[str, float | str]]:
    """AUC within one source, by counterparts; and how reliable the chance of a shallow depth of field is there."""
    found: dict[str, dict[str, Hints]] = {}
    for path in paths:
        for kind, rgb in counterparts(path):
            found.setdefault(kind, {})[path.stem] = measure(rgb, segmenter)
    plain = found.pop("as it is")

    def against(kind: str, hint: str, sign: int) -> str:
        rows = [(0, one, name) for name, one in plain.items()] + [(1, one, name) for name, one in found[kind].items()]
        truth, values, names = zip(*rows, strict=True)
        scores = [sign * float(getattr(one, hint) or 0.0) for one in values]
        return auc(np.array(truth), np.array(scores), np.array(names))[1]

    blurred = [kind for kind in found if kind.startswith("background")]
    told = {f"shallowness: {kind}": against(kind, "shallowness", 1) for kind in blurred}
    told["subject_sharpness: all out of focus, disc of 1/64"] = against(
        "all out of focus, disc of 1/64", "subject_sharpness", -1
    )
    told |= {f"colourfulness: {kind}": against(kind, "colourfulness", -1) for kind in ("grey", "sepia")}
    told["person_share: people cropped away"] = against("without people", "person_share", -1)
    middle = [
        *found["background out of focus, disc of 1/128"].values(),
        *found["background out of focus, disc of 1/64"].values(),
    ]
    truth = np.repeat([0, 1], [len(plain), len(middle)])
    chance = np.array([one.shallowness for one in (*plain.values(), *middle)])
    return told, {f"within A, discs of 1/128 and 1/64: {name}": value for name, value in reliability(truth, chance).items()}


def suggested(measured: Sequence[Hints], truth: np.ndarray) -> dict[str, str]:
    """What is suggested of each source in its own domain; all of these photographs show people in colour."""
    settings, found = CurationSection(), {}
    for label, domain in enumerate(("ordinary", "shallow")):
        told = [
            suggest(vars(one), domain, settings)
            for one, is_shallow in zip(measured, truth, strict=True)
            if is_shallow == label
        ]
        words = [f"{one.decision} {one.reason}".strip() or "nothing" for one in told]
        counts = sorted(((words.count(word), word) for word in set(words)), reverse=True)
        found[f"suggested of {domain}"] = ", ".join(f"{word} {count}" for count, word in counts)
    return found


def main() -> None:
    """Measure and report."""
    keep_freed_memory()  # as the product's own processes do
    segmenter = make_segmenter("selfie", WEIGHTS, looks=MasksSection(views=1))
    if "--fit" in sys.argv:
        fit(segmenter)
        return
    paths, truth = labelled()
    half = halves(paths)
    pictures = [read(path) for path in paths]
    start = time.process_time()
    measured = [measure(rgb, segmenter) for rgb in pictures]
    each_ms = 1000 * (time.process_time() - start) / max(len(pictures), 1)
    looks = np.array([one.shallowness for one in measured])
    peer = -np.array([high_pass(*at_work_size(rgb, segmenter.alpha([rgb])[0])) for rgb in pictures])
    held_out = half != FIXED_ON
    area, told = auc(truth[held_out], looks[held_out])
    rendered = studio(segmenter)
    ours = [one.shallowness for name in ("ordinary", "shallow") for one in rendered[name]]
    true = np.repeat([0, 1], [len(rendered["ordinary"]), len(rendered["shallow"])])
    balanced = float(balanced_accuracy_score(true, np.array(ours) > 0.5))
    own, own_reliability = within([path for path in paths[: (truth == 0).sum()] if halves([path])[0] != FIXED_ON], segmenter)
    between = reliability(truth[held_out], looks[held_out])
    rows = demo(segmenter)
    monochrome = precision_and_recall(rows, "monochrome", "edited")
    nobody = precision_and_recall(rows, "no_person", "no_person")
    false_people = sum(one.person_share >= 0.01 for one in rendered["empty"])
    wrong_keeps = sum(decision == "keep" and what not in ("", "mirrored_copy") for what, decision, _ in rows)
    judged = [one for one, take in zip(measured, held_out, strict=True) if take]
    report(
        "hints",
        {
            "portraits": len(paths),
            "auc_on_the_other_half": round(area, 4),
            "auc_on_the_other_half, 95 %, shallow and ordinary": told,
            "auc_of_a_high_pass_there": auc(truth[held_out], peer[held_out])[1],
            "auc_on_the_half_fixed_on": auc(truth[~held_out], looks[~held_out])[1],
            **{f"within A, {name}": value for name, value in own.items()},
            "balanced_accuracy_at_0.5_there": round(
                float(balanced_accuracy_score(truth[held_out], looks[held_out] > 0.5)), 4
            ),
            **{f"between A and B: {name}": value for name, value in between.items()},
            **{
                f"mean chance of shallow, {name}": round(float(looks[held_out & (truth == label)].mean()), 3)
                for label, name in enumerate(("A", "B"))
            },
            **own_reliability,
            **suggested(judged, truth[held_out]),
            "studio_balanced_accuracy": round(balanced, 4),
            "studio, AUC": auc(true, np.array(ours))[1],
            **{f"studio: {name}": value for name, value in reliability(true, np.array(ours)).items()},
            "monochrome_precision": round(monochrome[0], 4),
            "monochrome_recall": round(monochrome[1], 4),
            "no_person_precision": round(nobody[0], 4),
            "no_person_recall": round(nobody[1], 4),
            "empty_scenes_with_a_person_found": f"{false_people} of {len(rendered['empty'])}",
            "planted_photos_suggested_to_keep": wrong_keeps,
            "cpu_ms_a_picture": round(each_ms, 1),
        },
        [
            Goal(f"shallow against ordinary, AUC from {MIN_AUC} (a high-pass {PEER_AUC})", round(area, 4), area >= MIN_AUC),
            Goal(f"expected calibration error, {MAX_ECE} at most", between["ECE"], float(between["ECE"]) <= MAX_ECE),
            Goal(f"studio, balanced accuracy from {MIN_BALANCED}", round(balanced, 4), balanced >= MIN_BALANCED),
            Goal(f"monochrome, precision from {MIN_PRECISION}", round(monochrome[0], 4), monochrome[0] >= MIN_PRECISION),
            Goal(f"no person, precision from {MIN_PRECISION}", round(nobody[0], 4), nobody[0] >= MIN_PRECISION),
        ],
    )


if __name__ == "__main__":
    main()

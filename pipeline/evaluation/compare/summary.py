"""From scores per picture to what a reader compares: means, spreads, ranks, and the result in plain words.

Works on the long table `evaluation`. Null scores do not count; how many there are is kept beside the mean.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.evaluation.compare import significance
from pipeline.evaluation.compare.significance import Difference
from pipeline.evaluation.measure.intervals import Interval
from pipeline.evaluation.measure.judge import BASELINES, INPUT, TEST_SET, TRUE_LENS
from pipeline.evaluation.measure.scenes import CONDITIONS
from pipeline.evaluation.measure.set_scores import DOMAIN_B, ENDS, SOFTNESS_SCORES
from pipeline.softness import TELLING_SIDE_PX, Estimate
from pipeline.tables import among

Standing = Literal["ranked", "best", "unranked", "given"]
"""`best`: significantly better than every other ranked method. `given`: fixed by construction, so no merit."""

Verdict = Literal["good", "mixed", "bad"]

OVERLAID, PLAIN = "+overlay", "-overlay"
"""End the name of an overlay recipe's model in the column `method`: judged with the subject laid over, or without."""
SET_PREFIX = "set:"
"""Begins what stands in for a photo id where a score is of a model itself, or of a whole set."""

FEW_PICTURES = 30
"""Below this many pictures a mean is read with care, and the report says so."""
GOAL_REDUCTION = 0.30
"""Background error must fall by this share below doing nothing for a run to count as having learned."""
SUBJECT_KEPT_SSIM = 0.90
"""Mean SSIM from which on the report calls the subject kept."""
NOTHING_LEFT, EVERYTHING_LEFT = 0.97, 0.5
"""A model changes nothing where more of the backgrounds' sharpness is left, and blurs everything where less than so much is
left of the subjects' too."""
CLOSE_GAP, CLOSE_SCALES = 0.5, 0.7
"""Up to here backgrounds count as soft as domain B's; both must be met, since a disc of one size meets the first alone."""
SOFT_CHANCE, SHARP_CHANCE = 0.25, 0.75
"""Of an output to be sharper than a picture of B: below it blurs too much, above it too little."""


@dataclass(frozen=True)
class Metric:
    """How a metric is called, shown and ranked."""

    name: str
    label: str
    better: Literal["higher", "lower"]
    digits: int
    explanation: str
    ranked: bool = True
    """Whether a better value is better in itself."""
    optional: bool = False
    """Whether it is left out where nothing measured it."""


PHOTO_METRICS = (
    Metric("subject_ssim", "Subject SSIM", "higher", 3, "structural similarity to the input; 1 is unchanged"),
    Metric("subject_psnr_db", "Subject PSNR, dB", "higher", 1, "signal-to-noise ratio to the input; 100 is unchanged"),
    Metric("subject_l1", "Subject L1", "lower", 4, "mean absolute difference to the input, 0 to 1"),
    Metric(
        "subject_lpips",
        "Subject LPIPS",
        "lower",
        3,
        "perceptual distance to the input by VGG-16; 0 is unchanged",
        optional=True,
    ),
    Metric("subject_colour_shift", "Subject colour, ΔE", "lower", 2, "shift of the mean colour; 2.3 is just noticeable"),
    Metric(
        name="subject_mask_iou",
        label="Subject mask, IoU",
        better="higher",
        digits=3,
        explanation="agreement of the segmenter's masks of input and output; 1 is the same",
        optional=True,
    ),
    Metric(
        name="face_kept",
        label="Face found",
        better="higher",
        digits=2,
        explanation="share of the faces found in the input that are found in the output too",
        optional=True,
    ),
    Metric(
        name="background_sharpness",
        label="Background sharpness",
        better="lower",
        digits=3,
        explanation="mean |Laplacian| as a share of the input's; 1 is unchanged, 0 is flat",
        ranked=False,
    ),
    Metric(
        name="background_rank_in_b",
        label="Rank in B",
        better="lower",
        digits=2,
        explanation="share of domain B's backgrounds that are softer, relative to their contrast; 0.5 is the middle of B",
        ranked=False,
        optional=True,
    ),
)
CONTENT_METRICS = (
    Metric(
        name="class_iou",
        label="Classes kept, IoU",
        better="higher",
        digits=3,
        explanation="agreement of a parser's classes in input and output, the mean over classes; 1 is the same",
        optional=True,
    ),
    Metric(
        name="class_agreement",
        label="Places kept",
        better="higher",
        digits=3,
        explanation="share of the picture in which the parser sees the same class as in the input",
        optional=True,
    ),
    Metric(
        name="edges_kept",
        label="Edges kept",
        better="higher",
        digits=3,
        explanation="F1 of the output's edges against the input's, whatever their contrast; 1 is the same",
        optional=True,
    ),
)
"""Of studies in which an output shall show what its input shows, in the manner of domain B."""
CLASSES, EDGES = CONTENT_METRICS[0], CONTENT_METRICS[2]
FAULT_METRICS = (
    Metric("blur_unevenness", "Uneven blur", "lower", 2, "spread of the blur over the background, in octaves; 0 is even"),
    Metric(
        name="rim_sharpness",
        label="Rim sharpness",
        better="lower",
        digits=3,
        explanation="sharpness just outside the subject, as a share of the input's; above the background's own is a halo",
        ranked=False,
    ),
    Metric("leak", "Leak", "lower", 2, "the subject's colour in the rim outside it; 0 none, 1 as by blurring it along"),
    Metric("imagined", "Imagined", "lower", 4, "structure of the background that the input does not have; 0 is none"),
    Metric(
        "checkerboard", "Checkerboard", "lower", 2, "energy at the frequencies of upsampling, against the input's; 1 is none"
    ),
)
SCENE_METRICS = (
    Metric("truth_background_l1", "Background error", "lower", 4, "mean absolute difference to the true lens, 0 to 1"),
    Metric("truth_background_psnr_db", "Background PSNR, dB", "higher", 1, "signal-to-noise ratio to the true lens"),
    Metric("truth_background_ssim", "Background SSIM", "higher", 3, "structural similarity to the true lens"),
    Metric("truth_psnr_db", "PSNR, dB", "higher", 1, "of the whole picture to the true lens", optional=True),
    Metric("truth_ssim", "SSIM", "higher", 3, "of the whole picture to the true lens", optional=True),
    Metric(
        "truth_lpips",
        "LPIPS",
        "lower",
        3,
        "perceptual distance of the whole picture to the true lens by VGG-16",
        optional=True,
    ),
    Metric("truth_subject_l1", "Subject error", "lower", 4, "mean absolute difference to the true lens, 0 to 1"),
    Metric(
        name="background_sharpness",
        label="Background sharpness",
        better="lower",
        digits=3,
        explanation="as on photos; the true lens shows how much of it real defocus leaves",
        ranked=False,
    ),
)

SUBJECT = next(metric for metric in PHOTO_METRICS if metric.name == "subject_ssim")
BLUR = next(metric for metric in PHOTO_METRICS if metric.name == "background_sharpness")
TRUTH = SCENE_METRICS[0]
"""By these three, models and recipes are compared in pairs: is the subject kept, how soft is the background, how close
is it to the truth."""

KEY_METRICS = ((SUBJECT, False), (BLUR, False), (TRUTH, True), *((metric, False) for metric in CONTENT_METRICS))
"""Each with whether it is of the scenes."""
CONTENT_KEPT, CONTENT_LOST = 0.75, 0.5
"""Mean agreement of classes from which on content counts as kept, and below which it counts as lost."""

METHOD_LABELS = {
    INPUT: "Input, unchanged",
    "average_5x5": "Average 5×5 + subject pasted",
    "gaussian_9x9": "Gaussian 9×9 + subject pasted",
    "gaussian_matched": "Gaussian as soft as B + subject pasted",
    "disc_matched": "Disc as soft as B, held off the subject",
    TRUE_LENS: "True thin lens",
}
SCENE_PREFIX = "scene:"


@dataclass(frozen=True)
class Cell:
    """One metric of one method; the mean is null without scores, its interval with fewer than two."""

    mean: float | None
    interval: Interval | None
    count: int
    missing: int
    standing: Standing


@dataclass(frozen=True)
class Row:
    """One method in a comparison."""

    method: str
    label: str
    cells: list[Cell]
    flat: int
    """Outputs of one colour, which are not scored."""


@dataclass(frozen=True)
class Comparison:
    """All methods by all metrics over the same pictures; an optional metric that was not measured is left out."""

    metrics: Sequence[Metric]
    rows: list[Row]
    pictures: int


@dataclass(frozen=True)
class Iou:
    """Mean agreement of the segmenter with known masks, null without any."""

    mean: float | None
    lowest: float | None
    count: int


@dataclass(frozen=True)
class Headline:
    """What came out for one model: one figure with its caption, a verdict, and sentences that say it in full."""

    figure: str
    caption: str
    verdict: Verdict
    verdict_words: str
    sentences: list[str]


def merge(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of several models, judged at one size on the same pictures, as one.

    What they share, such as the baselines, counts once, as the first has it.
    """
    merged = pd.concat(list(tables.values()), ignore_index=True)
    return merged.drop_duplicates(["photo_id", "method", "metric"], ignore_index=True)


def compare_photos(scores: pd.DataFrame, models: Sequence[str]) -> Comparison:
    """Every method on the test photos."""
    return _compare(scores[~_is_scene(scores)], PHOTO_METRICS, [INPUT, *BASELINES, *with_variants(scores, models)])


def count_pictures(scores: pd.DataFrame, model: str, scenes: bool) -> int:
    """How many test photos or scenes `compare_photos` and `compare_scenes` are about."""
    methods = [INPUT, *BASELINES, *with_variants(scores, [model]), *((TRUE_LENS,) if scenes else ())]
    shown = among(scores["method"], methods) & ~scores["photo_id"].str.startswith(SET_PREFIX) & (_is_scene(scores) == scenes)
    return int(scores.loc[shown, "photo_id"].nunique())


def compare_content(scores: pd.DataFrame, models: Sequence[str]) -> Comparison:
    """Whether every method's outputs show what its inputs showed; without metrics where no parser looked."""
    return _compare(scores[~_is_scene(scores)], CONTENT_METRICS, [INPUT, *BASELINES, *with_variants(scores, models)])


def compare_faults(scores: pd.DataFrame, models: Sequence[str]) -> Comparison:
    """What went wrong, of every method on the test photos."""
    return _compare(scores[~_is_scene(scores)], FAULT_METRICS, [INPUT, *BASELINES, *with_variants(scores, models)])


@dataclass(frozen=True)
class SetScores:
    """One method's test set against domain B: kernel distance with its interval, precision, recall; FID where it has
    enough pictures to mean something."""

    label: str
    method: str
    kid: float
    low: float
    high: float
    precision: float
    recall: float
    fid: float | None = None
    standing: Standing = "unranked"


def compare_sets(scores: pd.DataFrame, models: Sequence[str], prefix: str = "") -> list[SetScores]:
    """Every method's test set against domain B; none without scores.

    `prefix` says by whose features, and of what: those that metrics of `judge` begin with. `best` is the smallest
    distance where its interval lies below every other method's.
    """
    values = scores[scores["photo_id"] == TEST_SET].set_index(["method", "metric"])["value"].astype(float).to_dict()
    found = []
    for method in [INPUT, *BASELINES, *with_variants(scores, models)]:
        if (method, f"{prefix}kid") in values:
            names = ("kid", "kid_low", "kid_high", "precision", "recall")
            kid, low, high, precision, recall = (values[method, prefix + name] for name in names)
            fid = values.get((method, f"{prefix}fid"))
            found.append(SetScores(method_label(method), method, kid, low, high, precision, recall, fid))
    ahead = [one for one in found if len(found) > 1 and all(one.high < other.low for other in found if other != one)]
    return [replace(one, standing="best" if one in ahead else "ranked") for one in found]


@dataclass(frozen=True)
class SoftnessRow:
    """Where one method's backgrounds stand between the inputs' and domain B's; None where it cannot be told."""

    label: str
    method: str
    gap: Estimate | None
    scales: Estimate | None
    above: Estimate | None
    left: Estimate | None
    subject_left: float | None

    @property
    def distance(self) -> float | None:
        """Mean of `gap` and `scales`: 1 where nothing was done."""
        known = [one.value for one in (self.gap, self.scales) if one]
        return float(np.mean(known)) if known else None

    @property
    def is_close(self) -> bool:
        """Whether both measures are, as far as they are known."""
        limits = ((self.gap, CLOSE_GAP), (self.scales, CLOSE_SCALES))
        return self.distance is not None and all(one is None or one.value <= limit for one, limit in limits)

    @property
    def unknown(self) -> str | None:
        """In words, the measure that is not known where the other one is."""
        if self.gap is None and self.scales is not None:
            return "relative to contrast"
        return "across scales" if self.scales is None and self.gap is not None else None

    @property
    def changes_nothing(self) -> bool:
        """Whether backgrounds stay as sharp as they were."""
        return self.left is not None and self.left.value > NOTHING_LEFT

    @property
    def blurs_everything(self) -> bool:
        """Whether the subjects lose their sharpness with the backgrounds."""
        if self.left is None or self.subject_left is None:
            return False
        return max(self.left.value, self.subject_left) < EVERYTHING_LEFT


@dataclass(frozen=True)
class SoftnessTable:
    """Every method's backgrounds against domain B's: measured at which size, and what cannot be told by it."""

    rows: list[SoftnessRow]
    measured_px: int
    pictures_b: int

    @property
    def limits(self) -> list[str]:
        """In words."""
        found = []
        if self.measured_px < TELLING_SIDE_PX:
            found.append(
                f"Measured at {self.measured_px} px, all that is stored: in photographs of that size a blur of a few pixels "
                f"hardly shows, which takes {TELLING_SIDE_PX} px; a strong one does."
            )
        if all(row.distance is None for row in self.rows):
            found.append(
                "Inputs and domain B do not differ for sure in how soft their backgrounds are, or there are too few "
                "pictures to tell: how near a method comes to B is not known."
            )
        return found


def compare_softness(scores: pd.DataFrame, models: Sequence[str]) -> SoftnessTable | None:
    """Every method's backgrounds; None where there is no domain B to compare them with."""
    of_set = scores.loc[scores["photo_id"] == TEST_SET, ["method", "metric", "value"]]
    values = {(str(method), str(metric)): float(value) for method, metric, value in of_set.itertuples(index=False)}
    if (DOMAIN_B, "softness_px") not in values:
        return None
    methods = [INPUT, *BASELINES, *with_variants(scores, models)]
    rows = [softness_of(values, method) for method in methods if (method, "subject_left") in values]
    return SoftnessTable(rows, *(int(values[DOMAIN_B, name]) for name in ("softness_px", "pictures")))


def softness_of(values: Mapping[tuple[str, str], float], method: str) -> SoftnessRow:
    """One method's, by the set's scores: (method, metric) -> value."""

    def estimate(name: str) -> Estimate | None:
        found = [values.get((method, name + end), np.nan) for end in ENDS]
        return Estimate(*found) if np.isfinite(found).all() else None

    left = values.get((method, "subject_left"), np.nan)
    figures = [estimate(name) for name in SOFTNESS_SCORES]
    return SoftnessRow(method_label(method), method, *figures, subject_left=left if np.isfinite(left) else None)


@dataclass(frozen=True)
class Condition:
    """Scenes taken alike: in words how, how many, and the mean error of each method."""

    label: str
    scenes: int
    errors: list[float | None]


@dataclass(frozen=True)
class Conditions:
    """Background error to the true lens by how the scenes were taken."""

    methods: list[str]
    labels: list[str]
    rows: list[Condition]


def by_condition(scores: pd.DataFrame, models: Sequence[str]) -> Conditions | None:
    """The lower and the upper half of the scenes by aperture and by distances; None where that is not known."""
    methods = [INPUT, *BASELINES, *models]
    errors = _wide(scores[_is_scene(scores)], TRUTH.name, methods)
    rows = [row for name in CONDITIONS for row in _halves(scores_of(scores, name, TRUE_LENS, scenes=True), errors, name)]
    shown = list(errors.columns)
    return Conditions(shown, [method_label(method) for method in shown], rows) if rows else None


CONDITION_WORDS = {
    "aperture_mm": ("lens of {:.1f} mm and less", "lens wider than {:.1f} mm"),
    "focus_distance_m": ("subject at {:.1f} m and nearer", "subject beyond {:.1f} m"),
    "background_distance_m": ("background at {:.1f} m and nearer", "background beyond {:.1f} m"),
}


def _halves(values: pd.Series, errors: pd.DataFrame, name: str) -> list[Condition]:
    known = values.dropna()
    if known.nunique() < 2:
        return []
    middle = float(known.median())
    near = known[known <= middle].index
    parts = zip(CONDITION_WORDS[name], (near, known.index.difference(near)), strict=True)
    return [
        Condition(words.format(middle), len(scenes), [_series_mean(errors[method].reindex(scenes)) for method in errors])
        for words, scenes in parts
        if len(scenes)
    ]


def _series_mean(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.mean()) if len(known) else None


def compare_scenes(scores: pd.DataFrame, models: Sequence[str]) -> Comparison:
    """Every method on the scenes with known truth."""
    methods = [INPUT, *BASELINES, *with_variants(scores, models), TRUE_LENS]
    return _compare(scores[_is_scene(scores)], SCENE_METRICS, methods)


def method_label(method: str) -> str:
    """How a method is called on the page."""
    for end, words in ((OVERLAID, ", subject laid over"), (PLAIN, ", without overlay")):
        if method.endswith(end):
            return method.removesuffix(end) + words
    return METHOD_LABELS.get(method, method)


def with_variants(scores: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """The methods of the models: each name, then it with and without overlay where it was judged so too."""
    judged = set(scores["method"])
    return [name + end for name in models for end in ("", PLAIN, OVERLAID) if name + end in judged]


def overlaid_methods(methods: Iterable[str]) -> set[str]:
    """Those whose result has the real subject laid over it, so that what is said of the subject is no merit."""
    known = set(methods)
    return {method for method in known if method.endswith(OVERLAID) or method + PLAIN in known}


def _key_tables(scores: pd.DataFrame, methods: Sequence[str]) -> list[tuple[Metric, pd.DataFrame]]:
    """The metrics by which pairs are compared, with their scores; a subject that is laid over has none."""
    overlaid = overlaid_methods(scores["method"])
    found = []
    for metric, scenes in KEY_METRICS:
        fair = [method for method in methods if metric is not SUBJECT or method not in overlaid]
        found.append((metric, _wide(scores[_is_scene(scores) == scenes], metric.name, fair)))
    return [(metric, wide) for metric, wide in found if len(wide)]


@dataclass(frozen=True)
class Pair:
    """One method against another: by metric the difference first − second, null where they share no scores.

    Their p-values are corrected for all pairs of the table.
    """

    first: str
    second: str
    differences: list[Difference | None]


@dataclass(frozen=True)
class Pairs:
    """Each two methods on the pictures that both were judged on."""

    metrics: Sequence[Metric]
    pairs: list[Pair]


def compare_pairs(scores: pd.DataFrame, methods: Sequence[str]) -> Pairs:
    """Each two of the methods by the subject, the blur and, on scenes, the truth; no pair for fewer than two methods."""
    tables = _key_tables(scores, methods)
    columns = [_pairwise(wide, methods) for _, wide in tables]
    pairs = significance.all_pairs(list(methods))
    return Pairs([metric for metric, _ in tables], [Pair(*pair, [column[pair] for column in columns]) for pair in pairs])


def _pairwise(wide: pd.DataFrame, methods: Sequence[str]) -> dict[tuple[str, str], Difference | None]:
    found = {
        (first, second): significance.paired_difference(wide[first].to_numpy(), wide[second].to_numpy())
        for first, second in significance.all_pairs([method for method in methods if method in wide])
    }
    return _corrected({pair: found.get(pair) for pair in significance.all_pairs(list(methods))})


def _corrected(found: dict[tuple[str, str], Difference | None]) -> dict[tuple[str, str], Difference | None]:
    p_values = significance.holm({pair: one.p_value for pair, one in found.items() if one is not None})
    return {pair: one and replace(one, p_value=p_values[pair]) for pair, one in found.items()}


@dataclass(frozen=True)
class RecipeRow:
    """A recipe over its seeds: by metric the mean and, with enough seeds, its interval over seeds and photos."""

    recipe: str
    seeds: int
    cells: list[tuple[float | None, Interval | None]]


@dataclass(frozen=True)
class Recipes:
    """Recipes side by side; `pairs` holds those with at least three seeds each."""

    metrics: Sequence[Metric]
    rows: list[RecipeRow]
    pairs: list[Pair]


def compare_recipes(scores: pd.DataFrame, runs: Mapping[str, Sequence[str]]) -> Recipes:
    """Recipes by the methods that are their runs; with fewer than three seeds there are means and nothing more."""
    names = [run for each in runs.values() for run in each]
    tables = _key_tables(scores, names)
    by_recipe = {
        recipe: [wide.reindex(columns=list(each)).to_numpy().T for _, wide in tables] for recipe, each in runs.items()
    }
    rows = [
        RecipeRow(recipe, len(runs[recipe]), [significance.seeds_mean(values) for values in columns])
        for recipe, columns in by_recipe.items()
    ]
    seeded = [recipe for recipe, each in runs.items() if len(each) >= significance.MIN_SEEDS]
    columns = [_recipe_pairs({recipe: by_recipe[recipe][index] for recipe in seeded}) for index in range(len(tables))]
    pairs = [Pair(*pair, [column[pair] for column in columns]) for pair in significance.all_pairs(seeded)]
    return Recipes([metric for metric, _ in tables], rows, pairs)


def _recipe_pairs(values: Mapping[str, np.ndarray]) -> dict[tuple[str, str], Difference | None]:
    pairs = significance.all_pairs(list(values))
    return _corrected({pair: significance.recipe_difference(values[pair[0]], values[pair[1]]) for pair in pairs})


def segmenter_iou(scores: pd.DataFrame, scenes: bool) -> Iou:
    """IoU of the segmenter's masks with the true ones, of scenes or of photos."""
    values = scores.loc[(scores["metric"] == "mask_iou") & (_is_scene(scores) == scenes), "value"].dropna()
    if values.empty:
        return Iou(None, None, 0)
    return Iou(float(values.mean()), float(values.min()), len(values))


def scores_of(scores: pd.DataFrame, metric: str, method: str, scenes: bool) -> pd.Series:
    """Scores by picture, nulls included, in the order of ids."""
    rows = scores[(scores["metric"] == metric) & (scores["method"] == method) & (_is_scene(scores) == scenes)]
    return rows.set_index("photo_id")["value"].astype(float).sort_index()


def is_of_content(scores: pd.DataFrame) -> bool:
    """Whether the study is about two collections without subjects, so that nothing was asked about any."""
    measured = set(scores["metric"])
    return "checkerboard" in measured and not any(name.startswith("subject_") for name in measured)


def headline(scores: pd.DataFrame, model: str) -> Headline:
    """The result of one model, computed from its scores.

    With known truth the figure is the change of the background's error; without, how much of the backgrounds' distance to
    domain B in softness is gone. Where nothing is known of subjects, it is how much of the content is kept, beside the
    likeness to domain B. A model that changes nothing, or blurs everything, is called that and nothing better.
    """
    if is_of_content(scores):
        return _of_content(scores, model)
    ssim, softness = _mean(scores, "subject_ssim", model, scenes=False), _softness(scores, model)
    before = _mean(scores, "truth_background_l1", INPUT, scenes=True)
    after = _mean(scores, "truth_background_l1", model, scenes=True)
    if not before or after is None:
        return _without_truth(scores, model, ssim)
    change = after / before - 1.0
    scenes = _count(len(scores_of(scores, "truth_background_l1", model, scenes=True)), "rendered scene")
    baseline = _better_baseline(scores)
    verdict, words = _failure(softness) or _verdict(
        change, ssim, smoothing_is_better=baseline is not None and baseline[1] < after
    )
    sentences = [
        f"On {scenes} the background error against the true lens is {_percent(change)} doing nothing "
        f"({after:.4f} against {before:.4f}).",
        *([_baseline_sentence(*baseline, before)] if baseline else []),
        _photo_sentence(scores, model, ssim),
        *_softness_sentences(scores, softness),
    ]
    return Headline(_signed_percent(change), "background error, against doing nothing", verdict, words, sentences)


def _of_content(scores: pd.DataFrame, model: str) -> Headline:
    kept = _mean(scores, "class_iou", model, scenes=False)
    sets = {one.method: one for prefix in ("", "inception_") for one in reversed(compare_sets(scores, [model], prefix))}
    own, before = sets.get(model), sets.get(INPUT)
    is_nearer = None if own is None or before is None else own.kid < before.kid
    sentences = [*_content_sentences(scores, model), *_likeness_sentences(own, before, scores, model)]
    if kept is None:
        words = {None: "Nothing is known of it", True: "Comes nearer to domain B", False: "Comes no nearer to domain B"}
        told = "name a parser under [evaluation] to learn whether content is kept"
        return Headline("–", "of the classes kept", "mixed", f"{words[is_nearer]}; {told}", sentences)
    content = "keeps what is shown" if kept >= CONTENT_KEPT else "changes part of what is shown"
    content = "shows something else than its input" if kept < CONTENT_LOST else content
    verdict: Verdict = "good" if kept >= CONTENT_KEPT else "mixed"
    if kept < CONTENT_LOST or is_nearer is False:
        verdict = "bad"
    if is_nearer is None:
        verdict, words = ("bad" if kept < CONTENT_LOST else "mixed"), content.capitalize()
    elif is_nearer:
        words = (
            f"Comes nearer to domain B and {content}" if kept >= CONTENT_KEPT else f"Comes nearer to domain B but {content}"
        )
    else:
        words = f"Comes no nearer to domain B and {content}"
    return Headline(f"{kept:.2f}", "agreement of classes in input and output, 1 for the same", verdict, words, sentences)


def _content_sentences(scores: pd.DataFrame, model: str) -> list[str]:
    photos = _count(len(scores_of(scores, "class_iou", model, scenes=False)), "test picture")
    kept, places, edges = (_mean(scores, metric.name, model, scenes=False) for metric in CONTENT_METRICS)
    if kept is None or places is None or edges is None:
        return []
    return [
        f"On {photos} the parser's classes in input and output agree at an IoU of {kept:.3f} (1 is the same), over "
        f"{_share(places)} of the picture; the F1 of edges is {edges:.3f}."
    ]


def _likeness_sentences(own: SetScores | None, before: SetScores | None, scores: pd.DataFrame, model: str) -> list[str]:
    if own is None or before is None:
        return ["Too few pictures, or no network to compare them by: how near it comes to domain B is not known."]
    said = [
        f"Its kernel distance to domain B is {own.kid:.4f} ({own.low:.4f} to {own.high:.4f}), that of the unchanged inputs "
        f"{before.kid:.4f} ({before.low:.4f} to {before.high:.4f})."
    ]
    of_set = scores[(scores["photo_id"] == TEST_SET) & (scores["metric"] == "colour_distance")]
    colours = of_set.set_index("method")["value"].astype(float).to_dict()
    if model in colours and INPUT in colours:
        said.append(f"Its colours lie {colours[model]:.3f} from domain B's, those of the inputs {colours[INPUT]:.3f}.")
    return said


def _softness(scores: pd.DataFrame, model: str) -> SoftnessRow | None:
    table = compare_softness(scores, [model])
    return next((row for row in table.rows if row.method == model), None) if table else None


def _failure(softness: SoftnessRow | None) -> tuple[Verdict, str] | None:
    """The verdict on a model that fails as models do."""
    if softness is not None and softness.changes_nothing:
        return "bad", "Blurs nothing: backgrounds stay as sharp as they were"
    if softness is not None and softness.blurs_everything:
        return "bad", "Blurs everything, the subject too"
    return None


def _verdict(change: float, ssim: float | None, smoothing_is_better: bool) -> tuple[Verdict, str]:
    if change >= 0:
        return "bad", "Does not come closer to the true lens"
    closer = "Comes closer to the true lens" if change <= -GOAL_REDUCTION else "Comes a little closer to the true lens"
    if ssim is None:
        return "mixed", f"{closer}; the subject could not be scored"
    if ssim < SUBJECT_KEPT_SSIM:
        return "mixed", f"{closer} but changes the subject"
    if smoothing_is_better:
        return "mixed", f"{closer} and keeps the subject; plain smoothing comes closer still"
    return "good" if change <= -GOAL_REDUCTION else "mixed", f"{closer} and keeps the subject"


def _without_truth(scores: pd.DataFrame, model: str, ssim: float | None) -> Headline:
    softness, rival = _softness(scores, model), _nearest_baseline(scores)
    sentences = [_photo_sentence(scores, model, ssim), *_softness_sentences(scores, softness)]
    unknown = "Without scenes of known truth nobody can say whether the blur is that of a lens."
    if softness is None or softness.distance is None:
        left = _mean(scores, "background_sharpness", model, scenes=False)
        verdict, words = _failure(softness) or _verdict_on_subject(ssim, left)
        figure, caption = "–" if left is None else _share(left), "of the background's sharpness, after against before"
        return Headline(figure, caption, verdict, words, [*sentences, unknown])
    verdict, words = _failure(softness) or _verdict_on_softness(softness, ssim, rival)
    caption = "distance to domain B in the softness of backgrounds, against doing nothing"
    return Headline(_signed_percent(softness.distance - 1.0), caption, verdict, words, [*sentences, unknown])


def _verdict_on_subject(ssim: float | None, left: float | None) -> tuple[Verdict, str]:
    """What can be said where the softness of backgrounds cannot be compared with B's."""
    if ssim is not None and ssim < SUBJECT_KEPT_SSIM:
        return "bad", "Changes the subject"
    if left is not None and left > NOTHING_LEFT:
        return "bad", "Blurs nothing: backgrounds stay as sharp as they were"
    return "mixed", "Whether its blur is right is not known"


def _verdict_on_softness(softness: SoftnessRow, ssim: float | None, rival: SoftnessRow | None) -> tuple[Verdict, str]:
    above = softness.above.value if softness.above else 0.5
    if softness.is_close and SOFT_CHANCE <= above <= SHARP_CHANCE:
        words = "Backgrounds are about as soft as domain B's"
    elif above < SOFT_CHANCE:
        words = "Blurs more than domain B is blurred"
    elif above > SHARP_CHANCE:
        words = "Blurs less than domain B is blurred"
    else:
        words = "Blurs, but not as domain B is blurred"
    if ssim is None:
        return "mixed", f"{words}; the subject could not be scored"
    if ssim < SUBJECT_KEPT_SSIM:
        return "bad", f"{words}, and the subject is changed"
    if rival is not None and (rival.distance or 0.0) < (softness.distance or 0.0):
        return "mixed", f"{words}, and the subject is kept; a blur of one width comes closer still"
    is_good = softness.is_close and softness.unknown is None
    return "good" if is_good else "mixed", f"{words}, and the subject is kept"


def _softness_sentences(scores: pd.DataFrame, softness: SoftnessRow | None) -> list[str]:
    """How near the backgrounds come to domain B, and how near the nearest baseline does."""
    if softness is None:
        return []
    if softness.distance is None:
        table = compare_softness(scores, [])
        return [] if table is None else table.limits[-1:]
    figures = ", ".join(
        f"{name} {one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
        for name, one in (("relative to contrast", softness.gap), ("across scales", softness.scales))
        if one
    )
    rival = _nearest_baseline(scores)
    words = f"; the nearest baseline, {_in_sentence(rival.label)}, has {rival.distance:.2f} on the mean" if rival else ""
    told = [f"Of the distance to domain B in softness there is left, 1 for doing nothing: {figures}{words}."]
    if softness.unknown:
        told.append(
            f"{softness.unknown.capitalize()} inputs and domain B do not differ for sure, so that what is left there is not "
            "known; a disc of one size can close the other distance alone."
        )
    return told


def _nearest_baseline(scores: pd.DataFrame) -> SoftnessRow | None:
    table = compare_softness(scores, [])
    known = [row for row in table.rows if row.method in BASELINES and row.distance is not None] if table else []
    return min(known, key=lambda row: row.distance or 0.0, default=None)


def _photo_sentence(scores: pd.DataFrame, model: str, ssim: float | None) -> str:
    known = [scores_of(scores, name, model, scenes=False).dropna().index for name in (SUBJECT.name, BLUR.name)]
    photos = _count(len(known[0].union(known[1])), "test photo")
    sharpness = _mean(scores, "background_sharpness", model, scenes=False)
    if ssim is None:
        subject = "the subject could not be scored"
    elif ssim >= SUBJECT_KEPT_SSIM:
        subject = f"the subject is kept at an SSIM of {ssim:.3f} (1 is unchanged)"
    else:
        subject = f"the subject is changed, to an SSIM of {ssim:.3f} (1 is unchanged)"
    if sharpness is None:
        return f"On {photos} {subject}; the background could not be scored."
    return f"On {photos} {subject}, and the background has {_share(sharpness)} of its sharpness."


def _better_baseline(scores: pd.DataFrame) -> tuple[str, float] | None:
    """The baseline with the lower background error, and the error."""
    errors = [(name, _mean(scores, "truth_background_l1", name, scenes=True)) for name in BASELINES]
    return min(((name, error) for name, error in errors if error is not None), key=lambda pair: pair[1], default=None)


def _baseline_sentence(name: str, error: float, before: float) -> str:
    words = _in_sentence(METHOD_LABELS[name])
    return f"The best of the baselines, {words}, lies {_percent(error / before - 1.0)} doing nothing."


def _in_sentence(label: str) -> str:
    return label.replace(" + subject pasted", " with the subject pasted back")


def _compare(scores: pd.DataFrame, metrics: Sequence[Metric], methods: Sequence[str]) -> Comparison:
    scores = scores[~scores["photo_id"].str.startswith(SET_PREFIX)]
    measured = set(scores["metric"])
    leaves_out = is_of_content(scores)
    metrics = [metric for metric in metrics if metric.name in measured or not (metric.optional or leaves_out)]
    present = [method for method in methods if (scores["method"] == method).any()]
    overlaid = overlaid_methods(present)
    of_metric = dict(iter(scores.groupby("metric", sort=False)))
    nothing = scores.iloc[:0]
    best = {metric.name: _best(of_metric.get(metric.name, nothing), metric, present, overlaid) for metric in metrics}
    values = {names: group.astype(float) for names, group in scores.groupby(["method", "metric"], sort=False)["value"]}
    rows = []
    for method in present:
        own = scores[scores["method"] == method]
        standings: list[Standing] = [_standing(metric, method, best[metric.name], overlaid) for metric in metrics]
        found = [values.get((method, metric.name), pd.Series(dtype=float)) for metric in metrics]
        cells = [_cell(of_one, standing) for of_one, standing in zip(found, standings, strict=True)]
        label = method_label(method + OVERLAID if method + PLAIN in present else method)
        rows.append(Row(method, label, cells, int((own["metric"] == "flat_output").sum())))
    judged = scores.loc[among(scores["method"], present), "photo_id"].nunique()
    return Comparison(metrics, rows, int(judged))


def _cell(values: pd.Series, standing: Standing) -> Cell:
    known = values.dropna()
    return Cell(
        mean=float(known.mean()) if len(known) else None,
        interval=significance.mean_interval(known.to_numpy()),
        count=len(known),
        missing=len(values) - len(known),
        standing=standing,
    )


def _standing(metric: Metric, method: str, best: str | None, overlaid: Set[str]) -> Standing:
    if _given(metric.name, method, overlaid):
        return "given"
    if not metric.ranked:
        return "unranked"
    return "best" if method == best else "ranked"


def _given(metric: str, method: str, overlaid: Set[str]) -> bool:
    """Whether construction fixes the score: pasted subjects, the input against itself, the truth against itself."""
    if method == TRUE_LENS:
        return metric.startswith("truth_")
    if method == INPUT:
        return not metric.startswith("truth_") or metric == "truth_subject_l1"
    return (method in BASELINES or method in overlaid) and ("subject" in metric or metric == "face_kept")


def _best(scores: pd.DataFrame, metric: Metric, methods: Sequence[str], overlaid: Set[str]) -> str | None:
    """The ranked method that beats each other one on the same pictures; a model's variants do not compete with it."""
    ranked = [method for method in methods if _standing(metric, method, None, overlaid) == "ranked"]
    ranked = [method for method in ranked if _base(method) == method or _base(method) not in ranked]
    wide = _wide(scores, metric.name, ranked)
    values = {method: wide[method].to_numpy() for method in ranked if method in wide}
    return significance.beats_all(values, metric.better == "lower")


def _base(method: str) -> str:
    """The model whose variant a method is."""
    return method.removesuffix(OVERLAID).removesuffix(PLAIN)


def _wide(scores: pd.DataFrame, metric: str, methods: Sequence[str]) -> pd.DataFrame:
    """Scores with a row for each picture and a column for each method that has any."""
    rows = scores[(scores["metric"] == metric) & among(scores["method"], methods)]
    wide = rows.pivot(index="photo_id", columns="method", values="value").astype(float).sort_index()
    return wide[[method for method in methods if method in wide]]


def _is_scene(scores: pd.DataFrame) -> pd.Series:
    return scores["photo_id"].str.startswith(SCENE_PREFIX)


def _mean(scores: pd.DataFrame, metric: str, method: str, scenes: bool) -> float | None:
    values = scores_of(scores, metric, method, scenes).dropna()
    return float(values.mean()) if len(values) else None


def _percent(change: float) -> str:
    return f"{_share(abs(change))} {'below' if change < 0 else 'above'}"


def _signed_percent(change: float) -> str:
    return f"{'−' if change < 0 else '+'}{_share(abs(change))}"


def _share(share: float) -> str:
    return f"{share * 100:.0f}\N{NO-BREAK SPACE}%"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

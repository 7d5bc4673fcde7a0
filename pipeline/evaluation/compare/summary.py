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
from pipeline.evaluation.measure.judged_size import BASELINES, INPUT, TRUE_LENS
from pipeline.evaluation.measure.scenes import CONDITIONS
from pipeline.evaluation.measure.set_scores import TEST_SET
from pipeline.intervals import Interval, mean_interval
from pipeline.tables import among

Standing = Literal["ranked", "best", "unranked", "given"]
"""`best`: significantly better than every other ranked method. `given`: fixed by construction, so no merit."""


OVERLAID, PLAIN = "+overlay", "-overlay"
"""End the name of an overlay recipe's model in the column `method`: judged with the subject laid over, or without."""
SET_PREFIX = "set:"
"""Begins what stands in for a photo id where a score is of a model itself, or of a whole set."""

FEW_PICTURES = 30
"""Below this many pictures a mean is read with care, and the report says so."""


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
        interval=mean_interval(known.to_numpy()),
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

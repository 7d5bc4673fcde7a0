"""From scores per picture to what a reader compares: means, spreads, ranks, and the result in plain words.

Works on the long table `evaluation`. Null scores do not count; how many there are is kept beside the mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.evaluation.judge import BASELINES, INPUT, TEST_SET, TRUE_LENS

Standing = Literal["ranked", "best", "unranked", "given"]
"""`best`: significantly better than every other ranked method. `given`: fixed by construction, so no merit."""

Verdict = Literal["good", "mixed", "bad"]

SIGNIFICANCE = 0.05
FEW_PICTURES = 30
"""Below this many pictures a mean is read with care, and the report says so."""
GOAL_REDUCTION = 0.30
"""Background error must fall by this share below doing nothing for a run to count as having learned."""
SUBJECT_KEPT_SSIM = 0.90
"""Mean SSIM from which on the report calls the subject kept."""


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
        name="background_sharpness",
        label="Background sharpness",
        better="lower",
        digits=3,
        explanation="mean |Laplacian| as a share of the input's; 1 is unchanged, 0 is flat",
        ranked=False,
    ),
)
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

METHOD_LABELS = {
    INPUT: "Input, unchanged",
    "average_5x5": "Average 5×5 + subject pasted",
    "gaussian_9x9": "Gaussian 9×9 + subject pasted",
    "gaussian_matched": "Gaussian as soft as B + subject pasted",
    TRUE_LENS: "True thin lens",
}
SCENE_PREFIX = "scene:"


@dataclass(frozen=True)
class Cell:
    """One metric of one method; mean and standard deviation are null without scores (spread below two)."""

    mean: float | None
    spread: float | None
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
    """The tables of several models, judged at one size on the same pictures, as one; what they share counts once."""
    merged = pd.concat([tables[name] for name in sorted(tables)], ignore_index=True)
    return merged.drop_duplicates(["photo_id", "method", "metric"], ignore_index=True)


def compare_photos(scores: pd.DataFrame, models: Sequence[str]) -> Comparison:
    """Every method on the test photos."""
    return _compare(scores[~_is_scene(scores)], PHOTO_METRICS, [INPUT, *BASELINES, *models])


def compare_faults(scores: pd.DataFrame, models: Sequence[str]) -> Comparison:
    """What went wrong, of every method on the test photos."""
    return _compare(scores[~_is_scene(scores)], FAULT_METRICS, [INPUT, *BASELINES, *models])


@dataclass(frozen=True)
class SetScores:
    """One method's test set against domain B: kernel distance with its interval, precision, recall."""

    label: str
    method: str
    kid: float
    low: float
    high: float
    precision: float
    recall: float
    standing: Standing = "unranked"


def compare_sets(scores: pd.DataFrame, models: Sequence[str], prefix: Literal["", "background_"] = "") -> list[SetScores]:
    """Every method's test set against domain B, in full or (`background_`) without the subjects; none without scores.

    `best` is the smallest distance where its interval lies below every other method's.
    """
    rows = scores[scores["photo_id"] == TEST_SET].set_index(["method", "metric"])["value"]
    found = []
    for method in [INPUT, *BASELINES, *models]:
        if (method, f"{prefix}kid") in rows.index:
            kid, low, high, precision, recall = (
                float(rows[method, prefix + name]) for name in ("kid", "kid_low", "kid_high", "precision", "recall")
            )
            label = METHOD_LABELS.get(method, method)
            found.append(SetScores(label, method, kid, low, high, precision, recall))
    return [
        replace(one, standing="best" if all(one.high < other.low for other in found if other != one) else "ranked")
        for one in found
    ]


def compare_scenes(scores: pd.DataFrame, models: Sequence[str]) -> Comparison:
    """Every method on the scenes with known truth."""
    return _compare(scores[_is_scene(scores)], SCENE_METRICS, [INPUT, *BASELINES, *models, TRUE_LENS])


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


def headline(scores: pd.DataFrame, model: str) -> Headline:
    """The result of one model, computed from its scores.

    With known truth the figure is the change of the background's error. Without, there is no verdict of
    success: sharpness alone would praise a model that blurs everything or invents a background.
    """
    ssim = _mean(scores, "subject_ssim", model, scenes=False)
    before = _mean(scores, "truth_background_l1", INPUT, scenes=True)
    after = _mean(scores, "truth_background_l1", model, scenes=True)
    if not before or after is None:
        return _without_truth(scores, model, ssim)
    change = after / before - 1.0
    scenes = _count(len(scores_of(scores, "truth_background_l1", model, scenes=True)), "rendered scene")
    baseline = _better_baseline(scores)
    verdict, words = _verdict(change, ssim, smoothing_is_better=baseline is not None and baseline[1] < after)
    sentences = [
        f"On {scenes} the background error against the true lens is {_percent(change)} doing nothing "
        f"({after:.4f} against {before:.4f}).",
        *([_baseline_sentence(*baseline, before)] if baseline else []),
        _photo_sentence(scores, model, ssim),
    ]
    return Headline(_signed_percent(change), "background error, against doing nothing", verdict, words, sentences)


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
    sharpness = _mean(scores, "background_sharpness", model, scenes=False)
    verdict: Verdict = "mixed"
    words = "Whether its blur is right is not known"
    if ssim is not None and ssim < SUBJECT_KEPT_SSIM:
        verdict, words = "bad", "Changes the subject"
    elif sharpness is not None and sharpness >= 1:
        verdict, words = "bad", "Does not blur the background"
    unknown = "Without scenes of known truth nobody can say whether the background is blurred rightly."
    figure = "–" if sharpness is None else _share(sharpness)
    sentences = [_photo_sentence(scores, model, ssim), unknown]
    return Headline(figure, "of the background's sharpness, after against before", verdict, words, sentences)


def _photo_sentence(scores: pd.DataFrame, model: str, ssim: float | None) -> str:
    photos = _count(len(scores_of(scores, "subject_ssim", model, scenes=False)), "test photo")
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
    words = METHOD_LABELS[name].replace(" + subject pasted", " with the subject pasted back")
    return f"The better of the study's baselines, {words}, lies {_percent(error / before - 1.0)} doing nothing."


def _compare(scores: pd.DataFrame, metrics: Sequence[Metric], methods: Sequence[str]) -> Comparison:
    scores = scores[~scores["photo_id"].str.startswith("set:")]
    measured = set(scores["metric"])
    metrics = [metric for metric in metrics if metric.name in measured or not metric.optional]
    present = [method for method in methods if (scores["method"] == method).any()]
    best = {metric.name: _best(scores, metric, present) for metric in metrics}
    rows = []
    for method in present:
        own = scores[scores["method"] == method]
        cells = [_cell(own, metric, method, best[metric.name]) for metric in metrics]
        rows.append(Row(method, METHOD_LABELS.get(method, method), cells, int((own["metric"] == "flat_output").sum())))
    judged = scores.loc[scores["method"].isin(present), "photo_id"].nunique()
    return Comparison(metrics, rows, int(judged))


def _cell(own: pd.DataFrame, metric: Metric, method: str, best: str | None) -> Cell:
    values = own.loc[own["metric"] == metric.name, "value"].astype(float)
    known = values.dropna()
    return Cell(
        mean=float(known.mean()) if len(known) else None,
        spread=float(known.std()) if len(known) > 1 else None,
        count=len(known),
        missing=len(values) - len(known),
        standing=_standing(metric, method, best),
    )


def _standing(metric: Metric, method: str, best: str | None) -> Standing:
    if _given(metric.name, method):
        return "given"
    if not metric.ranked:
        return "unranked"
    return "best" if method == best else "ranked"


def _given(metric: str, method: str) -> bool:
    """Whether construction fixes the score: pasted subjects, the input against itself, the truth against itself."""
    if method == TRUE_LENS:
        return metric.startswith("truth_")
    if method == INPUT:
        return not metric.startswith("truth_") or metric == "truth_subject_l1"
    return method in BASELINES and "subject" in metric


def _best(scores: pd.DataFrame, metric: Metric, methods: Sequence[str]) -> str | None:
    """The ranked method that beats each other one on the same pictures, by Wilcoxon's signed-rank test."""
    ranked = [method for method in methods if _standing(metric, method, None) == "ranked"]
    rows = scores[(scores["metric"] == metric.name) & scores["method"].isin(ranked)]
    wide = rows.pivot(index="photo_id", columns="method", values="value").astype(float).dropna()
    if len(ranked) < 2 or wide.empty:
        return None
    means = wide.mean() * (1 if metric.better == "lower" else -1)
    first = str(means.idxmin())
    beats_all = all(_differs(wide[first], wide[other]) for other in ranked if other != first)
    return first if beats_all else None


def _differs(first: pd.Series, second: pd.Series) -> bool:
    from scipy.stats import wilcoxon  # loads slowly, and only reports need it

    difference = (first - second).to_numpy()
    if not np.any(difference):
        return False
    _, p_value = np.asarray(wilcoxon(difference), float)
    return bool(p_value < SIGNIFICANCE)


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

"""What came out for models of depth: means with intervals, a verdict, and tables as a report shows them.

Scores are rows of `evaluation`, as `pipeline.operations.depth_evaluation` makes them. Intervals are by bootstrap over
pictures; several views of one scene are drawn together, since they resemble one another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.counted import counted
from pipeline.evaluation.compare.headline import Headline, Verdict
from pipeline.intervals import Interval, mean_interval

SCENE, SET, VIEW = "scene:", "set:", "@"
CONSTANT, MEAN_MAP, MASK = "constant", "mean map", "mask, two constants"
UNCHANGED, TRUE_DEPTH = "input", "true depth"
LABELS = {
    CONSTANT: "One distance everywhere",
    MEAN_MAP: "Mean map of the training pictures",
    MASK: "True mask, two distances",
    UNCHANGED: "Unchanged",
    TRUE_DEPTH: "True depth",
}
"""Of what stands beside models."""
OBEYED, MOSTLY_OBEYED = 0.95, 0.6


@dataclass(frozen=True)
class DepthMetric:
    """A column of a table. `better`: "lower" or "higher"."""

    name: str
    label: str
    digits: int
    better: str


DEPTH_METRICS = (
    DepthMetric("abs_rel", "AbsRel", 3, "lower"),
    DepthMetric("sq_rel", "SqRel, m", 3, "lower"),
    DepthMetric("rmse", "RMSE, m", 3, "lower"),
    DepthMetric("rmse_log", "RMSE log", 3, "lower"),
    DepthMetric("log10", "log10", 3, "lower"),
    DepthMetric("silog", "SILog", 1, "lower"),
    DepthMetric("delta1", "δ1", 3, "higher"),
    DepthMetric("delta2", "δ2", 3, "higher"),
    DepthMetric("delta3", "δ3", 3, "higher"),
    DepthMetric("edge_f1", "F1 of edges", 3, "higher"),
    DepthMetric("aligned_abs_rel", "aligned AbsRel", 3, "lower"),
    DepthMetric("aligned_rmse", "aligned RMSE, m", 3, "lower"),
    DepthMetric("aligned_delta1", "aligned δ1", 3, "higher"),
    DepthMetric("subject_nearer", "subject nearer", 2, "higher"),
)
ZONES = {"": "the whole picture", "_in_focus": "in focus", "_out_of_focus": "out of focus", "_rim": "rims"}
VIEW_METRICS = (
    DepthMetric("l1", "L1", 4, "lower"),
    DepthMetric("psnr_db", "PSNR, dB", 1, "higher"),
    DepthMetric("ssim", "SSIM", 3, "higher"),
    DepthMetric("lpips", "LPIPS", 3, "lower"),
)
OBEDIENCE = (
    DepthMetric("obeyed_map", "a map of what is sharp", 3, "higher"),
    DepthMetric("obeyed_patch", "a patch drawn by hand", 3, "higher"),
    DepthMetric("obeyed_click", "one click", 3, "higher"),
)


@dataclass(frozen=True)
class DepthCell:
    """A mean over pictures, its interval, which one scene has not, and over how many pictures."""

    mean: float
    interval: Interval | None
    count: int


@dataclass(frozen=True)
class DepthTable:
    """Methods in rows, metrics in columns."""

    title: str
    metrics: Sequence[DepthMetric]
    rows: Sequence[tuple[str, Sequence[DepthCell | None]]]
    pictures: int


def is_of_depth_scores(scores: pd.DataFrame) -> bool:
    """Whether they are of a model that predicts depth."""
    return "aligned_abs_rel" in set(scores["metric"])


def cell_of(scores: pd.DataFrame, method: str, metric: str) -> DepthCell | None:
    """The mean of a method's scores over pictures, each scene weighing alike."""
    found = scores[(scores["method"] == method) & (scores["metric"] == metric)].dropna(subset="value")
    if found.empty:
        return None
    means = found.groupby(found["photo_id"].str.partition(VIEW)[0])["value"].mean().to_numpy()
    return DepthCell(float(means.mean()), mean_interval(means), len(found))


def photo_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Of test pictures."""
    return scores[~scores["photo_id"].str.startswith((SCENE, SET))]


def scene_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Of scenes' depth."""
    return scores[scores["photo_id"].str.startswith(SCENE) & ~scores["photo_id"].str.contains(VIEW, regex=False)]


def view_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Of scenes through a lens."""
    return scores[scores["photo_id"].str.startswith(SCENE) & scores["photo_id"].str.contains(VIEW, regex=False)]


def table_of(
    title: str, scores: pd.DataFrame, methods: Sequence[str], metrics: Sequence[DepthMetric], suffix: str = ""
) -> DepthTable | None:
    """A table of what was measured; None where nothing was."""
    rows = [(method, [cell_of(scores, method, one.name + suffix) for one in metrics]) for method in methods]
    shown = [k for k in range(len(metrics)) if any(cells[k] for _, cells in rows)]
    kept = [(method, [cells[k] for k in shown]) for method, cells in rows if any(cells)]
    if not kept:
        return None
    return DepthTable(title, [metrics[k] for k in shown], kept, scores["photo_id"].nunique())


def tables_of(scores: pd.DataFrame, models: Sequence[str]) -> Mapping[str, Sequence[DepthTable]]:
    """All tables of these models and what stands beside them: `depth`, `zones` and `obedience`."""
    beside = [CONSTANT, MEAN_MAP, MASK]
    views = view_scores(scores)
    pooled = scores[scores["photo_id"].str.startswith(SET)]
    depth = [
        table_of("Test pictures, means over pictures", photo_scores(scores), [*beside, *models], DEPTH_METRICS),
        table_of("Scenes held out, means over pictures", scene_scores(scores), [*beside, *models], DEPTH_METRICS),
        table_of("Test pictures, all their pixels pooled", pooled, [*beside, *models], DEPTH_METRICS),
    ]
    ordered = [UNCHANGED, MEAN_MAP, MASK, *models, TRUE_DEPTH]
    zones = [table_of(words.capitalize(), views, ordered, VIEW_METRICS, zone) for zone, words in ZONES.items()]
    obedience = [table_of("Plane told by", views, [MASK, *models, TRUE_DEPTH], OBEDIENCE)]
    found = {"depth": depth, "zones": zones, "obedience": obedience}
    return {name: [one for one in tables if one is not None] for name, tables in found.items()}


def closed_gap(scores: pd.DataFrame, model: str) -> float | None:
    """Share of the way from the unchanged picture to what true depth gives that a model's depth goes, by L1."""
    cells = [cell_of(view_scores(scores), method, "l1") for method in (UNCHANGED, model, TRUE_DEPTH)]
    if any(cell is None for cell in cells):
        return None
    nothing, ours, truth = (cell.mean for cell in cells if cell is not None)
    return (nothing - ours) / (nothing - truth) if nothing > truth else None


def depth_headline(scores: pd.DataFrame, model: str) -> Headline:
    """The result of one model: its error of depth beside what asks for no network, and what it is worth to a lens."""
    photos = photo_scores(scores)
    metric = "abs_rel" if cell_of(photos, model, "abs_rel") else "aligned_abs_rel"
    cells = {method: cell_of(photos, method, metric) for method in (model, CONSTANT, MEAN_MAP, MASK)}
    own, mean_map, mask = cells[model], cells[MEAN_MAP], cells[MASK]
    if own is None:
        return Headline("–", "error of depth", "bad", "Nothing is known of it", [])
    told = "AbsRel" if metric == "abs_rel" else "AbsRel after alignment"
    verdict: Verdict = "good"
    words = (
        "Better than the mean map, which looks at no picture" if mask is None else "Better than knowing the subject's mask"
    )
    if mean_map is not None and own.mean >= mean_map.mean:
        verdict, words = "bad", "No better than the mean map, which looks at no picture"
    elif mask is not None and own.mean >= mask.mean:
        verdict, words = "mixed", "Better than the mean map, not better than the true mask with two distances"
    others = ", ".join(
        f"{LABELS[method].lower()} {cell.mean:.3f}" for method, cell in cells.items() if cell and method != model
    )
    sentences = [f"{own.count} test pictures; beside it: {others}.", *_lens_sentences(scores, model)]
    return Headline(f"{own.mean:.3f}", f"{told}, mean over test pictures", verdict, words, sentences)


def _lens_sentences(scores: pd.DataFrame, model: str) -> Iterator[str]:
    views = view_scores(scores)
    gap = closed_gap(scores, model)
    if gap is not None:
        count = views["photo_id"].nunique()
        way = f"{gap:.0%} of the way from the unchanged picture to blur by true depth"
        yield f"Blur by its depth goes {way} ({counted(count, 'picture')})."
    cells = {one.label: cell_of(views, model, one.name) for one in OBEDIENCE}
    if told := [f"{label} {cell.mean:.0%}" for label, cell in cells.items() if cell]:
        yield f"The plane is obeyed, told by {', '.join(told)}."
    changed = cell_of(views, model, "changed_in_focus")
    if changed:
        yield f"What is in focus changes by {changed.mean:.4f} (L1)."


def focus_headline(scores: pd.DataFrame, model: str) -> Headline | None:
    """Whether the plane is obeyed; None where that was not asked."""
    views = view_scores(scores)
    click, by_map = (cell_of(views, model, name) for name in ("obeyed_click", "obeyed_map"))
    if click is None or by_map is None:
        return None
    least = min(click.mean, by_map.mean)
    verdict: Verdict = "good" if least >= OBEYED else "mixed" if least >= MOSTLY_OBEYED else "bad"
    words = {"good": "Obeys its plane", "mixed": "Mostly obeys its plane", "bad": "Often does not obey its plane"}[verdict]
    truth = cell_of(views, TRUE_DEPTH, "obeyed_click")
    chance = "whoever ignores the plane is right in one of five"
    beside = [f"With true depth one click is obeyed in {truth.mean:.0%}; {chance}."] if truth else []
    return Headline(
        f"{click.mean:.0%}",
        "of planes obeyed, told by one click",
        verdict,
        words,
        [*beside, *_lens_sentences(scores, model)],
    )

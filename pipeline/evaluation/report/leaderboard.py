"""The leaderboard of a home: every model that was ever judged, by what, in one HTML file that needs nothing else.

Models stand in one table only where they were judged on the same snapshot, at the same size, by the same yardstick:
figures of different tables cannot be compared, and the page says so.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline import atomic
from pipeline.errors import DatasetError
from pipeline.evaluation.compare import summary
from pipeline.evaluation.compare.headline import headline
from pipeline.evaluation.compare.softness import compare_softness
from pipeline.evaluation.measure.judge import MODEL_SET
from pipeline.evaluation.measure.judged_size import BASELINES, INPUT
from pipeline.evaluation.measure.tiles import Tiles
from pipeline.evaluation.report import gallery
from pipeline.evaluation.report.gallery import Side
from pipeline.evaluation.report.page import FLICKR_NOTICE, ModelReport, environment, shelf_of
from pipeline.intervals import Interval
from pipeline.softness import Estimate

PHOTOS_OF_BENCH = 2
"""Test photos that are shown of each table."""


@dataclass(frozen=True)
class Entry:
    """A model on the leaderboard: `facts` are shown beside it, `remarks` say what of it is not as it was."""

    report: ModelReport
    facts: Mapping[str, str]
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Bench:
    """What was judged alike: on one snapshot, at one size, by one yardstick, whose parts `judged_by` names."""

    snapshot_id: str
    judged_px: int
    yardstick: str
    judged_by: Mapping[str, str]
    entries: Sequence[Entry]
    credits: pd.DataFrame
    is_newest: bool = False
    """Whether it is of the newest snapshot, by the yardstick of now."""


@dataclass(frozen=True)
class LeaderboardInputs:
    """All that stands on the page; `left_out` says in words which evaluations could not be shown, and why."""

    project: str
    benches: Sequence[Bench]
    made_on: datetime.date
    left_out: Sequence[str] = ()
    code_revision: str = "unknown"


@dataclass(frozen=True)
class Shown:
    """A number with its interval, as words; `best` where it is significantly better than all others of the table."""

    words: str
    interval: str = ""
    best: bool = False


NOTHING = Shown("–")


@dataclass(frozen=True)
class Line:
    """One method of a table: a model, a method from outside, a baseline or the unchanged input."""

    label: str
    role: str
    verdict: str
    verdict_words: str
    figures: Sequence[Shown]
    facts: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Board:
    """A bench as it is shown."""

    bench: Bench
    heads: Sequence[tuple[str, str]]
    lines: Sequence[Line]
    photos: int
    scenes: int
    sides: Sequence[Side]


def write_leaderboard(path: Path, inputs: LeaderboardInputs) -> Path:
    """Write the page to `path` atomically and return it. Raises `DatasetError` where nothing was ever judged."""
    if not inputs.benches:
        told = "; ".join(inputs.left_out) or "`bokehflow run` trains and judges models"
        raise DatasetError(f"there is nothing to put on a leaderboard: {told}")
    room = gallery.MAX_USER_PHOTOS
    boards = []
    for bench in inputs.benches:
        board = _board(bench, min(PHOTOS_OF_BENCH, room))
        room -= len(board.sides)
        boards.append(board)
    of_flickr = any(side.photo_id.startswith("flickr:") for board in boards for side in board.sides)
    page = environment().get_template("leaderboard.html").render(
        inputs=inputs,
        boards=boards,
        models=sum(len(bench.entries) for bench in inputs.benches),
        notice=FLICKR_NOTICE if of_flickr else "",
    )  # fmt: skip
    atomic.write_text(path, page)
    return path


def _board(bench: Bench, most_photos: int) -> Board:
    reports = [entry.report for entry in bench.entries]
    names = [one.name for one in reports]
    scores = summary.merge({one.name: one.evaluation for one in reports})
    photos, scenes = summary.compare_photos(scores, names), summary.compare_scenes(scores, names)
    columns = _columns(scores, names, photos, scenes)
    known = {entry.report.name: entry for entry in bench.entries}
    order = sorted(names, key=lambda name: (_place(scores, name), name))
    present = set(scores["method"])
    methods = [*order, *(one for one in (INPUT, *BASELINES) if one in present)]
    lines = [
        _line(method, known.get(method), scores, [column.get(method, NOTHING) for _, _, column in columns])
        for method in methods
    ]
    return Board(
        bench,
        [(head, way) for head, way, _ in columns],
        lines,
        photos.pictures,
        scenes.pictures,
        _sides(reports, bench.credits, most_photos),
    )


def _place(scores: pd.DataFrame, method: str) -> float:
    """What the lines are in order of: the error to the true lens, else the distance to domain B; unknown comes last."""
    truth = summary.scores_of(scores, summary.TRUTH.name, method, scenes=True).dropna()
    if len(truth):
        return float(truth.mean())
    table = compare_softness(scores, [method])
    row = next((one for one in table.rows if one.method == method), None) if table else None
    return float("inf") if row is None or row.distance is None else row.distance


Column = tuple[str, str, dict[str, Shown]]
"""Its head, which way is better, and its figures by method."""


def _columns(
    scores: pd.DataFrame, names: Sequence[str], photos: summary.Comparison, scenes: summary.Comparison
) -> list[Column]:
    """Those that anything is known in."""
    found = [_of_comparison(scenes, summary.TRUTH)]
    softness = compare_softness(scores, names)
    rows = softness.rows if softness else []
    for head, name in (("Distance to B, contrast", "gap"), ("Distance to B, scales", "scales")):
        found.append((head, "↓", {row.method: _of_estimate(getattr(row, name)) for row in rows}))
    found += [_of_comparison(photos, metric) for metric in (summary.SUBJECT, summary.BLUR, *summary.CONTENT_METRICS)]
    for prefix, network in (("inception_", "Inception"), ("", "VGG-16")):
        sets = summary.compare_sets(scores, names, prefix)
        kid = {one.method: Shown(f"{one.kid:.4f}", _range(one.low, one.high, 4), one.standing == "best") for one in sets}
        found.append((f"Kernel distance, {network}", "↓", kid))
    found.append(("Time, ms", "↓", _times(scores)))
    return [column for column in found if any(figure != NOTHING for figure in column[2].values())]


def _of_comparison(table: summary.Comparison, metric: summary.Metric) -> Column:
    at = next((index for index, one in enumerate(table.metrics) if one.name == metric.name), None)
    way = ("↑" if metric.better == "higher" else "↓") if metric.ranked else "↓ blurrier"
    if at is None or not table.pictures:
        return metric.label, way, {}
    return metric.label, way, {row.method: _of_cell(row.cells[at], metric.digits) for row in table.rows}


def _of_cell(cell: summary.Cell, digits: int) -> Shown:
    if cell.mean is None:
        return NOTHING
    given = cell.standing == "given"
    some = f" {cell.count} of {cell.count + cell.missing}" if cell.missing else ""
    interval = "by construction" if given else _of_interval(cell.interval, digits)
    return Shown(f"{cell.mean:.{digits}f}", interval + some, cell.standing == "best")


def _of_interval(interval: Interval | None, digits: int) -> str:
    return _range(interval.low, interval.high, digits) if interval else ""


def _of_estimate(one: Estimate | None) -> Shown:
    return Shown(f"{one.value:.2f}", _range(one.low, one.high, 2)) if one else NOTHING


def _range(low: float, high: float, digits: int) -> str:
    return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", "−")


def _times(scores: pd.DataFrame) -> dict[str, Shown]:
    """Of a model at 256 px, of a method from outside for a test picture."""
    own = scores[scores["photo_id"] == MODEL_SET].dropna(subset="value").set_index(["metric", "method"])["value"]
    found = {}
    for metric, factor, where in (("ms_256", 1.0, "at 256 px"), ("s_picture", 1000.0, "a test picture")):
        for method, value in own[own.index.get_level_values("metric") == metric].droplevel("metric").items():
            found[str(method)] = Shown(f"{factor * value:.0f}", where)
    return found


def _line(method: str, entry: Entry | None, scores: pd.DataFrame, figures: Sequence[Shown]) -> Line:
    if entry is None:
        role = "reference" if method == INPUT else "baseline"
        return Line(summary.method_label(method), role, "", "", figures)
    result = headline(scores, method)
    outside = entry.report.outside
    role = "model" if outside is None else "outside"
    remarks = [*entry.remarks, *([outside.words] if outside and outside.judged < outside.photos else [])]
    return Line(method, role, result.verdict, result.verdict_words, figures, entry.facts, remarks)


def _sides(reports: Sequence[ModelReport], credits: pd.DataFrame, most: int) -> list[Side]:
    """A few photos under all methods of a table, chosen by a hash of their ids."""
    shelves: dict[str, dict[str, Tiles]] = {one.name: shelf_of(one) for one in reports if one.pictures.is_dir()}
    ids = {photo_id for shelf in shelves.values() for photo_id in shelf if not gallery.is_scene(photo_id)}
    chosen = set(sorted(ids, key=gallery.chance)[:most])
    some = {name: {one: tiles for one, tiles in shelf.items() if one in chosen} for name, shelf in shelves.items()}
    return gallery.collect_sides({name: shelf for name, shelf in some.items() if shelf}, credits, [])[0]

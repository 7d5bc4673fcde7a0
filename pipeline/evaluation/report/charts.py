"""Geometry of the report's charts; the templates draw them as inline SVG, in the page's own colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

PANEL_WIDTH, PANEL_HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 24
"""Room around a panel's axes, in the drawing's units."""
MAX_POINTS = 120
"""A curve is drawn through the means of at most so many stretches of steps."""
SCATTER_WIDTH, SCATTER_HEIGHT = 640, 400
SCATTER_LEFT, SCATTER_TOP, SCATTER_BOTTOM = 68, 34, 58
COLOURS = 6
"""Series beyond this repeat the first colours."""

TERM_LABELS = {
    "gan": "Adversarial loss, generators",
    "discriminator": "Adversarial loss, discriminators",
    "cycle": "Cycle loss",
    "identity": "Identity loss",
    "mask": "Mask loss, pixels",
    "mask_features": "Mask loss, VGG's features",
    "r1": "R1 penalty",
}


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what stands there."""

    at: float
    label: str


@dataclass(frozen=True)
class Curve:
    """A line as SVG points, in the colour of its model; dashed for domain B."""

    points: str
    colour: int
    dashed: bool
    label: str


@dataclass(frozen=True)
class LossPanel:
    """One loss term of all models."""

    title: str
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


@dataclass(frozen=True)
class StripRow:
    """One method: a dot a picture and their mean, in percent of the axis."""

    label: str
    dots: list[tuple[float, str]]
    mean: float
    mean_label: str
    role: str
    """`reference`, `baseline` or `model`; decides the colour."""


@dataclass(frozen=True)
class Strip:
    """All methods over one axis from 0."""

    rows: list[StripRow]
    ticks: list[Tick]


@dataclass(frozen=True)
class Dot:
    """One photo under one method: where it stands in the drawing, and what it is."""

    x: float
    y: float
    photo_id: str
    series: str
    words: str


@dataclass(frozen=True)
class Scatter:
    """Photos by two scores: a dot for each photo and series, and each series' mean."""

    dots: list[Dot]
    means: list[Dot]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def scatter(
    x: Mapping[str, pd.Series], y: Mapping[str, pd.Series], means_only: Sequence[str], labels: Mapping[str, str]
) -> Scatter | None:
    """Both scores of every photo of every series (by name, with photo ids as index); None without any photo.

    Series in `means_only` are shown by their mean alone. The axes end at round numbers around all that is shown.
    """
    tables = {name: pd.DataFrame({"x": x[name], "y": y[name]}).dropna() for name in x if name in y}
    tables = {name: table for name, table in tables.items() if len(table)}
    shown = [table.mean().to_frame().T if name in means_only else table for name, table in tables.items()]
    if not shown:
        return None
    everything = pd.concat(shown)
    x_steps, y_steps = (_steps_around(float(everything[one].min()), float(everything[one].max())) for one in ("x", "y"))
    width, height = SCATTER_WIDTH - SCATTER_LEFT - RIGHT, SCATTER_HEIGHT - SCATTER_TOP - SCATTER_BOTTOM

    def place(values: Sequence[float]) -> tuple[float, float]:
        across = (values[0] - x_steps[0]) / (x_steps[-1] - x_steps[0])
        up = (values[1] - y_steps[0]) / (y_steps[-1] - y_steps[0])
        return SCATTER_LEFT + width * across, SCATTER_TOP + height * (1 - up)

    def dot(name: str, photo_id: str, values: Sequence[float]) -> Dot:
        words = f"{labels.get(name, name)}: {values[0]:.3f}, {values[1]:.3f}"
        return Dot(*place(values), photo_id, name, words)

    dots = [
        dot(name, str(photo_id), values)
        for name, table in tables.items()
        if name not in means_only
        for photo_id, values in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]
    means = [dot(name, "", table.mean().tolist()) for name, table in tables.items()]
    x_ticks = [Tick(place((step, y_steps[0]))[0], _short(step)) for step in x_steps]
    return Scatter(dots, means, x_ticks, [Tick(place((x_steps[0], step))[1], _short(step)) for step in y_steps])


def loss_panels(losses: Mapping[str, pd.DataFrame], colours: Mapping[str, int] | None = None) -> list[LossPanel]:
    """A panel for each loss term, all models in each; tables have `step` and one column a term.

    `_a` and `_b` of a term share a panel. Steps in which a term was not computed are left out. Without `colours` each
    model has its own.
    """
    panels: dict[str, list[tuple[str, int, bool, pd.DataFrame]]] = {}
    colours = colours or {model: index for index, model in enumerate(losses)}
    for model, table in losses.items():
        colour = colours[model]
        for column in (name for name in table.columns if name != "step"):
            known = table[["step", column]].dropna().set_axis(["step", "value"], axis=1)
            base, dashed = (column[:-2], column.endswith("_b")) if column.endswith(("_a", "_b")) else (column, False)
            if not known.empty:
                panels.setdefault(base, []).append((f"{model}: {column}", colour % COLOURS, dashed, _thinned(known)))
    last_step = max((float(table["step"].max()) for table in losses.values() if len(table)), default=0.0)
    return [panel(_title(term), panels[term], last_step) for term in sorted(panels, key=_term_order)]


def _title(term: str) -> str:
    return TERM_LABELS.get(term, term.replace("_", " ").capitalize())


def strip(values: Mapping[str, pd.Series], labels: Mapping[str, str], roles: Mapping[str, str], digits: int) -> Strip:
    """Scores by picture of several methods on one axis; null scores are left out, and methods without any."""
    known = {method: series.dropna() for method, series in values.items() if series.notna().any()}
    if not known:
        return Strip([], [])
    steps = _nice_steps(max(float(series.max()) for series in known.values()))
    end = steps[-1]
    rows = []
    for method, series in known.items():
        dots = [(100 * float(value) / end, f"{name}: {value:.{digits}f}") for name, value in series.items()]
        mean = float(series.mean())
        rows.append(StripRow(labels.get(method, method), dots, 100 * mean / end, f"{mean:.{digits}f}", roles[method]))
    return Strip(rows, [Tick(100 * step / end, _short(step)) for step in steps])


def _thinned(known: pd.DataFrame) -> pd.DataFrame:
    """Means over at most `MAX_POINTS` equal stretches of the rows."""
    stretch = np.arange(len(known)) * min(MAX_POINTS, len(known)) // len(known)
    return known.groupby(stretch).mean()


def panel(title: str, series: Sequence[tuple[str, int, bool, pd.DataFrame]], last_step: float) -> LossPanel:
    """Curves from 0 over one axis: each a label, a colour, whether it is dashed, and its points as `step` and `value`."""
    steps = _nice_steps(max(float(curve["value"].max()) for *_, curve in series))
    width, height = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM

    def x(step: float) -> float:
        return LEFT + width * step / max(last_step, 1.0)

    def y(value: float) -> float:
        return TOP + height * (1 - value / steps[-1])

    curves = [
        Curve(" ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in curve.to_numpy()), colour, dashed, label)
        for label, colour, dashed, curve in series
    ]
    x_ticks = [Tick(x(step), _short(step)) for step in (0.0, last_step / 2, last_step)]
    return LossPanel(title, curves, x_ticks, [Tick(y(step), _short(step)) for step in steps])


def _term_order(term: str) -> tuple[int, str]:
    known = list(TERM_LABELS)
    return (known.index(term) if term in known else len(known), term)


def _nice_steps(largest: float) -> list[float]:
    """From 0 in three to six round steps to the first one not below `largest`.

    >>> _nice_steps(0.107)
    [0.0, 0.05, 0.1, 0.15]
    """
    if largest <= 0:
        return [0.0, 1.0]
    power = 10.0 ** np.floor(np.log10(largest / 3))
    step = max(factor * power for factor in (1, 2, 5) if factor * power <= largest / 2 * (1 + 1e-9))
    count = int(np.ceil(largest / step - 1e-9))
    return [float(round(step * index, 12)) for index in range(count + 1)]


def _steps_around(low: float, high: float) -> list[float]:
    """Round steps from the last one not above `low` to the first one not below `high`, three to eight of them.

    >>> _steps_around(0.62, 0.97)
    [0.6, 0.7, 0.8, 0.9, 1.0]
    >>> _steps_around(0.5, 0.5)
    [0.0, 0.5, 1.0]
    """
    if high - low < 1e-9:
        low, high = np.floor(low - 1e-9), np.ceil(high + 1e-9)
    power = 10.0 ** np.floor(np.log10((high - low) / 2))
    step = max(factor * power for factor in (1, 2, 5) if factor * power <= (high - low) / 2 * (1 + 1e-9))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(round(step * index, 12)) for index in range(int(first), int(last) + 1)]


def _short(value: float) -> str:
    """A number for an axis.

    >>> [_short(value) for value in (0.0, 0.05, 2.5, 900.0, 170250.0)]
    ['0', '0.05', '2.5', '900', '170k']
    """
    return f"{value / 1000:.0f}k" if value >= 10_000 else f"{value:.4g}"

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
COLOURS = 6
"""Series beyond this repeat the first colours."""

TERM_LABELS = {
    "gan": "Adversarial loss, generators",
    "discriminator": "Adversarial loss, discriminators",
    "cycle": "Cycle loss",
    "identity": "Identity loss",
    "mask_norm": "Mask loss, L1",
    "mask_vgg": "Mask loss, VGG",
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


def loss_panels(losses: Mapping[str, pd.DataFrame]) -> list[LossPanel]:
    """A panel for each loss term, all models in each; tables have `step` and one column a term.

    `_a` and `_b` of a term share a panel. Steps in which a term was not computed are left out.
    """
    panels: dict[str, list[tuple[str, int, bool, pd.DataFrame]]] = {}
    for colour, (model, table) in enumerate(losses.items()):
        for column in (name for name in table.columns if name != "step"):
            known = table[["step", column]].dropna().set_axis(["step", "value"], axis=1)
            base, dashed = (column[:-2], column.endswith("_b")) if column.endswith(("_a", "_b")) else (column, False)
            if not known.empty:
                panels.setdefault(base, []).append((f"{model}: {column}", colour % COLOURS, dashed, _thinned(known)))
    last_step = max((float(table["step"].max()) for table in losses.values() if len(table)), default=0.0)
    return [_panel(term, panels[term], last_step) for term in sorted(panels, key=_term_order)]


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


def _panel(term: str, series: Sequence[tuple[str, int, bool, pd.DataFrame]], last_step: float) -> LossPanel:
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
    title = TERM_LABELS.get(term, term.replace("_", " ").capitalize())
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


def _short(value: float) -> str:
    """A number for an axis.

    >>> [_short(value) for value in (0.0, 0.05, 2.5, 900.0, 170250.0)]
    ['0', '0.05', '2.5', '900', '170k']
    """
    return f"{value / 1000:.0f}k" if value >= 10_000 else f"{value:.4g}"

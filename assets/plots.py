"""Small plots for the metadata of assets.

Dagster's UI shows pictures alone, so matplotlib draws them. The report's charts (`pipeline.evaluation.report.charts`) are
parts of a page instead: SVG in its colours, light or dark, with a word for each dot.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from assets.building_blocks import picture_metadata

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHED_STEPS, LOWEST_LOSS = 25, 1e-6
SIZE_INCHES, RESOLUTION_DPI = (5.0, 2.2), 110


def histogram(values: Sequence[float], label: str, bins: int = 24) -> dg.MarkdownMetadataValue:
    """How often which value occurs."""
    # matplotlib takes a second to import, and the code location is imported for every run.
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=bins, color="#0b7285")
    axes.set(xlabel=label, ylabel="photos")
    return _embedded(figure)


def bars(counts: Mapping[Any, int], label: str) -> dg.MarkdownMetadataValue:
    """A bar for each name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.bar(list(counts), list(counts.values()), color="#0b7285")
    axes.set(xlabel=label, ylabel="photos")
    axes.tick_params(axis="x", rotation=45)
    return _embedded(figure)


def distances(duplicates: Mapping[int, int], strangers: Mapping[int, int], radius_bits: int) -> dg.MarkdownMetadataValue:
    """At how many bits duplicates were found, and from where on pictures that are none lie so near."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.bar([bits - 0.2 for bits in duplicates], list(duplicates.values()), 0.4, color="#0b7285", label="duplicates")
    label = "nearest picture that is none (sample)"
    axes.bar([bits + 0.2 for bits in strangers], list(strangers.values()), 0.4, color="#f59f00", label=label)
    axes.axvline(radius_bits + 0.5, color="#868e96", linestyle="--", label="radius")
    axes.set(xlabel="distance of the hashes, bits", ylabel="photos")
    axes.legend(fontsize=7)
    return _embedded(figure)


def curves(losses: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """One line for each column over the column `step`, smoothed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE_INCHES[0] * 1.4, SIZE_INCHES[1] * 1.4), layout="constrained")
    axes = figure.subplots()
    for name, values in losses.drop(columns="step").items():
        smooth = values.rolling(SMOOTHED_STEPS, min_periods=1).mean()
        axes.plot(losses["step"], smooth.clip(lower=LOWEST_LOSS), label=str(name), linewidth=1)
    axes.set(xlabel="step", ylabel="unweighted loss", yscale="log")
    axes.legend(fontsize=7, ncols=2)
    return _embedded(figure)


def _embedded(figure: "Figure") -> dg.MarkdownMetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION_DPI)
    return picture_metadata(buffer.getvalue())

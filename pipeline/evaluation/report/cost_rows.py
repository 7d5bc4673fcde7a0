"""What a model costs, and how well it leads back: the rows of `evaluation` that are of the model itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.evaluation.measure.judge import MODEL_SET


@dataclass(frozen=True)
class Measure:
    """A metric of a model: how it is called, by what it is divided for people, and to how many digits."""

    name: str
    label: str
    unit: str
    divisor: float
    digits: int


PRICES = (
    Measure("parameters", "Parameters", "million", 1e6, 2),
    Measure("flops_256", "Operations, 256²", "GFLOP", 1e9, 1),
    Measure("ms_256", "Time, 256²", "ms", 1, 0),
    Measure("ms_512", "Time, 512²", "ms", 1, 0),
    Measure("ms_1024", "Time, 1024²", "ms", 1, 0),
    Measure("s_picture", "Time, a test picture", "ms", 1e-3, 0),
    Measure("memory_mb_256", "Memory, 256²", "MB", 1, 0),
    Measure("memory_mb_512", "Memory, 512²", "MB", 1, 0),
    Measure("memory_mb_1024", "Memory, 1024²", "MB", 1, 0),
)
WAYS_BACK = (
    Measure("cycle_l1_a", "Cycle error, A", "L1", 1, 4),
    Measure("cycle_l1_b", "Cycle error, B", "L1", 1, 4),
    Measure("identity_l1_a", "Identity error, A", "L1", 1, 4),
    Measure("identity_l1_b", "Identity error, B", "L1", 1, 4),
)


@dataclass(frozen=True)
class ModelRow:
    """A model and its values, null where they were not measured."""

    model: str
    values: list[float | None]


@dataclass(frozen=True)
class ModelTable:
    """Models by measures; a measure that no model has is left out."""

    measures: list[Measure]
    rows: list[ModelRow]


def model_table(scores: pd.DataFrame, models: Sequence[str], measures: Sequence[Measure]) -> ModelTable | None:
    """The models by these measures; None where nothing was measured."""
    known = scores[scores["photo_id"] == MODEL_SET].dropna(subset="value")
    values = known.set_index(["method", "metric"])["value"].to_dict()
    present = [measure for measure in measures if any((model, measure.name) in values for model in models)]
    rows = [ModelRow(model, [values.get((model, measure.name)) for measure in present]) for model in models]
    return ModelTable(present, rows) if present else None

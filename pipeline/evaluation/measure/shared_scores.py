"""What is the same for every model of a snapshot, kept so that one more model costs its own measuring only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.atomic import atomic_path
from pipeline.evaluation.measure.judged_size import Given
from pipeline.parquet_files import parquet_path
from pipeline.plain_files import open_plain
from pipeline.softness import Softness

ARRAYS, SCORES = "arrays.npz", "scores.parquet"
SOFTNESSES = ("softness_b", "softness_inputs")
COLUMNS = ["photo_id", "method", "metric", "value"]


@dataclass(frozen=True)
class Common:
    """Scores of the methods that are no model, and what models are measured against.

    `references` are features of domain B (see `set_scores`), `softness_b` and `softness_inputs` the softness of its
    backgrounds and of the inputs'. `masks`, uint8 [photos, side, side], and `faces`, float32 [photos, 4], are what
    segmenter and face finder see in the inputs; None where there was none. `widths` are those of the matched baselines.
    """

    scores: pd.DataFrame
    references: dict[str, np.ndarray] = field(default_factory=dict)
    softness_b: Softness = field(default_factory=Softness.none)
    softness_inputs: Softness = field(default_factory=Softness.none)
    masks: np.ndarray | None = None
    faces: np.ndarray | None = None
    widths: Mapping[str, float] = field(default_factory=dict)
    softness_px: int = 0
    """The size at which softness is measured; 0 without a domain B."""
    outside: Mapping[str, Given] = field(default_factory=dict)
    """Methods from outside by name, whose pictures are shown beside a model's; not kept with the rest."""

    def of(self, indices: np.ndarray) -> "Common":
        """What belongs to the photos at these indices alone."""
        return replace(
            self,
            softness_inputs=self.softness_inputs[indices] if len(self.softness_inputs) else self.softness_inputs,
            masks=None if self.masks is None else self.masks[indices],
            faces=None if self.faces is None else self.faces[indices],
        )


def write_common(common: Common, folder: Path) -> None:
    """Write it into `folder`; the scores last, so that a folder without them is unfinished."""
    arrays = {f"reference:{name}": values for name, values in common.references.items()}
    arrays |= {f"width:{name}": np.asarray(value) for name, value in common.widths.items()}
    optional = {"masks": common.masks, "faces": common.faces}
    arrays |= {name: np.asarray(value) for name, value in optional.items() if value is not None}
    arrays["softness_px"] = np.asarray(common.softness_px)
    for name in SOFTNESSES:
        arrays[name] = np.stack(list(vars(getattr(common, name)).values()))
    with atomic_path(folder / ARRAYS) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # pyright: ignore[reportArgumentType]
    with atomic_path(folder / SCORES) as temporary:
        common.scores.to_parquet(temporary, index=False)


def read_common(folder: Path) -> Common | None:
    """What `write_common` wrote; None where that is not there or cannot be read."""
    try:
        scores = pd.read_parquet(parquet_path(folder / SCORES), columns=COLUMNS)
        # numpy leaves a file open that it opened and could not read.
        with open_plain(folder / ARRAYS) as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = dict(stored)
    except Exception:  # a damaged archive makes numpy, zipfile and zlib raise nearly anything
        return None
    if not all(name in arrays for name in (*SOFTNESSES, "softness_px")):
        return None
    references = {name.removeprefix("reference:"): arrays[name] for name in arrays if name.startswith("reference:")}
    widths = {name.removeprefix("width:"): float(arrays[name]) for name in arrays if name.startswith("width:")}
    softness_b, softness_inputs = (Softness(*arrays[name]) for name in SOFTNESSES)
    masks, faces, measured_px = arrays.get("masks"), arrays.get("faces"), int(arrays["softness_px"])
    return Common(scores, references, softness_b, softness_inputs, masks, faces, widths, measured_px)

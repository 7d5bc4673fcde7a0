"""What is the same for every model of a snapshot, kept so that one more model costs its own measuring only."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.atomic import atomic_path

ARRAYS, SCORES = "arrays.npz", "scores.parquet"
COLUMNS = ["photo_id", "method", "metric", "value"]


@dataclass(frozen=True)
class Common:
    """Scores of the methods that are no model, and what models are measured against.

    `references` are features of domain B (see `sets`), `sharpness_b` the sharpness of its backgrounds. `masks`, uint8
    [photos, side, side], and `faces`, float32 [photos, 4], are what segmenter and face finder see in the inputs; None
    where there was no segmenter or no finder. `sigma_px` is the width of the matched Gaussian, None without one.
    """

    scores: pd.DataFrame
    references: dict[str, np.ndarray] = field(default_factory=dict)
    sharpness_b: np.ndarray = field(default_factory=lambda: np.empty(0))
    masks: np.ndarray | None = None
    faces: np.ndarray | None = None
    sigma_px: float | None = None


def write_common(common: Common, folder: Path) -> None:
    """Write it into `folder`; the scores last, so that a folder without them is unfinished."""
    arrays = {f"reference:{name}": values for name, values in common.references.items()}
    optional = {"masks": common.masks, "faces": common.faces, "sigma_px": common.sigma_px}
    arrays |= {name: np.asarray(value) for name, value in optional.items() if value is not None}
    with atomic_path(folder / ARRAYS) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **{"sharpness_b": common.sharpness_b, **arrays})  # pyright: ignore[reportArgumentType]
    with atomic_path(folder / SCORES) as temporary:
        common.scores.to_parquet(temporary, index=False)


def read_common(folder: Path) -> Common | None:
    """What `write_common` wrote; None where that is not there or cannot be read."""
    try:
        scores = pd.read_parquet(folder / SCORES, columns=COLUMNS)
        # numpy leaves a file open that it opened and could not read.
        with (folder / ARRAYS).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = dict(stored)
    except Exception:  # a damaged archive makes numpy, zipfile and zlib raise nearly anything
        return None
    references = {name.removeprefix("reference:"): arrays[name] for name in arrays if name.startswith("reference:")}
    sigma_px = float(arrays["sigma_px"]) if "sigma_px" in arrays else None
    return Common(scores, references, arrays["sharpness_b"], arrays.get("masks"), arrays.get("faces"), sigma_px)

"""Scenes whose depth and whose pictures through a lens are known, as `render-studio --planes` writes them.

`views.csv` in a folder lists them: a row for each picture through a lens, with the files of the scene beside it.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from pipeline.depth.files import read_depth_map
from pipeline.depth.layouts import told_unit
from pipeline.depth.refocus import ThinLens
from pipeline.depth.units import DepthUnit, Disparity
from pipeline.errors import DatasetError
from pipeline.file_names import inside
from pipeline.models.images import RgbPhoto
from pipeline.plain_files import plain_path, read_plain

VIEWS = "views.csv"
COLUMNS = ["scene", "view", "rgb", "depth", "mask", "refocused", "focus_dioptre", "px_per_dioptre"]
"""What is needed of the list."""
MAX_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class TrueView:
    """A scene through a thin lens: the number of the view, the picture uint8 [height, width, 3], and the lens."""

    number: int
    picture: RgbPhoto
    lens: ThinLens


@dataclass(frozen=True, eq=False)
class TrueScene:
    """A picture in focus throughout, disparity in 1/m, the sitter's alpha, all of one size, and views through lenses."""

    name: str
    rgb: RgbPhoto
    disparity: Disparity
    alpha: UInt8[np.ndarray, "height width"]
    views: Sequence[TrueView]


def read_true_scenes(folder: Path) -> list[TrueScene]:
    """The scenes of a folder, none where it has no `views.csv`.

    Raises `DatasetError` where the list or a picture cannot be read, or those of a scene differ in size.
    """
    path = folder / VIEWS
    if not path.exists():
        return []
    try:
        listed = pd.read_csv(plain_path(path), dtype=dict.fromkeys(COLUMNS[2:6], str) | {"scene": str})
    except (ValueError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as CSV: {error}") from error
    if missing := [column for column in COLUMNS if column not in listed.columns]:
        raise DatasetError(f"{path}: lacks the columns {', '.join(missing)}; `bokehflow render-studio` writes them")
    unit = told_unit(folder)
    if unit is None or not unit.is_metric:
        raise DatasetError(f"{folder}: depth.toml does not tell in which unit of distance its maps are")
    return [_scene(folder, str(name), rows, unit) for name, rows in listed.groupby("scene", sort=True)]


def _scene(folder: Path, name: str, rows: pd.DataFrame, unit: DepthUnit) -> TrueScene:
    first = rows.iloc[0].to_dict()
    rgb, alpha = _picture(folder, first["rgb"], "RGB"), _picture(folder, first["mask"], "L")
    depth = read_depth_map(inside(folder, str(first["depth"])), unit, partial(read_plain, max_bytes=MAX_FILE_BYTES))
    views = [_view(folder, row) for row in rows.sort_values("view").to_dict("records")]
    shapes = {part.shape[:2] for part in (rgb, alpha, depth.disparity, *(view.picture for view in views))}
    if len(shapes) > 1:
        raise DatasetError(f"{folder}: the pictures of scene {name!r} differ in size; render them alike")
    return TrueScene(name, rgb, depth.disparity, alpha, views)


def _view(folder: Path, row: Mapping[Hashable, object]) -> TrueView:
    try:
        numbers = [float(str(row[name])) for name in ("view", "focus_dioptre", "px_per_dioptre")]
    except ValueError as error:
        raise DatasetError(f"{folder / VIEWS}: the lens of {row['refocused']} is not told: {error}") from None
    return TrueView(int(numbers[0]), _picture(folder, row["refocused"], "RGB"), ThinLens(*numbers[1:]))


def _picture(folder: Path, name: object, mode: str) -> np.ndarray:
    path = inside(folder, str(name))
    try:
        with Image.open(plain_path(path), formats=("PNG", "JPEG")) as image:
            return np.asarray(image.convert(mode))
    except (OSError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: cannot be read as a picture: {error}") from error

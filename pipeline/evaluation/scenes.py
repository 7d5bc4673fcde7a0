"""Pictures with a known truth: a folder of scenes rendered twice, and true masks of photos.

<folder>/scoring/scoring.csv    columns scene, sharp, shallow, mask: names of files beside it; further ones may stay, and
                                those of `CONDITIONS` tell how each scene was taken
<folder>/masks/<number>.png     the true mask of the photo with this number, over the whole photo
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from pipeline.errors import DatasetError

COLUMNS = ["scene", "sharp", "shallow", "mask"]
"""What judging needs of `scoring.csv`."""
CONDITIONS = ("aperture_mm", "focus_distance_m", "background_distance_m")
"""Diameter of the lens, distance of the plane in focus, median distance of what is not the subject."""


@dataclass(frozen=True)
class Scenes:
    """Scenes of one size: all in focus, through the true thin lens, and the subject's true mask."""

    names: list[str]
    sharp: UInt8[np.ndarray, "count side side 3"]
    shallow: UInt8[np.ndarray, "count side side 3"]
    mask: UInt8[np.ndarray, "count side side"]
    conditions: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """By the names of `CONDITIONS`, one number a scene, NaN where unknown; only what the list tells."""

    @property
    def ids(self) -> list[str]:
        """What stands as photo id in the table of scores."""
        return [f"scene:{name}" for name in self.names]


@dataclass(frozen=True)
class TrueMasks:
    """True masks of those photos that have one."""

    photo_ids: list[str]
    masks: UInt8[np.ndarray, "count side side"]


def load_scenes(folder: Path, size_px: int) -> Scenes:
    """The scenes of `<folder>/scoring`, cropped to the centred square and scaled by Lanczos to `size_px`.

    Raises `DatasetError` when the list or a picture is missing or cannot be read, or when the pictures of a
    scene differ in size.
    """
    listed = _scoring(folder / "scoring" / "scoring.csv")
    names = zip(*(listed[column] for column in COLUMNS), strict=True)
    loaded = [_scene(folder / "scoring", scene, files, size_px) for scene, *files in names]
    sharp, shallow, mask = (np.stack(pictures) for pictures in zip(*loaded, strict=True))
    conditions = {name: _numbers(listed[name]) for name in CONDITIONS if name in listed.columns}
    return Scenes(listed["scene"].tolist(), sharp, shallow, mask, conditions)


def load_true_masks(folder: Path, photo_ids: Sequence[str], size_px: int) -> TrueMasks:
    """True masks of those photos for which `<folder>/masks` has one, cropped and scaled as pictures are.

    Raises `DatasetError` when a mask cannot be read.
    """
    files = {photo_id: folder / "masks" / f"{photo_id.rpartition(':')[2]}.png" for photo_id in photo_ids}
    known = {photo_id: path for photo_id, path in files.items() if path.exists()}
    masks = [_square(_read(path, "L"), size_px) for path in known.values()]
    return TrueMasks(list(known), np.stack(masks) if masks else np.empty((0, size_px, size_px), np.uint8))


def _scoring(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise DatasetError(f"{path}: there is no such list of scenes; correct `truth` under [evaluation], or remove it")
    try:
        listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as CSV: {error}") from error
    missing = [column for column in COLUMNS if column not in listed.columns]
    if missing:
        raise DatasetError(f"{path}: lacks the columns {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    if listed.empty:
        raise DatasetError(f"{path}: lists no scenes; add some, or remove `truth` under [evaluation]")
    repeated = listed.loc[listed["scene"].duplicated(), "scene"]
    if not repeated.empty:
        raise DatasetError(f"{path}: names the scene {repeated.iloc[0]!r} twice; names must differ")
    return listed


def _numbers(column: pd.Series) -> list[float]:
    return pd.to_numeric(column, errors="coerce").astype(float).tolist()


def _scene(folder: Path, scene: str, files: Sequence[str], size_px: int) -> list[np.ndarray]:
    pictures = [_read(folder / file, mode) for file, mode in zip(files, ("RGB", "RGB", "L"), strict=True)]
    if len({picture.size for picture in pictures}) > 1:
        sizes = ", ".join(f"{file} {one.width}×{one.height}" for file, one in zip(files, pictures, strict=True))
        raise DatasetError(f"{folder}: the pictures of scene {scene!r} differ in size ({sizes}); render them alike")
    return [_square(picture, size_px) for picture in pictures]


def _read(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except FileNotFoundError:
        raise DatasetError(f"{path}: this picture is listed but not there; render the scenes anew") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read as a picture ({error}); render it anew") from error


def _square(image: Image.Image, size_px: int) -> np.ndarray:
    """The largest centred square scaled by Lanczos, as photos are prepared for training."""
    edge = min(image.size)
    left, top = (image.width - edge) / 2, (image.height - edge) / 2
    box = (left, top, left + edge, top + edge)
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.LANCZOS, box=box))

"""Pictures with a known truth: a folder of scenes rendered twice, and true masks of photos.

<folder>/scoring/scoring.csv    columns scene, sharp, shallow, mask: names of files beside it; further ones may stay, and
                                those of `CONDITIONS` tell how each scene was taken
<folder>/masks/<number>.png     the true mask of the photo with this number, over the whole photo
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from pipeline.errors import DatasetError
from pipeline.file_names import child, inside
from pipeline.plain_files import plain_path

Cut = Callable[[np.ndarray], np.ndarray]
"""From a whole picture or mask, uint8 `[height, width, …]`, to the square of it that is judged."""
Frame = Callable[[np.ndarray], tuple[Cut, np.ndarray]]
"""From a whole picture in focus, uint8 `[height, width, 3]`, to how it is cut, and to the alpha of its subject that a
photo would get, uint8 `[height, width]` of whatever size, not cut yet."""

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


def load_scenes(folder: Path, frame: Frame) -> tuple[Scenes, UInt8[np.ndarray, "count side side"]]:
    """The scenes of `<folder>/scoring`, and the alphas that `frame` gives them, all cut as `frame` says.

    `frame` is called by several threads at once.
    Raises `DatasetError` when the list or a picture is missing or cannot be read, or when the pictures of a
    scene differ in size.
    """
    listed = _scoring(folder / "scoring" / "scoring.csv")
    names = zip(*(listed[column] for column in COLUMNS), strict=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        loaded = [*pool.map(lambda row: _scene(folder / "scoring", row[0], row[1:], frame), names)]
    sharp, shallow, mask, alpha = (np.stack(pictures) for pictures in zip(*loaded, strict=True))
    conditions = {name: _numbers(listed[name]) for name in CONDITIONS if name in listed.columns}
    return Scenes(listed["scene"].tolist(), sharp, shallow, mask, conditions), alpha


def true_mask_file(folder: Path, photo_id: str) -> Path:
    """Where the true mask of a photo lies, if it has one."""
    return child(folder / "masks", f"{photo_id.rpartition(':')[2]}.png")


def load_true_masks(folder: Path, pictures: Mapping[str, tuple[str, Cut]], size_px: int) -> TrueMasks:
    """True masks of those pictures whose photo has one in `<folder>/masks`.

    `pictures` says for each picture's id of which photo it is, and how it was cut from that to `size_px`. Raises
    `DatasetError` when a mask cannot be read.
    """
    files = {identifier: (true_mask_file(folder, photo_id), cut) for identifier, (photo_id, cut) in pictures.items()}
    masks = {identifier: cut(np.asarray(_read(path, "L"))) for identifier, (path, cut) in files.items() if path.exists()}
    return TrueMasks(list(masks), np.stack(list(masks.values())) if masks else np.empty((0, size_px, size_px), np.uint8))


def _scoring(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise DatasetError(f"{path}: there is no such list of scenes; correct `truth` under [evaluation], or remove it")
    try:
        listed = pd.read_csv(plain_path(path), dtype=str, keep_default_na=False)
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


def _scene(folder: Path, scene: str, files: Sequence[str], frame: Frame) -> list[np.ndarray]:
    pictures = [_read(inside(folder, file), mode) for file, mode in zip(files, ("RGB", "RGB", "L"), strict=True)]
    if len({picture.size for picture in pictures}) > 1:
        sizes = ", ".join(f"{file} {one.width}×{one.height}" for file, one in zip(files, pictures, strict=True))
        raise DatasetError(f"{folder}: the pictures of scene {scene!r} differ in size ({sizes}); render them alike")
    whole = [np.asarray(picture) for picture in pictures]
    cut, alpha = frame(whole[0])
    return [cut(picture) for picture in (*whole, alpha)]


def _read(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(plain_path(path)) as image:
            return image.convert(mode)
    except FileNotFoundError:
        raise DatasetError(f"{path}: this picture is listed but not there; render the scenes anew") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read as a picture ({error}); render it anew") from error

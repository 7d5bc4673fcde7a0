"""Side-by-side pictures: a folder of PNG tiles with an index, written as a whole or not at all.

`index.csv` has the columns photo_id, role and file. Roles are `input`, `mask`, the baselines' names, `model`
and, for scenes, `true_lens`.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.atomic import atomic_folder, write_text
from pipeline.counted import counted
from pipeline.errors import DatasetError
from pipeline.file_names import inside
from pipeline.plain_files import plain, plain_path
from pipeline.spreadsheet import csv_text

INDEX = "index.csv"
COMPRESSION = 1
"""Of PNG's 0 to 9: hundreds of tiles are written for each model, and the highest saves a tenth for ten times the time."""
TOLD = "Comment"
"""Under which a tile's file holds words about it."""
COLUMNS = ["photo_id", "role", "file"]


@dataclass(frozen=True)
class Tiles:
    """The pictures of one photo or scene: PNG files by role."""

    photo_id: str
    files: dict[str, Path]


class PictureWriter:
    """Takes tiles and keeps the index of them; made by `picture_folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[tuple[str, str, str]] = []

    def add(self, photo_id: str, role: str, picture: np.ndarray, told: str = "") -> None:
        """Write one tile, uint8 `[height, width]` or `[height, width, 3]`; what is told of it stands in its file."""
        file = f"{hashlib.sha256(photo_id.encode()).hexdigest()[:16]}-{role}.png"
        words = PngInfo()
        if told:
            words.add_text(TOLD, told)
        Image.fromarray(picture).save(self._folder / file, compress_level=COMPRESSION, pnginfo=words)
        self._rows.append((photo_id, role, file))

    def finish(self) -> None:
        """Write the index; last, so that a folder without one is unfinished."""
        (self._folder / INDEX).write_text(csv_text([COLUMNS, *self._rows]), encoding="utf-8", newline="")


@contextmanager
def picture_folder(target: Path) -> Iterator[PictureWriter]:
    """Yield a writer into a temporary folder beside `target`; on success it takes the place of `target`."""
    with atomic_folder(target, replace=True) as temporary:
        writer = PictureWriter(temporary)
        yield writer
        writer.finish()


def read_pictures(folder: Path) -> list[Tiles]:
    """All tiles in the folder, in the order in which they were written.

    Raises `DatasetError` when there is no index or it names a file that is not there.
    """
    index = folder / INDEX
    if not index.exists():
        raise DatasetError(f"{folder}: holds no finished pictures; evaluate the model again")
    found: dict[str, dict[str, Path]] = {}
    with open(index, newline="", encoding="utf-8", opener=plain) as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["photo_id"], {})[row["role"]] = inside(folder, row["file"])
    missing = [path.name for files in found.values() for path in files.values() if not path.exists()]
    if missing:
        raise DatasetError(
            f"{folder}: lacks {counted(len(missing), 'picture')}, first {missing[0]}; evaluate the model again"
        )
    return [Tiles(photo_id, files) for photo_id, files in found.items()]


def told_of(path: Path) -> str:
    """The words in a tile's file; none of tiles that were written before there were any."""
    with Image.open(plain_path(path)) as image:
        return str(image.info.get(TOLD, ""))


def forget_pictures(folder: Path, is_forgotten: Callable[[str], bool]) -> int:
    """Delete the tiles of what is forgotten by its id, then its rows of the index; returns how many files went."""
    index = folder / INDEX
    if not index.exists():
        return 0
    with open(index, newline="", encoding="utf-8", opener=plain) as stream:
        rows = list(csv.DictReader(stream))
    doomed = [row for row in rows if is_forgotten(row["photo_id"])]
    for row in doomed:
        inside(folder, row["file"]).unlink(missing_ok=True)
    if doomed:
        write_text(index, csv_text([COLUMNS, *([row[name] for name in COLUMNS] for row in rows if row not in doomed)]))
    return len(doomed)


def shown(ids: Sequence[str], count: int) -> set[str]:
    """Which photos are shown: those with the lowest SHA-256 of their id, so not chosen by their looks."""
    return set(sorted(ids, key=lambda photo_id: hashlib.sha256(photo_id.encode()).digest())[:count])

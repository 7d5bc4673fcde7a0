"""Whole photos of the home beside what a model makes of them: `results/`, a folder for each snapshot.

They are named by the files that their photos came as, and by the photos' ids, so that a photo that is forgotten takes them
along.
"""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from pipeline.atomic import atomic_path, shortened, write_text
from pipeline.file_names import child
from pipeline.plain_files import read_plain_text

MADE_BY = "made-by.txt"
"""Holds the SHA-256 of the generator whose results lie beside it."""
_ODD = re.compile(r"[^\w .()-]")
"""What is left out of a file's name: addresses have names too."""
RESULT_ENDING, PHOTO_ENDING = ".png", "-photo.jpg"
PHOTO_QUALITY = 98
"""A subject that a result leaves alone must look so beside its photo: JPEG's usual quality changes it by 2 to 4 of 255."""


def result_paths(folder: Path, photo_id: str, file: str = "") -> tuple[Path, Path]:
    """Where a photo lies, which came as `file`, and its result.

    >>> result_paths(Path(), "folder:0459a0fb", "holidays/IMG_0007.HEIC")[1].name
    'IMG_0007_folder_0459a0fb.png'
    """
    photo, result = _names(photo_id)
    stem = f"{shortened(_ODD.sub('_', PurePosixPath(file).stem))}_" if file else ""
    return child(folder, stem + photo), child(folder, stem + result)


def _names(photo_id: str) -> tuple[str, str]:
    """How the names of both end; what earlier versions wrote has no more."""
    stem = photo_id.replace(":", "_")
    return stem + PHOTO_ENDING, stem + RESULT_ENDING


def enter(folder: Path, generator_sha256: str) -> None:
    """Make the folder this generator's: results of another one go. Those that nothing is told of count as its own."""
    mark = folder / MADE_BY
    if mark.exists() and read_plain_text(mark).strip() != generator_sha256:
        for path in folder.glob(f"*{RESULT_ENDING}"):
            path.unlink()
    write_text(mark, generator_sha256 + "\n")


def are_there(folder: Path, photo_id: str, file: str) -> bool:
    """Whether both are; those of earlier versions get their names of now."""
    paths = result_paths(folder, photo_id, file)
    for former, path in zip(result_paths(folder, photo_id), paths, strict=True):
        if former.exists() and not path.exists():
            former.rename(path)
    return all(path.exists() for path in paths)


def write_pair(paths: tuple[Path, Path], rgb: np.ndarray, result: np.ndarray) -> None:
    """Write a photo and its result, both uint8 [height, width, 3], where `result_paths` says."""
    before, after = paths
    with atomic_path(before) as temporary:
        Image.fromarray(rgb).save(temporary, format="jpeg", quality=PHOTO_QUALITY, subsampling=0)
    with atomic_path(after) as temporary:
        Image.fromarray(result).save(temporary, format="png")


def forget_results(results: Path, photo_ids: Iterable[str]) -> int:
    """Delete what lies of these photos in the folder of all snapshots' results; returns how many files went.

    What is looked for is compared by name: a photo that was listed and refused may have an id that is no name of a file.
    """
    doomed = tuple(name for photo_id in photo_ids for name in _names(photo_id))
    after_stem = tuple(f"_{name}" for name in doomed)
    found = [path for path in results.glob("*/*") if path.name in doomed or path.name.endswith(after_stem)]
    for path in found:
        path.unlink()
    return len(found)

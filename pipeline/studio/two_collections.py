"""Two collections that have nothing in common but what they show: photos, and paintings of other scenes seen from nearer.

    photos/SEED.jpg       scenes through the pinhole
    paintings/SEED.png    other scenes, cut closer around the sitter and painted
    truth/scoring.csv     scenes held out for scoring, and their files beside it: the same scene as photo and as painting

Built from the same pictures it is the same to the byte.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.atomic import write_bytes, write_text
from pipeline.file_names import child, inside
from pipeline.pillow import as_file
from pipeline.plain_files import plain_path, read_plain
from pipeline.spreadsheet import csv_text
from pipeline.studio.labelled import read_rgb
from pipeline.studio.painting import painted
from pipeline.studio.pictures import PICTURES, Shot, shots_of

PHOTOS, PAINTINGS, TRUTH = "photos", "paintings", "truth"
CLOSER = 0.78
"""Side of what a painting shows, as a share of the photo's smaller side: painters come close."""
ABOVE_HEAD = 0.08
"""Of that side, left free above the sitter."""
PAINTED_PX = 288
COLUMNS = "scene", "photo", "painting", "parts"

Bytes = NDArray[np.uint8]


def build_two_collections(folder: Path, pictures: Path = PICTURES) -> None:
    """Write both collections and the truth into `folder`, replacing what is there; the same bytes each time."""
    for shot in shots_of("ordinary"):
        write_bytes(child(folder / PHOTOS, f"{shot.seed}.jpg"), read_plain(inside(pictures, shot.files()["sharp"])))
    for shot in shots_of("shallow"):
        _save(painting_of(shot, pictures), child(folder / PAINTINGS, f"{shot.seed}.png"))
    rows = [_scored(shot, folder / TRUTH, pictures) for shot in shots_of("scoring")]
    write_text(folder / TRUTH / "scoring.csv", csv_text([COLUMNS, *rows], "\n"))


def painting_of(shot: Shot, pictures: Path) -> Bytes:
    """A scene as its painter saw it: uint8 [height, width, 3], a square."""
    files = shot.files()
    with Image.open(plain_path(inside(pictures, files["mask"]))) as mask:
        left, top, side_px = _closer(np.asarray(mask))
    seen = Image.fromarray(read_rgb(inside(pictures, files["shallow"])))
    box = left, top, left + side_px, top + side_px
    return painted(np.asarray(seen.resize((PAINTED_PX, PAINTED_PX), Image.Resampling.LANCZOS, box)), shot.seed)


def _closer(mask: Bytes) -> tuple[int, int, int]:
    """Left, top and side of the square around the upper part of the sitter."""
    height_px, width_px = mask.shape
    side_px = round(CLOSER * min(height_px, width_px))
    rows = np.flatnonzero((mask >= 128).any(1))
    top = int(np.clip(rows[0] - ABOVE_HEAD * side_px, 0, height_px - side_px))
    columns = np.flatnonzero((mask[top : top + side_px // 2] >= 128).any(0))
    left = int(np.clip(columns.mean() - side_px / 2, 0, width_px - side_px))
    return left, top, side_px


def _scored(shot: Shot, folder: Path, pictures: Path) -> tuple[str, ...]:
    """The files of a scene held out, and its row."""
    files, seed = shot.files(), shot.seed
    names = f"{seed}_photo.jpg", f"{seed}_painting.png", f"{seed}_parts.png"
    write_bytes(child(folder, names[0]), read_plain(inside(pictures, files["sharp"])))
    _save(painted(read_rgb(inside(pictures, files["sharp"])), seed), child(folder, names[1]))
    write_bytes(child(folder, names[2]), read_plain(inside(pictures, files["parts"])))
    return (str(seed), *names)


def _save(rgb: Bytes, path: Path) -> None:
    write_bytes(path, as_file(Image.fromarray(rgb), "PNG"))

"""The scenes of the studies of depth and focus: furnished, with true disparity, for training and held out.

    depth/training/      rgb/SEED.jpg, depth/SEED.png, mask/SEED.png, depth.toml
    depth/held_out/      the same of other scenes, larger; refocused/SEED_K.jpg, views.csv

They are committed smaller than `depth_set` renders them: pictures as JPEG, disparity in coarser steps.
"""

import csv
import io
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.atomic import write_bytes, write_text
from pipeline.file_names import child, inside
from pipeline.pillow import as_file
from pipeline.plain_files import plain_path, read_plain, read_plain_text
from pipeline.spreadsheet import csv_text
from pipeline.studio.depth_set import STEPS_PER_DIOPTRE, DepthSet, render_depth_set
from pipeline.studio.pictures import JPEG_QUALITY, PICTURES, Progress

TRAINING = DepthSet(40, 96, 0, 6000, clean=False), DepthSet(60, 96, 0, 6088, clean=False)
HELD_OUT = (DepthSet(8, 144, 6, 7000, clean=False),)
"""Through a lens: with the eyes in focus, and with five planes spread evenly in disparity, the farthest first."""
SETS = {"training": TRAINING, "held_out": HELD_OUT}
DEPTH = "depth"
"""The folder of both among the committed pictures."""
PAIRS, MASKS, TRUTH = "pairs", "masks", "truth"
COARSER = 5
"""Steps of `depth_set` that make one here: a millimetre at 1 m, a centimetre at 4 m."""
SEEN, PNGS = ("rgb", "refocused"), ("depth", "mask")


def build_depth_study(folder: Path, pictures: Path = PICTURES) -> None:
    """Write into `folder` what a person would bring: `pairs/`, `masks/` named by the pictures' SHA-256, and `truth/`."""
    training = child(pictures / DEPTH, "training")
    for seed in (seed for part in TRAINING for seed in part.seeds):
        rgb, depth, mask = (read_plain(inside(training, name)) for name in _files(seed))
        write_bytes(child(folder / PAIRS / "rgb", f"{seed}.jpg"), rgb)
        write_bytes(child(folder / PAIRS / "depth", f"{seed}.png"), depth)
        write_bytes(child(folder / MASKS, f"{sha256(rgb).hexdigest()}.png"), mask)
    write_bytes(folder / PAIRS / "depth.toml", read_plain(training / "depth.toml"))
    held_out = child(pictures / DEPTH, "held_out")
    for path in sorted(held_out.rglob("*")):
        if path.is_file():
            write_bytes(inside(folder / TRUTH, path.relative_to(held_out).as_posix()), read_plain(path))


def render_depth_pictures(rendered: Path, pictures: Path, on_progress: Progress | None = None) -> None:
    """Render both sets into `rendered`, and write what is committed of them into `pictures`.

    Interrupted and run again, it goes on where it stopped. Raises ConfigError if Mitsuba is not installed.
    """
    for name, parts in SETS.items():
        source, target = child(rendered, name), child(pictures / DEPTH, name)
        for part in parts:
            render_depth_set(source, part, on_progress)
        for kind in (*SEEN, *PNGS):
            for path in sorted(child(source, kind).glob("*.png")) if child(source, kind).exists() else []:
                ending = "jpg" if kind in SEEN else "png"
                write_bytes(child(child(target, kind), f"{path.stem}.{ending}"), _packed(path, kind))
        write_text(target / "depth.toml", f'unit = "dioptre"\nsteps_per_unit = {STEPS_PER_DIOPTRE // COARSER}\n')
        if parts is HELD_OUT:
            write_text(target / "views.csv", _renamed(read_plain_text(source / "views.csv")))


def _files(seed: int) -> tuple[str, str, str]:
    return f"rgb/{seed}.jpg", f"depth/{seed}.png", f"mask/{seed}.png"


def _packed(path: Path, kind: str) -> bytes:
    with Image.open(plain_path(path)) as image:
        if kind in SEEN:
            return as_file(image, "JPEG", quality=JPEG_QUALITY, optimize=True)
        if kind != "depth":
            return as_file(image, "PNG", optimize=True)
        steps = (np.asarray(image).astype(np.uint32) + COARSER // 2) // COARSER
    return as_file(Image.fromarray(steps.astype(np.uint16)), "PNG", optimize=True)


def _renamed(views: str) -> str:
    """The list with the names of the committed files."""
    header, *rows = csv.reader(io.StringIO(views))
    seen = [header.index(name) for name in SEEN]
    named = [[_as_jpeg(cell) if k in seen else cell for k, cell in enumerate(row)] for row in rows]
    return csv_text([header, *named], "\n")


def _as_jpeg(name: str) -> str:
    return name.removesuffix(".png") + ".jpg"

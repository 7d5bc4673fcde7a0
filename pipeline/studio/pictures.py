"""The committed pictures: which scenes they show, and how they are rendered anew.

    ordinary/SEED.jpg, SEED_mask.png     scenes seen through the pinhole
    shallow/SEED.jpg, SEED_mask.png      other scenes, through the thin lens
    ordinary/, shallow/SEED_parts.png    the parts of the first scenes of both
    empty/SEED.jpg                       scenes without a sitter, half of them through the thin lens
    scoring/SEED_sharp.jpg, SEED_shallow.jpg, SEED_mask.png, SEED_depth.png, SEED_parts.png
                                         further scenes in both ways, held out to score models on

Masks are 8-bit coverage of the sitter, depths 16-bit millimetres, parts the places in `PARTS` of what is seen.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.atomic import write_bytes
from pipeline.file_names import inside
from pipeline.pillow import as_file
from pipeline.studio.render import RenderedScene, WantedViews, render_scene

PICTURES = Path(__file__).parent / "pictures"
"""Where the pictures lie in the installed package."""
JPEG_QUALITY = 88
LABELLED = 30
"""Scenes of each group of which the parts are known."""

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the number of scenes done and of all."""


@dataclass(frozen=True)
class Shot:
    """One scene and the views of it that are kept."""

    group: str
    seed: int
    width_px: int
    height_px: int
    views: tuple[str, ...]
    person: bool = True

    def files(self) -> dict[str, str]:
        """View -> path below the folder of pictures."""
        return {view: f"{self.group}/{self.seed}{self._ending(view)}" for view in self.views}

    def _ending(self, view: str) -> str:
        if view in ("mask", "depth", "parts"):
            return f"_{view}.png"
        return f"_{view}.jpg" if self.group == "scoring" else ".jpg"


def shots() -> list[Shot]:
    """Every scene of the committed pictures; each group has seeds of its own."""
    sizes = [(448, 336), (336, 448), (384, 384)]
    ordinary = [Shot("ordinary", 1000 + k, *sizes[k % 3], ("sharp", "mask", *_parts(k))) for k in range(66)]
    shallow = [Shot("shallow", 2000 + k, *sizes[k % 3], ("shallow", "mask", *_parts(k))) for k in range(66)]
    views = ("sharp", "shallow", "mask", "depth", "parts")
    scoring = [Shot("scoring", 3000 + k, 256, 256, views) for k in range(24)]
    lenses = ["sharp"] * 3 + ["shallow"] * 3
    empty = [Shot("empty", 5000 + k, *sizes[k % 3], (lens,), person=False) for k, lens in enumerate(lenses)]
    return [*ordinary, *shallow, *scoring, *empty]


def shots_of(group: str) -> list[Shot]:
    """Those of one group."""
    return [shot for shot in shots() if shot.group == group]


def _parts(number: int) -> tuple[str, ...]:
    return ("parts",) if number < LABELLED else ()


def render_pictures(folder: Path, on_progress: Progress | None = None) -> None:
    """Render all pictures that `folder` lacks; interrupted and run again, it goes on where it stopped.

    Raises ConfigError if Mitsuba is not installed.
    """
    planned = shots()
    for done, shot in enumerate(planned):
        render_shot(folder, shot)
        _log.info("scene %d of %d: %s %d", done + 1, len(planned), shot.group, shot.seed)
        if on_progress is not None:
            on_progress(done + 1, len(planned))


def render_shot(folder: Path, shot: Shot) -> None:
    """Render the views of `shot` that `folder` lacks; ConfigError if Mitsuba is not installed."""
    missing = {view: path for view, path in shot.files().items() if not inside(folder, path).exists()}
    if not missing:
        return
    views = WantedViews(**{view: view in missing for view in ("sharp", "shallow", "mask", "depth", "parts")})
    rendered = render_scene(shot.seed, shot.width_px, shot.height_px, person=shot.person, views=views)
    for view, data in _encoded(rendered):
        write_bytes(inside(folder, missing[view]), data)


def _encoded(rendered: RenderedScene) -> Iterator[tuple[str, bytes]]:
    """The views that were rendered, each as the bytes of its file."""
    for view, pixels in (("sharp", rendered.sharp), ("shallow", rendered.shallow)):
        if pixels is not None:
            yield view, as_file(Image.fromarray(pixels), "JPEG", quality=JPEG_QUALITY, optimize=True)
    for view, levels in (("mask", rendered.mask), ("parts", rendered.parts)):
        if levels is not None:
            yield view, as_file(Image.fromarray(levels), "PNG", optimize=True)
    if rendered.depth_m is not None:
        millimetres = np.clip(rendered.depth_m * 1000 + 0.5, 0, 65535).astype(np.uint16)
        yield "depth", as_file(Image.fromarray(millimetres), "PNG", optimize=True)

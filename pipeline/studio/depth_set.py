"""Sets of furnished scenes, rendered on demand: each in focus throughout, as disparity, and through lenses at many planes.

    rgb/SEED.png            through the pinhole: everything in focus
    depth/SEED.png          true disparity of each pixel, 16 bits, `STEPS_PER_DIOPTRE` to 1/m, one sample a pixel
    mask/SEED.png           coverage of the sitter where nothing hides it, 8 bits
    refocused/SEED_K.png    through a thin lens, plane K in focus; plane 0 is the sitter's eyes
    clean/SEED_K.png        the same with hardly any noise, to score by
    depth.toml              unit and steps of the maps
    views.csv               one row for each refocused picture, `COLUMNS`; written last

Each picture has noise of its own, so that none can be made of another by copying.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.atomic import write_bytes, write_text
from pipeline.file_names import child
from pipeline.pillow import as_file
from pipeline.plain_files import plain_path
from pipeline.spreadsheet import csv_text
from pipeline.studio.render import Noise, Studio
from pipeline.studio.scene import Camera, SceneLens, camera_of, describe_scene

FIRST_SEED = 20_000
"""Of sets rendered on demand; the seeds of committed pictures and of benchmarks lie below."""
STEPS_PER_DIOPTRE = 10_000
"""Of stored disparity: 0 is unknown, 65,535 is 0.15 m away."""
PINHOLE_SAMPLES, LENS_SAMPLES, CLEAN_SAMPLES = 32, 128, 512
OUTERMOST_SHARE = 0.03
"""Of the pixels, nearer than the nearest plane and again farther than the farthest."""
COLUMNS = (
    "scene",
    "view",
    "rgb",
    "depth",
    "mask",
    "refocused",
    "clean",
    "aperture_mm",
    "focus_m",
    "focus_dioptre",
    "px_per_dioptre",
)
"""Of `views.csv`: the radius of a pixel's disc, in pixels, is `px_per_dioptre` · |disparity − `focus_dioptre`|."""

Disparity = NDArray[np.float32]
"""1/m, float32 [height, width]."""


@dataclass(frozen=True)
class DepthSet:
    """Which scenes are rendered, and how.

    `planes`: pictures of each scene through a lens, the first with the sitter's eyes in focus, the others with planes
    spread evenly in disparity over what there is; with 0 there is depth alone. `aperture_scale`: of the scene's own lens.
    `furnished`: with things at many distances; else there are the sitter and what is behind.
    """

    scenes: int
    side_px: int = 256
    planes: int = 3
    first_seed: int = FIRST_SEED
    aperture_scale: float = 1.0
    clean: bool = True
    furnished: bool = True

    @property
    def seeds(self) -> range:
        """Of its scenes."""
        return range(self.first_seed, self.first_seed + self.scenes)


def render_depth_set(folder: Path, wanted: DepthSet, on_progress: Callable[[int, int], None] | None = None) -> None:
    """Render what `folder` lacks of the set; interrupted and run again, it goes on where it stopped.

    Raises ConfigError if Mitsuba is not installed.
    """
    write_text(folder / "depth.toml", f'unit = "dioptre"\nsteps_per_unit = {STEPS_PER_DIOPTRE}\n')
    rows: list[Sequence[object]] = []
    for done, seed in enumerate(wanted.seeds):
        rows += _render_scene(folder, wanted, seed)
        if on_progress is not None:
            on_progress(done + 1, wanted.scenes)
    _write_list(folder / "views.csv", rows)


def encoded_disparity(depth_m: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Depth in metres as 16-bit disparity; what is farther than 10 km, or no number, is unknown: 0.

    >>> encoded_disparity(np.array([0.5, 2.0, np.inf, 0.01])).tolist()
    [20000, 5000, 0, 65535]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.nan_to_num(STEPS_PER_DIOPTRE / np.asarray(depth_m, np.float64), nan=0.0, posinf=0.0)
    return np.clip(steps + 0.5, 0, 65_535).astype(np.uint16)


def planes_through(disparity: Disparity, count: int) -> list[float]:
    """So many planes, in 1/m, spread evenly from the farthest thing of any size to the nearest."""
    far, near = np.quantile(disparity[disparity > 0], [OUTERMOST_SHARE, 1 - OUTERMOST_SHARE])
    return np.linspace(far, near, count).tolist()


def _render_scene(folder: Path, wanted: DepthSet, seed: int) -> list[Sequence[object]]:
    """The rows of one scene; what is rendered already is read."""
    open_studio = _opened_once(wanted, seed)
    paths = {view: child(child(folder, view), f"{seed}.png") for view in ("rgb", "depth", "mask")}
    _render(paths["rgb"], lambda: open_studio().photograph(PINHOLE_SAMPLES, noise=Noise.OF_VIEW))
    _render(paths["depth"], lambda: encoded_disparity(open_studio().depth_m()))
    _render(paths["mask"], lambda: open_studio().mask())
    with Image.open(plain_path(paths["depth"])) as stored:
        disparity = np.asarray(stored).astype(np.float32) / np.float32(STEPS_PER_DIOPTRE)
    rows: list[Sequence[object]] = []
    for view, lens in enumerate(_lenses(camera_of(seed), disparity, wanted)):
        for kind, samples, noise in _pictures_through_lens(wanted):
            _render(child(child(folder, kind), f"{seed}_{view}.png"), _through(open_studio, samples, lens, noise))
        rows.append(_row(seed, view, lens, camera_of(seed).focal_px(wanted.side_px), wanted.clean))
    return rows


def _opened_once(wanted: DepthSet, seed: int) -> Callable[[], Studio]:
    """Describing a scene takes seconds: only for what is missing, and once."""
    opened: list[Studio] = []

    def studio() -> Studio:
        if not opened:
            opened.append(Studio(describe_scene(seed, furnished=wanted.furnished), wanted.side_px, wanted.side_px))
        return opened[0]

    return studio


def _through(
    open_studio: Callable[[], Studio], samples: int, lens: SceneLens, noise: Noise
) -> Callable[[], NDArray[np.uint8]]:
    return lambda: open_studio().photograph(samples, lens, noise)


def _pictures_through_lens(wanted: DepthSet) -> Iterator[tuple[str, int, Noise]]:
    yield "refocused", LENS_SAMPLES, Noise.OF_VIEW
    if wanted.clean:
        yield "clean", CLEAN_SAMPLES, Noise.NONE


def _lenses(camera: Camera, disparity: Disparity, wanted: DepthSet) -> list[SceneLens]:
    """The scene's own lens, and as many focused elsewhere as there are further planes."""
    aperture_mm = camera.lens.aperture_mm * wanted.aperture_scale
    planes = [1 / camera.lens.focus_m, *planes_through(disparity, max(wanted.planes - 1, 0))][: wanted.planes]
    return [SceneLens.of(aperture_mm, 1 / plane) for plane in planes]


def _render(path: Path, make: Callable[[], NDArray[np.uint8] | NDArray[np.uint16]]) -> None:
    if not path.exists():
        write_bytes(path, as_file(Image.fromarray(make()), "PNG"))


def _row(seed: int, view: int, lens: SceneLens, focal_px: float, clean: bool) -> Sequence[object]:
    names = f"rgb/{seed}.png", f"depth/{seed}.png", f"mask/{seed}.png", f"refocused/{seed}_{view}.png"
    px_per_dioptre = focal_px * lens.aperture_mm / 2000
    numbers = f"{lens.aperture_mm:.3f}", f"{lens.focus_m:.5f}", f"{1 / lens.focus_m:.5f}", f"{px_per_dioptre:.5f}"
    return seed, view, *names, f"clean/{seed}_{view}.png" if clean else "", *numbers


def _write_list(path: Path, rows: Sequence[Sequence[object]]) -> None:
    write_text(path, csv_text([COLUMNS, *rows], "\n"))

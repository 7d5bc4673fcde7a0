"""Refocusing one's own photos by their depth."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.failures import Failures
from pipeline.commands.options import STRENGTH_PERCENT, FiniteRange, open_home, say, with_config, with_home

if TYPE_CHECKING:
    import numpy as np

    from pipeline.config import DepthSection, MasksSection, PhotosSection
    from pipeline.depth.files import ReadPicture
    from pipeline.depth.planes import FindAlpha, Plane
    from pipeline.depth.refocus import ThinLens
    from pipeline.depth.units import DepthMap, DepthUnit
    from pipeline.photos.inspectors import Inspectors
    from storage import Home

NETWORKS = ("depth_anything_v2_small", "midas_small", "onnx")
ONNX_ENDING = ".onnx"
MAP_ENDINGS = (".png", ".npy", ".tiff", ".tif")


@click.command(
    short_help="Blur photos by their depth, focused where you like.",
    epilog="Example: bokehflow refocus me.jpg --subject --depth me.npy --depth-unit m",
)
@with_home
@with_config
@click.argument("photos", nargs=-1, type=click.Path(path_type=Path))
@click.option("--at", metavar="X,Y", help="Make sharp what is seen at this point of the upright photo, in its pixels.")
@click.option("--distance", type=float, metavar="M", help="Make sharp what is so many metres away.")
@click.option("--subject", is_flag=True, help="Make the photo's subject sharp.")
@click.option("--sweep", type=click.IntRange(2, 200), metavar="N", help="An animation through so many planes, as WebP.")
@click.option(
    "--strength",
    type=FiniteRange(0, 25),
    help=f"Radius of the largest disc in per cent of the shorter side; else {STRENGTH_PERCENT:g}.",
)
@click.option("--f-number", type=FiniteRange(0.5, 64), help="Blur as a full-frame camera would; needs depth in metres.")
@click.option("--focal-mm", type=FiniteRange(4, 3000), help="Its focal length, where EXIF does not tell.")
@click.option(
    "--depth", type=click.Path(path_type=Path), help="The photo's depth map, or a folder of maps by photos' names."
)
@click.option(
    "--model",
    "run",
    metavar="RUN|FILE.onnx",
    help="A finished run of a model of depth, or a network in a file, that predicts it.",
)
@click.option(
    "--network", type=click.Choice(NETWORKS), help="What FILE.onnx is; `onnx` as [depth] says; else its estimator."
)
@click.option("--depth-unit", metavar="UNIT", help="Of its numbers: mm, m, dioptre, disparity; with steps as in m/5000.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Folder for the results; else this one."
)
@click.option("--page", is_flag=True, help="Open a page instead: click what should be sharp, drag the aperture, save.")
@click.option("--port", default=8767, show_default=True, help="Port of the page on 127.0.0.1; 0 takes a free one.")
def refocus(
    home: Path | None,
    config: Path | None,
    photos: tuple[Path, ...],
    at: str | None,
    distance: float | None,
    subject: bool,
    sweep: int | None,
    strength: float | None,
    f_number: float | None,
    focal_mm: float | None,
    depth: Path | None,
    run: str | None,
    network: str | None,
    depth_unit: str | None,
    out: Path,
    page: bool,
    port: int,
) -> None:
    """Blur photos by their depth as a lens would, focused where you like, at their own size; results are PNG files.

    The photos should be in focus throughout. Depth comes from a file: PNG or TIFF of 16 bits, or a NumPy array, whose unit
    is not guessed. Larger numbers are nearer in dioptre (1/m) and disparity (relative), farther in m and mm. Or it is
    predicted: by `--model`, which was trained here or is a network in an ONNX file, or by the project's estimator.

    `--page` shows the photos given and those kept in the home that have depth. With `--model`, or an estimator in the
    project, any photo can be dropped on it.

    Photos that cannot be refocused are named, the others are; exit code 1 then.
    """
    from contextlib import closing

    from pipeline.commands.refocus_page import PagePictures, serve_page
    from pipeline.errors import ConfigError
    from pipeline.photos.inspectors import Inspectors

    if strength is not None and f_number is not None:
        raise ConfigError("--strength and --f-number say the same in two ways; leave one out")
    if not photos and not page:
        raise ConfigError("name a photo, or open the page with --page")
    if page and (subject or any(one is not None for one in (at, distance, sweep, f_number, focal_mm))):
        raise ConfigError("on the page you click what should be sharp: leave out all but --strength, and where depth is")
    chosen = open_home(home)
    limits, estimating, masks = _settings(chosen, config)
    given = _Given(depth, depth_unit, run, network)
    with closing(Inspectors(1)) as inspectors:
        if page:
            if missing := next((photo for photo in photos if not photo.exists()), None):
                raise ConfigError(f"{missing}: there is no such photo")
            source = given.source(chosen, estimating, len(photos)) if photos or run or depth else None
            pictures = PagePictures(chosen, config, limits, inspectors, source, predicts=run is not None)
            return serve_page(pictures, photos, STRENGTH_PERCENT if strength is None else strength, port)
        source, plane = given.source(chosen, estimating, len(photos)), _plane(at, distance, subject, sweep)
        work = _Work(chosen, masks, limits, inspectors, source, plane, sweep, strength, f_number, focal_mm)
        work.save_all(photos, out)


@dataclass(frozen=True)
class _Given:
    """What was said about the depth."""

    depth: Path | None
    unit: str | None
    model: str | None
    network: str | None

    def source(self, home: "Home", settings: "DepthSection", photos: int) -> "_Maps | _Predictions | _Network":
        """Where depth comes from. Raises ConfigError."""
        from pipeline.errors import ConfigError

        if self.model is None:
            if self.network is not None:
                raise ConfigError("--network goes with --model FILE.onnx, which is missing")
            if self.depth is None and self.unit is None and (named := settings.predictor):
                return _model(home, settings, named, None)
            return _maps(self.depth, self.unit, photos)
        if self.depth is not None or self.unit is not None:
            raise ConfigError("--model predicts the depth, and --depth gives it; leave one out")
        return _model(home, settings, self.model, self.network)


class _Maps:
    """Depth from files."""

    def __init__(self, path: Path, unit: "DepthUnit", photos: int) -> None:
        self._path, self._unit, self._photos = path, unit, photos

    def depth(self, photo: Path, rgb: "np.ndarray", read: "ReadPicture") -> "DepthMap":
        """Of a photo, at the size of its map."""
        from pipeline.depth.files import read_depth_map

        return read_depth_map(_map_of(photo, self._path, self._photos), self._unit, read)


class _Predictions:
    """Depth that a trained model predicts. Raises ConfigError for a run of another model."""

    def __init__(self, folder: Path) -> None:
        from pipeline.errors import ConfigError
        from pipeline.models.disparity_generator import DisparityGenerator
        from pipeline.training.inference import load_generator

        generator, settings = load_generator(folder)
        if not isinstance(generator, DisparityGenerator):
            raise ConfigError(f"{folder}: this model translates pictures; refocusing needs a model of depth")
        self._generator, self._side_px, self._is_metric = generator, settings.size_px, settings.depth_loss == "log"

    def depth(self, photo: Path, rgb: "np.ndarray", read: "ReadPicture") -> "DepthMap":
        """Of a photo, at its size."""
        from pipeline.depth.predicting import predict_depth

        return predict_depth(self._generator, rgb, self._side_px, self._is_metric)


class _Network:
    """Depth that a network in an ONNX file estimates."""

    def __init__(self, path: Path, settings: "DepthSection", name: str | None) -> None:
        from pipeline.depth.onnx_depth import OnnxDepth
        from pipeline.errors import ConfigError
        from pipeline.operations.estimators import network_form

        if name is None and not settings.asks_file:
            remedy = "name it by `--network depth_anything_v2_small` or `midas_small`"
            raise ConfigError(f"{path}: how is this network fed? {remedy}; or say it under `[depth]`, with `--network onnx`")
        self._network = OnnxDepth(path, network_form(settings, name or settings.estimator))

    def depth(self, photo: Path, rgb: "np.ndarray", read: "ReadPicture") -> "DepthMap":
        """Of a photo, at its size."""
        return self._network.depth(rgb)


def _model(home: "Home", settings: "DepthSection", named: str, network: str | None) -> "_Predictions | _Network":
    """Who predicts the depth."""
    from pipeline.commands.training import named_run
    from pipeline.errors import ConfigError

    if named.lower().endswith(ONNX_ENDING):
        return _Network(Path(named), settings, network)
    if network is not None:
        raise ConfigError(f"--network says what a network in a file is; {named!r} is no FILE{ONNX_ENDING}")
    return _Predictions(named_run(home, named))


def _maps(depth: Path | None, depth_unit: str | None, photos: int) -> "_Maps":
    """Depth that is given."""
    from pipeline.depth.units import DepthUnit
    from pipeline.errors import ConfigError

    if depth is None or depth_unit is None:
        what = "depth" if depth is None else "the unit of the depth map"
        remedy = "give a map by `--depth FILE`, and what its numbers mean by `--depth-unit`: mm, m, dioptre or disparity"
        predicted = "or who predicts it, by `--model RUN`, `--model FILE.onnx` or an estimator in the project file"
        raise ConfigError(f"refocusing needs {what}: {remedy}; {predicted}")
    return _Maps(depth, DepthUnit.parse(depth_unit), photos)


@dataclass(frozen=True)
class _Work:
    """What is the same for all photos of a call."""

    home: "Home"
    masks: "MasksSection"
    limits: "PhotosSection"
    inspectors: "Inspectors"
    source: "_Maps | _Predictions | _Network"
    plane: "Plane | None"
    sweep: int | None
    strength: float | None
    f_number: float | None
    focal_mm: float | None

    def save_all(self, photos: tuple[Path, ...], folder: Path) -> None:
        """Write a result for each photo, and name those that have none."""
        from pipeline.training.application import result_stems

        failures = Failures(len(photos), "refocused")
        for photo, stem in zip(photos, result_stems(photos), strict=True):
            with failures.of(photo):
                say(self.save(photo, folder, stem))
        failures.check()

    def save(self, photo: Path, folder: Path, stem: str) -> str:
        """Write the refocused photo, or the animation; returns what was done, for a person."""
        import numpy as np
        from PIL import Image

        from pipeline.atomic import atomic_path
        from pipeline.depth.animation import write_sweep
        from pipeline.depth.refocus import fitted_to, planes_from_far_to_near, refocus_photo
        from pipeline.file_names import child
        from pipeline.photos.decode import decode

        data = self._checked(photo)
        rgb = decode(data, self.limits.max_pixels).rgb
        depth = self.source.depth(photo, rgb, self._checked)
        disparity = fitted_to(depth.disparity, *rgb.shape[:2])
        if self.plane is None:
            focus = planes_from_far_to_near(disparity, 2)[-1]
        else:
            focus = self.plane.disparity(disparity, depth.is_metric, self._alpha_of(rgb))
        lens = self._lens(disparity, depth, focus, data)
        told = f"{depth.summary()}, disc of at most {np.abs(lens.radii_px(disparity)).max():.1f} px"
        if self.sweep is not None:
            path = child(folder, f"{stem}-sweep.webp")
            write_sweep(path, rgb, disparity, lens, self.sweep)
            return f"{path}: {told}"
        path = child(folder, f"{stem}-refocused.png")
        with atomic_path(path) as temporary:
            Image.fromarray(refocus_photo(rgb, disparity, lens)).save(temporary, format="png")
        return f"{path}: {told}" + (f", in focus {1 / focus:.3g} m" if depth.is_metric else "")

    def _checked(self, path: Path) -> bytes:
        return self.inspectors.read_checked(path, self.limits.max_bytes, self.limits.max_pixels)

    def _lens(self, disparity: "np.ndarray", depth: "DepthMap", focus: float, data: bytes) -> "ThinLens":
        from pipeline.depth.refocus import lens_of_full_frame, lens_of_strength
        from pipeline.errors import ConfigError
        from pipeline.photos.exif import equivalent_focal_mm

        if self.f_number is None:
            return lens_of_strength(disparity, focus, STRENGTH_PERCENT if self.strength is None else self.strength)
        if not depth.is_metric:
            raise ConfigError("an f-number needs depth in metres, and the map is relative: use --strength")
        focal_mm = self.focal_mm or equivalent_focal_mm(data, self.limits.max_pixels)
        if focal_mm is None:
            raise ConfigError(
                "the photo does not tell its focal length: give --focal-mm, as on 35 mm film, or use --strength"
            )
        return lens_of_full_frame(disparity, focus, focal_mm, self.f_number)

    def _alpha_of(self, rgb: "np.ndarray") -> "FindAlpha":
        def find() -> "np.ndarray":
            from pipeline.masks.sources import SegmentedMasks
            from resources.segmenter import SegmenterResource

            masks, segmenter = self.masks, SegmenterResource(self.masks).load(self.home)
            people = SegmentedMasks(segmenter, lambda sha256: rgb, masks.long_side_px, masks.others, tuple(masks.refine))
            return people.full_size_alpha(rgb)

        return find


def _plane(at: str | None, distance: float | None, subject: bool, sweep: int | None) -> "Plane | None":
    """The one plane that was asked for; None: all of them."""
    from pipeline.depth.planes import Distance, Point, SubjectPlane
    from pipeline.errors import ConfigError

    given = [at is not None, distance is not None, subject, sweep is not None]
    if sum(given) != 1:
        what = "too many planes are told." if any(given) else "which plane should be sharp?"
        raise ConfigError(f"{what} Give one of --at X,Y, --distance M, --subject and --sweep N")
    if at is not None:
        return Point.parse(at)
    if distance is not None:
        return Distance(distance)
    return SubjectPlane() if subject else None


def _settings(home: "Home", config: Path | None) -> "tuple[PhotosSection, DepthSection, MasksSection]":
    """The project's, where there is one: a photo and its depth need none."""
    from pipeline.config import DepthSection, MasksSection, PhotosSection, load_project

    path = home.project_file(config)
    if config is None and not path.exists():
        return PhotosSection(), DepthSection(), MasksSection()
    project = load_project(path)
    return project.photos, project.depth, project.masks


def _map_of(photo: Path, depth: Path, photos: int) -> Path:
    """The map of a photo: the file given, or in the folder given the one of the photo's name."""
    from pipeline.depth.units import DepthError

    if not depth.is_dir():
        if photos > 1:
            raise DepthError(f"{depth}: is one map for several photos; give a folder with a map of each photo's name")
        return depth
    found = [path for path in sorted(depth.iterdir()) if path.stem == photo.stem and path.suffix.lower() in MAP_ENDINGS]
    if len(found) != 1:
        has = ", ".join(path.name for path in found) or "none"
        raise DepthError(f"{depth}: needs one map called {photo.stem} ({', '.join(MAP_ENDINGS)}), and has {has}")
    return found[0]

"""Who estimates the depth of a project's photos: a folder of maps, a network in a file, or a run that was trained here."""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import DepthSection, Project
from pipeline.depth.depth_maps import PROCESSING, Estimator, GivenDepth, PredictedDepth
from pipeline.depth.units import DepthUnit
from pipeline.errors import ConfigError
from pipeline.file_names import child
from pipeline.plain_files import read_plain
from pipeline.training.runs import RunFolder, model_version
from storage import Home

if TYPE_CHECKING:
    from pipeline.depth.onnx_depth import NetworkForm

RUN = "run:"


def depth_estimator(project: Project, home: Home) -> Estimator:
    """Who `[depth] estimator` names. Raises `ConfigError` where a folder, a run or its model is not what is needed."""
    depth = project.depth
    if depth.folder is not None:
        limits = project.photos
        return GivenDepth(
            Path(depth.folder), DepthUnit.parse(str(depth.unit)), partial(read_plain, max_bytes=limits.max_bytes)
        )
    if depth.network is not None:
        return _network(project, Path(depth.network))
    # torch takes seconds to import, and the code location is imported for every step.
    from pipeline.depth.predicting import predict_depth
    from pipeline.models.disparity_generator import DisparityGenerator
    from pipeline.training.inference import load_generator

    name = depth.estimator.removeprefix(RUN)
    version = _version_of(home, name)
    generator, settings = load_generator(child(home.runs, name))
    if not version or not isinstance(generator, DisparityGenerator):
        raise ConfigError(f"[depth] estimator: the run {name!r} translates pictures; name one that predicts depth")
    predict = partial(predict_depth, generator, side_px=settings.size_px, is_metric=settings.depth_loss == "log")
    return PredictedDepth(f"{version[:16]}-{depth.long_side_px}px", lambda rgb: predict(rgb))


def _network(project: Project, path: Path) -> PredictedDepth:
    from pipeline.depth.onnx_depth import OnnxDepth

    depth = project.depth
    form = network_form(depth, depth.estimator)
    network = OnnxDepth(path, form)
    told = f"{form.sees}-{form.short_side_px}-{form.multiple_px}-{form.gives}"
    return PredictedDepth(f"{network.version[:16]}-{told}-{depth.long_side_px}px", network.depth)


def network_form(depth: DepthSection, name: str) -> "NetworkForm":
    """How the network of that name is fed; any other as `[depth]` says."""
    from pipeline.depth.onnx_depth import NAMED, NetworkForm

    own = NetworkForm(depth.network_sees, depth.network_side_px, depth.network_multiple_px, depth.network_gives)
    return NAMED.get(name, own)


def depth_makers(project: Project, home: Home, key: str | None) -> Mapping[str, str]:
    """What decides maps of depth beside the project's settings, by words that "the … changed" can be made of."""
    depth = project.depth
    way = {"way of making maps of depth": str(PROCESSING)}
    if depth.folder is not None:
        return {**way, "given maps of depth": _listing(Path(depth.folder))}
    if depth.network is not None:
        return {**way, "network of depth": _digest(Path(depth.network))}
    if depth.estimator.startswith(RUN):
        return {**way, "network of depth": _version_of(home, depth.estimator.removeprefix(RUN)) or "not trained yet"}
    return way


def _version_of(home: Home, run: str) -> str:
    return model_version(RunFolder(child(home.runs, run)))


def _digest(path: Path) -> str:
    """Of a network's file, by its size and time, since `dev` asks every few seconds: cheap, and other after every change."""
    if not path.is_file():
        return "not there"
    told = path.stat()
    return hashlib.sha256(f"{told.st_size} {told.st_mtime_ns}".encode()).hexdigest()[:16]


def _listing(folder: Path) -> str:
    """Digest of names, sizes and times of the given maps: cheap, and different after every change."""
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    told = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in found]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

"""NYU Depth v2, the labelled part: one file of 1,449 pictures with depth (Silberman et al., ECCV 2012).

MATLAB's format 7.3 is HDF5, in which the axes come reversed: rows × columns × 3 × pictures are read as [picture, 3, column,
row]. Undistorting left a white frame around the pictures, and invented depth in it; only what lies within is kept. The
official split is a file of its own, in MATLAB's older format, and counts from 1.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.counted import counted
from pipeline.depth.files import ReadPicture
from pipeline.depth.layouts import METRES, Found, RgbdPair
from pipeline.depth.units import DepthError, DepthMap
from pipeline.errors import ConfigError
from pipeline.pillow import as_file

FILE, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
VALID_ROWS, VALID_COLUMNS = slice(45, 471), slice(41, 601)
"""Of 480 × 640 pixels, 426 × 560 are kept: the region that the literature scores on (Eigen et al. 2014)."""
SIZE_PX = (480, 640)


def nyu(folder: Path, raw: bool = False) -> Found:
    """The pictures of `nyu_depth_v2_labeled.mat`, on the sides of `splits.mat` where that lies beside it.

    Depth is the in-painted one, or with `raw` what the camera measured. The group is the scene, so that frames of one room
    stay together. Raises ConfigError where h5py is not installed, and DepthError for another file.
    """
    path = folder / FILE
    if not path.exists():
        raise ConfigError(f"{folder}: has no {FILE}")
    kind = "rawDepths" if raw else "depths"
    with _opened(path) as file:
        for name, shape in (("images", (3, 640, 480)), (kind, (640, 480))):
            if name not in file or file[name].shape[1:] != shape:
                raise DepthError(f"{path}: has no {name} of the shape {('pictures', *shape)} as read from HDF5")
        count, scenes = len(file["images"]), _words(file, "scenes")
    if len(scenes) != count:
        raise DepthError(f"{path}: names {counted(len(scenes), 'scene')} for {counted(count, 'picture')}")
    sides = _sides(folder / SPLITS, count)
    return Found([
        RgbdPair(f"{number + 1:04d}", scenes[number], sides[number], _rgb(path, number), _depth(path, kind, number))
        for number in range(count)
    ])  # fmt: skip


def _rgb(path: Path, number: int) -> Callable[[ReadPicture], bytes]:
    def read(_: ReadPicture) -> bytes:
        with _opened(path) as file:
            rgb = np.ascontiguousarray(file["images"][number].transpose(2, 1, 0)[VALID_ROWS, VALID_COLUMNS], np.uint8)
        return as_file(Image.fromarray(rgb), "PNG")

    return read


def _depth(path: Path, kind: str, number: int) -> Callable[[ReadPicture], DepthMap]:
    def read(_: ReadPicture) -> DepthMap:
        with _opened(path) as file:
            metres = np.asarray(file[kind][number]).T[VALID_ROWS, VALID_COLUMNS]
        found = DepthMap(METRES.disparity(metres), is_metric=True)
        found.check(f"{path}, picture {number + 1}")
        return found

    return read


def _words(file: Any, name: str) -> Sequence[str]:  # noqa: ANN401 - h5py is optional and has no types
    """A cell array of texts: references to arrays of UTF-16 codes."""
    return ["".join(map(chr, np.asarray(file[reference]).ravel())) for reference in np.asarray(file[name]).ravel()]


def _sides(path: Path, count: int) -> Sequence[str | None]:
    """Of each picture; None where the split does not lie there. Raises DepthError for numbers of other pictures."""
    if not path.exists():
        return [None] * count
    from scipy.io import loadmat

    told = loadmat(path)
    sides: list[str | None] = [None] * count
    for side, key in (("train", "trainNdxs"), ("test", "testNdxs")):
        for number in np.asarray(told.get(key, [])).ravel().astype(int):
            if not 1 <= number <= count:
                raise DepthError(f"{path}: names picture {number} of {count}")
            sides[number - 1] = side
    return sides


def _opened(path: Path) -> Any:  # noqa: ANN401 - h5py is optional and has no types
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise ConfigError("NYU's file needs h5py, which is not installed: run `pip install 'bokehflow[nyu]'`") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DepthError(f"{path}: is no file of MATLAB 7.3 ({error}); download it anew") from error

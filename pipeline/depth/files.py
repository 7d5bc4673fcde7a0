"""Depth maps in files: PNG and TIFF of 8 or 16 bits, and NumPy arrays; the numbers as they stand there."""

import ast
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.depth.units import DepthError, DepthMap, DepthUnit
from pipeline.pillow import silenced
from pipeline.plain_files import read_plain

ReadPicture = Callable[[Path], bytes]
"""The bytes of a picture file that was checked in full, within the limits of the project; `Path.read_bytes` for a file that
one trusts."""

MAX_ARRAY_BYTES = 1 << 30
NPY_MAGIC = b"\x93NUMPY"
GREY_MODES = ("L", "I;16", "I;16B", "I;16L", "I")


def read_depth_map(path: Path, unit: DepthUnit, read_picture: ReadPicture) -> DepthMap:
    """The map in a file: PNG, TIFF or .npy, by its ending.

    Raises DepthError for what is no such map, is empty or in another unit, and what `read_picture` raises.
    """
    stored = read_array(path) if path.suffix.lower() == ".npy" else _read_grey(path, unit, read_picture)
    found = DepthMap(unit.disparity(stored), unit.is_metric)
    found.check(str(path))
    return found


def read_array(path: Path) -> NDArray[np.generic]:
    """A plane of numbers [height, width], or one with a third axis of one, from an .npy file.

    Raises DepthError. The header is believed only as far as the file has bytes for it, and no object is unpickled.
    """
    data = read_plain(path, MAX_ARRAY_BYTES)
    shape, is_fortran, kind, start = _header(data, path)
    count = int(np.prod(shape))
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 1) or count == 0:
        raise DepthError(f"{path}: an array of the shape {shape}; a depth map has rows and columns")
    if kind.kind not in "uif":
        raise DepthError(f"{path}: an array of {kind}; a depth map holds numbers")
    if len(data) - start != count * kind.itemsize:
        raise DepthError(
            f"{path}: {len(data) - start} bytes where {shape} of {kind} takes {count * kind.itemsize}; copy it anew"
        )
    values = np.frombuffer(data, kind, count, start).reshape(shape, order="F" if is_fortran else "C")
    return values.reshape(shape[:2]) if values.ndim == 3 else values


def _header(data: bytes, path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, order, kind of numbers and where these begin (NumPy's format 1.0 and 2.0)."""
    if data[:6] != NPY_MAGIC or len(data) < 12:
        raise DepthError(f"{path}: is no NumPy array")
    width = 2 if data[6] == 1 else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    try:
        header = ast.literal_eval(data[8 + width : min(start, 10_000)].decode("latin1").strip())
        shape, kind = tuple(int(length) for length in header["shape"]), np.dtype(header["descr"])
        return shape, bool(header["fortran_order"]), kind, start
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise DepthError(f"{path}: is a NumPy array whose header cannot be read ({type(error).__name__})") from None


def _read_grey(path: Path, unit: DepthUnit, read_picture: ReadPicture) -> NDArray[np.generic]:
    """The numbers of a grey picture, not converted: Pillow would clip 16 bits to 8."""
    data = read_picture(path)
    try:
        with silenced(), Image.open(io.BytesIO(data), formats=("PNG", "TIFF")) as image:
            mode, stored = image.mode, np.asarray(image) if image.mode in GREY_MODES else None
    except UnidentifiedImageError:
        raise DepthError(f"{path}: is no PNG or TIFF that can be read") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers let through whatever their parsing stumbles over
        raise DepthError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error
    if stored is None:
        raise DepthError(f"{path}: a picture of the kind {mode}; a depth map is grey, with 16 bits")
    if mode == "L" and unit.is_metric:
        remedy = "8 bits cannot hold distances: take the map of 16 bits, or call it `disparity`"
        raise DepthError(f"{path}: a picture of 8 bits, mostly stretched for looking at. {remedy}")
    return stored

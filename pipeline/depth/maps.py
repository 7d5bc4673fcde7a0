"""Maps of depth as a home keeps them: PNGs of 16 bits that say themselves what their numbers mean."""

import hashlib
import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.depth.units import DepthError, DepthMap
from pipeline.errors import DatasetError
from pipeline.picture_layers import METRIC, RELATIVE, Encoding
from pipeline.pillow import as_file
from pipeline.plain_files import read_plain

Stored = UInt16[np.ndarray, "height width"]
"""Numbers of a map; what they mean its `Encoding` says. 0 is unknown."""

MOST = 65_535
DIOPTRE_STEP = 1e-4
"""Of metric maps, unless something is nearer than 15 cm: a tenth of a millimetre at 1 m, a centimetre at 10 m."""
COMPRESSION = 2
MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 200_000_000
_ENCODING = "encoding"
_REMEDY = "delete the file and run `bokehflow run`, which makes it anew"


def encoded(depth: DepthMap) -> tuple[Stored, Encoding]:
    """A map in 16 bits. Metric disparity has one step for all maps; relative disparity is spread over all numbers.

    Known pixels stay known. Raises DepthError where nothing is known.
    """
    known = depth.known
    if not known.any():
        raise DepthError("no pixel has a depth")
    if depth.is_metric:
        encoding = Encoding(METRIC, max(DIOPTRE_STEP, float(depth.disparity.max()) / MOST), 0.0)
    else:
        least, most = float(depth.disparity[known].min()), float(depth.disparity.max())
        scale = (most - least) / (MOST - 1) or 1.0
        encoding = Encoding(RELATIVE, scale, least - scale)
    numbers = np.round((depth.disparity - encoding.shift) / encoding.scale).clip(1, MOST)
    return np.where(known, numbers, 0).astype(np.uint16), encoding


def map_png(stored: Stored, encoding: Encoding) -> bytes:
    """The map as a file."""
    notes = PngInfo()
    notes.add_text(_ENCODING, str(encoding))
    return as_file(Image.fromarray(stored), "PNG", compress_level=COMPRESSION, pnginfo=notes)


def read_map(path: Path) -> tuple[Stored, str]:
    """The numbers of a kept map and the text of its encoding.

    Raises `DatasetError` when the file is missing, damaged, or no map of ours.
    """
    try:
        with Image.open(io.BytesIO(read_plain(path, MAX_FILE_BYTES)), formats=["PNG"]) as image:
            if image.mode != "I;16":
                raise DatasetError(f"{path}: this map of depth has the mode {image.mode}, not 16-bit grey; {_REMEDY}")
            if image.width * image.height > MAX_PIXELS:
                raise DatasetError(f"{path}: this map of depth has {image.width}×{image.height} pixels; {_REMEDY}")
            encoding = str(Encoding.parse(str(image.info.get(_ENCODING, ""))))
            return np.asarray(image).astype(np.uint16), encoding
    except FileNotFoundError:
        raise DatasetError(f"{path}: this map of depth is missing; run `bokehflow run`, which makes it anew") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: this map of depth is damaged ({error}); {_REMEDY}") from error


def digest_of(stored: Stored, encoding: str) -> str:
    """SHA-256 of a map's size, encoding and numbers, whatever the compression of its file."""
    height_px, width_px = stored.shape
    return hashlib.sha256(f"{height_px} {width_px} {encoding} ".encode() + stored.tobytes()).hexdigest()


def map_digest(path: Path) -> str:
    """`digest_of` a kept map; raises as `read_map` does."""
    return digest_of(*read_map(path))

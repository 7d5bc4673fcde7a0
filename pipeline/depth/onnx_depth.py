"""Depth of a photo by a network that the user has as an ONNX file, such as Depth Anything V2 or MiDaS exported.

Nothing is fetched: nobody publishes digests of these networks' files that a download could be checked by. The file's own
digest is the version of the maps that it makes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from pipeline.depth.predicting import along_edges
from pipeline.depth.units import DepthError, DepthMap
from pipeline.errors import ConfigError
from pipeline.plain_files import read_plain

Sees = Literal["imagenet", "unit", "bytes"]
Gives = Literal["disparity", "m"]
Rgb = UInt8[np.ndarray, "height width 3"]

MAX_FILE_BYTES = 2 * 2**30
LONGEST_SHARE = 3.0
"""Of the short side: narrower photos are seen smaller."""
LEAST_SHARE = 1e-3
"""Of a relative map's range: so far above 0, which would mean unknown, its farthest pixel is put."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures in [0, 1]."""


@dataclass(frozen=True)
class NetworkForm:
    """What a network is given and what it gives.

    `sees`: RGB in [0, 1] less ImageNet's mean by its deviation, in [0, 1], or 0 to 255. `short_side_px` is that of the
    picture, each side a multiple of `multiple_px`; a file of one fixed size has its own. `gives`: disparity of unknown scale
    and shift, larger is nearer, or metres.
    """

    sees: Sees
    short_side_px: int
    multiple_px: int
    gives: Gives


NAMED = {
    "depth_anything_v2_small": NetworkForm("imagenet", 518, 14, "disparity"),
    "midas_small": NetworkForm("imagenet", 256, 32, "disparity"),
}
"""Depth Anything V2 Small (Yang et al. 2024) and MiDaS v2.1 small (Ranftl et al. 2020), as their authors feed them."""


class OnnxDepth:
    """A network [1, 3, height, width] → [1, height, width] or [1, 1, height, width] from a file."""

    def __init__(self, path: Path, form: NetworkForm) -> None:
        """Raises `ConfigError` for a file that is missing, no ONNX, or of other inputs and outputs."""
        import onnxruntime

        self.path, self.form = path, form
        try:
            # From bytes: somebody else's network is not to read further files by paths that it names.
            model = read_plain(path, MAX_FILE_BYTES)
        except OSError as error:
            raise ConfigError(f"{path}: this network cannot be read: {error.strerror or error}") from error
        self.version = hashlib.sha256(model).hexdigest()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for each kind of failure
            raise ConfigError(f"{path}: onnxruntime cannot read this network: {str(error)[:200]}") from error
        seen, given = self._session.get_inputs(), self._session.get_outputs()
        shape = list(seen[0].shape) if len(seen) == 1 else []
        if len(shape) != 4 or shape[1] != 3 or seen[0].type != "tensor(float)" or not given:
            told = ", ".join(f"{one.type} {one.shape}" for one in seen)
            raise ConfigError(f"{path}: a network of depth takes one tensor(float) [1, 3, height, width], this one: {told}")
        self._input, self._fixed = seen[0].name, [side if isinstance(side, int) else None for side in shape[2:]]

    def depth(self, rgb: Rgb) -> DepthMap:
        """Of a photo, at its own size, along its edges. Raises `DepthError` where the network gives nothing usable."""
        small = self._small(rgb)
        given = self._asked(small)
        if self.form.gives == "m":
            disparity = np.where(given > 0, 1 / np.where(given > 0, given, 1.0), 0.0)
        else:
            least, most = float(given.min()), float(given.max())
            if most <= least:
                raise DepthError(f"{self.path.name} gives the same for every pixel")
            disparity = given - least + LEAST_SHARE * (most - least)
        found = DepthMap(along_edges(disparity.astype(np.float32), small, rgb), self.form.gives == "m")
        found.check(self.path.name)
        return found

    def _small(self, rgb: Rgb) -> Rgb:
        height, width = rgb.shape[:2]
        shrink = min(
            self.form.short_side_px / min(height, width), LONGEST_SHARE * self.form.short_side_px / max(height, width)
        )
        multiple = self.form.multiple_px
        sides = [max(1, round(side * shrink / multiple)) * multiple for side in (height, width)]
        sides = [fixed or side for fixed, side in zip(self._fixed, sides, strict=True)]
        method = cv2.INTER_AREA if sides[0] < height else cv2.INTER_CUBIC
        return cv2.resize(rgb, (sides[1], sides[0]), interpolation=method)

    def _asked(self, small: Rgb) -> NDArray[np.float64]:
        values = small.astype(np.float32)
        if self.form.sees != "bytes":
            values /= 255
        if self.form.sees == "imagenet":
            values = (values - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        batch = np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)
        try:
            given: Any = self._session.run(None, {self._input: batch})[0]
        except Exception as error:  # as above
            raise DepthError(
                f"{self.path.name} fails on {small.shape[1]}×{small.shape[0]} px: {str(error)[:160]}"
            ) from error
        found = np.asarray(given, np.float64)
        if found.size != small.shape[0] * small.shape[1] or not np.isfinite(found).all():
            size = f"{small.shape[1]}×{small.shape[0]} px"
            raise DepthError(f"{self.path.name} gives {list(found.shape)} for {size}, or what is no number: no map of depth")
        return found.reshape(small.shape[:2])

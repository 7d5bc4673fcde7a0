"""U²-Netp: what stands out of a picture, person or not. Slow, so it is asked only where the segmenter is in doubt.

Qin et al., "U²-Net: Going deeper with nested U-structure for salient object detection" (2020), the small variant.
"""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.plain_files import read_plain

WEIGHTS = "u2netp"
SIDE_PX = 256
"""The network was trained at 320; at 256 it takes two thirds of the time, and the mean with another loses nothing."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as the weights expect."""


class SalientObjects:
    """The network on the CPU, on one thread. May be used by several threads at once."""

    def __init__(self, weights: Path) -> None:
        model = read_plain(weights)
        self.sha256 = hashlib.sha256(model).hexdigest()
        self._session = _session(model)

    def opacity(self, image: Image.Image) -> np.ndarray:
        """Of a picture of any size, squeezed into a square: float32 [256, 256] in [0, 1]."""
        small = np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR), np.float32) / 255
        normal = (small - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
        (name,) = (one.name for one in self._session.get_inputs())
        return np.asarray(self._session.run(None, {name: normal.transpose(2, 0, 1)[None]})[0])[0, 0]


def squared(model: bytes) -> bytes:
    """The network for squares of `SIDE_PX` pixels, with the finest of its seven outputs alone, as ONNX."""
    import onnx

    graph = onnx.load_from_string(model)
    del graph.graph.output[1:]
    for value in (*graph.graph.input, *graph.graph.output):
        for axis in (2, 3):
            value.type.tensor_type.shape.dim[axis].dim_value = SIDE_PX
    return graph.SerializeToString()


def _session(model: bytes):  # noqa: ANN202  (the package carries no types)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # the weights still list shapes of their old size, which would be warned of
    return onnxruntime.InferenceSession(squared(model), options, providers=["CPUExecutionProvider"])

"""The optional hint that a picture may be inappropriate: OpenNSFW on onnxruntime."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.plain_files import read_plain

SEEN_PX, CROP_PX = 256, 224
MEAN_BGR = (104.0, 117.0, 123.0)
PROCESSING = 1
"""Raised whenever what happens before the model changes."""


class OpenNsfw:
    """Yahoo's OpenNSFW (2016), a small ResNet-50 trained to tell pornography; it knows no other kind of offence.

    Called with RGB uint8 [height, width, 3], it returns the likelihood in [0, 1]. Several threads may call it. The
    network saw pictures squeezed to 256×256 pixels, of which the middle 224×224 count, as BGR less a mean.
    """

    def __init__(self, weights_path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        data = read_plain(weights_path)
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.version = f"opennsfw-{hashlib.sha256(data).hexdigest()[:12]}-{PROCESSING}"

    def __call__(self, rgb: np.ndarray) -> float:
        small = np.asarray(Image.fromarray(rgb).resize((SEEN_PX, SEEN_PX), Image.Resampling.BILINEAR), np.float32)
        start = (SEEN_PX - CROP_PX) // 2
        middle = small[start : start + CROP_PX, start : start + CROP_PX, ::-1] - np.array(MEAN_BGR, np.float32)
        scores = np.asarray(self._session.run(None, {self._input: middle[None]})[0])
        return float(scores[0, 1])

"""Inception-v3 features as the literature's KID and FID use them, where torch-fidelity's weights lie on this machine.

Parmar, Zhang, Zhu, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation" (2022): pictures are resized
channel by channel in floating point by Pillow's antialiased bicubic filter, never by a filter that skips pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image

from pipeline.evaluation.measure.instruments import find_inception

INPUT_PX = 299
BATCH = 16


class InceptionFeatures:
    """The network of torch-fidelity, on the GPU where there is one."""

    def __init__(self, weights: Path) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(weights))
        self._network = network.to(self._device)

    @torch.inference_mode()
    def features(self, pictures: UInt8[np.ndarray, "count height width 3"]) -> Float32[np.ndarray, "count 2048"]:
        """Features of sRGB pictures, resized to 299 px; the network wants them as whole numbers again."""
        parts = [np.empty((0, 2048), np.float32)]
        for start in range(0, len(pictures), BATCH):
            levels = np.stack([resized(picture, INPUT_PX) for picture in pictures[start : start + BATCH]])
            batch = torch.from_numpy(np.round(levels).astype(np.uint8)).permute(0, 3, 1, 2)
            (found,) = self._network(batch.to(self._device))
            parts.append(found.float().cpu().numpy())
        return np.concatenate(parts)


def resized(picture: np.ndarray, side_px: int) -> Float32[np.ndarray, "side side 3"]:
    """A picture of levels 0 to 255 at another size, each channel by itself in floating point, clipped to 0 to 255."""
    channels = [Image.fromarray(np.ascontiguousarray(picture[..., place], np.float32)) for place in range(3)]
    size = (side_px, side_px)
    scaled = [np.asarray(channel.resize(size, Image.Resampling.BICUBIC)) for channel in channels]
    return np.stack(scaled, axis=-1).clip(0, 255)


def load_inception(folders: Sequence[Path]) -> InceptionFeatures | None:
    """The network with the weights found in one of the folders, by default also torch's own cache; None without.

    Nothing is fetched. A file whose digest is not that of its name is left alone, with a warning.
    """
    path = find_inception(folders)
    return InceptionFeatures(path) if path else None

"""How alike pictures look to a network: LPIPS, and features for comparing whole sets of pictures.

One pass per picture through VGG-16, at the size at which pictures are judged, serves LPIPS, the features of the picture
and those of its background. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric" (2018): the activations after the last ReLU of each of the five stages, each position's channels
scaled to length 1; LPIPS is the weighted squared difference, averaged over positions, summed over stages.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.vgg import IMAGENET_MEAN, IMAGENET_STD, vgg16_state

STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Places of the convolutions of each stage in torchvision's `features`; a 2x2 pooling lies between stages."""
EPSILON = 1e-10
TEXTURE_STAGE = 3
"""Whose features stand for a background: a position of relu4_3 sees 92 px, of which the middle counts most; one of relu5_3
would see as much of the subject."""
BATCH = 4
"""Pictures looked at together: activations of more do not fit the processor's caches, and it gets slower."""


@dataclass(frozen=True)
class Look:
    """What the network sees of a batch: each stage's activations at length 1, and one vector per picture."""

    stages: list[Tensor]
    """float32 [batch, channels, rows, columns] each."""
    features: np.ndarray
    """float32 [batch, 512]: relu5_3, mean over positions."""
    texture: Tensor
    """float32 [batch, 512, rows, columns]: relu4_3."""


class PerceptualNetwork:
    """VGG-16 with LPIPS' heads, on the GPU where there is one; the weights are fetched into the folder once."""

    def __init__(self, weights_folder: Path) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        state = {name: _as_seen(value.to(self._device)) for name, value in vgg16_state(weights_folder).items()}
        self._state = state
        self._heads = [state[f"lin{stage}"] for stage in range(len(STAGES))]
        self._mean = torch.tensor(IMAGENET_MEAN, device=self._device).reshape(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=self._device).reshape(1, 3, 1, 1)

    @torch.inference_mode()
    def look(self, images: np.ndarray) -> Look:
        """Look at float [batch, height, width, 3] in [0, 1]; sides of 16 px at least."""
        tensor = torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(self._device).permute(0, 3, 1, 2)
        activations = list(self._activations((tensor - self._mean) / self._std))
        features = activations[-1].mean((2, 3)).cpu().numpy()
        texture = activations[TEXTURE_STAGE]
        return Look([functional.normalize(stage, dim=1, eps=EPSILON) for stage in activations], features, texture)

    @torch.inference_mode()
    def distance(self, first: Look, second: Look, regions: np.ndarray | None = None) -> np.ndarray:
        """LPIPS of each pair, float64 [batch]: 0 (equal) to about 1.

        With `regions`, bool [batch, height, width, 1], positions are weighted by how much of them lies inside (which
        the network's wide view reaches beyond); NaN where a region is empty.
        """
        total = np.zeros(len(first.features))
        inside = None
        if regions is not None:
            inside = torch.from_numpy(regions.astype(np.float32)).to(self._device).permute(0, 3, 1, 2)
        for one, other, head in zip(first.stages, second.stages, self._heads, strict=True):
            difference = functional.conv2d((one - other).square_(), head)
            total += _spatial_mean(difference, inside).double().cpu().numpy()
        return total

    @torch.inference_mode()
    def background_features(self, look: Look, regions: np.ndarray) -> np.ndarray:
        """relu4_3, mean over regions, bool [batch, height, width, 1]: float32 [batch, 512], NaN where one is empty."""
        inside = torch.from_numpy(regions.astype(np.float32)).to(self._device).permute(0, 3, 1, 2)
        weight = functional.adaptive_avg_pool2d(inside, (look.texture.shape[2], look.texture.shape[3]))
        return ((look.texture * weight).sum((2, 3)) / weight.sum((2, 3))).cpu().numpy()

    def features(self, images: np.ndarray, batch: int = BATCH) -> np.ndarray:
        """`Look.features` of uint8 [n, height, width, 3], float32 [n, 512]."""
        parts = [self.look(images[start : start + batch] / 255.0).features for start in range(0, len(images), batch)]
        return np.concatenate(parts) if parts else np.empty((0, 512), np.float32)

    def _activations(self, features: Tensor) -> Iterator[Tensor]:
        for stage, places in enumerate(STAGES):
            features = functional.max_pool2d(features, 2) if stage else features
            for place in places:
                weight, bias = self._state[f"{place}.weight"], self._state[f"{place}.bias"]
                features = functional.relu(functional.conv2d(features, weight, bias, padding=1), inplace=True)
            yield features


def _as_seen(weight: Tensor) -> Tensor:
    """A convolution's weights in the order in memory of the pictures, channels last, which spares it from turning them."""
    return weight.contiguous(memory_format=torch.channels_last) if weight.dim() == 4 else weight


def _spatial_mean(values: Tensor, inside: Tensor | None) -> Tensor:
    if inside is None:
        return values.mean((1, 2, 3))
    weight = functional.adaptive_avg_pool2d(inside, (values.shape[2], values.shape[3]))
    return (values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))

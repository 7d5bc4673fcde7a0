"""Small networks that tell skin, hair, clothes and backdrop, learnt within a minute from rendered scenes with true labels.

Two of different build, each to be shown other scenes: one to train against and one to judge by. They know rendered
portraits and paintings of such, nothing else.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from pipeline.atomic import write_bytes
from pipeline.errors import WeightsError
from pipeline.file_names import child
from pipeline.models.images import RgbArray
from pipeline.models.vgg import IMAGENET_MEAN, IMAGENET_STD
from pipeline.plain_files import read_plain

PARTS_SIDE_PX = 64
CLASSES = "backdrop", "skin", "hair", "clothes"
PARTS_VERSION = 1
"""Raised whenever networks, pictures or lessons change."""
STEPS, BATCH, RATE = 400, 16, 4e-3
LEAST_WINDOW = 0.6
"""Share of a picture's side that the smallest window takes."""

Labels = UInt8[np.ndarray, "batch height width"]
"""Places in `CLASSES`."""


class PartsNetwork(nn.Module):
    """A U-Net whose three levels begin at half the size; sides must be multiples of 8."""

    def __init__(self, width: int = 20) -> None:
        super().__init__()
        self.stem = _normed(3, width, 5, stride=2)
        self.fine, self.middle = _normed(width, width), _normed(width, 2 * width)
        self.coarse = nn.Sequential(_normed(2 * width, 3 * width), _normed(3 * width, 3 * width))
        self.back_to_middle, self.back_to_fine = _normed(5 * width, 2 * width), _normed(3 * width, width)
        self.head = nn.Conv2d(width, len(CLASSES), 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.fine(self.stem(images))
        middle = self.middle(functional.max_pool2d(fine, 2))
        coarse = self.coarse(functional.max_pool2d(middle, 2))
        middle = self.back_to_middle(torch.cat([_doubled(coarse), middle], 1))
        return _doubled(self.head(self.back_to_fine(torch.cat([_doubled(middle), fine], 1))))


class PartsJudge(nn.Module):
    """Dilated convolutions at half the size, one after the other, without ways around; sides must be even."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        layers = [_normed(width, width, dilation=dilation) for dilation in (1, 2, 4, 8, 4, 1)]
        self.layers = nn.Sequential(_normed(3, width, 5, stride=2), *layers, nn.Conv2d(width, len(CLASSES), 1))

    def forward(self, images: Tensor) -> Tensor:
        return _doubled(self.layers(images))


NETWORKS: dict[str, type[nn.Module]] = {"parts": PartsNetwork, "parts_judge": PartsJudge}
SEEDS = {"parts": 1, "parts_judge": 2}


def learn_parts(name: str, rgb: RgbArray, labels: Labels, steps: int = STEPS) -> nn.Module:
    """The network `name` after lessons on pictures with true labels, squares of any one size of 64 px at least.

    The same for the same pictures on one kind of processor; torch's own random state stays as it is.
    """
    random = np.random.default_rng(SEEDS[name])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEEDS[name])
        network = NETWORKS[name]()
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255
    truth = torch.from_numpy(labels).long()
    for _ in range(steps):
        seen, meant = _lesson(pictures, truth, random)
        optimiser.zero_grad()
        functional.cross_entropy(network(seen), meant).backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def parts_path(name: str, weights_folder: Path) -> Path:
    """Where the weights of the network `name` lie."""
    return child(weights_folder, f"{name}-{PARTS_VERSION}.safetensors")


def save_parts_network(name: str, network: nn.Module, weights_folder: Path) -> None:
    """Put the weights into their place."""
    write_bytes(parts_path(name, weights_folder), save(dict(network.state_dict())))


def load_parts_network(name: str, weights_folder: Path) -> tuple[nn.Module, tuple[str, ...]]:
    """The network and its classes; `WeightsError` where it has not been learnt, or its file is damaged."""
    path, network = parts_path(name, weights_folder), NETWORKS[name]()
    try:
        network.load_state_dict(load(read_plain(path)))
    except FileNotFoundError:
        raise WeightsError(f"{path}: not there; `bokehflow weights` learns it within a minute") from None
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path}: damaged ({error}); delete it, and `bokehflow weights` learns it anew") from error
    return network.eval(), CLASSES


def _lesson(pictures: Tensor, truth: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch of windows, mirrored and in other colours at random, normalised as ImageNet's."""
    seen, meant = [], []
    for index in random.integers(len(pictures), size=BATCH):
        rows, columns = _window(pictures.shape[-1], random)
        picture, labels = pictures[index][:, rows, columns], truth[index][rows, columns]
        size = PARTS_SIDE_PX, PARTS_SIDE_PX
        picture = functional.interpolate(picture[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
        labels = functional.interpolate(labels[None, None].float(), size, mode="nearest")[0, 0].long()
        if random.random() < 0.5:
            picture, labels = picture.flip(-1), labels.flip(-1)
        seen.append(_recoloured(picture, random))
        meant.append(labels)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (torch.stack(seen) - mean) / std, torch.stack(meant)


def _window(side_px: int, random: np.random.Generator) -> Sequence[slice]:
    window_px = int(random.uniform(LEAST_WINDOW, 1.0) * side_px)
    starts = random.integers(side_px - window_px + 1, size=2)
    return [slice(int(start), int(start) + window_px) for start in starts]


def _recoloured(picture: Tensor, random: np.random.Generator) -> Tensor:
    gains = torch.tensor(random.uniform(0.7, 1.3, (3, 1, 1)), dtype=torch.float32)
    shift, noise = float(random.uniform(-0.1, 0.1)), float(random.uniform(0, 0.05))
    grain = torch.from_numpy(random.standard_normal(tuple(picture.shape), np.float32))
    return (picture * gains + shift + noise * grain).clamp(0, 1)


def _normed(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)

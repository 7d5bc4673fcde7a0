"""Networks that say what each place of a picture shows, for losses and for judging.

All are frozen and differentiable with respect to the pictures, and do scaling and normalisation themselves. Their weights
are buffers outside the state: they move with a model, but neither train nor enter its checkpoints.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import ConfigError
from pipeline.models.images import Images
from pipeline.models.losses import Logits
from pipeline.models.onnx_network import OnnxNetwork
from pipeline.models.parts_networks import PARTS_SIDE_PX, load_parts_network
from pipeline.models.torchvision_networks import (
    SEGMENTATION_FILES,
    VOC_CLASSES,
    segmentation_network,
    segmentation_state,
)
from pipeline.models.vgg import IMAGENET_MEAN, IMAGENET_STD
from pipeline.plain_files import read_plain
from pipeline.weights import ensure

SALIENT_SIDE_PX, VOC_SIDE_PX = 160, 256
SALIENT_CLASSES = "background", "salient"


class Parser(nn.Module):
    """Pictures in [-1, 1] to the logits of `classes`, float32, at the parser's own size."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, classes: tuple[str, ...], side_px: int) -> None:
        """`network`: from pictures normalised as ImageNet's, scaled so that their smaller side has `side_px` pixels."""
        super().__init__()
        self.classes, self.side_px = classes, side_px
        self.network = frozen(network)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1), persistent=False)
        self.train(False)

    def forward(self, images: Images) -> Logits:
        seen = ((self._scaled(images) + 1.0) * 0.5 - self.mean) / self.std
        found = self.network(seen)
        return (found["out"] if isinstance(found, dict) else found).float()

    def train(self, mode: bool = True) -> "Parser":
        """A parser stays as it was trained, whatever the model around it does."""
        return super().train(False)

    def _scaled(self, images: Images) -> Images:
        height_px, width_px = images.shape[-2:]
        scale = self.side_px / min(height_px, width_px)
        size = round(height_px * scale), round(width_px * scale)
        if size == (height_px, width_px):
            return images
        return functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


class SalientLogits(nn.Module):
    """U²-Netp's finest output before the sigmoid, as logits of background and of what stands out."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        self.network = OnnxNetwork(model, before="Sigmoid")

    def forward(self, images: Tensor) -> Logits:
        salient = self.network(images)
        return torch.cat([torch.zeros_like(salient), salient], 1)


def frozen(network: nn.Module) -> nn.Module:
    """The network with its parameters and buffers as buffers outside the state."""
    for part in network.modules():
        held = {**dict(part.named_parameters(recurse=False)), **dict(part.named_buffers(recurse=False))}
        for name, value in held.items():
            delattr(part, name)
            part.register_buffer(name, value.detach(), persistent=False)
    return network


def load_parser(name: str, weights_folder: Path) -> Parser:
    """The parser `name`, one of `PARSERS`, its weights fetched into `weights_folder` where that is possible.

    Raises `WeightsError` when they are altered or cannot be had, `ConfigError` for another name.
    """
    if name not in PARSERS:
        raise ConfigError(f"there is no parser {name!r}; there are: {', '.join(PARSERS)}")
    return PARSERS[name](weights_folder)


def _learnt_parts(name: str) -> Callable[[Path], Parser]:
    def load(weights_folder: Path) -> Parser:
        network, classes = load_parts_network(name, weights_folder)
        return Parser(network, classes, PARTS_SIDE_PX)

    return load


def _salient(weights_folder: Path) -> Parser:
    model = read_plain(ensure("u2netp", weights_folder))
    return Parser(SalientLogits(model), SALIENT_CLASSES, SALIENT_SIDE_PX)


def _voc(name: str) -> Callable[[Path], Parser]:
    def load(weights_folder: Path) -> Parser:
        state = segmentation_state(name, weights_folder / SEGMENTATION_FILES[name], 'semantic_network = "u2netp"')
        network = segmentation_network(name)
        network.load_state_dict(state)
        return Parser(network, VOC_CLASSES, VOC_SIDE_PX)

    return load


PARSERS: dict[str, Callable[[Path], Parser]] = {
    "parts": _learnt_parts("parts"),
    "parts_judge": _learnt_parts("parts_judge"),
    "u2netp": _salient,
    "lraspp_mobilenet": _voc("lraspp_mobilenet"),
    "deeplabv3_mobilenet": _voc("deeplabv3_mobilenet"),
    "deeplabv3_resnet101": _voc("deeplabv3_resnet101"),
}
"""How each is loaded, by the name that settings give it."""

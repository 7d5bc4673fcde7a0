"""VGG features up to relu3_2: frozen, differentiable with respect to the pictures.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015), trained on
ImageNet. The study took VGG-19, whose weights torchvision fetches; VGG-16, which has the same layers up to there
(its own weights, so other values), comes out of a package and needs no internet beyond the package registry.
"""

import io
import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import WeightsError
from pipeline.models.images import Images
from pipeline.models.losses import Features
from pipeline.plain_files import at_hand, read_plain

FeatureNetwork = Literal["vgg19", "vgg16"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in [0, 1]."""
RELU3_2 = (0, 2, None, 5, 7, None, 10, 12)
"""Places of the 3x3 convolutions in torchvision's `features`, each followed by a ReLU; None is a 2x2 pooling."""
VGG19_FILE = "vgg19-dcbb9e9d.pth"


class VggFeatures(nn.Module):
    """Pictures in [-1, 1] to the activations of relu3_2, [batch, 256, height / 4, width / 4].

    The weights are buffers outside the state: they move with a model, but neither train nor enter its checkpoints.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, state: dict[str, Tensor]) -> None:
        """`state`: weights named as torchvision's `features`, `0.weight` to `12.bias`; others are ignored."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1), persistent=False)
        for place in RELU3_2:
            if place is not None:
                self.register_buffer(f"weight_{place}", state[f"{place}.weight"].detach().clone(), persistent=False)
                self.register_buffer(f"bias_{place}", state[f"{place}.bias"].detach().clone(), persistent=False)

    def forward(self, images: Images) -> Features:
        features = ((images + 1.0) * 0.5 - self.mean) / self.std
        for place in RELU3_2:
            if place is None:
                features = functional.max_pool2d(features, 2)
            else:
                weight, bias = getattr(self, f"weight_{place}"), getattr(self, f"bias_{place}")
                features = functional.relu(functional.conv2d(features, weight, bias, padding=1))
        return features.float()


def load_features(network: FeatureNetwork, weights_folder: Path) -> VggFeatures:
    """The features of `network`, its weights fetched into `weights_folder` if they are not there yet.

    Raises `WeightsError` when they are altered or cannot be had.
    """
    return VggFeatures(_vgg19(weights_folder) if network == "vgg19" else vgg16_state(weights_folder))


def vgg16_state(weights_folder: Path) -> dict[str, Tensor]:
    """VGG-16's 13 convolutions, named as in torchvision's `features`, beside `lin0` to `lin4`, LPIPS' heads."""
    from pipeline.weights import ensure

    networks = read_arrays(read_plain(ensure("vgg16", weights_folder)))
    state = {}
    for number, place in enumerate(_convolution_places()):
        convolution = networks["VGG16_0"][f"Conv_{number}"]
        state[f"{place}.weight"], state[f"{place}.bias"] = _oihw(convolution["kernel"]), torch.tensor(convolution["bias"])
    for number in range(5):
        state[f"lin{number}"] = _oihw(networks[f"NetLinLayer_{number}"]["Conv_0"]["kernel"])
    return state


def read_arrays(data: bytes) -> dict[str, Any]:
    """A pickle of nested dictionaries of arrays; whatever else it asks for is refused, so no code is run."""
    try:
        return _ArraysOnly(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, ValueError) as error:
        raise WeightsError(f"these weights are no pickle of arrays: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  (the signature of pickle)
        allowed = {"_reconstruct": np.zeros(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}
        if module.partition(".")[0] != "numpy" or name not in allowed:
            raise pickle.UnpicklingError(f"it wants {module}.{name}")
        return allowed[name]


def _vgg19(weights_folder: Path) -> dict[str, Tensor]:
    """torchvision's weights, fetched by its own loader, which checks them by the hash in their name."""
    from torchvision.models import VGG19_Weights

    path = weights_folder / VGG19_FILE
    at_hand(path)
    try:
        state = VGG19_Weights.IMAGENET1K_V1.get_state_dict(
            progress=False, check_hash=True, model_dir=str(weights_folder), map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{path}: the weights of VGG-19 could not be fetched ({error}); connect to the internet and run again, put "
            'the file there by hand, or set perceptual_network = "vgg16", which comes out of a package'
        ) from error
    return {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}


def _convolution_places() -> list[int]:
    """Where VGG-16's convolutions stand in torchvision's `features`: after each one a ReLU, five poolings between."""
    places, place = [], 0
    for convolutions in (2, 2, 3, 3, 3):
        places += [place + 2 * number for number in range(convolutions)]
        place += 2 * convolutions + 1
    return places


def _oihw(kernel: np.ndarray) -> Tensor:
    """A kernel stored as height, width, input, output."""
    return torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))

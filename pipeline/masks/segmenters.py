"""The segmenters that a project file can name, and those of torchvision."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipeline import weights
from pipeline.config import MasksSection
from pipeline.errors import ConfigError, WeightsError
from pipeline.masks import salient
from pipeline.masks.segmenter import Seen, Segmenter, levels
from pipeline.masks.selfie import EMBEDDED, SelfieSegmenter, SelfieWeights
from pipeline.models.torchvision_networks import SEGMENTATION_FILES, hash_in_name, segmentation_network, segmentation_state

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


class DeepLabSegmenter(Segmenter):
    """DeepLabV3 (Chen et al. 2017, arXiv:1706.05587) with torchvision's weights; on the GPU if there is one.

    With ResNet-101 as backbone, which comes close to the study's, or with MobileNetV3, about ten times faster. Alpha is
    the softmax probability of the class person. Pictures are scaled to the nearest of a few shapes whose short side
    is 520 pixels, so that pictures of many sizes still make batches, and none depends on what else is in its batch.
    `load` fetches and reads the weights; by default torchvision's own loader does.
    """

    PERSON = 15
    PROCESSING = 2
    SHAPES = ((520, 520), (520, 693), (520, 780), (520, 924), (693, 520), (780, 520), (924, 520))
    """Height and width: 1:1, 4:3, 3:2 and 16:9, both ways."""
    MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    """Of ImageNet, as torchvision's weights expect."""

    def __init__(
        self,
        name: str,
        weights_folder: Path,
        load: Callable[[str, Path], dict[str, "torch.Tensor"]] | None = None,
    ) -> None:
        import torch

        self.name = name
        self.version = self.version_of(name)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        state = (load or _load)(name, weights_folder / SEGMENTATION_FILES[name])
        self._model = segmentation_network(name)
        self._model.load_state_dict(state)
        self._model.eval().to(self._device)
        self._one_at_a_time = threading.Lock()

    @classmethod
    def version_of(cls, name: str) -> str:
        """The version that the published weights give."""
        return f"{hash_in_name(SEGMENTATION_FILES[name])}-{cls.PROCESSING}"

    def see(self, pictures: Sequence[np.ndarray]) -> list[Seen]:
        by_shape: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(pictures):
            by_shape.setdefault(self._shape(picture), []).append(index)
        alphas: dict[int, np.ndarray] = {}
        for shape, indices in by_shape.items():
            alphas |= zip(indices, self._alphas([pictures[index] for index in indices], shape), strict=True)
        return [Seen(alphas[index], None) for index in range(len(pictures))]

    def _shape(self, picture: np.ndarray) -> tuple[int, int]:
        """The shape whose proportions are nearest."""
        ratio = np.log(picture.shape[1] / picture.shape[0])
        return min(self.SHAPES, key=lambda shape: abs(np.log(shape[1] / shape[0]) - ratio))

    def _alphas(self, pictures: Sequence[np.ndarray], shape: tuple[int, int]) -> list[np.ndarray]:
        import torch

        height_px, width_px = shape
        scaled = [Image.fromarray(one).resize((width_px, height_px), Image.Resampling.BILINEAR) for one in pictures]
        batch = torch.from_numpy(np.stack([np.asarray(one) for one in scaled])).permute(0, 3, 1, 2)
        with torch.inference_mode(), self._one_at_a_time:
            moved = batch.to(self._device).float() / 255
            mean, std = (torch.tensor(values, device=self._device).view(1, 3, 1, 1) for values in (self.MEAN, self.STD))
            person = self._model((moved - mean) / std)["out"].softmax(1)[:, self.PERSON].cpu().numpy()
        return [_resized(opacity, one.shape[:2]) for opacity, one in zip(person, pictures, strict=True)]


class Nobody(Segmenter):
    """Stands in where a collection is not about people: finds nobody anywhere."""

    name = "none"
    version = "1"

    def see(self, pictures: Sequence[np.ndarray]) -> list[Seen]:
        return [Seen(np.zeros(picture.shape[:2], np.uint8), None) for picture in pictures]


def published_version(name: str, looks: MasksSection) -> str:
    """The `version` of a segmenter with its published weights, known without loading anything."""
    if name == Nobody.name:
        return Nobody.version
    if name != EMBEDDED:
        return DeepLabSegmenter.version_of(name)
    sha256s = {one: weights.WEIGHTS[one].sha256 for one in looks.needed_weights()}
    second = sha256s.pop(salient.WEIGHTS, None)
    return SelfieSegmenter.version_of(list(sha256s.values()), looks.views, second)


def make_segmenter(name: str, weights_folder: Path, looks: MasksSection | None = None) -> Segmenter:
    """The segmenter `name`, its weights fetched into `weights_folder` if they are not there yet.

    Of `looks` count `views` and `second_opinion`; by default those of a project that says nothing. Where the second
    network cannot be had, the selfie segmenter goes on alone: its version says so, and what it doubts stays uncertain.
    Raises `WeightsError` when other weights are missing and cannot be fetched, or any are altered; `ConfigError` for
    another name.
    """
    if name not in SEGMENTERS:
        raise ConfigError(f"[masks] segmenter = {name!r}: there is none of that name; there are {', '.join(SEGMENTERS)}")
    return SEGMENTERS[name](weights_folder, looks or MasksSection())


def _selfie(weights_folder: Path, looks: MasksSection) -> Segmenter:
    needed = looks.needed_weights()
    paths = {name: weights.ensure(name, weights_folder) for name in needed if name != salient.WEIGHTS}
    second = _second(weights_folder) if salient.WEIGHTS in needed else None
    files = SelfieWeights(paths[EMBEDDED], paths.get(LANDSCAPE), second)
    return SelfieSegmenter(files, looks.views, looks.second_opinion)


def _second(weights_folder: Path) -> Path | None:
    try:
        return weights.ensure(salient.WEIGHTS, weights_folder)
    except WeightsError as error:
        if weights.status(salient.WEIGHTS, weights_folder).state == "altered":
            raise
        log.warning("no second opinion about masks: %s; what is doubtful stays uncertain", error)
        return None


def _deeplab(name: str) -> Callable[[Path, MasksSection], Segmenter]:
    return lambda weights_folder, looks: DeepLabSegmenter(name, weights_folder)


LANDSCAPE = "selfie_landscape"
"""Name of the weights of the network for landscapes."""
SEGMENTERS: dict[str, Callable[[Path, MasksSection], Segmenter]] = {
    EMBEDDED: _selfie,
    "deeplabv3_resnet101": _deeplab("deeplabv3_resnet101"),
    "deeplabv3_mobilenet": _deeplab("deeplabv3_mobilenet"),
    Nobody.name: lambda weights_folder, looks: Nobody(),
}
"""How each segmenter is made, by its name in the project file."""


def _resized(opacity: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """float32 [height, width] in [0, 1] as 8 bits of another shape."""
    size = shape[1], shape[0]
    return levels(np.asarray(Image.fromarray(opacity).resize(size, Image.Resampling.BILINEAR)))


def _load(name: str, path: Path) -> dict[str, "torch.Tensor"]:
    return segmentation_state(name, path, '[masks] segmenter = "selfie"')

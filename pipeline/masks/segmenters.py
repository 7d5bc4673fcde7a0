"""The segmenters that a project file can name, and those of torchvision."""

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from pipeline import weights
from pipeline.config import MasksSection
from pipeline.errors import ConfigError, WeightsError
from pipeline.masks import salient
from pipeline.masks.segmenter import Seen, Segmenter, levels
from pipeline.masks.selfie import EMBEDDED, SelfieSegmenter, SelfieWeights
from pipeline.plain_files import open_plain

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

DEEPLAB_FILES = {
    "deeplabv3_resnet101": "deeplabv3_resnet101_coco-586e9e4e.pth",
    "deeplabv3_mobilenet": "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
}
"""torchvision's files of weights (COCO with the labels of VOC), each with the beginning of its SHA-256 in its name."""


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
        state = (load or _load_deeplab)(name, weights_folder / DEEPLAB_FILES[name])
        self._model = deeplab_network(name)
        self._model.load_state_dict(state)
        self._model.eval().to(self._device)
        self._one_at_a_time = threading.Lock()

    @classmethod
    def version_of(cls, name: str) -> str:
        """The version that the published weights give."""
        return f"{_hash_in_name(DEEPLAB_FILES[name])}-{cls.PROCESSING}"

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


def deeplab_network(name: str) -> "torch.nn.Module":
    """The network of that name without weights."""
    from torchvision.models import segmentation

    make = {
        "deeplabv3_resnet101": segmentation.deeplabv3_resnet101,
        "deeplabv3_mobilenet": segmentation.deeplabv3_mobilenet_v3_large,
    }[name]
    return make(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)


def published_version(name: str, looks: MasksSection) -> str:
    """The `version` of a segmenter with its published weights, known without loading anything."""
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
}
"""How each segmenter is made, by its name in the project file."""


def _resized(opacity: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """float32 [height, width] in [0, 1] as 8 bits of another shape."""
    size = shape[1], shape[0]
    return levels(np.asarray(Image.fromarray(opacity).resize(size, Image.Resampling.BILINEAR)))


def _load_deeplab(name: str, path: Path) -> dict[str, "torch.Tensor"]:
    """torchvision's weights from `path`, fetched there by its own loader. Raises `WeightsError`."""
    from torchvision.models import segmentation

    published = {
        "deeplabv3_resnet101": segmentation.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
        "deeplabv3_mobilenet": segmentation.DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
    }[name]
    if not published.url.endswith(path.name):
        raise WeightsError(f"this torchvision publishes {published.url}, not {path.name}; pin another version of it")
    if path.exists():
        _refuse_altered(path)
    else:
        log.info("fetching %s (once)", path.name)
    try:
        state = published.get_state_dict(
            progress=False, check_hash=True, model_dir=str(path.parent), map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{path}: missing, and torchvision could not fetch it ({error}); connect to the internet and run again, put "
            f'{published.url} there by hand, or set [masks] segmenter = "selfie"'
        ) from error
    return cast("dict[str, torch.Tensor]", state)


def _refuse_altered(path: Path) -> None:
    with open_plain(path) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(_hash_in_name(path.name)):
        raise WeightsError(
            f"{path}: these weights are altered: their SHA-256 is {found}, it should begin with "
            f"{_hash_in_name(path.name)}; delete the file and run again, which fetches it anew"
        )


def _hash_in_name(file_name: str) -> str:
    """The beginning of the SHA-256 that torchvision puts into its file names."""
    match = re.search(r"-([0-9a-f]{8,})\.", file_name)
    if match is None:
        raise WeightsError(f"{file_name}: this torchvision names its weights without their hash; pin an older one")
    return match.group(1)

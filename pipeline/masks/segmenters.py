"""Segmenters: the alpha of the people in a picture.

One small interface; `name` and `version` together tell whether a mask made earlier is still the right one.
"""

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from PIL import Image

from pipeline import weights
from pipeline.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


EMBEDDED = "selfie"
"""The segmenter whose weights come with a package."""


class Segmenter(Protocol):
    """Finds people. May be used by several threads at once."""

    @property
    def name(self) -> str:
        """The name in the project file."""
        ...

    @property
    def version(self) -> str:
        """Changes with the weights and with every parameter that changes an alpha; usable in file names."""
        ...

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Opacity of the people in each picture.

        Pictures are uint8 [height, width, 3] in sRGB, of any sizes; results uint8 [height, width] of the same
        sizes, 0 for background, 255 for a person.
        """
        ...


class SelfieSegmenter:
    """MediaPipe's selfie segmentation, general model, on the CPU: about 3 ms for each view of a picture on one core.

    The model sees 256×256 pixels (the picture is squeezed into the square, as its authors do) and returns the
    opacity of the foreground people. It takes blurred lights and soft backgrounds for people now and then, differently
    in each view, so the mean of several views is better than one: 1 the picture; 2 it and its mirror image; 4 both,
    and both again with the highlights clipped to white, which takes the blurred lights their shape.
    Deterministic on one processor family: one thread for each interpreter. Weak on lying bodies and helmets.
    """

    name = EMBEDDED
    INPUT_PX = 256
    HIGHLIGHTS = 0.7
    """What is brighter becomes white in the views with clipped highlights."""
    PROCESSING = 2
    """Raised whenever what happens around the model changes."""

    def __init__(self, weights_path: Path, views: int = 4) -> None:
        if views not in (1, 2, 4):
            raise ConfigError(f"[masks] views = {views}: the selfie segmenter takes 1, 2 or 4")
        self._model = weights_path.read_bytes()
        self._views = views
        self.version = self.version_of(hashlib.sha256(self._model).hexdigest(), views)
        self._of_thread = threading.local()

    @classmethod
    def version_of(cls, weights_sha256: str, views: int) -> str:
        """The version that such weights give."""
        return f"{weights_sha256[:12]}-{cls.PROCESSING}.{views}"

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._alpha(Image.fromarray(picture)) for picture in pictures]

    def _alpha(self, picture: Image.Image) -> np.ndarray:
        small = picture.resize((self.INPUT_PX, self.INPUT_PX), Image.Resampling.BILINEAR)
        square = np.asarray(small, np.float32) / 255
        opacity = self._opacity(square)
        if self._views > 1:
            opacity = opacity + self._mirrored(square)
        if self._views > 2:
            clipped = np.minimum(square, self.HIGHLIGHTS) / self.HIGHLIGHTS
            opacity = opacity + self._opacity(clipped) + self._mirrored(clipped)
        mean = Image.fromarray(opacity / self._views)
        return _levels(np.asarray(mean.resize(picture.size, Image.Resampling.BILINEAR)))

    def _mirrored(self, square: np.ndarray) -> np.ndarray:
        return self._opacity(np.ascontiguousarray(square[:, ::-1]))[:, ::-1]

    def _opacity(self, square: np.ndarray) -> np.ndarray:
        """float32 [256, 256, 3] in [0, 1] to float32 [256, 256] in [0, 1]."""
        interpreter = self._interpreter()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], square[None])
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, :, :, 0]

    def _interpreter(self) -> Any:  # noqa: ANN401  (the package carries no types)
        """This thread's own interpreter: one cannot be shared."""
        if not hasattr(self._of_thread, "interpreter"):
            from ai_edge_litert.interpreter import Interpreter

            interpreter = Interpreter(model_content=self._model, num_threads=1)
            interpreter.allocate_tensors()
            self._of_thread.interpreter = interpreter
        return self._of_thread.interpreter


DEEPLAB_FILES = {
    "deeplabv3_resnet101": "deeplabv3_resnet101_coco-586e9e4e.pth",
    "deeplabv3_mobilenet": "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
}
"""torchvision's files of weights (COCO with the labels of VOC), each with the beginning of its SHA-256 in its name."""


class DeepLabSegmenter:
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

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        by_shape: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(pictures):
            by_shape.setdefault(self._shape(picture), []).append(index)
        alphas: dict[int, np.ndarray] = {}
        for shape, indices in by_shape.items():
            alphas |= zip(indices, self._alphas([pictures[index] for index in indices], shape), strict=True)
        return [alphas[index] for index in range(len(pictures))]

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


def published_version(name: str, views: int) -> str:
    """The `version` of a segmenter with its published weights, known without loading anything."""
    if name == SelfieSegmenter.name:
        return SelfieSegmenter.version_of(weights.WEIGHTS[name].sha256, views)
    return DeepLabSegmenter.version_of(name)


def make_segmenter(name: str, weights_folder: Path, views: int = 4) -> Segmenter:
    """The segmenter `name`, its weights fetched into `weights_folder` if they are not there yet.

    `views` is how many copies of a picture the selfie segmenter looks at. Raises `WeightsError` when the weights are
    altered, or missing and cannot be fetched; `ConfigError` for another name.
    """
    if name not in SEGMENTERS:
        raise ConfigError(f"[masks] segmenter = {name!r}: there is none of that name; there are {', '.join(SEGMENTERS)}")
    return SEGMENTERS[name](weights_folder, views)


def _selfie(weights_folder: Path, views: int) -> Segmenter:
    return SelfieSegmenter(weights.ensure("selfie", weights_folder), views)


def _deeplab(name: str) -> Callable[[Path, int], Segmenter]:
    return lambda weights_folder, views: DeepLabSegmenter(name, weights_folder)


SEGMENTERS: dict[str, Callable[[Path, int], Segmenter]] = {
    "selfie": _selfie,
    "deeplabv3_resnet101": _deeplab("deeplabv3_resnet101"),
    "deeplabv3_mobilenet": _deeplab("deeplabv3_mobilenet"),
}
"""How each segmenter is made, by its name in the project file."""


def _resized(opacity: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """float32 [height, width] in [0, 1] as 8 bits of another shape."""
    size = shape[1], shape[0]
    return _levels(np.asarray(Image.fromarray(opacity).resize(size, Image.Resampling.BILINEAR)))


def _levels(opacity: np.ndarray) -> np.ndarray:
    """Opacity in [0, 1] as 8 bits, rounded."""
    return (opacity.clip(0, 1) * 255 + 0.5).astype(np.uint8)


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
    with path.open("rb") as file:
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

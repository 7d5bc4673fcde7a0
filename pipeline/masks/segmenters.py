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
    """MediaPipe's selfie segmentation, general model, on the CPU: about 3 ms a picture on one core.

    The model sees 256×256 pixels (the picture is squeezed into the square, as its authors do) and returns the
    opacity of the foreground people. Deterministic on one processor family: one thread for each interpreter.
    Weak on lying bodies and helmets.
    """

    name = "selfie"
    INPUT_PX = 256
    PROCESSING = 1
    """Raised whenever what happens around the model changes."""

    def __init__(self, weights_path: Path) -> None:
        self._model = weights_path.read_bytes()
        self.version = f"{hashlib.sha256(self._model).hexdigest()[:12]}-{self.PROCESSING}"
        self._of_thread = threading.local()

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._alpha(Image.fromarray(picture)) for picture in pictures]

    def _alpha(self, picture: Image.Image) -> np.ndarray:
        square = picture.resize((self.INPUT_PX, self.INPUT_PX), Image.Resampling.BILINEAR)
        opacity = Image.fromarray(self._opacity(np.asarray(square, np.float32) / 255))
        return _levels(np.asarray(opacity.resize(picture.size, Image.Resampling.BILINEAR)))

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


class DeepLabSegmenter:
    """DeepLabV3 with ResNet-101 (Chen et al. 2017, arXiv:1706.05587), torchvision's weights; on the GPU if any.

    The study used this family. Alpha is the softmax probability of the class person, computed at a short side of
    520 pixels. `load` fetches and reads the weights; by default torchvision's own loader does.
    """

    name = "deeplabv3_resnet101"
    PERSON = 15
    PROCESSING = 1

    def __init__(self, weights_folder: Path, load: Callable[[Path], dict[str, "torch.Tensor"]] | None = None) -> None:
        import torch
        from torchvision.models.segmentation import DeepLabV3_ResNet101_Weights, deeplabv3_resnet101

        published = DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1
        file_name = published.url.rsplit("/", 1)[-1]
        state = (load or _load_deeplab)(weights_folder / file_name)
        self.version = f"{_hash_in_name(file_name)}-{self.PROCESSING}"
        self._prepare = published.transforms()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
        self._model.load_state_dict(state)
        self._model.eval().to(self._device)
        self._one_at_a_time = threading.Lock()

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(pictures):
            by_shape.setdefault(picture.shape, []).append(index)
        alphas: dict[int, np.ndarray] = {}
        for indices in by_shape.values():
            alphas |= zip(indices, self._alpha(np.stack([pictures[index] for index in indices])), strict=True)
        return [alphas[index] for index in range(len(pictures))]

    def _alpha(self, batch: np.ndarray) -> np.ndarray:
        """uint8 [batch, height, width, 3] to uint8 [batch, height, width]."""
        import torch

        with torch.inference_mode(), self._one_at_a_time:
            scaled = self._prepare(torch.tensor(batch).permute(0, 3, 1, 2))
            scores = self._model(scaled.to(self._device))["out"]
            person = scores.softmax(1)[:, self.PERSON, None]
            full = torch.nn.functional.interpolate(person, batch.shape[1:3], mode="bilinear", align_corners=False)
            return _levels(full[:, 0].cpu().numpy())


def make_segmenter(name: str, weights_folder: Path) -> Segmenter:
    """The segmenter `name`, its weights fetched into `weights_folder` if they are not there yet.

    Raises `WeightsError` when they are altered, or missing and cannot be fetched; `ConfigError` for another name.
    """
    if name not in SEGMENTERS:
        raise ConfigError(f"[masks] segmenter = {name!r}: there is none of that name; there are {', '.join(SEGMENTERS)}")
    return SEGMENTERS[name](weights_folder)


def _selfie(weights_folder: Path) -> Segmenter:
    return SelfieSegmenter(weights.ensure("selfie", weights_folder))


SEGMENTERS: dict[str, Callable[[Path], Segmenter]] = {
    "selfie": _selfie,
    "deeplabv3_resnet101": DeepLabSegmenter,
}
"""How each segmenter is made, by its name in the project file."""


def _levels(opacity: np.ndarray) -> np.ndarray:
    """Opacity in [0, 1] as 8 bits, rounded."""
    return (opacity.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _load_deeplab(path: Path) -> dict[str, "torch.Tensor"]:
    """torchvision's weights from `path`, fetched there by its own loader. Raises `WeightsError`."""
    from torchvision.models.segmentation import DeepLabV3_ResNet101_Weights

    published = DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1
    if path.exists():
        _refuse_altered(path)
    else:
        log.info("fetching %s (about 240 MB, once)", path.name)
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

"""The embedded segmenter: small networks that see several views of a picture, and a slower one where they disagree.

Settings were chosen on photographs; `benchmarks/mask_photographs.py` measures each step on others.
"""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from pipeline.arrays import Photo, check_array
from pipeline.errors import ConfigError
from pipeline.masks.salient import SalientObjects
from pipeline.masks.segmenter import Seen, Segmenter, levels
from pipeline.plain_files import read_plain

EMBEDDED = "selfie"
"""The segmenter whose weights come with a package."""
SIDE_PX = 256
"""Side of the square in which opinions are compared."""
LANDSCAPE_PX = 256, 144
"""Width and height of what the landscape network sees."""
ASK_ABOVE = 0.15
"""Doubt from which on the second network is asked; a lower value costs time and gains nothing measurable."""
TURNED_GAIN = 0.2
"""A view of the turned picture counts only if its IoU with the second network's is higher by this much."""
ALONE_CURVE, ASKED_CURVE = (-3.1, 12.5), (-1.9, 3.5)
"""Intercept and slope of the logistic curves from disagreement to uncertainty: views alone, and after asking."""

ALONE = "alone"
"""In a version: the second network could not be had."""


@dataclass(frozen=True)
class SelfieWeights:
    """Files of weights; `second` is None where nobody is asked."""

    general: Path
    landscape: Path | None = None
    second: Path | None = None


class SelfieSegmenter(Segmenter):
    """MediaPipe's selfie segmentation on the CPU, a few milliseconds for each view, and U²-Netp where views disagree.

    `views`: 1 the picture, squeezed into the network's square; 2 it and its mirror image; 4 both, and both by the
    network for landscapes. What the views disagree about is doubt; above `ASK_ABOVE` the second network looks (about
    a third of a second) and the mean of both counts. A person who lies is seen better in a turned picture: where one
    agrees much better with the second network, it speaks instead of the upright ones.
    Deterministic on one processor family: one thread for each network.
    """

    name = EMBEDDED
    PROCESSING: ClassVar[dict[int, int]] = {1: 2, 2: 2, 4: 3}
    """Raised, for each number of views, whenever what happens around the networks changes."""

    def __init__(self, weights: SelfieWeights, views: int = 4, second_opinion: bool = True) -> None:
        if views not in self.PROCESSING:
            raise ConfigError(f"[masks] views = {views}: the selfie segmenter takes 1, 2 or 4")
        if views == 4 and weights.landscape is None:
            raise ConfigError("four views need the weights of the landscape network")
        self._general = _PerThread(read_plain(weights.general))
        self._landscape = _PerThread(read_plain(weights.landscape)) if views == 4 and weights.landscape else None
        self._second = SalientObjects(weights.second) if second_opinion and weights.second and views > 1 else None
        self._views = views
        used = [self._general.sha256] + ([self._landscape.sha256] if self._landscape else [])
        second = (self._second.sha256 if self._second else ALONE) if second_opinion and views > 1 else None
        self.version = self.version_of(used, views, second)

    @classmethod
    def version_of(cls, sha256s: Sequence[str], views: int, second: str | None) -> str:
        """The version that such weights give; `second` is the second network's digest, `ALONE`, or None: not wanted."""
        used = "-".join(sha256[:12] for sha256 in sha256s)
        asked = f"-{second[:12]}" if second else ""
        return f"{used}-{cls.PROCESSING[views]}.{views}{asked}"

    def see(self, pictures: Sequence[np.ndarray]) -> list[Seen]:
        return [self._see(picture) for picture in pictures]

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """By the views alone: nobody else is asked."""
        return [self._alone(picture) for picture in pictures]

    def _alone(self, picture: np.ndarray) -> np.ndarray:
        views = self._opinions(picture, _scaled(picture, (SIDE_PX, SIDE_PX)))
        return _enlarged(_mean(views), picture)

    def _see(self, picture: np.ndarray) -> Seen:
        square = _scaled(picture, (SIDE_PX, SIDE_PX))
        views = self._opinions(picture, square)
        mean = _mean(views)
        if self._views == 1:
            return Seen(_enlarged(mean, picture), None)
        doubt = max(disagreement(view, mean) for view in views)
        if self._second is None or doubt <= ASK_ABOVE:
            return Seen(_enlarged(mean, picture), _curve(ALONE_CURVE, doubt))
        other = self._second.opacity(Image.fromarray(picture))
        own = self._nearest(mean, square, other)
        return Seen(_enlarged((own + other) / 2, picture), _curve(ASKED_CURVE, disagreement(own, other)), asked=True)

    def _opinions(self, picture: np.ndarray, square: np.ndarray) -> list[np.ndarray]:
        """Every view's opacity, float32 [256, 256] in [0, 1], in the picture's own orientation."""
        check_array("a picture", picture, Photo)
        views = [self._general.opacity(square)]
        if self._views > 1:
            views.append(_mirrored(self._general.opacity(_mirrored(square))))
        if self._landscape is not None:
            wide = _scaled(picture, LANDSCAPE_PX)
            views += [
                _squared(self._landscape.opacity(wide)),
                _squared(_mirrored(self._landscape.opacity(_mirrored(wide)))),
            ]
        return views

    def _nearest(self, upright: np.ndarray, square: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The upright views' opinion, or that of a turned one which is much more like the second network's."""
        best, most = upright, disagreement(upright, other) - TURNED_GAIN
        for quarters in (1, 3):
            seen = self._general.opacity(np.ascontiguousarray(np.rot90(square, quarters)))
            turned = np.rot90(seen, -quarters)
            if (apart := disagreement(turned, other)) < most:
                best, most = turned, apart
        return best


def disagreement(one: np.ndarray, other: np.ndarray) -> float:
    """1 − IoU of two opacities at one half, in [0, 1]; 0 where both are empty."""
    first, second = one >= 0.5, other >= 0.5
    union = np.count_nonzero(first | second)
    return 1 - np.count_nonzero(first & second) / union if union else 0.0


def _mean(views: Sequence[np.ndarray]) -> np.ndarray:
    return views[0] if len(views) == 1 else np.asarray(np.mean(views, axis=0, dtype=np.float32))


class _PerThread:
    """A network of the selfie family with an interpreter for each thread: one cannot be shared."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        self.sha256 = hashlib.sha256(model).hexdigest()
        self._of_thread = threading.local()

    def opacity(self, rgb: np.ndarray) -> np.ndarray:
        """float32 [height, width, 3] in [0, 1], of the network's size, to float32 [height, width] in [0, 1]."""
        interpreter = self._interpreter()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rgb[None])
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, :, :, 0]

    def _interpreter(self) -> Any:  # noqa: ANN401  (the package carries no types)
        if not hasattr(self._of_thread, "interpreter"):
            from ai_edge_litert.interpreter import Interpreter

            interpreter = Interpreter(model_content=self._model, num_threads=1)
            interpreter.allocate_tensors()
            self._of_thread.interpreter = interpreter
        return self._of_thread.interpreter


def _scaled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """From uint8 [height, width, 3] to float32 likewise, in [0, 1]."""
    from pipeline.resampling import resize

    return np.divide(resize(picture, size, Image.Resampling.BILINEAR), np.float32(255), dtype=np.float32)


def _mirrored(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values[:, ::-1])


def _squared(opacity: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(opacity).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))


def _enlarged(opacity: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """uint8 [height, width], as a picture's, from float32 [256, 256]."""
    size = picture.shape[1], picture.shape[0]
    return levels(np.asarray(Image.fromarray(opacity).resize(size, Image.Resampling.BILINEAR)))


def _curve(curve: tuple[float, float], apart: float) -> float:
    """Chance that the alpha's IoU with the truth is below .85."""
    return float(1 / (1 + np.exp(-(curve[0] + curve[1] * apart))))

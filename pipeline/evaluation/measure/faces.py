"""Whether the person's face is still found in a translation: YuNet, by OpenCV.

Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector" (2023). What is looked for is the largest face of the
input; it is kept where the output shows a face at the same place.
"""

import logging
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.evaluation.measure.instruments import FACES_WEIGHTS

Boxes = Float32[np.ndarray, "count 4"]
"""Left, top, width and height in pixels."""

WORK_PX = 320
"""Smaller pictures are enlarged to this side, since YuNet finds faces from some 10 px on."""
MIN_SCORE = 0.6
KEPT_IOU = 0.5
"""Overlap from which on two boxes are the same face."""
MAX_OVERLAP, MOST_BOXES = 0.3, 50

log = logging.getLogger(__name__)


class FaceFinder:
    """Finds faces in square pictures. `version` changes with all that changes a box."""

    version = f"{weights.WEIGHTS[FACES_WEIGHTS].sha256[:12]}-{WORK_PX}-{MIN_SCORE}"

    def __init__(self, model: Path) -> None:
        before = cv2.utils.logging.getLogLevel()
        # It warns that its engine ignores the device that it was not asked to choose.
        cv2.utils.logging.setLogLevel(0)
        try:
            size = (WORK_PX, WORK_PX)
            self._detector = cv2.FaceDetectorYN.create(str(model), "", size, MIN_SCORE, MAX_OVERLAP, MOST_BOXES)
        finally:
            cv2.utils.logging.setLogLevel(before)

    def boxes(self, picture: UInt8[np.ndarray, "height width 3"]) -> Boxes:
        """All faces of an sRGB picture, the largest first."""
        scale = max(1.0, WORK_PX / min(picture.shape[:2]))
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        enlarged = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) if scale > 1 else picture
        self._detector.setInputSize(size)
        _, found = self._detector.detect(np.ascontiguousarray(enlarged[..., ::-1]))
        if found is None:
            return np.empty((0, 4), np.float32)
        boxes = found[:, :4] / np.float32(scale)
        return boxes[np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")]

    def main_faces(self, pictures: UInt8[np.ndarray, "count height width 3"]) -> Boxes:
        """The largest face of each picture, NaN where there is none."""
        nothing = np.full(4, np.nan, np.float32)
        found = [self.boxes(picture) for picture in pictures]
        return np.stack([boxes[0] if len(boxes) else nothing for boxes in found]) if found else np.empty((0, 4), np.float32)

    def kept(self, outputs: UInt8[np.ndarray, "count height width 3"], before: Boxes) -> Float64[np.ndarray, " count"]:
        """1 where an output shows the face that its input has, 0 where not, NaN where the input has none."""
        scores = np.full(len(outputs), np.nan)
        for index in np.flatnonzero(np.isfinite(before).all(axis=1)):
            scores[index] = float((iou(self.boxes(outputs[index]), before[index]) >= KEPT_IOU).any())
        return scores


def load_face_finder(weights_folder: Path) -> FaceFinder | None:
    """The finder, its weights fetched into the folder once; None, with a warning, where they cannot be had."""
    try:
        return FaceFinder(weights.ensure(FACES_WEIGHTS, weights_folder))
    except WeightsError as error:
        log.warning("whether faces are kept is not measured: %s", error)
        return None


def iou(boxes: Boxes, other: Float32[np.ndarray, "4"]) -> np.ndarray:
    """Intersection over union of each box with another one, 0 to 1.

    >>> iou(np.array([[0, 0, 2, 2], [5, 5, 1, 1]], np.float32), np.array([1, 0, 2, 2], np.float32)).round(3).tolist()
    [0.333, 0.0]
    """
    low = np.maximum(boxes[:, :2], other[:2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], other[:2] + other[2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    return shared / (boxes[:, 2:].prod(axis=1) + other[2:].prod() - shared)

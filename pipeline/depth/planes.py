"""Which plane of a photo should be sharp: told by a point of it, by a distance, or by its subject."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from pipeline.depth.refocus import disparity_at
from pipeline.depth.units import DepthError, Disparity
from pipeline.errors import ConfigError

FindAlpha = Callable[[], UInt8[np.ndarray, "height width"]]
"""The alpha of a photo's subject at the photo's size."""
SUBJECT_ALPHA = 128
LEAST_SUBJECT = 1e-3
"""Share of the photo that a subject has at least."""


@dataclass(frozen=True)
class Point:
    """What is seen at a point of the upright photo, in its pixels, from the left and from the top."""

    x_px: float
    y_px: float

    @classmethod
    def parse(cls, text: str) -> "Point":
        """As a person writes it: X,Y. Raises ConfigError."""
        try:
            x_px, y_px = (float(part) for part in text.split(","))
        except ValueError:
            told = "write pixels from the left and from the top, as in 640,480"
            raise ConfigError(f"{text!r} is no point of a photo; {told}") from None
        return cls(x_px, y_px)

    def disparity(self, disparity: Disparity, is_metric: bool, find_alpha: FindAlpha) -> float:
        """Of the plane. Raises DepthError outside the photo."""
        return disparity_at(disparity, self.x_px, self.y_px)


@dataclass(frozen=True)
class Distance:
    """So many metres from the camera."""

    metres: float

    def disparity(self, disparity: Disparity, is_metric: bool, find_alpha: FindAlpha) -> float:
        """Of the plane. Raises DepthError where a map knows no metres."""
        if not is_metric:
            raise DepthError("the depth map is relative, and knows no metres: choose the plane by a point or by the subject")
        if not (math.isfinite(self.metres) and self.metres > 0):
            raise ConfigError(f"{self.metres:g} m is no distance")
        return 1 / self.metres


@dataclass(frozen=True)
class SubjectPlane:
    """The person that the photo is of."""

    def disparity(self, disparity: Disparity, is_metric: bool, find_alpha: FindAlpha) -> float:
        """The subject's median. Raises DepthError where nobody is found, and where a map is upside down."""
        is_subject = find_alpha() >= SUBJECT_ALPHA
        if is_subject.mean() < LEAST_SUBJECT:
            raise DepthError("no person was found in the photo: choose the plane by a point or by a distance")
        found = float(np.median(disparity[is_subject]))
        if not is_subject.all() and found < float(np.median(disparity[~is_subject])):
            remedy = "is it inverted? In m and mm numbers grow with distance, in dioptre and disparity they fall"
            raise DepthError(
                f"by the map the subject is farther away than the rest: {remedy}. If it is right, choose a point"
            )
        return found


Plane = Point | Distance | SubjectPlane

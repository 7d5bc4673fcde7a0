"""What the numbers of a depth map mean: nothing is guessed, since every guess is right for some data set.

One file of 16 bits holds millimetres, another 5000 steps to the metre, a third disparity; maps of 8 bits were mostly
stretched for looking at. Inside, depth is disparity: 1/m (dioptres), in which blur is linear, 0 where it is unknown.
"""

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.errors import BokehflowError, ConfigError
from pipeline.picture_layers import DEPTH_UNIT_FORM, DEPTH_UNIT_WORDS

Disparity = Float32[np.ndarray, "height width"]
"""1/m where it is metric, else in units of its own; larger is nearer; 0 is unknown."""

PLAUSIBLE_M = (0.05, 500.0)
"""Of the median of a map: outside, another unit was meant."""


class DepthError(BokehflowError):
    """A depth map cannot be used; the message says why."""


class Quantity(Enum):
    """What is measured."""

    METRES = "m"
    MILLIMETRES = "mm"
    DIOPTRES = "dioptre"
    RELATIVE_DISPARITY = "disparity"


@dataclass(frozen=True)
class DepthUnit:
    """A quantity, and how many steps of the stored number make one of it.

    >>> DepthUnit.parse("m/5000")
    DepthUnit(quantity=<Quantity.METRES: 'm'>, steps=5000.0)
    """

    quantity: Quantity
    steps: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "DepthUnit":
        """As a person writes it. Raises ConfigError."""
        found = re.fullmatch(DEPTH_UNIT_FORM, text.strip())
        steps = float(found[2] or 1) if found else 0.0
        if not found or steps <= 0:
            raise ConfigError(f"{text!r} is no unit of depth; write {DEPTH_UNIT_WORDS}")
        return cls(Quantity(found[1]), steps)

    @property
    def is_metric(self) -> bool:
        """Whether distances are known, and not only their order."""
        return self.quantity is not Quantity.RELATIVE_DISPARITY

    def disparity(self, stored: NDArray[np.generic]) -> Disparity:
        """Stored numbers as disparity. What is not positive, or no number, is unknown."""
        values = np.asarray(stored, np.float64) / self.steps
        known = np.isfinite(values) & (values > 0)
        scale = {Quantity.METRES: 1.0, Quantity.MILLIMETRES: 1000.0}.get(self.quantity)
        with np.errstate(divide="ignore", over="ignore"):
            found = values if scale is None else scale / np.where(known, values, 1.0)
        return np.where(known, found, 0.0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth of one picture, at its own size.

    `disparity` float32 [height, width], 0 where unknown. `is_metric`: in 1/m; else its scale and shift are unknown.
    """

    disparity: Disparity
    is_metric: bool

    @property
    def known(self) -> NDArray[np.bool_]:
        """Pixels whose depth is known."""
        return self.disparity > 0

    def check(self, name: str) -> None:
        """Raises DepthError where nothing is known, or where the distances are those of another unit."""
        if not self.known.any():
            raise DepthError(f"{name}: no pixel has a depth; 0, NaN and infinity mean unknown")
        if self.is_metric and not PLAUSIBLE_M[0] <= self.range_m()[1] <= PLAUSIBLE_M[1]:
            remedy = "correct the unit of depth: most likely millimetres, metres or their steps were mistaken"
            raise DepthError(f"{name}: {self.summary()}, which no portrait has; {remedy}")

    def range_m(self) -> tuple[float, float, float]:
        """Least, median and greatest distance in metres; of a metric map in which something is known."""
        near, median, far = np.quantile(self.disparity[self.known], [1, 0.5, 0])
        return float(1 / near), float(1 / median), float(1 / far)

    def summary(self) -> str:
        """For a person: what is known, and how far away it is."""
        share = f"{self.known.mean():.0%} known"
        if not self.is_metric:
            return f"relative depth, {share}"
        least, median, most = self.range_m()
        return f"{least:.3g} to {most:.3g} m, median {median:.3g} m, {share}"

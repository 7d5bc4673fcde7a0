"""Pairs of photos from a tripod are shifted and differ in exposure, which counts against every method alike.

The shift is found on the sharp photo and its target, not on what a method made, so that it is the same for all methods:
phase correlation [1] gives a first guess, the enhanced correlation coefficient [2] refines it. Neither minds another
exposure. The exposure is a factor for each channel in linear light, where blur keeps the mean.

[1] C. D. Kuglin and D. C. Hines, "The phase correlation image alignment method", 1975.
[2] G. D. Evangelidis and E. Z. Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization",
    IEEE Transactions on Pattern Analysis and Machine Intelligence 30, 2008.
"""

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np

MAX_SHIFT = 0.05
"""Of the shorter side; a larger one is taken for a failure."""
MAX_GAIN = 4.0
LEAST_SIDE_PX = 32
SMOOTHING_PX = 1.5
"""Noise and discs' sharp zeros at high frequencies are taken out before phases are compared."""
ECC_STEPS, ECC_CHANGE, ECC_FILTER_PX = 50, 1e-5, 5
STILL_PX, CUBIC_PX = 1e-3, 2
"""What is moved less is not moved at all; so many pixels around are needed by cubic interpolation."""
CLIPPED = 250 / 255
"""Above it a pixel says nothing about exposure."""


@dataclass(frozen=True)
class Alignment:
    """How a target lies to its source: what is at (x, y) of the source is at (x + `x_px`, y + `y_px`) of the target, and
    the target's linear light times `gains` (red, green, blue) is the source's."""

    x_px: float
    y_px: float
    gains: tuple[float, float, float]

    @property
    def margin_px(self) -> tuple[int, int]:
        """Rows and columns at each side for which the moved target has nothing, or not all that interpolation needs."""
        rows, columns = (
            ceil(abs(shift_px) + CUBIC_PX) if abs(shift_px) > STILL_PX else 0 for shift_px in (self.y_px, self.x_px)
        )
        return rows, columns

    def cropped(self, picture: np.ndarray) -> np.ndarray:
        """A picture [height, width, …] in the source's place without the margin."""
        rows, columns = self.margin_px
        return picture[rows : picture.shape[0] - rows, columns : picture.shape[1] - columns]

    def moved(self, target: np.ndarray) -> np.ndarray:
        """The target, uint8 [height, width, 3], as the source lies and is exposed, without margin; float64 in [0, 1]."""
        exposed = np.clip(_linear(target / 255.0) * np.asarray(self.gains), 0, 1)
        return self.cropped(np.clip(_srgb(_shifted(exposed, self.x_px, self.y_px)), 0, 1))


def align(source: np.ndarray, target: np.ndarray) -> Alignment | None:
    """How `target` lies to `source`, both uint8 [height, width, 3]; None where that cannot be told.

    That is so for pictures without content, below `LEAST_SIDE_PX`, and for what would have to be moved by more than
    `MAX_SHIFT` or brightened or darkened more than `MAX_GAIN` times.
    """
    if min(source.shape[:2]) < LEAST_SIDE_PX:
        return None
    grey = [_grey(picture) for picture in (source, target)]
    if min(float(picture.std()) for picture in grey) < 1 / 255:
        return None
    x_px, y_px = _shift(*grey)
    if max(abs(x_px), abs(y_px)) > MAX_SHIFT * min(source.shape[:2]):
        return None
    gains = _gains(source, target, x_px, y_px)
    if gains is None or not all(1 / MAX_GAIN <= gain <= MAX_GAIN for gain in gains):
        return None
    return Alignment(x_px, y_px, gains)


def _shift(source: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    smooth = [cv2.GaussianBlur(picture, (0, 0), SMOOTHING_PX) for picture in (source, target)]
    window = cv2.createHanningWindow((source.shape[1], source.shape[0]), cv2.CV_32F)
    (x_px, y_px), _ = cv2.phaseCorrelate(smooth[0], smooth[1], window)
    guess = np.array([[1, 0, x_px], [0, 1, y_px]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_STEPS, ECC_CHANGE)
    try:
        _, found = cv2.findTransformECC(source, target, guess, cv2.MOTION_TRANSLATION, stop, None, ECC_FILTER_PX)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except cv2.error:  # it does not converge
        return float(x_px), float(y_px)
    return float(found[0, 2]), float(found[1, 2])


def _gains(source: np.ndarray, target: np.ndarray, x_px: float, y_px: float) -> tuple[float, float, float] | None:
    there = Alignment(x_px, y_px, (1.0, 1.0, 1.0))
    one = there.cropped(source / 255.0)
    other = there.cropped(_srgb(_shifted(_linear(target / 255.0), x_px, y_px)))
    usable = (one < CLIPPED).all(2) & (other < CLIPPED).all(2)
    if not usable.any():
        return None
    given, wanted = _linear(other[usable]).mean(0), _linear(one[usable]).mean(0)
    if (given <= 0).any():
        return None
    red, green, blue = (float(gain) for gain in wanted / given)
    return red, green, blue


def _shifted(picture: np.ndarray, x_px: float, y_px: float) -> np.ndarray:
    x_px, y_px = (0.0 if abs(shift_px) <= STILL_PX else shift_px for shift_px in (x_px, y_px))
    if not x_px and not y_px:
        return picture
    matrix = np.array([[1, 0, x_px], [0, 1, y_px]], np.float64)
    size = (picture.shape[1], picture.shape[0])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.clip(cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), 0, None)


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture.mean(2) / 255.0, np.float32)


def _linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)

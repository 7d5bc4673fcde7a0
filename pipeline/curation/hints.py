"""Plain numbers that help a person to decide; they suggest and never decide."""

import numpy as np
from scipy.ndimage import laplace

MONOCHROME_BELOW = 0.015
"""Colourfulness under which a picture is taken for monochrome."""


def sharpness(rgb: np.ndarray) -> float:
    """Mean absolute Laplacian of the grey values in [0, 1], of RGB uint8 `[height, width, 3]`; 0 to 4."""
    return float(np.abs(laplace(_grey(rgb))).mean())


def colourfulness(rgb: np.ndarray) -> float:
    """Mean spread (largest minus smallest channel, in [0, 1]) of RGB uint8 `[height, width, 3]`; 0 is monochrome."""
    return float((rgb.max(axis=2) - rgb.min(axis=2)).mean() / 255)


def suggestion(colourfulness: float) -> tuple[str, str]:
    """A suggested decision and its reason, both empty where there is nothing to say."""
    return ("drop", "edited") if colourfulness < MONOCHROME_BELOW else ("", "")


def _grey(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255

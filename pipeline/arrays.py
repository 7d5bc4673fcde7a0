"""What a function of arrays is handed, held against the type that its signature names.

The type tells the range: integers go from 0 to 255, floats from 0 to 1. One for the other would go through without a word.
"""

from typing import Any

import numpy as np
from jaxtyping import UInt8

Photo = UInt8[np.ndarray, "height width 3"]
"""sRGB, 0 to 255."""

RANGE_TOLERANCE = 1e-3
"""So far outside of 0 to 1 a float may be, as rounding and interpolation leave it."""


def check_array(name: str, value: np.ndarray, kind: Any) -> None:  # noqa: ANN401 (a type of jaxtyping's is none to a checker)
    """Raises ValueError for an array of another type, with other dimensions, or in another range than `kind` names.

    >>> check_array("rgb", np.zeros((2, 2, 3)), Photo)
    Traceback (most recent call last):
    ValueError: rgb is float64 of the shape (2, 2, 3), and must be UInt8[ndarray, 'height width 3']
    """
    if not isinstance(value, kind):
        found = f"{value.dtype} of the shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{name} is {found}, and must be {kind.__name__}")
    if value.dtype.kind == "f" and value.size:
        least, greatest = float(value.min()), float(value.max())
        if least < -RANGE_TOLERANCE or greatest > 1 + RANGE_TOLERANCE:
            raise ValueError(f"{name} reaches from {least:.3g} to {greatest:.3g}, and must be {kind.__name__} from 0 to 1")

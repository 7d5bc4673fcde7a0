"""What a function of arrays is handed, held against the type that its signature names.

The type tells the range: integers go from 0 to 255, floats from 0 to 1. One for the other would go through without a word.
"""

from typing import Any

import numpy as np
from jaxtyping import UInt8

Photo = UInt8[np.ndarray, "height width 3"]
"""sRGB, 0 to 255."""


def check_array(name: str, value: np.ndarray, kind: Any) -> None:  # noqa: ANN401 (a type of jaxtyping's is none to a checker)
    """Raises ValueError for an array of another type, or with other dimensions, than `kind` names.

    >>> check_array("rgb", np.zeros((2, 2, 3)), Photo)
    Traceback (most recent call last):
    ValueError: rgb is float64 of the shape (2, 2, 3), and must be UInt8[ndarray, 'height width 3']
    """
    if not isinstance(value, kind):
        found = f"{value.dtype} of the shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{name} is {found}, and must be {kind.__name__}")

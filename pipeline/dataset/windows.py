"""The inner loop of reading training pictures as floating point numbers, compiled; imported only where it is used."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, fastmath=True)
def scale_rows(levels: np.ndarray, out: np.ndarray, factor: float, offset: float) -> None:
    """Write `levels · factor + offset` to `out`: uint8 [rows, width] of any row stride to float32 [rows, width].

    Rows are taken as slices and counted from 0, which lets the compiler turn the loop into vector instructions.
    """
    scale, shift = np.float32(factor), np.float32(offset)
    for y in range(out.shape[0]):
        row, target = levels[y], out[y]
        for x in range(target.shape[0]):
            target[x] = np.float32(row[x]) * scale + shift

"""All pairs of 64-bit hashes within a Hamming radius, exactly."""

from collections.abc import Iterator

import numpy as np


def hashes_from_hex(digits: list[str]) -> np.ndarray:
    """uint64 hashes from strings of 16 hexadecimal digits."""
    return np.array([int(value, 16) for value in digits], np.uint64)


def pairs_within(
    left: np.ndarray, right: np.ndarray, radius_bits: int, rows_at_once: int = 64
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of `(i, j, distance_bits)` with `i < j` and Hamming distance of `left[i]`, `right[j]` within the radius.

    `left` and `right` are uint64 arrays of one length: the same hashes, or one side mirrored. Compares every
    pair, in memory proportional to `rows_at_once` times their number.
    """
    for start in range(0, len(left), rows_at_once):
        block = left[start : start + rows_at_once, None] ^ right[None, start:]
        distance = np.bitwise_count(block)
        i, j = np.nonzero(distance <= radius_bits)
        ahead = i < j
        yield i[ahead] + start, j[ahead] + start, distance[i[ahead], j[ahead]]

"""All pairs of 64-bit hashes within a Hamming radius, exactly."""

from collections.abc import Iterator

import numpy as np

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions int32 [pairs] on the left, on the right, and their distance in bits, uint8 [pairs]."""


def hashes_from_hex(digits: list[str]) -> np.ndarray:
    """uint64 hashes from strings of 16 hexadecimal digits."""
    return np.array([int(value, 16) for value in digits], np.uint64)


def collapse(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of uint64 [n], ascending, and for each of the n the position of its value: intp [n]."""
    distinct, inverse = np.unique(hashes, return_inverse=True)
    return distinct, inverse


def pairs_within(hashes: np.ndarray, radius_bits: int) -> Iterator[Pairs]:
    """Every pair `left < right` of distinct uint64 [n] within the radius exactly once, in bounded blocks."""
    for start in range(0, len(hashes), 64):
        for left, right, bits in pairs_between(hashes[start : start + 64], hashes[start:], radius_bits):
            ahead = left < right
            yield left[ahead] + np.int32(start), right[ahead] + np.int32(start), bits[ahead]


def pairs_between(queries: np.ndarray, references: np.ndarray, radius_bits: int) -> Iterator[Pairs]:
    """Every pair of uint64 `queries` [n] and `references` [m] within the radius exactly once, in bounded blocks."""
    for start in range(0, len(queries), 64):
        distance = np.bitwise_count(queries[start : start + 64, None] ^ references[None, :])
        left, right = np.nonzero(distance <= radius_bits)
        yield left.astype(np.int32) + np.int32(start), right.astype(np.int32), distance[left, right]

"""The inner loops of the neighbour search, compiled by numba on first use and kept in its cache.

Apart from `neighbours`, since importing numba takes longer than many a search. `join` is longer than functions are else, and
takes its arrays one by one: its loops go on where they stopped, and numba knows no object that would hold them.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pipeline.compiling import compiled

LANES = 8
"""Hashes on the right that one instruction compares; where a processor has narrower ones, LLVM splits them."""
ROWS = 4
"""Hashes on the left that are compared with them before the result is looked at."""
ROWS_AT_ONCE = 64
"""Hashes on the left that are looked at again one by one where any of them is near."""
PADDING = 8
"""Zeros behind the sorted hashes, since loops read whole groups; what they find there is cut off."""


def _near_code(typing_context: Any, rows: Any, others: Any, radius_bits: Any) -> Any:  # noqa: ANN401 (numba's own types)
    """Bit i of the result: whether the i-th of 8 hashes is within the radius of any of 4; both given by address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        rows_at, others_at, radius = arguments
        nearest = _distances(builder, rows_at, others_at, 0)
        for row in range(1, ROWS):
            bits = _distances(builder, rows_at, others_at, row)
            nearest = builder.select(builder.icmp_unsigned("<", bits, nearest), bits, nearest)
        near = builder.icmp_unsigned("<=", nearest, _spread(builder, radius))
        return builder.zext(builder.bitcast(near, ir.IntType(LANES)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64, types.uint64), generate


def _distances(builder: Any, rows_at: Any, others_at: Any, row: int) -> Any:  # noqa: ANN401
    """Code for the distance in bits of each of 8 hashes to the `row`-th of those at `rows_at`."""
    word, lanes = ir.IntType(64), ir.VectorType(ir.IntType(64), LANES)
    others = builder.load(builder.inttoptr(others_at, lanes.as_pointer()), align=8)
    value = builder.load(builder.gep(builder.inttoptr(rows_at, word.as_pointer()), [ir.Constant(word, row)]), align=8)
    count_ones = builder.module.declare_intrinsic(f"llvm.ctpop.v{LANES}i64", fnty=ir.FunctionType(lanes, [lanes]))
    return builder.call(count_ones, [builder.xor(others, _spread(builder, value))])


def _spread(builder: Any, scalar: Any) -> Any:  # noqa: ANN401
    """Code for a vector that holds `scalar` in every lane."""
    empty = ir.Constant(ir.VectorType(ir.IntType(64), LANES), ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    first = builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, zeros)


def _count_ones_code(typing_context: Any, value: Any) -> Any:  # noqa: ANN401
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_near: Any = intrinsic(_near_code)
_count_ones: Any = intrinsic(_count_ones_code)


@compiled("Tuple((uint64[::1], int32[::1], int64[::1]))(uint64[::1], uint64, uint64)")
def sort_by_band(hashes: np.ndarray, shift: int, mask: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counting sort by the band `(hash >> shift) & mask`: hashes (padded), their positions, and each bucket's start."""
    starts = np.zeros(np.int64(mask) + 2, np.int64)
    for value in hashes:
        starts[((value >> shift) & mask) + np.uint64(1)] += 1
    starts = np.cumsum(starts)
    ends = starts[:-1].copy()
    sorted_hashes = np.zeros(len(hashes) + PADDING, np.uint64)
    order = np.empty(len(hashes), np.int32)
    for position in range(len(hashes)):
        value = hashes[position]
        bucket = (value >> shift) & mask
        sorted_hashes[ends[bucket]] = value
        order[ends[bucket]] = position
        ends[bucket] += 1
    return sorted_hashes, order, starts


@compiled()
def join(
    left: tuple[np.ndarray, np.ndarray, np.ndarray],
    right: tuple[np.ndarray, np.ndarray, np.ndarray],
    buckets: np.ndarray,
    flips: np.ndarray,
    earlier: np.ndarray,
    radius_bits: int,
    within: bool,
    place: np.ndarray,
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> int:
    """Fill `found` with pairs from buckets of `left` and those of `right` that differ by one of `flips`.

    `left`, `right`: from `sort_by_band`; `buckets`: those of `left` that are not empty, uint64; `earlier`: uint64
    [bands, 3], shift, mask and radius of the bands searched before, which have had the pairs within their radius;
    `within`: left and right are the same, each pair counts once; `place`: int64 [4], where to go on (zeros at
    first, then what this left there). Returns how many pairs stand in `found`; if fewer than it holds less `LANES`,
    all is done.
    """
    left_hashes, left_order, left_starts = left
    right_hashes, right_order, right_starts = right
    found_left, found_right, found_bits = found
    radius, full, count = np.uint64(radius_bits), len(found_left) - LANES, 0
    left_at, right_at = np.uint64(left_hashes.ctypes.data), np.uint64(right_hashes.ctypes.data)
    first_bucket, first_block, first_row = place[1], place[2], place[3]
    for flip_number in range(place[0], len(flips)):
        for number in range(first_bucket, len(buckets)):
            bucket = buckets[number]
            other_bucket = bucket ^ flips[flip_number]
            if within and other_bucket < bucket:
                continue
            begin, end = right_starts[other_bucket], right_starts[other_bucket + np.uint64(1)]
            first, last = left_starts[bucket], left_starts[bucket + np.uint64(1)]
            same = within and other_bucket == bucket
            for block in range(max(begin, first_block), end, LANES):
                block_at = right_at + np.uint64(8 * block)
                stop = min(last, block + LANES) if same else last
                for chunk in range(max(first, first_row), stop, ROWS_AT_ONCE):
                    chunk_end = min(chunk + ROWS_AT_ONCE, stop)
                    near = np.uint64(0)
                    for row in range(chunk, chunk_end, ROWS):
                        near |= _near(left_at + np.uint64(8 * row), block_at, radius)
                    if near == 0:
                        continue
                    for row in range(chunk, chunk_end):
                        if (row - chunk) % ROWS == 0:
                            near = _near(left_at + np.uint64(8 * row), block_at, radius)
                        if near == 0:
                            continue
                        value = left_hashes[row]
                        for other in range(max(block, row + 1) if same else block, min(block + LANES, end)):
                            difference = value ^ right_hashes[other]
                            bits = _count_ones(difference)
                            if bits > radius or _seen(difference, earlier):
                                continue
                            a, b = left_order[row], right_order[other]
                            if within and a > b:
                                a, b = b, a
                            found_left[count], found_right[count], found_bits[count] = a, b, bits
                            count += 1
                        if count >= full:
                            place[0], place[1], place[2], place[3] = flip_number, number, block, row + 1
                            return count
                first_row = 0
            first_block = 0
        first_bucket = 0
    return count


@compiled()
def _seen(difference: int, earlier: np.ndarray) -> bool:
    for band in range(len(earlier)):
        if _count_ones((difference >> earlier[band, 0]) & earlier[band, 1]) <= earlier[band, 2]:
            return True
    return False

"""All pairs of 64-bit hashes within a Hamming radius, exactly.

The 64 bits are cut into bands. Two hashes within the radius lie so near each other in at least one band (the
pigeonhole principle) that looking up that band's value and those a few flips away finds them; every pair found is
compared in full, and reported by the first band that finds it. How many bands is a matter of numbers: many hashes
want few and wide bands; few hashes are compared each with all. However the hashes crowd together, no band does worse
than comparing everything once, eight at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions int32 [pairs] on the left, on the right, and their distance in bits, uint8 [pairs]."""

HASH_BITS = 64
PAIRS_AT_ONCE = 1 << 18
BAND_COUNTS = (1, 3, 4, 5, 6, 7, 8)
SORT_NS, VISIT_NS, BUCKET_NS, FETCH_NS, COMPARE_NS = 12.0, 4.0, 20.0, 40.0, 0.25
"""What a hash sorted, a bucket looked up, one that holds something, fetching that from memory where the other side is
another set, and eight comparisons cost, as measured; nothing but the choice of the bands depends on them."""


def collapse(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of uint64 [n], ascending, and for each of the n the position of its value: intp [n]."""
    distinct, inverse = np.unique(hashes, return_inverse=True)
    return distinct, inverse


def pairs_within(hashes: np.ndarray, radius_bits: int) -> Iterator[Pairs]:
    """Every pair `left < right` of uint64 [n] within the radius exactly once, in blocks of at most `PAIRS_AT_ONCE`.

    Exact for any input; meant for distinct hashes (`collapse`), since equal ones are quadratically many pairs.
    A million evenly spread hashes take well under a second at 10 bits; the first search in a fresh installation
    compiles for some seconds more. The order of the pairs is fixed by the order of the hashes.
    """
    yield from search(hashes, hashes, radius_bits, plan(len(hashes), len(hashes), radius_bits, within=True), within=True)


def pairs_between(queries: np.ndarray, references: np.ndarray, radius_bits: int) -> Iterator[Pairs]:
    """Every pair of uint64 `queries` [n] and `references` [m] within the radius exactly once, in such blocks.

    The references are only sorted, a few times; everything else is proportional to the queries.
    """
    bands = plan(len(queries), len(references), radius_bits, within=False)
    yield from search(queries, references, radius_bits, bands, within=False)


@dataclass(frozen=True)
class Band:
    """Some bits of a hash, `(hash >> shift) & mask`, and within how many flips this band finds pairs."""

    shift: int
    width_bits: int
    radius_bits: int

    @property
    def mask(self) -> int:
        """The bits of the band, shifted down."""
        return (1 << self.width_bits) - 1

    def flips(self) -> np.ndarray:
        """Every change of at most `radius_bits` bits, uint64."""
        ones = [1 << bit for bit in range(self.width_bits)]
        flips = [sum(chosen) for count in range(self.radius_bits + 1) for chosen in combinations(ones, count)]
        return np.array(flips, np.uint64)


def plan(left: int, right: int, radius_bits: int, within: bool) -> list[Band]:
    """The cheapest bands for so many hashes on either side, were they evenly spread."""
    if not 0 <= radius_bits <= HASH_BITS:
        raise ValueError(f"a radius of {radius_bits} bits; hashes have {HASH_BITS}")
    plans = [bands_for(count, radius_bits) for count in BAND_COUNTS]
    return min(plans, key=lambda bands: sum(_cost(band, left, right, within) for band in bands))


def bands_for(count: int, radius_bits: int) -> list[Band]:
    """`count` bands that together find every pair; a single one is empty and compares everything.

    With q, r = divmod(radius, count) the first r + 1 look within q flips and the others within q - 1: a pair that
    none finds is at least (r + 1)(q + 1) + (count - r - 1) q = radius + 1 bits apart.
    """
    if count == 1:
        return [Band(shift=0, width_bits=0, radius_bits=0)]
    ends = [HASH_BITS * number // count for number in range(count + 1)]
    radius, rest = divmod(radius_bits, count)
    radii = [radius if number <= rest else radius - 1 for number in range(count)]
    return [Band(ends[i], ends[i + 1] - ends[i], radii[i]) for i in range(count) if radii[i] >= 0]


def search(left: np.ndarray, right: np.ndarray, radius_bits: int, bands: list[Band], within: bool) -> Iterator[Pairs]:
    """The pairs that `bands` find, one band after the other; with `within`, `left` and `right` are the same hashes."""
    from pipeline.dedupe import band_join

    # Copies, since numba compiles once more for arrays that are read-only.
    left, right = np.array(left, np.uint64), np.array(right, np.uint64)
    found = (np.empty(PAIRS_AT_ONCE, np.int32), np.empty(PAIRS_AT_ONCE, np.int32), np.empty(PAIRS_AT_ONCE, np.uint8))
    searched = np.array([(band.shift, band.mask, band.radius_bits) for band in bands], np.uint64)
    for number, band in enumerate(bands):
        sorted_right = band_join.sort_by_band(right, band.shift, band.mask)
        sorted_left = sorted_right if within else band_join.sort_by_band(left, band.shift, band.mask)
        buckets, flips = np.flatnonzero(np.diff(sorted_left[2])).astype(np.uint64), band.flips()
        place, full = np.zeros(4, np.int64), True
        while full:
            count = band_join.join(
                sorted_left, sorted_right, buckets, flips, searched[:number], radius_bits, within, place, found
            )
            full = count >= PAIRS_AT_ONCE - band_join.LANES
            if count:
                yield found[0][:count].copy(), found[1][:count].copy(), found[2][:count].copy()


def _cost(band: Band, left: int, right: int, within: bool) -> float:
    """Nanoseconds of searching one band, roughly."""
    values = 2.0**band.width_bits
    flips = sum(comb(band.width_bits, count) for count in range(band.radius_bits + 1))
    visits = values * (1 - np.exp(-left / values)) * flips * (0.5 if within else 1.0)
    filled = visits * (1 - np.exp(-right / values))
    compares = filled * (left / values + 2) * (right / values + 4) / 8
    sorting = SORT_NS * (right if within else left + right) + values
    opening = BUCKET_NS if within else BUCKET_NS + FETCH_NS
    return float(sorting + VISIT_NS * visits + opening * filled + COMPARE_NS * compares)

"""The neighbour search finds every pair within the radius, once, whatever the hashes look like."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedupe import neighbours
from pipeline.dedupe.neighbours import (
    BAND_COUNTS,
    Pairs,
    bands_for,
    collapse,
    pairs_between,
    pairs_within,
    plan,
    search,
)

Found = list[tuple[int, int, int]]


def gathered(blocks: Iterable[Pairs]) -> Found:
    return sorted(
        row for left, right, bits in blocks for row in zip(left.tolist(), right.tolist(), bits.tolist(), strict=True)
    )


def brute_within(hashes: np.ndarray, radius_bits: int) -> Found:
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    left, right = np.nonzero(np.triu(distance <= radius_bits, 1))
    return sorted(zip(left.tolist(), right.tolist(), distance[left, right].tolist(), strict=True))


def brute_between(queries: np.ndarray, references: np.ndarray, radius_bits: int) -> Found:
    distance = np.bitwise_count(queries[:, None] ^ references[None, :])
    left, right = np.nonzero(distance <= radius_bits)
    return sorted(zip(left.tolist(), right.tolist(), distance[left, right].tolist(), strict=True))


def crowd(seed: int, count: int, max_flips: int) -> np.ndarray:
    """Distinct hashes of which most lie a few flips around a few centres, so that every distance occurs."""
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2**64, max(1, count // 20), np.uint64)
    hashes = centres[random.integers(0, len(centres), count)]
    for _ in range(max_flips):
        hashes ^= random.integers(0, 2, count, np.uint64) << random.integers(0, 64, count, np.uint64)
    return random.permutation(np.unique(hashes))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 300),
    max_flips=st.integers(0, 24),
    radius_bits=st.integers(0, 16),
    band_count=st.sampled_from(BAND_COUNTS),
)
def test_pairs_equal_brute_force_by_any_bands(
    seed: int, count: int, max_flips: int, radius_bits: int, band_count: int
) -> None:
    hashes = crowd(seed, count, max_flips)
    bands = bands_for(band_count, radius_bits)
    if sum(len(band.flips()) for band in bands) > 20_000:
        return
    queries, references = hashes[: count // 5], hashes[count // 5 :]
    assert gathered(search(hashes, hashes, radius_bits, bands, within=True)) == brute_within(hashes, radius_bits)
    found = gathered(search(queries, references, radius_bits, bands, within=False))
    assert found == brute_between(queries, references, radius_bits)


@pytest.mark.parametrize("radius_bits", range(17))
def test_pairs_equal_brute_force_at_every_radius(radius_bits: int) -> None:
    hashes = crowd(radius_bits, 3_000, 20)
    expected = brute_within(hashes, radius_bits)
    assert gathered(pairs_within(hashes, radius_bits)) == expected
    for band_count in (4, 5):
        assert gathered(search(hashes, hashes, radius_bits, bands_for(band_count, radius_bits), within=True)) == expected
    assert gathered(pairs_between(hashes[:100], hashes, radius_bits)) == brute_between(hashes[:100], hashes, radius_bits)


@settings(max_examples=30)
@given(hashes=st.lists(st.integers(0, 2**64 - 1), max_size=40), radius_bits=st.integers(0, 64))
def test_any_hashes_equal_ones_too(hashes: list[int], radius_bits: int) -> None:
    values = np.array(hashes + hashes[:3], np.uint64)
    assert gathered(pairs_within(values, radius_bits)) == brute_within(values, radius_bits)


def test_the_pairs_do_not_depend_on_the_order_of_the_hashes() -> None:
    hashes = crowd(1, 2_000, 12)
    order = np.random.default_rng(2).permutation(len(hashes))
    pairs = {frozenset((hashes[left], hashes[right])) for left, right, _ in gathered(pairs_within(hashes, 8))}
    shuffled = hashes[order]
    again = gathered(pairs_within(shuffled, 8))
    assert {frozenset((shuffled[left], shuffled[right])) for left, right, _ in again} == pairs
    assert len(again) == len(pairs) > 1_000


@pytest.mark.parametrize("band_count", [1, 4, 8])
def test_blocks_are_bounded_and_continue_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch, band_count: int) -> None:
    monkeypatch.setattr(neighbours, "PAIRS_AT_ONCE", 50)
    hashes = crowd(3, 500, 6)
    blocks = list(search(hashes, hashes, 10, bands_for(band_count, 10), within=True))
    assert max(len(block[0]) for block in blocks) <= 50
    assert len(blocks) > 20
    assert gathered(blocks) == brute_within(hashes, 10)
    assert [array.dtype for array in blocks[0]] == [np.int32, np.int32, np.uint8]


def test_hashes_that_share_whole_bands_are_found_all() -> None:
    """A bucket of thousands: all hashes equal in 48 bits."""
    hashes = np.random.default_rng(4).permutation(1 << 13).astype(np.uint64) << np.uint64(20)
    bands = bands_for(4, 4)
    found = gathered(search(hashes[:2_000], hashes[:2_000], 4, bands, within=True))
    assert found == brute_within(hashes[:2_000], 4)


def test_many_hashes_get_bands_and_few_are_compared_one_by_one() -> None:
    assert len(plan(100, 100, 10, within=True)) == 1
    assert len(plan(1_000_000, 1_000_000, 10, within=True)) > 1
    assert len(plan(10, 1_000_000, 4, within=False)) == 1
    assert len(plan(10_000, 1_000_000, 4, within=False)) > 1


def test_a_radius_of_more_bits_than_a_hash_has_is_refused() -> None:
    with pytest.raises(ValueError, match="65 bits"):
        list(pairs_within(np.zeros(2, np.uint64), 65))


def test_read_only_and_empty_input() -> None:
    hashes = np.array([1, 3, 2**63], np.uint64)
    hashes.flags.writeable = False
    assert gathered(pairs_within(hashes, 1)) == [(0, 1, 1)]
    assert gathered(pairs_within(np.empty(0, np.uint64), 4)) == []
    assert gathered(pairs_between(hashes, np.empty(0, np.uint64), 4)) == []


def test_equal_hashes_collapse() -> None:
    hashes = np.array([2**64 - 1, 1, 2**64 - 1], np.uint64)
    distinct, inverse = collapse(hashes)
    assert distinct.tolist() == [1, 2**64 - 1]
    assert distinct[inverse].tolist() == hashes.tolist()


@pytest.mark.slow
def test_a_hundred_thousand_hashes_equal_brute_force() -> None:
    hashes = crowd(5, 100_000, 16)
    expected = []
    for start in range(0, len(hashes), 100):
        near = np.bitwise_count(hashes[start : start + 100, None] ^ hashes[None, start:]) <= 10
        expected.append(np.argwhere(near) + start)
    pairs = np.concatenate(expected)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    found = np.concatenate([np.stack((left, right), 1) for left, right, _ in pairs_within(hashes, 10)])
    assert len(found) == len(pairs) > 10_000
    assert np.array_equal(found[np.lexsort(found.T[::-1])], pairs[np.lexsort(pairs.T[::-1])])

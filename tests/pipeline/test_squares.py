"""Stored pictures: chosen evenly, scaled, in [0, 1]."""

import numpy as np

from pipeline.squares import scaled, spread, unit


def test_some_are_spread_evenly_over_all() -> None:
    assert spread(1000, 16).tolist() == [0, 66, 133, 199, 266, 333, 399, 466, 532, 599, 666, 732, 799, 865, 932, 999]
    assert spread(3, 16).tolist() == [0, 1, 2]
    assert spread(0, 16).tolist() == []


def test_scaling_keeps_a_plain_colour_and_what_has_the_size() -> None:
    plain = np.full((2, 24, 24, 3), 77, np.uint8)
    np.testing.assert_array_equal(scaled(plain, 16), np.full((2, 16, 16, 3), 77, np.uint8))
    assert scaled(plain, 24) is plain
    assert scaled(plain[:0, ..., 0], 16).shape == (0, 16, 16)


def test_levels_become_shares() -> None:
    found = unit(np.array([0, 51, 255], np.uint8))
    assert found.dtype == np.float32
    assert found.tolist() == [0.0, np.float32(0.2), 1.0]

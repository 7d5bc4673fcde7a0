"""The bounds that fuzzed readers are held to do hold."""

import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from pipeline.errors import ConfigError
from tests.fuzzing import Bounded, damaged


def misbehaving(data: bytes) -> None:
    """Does what its input says."""
    match data:
        case b"refuse":
            raise ConfigError("as readers may")
        case b"stumble":
            raise KeyError("a defect")
        case b"linger":
            end_s = time.process_time() + 1.0
            while time.process_time() < end_s:
                pass
        case b"hang":
            time.sleep(600)
        case b"swell":
            assert len(bytearray(b"x") * 200_000_000)
        case b"die":
            os._exit(3)


@pytest.fixture(scope="module")
def bounded() -> Iterator[Bounded]:
    with Bounded(misbehaving, most_s=0.5, most_bytes=100_000_000) as made:
        yield made


def test_what_is_within_bounds_passes(bounded: Bounded) -> None:
    bounded.check(b"")
    bounded.check(b"refuse")


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"stumble", "KeyError"), (b"linger", "took 1"), (b"hang", "still"), (b"swell", "MB"), (b"die", "ended the process")],
)
def test_what_is_not_is_found_and_spoils_nothing_after_it(bounded: Bounded, data: bytes, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        bounded.check(data)
    bounded.check(b"fine")


@settings(max_examples=30)
@given(data=damaged([b"abc", b"x" * 1000]))
def test_damage_makes_bytes(data: bytes) -> None:
    assert isinstance(data, bytes)

"""The one reader of times."""

import doctest
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import times
from pipeline.times import read_time

HALF_PAST = datetime(2024, 3, 5, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2024-03-05 12:30", " 2024-03-05T12:30:00z ", "2024-03-05T14:30:00+02:00", "2024-03-05T14:30+0200",
        "05.03.2024 12:30", "2024:03:05 12:30:00", "5.3.2024 12:30:00", "20240305T123000Z", "2024-03-05 12:30:00,000",
    ],
)  # fmt: skip
def test_all_ways_of_writing_a_time(written: str) -> None:
    assert read_time(written) == HALF_PAST


@pytest.mark.parametrize(
    "written", ["", "soon", "3/5/2024", "2024", "2024-13-01", "1709641800", "05.03.24", "2024-03-05T25:00"]
)
def test_what_is_no_time(written: str) -> None:
    assert read_time(written) is None


@given(st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=-7, minutes=-30)))))
def test_what_is_written_as_iso_8601_comes_back(at: datetime) -> None:
    assert read_time(at.isoformat()) == at


@given(st.text(max_size=30))
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    found = read_time(text)
    assert found is None or found.tzinfo


def test_the_examples_hold() -> None:
    assert doctest.testmod(times).failed == 0

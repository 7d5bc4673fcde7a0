"""Windows: every photo found once, whatever the rhythm of uploads; few calls; resumed where it stopped."""

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, FlickrUnreachable, SearchTooWide
from pipeline.flickr.records import PAGING
from pipeline.sources import windows
from pipeline.sources.found import Paging, SearchPage
from pipeline.sources.windows import (
    FoundWindow,
    Window,
    WindowState,
    begin_state,
    clear_state,
    list_window,
    month_window,
)
from tests.pipeline.flickr.worlds import BEGIN_S, MONTH, MONTH_S, CappedSearch, burst, daily_rhythm

SMALL = Paging(per_page=5, cap=40)
"""Small caps, so that many shapes of months can be tried."""
MONTH_WINDOW = Window(BEGIN_S, BEGIN_S + MONTH_S - 1)


@pytest.fixture
def state(tmp_path: Path) -> WindowState:
    return WindowState(tmp_path / "state", "query")


def ids_of(found: list[FoundWindow]) -> list[str]:
    return [photo.id for window in found for photo in window.photos]


# Whole months at Flickr's own sizes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dates", "calls_per_1000"),
    [
        (daily_rhythm(50_000), 2.5),
        (daily_rhythm(41_000) + burst(9_000), 2.7),
        (daily_rhythm(50_000) + burst(9_000), 2.7),
    ],
    ids=["daily rhythm", "burst", "burst on top"],
)
def test_a_large_month_is_complete_and_cheap(state: WindowState, dates: list[int], calls_per_1000: float) -> None:
    search = CappedSearch(dates)
    found = list(list_window(MONTH_WINDOW, search, PAGING, state))
    assert sorted(ids_of(found)) == sorted(photo.id for photo in search.photos)
    assert search.calls / len(dates) * 1000 <= calls_per_1000
    assert not any(window.truncated for window in found)
    times = [photo.date_upload_s for window in found for photo in window.photos]
    assert times == sorted(times)


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (1, 1), (500, 1), (501, 2), (4000, 8)])
def test_a_month_that_fits_costs_its_pages_only(state: WindowState, count: int, calls: int) -> None:
    search = CappedSearch(daily_rhythm(count))
    assert len(ids_of(list(list_window(MONTH_WINDOW, search, PAGING, state)))) == count
    assert search.calls == calls


# Small caps, so that many shapes of months can be tried ---------------------------------------------------


@pytest.fixture(scope="class")
def no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # Hundreds of small files for each example: waiting for the disk is what these tests are not about.
        patch.setattr(windows, "write_text", write_at_once)
        yield


def write_at_once(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def crowds(most_at_once: int) -> st.SearchStrategy[list[int]]:
    """Upload times with anything from none to `most_at_once` photos in one second."""
    crowd = st.tuples(st.integers(0, 5000), st.integers(1, most_at_once))
    return st.lists(crowd, max_size=12, unique_by=lambda part: part[0]).map(
        lambda parts: [at for at, count in parts for _ in range(count)]
    )


@pytest.mark.usefixtures("no_waiting_for_the_disk")
class TestAnyMonth:
    @settings(max_examples=100)
    @given(dates=crowds(most_at_once=90))
    def test_every_photo_is_found_once(self, tmp_path_factory: pytest.TempPathFactory, dates: list[int]) -> None:
        search = CappedSearch(dates, paging=SMALL)
        found = list(list_window(Window(0, 5000), search, SMALL, WindowState(tmp_path_factory.mktemp("state"), "query")))
        ids = ids_of(found)
        assert len(ids) == len(set(ids))
        shown = Counter(photo.date_upload_s for window in found for photo in window.photos)
        assert shown == {at: min(count, SMALL.cap) for at, count in Counter(dates).items()}
        for window in found:
            assert window.truncated == (
                len(window.photos) < sum(window.window.begin_s <= at <= window.window.end_s for at in dates)
            )
            assert not window.truncated or window.window.seconds == 1

    @settings(max_examples=100)
    @given(
        dates=crowds(most_at_once=5),
        drifts=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([-3, -2, -1, 0, 1, 2, 3])), min_size=1),
        every=st.integers(1, 3),
    )
    def test_drift_changes_nothing(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        dates: list[int],
        drifts: list[tuple[int, int]],
        every: int,
    ) -> None:
        search = CappedSearch(dates, lambda call: drifts[call % len(drifts)] if call % every == 0 else (0, 0), SMALL)
        found = list(list_window(Window(0, 5000), search, SMALL, WindowState(tmp_path_factory.mktemp("state"), "query")))
        assert set(ids_of(found)) == {photo.id for photo in search.photos}

    @settings(max_examples=30)
    @given(dates=crowds(most_at_once=90))
    def test_interrupted_after_each_call_it_ends_the_same(
        self, tmp_path_factory: pytest.TempPathFactory, dates: list[int]
    ) -> None:
        calm = CappedSearch(dates, paging=SMALL)
        expected = list(list_window(Window(0, 5000), calm, SMALL, WindowState(tmp_path_factory.mktemp("calm"), "query")))
        folder = tmp_path_factory.mktemp("state")
        search = CappedSearch(dates, paging=SMALL)
        found = None
        calls = itertools.count(8)
        while found is None:
            with suppress(FlickrUnreachable):
                found = list(
                    list_window(Window(0, 5000), Stopping(search, next(calls)), SMALL, WindowState(folder, "query"))
                )
        assert found == expected


class Stopping:
    """A search that fails after some calls."""

    def __init__(self, search: CappedSearch, calls: int) -> None:
        self._search = search
        self._left = calls

    def __call__(self, window: Window, page: int) -> SearchPage:
        self._left -= 1
        if self._left < 0:
            raise FlickrUnreachable("gone")
        return self._search(window, page)


# What stops, what goes on, what is asked again --------------------------------------------------------------


def test_finished_windows_are_not_asked_for_again(tmp_path: Path) -> None:
    search = CappedSearch(daily_rhythm(12_000))
    with pytest.raises(FlickrUnreachable):
        list(list_window(MONTH_WINDOW, Stopping(search, 20), PAGING, WindowState(tmp_path, "query")))
    found = list(list_window(MONTH_WINDOW, search, PAGING, WindowState(tmp_path, "query")))
    assert len(set(ids_of(found))) == 12_000
    calm = CappedSearch(daily_rhythm(12_000))
    list(list_window(MONTH_WINDOW, calm, PAGING, WindowState(tmp_path, "another query")))
    # At most the pages of the one window that was cut off are paid for twice.
    assert calm.calls <= search.calls <= calm.calls + 8
    list(list_window(MONTH_WINDOW, search, PAGING, WindowState(tmp_path, "query")))
    assert search.calls <= calm.calls + 8


class SlowSearch:
    """One that finds in time what was uploaded within so many seconds."""

    def __init__(self, search: CappedSearch, seconds: int) -> None:
        self._search, self._seconds = search, seconds

    def __call__(self, window: Window, page: int) -> SearchPage:
        if window.seconds > self._seconds:
            raise SearchTooWide("it took too long")
        return self._search(window, page)


def test_a_window_that_cannot_be_searched_in_time_is_halved(state: WindowState) -> None:
    search = CappedSearch(daily_rhythm(300))
    found = list(list_window(MONTH_WINDOW, SlowSearch(search, 3 * 86_400), PAGING, state))
    assert ids_of(found) == [photo.id for photo in search.photos]
    assert len(found) == 16
    list(list_window(MONTH_WINDOW, SlowSearch(search, 0), PAGING, state))


def test_what_cannot_be_halved_fails_as_the_search_does(state: WindowState) -> None:
    with pytest.raises(SearchTooWide, match="it took too long"):
        list(list_window(Window(0, 9), SlowSearch(CappedSearch([]), 0), PAGING, state))


def test_a_second_with_too_many_photos_is_truncated(state: WindowState) -> None:
    search = CappedSearch([BEGIN_S + 1000] * 4100 + [BEGIN_S + 2000])
    found = list(list_window(MONTH_WINDOW, search, PAGING, state))
    assert {window.window.seconds for window in found if window.truncated} == {1}
    assert len(set(ids_of(found))) == 4001


def test_a_source_that_tells_days_only_is_divided_by_days(state: WindowState) -> None:
    """A day with more than the cap is as far as one can go; every other photo is found."""
    daily = Paging(per_page=50, cap=200, step_s=86_400)
    search = CappedSearch([*daily_rhythm(3000), *burst(400)], paging=daily)
    found = list(list_window(MONTH_WINDOW, search, daily, state))
    assert all((window.window.begin_s - BEGIN_S) % 86_400 == 0 for window in found)
    assert [window.window.begin_s for window in found if window.truncated] == [BEGIN_S + 12 * 86_400]
    left = Counter(at for at in search.dates if not BEGIN_S + 12 * 86_400 <= at < BEGIN_S + 13 * 86_400)
    shown = Counter(photo.date_upload_s for window in found if not window.truncated for photo in window.photos)
    assert shown == left


def test_a_drifting_second_is_listed_in_several_passes(state: WindowState) -> None:
    search = CappedSearch([BEGIN_S] * 1800, lambda call: (2, 2) if call % 3 == 0 else (0, 0))
    found = list(list_window(Window(BEGIN_S, BEGIN_S), search, PAGING, state))
    assert len(ids_of(found)) == 1800


def test_a_count_that_is_always_too_high_costs_one_call_more(state: WindowState) -> None:
    search = CappedSearch(daily_rhythm(300), lambda call: (5, 0))
    assert len(ids_of(list(list_window(MONTH_WINDOW, search, PAGING, state)))) == 300
    assert search.calls == 2


def test_enough_ends_the_listing(state: WindowState) -> None:
    search = CappedSearch(daily_rhythm(3000))
    found = list(list_window(MONTH_WINDOW, search, PAGING, state, lambda photos: len(photos) >= 100))
    assert search.calls == 1
    assert len(ids_of(found)) >= 100


def test_an_unreadable_state_file_is_listed_again(tmp_path: Path) -> None:
    search = CappedSearch(daily_rhythm(100))
    expected = list(list_window(MONTH_WINDOW, search, PAGING, WindowState(tmp_path, "query")))
    (file,) = tmp_path.rglob("*.found")
    for text in ("", "{}", '{"truncated": false}\n{"id": 1}', '{"truncated": false}\nnonsense'):
        file.write_text(text)
        assert list(list_window(MONTH_WINDOW, search, PAGING, WindowState(tmp_path, "query"))) == expected
    assert search.calls == 5


# Months and the state's age -----------------------------------------------------------------------------------


def test_a_month_ends_with_its_last_second_or_now() -> None:
    assert month_window(MONTH, BEGIN_S + 10 * MONTH_S) == MONTH_WINDOW
    assert month_window(MONTH, BEGIN_S + 3600) == Window(BEGIN_S, BEGIN_S + 3600)
    assert month_window("2024-02", 2**40).seconds == 29 * 86400


def test_a_month_to_come_is_an_error() -> None:
    with pytest.raises(ConfigError, match="2024-03 has not begun"):
        month_window(MONTH, BEGIN_S - 1)


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 50))
def test_parts_cover_a_window_without_overlap(begin_s: int, seconds: int, count: int) -> None:
    window = Window(begin_s, begin_s + seconds - 1)
    parts = window.divided(count)
    assert len(parts) == min(count, seconds)
    assert (parts[0].begin_s, parts[-1].end_s) == (window.begin_s, window.end_s)
    assert all(after.begin_s == before.end_s + 1 for before, after in itertools.pairwise(parts))
    assert max(part.seconds for part in parts) - min(part.seconds for part in parts) <= 1


def test_an_old_listing_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert begin_state(folder, 1000) == 1000
    (folder / "kept").touch()
    assert begin_state(folder, 1000 + 3600) == 1000
    assert (folder / "kept").exists()
    assert begin_state(folder, 1000 + 25 * 3600) == 1000 + 25 * 3600
    assert not (folder / "kept").exists()
    clear_state(folder)
    clear_state(folder)
    assert not folder.exists()

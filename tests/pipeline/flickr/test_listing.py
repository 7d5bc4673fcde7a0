"""A month as a table: filters with their reasons, merged queries, limits, sizes, interruptions and storms."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config import Query
from pipeline.emulators.collection import Collection, CollectionPhoto
from pipeline.emulators.faults import FaultPlan
from pipeline.emulators.flickr import Emulator
from pipeline.emulators.flickr_answers import Rest
from pipeline.errors import ConfigError, FlickrUnreachable
from pipeline.flickr.client import FlickrClient
from pipeline.flickr.records import EXTRAS, parse_search
from pipeline.flickr.source import FlickrSource, search_arguments
from pipeline.sources.found import SearchPage, Size
from pipeline.sources.listing import choose_size, list_month
from pipeline.sources.windows import clear_state
from pipeline.tables import columns_of
from tests.pipeline.flickr.worlds import (
    BEGIN_S,
    KEY,
    LATER_S,
    MONTH,
    MONTH_S,
    SECRET,
    burst,
    client_of,
    collection_photo,
    daily_rhythm,
    project,
)

PORTRAITS = project({"text": "portrait"})
STORM = {
    "http_429": 0.05,
    "http_5xx": 0.02,
    "error_201": 0.01,
    "html": 0.01,
    "broken_json": 0.01,
    "slow": 0.02,
    "slow_s": 0.01,
}


def source_of(emulator: Emulator) -> FlickrSource:
    return FlickrSource(client_of(emulator))


def photos_of(dates: list[int], **fields: object) -> list[CollectionPhoto]:
    return [collection_photo(number, at, **fields) for number, at in enumerate(dates)]


def listed(emulator: Emulator, folder: Path, *queries: Mapping[str, object]) -> pd.DataFrame:
    asked = project(*(queries or ({"text": "portrait"},)))
    return list_month(source_of(emulator), asked, "ordinary", MONTH, folder / "state", LATER_S)


def reasons(table: pd.DataFrame) -> Mapping[str, str | None]:
    """Reason by the number in the photo's id."""
    return {
        id.removeprefix("flickr:495000000"): None if pd.isna(reason) else reason
        for id, reason in zip(table["photo_id"], table["reason"], strict=True)
    }


def without_ports(table: pd.DataFrame, emulator: Emulator) -> pd.DataFrame:
    """The table as it would be if all emulators had the same address."""
    return table.assign(image_url=table["image_url"].str.replace(emulator.image_host, "host"))


# The table ---------------------------------------------------------------------------------------------------


def test_a_row_says_all_that_flickr_said(tmp_path: Path) -> None:
    title = 'נסיון "quoted", <b>bold</b>\n=SUM(A1) 🎈'
    photo = collection_photo(
        0, BEGIN_S + 5, title=title, tags=("Portrait", "Two Words"), owner_name="Ünal", views=7,
        last_update=BEGIN_S + 9, date_taken="2024-02-29 12:00:00", description="",
    )  # fmt: skip
    with Emulator([photo]) as emulator:
        table = listed(emulator, tmp_path)
    assert list(table.columns) == columns_of("photo_listing")
    row = table.iloc[0].to_dict()
    image_url = row.pop("image_url")
    assert image_url.startswith(f"http://{emulator.image_host}/65535/4950000000_")
    assert image_url.endswith("_h.jpg")
    assert all(pd.isna(row.pop(name)) for name in ("reason", "pair", "split"))
    assert row == {
        "photo_id": "flickr:4950000000",
        "domain": "ordinary",
        "month": MONTH,
        "query": 0,
        "owner": "0@N01",
        "owner_name": "Ünal",
        "title": title,
        "tags": "portrait twowords",
        "license": "4",
        "date_upload_s": BEGIN_S + 5,
        "date_taken": "2024-02-29 12:00:00",
        "last_update_s": BEGIN_S + 9,
        "media": "photo",
        "page_url": "https://www.flickr.com/photos/0@N01/4950000000/",
        "image_width_px": 1600,
        "image_height_px": 1067,
        "truncated": False,
        "views": 7,
        "fetched_at_s": LATER_S,
    }


def test_an_empty_month_is_an_empty_table(tmp_path: Path) -> None:
    with Emulator([collection_photo(0, BEGIN_S - 1), collection_photo(1, BEGIN_S + MONTH_S)]) as emulator:
        table = listed(emulator, tmp_path)
    assert table.empty
    assert list(table.columns) == columns_of("photo_listing")


def test_this_month_ends_now(tmp_path: Path) -> None:
    with Emulator(photos_of([BEGIN_S + 10, BEGIN_S + 20])) as emulator:
        table = list_month(source_of(emulator), PORTRAITS, "ordinary", MONTH, tmp_path / "state", BEGIN_S + 15)
    assert list(table["date_upload_s"]) == [BEGIN_S + 10]


def test_an_unknown_domain_and_a_month_to_come(tmp_path: Path) -> None:
    with Emulator([]) as emulator:
        client = client_of(emulator)
        with pytest.raises(ConfigError, match=r"no domain 'odd'.*ordinary, shallow"):
            list_month(FlickrSource(client), PORTRAITS, "odd", MONTH, tmp_path, LATER_S)
        with pytest.raises(ConfigError, match="has not begun"):
            list_month(FlickrSource(client), PORTRAITS, "ordinary", MONTH, tmp_path, BEGIN_S - 1)
        assert emulator.calls.total() == 0


def test_a_query_may_have_months_and_a_size_of_its_own(tmp_path: Path) -> None:
    photos = [collection_photo(n, BEGIN_S + n, tags=("portrait", tag)) for n, tag in enumerate(("one", "two", "three"))]
    queries = [
        {"text": "portrait", "tags": ["one"], "to": "2024-02"},
        {"text": "portrait", "tags": ["two"], "from": "2024-03", "to": "2024-03", "max_edge_px": 800},
        {"text": "portrait", "tags": ["three"]},
    ]
    with Emulator(photos) as emulator:
        table = listed(emulator, tmp_path, *queries)
        assert emulator.calls["flickr.photos.search"] == 2
    assert list(zip(table["query"], table["image_width_px"], strict=True)) == [(1, 800), (2, 1600)]


def test_forgotten_photos_are_rows_that_say_nothing(tmp_path: Path) -> None:
    photos = photos_of([BEGIN_S, BEGIN_S + 1, BEGIN_S + 2], title="her portrait", owner_name="Her")
    with Emulator(photos) as emulator:
        asked = project({"text": "portrait", "limit_per_month": 2})
        forgotten = {"flickr:4950000000"}
        table = list_month(source_of(emulator), asked, "ordinary", MONTH, tmp_path / "state", LATER_S, forgotten)
    assert reasons(table) == {"0": "forgotten", "1": None, "2": None}, "they do not count for a limit"
    row = table.iloc[0]
    assert row[["title", "tags", "owner", "page_url"]].tolist() == [""] * 4
    assert row[["owner_name", "license", "image_url", "date_taken"]].isna().all()


# Filters -----------------------------------------------------------------------------------------------------


def test_each_filter_gives_its_reason(tmp_path: Path) -> None:
    odd = [
        {},
        {"tags": ("portrait", "NO CV")},
        {"license": "0"},
        {"media": "video"},
        {"tags": ("portrait", "Black and White")},
        {},
        {"tags": ("portrait", "no_cv", "blackandwhite"), "license": "0"},
        {"tags": ("portrait", "blackandwhites")},
    ]
    photos = [collection_photo(number, BEGIN_S + number, **fields) for number, fields in enumerate(odd)]
    client = Unfiltered(photos)
    query = {"text": "portrait", "licenses": ["4", "5"], "exclude_tags": ["black and white"]}
    table = list_month(FlickrSource(client), project(query), "ordinary", MONTH, tmp_path / "state", LATER_S)
    assert reasons(table) == {
        "0": None,
        "1": "no_cv",
        "2": "license",
        "3": "not_a_photo",
        "4": "excluded_tag",
        "5": "no_size",
        "6": "no_cv",
        "7": None,
    }
    allowing = project(query, exclude_no_cv=False)
    table = list_month(FlickrSource(client), allowing, "ordinary", MONTH, tmp_path / "other", LATER_S)
    assert (reasons(table)["1"], reasons(table)["6"]) == (None, "license")


class Unfiltered(FlickrClient):
    """A client of a server that ignores every argument but the window, and shows no file of photo 5."""

    def __init__(self, photos: list[CollectionPhoto]) -> None:
        super().__init__(KEY, SECRET)
        self._rest = Rest(Collection(photos), "http://host")

    def search(self, arguments: Mapping[str, str], *, begin_s: int, end_s: int, page: int = 1) -> SearchPage:
        window = {"min_upload_date": str(begin_s), "max_upload_date": str(end_s), "extras": EXTRAS}
        found = parse_search(self._rest.call("flickr.photos.search", {"text": "portrait", **window}))
        photos = [replace(photo, sizes=()) if photo.id.endswith("5") else photo for photo in found.photos]
        return SearchPage(found.total, tuple(photos))


def test_a_photo_with_an_odd_id_is_a_row_too(tmp_path: Path) -> None:
    odd = CollectionPhoto("../../etc/passwd", "1@N00", BEGIN_S, title="portrait", width_px=500, height_px=500)
    with Emulator([odd, collection_photo(1, BEGIN_S, width_px=90, height_px=80)]) as emulator:
        table = listed(emulator, tmp_path)
    assert reasons(table) == {"flickr:../../etc/passwd": "bad_id", "1": None}


def test_exclusion_that_the_server_lets_through_is_caught(tmp_path: Path) -> None:
    photos = photos_of([BEGIN_S + number for number in range(200)], tags=("portrait", "cat"))
    with Emulator(photos) as emulator:
        table = listed(emulator, tmp_path, {"text": "portrait", "exclude_tags": ["Cat"]})
    assert 0 < len(table) < 200
    assert set(table["reason"]) == {"excluded_tag"}


# Queries -----------------------------------------------------------------------------------------------------


def test_a_query_in_flickrs_words() -> None:
    query = Query.model_validate(
        {"text": "portrait bokeh", "exclude_tags": ["BW", "Black and White"], "licenses": ["4", "9"]}
    )
    assert search_arguments(query, "apple/iphone_7") == {
        "text": "portrait bokeh -bw -blackandwhite",
        "camera": "apple/iphone_7",
        "license": "4,9",
        "safe_search": "1",
        "content_types": "0",
        "media": "photos",
    }
    by_tags = Query.model_validate({"tags": ["Portrait", "shallow dof"], "exclude_tags": ["bw"], "safe_search": 2})
    assert search_arguments(by_tags, None) == {
        "tags": "portrait,shallowdof,-bw",
        "tag_mode": "all",
        "safe_search": "2",
        "content_types": "0",
        "media": "photos",
    }


def test_the_first_query_that_accepts_a_photo_wins(tmp_path: Path) -> None:
    photos = [
        collection_photo(0, BEGIN_S, tags=("portrait", "bokeh")),
        collection_photo(1, BEGIN_S, tags=("portrait",), license="0"),
        collection_photo(2, BEGIN_S, tags=("portrait", "bokeh", "no_cv"), title=""),
        collection_photo(3, BEGIN_S, tags=("bokeh",), title=""),
    ]
    queries = ({"tags": ["portrait"], "exclude_tags": ["bokeh"]}, {"tags": ["bokeh"]}, {"text": "portrait"})
    with Emulator(photos) as emulator:
        table = listed(emulator, tmp_path, *queries)
    found_by = dict(zip(table["photo_id"].str[-1], table["query"], strict=True))
    assert found_by["1"] == 0
    assert found_by["0"] == found_by["3"] == 1
    assert reasons(table)["0"] is None
    assert reasons(table)["2"] == "no_cv"


def test_a_camera_is_looked_up_first(tmp_path: Path) -> None:
    photos = [collection_photo(0, BEGIN_S), collection_photo(1, BEGIN_S, camera="nikon/d750")]
    with Emulator(photos) as emulator:
        table = listed(emulator, tmp_path, {"text": "portrait", "camera": "Apple/iPhone 7"})
        assert list(table["photo_id"]) == ["flickr:4950000000"]
        with pytest.raises(ConfigError, match="apple/iphone_7"):
            listed(emulator, tmp_path, {"text": "portrait", "camera": "apple/iphone_8"})
        assert emulator.calls["flickr.photos.search"] == 1


def test_a_limit_keeps_the_earliest_accepted_and_saves_calls(tmp_path: Path) -> None:
    dates = [BEGIN_S + number // 3 for number in range(1400)]
    photos = [collection_photo(n, at, license="4" if n % 2 else "0", camera=None) for n, at in enumerate(dates)]
    everything, limited = (
        {"text": "portrait", "licenses": ["4"]},
        {"text": "portrait", "licenses": ["4"], "limit_per_month": 150},
    )
    with Emulator(photos) as emulator:
        whole = listed(emulator, tmp_path / "whole", everything)
        emulator.calls.clear()
        table = listed(emulator, tmp_path / "limited", limited)
        assert emulator.calls.total() == 1
    expected = whole.sort_values(["date_upload_s", "photo_id"]).head(len(table))["photo_id"]
    assert set(table["photo_id"]) == set(expected)
    assert table["reason"].isna().sum() == 150


# Sizes -------------------------------------------------------------------------------------------------------


def sizes(*edges_px: int | None) -> list[Size]:
    return [Size(str(edge_px), f"http://host/{edge_px}.jpg", edge_px, edge_px and edge_px // 2) for edge_px in edges_px]


@pytest.mark.parametrize(
    ("edges_px", "chosen"),
    [
        ((100, 1024, 1600, 2048), "1600"),
        ((2048, 100, 1599, 1601), "1599"),
        ((2048, 4000), "2048"),
        ((None, 640), "640"),
        ((None,), "None"),
    ],
)
def test_the_largest_size_that_fits(edges_px: tuple[int | None, ...], chosen: str) -> None:
    size = choose_size(sizes(*edges_px), 1600)
    assert size is not None
    assert size.suffix == chosen


def test_without_sizes_there_is_none() -> None:
    assert choose_size([], 1600) is None


# Interrupted, drifting, storming ------------------------------------------------------------------------------


def test_an_interrupted_month_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with Emulator(photos_of(daily_rhythm(5000))) as emulator:
        calm = listed(emulator, tmp_path / "calm")
        calm_calls = emulator.calls.total()
        emulator.calls.clear()
        broken = FaultPlan.model_validate({"api": {"http_5xx": 1.0}})
        whole = emulator.faults
        state = tmp_path / "state"
        client = client_of(emulator, retries=0)
        search = client.search
        tries = 0

        def interrupted_search(*arguments: object, **named: object) -> SearchPage:
            nonlocal tries
            tries += 1
            emulator.faults = broken if tries == 8 else whole
            return search(*arguments, **named)

        client.search = interrupted_search
        with pytest.raises(FlickrUnreachable):
            list_month(FlickrSource(client), PORTRAITS, "ordinary", MONTH, state, LATER_S)
        resumed = list_month(FlickrSource(client), PORTRAITS, "ordinary", MONTH, state, LATER_S + 3600)
        assert emulator.calls.total() <= calm_calls + 8
    pd.testing.assert_frame_equal(resumed, calm)
    assert any(state.iterdir())
    clear_state(state)
    assert not state.exists()


def test_a_changed_query_does_not_find_the_windows_of_the_old_one(tmp_path: Path) -> None:
    photos = [collection_photo(0, BEGIN_S), collection_photo(1, BEGIN_S, license="0")]
    with Emulator(photos) as emulator:
        assert len(listed(emulator, tmp_path)) == 2
        assert len(listed(emulator, tmp_path, {"text": "portrait", "licenses": ["4"]})) == 1


def test_a_storm_gives_the_calm_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    photos = photos_of(daily_rhythm(2000) + burst(1000, seed=1) + burst(1200))
    with Emulator(photos) as emulator:
        calm = without_ports(listed(emulator, tmp_path / "calm"), emulator)
    plan = FaultPlan.model_validate({"seed": 4, "api": {**STORM, "drift": 0.5}})
    with Emulator(photos, plan) as emulator:
        stormy = without_ports(listed(emulator, tmp_path / "storm"), emulator)
        assert emulator.faulted.total() > 0
    assert len(calm) == 4200
    pd.testing.assert_frame_equal(stormy, calm)
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (KEY, SECRET):
        assert secret not in caplog.text + kept + stormy.to_csv()


KILLED = """
import json, sys
from pathlib import Path
from tests.pipeline.flickr.worlds import KEY, LATER_S, MONTH, SECRET, project
from pipeline.flickr.client import FlickrClient
from pipeline.flickr.source import FlickrSource
from pipeline.sources.listing import list_month

client = FlickrClient(KEY, SECRET, endpoint=sys.argv[1])
print("begins", flush=True)
table = list_month(FlickrSource(client), project({"text": "portrait"}), "ordinary", MONTH, Path(sys.argv[2]), LATER_S)
table.to_parquet(sys.argv[3])
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(tmp_path: Path) -> None:
    chance = random.Random(0)
    table = tmp_path / "table.parquet"
    plan = FaultPlan.model_validate({"seed": 5, "api": {"slow": 1.0, "slow_s": 0.1}})
    with Emulator(photos_of(daily_rhythm(12_000)), plan) as emulator:
        command = [sys.executable, "-c", KILLED, emulator.endpoint, str(tmp_path / "state"), str(table)]
        kills = 0
        while not table.exists():
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            if kills < 6:
                time.sleep(chance.uniform(0, 1.5))
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            process.communicate(timeout=120)
        calm = listed(emulator, tmp_path / "calm")
    pd.testing.assert_frame_equal(pd.read_parquet(table), calm, check_dtype=False)


@pytest.mark.slow
def test_fifty_thousand_photos_over_http(tmp_path: Path) -> None:
    dates = daily_rhythm(50_000)
    with Emulator(photos_of(dates)) as emulator:
        table = listed(emulator, tmp_path, {"text": "portrait", "camera": "apple/iphone_7"})
        assert emulator.calls.total() <= 125
    assert table["photo_id"].is_unique
    assert len(table) == 50_000


def test_the_state_holds_readable_lines(tmp_path: Path) -> None:
    with Emulator([collection_photo(0, BEGIN_S, title="two\nlines")]) as emulator:
        listed(emulator, tmp_path)
    (file,) = (tmp_path / "state").rglob("*.found")
    head, photo = file.read_text().split("\n")
    assert json.loads(head) == {"truncated": False}
    assert json.loads(photo)["title"] == "two\nlines"

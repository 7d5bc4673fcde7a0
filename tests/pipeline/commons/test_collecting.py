"""Commons is asked as its etiquette wants it, and a month is complete and the same whatever happens meanwhile."""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets.headless import HeadlessRun
from pipeline.commons.client import CommonsClient, CommonsFailure
from pipeline.commons.records import PAGING
from pipeline.commons.source import CommonsSource
from pipeline.config import Project, parse_project
from pipeline.definitions import build_definitions
from pipeline.emulators.collection import Collection, CollectionPhoto
from pipeline.emulators.commons import CommonsEmulator
from pipeline.emulators.commons_answers import Json, MediaWiki
from pipeline.emulators.faults import FaultPlan
from pipeline.errors import CommonsRefused, CommonsUnreachable, ConfigError
from pipeline.operations.forget import forget, known_photos, meant_photos
from pipeline.operations.lineage import lineage_of_photo
from pipeline.operations.planning import Plan
from pipeline.sources.budget import CallBudget
from pipeline.sources.found import Paging
from pipeline.sources.listing import list_month
from pipeline.web.manners import Patience
from storage import Home
from tests.assets.worlds import save_noise
from tests.pipeline.flickr.worlds import BEGIN_S, LATER_S, MONTH, MONTH_S, burst, daily_rhythm

PHONE = "Taken with Apple iPhone 7"
STORM = {"http_429": 0.05, "http_5xx": 0.05, "error_201": 0.05, "html": 0.02, "broken_json": 0.02, "partial": 0.05}


def file_of(number: int, date_upload: int, **fields: object) -> CollectionPhoto:
    """A portrait of Commons, large and free unless `fields` say otherwise."""
    values = {
        "title": f"Portrait {number}",
        "tags": (PHONE, "Portraits"),
        "license": "12",
        "owner_name": "Ada & <b>Sons</b>",
        "width_px": 3000,
        "height_px": 2000,
        **fields,
    }
    return CollectionPhoto(str(57_000_000 + number), f"User {number % 7}", date_upload, **values)


def client_of(emulator: CommonsEmulator, folder: Path, **named: object) -> CommonsClient:
    """A client that does not sleep."""
    patient = {name: named.pop(name) for name in ("timeout_s", "retries", "sleep", "chance") if name in named}
    patience = Patience(**{"sleep": lambda delay_s: None, **patient})
    values = {"contact": "you@example.org", "patience": patience, **named}
    budget = CallBudget(folder / "budget", emulator.endpoint, 100_000, service="Commons")
    return CommonsClient(budget=budget, endpoint=emulator.endpoint, **values)


def asking(*queries: str) -> Project:
    tables = "\n".join(f"[[domains.ordinary.queries]]\n{query}" for query in queries)
    return parse_project(f'[domains.ordinary]\nsource = "commons"\n{tables}\n[domains.shallow]\n', Path("x.toml"))


PORTRAITS = asking('text = "portrait"\nlicenses = ["CC BY-SA 4.0"]\nexclude_tags = ["cat"]')


def listed(client: CommonsClient, project: Project, folder: Path) -> pd.DataFrame:
    return list_month(CommonsSource(client), project, "ordinary", MONTH, folder / "state", LATER_S)


@pytest.fixture
def month() -> list[CollectionPhoto]:
    """Some 300 files of the month and one before and after it; some of a cat, some under another licence."""
    files = [file_of(number, at) for number, at in enumerate(sorted(daily_rhythm(300)))]
    files[3] = file_of(3, files[3].date_upload, license="GFDL")
    files[4] = file_of(4, files[4].date_upload, tags=(PHONE, "cat"))
    files[5] = file_of(5, files[5].date_upload, last_update=BEGIN_S + 3 * MONTH_S)
    return [*files, file_of(900, BEGIN_S - 1), file_of(901, BEGIN_S + MONTH_S)]


def test_a_month_is_complete_and_politely_asked_for(tmp_path: Path, month: list[CollectionPhoto]) -> None:
    with CommonsEmulator(month) as emulator:
        client = client_of(emulator, tmp_path)
        table = listed(client, PORTRAITS, tmp_path)
        # Six pages of fifty, each in two parts.
        assert client.calls == emulator.calls["gsrsearch"] == 12
        assert not emulator.impolite
    assert len(table) == 299, "a file with the word is not found"
    assert set(table["month"]) == {MONTH}
    assert table["reason"].value_counts().to_dict() == {"license": 1}
    row = table.set_index("photo_id").loc["commons:57000005"]
    assert (row["owner"], row["owner_name"], row["license"]) == ("User 5", "Ada & <b>Sons</b>", "12")
    assert row["date_upload_s"] <= BEGIN_S + MONTH_S - 1, "replaced since, and still of its month"
    assert row["page_url"].startswith("https://commons.wikimedia.org/wiki/File:Portrait%205")
    assert (row["image_width_px"], row["image_height_px"]) == (1280, 853), "the largest that fits 1,600 px"
    assert "/1280px-" in row["image_url"]


def test_a_large_month_is_asked_in_windows_of_whole_days(tmp_path: Path) -> None:
    """In windows of a thousand; a day with more than that is one window, as long as the search shows all of it."""
    dates = [*daily_rhythm(2000), *burst(1200)]
    with CommonsEmulator([file_of(number, at) for number, at in enumerate(dates)]) as emulator:
        client = client_of(emulator, tmp_path)
        table = listed(client, PORTRAITS, tmp_path)
    assert table["photo_id"].nunique() == len(table) == 3200
    assert not table["truncated"].any()
    assert client.calls <= 2 * 3200 / PAGING.per_page + 20, "each page in two parts, and the divisions"


class InSmallWindows(CommonsSource):
    """So that a month has many places where it can be interrupted."""

    @property
    def paging(self) -> Paging:
        return Paging(per_page=50, cap=10_000, step_s=86_400, window=100)


def test_a_storm_and_many_interruptions_change_nothing(tmp_path: Path) -> None:
    month = [file_of(number, at) for number, at in enumerate(daily_rhythm(800))]

    def listed_by(emulator: CommonsEmulator, folder: Path, **named: object) -> pd.DataFrame:
        source = InSmallWindows(client_of(emulator, folder, **named))
        table = list_month(source, PORTRAITS, "ordinary", MONTH, folder / "state", LATER_S)
        return table.assign(image_url=table["image_url"].str.replace(emulator.image_host, "host"))

    with CommonsEmulator(month) as emulator:
        calm = listed_by(emulator, tmp_path / "calm")
    plan = FaultPlan.model_validate({"seed": 3, "api": {fault: 2 * share for fault, share in STORM.items()}})
    stormy, interruptions = None, 0
    with CommonsEmulator(month, plan) as emulator:
        while stormy is None:
            with suppress(CommonsUnreachable):
                stormy = listed_by(emulator, tmp_path, retries=0)
            interruptions += stormy is None
    assert interruptions >= 10
    pd.testing.assert_frame_equal(stormy, calm)


def test_it_waits_as_long_as_it_is_asked_to(tmp_path: Path, month: list[CollectionPhoto]) -> None:
    slept: list[float] = []
    lagging = FaultPlan.model_validate({"api": {"error_201": 1.0}})
    with CommonsEmulator(month, lagging, retry_after_s=7) as emulator:
        client = client_of(emulator, tmp_path, retries=2, sleep=slept.append, chance=lambda: 0.5)
        with pytest.raises(CommonsUnreachable, match=r"in 3 tries; last seen: error maxlag .*asks for 7 s"):
            client.photo_info("57000001")
    assert slept == [7.0, 7.0]
    with CommonsEmulator(month, lagging, retry_after_s=4000) as emulator:
        client = client_of(emulator, tmp_path, sleep=slept.append)
        with pytest.raises(CommonsUnreachable, match=r"in 1 tries.*4000 s of patience"):
            client.photo_info("57000001")
    assert len(slept) == 2, "an hour is not slept through: the next run goes on"


def test_a_search_that_timed_out_is_not_taken_for_whole(tmp_path: Path, month: list[CollectionPhoto]) -> None:
    late = FaultPlan.model_validate({"api": {"partial": 0.3}})
    with CommonsEmulator(month, late) as emulator:
        client = client_of(emulator, tmp_path)
        assert len(listed(client, PORTRAITS, tmp_path)) == 299
        assert client.retried > 0
    always = FaultPlan.model_validate({"api": {"partial": 1.0}})
    with CommonsEmulator(month, always) as emulator:
        client = client_of(emulator, tmp_path, retries=2)
        with pytest.raises(CommonsUnreachable, match=r"in 3 tries; last seen: a search that took too long and shows a part"):
            client.search("portrait")


def test_a_service_that_was_busy_before_a_search_timed_out_is_asked_no_less_often(
    tmp_path: Path, month: list[CollectionPhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a single day, which cannot be halved, the listing would end there."""
    answers = [CommonsFailure("status 503")] * 2 + [CommonsFailure("a part", partial=True)] * 2
    ask = CommonsClient._try
    monkeypatch.setattr(CommonsClient, "_try", lambda *given: answers.pop(0) if answers else ask(*given))
    with CommonsEmulator(month) as emulator:
        assert client_of(emulator, tmp_path).search("portrait").photos


class SlowOverDays(MediaWiki):
    """A service that finds in time what was uploaded within four days."""

    def call(self, arguments: Mapping[str, str]) -> Json:
        begin, end = map(date.fromisoformat, re.findall(r"\d{4}-\d\d-\d\d", arguments["gsrsearch"]))
        return MediaWiki(self.collection, self.image_root, (end - begin).days > 4).call(arguments)


def test_a_month_that_always_times_out_is_searched_in_parts(
    tmp_path: Path, month: list[CollectionPhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.emulators.commons.MediaWiki", SlowOverDays)
    with CommonsEmulator(month) as emulator:
        assert len(listed(client_of(emulator, tmp_path), PORTRAITS, tmp_path)) == 299


def test_what_is_final_is_not_asked_again(tmp_path: Path, month: list[CollectionPhoto]) -> None:
    with CommonsEmulator(month) as emulator, pytest.raises(CommonsRefused, match="missingparam"):
        client_of(emulator, tmp_path).search("")
    assert emulator.calls.total() == 1


def test_one_call_at_a_time_over_all_clients_of_a_home(tmp_path: Path, month: list[CollectionPhoto]) -> None:
    slow = FaultPlan.model_validate({"api": {"slow": 1.0, "slow_s": 0.02}})
    with CommonsEmulator(month, slow) as emulator:
        clients = [client_of(emulator, tmp_path) for _ in range(6)]
        threads = [threading.Thread(target=client.photo_info, args=("57000001",)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert emulator.calls.total() == 6
        assert emulator.at_once == 1


@pytest.mark.parametrize("wrong", ["Taken with iPhone 7", "Taken with Aple iPhon 7"])
def test_a_category_that_does_not_exist_is_named_with_its_neighbours(
    tmp_path: Path, month: list[CollectionPhoto], wrong: str
) -> None:
    with CommonsEmulator(month) as emulator:
        source = CommonsSource(client_of(emulator, tmp_path))
        with pytest.raises(
            ConfigError, match=rf"^\[domains.ordinary\], query 1: .* has no category '{wrong}'; the nearest: {PHONE}"
        ):
            list_month(source, asking(f'categories = ["{wrong}"]'), "ordinary", MONTH, tmp_path / "state", LATER_S)
        with pytest.raises(ConfigError, match=r"no category 'Xyzzy'$"):
            list_month(source, asking('categories = ["Xyzzy"]'), "ordinary", MONTH, tmp_path / "state", LATER_S)


def test_categories_are_asked_about_once_and_only_where_nothing_is_found(
    tmp_path: Path, month: list[CollectionPhoto]
) -> None:
    project = asking(f'categories = ["{PHONE}"]')
    with CommonsEmulator(month) as emulator:
        source = CommonsSource(client_of(emulator, tmp_path))
        assert len(list_month(source, project, "ordinary", MONTH, tmp_path / "full", LATER_S)) == 300
        assert emulator.calls["titles"] == 0
        for empty in ("2023-01", "2023-02"):
            assert list_month(source, project, "ordinary", empty, tmp_path / empty, LATER_S).empty
        assert emulator.calls["titles"] == 1


# A whole home -------------------------------------------------------------------------------------------------


@pytest.fixture
def home_of_commons(tmp_path: Path) -> Iterator[tuple[CommonsEmulator, Home, Project]]:
    """A home whose one domain has six files of January 2024 with pictures; its project file names no key."""
    files = []
    for number in range(6):
        save_noise(tmp_path / "collection" / f"{number}.jpg", number, edge_px=600)
        sizes = {"width_px": None, "height_px": None, "file": f"{number}.jpg"}
        files.append(file_of(number, 1_704_880_000 + number, **sizes))
    emulator = CommonsEmulator(files)
    emulator.collection = Collection(files, tmp_path / "collection")
    with emulator:
        text = f"""
[project]
contact = "you@example.org"
[commons]
endpoint = "{emulator.endpoint}"
image_hosts = ["{emulator.image_host}"]
retries = 0
[collect]
from = "2024-01"
to = "2024-01"
[domains.ordinary]
source = "commons"
queries = [{{ text = "portrait", categories = ["{PHONE}"] }}]
[domains.shallow]
[photos]
min_edge_px = 32
max_edge_px = 500
threads = 2
"""
        yield emulator, Home(tmp_path / "home"), parse_project(text, tmp_path / "bokehflow.toml")


def run(project: Project, home: Home, rescrape: bool = False) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = build_definitions(project, home, home.root.parent / "bokehflow.toml")
        headless = HeadlessRun(project, home, home.root.parent, definitions, instance, lambda text: None)
        headless.go(Plan(until="unique_photos", rescrape=rescrape))


def test_a_home_fills_itself_without_a_key(
    home_of_commons: tuple[CommonsEmulator, Home, Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing, bytes, history, a deleted file, and a request to forget one by the address of its page."""
    emulator, home, project = home_of_commons
    for name in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    run(project, home)
    files = home.tables.read("photo_files", "ordinary|2024-01")
    assert files["sha256"].notna().sum() == 6
    assert len(home.tables.read("unique_photos")) == 6
    assert all("/500px-" in request.arguments["path"] for request in emulator.requests if request.method == "picture")
    emulator.collection.change("57000002", vanished=True)
    calls = Counter(emulator.calls)
    run(project, home, rescrape=True)
    assert Counter(emulator.calls) - calls == {"gsrsearch": 1, "pageids": 1}
    history = home.tables.read("photo_history").set_index("photo_id")
    assert history.index[history["gone_s"].notna()].tolist() == ["commons:57000002"]
    meant = meant_photos(home, ["https://commons.wikimedia.org/wiki/File:Portrait_3_(57000003).jpg", "commons:57000004"])
    assert meant == ["commons:57000003", "commons:57000004"]
    assert known_photos(home, [*meant, "commons:1"]) == set(meant)
    page = "https://commons.wikimedia.org/wiki/File:Portrait_3_(57000003).jpg"
    assert lineage_of_photo(home, page).subject == "photo commons:57000003"
    forget(home, meant, now_s=1_800_000_000)
    run(project, home)
    assert len(home.tables.read("unique_photos")) == 3
    assert not emulator.impolite

"""Lists of addresses in the project file: read again when they change, and what becomes of rows that come and go."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.schedules import schedules
from pipeline.config import parse_project
from pipeline.errors import ConfigError
from pipeline.licenses import LICENSES
from pipeline.operations.forget import forget
from pipeline.operations.list_imports import import_list
from pipeline.operations.lists import missing_lists, withdrawn
from pipeline.operations.photo_tables import all_rows
from pipeline.operations.read_lists import read_lists
from pipeline.photo_ids import url_id
from storage import TableStore
from tests.assets.test_list_importing import TEXT, pictures_of
from tests.assets.worlds import CollectWorld, collect_world, photo

LISTS = TEXT.replace("[domains.ordinary]\n", '[domains.ordinary]\nlists = ["lists/sunny.csv", "lists/rainy.csv"]\n')


class ListedWorld:
    """Pictures on loopback, and two lists of some of them."""

    def __init__(self, world: CollectWorld) -> None:
        self.world, host = world, world.emulator.image_host
        world.text = LISTS.format(host=host)
        self.urls = [f"http://{host}/{name}" for name in pictures_of(world.emulator)]
        self.write("sunny", 0, 1, 2)
        self.write("rainy", 3)

    def write(self, name: str, *numbers: int, license: str = "CC BY 4.0") -> Path:
        path = self.world.folder / "lists" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        rows = [f"{self.urls[number]},Picture {number},{license},Ann" for number in numbers]
        path.write_text("url,caption,license,owner_name\n" + "\n".join(rows) + "\n")
        return path

    def run(self, rescrape: bool = False) -> set[int]:
        """Run until the history; the numbers of the pictures that are listed then."""
        self.world.said.clear()
        self.world.run(until="photo_history", rescrape=rescrape)
        listed = set(all_rows(self.world.project, self.world.home, "photo_listing")["photo_id"])
        return {number for number, url in enumerate(self.urls) if url_id(url) in listed}

    def read(self) -> set[int]:
        """Read the lists alone; the numbers of the pictures that they have brought and not taken back."""
        project, home = self.world.project, self.world.home
        assert all(not one.refused for one in read_lists(project, home))
        gone = {photo_id for _, photo_id in withdrawn(project, home)}
        ids = set(home.tables.read("imports")["photo_id"]) - gone
        return {number for number, url in enumerate(self.urls) if url_id(url) in ids}

    def is_made(self) -> bool:
        return any("imported_photos" in line for line in self.world.said)


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[ListedWorld]:
    photos = [photo(tmp_path / "collection", number) for number in range(5)]
    with collect_world(tmp_path, *photos, text=TEXT) as world:
        yield ListedWorld(world)


def test_rows_come_and_go_as_the_list_says(lists: ListedWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world = lists.world
    assert lists.run() == {0, 1, 2, 3}
    before = world.emulator.image_requests
    assert lists.run() == {0, 1, 2, 3}
    assert not lists.is_made(), "nothing has changed"
    lists.write("sunny", 0, 2, 4)
    assert lists.run() == {0, 2, 3, 4}
    assert any("the lists of ordinary changed" in line for line in world.said)
    assert "later snapshots leave out 1 photo whose rows are gone; `bokehflow forget`" in capsys.readouterr().err
    assert world.emulator.image_requests == before + 1, "only what is new is fetched"
    history = world.history()
    gone = url_id(lists.urls[1])
    assert bool(history.loc[gone, "absent"])
    assert not history.loc[url_id(lists.urls[0]), "absent"]
    lists.write("sunny", 0, 1, 2, 4)
    assert lists.run() == {0, 1, 2, 3, 4}, "a row that comes back brings its photo back"
    assert world.emulator.image_requests == before + 1
    world.text = world.text.replace(', "lists/rainy.csv"', "")
    assert lists.run() == {0, 1, 2, 4}, "a list that is no longer in the project file lists nothing"


def test_a_photo_of_two_lists_goes_when_both_have_dropped_it(lists: ListedWorld) -> None:
    lists.write("rainy", 2, 3)
    assert lists.read() == {0, 1, 2, 3}
    lists.write("sunny", 0, 1)
    assert lists.read() == {0, 1, 2, 3}
    lists.write("rainy", 3)
    assert lists.read() == {0, 1, 3}


def test_what_a_list_says_again_is_not_written_and_what_it_says_otherwise_is(
    lists: ListedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists.read()
    written: list[str] = []
    write = TableStore.write

    def seen(self: TableStore, name: str, frame: object, **kwargs: object) -> object:
        written.append(name)
        return write(self, name, frame, **kwargs)

    monkeypatch.setattr(TableStore, "write", seen)
    assert lists.read() == {0, 1, 2, 3}
    assert "imports" not in written
    lists.write("sunny", 0, 1, 2, license="CC0 1.0")
    lists.read()
    assert written.count("imports") == 1
    told = lists.world.home.tables.read("imports").set_index("photo_id")["license"]
    assert [LICENSES[told[url_id(lists.urls[number])]].name for number in (0, 1, 2, 3)] == ["CC0 1.0"] * 3 + ["CC BY 4.0"]


def test_what_was_imported_by_hand_no_list_takes_away(lists: ListedWorld) -> None:
    by_hand = lists.write("by_hand", 0)
    import_list(lists.world.project, lists.world.home, by_hand, "ordinary")
    lists.read()
    lists.write("sunny", 1)
    assert lists.read() == {0, 1, 3}


def test_the_schedule_reads_lists_again_and_tries_what_failed(lists: ListedWorld) -> None:
    world = lists.world
    path = lists.world.folder / "collection" / "1.jpg"
    kept = path.read_bytes()
    path.unlink()
    assert lists.run() == {0, 2, 3}
    path.write_bytes(kept)
    assert lists.run() == {0, 2, 3}
    assert lists.run(rescrape=True) == {0, 1, 2, 3}
    assert any("the lists' turn to be read again" in line for line in world.said)
    weekly = {one.name: one for one in schedules(world.project, world.home)}["weekly_lists"]
    tick = datetime(2026, 3, 2, 3, tzinfo=UTC)
    asked = weekly.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=tick))
    (request,) = asked.run_requests or []
    assert request.asset_selection == [dg.AssetKey("imported_photos")]
    assert "weekly_lists" not in {
        one.name for one in schedules(parse_project(TEXT.replace("{host}", "127.0.0.1"), Path("x.toml")), world.home)
    }


def test_what_is_imported_by_hand_has_no_list_read_again(lists: ListedWorld) -> None:
    world = lists.world
    (world.folder / "collection" / "1.jpg").unlink()
    assert lists.run() == {0, 2, 3}
    asked = world.emulator.image_requests
    import_list(world.project, world.home, lists.write("by_hand", 4), "ordinary")
    assert lists.run() == {0, 2, 3, 4}
    assert world.emulator.image_requests == asked + 1, "of the list's pictures the one that failed is not tried again"


@pytest.mark.slow
def test_a_licence_that_changes_in_the_list_and_a_photo_that_is_forgotten(lists: ListedWorld) -> None:
    world = lists.world
    lists.run()
    lists.write("sunny", 0, 1, 2, license="CC BY-NC 4.0")
    forget(world.home, [url_id(lists.urls[0])], now_s=1_800_000_000)
    assert lists.run() == {1, 2, 3}
    row = world.history().loc[url_id(lists.urls[1])]
    assert (row["license"], row["license_before"], bool(row["stricter"])) == ("14", "11", True)
    assert url_id(lists.urls[0]) not in set(world.home.tables.read("listed_photos")["photo_id"])
    lists.run()
    assert url_id(lists.urls[0]) not in set(world.home.tables.read("imports")["photo_id"])


def test_lists_that_cannot_be_read_take_nothing_away(lists: ListedWorld) -> None:
    assert lists.read() == {0, 1, 2, 3}
    path = lists.write("sunny")
    with pytest.raises(ConfigError, match=r"sunny\.csv: no row of it has an address"):
        lists.read()
    assert withdrawn(lists.world.project, lists.world.home) == set()
    path.unlink()
    with pytest.raises(ConfigError, match=r"sunny\.csv: this list of the project file is not there"):
        lists.run()
    assert missing_lists(lists.world.project)


def test_a_list_that_changes_while_it_is_read_takes_nothing_away(
    lists: ListedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists.read()
    lists.write("sunny", 0)
    versions = iter(["before", "after", "same", "same"])
    monkeypatch.setattr("pipeline.operations.read_lists.file_version", lambda path: next(versions))
    assert lists.read() == {0, 1, 2, 3}


def test_names_that_are_no_lists(tmp_path: Path) -> None:
    for names, problem in (
        ('["a.txt"]', r"'a\.txt' is no list of addresses"),
        ('["a/x.csv", "b/x.csv"]', "two lists are called"),
    ):
        with pytest.raises(ConfigError, match=problem):
            parse_project(f"[domains.ordinary]\nlists = {names}\n[domains.shallow]\n", tmp_path / "bokehflow.toml")

"""Which photos a curator gets, and what becomes of decisions."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.commands.review import review_page
from pipeline.config import load_project
from pipeline.curation.decisions import Verdict
from pipeline.curation.review.filters import Filters
from pipeline.curation.review.search import FIRST_LOOK, Search
from pipeline.curation.review.state import LEASE_S, LEAVE_S, OPEN_LISTS, PHOTOS_ON_A_PAGE, ReviewState
from storage import Home
from tests.pipeline.curation.review.worlds import make_home, photo_id

UNDECIDED, ALL = Filters(), Filters(status="all")
KEEP = Verdict("keep")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("made"), count=70).root


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    """A home of its own for each test; the pictures are not looked at here."""
    shutil.copytree(made, tmp_path / "home", ignore=shutil.ignore_patterns("blobs", "thumbnails"))
    return Home(tmp_path / "home")


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.curation.review.state.LOOK_AGAIN_S", -1.0)


def state(home: Home) -> ReviewState:
    return review_page(load_project(home.root / "bokehflow.toml"), home, "Ann", 8765).review


def ids(found: object) -> list[str]:
    return [one.photo.photo_id for one in found.shown]  # pyright: ignore[reportAttributeAccessIssue]


def test_pages_of_thirty_in_the_queues_order(home: Home) -> None:
    at = state(home)
    first = at.grid(ALL, "", "Ann", "a")
    assert ids(first) == [photo_id(number) for number in range(PHOTOS_ON_A_PAGE)]
    second = at.grid(ALL, first.after or "", "Ann", "a")
    last = at.grid(ALL, second.after or "", "Ann", "a")
    assert ids(second)[0] == photo_id(30)
    assert (ids(last)[-1], last.after, last.before) == (photo_id(69), None, photo_id(30))
    assert (last.first, last.matching) == (60, 70)


def test_deciding_does_not_make_the_next_page_skip_photos(home: Home) -> None:
    at = state(home)
    first = at.grid(UNDECIDED, "", "Ann", "a")
    for number in range(0, 30, 2):
        at.decide(photo_id(number), KEEP, "Ann")
    second = at.grid(UNDECIDED, first.after or "", "Ann", "a")
    assert ids(second)[0] == photo_id(30)
    assert second.before == photo_id(1)
    assert ids(at.grid(UNDECIDED, "", "Ann", "a"))[0] == photo_id(1)


def test_a_new_start_resumes_where_one_stopped(home: Home) -> None:
    at = state(home)
    for number in range(12):
        at.decide(photo_id(number), KEEP, "Ann")
    again = state(home)
    assert again.upcoming(UNDECIDED, "", "Ann", "a", 2) == [photo_id(12), photo_id(13)]
    assert (again.progress("Ann").decided, again.progress("Ann").total) == (12, 70)
    assert again.progress("Ann").undo_label == f"keep of {photo_id(11)}"


def test_two_curators_are_not_given_the_same_photos(home: Home) -> None:
    at = state(home)
    ann, ben = at.grid(UNDECIDED, "", "Ann", "a"), at.grid(UNDECIDED, "", "Ben", "b")
    assert not set(ids(ann)) & set(ids(ben))
    assert (ben.matching, ben.elsewhere) == (40, 30)
    assert ids(at.grid(UNDECIDED, "", "Ann", "a")) == ids(ann)
    assert at.grid(ALL, "", "Ben", "b").matching == 70


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_what_others_hold_is_given_to_nobody_else_until_it_comes_free(home: Home) -> None:
    at = state(home)
    at.clock_s = clock = Clock()
    for number in range(60):
        at.decide(photo_id(number), KEEP, "Ann")
    held = ids(at.grid(UNDECIDED, "", "Ann", "a"))
    assert len(held) == 10
    others = at.grid(UNDECIDED, "", "Ben", "b")
    assert (ids(others), others.elsewhere, at.elsewhere(UNDECIDED, "Ben", "b")) == ([], 10, 10)
    assert at.upcoming(UNDECIDED, "", "Ben", "b") == []
    assert at.single(held[0], "Ben", "b") is None
    clock.now_s += LEASE_S - 1
    at.changes(0, "Ann", "a", held[:3])
    clock.now_s += 1
    assert ids(at.grid(UNDECIDED, "", "Ben", "b")) == held[3:]
    at.leave("b", held)
    at.leave("a", held[:1])
    clock.now_s += LEAVE_S
    assert ids(at.grid(UNDECIDED, "", "Cem", "c")) == [held[0], *held[3:]]


def test_a_photo_that_is_undone_is_held_again_and_a_lost_lease_loses_no_decision(home: Home) -> None:
    at = state(home)
    at.clock_s = clock = Clock()
    assert at.upcoming(UNDECIDED, "", "Ann", "a", 1) == [photo_id(0)]
    clock.now_s += LEASE_S
    assert at.upcoming(UNDECIDED, "", "Ben", "b", 1) == [photo_id(0)]
    assert at.decide(photo_id(0), KEEP, "Ann", "a").decision == "keep"
    assert at.upcoming(UNDECIDED, "", "Ben", "b", 1) == [photo_id(1)]
    at.leave("b", [photo_id(0)])
    clock.now_s += LEAVE_S
    at.undo("Ann", seat="a")
    assert at.single(photo_id(0), "Ben", "b") is None
    assert at.single(photo_id(0), "Ann", "a") is not None


def test_who_holds_a_photo_holds_its_duplicates(home: Home) -> None:
    unique = home.tables.read("unique_photos")
    pair = unique["photo_id"].isin([photo_id(0), photo_id(1)])
    home.tables.write("unique_photos", unique.assign(group=unique["group"].where(~pair, photo_id(1))))
    at = state(home)
    assert at.single(photo_id(1), "Ann", "a") is not None
    assert at.single(photo_id(0), "Ben", "b") is None
    assert at.upcoming(UNDECIDED, "", "Ben", "b", 1) == [photo_id(2)]


SEATS = st.sampled_from("abc")
NUMBERS = st.integers(55, 69)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["grid", "single", "next", "keep", "skip", "undo", "leave", "poll"]), SEATS, NUMBERS))
)
def test_no_two_seats_are_given_one_photo(home: Home, steps: list[tuple[str, str, int]]) -> None:
    shutil.rmtree(home.reviewed, ignore_errors=True)
    at = state(home)
    at.clock_s = clock = Clock()
    given_until: dict[str, tuple[str, float]] = {}

    def gives(photo_ids: list[str], seat: str, for_s: float = LEASE_S) -> None:
        for one in photo_ids:
            holder, until_s = given_until.get(one, (seat, 0.0))
            assert holder == seat or until_s <= clock.now_s, one
            given_until[one] = seat, clock.now_s + for_s

    for step, seat, number in steps:
        clock.now_s += number - 55
        photo = photo_id(number)
        match step:
            case "grid":
                gives(ids(at.grid(UNDECIDED, photo, seat, seat)), seat)
            case "next":
                gives(at.upcoming(UNDECIDED, photo, seat, seat), seat)
            case "single":
                shown = at.single(photo, seat, seat)
                gives([photo] if shown and shown.standing.status in OPEN_LISTS else [], seat)
            case "undo":
                at.undo(seat, seat=seat)
            case "leave":
                at.leave(seat, [photo])
                if given_until.get(photo, ("", 0.0))[0] == seat:
                    given_until[photo] = seat, min(given_until[photo][1], clock.now_s + LEAVE_S)
            case "poll":
                at.changes(0, seat, seat, [photo])
            case _:
                at.decide(photo, Verdict(step), seat, seat)
                if given_until.get(photo, ("", 0.0))[0] == seat:
                    del given_until[photo]


def test_each_sees_what_the_other_decided(home: Home) -> None:
    ann, ben = state(home), state(home)
    number, _ = ben.changes(0, "Ben", "b", [])
    ann.decide(photo_id(3), Verdict("drop", "edited"), "Ann")
    number, changed = ben.changes(number, "Ben", "b", [photo_id(3), photo_id(4)])
    assert [(photo, standing.status) for photo, standing in changed] == [(photo_id(3), "drop")]
    assert ben.changes(number, "Ben", "b", [photo_id(3)])[1] == []
    ben.decide(photo_id(3), KEEP, "Ben")
    shown = ann.single(photo_id(3), "Ann", "a")
    assert shown is not None
    assert shown.standing.holds is not None
    assert (shown.standing.holds.curator, [word.curator for word in shown.standing.others]) == ("Ben", ["Ann"])


def test_a_page_of_an_earlier_server_is_told_all_that_it_may_have_missed(home: Home) -> None:
    before = state(home)
    before.decide(photo_id(3), KEEP, "Ann")
    number, _ = before.changes(0, "Ben", "b", [])
    _, told = state(home).changes(number, "Ben", "b", [photo_id(3), photo_id(4)])
    assert [photo for photo, _ in told] == [photo_id(3)]


def test_whatever_is_changed_by_hand_is_told_of_all_photos_in_sight(home: Home) -> None:
    at = state(home)
    number, _ = at.changes(0, "Ann", "a", [])
    home.reviewed.mkdir(parents=True)
    rows = "".join(f"{photo_id(number)},keep,Ben\n" for number in range(60))
    (home.reviewed / "ben.csv").write_text(f"photo_id,decision,curator\n{rows}")
    in_sight = [photo_id(number) for number in range(40, 70)]
    number, told = at.changes(number, "Ann", "a", in_sight)
    assert [(photo, standing.status) for photo, standing in told] == [(photo, "keep") for photo in in_sight[:20]]
    (home.reviewed / "ben.csv").unlink()
    assert [standing.status for _, standing in at.changes(number, "Ann", "a", in_sight)[1]] == ["undecided"] * 20
    assert at.progress("Ann").decided == 0


def test_no_request_looks_at_all_photos(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, unique = home.tables.read("review_queue"), home.tables.read("unique_photos")
    copies = 200
    for name, table in (("review_queue", queue), ("unique_photos", unique)):
        numbers = np.repeat(np.arange(copies), len(table))
        many = pd.concat([table] * copies, ignore_index=True)
        for column in {"photo_id", "group", "split_key"} & set(table):
            many[column] = [f"{value}{number:04d}" for value, number in zip(many[column], numbers, strict=True)]
        home.tables.write(name, many.assign(position=range(len(many))) if name == "review_queue" else many)
    looked: list[int] = []
    matches = Search.matches

    def counted(search: Search, places: "slice | np.ndarray") -> np.ndarray:
        found = matches(search, places)
        looked.append(len(found))
        return found

    monkeypatch.setattr(Search, "matches", counted)
    at = state(home)
    assert at.progress("Ann").total == 70 * copies
    for _ in range(3):
        photo = at.upcoming(UNDECIDED, "", "Ann", "a")[0]
        assert at.single(photo, "Ann", "a") is not None
        assert at.previous(UNDECIDED, photo, "Ann") is None
        assert at.elsewhere(UNDECIDED, "Ann", "a") == 0
        at.decide(photo, KEEP, "Ann", "a")
        assert len(at.upcoming(UNDECIDED, photo, "Ann", "a", second_first=True)) == 4
    assert at.progress("Ann").decided == 3
    assert sum(looked) < 3 * 3 * FIRST_LOOK


def test_a_skipped_photo_waits_for_others_and_comes_back_when_undone(home: Home) -> None:
    at = state(home)
    at.decide(photo_id(0), Verdict("skip"), "Ann")
    assert at.upcoming(UNDECIDED, "", "Ann", "a", 1) == [photo_id(1)]
    assert at.upcoming(UNDECIDED, "", "Ben", "a", 1) == [photo_id(0)]
    assert at.upcoming(Filters(status="skipped"), "", "Ann", "a", 2) == [photo_id(0)]
    at.undo("Ann")
    assert at.upcoming(UNDECIDED, "", "Ann", "a", 1) == [photo_id(0)]


def test_a_photo_that_both_queries_found_is_one_photo(home: Home) -> None:
    unique = home.tables.read("unique_photos")
    row = unique[unique["photo_id"] == photo_id(1)]
    other = row.assign(domain="z", rule="both_domains", duplicate_of=photo_id(1))
    home.tables.write("unique_photos", pd.concat([unique, other]))
    at = state(home)
    at.catalog.refresh()
    (member,) = at.catalog.duplicates("flickr:77")
    assert (member.photo_id, member.domain, member.rule) == (photo_id(1), row["domain"].item(), None)


def test_a_decision_about_a_duplicate_stands_for_the_photo(home: Home) -> None:
    at = state(home)
    shown = at.single(photo_id(1), "Ann", "a")
    assert shown is not None
    assert [(twin.photo_id, twin.rule) for twin in shown.duplicates] == [("flickr:77", "perceptual")]
    home.reviewed.mkdir(parents=True)
    (home.reviewed / "ben.csv").write_text("photo_id,decision,curator\n77,keep,Ben\n")
    shown = at.single(photo_id(1), "Ann", "a")
    assert shown is not None
    assert shown.standing.status == "keep"
    assert at.upcoming(UNDECIDED, photo_id(0), "Ann", "a", 1) == [photo_id(2)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(status="all", domain="shallow"), lambda row: row["domain"] == "shallow"),
        (
            Filters(status="all", batch="batch-0002-ordinary-0a1b2c3d.csv"),
            lambda row: row["batch"].startswith("batch-0002-o"),
        ),
        (Filters(status="all", suggestion="drop"), lambda row: row["suggested_decision"] == "drop"),
        (Filters(status="all", suggestion="none"), lambda row: pd.isna(row["suggested_decision"])),
        (Filters(status="all", hints={"shallowness": (0.8, None)}), lambda row: row["shallowness"] >= 0.8),
        (Filters(status="all", hints={"subject_sharpness": (None, 0.6)}), lambda row: row["subject_sharpness"] <= 0.6),
        (Filters(status="all", domain="mars"), lambda row: False),
        (Filters(status="kept"), lambda row: False),
    ],
)
def test_filters(home: Home, filters: Filters, expected: object) -> None:
    rows = home.tables.read("review_queue").sort_values("position")
    wanted = [str(row["photo_id"]) for row in rows.to_dict("records") if expected(row)]
    found = state(home).upcoming(filters, "", "Ann", "a", 100)
    assert found == wanted
    assert Filters.parse(dict(pair.split("=") for pair in filters.query().split("&"))) == filters


def test_what_was_purged_is_not_shown_and_a_new_batch_is(home: Home) -> None:
    at = state(home)
    assert at.progress("Ann").total == 70
    unique, queue = home.tables.read("unique_photos"), home.tables.read("review_queue")
    sha256 = str(queue.loc[queue["photo_id"] == photo_id(5), "sha256"].iloc[0])
    assert at.catalog.may_show(sha256)
    home.tables.write("unique_photos", unique[unique["photo_id"] != photo_id(5)])
    home.tables.write("review_queue", queue[queue["position"] < 40])
    assert at.progress("Ann").total == 39
    assert at.single(photo_id(5), "Ann", "a") is None
    assert not at.catalog.may_show(sha256)
    home.tables.write("review_queue", queue)
    assert at.progress("Ann").total == 69


def test_an_empty_home_is_no_error(tmp_path: Path) -> None:
    empty = make_home(tmp_path / "home", count=1)
    empty.tables.path("review_queue").unlink()
    empty.tables.path("unique_photos").unlink()
    at = state(empty)
    assert at.grid(UNDECIDED, "", "Ann", "a").shown == []
    assert at.progress("Ann").total == 0


def test_photos_that_a_rule_decided_are_not_asked_again(home: Home) -> None:
    queue = home.tables.read("review_queue")
    home.tables.write("review_queue", queue.assign(waiting=queue["position"] != 0))
    at = state(home)
    assert at.upcoming(UNDECIDED, "", "Ann", "a", 1) == [photo_id(1)]
    shown = at.single(photo_id(0), "Ann", "a")
    assert shown is not None
    assert shown.standing.status == "rule"

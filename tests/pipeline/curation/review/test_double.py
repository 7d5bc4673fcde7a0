"""The review page with double review: two people for the share, one for the rest, none shown what the other said."""

import random
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.commands.review import review_page
from pipeline.config import load_project
from pipeline.curation.decisions import Verdict
from pipeline.curation.double_review import DoubleReview
from pipeline.curation.review import wording
from pipeline.curation.review.filters import STATUSES, Filters
from pipeline.curation.review.state import OPEN_LISTS, ReviewState
from storage import Home
from tests.pipeline.curation.review.worlds import make_home, photo_id

PHOTOS, SHARE = 64, 0.4
KEEP, EDITED = Verdict("keep"), Verdict("drop", "edited")
UNDECIDED, ALL, CONFLICTS = Filters(), Filters(status="all"), Filters(status="conflicts")
TWICE = [photo_id(number) for number in range(PHOTOS) if DoubleReview(SHARE).includes(photo_id(number))]
ONCE = [photo_id(number) for number in range(PHOTOS) if photo_id(number) not in TWICE]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_home(tmp_path_factory.mktemp("made"), count=PHOTOS).root
    with (root / "bokehflow.toml").open("a") as file:
        file.write(f"\n[curation]\ndouble_review = {SHARE}\n")
    return root


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    shutil.copytree(made, tmp_path / "home", ignore=shutil.ignore_patterns("blobs", "thumbnails"))
    return Home(tmp_path / "home")


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.curation.review.state.LOOK_AGAIN_S", -1.0)


def state(home: Home) -> ReviewState:
    return review_page(load_project(home.root / "bokehflow.toml"), home, "Ann", 8765).review


def listed(at: ReviewState, filters: Filters, curator: str) -> list[str]:
    return at.upcoming(filters, "", curator, curator, PHOTOS)


def test_twenty_curators_two_for_each_photo_of_the_share_and_one_for_each_other(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.curation.review.state.LOOK_AGAIN_S", 3600.0)
    at, chance = state(home), random.Random(5)
    deciders: dict[str, list[str]] = defaultdict(list)
    ahead: dict[str, list[str]] = {}
    curators = [f"curator {number}" for number in range(20)]
    idle = 0
    while idle <= 20:
        who = curators[idle - 1] if idle else chance.choice(curators)
        coming = ahead.get(who) or at.upcoming(UNDECIDED, "", who, who, 2)
        idle = 0 if coming else idle + 1
        if not coming:
            continue
        shown = at.single(coming[0], who, who)
        assert shown is not None
        assert (shown.standing.status, shown.standing.holds) == ("undecided", None)
        at.decide(coming[0], chance.choice([KEEP, EDITED]), who, who)
        deciders[coming[0]].append(who)
        ahead[who] = at.upcoming(UNDECIDED, coming[0], who, who, 2, second_first=True)
    assert {photo: len(set(people)) for photo, people in deciders.items()} == {
        **dict.fromkeys(TWICE, 2), **dict.fromkeys(ONCE, 1)
    }  # fmt: skip
    assert all(len(people) == len(set(people)) for people in deciders.values())
    assert at.progress("somebody else").decided == PHOTOS


def test_the_second_is_shown_nothing_of_the_first_and_the_first_is_not_asked_again(home: Home) -> None:
    at, photo = state(home), TWICE[0]
    number, _ = at.changes(0, "Ben", "Ben", [photo])
    at.decide(photo, EDITED, "Ann", "a")
    at.decide(ONCE[0], EDITED, "Ann", "a")
    assert [one for one, _ in at.changes(number, "Ben", "Ben", [photo, ONCE[0]])[1]] == [ONCE[0]]
    assert (at.progress("ann").decided, at.progress("Ben").decided) == (2, 1)
    assert photo in listed(at, UNDECIDED, "Ben")
    assert photo not in listed(at, Filters(status="dropped"), "Ben")
    (seen,) = [one for one in at.grid(ALL, "", "Ben", "Ben").shown if one.photo.photo_id == photo]
    assert seen.standing == at.standing(photo, "Ben")
    assert (seen.standing.status, wording.standing(seen.standing)) == ("undecided", "Undecided")
    for curator in ("Ann", "ANN"):
        assert photo not in listed(at, UNDECIDED, curator)
        standing = at.standing(photo, curator)
        assert standing is not None
        assert standing.status == "drop"


def test_a_photo_that_awaits_a_second_comes_right_after_a_decision_and_is_held_by_one(home: Home) -> None:
    at, photo = state(home), TWICE[0]
    at.decide(photo, KEEP, "Ann", "a")
    assert at.upcoming(UNDECIDED, photo_id(40), "Ben", "b", 1) == [photo_id(41)]
    assert at.upcoming(UNDECIDED, photo_id(40), "Ben", "b", 2, second_first=True) == [photo, photo_id(41)]
    assert at.single(photo, "Cem", "c") is None
    assert at.single(photo, "Ann", "a") is not None
    assert photo not in listed(at, UNDECIDED, "Cem")


def test_a_conflict_is_listed_and_a_third_decision_settles_it(home: Home) -> None:
    at, photo = state(home), TWICE[0]
    at.decide(photo, KEEP, "Ann", "a")
    at.decide(photo, EDITED, "Ben", "b")
    for curator in ("Ann", "Ben", "Cem"):
        assert listed(at, CONFLICTS, curator) == [photo]
        assert (at.progress(curator).conflicts, wording.conflicts(at.progress(curator))) == (1, "1 conflict")
        assert photo not in listed(at, UNDECIDED, curator)
        standing = at.standing(photo, curator)
        assert standing is not None
        assert (standing.status, [word.curator for word in standing.conflict]) == ("conflict", ["Ann", "Ben"])
        assert "Kept, by Ann" in wording.standing(standing)
    assert [one.photo.photo_id for one in at.grid(CONFLICTS, "", "Cem", "c").shown] == [photo]
    at.decide(photo, EDITED, "Cem", "c")
    settled = at.standing(photo, "Ann")
    assert settled is not None
    assert (settled.status, [word.curator for word in settled.others]) == ("drop", ["Ann"])
    at.undo("Cem", seat="c")
    assert listed(at, CONFLICTS, "Ann") == [photo]
    at.undo("Ben", seat="b")
    assert listed(at, CONFLICTS, "Ann") == []
    assert at.upcoming(UNDECIDED, "", "Ben", "b", 1, second_first=True) == [photo]


def test_who_skips_is_not_asked_again_and_another_is(home: Home) -> None:
    at, photo = state(home), TWICE[0]
    at.decide(photo, KEEP, "Ann", "a")
    at.decide(photo, Verdict("skip"), "Ben", "b")
    assert photo not in listed(at, UNDECIDED, "Ben")
    assert listed(at, Filters(status="skipped"), "Ben") == [photo]
    at.leave("Ben", [photo])
    assert at.single(photo, "Cem", "Ben") is not None


def test_what_was_decided_in_a_spreadsheet_awaits_a_second_too(home: Home) -> None:
    at = state(home)
    home.reviewed.mkdir(parents=True, exist_ok=True)
    (home.reviewed / "ann.csv").write_text(f"photo_id,decision,curator\n{TWICE[0]},keep,Ann\n{ONCE[0]},keep,Ann\n")
    queue = home.tables.read("review_queue")
    home.tables.write("review_queue", queue.assign(waiting=~queue["photo_id"].isin([TWICE[0], ONCE[0]])))
    assert TWICE[0] in listed(at, UNDECIDED, "Ben")
    assert ONCE[0] not in listed(at, UNDECIDED, "Ben")


SEATS = st.sampled_from("abc")
STEPS = st.tuples(st.sampled_from(["next", "keep", "drop", "skip", "undo"]), SEATS, st.integers(0, 4))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=20, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_nobody_is_given_what_they_decided_and_a_restart_sees_the_same(
    home: Home, steps: list[tuple[str, str, int]]
) -> None:
    shutil.rmtree(home.reviewed, ignore_errors=True)
    at = state(home)
    said: dict[str, set[str]] = defaultdict(set)
    for step, seat, number in steps:
        photo = TWICE[number]
        match step:
            case "next":
                given_now = at.upcoming(UNDECIDED, "", seat, seat, 6, second_first=True)
                assert not [one for one in given_now if seat in said[one] or len(said[one]) > 1]
            case "undo":
                undone = at.undo(seat, seat=seat)
                if undone:
                    standing = [word for word in at.log.words(undone.photo_id) if word.curator == seat][-1]
                    (said[undone.photo_id].discard if standing.decision == "skip" else said[undone.photo_id].add)(seat)
            case _:
                at.decide(photo, {"keep": KEEP, "drop": EDITED}.get(step, Verdict("skip")), seat, seat)
                (said[photo].discard if step == "skip" else said[photo].add)(seat)
    again = state(home)
    for seat in "abcd":
        found = [(at.standing(photo, seat), again.standing(photo, seat)) for photo in TWICE[:5]]
        assert all(before == after for before, after in found)
        hidden = [photo for photo in TWICE[:5] if len(said[photo]) == 1 and seat not in said[photo]]
        assert all((one := at.standing(photo, seat)) and one.status in OPEN_LISTS for photo in hidden)
        for name in ("decided", "total", "domains", "conflicts"):
            assert getattr(at.progress(seat), name) == getattr(again.progress(seat), name)
        for status in STATUSES:
            filters = Filters(status=status)
            pages = [one.grid(filters, "", seat, "x") for one in (at, again)]
            assert len({page.matching + page.elsewhere for page in pages}) == 1
            assert pages[1].matching == len(again.upcoming(filters, "", seat, "x", PHOTOS))
        assert at.progress(seat).decided == at.grid(Filters(status="decided"), "", seat, seat).matching

"""Rows that the page writes, undo, and what others write beside it."""

import csv
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.curation.decisions import Verdict, opinions, read_decisions
from pipeline.curation.review.decision_log import DecisionLog, RefusedDecision, key_of, said
from pipeline.errors import StorageError

DOMAINS = {"ordinary", "shallow"}
KNOWN = {f"flickr:{number}" for number in range(9)}
KEEP, EDITED = Verdict("keep"), Verdict("drop", "edited")


def log(folder: Path) -> DecisionLog:
    opened = DecisionLog(folder, DOMAINS, lambda: KNOWN)
    opened.refresh()
    return opened


def rows(folder: Path) -> list[dict[str, str]]:
    found = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            found += list(csv.DictReader(file))
    return found


def holding(folder: Path) -> dict[str, str]:
    """What a reader of the folder takes from it: the last opinion about each photo."""
    decisions, problems = read_decisions(folder, KNOWN, DOMAINS)
    assert not problems
    return {decision.photo_id: said(decision) for decision in opinions(decisions)}


def test_a_decision_is_on_the_disk_when_write_returns(tmp_path: Path) -> None:
    log(tmp_path).write("flickr:1", Verdict("drop", "other", note="=a statue"), "Ann")
    (row,) = rows(tmp_path)
    assert {**row, "decided_at": ""} == {
        "photo_id": "flickr:1", "decision": "drop", "reason": "other", "move_to": "", "curator": "Ann",
        "note": "'=a statue", "decided_at": "", "counts_at": "",
    }  # fmt: skip
    assert holding(tmp_path) == {"flickr:1": "drop (other)"}


def test_what_the_disk_did_not_take_is_not_decided_and_may_be_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = log(tmp_path)
    opened.write("flickr:1", KEEP, "Ann")
    fsync = os.fsync

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    for curator in ("Ann", "Bo"):
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="the disk is full"):
            opened.write("flickr:2", EDITED, curator)
        monkeypatch.setattr(os, "fsync", fsync)
        assert holding(tmp_path) == {"flickr:1": "keep"}
        assert not opened.words("flickr:2")
    opened.refresh()
    opened.write("flickr:2", EDITED, "Ann")
    assert opened.undoable("Bo") is None
    assert holding(tmp_path) == {"flickr:1": "keep", "flickr:2": "drop (edited)"}


@pytest.mark.parametrize(
    ("photo_id", "verdict"),
    [
        ("flickr:99", KEEP), ("flickr:1", Verdict("maybe")), ("flickr:1", Verdict("drop")), ("flickr:1", Verdict("")),
        ("flickr:1", Verdict("drop", "other")), ("flickr:1", Verdict("move", move_to="mars")), ("../etc", KEEP),
    ],
)  # fmt: skip
def test_what_no_csv_may_hold_is_refused_and_writes_nothing(tmp_path: Path, photo_id: str, verdict: Verdict) -> None:
    with pytest.raises(RefusedDecision):
        log(tmp_path).write(photo_id, verdict, "Ann")
    assert not rows(tmp_path)


def test_undo_is_a_newer_row_that_says_so(tmp_path: Path) -> None:
    opened = log(tmp_path)
    opened.write("flickr:1", KEEP, "Ann")
    opened.write("flickr:1", EDITED, "Ann")
    undone = opened.undo("Ann")
    assert undone is not None
    assert said(undone) == "drop (edited)"
    assert holding(tmp_path) == {"flickr:1": "keep"}
    opened.undo("Ann")
    assert holding(tmp_path) == {}
    assert opened.undo("Ann") is None
    written = [(row["decision"], row["note"]) for row in rows(tmp_path)]
    assert written == [("keep", ""), ("drop", ""), ("keep", "undo: drop (edited)"), ("skip", "undo: keep")]


def test_undo_goes_on_after_a_restart_and_touches_nobody_elses(tmp_path: Path) -> None:
    first = log(tmp_path)
    for number, curator in ((1, "Ann"), (2, "Ben"), (3, "Ann")):
        first.write(f"flickr:{number}", KEEP, curator)
    second = log(tmp_path)
    assert [undone.photo_id for undone in (second.undo("Ann"), second.undo("Ann")) if undone] == ["flickr:3", "flickr:1"]
    assert second.undo("Ann") is None
    assert holding(tmp_path) == {"flickr:2": "keep"}


def test_undo_restores_what_a_spreadsheet_had_said(tmp_path: Path) -> None:
    (tmp_path / "by-hand.csv").write_text("photo_id,decision,reason,curator,note\n1,drop,other,Ann,a doll\n")
    os.utime(tmp_path / "by-hand.csv", (1, 1))
    opened = log(tmp_path)
    opened.write("flickr:1", KEEP, "Ann")
    opened.undo("Ann")
    (*_, last) = rows(tmp_path)
    assert (last["decision"], last["reason"], last["note"]) == ("drop", "other", "undo: keep; a doll")


def test_what_is_sent_again_is_not_written_again(tmp_path: Path) -> None:
    opened = log(tmp_path)
    key = key_of(opened.write("flickr:1", KEEP, "Ann"))
    opened.write("flickr:2", KEEP, "Ann")
    assert log(tmp_path).write("flickr:2", KEEP, "Ann").photo_id == "flickr:2"
    assert opened.undo("Ann", expected=key) is None
    assert len(rows(tmp_path)) == 2


@pytest.mark.parametrize("between", ["another", "their own sheet"])
def test_what_is_said_again_after_others_spoke_is_written(tmp_path: Path, between: str) -> None:
    page = log(tmp_path)
    page.write("flickr:1", KEEP, "ann")
    if between == "another":
        page.write("flickr:1", EDITED, "ben")
    else:
        time.sleep(0.02)
        (tmp_path / "sheet.csv").write_text("photo_id,decision,reason,curator\nflickr:1,drop,edited,ann\n")
        page.refresh()
    page.write("flickr:1", KEEP, "ann")
    assert len(rows(tmp_path)) == 3
    decisions, _ = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert said(decisions[-1]) == said(decisions[0])


def test_a_file_that_a_spreadsheet_saved_over_is_left_alone(tmp_path: Path) -> None:
    opened = log(tmp_path)
    opened.write("flickr:1", KEEP, "Ann")
    (path,) = tmp_path.glob("*.csv")
    saved = path.read_text(encoding="utf-8-sig").replace(",", ";")
    path.write_text(saved)
    opened.write("flickr:2", KEEP, "Ann")
    assert path.read_text() == saved
    assert holding(tmp_path) == {"flickr:1": "keep", "flickr:2": "keep"}


def test_a_clock_that_is_set_back_does_not_bury_the_newer_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = log(tmp_path)
    opened.write("flickr:1", KEEP, "Ann")
    an_hour_ago_ns = time.time_ns() - 3_600 * 10**9
    monkeypatch.setattr("pipeline.curation.review.decision_log.time.time_ns", lambda: an_hour_ago_ns)
    opened.write("flickr:1", EDITED, "Ann")
    assert holding(tmp_path) == {"flickr:1": "drop (edited)"}


STEPS_OF_THE_CLOCK = st.sampled_from([0, -31_536_000, -3_600, 259_200])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.sampled_from(["Ann", "Ben"]), st.integers(0, 2), st.integers(0, 5), STEPS_OF_THE_CLOCK
        ),
        max_size=14,
    )
)
@example([(0, "Ann", 0, 1, 0), (0, "Ben", 0, 0, 0), (0, "Ann", 0, 1, 0), (0, "Ann", 0, 4, 0)])
def test_whoever_says_what_by_whatever_clock_the_last_acknowledged_word_holds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, int, int, int]]
) -> None:
    """Two pages, either of which may be killed and start anew at each step, with clocks that go back and forth."""
    folder, system_ns = tmp_path_factory.mktemp("reviewed"), time.time_ns
    pages = [log(folder), log(folder)]
    words: dict[tuple[int, str], list[Verdict]] = {}
    made: dict[str, list[tuple[int, int]]] = {"Ann": [], "Ben": []}
    latest: dict[int, int] = {}
    """The step that said the last word about each photo."""
    for step, (which, curator, number, action, step_s) in enumerate(steps):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipeline.curation.review.decision_log.time.time_ns", lambda s=step_s: system_ns() + s * 10**9)
            if action == 5:
                pages[which] = log(folder)
            pages[which].refresh()
            if action == 4:
                undone = pages[which].undo(curator)
                assert (undone.photo_id if undone else None) == (f"flickr:{made[curator][-1][0]}" if made[curator] else None)
                if made[curator]:
                    taken_back, _ = made[curator].pop()
                    words[taken_back, curator].pop()
                    latest[taken_back] = step
                continue
            verdict = (KEEP, EDITED, Verdict("move", move_to="shallow"), Verdict("skip"))[action % 4]
            repeated = made[curator][-1:] == [(number, latest.get(number))] and words[number, curator][-1] == verdict
            pages[which].write(f"flickr:{number}", verdict, curator)
            if not repeated:
                words.setdefault((number, curator), []).append(verdict)
                made[curator].append((number, step))
                latest[number] = step
    decisions, problems = read_decisions(folder, KNOWN, DOMAINS)
    assert not any(problem.is_fatal for problem in problems)
    found = {(word.photo_id, word.curator): word.decision for word in opinions(decisions)}
    assert found == {
        (f"flickr:{number}", curator): said[-1].decision
        for (number, curator), said in words.items()
        if said and said[-1].decision != "skip"
    }


def test_a_clock_that_stands_still_keeps_the_order_of_two_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file system's does for some milliseconds; the page that started first has the last word."""
    now_ns = time.time_ns()
    monkeypatch.setattr("pipeline.curation.review.decision_log.time.time_ns", lambda: now_ns)
    monkeypatch.setattr("pipeline.curation.review.decision_log._shared_us", lambda folder, clock_us: clock_us)
    first, second = log(tmp_path), log(tmp_path)
    first._start, second._start = (first._start[:-6] + ending for ending in ("000000", "ffffff"))
    for page, photo_id in ((second, "flickr:1"), (first, "flickr:2"), (second, "flickr:0")):
        page.refresh()
        page.write(photo_id, KEEP, "Ann")
    for photo_id in ("flickr:0", "flickr:2", "flickr:1"):
        undone = log(tmp_path)
        undone.refresh()
        decision = undone.undo("Ann")
        assert decision is not None
        assert decision.photo_id == photo_id


def test_a_note_of_a_person_never_undoes(tmp_path: Path) -> None:
    for note in ("undo: it", "\u200bundo: it", "\0undo: it", "\u00a0\u200d\u00a0undo: it", "un\u202edo:\tit"):
        log(tmp_path).write("flickr:1", Verdict("drop", "other", note=note), f"Ann {note!a}")
    assert {row["note"] for row in rows(tmp_path)} == {"note: undo: it"}
    assert log(tmp_path).undoable("Ann 'undo: it'") is not None


def test_two_pages_on_one_folder_see_each_other(tmp_path: Path) -> None:
    ann, ben = log(tmp_path), log(tmp_path)
    ann.write("flickr:1", KEEP, "Ann")
    assert ben.refresh() == {"flickr:1"}
    ben.write("flickr:1", EDITED, "Ben")
    ann.write("flickr:2", KEEP, "Ann")
    assert ann.refresh() == {"flickr:1"}
    assert ben.refresh() == {"flickr:2"}
    assert ann.words("flickr:1") == ben.words("flickr:1")
    (tmp_path / "gone.csv").write_text("photo_id,decision\n3,keep\n")
    assert ann.refresh() == {"flickr:3"}
    (tmp_path / "gone.csv").unlink()
    assert ann.refresh() == {"flickr:3"}
    assert ann.words("flickr:3") == []


def test_the_pace_leaves_pauses_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = log(tmp_path)
    for second in (0, 4, 8, 12, 4000, 4004, 4008):
        monkeypatch.setattr(
            "pipeline.curation.review.decision_log.time.time_ns", lambda at=second: (1_700_000_000 + at) * 10**9
        )
        opened.write(f"flickr:{second % 9}", KEEP if second % 8 else EDITED, "Ann")
    assert opened.pace("Ann") == pytest.approx(900)
    assert opened.pace("Ben") is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["Ann", "Ben"]),
        st.sampled_from([0, 1, 2]),
        st.sampled_from([KEEP, EDITED, Verdict("move", move_to="shallow"), Verdict("skip"), None]),
    ),
    max_size=14,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(STEPS)
@example([("Ann", 0, EDITED), ("Ben", 0, KEEP), ("Ann", 0, EDITED), ("Ann", 0, None)])
def test_undo_takes_back_exactly_one_decision_whatever_came_before(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, Verdict | None]]
) -> None:
    folder = tmp_path_factory.mktemp("reviewed")
    opened = log(folder)
    made: dict[str, list[tuple[int, Verdict, int]]] = {"Ann": [], "Ben": []}
    latest: dict[int, int] = {}
    """The step that said the last word about each photo."""
    for step, (curator, number, verdict) in enumerate(steps):
        if verdict is None:
            if undone := opened.undo(curator):
                latest[int(undone.photo_id.removeprefix("flickr:"))] = step
            del made[curator][-1:]
        else:
            opened.write(f"flickr:{number}", verdict, curator)
            if made[curator][-1:] != [(number, verdict, latest.get(number))]:
                made[curator].append((number, verdict, step))
                latest[number] = step
    expected = {(number, curator): verdict for curator, all_made in made.items() for number, verdict, _ in all_made}
    decisions, problems = read_decisions(folder, KNOWN, DOMAINS)
    found = {(word.photo_id, word.curator): said(word) for word in opinions(decisions)}
    assert not problems
    assert found == {
        (f"flickr:{number}", curator): "move (shallow)" if verdict.move_to else "drop (edited)" if verdict.reason else "keep"
        for (number, curator), verdict in expected.items()
        if verdict.decision != "skip"
    }
    again = log(folder)
    assert {photo: again.words(photo) for photo in KNOWN} == {photo: opened.words(photo) for photo in KNOWN}

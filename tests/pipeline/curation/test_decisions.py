"""The reviewed CSVs: patience with spreadsheets, complaints that help, nothing lost."""

import cProfile
import csv
import io
import os
import resource
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.curation.decisions import (
    DECISION_COLUMNS,
    Verdict,
    append_decision,
    folder_version,
    opinions,
    read_decisions,
    time_ns,
)
from pipeline.errors import StorageError
from tests.pipeline.curation.worlds import DOMAINS, KNOWN, decision, reviewed

BOTH = [("flickr:1", "keep", None), ("flickr:2", "drop", "wrong_tag")]


def said(folder: Path) -> list[tuple[str, str, str | None]]:
    decisions, problems = read_decisions(folder, KNOWN, DOMAINS)
    assert not problems, [str(problem) for problem in problems]
    return [(found.photo_id, found.decision, found.reason) for found in decisions]


def complaints(folder: Path) -> list[str]:
    return [str(problem) for problem in read_decisions(folder, KNOWN, DOMAINS)[1]]


def test_a_plain_file_is_read_and_each_decision_says_where_it_stands(tmp_path: Path) -> None:
    reviewed(tmp_path, "photo_id,decision,reason,curator,note\nflickr:1,keep,,Ann,\nflickr:2,drop,no_person,Ann,empty\n")
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert not problems
    assert [(d.photo_id, d.decision, d.reason, d.curator, d.note, d.file, d.row, d.when[0]) for d in decisions] == [
        ("flickr:1", "keep", None, "Ann", None, "a.csv", 2, 10**9),
        ("flickr:2", "drop", "no_person", "Ann", "empty", "a.csv", 3, 10**9),
    ]


@pytest.mark.parametrize(
    "data",
    [
        "Photo_ID;Decision;Reason;Note\r\n flickr:1 ; KEEP ;;\r\nflickr:2;Drop; Wrong Tag ;schön\r\n".encode("cp1252"),
        "\ufeffnote,extra,reason,decision,photo_id\nschön,1,,keep,1\nschön,,wrong_tag,drop,2\n".encode(),
        b"photo_id\tdecision\treason\nflickr:1\tkeep\t\nflickr:2\tdrop\twrong_tag\n\t\t\n",
        "photo_id\tdecision\treason\r\nflickr:1\tkeep\t\r\nflickr:2\tdrop\twrong-tag\r\n".encode("utf-16"),
        "photo_id,decision,reason\r\nflickr:1,keep,\r\nflickr:2,drop,wrong_tag\r\n".encode("utf-16-le"),
        "photo_id,decision,reason\r\nflickr:1,keep,\r\nflickr:2,drop,wrong_tag\r\n".encode("utf-16-be"),
        b"sep=;\r\nphoto_id;decision;reason\r\n1;keep;\r\n2;drop;wrong_tag\r\n",
        b"\r\n\r\nPhoto ID,Decision,Reason\rflickr:1,keep,\rFlickr:2,drop,WRONG TAG\r",
        b'"photo_id","decision","reason"\n"1.0","keep",""\n"2,00","drop","wrong_tag"',
        "photo_id,decision,reason\n\u00a0flickr:1\u00a0,keep\u200b,\nflickr:2,drop,wrong_tag\n".encode(),
        b'photo_id,title,decision,reason\n1,"two\nlines",keep,\n2,"5"" lens",drop,wrong_tag\n',
    ],
    ids=["windows-1252", "bom", "tabs", "utf-16", "utf-16-le", "utf-16-be", "sep", "old mac", "floats", "blanks", "quotes"],
)
def test_what_spreadsheets_do_to_a_file_is_survived(tmp_path: Path, data: bytes) -> None:
    reviewed(tmp_path, data)
    assert said(tmp_path) == BOTH


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("flickr:99,keep,,,", "a.csv, row 2: photo_id 'flickr:99': no photo of this id was ever listed"),
        (",keep,,,", "a.csv, row 2: photo_id '': the id is missing"),
        ("4.95E+10,keep,,,", "a.csv, row 2: photo_id '4.95E+10': a spreadsheet has rounded this number; copy the id"),
        ('"4,95E+10",keep,,,', "a.csv, row 2: photo_id '4,95E+10': a spreadsheet has rounded this number"),
        ("flickr:1,maybe,,,", "a.csv, row 2: decision 'maybe': must be one of keep, drop, move, skip"),
        ("flickr:1,drop,ugly,,", "a.csv, row 2: reason 'ugly': a dropped photo needs one of wrong_tag"),
        ("flickr:1,drop,,,", "a.csv, row 2: reason '': a dropped photo needs one of wrong_tag"),
        ("flickr:1,drop,other,,", "a.csv, row 2: note '': the reason other needs a note"),
        ("flickr:1,move,,mars,", "a.csv, row 2: move_to 'mars': must be one of ordinary, shallow"),
    ],
)
def test_a_bad_row_is_reported_and_the_good_ones_count(tmp_path: Path, row: str, message: str) -> None:
    reviewed(tmp_path, f"photo_id,decision,reason,move_to,note\n{row}\nflickr:2,keep,,,\n")
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert [found.photo_id for found in decisions] == ["flickr:2"]
    assert len(problems) == 1
    assert str(problems[0]).startswith(message)
    assert problems[0].is_fatal


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a.csv: file 'a.csv': the file is empty"),
        (b"\xef\xbb\xbf\r\n", "a.csv: file 'a.csv': the file is empty"),
        (b"PK\x03\x04rest", "a.csv: file 'a.csv': this is an Excel workbook"),
        (b"\xd0\xcf\x11\xe0rest", "a.csv: file 'a.csv': this is an Excel workbook"),
        (b"id,verdict\n1,keep\n", "a.csv, row 1: header 'id, verdict': the column photo_id is missing"),
        (b"photo_id,title\n1,x\n", "a.csv, row 1: header 'photo_id, title': the column decision is missing"),
        (b"photo_id,decision,Decision\n1,keep,drop\n", "a.csv, row 1: header 'photo_id, decision, decision': the column"),
        (bytes(range(256)) * 4, "a.csv: file 'a.csv': it is broken UTF-16"),
        (b'"photo_id,decision\n1,keep\n', "a.csv: file 'a.csv': the header's quotation marks do not close"),
    ],
    ids=["empty", "blank", "xlsx", "xls", "no id", "no decision", "twice", "binary", "open header"],
)
def test_a_bad_file_is_reported(tmp_path: Path, data: bytes, message: str) -> None:
    reviewed(tmp_path, data)
    assert not read_decisions(tmp_path, KNOWN, DOMAINS)[0]
    assert [found[: len(message)] for found in complaints(tmp_path)] == [message]


def test_a_workbook_under_its_own_name_is_not_passed_over(tmp_path: Path) -> None:
    reviewed(tmp_path, b"PK\x03\x04rest", "batch.xlsx")
    assert "Excel workbook" in complaints(tmp_path)[0]


def test_files_that_programs_keep_for_themselves_are_named(tmp_path: Path) -> None:
    for name in (".~lock.a.csv#", "~$a.csv", ".a.csv", ".DS_Store", "Thumbs.db"):
        reviewed(tmp_path, b"nonsense", name)
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert not decisions
    assert [problem.file for problem in problems] == [".a.csv", ".~lock.a.csv#", "~$a.csv"]
    assert not any(problem.is_fatal for problem in problems)


def test_a_half_written_file_keeps_its_good_rows(tmp_path: Path) -> None:
    whole = "photo_id,decision,reason,curator\nflickr:1,keep,,Ann\nflickr:2,drop,wrong_tag,Ann\n"
    for end in range(len("photo_id,decision,reason,curator\nflickr:1,keep,,"), len(whole)):
        reviewed(tmp_path, whole[:end])
        decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
        assert decisions[0].photo_id == "flickr:1"
        assert len(decisions) - 1 + len(problems) <= 1


@pytest.mark.parametrize("middle", ['flickr:2,keep,"oh', 'flickr:2,keep,"oh\nflickr:3,keep,"again'])
def test_a_quotation_mark_that_nobody_closes_swallows_no_other_row(tmp_path: Path, middle: str) -> None:
    rows = "".join(f"flickr:{number},keep,\n" for number in range(4, 30))
    reviewed(tmp_path, f"photo_id,decision,note\nflickr:1,keep,\n{middle}\n{rows}")
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert {found.photo_id for found in decisions} >= {"flickr:1", *(f"flickr:{number}" for number in range(4, 30))}
    assert problems
    assert "a quotation mark opens here and is not closed" in str(problems[0])
    assert "a.csv, row 3" in str(problems[0])


def test_an_open_quotation_mark_before_more_than_a_cell_can_hold(tmp_path: Path) -> None:
    rows = "".join(f"x{number},,{'n' * 100}\n" for number in range(3000))
    reviewed(tmp_path, f'photo_id,decision,note\nflickr:1,keep,"oh\n{rows}flickr:2,keep,\n')
    assert [found.photo_id for found in read_decisions(tmp_path, KNOWN, DOMAINS)[0]] == ["flickr:2"]


def test_a_row_whose_cells_have_shifted_decides_nothing(tmp_path: Path) -> None:
    reviewed(
        tmp_path, "photo_id,title,decision,reason\nflickr:1,Smith, John,keep,\nflickr:1,a,drop,other, x\nflickr:2,b,keep\n"
    )
    found, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert [decision.photo_id for decision in found] == ["flickr:2"]
    assert [(problem.row, "cells, the header" in problem.allowed) for problem in problems][1:] == [(3, True)]
    assert problems[0].row == 2


def test_rows_are_numbered_as_a_spreadsheet_does(tmp_path: Path) -> None:
    reviewed(tmp_path, 'photo_id,decision,note\n1,keep,"two\nlines"\n,,\n\n2,perhaps,\n')
    assert complaints(tmp_path)[0].startswith("a.csv, row 5: decision 'perhaps'")


def test_ten_times_the_rows_take_ten_times_the_work(tmp_path: Path) -> None:
    """Nothing is quadratic in a long CSV; counted in calls, those of built-in functions too."""

    def calls(count: int) -> int:
        ids = [f"flickr:{4_950_000_000 + number}" for number in range(count)]
        rows = "".join(
            f'{id},"a title, quoted",drop,no_person,Ann,2026-01-01T00:00:00.{n:06d}Z\r\n' for n, id in enumerate(ids)
        )
        folder = tmp_path / str(count)
        reviewed(folder, f"photo_id,title,decision,reason,curator,decided_at\r\n{rows}")
        profile = cProfile.Profile()
        decisions, problems = profile.runcall(read_decisions, folder, set(ids), DOMAINS)
        assert len(decisions) == count
        assert not problems
        return sum(entry.callcount for entry in profile.getstats())

    assert calls(5_000) < 11 * calls(500)


def test_a_row_that_bears_its_time_counts_by_it_whenever_its_file_was_saved(tmp_path: Path) -> None:
    at = "photo_id,decision,decided_at\nflickr:1,keep,{}\n"
    reviewed(tmp_path, at.format("2026-03-01T10:00:00Z"), "early.csv", when_s=10**9)
    reviewed(tmp_path, at.format("2026-02-01 12:00+01:00").replace("keep", "skip"), "late.csv", when_s=2 * 10**9 - 1)
    assert [found.file for found in read_decisions(tmp_path, KNOWN, DOMAINS)[0]] == ["late.csv", "early.csv"]


@pytest.mark.parametrize("wrong", ["yesterday", "2999-01-01T00:00:00Z", "3/5/2024"])
def test_a_time_that_cannot_be_is_named_and_the_row_counts(tmp_path: Path, wrong: str) -> None:
    reviewed(tmp_path, f"photo_id,decision,decided_at\nflickr:1,keep,{wrong}\nflickr:2,keep,\n")
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert {found.photo_id for found in decisions} == {"flickr:1", "flickr:2"}
    assert [(problem.row, problem.column, problem.value, problem.is_fatal) for problem in problems] == [
        (2, "decided_at", wrong, False)
    ]


def test_what_counts_later_than_it_was_decided_says_so(tmp_path: Path) -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    append_decision(tmp_path / "a.csv", "flickr:1", Verdict("keep"), decided_at=datetime(2026, 2, 1, tzinfo=UTC))
    append_decision(tmp_path / "b.csv", "flickr:1", Verdict("drop", "edited"), decided_at=early, counts_at=late)
    found, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert not problems
    assert [(row.decision, row.decided_ns // 10**9) for row in found] == [
        ("keep", 1_769_904_000), ("drop", int(early.timestamp()))
    ]  # fmt: skip


def test_files_with_their_mark_are_never_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "ann.csv"
    append_decision(path, "flickr:1", Verdict("keep", note="\0" * 400))
    append_decision(path, "flickr:2", Verdict("keep", note="\ud83d\u202eü"))
    assert b"\0" not in path.read_bytes()
    whole = path.read_bytes()
    head, first, *rest = whole.split(b"\r\n")
    path.write_bytes(b"\r\n".join([head, first.replace(b",,,,", b",,,," + b"\0" * 4000), *rest]))
    assert [id for id, _, _ in said(tmp_path)] == ["flickr:1", "flickr:2"]
    path.write_bytes(whole[: whole.index("ü".encode()) + 1])
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert [found.photo_id for found in decisions] == ["flickr:1"]
    assert not any(problem.is_fatal for problem in problems)


def test_folders_links_and_odd_names_are_read_or_named(tmp_path: Path) -> None:
    folder = tmp_path / "reviewed"
    text = "photo_id,decision\nflickr:{},keep\n"
    reviewed(folder / "alice" / "deep", text.format(1), "A.CSV")
    reviewed(folder, text.format(2), "batch.csv.txt")
    reviewed(tmp_path / "elsewhere", text.format(3), "c (conflicted copy).csv")
    reviewed(folder, text.format(4), "batch.csv.bak")
    reviewed(folder, text.format(5), "notes.md")
    reviewed(folder, text.format(6), os.fsdecode(b"caf\xe9.csv"))
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    os.mkfifo(folder / "pipe.csv")
    decisions, problems = read_decisions(folder, KNOWN, DOMAINS)
    assert [found.file for found in decisions] == [
        "alice/deep/A.CSV", "batch.csv.txt", "caf\\xe9.csv", "linked/c (conflicted copy).csv"
    ]  # fmt: skip
    assert {problem.file: problem.is_fatal for problem in problems} == {
        "batch.csv.bak": False, "notes.md": False, "gone.csv": True, "pipe.csv": True
    }  # fmt: skip
    version = folder_version(folder)
    (folder / "notes.md").unlink()
    assert folder_version(folder) != version


def test_times_are_read_to_the_microsecond() -> None:
    assert time_ns("1970-01-01T00:00:01.000002Z") == 1_000_002_000
    assert time_ns("1970-01-01T01:00:01+01:00") == time_ns("1970-01-01 00:00:01") == 10**9


@pytest.mark.parametrize("time", ["0026-11-21 10:00", "1601-01-01", "2999-01-01T00:00:00Z"])
@pytest.mark.parametrize("column", ["decided_at", "counts_at"])
def test_a_year_in_which_nobody_decides_is_no_time(tmp_path: Path, column: str, time: str) -> None:
    reviewed(tmp_path, f"photo_id,decision,{column}\nflickr:1,keep,{time}\n")
    ((found,), (problem,)) = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert found.when[0] == 10**9
    assert "is no time like" in str(problem)
    assert "that of the file counts" in str(problem)


@pytest.mark.parametrize("header", ["decided_at", "Decided At", "decided-at", "counts_at", "Counts At"])
def test_under_whatever_spelling_of_times_a_touched_file_changes_the_version(tmp_path: Path, header: str) -> None:
    reviewed(tmp_path, f"photo_id,decision,{header}\n1,keep,1970-01-01T00:00:03Z\n", "timed.csv")
    path = reviewed(tmp_path, "photo_id,decision\n1,skip\n", "b.csv", when_s=2)
    version = folder_version(tmp_path)
    os.utime(path, (4, 4))
    assert folder_version(tmp_path) != version


def test_the_version_of_the_folder_follows_content_and_order(tmp_path: Path) -> None:
    assert folder_version(tmp_path / "none") == folder_version(tmp_path)
    path = reviewed(tmp_path, "photo_id,decision\n")
    version = folder_version(tmp_path)
    os.utime(path, (99, 99))
    assert folder_version(tmp_path) == version
    reviewed(tmp_path, "photo_id,decision\n1,keep\n")
    one = folder_version(tmp_path)
    assert one != version
    other = reviewed(tmp_path, "photo_id,decision\n1,drop\n", "b.csv", when_s=5)
    two = folder_version(tmp_path)
    os.utime(other, (0, 0))
    assert folder_version(tmp_path) not in (one, two)


def test_a_file_touched_beside_rows_with_their_own_time_changes_the_version(tmp_path: Path) -> None:
    append_decision(tmp_path / "page.csv", "flickr:1", Verdict("keep"))
    path = reviewed(tmp_path, "photo_id,decision\n1,skip\n", when_s=1)
    version = folder_version(tmp_path)
    os.utime(path, (2, 2))
    assert folder_version(tmp_path) != version


def test_appended_decisions_are_read_back_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "reviewed" / "ann.csv"
    append_decision(path, "flickr:1", Verdict("keep"), curator="Änn")
    before = path.read_bytes()
    append_decision(
        path, "flickr:2", Verdict("drop", "other", "", '=1+1, "quoted"\nand a line'), "Änn", datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert path.read_bytes().startswith(before)
    assert next(csv.reader(io.StringIO(before.decode("utf-8-sig")))) == list(DECISION_COLUMNS)
    decisions, problems = read_decisions(path.parent, KNOWN, DOMAINS)
    assert not problems
    assert [(found.photo_id, found.curator, found.note, found.row) for found in decisions] == [
        ("flickr:2", "Änn", '=1+1, "quoted" and a line', 3),
        ("flickr:1", "Änn", None, 2),
    ]
    assert b"'=1+1" in path.read_bytes()


def test_a_torn_last_row_is_no_obstacle_wherever_it_tore(tmp_path: Path) -> None:
    path = tmp_path / "ann.csv"
    append_decision(path, "flickr:1", Verdict("keep"), curator="Ann")
    first = len(path.read_bytes())
    append_decision(path, "flickr:2", Verdict("drop", "other", note='not "mine", sorry'), curator="Ann")
    whole = path.read_bytes()
    for end in range(first, len(whole) - 1):
        path.write_bytes(whole[:end])
        decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
        assert "flickr:1" in {found.photo_id for found in decisions}
        assert not [problem for problem in problems if problem.is_fatal]
    append_decision(path, "flickr:3", Verdict("keep"), curator="Ann")
    assert {found.photo_id for found in read_decisions(tmp_path, KNOWN, DOMAINS)[0]} >= {"flickr:1", "flickr:3"}


def test_a_name_that_was_read_by_a_guess_is_told_once_and_its_rows_count(tmp_path: Path) -> None:
    text = "photo_id;decision;curator;note\r1;skip;Zoë;\r2;keep;Zoë;\r3;keep;Ann;schön\r4;;Noël;\r"
    reviewed(tmp_path, text.encode("mac_roman"))
    decisions, (problem,) = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert len(decisions) == 3
    assert not problem.is_fatal
    assert (problem.row, problem.column, problem.value) == (2, "curator", decisions[0].curator)
    assert "save it as UTF-8" in str(problem)
    reviewed(tmp_path, text.replace("Zoë", "Zoe").encode("mac_roman"))
    assert not read_decisions(tmp_path, KNOWN, DOMAINS)[1], "notes alone name nobody"
    reviewed(tmp_path, text.encode())
    assert not read_decisions(tmp_path, KNOWN, DOMAINS)[1]


@pytest.mark.parametrize("end", ["\r\n", ""])
def test_a_wrong_value_in_a_whole_last_row_is_an_error_with_and_without_a_line_end(tmp_path: Path, end: str) -> None:
    header = ",".join(DECISION_COLUMNS)
    time = "2026-01-02T03:04:05Z"
    reviewed(tmp_path, f"{header}\r\n1,keep,,,Ann,,{time},\r\n2,drop,wrong tags,,Ann,,{time},{end}")
    decisions, (problem,) = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert [found.photo_id for found in decisions] == ["flickr:1"]
    assert problem.is_fatal
    assert (problem.row, problem.column, problem.value) == (3, "reason", "wrong_tags")


def test_a_last_row_cut_in_its_last_cell_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "ann.csv"
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    append_decision(path, "flickr:1", Verdict("keep"), "Ann", at, at)
    append_decision(path, "flickr:2", Verdict("drop", "other", note='a "quoted, note"'), "Ann", at, at)
    whole = path.read_bytes()
    for end in range(whole.index(b"flickr:2"), len(whole)):
        path.write_bytes(whole[:end])
        decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
        assert "flickr:1" in {found.photo_id for found in decisions}
        assert not [problem for problem in problems if problem.is_fatal]


@pytest.mark.parametrize("room", [0, 1, 30, 60])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_row_that_the_disk_does_not_take_is_no_decision_and_leaves_no_trace(
    tmp_path: Path, room: int, is_new: bool
) -> None:
    path = tmp_path / "ann.csv"
    if not is_new:
        append_decision(path, "flickr:1", Verdict("keep"))
    before = path.read_bytes() if path.exists() else None
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before or b"") + room, hard))
    try:
        with pytest.raises(StorageError, match=r"the disk is full|a file may not be so large"):
            append_decision(path, "flickr:2", Verdict("drop", "other", note="cut " * 20), curator="Ann")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (path.read_bytes() if path.exists() else None) == before
    append_decision(path, "flickr:3", Verdict("keep"))
    assert [photo_id for photo_id, _, _ in said(tmp_path)][-1] == "flickr:3"


def test_a_row_that_never_reaches_the_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ann.csv"
    append_decision(path, "flickr:1", Verdict("keep"))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        append_decision(path, "flickr:2", Verdict("keep"))
    assert path.read_bytes() == before


def test_skip_takes_back_what_the_same_curator_said_and_nothing_else() -> None:
    made = [
        decision(1, "keep", 1),
        decision(1, "drop", 2, curator="Ben"),
        decision(1, "skip", 3, curator="Ben"),
        decision(2, "keep", 1),
        decision(2, "skip", 2, curator="ann"),
    ]
    assert [(word.photo_id, word.curator, word.decision) for word in opinions(made)] == [("flickr:1", "Ann", "keep")]


text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=30)


PUBLISHED = {f"flickr:{49512345670 + number}" for number in range(10)}
"""Ids as long as Flickr's: a note with a line that begins with one, and a separator, is taken for rows run together."""


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(sorted(PUBLISHED)), text), min_size=1, max_size=8), st.sampled_from(",;\t"))
@example([("flickr:49512345670", "\r0")], ",")
def test_whatever_the_notes_are_every_decision_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], separator: str
) -> None:
    folder = tmp_path_factory.mktemp("reviewed")
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator)
    writer.writerow(["photo_id", "note", "decision"])
    writer.writerows([id, note, "keep"] for id, note in rows)
    reviewed(folder, buffer.getvalue())
    decisions, problems = read_decisions(folder, PUBLISHED, DOMAINS)
    assert not problems
    assert [found.photo_id for found in decisions] == [id for id, _ in rows]


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_no_bytes_whatever_break_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("reviewed")
    reviewed(folder, data)
    reviewed(folder, "photo_id,decision\nflickr:1,keep\n", "good.csv")
    assert "flickr:1" in {found.photo_id for found in read_decisions(folder, KNOWN, DOMAINS)[0]}


def test_a_copy_is_named_and_does_not_say_again_what_was_overruled(tmp_path: Path) -> None:
    text = "photo_id,decision\n1,keep\n"
    reviewed(tmp_path, text, "monday.csv", when_s=1)
    reviewed(tmp_path, "photo_id,decision\n1,skip\n", "tuesday.csv", when_s=2)
    reviewed(tmp_path / "backup", text, "monday (copy).csv", when_s=3)
    decisions, problems = read_decisions(tmp_path, KNOWN, DOMAINS)
    assert [(found.file, found.decision) for found in decisions] == [("monday.csv", "keep"), ("tuesday.csv", "skip")]
    (problem,) = problems
    assert not problem.is_fatal
    assert str(problem) == (
        "backup/monday (copy).csv: file 'monday (copy).csv': not read: a copy of monday.csv, byte for byte"
    )
    (tmp_path / "monday.csv").unlink()
    assert [found.file for found in read_decisions(tmp_path, KNOWN, DOMAINS)[0]] == [
        "tuesday.csv",
        "backup/monday (copy).csv",
    ]

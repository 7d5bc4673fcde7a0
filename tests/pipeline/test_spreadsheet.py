"""CSVs of people: whatever bytes they are, and nothing in ours that a spreadsheet executes.

What the reader survives is tested where it is used: `curation/test_decisions.py`, `photos/test_metadata.py`.
"""

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import spreadsheet
from pipeline.spreadsheet import LONG_CELL, OPEN_QUOTE, csv_text, harmless, read_rows, read_sheet, table_bytes


def test_cells_come_as_they_were_meant(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'sep=;\r\n Photo ID ;the-title;;\r\n\'=1+1;"=""0012""";x\r\n\r\n@a;\'b;\r\n')
    assert list(read_rows(path)) == [
        {"photo_id": "=1+1", "the_title": "0012"},
        {},
        {"photo_id": "@a", "the_title": "'b"},
    ]


def test_rows_keep_the_text_that_they_were_read_from() -> None:
    data = b'\r\na,b\r\n1,"two\r\nlines"\r\n3,"open\r\n4,5\r\n'
    sheet = read_sheet(data, "a", {"4"}.__contains__)
    records = list(sheet.records)
    assert (sheet.head + "".join(record.text for record in records)).encode() == data
    assert [(record.number, record.cells[0], record.trouble) for record in records] == [
        (3, "1", ""), (4, "3", OPEN_QUOTE), (5, "4", ""),
    ]  # fmt: skip


def test_an_open_cell_just_below_the_limit_of_a_cell() -> None:
    limit = csv.field_size_limit()
    for size in range(limit - 8, limit + 3):
        (record,) = read_sheet(b'a,b\n1,"' + b"x" * size).records
        assert record.trouble in (OPEN_QUOTE, LONG_CELL)


def test_a_cell_that_is_too_long_costs_its_own_row_only() -> None:
    sheet = read_sheet(b'a,b\n1,"' + b"x" * 200_000 + b'"\n2,' + b"y" * 200_000 + b"\n3,z\n")
    assert [(record.cells[0], record.trouble) for record in sheet.records] == [("1", LONG_CELL), ("2", LONG_CELL), ("3", "")]


@pytest.mark.parametrize(
    ("row", "trouble"),
    [("1,2,3", "it has 3 cells, the header 2"), ("1,2,,3", "it has 4 cells"), ("1,2,,", ""), ("1", ""), ('"1,2",3', "")],
)
def test_a_row_with_more_cells_than_the_header_is_none(row: str, trouble: str) -> None:
    sheet = read_sheet(f"a,b\n{row}\n".encode())
    (record,) = sheet.records
    assert sheet.trouble(record).startswith(trouble)
    assert bool(trouble) == bool(sheet.trouble(record))
    assert sheet.is_short(record) == (row == "1")


def test_a_column_that_is_there_twice_is_named() -> None:
    sheet = read_sheet(b"File,licence,License,note,note\n", aliases={"licence": "license"})
    assert sheet.twice(["file", "license"]) == "the column license is there 2 times (licence, license); leave one"
    assert sheet.twice(["note"]) == "the column note is there 2 times; leave one"
    assert sheet.twice(["file"]) == ""


SPOKEN = "file,title\na.jpg,Ä 東京 Łódź\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("before", ["", "\r\n", "\n\n"])
def test_unicode_is_read_in_all_its_encodings(encoding: str, before: str) -> None:
    sheet = read_sheet((before + SPOKEN).encode(encoding))
    assert not sheet.doubt
    assert [sheet.row(record) for record in sheet.records] == [{"file": "a.jpg", "title": "Ä 東京 Łódź"}]


@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        ("cp1252", "José"),
        ("mac_roman", "José"),
        ("shift_jis", "東京"),
        ("cp1251", "Иван"),
        ("gb18030", "张伟"),
        ("cp850", "Ä"),
    ],
)
def test_another_encoding_is_never_taken_for_certain(encoding: str, title: str) -> None:
    sheet = read_sheet(f"file,title\r\na.jpg,{title}\r\n".encode(encoding))
    assert sheet.doubt.startswith("line 2, at 'a.jpg,")
    assert "save it as UTF-8" in sheet.doubt
    assert [record.cells[0] for record in sheet.records] == ["a.jpg"]


def test_nuls_below_the_header_make_no_utf16() -> None:
    sheet = read_sheet(b"a,b\n1," + b"\0" * 500 + b"\n2,x\n")
    assert [record.cells for record in sheet.records] == [["1", ""], ["2", "x"]]


@pytest.mark.parametrize("data", [SPOKEN.encode("utf-16")[:-1], SPOKEN.encode("utf-16-le")[:-1], b"\xef\xbb\xbfa\n\xff"])
def test_unicode_that_is_broken_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="broken UTF"):
        read_sheet(data)


@pytest.mark.parametrize(
    ("key", "header", "columns"),
    [("file", "file\ttitle, or, name\n", ["file", "title,_or,_name"]), ("", "a;b,c;d\n", ["a", "b,c", "d"])],
)
def test_the_separator_is_the_one_that_makes_the_key_a_column(key: str, header: str, columns: list[str]) -> None:
    assert read_sheet(header.encode(), key).columns == columns


@pytest.mark.parametrize("told", ["sep=|", '"sep=|"', "SEP=|,,", "sep=|\t"])
def test_a_first_line_may_say_the_separator(told: str) -> None:
    assert read_sheet(f"{told}\r\na|b\r\n".encode()).columns == ["a", "b"]


def test_open_marks_all_the_way_take_no_time_for_each_other() -> None:
    sheet = read_sheet(b"a,b\n" + b'1,"x\n' * 200_001, "a", {"1"}.__contains__)
    assert sum(record.trouble == OPEN_QUOTE for record in sheet.records) == 200_001


def test_what_is_no_plain_file_or_too_large_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ValueError, match="no plain file"):
        table_bytes(tmp_path / "pipe.csv")
    (tmp_path / "a.csv").write_bytes(b"a\n1\n2\n")
    assert table_bytes(tmp_path / "a.csv") == b"a\n1\n2\n"
    monkeypatch.setattr(spreadsheet, "MAX_BYTES", 5)
    with pytest.raises(ValueError, match="6 bytes, allowed are 5"):
        table_bytes(tmp_path / "a.csv")
    monkeypatch.setattr(spreadsheet, "MAX_LINES", 2)
    with pytest.raises(ValueError, match="more than 2 lines"):
        read_sheet(b"a\n1\n2\n")


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_no_cell_of_ours_is_a_formula_whatever_splits_it(cells: list[str]) -> None:
    written = csv_text([[harmless(cell) for cell in cells]])
    (read,) = csv.reader(io.StringIO(written, newline=""))
    for separator in ",;\t":
        for part in separator.join(read).split(separator):
            assert not part.strip(" ").startswith(("=", "@"))
    assert not any(cell.startswith(("+", "-")) for cell in read)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_the_reader(data: bytes) -> None:
    try:
        sheet = read_sheet(data)
    except ValueError:
        return
    assert all(record.text for record in sheet.records)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xef\xbb\xbf\r\n", b"sep=;\r\n", b"PK\x03\x04", b'"a\n', b"\0\0", b'{"file": "a.jpg"}\n', b'[\n  {"file": 1}]'],
)
def test_what_is_no_table_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"empty|workbook|quotation|JSON"):
        read_sheet(data)

"""CSVs of people: whatever bytes they are, and nothing in ours that a spreadsheet executes.

What the reader survives is tested where it is used: `curation/test_decisions.py`, `photos/test_metadata.py`.
"""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spreadsheet import csv_text, harmless, read_rows, read_sheet


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
    assert [(record.number, record.cells[0], record.broken) for record in records] == [
        (3, "1", False), (4, "3", True), (5, "4", False),
    ]  # fmt: skip


def test_an_open_cell_just_below_the_limit_of_a_cell() -> None:
    limit = csv.field_size_limit()
    for size in range(limit - 8, limit + 3):
        (record,) = read_sheet(b'a,b\n1,"' + b"x" * size).records
        assert record.broken


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


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf\r\n", b"sep=;\r\n", b"PK\x03\x04", b'"a\n'])
def test_what_is_no_table_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"empty|workbook|quotation"):
        read_sheet(data)

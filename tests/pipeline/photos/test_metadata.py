"""The CSV about pictures of one's own, as spreadsheets leave it."""

import unicodedata
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.photos.metadata import Metadata, Told, read_metadata

FILES = ["a.jpg", "sub/b.jpg", "sub/Ä.JPG", "x/same.png", "y/same.png"]


def read(folder: Path, data: bytes | str) -> Metadata:
    path = folder / "photos.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_metadata(path, folder, FILES)


def test_every_column_is_read(tmp_path: Path) -> None:
    told = read(
        tmp_path,
        "File,Owner,owner name,Licence,Link,title,tags,date_taken,date_upload\r\n"
        'a.jpg,12@N01,"Ann, Ä.",CC BY-NC 2.0,https://x.org/1,"two\r\nlines","Two Words; red",'
        "05.03.2024,2024-03-05 12:30:00\r\n",
    ).told
    assert told == {
        "a.jpg": Told(
            owner="12@N01", owner_name="Ann, Ä.", title="two\r\nlines", tags="twowords red", license="2",
            page_url="https://x.org/1", date_upload_s=1709641800, date_taken="2024-03-05 00:00:00",
        )
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        "file,title\na.jpg,Ä x\n",
        "\ufefffile;title\r\na.jpg;Ä x\r\n;\r\n",
        "file\ttitle\na.jpg\tÄ x\t\t\n".encode("utf-16"),
        "file,title\na.jpg,Ä x".encode("utf-16-le"),
        "sep=;\r\nfile;title\r\na.jpg;Ä x\r\n",
        '"FILE NAME","TITLE"\n" ./a.jpg "," Ä x "\n',
        "file,title\nA.JPG,Ä x\n\n,,\n",
    ],
)
def test_what_spreadsheets_do_to_a_file(tmp_path: Path, data: bytes | str) -> None:
    found = read(tmp_path, data)
    assert found.told == {"a.jpg": Told(title="Ä x")}
    assert not found.problems


def test_files_are_found_by_path_or_by_a_name_that_is_only_theirs(tmp_path: Path) -> None:
    found = read(tmp_path, "file\nsub\\b.jpg\nä.jpg\nsame.png\nnone.jpg\n\nx/same.png\n")
    assert set(found.told) == {"sub/b.jpg", "sub/Ä.JPG", "x/same.png"}
    assert [str(problem) for problem in found.problems] == [
        "photos.csv, row 4: file 'same.png': several files may be meant: x/same.png, y/same.png; write the path, as the "
        "file is named",
        "photos.csv, row 5: file 'none.jpg': there is no such picture in the folder",
    ]


@pytest.mark.parametrize("order", [["A.jpg", "a.jpg"], ["a.jpg", "A.jpg"]])
def test_files_that_differ_in_capitals_are_told_apart(tmp_path: Path, order: list[str]) -> None:
    path = tmp_path / "photos.csv"
    path.write_text("file,owner\nA.jpg,Ann\na.jpg,Bo\nB.jpg,Cy\nSUB/a.JPG,Di\n")
    found = read_metadata(path, tmp_path, [*order, "b.jpg", "sub/B.jpg", "sub/A.jpg", "sub/a.jpg"])
    assert {file: told.owner for file, told in found.told.items()} == {"A.jpg": "Ann", "a.jpg": "Bo", "b.jpg": "Cy"}
    assert [str(problem) for problem in found.problems] == [
        "photos.csv, row 5: file 'SUB/a.JPG': several files may be meant: sub/A.jpg, sub/a.jpg; write the path, as the file "
        "is named"
    ]


def test_letters_composed_otherwise_are_told_apart_where_they_must_be(tmp_path: Path) -> None:
    one, two = unicodedata.normalize("NFC", "ä.jpg"), unicodedata.normalize("NFD", "ä.jpg")
    path = tmp_path / "photos.csv"
    path.write_text(f"file,owner\n{two},Ann\n", encoding="utf-8")
    for files in ([one, two], [two], [one]):
        assert set(read_metadata(path, tmp_path, files).told) == {two if two in files else one}


@pytest.mark.parametrize("row", ["a.jpg,Smith, John,CC BY 2.0", "a.jpg,Smith,CC BY 2.0,x", "Smith, John,CC BY,a.jpg"])
def test_a_row_whose_cells_have_shifted_tells_nothing(tmp_path: Path, row: str) -> None:
    found = read(tmp_path, f"file,title,license\n{row}\nsub/b.jpg,good,4\n")
    assert found.told == {"sub/b.jpg": Told(title="good", license="4")}
    assert found.spoiled == ({"a.jpg"} if row.startswith("a.jpg") else set())
    assert str(found.problems[0]).startswith(f"photos.csv, row 2: row {row!r}: it has 4 cells, the header 3")


def test_short_rows_tell_what_they_have_and_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, "file,owner,title\na.jpg,Ann\nsub/b.jpg,Bo,x\n")
    assert found.told == {"a.jpg": Told(owner="Ann"), "sub/b.jpg": Told(owner="Bo", title="x")}
    assert found.short_rows == (2,)


def test_a_file_is_found_by_its_path_from_the_csv_or_from_the_root(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    path = tmp_path / "photos.csv"
    for cell in (
        "photos/sub/b.jpg",
        "./photos/x/../sub/b.jpg",
        f"{tmp_path}/photos/sub/b.jpg",
        f"{tmp_path}/photos/SUB/B.JPG",
    ):
        path.write_text(f"file,owner\n{cell},Ann\n")
        assert read_metadata(path, tmp_path / "photos", FILES).told == {"sub/b.jpg": Told(owner="Ann")}
    path.write_text(f"file,owner\n{tmp_path.resolve()}/photos/a.jpg,Ann\n{tmp_path}/link/sub/b.jpg,Bo\n")
    assert set(read_metadata(path, tmp_path / "link", FILES).told) == {"a.jpg", "sub/b.jpg"}
    path.write_text("file,owner\n/elsewhere/photos/a.jpg,Ann\nC:\\photos\\a.jpg,Ann\nphotosx/a.jpg,Ann\n")
    found = read_metadata(path, tmp_path / "photos", FILES)
    assert (found.told, [problem.row for problem in found.problems]) == ({}, [2, 3, 4])


@pytest.mark.parametrize(
    "taken", ["2024-03-05T12:30:00", "2024-03-05T12:30:00Z", "2024-03-05 12:30:00.5+02:00", "05.03.2024 12:30"]
)
def test_the_cameras_clock_is_what_is_written(tmp_path: Path, taken: str) -> None:
    found = read(tmp_path, f"file,date_taken\na.jpg,{taken}\n")
    assert found.told == {"a.jpg": Told(date_taken="2024-03-05 12:30:00")}


@pytest.mark.parametrize("uploaded", ["2024-03-05T12:30:00Z", "2024-03-05 14:30:00+02:00", "1709641800", "2024-03-05T12:30"])
def test_an_upload_has_its_time_zone(tmp_path: Path, uploaded: str) -> None:
    assert read(tmp_path, f"file,date_upload\na.jpg,{uploaded}\n").told["a.jpg"].date_upload_s == 1709641800


def test_a_cell_that_is_too_long_is_named(tmp_path: Path) -> None:
    found = read(tmp_path, f"file,owner,title\na.jpg,{'x' * 10_001},t\nsub/b.jpg,{'x' * 200_000},t\nx/same.png,Ann,t\n")
    assert [(problem.row, problem.column, problem.allowed) for problem in found.problems] == [
        (2, "owner", "a cell has at most 10,000 characters"), (3, "row", "a cell is longer than 131,072 characters"),
    ]  # fmt: skip
    assert found.spoiled == {"a.jpg", "sub/b.jpg"}


def test_a_formula_comes_back_as_it_was(tmp_path: Path) -> None:
    found = read(tmp_path, 'file,title,owner\na.jpg,\'=1+1,"=""0012"""\n')
    assert found.told["a.jpg"] == Told(title="=1+1", owner="0012")


def test_what_is_wrong_is_named_with_row_and_column_and_its_photo_waits(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "sep=;\nfile;date_taken;date_upload;link;mood\na.jpg;3/5/2024;soon;ftp://x;good\nsub/b.jpg;;;;\nsub/b.jpg;;;;\n;2024-01-01;;;\n",
    )
    assert [(problem.row, problem.column) for problem in found.problems] == [
        (3, "date_upload"), (3, "date_taken"), (3, "page_url"), (5, "file"), (6, "file"),
    ]  # fmt: skip
    assert found.spoiled == {"a.jpg", "sub/b.jpg"}
    assert found.unknown_columns == ("mood",)


@pytest.mark.parametrize("rows", [1, 3000], ids=["few", "more than a cell can hold"])
@pytest.mark.parametrize("columns", ["file,title,owner", "title,file,owner"], ids=["file first", "file second"])
def test_a_quotation_mark_that_nobody_closes_costs_its_own_row_only(tmp_path: Path, columns: str, rows: int) -> None:
    def row(file: str, title: str) -> str:
        return ",".join({"file": file, "title": title, "owner": "Ann"}[name] for name in columns.split(","))

    others = [row(f"none{number}.jpg", "x" * 100) for number in range(rows)]
    found = read(tmp_path, "\n".join([columns, row("a.jpg", '"oh'), *others, row("sub/b.jpg", "good"), ""]))
    assert found.told == {"sub/b.jpg": Told(title="good", owner="Ann")}
    assert str(found.problems[0]).endswith("a quotation mark opens here and is not closed")
    assert found.problems[0].row == 2
    assert found.spoiled == {"a.jpg"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04rest", "an Excel workbook and no CSV"),
        (b"", "the file is empty"),
        (b"name,title\nx,y\n", "row 1: the column file is missing; found are name, title"),
        (b"file,owner,owner\na.jpg,alice,\n", "row 1: the column owner is there 2 times; leave one"),
        (b"file,license,Licence\na.jpg,4,\n", r"row 1: the column license is there 2 times \(license, licence\); leave one"),
        (b"file,page_url,url\n", r"the column page_url is there 2 times \(page_url, url\); leave one"),
        ("file,owner\na.jpg,José\n".encode("cp1252"), r"line 2, at 'a.jpg,Jos\\xe9': its encoding cannot be told: save it"),
        (b'{"file": "a.jpg", "owner": "alice"}\n', "this is JSON, not a CSV"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, data)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_metadata(tmp_path / "none.csv", tmp_path, FILES)

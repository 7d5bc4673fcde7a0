"""What a Parquet file would become is known before it is read, whatever its footer says."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import parquet_files
from pipeline.parquet_files import _pages, parquet_path, parquet_table, rows_with, table_without
from pipeline.plain_files import NotAPlainFile, open_plain

HEADER_BYTES = 400
"""Of a page, at most; with the smallest and the largest text of the page."""


def write(path: Path, table: pa.Table, **options: object) -> Path:
    pq.write_table(table, path, **options)
    return path


@given(
    texts=st.lists(st.one_of(st.none(), st.text("abc\n\U0001f600", max_size=9)), max_size=80),
    compression=st.sampled_from(["none", "snappy", "zstd"]),
    use_dictionary=st.booleans(),
    version=st.sampled_from(["1.0", "2.0"]),
    rows=st.integers(1, 90),
    page_bytes=st.integers(1, 200),
    checksums=st.booleans(),
)
def test_every_page_is_found(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], compression: str, use_dictionary: bool, version: str,
    rows: int, page_bytes: int, checksums: bool,
) -> None:  # fmt: skip
    table = pa.table({"text": pa.array(texts, pa.string()), "number": range(len(texts))})
    path = write(
        tmp_path_factory.mktemp("pages") / "a.parquet", table, compression=compression, use_dictionary=use_dictionary,
        data_page_version=version, row_group_size=rows, data_page_size=page_bytes, write_page_checksum=checksums,
        write_batch_size=7,
    )  # fmt: skip
    footer = pq.read_metadata(path)
    with open_plain(path) as file:
        pages = list(_pages(file, footer, path.stat().st_size, None))
    told = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    assert 0 <= told - sum(pages) <= HEADER_BYTES * (len(pages) + 3 * footer.num_row_groups)
    assert pq.read_table(parquet_path(path)).to_pydict() == table.to_pydict()


def test_a_page_that_becomes_much_is_refused(tmp_path: Path) -> None:
    bomb = pa.table({"a": [b"\0" * 1_000_000] * 200})
    path = write(tmp_path / "a.parquet", bomb, compression="zstd", use_dictionary=False, data_page_size=2**30)
    with pytest.raises(pa.ArrowInvalid, match="bytes would become more than"):
        parquet_path(path)


def test_of_columns_that_are_asked_for_only_the_pages_are_looked_at(tmp_path: Path) -> None:
    bomb = pa.table({"a": [b"\0" * 1_000_000] * 200, "b": range(200), "c": [{"d": 1}] * 200})
    path = write(tmp_path / "a.parquet", bomb, compression="zstd", use_dictionary=False, data_page_size=2**30)
    assert parquet_table(path, ["c", "b", "no such"]).equals(bomb.select(["c", "b"]))
    for columns in (None, ["b", "a"]):
        with pytest.raises(pa.ArrowInvalid, match="bytes would become more than"):
            parquet_table(path, columns)


def test_where_no_row_is_found_nothing_else_is_read(tmp_path: Path) -> None:
    texts = [f"{number % 3}" for number in range(200)]
    table = pa.table({"a": texts, "a.b": ["x"] * 200, "bomb": [b"\0" * 1_000_000] * 200})
    path = write(tmp_path / "a.parquet", table, compression="zstd", use_dictionary=False, data_page_size=2**30)
    assert rows_with(path, "a", {"2", "3"}, ["a.b", "a"]).to_pylist() == [{"a.b": "x", "a": "2"}] * 66
    for columns in (["bomb"], None):
        assert rows_with(path, "a", {"3"}, columns).num_rows == 0
        with pytest.raises(pa.ArrowInvalid, match="bytes would become more than"):
            rows_with(path, "a", {"2"}, columns)
    for column, columns in (("c", ["a"]), ("a", ["c"])):
        with pytest.raises(KeyError):
            rows_with(path, column, {"3"}, columns)


@given(
    texts=st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=40),
    values=st.sets(st.sampled_from("abcd")),
    rows=st.integers(1, 50),
)
def test_rows_are_found_by_what_stands_in_them(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], values: set[str], rows: int
) -> None:
    table = pa.table({"text": pa.array(texts), "number": range(len(texts)), "other": pa.array(texts[::-1])})
    path = write(tmp_path_factory.mktemp("rows") / "a.parquet", table, row_group_size=rows)
    expected = [number for number, text in enumerate(texts) if text in values]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_files, "ROWS_AT_ONCE", 7)
        assert rows_with(path, "text", values, ["number"])["number"].to_pylist() == expected
        assert rows_with(path, "text", values).column_names == ["text", "number", "other"]
        left = table_without(path, values, ["text", "other"])
    kept = [place for place, pair in enumerate(zip(texts, texts[::-1], strict=True)) if not values & set(pair)]
    assert left is None if len(kept) == len(texts) else left is not None and left.equals(table.take(pa.array(kept, "int64")))


def test_the_header_of_the_page_counts_and_not_the_footer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"a": pa.array(range(4_000), pa.int64())})
    path = write(tmp_path / "a.parquet", table, compression="none", use_dictionary=False)
    monkeypatch.setattr(parquet_files, "FREE_BYTES", 100_000)
    monkeypatch.setattr(parquet_files, "MAX_RATIO", 1)
    assert parquet_path(path) == path
    data = bytearray(path.read_bytes())
    assert data[4:7] == b"\x15\x00\x15"  # the page's kind, then the field of its size, three bytes
    data[7:10] = b"\xfe\xff\x7f"
    path.write_bytes(data)
    with pytest.raises(pa.ArrowInvalid, match="would become more than 1,048"):
        parquet_path(path)


@pytest.mark.parametrize(
    ("table", "options", "why"),
    [
        (pa.table({"a": pa.nulls(2_000_000, pa.string())}), {}, "2,000,000 rows in"),
        (
            pa.table({"a": ["x" * 99, "x" * 99 + "y"]}),
            {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
            "share",
        ),
        (pa.table([pa.array([1])] * 900, [f"c{n}" for n in range(900)]), {"MAX_CHUNKS": 899}, "groups of rows"),
        (
            pa.table({"a": range(400)}),
            {"FREE_PAGES": 3, "BYTES_PER_PAGE": 10**9, "row_group_size": 100},
            "more than 3 pages",
        ),
    ],
)
def test_what_else_is_out_of_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: pa.Table, options: dict[str, object], why: str
) -> None:
    for name in [name for name in options if name.isupper()]:
        monkeypatch.setattr(parquet_files, name, options[name])
    written = {name: value for name, value in options.items() if not name.isupper()}
    with pytest.raises(pa.ArrowInvalid, match=why):
        parquet_path(write(tmp_path / "a.parquet", table, **written))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b"x" * 1000])
def test_what_is_none_is_invalid(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(pa.ArrowInvalid):
        parquet_path(tmp_path / "a.parquet")
    with pytest.raises(NotAPlainFile):
        parquet_path(tmp_path)
    with pytest.raises(FileNotFoundError):
        parquet_path(tmp_path / "none")

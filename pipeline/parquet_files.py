"""Parquet files that somebody else may have written: what their pages would become is added up before any is unpacked.

A footer says how large its pages are and may lie; the header of each page says so too, and pyarrow takes that much memory
before it unpacks the page. So the headers are read first, by the letter of the format (parquet-format 2.10, its Thrift
compact protocol): they are small, and nothing of what follows them need be read.
"""

import io
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.plain_files import open_plain

FREE_BYTES, MAX_RATIO = 64 * 2**20, 100
"""Unpacked, a file may have so many bytes, or so many times its own; real ones have ten times: digests do not shrink."""
FREE_ROWS, BYTES_PER_ROW = 100_000, 8
"""A file may have so many rows, and one more for so many of its bytes: every row of ours has an id or numbers of its own."""
FREE_PAGES, BYTES_PER_PAGE = 10_000, 1_000
MAX_CHUNKS = 200_000
"""Columns times row groups."""
SHARED_BEGINNINGS = 7
"""The encoding (DELTA_BYTE_ARRAY) whose values repeat the one before: a few bytes each, of any length. pyarrow writes it
only when it is told to."""
MAX_HEADER_DEPTH = 8
ROWS_AT_ONCE, READ_BYTES = 65_536, 1 << 20
"""Of what is looked through: memory that was used is used again, where the system would have to clear new one."""


def parquet_path(path: Path) -> Path:
    """The path, once the file there is plain and becomes no more than it may: for pyarrow and pandas, which open it.

    Raises `ArrowInvalid` for what is no Parquet file, damaged or out of proportion, and the `OSError`s of `open_plain`.
    """
    _checked(path, None)
    return path


def parquet_table(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """What is in the file, or those of these columns that it has, in this order; only their pages are looked at.

    Raises as `parquet_path` does.
    """
    with pq.ParquetFile(path, metadata=_checked(path, columns)) as file:
        return file.read(None if columns is None else list(columns))


def _checked(path: Path, columns: Collection[str] | None) -> pq.FileMetaData:
    """The footer, once the pages of these columns, or of all, become no more than they may."""
    with open_plain(path) as file:
        return _measured(file, columns)


def _measured(file: io.BufferedReader, columns: Collection[str] | None) -> pq.FileMetaData:
    footer, size_bytes = _footer(file)
    unpacked = pages = 0
    for unpacked_bytes in _pages(file, footer, size_bytes, columns):
        unpacked, pages = unpacked + unpacked_bytes, pages + 1
        if unpacked > max(FREE_BYTES, MAX_RATIO * size_bytes):
            raise pa.ArrowInvalid(f"{size_bytes:,} bytes would become more than {unpacked - 1:,}")
        if pages > FREE_PAGES + size_bytes // BYTES_PER_PAGE:
            raise pa.ArrowInvalid(f"more than {pages - 1:,} pages in {size_bytes:,} bytes")
    return footer


def rows_with(path: Path, column: str, values: Iterable[str], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows whose `column` is one of `values`, with these columns or all; where there is none, nothing else is read.

    Of a million rows some are in memory at a time. Raises as `parquet_path` does, and `KeyError` for a column that the file
    does not have.
    """
    with open_plain(path) as file:
        parquet = pq.ParquetFile(file, metadata=_measured(file, [column]), buffer_size=READ_BYTES)
        found = dict(_found(parquet, column, _asked(values)))
        wanted = parquet.schema_arrow if columns is None else pa.schema(map(parquet.schema_arrow.field, columns))
        if not found:
            return wanted.empty_table()
        _measured(file, wanted.names)
        batches = (batch for group, chosen in found.items() for batch in _chosen(parquet, wanted.names, group, chosen))
        return pa.Table.from_batches([batch.select(wanted.names) for batch in batches], wanted)


def table_without(path: Path, values: Iterable[str], columns: Sequence[str]) -> pa.Table | None:
    """The table but for rows where one of `columns` is one of `values`; None where there is none, and then little is read.

    One column after the other is read and left behind, since Python clears memory for each anew. Raises as `rows_with` does.
    """
    asked = _asked(values)
    with open_plain(path) as file:
        parquet = pq.ParquetFile(file, metadata=_measured(file, columns), buffer_size=READ_BYTES)
        leaving = np.zeros(parquet.metadata.num_rows, bool)
        starts = np.cumsum([0, *(parquet.metadata.row_group(at).num_rows for at in range(parquet.num_row_groups))])
        for column in columns:
            for group, found in _found(parquet, column, asked):
                leaving[starts[group] : starts[group + 1]] |= found
        if not leaving.any():
            return None
        _measured(file, None)
        schema = parquet.schema_arrow
        return pa.Table.from_arrays([_left(parquet, field, leaving) for field in schema], schema=schema)


def _left(parquet: pq.ParquetFile, field: pa.Field, leaving: np.ndarray) -> pa.ChunkedArray:
    """A column without some rows, in one piece, which is what files of equal bytes come of."""
    at, parts = 0, list[pa.Array]()
    for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=[field.name], use_threads=False):
        gone, cells = leaving[at : at + len(batch)], batch.column(0)
        at += len(batch)
        parts.append(cells.filter(pa.array(~gone)) if gone.any() else cells)
    return pa.table([pa.chunked_array(parts, field.type)], [field.name]).combine_chunks().column(0)


def _found(parquet: pq.ParquetFile, column: str, asked: pa.Array) -> Iterator[tuple[int, np.ndarray]]:
    """The groups of rows that have one of the texts in a column, with whether each row does."""
    parquet.schema_arrow.field(column)  # which says what is missing
    for group in range(parquet.num_row_groups):
        batches = parquet.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[column], use_threads=False)
        found = [_is_among(batch.column(0), asked).to_numpy(zero_copy_only=False) for batch in batches]
        if any(part.any() for part in found):
            yield group, np.concatenate(found)


def _chosen(parquet: pq.ParquetFile, names: list[str], group: int, chosen: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Rows of a group of rows, with these columns."""
    at = 0
    for batch in parquet.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=names, use_threads=False):
        part = chosen[at : at + len(batch)]
        at += len(batch)
        if part.any():
            yield batch.filter(pa.array(part))


def is_one_of(column: pa.ChunkedArray, values: Iterable[str]) -> pa.BooleanArray:
    """Whether each text of a column is one of `values`; what is unknown is none of them."""
    asked = _asked(values)
    found = [_is_among(chunk, asked) for chunk in column.chunks]
    return pa.concat_arrays(found) if found else pa.array([], pa.bool_())


def _asked(values: Iterable[str]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _is_among(cells: pa.Array, asked: pa.Array) -> pa.BooleanArray:
    if pa.types.is_null(cells.type):
        return pa.array(np.zeros(len(cells), bool))
    return pc.call_function("is_in", [cells], pc.SetLookupOptions(asked.cast(cells.type), skip_nulls=True))


def parquet_footer(path: Path) -> pq.FileMetaData:
    """What the file says of itself, for who reads no page of it. Raises as `parquet_path` does."""
    with open_plain(path) as file:
        return _footer(file)[0]


def _footer(file: io.BufferedReader) -> tuple[pq.FileMetaData, int]:
    """With the size of the file, in bytes."""
    size_bytes = file.seek(0, io.SEEK_END)
    try:
        footer = pq.read_metadata(file)
    except OSError as error:  # of what is no Parquet file at all
        raise pa.ArrowInvalid(str(error)) from None
    _check_counts(footer, size_bytes)
    return footer, size_bytes


def _check_counts(footer: pq.FileMetaData, size_bytes: int) -> None:
    groups = footer.num_row_groups
    if groups * footer.num_columns > MAX_CHUNKS:
        raise pa.ArrowInvalid(f"{groups:,} groups of rows with {footer.num_columns:,} columns")
    rows = max(footer.num_rows, sum(footer.row_group(group).num_rows for group in range(groups)))
    if rows > FREE_ROWS + size_bytes // BYTES_PER_ROW:
        raise pa.ArrowInvalid(f"{rows:,} rows in {size_bytes:,} bytes")


def _pages(
    file: io.BufferedReader, footer: pq.FileMetaData, size_bytes: int, columns: Collection[str] | None
) -> Iterator[int]:
    """What each page unpacks to, in bytes, by its own header; those of these columns, or all."""
    paths = [footer.schema.column(number).path for number in range(footer.num_columns)]
    wanted = [at for at, path in enumerate(paths) if columns is None or path.split(".")[0] in columns]
    for group in range(footer.num_row_groups):
        rows = footer.row_group(group)
        for number in wanted:
            chunk = rows.column(number)
            is_flat = footer.schema.column(number).max_repetition_level == 0
            if is_flat and chunk.num_values > max(rows.num_rows, 0):
                raise pa.ArrowInvalid(f"{chunk.num_values:,} values in {rows.num_rows:,} rows")
            yield from _pages_of_chunk(file, chunk, size_bytes)


def _pages_of_chunk(file: io.BufferedReader, chunk: pq.ColumnChunkMetaData, size_bytes: int) -> Iterator[int]:
    """As pyarrow finds them: one after the other until all values were seen, or the chunk ends."""
    at, values = chunk.data_page_offset, 0
    if chunk.has_dictionary_page and 0 < (first := chunk.dictionary_page_offset or 0) < at:
        at = first
    end = at + chunk.total_compressed_size
    if at < 0 or not at <= end <= size_bytes:
        raise pa.ArrowInvalid("a column lies outside the file")
    while at < end and values < chunk.num_values:
        file.seek(at)
        header = _Header(file).read()
        unpacked_bytes, packed_bytes = header.get(2), header.get(3)
        if not isinstance(unpacked_bytes, int) or not isinstance(packed_bytes, int) or min(unpacked_bytes, packed_bytes) < 0:
            raise pa.ArrowInvalid("the header of a page is damaged")
        values += _values(header)
        at = file.tell() + packed_bytes
        yield unpacked_bytes


def _values(header: dict[int, object]) -> int:
    """How many values a page has; none where it is a dictionary or anything else."""
    for kind, encoding in ((5, 2), (8, 4)):  # pages of data, by the first and the second version
        if isinstance(page := header.get(kind), dict):
            if page.get(encoding) == SHARED_BEGINNINGS:
                raise pa.ArrowInvalid("texts are packed as what they share with the one before, which is not read")
            count = page.get(1)
            return count if isinstance(count, int) and count > 0 else 0
    return 0


class _Header:
    """A struct in Thrift's compact protocol, read from where the file stands: values by the numbers of their fields."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def read(self, depth: int = 0) -> dict[int, object]:
        if depth > MAX_HEADER_DEPTH:
            raise pa.ArrowInvalid("the header of a page is nested too deeply")
        found: dict[int, object] = {}
        number = 0
        while (byte := self._byte()) & 15:
            number = number + (byte >> 4) if byte >> 4 else self._whole()
            found[number] = self._value(byte & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> object:
        match kind:
            case 1 | 2:
                return kind == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._whole()
            case 7:
                return struct.unpack("<d", self._take(8))[0]
            case 8:
                return self._file.seek(self._unsigned(), io.SEEK_CUR)  # texts say nothing about sizes
            case 12:
                return self.read(depth + 1)
        raise pa.ArrowInvalid("the header of a page is damaged")  # pages have no lists, sets or maps

    def _whole(self) -> int:
        zigzag = self._unsigned()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def _unsigned(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise pa.ArrowInvalid("the header of a page is damaged")

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        if len(data := self._file.read(count)) < count:
            raise pa.ArrowInvalid("the file ends within the header of a page")
        return data

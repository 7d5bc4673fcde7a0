"""The Parquet files of a snapshot, which may be a stranger's: what they hold is measured before it is unpacked.

A file of some kB may unfold to gigabytes: a text that is repeated, columns within columns. So its pages are measured first,
only the columns that we know are read, as texts and whole numbers, texts are kept as numbers of a dictionary
until their sum is known, and there is a limit to everything.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.bounded import check_plain
from pipeline.errors import DatasetError, StorageError
from pipeline.parquet_files import FREE_BYTES, MAX_RATIO, parquet_path

MAX_FILE_BYTES = 4 * 2**30
MAX_TEXT_BYTES = 65_536
"""Of one cell: titles and addresses have some hundred."""
MAX_COLUMNS, ROWS_AT_ONCE = 64, 65_536
_TEXT, _WHOLE = (pa.string(), pa.large_string()), (pa.int64(), pa.int32(), pa.float64(), pa.null())


def read_frozen(path: Path, columns: Sequence[str], whole: Sequence[str] = (), optional: Sequence[str] = ()) -> pd.DataFrame:
    """These columns of a Parquet file: texts, and 64-bit numbers for those in `whole`; any cell may be null.

    Those in `optional` may be missing. Raises `DatasetError` for what is damaged, has other columns or is out of all
    proportion.
    """
    try:
        size_bytes = check_plain(path, MAX_FILE_BYTES)
        with pq.ParquetFile(parquet_path(path)) as file:
            here = _columns(file, columns, whole, optional)
        texts = [name for name in here if name not in whole]
        with pq.ParquetFile(parquet_path(path), read_dictionary=texts, page_checksum_verification=True) as file:
            table = pa.Table.from_batches(list(_batches(file, here, size_bytes)), _arrow_schema(file, here))
        return _unfolded(table, whole).to_pandas()
    except FileNotFoundError:
        raise DatasetError("it is missing") from None
    except (OSError, ValueError, StorageError, pa.ArrowException) as error:
        raise DatasetError(str(error)) from None


def _columns(file: pq.ParquetFile, columns: Sequence[str], whole: Sequence[str], optional: Sequence[str]) -> list[str]:
    """The columns to read, in order, once it is clear that they are of the right kind."""
    schema = file.schema_arrow
    if len(schema.names) > MAX_COLUMNS:
        raise ValueError(f"{len(schema.names)} columns")
    if missing := [name for name in columns if name not in schema.names and name not in optional]:
        raise ValueError(f"it has no column {missing[0]}")
    here = [name for name in columns if name in schema.names]
    for name in here:
        if schema.names.count(name) > 1:
            raise ValueError(f"it has the column {name} more than once")
        kind, allowed = schema.field(name).type, (*_TEXT, pa.null()) if name not in whole else _WHOLE
        if kind not in allowed:
            raise ValueError(f"its column {name} is of the kind {str(kind)[:50]}")
    return here


def _check_bytes(unpacked: int, size_bytes: int) -> None:
    if unpacked > max(FREE_BYTES, MAX_RATIO * size_bytes):
        raise ValueError(f"{size_bytes:,} bytes would become {unpacked:,}")


def _arrow_schema(file: pq.ParquetFile, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([file.schema_arrow.field(name) for name in columns])


def _batches(file: pq.ParquetFile, columns: Sequence[str], size_bytes: int) -> Iterator[pa.RecordBatch]:
    unpacked = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns), use_threads=False):
        unpacked += sum(_text_bytes(column) for column in batch.columns if pa.types.is_dictionary(column.type))
        _check_bytes(unpacked, size_bytes)
        yield batch


def _text_bytes(column: pa.DictionaryArray) -> int:
    """Bytes of a column of texts once each stands by itself. Raises `ValueError` where one is too long."""
    lengths = pc.call_function("binary_length", [column.dictionary])
    longest = pc.call_function("max", [lengths]).as_py() or 0
    if longest > MAX_TEXT_BYTES:
        raise ValueError(f"a text of {longest:,} bytes, allowed are {MAX_TEXT_BYTES:,}")
    return pc.call_function("sum", [lengths.take(column.indices)]).as_py() or 0


def _unfolded(table: pa.Table, whole: Sequence[str]) -> pa.Table:
    kinds = [pa.field(name, pa.int64() if name in whole else pa.string()) for name in table.column_names]
    return table.cast(pa.schema(kinds))

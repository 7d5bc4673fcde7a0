"""Parquet tables: `tables/<name>/<partition>.parquet`, checked against their schema when written.

Each file carries its data version (a digest of the content without what changes by itself), its provenance, so that it is
known without help from Dagster whether it has to be made anew and why, and when it was made, which a copy of the home
keeps whatever becomes of the times of its files.
"""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.atomic import atomic_path
from pipeline.errors import StorageError, disk_failed
from pipeline.file_names import child
from pipeline.parquet_files import parquet_footer, parquet_table, rows_with, table_without
from pipeline.tables import TABLES, Column, columns_of, conform, empty
from storage.provenance import Provenance

WHOLE = "all"
"""File name of a table without partitions."""
DATA_MARK, PROVENANCE_MARK, MADE_MARK = b"bokehflow_data_version", b"bokehflow_provenance", b"bokehflow_made_s"
"""Keys of what a file's footer says."""
FORMER_MARK = b"bokehflow_inputs_version"
"""What stood in place of the provenance up to version 0.1: a digest of it, as text."""


OF_PANDAS = b"pandas"
"""What pandas notes of its types."""


@dataclass(frozen=True)
class TableInfo:
    """What a table's file says of itself."""

    path: Path
    row_count: int
    data_version: str
    provenance: Provenance | None
    """None where the table says nothing, or only what `former_version` holds."""
    made_s: float
    """When it was made, Unix seconds; of one that says nothing of it, the time of its file."""
    former_version: str = ""
    """The digest that version 0.1 wrote in place of the provenance."""


@dataclass(frozen=True)
class TableStore:
    """The tables below `root`."""

    root: Path

    def path(self, name: str, partition: str | None = None) -> Path:
        """Where the table lies; `|` between the dimensions of a partition key becomes `+`."""
        return child(child(self.root, name), f"{(partition or WHOLE).replace('|', '+')}.parquet")

    def partitions(self, name: str) -> list[str]:
        """Keys of the partitions that exist, in order."""
        return sorted(path.stem.replace("+", "|") for path in child(self.root, name).glob("*.parquet"))

    def write(
        self,
        name: str,
        frame: pd.DataFrame,
        partition: str | None = None,
        provenance: Provenance | None = None,
        made_s: float | None = None,
    ) -> TableInfo:
        """Check, order and write the table; returns what it then says of itself. It was made now, or at `made_s`.

        Raises pandera's `SchemaErrors` for wrong columns or values, before anything is written, and `StorageError`
        when the disk does not take it; the old table stays then.
        """
        return self._write(name, frame, partition, provenance, "", time.time() if made_s is None else made_s)

    def correct(self, name: str, frame: pd.DataFrame, partition: str | None = None) -> TableInfo:
        """`write` a table that is there, with all that it says of its making: it is as old as before.

        Raises `StorageError` where there is none.
        """
        info = self.info(name, partition)
        if info is None:
            raise StorageError(f"{self.path(name, partition)}: there is no table to correct")
        return self._write(name, frame, partition, info.provenance, info.former_version, info.made_s)

    def _write(
        self, name: str, frame: pd.DataFrame, key: str | None, provenance: Provenance | None, former: str, made_s: float
    ) -> TableInfo:
        checked = conform(name, frame)
        version, path = data_version(name, checked), self.path(name, key)
        table = pa.Table.from_pandas(checked, preserve_index=False)
        marks = {DATA_MARK: version, MADE_MARK: repr(made_s), FORMER_MARK: former}
        if provenance is not None:
            marks[PROVENANCE_MARK] = provenance.to_json()
        told = {mark: text.encode() for mark, text in marks.items() if text}
        try:
            with atomic_path(path) as temporary:
                pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **told}), temporary)
        except OSError as error:
            raise disk_failed(error, self.root) from error
        return TableInfo(path, len(checked), version, provenance, made_s, former)

    def read(self, name: str, partition: str | None = None, columns: list[str] | None = None) -> pd.DataFrame:
        """The table or one partition of it; all columns, or those named.

        A named column that an older version did not write is null where the schema lets it be.
        Raises `StorageError` when it does not exist or is not a Parquet file, and for a table or column of another name.
        """
        return self._frame(name, [(partition, self._loaded(name, partition, columns))], columns)

    def _loaded(self, name: str, partition: str | None, columns: list[str] | None) -> pa.Table:
        """What the file has of the columns, in their order, with what pandas noted of them and nothing else."""
        path, known = self.path(name, partition), _known(name, columns)
        try:
            table = parquet_table(path, columns)
            for column in sorted(set(columns or ()) - set(table.schema.names)):
                if not known[column].nullable:
                    raise ValueError(f"it has no column {column}")
            notes = (table.schema.metadata or {}).get(OF_PANDAS)
            return table.replace_schema_metadata({OF_PANDAS: notes} if notes else None)
        except FileNotFoundError:
            if partition is None and (parts := self.partitions(name)):
                told = f"{name} has a file for each of its partitions, such as {parts[0]!r}; `read_all` reads all of them"
                raise StorageError(f"{path}: {told}") from None
            raise StorageError(f"{path}: the table does not exist yet; `bokehflow run --until {name}` makes it") from None
        except Exception as error:  # a damaged file makes pyarrow stumble in any way
            raise _unreadable(path, name, error) from error

    def _frame(self, name: str, parts: list[tuple[str | None, pa.Table]], columns: list[str] | None) -> pd.DataFrame:
        """Partitions of one schema as a frame; columns that they do not have are null."""
        try:
            frame = pa.concat_tables([table for _, table in parts]).to_pandas()
        except Exception as error:  # and what the footer notes pandas; it notes the same in all of them
            raise _unreadable(self.path(name, parts[0][0]), name, error) from error
        new = [column for column in columns or () if column not in frame]
        return frame.join(empty(name)[new])[columns] if new else frame

    def read_or_empty(self, name: str, partition: str | None = None, columns: list[str] | None = None) -> pd.DataFrame:
        """The table, or one without rows where it does not exist. Raises `StorageError` as `read` does otherwise."""
        _known(name, columns)
        if self.path(name, partition).exists():
            return self.read(name, partition, columns)
        return empty(name) if columns is None else empty(name)[columns]

    def read_all(self, name: str, partitions: list[str] | None = None, columns: list[str] | None = None) -> pd.DataFrame:
        """All partitions, or those named, in one frame; all columns, or those named.

        Raises `StorageError` as `read` does.
        """
        _known(name, columns)
        keys = self.partitions(name) if partitions is None else partitions
        parts = [(partition, self._loaded(name, partition, columns)) for partition in keys]
        filled = [part for part in parts if len(part[1])]
        alike = groupby(filled, key=lambda part: part[1].schema.serialize().to_pybytes())
        frames = [self._frame(name, list(group), columns) for _, group in alike]
        return pd.concat(frames, ignore_index=True) if frames else empty(name)[columns or columns_of(name)]

    def rows_with(
        self, name: str, column: str, values: Set[str], columns: Sequence[str], partition: str | None = None
    ) -> pa.Table:
        """These columns of the rows whose `column` is one of `values`; where there is none, nothing else is read.

        Raises `StorageError` as `read` does, and where the file has none of these columns.
        """
        path = self.path(name, partition)
        try:
            return rows_with(path, column, values, columns)
        except Exception as error:
            raise _unreadable(path, name, error) from error

    def drop_rows(
        self, name: str, values: Set[str], partition: str | None = None, columns: Sequence[str] = ("photo_id",)
    ) -> None:
        """Take the rows out of a table where one of `columns` is one of `values`, whatever version wrote it; its time and
        provenance stay. Raises `StorageError` where it cannot be read."""
        path, info = self.path(name, partition), self.info(name, partition)
        if not path.exists():
            return
        try:
            table = table_without(path, values, columns)
        except Exception as error:  # a damaged file makes pyarrow stumble in any way
            raise _unreadable(path, name, error) from error
        if table is None:
            return
        if info is None:
            raise _unreadable(path, name, ValueError("its footer does not say what it is"))
        version = hashlib.sha256(" ".join([info.data_version, *sorted(values)]).encode()).hexdigest()[:16]
        told = {DATA_MARK: version.encode(), MADE_MARK: repr(info.made_s).encode()}
        with atomic_path(path) as temporary:
            pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **told}), temporary)

    def columns(self, name: str, partition: str | None = None) -> list[str]:
        """Names of the columns of the table's file, whatever version wrote it; none where there is no readable table."""
        try:
            return list(parquet_footer(self.path(name, partition)).schema.names)
        except (pa.ArrowInvalid, OSError):
            return []

    def remove(self, name: str, partition: str | None = None) -> None:
        """Delete the table, where there is one."""
        self.path(name, partition).unlink(missing_ok=True)

    def info(self, name: str, partition: str | None = None) -> TableInfo | None:
        """What the table says of itself, from its footer alone; None where there is no readable table."""
        path = self.path(name, partition)
        try:
            found = path.stat()
            return _info(path, found.st_mtime_ns, found.st_size, found.st_ino)
        except (OSError, ValueError, pa.ArrowException):
            return None


def _known(name: str, columns: Sequence[str] | None) -> Mapping[str, Column]:
    """The columns of a table. Raises `StorageError` where there is no such table, or none of these names."""
    if name not in TABLES:
        raise StorageError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    known = TABLES[name].columns
    if odd := [column for column in columns or () if column not in known]:
        raise StorageError(f"the table {name} has no column {odd[0]!r}; it has {', '.join(known)}")
    return known


def _unreadable(path: Path, name: str, error: Exception) -> StorageError:
    return StorageError(f"{path}: cannot be read ({str(error)[:300]}); delete it and run `bokehflow run --until {name}`")


@lru_cache(8192)
def _info(path: Path, mtime_ns: int, size_bytes: int, inode: int) -> TableInfo:
    """What the footer says. Files are replaced and never changed, so that the same file says the same."""
    footer = parquet_footer(path)
    marks: Mapping[bytes, bytes] = footer.metadata or {}
    kinds = (DATA_MARK, FORMER_MARK, MADE_MARK, PROVENANCE_MARK)
    version, former, made, told = (marks.get(mark, b"").decode() for mark in kinds)
    provenance = None
    with suppress(ValueError):  # what cannot be read is as good as none: the table is made anew
        provenance = Provenance.from_json(told) if told else None
    made_s = float(made) if made else math.nan
    return TableInfo(path, footer.num_rows, version, provenance, made_s if math.isfinite(made_s) else mtime_ns / 1e9, former)


def data_version(name: str, frame: pd.DataFrame, rows_at_once: int = 50_000) -> str:
    """Digest of the rows without their volatile columns, 16 hex digits; `frame` as `conform` returns it."""
    unused = [column for column in TABLES[name].since if frame[column].isna().all()]
    stable = frame.drop(columns=[*TABLES[name].volatile, *unused])
    digest = hashlib.sha256(",".join(stable.columns).encode())
    for start in range(0, len(stable), rows_at_once):
        rows = stable.iloc[start : start + rows_at_once]
        digest.update(rows.to_json(orient="values", double_precision=12, force_ascii=False).encode())
    return digest.hexdigest()[:16]

"""Parquet tables: `tables/<name>/<partition>.parquet`, checked against their schema when written.

Each file carries its data version (a digest of the content without what changes by itself), the version of the inputs
it was made from, so that a stage knows without help from Dagster whether it has anything to do, and when it was made,
which a copy of the home keeps whatever becomes of the times of its files.
"""

import hashlib
import math
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.atomic import atomic_path
from pipeline.errors import StorageError, disk_failed
from pipeline.file_names import child
from pipeline.parquet_files import parquet_path
from pipeline.tables import TABLES, columns_of, conform, empty

WHOLE = "all"
"""File name of a table without partitions."""
DATA_MARK, INPUTS_MARK, MADE_MARK = b"bokehflow_data_version", b"bokehflow_inputs_version", b"bokehflow_made_s"
"""Keys of what a file's footer says."""


@dataclass(frozen=True)
class TableInfo:
    """What a table's file says of itself."""

    path: Path
    row_count: int
    data_version: str
    inputs_version: str
    made_s: float
    """When it was made, Unix seconds; of one that says nothing of it, the time of its file."""


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
        inputs_version: str = "",
        made_s: float | None = None,
    ) -> TableInfo:
        """Check, order and write the table; returns what it then says of itself. It was made now, or at `made_s`.

        Raises pandera's `SchemaErrors` for wrong columns or values, before anything is written, and `StorageError`
        when the disk does not take it; the old table stays then.
        """
        checked = conform(name, frame)
        version = data_version(name, checked)
        table = pa.Table.from_pandas(checked, preserve_index=False)
        made_s = time.time() if made_s is None else made_s
        marks = {DATA_MARK: version.encode(), INPUTS_MARK: inputs_version.encode(), MADE_MARK: repr(made_s).encode()}
        path = self.path(name, partition)
        try:
            with atomic_path(path) as temporary:
                pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **marks}), temporary)
        except OSError as error:
            raise disk_failed(error, self.root) from error
        return TableInfo(path, len(checked), version, inputs_version, made_s)

    def read(self, name: str, partition: str | None = None, columns: list[str] | None = None) -> pd.DataFrame:
        """The table or one partition of it; all columns, or those named.

        A named column that an older version did not write is null where the schema lets it be.
        Raises `StorageError` when it does not exist or is not a Parquet file.
        """
        path = self.path(name, partition)
        try:
            new = [] if columns is None else self._unwritten(name, path, columns)
            frame = pd.read_parquet(
                parquet_path(path), columns=columns and [column for column in columns if column not in new]
            )
            return frame.join(empty(name)[new])[columns] if columns and new else frame
        except FileNotFoundError:
            raise StorageError(f"{path}: the table does not exist yet; `bokehflow run --until {name}` makes it") from None
        except Exception as error:  # a footer's notes make pandas stumble in any way
            raise StorageError(
                f"{path}: cannot be read ({str(error)[:300]}); delete it and run `bokehflow run --until {name}`"
            ) from error

    def _unwritten(self, name: str, path: Path, columns: list[str]) -> list[str]:
        """Columns that may be null and that the file does not have."""
        written, schema = set(pq.read_schema(parquet_path(path)).names), TABLES[name].schema.to_schema().columns
        return [column for column in columns if column not in written and column in schema and schema[column].nullable]

    def read_or_empty(self, name: str, partition: str | None = None, columns: list[str] | None = None) -> pd.DataFrame:
        """The table, or one without rows where it does not exist."""
        if self.path(name, partition).exists():
            return self.read(name, partition, columns)
        return empty(name) if columns is None else empty(name)[columns]

    def read_all(self, name: str, partitions: list[str] | None = None, columns: list[str] | None = None) -> pd.DataFrame:
        """All partitions, or those named, in one frame; all columns, or those named."""
        keys = self.partitions(name) if partitions is None else partitions
        frames = [self.read(name, partition, columns) for partition in keys]
        filled = [frame for frame in frames if len(frame)]
        return pd.concat(filled, ignore_index=True) if filled else empty(name)[columns or columns_of(name)]

    def drop_photos(self, name: str, photo_ids: Set[str], partition: str | None = None) -> None:
        """Take the rows of these photos out of a table, whatever version wrote it; its time and inputs stay."""
        path, info = self.path(name, partition), self.info(name, partition)
        if info is None or not set(self.read(name, partition, ["photo_id"])["photo_id"]) & photo_ids:
            return
        table = pq.read_table(parquet_path(path))
        kept = table.filter(pa.array([photo_id not in photo_ids for photo_id in table["photo_id"].to_pylist()]))
        version = hashlib.sha256(" ".join([info.data_version, *sorted(photo_ids)]).encode()).hexdigest()[:16]
        told = {DATA_MARK: version.encode(), MADE_MARK: repr(info.made_s).encode()}
        with atomic_path(path) as temporary:
            pq.write_table(kept.replace_schema_metadata({**(table.schema.metadata or {}), **told}), temporary)

    def info(self, name: str, partition: str | None = None) -> TableInfo | None:
        """What the table says of itself, from its footer alone; None where there is no readable table."""
        path = self.path(name, partition)
        try:
            footer, file_s = pq.read_metadata(parquet_path(path)), path.stat().st_mtime
            marks: Mapping[bytes, bytes] = footer.metadata or {}
            version, inputs, made = (marks.get(mark, b"").decode() for mark in (DATA_MARK, INPUTS_MARK, MADE_MARK))
            made_s = float(made) if made else file_s
        except (OSError, ValueError, pa.ArrowException):
            return None
        return TableInfo(path, footer.num_rows, version, inputs, made_s if math.isfinite(made_s) else file_s)


def data_version(name: str, frame: pd.DataFrame, rows_at_once: int = 50_000) -> str:
    """Digest of the rows without their volatile columns, 16 hex digits; `frame` as `conform` returns it."""
    stable = frame.drop(columns=list(TABLES[name].volatile))
    digest = hashlib.sha256(",".join(stable.columns).encode())
    for start in range(0, len(stable), rows_at_once):
        rows = stable.iloc[start : start + rows_at_once]
        digest.update(rows.to_json(orient="values", double_precision=12, force_ascii=False).encode())
    return digest.hexdigest()[:16]

"""Taking pictures out of the shards again: rows that no frozen snapshot and no living photo needs are blanked in place.

A shard is shared by snapshots and mapped by trainers, so it is neither deleted nor written anew: a row's key, digests
and pixels are overwritten with zeros, and everything else stays where it was. A blanked row is never found again, since
rows are looked up by their key.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.dataset.shards import Shard

ROW = ["shard", "row"]
COLUMNS = ["photo_id", "source_sha256", *ROW]
READ_ONLY, WRITABLE = 0o444, 0o644


def frozen_rows(snapshots: Path) -> pd.DataFrame:
    """What all frozen manifests hold: `photo_id`, `source_sha256`, `shard`, `row`, and `snapshot`, its id."""
    frames = [
        pd.read_parquet(path, columns=COLUMNS).assign(snapshot=path.parent.name)
        for path in sorted(snapshots.glob("*/manifest.parquet"))
        if not path.parent.name.startswith(".")
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*COLUMNS, "snapshot"])


def purge_rows(images: pd.DataFrame, frozen: pd.DataFrame, forgotten: Iterable[str], shards: Path) -> int:
    """Blank the rows of `forgotten` photos that are in no frozen snapshot and of no other photo; returns how many.

    `images` is the table `training_images`, `frozen` what `frozen_rows` gives. A second time changes nothing.
    """
    doomed = images["photo_id"].isin(list(forgotten))
    needed = {(str(shard), int(row)) for shard, row in pd.concat([images.loc[~doomed, ROW], frozen[ROW]]).to_numpy()}
    rows = {(str(shard), int(row)) for shard, row in images.loc[doomed, ROW].to_numpy()} - needed
    for shard in sorted({shard for shard, _ in rows}):
        if (shards / shard).exists():
            blank_rows(shards / shard, [row for name, row in rows if name == shard])
    return len(rows)


def blank_rows(shard: Path, rows: Iterable[int]) -> None:
    """Overwrite these rows of the shard with zeros, in place. Raises `DatasetError` where it is no shard."""
    Shard(shard)
    with pa.memory_map(str(shard)) as mapped:
        begin = mapped.read_buffer().address
        mapped.seek(0)
        table = pa.ipc.open_file(mapped).read_all()
        places = [place for row in rows for name in table.column_names for place in _places(table.column(name), row, begin)]
    shard.chmod(WRITABLE)
    with shard.open("r+b") as file:
        for offset, zeros in places:
            file.seek(offset)
            file.write(zeros)
        file.flush()
        os.fsync(file.fileno())
    shard.chmod(READ_ONLY)


def _places(column: pa.ChunkedArray, row: int, begin: int) -> list[tuple[int, bytes]]:
    """Where in the file the row's value lies, and what to write there; `begin` is the address of the mapped file.

    Arrow maps values as they lie in the file, so that addresses tell places.
    """
    chunk = column.chunk(0)
    values = chunk.buffers()[-1]
    if pa.types.is_string(chunk.type):
        offsets = np.frombuffer(chunk.buffers()[1], np.int32, count=chunk.offset + row + 2)[-2:]
        return [(values.address - begin + int(offsets[0]), b"0" * int(offsets[1] - offsets[0]))]
    width = chunk.type.byte_width
    return [(values.address - begin + (chunk.offset + row) * width, bytes(width))]

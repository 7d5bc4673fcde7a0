"""Exports as WebDataset: tar shards as img2dataset writes them, for webdataset, open_clip, `datasets` and others.

Each side (`trainA` …) has shards `00000.tar`, beside each `00000.parquet` with the same metadata and `00000_stats.json`, as
img2dataset has them. In a shard a picture is `KEY.png`, its alpha `KEY.mask.png`, its layers `KEY.depth.png` and
`KEY.target.png`, its title `KEY.txt`, and whose it is `KEY.json`. Equal pictures give equal shards, byte for byte.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.atomic import atomic_path, write_bytes, write_text
from pipeline.dataset.exported import ExportedPicture, batches, credit, file_name, picture_ids, png
from pipeline.entered_text import one_line
from pipeline.file_names import child
from pipeline.licenses import KNOWN, license_name
from pipeline.parquet_files import parquet_path
from pipeline.picture_layers import DIGESTS, ENCODINGS
from pipeline.plain_files import open_plain

STATS = "_stats.json"
_COPIED = ("photo_id", "domain", "split", "title", "owner", "owner_name", "page_url", "transform", "source_sha256")
_NUMBERS = ("width", "height")


def write_webdataset(folder: Path, chosen: pd.DataFrame, shards: Path, per_shard: int) -> dict[str, int]:
    """Write shards of at most `per_shard` pictures, and into `chosen` the `file` that each lies in; counts by side."""
    chosen["file"] = ""
    counts = {}
    for side in sorted(set(chosen["folder"])):
        rows = chosen[chosen["folder"] == side]
        counts[side] = len(rows)
        child(folder, side).mkdir()
        for number, start in enumerate(range(0, len(rows), per_shard)):
            part = rows.iloc[start : start + per_shard]
            path = child(child(folder, side), f"{number:05d}.tar")
            chosen.loc[part.index, "file"] = f"{side}/{path.name}"
            _write_shard(path, part, shards)
    return counts


def _write_shard(path: Path, rows: pd.DataFrame, shards: Path) -> None:
    told: list[dict[str, Any]] = []
    with path.open("xb") as file, _writing(file) as tar, ThreadPoolExecutor() as pool:
        for part, pictures in batches(rows, shards):
            keys = [file_name(identifier).removesuffix(".png") for identifier in picture_ids(part)]
            records = [_record(key, row, picture) for key, row, picture in zip(keys, _cells(part), pictures, strict=True)]
            for files in pool.map(_files, records, pictures):
                for name, data in files:
                    tar.addfile(_member(name, len(data)), io.BytesIO(data))
            told += records
    pq.write_table(_table(told), path.with_suffix(".parquet"))
    _write_stats(path, len(told))


def _writing(file: BinaryIO) -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)


def _cells(rows: pd.DataFrame) -> Iterable[dict[str, Any]]:
    filled = rows.astype(object).where(rows.notna(), None)
    return (dict(zip(filled.columns, cells, strict=True)) for cells in filled.itertuples(index=False))


def _record(key: str, row: dict[str, Any], picture: ExportedPicture) -> dict[str, Any]:
    """What a picture's JSON says. `key`, `caption`, `url`, `width`, `height`, `status` are called as img2dataset does."""
    license, height, width = row["license"], *picture.alpha.shape
    return {
        "key": key,
        "caption": row["title"],
        "url": row["page_url"],
        "status": "success",
        "error_message": None,
        "width": width,
        "height": height,
        **{name: row.get(name) for name in _COPIED},
        "license": license_name(license),
        "license_url": KNOWN[license].url if license in KNOWN else None,
        "attribution": credit(row["title"], row["owner_name"] or row["owner"], license, row["page_url"]),
        **{name: row[name] for name in (*DIGESTS, *ENCODINGS) if row.get(name) is not None},
    }


def _files(record: dict[str, Any], picture: ExportedPicture) -> list[tuple[str, bytes]]:
    """Names and bytes of a picture's members, in the order in which they stand in the shard."""
    key = record["key"]
    layers = [(f"{key}.{layer.name}.png", png(*stored)) for layer, stored in picture.layers.items()]
    return [
        (f"{key}.png", png(picture.rgb)),
        (f"{key}.mask.png", png(picture.alpha)),
        *layers,
        (f"{key}.txt", one_line(record["caption"] or "").encode()),
        (f"{key}.json", json.dumps(record).encode()),
    ]


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    """Of nobody and from no time, so that the shard is the same wherever and whenever it is written."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size_bytes, 0o644, 0
    return member


def _table(records: Sequence[dict[str, Any]]) -> pa.Table:
    names = list(dict.fromkeys([*records[0], *DIGESTS, *ENCODINGS]))
    kinds = [(name, pa.int64() if name in _NUMBERS else pa.string()) for name in names]
    return pa.Table.from_pylist(list(records), pa.schema(kinds))


def _write_stats(path: Path, count: int) -> None:
    """What img2dataset counts of a shard; its times and rates have no meaning here."""
    stats = {"count": count, "successes": count, "failed_to_download": 0, "failed_to_resize": 0}
    text = json.dumps({**stats, "status_dict": {"success": count}}, indent=4)
    write_text(child(path.parent, f"{path.stem}{STATS}"), text + "\n")


# --- forgetting -------------------------------------------------------------------------------------------------------


def forget_in_shards(folder: Path, photo_ids: set[str]) -> int:
    """Write the shards that hold these photos anew without them; returns how many files changed."""
    return sum(_forget_in(path, photo_ids) for path in sorted(folder.glob("*/*.tar")))


def _forget_in(path: Path, photo_ids: set[str]) -> int:
    """The table comes last: while it names the photos, an interrupted forgetting is found and done again."""
    table = path.with_suffix(".parquet")
    records = pq.read_table(parquet_path(table))
    is_gone = [one in photo_ids for one in records["photo_id"].to_pylist()]
    if not any(is_gone):
        return 0
    gone = {key for key, going in zip(records["key"].to_pylist(), is_gone, strict=True) if going}
    with (
        open_plain(path) as file,
        tarfile.TarFile(fileobj=file) as old,
        atomic_path(path) as temporary,
        temporary.open("xb") as without,
        _writing(without) as new,
    ):
        for member in old:
            if member.name.partition(".")[0] not in gone:
                new.addfile(member, old.extractfile(member))
    _write_stats(path, len(records) - len(gone))
    buffer = io.BytesIO()
    pq.write_table(records.filter(pa.array([not going for going in is_gone])), buffer)
    write_bytes(table, buffer.getvalue())
    return 3

"""Forgetting: pictures leave the shards, owners leave the manifests, a tombstone with id and digests stays.

The order makes it safe to be interrupted: tombstones are written first, then the shards without the pictures, then the
snapshots' own files, and the old shards are deleted last. Done again it finishes what was begun.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from pipeline.atomic import write_text
from pipeline.dataset.layout import FORGOTTEN, MANIFEST, PICTURES, list_snapshots, read_forgotten
from pipeline.dataset.shards import Shard, write_shard
from pipeline.dataset.snapshot import all_rows, erase_origin, not_written, read_snapshot, relocate
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.parquet_files import parquet_footer, parquet_path
from pipeline.picture_layers import DIGESTS, OPTIONAL, OPTIONAL_DIGESTS, with_all_digests
from pipeline.tables import among

Digests = tuple[str, ...]
"""Those of a picture's layers, in order; empty text for one that it does not have."""


def unreadable_snapshots(snapshots: Path) -> dict[str, str]:
    """Ids of the snapshots that are damaged, so that nothing can be erased from them, with what is wrong and what to do."""
    found = {}
    for identifier in list_snapshots(snapshots):
        try:
            read_snapshot(snapshots, identifier)
        except DatasetError as error:
            found[identifier] = f"{error}, or delete it"
    return found


def forget_in_snapshots(
    snapshots: Path,
    shards: Path,
    photo_ids: set[str],
    at_s: int,
    prepared: pd.DataFrame | None = None,
    damaged: Collection[str] = (),
) -> list[str]:
    """Erase the photos from all snapshots and shards; returns the ids of the snapshots that held them.

    `prepared` is the table `training_images`: pictures that are in the shards and in no snapshot go as well. A picture
    that another photo shares to the last pixel stays for that one. The snapshots named in `damaged` are passed over. Raises
    `DatasetError` when another cannot be read or the disk is full.
    """
    sound = [identifier for identifier in list_snapshots(snapshots) if identifier not in damaged]
    rows = _digests(snapshots, sound, prepared)
    mine = among(rows["photo_id"], photo_ids)
    touched = sorted(set(rows.loc[mine, "snapshot"].dropna()))
    gone = _all_digests(rows[mine]) - _all_digests(rows[~mine & ~rows["forgotten"]])
    for identifier in touched:
        _bury(child(snapshots, identifier), photo_ids & set(rows.loc[rows["snapshot"] == identifier, "photo_id"]), at_s)
    old = _rewrite(shards, gone)
    for identifier in sound:
        path = child(snapshots, identifier)
        if identifier in touched:
            erase_origin(path, set(read_forgotten(path)))
        if identifier in touched or old & set(
            pq.read_table(parquet_path(path / PICTURES), columns=["shard"])["shard"].to_pylist()
        ):
            relocate(path, shards, without=old, lost_ok=True)
    for name in old:
        child(shards, name).unlink(missing_ok=True)
    return touched


def frozen_sources(snapshots: Path, damaged: Collection[str] = ()) -> pd.DataFrame:
    """`photo_id` and `sha256`, of the bytes it was made from, of every photo that a frozen manifest names; those of the
    photos that its layers were made from too.

    The snapshots named in `damaged` are passed over.
    """
    frames = [pd.DataFrame(columns=["photo_id", "sha256"])]
    for identifier in list_snapshots(snapshots):
        if identifier not in damaged:
            path = child(snapshots, identifier)
            frames += _sources(path / MANIFEST, ["source_sha256"])
            frames += _sources(path / PICTURES, [layer.source for layer in OPTIONAL if layer.kept_as == "photo"])
    return pd.concat(frames, ignore_index=True)


def _sources(path: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    there = parquet_footer(path).schema.names
    for column in columns:
        if column in there:
            rows = pq.read_table(parquet_path(path), columns=["photo_id", column]).to_pandas()
            yield rows.rename(columns={column: "sha256"}).dropna()


def _digests(snapshots: Path, identifiers: list[str], prepared: pd.DataFrame | None) -> pd.DataFrame:
    """Every picture that these manifests or the prepared ones name: photo, digests, snapshot (null: prepared), forgotten."""
    columns = ["photo_id", *DIGESTS]
    frames = [] if prepared is None else [with_all_digests(prepared)[columns].assign(snapshot=None, forgotten=False)]
    for identifier in identifiers:
        path = child(snapshots, identifier)
        try:
            rows = with_all_digests(_columns_there(path / MANIFEST, columns))
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{path}: {MANIFEST} cannot be read ({error}); restore or delete the folder, then forget again"
            ) from error
        dead = among(rows["photo_id"], read_forgotten(path))
        frames.append(rows.assign(snapshot=identifier, forgotten=dead))
    empty = pd.DataFrame(
        {name: pd.Series(dtype=str) for name in [*columns, "snapshot"]} | {"forgotten": pd.Series(dtype=bool)}
    )
    return pd.concat(frames, ignore_index=True) if frames else empty


def _columns_there(path: Path, columns: list[str]) -> pd.DataFrame:
    """These columns of a manifest; those of layers that no picture has are not there."""
    there = parquet_footer(path).schema.names
    wanted = [name for name in columns if name in there or name not in OPTIONAL_DIGESTS]
    return pq.read_table(parquet_path(path), columns=wanted).to_pandas()


def _all_digests(rows: pd.DataFrame) -> set[Digests]:
    return set(rows[DIGESTS].itertuples(index=False, name=None))


def _bury(path: Path, photo_ids: set[str], at_s: int) -> None:
    """Add tombstones; those that are there keep their time."""
    tombstones = {**dict.fromkeys(photo_ids, at_s), **read_forgotten(path)}
    target = path / FORGOTTEN
    try:
        write_text(target, json.dumps(dict(sorted(tombstones.items())), indent=2) + "\n")
    except OSError as error:
        raise not_written(target, error) from error
    target.chmod(0o444)


def _rewrite(shards: Path, gone: set[Digests]) -> set[str]:
    """Write every shard with such a picture anew without it; returns the old ones, which are still there."""
    index = all_rows(shards)
    doomed = [digests in gone for digests in index[DIGESTS].itertuples(index=False, name=None)]
    marked = index[pd.Series(doomed, index.index, bool)]  # an empty list would choose columns
    for name, rows in marked.groupby("shard"):
        path = child(shards, str(name))
        try:
            _without(path, set(rows["row"]))
        except OSError as error:
            raise not_written(path, error) from error
    return set(map(str, marked["shard"]))


def _without(path: Path, rows: set[int]) -> None:
    shard = Shard(path)
    keys = shard.index()["key"].tolist()
    kept = [row for row in range(len(keys)) if row not in rows]
    if kept:
        write_shard(path.parent, [shard.picture(row, keys[row]) for row in kept])

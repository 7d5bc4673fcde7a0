"""Forgetting: pictures leave the shards, owners leave the manifests, a tombstone with id and digests stays.

The order makes it safe to be interrupted: tombstones are written first, then the shards without the pictures, then the
snapshots' own files, and the old shards are deleted last. Done again it finishes what was begun.
"""

import json
from collections.abc import Callable, Collection, Iterator, Set
from pathlib import Path

import pandas as pd

from pipeline.atomic import write_text
from pipeline.dataset.layout import (
    ATTRIBUTION,
    FACTS,
    FORGOTTEN,
    MANIFEST,
    PICTURES,
    SUMS,
    list_snapshots,
    read_facts,
    read_forgotten,
    read_sums,
)
from pipeline.dataset.shards import Shard, write_shard
from pipeline.dataset.snapshot import (
    all_rows,
    erase_origin,
    is_vouched_for,
    leave_shards,
    not_written,
    read_snapshot,
    refresh_sums,
    rows_of,
)
from pipeline.errors import DatasetError
from pipeline.file_names import below, child
from pipeline.parquet_files import parquet_footer, parquet_table, rows_with
from pipeline.picture_layers import DIGESTS, OPTIONAL, OPTIONAL_DIGESTS, PHOTO_SOURCES, with_all_digests
from pipeline.tables import among

Prepared = Callable[[str, Set[str]], pd.DataFrame]
"""From one of the columns `photo_id` and `DIGESTS` and values to all these columns of the rows that have one of the values;
those of layers that no picture has may be missing."""
Digests = tuple[str, ...]
"""Those of a picture's layers, in order; empty text for one that it does not have."""


def unreadable_snapshots(snapshots: Path) -> dict[str, str]:
    """Ids of the snapshots that are damaged, so that nothing can be erased from them, with what is wrong and what to do."""
    found = {}
    for identifier in list_snapshots(snapshots):
        try:
            read_facts(snapshots, identifier)
            if not is_vouched_for(child(snapshots, identifier)):
                read_snapshot(snapshots, identifier)
        except DatasetError as error:
            found[identifier] = f"{error}, or delete it"
    return found


def forget_in_snapshots(
    snapshots: Path,
    shards: Path,
    photo_ids: set[str],
    at_s: int,
    prepared: Prepared | None = None,
    damaged: Collection[str] = (),
) -> list[str]:
    """Erase the photos from all snapshots and shards; returns the ids of the snapshots that held them.

    `prepared` looks into the table `training_images`: pictures that are in shards and in no snapshot go as well.
    A picture that another photo shares to the last pixel stays for that one. The snapshots named in `damaged` are passed
    over. Raises `DatasetError` when another cannot be read or the disk is full.
    """
    sound = [identifier for identifier in list_snapshots(snapshots) if identifier not in damaged]
    mine = _pictures(snapshots, sound, prepared, "photo_id", photo_ids)
    touched = sorted(set(mine["snapshot"].dropna()))
    alike = _pictures(snapshots, sound, prepared, DIGESTS[0], set(mine[DIGESTS[0]]))
    gone = _all_digests(mine) - _all_digests(alike[~among(alike["photo_id"], photo_ids) & ~alike["forgotten"]])
    for identifier in touched:
        _bury(child(snapshots, identifier), set(mine.loc[mine["snapshot"] == identifier, "photo_id"]), at_s)
    old, now = _rewrite(shards, gone)
    for identifier in sound:
        path = child(snapshots, identifier)
        # Interrupted in between, its digests name old shards where its pictures do not any more.
        if identifier in touched or old & {Path(name).name for name in read_sums(path)}:
            written = {PICTURES}
            if identifier in touched:
                erase_origin(path, set(read_forgotten(path)))
                written |= {FORGOTTEN, MANIFEST, ATTRIBUTION}
            leave_shards(path, old, now)
            refresh_sums(path, shards, written)
    for name in old:
        child(shards, name).unlink(missing_ok=True)
    return touched


def is_bundle(folder: Path) -> bool:
    """Whether a snapshot's files lie in the folder with the masks its pictures were made with, to be restored elsewhere."""
    return all(child(folder, name).is_file() for name in (FACTS, MANIFEST, PICTURES, SUMS))


def forget_in_bundle(folder: Path, photo_ids: set[str], at_s: int) -> int:
    """Take what the bundle in `folder` says of the owners of these photos, and their masks and maps; digests and tombstones
    stay. Returns how many files changed; done twice, it changes nothing more.

    Raises `DatasetError` where the bundle is damaged or the disk is full, `UnsafeName` where it names what lies elsewhere;
    then nothing is changed.
    """
    mine = set(rows_with(folder / MANIFEST, "photo_id", photo_ids, ["photo_id"])["photo_id"].to_pylist())
    if not mine or (mine <= set(read_forgotten(folder)) and is_vouched_for(folder)):
        return 0
    made_with = {"mask": "masks", **{layer.source: layer.name for layer in OPTIONAL if layer.kept_as == "map"}}
    there = [name for name in made_with if name in parquet_footer(folder / PICTURES).schema.names]
    pictures = parquet_table(folder / PICTURES, ["photo_id", *there]).to_pandas()
    others = pictures[~among(pictures["photo_id"], mine)]
    kept = {f"{made_with[name]}/{path}" for name in there for path in others[name].dropna()}
    gone = {name for name in read_sums(folder) if name.partition("/")[0] in made_with.values()} - kept
    paths = [below(folder, name) for name in gone]  # a bundle may come from anybody, and a link lead out of it
    _bury(folder, mine, at_s)
    for path in paths:
        path.unlink(missing_ok=True)
    erase_origin(folder, set(read_forgotten(folder)))
    written = {PICTURES, FORGOTTEN, MANIFEST, ATTRIBUTION}
    leave_shards(folder, (), rows_of([]))
    refresh_sums(folder, folder, written | gone)
    return len(written) + len(gone)


def frozen_sources(snapshots: Path, column: str, values: Set[str], damaged: Collection[str] = ()) -> Iterator[pd.DataFrame]:
    """`photo_id` and `sha256`, of the bytes it was made from, of the photos that frozen manifests name, and those that their
    layers were made from; where the `column`, one of these two, is one of `values`.

    The snapshots named in `damaged` are passed over.
    """
    for identifier in list_snapshots(snapshots):
        if identifier not in damaged:
            path = child(snapshots, identifier)
            for file, digests in ((path / MANIFEST, ["source_sha256"]), (path / PICTURES, PHOTO_SOURCES)):
                for digest in set(digests) & set(parquet_footer(file).schema.names):
                    asked = digest if column == "sha256" else column
                    rows = rows_with(file, asked, values, ["photo_id", digest]).to_pandas()
                    yield rows.rename(columns={digest: "sha256"}).dropna()


def _pictures(
    snapshots: Path, identifiers: list[str], prepared: Prepared | None, column: str, values: Set[str]
) -> pd.DataFrame:
    """Every picture of these manifests, or of the prepared ones, whose `column` is one of `values`: photo, digests, snapshot
    (null: prepared), whether it is forgotten."""
    columns = ["photo_id", *DIGESTS]
    frames = []
    if prepared is not None:
        frames = [with_all_digests(prepared(column, values))[columns].assign(snapshot=None, forgotten=False)]
    for identifier in identifiers:
        path = child(snapshots, identifier)
        try:
            # Columns of layers that no picture has are not there.
            there = parquet_footer(path / MANIFEST).schema.names
            wanted = [name for name in columns if name in there or name not in OPTIONAL_DIGESTS]
            rows = with_all_digests(rows_with(path / MANIFEST, column, values, wanted).to_pandas())
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(
                f"{path}: {MANIFEST} cannot be read ({error}); restore or delete the folder, then forget again"
            ) from error
        dead = among(rows["photo_id"], read_forgotten(path))
        frames.append(rows.assign(snapshot=identifier, forgotten=dead))
    empty = pd.DataFrame(
        {name: pd.Series(dtype=str) for name in [*columns, "snapshot"]} | {"forgotten": pd.Series(dtype=bool)}
    )
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else empty


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


def _rewrite(shards: Path, gone: set[Digests]) -> tuple[set[str], pd.DataFrame]:
    """Write every shard with such a picture anew without it.

    Returns the old ones, which are still there, and the rows of the new ones, as `all_rows` has them.
    """
    index = all_rows(shards, {digests[0] for digests in gone})
    doomed = [digests in gone for digests in index[DIGESTS].itertuples(index=False, name=None)]
    marked = index[pd.Series(doomed, index.index, bool)]  # an empty list would choose columns
    names, new = sorted(set(map(str, marked["shard"]))), []
    for name in names:
        path = child(shards, name)
        try:
            new += without_rows(path, set(marked.loc[marked["shard"] == name, "row"]))
        except OSError as error:
            raise not_written(path, error) from error
    return set(names), rows_of([child(shards, name) for name in new])


def without_rows(path: Path, rows: set[int]) -> list[str]:
    """Write the other rows of a shard as a new one; returns its name, none where no row is left. The old one stays."""
    shard = Shard(path)
    keys = shard.index()["key"].tolist()
    kept = [row for row in range(len(keys)) if row not in rows]
    return [write_shard(path.parent, [shard.picture(row, keys[row]) for row in kept])] if kept else []

"""Snapshots: a manifest frozen in a folder of its own, read-only, with what a paper and a lawyer need.

`layout` says what lies in the folder. A frozen snapshot is never computed again; what may change afterwards is where
its pictures lie (`open_snapshot`, when a lost shard was made anew), what is erased on request (`forget`) and what is
learnt of owners, titles and licences (`refresh_origin`).
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.atomic import atomic_folder, atomic_path, sync
from pipeline.counted import counted
from pipeline.dataset.file_forms import without_controls
from pipeline.dataset.frozen_tables import read_frozen
from pipeline.dataset.layout import (
    ATTRIBUTION,
    CANONICAL,
    FACTS,
    FILES,
    FORGOTTEN,
    FORMAT_VERSION,
    MANIFEST,
    PICTURES,
    RESTORE,
    SUMS,
    facts_of,
    find_snapshot,
    list_snapshots,
    next_frozen_s,
    read_facts,
    read_forgotten,
    read_sums,
    sums_problem,
    sums_text,
)
from pipeline.dataset.manifest import ID_DIGITS, IDENTITY, ORDER, ORIGIN, PAIR, canonical, counts, snapshot_id
from pipeline.dataset.ordered import have_same_keys, in_order
from pipeline.dataset.shards import SUFFIX, Shard
from pipeline.errors import DatasetError, disk_trouble
from pipeline.file_names import child
from pipeline.licenses import license_name
from pipeline.parquet_files import is_one_of, parquet_footer, parquet_path, parquet_table, rows_with
from pipeline.picture_layers import DIGESTS, ENCODINGS, OPTIONAL_DIGESTS, SOURCES, with_all_digests
from pipeline.plain_files import file_sha256, is_there, paths_in, read_plain
from pipeline.tables import among, columns_of

__all__ = [
    "attribution",
    "find_snapshot",
    "freeze",
    "list_snapshots",
    "locate",
    "missing_pictures",
    "open_snapshot",
    "read_facts",
    "read_manifest",
    "read_snapshot",
    "refresh_origin",
    "relocate",
]


PHOTO = ["domain", "photo_id"]
KEY = ORDER
"""What tells a picture from all others: a photo may have several tiles."""
LOCATION = ["key", "shard", "row"]
MANIFEST_COLUMNS = [*IDENTITY, "split_key", "source_sha256", *ORIGIN]
WHERE_THERE_ARE = [*OPTIONAL_DIGESTS, *ENCODINGS, PAIR]
"""What `manifest.parquet` says of layers beside `rgb` and `alpha` and of pairs, as far as there are any."""
PICTURE_COLUMNS = [
    *(*KEY, "split", *LOCATION),
    *("image_url", "curator", "decision_file", "decision_row", "mask", "mask_sha256"),
]
INTEGERS = ("row", "decision_row")
FEW_PHOTOS = 50
"""So many are looked for in an attribution one by one; where there are more, each of its rows is read."""
ROWS_AT_ONCE = 16_384
"""Rows of a Parquet row group: a query for one photo reads one group."""


# --- freezing ---------------------------------------------------------------------------------------------------------


def freeze(
    manifest: pd.DataFrame,
    folder: Path,
    shards: Path,
    made_from: Mapping[str, Any] | None = None,
) -> Path:
    """Write the snapshot of `manifest` below `folder` unless it is there already; returns its folder.

    `manifest` is the table `dataset_manifest`, `shards` the folder of the shards, `made_from` what a datasheet says
    of the collection: queries, filters, counts. Only shards that no other snapshot knows are hashed. Raises
    `DatasetError` when a picture is not in the shards or the disk is full; then nothing is left behind.
    """
    identity = canonical(manifest)
    sha256 = hashlib.sha256(identity).hexdigest()
    target = child(folder, sha256[:ID_DIGITS])
    if target.exists():
        return target
    pictures = locate(manifest, shards)
    if missing := pictures["shard"].isna().sum():
        raise DatasetError(
            f"{shards}: lacks {counted(int(missing), 'picture')} of the manifest; `bokehflow run` makes what is missing"
        )
    with freeze_as(target, pictures, shards) as temporary:
        facts = {
            "format": FORMAT_VERSION,
            "id": target.name,
            "sha256": sha256,
            "frozen_s": next_frozen_s(folder),
            "counts": counts(manifest),
            "made_from": dict(made_from or {}),
        }
        write_json(temporary / FACTS, facts)
        (temporary / CANONICAL).write_bytes(identity)
        _write_origin(temporary, manifest)
    return target


@contextmanager
def freeze_as(target: Path, pictures: pd.DataFrame, shards: Path) -> Iterator[Path]:
    """Yield a folder to fill, which becomes the snapshot `target` with the places of its `pictures` and all digests."""
    with new_folder(target) as temporary:
        yield temporary
        _write_table(temporary / PICTURES, _arrow_table(pictures, PICTURE_COLUMNS, SOURCES))
        known = _known_shards(target.parent, shards)
        names = sorted(pictures["shard"].unique())
        digests = {name: known.get(name) or file_sha256(child(shards, name)) for name in names}
        _write_sums(temporary, {os.path.relpath(child(shards, name), target): digests[name] for name in names})


@contextmanager
def new_folder(target: Path, read_only: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, which takes its name at the end; after a failure nothing remains.

    Raises `DatasetError` when the disk fails.
    """
    try:
        with atomic_folder(target) as temporary:
            yield temporary
            for path in temporary.rglob("*"):
                if path.is_file():
                    sync(path)
                    if read_only:
                        path.chmod(0o444)
    except OSError as error:
        raise not_written(target, error) from error


def not_written(target: Path, error: OSError) -> DatasetError:
    """What to tell when `target` could not be written."""
    what, remedy = disk_trouble(error)
    return DatasetError(f"{target}: {what}; nothing of it was written: {remedy} and run the same again")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_origin(folder: Path, manifest: pd.DataFrame) -> None:
    """The two files that say whose the photos are; what `forget` writes anew."""
    manifest = without_controls(manifest)
    _write_table(folder / MANIFEST, _arrow_table(manifest, MANIFEST_COLUMNS, WHERE_THERE_ARE))
    attribution(manifest).to_csv(folder / ATTRIBUTION, index=False, lineterminator="\n")


def _arrow_table(frame: pd.DataFrame, columns: list[str], of_layers: Sequence[str] = ()) -> pa.Table:
    """Equal rows give equal tables: a written-out schema, one order, no metadata of pandas.

    Columns of layers are there where any picture has something in them.
    """
    columns = [*columns, *(name for name in of_layers if name in frame and frame[name].notna().any())]
    schema = pa.schema([(name, pa.int64() if name in INTEGERS else pa.string()) for name in columns])
    ordered = in_order(frame, KEY).reindex(columns=columns)
    return pa.Table.from_pandas(ordered, schema=schema, preserve_index=False).replace_schema_metadata(None)


def _write_table(path: Path, table: pa.Table) -> None:
    """Equal tables give equal bytes."""
    pq.write_table(table, path, row_group_size=ROWS_AT_ONCE, write_page_checksum=True)


def _write_sums(path: Path, known: Mapping[str, str]) -> None:
    """`SHA256SUMS` of the files in the folder `path` and of the shards, whose digests are among those `known` by name."""
    files = [file for file in path.iterdir() if file.is_file() and file.name not in {SUMS, *known} and file.name[0] != "."]
    with atomic_path(path / SUMS) as temporary:
        temporary.write_text(sums_text({**{file.name: file_sha256(file) for file in files}, **known}), encoding="utf-8")
        temporary.chmod(0o444)


def shard_digests(path: Path, shards: Path) -> dict[str, str]:
    """Digests of the shard files by name, as the snapshot at `path` knows them; not of files that changed since.

    One that was lost is made anew with the same rows and, by another version of Arrow, other bytes.
    """
    digests = {Path(name).name: digest for name, digest in read_sums(path).items() if name.endswith(SUFFIX)}
    noted_ns = child(path, SUMS).stat().st_mtime_ns if digests else 0
    return {name: digest for name, digest in digests.items() if _changed_ns(child(shards, name)) <= noted_ns}


def _changed_ns(path: Path) -> int:
    """0 where the file is not here."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _known_shards(folder: Path, shards: Path) -> dict[str, str]:
    digests: dict[str, str] = {}
    for identifier in list_snapshots(folder):
        digests |= shard_digests(child(folder, identifier), shards)
    return digests


def attribution(manifest: pd.DataFrame) -> pd.DataFrame:
    """Title, owner, licence and link of each photo, as its licence asks to be shown; tiles of a photo are one row."""
    columns = ["photo_id", "domain", "split", "title", "owner", "owner_name", "license", "page_url"]
    table = in_order(manifest[columns].drop_duplicates(PHOTO), PHOTO)
    names = {value: license_name(value) for value in table["license"].dropna().unique()}
    table["license_name"] = table["license"].map(names).astype(object).fillna(license_name(None))
    return table


# --- where pictures lie -----------------------------------------------------------------------------------------------


def locate(manifest: pd.DataFrame, shards: Path) -> pd.DataFrame:
    """`manifest` with `key`, `shard` and `row` of each picture, found by its digests; null where it is in no shard.

    By content and not by name: a shard that was lost is made anew with other neighbours, under another name.
    A picture that lies in several shards is taken where the manifest had it, else from the first by name.
    """
    return _placed(manifest, all_rows(shards), set(manifest["shard"]) if "shard" in manifest else set())


def _placed(manifest: pd.DataFrame, index: pd.DataFrame, before: Collection[str]) -> pd.DataFrame:
    """`locate` among the rows of `index`; those in the shards `before` come first."""
    wanted = manifest.drop(columns=LOCATION, errors="ignore")
    ordered = index.assign(strange=~among(index["shard"], before)).sort_values(["strange", "shard", "row"], kind="stable")
    found = ordered.drop_duplicates(DIGESTS)[[*DIGESTS, *LOCATION]]
    places = with_all_digests(wanted)[DIGESTS].merge(found, on=DIGESTS, how="left")
    return wanted.assign(**{name: places[name].to_numpy() for name in LOCATION})


def all_rows(shards: Path, pixels: Collection[str] | None = None) -> pd.DataFrame:
    """`rows_of` every shard."""
    return rows_of(paths_in(shards, SUFFIX), pixels)


def rows_of(paths: Sequence[Path], pixels: Collection[str] | None = None) -> pd.DataFrame:
    """Every row of these shards: `key`, `DIGESTS`, `shard`, `row`; no pixel is read.

    With `pixels` those alone whose RGB has one of these digests.
    """

    def one(path: Path) -> pd.DataFrame:
        rows = Shard(path).index(pixels)
        return rows.assign(shard=path.name, row=rows.index) if len(rows) else rows

    with ThreadPoolExecutor() as pool:
        frames = [rows for rows in pool.map(one, paths) if len(rows)]
    empty = pd.DataFrame({name: pd.Series(dtype=str) for name in ["key", *DIGESTS, "shard"]} | {"row": pd.Series(dtype=int)})
    return pd.concat(frames, ignore_index=True) if frames else empty


def missing_pictures(manifest: pd.DataFrame, shards: Path) -> list[str]:
    """Pictures of a manifest that are not where it says, by the digests that the shards carry."""
    index = all_rows(shards).set_index(["shard", "row"])[DIGESTS]
    here = manifest[["shard", "row"]].merge(index, left_on=["shard", "row"], right_index=True, how="left")
    same = (here[DIGESTS].to_numpy() == with_all_digests(manifest)[DIGESTS].to_numpy()).all(axis=1)
    return [f"{photo_id} is not in its shard" for photo_id in manifest.loc[~same, "photo_id"]]


def open_snapshot(folder: Path, identifier: str, shards: Path) -> pd.DataFrame:
    """`read_snapshot`, with pictures whose shard is gone found in the shards that replaced it.

    Raises `DatasetError` as well when a picture is in no shard any more.
    """
    manifest = read_snapshot(folder, identifier)
    if all(is_there(child(shards, name)) for name in manifest["shard"].unique()):
        return manifest
    relocate(child(folder, identifier), shards)
    return read_snapshot(folder, identifier)


def with_places(manifest: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows of `manifest` with what the snapshot at `path` says of their places; null where it knows none."""
    # Snapshots frozen before there were tiles do not repeat the transform.
    columns = [name for name in PICTURE_COLUMNS if name != "split"]
    try:
        places = read_frozen(path / PICTURES, [*columns, *SOURCES], INTEGERS, optional=["transform", *SOURCES])
    except DatasetError as error:
        raise DatasetError(f"{path}: {PICTURES} is damaged ({error}); {RESTORE}") from None
    key = [name for name in KEY if name in places]
    if have_same_keys(manifest, places, key):
        return manifest.reset_index(drop=True).join(places.drop(columns=key))
    if places.duplicated(key).any() or manifest.duplicated(KEY).any():
        raise DatasetError(f"{path}: {PICTURES} or {MANIFEST} names a picture twice; {RESTORE}")
    return manifest.merge(places, on=key, how="left")


def relocate(path: Path, shards: Path, known: Mapping[str, str] | None = None) -> None:
    """Write anew where the pictures of the snapshot at `path` lie; `known` are digests of shards, else those noted before.

    Raises `DatasetError` when one that was not forgotten is in no shard; then nothing is changed.
    """
    manifest = verified_manifest(path)
    pictures = locate(with_places(manifest[~manifest["forgotten"]], path), shards)
    if lost := pictures.loc[pictures["shard"].isna(), "photo_id"].tolist():
        raise DatasetError(
            f"{path}: {counted(len(lost), 'picture')} in no shard, first {lost[0]}; "
            f"`bokehflow snapshot restore {path.name}` makes what is missing"
        )
    replace_parquet(path / PICTURES, pictures, PICTURE_COLUMNS, SOURCES)
    refresh_sums(path, shards, {PICTURES}, known)


def leave_shards(path: Path, leaving: Collection[str], now: pd.DataFrame) -> None:
    """Have the snapshot at `path` forget where forgotten pictures lay, and say where those in `leaving` shards lie now.

    `now` are rows as of `all_rows`. A picture that is not among them keeps its place; every other row stays as it stands.
    `SHA256SUMS` is left as it is.
    """
    forgotten, there = read_forgotten(path), parquet_footer(path / PICTURES).schema.names
    key = [name for name in KEY if name in there]
    moved = rows_with(path / PICTURES, "shard", set(leaving), [*key, *LOCATION]).to_pandas()
    moved = moved[~among(moved["photo_id"], forgotten)].reset_index(drop=True)
    in_manifest = parquet_footer(path / MANIFEST).schema.names
    columns = [*key, *(name for name in DIGESTS if name in in_manifest)]
    digests = rows_with(path / MANIFEST, "photo_id", set(moved["photo_id"]), columns).to_pandas()
    found = _placed(moved.merge(digests.drop_duplicates(key), on=key, how="left"), now, ())
    places = found[LOCATION].where(found["shard"].notna(), moved[LOCATION])
    told = {name: iter(places[name].tolist()) for name in LOCATION}

    def left(rows: pa.Table) -> pa.Table:
        rows = rows.filter(pc.call_function("invert", [is_one_of(rows["photo_id"], forgotten)])).combine_chunks()
        is_moved = is_one_of(rows["shard"], leaving)
        for name in LOCATION if is_moved.true_count else ():
            new = pa.array(list(islice(told[name], is_moved.true_count)), rows[name].type)
            replaced = pc.call_function("replace_with_mask", [rows[name], is_moved, new])
            rows = rows.set_column(rows.column_names.index(name), name, replaced)
        return rows.drop_columns(unused)

    sources = [name for name in SOURCES if name in there]
    kept = parquet_table(path / PICTURES, ["photo_id", *sources]) if sources else pa.table({})
    kept = kept.filter(pc.call_function("invert", [is_one_of(kept["photo_id"], forgotten)])) if sources else kept
    unused = [name for name in sources if _is_empty(kept[name])]
    _rewrite(path / PICTURES, left)


def _is_empty(column: pa.ChunkedArray) -> bool:
    return column.null_count == len(column)


def replace_parquet(path: Path, frame: pd.DataFrame, columns: list[str], of_layers: Sequence[str] = ()) -> None:
    """Write a Parquet file of a frozen snapshot anew, atomically, from these columns of a frame."""
    table = _arrow_table(frame, columns, of_layers)
    try:
        with atomic_path(path) as temporary:
            _write_table(temporary, table)
            temporary.chmod(0o444)
    except OSError as error:
        raise not_written(path, error) from error


def _rewrite(path: Path, changed: Callable[[pa.Table], pa.Table]) -> None:
    """Write a Parquet file of a frozen snapshot anew, atomically, as `_write_table` does, from what its rows become.

    A group of rows after the other is read and written, in memory that is used again.
    """
    with pq.ParquetFile(parquet_path(path)) as file:
        groups = (file.read_row_group(group, use_threads=False) for group in range(file.num_row_groups))
        rows = map(changed, groups)
        first = next(rows, None)
        if first is None:
            first = changed(file.schema_arrow.empty_table())
        try:
            with atomic_path(path) as temporary:
                with pq.ParquetWriter(temporary, first.schema, write_page_checksum=True) as writer:
                    for group in _in_groups(chain([first], rows)):
                        writer.write_table(group, ROWS_AT_ONCE)
                temporary.chmod(0o444)
        except OSError as error:
            raise not_written(path, error) from error


def _in_groups(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, `ROWS_AT_ONCE` at a time."""
    waiting, is_first = pa.table({}), True
    for part in parts:
        waiting = pa.concat_tables([waiting, part]) if len(waiting) else part
        while len(waiting) >= ROWS_AT_ONCE:
            yield waiting.slice(0, ROWS_AT_ONCE).combine_chunks()
            waiting, is_first = waiting.slice(ROWS_AT_ONCE), False
    if len(waiting) or is_first:  # a table without rows has one group, without rows too
        yield waiting.combine_chunks()


def refresh_sums(path: Path, shards: Path, written: Collection[str], known: Mapping[str, str] | None = None) -> None:
    """`SHA256SUMS` after these files of the snapshot at `path` were written anew.

    All others keep the digests that they had: one that is damaged stays known for it. Shards are hashed again unless their
    digest is `known`; by default it is where they did not change since it was noted.
    """
    sums = read_sums(path) if sums_problem(path) is None else {}
    known = shard_digests(path, shards) if known is None else known
    names = sorted(parquet_table(path / PICTURES, ["shard"])["shard"].unique().to_pylist())
    below = {
        os.path.relpath(child(shards, name), path): known.get(name) or file_sha256(child(shards, name))
        for name in names
        if name in known or is_there(child(shards, name))
    }
    kept = {name: digest for name, digest in sums.items() if name not in written and not name.endswith(SUFFIX)}
    _write_sums(path, {**kept, **below})


def erase_origin(path: Path, photo_ids: set[str]) -> None:
    """Take from the snapshot at `path` what it says of the owners of these photos; digests stay.

    Their lines leave the attribution. Done twice, it changes nothing more.
    """

    def erased(rows: pa.Table) -> pa.Table:
        is_erased = is_one_of(rows["photo_id"], photo_ids)
        for name in ORIGIN if is_erased.true_count else ():
            unknown = pa.scalar(None, rows[name].type)
            told = pc.call_function("if_else", [is_erased, unknown, rows[name].combine_chunks()])
            rows = rows.set_column(rows.column_names.index(name), name, told)
        return rows

    _rewrite(path / MANIFEST, erased)
    _replace_attribution(path, _without_lines(path / ATTRIBUTION, photo_ids))


def _without_lines(path: Path, photo_ids: Collection[str]) -> bytes:
    """An attribution without these photos, every other row as it stands. Raises `DatasetError` where it is none."""
    data = read_plain(path)
    try:
        found = _without_found(data, photo_ids) if len(photo_ids) <= FEW_PHOTOS else None
        return _without_parsed(data, photo_ids) if found is None else found
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path.parent}: {ATTRIBUTION} is damaged ({error}); {RESTORE}") from None


def _without_found(data: bytes, photo_ids: Collection[str]) -> bytes | None:
    """The attribution without the lines that begin with one of few ids where no quotation is open.

    None where it takes reading all rows to know these: such a line is not one row, or an id stands elsewhere.
    """
    data.decode()
    gone: list[tuple[int, int]] = []
    for begin in (f"\n{photo_id},".encode() for photo_id in photo_ids):
        at = data.find(begin)
        while at >= 0:
            if data.count(b'"', 0, at) % 2 == 0:
                end = data.find(b"\n", at + 1)
                while end >= 0 and data.count(b'"', at, end) % 2:
                    end = data.find(b"\n", end + 1)
                gone.append((at + 1, end + 1 if end >= 0 else len(data)))
            at = data.find(begin, at + 1)
    edges = [0, *chain.from_iterable(sorted(gone)), len(data)]
    left = b"".join(data[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
    rows = [list(csv.reader(io.StringIO(data[start:end].decode(), newline=""))) for start, end in gone]
    are_rows = all(len(found) == 1 and found[0][0] in photo_ids for found in rows)
    return left if are_rows and not any(photo_id.encode() in left for photo_id in photo_ids) else None


def _without_parsed(data: bytes, photo_ids: Collection[str]) -> bytes:
    kept, start = list[str](), 0
    lines = io.StringIO(data.decode(), newline="").readlines()
    reader = csv.reader(lines)
    for cells in reader:
        if not cells or cells[0] not in photo_ids:
            kept += lines[start : reader.line_num]
        start = reader.line_num
    return "".join(kept).encode()


def refresh_origin(path: Path, manifest: pd.DataFrame, shards: Path) -> bool:
    """Have the snapshot at `path` say of owners, titles and licences what `manifest`, of the same pictures, says.

    What is unknown there, and what was erased of forgotten photos, stays as it is. Returns whether anything changed.
    """
    frozen = verified_manifest(path)
    told = (
        without_controls(manifest.drop_duplicates("photo_id").set_index("photo_id")[ORIGIN])
        .reindex(frozen["photo_id"])
        .set_index(frozen.index)
    )
    known = told.notna() & ~frozen[["forgotten"]].to_numpy()
    fresh = frozen[ORIGIN].astype(object).where(~known, told.astype(object))
    files = {MANIFEST, ATTRIBUTION}
    if fresh.equals(frozen[ORIGIN].astype(object)) and not files & set(damaged_files(path)):
        return False
    frozen[ORIGIN] = fresh
    replace_parquet(path / MANIFEST, frozen, MANIFEST_COLUMNS, WHERE_THERE_ARE)
    _replace_attribution(path, attribution_text(frozen))
    refresh_sums(path, shards, files)
    return True


def damaged_files(path: Path) -> list[str]:
    """Files in the folder of a snapshot that are gone or not what its `SHA256SUMS` says; none where that is damaged."""
    sums = read_sums(path) if sums_problem(path) is None else {}
    own = {name: child(path, name) for name in FILES if name in sums}
    return [name for name, file in own.items() if not file.exists() or file_sha256(file) != sums[name]]


def attribution_text(manifest: pd.DataFrame) -> bytes:
    """The file `attribution.csv` of a frozen manifest with its column `forgotten`."""
    return attribution(manifest[~manifest["forgotten"]]).to_csv(index=False, lineterminator="\n").encode()


def is_vouched_for(path: Path) -> bool:
    """Whether `SHA256SUMS` of the snapshot at `path` is whole, and true of all files that say which pictures it has.

    It takes a hundredth of the time in which the manifest's identity is computed.
    """
    sums = read_sums(path)
    names = [FACTS, MANIFEST, PICTURES, *([FORGOTTEN] if child(path, FORGOTTEN).exists() or FORGOTTEN in sums else ())]
    try:
        return sums_problem(path) is None and all(sums.get(name) == file_sha256(child(path, name)) for name in names)
    except OSError:
        return False


def _replace_attribution(path: Path, data: bytes) -> None:
    with atomic_path(path / ATTRIBUTION) as temporary:
        temporary.write_bytes(data)
        temporary.chmod(0o444)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_snapshot(folder: Path, identifier: str) -> pd.DataFrame:
    """The frozen manifest with the place of each picture; the forgotten ones are left out.

    Columns as in the table `dataset_manifest`. Raises `DatasetError` as `read_facts` does, and when the manifest's
    bytes no longer give its id.
    """
    manifest = read_manifest(folder, identifier)
    kept = with_places(manifest[~manifest["forgotten"]], child(folder, identifier))
    if kept["shard"].isna().any():
        raise DatasetError(
            f"{child(folder, identifier)}: {PICTURES} is incomplete; `bokehflow snapshot restore {identifier}`"
        )
    kept["row"] = kept["row"].astype("int64")
    kept["decision_row"] = kept["decision_row"].astype("Int64")
    without = {name: pd.Series(None, kept.index, "str") for name in [*WHERE_THERE_ARE, *SOURCES] if name not in kept}
    return kept.assign(**without).reindex(columns=columns_of("dataset_manifest"))


def read_manifest(folder: Path, identifier: str) -> pd.DataFrame:
    """All rows of the frozen manifest, with a column `forgotten`; raises as `read_snapshot` does."""
    read_facts(folder, identifier)
    return verified_manifest(child(folder, identifier))


def verified_manifest(path: Path) -> pd.DataFrame:
    facts = facts_of(path)
    try:
        manifest = read_frozen(path / MANIFEST, [*MANIFEST_COLUMNS, *WHERE_THERE_ARE], optional=WHERE_THERE_ARE)
    except DatasetError as error:
        raise DatasetError(f"{path}: {MANIFEST} is damaged ({error}); {RESTORE}") from None
    if snapshot_id(manifest) != facts["id"]:
        raise DatasetError(
            f"{path}: the manifest was changed after it was frozen; {RESTORE} (`bokehflow snapshot verify {path.name}` "
            "names the rows)"
        )
    return manifest.assign(forgotten=among(manifest["photo_id"], read_forgotten(path)))

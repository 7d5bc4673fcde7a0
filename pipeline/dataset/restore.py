"""Restoring a snapshot: from its manifest and masks, photos fetched where they are missing, every digest checked.

A bundle (`export_bundle`) is what travels: the snapshot's files, the masks and the maps of depth that its pictures were made
with, and no photo.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pipeline.atomic import write_bytes
from pipeline.bounded import plain_file
from pipeline.dataset.file_forms import check_forms
from pipeline.dataset.forget import without_rows
from pipeline.dataset.frozen_tables import MAX_FILE_BYTES
from pipeline.dataset.layout import (
    ATTRIBUTION,
    CANONICAL,
    FILES,
    MANIFEST,
    PICTURES,
    SUMS,
    facts_of,
    read_sums,
    sums_text,
)
from pipeline.dataset.manifest import canonical
from pipeline.dataset.snapshot import (
    KEY,
    PHOTO,
    attribution_text,
    damaged_files,
    freeze_as,
    locate,
    new_folder,
    not_written,
    read_snapshot,
    relocate,
    verified_manifest,
    with_places,
)
from pipeline.dataset.verify import check_shard
from pipeline.errors import DatasetError, StorageError, UnsafeName
from pipeline.file_names import SnapshotId, all_below, child, inside, snapshot_id_of
from pipeline.picture_layers import DIGESTS, OPTIONAL, SOURCES, with_all_digests
from pipeline.plain_files import file_sha256, plain_path, read_plain
from pipeline.tables import among

MAPS: dict[str, tuple[str, str, str]] = {
    "mask": ("masks", "mask", "mask_sha256"),
    **{layer.name: (layer.name, layer.source, layer.source_digest) for layer in OPTIONAL if layer.kept_as == "map"},
}
"""What a picture is made with beside photos, by name: the folder of a bundle that holds it under its path in the home, the
column with that path, and the column with its digest."""
PHOTOS = [layer for layer in OPTIONAL if layer.kept_as == "photo"]
KEPT_FILES = tuple(name for name in FILES if name != PICTURES)
MAX_MAP_BYTES = 64 * 2**20
NO_MASK_NAMED = "the snapshot does not say which mask it was made with"
RESTORED = "restored"
"""Folder of the home's masks, or maps, with those of bundles whose own path another has."""

Fetch = Callable[[pd.DataFrame], Mapping[str, str | None]]
"""From rows (photo_id, domain, image_url, source_sha256) to what became of each photo: null, or a reason."""
Prepare = Callable[[pd.DataFrame], pd.DataFrame]
"""From rows as in the table `person_masks`, one for each `transform`, to rows as in `training_images`."""
MapDigest = Callable[[Path], str]
"""From a mask's or a map's file to its digest in the tables; raises `DatasetError` for one that is none."""


@dataclass(frozen=True)
class Kept:
    """The folder of a home where masks, or maps, are kept, and how the digest of one is computed."""

    folder: Path
    digest: MapDigest


@dataclass(frozen=True)
class Photos:
    """The photos of a home: whether it has one by the digest of its bytes, how others come, and the ids of those that were
    forgotten there by now."""

    has: Callable[[str], bool]
    fetch: Fetch
    forgotten: Callable[[], Set[str]] = frozenset


@dataclass
class Restored:
    """What a restoration did. `missing` and `differing` say for each photo why it is not what it was."""

    identifier: str
    pictures: int
    already_there: int = 0
    fetched: int = 0
    made: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    differing: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    """Files of the snapshot's folder that are not as they were frozen, and that nothing here tells."""

    @property
    def whole(self) -> bool:
        """Whether every picture is there and so the snapshot."""
        return not self.missing and not self.differing and not self.damaged


def export_bundle(snapshots: Path, identifier: str, folders: Mapping[str, Path], target: Path) -> int:
    """Write the snapshot's files, its masks and its maps, without any photo, into the new folder `target`.

    `folders` are where the home keeps them, by the names of `MAPS`. Returns how many masks there are. Raises `DatasetError`
    when `target` exists, a mask or a map is missing or the disk is full.
    """
    if target.exists():
        raise DatasetError(f"{target}: exists already; name a new folder, or delete that one")
    files = bundle_files(child(snapshots, identifier), read_snapshot(snapshots, identifier), folders)
    with new_folder(target) as folder:
        sums = {}
        for name, bundled in files.items():
            inside(folder, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(plain_path(Path(bundled.path)), inside(folder, name))
            sums[name] = file_sha256(inside(folder, name))
        (folder / SUMS).write_text(sums_text(sums), encoding="utf-8")
    return sum(name.startswith(f"{MAPS['mask'][0]}/") for name in files)


class Bundled(NamedTuple):
    """A file of a bundle: where it lies now, as text since there are many, and its size."""

    path: str
    size_bytes: int


def bundle_files(frozen: Path, rows: pd.DataFrame, folders: Mapping[str, Path]) -> dict[str, Bundled]:
    """What a bundle of the snapshot at `frozen` holds beside `SHA256SUMS`, by its name there.

    `rows` is what `read_snapshot` gives. Raises `DatasetError` when a mask or a map is missing, or lies elsewhere.
    """
    kept = {name: str(child(frozen, name)) for name in (*KEPT_FILES, PICTURES)}
    files = {name: Bundled(path, size) for name, path in kept.items() if (size := _size_bytes(path)) is not None}
    for name, folder in folders.items():
        bundled, column, _ = MAPS[name]
        paths, missing = sorted(set(rows[column].dropna().tolist())), []
        for path, at in _checked_inside(frozen, folder, paths).items():
            if (size := _size_bytes(at)) is None:
                missing.append(path)
            else:
                files[f"{bundled}/{path}"] = Bundled(at, size)
        if missing:
            raise DatasetError(
                f"{inside(folder, missing[0])}: {len(missing)} {_many(name)} of the snapshot are missing; "
                "`bokehflow run` makes them anew while what makes them is configured as it was"
            )
    return files


def _size_bytes(path: str) -> int | None:
    """None where no file lies there."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return None


def _many(name: str) -> str:
    return "masks" if name == "mask" else f"maps of {name}"


def restore_snapshot(
    source: Path,
    snapshots: Path,
    shards: Path,
    maps: Mapping[str, Kept],
    photos: Photos,
    prepare: Prepare,
) -> Restored:
    """Rebuild the snapshot whose files lie in `source` (a bundle, or its own folder) in the home of `snapshots`.

    Pictures that are in the shards are hashed again, and damaged ones leave them. For what is not there photos come from the
    home or are fetched, masks and other maps (by the names of `MAPS`) come from the home or from the bundle. Photos that
    were forgotten in the home are missing, whoever else's picture has their bytes.
    The snapshot's folder is written once every picture is there with its frozen digests; until then what was made stays in
    the shards for the next try.
    Raises `DatasetError` when `source` is no snapshot, was changed, is of a newer format, or names files outside its own
    folder or the home's masks.
    """
    identifier, kept = _checked(source)
    for name, of_home in maps.items():
        if MAPS[name][1] in kept:
            _checked_inside(source, of_home.folder, kept[MAPS[name][1]].dropna().unique())
    rows = locate(kept, shards)
    if _damaged_went(rows, shards):
        rows = locate(kept, shards)
    target = child(snapshots, identifier)
    if not target.exists() and (damaged := damaged_files(source)):
        raise DatasetError(
            f"{source}: not restored, {damaged[0]} is not what {SUMS} there says; take another copy of the bundle"
        )
    result = Restored(identifier, len(rows))
    forgotten = among(rows["photo_id"], _forgotten(rows, photos, result))
    result.already_there = int((rows["shard"].notna() & ~forgotten).sum())
    todo = rows[rows["shard"].isna() & ~forgotten]
    todo = _with_partners(_with_photos(todo, photos, result), photos.has, result)
    for name, of_home in maps.items():
        todo = _with_maps(todo, source, name, of_home, result)
    if len(todo):
        _compare(todo, prepare(_mask_rows(todo)), result)
    _forgotten(rows, photos, result)  # somebody may have asked for it meanwhile
    if result.whole:
        _settle(source, target, locate(rows, shards), shards)
        result.damaged = damaged_files(target)
    return result


def _forgotten(rows: pd.DataFrame, photos: Photos, result: Restored) -> Set[str]:
    """The photos that were forgotten by now, noted as missing."""
    found = photos.forgotten() & set(rows["photo_id"])
    result.missing |= dict.fromkeys(sorted(found), "it was forgotten here")
    return found


def _damaged_went(rows: pd.DataFrame, shards: Path) -> bool:
    """Write shards in which a picture of these is not what its digest says anew without it; whether there were any."""
    there = rows[rows["shard"].notna()]
    found = {}
    for name, wanted in there.groupby("shard"):
        findings = check_shard(child(shards, name), wanted, None)
        if damaged := {one.row for one in findings if one.row is not None}:
            found[str(name)] = damaged
    for name, damaged in found.items():
        path = child(shards, name)
        try:
            without_rows(path, damaged)
            path.unlink()
        except OSError as error:
            raise not_written(path, error) from error
    return bool(found)


def without_missing(source: Path, shards: Path, forgotten: Set[str] = frozenset()) -> pd.DataFrame:
    """The manifest of what is there of the snapshot in `source`, `forgotten` photos left out: another one, with its own id.

    Raises `DatasetError` where nothing of it is.
    """
    rows = locate(_checked(source)[1], shards)
    rest = rows[rows["shard"].notna() & ~among(rows["photo_id"], forgotten)].reset_index(drop=True)
    if rest.empty:
        raise DatasetError(f"{source}: none of its pictures could be restored, so that nothing is left to be frozen")
    return rest


def _checked(source: Path) -> tuple[SnapshotId, pd.DataFrame]:
    """The id of a stranger's snapshot and its pictures, forgotten ones left out, once all that it says has its form."""
    try:
        for name in FILES:
            with suppress(FileNotFoundError):
                plain_file(source, name, MAX_FILE_BYTES)
    except StorageError as error:
        raise DatasetError(f"{source}: not used, it would reach outside its folders: {error}") from None
    identifier = snapshot_id_of(facts_of(source)["id"])
    manifest = verified_manifest(source)
    rows = with_places(manifest[~manifest["forgotten"]].drop(columns="forgotten"), source)
    check_forms(source, manifest)
    check_forms(source, rows)
    if not child(source, CANONICAL).exists() or read_plain(child(source, CANONICAL)) != canonical(manifest):
        raise DatasetError(f"{source}: {CANONICAL} and {MANIFEST} do not say the same; nothing was restored")
    return identifier, rows


def _with_photos(todo: pd.DataFrame, photos: Photos, result: Restored) -> pd.DataFrame:
    """Rows whose photo is in the home, after fetching those that are not, each once, whatever the number of its tiles."""
    here = todo["source_sha256"].map(photos.has).astype(bool)
    absent = todo[~here].drop_duplicates(PHOTO)
    if absent.empty:
        return todo
    reasons = photos.fetch(absent[["photo_id", "domain", "image_url", "source_sha256"]])
    for photo_id, digest in absent[["photo_id", "source_sha256"]].itertuples(index=False, name=None):
        if photos.has(digest):
            result.fetched += 1
        else:
            reason = reasons.get(photo_id)
            result.missing[photo_id] = reason or "the file that is served now is another than the frozen one"
    return todo[todo["source_sha256"].map(photos.has).astype(bool)]


def _with_partners(todo: pd.DataFrame, has_photo: Callable[[str], bool], result: Restored) -> pd.DataFrame:
    """Rows whose layers that are made from other photos can be made; those photos were imported, and nobody serves them."""
    for layer in (layer for layer in PHOTOS if layer.source in todo):
        for photo_id, source in todo[["photo_id", layer.source]].dropna().itertuples(index=False, name=None):
            if not has_photo(source):
                result.missing[photo_id] = f"the photo that is its {layer.name} is not in the home; import its folder again"
    return todo[~among(todo["photo_id"], result.missing)]


def _with_maps(todo: pd.DataFrame, source: Path, name: str, kept: Kept, result: Restored) -> pd.DataFrame:
    """Rows whose mask, or map, is in the home, after copying those that the bundle has.

    Where the home has another under the same path, as of another processor, the bundle's lies beside it, in `RESTORED`.
    """
    folder, column, digest_column = MAPS[name]
    if column not in todo:
        result.missing |= dict.fromkeys(todo["photo_id"], NO_MASK_NAMED) if name == "mask" else {}
        return todo[~among(todo["photo_id"], result.missing)]
    bundled, paths = child(source, folder), todo[column].astype(object)
    for row, photo_id, path, digest in todo.reindex(columns=["photo_id", column, digest_column]).itertuples(name=None):
        if not isinstance(path, str):
            if name == "mask":
                result.missing[photo_id] = NO_MASK_NAMED
            continue
        here = _digest_in(kept.folder, path, kept.digest)
        if here is not None and (here == digest or not isinstance(digest, str)):
            continue
        there = _digest_in(bundled, path, kept.digest)
        if there is None:
            if here is None:
                result.missing[photo_id] = f"its {name} {path} is neither in the home nor in the bundle"
            elif isinstance(here, Exception):
                result.missing[photo_id] = f"the home's {name} cannot be used: {here}"
            continue  # what is made with another tells what differs
        if there != digest:
            why = f"cannot be used: {there}" if isinstance(there, Exception) else f"{path} is not the frozen one"
            result.missing[photo_id] = f"the bundle's {name} {why}"
            continue
        copy = path if here is None else f"{RESTORED}/{digest}{Path(path).suffix}"
        write_bytes(inside(kept.folder, copy), read_plain(inside(bundled, path)))
        paths[row] = copy
    return todo.assign(**{column: paths})[~among(todo["photo_id"], result.missing)]


def _digest_in(folder: Path, path: str, digest_of: MapDigest) -> str | Exception | None:
    """Of a mask, or a map; why it cannot be used; None where there is none."""
    if not inside(folder, path).exists():
        return None
    try:
        return digest_of(plain_file(folder, path, MAX_MAP_BYTES))
    except (OSError, StorageError, DatasetError) as error:
        return error


def _checked_inside(source: Path, folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Paths by name. A bundle may come from anybody: nothing that it names may lie outside the folder meant for it."""
    try:
        return all_below(folder, names)
    except UnsafeName as error:
        raise DatasetError(f"{source}: not used, it would reach outside its folders: {error}") from None


def _mask_rows(todo: pd.DataFrame) -> pd.DataFrame:
    """A row for each picture, with its transform."""
    columns = ["photo_id", "domain", "split_key", "transform", "mask", "mask_sha256", *(c for c in SOURCES if c in todo)]
    return todo[columns].assign(sha256=todo["source_sha256"], coverage=1.0, reason=None)


def _compare(todo: pd.DataFrame, made: pd.DataFrame, result: Restored) -> None:
    """Digests of what was made against the frozen ones."""
    columns = [*KEY, *DIGESTS]
    both = with_all_digests(todo).merge(with_all_digests(made)[columns], on=KEY, how="left", suffixes=("", "_made"))
    transforms = made.groupby(PHOTO)["transform"].agg(lambda names: ", ".join(sorted(names)))
    for row in both.to_dict("records"):
        photo_id = str(row["photo_id"])
        wrong = [name.removesuffix("_sha256") for name in DIGESTS if row[name] != row[f"{name}_made"]]
        if not wrong:
            result.made += 1
        elif pd.isna(row[f"{DIGESTS[0]}_made"]):
            now = transforms.get((row["domain"], photo_id), "nothing of it")
            result.differing[photo_id] = f"was prepared as {row['transform']}, this version prepares {now}"
        else:
            result.differing[photo_id] = (
                f"other {' and '.join(wrong)} than the frozen ones: made with other libraries or on another processor"
            )


def _mend(source: Path, target: Path) -> None:
    """Put files that are not as they were frozen back where their bytes are known: of a bundle, or from what others say."""
    sums = read_sums(target)
    for name in sorted(damaged_files(target), key=lambda name: name == ATTRIBUTION):
        of_source = child(source, name)
        told = [read_plain(of_source)] if of_source.exists() else []
        if name == ATTRIBUTION:
            told.append(attribution_text(verified_manifest(target)))
        if right := next((data for data in told if hashlib.sha256(data).hexdigest() == sums[name]), None):
            write_bytes(child(target, name), right)
            child(target, name).chmod(0o444)


def _settle(source: Path, target: Path, pictures: pd.DataFrame, shards: Path) -> None:
    """Put the snapshot's files in place, or have a folder that is there point to where the pictures lie now."""
    if target.exists():
        _mend(source, target)
        relocate(target, shards, known={})  # each of its pictures was found to be right
        return
    with freeze_as(target, pictures, shards) as folder:
        for name in KEPT_FILES:
            if child(source, name).exists():
                shutil.copyfile(plain_path(child(source, name)), child(folder, name))

"""Verification: every byte of a snapshot hashed again, and what differs named by file and row.

The files vouch for each other: `SHA256SUMS` for all of them and for itself, the folder's name for `manifest.jsonl`, the
manifest for the layers in the shards, `manifest.parquet` and `attribution.csv` line by line for one another.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.counted import counted
from pipeline.dataset.layout import (
    ATTRIBUTION,
    CANONICAL,
    FACTS,
    FILES,
    FORGOTTEN,
    MANIFEST,
    PICTURES,
    SUMS,
    read_facts,
    read_forgotten,
    read_sums,
    sums_problem,
)
from pipeline.dataset.manifest import ID_DIGITS, canonical, counts, identity_columns
from pipeline.dataset.shards import SUFFIX, Shard
from pipeline.dataset.snapshot import KEY, MANIFEST_COLUMNS, attribution, locate
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.parquet_files import parquet_path
from pipeline.picture_layers import DIGESTS, LAYERS, Layer, with_all_digests
from pipeline.plain_files import at_hand, file_sha256, read_plain, read_plain_text
from pipeline.tables import among

AT_ONCE = 4
"""Shards hashed at a time."""
DAMAGE = (DatasetError, OSError, ValueError, KeyError, IndexError, TypeError, pa.ArrowException)
"""What reading a damaged file may raise."""


@dataclass(frozen=True)
class Discrepancy:
    """Something that is not as it was frozen.

    `row` counts from 0 in a shard, from 1 in `manifest.parquet`, and is a line of a text file.
    """

    file: str
    what: str
    row: int | None = None
    photo_id: str | None = None

    def __str__(self) -> str:
        at = f"{self.file}, row {self.row}" if self.row is not None else self.file
        return f"{at}: {self.photo_id + ': ' if self.photo_id else ''}{self.what}"


@dataclass(frozen=True)
class Verification:
    """What `verify` found: nothing in `findings` means that every byte is as it was frozen."""

    identifier: str
    pictures: int
    shards: int
    hashed_bytes: int
    forgotten: dict[str, int]
    findings: Sequence[Discrepancy]

    @property
    def sound(self) -> bool:
        """Whether nothing differs; forgotten photos are no damage."""
        return not self.findings


def verify_snapshot(folder: Path, identifier: str, shards: Path) -> Verification:
    """Hash every file of the snapshot and every picture of it again.

    Raises `DatasetError` when there is no such snapshot or when it is of a newer format.
    """
    path = child(folder, identifier)
    told = read_facts(folder, identifier)["counts"]
    findings = list(_check_files(path))
    reference = _reference(path)
    if told != counts(reference):
        findings.append(Discrepancy(FACTS, "its counts are not those of the pictures"))
    findings += _check_canonical(path, reference)
    findings += _check_manifest(path, reference)
    pictures = _read(path / PICTURES, findings)
    forgotten = read_forgotten(path)
    names: list[str] = []
    if pictures is not None:
        expected = _found_elsewhere(_expected(reference, pictures, forgotten, findings), shards)
        names = sorted(expected["shard"].unique())
        findings += _check_shards(path, shards, expected)
    files = [*path.iterdir(), *(child(shards, name) for name in names)]
    size = sum(file.stat().st_size for file in files if file.exists())
    return Verification(identifier, len(reference), len(names), size, forgotten, _merged(findings))


def _check_files(path: Path) -> Iterator[Discrepancy]:
    """Whole files against `SHA256SUMS`, and that against itself."""
    problem = sums_problem(path)
    if problem:
        yield Discrepancy(SUMS, problem)
    sums = read_sums(path)
    for name in FILES:
        there = child(path, name).exists()
        if not there and (name in sums or name != FORGOTTEN):
            yield Discrepancy(name, "is missing")
        elif there and name not in sums:
            yield Discrepancy(SUMS, f"does not know {name}; if photos were being forgotten, forget them again to finish it")
        elif there and file_sha256(child(path, name)) != sums[name]:
            yield from _line_of(path, name, problem)


def _line_of(path: Path, name: str, sums_problem: str | None) -> Iterator[Discrepancy]:
    """A file whose digest is not the one listed: the list itself where it is known to be damaged."""
    if not sums_problem:
        yield Discrepancy(name, "is not as it was frozen")
        return
    lines = read_plain_text(path / SUMS, errors="replace").splitlines()
    row = next((number for number, line in enumerate(lines, 1) if line[66:] == name), None)
    yield Discrepancy(SUMS, f"its digest of {name} is not that of the file", row)


def _reference(path: Path) -> pd.DataFrame:
    """The identity: from `manifest.jsonl` while it is sound, else from `manifest.parquet`."""
    text = read_plain(path / CANONICAL) if (path / CANONICAL).exists() else b""
    if hashlib.sha256(text).hexdigest()[:ID_DIGITS] == path.name:
        return pd.DataFrame([json.loads(line) for line in text.splitlines()])
    try:
        manifest = pq.read_table(parquet_path(path / MANIFEST)).to_pandas()
        if hashlib.sha256(canonical(manifest)).hexdigest()[:ID_DIGITS] == path.name:
            return manifest[identity_columns(manifest)]
    except DAMAGE:
        pass
    raise DatasetError(
        f"{path}: neither {CANONICAL} nor {MANIFEST} gives the id {path.name} any more; restore the folder from a copy"
    )


def _check_canonical(path: Path, reference: pd.DataFrame) -> Iterator[Discrepancy]:
    if not (path / CANONICAL).exists():
        return
    wanted, found = canonical(reference).split(b"\n"), read_plain(path / CANONICAL).split(b"\n")
    for row, (line, other) in enumerate(zip(wanted, found, strict=False), 1):
        if line != other:
            yield Discrepancy(CANONICAL, "was changed", row, str(json.loads(line)["photo_id"]) if line else None)
    if len(wanted) != len(found):
        yield Discrepancy(CANONICAL, f"has {len(found) - 1} rows instead of {len(wanted) - 1}")


def _check_manifest(path: Path, reference: pd.DataFrame) -> Iterator[Discrepancy]:
    """`manifest.parquet` against the identity, and against the attribution, which repeats what it says of owners."""
    findings: list[Discrepancy] = []
    manifest = _read(path / MANIFEST, findings)
    yield from findings
    if manifest is None:
        return
    if missing := [name for name in MANIFEST_COLUMNS if name not in manifest]:
        yield Discrepancy(MANIFEST, f"has no column {missing[0]}")
        return
    yield from _differing(reference, manifest)
    shown = attribution(manifest[~among(manifest["photo_id"], read_forgotten(path))])
    wanted = shown.to_csv(index=False, lineterminator="\n").encode().split(b"\n")
    found = read_plain(path / ATTRIBUTION).split(b"\n") if (path / ATTRIBUTION).exists() else []
    ids = ["", *shown["photo_id"]]
    if found and len(wanted) != len(found):
        yield Discrepancy(ATTRIBUTION, f"has {len(found) - 1:,} lines instead of {len(wanted) - 1:,}")
        return
    is_manifest = _is_sound(path, ATTRIBUTION) and not _is_sound(path, MANIFEST)
    for row, (line, other) in enumerate(zip(wanted, found, strict=False), 1):
        if line != other:
            photo_id = ids[row - 1] if 1 < row <= len(ids) else None
            if is_manifest and photo_id:
                number = int((manifest["photo_id"] == photo_id).to_numpy().argmax()) + 1
                yield Discrepancy(MANIFEST, f"says other things of the photo than {ATTRIBUTION}", number, photo_id)
            else:
                yield Discrepancy(ATTRIBUTION, f"says other things than {MANIFEST}", row, photo_id)


def _is_sound(path: Path, name: str) -> bool:
    return read_sums(path).get(name) == file_sha256(child(path, name))


def _differing(reference: pd.DataFrame, manifest: pd.DataFrame) -> Iterator[Discrepancy]:
    """Rows of `manifest.parquet`, by number from 1, whose identity is not the frozen one."""
    # That there is no such layer is a null on one side and a missing column on the other.
    reference, manifest = with_all_digests(reference), with_all_digests(manifest)
    columns = [name for name in reference.columns if name in manifest]
    both = reference.merge(manifest.assign(row_number=range(1, len(manifest) + 1)), on=KEY, how="outer", indicator=True)
    for row in both[both["_merge"] != "both"].to_dict("records"):
        known = row["_merge"] == "left_only"
        number = None if known else int(row["row_number"])
        yield Discrepancy(MANIFEST, "is missing" if known else "is no picture of the snapshot", number, str(row["photo_id"]))
    matched = both[both["_merge"] == "both"]
    for column in (name for name in columns if name not in KEY and f"{name}_x" in matched):
        frozen, now = (matched[f"{column}_{side}"].fillna("") for side in "xy")
        for row in matched[frozen != now].to_dict("records"):
            what = f"{column} is {row[f'{column}_y']}, frozen was {row[f'{column}_x']}"
            yield Discrepancy(MANIFEST, what, int(row["row_number"]), str(row["photo_id"]))


def _read(path: Path, findings: list[Discrepancy]) -> pd.DataFrame | None:
    """A Parquet file; where it cannot be read, a finding with the rows that are lost."""
    try:
        return pq.read_table(parquet_path(path), page_checksum_verification=True).to_pandas()
    except FileNotFoundError:
        return None
    except DAMAGE as error:
        findings.append(Discrepancy(path.name, f"cannot be read ({error}){_lost_rows(path)}"))
        return None


def _lost_rows(path: Path) -> str:
    """Which rows a damaged page takes with it."""
    try:
        file = pq.ParquetFile(parquet_path(path), page_checksum_verification=True)
        first = 1
        for group in range(file.num_row_groups):
            after = first + file.metadata.row_group(group).num_rows
            try:
                file.read_row_group(group)
            except DAMAGE:
                return f", rows {first} to {after - 1}"
            first = after
    except DAMAGE:
        pass
    return ""


def _expected(
    reference: pd.DataFrame, pictures: pd.DataFrame, forgotten: dict[str, int], findings: list[Discrepancy]
) -> pd.DataFrame:
    """The pictures that must be there, with shard, row and digests."""
    kept = reference[~among(reference["photo_id"], forgotten)]
    key = [name for name in KEY if name in pictures]
    merged = kept.merge(pictures[[*key, "shard", "row"]], on=key, how="left")
    for photo_id in merged.loc[merged["shard"].isna(), "photo_id"]:
        findings.append(Discrepancy(PICTURES, "has no place for it", None, str(photo_id)))
    return merged[merged["shard"].notna()]


def _found_elsewhere(expected: pd.DataFrame, shards: Path) -> pd.DataFrame:
    """Of pictures whose shard is gone, the places in those that replaced it; `open_snapshot` finds them there as well."""
    lost = among(expected["shard"], [name for name in expected["shard"].unique() if not at_hand(child(shards, name))])
    if not lost.any():
        return expected
    try:
        places = locate(expected[lost], shards)
    except DAMAGE:  # of a shard, which is told where its own pictures are looked at
        return expected
    found = places[places["shard"].notna()]
    return pd.concat([expected.drop(index=found.index), found.astype({"row": expected["row"].dtype})])


def _check_shards(path: Path, shards: Path, expected: pd.DataFrame) -> Iterator[Discrepancy]:
    digests = {Path(name).name: digest for name, digest in read_sums(path).items() if name.endswith(SUFFIX)}
    sound_sums = sums_problem(path) is None
    groups = list(expected.groupby("shard"))

    def one(group: tuple[str, pd.DataFrame]) -> list[Discrepancy]:
        return list(check_shard(child(shards, group[0]), group[1], digests.get(group[0]) if sound_sums else None))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(one, groups):
            yield from found


def check_shard(path: Path, rows: pd.DataFrame, digest: str | None) -> Iterator[Discrepancy]:
    """What is wrong in one shard, whose `rows` (row, photo_id, digests of layers) a manifest wants.

    `digest` is that of the whole file where it is known: it covers what no row does, such as the file's header.
    """
    if not at_hand(path):
        yield Discrepancy(path.name, f"is missing, with {counted(len(rows), 'picture')}")
        return
    whole = digest is None or file_sha256(path) == digest
    try:
        shard = Shard(path)
        carried = shard.index()
        found = list(_check_rows(path.name, shard, carried, rows))
    except DAMAGE as error:
        yield Discrepancy(path.name, f"cannot be read ({error}), with {counted(len(rows), 'picture')}")
        return
    yield from found
    if not whole and not found:
        others = _other_rows(shard, carried, set(rows["row"]))
        if others:
            yield from (Discrepancy(path.name, "was changed; no picture of this snapshot", row) for row in others)
        else:
            yield Discrepancy(path.name, "was changed outside its pictures: in its header, padding or keys")


def _check_rows(name: str, shard: Shard, carried: pd.DataFrame, rows: pd.DataFrame) -> Iterator[Discrepancy]:
    columns = ["row", "photo_id", *DIGESTS]
    for row, photo_id, *digests in with_all_digests(rows)[columns].itertuples(index=False, name=None):
        number = int(row)
        if not 0 <= number < len(carried):
            yield Discrepancy(name, "there is no such row", number, photo_id)
            continue
        for layer, wanted in zip(LAYERS, digests, strict=True):
            if (shard.digest(layer, number) or "") != wanted:
                yield Discrepancy(name, f"{_noun(layer)} are not the frozen ones", number, photo_id)
            elif carried[layer.digest].iloc[number] != wanted:
                yield Discrepancy(name, f"its digest of the {_noun(layer)} was changed", number, photo_id)


def _noun(layer: Layer) -> str:
    return "pixels" if layer.name == "rgb" else layer.name


def _other_rows(shard: Shard, carried: pd.DataFrame, known: set[int]) -> list[int]:
    """Rows of other snapshots in the same file whose bytes are not what the file says of them."""
    return [
        row
        for row in range(len(carried))
        if row not in known and any((shard.digest(layer, row) or "") != carried[layer.digest].iloc[row] for layer in LAYERS)
    ]


def _merged(findings: list[Discrepancy]) -> list[Discrepancy]:
    """Without "is not as it was frozen" for files whose rows are named."""
    named = {finding.file for finding in findings if finding.row is not None}
    general = "is not as it was frozen"
    return [finding for finding in dict.fromkeys(findings) if finding.what != general or finding.file not in named]

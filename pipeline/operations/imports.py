"""Photos of one's own: what `bokehflow import` does, and the tables by which they join all others."""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.config import Project
from pipeline.errors import ConfigError
from pipeline.file_names import child
from pipeline.licenses import KNOWN
from pipeline.operations.months import IMPORTED
from pipeline.operations.tombstones import forgotten_photos
from pipeline.photos.folder import (
    ImportedPhoto,
    RefusedFile,
    files_of,
    find_pictures,
    import_files,
    listing_of,
    told,
    with_pictures,
)
from pipeline.photos.inspectors import Inspectors
from pipeline.photos.metadata import Metadata, read_metadata
from pipeline.plain_text import plain, plain_lines
from pipeline.sources.found import normalised_tag
from pipeline.sources.listing import NO_CV_TAG
from storage import Home

SIDES = {"trainA": "domain_a", "trainB": "domain_b"}
"""Folders of the usual layout for image translation, and the key of `[training]` that names their domain."""


@dataclass
class Imported:
    """What an import did with one folder."""

    domain: str
    pictures: int = 0
    new: int = 0
    refused: list[RefusedFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What the decoder said of single pictures that were taken."""


SHOWN = 50
"""So many lines of a kind are printed; the others are counted."""


def import_folder(
    project: Project,
    home: Home,
    folder: Path,
    domain: str | None,
    metadata: Path | None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Imported]:
    """Bring the pictures of `folder` into the home; `trainA` and `trainB` in it where no domain is named.

    Raises `ConfigError` for a folder, domain or CSV that cannot be used. Interrupted, it is simply called again.
    """
    sides = _sides(project, folder, domain)
    if metadata is not None and len(sides) > 1:
        raise ConfigError(f"{metadata}: import {' and '.join(SIDES)} one by one, with --domain and a CSV for each")
    count = min(os.cpu_count() or 1, project.photos.threads)
    with home.lock("import"), closing(Inspectors(count)) as inspectors:
        done = [_import_side(project, home, side, name, metadata, inspectors, report) for side, name in sides]
    if domain is None:
        done[-1].notes += _beside(folder)
    return done


def _sides(project: Project, folder: Path, domain: str | None) -> list[tuple[Path, str]]:
    if domain is not None:
        if domain not in project.domains:
            raise ConfigError(f"there is no domain {domain!r} in the project file; it has {', '.join(project.domains)}")
        return [(folder, domain)]
    found = [
        (child(folder, name), getattr(project.training, key)) for name, key in SIDES.items() if child(folder, name).is_dir()
    ]
    if not found:
        raise ConfigError(
            f"{folder}: to which domain do these photos belong? Say --domain with one of {', '.join(project.domains)}, "
            f"or put them into folders {' and '.join(SIDES)}"
        )
    return found


def _beside(folder: Path) -> list[str]:
    """What lies beside `trainA` and `trainB`, and was not looked at."""
    folders = [path for path in sorted(folder.iterdir()) if path.name not in SIDES and path.is_dir()]
    files = sum(not path.is_dir() for path in folder.iterdir())
    notes = []
    if folders:
        names = ", ".join(f"{path.name} ({_count_files(path):,} files)" for path in folders)
        notes.append(f"folders not looked at: {names}; to have one as well: bokehflow import {folders[0]} --domain DOMAIN")
    if files:
        notes.append(f"files beside {' and '.join(SIDES)}, not looked at: {files}")
    return notes


def _count_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _import_side(
    project: Project,
    home: Home,
    folder: Path,
    domain: str,
    metadata: Path | None,
    inspectors: Inspectors,
    report: Callable[[int, int], None],
) -> Imported:
    found = find_pictures(folder, home.root)
    read = read_metadata(metadata, folder, found.files) if metadata else Metadata({})
    done = Imported(domain, problems=[str(problem) for problem in read.problems], notes=_notes(read, found.others))
    files = [file for file in found.files if file not in read.spoiled]
    if read.spoiled:
        done.notes.append(f"{len(read.spoiled)} pictures wait until their rows are right")
    table = home.tables.read_or_empty("imports")
    before = set(table.loc[table["domain"] == domain, "photo_id"])
    forgotten = forgotten_photos(home)
    for batch in import_files(folder, files, table, forgotten, home.blobs, project.photos, inspectors.inspect, report):
        pictures = [outcome for outcome in batch if isinstance(outcome, ImportedPhoto)]
        done.refused += [outcome for outcome in batch if isinstance(outcome, RefusedFile)]
        done.remarks += [f"{picture.file}: {remark}" for picture in pictures for remark in picture.info.remarks]
        done.pictures += len(pictures)
        table = with_pictures(table, domain, pictures, read.told, int(time.time()))
        home.tables.write("imports", table)
    mine = table[table["domain"] == domain]
    done.new = len(set(mine["photo_id"]) - before)
    elsewhere = table.loc[table["domain"] != domain, "photo_id"]
    if both := len(set(mine["photo_id"]) & set(elsewhere)):
        done.notes.append(f"{both} photos are in another domain too, so they will go as `both_domains`")
    return done


def _notes(read: Metadata, others: Counter[str]) -> list[str]:
    notes = []
    if others:
        notes.append(f"other files, not looked at: {told(others)}")
    if read.unknown_columns:
        notes.append(f"columns passed over: {', '.join(map(plain, read.unknown_columns))}")
    words = Counter(told.license for told in read.told.values() if told.license and told.license not in KNOWN)
    if words:
        shown = ", ".join(f"{word[:60]!r} ({count})" for word, count in words.most_common(10)) + " …" * (len(words) > 10)
        notes.append(
            f"words that are no known licence, kept as they are; no `--use` of an export takes these photos: {shown}"
        )
    if read.short_rows:
        shown = ", ".join(map(str, read.short_rows[:10])) + (" …" if len(read.short_rows) > 10 else "")
        notes.append(f"rows with fewer cells than the header, the rest taken as empty: {shown}")
    return notes


def imported_rows(
    project: Project, home: Home, report: Callable[[int, int], None] = lambda done, total: None
) -> pd.DataFrame:
    """The table `imported_photos`: every photo of the table `imports` that is in a domain and not forgotten."""
    from pipeline.dedupe.fingerprints import fingerprint_pictures, fingerprint_table
    from pipeline.dedupe.store import FingerprintStore

    imports, store = home.tables.read_or_empty("imports"), FingerprintStore(home.fingerprints)
    is_meant = ~imports["photo_id"].isin(forgotten_photos(home)) & imports["domain"].isin(list(project.domains))
    mine = imports[is_meant].reset_index(drop=True)
    listing = listing_of(mine, IMPORTED, lambda tag: project.photos.exclude_no_cv and _forbids(tag))
    files = files_of(mine, listing, home.blobs, project.photos)
    fingerprint_pictures(files["sha256"].dropna().tolist(), home.blobs.read, store, report)
    key = ["domain", "photo_id"]
    hashes = fingerprint_table(files, listing, store).set_index(key)[["phash", "phash_mirrored"]]
    told = listing.drop(columns=["reason", "month"])
    sizes = mine.set_index(key)[["sha256", "size_bytes", "width_px", "height_px", "format", "frames"]]
    return told.join(sizes, on=key).join(hashes, on=key).join(_refusals(listing, files), on=key)


def drop_former_imports(home: Home) -> None:
    """Delete what version 0.1 wrote of imported photos; to be called once `imported_photos` holds them."""
    for name in ("photo_listing", "photo_files", "fingerprints"):
        for key in home.tables.partitions(name):
            if key.endswith(f"|{IMPORTED}"):
                home.tables.remove(name, key)


def _refusals(listing: pd.DataFrame, files: pd.DataFrame) -> pd.DataFrame:
    """Why photos go no further, by domain and id: `refused_by`, `reason`, `detail`."""
    tables = {"photo_listing": listing.assign(detail=None), "photo_files": files}
    refused = [table[table["reason"].notna()].assign(refused_by=name) for name, table in tables.items()]
    columns = ["refused_by", "reason", "detail"]
    rows = pd.concat([table[["domain", "photo_id", *columns]].astype(object) for table in refused])
    return rows.set_index(["domain", "photo_id"])


def _forbids(tag: str) -> bool:
    return normalised_tag(tag) == normalised_tag(NO_CV_TAG)


def misreported_imports(home: Home) -> int:
    """Of how many pictures `imported_photos` does not tell truly whether they are there."""
    frame = home.tables.read("imported_photos", columns=["sha256", "reason"])
    return sum(
        home.blobs.has(sha256) == (reason == "missing")
        for sha256, reason in zip(frame["sha256"], frame["reason"], strict=True)
        if not isinstance(reason, str) or reason == "missing"
    )


def summary(done: Sequence[Imported], folder: Path) -> str:
    """An import for a person."""
    lines = []
    for one in done:
        lines.append(
            f"{one.domain}: {one.pictures} pictures of {folder} are in the home, {one.new} of them new, "
            f"{len(one.refused)} refused"
        )
        lines += _some([f"refused {refused}" for refused in one.refused])
        if one.refused:
            lines.append(f"  refused by reason: {told(Counter(refused.reason for refused in one.refused))}")
        lines += _some(one.problems) + _some(one.remarks)
        lines += [f"  {note}" for note in one.notes]
    return plain_lines("\n".join(lines))


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"  … and {len(lines) - SHOWN:,} more like these"] if len(lines) > SHOWN else []
    return [*(f"  {line}" for line in lines[:SHOWN]), *more]

"""Photos by a list of addresses: `bokehflow import LIST` fetches each and lets it join those of folders."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from pipeline.config import Project
from pipeline.counted import counted
from pipeline.errors import ConfigError, SourceError
from pipeline.licenses import KNOWN
from pipeline.operations.downloads import asking_as, download
from pipeline.operations.imports import GrowingImports, Imported, importing, told_licenses
from pipeline.operations.months import IMPORTED
from pipeline.operations.tombstones import forgotten_photos
from pipeline.photo_ids import url_id
from pipeline.photos.folder import ImportedPhoto, RefusedFile
from pipeline.photos.opening import PictureInfo
from pipeline.photos.url_list import ListedPhoto, UrlList
from pipeline.plain_text import plain
from pipeline.spreadsheet import Problem
from pipeline.tables import empty
from storage import Home

BATCH = 500
"""Rows that are fetched together."""
KEPT_PROBLEMS = 1000
"""So many bad rows are named; the others are counted."""
UNREACHABLE_HOSTS = 10
"""So many hosts that are given up before the first picture has come mean that this machine is cut off."""
JOURNAL = "import-list"
"""What was fetched and does not stand in the table yet: an interrupted import goes on there."""


def import_list(
    project: Project,
    home: Home,
    path: Path,
    domain: str | None,
    report: Callable[[int, int], None] = lambda done, total: None,
    seen: Callable[[str], None] = lambda photo_id: None,
) -> list[Imported]:
    """Fetch the pictures of a list (`pipeline.photos.url_list`) into the home, as photos of `domain`.

    Only hosts of `[lists] image_hosts` are asked, each at its own pace. What is in the home is not fetched again; what
    failed is tried again by the next import. Raises `ConfigError` for a list, domain or host that cannot be used, and
    `SourceError` when nothing can be reached. `seen` is told the photo id of every good row.
    """
    if domain is None or domain not in project.domains:
        named = "say --domain" if domain is None else f"there is no domain {domain!r} in the project file; say --domain"
        raise ConfigError(
            f"{path}: to which domain do these photos belong? {named} with one of {', '.join(project.domains)}"
        )
    listed, done = UrlList(path), Imported(domain, path)
    words: Counter[str] = Counter()
    rows = _good(listed, done, words, seen)
    with importing(home), GrowingImports(home, each_once=True) as imports:
        gone: set[str] = set()
        waiting = read = 0
        failure: SourceError | None = None
        while batch := list(islice(rows, BATCH)):
            if not read:
                _check_hosts(project, path, batch)
            try:
                _import_batch(project, home, domain, batch, imports, done, gone)
            except SourceError as error:
                failure, waiting = error, waiting + len(batch)
            read = done.rows = read + len(batch)
            report(read, read + 1)
            if failure and not done.pictures and len(gone) >= UNREACHABLE_HOSTS:
                break
    if failure and not done.pictures:
        raise failure
    if failure:
        done.notes.append(f"left for the next import: {counted(waiting, 'row')}; {failure}")
    # All that its journal knew stands in the table now.
    home.journal(JOURNAL).unlink(missing_ok=True)
    done.notes += _notes(listed, words)
    return [done]


def _good(listed: UrlList, done: Imported, words: Counter[str], seen: Callable[[str], None]) -> Iterator[ListedPhoto]:
    bad = 0
    for row in listed.read():
        if isinstance(row, Problem):
            bad += 1
            if bad <= KEPT_PROBLEMS:
                done.problems.append(str(row))
            continue
        if row.told.license and row.told.license not in KNOWN:
            words[row.told.license] += 1
        seen(url_id(row.url))
        yield row
    if bad > KEPT_PROBLEMS:
        done.notes.append(f"{bad:,} bad findings in all, of which the first {KEPT_PROBLEMS:,} are named")


def _check_hosts(project: Project, path: Path, rows: Iterable[ListedPhoto]) -> None:
    hosts = Counter(urlsplit(row.url).netloc.rpartition("@")[2].lower() for row in rows)
    if not hosts.keys() & {host.lower() for host in project.lists.image_hosts}:
        shown = ", ".join(plain(host)[:80] for host, _ in hosts.most_common(5))
        raise ConfigError(
            f"{path}: none of its first addresses is of a host that pictures may come from; they are of {shown}. Name those "
            "that you trust in `image_hosts` under [lists] of the project file"
        )


def _import_batch(
    project: Project,
    home: Home,
    domain: str,
    batch: Iterable[ListedPhoto],
    imports: GrowingImports,
    done: Imported,
    gone: set[str],
) -> None:
    rows = {url_id(row.url): row for row in batch}
    known, forgotten = imports.of(rows), forgotten_photos(home)
    stored = {
        str(one["photo_id"]): one
        for one in known[known["domain"] == domain].to_dict("records")
        if one["photo_id"] not in forgotten and home.blobs.has(str(one["sha256"]), int(one["size_bytes"]))
    }
    pictures = [_photo(rows[photo_id], domain, one) for photo_id, one in stored.items()]  # pyright: ignore[reportArgumentType]
    missing = [photo_id for photo_id in rows if photo_id not in {picture.photo_id for picture in pictures}]
    listing = pd.DataFrame({
        "photo_id": missing, "domain": domain, "month": IMPORTED, "image_url": [rows[one].url for one in missing],
        "last_update_s": None, "reason": None,
    }, dtype=object)  # fmt: skip
    journal = home.journal(JOURNAL)
    if missing:
        lists = project.lists
        asking = asking_as(project, lists.image_hosts, lists.timeout_s, lists.retries, gone)
        made = download(project, home, listing, empty("photo_files"), journal, asking=asking).table
        for fact in made.to_dict("records"):
            row = rows[str(fact["photo_id"])]
            if isinstance(fact["reason"], str):
                done.refuse(RefusedFile(row.url, fact["reason"], f"row {row.row}; {fact['detail']}"))
            else:
                pictures.append(_photo(row, domain, fact))  # pyright: ignore[reportArgumentType]
    if imports.add([one for one in pictures if not _is_told(one, stored.get(one.photo_id))], {}):
        journal.unlink(missing_ok=True)
    done.pictures += len(pictures)
    done.photos |= {picture.photo_id: picture.photo_id for picture in pictures}
    done.new += len({picture.photo_id for picture in pictures}.difference(known["photo_id"]))
    done.told_sides += sum(picture.told.split is not None for picture in pictures)


def _is_told(picture: ImportedPhoto, row: Mapping[Hashable, object] | None) -> bool:
    """Whether the table's row says all that the list does: most of a list that is read again is as it was."""
    return row is not None and all(row[name] == value for name, value in asdict(picture.told).items() if value is not None)


def _photo(row: ListedPhoto, domain: str, facts: dict[str, object]) -> ImportedPhoto:
    width_px, height_px, frames, size_bytes = (
        int(str(facts[name])) for name in ("width_px", "height_px", "frames", "size_bytes")
    )
    info = PictureInfo(width_px, height_px, str(facts["format"]), frames)
    return ImportedPhoto(row.url, url_id(row.url), str(facts["sha256"]), size_bytes, info, domain, row.told_with_page())


def _notes(listed: UrlList, words: Counter[str]) -> list[str]:
    notes = []
    if listed.unknown:
        notes.append(f"columns passed over: {', '.join(map(plain, listed.unknown))}")
    if listed.repeated:
        notes.append(f"addresses repeated: {counted(listed.repeated, 'row')} passed over; the first of each counts")
    return [*notes, *told_licenses(words)]

"""`bokehflow forget`: everything of a photo goes, out of frozen snapshots too, and a tombstone stays.

The tombstone comes first: from then on nothing fetches or uses the photo. Files go before the rows that name them, so
that an interrupted purge finds them again; each step may be done twice. What is left unfinished goes on with the next
`forget`, the next headless run, or the next `photo_history` in Dagster. A purge is complete only where no stage was at
work meanwhile, since one that had read the tables before may write what it read, and where every file could be read.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from glob import escape
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.atomic import sweep, write_bytes, writer_of
from pipeline.counted import counted
from pipeline.curation.decisions import find_tables
from pipeline.curation.kept_decisions import KeptDecisions
from pipeline.curation.queue import COLUMNS
from pipeline.dataset.crop import photo_of
from pipeline.dataset.export import forget_in_export, is_export
from pipeline.dataset.forget import forget_in_bundle, forget_in_snapshots, frozen_sources, is_bundle, unreadable_snapshots
from pipeline.dedupe.near_hashes import NearHashStore
from pipeline.dedupe.store import FingerprintStore
from pipeline.errors import ConfigError, DatasetError, StorageError, disk_trouble, is_full
from pipeline.evaluation.measure.tiles import forget_pictures
from pipeline.file_names import child, is_sha256
from pipeline.operations.months import IMPORTED
from pipeline.operations.results import forget_results
from pipeline.operations.tombstones import forgotten_photos, unpurged
from pipeline.photo_ids import COMMONS, FLICKR, FOLDER, commons_file, written_id
from pipeline.photos.download import journal_digests
from pipeline.picture_layers import DIGESTS, OPTIONAL_DIGESTS, PHOTO_SOURCES
from pipeline.plain_files import plain, read_plain
from pipeline.sources.listing import without_forgotten
from pipeline.spreadsheet import Record, Sheet, read_sheet, table_bytes
from pipeline.tables import among, empty
from pipeline.training.runs import drop_samples, with_superseded
from storage import Home

PARTITIONED = ("photo_files", "fingerprints")
WHOLE_TABLES = (
    "imports", "listed_photos", "imported_layers", "imported_photos", "unique_photos", "review_queue", "curated_photos",
    "person_masks", "depth_maps", "training_images", "dataset_manifest",
)  # fmt: skip
"""Tables that lose the rows of forgotten photos. Listings keep a row that says only that the photo was forgotten."""
DIGEST_COLUMNS = ("sha256", "source_sha256")
BY_PICTURE = {"duplicate_pairs": ["sha256_a", "sha256_b"], "photo_hints": ["sha256"], "unmeasured_pictures": ["sha256"]}
"""Tables about pictures rather than photos, and their columns that name one."""
NOT_CACHES = {
    "blobs", "tables", "review", "shards", "snapshots", "runs", "reports", "results", "weights", "budget", "dagster",
    "collection", "work", "remote",
}  # fmt: skip
"""Folders of the home whose files are not named by a picture's SHA-256, or are treated by name."""

NO_EXPORTS = {
    "blobs", "tables", "shards", "dagster", "weights", "budget", "remote", "thumbnails", "masks", "depth", "fingerprints",
    "snapshots",
}  # fmt: skip
"""Folders of the home with many files, and none that a person puts there; snapshots are looked through for themselves."""
_TWO_DIGITS = re.compile(r"[0-9a-f]{2}")
_WRITTEN_OTHERWISE = (b"\0", b"flic.kr", b".gne", b"%3")
"""What a file may have in it, in small letters, that names a photo and not by the digits of its id: UTF-16, short addresses,
digits written as in addresses."""
FEW = 16
"""So many texts are looked for in a file one after the other."""
AT_WORK = "at-work"
"""The lock that all who make anything share."""

log = logging.getLogger(__name__)


@dataclass
class Purged:
    """What a purge took away."""

    photos: list[str] = field(default_factory=list)
    blobs: int = 0
    bytes_freed: int = 0
    shared: int = 0
    derived_files: int = 0
    pictures: int = 0
    """Events of Dagster's log that showed them."""
    queue_files: list[str] = field(default_factory=list)
    queue_left: list[str] = field(default_factory=list)
    """Files of the queue that could not be searched for them, each with the reason."""
    of_models: int = 0
    """Sample pictures, translations and checkpoints of models."""
    reports: list[str] = field(default_factory=list)
    """Reports that showed them, by the ids of their snapshots."""
    snapshots: list[str] = field(default_factory=list)
    """Frozen snapshots that held them, and now keep tombstones."""
    reviewed_files: list[str] = field(default_factory=list)
    """Files of curators that name them; these are not ours to change."""
    exported: int = 0
    """Pictures and Parquet files of exports within the home."""
    problems: list[str] = field(default_factory=list)
    """What could not be looked into, so that the purge is not complete: where, and what to do."""


def forget(home: Home, photo_ids: Iterable[str], now_s: int, is_quiet: bool = True) -> Purged:
    """Write tombstones for these photos and purge them, and whatever an earlier purge left.

    Where the home is not quiet, a stage at work may write again what is purged here; the next run then purges once
    more. Raises `ConfigError` for an id that was never listed or imported, before anything is changed.
    """
    wanted = sorted(set(photo_ids))
    known = known_photos(home, wanted)
    if unknown := [photo_id for photo_id in wanted if photo_id not in known]:
        names_none = [id for id in unknown if not id.startswith((FLICKR, COMMONS, FOLDER))]
        what = (
            "this is neither a photo's id nor an address of one"
            if names_none
            else "no photo of this id was ever listed or imported"
        )
        raise ConfigError(f"{what}: {', '.join(names_none or unknown)}; nothing was changed")
    with home.lock("forget"), home.lock("import"):
        tombstones = home.tables.read_or_empty("tombstones")
        new = [photo_id for photo_id in wanted if photo_id not in set(tombstones["photo_id"])]
        if new:
            rows = pd.DataFrame({"photo_id": new, "forgotten_s": now_s, "purged_s": None})
            both = pd.concat([tombstones.astype(object), rows.astype(object)], ignore_index=True)
            home.tables.write("tombstones", both)
        return _purge(home, now_s, wanted, lambda: is_quiet)


def finish_forgetting(home: Home, now_s: int, was_quiet: Callable[[], bool] = lambda: True) -> Purged | None:
    """Go on with a purge that was interrupted; None where there is none, or another process is at it.

    `was_quiet` is asked at the end whether no stage was at work since the beginning. What goes wrong is among the
    problems and no exception: nobody's photos wait for it.
    """
    if not unpurged(home):
        return None
    with ExitStack() as locks:
        try:
            locks.enter_context(home.lock("forget"))
            locks.enter_context(home.lock("import"))
        except StorageError:
            return None
        try:
            return _purge(home, now_s, was_quiet=was_quiet)
        except (DatasetError, StorageError) as error:
            return Purged(photos=unpurged(home), problems=[str(error)])


def gone(home: Home) -> list[str]:
    """Photo ids that the history found gone and that are not forgotten."""
    history = home.tables.read_or_empty("photo_history")
    if "gone_s" not in history:
        return []
    done = forgotten_photos(home)
    return [photo_id for photo_id in history.loc[history["gone_s"].notna(), "photo_id"] if photo_id not in done]


def known_photos(home: Home, photo_ids: Iterable[str]) -> set[str]:
    """Those of these photo ids that were ever listed or imported."""
    unknown, known = set(photo_ids), set[str]()
    names = [(name, None) for name in ("photo_history", "imports", "tombstones")]
    for name, key in (*names, *(("photo_listing", key) for key in home.tables.partitions("photo_listing"))):
        if unknown:
            here = _named(home, name, key, unknown)
            known, unknown = known | here, unknown - here
    return known


def meant_photos(home: Home, written: Iterable[str]) -> list[str]:
    """The ids of the photos that people mean; an address of a file at Commons is looked up in all listings."""
    ids = {text: written_id(text) for text in written}
    files = {text: name for text in ids if (name := commons_file(text))}
    pages = {}
    for key in home.tables.partitions("photo_listing") if files else ():
        rows = home.tables.read("photo_listing", key, ["photo_id", "page_url"])
        own = rows[rows["photo_id"].str.startswith(COMMONS)]
        pages |= {commons_file(page): photo_id for photo_id, page in zip(own["photo_id"], own["page_url"], strict=True)}
    return [pages.get(files.get(text), id) for text, id in ids.items()]


# --- the purge ----------------------------------------------------------------------------------------------------------


def _purge(home: Home, now_s: int, also: Iterable[str] = (), was_quiet: Callable[[], bool] = lambda: True) -> Purged:
    """To be called with the locks `forget` and `import`."""
    ids = sorted({*unpurged(home), *also})
    done = Purged(photos=ids)
    if not ids:
        return done
    forgotten, damaged, is_quiet = forgotten_photos(home), unreadable_snapshots(home.snapshots), was_quiet()
    done.problems += damaged.values()
    _purge_files(home, set(ids), forgotten, done, damaged.keys(), is_quiet)
    prepared = partial(_prepared, home)
    done.snapshots = forget_in_snapshots(home.snapshots, home.shards, set(ids), now_s, prepared, damaged.keys())
    for snapshot in done.snapshots:
        # It holds masks and faces of the snapshot's photos, and is made anew when a model is judged.
        shutil.rmtree(child(home.evaluations, snapshot), ignore_errors=True)
    _purge_tables(home, set(ids), forgotten, done)
    _purge_outputs(home, set(ids), done)
    from resources.dagster_internals import erase_pictures  # Dagster takes a second to import

    try:
        done.pictures = erase_pictures(home.dagster, set(ids), set(done.snapshots))
    except StorageError as error:
        done.problems.append(str(error))
    if _naming(home.duplicates.glob("*"), ids):
        shutil.rmtree(home.duplicates)  # pages that `bokehflow duplicates` writes anew
    _strip_queue(home.review_queue, set(ids), done)
    home.kept_review.unlink(missing_ok=True)  # found anew where it is asked for
    names = _pattern(ids)
    KeptDecisions(home.kept_decisions).forget(set(ids), lambda text: names.search(os.fsencode(text)) is not None)
    for folder in (home.reviewed, home.comparisons):
        done.reviewed_files += [str(path.relative_to(folder)) for path in _naming(folder.rglob("*"), ids)]
    _purge_exports(home, set(ids), done, now_s)
    unfinished = list(home.unfinished())
    sweep(unfinished)
    left = [path for path in unfinished if os.path.lexists(path)]
    done.problems += [f"{path}: {writer_of(path) or 'a process'} is writing it, wait for it" for path in left]
    if is_quiet and was_quiet() and not done.problems:
        tombstones = home.tables.read("tombstones")
        tombstones.loc[among(tombstones["photo_id"], ids) & tombstones["purged_s"].isna(), "purged_s"] = now_s
        home.tables.write("tombstones", tombstones)
        if home.working:
            home.working.forgotten(ids)
    log.info("%d photos forgotten: %d blobs, %d derived files", len(ids), done.blobs, done.derived_files)
    return done


def _prepared(home: Home, column: str, values: Set[str]) -> pd.DataFrame:
    there = home.tables.columns("training_images")
    if not home.tables.path("training_images").exists():
        return empty("training_images")
    names = [name for name in ("photo_id", *DIGESTS) if name in there or name not in OPTIONAL_DIGESTS]
    return home.tables.rows_with("training_images", column, values, names).to_pandas()


def _purge_files(home: Home, ids: Set[str], forgotten: Set[str], done: Purged, damaged: Set[str], is_quiet: bool) -> None:
    doomed, needed = _digests(home, ids, forgotten, damaged)
    done.shared = len(doomed & needed)
    leaving = doomed - needed
    for digest in sorted(leaving):
        if (size_bytes := home.blobs.remove(digest)) is not None:
            done.blobs, done.bytes_freed = done.blobs + 1, done.bytes_freed + size_bytes
    for path in _named_by(home, leaving):
        path.unlink(missing_ok=True)
        done.derived_files += 1
    FingerprintStore(home.fingerprints).forget(leaving, is_alone=is_quiet)
    NearHashStore(home.fingerprints).forget(leaving)
    _purge_unfinished(home, ids, leaving)
    for name, columns in BY_PICTURE.items():
        with _told(done):
            home.tables.drop_rows(name, leaving, columns=columns)


def _purge_unfinished(home: Home, ids: Set[str], leaving: Set[str]) -> None:
    """What interrupted stages have kept of them: search results, which are asked for again, and lines of journals."""
    for path in _naming(home.all_listing_windows.rglob("*"), ids):
        path.unlink(missing_ok=True)
    for path in home.all_journals():
        _blank_lines(path, ids)
    if leaving and home.hints_journal.exists():
        _blank_lines(home.hints_journal, leaving)
    for path in home.work.rglob("*.jsonl") if leaving else ():
        _blank_lines(path, leaving)


def _blank_lines(path: Path, ids: Set[str]) -> None:
    """Overwrite the lines that name one with spaces, in place: a process at work may be adding to the file."""
    names, at = _pattern(ids), 0
    with open(path, "r+b", opener=plain) as file:
        for line in file.read().splitlines(keepends=True):
            if names.search(line):
                file.seek(at)
                file.write(b" " * len(line.rstrip(b"\n")))
            at += len(line)


def _digests(home: Home, ids: Set[str], forgotten: Set[str], damaged: Set[str]) -> tuple[set[str], set[str]]:
    """SHA-256 of the bytes of photos `ids`, whichever table or journal knows them; those of them that living photos need.

    The snapshots in `damaged` are passed over.
    """
    # What is no digest names no file of ours.
    doomed = {digest for rows in _sources(home, "photo_id", ids, damaged) for digest in rows["sha256"] if is_sha256(digest)}
    needed = set()
    for rows in _sources(home, "sha256", doomed, damaged) if doomed else ():
        needed.update(rows.loc[~among(rows["photo_id"], forgotten), "sha256"])
    return doomed, needed


def _sources(home: Home, column: str, values: Set[str], damaged: Set[str]) -> Iterator[pd.DataFrame]:
    """Photos with the `sha256` of their bytes, whichever table, journal or snapshot knows them: the rows whose `column`,
    either of the two, is one of `values`."""
    keys = [(name, key) for name in PARTITIONED for key in home.tables.partitions(name)]
    for name, key in (*keys, *((name, None) for name in WHOLE_TABLES)):
        there = home.tables.columns(name, key)
        for names in (DIGEST_COLUMNS, PHOTO_SOURCES):
            if digest := next((one for one in names if one in there), ""):
                asked, columns = digest if column == "sha256" else column, ["photo_id", digest]
                with suppress(StorageError):
                    found = home.tables.rows_with(name, asked, values, columns, key)
                    if found.num_rows:
                        yield found.to_pandas().rename(columns={digest: "sha256"})
    for path in home.all_journals():
        rows = journal_digests(path)
        yield rows[among(rows[column], values)]
    yield from frozen_sources(home.snapshots, column, values, damaged)


def _named_by(home: Home, digests: Set[str]) -> Iterator[Path]:
    """Thumbnails, masks and whatever else is kept for a picture under its SHA-256."""
    caches = [folder for folder in home.root.iterdir() if folder.is_dir() and folder.name not in NOT_CACHES]
    begins = {digest[:2] for digest in digests}
    for folder in (*caches, home.drawn_masks) if digests else ():
        for parent, folders, names in os.walk(folder):
            # What has folders by the first two digits keeps nothing of a picture in another's.
            folders[:] = [name for name in folders if name in begins or not _TWO_DIGITS.fullmatch(name)]
            yield from (Path(parent) / name for name in names if re.split(r"[.\-_]", name, maxsplit=1)[0] in digests)


def _purge_outputs(home: Home, ids: Set[str], done: Purged) -> None:
    """What models made of them. Which photos a sample shows is not on record, so that all of a snapshot's models go."""
    runs = [run for snapshot in done.snapshots for run in sorted(home.runs.glob(f"{escape(snapshot)}-*"))]
    for folder in (folder for run in runs for folder in with_superseded(run)):
        done.of_models += drop_samples(folder)
        done.of_models += forget_pictures(folder.translated, lambda picture: photo_of(picture) in ids)
    done.of_models += forget_results(home.results, ids)
    for page in _naming(home.reports.glob("*/index*.html"), ids):
        page.unlink()
        done.reports.append(page.parent.name)


def _purge_exports(home: Home, ids: Set[str], done: Purged, now_s: int) -> None:
    """Exports and bundles that somebody put into the home, wherever in it; those elsewhere are not ours to change."""
    for parent, folders, _ in os.walk(home.root):
        if Path(parent) == home.root:
            folders[:] = [name for name in folders if name not in NO_EXPORTS]
        folder = Path(parent)
        if is_export(folder) or is_bundle(folder):
            folders.clear()
            try:
                of_bundle = forget_in_bundle(folder, set(ids), now_s) if is_bundle(folder) else 0
                done.exported += of_bundle + (forget_in_export(folder, set(ids)) if is_export(folder) else 0)
            except (OSError, ValueError, KeyError, DatasetError, StorageError, pa.ArrowException) as error:
                if isinstance(error, OSError) and is_full(error):
                    done.problems.append(f"{parent}: {'; '.join(disk_trouble(error))}")
                else:
                    done.problems.append(f"{parent}: this export cannot be searched ({error}); delete it and export anew")


@contextmanager
def _told(done: Purged) -> Iterator[None]:
    """A table that cannot be read may name them still: the purge goes on without it, and is not complete."""
    try:
        yield
    except StorageError as error:
        done.problems.append(str(error))


def _purge_tables(home: Home, ids: Set[str], forgotten: Set[str], done: Purged) -> None:
    for key in home.tables.partitions("photo_listing"):
        with _told(done):
            _purge_listing(home, ids, key)
    of_months = ((table, key) for table in PARTITIONED for key in home.tables.partitions(table))
    for name, key in (*of_months, *((table, None) for table in WHOLE_TABLES)):
        with _told(done):
            home.tables.drop_rows(name, ids, key)
    # One of an older version is carried on, and cleaned, by the next `photo_history`.
    with _told(done):
        if "gone_s" in home.tables.columns("photo_history") and _named(home, "photo_history", None, ids):
            home.tables.correct("photo_history", _blanked(home.tables.read("photo_history"), forgotten))


def _purge_listing(home: Home, ids: Set[str], key: str) -> None:
    if key.endswith(f"|{IMPORTED}"):
        home.tables.drop_rows("photo_listing", ids, key)
    elif _named(home, "photo_listing", key, ids):
        listing = home.tables.read("photo_listing", key)
        # Its time tells when the month was listed, and that the materialisation which Dagster knows is this one.
        home.tables.correct("photo_listing", without_forgotten(listing, ids), key)


def _blanked(history: pd.DataFrame, forgotten: Set[str]) -> pd.DataFrame:
    purged = among(history["photo_id"], forgotten)
    text = {column: history[column].where(~purged, "") for column in ("title", "tags")}
    return history.assign(forgotten=purged | history["forgotten"], **text)


def _named(home: Home, name: str, key: str | None, values: Set[str], column: str = "photo_id") -> set[str]:
    """Those of these values that the table has in the column; none where there is no table."""
    if not home.tables.path(name, key).exists():
        return set()
    return set(home.tables.rows_with(name, column, values, [column], key)[column].to_pylist())


def _strip_queue(folder: Path, ids: Set[str], done: Purged) -> None:
    """Take these photos out of the batches; a file that cannot be read is reported and holds nothing up.

    One that the disk does not take anew can be read, and names them: then the purge is not complete.
    """
    for path in find_tables(folder)[0].values():
        try:
            if _strip_csv(path, ids):
                done.queue_files.append(path.name)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and is_full(error):
                done.problems.append(f"{path}: {'; '.join(disk_trouble(error))}")
            else:
                done.queue_left.append(f"{path}: {error}")


def _strip_csv(path: Path, ids: Set[str]) -> bool:
    """Take the rows of these photos out of a batch of the queue, every other as it stands; whether there were any.

    Raises `ValueError` where it is no table. It is UTF-8 afterwards, whatever a spreadsheet had made of it.
    """
    data = table_bytes(path)
    if not data.strip(b"\xef\xbb\xbf \r\n") or (data.startswith(_BATCH_BEGINS) and not _may_name(data, ids)):
        return False
    sheet = read_sheet(data, "photo_id", lambda cell: written_id(cell) in ids)
    if "photo_id" not in sheet.columns:
        raise ValueError("the column photo_id is missing")
    if not _may_name(data, ids):
        return False
    records = list(sheet.records)
    kept = [record.text for record in records if not _is_about(record, sheet, ids)]
    if len(kept) < len(records):
        write_bytes(path, "".join([sheet.head, *kept]).encode("utf-8-sig"))
    return len(kept) < len(records)


_BATCH_BEGINS = ",".join(COLUMNS).encode("utf-8-sig")
"""What has the header of our own batches is a table, and need not be taken apart to know that."""


def _may_name(data: bytes, ids: Set[str]) -> bool:
    """Whether a file has one of these ids in it, or anything that may be one; to know it takes a tenth of reading rows."""
    lowered, digits = data.lower(), [id.partition(":")[2].encode() for id in ids]
    if _has_one(lowered, [*_WRITTEN_OTHERWISE]):
        return True
    return _has_one(lowered, digits) and re.search(b"|".join(map(re.escape, digits)), lowered) is not None


def _is_about(record: Record, sheet: Sheet, ids: Set[str]) -> bool:
    """Whether a row is about one of these photos: where a spreadsheet has rounded the id, the address still tells."""
    if not _may_name(record.text.encode(), ids):
        return False
    if sheet.trouble(record):
        return any(photo_id.removeprefix(FLICKR) in record.text for photo_id in ids)
    row = sheet.row(record)
    return any(written_id(row.get(column, "")) in ids for column in ("photo_id", "page_url"))


def _naming(paths: Iterable[Path], ids: Collection[str]) -> list[Path]:
    """Files that mention one of the photos."""
    names, files = _pattern(ids), [path for path in sorted(paths) if path.is_file()]
    texts = [id.removeprefix(FLICKR).encode() for id in ids]
    return [path for path in files if _has_one(data := read_plain(path), texts) and names.search(data)]


def _has_one(data: bytes, texts: Sequence[bytes]) -> bool:
    """Whether any of few texts stands in a file, which takes a fifth of looking for a pattern; of many it may."""
    return len(texts) > FEW or any(text in data for text in texts)


def _pattern(ids: Iterable[str]) -> re.Pattern[bytes]:
    """Finds any of them; photos from Flickr by their number, which stands alone in its own files."""
    texts = [re.escape(id.removeprefix(FLICKR)) for id in ids]
    # What stands before it is looked at last: so the search jumps from one beginning of an id to the next.
    return re.compile("|".join(rf"{text}(?<!\d{text})(?!\d)" for text in texts).encode())


@contextmanager
def quiet_home(home: Home) -> Iterator[bool]:
    """Whether nobody makes anything in the home (`run`, `train`, `dev`); if so, nobody begins to meanwhile."""
    with ExitStack() as locks:
        try:
            locks.enter_context(home.lock(AT_WORK))
        except StorageError:
            yield False
            return
        yield True


def leftovers(done: Purged) -> list[str]:
    """What may still name the photos, and what to do about it."""
    return [f"may still name them, {left}; save it as CSV or delete it, then forget them again" for left in done.queue_left]


def summary(done: Purged) -> str:
    """A purge for a person."""
    lines = [
        f"{counted(len(done.photos), 'photo')} forgotten: {counted(done.blobs, 'blob')} ({done.bytes_freed / 1e6:.1f} MB), "
        f"{counted(done.derived_files, 'thumbnail or mask', 'thumbnails and masks')} purged, training pictures erased "
        "from the shards"
    ]
    if done.pictures:
        lines.append(f"contact sheets and samples that showed them, taken out of Dagster's event log: {done.pictures}")
    if done.of_models:
        lines.append(f"sample pictures, translations and checkpoints of models, deleted: {done.of_models}")
    if done.exported:
        lines.append(f"pictures and tables of exports within the home, without them now: {done.exported}")
    for name in done.reports:
        again = "--all" if name == "all" else " --compare ".join(name.split("+"))
        lines.append(f"deleted, since it showed them: reports/{name}; anew without them: bokehflow report {again}")
    if done.shared:
        lines.append(f"kept, since other photos have the same bytes: {counted(done.shared, 'blob')}")
    if done.queue_files:
        lines.append(f"taken out of the queue: {', '.join(done.queue_files)}")
    lines += leftovers(done)
    if done.reviewed_files:
        lines.append(f"named in files of curators, which are left as they are: {', '.join(done.reviewed_files)}")
    if done.snapshots:
        lines.append(f"frozen snapshots that keep a tombstone of them: {', '.join(done.snapshots)}")
    lines += [f"not complete: {problem}; then run `bokehflow forget`" for problem in done.problems]
    lines.append("the next run, or `bokehflow dev` by itself, makes a snapshot without them")
    return "\n".join(lines)

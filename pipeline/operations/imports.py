"""Photos of one's own: what `bokehflow import` does, and the tables by which they join all others."""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from pipeline.config import Project
from pipeline.counted import counted
from pipeline.errors import ConfigError
from pipeline.file_names import child
from pipeline.licenses import KNOWN
from pipeline.operations.months import IMPORTED
from pipeline.operations.tombstones import forgotten_photos
from pipeline.photos.folder import (
    BATCH,
    ImportedPhoto,
    Part,
    RefusedFile,
    files_of,
    find_pictures,
    import_files,
    listing_of,
    stored_pictures,
    told,
    with_pictures,
)
from pipeline.photos.inspectors import Inspectors
from pipeline.photos.metadata import NOTHING_TOLD, Metadata, Told, read_metadata
from pipeline.plain_text import plain, plain_lines
from pipeline.sources.found import normalised_tag
from pipeline.sources.listing import NO_CV_TAG
from pipeline.tables import among
from storage import Home

LETTERS = {"A": "domain_a", "B": "domain_b"}
"""Of the sides of the translation in the names of folders, and the keys of `[training]` that name their domains."""
SPLITS = {"train": "train", "test": "test", "val": "test"}
"""Of the split in the names of folders, with the side that each is for; what is held back for validation is no training."""
JOINED = ("AB", "BA")
"""Which domain's half of a joined picture is on the left."""


NAMED_REFUSALS = 10_000


@dataclass
class Imported:
    """What an import did with one folder."""

    domain: str
    folder: Path
    pictures: int = 0
    new: int = 0
    refused: list[RefusedFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What the decoder said of single pictures that were taken."""
    photos: dict[str, str] = field(default_factory=dict)
    """Photo ids by file, or of a list by themselves."""
    told_sides: int = 0
    """Of how many photos it is known on which side of the split they are."""
    rows: int = 0
    """Good rows of a list, each address once."""
    more_refused: Counter[str] = field(default_factory=Counter)
    """Those that are counted by their reason and not named, since there are so many."""

    def refuse(self, file: RefusedFile) -> None:
        """Note a refused picture: of a list there may be a million."""
        if len(self.refused) < NAMED_REFUSALS:
            self.refused.append(file)
        else:
            self.more_refused[file.reason] += 1

    def refusals(self) -> Counter[str]:
        """All of them, by reason."""
        return Counter(refused.reason for refused in self.refused) + self.more_refused


@contextmanager
def importing(home: Home) -> Iterator[None]:
    """Hold the home as by the one process that imports into it; what one that was killed left unfinished goes first."""
    with home.lock("import"):
        home.sweep()
        yield


HASHED_AT_ONCE = 10_000
SHARE_OF_WRITING = 1 / 20
"""At most this share of an import's time goes into writing its table, which is written whole."""


class GrowingImports:
    """The table `imports` while an import adds to it.

    It is written now and then: soon while it is small, later and later as it grows, and at the end, whatever ends the
    import. What was not written before a power cut is imported again.
    """

    def __init__(self, home: Home, before: Callable[[], None] = lambda: None, each_once: bool = False) -> None:
        """`before` is called before each writing. With `each_once` no photo is added twice, and none is remembered."""
        self.rows = home.tables.read_or_empty("imports")
        """As they were written last."""
        self._digests: tuple[pd.DataFrame, np.ndarray, np.ndarray] | None = None
        self._home, self._before, self._each_once = home, before, each_once
        self._pictures: list[tuple[ImportedPhoto, Told]] = []
        self._said: dict[tuple[str, str], set[str]] = {}
        self._written_s, self._took_s = time.monotonic(), 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.write()

    def of(self, photo_ids: Collection[str]) -> pd.DataFrame:
        """The rows of these photos as they were written last; what that takes does not grow with the table."""
        if self._digests is None or self._digests[0] is not self.rows:
            digests = _digests(self.rows["photo_id"])
            order = np.argsort(digests)
            self._digests = self.rows, digests[order], order
        _, digests, order = self._digests
        wanted = np.unique(_digests(pd.Series(list(photo_ids), dtype=object)))
        spans = zip(*(np.searchsorted(digests, wanted, side) for side in ("left", "right")), strict=True)
        found = np.concatenate([np.empty(0, np.int64), *(order[start:end] for start, end in spans)])
        rows = self.rows.iloc[np.sort(found)]
        return rows[among(rows["photo_id"], photo_ids)]  # two ids may have one digest

    def add(self, pictures: Sequence[ImportedPhoto], told: Mapping[str, Told]) -> bool:
        """Add pictures with what is told of their files; whether everything added so far is written now."""
        self._pictures += [(picture, told.get(picture.file, NOTHING_TOLD)) for picture in pictures]
        will_take_s = self._took_s * (1 + len(self._pictures) / max(1, len(self.rows)))
        if (time.monotonic() - self._written_s) * SHARE_OF_WRITING < will_take_s:
            return False
        self.write()
        return True

    def write(self) -> None:
        """Write what was added; `before` is called first where there is anything."""
        began_s = time.monotonic()
        if self._pictures:
            self._before()
            with self._home.undisturbed():
                if self._home.working:  # another machine's photos may have come meanwhile
                    self.rows = self._home.tables.read_or_empty("imports")
                self.rows = with_pictures(self.rows, self._pictures, self._said, int(time.time()))
                self._home.tables.write("imports", self.rows)
        self._pictures = []
        if self._each_once:
            self._said.clear()
        self._written_s = time.monotonic()
        self._took_s = self._written_s - began_s


def _digests(photo_ids: pd.Series) -> np.ndarray:
    """uint64, 8 bytes a photo where an index would keep its id as well."""
    parts = [photo_ids.iloc[start : start + HASHED_AT_ONCE] for start in range(0, len(photo_ids), HASHED_AT_ONCE)]
    found = [pd.util.hash_array(part.to_numpy(object), categorize=False) for part in parts]
    return np.concatenate([np.empty(0, np.uint64), *found])


SHOWN = 50
"""So many lines of a kind are printed; the others are counted."""


def import_folder(
    project: Project,
    home: Home,
    folder: Path,
    domain: str | None,
    metadata: Path | None,
    report: Callable[[int, int], None] = lambda done, total: None,
    joined: str | None = None,
) -> list[Imported]:
    """Bring the pictures of `folder` into the home.

    Where no domain is named its folders tell: `trainA`, `trainB`, `testA`, `testB` (and `valA`, `valB`) the domain and the
    side of the split, or `A` and `B`, whose files of one name are pairs. `joined`, one of `JOINED`, takes each picture for a
    pair side by side. Raises `ConfigError` for a folder, domain or CSV that cannot be used. Interrupted, it is simply called
    again.
    """
    parts = _parts(project, folder, domain, joined)
    if metadata is not None and len(parts) > 1:
        names = " and ".join(part.folder.name for part in parts)
        raise ConfigError(f"{metadata}: import {names} one by one, with --domain and a CSV for each")
    count = min(os.cpu_count() or 1, project.photos.threads)
    with importing(home), closing(Inspectors(count)) as inspectors:
        done = [_import_part(project, home, part, metadata, inspectors, report) for part in parts]
        if parts[0].by_subfolder and joined is None:
            done[-1].notes += _join_by_name(home, parts, done)
    if domain is None and joined is None:
        done[-1].notes += _beside(folder, [part.folder.name for part in parts])
    done[-1].notes += _on_both_sides(parts, done)
    if project.dataset.split != "given" and any(one.told_sides for one in done):
        done[-1].notes.append('what they say of train and test is kept; split = "given" under [dataset] goes by it')
    return done


def _parts(project: Project, folder: Path, domain: str | None, joined: str | None) -> list[Part]:
    if domain is not None and domain not in project.domains:
        raise ConfigError(f"there is no domain {domain!r} in the project file; it has {', '.join(project.domains)}")
    if domain is not None and joined is not None:
        raise ConfigError("a joined picture has a half for each of two domains: leave --domain or --joined out")
    domains = {letter: getattr(project.training, key) for letter, key in LETTERS.items()}
    if joined is not None:
        return [Part(folder, domains[joined[0]], domains[joined[1]], by_subfolder=True)]
    if domain is not None:
        return [Part(folder, domain)]
    named = [(f"{split}{letter}", letter, side) for split, side in SPLITS.items() for letter in LETTERS]
    parts = [
        Part(child(folder, name), domains[letter], split=side)
        for name, letter, side in named
        if child(folder, name).is_dir()
        and (side == "train" or any(child(folder, name).iterdir()))  # exports have empty ones
    ]
    if not parts and all(child(folder, letter).is_dir() for letter in LETTERS):
        parts = [Part(child(folder, letter), domains[letter], by_subfolder=True) for letter in LETTERS]
    if not parts:
        raise ConfigError(
            f"{folder}: to which domain do these photos belong? Say --domain with one of {', '.join(project.domains)}, "
            "or put them into folders trainA and trainB (with testA and testB for what is held back), or pairs of one name "
            "into A and B; --joined AB takes pictures of two halves"
        )
    return parts


def _join_by_name(home: Home, parts: Sequence[Part], done: Sequence["Imported"]) -> list[str]:
    """Have photos of `A` and `B` whose files have one name but for the ending share a pair; notes on those without."""
    named: list[dict[str, set[str]]] = []
    for one in done:
        names: dict[str, set[str]] = {}
        for file, photo_id in one.photos.items():
            names.setdefault(os.path.splitext(file)[0], set()).add(photo_id)
        named.append(names)
    pairs = {
        (part.domain, photo_id): min(named[0][name])
        for name in named[0].keys() & named[1].keys()
        if len(named[0][name]) == len(named[1][name]) == 1
        for part, names in zip(parts, named, strict=True)
        for photo_id in names[name]
    }
    table = home.tables.read_or_empty("imports")
    keys = zip(table["domain"], table["photo_id"], table["pair"], strict=True)
    told = [pairs.get((domain, photo_id), pair) for domain, photo_id, pair in keys]
    home.tables.write("imports", table.assign(pair=pd.Series(told, table.index, dtype=object)))
    alone = sum(len(set(one.photos.values())) for one in done) - len(pairs)
    return [
        f"{counted(len(pairs) // 2, 'pair')} by name"
        + (f"; {counted(alone, 'picture')} without the other half" if alone else "")
    ]


def _on_both_sides(parts: Sequence[Part], done: Sequence["Imported"]) -> list[str]:
    photos = {side: {id for part, one in zip(parts, done, strict=True) if part.split == side for id in one.photos.values()}
              for side in ("train", "test")}  # fmt: skip
    both = len(photos["train"] & photos["test"])
    return [f"{counted(both, 'photo')} in folders for training and for testing: taken for testing"] if both else []


def _beside(folder: Path, known: Sequence[str]) -> list[str]:
    """What lies beside the folders that were looked at."""
    folders = [path for path in sorted(folder.iterdir()) if path.name not in known and path.is_dir()]
    files = sum(not path.is_dir() for path in folder.iterdir())
    notes = []
    if folders:
        names = ", ".join(f"{path.name} ({counted(_count_files(path), 'file')})" for path in folders)
        notes.append(f"folders not looked at: {names}; to have one as well: bokehflow import {folders[0]} --domain DOMAIN")
    if files:
        notes.append(f"files beside {' and '.join(known)}, not looked at: {files}")
    return notes


def _count_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _import_part(
    project: Project,
    home: Home,
    part: Part,
    metadata: Path | None,
    inspectors: Inspectors,
    report: Callable[[int, int], None],
) -> Imported:
    found = find_pictures(part.folder, home.root)
    read = read_metadata(metadata, part.folder, found.files) if metadata else Metadata({})
    domains = [part.domain, *([part.right_domain] if part.right_domain else [])]
    done = Imported(" and ".join(domains), part.folder)
    done.problems, done.notes = [str(problem) for problem in read.problems], _notes(read, found.others)
    files = [file for file in found.files if file not in read.spoiled]
    if read.spoiled:
        done.notes.append(f"{counted(len(read.spoiled), 'picture')} left out until the rows are right")
    with GrowingImports(home) as imports:
        before = set(imports.rows.loc[among(imports.rows["domain"], domains), "photo_id"])
        known, forgotten = stored_pictures(imports.rows), forgotten_photos(home)
        batches = import_files(part, files, known, forgotten, home.blobs, project.photos, inspectors.inspect)
        for number, batch in enumerate(batches, 1):
            pictures = [outcome for outcome in batch if isinstance(outcome, ImportedPhoto)]
            done.refused += [outcome for outcome in batch if isinstance(outcome, RefusedFile)]
            remarks = dict.fromkeys(f"{picture.file}: {remark}" for picture in pictures for remark in picture.info.remarks)
            done.remarks += remarks
            done.pictures += len(pictures)
            done.photos |= {picture.file: picture.photo_id for picture in pictures}
            imports.add(pictures, read.told)
            report(min(number * BATCH, len(files)), len(files))
    table = imports.rows
    mine = among(table["domain"], domains)
    done.new = len(set(table.loc[mine, "photo_id"]) - before)
    done.told_sides = int((mine & among(table["photo_id"], done.photos.values()) & table["split"].notna()).sum())
    if both := len(set(table.loc[mine, "photo_id"]) & set(table.loc[~mine, "photo_id"])):
        done.notes.append(f"{counted(both, 'photo')} in another domain too, dropped later as `both_domains`")
    return done


def _notes(read: Metadata, others: Counter[str]) -> list[str]:
    notes = []
    if others:
        notes.append(f"other files, not looked at: {told(others)}")
    if read.unknown_columns:
        notes.append(f"columns passed over: {', '.join(map(plain, read.unknown_columns))}")
    words = Counter(told.license for told in read.told.values() if told.license and told.license not in KNOWN)
    notes += told_licenses(words)
    if read.short_rows:
        shown = ", ".join(map(str, read.short_rows[:10])) + (" …" if len(read.short_rows) > 10 else "")
        notes.append(f"rows with fewer cells than the header, the rest taken as empty: {shown}")
    return notes


def told_licenses(words: Counter[str]) -> list[str]:
    """What to say of words that are no licence that anybody knows."""
    if not words:
        return []
    shown = ", ".join(f"{word[:60]!r} ({count})" for word, count in words.most_common(10)) + " …" * (len(words) > 10)
    return [f"words that are no known licence, kept as they are; no `--use` of an export takes these photos: {shown}"]


def imported_rows(
    project: Project,
    home: Home,
    report: Callable[[int, int], None] = lambda done, total: None,
    gone: Set[tuple[str, str]] = frozenset(),
) -> pd.DataFrame:
    """The table `imported_photos`: every photo of the table `imports` that is in a domain and not forgotten.

    Those of `gone`, by domain and id, are left out.
    """
    from pipeline.dedupe.fingerprints import fingerprint_pictures, fingerprint_table
    from pipeline.dedupe.store import FingerprintStore

    imports, store = home.tables.read_or_empty("imports"), FingerprintStore(home.fingerprints)
    is_meant = ~among(imports["photo_id"], forgotten_photos(home)) & among(imports["domain"], project.domains)
    if gone:
        keys = zip(imports["domain"], imports["photo_id"], strict=True)
        is_meant &= pd.Series([key not in gone for key in keys], imports.index, dtype=bool)
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


def summary(done: Sequence[Imported]) -> str:
    """An import for a person."""
    lines = []
    for one in done:
        lines.append(
            f"{one.domain}: {counted(one.pictures, 'picture')} of {one.folder} in the home, {one.new} of them new, "
            f"{one.refusals().total()} refused"
        )
        lines += _some([f"refused {refused}" for refused in one.refused])
        if one.refused:
            lines.append(f"  refused by reason: {told(one.refusals())}")
        lines += _some(one.problems) + _some(one.remarks)
        lines += [f"  {note}" for note in one.notes]
    return plain_lines("\n".join(lines))


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"  … and {len(lines) - SHOWN:,} more like these"] if len(lines) > SHOWN else []
    return [*(f"  {line}" for line in lines[:SHOWN]), *more]

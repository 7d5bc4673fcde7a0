"""Photos of one's own: a folder of picture files into the blob store, each checked to its last byte.

A photo's id is made from its content, so that a renamed file, or one imported again, is the same photo. Nothing in
the folder is changed. What is refused is reported with its reason and tried again at the next import.
"""

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from pipeline.config import PhotosSection
from pipeline.errors import ConfigError
from pipeline.file_names import printable
from pipeline.photo_ids import URL, folder_id
from pipeline.photos.blobs import BlobProtocol
from pipeline.photos.download import refusal
from pipeline.photos.inspectors import InspectorDied
from pipeline.photos.joined import HALVES, Half, half_id, halves
from pipeline.photos.metadata import NOTHING_TOLD, SIDES, Told
from pipeline.photos.opening import PictureInfo, UndecodableImage
from pipeline.plain_files import NotAPlainFile, open_plain, read_plain
from pipeline.plain_text import plain
from pipeline.tables import among, conform

ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp", ".mpo", ".png", ".apng", ".gif", ".webp",
    ".bmp", ".dib", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif",
)  # fmt: skip
"""Files that are taken for pictures by their name; others are where they begin like one (`SIGNATURES`)."""
NOT_READ = {".jxl", ".dng"}
"""Endings of pictures as phones make them that no reader here takes."""
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
"""TIFF's is missing on purpose: the raw files of many cameras begin like a TIFF of a small preview."""
BATCH = 500
"""Files in one batch; an interrupted import goes on after the last whole batch."""
CHUNK_BYTES = 1 << 20

Inspect = Callable[[Path, int], PictureInfo]
"""As `Inspectors.inspect`."""


@dataclass(frozen=True)
class ImportedPhoto:
    """A good file, or the half of one: its path below the folder, what it holds, and what its place tells of it."""

    file: str
    photo_id: str
    sha256: str
    size_bytes: int
    info: PictureInfo
    domain: str
    told: Told = NOTHING_TOLD


@dataclass(frozen=True)
class RefusedFile:
    """A file that is not imported, and why."""

    file: str
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{plain(self.file)}: {self.reason} ({plain(self.detail)})"


@dataclass(frozen=True)
class FoundFiles:
    """The pictures of a folder: paths below it, in order; and how many files there are besides, by what they are."""

    files: list[str]
    others: Counter[str]


def find_pictures(folder: Path, beside: Path) -> FoundFiles:
    """The pictures in `folder` and all folders in it, linked ones too, each real one once and without `beside`.

    Raises `ConfigError` when it is no folder or has no pictures.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder to import")
    found = pictures_below(folder, beside)
    if not found.files:
        there = f"; it has other files: {told(found.others)}" if found.others else ""
        raise ConfigError(f"{folder}: no pictures found (they end in {', '.join(ENDINGS)}){there}")
    return found


def pictures_below(folder: Path, beside: Path) -> FoundFiles:
    """`find_pictures` where there may be none."""
    walk = _Walk(folder, beside)
    files = [path.relative_to(folder).as_posix() for path in walk.files() if walk.is_picture(path)]
    return FoundFiles(sorted(files), walk.others)


def told(others: Mapping[str, int]) -> str:
    """Counts of files by what they are, in words, and what to do about pictures that phones make and nobody here reads."""
    counts = ", ".join(f"{plain(what)} {count:,}" for what, count in sorted(others.items()))
    not_read = sorted(others.keys() & NOT_READ)
    return f"{counts}; pictures in {' and '.join(not_read)} are not taken: save them as JPEG" if not_read else counts


class _Walk:
    """Through a folder; counts in `others` what is passed over."""

    def __init__(self, folder: Path, beside: Path) -> None:
        self.others: Counter[str] = Counter()
        self._above = {_identity(path) for path in (folder.resolve(), *folder.resolve().parents)}
        self._beside = _identity(beside) if beside.exists() else None
        self._seen: set[tuple[int, int]] = set()
        self._waiting = deque([folder])

    def files(self) -> Iterator[Path]:
        """All files; a linked folder comes after the real ones, so that a file reached twice has its own path."""
        while self._waiting:
            root = self._waiting.popleft()
            if _identity(root) in self._seen:
                continue
            for parent, folders, names in os.walk(root, onerror=self._unreadable):
                self._seen.add(_identity(Path(parent)))
                folders[:] = [name for name in folders if self._enters(Path(parent) / name)]
                yield from (Path(parent) / name for name in names)

    def is_picture(self, path: Path) -> bool:
        """By its name, or by how it begins."""
        ending = path.suffix.lower()
        if path.name.startswith("."):
            what = "hidden files"
        elif ending in ENDINGS:
            return True
        else:
            try:
                if _begins_like_a_picture(path):
                    return True
                what = ending or "no ending"
            except NotAPlainFile:
                what = "pipes, sockets and devices"
            except OSError:
                what = "unreadable files"
        self.others[what] += 1
        return False

    def _enters(self, path: Path) -> bool:
        if path.name.startswith("."):
            self.others["hidden folders"] += 1
        elif _identity(path) == self._beside:
            self.others["the home's own folder"] += 1
        elif not path.is_symlink():
            return _identity(path) not in self._seen
        elif _identity(path) in self._above:
            self.others["links to a folder above"] += 1
        else:
            self._waiting.append(path)
        return False

    def _unreadable(self, _: OSError) -> None:
        self.others["unreadable folders"] += 1


def _identity(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def _begins_like_a_picture(path: Path) -> bool:
    with open_plain(path) as file:
        head = file.read(12)
    return head.startswith(SIGNATURES) or (head[:4], head[8:]) == (b"RIFF", b"WEBP")


@dataclass(frozen=True)
class Part:
    """A folder whose pictures belong to `domain`, or, joined, their left half and right half to a domain each.

    `split` is the side that the folder's name tells; with `by_subfolder` its subfolders `train`, `test`, `val` do.
    """

    folder: Path
    domain: str
    right_domain: str | None = None
    split: str | None = None
    by_subfolder: bool = False

    def told(self, file: str) -> Told:
        """What the place of `file`, a path below the folder, tells of it."""
        first, slash, _ = file.partition("/")
        return Told(split=SIDES.get(first.lower()) if self.by_subfolder and slash else self.split)


@dataclass(frozen=True)
class StoredPicture:
    """A picture that was imported before: its bytes and what was found in them."""

    sha256: str
    size_bytes: int
    info: PictureInfo


def stored_pictures(imports: pd.DataFrame) -> dict[str, StoredPicture]:
    """Those of the table `imports`, by photo id."""
    rows = imports.drop_duplicates("photo_id").to_dict("records")
    return {str(row["photo_id"]): StoredPicture(str(row["sha256"]), int(row["size_bytes"]), _info(row)) for row in rows}


def import_files(
    part: Part,
    files: list[str],
    known: Mapping[str, StoredPicture],
    forgotten: Set[str],
    blobs: BlobProtocol,
    settings: PhotosSection,
    inspect: Inspect,
) -> Iterator[list[ImportedPhoto | RefusedFile]]:
    """Bring `files` of a folder into the blob store, `BATCH` of them at a time; a joined picture becomes two photos.

    What is `known` (`stored_pictures`), with its blob in place, is hashed and not decoded again. Photos in
    `forgotten` are refused. Reasons besides those of `inspect`: `bad_name`, `decoder_died`, `forgotten`, `not_joined`,
    `too_large`, `unreadable`.
    """
    bring = _Bringer(part, known, forgotten, blobs, settings, inspect)
    with ThreadPoolExecutor(settings.threads, thread_name_prefix="import") as executor:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            yield [outcome for outcomes in executor.map(bring.one, batch) for outcome in outcomes]


def with_pictures(
    imports: pd.DataFrame,
    pictures: Sequence[tuple[ImportedPhoto, Told]],
    said: dict[tuple[str, str], set[str]],
    now_s: int,
) -> pd.DataFrame:
    """The table `imports` with `pictures` added, or told more about; beside each stands what a CSV tells of its file.

    What is told counts, by a CSV before a folder's name; what is not told stays as it was. Where two files have the same
    bytes the first counts, the second adds what the first does not tell: `said` are the names of what was told, by domain
    and photo, which one call of an import fills for the next.
    """
    touched = among(imports["photo_id"], {picture.photo_id for picture, _ in pictures})
    records = imports[touched].astype(object).to_dict("records")
    rows = {(str(row["domain"]), str(row["photo_id"])): dict(row) for row in records}
    for picture, told in pictures:
        key = picture.domain, picture.photo_id
        rows.setdefault(key, _row(picture, now_s))
        taken = said.setdefault(key, set())
        both = [asdict(picture.told), asdict(told)]
        news = {name: value for one in both for name, value in one.items() if value is not None}
        rows[key].update({name: value for name, value in news.items() if name not in taken})
        taken.update(news)
    added = conform("imports", pd.DataFrame(list(rows.values()), dtype=object))
    parts = [frame for frame in (imports[~touched], added) if len(frame)]
    return conform("imports", pd.concat(parts) if parts else imports)


@dataclass(frozen=True)
class _Bringer:
    part: Part
    known: Mapping[str, StoredPicture]
    """By photo id."""
    forgotten: Set[str]
    blobs: BlobProtocol
    settings: PhotosSection
    inspect: Inspect

    def one(self, file: str) -> list[ImportedPhoto | RefusedFile]:
        if printable(file) != file:
            return [RefusedFile(file, "bad_name", "its name is not UTF-8, which no table takes; rename it")]
        try:
            with open_plain(self.part.folder / file) as source:
                return self._bring(file, _Source(source))
        except UndecodableImage as error:
            return [RefusedFile(file, error.reason, error.detail)]
        except InspectorDied as death:
            return [RefusedFile(file, "decoder_died", death.detail)]
        except _Unreadable as error:
            return [RefusedFile(file, "unreadable", str(error))]
        except OSError as error:
            if str(error.filename) == str(self.part.folder / file):
                return [RefusedFile(file, "unreadable", error.strerror or str(error))]
            raise

    def _bring(self, file: str, source: "_Source") -> list[ImportedPhoto | RefusedFile]:
        if found := refusal(source.size_bytes, None, None, self.settings):
            return [RefusedFile(file, *found)]
        digest = hashlib.sha256()
        for chunk in source.chunks():
            digest.update(chunk)
        wanted = self._photos(file, digest.hexdigest())
        if all(photo_id in self.forgotten for _, photo_id, _ in wanted):
            return [RefusedFile(file, "forgotten", "this picture was purged by `bokehflow forget`")]
        stored = [self.known.get(photo_id) for _, photo_id, _ in wanted]
        if not all(one and self.blobs.has(one.sha256, one.size_bytes) for one in stored):
            stored = self._checked(file, source)
        return [
            RefusedFile(file, "forgotten", f"its half of {domain} was purged by `bokehflow forget`")
            if photo_id in self.forgotten
            else ImportedPhoto(file, photo_id, one.sha256, one.size_bytes, one.info, domain, told)
            for (domain, photo_id, told), one in zip(wanted, stored, strict=True)
            if one is not None
        ]

    def _photos(self, file: str, sha256: str) -> list[tuple[str, str, Told]]:
        """Domain, id and what is told of each photo that the file with these bytes makes."""
        told = self.part.told(file)
        if self.part.right_domain is None:
            return [(self.part.domain, folder_id(sha256), told)]
        told = replace(told, pair=folder_id(sha256))
        domains = zip(HALVES, (self.part.domain, self.part.right_domain), strict=True)
        return [(domain, half_id(sha256, half), told) for half, domain in domains]

    def _checked(self, file: str, source: "_Source") -> list[StoredPicture | None]:
        """Copied, hashed on the way, decoded from the copy: the original may change meanwhile."""
        digest, size_bytes = hashlib.sha256(), 0
        with self.blobs.temporary() as copy:
            with copy.open("wb") as target:
                for chunk in source.chunks():
                    digest.update(chunk)
                    size_bytes += len(chunk)
                    target.write(chunk)
            info = self.inspect(copy, self.settings.max_pixels)
            if self.part.right_domain is not None:
                return [self._stored(half, info.remarks) for half in halves(read_plain(copy), self.settings.max_pixels)]
            sha256 = digest.hexdigest()
            self.blobs.adopt(copy, sha256)
        return [StoredPicture(sha256, size_bytes, info)]

    def _stored(self, half: Half, remarks: tuple[str, ...]) -> StoredPicture:
        sha256 = hashlib.sha256(half.png).hexdigest()
        with self.blobs.temporary() as copy:
            copy.write_bytes(half.png)
            self.blobs.adopt(copy, sha256)
        return StoredPicture(sha256, len(half.png), PictureInfo(half.width_px, half.height_px, "PNG", 1, remarks))


class _Unreadable(Exception):
    """The file opened and then could not be read; the disk of the home is not to blame."""


class _Source:
    """An open file as long as it was when it was opened: one that grows while it is read would never end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size_bytes = os.fstat(file.fileno()).st_size

    def chunks(self) -> Iterator[bytes]:
        """From the beginning. Raises `_Unreadable`."""
        left = self.size_bytes
        try:
            self._file.seek(0)
            while left and (chunk := self._file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk
        except OSError as error:
            raise _Unreadable(error.strerror or str(error)) from error


def _info(row: Mapping[Hashable, object]) -> PictureInfo:
    width_px, height_px, frames = (int(str(row[name])) for name in ("width_px", "height_px", "frames"))
    return PictureInfo(width_px, height_px, str(row["format"]), frames)


def _row(picture: ImportedPhoto, now_s: int) -> dict[Hashable, object]:
    facts = {"photo_id": picture.photo_id, "domain": picture.domain, "file": picture.file, "sha256": picture.sha256}
    info = asdict(picture.info)
    del info["remarks"]
    return {**facts, "size_bytes": picture.size_bytes, **info, "imported_at_s": now_s}


# --- onwards: the tables that everything downstream reads --------------------------------------------------------------


def listing_of(imports: pd.DataFrame, month: str, no_cv: Callable[[str], bool]) -> pd.DataFrame:
    """The table `photo_listing` of imported photos, under `month`; `no_cv` tells tags that forbid computer vision."""
    frame = imports.reindex(columns=["photo_id", "domain", "owner_name", "license", "date_taken", "split", "pair"])
    for column in ("owner", "title", "tags", "page_url"):
        frame[column] = imports[column].astype(object).where(imports[column].notna(), "")
    frame["date_upload_s"] = imports["date_upload_s"].fillna(imports["imported_at_s"])
    frame["fetched_at_s"] = imports["imported_at_s"]
    # What came by a list was brought under its address.
    frame["image_url"] = imports["file"].astype(object).where(imports["photo_id"].str.startswith(URL), None)
    frame["image_width_px"], frame["image_height_px"] = imports["width_px"], imports["height_px"]
    frame["reason"] = ["no_cv" if any(map(no_cv, tags.split())) else None for tags in frame["tags"]]
    return conform("photo_listing", frame.assign(month=month, query=0, media="photo", truncated=False))


def files_of(imports: pd.DataFrame, listing: pd.DataFrame, blobs: BlobProtocol, settings: PhotosSection) -> pd.DataFrame:
    """The table `photo_files` of the imported photos that `listing` accepts.

    Reasons: those for which the settings of today refuse a picture's size, and `missing` where the blob is gone, which
    importing the folder again brings back.
    """
    accepted = listing.loc[listing["reason"].isna(), ["photo_id", "domain", "month"]]
    columns = ["photo_id", "domain", "sha256", "size_bytes", "width_px", "height_px", "format", "frames"]
    frame = imports[[*columns, "imported_at_s"]].merge(accepted, on=["photo_id", "domain"])
    frame = frame.rename(columns={"imported_at_s": "fetched_at_s"})
    sizes = frame[["size_bytes", "width_px", "height_px"]].astype(int).itertuples(index=False, name=None)
    found = [refusal(size, width, height, settings) or (None, None) for size, width, height in sizes]
    frame[["reason", "detail"]] = pd.DataFrame(found, frame.index, ["reason", "detail"], object)
    here = [blobs.has(sha256, int(size)) for sha256, size in zip(frame["sha256"], frame["size_bytes"], strict=True)]
    frame["reason"] = frame["reason"].where(pd.Series(here, index=frame.index, dtype=bool), "missing")
    frame["sha256"] = frame["sha256"].astype(object).where(frame["reason"].isna(), None)
    return conform("photo_files", frame.assign(pending=False))

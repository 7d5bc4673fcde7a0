"""Photos of one's own: a folder of picture files into the blob store, each checked to its last byte.

A photo's id is made from its content, so that a renamed file, or one imported again, is the same photo. Nothing in
the folder is changed. What is refused is reported with its reason and tried again at the next import.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from pipeline.config import PhotosSection
from pipeline.errors import ConfigError
from pipeline.file_names import printable
from pipeline.photo_ids import folder_id
from pipeline.photos.blobs import BlobProtocol
from pipeline.photos.download import refusal
from pipeline.photos.metadata import Told
from pipeline.photos.opening import PictureInfo, UndecodableImage, inspect_file
from pipeline.tables import conform

ENDINGS = (".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")
BATCH = 500
"""So many files are finished together; an interrupted import goes on after the last whole batch."""
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Picture:
    """A good file: its path below the folder, and what it holds."""

    file: str
    photo_id: str
    sha256: str
    size_bytes: int
    info: PictureInfo


@dataclass(frozen=True)
class Refused:
    """A file that is not imported, and why."""

    file: str
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason} ({self.detail})"


def find_pictures(folder: Path) -> tuple[list[str], Counter[str]]:
    """Paths of the picture files below `folder`, in order, and how many other files there are, by their ending.

    Hidden files and folders are passed over. Raises `ConfigError` when it is no folder or has no pictures.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder to import")
    files: list[str] = []
    others: Counter[str] = Counter()
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent) / name
            if name.startswith("."):
                continue
            if path.suffix.lower() in ENDINGS:
                files.append(path.relative_to(folder).as_posix())
            else:
                others[path.suffix.lower() or "no ending"] += 1
    if not files:
        found = f"; it has files ending in {', '.join(sorted(others))}" if others else ""
        raise ConfigError(f"{folder}: no pictures found (they end in {', '.join(ENDINGS)}){found}")
    return sorted(files), others


def import_files(
    folder: Path,
    files: list[str],
    known: pd.DataFrame,
    forgotten: Set[str],
    blobs: BlobProtocol,
    settings: PhotosSection,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[list[Picture | Refused]]:
    """Bring `files` of `folder` into the blob store, `BATCH` of them at a time.

    `known` is the table `imports`: what it lists with its blob in place is hashed and not decoded again. Photos in
    `forgotten` are refused. Reasons besides those of `decode`: `bad_name`, `forgotten`, `too_large`, `unreadable`.
    """
    facts = {str(row["sha256"]): row for row in known.drop_duplicates("sha256").to_dict("records")}
    bring = _Bringer(folder, {key: _info(row) for key, row in facts.items()}, forgotten, blobs, settings)
    done = 0
    with ThreadPoolExecutor(settings.threads, thread_name_prefix="import") as executor:
        for start in range(0, len(files), BATCH):
            outcomes = list(executor.map(bring.one, files[start : start + BATCH]))
            done += len(outcomes)
            yield outcomes
            progress(done, len(files))


def with_pictures(
    imports: pd.DataFrame, domain: str, pictures: list[Picture], told: Mapping[str, Told], now_s: int
) -> pd.DataFrame:
    """The table `imports` with `pictures` of `domain` added, or told more about.

    What is told counts, what is not told stays as it was; where two files have the same bytes the first counts, the
    second adds what the first does not tell.
    """
    rows = {(str(row["domain"]), str(row["photo_id"])): dict(row) for row in imports.astype(object).to_dict("records")}
    said: dict[tuple[str, str], set[str]] = {}
    for picture in pictures:
        key = domain, picture.photo_id
        rows.setdefault(key, _row(picture, domain, now_s))
        taken = said.setdefault(key, set())
        news = {name: value for name, value in asdict(told.get(picture.file, Told())).items() if value is not None}
        rows[key].update({name: value for name, value in news.items() if name not in taken})
        taken.update(news)
    return conform("imports", pd.DataFrame(list(rows.values())))


@dataclass(frozen=True)
class _Bringer:
    folder: Path
    known: Mapping[str, PictureInfo]
    forgotten: Set[str]
    blobs: BlobProtocol
    settings: PhotosSection

    def one(self, file: str) -> Picture | Refused:
        if printable(file) != file:
            return Refused(file, "bad_name", "its name is not UTF-8, which no table takes; rename it")
        try:
            return self._bring(file, self.folder / file)
        except UndecodableImage as error:
            return Refused(file, error.reason, error.detail)
        except OSError as error:
            if (self.folder / file).is_file() and os.access(self.folder / file, os.R_OK):
                raise
            return Refused(file, "unreadable", error.strerror or str(error))

    def _bring(self, file: str, path: Path) -> Picture | Refused:
        size_bytes = path.stat().st_size
        if size_bytes > self.settings.max_bytes:
            return Refused(file, "too_large", f"{size_bytes} bytes, allowed are {self.settings.max_bytes}")
        with path.open("rb") as source:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        if folder_id(sha256) in self.forgotten:
            return Refused(file, "forgotten", "this picture was purged by `bokehflow forget`")
        if sha256 in self.known and self.blobs.has(sha256, size_bytes):
            return Picture(file, folder_id(sha256), sha256, size_bytes, self.known[sha256])
        return self._checked(file, path)

    def _checked(self, file: str, path: Path) -> Picture:
        """Copied, hashed on the way, decoded from the copy: the original may change meanwhile."""
        digest, size_bytes = hashlib.sha256(), 0
        with self.blobs.temporary() as copy:
            with path.open("rb") as source, copy.open("wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    size_bytes += len(chunk)
                    target.write(chunk)
            info = inspect_file(copy, self.settings.max_pixels)
            sha256 = digest.hexdigest()
            self.blobs.adopt(copy, sha256)
        return Picture(file, folder_id(sha256), sha256, size_bytes, info)


def _info(row: Mapping[Hashable, object]) -> PictureInfo:
    width_px, height_px, frames = (int(str(row[name])) for name in ("width_px", "height_px", "frames"))
    return PictureInfo(width_px, height_px, str(row["format"]), frames)


def _row(picture: Picture, domain: str, now_s: int) -> dict[Hashable, object]:
    facts = {"photo_id": picture.photo_id, "domain": domain, "file": picture.file, "sha256": picture.sha256}
    return {**facts, "size_bytes": picture.size_bytes, **asdict(picture.info), "imported_at_s": now_s}


# --- onwards: the tables that everything downstream reads --------------------------------------------------------------


def listing_of(imports: pd.DataFrame, month: str, no_cv: Callable[[str], bool]) -> pd.DataFrame:
    """The table `photo_listing` of imported photos, under `month`; `no_cv` tells tags that forbid computer vision."""
    frame = imports.reindex(columns=["photo_id", "domain", "owner_name", "license", "date_taken"])
    for column in ("owner", "title", "tags", "page_url"):
        frame[column] = imports[column].astype(object).where(imports[column].notna(), "")
    frame["date_upload_s"] = imports["date_upload_s"].fillna(imports["imported_at_s"])
    frame["fetched_at_s"] = imports["imported_at_s"]
    frame["image_width_px"], frame["image_height_px"] = imports["width_px"], imports["height_px"]
    frame["reason"] = ["no_cv" if any(map(no_cv, tags.split())) else None for tags in frame["tags"]]
    return conform("photo_listing", frame.assign(month=month, query=0, media="photo", truncated=False))


def files_of(imports: pd.DataFrame, listing: pd.DataFrame, blobs: BlobProtocol, settings: PhotosSection) -> pd.DataFrame:
    """The table `photo_files` of the imported photos that `listing` accepts.

    Reasons: those for which the settings of today refuse a picture's size, and `missing` where the blob is gone, which
    importing the folder again brings back.
    """
    accepted = listing.loc[listing["reason"].isna(), ["photo_id", "month"]]
    columns = ["photo_id", "domain", "sha256", "size_bytes", "width_px", "height_px", "format", "frames"]
    frame = imports[[*columns, "imported_at_s"]].merge(accepted, on="photo_id")
    frame = frame.rename(columns={"imported_at_s": "fetched_at_s"})
    sizes = frame[["size_bytes", "width_px", "height_px"]].astype(int).itertuples(index=False, name=None)
    found = [refusal(size, width, height, settings) or (None, None) for size, width, height in sizes]
    frame[["reason", "detail"]] = pd.DataFrame(found, frame.index, ["reason", "detail"], object)
    here = [blobs.has(sha256, int(size)) for sha256, size in zip(frame["sha256"], frame["size_bytes"], strict=True)]
    frame["reason"] = frame["reason"].where(pd.Series(here, index=frame.index, dtype=bool), "missing")
    frame["sha256"] = frame["sha256"].astype(object).where(frame["reason"].isna(), None)
    return conform("photo_files", frame.assign(pending=False))

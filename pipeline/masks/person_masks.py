"""The alpha of every kept photo's subject: made once for each picture and source of masks, and kept as a PNG.

The PNG carries in text chunks how many people were found, so that a mask on disk needs no table beside it.
"""

import hashlib
import logging
import os
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.atomic import write_remade
from pipeline.errors import DatasetError
from pipeline.file_names import inside
from pipeline.masks.sources import MaskSource, PhotoToMask, RefusedMask
from pipeline.masks.subject import COMPANION, Subject
from pipeline.masks.uncertainty import uncertain
from pipeline.plain_files import plain_path
from pipeline.tables import among, columns_of, conform, not_there

log = logging.getLogger(__name__)

BATCH = 8
"""Pictures that a segmenter gets at once."""
COMPRESSION = 2
"""Of the PNGs: masks are mostly flat, and more effort hardly makes them smaller."""
DECIMALS = 4
THREADS = max(2, os.cpu_count() or 1)


FULL = 0.9
"""A subject that covers more than this share of the picture leaves hardly any background: the mask may be wrong."""


@dataclass(frozen=True)
class StoredMask:
    """A mask on disk: `path` below the folder of masks, the digest of its pixels, the subject's share of them.

    The others as in `Subject`.
    """

    path: str
    sha256: str
    coverage: float
    people: int | None
    runner_up: float | None
    uncertainty: float | None
    drawn_by: str | None


Masks = dict[str, StoredMask | RefusedMask]
"""By the pictures' SHA-256."""


def segment_photos(
    photos: pd.DataFrame,
    source: MaskSource,
    masks_folder: Path,
    min_coverage: float,
    progress: Callable[[int, int], None] | None = None,
    known: pd.DataFrame | None = None,
    each: Callable[[Sequence[PhotoToMask]], Iterator[Masks] | None] = lambda pictures: None,
) -> pd.DataFrame:
    """The table `person_masks`: one row for each row of `photos` (photo_id, target_domain, sha256, split_key).

    Masks come from `source` and are stored below `masks_folder`. One that exists is not made again; where `known`, an
    earlier result, lists it, it is not even read. Subjects that cover less than `min_coverage` of the picture get the
    reason `no_subject`; a picture that the source refuses gets the source's reason.
    `progress` is called with the numbers of pictures done and in all. `each` makes masks elsewhere, as `make_masks` does, or
    is None for pictures that threads of this process shall take.
    """
    pictures = _pictures(photos)
    maker = _maker(source, masks_folder, pictures)
    done = {} if known is None else _already_known(known, maker)
    missing = [picture for picture in pictures if picture.sha256 not in done]
    for made in each(missing) or _in_threads(maker, missing):
        done |= made
        if progress:
            progress(len(done), len(pictures))
    return _table(photos, done, min_coverage)


def make_masks(pictures: Sequence[PhotoToMask], source: MaskSource, masks_folder: Path) -> Iterator[Masks]:
    """Make and store masks one batch after another, or read those that exist; a `Masks` for each batch."""
    yield from map(_maker(source, masks_folder, pictures).masks, _batches(pictures))


def _in_threads(maker: "_Maker", pictures: Sequence[PhotoToMask]) -> Iterator[Masks]:
    with ThreadPoolExecutor(THREADS, thread_name_prefix="masks") as executor:
        yield from executor.map(maker.masks, _batches(pictures))


def _maker(source: MaskSource, masks_folder: Path, pictures: Sequence[PhotoToMask]) -> "_Maker":
    marks = {picture.sha256: source.mark(picture) for picture in pictures}
    return _Maker(source, masks_folder, source.key, marks)


def mask_file(sha256: str, subject: Subject, source_key: str, masks_folder: Path) -> dict[Path, bytes]:
    """The file of a mask that `segment_photos` will find, by whoever has the picture at hand; none where it is there.

    The subject must be what the source would make.
    """
    path = inside(masks_folder, _path_of(source_key, sha256))
    return {} if path.exists() else {path: _png(subject)}


def _path_of(key: str, sha256: str, mark: str = "") -> str:
    return f"{key}/{sha256[:2]}/{sha256}{f'-{mark}' if mark else ''}.png"


def to_review(table: pd.DataFrame) -> dict[str, list[str]]:
    """Photos that a person should look at, as sentences, by what is odd about them; `table` is `person_masks`."""
    without = table[table["reason"].notna()]
    details = without["detail"].where(without["detail"].notna(), without["reason"])
    crowded = table[table["mask"].notna() & (table["runner_up"].fillna(0.0) >= COMPANION)]
    full = table[table["mask"].notna() & (table["coverage"] > FULL)]
    doubtful = uncertain(table)
    return {
        "left out": [f"{photo}: {detail}" for photo, detail in zip(without["photo_id"], details, strict=True)],
        "unclear who is meant": [
            f"{photo}: {people} people, the second scores {share:.0%} of the first"
            for photo, people, share in crowded[["photo_id", "people", "runner_up"]].itertuples(index=False, name=None)
        ],
        "fills the frame": [
            f"{photo}: the subject covers {share:.0%} of the picture; is all of it subject?"
            for photo, share in full[["photo_id", "coverage"]].itertuples(index=False, name=None)
        ],
        "uncertain": [
            f"{photo}: the mask is wrong with a chance of {chance:.0%}; `bokehflow review` shows it, and lets you draw it"
            for photo, chance in doubtful[["photo_id", "uncertainty"]].itertuples(index=False, name=None)
        ],
    }


def read_mask(path: Path) -> np.ndarray:
    """The alpha in a PNG as uint8 [height, width]. Raises `DatasetError` when the file is missing or damaged."""
    return _read(path)[0]


def _read(path: Path) -> tuple[np.ndarray, dict[Any, Any]]:
    """Alpha and text chunks."""
    try:
        with Image.open(plain_path(path), formats=["PNG"]) as image:
            if image.mode != "L":
                raise DatasetError(f"{path}: this mask has the mode {image.mode}, not 8-bit grey; {_REMEDY}")
            return np.array(image), image.info
    except FileNotFoundError:
        raise DatasetError(f"{path}: this mask is missing; run `bokehflow run`, which makes it anew") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: this mask is damaged ({error}); {_REMEDY}") from error


_REMEDY = "delete the file and run `bokehflow run`, which makes it anew"


def alpha_digest(alpha: np.ndarray) -> str:
    """SHA-256 of an alpha's size and pixels, whatever the compression of its file."""
    height_px, width_px = alpha.shape
    return hashlib.sha256(f"{height_px} {width_px} ".encode() + alpha.tobytes()).hexdigest()


def coverage(alpha: np.ndarray) -> float:
    """Share of the picture that is more subject than background, 0 to 1."""
    return float(np.mean(alpha >= 128))


@dataclass(frozen=True)
class _Maker:
    """Makes masks, or reads those that exist."""

    source: MaskSource
    folder: Path
    key: str
    marks: Mapping[str, str]

    def masks(self, pictures: Sequence[PhotoToMask]) -> dict[str, StoredMask | RefusedMask]:
        subjects: dict[str, Subject | RefusedMask] = {}
        for picture in pictures:
            if (subject := self._existing(picture.sha256)) is not None:
                subjects[picture.sha256] = subject
        missing = [picture for picture in pictures if picture.sha256 not in subjects]
        files: dict[Path, bytes] = {}
        for picture, made in zip(missing, self.source.masks(missing), strict=True):
            if isinstance(made, Subject):
                files[inside(self.folder, self.path(picture.sha256))] = _png(made)
            subjects[picture.sha256] = made
        write_remade(files)
        return {sha256: self._stored(sha256, subject) for sha256, subject in subjects.items()}

    def path(self, sha256: str) -> str:
        """Where the mask of a picture lies below the folder of masks."""
        return _path_of(self.key, sha256, self.marks[sha256])

    def _existing(self, sha256: str) -> Subject | None:
        path = inside(self.folder, self.path(sha256))
        try:
            return _read_subject(path) if path.exists() else None
        except DatasetError as error:
            log.warning("%s; made anew", error)
            return None

    def _stored(self, sha256: str, subject: Subject | RefusedMask) -> StoredMask | RefusedMask:
        if isinstance(subject, RefusedMask):
            return subject
        digest, share = alpha_digest(subject.alpha), coverage(subject.alpha)
        runner_up, uncertainty = _rounded(subject.runner_up), _rounded(subject.uncertainty)
        return StoredMask(self.path(sha256), digest, share, subject.people, runner_up, uncertainty, subject.drawn_by)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _pictures(photos: pd.DataFrame) -> list[PhotoToMask]:
    """Every picture once, in the order of their digests."""
    shown = defaultdict[str, set[str]](set)
    for sha256, photo_id in zip(photos["sha256"].tolist(), photos["photo_id"].tolist(), strict=True):
        shown[sha256].add(photo_id)
    return [PhotoToMask(sha256, tuple(sorted(shown[sha256]))) for sha256 in sorted(shown)]


def _batches(pictures: Sequence[PhotoToMask]) -> Iterator[Sequence[PhotoToMask]]:
    for start in range(0, len(pictures), BATCH):
        yield pictures[start : start + BATCH]


def _png(subject: Subject) -> bytes:
    notes = PngInfo()
    if subject.people is not None and subject.runner_up is not None:
        notes.add_text("people", str(subject.people))
        notes.add_text("runner_up", f"{subject.runner_up:.{DECIMALS}f}")
    if subject.uncertainty is not None:
        notes.add_text("uncertainty", f"{subject.uncertainty:.{DECIMALS}f}")
    if subject.drawn_by is not None:
        notes.add_itxt("drawn_by", subject.drawn_by)
    return grey_png(subject.alpha, notes)


def grey_png(levels: np.ndarray, notes: PngInfo) -> bytes:
    """A PNG of uint8 [height, width]. Each row is stored as its difference to the one above (RFC 2083, 6.4); which of five
    filters is best for each, as Pillow tries out, takes three quarters of the time and gains nothing with masks."""
    height_px, width_px = levels.shape
    rows = np.full((height_px, 1 + width_px), 2, np.uint8)  # filter type 2: up
    rows[0, 1:] = levels[0]
    np.subtract(levels[1:], levels[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *((kind, data) for kind, data, *_ in notes.chunks)]
    chunks += [(b"IDAT", zlib.compress(rows.tobytes(), COMPRESSION)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _read_subject(path: Path) -> Subject:
    """A stored mask with what its text chunks say. Raises `DatasetError` as `read_mask` does."""
    alpha, notes = _read(path)
    counted = (int(notes["people"]), float(notes["runner_up"])) if "people" in notes else (None, None)
    uncertainty = float(notes["uncertainty"]) if "uncertainty" in notes else None
    drawn_by = str(notes["drawn_by"]) if "drawn_by" in notes else None
    return Subject(alpha, *counted, uncertainty, drawn_by)


def _already_known(known: pd.DataFrame, maker: _Maker) -> dict[str, StoredMask | RefusedMask]:
    """Masks of an earlier result that were made with the same key and are still there."""
    listed = known[known["mask"].notna() & among(known["sha256"], maker.marks)].drop_duplicates("sha256")
    columns = ["sha256", "mask", "mask_sha256", "coverage", "people", "runner_up", "uncertainty", "drawn_by"]
    if not set(columns) <= set(listed):  # a table of an earlier version
        return {}
    found: dict[str, StoredMask | RefusedMask] = {}
    as_made = listed[listed["mask"] == listed["sha256"].map(maker.path)]
    there = as_made[~not_there(maker.folder, as_made["mask"])]
    values = (there[column].astype(object).where(there[column].notna(), None).tolist() for column in columns)
    for sha256, path, digest, share, people, runner_up, uncertainty, drawn_by in zip(*values, strict=True):
        counted = None if people is None else int(people)
        found[sha256] = StoredMask(path, digest, float(share), counted, runner_up, uncertainty, drawn_by)
    return found


def _table(photos: pd.DataFrame, masks: Mapping[str, StoredMask | RefusedMask], min_coverage: float) -> pd.DataFrame:
    columns = ["photo_id", "target_domain", "sha256", "split_key"]
    rows = [
        {
            **dict(zip(["photo_id", "domain", "sha256", "split_key"], photo, strict=True)),
            **_columns(masks[photo[2]], min_coverage),
        }
        for photo in photos[columns].itertuples(index=False, name=None)
    ]
    frame = pd.DataFrame(rows, columns=columns_of("person_masks"))
    return conform(
        "person_masks", frame.astype({"people": "Int64", "coverage": float, "runner_up": float, "uncertainty": float})
    )


def _columns(mask: StoredMask | RefusedMask, min_coverage: float) -> dict[str, object]:
    """What the table says of one picture's mask."""
    if isinstance(mask, RefusedMask):
        return {"coverage": 0.0, "reason": mask.reason, "detail": mask.detail}
    counted = {"coverage": mask.coverage, "people": mask.people, "runner_up": mask.runner_up,
               "uncertainty": mask.uncertainty, "drawn_by": mask.drawn_by}  # fmt: skip
    if mask.coverage < min_coverage:
        detail = f"the subject covers {mask.coverage:.1%} of the picture, less than {min_coverage:.1%}"
        return {**counted, "reason": "no_subject", "detail": detail if mask.coverage else "nobody was found"}
    return {**counted, "mask": mask.path, "mask_sha256": mask.sha256}

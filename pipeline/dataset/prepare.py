"""Crop and scale: a photo and its alpha become one training picture, kept in shards.

A picture is identified by the digest of its source, its alpha and the transform, so that one prepared before,
by whatever run, is found again in the shards and not computed anew.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd

from pipeline.dataset.shards import SUFFIX, Picture, Shard, write_shard
from pipeline.errors import DatasetError

MAX_SHARD_BYTES = 256 * 2**20
TRANSFORM_VERSION = 3
"""To be raised when the same inputs give other pixels."""
REDUCED_TO = 2
"""Photos are decoded at a reduced size that is at least so many times the picture's: 50 dB from a float Lanczos."""
HEADROOM = 0.08
"""Free space above the subject's highest point that a crop leaves where it can, as a share of its side."""


class PhotoPixels(Protocol):
    """A decoded photo: `rgb` uint8 `[height, width, 3]`, of which the photo covers `extent` (width, height) pixels."""

    @property
    def rgb(self) -> np.ndarray: ...

    @property
    def extent(self) -> tuple[float, float]: ...


ReadPhoto = Callable[[str, float], PhotoPixels]
"""From a blob's SHA-256 and the short edge in pixels that is enough to the photo, at that size or more."""
ReadMask = Callable[[str], np.ndarray]
"""From a mask's path below `masks/` to alpha uint8 `[height, width]`."""


@dataclass(frozen=True)
class Square:
    """A square of a photo: left and top as shares of the photo's width and height, its side as one of the short edge."""

    left: float
    top: float
    side: float

    def box(self, width: float, height: float) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in a copy of the photo that is `width` × `height` pixels large."""
        edge = self.side * min(width, height)
        left, top = min(self.left * width, width - edge), min(self.top * height, height - edge)
        return max(left, 0.0), max(top, 0.0), max(left, 0.0) + edge, max(top, 0.0) + edge


@dataclass(frozen=True)
class Transform:
    """How a photo becomes a training picture: which square, and the side it is scaled to by Lanczos."""

    crop: Literal["centre", "subject"]
    size_px: int

    @property
    def name(self) -> str:
        """Part of the snapshot's identity, like `centre-square-lanczos-256-v3`."""
        return f"{self.crop}-square-lanczos-{self.size_px}-v{TRANSFORM_VERSION}"

    @classmethod
    def parse(cls, name: str) -> "Transform":
        """The transform of that name. Raises `DatasetError` for one that this version cannot repeat."""
        found = re.fullmatch(rf"(centre|subject)-square-lanczos-(\d+)-v{TRANSFORM_VERSION}", name)
        if found is None:
            raise DatasetError(
                f"{name}: this version of bokehflow prepares pictures otherwise (v{TRANSFORM_VERSION}) and cannot repeat "
                "that; take the version that froze them"
            )
        return cls("subject" if found[1] == "subject" else "centre", int(found[2]))

    def square(self, alpha: np.ndarray) -> Square:
        """Which square of the photo, by the alpha of its subject, uint8 `[height, width]` of any size."""
        return subject_square(alpha) if self.crop == "subject" else centre_square(alpha.shape[1], alpha.shape[0])


def centre_square(width: float, height: float) -> Square:
    """The largest square in the middle, as the study took it."""
    edge = min(width, height)
    return Square((width - edge) / 2 / width, (height - edge) / 2 / height, 1.0)


def subject_square(alpha: np.ndarray) -> Square:
    """The largest square, moved along the photo's long edge so that it holds the subject and cuts no head.

    `alpha` is uint8 `[height, width]`. The subject is in the middle of the square where it fits into it; of one that
    is too tall the head stays, with a little space above it; of one that is too wide the side where the head is.
    Without a subject it is the square in the middle.
    """
    height, width = alpha.shape
    edge = min(width, height)
    rows, columns = np.nonzero((alpha >= 128).any(axis=1))[0], np.nonzero((alpha >= 128).any(axis=0))[0]
    if not len(rows):
        return centre_square(width, height)
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    headroom = HEADROOM * edge
    y = (top + bottom - edge) / 2 if bottom - top + headroom <= edge else top - headroom
    x = (left + right - edge) / 2 if right - left <= edge else _middle_of_head(alpha, top, bottom) - edge / 2
    x, y = min(max(x, 0), width - edge), min(max(y, 0), height - edge)
    return Square(x / width, min(y, max(0, top - headroom)) / height, 1.0)


def _middle_of_head(alpha: np.ndarray, top: int, bottom: int) -> float:
    """Where the upper quarter of the subject lies, across."""
    upper = alpha[top : top + max(1, (bottom - top) // 4)] >= 128
    return float(np.nonzero(upper)[1].mean() + 0.5)


def cut(pixels: np.ndarray, extent: tuple[float, float], square: Square, size_px: int) -> np.ndarray:
    """The square of `pixels`, uint8 `[height, width]` or `[height, width, 3]`, scaled by Lanczos to `size_px`.

    `extent` is how many pixels across and down the photo covers. Equal squares of a photo and of its alpha show the
    same part of it, whatever the sizes of the two.
    """
    from pipeline.dataset.lanczos import resize

    left, top, right, bottom = square.box(*extent)
    height, width = pixels.shape[:2]
    return resize(pixels, (left, top, min(right, width), min(bottom, height)), size_px)


def prepare_images(
    masks: pd.DataFrame,
    read_photo: ReadPhoto,
    read_mask: ReadMask,
    shards_folder: Path,
    transform: Transform,
    shard_rows: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Prepare every picture that has a subject; returns the table `training_images`.

    `masks` is the table `person_masks`. One shard's pictures, 256 MiB at most, are in memory at a time. Where `known`,
    an earlier result, tells which rows a shard had that is gone, these are packed again in their order: the shard comes
    back under its old name, which is the digest of its content.
    """
    wanted = masks[masks["mask"].notna()].copy()
    wanted["transform"] = transform.name
    wanted["key"] = [_key(*row) for row in zip(wanted["sha256"], wanted["mask_sha256"], wanted["transform"], strict=True)]
    missing = wanted[~wanted["key"].isin(shard_index(shards_folder).index)].drop_duplicates("key")
    done, rows_at_once = 0, max(1, min(shard_rows, MAX_SHARD_BYTES // (4 * transform.size_px**2)))
    for rows in _packs(missing.sort_values(["domain", "photo_id"]), known, rows_at_once):
        write_shard(shards_folder, _prepare(rows, read_photo, read_mask, transform))
        done += len(rows)
        progress(done, len(missing))
    return wanted.join(shard_index(shards_folder), on="key")


def _packs(missing: pd.DataFrame, known: pd.DataFrame | None, rows_at_once: int) -> Iterator[pd.DataFrame]:
    """What goes into one shard each: shards that were lost as they were, and the rest in slices."""
    if known is not None and len(known) and len(missing):
        places = known[["domain", "photo_id", "transform", "shard", "row"]]
        lost = missing.merge(places, on=["domain", "photo_id", "transform"]).sort_values(["shard", "row"])
        for _, rows in lost.groupby("shard"):
            if rows["row"].tolist() == list(range(len(rows))):
                yield rows
                missing = missing[~missing["key"].isin(rows["key"])]
    yield from _slices(missing, rows_at_once)


def shard_index(shards_folder: Path) -> pd.DataFrame:
    """All rows of all shards by `key`: `shard`, `row`, `pixels_sha256`, `alpha_sha256`."""
    frames = []
    for path in sorted(shards_folder.glob(f"*{SUFFIX}")):
        rows = Shard(path).index()
        frames.append(rows.assign(shard=path.name, row=range(len(rows))))
    columns = ["key", "pixels_sha256", "alpha_sha256", "shard", "row"]
    index = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return index.drop_duplicates("key").set_index("key")


def _prepare(rows: pd.DataFrame, read_photo: ReadPhoto, read_mask: ReadMask, transform: Transform) -> Sequence[Picture]:
    def one(row: tuple[str, str, str, str]) -> Picture:
        key, source, mask, photo_id = row
        alpha = read_mask(mask)
        square = transform.square(alpha)
        photo = read_photo(source, REDUCED_TO * transform.size_px / square.side)
        _same_shape(photo.extent, alpha, photo_id, mask)
        rgb = cut(photo.rgb, photo.extent, square, transform.size_px)
        return Picture(key, rgb, cut(alpha, (alpha.shape[1], alpha.shape[0]), square, transform.size_px))

    # Decoding and scaling go without the interpreter's lock, so threads use all cores.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, zip(rows["key"], rows["sha256"], rows["mask"], rows["photo_id"], strict=True)))


def _same_shape(extent: tuple[float, float], alpha: np.ndarray, photo_id: str, mask: str) -> None:
    """Alpha may be stored smaller than the photo, but only in the same proportions."""
    photo_ratio, mask_ratio = extent[0] / extent[1], alpha.shape[1] / alpha.shape[0]
    if abs(photo_ratio / mask_ratio - 1) > 1.5 / min(alpha.shape):
        raise DatasetError(
            f"{mask}: the mask of {photo_id} is {alpha.shape[1]}×{alpha.shape[0]} px, the photo "
            f"{extent[0]:g}×{extent[1]:g}: other proportions; delete the mask and run `bokehflow run`"
        )


def _key(source: str, mask: str, transform: str) -> str:
    return sha256(f"{source} {mask} {transform}".encode()).hexdigest()[:32]


def _slices(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows]

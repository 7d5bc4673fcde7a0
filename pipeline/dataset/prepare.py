"""Crop and scale: a photo and its alpha become one training picture, or several tiles, kept in shards.

A picture is identified by the digest of its source, its alpha and the transform, so that one prepared before,
by whatever run, is found again in the shards and not computed anew.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from pipeline.dataset.crop import Plan, Square, Tiling, parse_transform
from pipeline.dataset.shards import SUFFIX, Shard, ShardPicture, write_shard
from pipeline.errors import DatasetError

MAX_SHARD_BYTES = 256 * 2**20
REDUCED_TO = 2
"""Photos are decoded at a reduced size of at least this many times the picture's: 50 dB from a Lanczos in floating point."""


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
PhotoSize = Callable[[str], tuple[int, int]]
"""From a blob's SHA-256 to the upright photo's width and height in pixels."""


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
    plan: Plan,
    shard_rows: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: pd.DataFrame | None = None,
    photo_size: PhotoSize | None = None,
) -> pd.DataFrame:
    """Prepare every picture that has a subject; returns the table `training_images`.

    `masks` is the table `person_masks`; only tiles need `photo_size`, and a photo that is smaller than a tile has
    no picture. One shard's pictures, 256 MiB at most, are in memory at a time. Where `known`, an earlier result, tells
    which rows a shard had that is gone, these are packed again in their order: the shard comes back under its old name,
    which is the digest of its content.
    """
    wanted = _wanted(masks[masks["mask"].notna()], plan, photo_size)
    rows_at_once = max(1, min(shard_rows, MAX_SHARD_BYTES // (4 * plan.size_px**2)))
    return _prepared(wanted, read_photo, read_mask, shards_folder, rows_at_once, progress, known)


def prepare_named(
    wanted: pd.DataFrame, read_photo: ReadPhoto, read_mask: ReadMask, shards_folder: Path, shard_rows: int
) -> pd.DataFrame:
    """`prepare_images` for just the pictures that the rows of `wanted` name by their `transform`, by no plan of ours.

    Raises `DatasetError` where a transform's name is none.
    """
    sizes = wanted["transform"].map(lambda name: parse_transform(name).size_px)
    made = [
        _prepared(rows, read_photo, read_mask, shards_folder, max(1, min(shard_rows, MAX_SHARD_BYTES // (4 * size_px**2))))
        for size_px, rows in wanted.groupby(sizes)
    ]
    return pd.concat(made, ignore_index=True)


def _prepared(
    wanted: pd.DataFrame,
    read_photo: ReadPhoto,
    read_mask: ReadMask,
    shards_folder: Path,
    rows_at_once: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Rows with a `transform` each, with the places of their pictures, which are made where they are missing."""
    keys = [_key(*row) for row in zip(wanted["sha256"], wanted["mask_sha256"], wanted["transform"], strict=True)]
    # Without a type, no keys at all would be numbers and not match those of the shards.
    wanted = wanted.assign(key=pd.Series(keys, wanted.index, object))
    missing = wanted[~wanted["key"].isin(shard_index(shards_folder).index)].drop_duplicates("key")
    done = 0
    for rows in _packs(missing.sort_values(["domain", "photo_id", "transform"]), known, rows_at_once):
        write_shard(shards_folder, _prepare(rows, read_photo, read_mask))
        done += len(rows)
        progress(done, len(missing))
    return wanted.join(shard_index(shards_folder), on="key")


def _wanted(masks: pd.DataFrame, plan: Plan, photo_size: PhotoSize | None) -> pd.DataFrame:
    """A row for each picture to be, with the name of its transform."""
    if not isinstance(plan, Tiling):
        return masks.assign(transform=plan.name)
    if photo_size is None:
        raise TypeError("tiles are laid by the photos' sizes: photo_size is missing")
    with ThreadPoolExecutor() as pool:
        sizes = list(pool.map(photo_size, masks["sha256"]))
    tiles = [[tile.name for tile in plan.tiles(sha256, *size)] for sha256, size in zip(masks["sha256"], sizes, strict=True)]
    rows = masks.assign(transform=pd.Series(tiles, masks.index, object)).explode("transform", ignore_index=True)
    return rows[rows["transform"].notna()].reset_index(drop=True)


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


def _prepare(rows: pd.DataFrame, read_photo: ReadPhoto, read_mask: ReadMask) -> list[ShardPicture]:
    """The pictures of these rows in their order; rows that follow one another share their photo's decoding."""

    def one(group: tuple[tuple[str, str, str], list[tuple[str, str]]]) -> list[ShardPicture]:
        (source, mask, photo_id), pictures = group
        alpha = read_mask(mask)
        transforms = [parse_transform(name) for _, name in pictures]
        squares = [transform.square(alpha) for transform in transforms]
        pairs = list(zip(transforms, squares, strict=True))
        photo = read_photo(source, max(REDUCED_TO * transform.size_px / square.side for transform, square in pairs))
        _same_shape(photo.extent, alpha, photo_id, mask)
        alpha_extent = (alpha.shape[1], alpha.shape[0])
        return [
            ShardPicture(
                key,
                cut(photo.rgb, photo.extent, square, transform.size_px),
                cut(alpha, alpha_extent, square, transform.size_px),
            )
            for (key, _), (transform, square) in zip(pictures, pairs, strict=True)
        ]

    columns = rows[["sha256", "mask", "photo_id", "key", "transform"]].itertuples(index=False, name=None)
    groups = [(key, [row[3:] for row in same]) for key, same in groupby(columns, key=lambda row: row[:3])]
    # Decoding and scaling go without the interpreter's lock, so threads use all cores.
    with ThreadPoolExecutor() as pool:
        return [picture for pictures in pool.map(one, groups) for picture in pictures]


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

"""Crop and scale: a photo and its alpha become one training picture, kept in shards.

A picture is identified by the digest of its source, its alpha and the transform, so that one prepared before,
by whatever run, is found again in the shards and not computed anew.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.dataset.shards import SUFFIX, Picture, Shard, write_shard
from pipeline.errors import DatasetError

MAX_SHARD_BYTES = 256 * 2**20
TRANSFORM_VERSION = 1
"""To be raised when the same inputs give other pixels."""

ReadPhoto = Callable[[str], np.ndarray]
"""From a blob's SHA-256 to RGB uint8 `[height, width, 3]`."""
ReadMask = Callable[[str], np.ndarray]
"""From a mask's path below `masks/` to alpha uint8 `[height, width]`."""


def transform_name(size_px: int) -> str:
    """Name of the preparation, which is part of the snapshot's identity."""
    return f"centre-square-lanczos-{size_px}-v{TRANSFORM_VERSION}"


def centre_square(pixels: np.ndarray, size_px: int) -> np.ndarray:
    """The largest centred square of `[height, width]` or `[height, width, 3]` uint8, scaled by Lanczos to `size_px`."""
    height, width = pixels.shape[:2]
    edge = min(height, width)
    left, top = (width - edge) / 2, (height - edge) / 2
    box = (left, top, left + edge, top + edge)
    return np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.LANCZOS, box=box))


def prepare_images(
    masks: pd.DataFrame,
    read_photo: ReadPhoto,
    read_mask: ReadMask,
    shards_folder: Path,
    size_px: int,
    shard_rows: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Prepare every picture that has a subject; returns the table `training_images`.

    `masks` is the table `person_masks`. One shard's pictures, 256 MiB at most, are in memory at a time.
    """
    wanted = masks[masks["mask"].notna()].copy()
    wanted["transform"] = transform_name(size_px)
    wanted["key"] = [_key(*row) for row in zip(wanted["sha256"], wanted["mask_sha256"], wanted["transform"], strict=True)]
    missing = wanted[~wanted["key"].isin(shard_index(shards_folder).index)].drop_duplicates("key")
    done, rows_at_once = 0, max(1, min(shard_rows, MAX_SHARD_BYTES // (4 * size_px**2)))
    for rows in _slices(missing.sort_values(["domain", "photo_id"]), rows_at_once):
        write_shard(shards_folder, _prepare(rows, read_photo, read_mask, size_px))
        done += len(rows)
        progress(done, len(missing))
    return wanted.join(shard_index(shards_folder), on="key")


def shard_index(shards_folder: Path) -> pd.DataFrame:
    """All rows of all shards by `key`: `shard`, `row`, `pixels_sha256`, `alpha_sha256`."""
    frames = []
    for path in sorted(shards_folder.glob(f"*{SUFFIX}")):
        rows = Shard(path).index()
        frames.append(rows.assign(shard=path.name, row=range(len(rows))))
    columns = ["key", "pixels_sha256", "alpha_sha256", "shard", "row"]
    index = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return index.drop_duplicates("key").set_index("key")


def _prepare(rows: pd.DataFrame, read_photo: ReadPhoto, read_mask: ReadMask, size_px: int) -> Sequence[Picture]:
    def one(row: tuple[str, str, str, str]) -> Picture:
        key, source, mask, photo_id = row
        rgb, alpha = read_photo(source), read_mask(mask)
        _same_shape(rgb, alpha, photo_id, mask)
        return Picture(key, centre_square(rgb, size_px), centre_square(alpha, size_px))

    # Pillow decodes and scales without the interpreter's lock, so threads use all cores.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, zip(rows["key"], rows["sha256"], rows["mask"], rows["photo_id"], strict=True)))


def _same_shape(rgb: np.ndarray, alpha: np.ndarray, photo_id: str, mask: str) -> None:
    """Alpha may be stored smaller than the photo, but only in the same proportions."""
    photo_ratio, mask_ratio = rgb.shape[1] / rgb.shape[0], alpha.shape[1] / alpha.shape[0]
    if abs(photo_ratio / mask_ratio - 1) > 1.5 / min(alpha.shape):
        raise DatasetError(
            f"{mask}: the mask of {photo_id} is {alpha.shape[1]}×{alpha.shape[0]} px, the photo "
            f"{rgb.shape[1]}×{rgb.shape[0]}: other proportions; delete the mask and run `bokehflow run`"
        )


def _key(source: str, mask: str, transform: str) -> str:
    return sha256(f"{source} {mask} {transform}".encode()).hexdigest()[:32]


def _slices(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows]

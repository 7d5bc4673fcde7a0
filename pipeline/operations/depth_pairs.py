"""Folders of pictures with depth as training data, without the way through collecting, deciding and freezing.

For models of depth: a rendered set, or any folder of the layout `pairs`, becomes shards and a list of pictures, as a
snapshot has them. What is made from it is a trial, which stands in no report.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.atomic import atomic_path
from pipeline.dataset.shards import ShardPicture, write_shard
from pipeline.depth.files import ReadPicture
from pipeline.depth.layouts import RgbdPair, pairs
from pipeline.depth.maps import encoded
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.models.images import RgbPhoto
from pipeline.picture_layers import BY_NAME, nearest

PICTURES_A_SHARD = 256
DEPTH = BY_NAME["depth"]

Decode = Callable[[bytes], RgbPhoto]


def pack_pairs(
    folder: Path, size_px: int, domain: str, shards: Path, read: ReadPicture, decode: Decode
) -> tuple[pd.DataFrame, Sequence[str]]:
    """The list of pictures of a folder, whose squares of `size_px` now lie in shards; and what was left out, with reasons.

    The square in the middle is taken. Alpha is that of `mask/NAME.png` where there is one. Raises `DatasetError` for a
    folder without depth, and what reading its files raises.
    """
    found = pairs(folder)
    with_depth = [pair for pair in found.pairs if pair.depth is not None]
    if not with_depth:
        raise DatasetError(f"{folder}: none of its pictures has a map in depth/")
    rows: list[dict[str, object]] = []
    for start in range(0, len(with_depth), PICTURES_A_SHARD):
        some = with_depth[start : start + PICTURES_A_SHARD]
        made = [_picture(folder, pair, size_px, read, decode) for pair in some]
        shard = write_shard(shards, made)
        rows += [_row(pair, picture, domain, shard, row) for row, (pair, picture) in enumerate(zip(some, made, strict=True))]
    return pd.DataFrame(rows), found.problems


def pairs_id(pictures: pd.DataFrame) -> str:
    """A name for the data in place of a snapshot's: the same for the same pictures and depths."""
    told = pictures[["photo_id", "split", "pixels_sha256", DEPTH.digest]].sort_values("photo_id").to_csv(index=False)
    return f"pairs-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def write_list(pictures: pd.DataFrame, path: Path) -> None:
    """Write the list as the trainer reads it."""
    with atomic_path(path) as temporary:
        pictures.to_parquet(temporary)


def _row(pair: RgbdPair, picture: ShardPicture, domain: str, shard: str, row: int) -> dict[str, object]:
    place = {"photo_id": pair.name, "domain": domain, "split": pair.side or "train", "shard": shard, "row": row}
    return {**place, "pixels_sha256": picture.pixels_sha256, DEPTH.digest: picture.digest(DEPTH), DEPTH.source: pair.name}


def _picture(folder: Path, pair: RgbdPair, size_px: int, read: ReadPicture, decode: Decode) -> ShardPicture:
    assert pair.depth is not None
    rgb = decode(pair.rgb(read))
    stored, encoding = encoded(pair.depth(read))
    mask = child(folder / "mask", f"{pair.name}.png")
    alpha = decode(read(mask))[..., 0] if mask.exists() else np.zeros(rgb.shape[:2], np.uint8)
    depth = nearest(stored, *_middle(stored), size_px)
    return ShardPicture(
        pair.name, _square(rgb, size_px), _square(alpha, size_px), {DEPTH.name: depth}, {DEPTH.name: str(encoding)}
    )


def _square(pixels: np.ndarray, size_px: int) -> np.ndarray:
    left, top, edge = _middle(pixels)
    box = (left, top, left + edge, top + edge)
    return np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.LANCZOS, box))


def _middle(pixels: np.ndarray) -> tuple[float, float, float]:
    """Left, top and edge of the square in the middle."""
    height_px, width_px = pixels.shape[:2]
    edge = min(height_px, width_px)
    return (width_px - edge) / 2, (height_px - edge) / 2, edge

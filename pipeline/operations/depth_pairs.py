"""Folders of pictures with depth as training data, without the way through collecting, deciding and freezing.

For models of depth: a rendered set, or any folder of the layout `pairs`, becomes shards and a list of pictures, as a
snapshot has them. What is made from it is a trial, which stands in no report.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.atomic import atomic_path
from pipeline.dataset.crop import centre_square
from pipeline.dataset.prepare import MAX_SHARD_BYTES, cut
from pipeline.dataset.shards import ShardPicture, write_shard
from pipeline.depth.files import ReadPicture
from pipeline.depth.layouts import RgbdPair, misfit, pairs
from pipeline.depth.maps import encoded
from pipeline.depth.units import DepthError
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.models.images import RgbPhoto
from pipeline.photos.opening import UndecodableImage
from pipeline.picture_layers import BY_NAME, REQUIRED, nearest

SHOWN_PROBLEMS = 5
DEPTH = BY_NAME["depth"]

Decode = Callable[[bytes], RgbPhoto]


def pack_pairs(
    folder: Path, size_px: int, domain: str, shards: Path, read: ReadPicture, decode: Decode
) -> tuple[pd.DataFrame, Sequence[str]]:
    """The list of pictures of a folder, whose squares of `size_px` now lie in shards; and what was left out, with reasons.

    The square in the middle is taken. Alpha is that of `mask/NAME.png` where there is one. Left out is a pair of which a
    part cannot be read or has other proportions. Raises `DatasetError` for a folder in which no pair can be used.
    """
    found = pairs(folder)
    with_depth = [pair for pair in found.pairs if pair.depth is not None]
    rows: list[dict[str, object]] = []
    problems = list(found.problems)
    pictures_a_shard = max(1, MAX_SHARD_BYTES // sum(layer.bytes_of(size_px) for layer in (*REQUIRED, DEPTH)))
    for start in range(0, len(with_depth), pictures_a_shard):
        made: list[tuple[RgbdPair, ShardPicture]] = []
        for pair in with_depth[start : start + pictures_a_shard]:
            try:
                made.append((pair, _picture(folder, pair, size_px, read, decode)))
            except (DepthError, UndecodableImage, OSError) as error:
                problems.append(f"{pair.name}: {error}")
        if made:
            shard = write_shard(shards, [picture for _, picture in made])
            rows += [_row(pair, picture, domain, shard, row) for row, (pair, picture) in enumerate(made)]
    if not rows:
        told = "; ".join(problems[:SHOWN_PROBLEMS]) or "none of its pictures has a map in depth/"
        raise DatasetError(f"{folder}: no picture with depth can be used: {told}")
    return pd.DataFrame(rows), problems


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
    """The square in the middle. Raises `DepthError` where the parts are not of one picture, and what reading them raises."""
    assert pair.depth is not None
    rgb = decode(pair.rgb(read))
    stored, encoding = encoded(pair.depth(read))
    mask = child(folder / "mask", f"{pair.name}.png")
    alpha = decode(read(mask))[..., 0] if mask.exists() else np.zeros(rgb.shape[:2], np.uint8)
    for what, part in (("map of depth", stored), ("mask", alpha)):
        if problem := misfit(what, _size(part), _size(rgb)):
            raise DepthError(problem)
    square = centre_square(*_size(rgb))
    left, top, right, _ = square.box(*_size(stored))
    depth = nearest(stored, left, top, right - left, size_px)
    seen, opacity = (cut(part, _size(part), square, size_px) for part in (rgb, alpha))
    return ShardPicture(pair.name, seen, opacity, {DEPTH.name: depth}, {DEPTH.name: str(encoding)})


def _size(pixels: np.ndarray) -> tuple[int, int]:
    """Width and height."""
    return pixels.shape[1], pixels.shape[0]

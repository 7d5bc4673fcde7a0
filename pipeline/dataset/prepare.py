"""Crop and scale: a photo, its alpha and what belongs to it become one training picture, or several tiles, kept in shards.

A picture is identified by the digest of its source, its alpha, its other layers and the transform, so that one prepared
before, by whatever run, is found again in the shards and not computed anew.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from pipeline.dataset.crop import Plan, Square, Tiling, parse_transform
from pipeline.dataset.shards import SUFFIX, Shard, ShardPicture, write_shard
from pipeline.errors import DatasetError
from pipeline.picture_layers import DIGESTS, ENCODINGS, OPTIONAL, REQUIRED, Layer, nearest, sourced
from pipeline.plain_files import paths_in
from pipeline.tables import among

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
ReadDepth = Callable[[str], tuple[np.ndarray, str]]
"""From a map's path below `depth/` to its numbers, uint16 `[height, width]`, and the text of its encoding."""
PhotoSize = Callable[[str], tuple[int, int]]
"""From a blob's SHA-256 to the upright photo's width and height in pixels."""
WriteShards = Callable[[Iterator[pd.DataFrame]], Iterator[int]]
"""Writes a shard of each frame of rows; gives how many pictures were written, in any order."""


@dataclass(frozen=True)
class Readers:
    """Where the parts of training pictures come from; `depth` is for those that have a map of it.

    Only tiles need `photo_size`; a photo that is smaller than a tile has no picture.
    """

    photo: ReadPhoto
    mask: ReadMask
    depth: ReadDepth | None = None
    photo_size: PhotoSize | None = None


@dataclass(frozen=True)
class ShardFolder:
    """Where shards lie, and how many pictures each has at most."""

    path: Path
    rows: int


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
    readers: Readers,
    shards: ShardFolder,
    plan: Plan,
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: pd.DataFrame | None = None,
    each: WriteShards | None = None,
) -> pd.DataFrame:
    """Prepare every picture that has a subject; returns the table `training_images`.

    `masks` is the table `person_masks`, with the columns that say what the layers of `pipeline.picture_layers` are made from
    where there are any. One shard's pictures, 256 MiB at most, are in memory at a time. Where `known`, an earlier result,
    tells which rows a shard had that is gone, these are packed again in their order: the shard comes back under its old
    name, which is the digest of its content. `each` writes shards elsewhere than in this process; a picture that is in none
    afterwards has no row.
    """
    wanted = _wanted(masks[masks["mask"].notna()], plan, readers.photo_size)
    write = each or _writer(readers, shards.path)
    return _prepared(wanted, shards.path, write, _rows_at_once(wanted, plan.size_px, shards.rows), progress, known)


def write_shard_of(rows: pd.DataFrame, readers: Readers, shards_folder: Path) -> None:
    """Make the pictures of these rows, which become one shard."""
    write_shard(shards_folder, _prepare(rows, readers))


def _writer(readers: Readers, shards_folder: Path) -> WriteShards:
    def write(packs: Iterator[pd.DataFrame]) -> Iterator[int]:
        for rows in packs:
            write_shard_of(rows, readers, shards_folder)
            yield len(rows)

    return write


def picture_bytes(rows: pd.DataFrame, size_px: int) -> int:
    """What one of these pictures takes, with all layers that any of them has."""
    return sum(layer.bytes_of(size_px) for layer in (*REQUIRED, *sourced(rows)))


def _rows_at_once(rows: pd.DataFrame, size_px: int, shard_rows: int) -> int:
    return max(1, min(shard_rows, MAX_SHARD_BYTES // picture_bytes(rows, size_px)))


def prepare_named(wanted: pd.DataFrame, readers: Readers, shards: ShardFolder) -> pd.DataFrame:
    """`prepare_images` for just the pictures that the rows of `wanted` name by their `transform`, by no plan of ours.

    Raises `DatasetError` where a transform's name is none.
    """
    sizes = wanted["transform"].map(lambda name: parse_transform(name).size_px)
    made = [
        _prepared(rows, shards.path, _writer(readers, shards.path), _rows_at_once(rows, int(str(size_px)), shards.rows))
        for size_px, rows in wanted.groupby(sizes)
    ]
    return pd.concat(made, ignore_index=True)


def _prepared(
    wanted: pd.DataFrame,
    shards_folder: Path,
    write: WriteShards,
    rows_at_once: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Rows with a `transform` each, with the places of their pictures, which are made where they are missing."""
    sources = [layer.source_digest for layer in OPTIONAL if layer in sourced(wanted)]
    columns = ["sha256", "mask_sha256", "transform", *sources]
    keys = [_key(sources, *row) for row in wanted[columns].itertuples(index=False, name=None)]
    # Without a type, no keys at all would be numbers and not match those of the shards.
    wanted = wanted.assign(key=pd.Series(keys, wanted.index, object))
    missing = wanted[~among(wanted["key"], shard_index(shards_folder).index)].drop_duplicates("key")
    done = 0
    for rows in write(_packs(missing.sort_values(["domain", "photo_id", "transform"]), known, rows_at_once)):
        done += rows
        progress(done, len(missing))
    columns = wanted.drop(columns=[*DIGESTS, *ENCODINGS], errors="ignore")
    found = columns.join(shard_index(shards_folder), on="key", how="inner")
    return found.assign(**{layer.digest: found[layer.digest].replace("", None) for layer in OPTIONAL})


def _wanted(masks: pd.DataFrame, plan: Plan, photo_size: PhotoSize | None) -> pd.DataFrame:
    """A row for each picture to be, with the name of its transform."""
    if not isinstance(plan, Tiling):
        return masks.assign(transform=plan.name)
    if photo_size is None:
        raise TypeError("tiles are laid by the photos' sizes: `Readers.photo_size` is missing")
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
                missing = missing[~among(missing["key"], rows["key"])]
    yield from _slices(missing, rows_at_once)


def shard_index(shards_folder: Path) -> pd.DataFrame:
    """All rows of all shards by `key`: `shard`, `row`, the digests of their layers and the encodings of these."""
    frames = []
    for path in paths_in(shards_folder, SUFFIX):
        shard = Shard(path)
        rows = shard.index()
        told = {layer.encoding: pd.Series(shard.encodings(layer), dtype=object) for layer in OPTIONAL if layer.encoded}
        frames.append(rows.assign(**told, shard=path.name, row=range(len(rows))))
    columns = ["key", *DIGESTS, *ENCODINGS, "shard", "row"]
    index = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return index.drop_duplicates("key").set_index("key")


def _prepare(rows: pd.DataFrame, readers: Readers) -> list[ShardPicture]:
    """The pictures of these rows in their order; rows that follow one another share their photo's decoding."""
    layers = [layer for layer in OPTIONAL if layer in sourced(rows)]

    def one(group: tuple[tuple[str | None, ...], list[tuple[str, str]]]) -> list[ShardPicture]:
        (photo_id, source, mask, *sources), pictures = group
        photo = _PhotoParts(str(photo_id), str(source), str(mask), dict(zip(layers, sources, strict=True)))
        return photo.pictures(pictures, readers)

    columns = ["photo_id", "sha256", "mask", *(layer.source for layer in layers), "key", "transform"]
    cells = rows[columns].astype(object).where(rows[columns].notna(), None).itertuples(index=False, name=None)
    groups = [(key, [row[-2:] for row in same]) for key, same in groupby(cells, key=lambda row: row[:-2])]
    # Decoding and scaling go without the interpreter's lock, so threads use all cores.
    with ThreadPoolExecutor() as pool:
        return [picture for pictures in pool.map(one, groups) for picture in pictures]


@dataclass(frozen=True)
class _PhotoParts:
    """A photo whose pictures are made: its bytes, its mask, and what its other layers are made from."""

    photo_id: str
    sha256: str
    mask: str
    sources: dict[Layer, str | None]

    def pictures(self, wanted: list[tuple[str, str]], readers: Readers) -> list[ShardPicture]:
        """Those of these keys and transforms."""
        alpha = readers.mask(self.mask)
        transforms = [parse_transform(name) for _, name in wanted]
        squares = [transform.square(alpha) for transform in transforms]
        pairs = list(zip(transforms, squares, strict=True))
        edge_px = max(REDUCED_TO * transform.size_px / square.side for transform, square in pairs)
        photo = readers.photo(self.sha256, edge_px)
        _same_shape(photo.extent, _extent(alpha), f"the mask of {self.photo_id}", self.mask)
        layers = {layer: self._read(layer, source, edge_px, photo, readers) for layer, source in self.sources.items()}
        made = []
        for (key, _), (transform, square) in zip(wanted, pairs, strict=True):
            size_px = transform.size_px
            rgb, opacity = cut(photo.rgb, photo.extent, square, size_px), cut(alpha, _extent(alpha), square, size_px)
            others = {layer.name: read.cut(square, size_px) for layer, read in layers.items() if read is not None}
            told = {layer.name: read.encoding for layer, read in layers.items() if read and read.encoding is not None}
            made.append(ShardPicture(key, rgb, opacity, others, told))
        return made

    def _read(
        self, layer: Layer, source: str | None, edge_px: float, photo: PhotoPixels, readers: Readers
    ) -> "_CutSource | None":
        """What a layer is cut from; None where the photo has no such layer. Raises `DatasetError` for other proportions."""
        if source is None:
            return None
        if layer.kept_as == "photo":
            other = readers.photo(source, edge_px)
            read = _CutSource(other.rgb, other.extent)
        elif readers.depth is None:
            raise TypeError("a photo has a map of depth, and nothing reads it: Readers.depth is missing")
        else:
            stored, encoding = readers.depth(source)
            read = _CutSource(stored, _extent(stored), encoding)
        _same_shape(photo.extent, read.extent, f"the {layer.name} of {self.photo_id}", source)
        return read


@dataclass(frozen=True)
class _CutSource:
    """Pixels that cover `extent`, to be cut: a picture, or numbers with an `encoding`, which are never mixed."""

    pixels: np.ndarray
    extent: tuple[float, float]
    encoding: str | None = None

    def cut(self, square: Square, size_px: int) -> np.ndarray:
        if self.encoding is None:
            return cut(self.pixels, self.extent, square, size_px)
        left, top, right, _ = square.box(*self.extent)
        return nearest(self.pixels, left, top, right - left, size_px)


def _extent(pixels: np.ndarray) -> tuple[float, float]:
    return pixels.shape[1], pixels.shape[0]


def _same_shape(extent: tuple[float, float], other: tuple[float, float], what: str, source: str) -> None:
    """What belongs to a photo may be stored smaller than it, but only in the same proportions."""
    if abs(extent[0] / extent[1] / (other[0] / other[1]) - 1) > 1.5 / min(other):
        raise DatasetError(
            f"{source}: {what} is {other[0]:g}×{other[1]:g} px, the photo "
            f"{extent[0]:g}×{extent[1]:g}: other proportions; delete it and run `bokehflow run`"
        )


def _key(layers: list[str], source: str, mask: str, transform: str, *digests: str | None) -> str:
    """Of a picture without other layers it is what it always was."""
    others = [f" {name}={digest}" for name, digest in zip(layers, digests, strict=True) if isinstance(digest, str)]
    return sha256(f"{source} {mask} {transform}{''.join(others)}".encode()).hexdigest()[:32]


def _slices(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows]

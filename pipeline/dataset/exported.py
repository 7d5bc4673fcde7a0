"""The pictures of an export: their names, how each is credited, and their pixels as PNGs, some in memory at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.dataset.crop import picture_id
from pipeline.dataset.shards import ShardReader
from pipeline.file_names import child
from pipeline.licenses import license_name
from pipeline.picture_layers import Layer, present
from pipeline.pillow import as_file

AT_ONCE = 256
"""Pictures in memory, and rows of a Parquet row group."""


def file_name(identifier: str) -> str:
    """A picture's file, its id without characters that file systems mind.

    >>> file_name("flickr:4951"), file_name("flickr:4951#x256y0")
    ('flickr_4951.png', 'flickr_4951_x256y0.png')
    """
    return "".join(character if character.isalnum() or character in "-." else "_" for character in identifier) + ".png"


def picture_ids(rows: pd.DataFrame) -> pd.Series:
    """The id of each picture: its photo's, with the place of a tile."""
    pairs = zip(rows["photo_id"].tolist(), rows["transform"].tolist(), strict=True)
    return pd.Series([picture_id(*pair) for pair in pairs], rows.index, dtype=object)


@dataclass(frozen=True)
class ExportedPicture:
    """A picture with what it has beside RGB and alpha: as it is stored, and the text of its encoding where it has one."""

    rgb: np.ndarray
    alpha: np.ndarray
    layers: Mapping[Layer, tuple[np.ndarray, str | None]]

    def stored(self, name: str) -> tuple[np.ndarray, str | None] | None:
        """A part by its column's name; None where the picture does not have it."""
        parts = {"image": (self.rgb, None), "alpha": (self.alpha, None)}
        return (parts | {layer.name: found for layer, found in self.layers.items()}).get(name)


def batches(rows: pd.DataFrame, shards: Path) -> Iterator[tuple[pd.DataFrame, list[ExportedPicture]]]:
    """Rows with their pictures, `AT_ONCE` at a time."""
    reader, here = ShardReader([child(shards, name) for name in rows["shard"]], rows["row"].tolist()), present(rows)

    def picture(index: int) -> ExportedPicture:
        found = {layer: stored for layer in here if (stored := reader.stored(layer, index)) is not None}
        return ExportedPicture(*reader.view(index), found)

    for start in range(0, len(rows), AT_ONCE):
        part = rows.iloc[start : start + AT_ONCE]
        yield part, [picture(index) for index in range(start, start + len(part))]


def png(pixels: np.ndarray, encoding: str | None = None) -> bytes:
    notes = PngInfo()
    if encoding is not None:
        notes.add_text("encoding", encoding)
    return as_file(Image.fromarray(pixels), "PNG", compress_level=4, pnginfo=notes)


def credit(title: str | None, owner: str | None, license: str | None, page: str | None) -> str:
    """How a photo is credited in one line, as Creative Commons asks: title, owner, licence, where it is.

    >>> credit("Dawn", "Ann", "4", "https://flic.kr/p/x"), credit(None, None, None, None)
    ('"Dawn" by Ann, CC BY 2.0, https://flic.kr/p/x', 'untitled, by an unknown owner, licence unknown')
    """
    named = f'"{title}" by' if title else "untitled, by"
    licensed = license_name(license) if license else "licence unknown"
    return ", ".join([f"{named} {owner or 'an unknown owner'}", licensed, *([page] if page else [])])

"""Which part of a photo becomes a training picture: one square of it, or tiles that cover all of it.

What a picture's transform is called says it exactly, so that a picture can be made again from its photo, its alpha and
that name alone.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from math import ceil
from typing import Literal

import numpy as np

from pipeline.errors import DatasetError

TRANSFORM_VERSION = 3
"""To be raised when the same inputs give other pixels."""
NUMBER_DIGITS, MAX_SIZE_PX = 6, 2048
"""Most digits of a number in a transform's name, and the largest picture that the project file allows."""
HEADROOM = 0.08
"""Free space above the subject's highest point that a crop leaves where it can, as a share of its side."""


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
class Crop:
    """How a photo becomes one training picture: which square, and the side it is scaled to by Lanczos."""

    crop: Literal["centre", "subject"]
    size_px: int

    @property
    def name(self) -> str:
        """Part of the snapshot's identity, like `centre-square-lanczos-256-v3`."""
        return f"{self.crop}-square-lanczos-{self.size_px}-v{TRANSFORM_VERSION}"

    def square(self, alpha: np.ndarray) -> Square:
        """Which square of the photo, by the alpha of its subject, uint8 `[height, width]` of any size."""
        return subject_square(alpha) if self.crop == "subject" else centre_square(alpha.shape[1], alpha.shape[0])


@dataclass(frozen=True)
class Tile:
    """One tile of a photo of `photo_px` (width, height), scaled to `size_px` by Lanczos; all in the photo's pixels."""

    left_px: int
    top_px: int
    side_px: int
    photo_px: tuple[int, int]
    size_px: int

    @property
    def name(self) -> str:
        """Like `tile-x256y0-512px-of-1600x1067-lanczos-512-v3`."""
        width, height = self.photo_px
        return f"tile-{self.place}-{self.side_px}px-of-{width}x{height}-lanczos-{self.size_px}-v{TRANSFORM_VERSION}"

    @property
    def place(self) -> str:
        """Tells the tiles of a photo apart, like `x256y0`: its left and top in the photo's pixels."""
        return f"x{self.left_px}y{self.top_px}"

    def square(self, alpha: np.ndarray) -> Square:
        """Which square of the photo; the alpha does not matter."""
        width, height = self.photo_px
        return Square(self.left_px / width, self.top_px / height, self.side_px / min(width, height))


Transform = Crop | Tile
"""What one training picture is of its photo."""


@dataclass(frozen=True)
class Tiling:
    """Square tiles of the whole photo, `tile_px` of its own pixels each, scaled to `size_px`.

    Neighbours share at least `overlap` of their side, more where the photo asks for it: the outer tiles lie at its edges
    and the others evenly between. Of more than `most` tiles those with the lowest hashes are taken.
    """

    size_px: int
    tile_px: int
    overlap: float = 0.0
    most: int | None = None

    @property
    def name(self) -> str:
        """Says how a whole dataset is tiled; each tile has a name of its own."""
        most = f"-at-most-{self.most}" if self.most else ""
        return f"tiles-{self.tile_px}px-overlap-{self.overlap:g}{most}-lanczos-{self.size_px}-v{TRANSFORM_VERSION}"

    def tiles(self, photo: str, width_px: int, height_px: int) -> list[Tile]:
        """The tiles of a photo by its SHA-256 and size, row by row; none of one that is smaller than a tile."""
        across, down = (self._starts(edge_px) for edge_px in (width_px, height_px))
        tiles = [Tile(left, top, self.tile_px, (width_px, height_px), self.size_px) for top in down for left in across]
        if self.most is None or len(tiles) <= self.most:
            return tiles
        chosen = sorted(tiles, key=lambda tile: sha256(f"{photo} {tile.place}".encode()).digest())[: self.most]
        return [tile for tile in tiles if tile in chosen]

    def _starts(self, edge_px: int) -> list[int]:
        spare_px = edge_px - self.tile_px
        if spare_px < 0:
            return []
        steps = ceil(spare_px / max(1.0, self.tile_px * (1 - self.overlap)))
        return [round(step * spare_px / steps) for step in range(steps + 1)] if steps else [0]


Plan = Crop | Tiling
"""How a dataset's photos become training pictures."""


@lru_cache(maxsize=65_536)
def parse_transform(name: str) -> Transform:
    """The transform of that name. Raises `DatasetError` for one that this version cannot repeat."""
    number = f"([0-9]{{1,{NUMBER_DIGITS}}})"
    if found := re.fullmatch(rf"(centre|subject)-square-lanczos-{number}-v{TRANSFORM_VERSION}", name):
        return Crop("subject" if found[1] == "subject" else "centre", _size(name, found[2]))
    tile = rf"tile-x{number}y{number}-{number}px-of-{number}x{number}-lanczos-{number}-v{TRANSFORM_VERSION}"
    if found := re.fullmatch(tile, name):
        left, top, side, width, height = map(int, found.groups()[:-1])
        if not (0 < side <= min(width, height) and left + side <= width and top + side <= height):
            raise DatasetError(f"{name}: this tile does not lie in its photo")
        return Tile(left, top, side, (width, height), _size(name, found[6]))
    raise DatasetError(
        f"{name}: this version of bokehflow prepares pictures otherwise (v{TRANSFORM_VERSION}) and cannot repeat that; take "
        "the version that froze them"
    )


def _size(name: str, digits: str) -> int:
    if not 1 <= int(digits) <= MAX_SIZE_PX:
        raise DatasetError(f"{name}: pictures have 1 to {MAX_SIZE_PX} pixels on a side")
    return int(digits)


def place_of(name: str) -> str:
    """Where in its photo a picture lies, by its transform's name of whatever version; empty where it is the only one.

    >>> place_of("tile-x256y0-512px-of-1600x1067-lanczos-512-v3"), place_of("centre-square-lanczos-256-v3")
    ('x256y0', '')
    """
    found = re.match(r"tile-(x[0-9]+y[0-9]+)-", name)
    return found[1] if found else ""


def picture_id(photo_id: str, transform: str) -> str:
    """What tells a picture from all others of a dataset's domain: the photo's id, with the place of a tile.

    >>> picture_id("flickr:4951", "tile-x256y0-512px-of-1600x1067-lanczos-512-v3")
    'flickr:4951#x256y0'
    """
    place = place_of(transform)
    return f"{photo_id}#{place}" if place else photo_id


def photo_of(picture: str) -> str:
    """The photo's id out of a `picture_id`.

    >>> photo_of("flickr:4951#x256y0"), photo_of("flickr:4951")
    ('flickr:4951', 'flickr:4951')
    """
    return picture.partition("#")[0]


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

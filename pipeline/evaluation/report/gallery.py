"""The pictures of a report: which are embedded, what stands beside them, and the study's figure made of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from PIL import Image

from pipeline.errors import DatasetError
from pipeline.evaluation.compare import summary
from pipeline.evaluation.measure.judged_size import BASELINES, INPUT, TRUE_LENS
from pipeline.evaluation.measure.tiles import Tiles
from pipeline.licenses import license_name
from pipeline.links import is_web
from pipeline.pillow import as_data_uri
from pipeline.plain_files import plain_path

MAX_USER_PHOTOS = 30
"""Flickr's terms allow no more on a page."""
TILE_EDGE_PX = 256
LOSSLESS_EDGE_PX = 96
"""Tiles up to this size are embedded as PNG, since compression would show at so few pixels."""
PICTURE_BUDGET_BYTES = 6_000_000
"""Embedded pictures of all photos and scenes together; what does not fit is left out and counted."""

MODEL_ROLE, MASK_ROLE = "model", "mask"
TILE_LABELS = {
    INPUT: "Input",
    MASK_ROLE: "Mask",
    "average_5x5": "Average 5×5",
    "gaussian_9x9": "Gaussian 9×9",
    "gaussian_matched": "Gaussian as soft as B",
    "disc_matched": "Disc as soft as B",
    TRUE_LENS: "True lens",
}


@dataclass(frozen=True)
class Credit:
    """Whose photo it is; unknown is null."""

    title: str | None
    owner: str | None
    license: str | None
    link: str | None


@dataclass(frozen=True)
class ReportTile:
    """One embedded picture; `method` is its name in the scores, empty for a mask."""

    label: str
    alt: str
    data_uri: str
    role: str
    method: str


@dataclass(frozen=True)
class Side:
    """Everything shown of one photo or scene, side by side. `anchor` names it in links within the page."""

    photo_id: str
    anchor: str
    tiles: list[ReportTile]
    credit: Credit | None

    @property
    def name(self) -> str:
        """Title of the photo, or its id."""
        return (self.credit.title if self.credit else None) or self.photo_id


@dataclass(frozen=True)
class FigureRow:
    """One method in the study's figure: a picture a column, null where there is none."""

    label: str
    role: str
    tiles: list[ReportTile | None]


@dataclass(frozen=True)
class Figure:
    """The study's figure: methods in rows, photos in columns, each with the words that stand over it."""

    heads: list[tuple[str, Side]]
    rows: list[FigureRow]


def chance(photo_id: str) -> bytes:
    """Sorts photos by a hash of their id, so that what is shown first was not chosen by its looks."""
    return hashlib.sha256(photo_id.encode()).digest()


def anchor_of(photo_id: str) -> str:
    """Name of a photo within the page, free of what a link would have to escape.

    >>> anchor_of("flickr:1")
    'photo-acb4a72a0388'
    """
    return f"photo-{hashlib.sha256(photo_id.encode()).hexdigest()[:12]}"


def collect_sides(
    shelves: Mapping[str, Mapping[str, Tiles]], credits: pd.DataFrame, first: Sequence[str]
) -> tuple[list[Side], int]:
    """What is shown, and how many photos and scenes found no room.

    `shelves` is model → photo id → pictures. Photos named in `first` come first, then scenes, then the other photos.
    """
    ids = dict.fromkeys(photo_id for shelf in shelves.values() for photo_id in shelf)
    scenes = [photo_id for photo_id in ids if is_scene(photo_id)]
    photos = [photo_id for photo_id in ids if not is_scene(photo_id)]
    photos.sort(key=lambda photo_id: (photo_id not in first, chance(photo_id)))
    known = credits.drop_duplicates("photo_id").set_index("photo_id")
    leading = [photo_id for photo_id in photos if photo_id in first]
    order = [*leading, *scenes, *photos[len(leading) : MAX_USER_PHOTOS]]
    sides, room = [], PICTURE_BUDGET_BYTES
    for photo_id in order:
        side = _side(photo_id, shelves, None if is_scene(photo_id) else credit_of(known, photo_id))
        room -= sum(len(tile.data_uri) for tile in side.tiles)
        if room < 0:
            break
        sides.append(side)
    return sides, len(ids) - len(sides)


def figure(columns: Sequence[tuple[str, Side]]) -> Figure | None:
    """The study's figure of these photos (words, photo); None without any. Masks are left out, as they were there."""
    if not columns:
        return None
    methods: dict[str, ReportTile] = {}
    for _, side in columns:
        methods |= {tile.method: tile for tile in side.tiles if tile.role != MASK_ROLE and tile.method not in methods}
    order = sorted(methods, key=lambda method: _row_order(methods[method].role))
    by_side = [{tile.method: tile for tile in side.tiles} for _, side in columns]
    rows = [FigureRow(methods[one].label, methods[one].role, [tiles.get(one) for tiles in by_side]) for one in order]
    return Figure(list(columns), rows)


def is_scene(photo_id: str) -> bool:
    """Whether the id is that of a rendered scene."""
    return photo_id.startswith(summary.SCENE_PREFIX)


def credit_of(known: pd.DataFrame, photo_id: str) -> Credit:
    """Whose photo it is, by a table with the photo ids as index."""
    if photo_id not in known.index:
        return Credit(None, None, None, None)
    row = known.loc[photo_id]
    title, owner, licence, link = (_known(row[name]) for name in ("title", "owner_name", "license_name", "page_url"))
    known_licence = None if licence == license_name(None) else licence
    return Credit(title, owner, known_licence, link if link and is_web(link) else None)


def _row_order(role: str) -> int:
    return [INPUT, *BASELINES, MODEL_ROLE, TRUE_LENS].index(role)


def _side(photo_id: str, shelves: Mapping[str, Mapping[str, Tiles]], credit: Credit | None) -> Side:
    """Input, mask, baselines, then every model, then the truth; what models share is taken from the first."""
    found = {model: shelf[photo_id].files for model, shelf in shelves.items() if photo_id in shelf}
    shared = next(iter(found.values()))
    side = Side(photo_id, anchor_of(photo_id), [], credit)
    wanted = [(role, "" if role == MASK_ROLE else role, shared.get(role)) for role in (INPUT, MASK_ROLE, *BASELINES)]
    wanted += [(MODEL_ROLE, model, files.get(MODEL_ROLE)) for model, files in found.items()]
    wanted += [(TRUE_LENS, TRUE_LENS, shared.get(TRUE_LENS))]
    tiles = [_tile(role, method, path, side.name) for role, method, path in wanted if path is not None]
    return replace(side, tiles=tiles)


def _tile(role: str, method: str, path: Path, name: str) -> ReportTile:
    label = TILE_LABELS[role] if role in TILE_LABELS else summary.method_label(method)
    return ReportTile(label, f"{label}: {name}", _data_uri(path), role, method)


def _data_uri(path: Path) -> str:
    try:
        with Image.open(plain_path(path)) as opened:
            image = opened.convert("RGB" if opened.mode != "L" else "L")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read as a picture ({error}); evaluate the model again") from error
    image.thumbnail((TILE_EDGE_PX, TILE_EDGE_PX), Image.Resampling.LANCZOS)
    if max(image.size) <= LOSSLESS_EDGE_PX:
        return as_data_uri(image, "PNG", optimize=True)
    return as_data_uri(image, "WEBP", quality=88, method=4)


def _known(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None

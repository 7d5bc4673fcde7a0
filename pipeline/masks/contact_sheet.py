"""A contact sheet of masks: each picture with the outline of its alpha, and what the alpha cuts out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from pipeline.masks.person_masks import FULL
from pipeline.masks.subject import COMPANION
from pipeline.masks.uncertainty import UNCERTAIN

TILE_PX = 200
"""Side of the square that a picture and its cut-out are fitted into, each."""
CAPTION_PX = 30
COLUMNS = 5
OUTLINE = (255, 210, 0)
CHECKER_LEVELS = (225, 190)
CHECKER_PX = 8
FONT_PX = 11


@dataclass(frozen=True, eq=False)
class SheetTile:
    """A picture, uint8 [height, width, 3], its alpha, uint8 [height, width], where it has one, and two lines of text."""

    rgb: np.ndarray
    alpha: np.ndarray | None
    title: str
    facts: str


def draw_sheet(tiles: Sequence[SheetTile]) -> Image.Image:
    """The tiles in rows of five, in mode RGB."""
    columns = min(COLUMNS, max(1, len(tiles)))
    rows = -(-len(tiles) // columns)
    width_px, height_px = 2 * TILE_PX + 8, TILE_PX + CAPTION_PX + 8
    sheet = Image.new("RGB", (columns * width_px, max(1, rows) * height_px), "white")
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        sheet.paste(_drawn(tile), (column * width_px + 4, row * height_px + 4))
    return sheet


def choose(table: pd.DataFrame, count: int, odd: bool) -> pd.DataFrame:
    """At most `count` rows of `person_masks`, the same every time.

    With `odd` those that ask for a look, left out, uncertain or unclear ones first; else a sample over everything.
    """
    order = [hashlib.sha256(str(photo_id).encode()).hexdigest() for photo_id in table["photo_id"]]
    shuffled = table.assign(order=order)
    if odd:
        left_out, unclear = shuffled["reason"].notna(), shuffled["runner_up"].fillna(0.0)
        doubt = shuffled["uncertainty"].fillna(0.0) if "uncertainty" in shuffled else unclear * 0
        rank = left_out * 4 + (doubt >= UNCERTAIN) * (1 + doubt) + unclear
        facts = zip(shuffled["coverage"], unclear, left_out, doubt, strict=True)
        asks = pd.Series(list(starmap(asks_for_a_look, facts)), shuffled.index, bool)
        shuffled = shuffled.assign(rank=-rank)[asks].sort_values(["rank", "order"])
    else:
        shuffled = shuffled.sort_values("order")
    return shuffled.head(count)[table.columns]


def asks_for_a_look(coverage: float, runner_up: float, left_out: bool, uncertainty: float) -> bool:
    """Whether a mask may be wrong, by the shares that the table `person_masks` gives of it, each 0 where it is not known."""
    return left_out or uncertainty >= UNCERTAIN or runner_up >= COMPANION or coverage > FULL


def facts_of(
    coverage: float, people: int | None, runner_up: float | None, reason: str | None, uncertainty: float | None = None
) -> str:
    """What is known of a mask in one line."""
    parts = [reason] if reason else []
    parts.append(f"{coverage:.0%} of the frame")
    if people is not None:
        parts.append(f"{people} {'person' if people == 1 else 'people'}")
    if runner_up:
        parts.append(f"second {runner_up:.0%}")
    if uncertainty is not None and uncertainty >= UNCERTAIN:
        parts.append(f"uncertain {uncertainty:.0%}")
    return ", ".join(parts)


def _drawn(tile: SheetTile) -> Image.Image:
    """The picture with the outline on the left, the cut-out over a checkerboard on the right, two lines below."""
    drawn = Image.new("RGB", (2 * TILE_PX, TILE_PX + CAPTION_PX), "white")
    picture = Image.fromarray(tile.rgb)
    scale = TILE_PX / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    rgb = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
    if tile.alpha is None:
        drawn.paste(Image.fromarray(rgb), (0, 0))
    else:
        alpha = np.asarray(Image.fromarray(tile.alpha).resize(size, Image.Resampling.BILINEAR))
        drawn.paste(Image.fromarray(_outlined(rgb, alpha)), (0, 0))
        drawn.paste(Image.fromarray(_cut_out(rgb, alpha)), (TILE_PX, 0))
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(FONT_PX)
    for line, text in enumerate((tile.title, tile.facts)):
        pen.text((2, TILE_PX + 1 + line * (FONT_PX + 3)), text[:64], fill="black", font=font)
    return drawn


def _outlined(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    opaque = np.pad(alpha >= 128, 1, mode="edge")
    inside = opaque[1:-1, 1:-1] & opaque[:-2, 1:-1] & opaque[2:, 1:-1] & opaque[1:-1, :-2] & opaque[1:-1, 2:]
    edge = opaque[1:-1, 1:-1] & ~inside
    return np.where(edge[..., None], np.array(OUTLINE, np.uint8), rgb)


def _cut_out(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    ys, xs = np.mgrid[0 : rgb.shape[0], 0 : rgb.shape[1]]
    light, dark = CHECKER_LEVELS
    checker = np.where((ys // CHECKER_PX + xs // CHECKER_PX) % 2, light, dark)[..., None]
    share = alpha[..., None] / 255
    return (rgb * share + checker * (1 - share) + 0.5).astype(np.uint8)

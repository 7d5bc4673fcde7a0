"""Photographs with a known alpha: people cut out of labelled portraits, put elsewhere, small, leaning, lying, in groups.

The people are real cut-outs, the places are the surroundings of other portraits. A portrait ends at its frame, so each
cut-out ends at the composition's frame too, or behind something that stands in front. Everything is drawn from a seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from pipeline.masks.refine import disk

LONG_SIDE_PX = 512
SHAPES = ((512, 512), (512, 384), (384, 512), (512, 342), (342, 512))
"""Width and height of compositions."""
OPAQUE, SPREAD_SHARE = 243, 200
"""Alpha from which on a pixel's colour is the person's own, and how far it is carried on, the side by this."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A photograph, uint8 [height, width, 3], with the alpha of its people, uint8 [height, width]."""

    kind: str
    rgb: np.ndarray
    alpha: np.ndarray


def compose(kind: str, portraits: Sequence[Labelled], seed: int) -> Labelled:
    """A composition of a kind of `KINDS` from portraits of any sizes."""
    draw = np.random.default_rng([seed, list(KINDS).index(kind)])
    width_px, height_px = SHAPES[int(draw.integers(len(SHAPES)))]
    place = _place(portraits[int(draw.integers(len(portraits)))], (width_px, height_px), draw)
    return KINDS[kind](_Canvas(kind, place, np.zeros((height_px, width_px), np.uint8)), portraits, draw).labelled()


def stand(portraits: Sequence[Labelled], side_px: int, draw: np.random.Generator) -> tuple[Labelled, np.ndarray]:
    """One upright person at the lower edge of a square of other surroundings, and these alone, uint8 [height, width, 3].

    The person's colours are freed of the former surroundings: where the alpha is soft they are those of the opaque around.
    """
    person, other = (portraits[int(number)] for number in draw.choice(len(portraits), 2, replace=False))
    place = _place(other, (side_px, side_px), draw)
    canvas = _Canvas("alone", place, np.zeros((side_px, side_px), np.uint8))
    return _alone(canvas, [Labelled(person.kind, _own_colours(person), person.alpha)], draw).labelled(), place


def _own_colours(person: Labelled) -> np.ndarray:
    """The picture, uint8, where the alpha is soft of the colours of what is opaque around."""
    import cv2

    opaque = (person.alpha >= OPAQUE).astype(np.float32)
    sigma_px = max(person.alpha.shape) / SPREAD_SHARE
    weight = cv2.GaussianBlur(opaque, (0, 0), sigma_px)[..., None] + 1e-6
    around = cv2.GaussianBlur(person.rgb * opaque[..., None], (0, 0), sigma_px) / weight
    return np.where(opaque[..., None] > 0, person.rgb, around).round().astype(np.uint8)


@dataclass(eq=False)
class _Canvas:
    kind: str
    rgb: np.ndarray
    alpha: np.ndarray

    def paste(self, cut_out: Image.Image, left_px: int, top_px: int) -> None:
        """Lay an RGBA cut-out over what is there."""
        layer = Image.new("RGBA", (self.alpha.shape[1], self.alpha.shape[0]))
        layer.paste(cut_out, (left_px, top_px))
        pixels = np.asarray(layer).astype(np.float32)
        share = pixels[..., 3:] / 255
        self.rgb = (pixels[..., :3] * share + self.rgb * (1 - share) + 0.5).astype(np.uint8)
        self.alpha = (pixels[..., 3] + self.alpha * (1 - share[..., 0]) + 0.5).clip(0, 255).astype(np.uint8)

    def cover(self, texture: np.ndarray, top_px: int) -> None:
        """Put something in front of everything from `top_px` down."""
        self.rgb[top_px:] = texture[top_px:]
        self.alpha[top_px:] = 0

    def labelled(self) -> Labelled:
        return Labelled(self.kind, self.rgb, self.alpha)


def _alone(canvas: _Canvas, portraits: Sequence[Labelled], draw: np.random.Generator) -> _Canvas:
    """One upright person at the lower edge."""
    return _standing(canvas, portraits, draw, draw.uniform(0.3, 0.7), draw.uniform(0.6, 0.95))


def _group(canvas: _Canvas, portraits: Sequence[Labelled], draw: np.random.Generator) -> _Canvas:
    """Two to four people side by side at the lower edge, about equally large."""
    count = int(draw.integers(2, 5))
    scale = draw.uniform(0.45, 0.8)
    for number in range(count):
        across = (number + 0.5) / count + draw.uniform(-0.06, 0.06)
        _standing(canvas, portraits, draw, across, scale * draw.uniform(0.85, 1.15))
    return canvas


def _small(canvas: _Canvas, portraits: Sequence[Labelled], draw: np.random.Generator) -> _Canvas:
    """One person, far away, behind something that hides where the portrait ended."""
    height_px, width_px = canvas.alpha.shape
    cut_out = _scaled(_cut_out(_any(portraits, draw)), draw.uniform(0.18, 0.42) * height_px)
    bottom_px = round(height_px * draw.uniform(0.55, 0.95))
    left_px = round(draw.uniform(0.2, 0.8) * width_px - cut_out.width / 2)
    front = _place(_any(portraits, draw), (width_px, height_px), draw)
    canvas.paste(cut_out, left_px, bottom_px - cut_out.height)
    canvas.cover(front, bottom_px - max(2, cut_out.height // 40))
    return canvas


def _leaning(canvas: _Canvas, portraits: Sequence[Labelled], draw: np.random.Generator) -> _Canvas:
    """One person bent by 25 to 65 degrees, from the lower edge."""
    height_px, width_px = canvas.alpha.shape
    angle = float(draw.uniform(25, 65) * draw.choice([-1, 1]))
    cut_out = _scaled(_cut_out(_any(portraits, draw)), draw.uniform(0.7, 1.0) * height_px)
    turned = cut_out.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    # The cut-out's straight lower edge has to lie outside of the frame.
    sunk_px = round(0.9 * abs(np.sin(np.radians(angle))) * cut_out.width)
    canvas.paste(turned, round(draw.uniform(0.35, 0.65) * width_px - turned.width / 2), height_px - turned.height + sunk_px)
    return canvas


def _lying(canvas: _Canvas, portraits: Sequence[Labelled], draw: np.random.Generator) -> _Canvas:
    """One person who lies, from one side of the frame."""
    height_px, width_px = canvas.alpha.shape
    cut_out = _scaled(_cut_out(_any(portraits, draw)), draw.uniform(0.55, 0.95) * width_px)
    from_left = bool(draw.integers(2))
    turned = cut_out.transpose(Image.Transpose.ROTATE_270 if from_left else Image.Transpose.ROTATE_90)
    top_px = round(draw.uniform(0.4, 0.8) * height_px - turned.height / 2)
    canvas.paste(turned, 0 if from_left else width_px - turned.width, top_px)
    return canvas


def _bystander(canvas: _Canvas, portraits: Sequence[Labelled], draw: np.random.Generator) -> _Canvas:
    """One person who is meant, and beside and behind a smaller one, out of focus, who is not."""
    height_px, width_px = canvas.alpha.shape
    other = _scaled(_cut_out(_any(portraits, draw)), draw.uniform(0.25, 0.4) * height_px)
    other = other.filter(ImageFilter.GaussianBlur(height_px / 200))
    across = float(draw.choice([0.08, 0.92]))
    canvas.paste(other, round(across * width_px - other.width / 2), height_px - other.height)
    canvas.alpha = np.zeros_like(canvas.alpha)
    return _standing(canvas, portraits, draw, 0.5, draw.uniform(0.6, 0.8))


KINDS: dict[str, Callable[[_Canvas, Sequence[Labelled], np.random.Generator], _Canvas]] = {
    "alone": _alone,
    "group": _group,
    "small": _small,
    "leaning": _leaning,
    "lying": _lying,
    "bystander": _bystander,
}


def _standing(
    canvas: _Canvas, portraits: Sequence[Labelled], draw: np.random.Generator, across: float, scale: float
) -> _Canvas:
    height_px, width_px = canvas.alpha.shape
    cut_out = _scaled(_cut_out(_any(portraits, draw)), scale * height_px)
    canvas.paste(cut_out, round(across * width_px - cut_out.width / 2), height_px - cut_out.height)
    return canvas


def _any(portraits: Sequence[Labelled], draw: np.random.Generator) -> Labelled:
    return portraits[int(draw.integers(len(portraits)))]


def _cut_out(portrait: Labelled) -> Image.Image:
    """The person alone, RGBA, without the empty margin."""
    size = portrait.rgb.shape[1], portrait.rgb.shape[0]
    alpha = Image.fromarray(portrait.alpha).resize(size, Image.Resampling.BILINEAR)
    picture = Image.fromarray(portrait.rgb)
    picture.putalpha(alpha)
    box = Image.fromarray((np.asarray(alpha) >= 128).astype(np.uint8)).getbbox()
    return picture.crop(box) if box else picture


def _scaled(cut_out: Image.Image, height_px: float) -> Image.Image:
    scale = height_px / cut_out.height
    return cut_out.resize((max(1, round(cut_out.width * scale)), max(1, round(height_px))), Image.Resampling.LANCZOS)


def _place(portrait: Labelled, size: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    """The portrait's surroundings without its person, uint8 [height, width, 3]: a part of them, either way round."""
    empty = Image.fromarray(_without_person(portrait))
    share = draw.uniform(0.6, 1.0)
    scale = share * min(empty.width / size[0], empty.height / size[1])
    width_px, height_px = size[0] * scale, size[1] * scale
    left_px, top_px = draw.uniform(0, empty.width - width_px), draw.uniform(0, empty.height - height_px)
    part = empty.resize(size, Image.Resampling.LANCZOS, (left_px, top_px, left_px + width_px, top_px + height_px))
    return np.asarray(part)[:, :: int(draw.choice([-1, 1]))].copy()


def _without_person(portrait: Labelled) -> np.ndarray:
    """Each row's gap is filled by its two sides, reflected and blended."""
    import cv2

    size = portrait.rgb.shape[1], portrait.rgb.shape[0]
    opaque = (cv2.resize(portrait.alpha, size) > 10).astype(np.uint8)
    gap = cv2.dilate(opaque, disk(max(size) // 24)) > 0
    filled = portrait.rgb.copy()
    for y in range(size[1]):
        inside = np.flatnonzero(gap[y])
        if inside.size:
            filled[y, inside[0] : inside[-1] + 1] = _bridged(portrait.rgb[y], int(inside[0]), int(inside[-1]) + 1)
    soft = cv2.GaussianBlur(filled, (0, 0), max(size) / 170)
    return np.where(gap[..., None], soft, filled)


def _bridged(row: np.ndarray, start: int, stop: int) -> np.ndarray:
    """uint8 [stop − start, 3] from what lies left and right of the gap; a lone side is taken alone."""
    sides = [side for side in (row[:start][::-1], row[stop:]) if len(side) >= 4]
    if not sides:
        return np.full((stop - start, 3), row.mean(0), np.uint8)
    length = stop - start
    repeated = [_folded(side, length) for side in sides]
    if len(sides) == 1:
        return repeated[0] if start >= 4 else repeated[0][::-1]
    weight = np.linspace(1, 0, length)[:, None]
    return (repeated[0] * weight + repeated[1][::-1] * (1 - weight)).astype(np.uint8)


def _folded(side: np.ndarray, length: int) -> np.ndarray:
    """`side` there and back again until it is `length` long."""
    both = np.concatenate([side, side[::-1]])
    return np.resize(both, (length, 3))

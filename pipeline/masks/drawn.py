"""Masks that a person drew: strokes laid over an alpha, kept as PNGs, used instead of the segmenter's."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.atomic import write_bytes
from pipeline.errors import DatasetError
from pipeline.file_names import child
from pipeline.masks.sources import MaskSource, PhotoToMask, RefusedMask
from pipeline.masks.subject import Subject
from pipeline.pillow import as_file
from pipeline.plain_files import plain_path

THOUSANDTHS = 1000
MAX_STROKES, MAX_POINTS = 500, 20_000
MAX_RADIUS = 500
SOFT_PX = 0.8
"""Standard deviation of a stroke's edge."""
STROKE = re.compile(r"([ar])(\d{1,3})((?:\.\d{1,4}\.\d{1,4})+)")
FILE_NAME = re.compile(r"([0-9a-f]{64})-(\d{17})-([0-9a-f]{12})\.png")


@dataclass(frozen=True)
class Stroke:
    """Adds to the subject or takes away. `radius` in thousandths of the long side, `points` of width and height."""

    adds: bool
    radius: int
    points: tuple[tuple[int, int], ...]


def parse_strokes(text: str) -> list[Stroke]:
    """From a form: strokes joined by `_`, each like `a25.100.200.110.205` or `r25.…`: add or remove, radius, points.

    Raises `ValueError` for anything else, and for more than a person draws.
    """
    if not text or len(text) > 8 * MAX_POINTS or text.count("_") >= MAX_STROKES:
        raise ValueError("there is nothing drawn, or far too much")
    strokes = [_stroke(part) for part in text.split("_")]
    if sum(len(stroke.points) for stroke in strokes) > MAX_POINTS:
        raise ValueError(f"more than {MAX_POINTS} points were drawn")
    return strokes


def _stroke(text: str) -> Stroke:
    found = STROKE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no stroke")
    numbers = [int(number) for number in found[3][1:].split(".")]
    stroke = Stroke(found[1] == "a", int(found[2]), tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    if not 0 < stroke.radius <= MAX_RADIUS or max(numbers) > THOUSANDTHS:
        raise ValueError(f"{text[:40]!r} is outside of the picture")
    return stroke


def painted(alpha: np.ndarray, strokes: Sequence[Stroke]) -> np.ndarray:
    """Lay strokes over an alpha, uint8 [height, width], one after the other; painting the same again changes nothing."""
    for stroke in strokes:
        covered = _covered(stroke, alpha.shape[0], alpha.shape[1])
        alpha = np.maximum(alpha, covered) if stroke.adds else np.minimum(alpha, 255 - covered)
    return alpha


def _covered(stroke: Stroke, height_px: int, width_px: int) -> np.ndarray:
    import cv2

    radius_px = max(1, round(stroke.radius * max(height_px, width_px) / THOUSANDTHS))
    scale = np.array([width_px, height_px]) / THOUSANDTHS
    line = np.round(np.array(stroke.points) * scale).astype(np.int32)
    covered = np.zeros((height_px, width_px), np.uint8)
    cv2.polylines(covered, [line], False, 255, 2 * radius_px)
    for x, y in line.tolist():
        cv2.circle(covered, (x, y), radius_px, 255, -1)
    return cv2.GaussianBlur(covered, (0, 0), SOFT_PX)


@dataclass(frozen=True)
class DrawnMasks:
    """The drawn masks in a folder: one file for each time that somebody saved; of a picture's the newest counts."""

    folder: Path

    def save(self, sha256: str, alpha: np.ndarray, author: str, now_s: float) -> Path:
        """Keep an alpha, uint8 [height, width], with its author; when this returns, it is on the disk."""
        notes = PngInfo()
        notes.add_itxt("drawn_by", author)
        notes.add_text("drawn_at_s", f"{now_s:.3f}")
        data = as_file(Image.fromarray(alpha), "PNG", pnginfo=notes)
        digest = hashlib.sha256(data).hexdigest()[:12]
        before = self.newest().get(sha256)
        # A clock that was set back must not make an older mask count.
        stamp = max(int(now_s * 1e6), int(before.name.split("-")[1]) + 1 if before else 0)
        path = child(self.folder, f"{sha256}-{stamp:017d}-{digest}.png")
        write_bytes(path, data)
        return path

    def newest(self) -> dict[str, Path]:
        """The file that counts, by the picture's SHA-256."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return {match[1]: path for path in sorted(found) if (match := FILE_NAME.fullmatch(path.name))}

    def read(self, path: Path) -> Subject:
        """One of `newest`, with who drew it. Raises `DatasetError` for a damaged file."""
        try:
            with Image.open(plain_path(path), formats=["PNG"]) as image:
                return Subject(np.array(image.convert("L")), None, None, drawn_by=str(image.info.get("drawn_by", "?")))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DatasetError(f"{path}: this drawn mask is damaged ({error}); draw it again, or delete it") from error

    def version(self) -> str:
        """Changes with every mask that is drawn or goes; empty without any."""
        names = sorted(path.name for path in self.newest().values())
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] if names else ""


@dataclass(frozen=True)
class DrawnFirst:
    """A source of masks whose pictures a person may have drawn instead."""

    drawn: DrawnMasks
    source: MaskSource

    @property
    def key(self) -> str:
        return self.source.key

    def mark(self, picture: PhotoToMask) -> str:
        path = self._newest.get(picture.sha256)
        return f"drawn-{path.stem.split('-')[-1]}" if path else self.source.mark(picture)

    def masks(self, pictures: Sequence[PhotoToMask]) -> list[Subject | RefusedMask]:
        others = [picture for picture in pictures if picture.sha256 not in self._newest]
        made = dict(zip(others, self.source.masks(others), strict=True))
        return [made[one] if one in made else self.drawn.read(self._newest[one.sha256]) for one in pictures]

    @cached_property
    def _newest(self) -> Mapping[str, Path]:
        return self.drawn.newest()

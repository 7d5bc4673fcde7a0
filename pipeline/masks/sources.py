"""Where alphas come from: a segmenter and what follows it, or a folder of masks that somebody else made.

Both answer to one small interface, and both tell by a key what would make their masks others than they are.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.config import MasksSection
from pipeline.errors import ConfigError
from pipeline.masks.refine import decide_by_colour, enlarged_along_edges, follow_edges
from pipeline.masks.segmenter import Seen, Segmenter
from pipeline.masks.segmenters import published_version
from pipeline.masks.subject import Others, Subject, choose_subject
from pipeline.plain_files import file_sha256, plain_path

PROCESSING = 2
"""Raised whenever what happens between the segmenter's alpha and the stored one changes."""
GIVEN_PROCESSING = 1
"""Likewise for given masks."""
GIVEN_SUFFIXES = (".png", ".tif", ".tiff", ".webp", ".bmp", ".jpg", ".jpeg")
"""Files that count as given masks; of two for one photo the first kind counts."""
MOST_TINT = 32
"""Between the channels of a mask; what a codec leaves of grey is less."""
LEAST_WHITE = 0.25
"""Of what is full, in a mask that shows anybody: the numbers of labels are less."""
FOLDER = "folder"
"""The name of given masks in the project file."""

ReadRgb = Callable[[str], np.ndarray]
"""From a picture's SHA-256 to uint8 [height, width, 3]; may be called by several threads."""


class MapsOfDepth(Protocol):
    """How far away everything in a picture is, by its SHA-256. May be used by several threads at once."""

    def mark(self, sha256: str) -> str:
        """Changes with the picture's map; empty where there is none."""
        ...

    def disparity(self, sha256: str) -> np.ndarray | None:
        """float32 [height, width] of any size, larger is nearer, 0 unknown; None where there is no map."""
        ...


@dataclass(frozen=True)
class PhotoToMask:
    """A picture by its SHA-256, and the ids of the photos that show it, sorted."""

    sha256: str
    photo_ids: tuple[str, ...]


@dataclass(frozen=True)
class RefusedMask:
    """Why a picture has no alpha: a reason for the table and a sentence for a person."""

    reason: str
    detail: str


class MaskSource(Protocol):
    """Gives pictures their alpha. May be used by several threads at once."""

    @property
    def key(self) -> str:
        """Changes with everything that changes all alphas; usable as a folder's name."""
        ...

    def mark(self, picture: PhotoToMask) -> str:
        """What besides the picture itself decides its alpha; empty for nothing."""
        ...

    def masks(self, pictures: Sequence[PhotoToMask]) -> list["Subject | RefusedMask"]:
        """The alpha of each picture, uint8 [height, width] with a long side as configured at most, or why there is none."""
        ...


@dataclass(frozen=True)
class SegmentedMasks:
    """Alphas by a segmenter, on pictures scaled down to a long side of `long_side_px`: who is meant, and refinement.

    `refine` names steps of `pipeline.masks.refine`: `colour` comes before the choice of the subject, `edges` after it.
    `others = "nearest"` looks into `depth`; without it, as for a picture at hand, the highest score decides.
    """

    segmenter: Segmenter
    read_rgb: ReadRgb
    long_side_px: int
    others: Others = "drop"
    refine: tuple[str, ...] = ()
    depth: MapsOfDepth | None = None

    @property
    def key(self) -> str:
        steps = "+".join([self.others, *sorted(self.refine)])
        return f"{self.segmenter.name}-{self.segmenter.version}-{steps}-{PROCESSING}-{self.long_side_px}px"

    def mark(self, picture: PhotoToMask) -> str:
        return "" if self.depth is None else self.depth.mark(picture.sha256)

    def masks(self, pictures: Sequence[PhotoToMask]) -> list[Subject | RefusedMask]:
        small = [shrunk(self.read_rgb(picture.sha256), self.long_side_px) for picture in pictures]
        maps = [None if self.depth is None else self.depth.disparity(picture.sha256) for picture in pictures]
        seen = zip(small, self.segmenter.see(small), maps, strict=True)
        found = [self.finished(rgb, everybody, disparity) for rgb, everybody, disparity in seen]
        return [self._checked(*both) for both in zip(found, maps, strict=True)]

    def _checked(self, subject: Subject, disparity: np.ndarray | None) -> Subject | RefusedMask:
        """Where several are there and no map tells who is nearest, nobody is guessed."""
        people = subject.people or 0
        if self.depth is None or disparity is not None or people < 2:
            return subject
        return RefusedMask("depth_missing", f"{people} people, and no map of depth tells who is nearest")

    def subject(self, rgb: np.ndarray) -> Subject:
        """The subject of a picture at hand, uint8 [height, width, 3], found as in those that are read by digest."""
        small = shrunk(rgb, self.long_side_px)
        return self.finished(small, self.segmenter.see([small])[0])

    def full_size_alpha(self, rgb: np.ndarray) -> np.ndarray:
        """The alpha of `subject`, uint8 [height, width] at the picture's own size, and where asked for along its edges."""
        small = shrunk(rgb, self.long_side_px)
        if small is rgb or "edges" not in self.refine:
            return at_size_of(self.subject(rgb).alpha, rgb)
        found = replace(self, refine=tuple(step for step in self.refine if step != "edges")).subject(small)
        return enlarged_along_edges(found.alpha, small, rgb) if found.people else at_size_of(found.alpha, rgb)

    def finished(self, rgb: np.ndarray, seen: Seen, disparity: np.ndarray | None = None) -> Subject:
        """From the segmenter's alpha of everybody to the subject's, as it is stored; `disparity` may have another size."""
        alpha = decide_by_colour(rgb, seen.alpha) if "colour" in self.refine else seen.alpha
        depth = None if disparity is None else _stretched(disparity, rgb)
        subject = replace(choose_subject(rgb, alpha, self.others, depth), uncertainty=seen.uncertainty)
        if "edges" in self.refine and subject.people:
            return replace(subject, alpha=follow_edges(rgb, subject.alpha))
        return subject


@dataclass(frozen=True)
class GivenMasks:
    """Alphas from a folder: files named by photo id (`:` may be written `_`) or by the picture's SHA-256.

    Any subfolders. White is the subject; where a file has an alpha channel, that is taken instead. Masks of another
    size than their picture's are scaled if the proportions are the same, and refused if not. They are taken as they
    are: nobody is dropped, nothing is refined. Raises `ConfigError` when the folder does not exist.
    """

    folder: Path
    read_rgb: ReadRgb
    long_side_px: int

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ConfigError(f"[masks] folder = {str(self.folder)!r}: there is no such folder")

    @property
    def key(self) -> str:
        return f"{FOLDER}-{GIVEN_PROCESSING}-{self.long_side_px}px"

    def mark(self, picture: PhotoToMask) -> str:
        path = self._path(picture)
        return file_sha256(path)[:12] if path else ""

    def masks(self, pictures: Sequence[PhotoToMask]) -> list[Subject | RefusedMask]:
        return [self._mask(picture) for picture in pictures]

    def _mask(self, picture: PhotoToMask) -> Subject | RefusedMask:
        path = self._path(picture)
        if path is None:
            wanted = " or ".join(f"{name}.png" for name in [picture.photo_ids[0].replace(":", "_"), picture.sha256])
            return RefusedMask("mask_missing", f"{self.folder} has no {wanted}")
        try:
            given = _read_given(path)
        except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            return RefusedMask("mask_unreadable", f"{path}: {error}"[:300])
        rgb = self.read_rgb(picture.sha256)
        if not same_proportions(given.shape, rgb.shape):
            size = f"{given.shape[1]}×{given.shape[0]} px, the picture is {rgb.shape[1]}×{rgb.shape[0]} px"
            return RefusedMask("mask_wrong_size", f"{path} has {size}: other proportions")
        return Subject(at_size_of(given, shrunk(rgb, self.long_side_px)), None, None)

    def _path(self, picture: PhotoToMask) -> Path | None:
        named = [*picture.photo_ids, *(photo_id.replace(":", "_") for photo_id in picture.photo_ids), picture.sha256]
        return next((self._files[name] for name in named if name in self._files), None)

    @cached_property
    def _files(self) -> dict[str, Path]:
        found = [path for path in self.folder.rglob("*") if path.suffix.lower() in GIVEN_SUFFIXES]
        order = sorted(found, key=lambda path: (-GIVEN_SUFFIXES.index(path.suffix.lower()), str(path)))
        return {path.name[: -len(path.suffix)]: path for path in order}


def configured_version(masks: MasksSection) -> str:
    """What decides the masks of a project: settings, weights, code and, of given masks, which files there are."""
    settings = masks.model_dump_json(exclude={"folder"})
    if masks.segmenter == FOLDER:
        return f"{settings} {GIVEN_PROCESSING} {_listing(Path(masks.folder or '.'))}"
    return f"{settings} {PROCESSING} {published_version(masks.segmenter, masks)}"


def outside_versions(masks: MasksSection) -> dict[str, str]:
    """What decides the masks of a project beside its settings: code, weights and, of given masks, which files there are.

    Each by words that "the … changed" can be made of.
    """
    if masks.segmenter == FOLDER:
        return {"way of taking given masks": str(GIVEN_PROCESSING), "given masks": _listing(Path(masks.folder or "."))}
    return {"way of making masks": str(PROCESSING), "segmenter": published_version(masks.segmenter, masks)}


def shrunk(rgb: np.ndarray, long_side_px: int) -> np.ndarray:
    """The picture with its long side at `long_side_px`; smaller ones stay as they are."""
    from pipeline.resampling import resize

    height_px, width_px = rgb.shape[:2]
    scale = long_side_px / max(height_px, width_px)
    if scale >= 1:
        return rgb
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    return resize(rgb, size, Image.Resampling.BILINEAR)


def same_proportions(mask: tuple[int, ...], picture: tuple[int, ...]) -> bool:
    """Whether two arrays [height, width, …] show the same frame, but for rounding to whole pixels."""
    ratio = (mask[1] / mask[0]) / (picture[1] / picture[0])
    return abs(ratio - 1) <= 1.5 / min(mask[0], mask[1])


def _stretched(disparity: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """At the size of a picture [height, width, …]; values are taken over, since between two distances there is nothing."""
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(picture.shape, disparity.shape, strict=False)
    )
    return np.ascontiguousarray(disparity[np.ix_(rows, columns)])


def _listing(folder: Path) -> str:
    """Digest of names, sizes and times of the given masks: cheap, and different after every change."""
    if not folder.is_dir():
        return "none"
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in GIVEN_SUFFIXES)
    facts = [f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _read_given(path: Path) -> np.ndarray:
    """uint8 [height, width]: the alpha channel of a file that has one, else its grey levels.

    Raises `ValueError` for colours and labels, which do not tell who the subject is.
    """
    with Image.open(plain_path(path), formats=["PNG", "TIFF", "WEBP", "BMP", "JPEG"]) as image:
        image.load()
        if image.mode.startswith("I;16"):
            return _opacity(np.asarray(image), 65535)
        if image.has_transparency_data:
            return np.array(image.convert("RGBA").getchannel("A"))
        if image.mode in ("F", "I"):
            return _of_any_range(np.nan_to_num(np.asarray(image)))
        if image.mode not in ("1", "L") and np.ptp(np.asarray(image.convert("RGB")), axis=2).max() > MOST_TINT:
            raise ValueError("it has colours, of which none is the subject's; save the subject in white")
        return _opacity(np.asarray(image.convert("L")), 255)


def _of_any_range(values: np.ndarray) -> np.ndarray:
    """Opacity by numbers whose kind does not tell which of them is white: 1 in a file of fractions, 255 or 65535.

    Fractions that were scaled may lie a little above 1.
    """
    if values.dtype.kind == "f" and values.max() < 2:
        return _opacity(values, 1)
    full = next((one for one in (255, 65535) if values.max() <= one), None)
    if full is None:
        raise ValueError(f"its largest level is {values.max():g}, and white is 65535 at most")
    return _opacity(values, full)


def _opacity(levels: np.ndarray, full: int) -> np.ndarray:
    """uint8, 255 where a level is full."""
    if full > 1 and 0 < levels.max() < full * LEAST_WHITE:
        raise ValueError(f"its largest level is {levels.max():g} of {full}: where that marks the subject, save it in white")
    return np.round(levels.clip(0, full) * (255 / full)).astype(np.uint8)


def at_size_of(mask: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A mask [height, width] scaled to the size of a picture [height, width, …]."""
    size = picture.shape[1], picture.shape[0]
    if mask.shape == picture.shape[:2]:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.LANCZOS))

"""Picture files of any origin, opened: what is accepted, and why the rest is not; checked to their last byte.

Pillow opens a truncated JPEG without a word, shows some kinds of TIFF and PNG wrong, and its readers raise nearly
anything. `inspect_file` is the gate: every picture from outside passes it once, in a process of its own (`inspectors`).
"""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from pipeline.errors import BokehflowError
from pipeline.orientation import SWAPS_SIDES, orientation
from pipeline.photos.jpeg import MAX_SCANS, NotJudged, Structure, damage_of, structure_of
from pipeline.photos.kinds import unsupported
from pipeline.pillow import (
    AVIF_BRANDS,
    HEIC_BRANDS,
    HEIF,
    NO_READER,
    first_bytes,
    iso_brands,
    open_picture,
    reads_heif,
    recorded,
)
from pipeline.plain_files import open_plain

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
"""Pillow's names of what is accepted (MPO comes with JPEG); others, of which EPS runs a program, are not even tried."""

JPEGS = ("JPEG", "MPO")

LARGE_PIXELS = 16_000_000
"""Pictures with more are decoded one at a time, so that many threads together keep a bounded memory."""

COUNTED_BYTES = 1_000_000
"""In larger GIFs and TIFFs frames are not counted one by one, which is slow, but told apart as one or several (2)."""

BLOCK_BYTES = 1 << 20
"""Handed to Pillow's decoders at a time: with its own 64 kB, libjpeg stops and starts anew so often that it shows."""

_one_large_at_a_time = threading.Lock()


class UndecodableImage(BokehflowError):
    """The bytes are no picture that can be used.

    `reason` is one of `not_an_image`, `truncated`, `too_many_pixels`, `too_many_scans`, `too_costly`, `unsupported_mode`
    and `broken`; `detail` says for a person what was found. Size in pixels where the header told it, else None. Callers
    make a row of it.
    """

    def __init__(self, reason: str, detail: str, width_px: int | None = None, height_px: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.width_px = width_px
        self.height_px = height_px


@dataclass(frozen=True)
class PictureInfo:
    """What a fully checked file holds; the size is that of the upright picture.

    `remarks`: what the decoder warned of and took all the same, for a person.
    """

    width_px: int
    height_px: int
    format: str
    frames: int
    remarks: tuple[str, ...] = ()


def inspect_file(path: Path, max_pixels: int, large: AbstractContextManager[object] = _one_large_at_a_time) -> PictureInfo:
    """Decode the file in full without keeping pixels.

    Raises `UndecodableImage` wherever `decode` would, and for JPEGs whose code is damaged; errors of reading the disk
    stay `OSError`, of which `NotAPlainFile` is one. `large` is held while a picture of over `LARGE_PIXELS` is decoded.
    For one thread at a time.
    """
    with recorded() as remarks, open_plain(path) as file, opened(file, max_pixels, large) as image:
        if image.format in JPEGS and _is_whole_jpeg(image):
            size, frames = image.size, _frames(image)
        else:
            frames = load(image)
            size = image.size
        width_px, height_px = reversed(size) if orientation(image) in SWAPS_SIDES else size
        file_format = image.format or ""
    return PictureInfo(width_px, height_px, file_format, frames, tuple(remarks))


# --- reading -----------------------------------------------------------------------------------------------------------


def load(image: Image.Image) -> int:
    """Decode the first frame to its end; returns the number of frames."""
    if found := unsupported(image):
        raise UndecodableImage("unsupported_mode", found, *image.size)
    frames = _frames(image)
    if image.format in JPEGS:
        _refuse_many_scans(structure_of(_bytes(image)), image)
    if isinstance(image, ImageFile):
        image.decodermaxblock = BLOCK_BYTES
    image.load()
    return frames


def _frames(image: Image.Image) -> int:
    counted_one_by_one = image.format in ("GIF", "TIFF")
    if counted_one_by_one and _size_bytes(image) > COUNTED_BYTES:
        return 2 if getattr(image, "is_animated", False) else 1
    return int(getattr(image, "n_frames", 1))


def _is_whole_jpeg(image: Image.Image) -> bool:
    """Whether the code was read to its end without a finding; False: Pillow has to tell. Raises `UndecodableImage`."""
    if found := unsupported(image):
        raise UndecodableImage("unsupported_mode", found, *image.size)
    structure = structure_of(_bytes(image))
    _refuse_many_scans(structure, image)
    try:
        damage = damage_of(structure)
    except NotJudged:
        return False
    if damage:
        raise UndecodableImage(*damage, *image.size)
    return True


def _refuse_many_scans(structure: Structure, image: Image.Image) -> None:
    """A small JPEG may hold thousands of scans, each over all its pixels: a bomb of time."""
    if structure.scans > MAX_SCANS:
        detail = f"a JPEG of {structure.scans} scans, allowed are {MAX_SCANS}"
        raise UndecodableImage("too_many_scans", detail, *image.size)


def _bytes(image: Image.Image) -> bytes:
    file = _file(image)
    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
    return data


def _size_bytes(image: Image.Image) -> int:
    file = _file(image)
    position = file.tell()
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(position)
    return size_bytes


def _file(image: Image.Image) -> BinaryIO:
    return cast("BinaryIO", image.fp)  # pyright: ignore[reportAttributeAccessIssue]


# --- opening -----------------------------------------------------------------------------------------------------------


@contextmanager
def opened(
    source: BinaryIO, max_pixels: int, large: AbstractContextManager[object] = _one_large_at_a_time
) -> Iterator[Image.Image]:
    """The picture in `source`, not loaded yet; whatever Pillow raises inside becomes `UndecodableImage`.

    `large` is held meanwhile by one of over `LARGE_PIXELS`.
    """
    try:
        with open_picture(source, FORMATS) as image:
            width_px, height_px = image.size
            if width_px * height_px > max_pixels:
                detail = f"{width_px} × {height_px} pixels, [photos] max_pixels allows {max_pixels}"
                raise UndecodableImage("too_many_pixels", detail, width_px, height_px)
            with large if width_px * height_px > LARGE_PIXELS else nullcontext():
                yield image
    except (UndecodableImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise UndecodableImage("too_many_pixels", str(error)) from error
    except UnidentifiedImageError:
        raise _unidentified(source) from None
    except Exception as error:
        # Pillow's readers let through whatever their parsing stumbles over (SyntaxError, struct.error, KeyError …).
        if isinstance(error, OSError) and error.errno is not None:
            raise
        told = " ".join(str(error).split())
        raise UndecodableImage(_reason_of(error), f"{type(error).__name__}: {told}"[:300]) from error


def _reason_of(error: Exception) -> str:
    text = str(error).lower()
    return "truncated" if "truncated" in text or isinstance(error, EOFError) else "broken"


def _unidentified(source: BinaryIO) -> UndecodableImage:
    head = first_bytes(source)
    if known := _begins_like(head):
        article = "an" if known == "AVIF" else "a"
        return UndecodableImage("broken", f"begins like {article} {known} file, but its header cannot be read")
    return UndecodableImage("not_an_image", _describe(head))


def _begins_like(head: bytes) -> str | None:
    """The format of those that are accepted."""
    kind = _of_iso_media(head)
    if kind == _AVIF or (kind == _HEIC and reads_heif()):
        return "AVIF" if kind == _AVIF else HEIF
    return next((name for signature, name in _SIGNATURES if re.match(signature, head, re.DOTALL)), None)


_SIGNATURES = [
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n", "PNG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"RIFF....WEBP", "WEBP"),
    (rb"II\*\x00|MM\x00\*", "TIFF"),
]


def _describe(head: bytes) -> str:
    """What bytes that are no picture seem to be."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "an empty file"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if text.startswith((b"{", b"[")):
        return "JSON or another text"
    other = next((name for signature, name in _OTHERS if re.match(signature, head, re.DOTALL)), None)
    other = _of_iso_media(head) or other
    if other == _HEIC:
        return NO_READER
    if other:
        return f"{other}, which is not taken; save it as JPEG, PNG or TIFF"
    return f"unknown bytes, beginning {head[:16]!r}"


def _of_iso_media(head: bytes) -> str | None:
    """What a file of ISO 14496-12 is; None for other files."""
    if not (brands := iso_brands(head)):
        return None
    kind = next((name for name, known in _BRANDS.items() if brands & known), None)
    return kind or f"a video, or another file of the kind {head[8:12].decode('ascii', 'replace').strip()!r}"


_AVIF, _HEIC = "an AVIF picture", "a HEIC picture"
_BRANDS = {_AVIF: AVIF_BRANDS, _HEIC: HEIC_BRANDS, "a camera's raw file": {b"crx "}}
_OTHERS = [
    (rb"\xff\x0a|....JXL ", "a JPEG XL picture"),
    (rb"....jP  |\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (rb"8BPS", "a Photoshop file"),
    (rb"\s*(<\?xml[^>]*>\s*)?<svg", "an SVG drawing"),
    (rb"FUJIFILMCCD-RAW|II[RU][OS\0]|MMOR", "a camera's raw file"),
]

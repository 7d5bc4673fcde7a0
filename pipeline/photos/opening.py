"""Picture files of any origin, opened: what is accepted, and why the rest is not; checked to their last byte.

Pillow opens a truncated JPEG without a word, and its readers raise nearly anything. Free of numpy, since the
processes that check what was downloaded (`inspectors`) start with this.
"""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from pipeline.errors import BokehflowError
from pipeline.orientation import SWAPS_SIDES, orientation

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
"""Pillow's names of what is accepted (MPO comes with JPEG); others, of which EPS runs a program, are not even tried."""

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

LARGE_PIXELS = 16_000_000
"""Pictures with more are decoded one at a time, so that many threads together keep a bounded memory."""

MAX_SCANS = 500
"""Progressive JPEGs have ten or so; each further one costs as much time as the whole picture, and no bytes."""
COUNTED_BYTES = 1_000_000
"""In larger GIFs and TIFFs frames are not counted one by one, which is slow, but told apart as one or several (2)."""

BLOCK_BYTES = 1 << 20
"""Handed to Pillow's decoders at a time: with its own 64 kB, libjpeg stops and starts anew so often that it shows."""

_one_large_at_a_time = threading.Lock()


class UndecodableImage(BokehflowError):
    """The bytes are no picture that can be used.

    `reason` is one of `not_an_image`, `truncated`, `too_many_pixels`, `too_many_scans`, `unsupported_mode` and
    `broken`; `detail` says for a person what was found. Size in pixels where the header told it, else None. Callers
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
    """What a fully checked file holds; the size is that of the upright picture."""

    width_px: int
    height_px: int
    format: str
    frames: int


def inspect_file(path: Path, max_pixels: int, large: AbstractContextManager[object] = _one_large_at_a_time) -> PictureInfo:
    """Decode the file in full without keeping pixels.

    Raises `UndecodableImage` exactly where `decode` would; errors of reading the disk stay `OSError`. `large` is held
    while a picture of over `LARGE_PIXELS` is decoded.
    """
    with path.open("rb") as file, opened(file, max_pixels, large) as image:
        width_px, height_px = image.size
        # A JPEG without its colours and at an eighth of its size: its whole code is read all the same, which is where
        # damage shows; only the arithmetic that makes pixels of it is saved, nearly half of the time.
        image.draft("L" if image.mode == "RGB" else None, (1, 1))
        frames = load(image)
        if orientation(image) in SWAPS_SIDES:
            width_px, height_px = height_px, width_px
        return PictureInfo(width_px, height_px, image.format or "", frames)


# --- reading -----------------------------------------------------------------------------------------------------------


def load(image: Image.Image) -> int:
    """Decode the first frame to its end; returns the number of frames."""
    if image.mode not in EIGHT_BIT_MODES + SIXTEEN_BIT_MODES:
        raise UndecodableImage("unsupported_mode", f"{image.format} with pixels of the kind {image.mode}", *image.size)
    frames = _frames(image)
    _refuse_many_scans(image)
    if isinstance(image, ImageFile):
        image.decodermaxblock = BLOCK_BYTES
    image.load()
    return frames


def _frames(image: Image.Image) -> int:
    counted_one_by_one = image.format in ("GIF", "TIFF")
    if counted_one_by_one and _size_bytes(image) > COUNTED_BYTES:
        return 2 if getattr(image, "is_animated", False) else 1
    return int(getattr(image, "n_frames", 1))


def _refuse_many_scans(image: Image.Image) -> None:
    """A small progressive JPEG may hold thousands of scans, each over all its pixels: a bomb of time."""
    if not image.info.get("progressive"):
        return
    file = _file(image)
    position = file.tell()
    file.seek(0)
    # Within a scan 0xFF is always followed by 0 or by a marker, so that this pair begins a scan or is metadata.
    scans = file.read().count(b"\xff\xda")
    file.seek(position)
    if scans > MAX_SCANS:
        raise UndecodableImage("too_many_scans", f"a JPEG of {scans} scans, allowed are {MAX_SCANS}", *image.size)


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
    with _pillow_silenced():
        try:
            with Image.open(source, formats=FORMATS) as image:
                width_px, height_px = image.size
                if width_px * height_px > max_pixels:
                    detail = f"{width_px} × {height_px} pixels, allowed are {max_pixels}"
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
            raise UndecodableImage(_reason_of(error), f"{type(error).__name__}: {error}"[:300]) from error


def _reason_of(error: Exception) -> str:
    text = str(error).lower()
    return "truncated" if "truncated" in text or isinstance(error, EOFError) else "broken"


def _unidentified(source: BinaryIO) -> UndecodableImage:
    source.seek(0)
    head = source.read(512)
    known = next((name for signature, name in _SIGNATURES if re.match(signature, head, re.DOTALL)), None)
    if known:
        return UndecodableImage("broken", f"begins like a {known} file, but its header cannot be read")
    return UndecodableImage("not_an_image", _describe(head))


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
    if head[4:8] == b"ftyp":
        return f"a file of the kind {head[8:12].decode('ascii', 'replace').strip()!r} (HEIC, AVIF or a video)"
    return f"unknown bytes, beginning {head[:16]!r}"


_SILENCE = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
"""An entry of `warnings.filters`: ignore what Pillow's modules say about odd files."""

_silence_lock = threading.Lock()
_silenced_threads = 0


@contextmanager
def _pillow_silenced() -> Iterator[None]:
    """Ignore Pillow's warnings while any thread decodes.

    `warnings.catch_warnings` restores a whole list and so undoes what other threads do meanwhile; this puts one
    entry in when the first thread enters and takes it out when the last one leaves.
    """
    global _silenced_threads
    with _silence_lock:
        if not _silenced_threads:
            _filters().insert(0, _SILENCE)
        _silenced_threads += 1
    try:
        yield
    finally:
        with _silence_lock:
            _silenced_threads -= 1
            if not _silenced_threads and _SILENCE in _filters():
                _filters().remove(_SILENCE)


def _filters() -> list[object]:
    return cast("list[object]", warnings.filters)

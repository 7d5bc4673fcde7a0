"""Picture files of any origin to sRGB pixels, checked to their last byte.

Pillow opens a truncated JPEG, ignores colour profiles and EXIF orientation, clips 16-bit grey to white and
shows the hidden colours below transparency; here each of these is set right or refused with a reason.
"""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from pipeline.errors import BokehflowError
from pipeline.orientation import SWAPS_SIDES, TRANSPOSE, orientation

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


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture: `rgb` is uint8 [height, width, 3] in sRGB, upright, transparency laid over white.

    `format` is Pillow's name of the file format; `frames` counts the pictures in the file, of which this is the first
    (2 stands for several in GIFs and TIFFs of over a megabyte).
    `extent` is the width and height, in pixels of `rgb`, that the picture really covers: where a reduced decode rounded
    an odd size up, the last column or row is only partly of the picture.
    """

    rgb: np.ndarray
    format: str
    frames: int
    extent: tuple[float, float]


@dataclass(frozen=True)
class PictureInfo:
    """What a fully checked file holds; the size is that of the upright picture."""

    width_px: int
    height_px: int
    format: str
    frames: int


def decode(data: bytes, max_pixels: int) -> Decoded:
    """The first picture in `data`.

    EXIF orientation is applied, an embedded profile converted to sRGB (one that is damaged or made for another kind
    of picture is ignored), CMYK and 16-bit grey are converted, transparency is laid over white.
    Raises `UndecodableImage` for everything that is not a complete picture of at most `max_pixels` pixels; Pillow's
    own limit of 179 million pixels holds besides.
    """
    with _opened(io.BytesIO(data), max_pixels) as image:
        return _decoded(image, image.size)


def decode_reduced(data: bytes, min_short_edge_px: int, max_pixels: int, min_long_edge_px: int | None = None) -> Decoded:
    """`decode` for callers that go on to scale the picture down: its short edge is at least `min_short_edge_px`.

    With `min_long_edge_px` the long edge is so large as well; 0 for the short one then leaves it free.

    A JPEG is reduced to 1/2, 1/4 or 1/8 (sizes rounded up) while it is decoded, which costs a fraction of the time;
    whatever would fall below `min_short_edge_px`, and every other format, comes at full size. The reduction is
    libjpeg's, close to a box filter. Measured on portraits scaled on to 256 pixels against the same from `decode`:
    50 dB, 0.5 levels on average, where `min_short_edge_px` was twice the final edge; 40 dB, 1.6 levels, where it was
    that edge itself. Deterministic for one version of libjpeg-turbo.
    """
    with _opened(io.BytesIO(data), max_pixels) as image:
        least = max(min_short_edge_px, ceil((min_long_edge_px or 0) * min(image.size) / max(image.size)), 1)
        drafted = image.draft(None, (least, least))
        return _decoded(image, image.size if drafted is None else drafted[1][2:])


def inspect_file(path: Path, max_pixels: int) -> PictureInfo:
    """Decode the file in full without keeping pixels.

    Raises `UndecodableImage` exactly where `decode` would; errors of reading the disk stay `OSError`.
    """
    with path.open("rb") as file, _opened(file, max_pixels) as image:
        # A JPEG at full size without its colours: every byte is decoded, a quarter of the time is saved.
        if image.mode == "RGB":
            image.draft("L", image.size)
        frames = _load(image)
        width_px, height_px = image.size
        if orientation(image) in SWAPS_SIDES:
            width_px, height_px = height_px, width_px
        return PictureInfo(width_px, height_px, image.format or "", frames)


def _decoded(image: Image.Image, extent: tuple[float, float]) -> Decoded:
    file_format = image.format or ""
    frames = _load(image)
    upright = TRANSPOSE.get(orientation(image))
    rgb = _to_srgb(image)
    if orientation(image) in SWAPS_SIDES:
        extent = extent[1], extent[0]
    return Decoded(np.array(rgb if upright is None else rgb.transpose(upright)), file_format, frames, extent)


def _load(image: Image.Image) -> int:
    """Decode the first frame to its end; returns the number of frames."""
    if image.mode not in EIGHT_BIT_MODES + SIXTEEN_BIT_MODES:
        raise UndecodableImage("unsupported_mode", f"{image.format} with pixels of the kind {image.mode}", *image.size)
    frames = _frames(image)
    _refuse_many_scans(image)
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


# --- opening ----------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(source: BinaryIO, max_pixels: int) -> Iterator[Image.Image]:
    """The picture in `source`, not loaded yet; whatever Pillow raises inside becomes `UndecodableImage`."""
    with _pillow_silenced():
        try:
            with Image.open(source, formats=FORMATS) as image:
                width_px, height_px = image.size
                if width_px * height_px > max_pixels:
                    detail = f"{width_px} × {height_px} pixels, allowed are {max_pixels}"
                    raise UndecodableImage("too_many_pixels", detail, width_px, height_px)
                with _one_large_at_a_time if width_px * height_px > LARGE_PIXELS else nullcontext():
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


# --- orientation ------------------------------------------------------------------------------------------------------

# --- colour -----------------------------------------------------------------------------------------------------------


def _to_srgb(image: Image.Image) -> Image.Image:
    """A loaded picture of any accepted mode as mode RGB in sRGB, transparency over white."""
    icc = image.info.get("icc_profile")
    if image.mode in SIXTEEN_BIT_MODES:
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return _apply_profile(image, icc)
    rgba = image.convert("RGBA")
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(_apply_profile(rgba.convert("RGB"), icc), mask=rgba.getchannel("A"))
    return opaque


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as mode L, rounded; the one transparent level that a PNG may name becomes white."""
    values = np.asarray(image).astype(np.uint32)
    levels = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        levels[values == transparent] = 255
    return Image.fromarray(levels)


def _apply_profile(image: Image.Image, icc: object) -> Image.Image:
    """Convert an opaque picture by its profile, or without one by Pillow's plain rule."""
    if not isinstance(icc, bytes) or not icc:
        return image.convert("RGB")
    mode = {"CMYK": "CMYK", "1": "L", "L": "L"}.get(image.mode, "RGB")
    if mode == "RGB" and _colour_space(icc) == "GRAY":
        mode = "L"
    transform = _transform(icc, mode)
    if transform is None:
        return image.convert("RGB")
    return cast("Image.Image", ImageCms.applyTransform(image.convert(mode), transform))


_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}


@lru_cache(maxsize=32)
def _colour_space(icc: bytes) -> str | None:
    """The profile's colour space in ICC's words; None where the profile cannot be read."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
        return profile.xcolor_space.strip()  # pyright: ignore[reportAttributeAccessIssue]
    except (ImageCms.PyCMSError, OSError):
        return None


@lru_cache(maxsize=32)
def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile to sRGB; None where the profile is unusable for `mode` or is sRGB itself.

    As sRGB counts what moves no colour of a lattice by more than one level: the many files that carry some edition
    of the sRGB profile keep their exact pixels, and cost no conversion.
    """
    if _colour_space(icc) != _SPACES[mode]:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode == "CMYK":
        return transform
    lattice = _lattice(mode)
    converted = cast("Image.Image", ImageCms.applyTransform(lattice, transform))
    moved = np.asarray(converted).astype(int) - np.asarray(lattice.convert("RGB"))
    return transform if np.abs(moved).max() > 1 else None


def _lattice(mode: str) -> Image.Image:
    """Colours spread evenly over all of mode RGB (17³) or L (256), as a picture one pixel wide."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[:, None])
    levels = np.minimum(np.arange(0, 257, 16), 255).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return Image.fromarray(colours.reshape(-1, 1, 3))

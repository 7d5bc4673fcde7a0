"""What Pillow does about odd files, and pictures as the bytes of a file.

Its warnings are kept, to be told with the file's name, or left out where they were told before. Of damaged EXIF it raises
nearly anything. A phone's HEIC it reads with an extra, which takes a while to load.
"""

import base64
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, TypeVar, cast

from PIL import Image, UnidentifiedImageError

Found = TypeVar("Found")

HEIF = "HEIF"
"""Pillow's name of the format of HEIC."""
AVIF_BRANDS = {b"avif", b"avis"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
"""`mif1` and `msf1` say no more than that it is of ISO 23008-12, as AVIFs are."""
NO_READER = "a HEIC picture: `pip install 'bokehflow[heic]'` brings what reads it; or save it as JPEG"
FIRST_BYTES = 512

_SILENCE = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
"""An entry of `warnings.filters`: ignore what Pillow's modules say about odd files."""

_silence_lock = threading.Lock()
_silenced_threads = 0


@contextmanager
def silenced() -> Iterator[None]:
    """Ignore Pillow's warnings while any thread decodes: no message without a file's name reaches anybody.

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


@contextmanager
def recorded() -> Iterator[list[str]]:
    """What Pillow warns of, filled in at the end, each once. For processes of one thread."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += dict.fromkeys(" ".join(str(one.message).split()) for one in caught if issubclass(one.category, UserWarning))


def open_picture(source: BinaryIO, formats: tuple[str, ...] | None = None) -> Image.Image:
    """`Image.open`, in these formats, and a HEIC besides, where its reader is installed."""
    brands = iso_brands(first_bytes(source))
    if not brands & HEIC_BRANDS or brands & AVIF_BRANDS:
        return Image.open(source, formats=formats)
    if not reads_heif():
        raise UnidentifiedImageError(NO_READER)
    return Image.open(source, formats=[HEIF])


@cache
def reads_heif() -> bool:
    """Whether the reader of HEIC is installed; it is registered then, to show pictures and never the previews in them."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return True


def first_bytes(source: BinaryIO) -> bytes:
    """Those by which a file is known; whoever reads next begins with them."""
    source.seek(0)
    head = source.read(FIRST_BYTES)
    source.seek(0)
    return head


def iso_brands(head: bytes) -> set[bytes]:
    """The brands of a file of ISO 14496-12: its own, and those that it is compatible with. None for other files."""
    if head[4:8] != b"ftyp":
        return set()
    size_bytes = int.from_bytes(head[:4])
    return {head[8:12], *(head[at : at + 4] for at in range(16, min(size_bytes, len(head)), 4))}


def from_exif(image: Image.Image, read: Callable[[Image.Exif], Found], unknown: Found) -> Found:
    """What `read` finds in a picture's EXIF; `unknown` where the block is damaged, which spoils no picture."""
    try:
        return read(image.getexif())
    except Exception:  # the picture itself is as good as before: nothing is lost but what EXIF would have said
        return unknown


def as_file(image: Image.Image, format: str, **options: Any) -> bytes:  # noqa: ANN401 - those of `Image.save`
    """The picture as a file of this format."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def as_data_uri(image: Image.Image, format: str, **options: Any) -> str:  # noqa: ANN401 - those of `Image.save`
    """The picture as an address that holds it, for pages that stand by themselves."""
    return f"data:image/{format.lower()};base64,{base64.b64encode(as_file(image, format, **options)).decode()}"


def _filters() -> list[object]:
    return cast("list[object]", warnings.filters)

"""What Pillow does about odd files, and pictures as the bytes of a file.

Its warnings are kept, to be told with the file's name, or left out where they were told before. Of damaged EXIF it raises
nearly anything.
"""

import base64
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from PIL import Image

Found = TypeVar("Found")

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

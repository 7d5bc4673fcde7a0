"""What Pillow does about odd files.

Its warnings are kept, to be told with the file's name, or left out where they were told before. Of damaged EXIF it raises
nearly anything.
"""

import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

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


def _filters() -> list[object]:
    return cast("list[object]", warnings.filters)

"""File names that come from outside: out of a bundle or a table, from a disk of another time or system."""

import os
from pathlib import Path


def below(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`. Raises `PermissionError` where it leads out of it, also by a link on its way."""
    path, root = folder / name, folder.resolve()
    if "\0" not in name:
        found = path.resolve()
        if found != root and found.is_relative_to(root):
            return path
    raise PermissionError(f"{name[:200]!r} is not below {folder}")


def printable(text: str) -> str:
    r"""The text with bytes of file names that are no UTF-8 written out; equal to the text where there are none.

    >>> printable("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    return os.fsencode(text).decode("utf-8", errors="backslashreplace")

"""File names that come from outside: out of a bundle or a table, from a disk of another time or system."""

from pathlib import Path


def below(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`. Raises `PermissionError` where it leads out of it, also by a link on its way."""
    path, root = folder / name, folder.resolve()
    if "\0" not in name:
        found = path.resolve()
        if found != root and found.is_relative_to(root):
            return path
    raise PermissionError(f"{name[:200]!r} is not below {folder}")

"""Where and how bytes live: the home's layout, content-addressed blobs, Parquet tables.

What belongs here: names of files and folders, formats on disk, checks of what is read.
What does not: what the bytes mean (`pipeline`), and when they are made (`assets`).
"""

from typing import TYPE_CHECKING

from storage.blobs import BlobStore
from storage.home import Home

if TYPE_CHECKING:
    from storage.tables import TableInfo, TableStore

__all__ = ["BlobStore", "Home", "TableInfo", "TableStore"]


def __getattr__(name: str) -> object:
    """The tables' names on first use: they need pandas, and a quick command need not wait for it."""
    if name in ("TableInfo", "TableStore"):
        from storage import tables

        return getattr(tables, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

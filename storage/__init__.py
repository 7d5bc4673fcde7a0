"""Where and how bytes live: the home's layout, content-addressed blobs, Parquet tables.

What belongs here: names of files and folders, formats on disk, checks of what is read.
What does not: what the bytes mean (`pipeline`), and when they are made (`assets`).
"""

from storage.blobs import BlobStore
from storage.home import Home
from storage.tables import TableInfo, TableStore

__all__ = ["BlobStore", "Home", "TableInfo", "TableStore"]

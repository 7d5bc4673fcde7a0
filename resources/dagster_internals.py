"""Dagster's event log as it lies in the home's SQLite files: how forgotten photos leave it.

Dagster can delete a run or an asset's whole history, and nothing smaller; so its tables are changed by SQL here.
The log is the home's own, in SQLite files, as the `dagster.yaml` that is linked into the home has it.
"""

import re
import sqlite3
from collections.abc import Set
from contextlib import closing
from pathlib import Path

SHOWN_COLUMNS = {"event_logs": "event", "asset_keys": "last_materialization"}
"""Tables of Dagster's files, and their columns of text that hold metadata."""
ERASED = "*a photo that this picture showed was forgotten*"

_JPEG = re.compile(r"!\[([^\]]*)\]\(data:image/jpeg;base64,[A-Za-z0-9+/=]*\)")


def erase_pictures(dagster_folder: Path, photo_ids: Set[str], snapshots: Set[str]) -> int:
    """Take every picture that shows one of these photos, or photos of these snapshots, out of the event log.

    Returns how many events held one. What no later run made stays a sentence; the bytes are overwritten in the files.
    """
    files = sorted(dagster_folder.glob("history/runs/*.db"))
    return sum(_erase_in(file, photo_ids, snapshots) for file in files)


def _erase_in(file: Path, photo_ids: Set[str], snapshots: Set[str]) -> int:
    erased = 0
    with closing(sqlite3.connect(file, timeout=60)) as connection:
        connection.execute("PRAGMA secure_delete = ON")  # or the old text stays in the file's free pages
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, column in SHOWN_COLUMNS.items():
            if table in tables:
                erased += _erase_column(connection, table, column, photo_ids, snapshots)
        connection.commit()
        if erased:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log that SQLite writes first holds it as well
    return erased


def _erase_column(connection: sqlite3.Connection, table: str, column: str, photo_ids: Set[str], snapshots: Set[str]) -> int:
    held = f"SELECT id FROM {table} WHERE {column} LIKE '%data:image/jpeg;base64,%'"
    erased = 0
    for row in [row for (row,) in connection.execute(held)]:
        (before,) = connection.execute(f"SELECT {column} FROM {table} WHERE id = ?", [row]).fetchone()
        after = without_pictures(before, photo_ids, snapshots)
        if after != before:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", [after, row])
            erased += 1
    return erased


def without_pictures(text: str, photo_ids: Set[str], snapshots: Set[str]) -> str:
    """The text of an event without the pictures that show them; one that does not say what it shows goes as well."""

    def replaced(match: re.Match[str]) -> str:
        match match[1].split():
            case ["photos", *shown]:
                stays = not photo_ids & set(shown)
            case ["snapshot", snapshot, *_]:
                stays = snapshot not in snapshots
            case _:
                stays = False
        return match[0] if stays else ERASED

    return _JPEG.sub(replaced, text)

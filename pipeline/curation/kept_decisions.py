"""What reviewed CSVs said when they were last read, so that only those are read that are new or have changed.

A row takes some forty microseconds to read with the patience that spreadsheets ask for, and most files of a long review
change no more. Kept is a file in which nothing is wrong or odd and which says the same whatever photos become known; it
counts for the same name, time, bytes and domains, as long as all its photos are known. Nobody need keep it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.atomic import atomic_path
from pipeline.curation.decisions import Decision, FileRead, read_decision_file
from pipeline.errors import StorageError
from pipeline.parquet_files import is_one_of, parquet_table
from pipeline.plain_files import read_plain

READ_AS = 2
"""To be raised when `read_decision_file` reads anything otherwise than before."""
PLACES = b"bokehflow.files"
"""In the metadata: for each file its key, first row and row after the last, as JSON."""
WORDS = ("photo_id", "decision", "reason", "move_to", "curator", "note")
SCHEMA = pa.schema([
    *((name, pa.string()) for name in WORDS), ("row", pa.int64()), ("counts_ns", pa.int64()), ("clock_ns", pa.int64())
])  # fmt: skip


class KeptDecisions:
    """Reads files as `read_decision_file` does, those that are kept at `path` from there.

    >>> kept = KeptDecisions(Path("kept-decisions.parquet"))
    >>> read_decisions(folder, known_ids, domains, kept)  # doctest: +SKIP
    >>> kept.save()  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table, self._places = _load(path)
        self._read: dict[str, tuple[str, list[Decision]]] = {}
        """By name: key and rows of what was read and may be kept."""

    def __call__(self, path: Path, name: str, known_ids: Set[str], domains: Set[str]) -> FileRead:
        """`read_decision_file`."""
        key = _key(path, name, domains)
        kept = self._kept(name) if key and self._places.get(name, ("",))[0] == key else None
        if kept is None or not {decision.photo_id for decision in kept} <= known_ids:
            found = read_decision_file(path, name, known_ids, domains)
        else:
            found = FileRead(kept, [], is_final=True)
        self._read.pop(name, None)
        if key and found.is_final and key == _key(path, name, domains):  # nobody changed it meanwhile
            self._read[name] = key, found.decisions
        return found

    def save(self) -> None:
        """Keep what was read, and nothing else; what the disk does not take is read again."""
        if {name: key for name, (key, _) in self._read.items()} == {name: place[0] for name, place in self._places.items()}:
            return
        places, rows = {}, list[Decision]()
        for name, (key, decisions) in self._read.items():
            places[name] = key, len(rows), len(rows) + len(decisions)
            rows += decisions
        columns = [[getattr(row, name) for row in rows] for name in (*WORDS, "row")]
        times = [[row.when[0] for row in rows], [row.clock_ns for row in rows]]
        with suppress(OSError, StorageError):
            self._write(pa.table([*columns, *times], SCHEMA), places)

    def forget(self, photo_ids: Set[str], names_one: Callable[[str], bool]) -> None:
        """Keep no file with a row about one of these photos, or that `names_one` in another word or in its own name; all
        others stay kept.

        What this version cannot read may name them as well, and goes.
        """
        about = is_one_of(self._table["photo_id"], photo_ids)
        for column in WORDS[1:]:
            words = pc.call_function("unique", [self._table[column]]).drop_null().to_pylist()
            told = is_one_of(self._table[column], filter(names_one, words))
            about = pc.call_function("or", [about, told])
        clean = {
            name: (key, start, stop)
            for name, (key, start, stop) in self._places.items()
            if not names_one(name) and not about.slice(start, stop - start).true_count
        }
        places, rows, count = {}, list[pa.Table](), 0
        for name, (key, start, stop) in clean.items():
            places[name] = key, count, count + stop - start
            rows, count = [*rows, self._table.slice(start, stop - start)], count + stop - start
        try:
            if not clean:
                self.path.unlink(missing_ok=True)
            elif clean != self._places:
                self._write(pa.concat_tables(rows), places)
        except (OSError, StorageError):  # the disk is full
            self.path.unlink()

    def _write(self, table: pa.Table, places: Mapping[str, tuple[str, int, int]]) -> None:
        told = table.replace_schema_metadata({PLACES: json.dumps(places)})
        with atomic_path(self.path) as temporary:
            pq.write_table(told, temporary)

    def _kept(self, name: str) -> list[Decision] | None:
        _, start, stop = self._places[name]
        return list(_decisions(self._table.slice(start, stop - start), name))


def _decisions(table: pa.Table, name: str) -> Iterator[Decision]:
    once: dict[str | None, str | None] = {}  # a million rows say the same few words
    columns = [column.to_pylist() for column in table.itercolumns()]
    for photo_id, *words, row, counts_ns, clock_ns in zip(*columns, strict=True):
        decision, reason, move_to, curator, note = (once.setdefault(word, word) for word in words)
        when = counts_ns, name, row
        yield Decision(photo_id, decision or "", reason, move_to, curator, note, name, row, when, clock_ns)


def _load(path: Path) -> tuple[pa.Table, dict[str, tuple[str, int, int]]]:
    """Nothing where there is no such file, or one that this version did not write."""
    with suppress(OSError, LookupError, ValueError, TypeError, AttributeError, pa.ArrowException):
        table = parquet_table(path)
        places = json.loads((table.schema.metadata or {})[PLACES])
        told = {name: (str(key), int(start), int(stop)) for name, (key, start, stop) in places.items()}
        if table.schema.equals(SCHEMA) and all(0 <= start <= stop <= len(table) for _, start, stop in told.values()):
            return table, told
    return SCHEMA.empty_table(), {}


def _key(path: Path, name: str, domains: Set[str]) -> str:
    """Digest of all that decides what the file says, but which photos are known; empty where it cannot be read."""
    try:
        modified_ns, content = path.stat().st_mtime_ns, hashlib.sha256(read_plain(path)).hexdigest()
    except OSError:
        return ""
    return hashlib.sha256(json.dumps([READ_AS, name, modified_ns, content, sorted(domains)]).encode()).hexdigest()

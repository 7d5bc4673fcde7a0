"""The reviewed CSVs: what a curator wrote, read with patience for what spreadsheets do to a file.

Nothing in the folder is ever changed. A bad row is reported with file, row, column, value and what is allowed;
the good rows of the same file count.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

DECISIONS = ("keep", "drop", "move", "skip")
REASONS = ("wrong_tag", "unfit_blur", "no_person", "edited", "inappropriate", "other")
"""Why a photo is dropped: the study's five reasons, and `other` with a note."""
ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods")
NEEDED_COLUMNS = ("photo_id", "decision")


@dataclass(frozen=True)
class Decision:
    """One valid row. `when` orders decisions: (the file's modification time, its name, the row)."""

    photo_id: str
    decision: str
    reason: str | None
    move_to: str | None
    curator: str | None
    note: str | None
    file: str
    row: int
    when: tuple[int, str, int]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row (1 is the header) or, with row 0, with a whole file."""

    file: str
    row: int
    column: str
    value: str
    allowed: str

    def __str__(self) -> str:
        at = f"{self.file}, row {self.row}" if self.row else self.file
        return f"{at}: {self.column} {self.value!r}: {self.allowed}"


def folder_version(folder: Path) -> str:
    """Digest of the names and contents of all reviewed CSVs in the order in which they count, 16 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(_files(folder), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def read_decisions(folder: Path, known_ids: Set[str], domains: Set[str]) -> tuple[list[Decision], list[Problem]]:
    """All valid decisions, the earliest first, and all problems. `known_ids` are photo ids that were ever listed."""
    decisions: list[Decision] = []
    problems: list[Problem] = []
    for path in _files(folder):
        for item in _read_file(path, known_ids, domains):
            (decisions if isinstance(item, Decision) else problems).append(item)  # pyright: ignore[reportArgumentType]
    return sorted(decisions, key=lambda decision: decision.when), problems


def _files(folder: Path) -> list[Path]:
    """Tables by their ending; a workbook is not read but must not be passed over in silence either."""
    files = (path for path in folder.glob("*") if path.suffix.lower() in ENDINGS)
    return sorted(path for path in files if path.is_file() and not path.name.startswith((".", "~")))


def _read_file(path: Path, known_ids: Set[str], domains: Set[str]) -> Iterator[Decision | Problem]:
    try:
        header, rows = _parse(path.read_bytes())
    except (ValueError, csv.Error) as error:
        yield Problem(path.name, 0, "file", path.name, str(error))
        return
    missing = [name for name in NEEDED_COLUMNS if name not in header]
    if missing:
        yield Problem(path.name, 1, "header", ", ".join(header), f"the column {missing[0]} is missing")
        return
    modified = path.stat().st_mtime_ns
    for number, cells in rows:
        row = dict(zip(header, cells, strict=False))
        if row.get("photo_id") or row.get("decision"):
            yield from _read_row(row, path.name, number, modified, known_ids, domains)


def _parse(data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header names in lower case and rows of stripped cells with their numbers, whatever separator and encoding."""
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError("this is an Excel workbook under the name of a CSV; save it as CSV")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    if not text.strip():
        raise ValueError("the file is empty")
    first = text.splitlines()[0]
    separator = max((",", ";", "\t"), key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = [_cell(cell).lower() for cell in next(reader)]
    return header, [(number, [_cell(cell) for cell in cells]) for number, cells in enumerate(reader, 2)]


def _cell(cell: str) -> str:
    stripped = cell.strip()
    return stripped[1:] if stripped[:2] in ("'=", "'+", "'-", "'@") else stripped


def _read_row(
    row: Mapping[str, str], file: str, number: int, modified: int, known_ids: Set[str], domains: Set[str]
) -> Iterator[Decision | Problem]:
    photo_id, decision = _photo_id(row.get("photo_id", "")), row.get("decision", "").lower()
    reason, move_to = row.get("reason", "").lower().replace(" ", "_"), row.get("move_to", "").lower()
    if not decision:
        return
    problem = None
    if photo_id not in known_ids:
        problem = ("photo_id", photo_id, "no photo of this id was ever listed")
    elif decision not in DECISIONS:
        problem = ("decision", decision, f"must be one of {', '.join(DECISIONS)}")
    elif decision == "drop" and reason not in REASONS:
        problem = ("reason", reason, f"a dropped photo needs one of {', '.join(REASONS)}")
    elif decision == "drop" and reason == "other" and not row.get("note"):
        problem = ("note", "", "the reason other needs a note")
    elif decision == "move" and move_to not in domains:
        problem = ("move_to", move_to, f"must be one of {', '.join(sorted(domains))}")
    if problem:
        yield Problem(file, number, *problem)
        return
    yield Decision(
        photo_id, decision, reason or None, move_to if decision == "move" else None,
        row.get("curator") or None, row.get("note") or None, file, number, (modified, file, number),
    )  # fmt: skip


def _photo_id(cell: str) -> str:
    """Ids without their source are Flickr's."""
    return f"flickr:{cell}" if cell.isdigit() else cell

"""The reviewed CSVs: what curators wrote, read with patience for what spreadsheets do to a file.

The CSV is the contract: a file filled in by hand, one saved by a spreadsheet and one written by the review page are
read alike. A row has these columns (`DECISION_COLUMNS`), in any order, among any others:

    photo_id     as in the queue, like `flickr:4951…`; a bare number is Flickr's, and so is any address of a photo there
    decision     keep | drop | move | skip; empty: the row says nothing
    reason       for drop: wrong_tag | unfit_blur | no_person | edited | inappropriate | other
    move_to      for move: the name of a domain
    curator      who decided; rows without it are those of one nameless curator
    note         free; needed by the reason `other`
    decided_at   optional: ISO 8601, UTC unless it says otherwise, like 2026-11-21T17:16:18.250Z

Only `photo_id` and `decision` must be there. A row's time is its `decided_at`, else the file's modification time;
the later row counts, at equal times the one of the later file name, then the lower row. `skip` takes back what the
same curator decided about that photo before, and nothing else.

Nothing in the folder is ever changed, but that `append_decision` adds rows. A bad row is reported with file, row,
column, value and what is allowed; the good rows of the same file count.
"""

import errno
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.atomic import sync
from pipeline.errors import disk_failed
from pipeline.photo_ids import written_id
from pipeline.spreadsheet import Problem, Record, Sheet, csv_text, no_formula, read_sheet, table_bytes
from pipeline.times import read_time

DECISIONS = ("keep", "drop", "move", "skip")
REASONS = ("wrong_tag", "unfit_blur", "no_person", "edited", "inappropriate", "other")
"""Why a photo is dropped: the study's five reasons, and `other` with a note."""
DECISION_COLUMNS = ("photo_id", "decision", "reason", "move_to", "curator", "note", "decided_at")
"""What is read of a reviewed CSV, and what `append_decision` writes."""
ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods")
NEEDED_COLUMNS = ("photo_id", "decision")
CLOCK_TOLERANCE_S = 86_400


@dataclass(frozen=True)
class Decision:
    """One valid row.

    `when` orders decisions: nanoseconds since 1970 (UTC) of `decided_at`, else of the file's last change; the name
    of the file; the row, as a spreadsheet counts it (the header is 1).
    """

    photo_id: str
    decision: str
    reason: str | None
    move_to: str | None
    curator: str | None
    note: str | None
    file: str
    row: int
    when: tuple[int, str, int]

    def __str__(self) -> str:
        about = self.move_to if self.decision == "move" else self.reason
        said = f"{self.decision} ({about})" if about else self.decision
        return f"{self.curator or 'a nameless curator'}: {self.photo_id} {said} in {self.file}, row {self.row}"


def folder_version(folder: Path) -> str:
    """Digest of the names and contents of all reviewed CSVs in the order in which they count, 16 hex digits.

    Where some rows bear their own time, the files' times matter beside them and are part of it.
    """
    files = sorted(
        ((path.stat().st_mtime_ns, path.name, path) for path in decision_files(folder)), key=lambda file: file[:2]
    )
    contents = [path.read_bytes() for _, _, path in files]
    timed = any(b"decided_at" in content[:4096].replace(b"\0", b"").lower() for content in contents)
    digest = hashlib.sha256()
    for (modified_ns, name, _), content in zip(files, contents, strict=True):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
        digest.update(str(modified_ns).encode() if timed else b"")
    return digest.hexdigest()[:16]


def read_decisions(folder: Path, known_ids: Set[str], domains: Set[str]) -> tuple[list[Decision], list[Problem]]:
    """All valid decisions of the folder, the earliest first, and all problems.

    `known_ids` are the ids of every photo that was ever listed, `domains` the project's names of domains. Rows
    without a decision are passed over in silence: most of a half-filled batch is such. Files named `.…` or `~…`, which
    programs keep for themselves, are not read. A folder that does not exist holds no decision.
    """
    decisions: list[Decision] = []
    problems: list[Problem] = []
    for path in decision_files(folder):
        found, wrong = read_decision_file(path, known_ids, domains)
        decisions += found
        problems += wrong
    return sorted(decisions, key=lambda decision: decision.when), problems


def read_decision_file(path: Path, known_ids: Set[str], domains: Set[str]) -> tuple[list[Decision], list[Problem]]:
    """`read_decisions` of one file, in the order of its rows."""
    decisions: list[Decision] = []
    problems: list[Problem] = []
    for item in _read_file(path, known_ids, domains):
        if isinstance(item, Decision):
            decisions.append(item)
        else:
            problems.append(item)
    return decisions, problems


def decision_files(folder: Path) -> list[Path]:
    """Tables by their ending; a workbook is not read but must not be passed over in silence either."""
    files = (path for path in folder.glob("*") if path.suffix.lower() in ENDINGS)
    return sorted(path for path in files if path.is_file() and not path.name.startswith((".", "~")))


def opinions(decisions: Sequence[Decision]) -> list[Decision]:
    """What holds at the end: the last word of each curator about each photo unless it is `skip`, the earliest first.

    `decisions` in any order.
    """
    latest: dict[tuple[str, str | None], Decision] = {}
    for decision in sorted(decisions, key=lambda decision: decision.when):
        latest[decision.photo_id, decision.curator] = decision
    return sorted((word for word in latest.values() if word.decision != "skip"), key=lambda decision: decision.when)


def problem_of(row: Mapping[str, str], known_ids: Set[str], domains: Set[str]) -> tuple[str, str, str] | None:
    """Column, value and what is allowed, for the first thing that is wrong with a row; None where nothing is.

    `row` maps names of columns to stripped values, `photo_id` in full, names from lists in lower case.
    """
    photo_id, decision, reason = (row.get(name, "") for name in ("photo_id", "decision", "reason"))
    if photo_id not in known_ids:
        return "photo_id", photo_id, _unknown_id(photo_id)
    if decision not in DECISIONS:
        return "decision", decision, f"must be one of {', '.join(DECISIONS)}"
    if decision == "drop" and reason not in REASONS:
        return "reason", reason, f"a dropped photo needs one of {', '.join(REASONS)}"
    if decision == "drop" and reason == "other" and not row.get("note"):
        return "note", "", "the reason other needs a note"
    if decision == "move" and row.get("move_to", "") not in domains:
        return "move_to", row.get("move_to", ""), f"must be one of {', '.join(sorted(domains))}"
    if row.get("decided_at") and time_ns(row["decided_at"]) is None:
        return "decided_at", row["decided_at"], "must be a time like 2026-11-21T17:16:18Z, not in the future, or empty"
    return None


def append_decision(
    path: Path,
    photo_id: str,
    decision: str,
    reason: str = "",
    move_to: str = "",
    curator: str = "",
    note: str = "",
    decided_at: datetime | None = None,
) -> None:
    """Add one row to the CSV at `path` and return when it is on the disk; the file is made where it is missing.

    For programs that decide one photo at a time: one file for each curator and start of the program, ending in
    `.csv`, in the folder of reviewed CSVs. A row is written in one piece, so that whatever dies, at most the last row
    is torn, and that one is not yet confirmed. `decided_at` (with its time zone) is now by default.
    The caller checks the values with `problem_of`; line breaks within them become spaces.
    Raises `StorageError` when the disk does not take all of it; then the file is as it was before.
    """
    at = (decided_at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    cells = (photo_id, decision, reason, move_to, curator, note, at)
    row = csv_text([[no_formula(" ".join(cell.split())) for cell in cells]]).encode()
    try:
        _append(path, row)
    except OSError as error:
        raise disk_failed(error, path.parent) from error


def _append(path: Path, row: bytes) -> None:
    """Add a row on a line of its own, or leave the file as it was: the rows after a torn one would not count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            row = csv_text([DECISION_COLUMNS]).encode("utf-8-sig") + row
        elif os.pread(file.fileno(), 1, size - 1) != b"\n":
            row = b"\r\n" + row
        try:
            if file.write(row) < len(row):
                raise OSError(errno.ENOSPC, "the row was cut")
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            if not size:
                path.unlink()  # an empty file would be no table
            raise
    if not size:
        sync(path.parent)


def time_ns(text: str) -> int | None:
    """A time as nanoseconds since 1970, UTC unless it says otherwise; None where it is none or lies in the future."""
    at = read_time(text)
    if at is None:
        return None
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    found_ns = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    return found_ns if found_ns <= time.time_ns() + CLOCK_TOLERANCE_S * 10**9 else None


# --- one file ---------------------------------------------------------------------------------------------------------


def _read_file(path: Path, known_ids: Set[str], domains: Set[str]) -> Iterator[Decision | Problem]:
    modified_ns = path.stat().st_mtime_ns
    try:
        sheet = read_sheet(table_bytes(path), "photo_id", lambda cell: written_id(cell) in known_ids)
    except ValueError as error:
        yield Problem(path.name, 0, "file", path.name, str(error))
        return
    if wrong := _wrong_header(sheet):
        yield Problem(path.name, sheet.header_number, "header", ", ".join(sheet.columns), wrong)
        return
    rows = [record for record in sheet.records if any(record.cells)]
    for record in rows:
        item = _read_record(record, sheet, path.name, modified_ns, known_ids, domains)
        is_short = isinstance(item, Problem) or sheet.is_short(record)
        if is_short and record is rows[-1] and "decided_at" in sheet.columns and not record.text.endswith(("\n", "\r")):
            # Its process died over it: `append_decision` had not confirmed it to anybody.
            yield Problem(path.name, record.number, "row", record.text, "unfinished, not counted", is_fatal=False)
        elif item is not None:
            yield item


def _wrong_header(sheet: Sheet) -> str:
    missing = next((name for name in NEEDED_COLUMNS if name not in sheet.columns), None)
    return f"the column {missing} is missing" if missing else sheet.twice(DECISION_COLUMNS)


def _read_record(
    record: Record, sheet: Sheet, file: str, modified_ns: int, known_ids: Set[str], domains: Set[str]
) -> Decision | Problem | None:
    row = sheet.row(record)
    if trouble := sheet.trouble(record):
        return Problem(file, record.number, "row", record.text.strip(), trouble)
    if not row.get("decision"):
        return None
    row["photo_id"] = written_id(row.get("photo_id", ""))
    for name in ("decision", "reason", "move_to"):
        row[name] = re.sub(r"[\s-]+", "_", row.get(name, "").lower())
    if wrong := problem_of(row, known_ids, domains):
        return Problem(file, record.number, *wrong)
    at_ns = time_ns(row["decided_at"]) if row.get("decided_at") else None
    return Decision(
        photo_id=row["photo_id"],
        decision=row["decision"],
        reason=row["reason"] or None if row["decision"] == "drop" else None,
        move_to=row["move_to"] if row["decision"] == "move" else None,
        curator=row.get("curator") or None,
        note=row.get("note") or None,
        file=file,
        row=record.number,
        when=(modified_ns if at_ns is None else at_ns, file, record.number),
    )


def _unknown_id(photo_id: str) -> str:
    if re.fullmatch(r"\d+([.,]\d+)?[eE]\+?\d+", photo_id):
        return "a spreadsheet has rounded this number; copy the id from the batch, with its source, like flickr:4951000000"
    return "no photo of this id was ever listed" if photo_id else "the id is missing"

"""The reviewed CSVs: what curators wrote, read with patience for what spreadsheets do to a file.

The CSV is the contract: a file filled in by hand, one saved by a spreadsheet and one written by the review page are
read alike. A row has these columns (`DECISION_COLUMNS`), in any order, among any others:

    photo_id     as in the queue, like `flickr:4951…`; a bare number is Flickr's, and so is any address of a photo there
    decision     keep | drop | move | skip; empty: the row says nothing
    reason       for drop: wrong_tag | unfit_blur | no_person | edited | inappropriate | other
    move_to      for move: the name of a domain
    curator      who decided, in capitals or not; rows without it are those of one nameless curator
    note         free; needed by the reason `other`
    decided_at   optional: ISO 8601, UTC unless it says otherwise, like 2026-11-21T17:16:18.250Z
    counts_at    optional, likewise: when the row counts as said, where that is not `decided_at`

Only `photo_id` and `decision` must be there. A row's time is its `counts_at`, else its `decided_at`, else the file's
modification time; the later row counts, at equal times the one of the later file name, then the lower row. `skip`
takes back what the same curator decided about that photo before, and nothing else.

Clocks are set back and forth, so a program that has seen what was said before does not rely on its own: it gives its
row a `counts_at` right after the latest of that (a hybrid logical clock). No time makes a row invalid: one that cannot
be read is named, and the file's time counts instead; one that lies in the future is named.

Files that bokehflow writes are UTF-8 and begin with the mark that says so; the encoding of these is never guessed.
Text is made plain (`entered_text.one_line`) where it is written and where it is read, so that both see the same.

Nothing in the folder is ever changed, but that `append_decision` adds rows. Folders within it are read too. A bad row
is reported with file, row, column, value and what is allowed; the good rows of the same file count. A file that is not
read is named, and so is the copy of one that is.
"""

import codecs
import hashlib
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from pipeline.atomic import append_whole, sync
from pipeline.entered_text import one_line
from pipeline.errors import disk_failed
from pipeline.file_names import printable
from pipeline.photo_ids import written_id
from pipeline.plain_files import plain, read_plain
from pipeline.spreadsheet import Problem, Record, Sheet, csv_text, no_formula, read_sheet, table_bytes
from pipeline.times import read_time

DECISIONS = ("keep", "drop", "move", "skip")
REASONS = ("wrong_tag", "unfit_blur", "no_person", "edited", "inappropriate", "other")
"""Why a photo is dropped: the study's five reasons, and `other` with a note."""
REASONS_OF_PEOPLE = ("unfit_blur", "no_person")
"""Those that ask for a person, or for a background behind one."""
DECISION_COLUMNS = ("photo_id", "decision", "reason", "move_to", "curator", "note", "decided_at", "counts_at")
"""What is read of a reviewed CSV, and what `append_decision` writes."""
ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods")
"""Of tables; the last three are workbooks, which cannot be read and must not be passed over in silence."""
LITTER = ("thumbs.db", "desktop.ini", "icon\r")
"""What file managers leave in folders; like hidden files, it holds no decision unless it is called like a table."""
NEEDED_COLUMNS = ("photo_id", "decision")
CLOCK_TOLERANCE_S = 86_400
YEARS = 1970, 2261
"""Between which a time of a decision lies: two-digit years and zeros are none, and nanoseconds go no further."""
TIMED = re.compile(rb"(?:decided|counts)[\s_-]+at", re.IGNORECASE)
"""The names of the columns with times of rows, as the reader takes them."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One valid row.

    `when` orders decisions: nanoseconds since 1970 (UTC) of `counts_at`, else of `decided_at`, else of the file's last
    change; the file's path below the folder; the row, as a spreadsheet counts it (the header is 1). `clock_ns` is
    `decided_at` where something else counts.
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
    clock_ns: int | None = None

    @property
    def decided_ns(self) -> int:
        """For people: nanoseconds since 1970 by the clock of whoever decided."""
        return self.when[0] if self.clock_ns is None else self.clock_ns

    @property
    def person(self) -> str:
        """Who said it."""
        return person_of(self.curator or "")

    def __str__(self) -> str:
        about = self.move_to if self.decision == "move" else self.reason
        said = f"{self.decision} ({about})" if about else self.decision
        return f"{named(self.curator)}: {self.photo_id} {said} in {self.file}, row {self.row}"


def person_of(curator: str) -> str:
    """Names that differ in capitals only are one person, and so are all rows without a name."""
    return curator.casefold()


def folder_version(folder: Path) -> str:
    """Digest of the names and contents of all reviewed CSVs in the order in which they count, 16 hex digits.

    Where some rows bear their own time, the files' times matter beside them and are part of it. So are the names of
    files that are not read, which are reported.
    """
    tables, left = find_tables(folder)
    files = sorted(((_modified_ns(path), name, path) for name, path in tables.items()), key=lambda file: file[:2])
    contents = []  # one file after the other: a million decisions have 400 MB
    for _, _, path in files:
        content = _content(path)
        contents.append((hashlib.sha256(content).digest(), TIMED.search(content[:4096].replace(b"\0", b"")) is not None))
    timed = any(is_timed for _, is_timed in contents)
    digest = hashlib.sha256()
    for (modified_ns, name, _), (content_digest, _) in zip(files, contents, strict=True):
        digest.update(name.encode() + b"\0" + content_digest)
        digest.update(str(modified_ns).encode() if timed else b"")
    for problem in left:
        digest.update(f"\0{problem.file}".encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class FileRead:
    """The valid decisions of a file in the order of its rows, and its problems.

    It `is_final` where the same bytes say the same at any time and for any photos that are known beside those in it.
    """

    decisions: list[Decision]
    problems: list[Problem]
    is_final: bool


def read_decision_file(path: Path, name: str, known_ids: Set[str], domains: Set[str]) -> FileRead:
    """`read_decisions` of one file, called `name`."""
    decisions: list[Decision] = []
    problems: list[Problem] = []
    asked = False

    def is_photo(cell: str) -> bool:
        nonlocal asked
        asked = True
        return written_id(cell) in known_ids

    for item in _read_file(path, name, known_ids, domains, is_photo):
        decision, problem = item if isinstance(item, tuple) else (item, None)
        if isinstance(decision, Decision):
            decisions.append(decision)
        problems += [wrong for wrong in (decision, problem) if isinstance(wrong, Problem)]
    return FileRead(decisions, problems, is_final=not problems and not asked)


def read_decisions(
    folder: Path,
    known_ids: Set[str],
    domains: Set[str],
    read: Callable[[Path, str, Set[str], Set[str]], FileRead] = read_decision_file,
) -> tuple[list[Decision], list[Problem]]:
    """All valid decisions of the folder, the earliest first, and all problems.

    `known_ids` are the ids of every photo that was ever listed, `domains` the project's names of domains. Rows
    without a decision are passed over in silence: most of a half-filled batch is such. A folder that does not exist
    holds no decision.
    """
    there, problems = find_tables(folder)
    tables, copies = originals(there)
    problems += copies
    decisions: list[Decision] = []
    for name, path in tables.items():
        found = read(path, name, known_ids, domains)
        decisions += found.decisions
        problems += found.problems
    return sorted(decisions, key=lambda decision: decision.when), problems


def find_tables(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """The tables of the folder and all within it, by their name below it in order, and what is there besides.

    Links are followed. A file that holds decisions and cannot be reached is fatal. Other files are named, except what file
    managers leave.
    """
    tables: dict[str, Path] = {}
    left: list[Problem] = []
    for path, trouble in _walk(folder, set()):
        name = printable(path.relative_to(folder).as_posix())
        if trouble:
            left.append(Problem(name, 0, "file", path.name, trouble))
        elif (suffix := _table_suffix(path.name)) and not path.name.startswith((".", "~")):
            if path.suffix.lower() == suffix:
                tables[name] = path
            else:
                left.append(Problem(name, 0, "file", path.name, f"not read: it does not end in {suffix}", is_fatal=False))
        elif suffix:
            left.append(Problem(name, 0, "file", path.name, "not read: a program keeps it for itself", is_fatal=False))
        elif not path.name.startswith(".") and path.name.lower() not in LITTER:
            left.append(Problem(name, 0, "file", path.name, "not read: it is no CSV", is_fatal=False))
    return dict(sorted(tables.items())), sorted(left, key=lambda problem: problem.file)


def originals(tables: Mapping[str, Path]) -> tuple[dict[str, Path], list[Problem]]:
    """The tables without copies, and a note for each: a file with the very bytes of another says nothing new.

    Read, it would say again what was said before, as of the time when it was copied. The original is the one changed
    first, then the one of the shorter name.
    """
    sizes = Counter(map(_size, tables.values()))
    contents = {name: _content(path) for name, path in tables.items() if sizes[_size(path)] > 1}
    first: dict[bytes, str] = {}
    for name in sorted(contents, key=lambda name: (_modified_ns(tables[name]), len(name), name)):
        first.setdefault(contents[name], name)
    copies = {name: first[content] for name, content in contents.items() if content and first[content] != name}
    notes = [
        Problem(name, 0, "file", Path(name).name, f"not read: a copy of {original}, byte for byte", is_fatal=False)
        for name, original in copies.items()
    ]
    return {name: path for name, path in tables.items() if name not in copies}, notes


def _walk(folder: Path, above: Set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """All that is no folder, with what keeps it from being read; a folder that cannot be read stands for what is in it."""
    try:
        found = folder.stat()
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        yield folder, f"this folder cannot be read: {error.strerror}"
        return
    here = {*above, (found.st_dev, found.st_ino)}
    for path in entries:
        try:
            status = path.stat()
        except OSError as error:
            yield path, f"it cannot be read: {error.strerror}{' (a link that leads nowhere)' if path.is_symlink() else ''}"
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield path, "" if stat.S_ISREG(status.st_mode) else "this is no plain file"
        elif (status.st_dev, status.st_ino) not in here and not path.name.startswith("."):
            yield from _walk(path, here)


def _table_suffix(name: str) -> str:
    """The ending of a table that stands somewhere in the name, the last one; empty for none."""
    endings = [suffix.lower().rstrip("#~") for suffix in Path(name).suffixes]
    return next((suffix for suffix in reversed(endings) if suffix in ENDINGS), "")


def named(curator: object) -> str:
    """A curator in a sentence; tables have None or NaN for one without a name."""
    return curator if isinstance(curator, str) and curator else "a nameless curator"


def opinions(decisions: Sequence[Decision]) -> list[Decision]:
    """What counts in the end: the last word of each person about each photo unless it is `skip`, the earliest first.

    `decisions` in any order.
    """
    latest: dict[tuple[str, str], Decision] = {}
    for decision in sorted(decisions, key=lambda decision: decision.when):
        latest[decision.photo_id, decision.person] = decision
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
    return None


@dataclass(frozen=True)
class Verdict:
    """What a curator says about a photo, in the words of the CSV; empty where it says nothing.

    The note is plain text, and never one that undoes.
    """

    decision: str
    reason: str = ""
    move_to: str = ""
    note: str = ""


def append_decision(
    path: Path,
    photo_id: str,
    verdict: Verdict,
    curator: str = "",
    decided_at: datetime | None = None,
    counts_at: datetime | None = None,
) -> None:
    """Add one row to the CSV at `path` and return when it is on the disk; the file is made where it is missing.

    For programs that decide one photo at a time: one file for each curator and start of the program, ending in
    `.csv`, in the folder of reviewed CSVs. A row is written in one piece, so that whatever dies, at most the last row
    is torn, and that one is not yet confirmed. `decided_at` (with its time zone) is now by default; `counts_at` is
    said where it differs. The caller checks the values with `problem_of`.
    Raises `StorageError` when the disk does not take all of it; then the file is as it was before.
    """
    times = (_written(decided_at or datetime.now(UTC)), _written(counts_at) if counts_at else "")
    cells = (photo_id, verdict.decision, verdict.reason, verdict.move_to, curator, verdict.note, *times)
    row = csv_text([[no_formula(one_line(cell)) for cell in cells]]).encode()
    try:
        _append(path, row)
    except OSError as error:
        raise disk_failed(error, path.parent) from error


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _append(path: Path, row: bytes) -> None:
    """Add a row on a line of its own, or leave the file as it was: the rows after a torn one would not count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b", buffering=0, opener=plain) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            row = csv_text([DECISION_COLUMNS]).encode("utf-8-sig") + row
        elif os.pread(file.fileno(), 1, size - 1) != b"\n":
            row = b"\r\n" + row
        try:
            append_whole(file, row)
        except OSError:
            if not size:
                path.unlink()  # an empty file would be no table
            raise
    if not size:
        sync(path.parent)


def time_ns(text: str) -> int | None:
    """A time as nanoseconds since 1970, UTC unless it says otherwise; None where it is none, or in no year in which
    anybody decides."""
    at = read_time(text) if text else None
    if at is None or not YEARS[0] <= at.year <= YEARS[1]:
        return None
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


# --- one file ---------------------------------------------------------------------------------------------------------


Read = Decision | Problem | tuple[Decision, Problem]
"""A row: what was decided, what is wrong with it, or both."""


def _modified_ns(path: Path) -> int:
    """When the file was last changed; 0 where it has vanished since it was found."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _content(path: Path) -> bytes:
    try:
        return read_plain(path)
    except OSError:
        return b""


def _read_file(
    path: Path, name: str, known_ids: Set[str], domains: Set[str], is_photo: Callable[[str], bool]
) -> Iterator[Read]:
    modified_ns = _modified_ns(path)
    try:
        sheet = read_sheet(_declared(table_bytes(path)), "photo_id", is_photo)
    except OSError as error:
        yield Problem(name, 0, "file", path.name, f"it cannot be read: {error.strerror}")
        return
    except ValueError as error:
        yield Problem(name, 0, "file", path.name, str(error))
        return
    if wrong := _wrong_header(sheet):
        yield Problem(name, sheet.header_number, "header", ", ".join(sheet.columns), wrong)
        return
    rows = [record for record in sheet.records if not record.is_blank]
    read = sheet.reader(DECISION_COLUMNS)
    for record in rows:
        if trouble := sheet.trouble(record):
            item = Problem(name, record.number, "row", record.text.strip(), trouble)
        else:
            item = _read_row(read(record), (name, record.number), modified_ns, known_ids, domains)
        may_be_torn = bool(record.trouble) or sheet.is_short(record)
        if may_be_torn and record is rows[-1] and "decided_at" in sheet.columns and not record.text.endswith(("\n", "\r")):
            # The process died while it wrote this row, so nobody was told that the decision is safe. A row with all cells
            # is whole without a line end too, as Google Sheets writes it: of ours nothing but `counts_at` could be cut.
            yield Problem(name, record.number, "row", record.text, "unfinished, not counted", is_fatal=False)
        elif item is not None:
            yield item
    if sheet.doubt:
        yield from _doubtful_names(sheet, rows, name)


def _doubtful_names(sheet: Sheet, rows: Sequence[Record], file: str) -> Iterator[Problem]:
    """The first row of each curator of a decision whose name was read by a guess; its ASCII alone is certain."""
    read, first = sheet.reader(("decision", "curator")), dict[str, int]()
    for record in rows:
        cells = read(record)
        if cells.get("decision") and not cells.get("curator", "").isascii():
            first.setdefault(cells["curator"], record.number)
    allowed = f"the name is a guess, and {sheet.doubt}; else the rows count as those of a person of this name"
    for curator, number in first.items():
        yield Problem(file, number, "curator", curator, allowed, is_fatal=False)


def _declared(data: bytes) -> bytes:
    """A file that says it is UTF-8 is that, whatever happened to some of its bytes: only these are lost."""
    if not data.startswith(codecs.BOM_UTF8):
        return data
    return data.decode("utf-8", errors="replace").replace("\0", "").encode()


def _wrong_header(sheet: Sheet) -> str:
    missing = next((name for name in NEEDED_COLUMNS if name not in sheet.columns), None)
    return f"the column {missing} is missing" if missing else sheet.twice(DECISION_COLUMNS)


def _read_row(
    cells: Mapping[str, str], at: tuple[str, int], modified_ns: int, known_ids: Set[str], domains: Set[str]
) -> Read | None:
    """What the cells say that stand `at` a row of a file; None where they say nothing."""
    row = {name: one_line(cell) for name, cell in cells.items() if cell}
    if not row.get("decision"):
        return None
    row["photo_id"] = written_id(row.get("photo_id", ""))
    for name in ("decision", "reason", "move_to"):
        row[name] = _as_name(row.get(name, ""))
    if wrong := problem_of(row, known_ids, domains):
        return Problem(*at, *wrong)
    counts_ns, clock_ns, doubt = _times(row, modified_ns)
    decision = Decision(
        photo_id=row["photo_id"],
        decision=row["decision"],
        reason=row["reason"] or None if row["decision"] == "drop" else None,
        move_to=row["move_to"] if row["decision"] == "move" else None,
        curator=row.get("curator") or None,
        note=row.get("note") or None,
        file=at[0],
        row=at[1],
        when=(counts_ns, *at),
        clock_ns=clock_ns,
    )
    return (decision, Problem(*at, *doubt, is_fatal=False)) if doubt else decision


@lru_cache(1000)
def _as_name(text: str) -> str:
    """As names of decisions, reasons and domains are written."""
    return re.sub(r"[\s-]+", "_", text.lower())


def _times(row: Mapping[str, str], modified_ns: int) -> tuple[int, int | None, tuple[str, str, str] | None]:
    """When a row counts, what its clock said where that is something else, and what is odd about its times."""
    doubt = None
    read = {name: time_ns(row.get(name, "")) for name in ("counts_at", "decided_at")}
    for name, at_ns in read.items():
        if row.get(name) and at_ns is None:
            doubt = name, row[name], "is no time like 2026-11-21T17:16:18Z; that of the file counts"
    decided_ns = read["decided_at"]
    if decided_ns is not None and decided_ns > time.time_ns() + CLOCK_TOLERANCE_S * 10**9:
        doubt = "decided_at", row["decided_at"], "lies in the future; was a clock ahead?"
    counts_ns = read["counts_at"]
    if counts_ns is None:
        return modified_ns if decided_ns is None else decided_ns, None, doubt
    return counts_ns, decided_ns, doubt


def _unknown_id(photo_id: str) -> str:
    if re.fullmatch(r"\d+([.,]\d+)?[eE]\+?\d+", photo_id):
        return "a spreadsheet has rounded this number; copy the id from the batch, with its source, like flickr:4951000000"
    return "no photo of this id was ever listed" if photo_id else "the id is missing"

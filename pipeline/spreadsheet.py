"""CSVs that people open: read with patience for what spreadsheets do to a file, written so that none executes them.

Understood are commas, semicolons, tabs, and what a first line `sep=;` says; UTF-8 and UTF-16, each with or without mark,
and UTF-32 with one; the line ends of all systems; blank lines; cells in quotes, `="0012"`, an apostrophe before a
formula. A quotation mark that opens and does not close costs its own row only, however much it would swallow. A row
that is shorter than the header says nothing in the columns that it lacks; one that is longer is wrong.

No encoding is guessed: of other bytes the ASCII is certain, and `Sheet.doubt` says that the rest is not.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.counted import counted
from pipeline.plain_files import FileTooLarge, NotAPlainFile, read_plain
from pipeline.plain_text import plain

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", ";", "\t")
BLANKS = " \t\r\n\0\u00a0\ufeff\u200b"
FORMULAS = ("=", "+", "-", "@")
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""What a file may begin with, and what it is encoded in then; the longer marks first."""
MAX_BYTES, MAX_LINES = 32_000_000, 1_000_000
OPEN_QUOTE = "a quotation mark opens here and is not closed"
LONG_CELL = f"a cell is longer than {csv.field_size_limit():,} characters"
SAVE_AS_UTF8 = "save it as UTF-8 (in Excel: CSV UTF-8; in LibreOffice: Unicode (UTF-8) under character set)"


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row (1 is the first line) or, with row 0, with a whole file.

    It is fatal unless nobody was ever told that the row is safe.
    """

    file: str
    row: int
    column: str
    value: str
    allowed: str
    is_fatal: bool = True

    def __str__(self) -> str:
        at = f"{self.file}, row {self.row}" if self.row else self.file
        return f"{plain(at)}: {plain(self.column)} {self.value[:80]!r}: {self.allowed}"


@dataclass(frozen=True)
class Record:
    """A row: its number as a spreadsheet counts, its cells as written, and the text as it stands in the file.

    `trouble` says why it is no row, as where a quotation mark opens and does not close: then it is one line, split
    whatever it quotes.
    """

    number: int
    written: list[str]
    text: str
    trouble: str = ""

    @property
    def cells(self) -> list[str]:
        """The cells without what spreadsheets put around them."""
        return [_cell(cell) for cell in self.written]

    @property
    def is_blank(self) -> bool:
        """Whether no cell says anything."""
        return not any(map(_cell, self.written))


@dataclass(frozen=True)
class Sheet:
    """A table: names of columns in lower case with `_` for spaces, the text down to its header, and what is below.

    `written` are the names as they were before `aliases`. `doubt` says where the text may be wrong, since its bytes are
    in no encoding that can be told; empty where it is certain.
    """

    columns: list[str]
    written: list[str]
    header_number: int
    head: str
    records: Iterator[Record]
    doubt: str = ""

    def row(self, record: Record) -> dict[str, str]:
        """Cells by column; those of nameless columns are left out."""
        return self.reader(self.columns)(record)

    def reader(self, names: Collection[str]) -> Callable[[Record], dict[str, str]]:
        """What reads these columns of a row, as `row` reads all: a batch has thirty, and a decision takes eight."""
        wanted = set(names)
        places = [(name, place) for place, name in enumerate(self.columns) if name and name in wanted]

        def read(record: Record) -> dict[str, str]:
            written = record.written
            return {name: _cell(written[place]) for name, place in places if place < len(written)}

        return read

    def trouble(self, record: Record) -> str:
        """Why nothing of the row can be believed; empty where all can."""
        if record.trouble or len(record.written) <= len(self.columns):
            return record.trouble
        filled = max((place for place, cell in enumerate(record.cells, 1) if cell), default=0)
        if filled <= len(self.columns):
            return ""
        return (
            f"it has {counted(filled, 'cell')}, the header {len(self.columns)}: a cell that holds a separator must stand in "
            "quotation marks"
        )

    def is_short(self, record: Record) -> bool:
        """Whether columns of the header are missing at the row's end, as spreadsheets leave empty cells out."""
        return len(record.written) < len(self.columns)

    def twice(self, names: Collection[str]) -> str:
        """Which of the columns `names` is there more than once, by its own name or an alias; empty where none is."""
        for name in names:
            given = [was for was, column in zip(self.written, self.columns, strict=True) if column == name]
            if len(given) > 1:
                also = f" ({', '.join(given)})" if set(given) != {name} else ""
                return f"the column {name} is there {len(given)} times{also}; leave one"
        return ""


def read_sheet(
    data: bytes,
    key: str = "",
    is_key: Callable[[str], bool] = lambda cell: False,
    aliases: Mapping[str, str] | None = None,
) -> Sheet:
    """The table in a file's bytes. Raises `ValueError` where there is none: an empty file, a workbook, an open header,
    broken Unicode, more than `MAX_LINES`.

    `is_key` knows the cells of the column `key`: a line that has one begins a row, whatever quotation mark is open.
    `aliases` are other names of columns.
    """
    text, doubt = _text(data)
    lines = _lines(text)
    start = next(position for position, line in enumerate(lines) if line.strip(BLANKS))
    told = re.fullmatch(r'"?sep=(.)"?[,;\t]*', lines[start].strip(" \r\n"), re.IGNORECASE)
    start += bool(told)
    if start == len(lines):
        raise ValueError("the file is empty")

    def header(separator: str) -> tuple[int, list[str], list[str]]:
        _, end, cells = next(_parsed(lines, start, separator))
        names = [re.sub(r"[\s-]+", "_", _cell(cell).lower()) for cell in cells or ()]
        return end, names, [(aliases or {}).get(name, name) for name in names]

    best = max(SEPARATORS, key=lambda each: (bool(key) and key in header(each)[2], lines[start].count(each)))
    separator = told[1] if told else best
    end, names, columns = header(separator)
    if not names:
        raise ValueError("the header's quotation marks do not close")
    begins_row = _row_test(separator, columns.index(key), is_key) if key in columns else lambda lines: False
    records = _records(lines, end, start + 2, separator, begins_row)
    return Sheet(columns, names, start + 1, "".join(lines[:end]), records, doubt)


def table_bytes(path: Path) -> bytes:
    """What is in a file that should be a table. Raises `ValueError` where it is no plain file, or too large for one."""
    try:
        return read_plain(path, MAX_BYTES)
    except NotAPlainFile:
        raise ValueError("this is no plain file") from None
    except FileTooLarge:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, allowed are {MAX_BYTES:,}: divide it") from None


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows by column of any such table, unjudged; none where it is no table."""
    try:
        sheet = read_sheet(table_bytes(path))
    except ValueError:
        return
    yield from map(sheet.reader(sheet.columns), sheet.records)


def csv_text(rows: Iterable[Sequence[object]], line_end: str = "\r\n") -> str:
    """The rows as spreadsheets write them."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=line_end).writerows(rows)
    return buffer.getvalue()


def before_next_row(file: BinaryIO, columns: Sequence[str]) -> bytes:
    """What an open CSV needs before a further row: its header where it is empty, and an end of the last line where it has
    none, so that whoever was interrupted in the middle of a line loses that one alone."""
    if not (size_bytes := file.seek(0, io.SEEK_END)):
        return csv_text([columns]).encode()
    file.seek(size_bytes - 1)
    return b"" if file.read(1) == b"\n" else b"\r\n"


def no_formula(cell: str) -> str:
    """A spreadsheet executes a cell that begins like a formula; a leading apostrophe makes it text."""
    return f"'{cell}" if cell.startswith((*FORMULAS, "\t", "\r", "\n")) else cell


def harmless(cell: object) -> object:
    """Nothing that a spreadsheet would execute, even one that takes another separator for granted and splits the cell."""
    if not isinstance(cell, str) or (cell.isascii() and cell.isprintable() and not _MAY_BE_RUN.search(cell)):
        return cell
    return no_formula(_FORMULA_INSIDE.sub(r"\1'\2", plain(cell, keep="\t\r\n")))


_FORMULA_INSIDE = re.compile(r"([,;\t\r\n|]\s*)([=+@-])")
_MAY_BE_RUN = re.compile(r"^[=+@-]|[,;|]\s*[=+@-]")
"""In text of printable ASCII; nearly none has it, and to know that takes a tenth of the time."""


def harmless_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """`harmless` of each cell; Arrow tells those apart that may have to change, which are few."""
    import numpy as np
    import pandas as pd
    import pyarrow as arrow
    from pyarrow import compute

    def column(cells: pd.Series) -> pd.Series:
        if pd.api.types.is_numeric_dtype(cells):
            return cells
        is_text = isinstance(cells.dtype, pd.StringDtype)
        known = cells if is_text else [value if isinstance(value, str) else None for value in cells.tolist()]
        texts = arrow.array(known, arrow.large_string(), from_pandas=True)
        is_doubtful = compute.call_function("match_substring_regex", [texts], compute.MatchSubstringOptions(DOUBTFUL))
        places = np.flatnonzero(is_doubtful.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
        if not places:
            return cells
        values = cells.astype(object).tolist()
        for place in places:
            values[place] = harmless(values[place])
        return pd.Series(values, cells.index, dtype=object)

    return pd.DataFrame({name: column(cells) for name, cells in table.items()}, table.index)


DOUBTFUL = f"{_MAY_BE_RUN.pattern}|[^ -~]"
"""What `harmless` may change has one of these; for Arrow's regular expressions."""


# --- reading ------------------------------------------------------------------------------------------------------------


def _text(data: bytes) -> tuple[str, str]:
    """The file's text, and the doubt about it."""
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError("this is an Excel workbook and no CSV; open it there and save it as CSV")
    text, doubt = _decoded(data)
    if not text.strip(BLANKS):
        raise ValueError("the file is empty")
    if re.match(r"\s*(\[\s*)?\{", text):
        raise ValueError("this is JSON, not a CSV: a CSV has the names of its columns in the first row")
    if text.count("\n") + text.count("\r") - text.count("\r\n") > MAX_LINES:
        raise ValueError(f"it has more than {MAX_LINES:,} lines: divide it")
    return text, doubt


def _decoded(data: bytes) -> tuple[str, str]:
    """Unicode where it is; else Windows-1252, of which the ASCII alone is certain."""
    mark = next((mark for mark in MARKS if data.startswith(mark)), b"")
    encoding = MARKS[mark] if mark else _unmarked(data)
    try:
        return data[len(mark) :].decode(encoding), ""
    except UnicodeDecodeError as error:
        if mark or encoding != "utf-8":
            raise ValueError(f"it is broken {encoding.upper()}: {SAVE_AS_UTF8}") from error
        row = 1 + len(re.findall(rb"\r\n|\r|\n", data[: error.start]))
        around = data[max(0, error.start - 10) : error.start + 10].splitlines()
        found = next(piece for piece in around if not piece.isascii())
        doubt = f"line {row}, at {str(found)[1:]}: its encoding cannot be told: {SAVE_AS_UTF8}"
        return data.decode("cp1252", errors="replace"), doubt


def _unmarked(data: bytes) -> str:
    """The encoding of a file without mark: a header of UTF-16 has NULs, one of UTF-8 none, though a note may hold some."""
    begin = (len(data) - len(data.lstrip(b"\r\n\0"))) & ~1
    header = re.split(rb"[\r\n]", data[begin : begin + 4096], maxsplit=1)[0]
    low, high = header[::2].count(0), header[1::2].count(0)
    return "utf-8" if not low + high else "utf-16-le" if high > low else "utf-16-be"


def _lines(text: str) -> list[str]:
    if "\r" not in text:
        return io.StringIO(text, newline="").readlines()
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)


def _records(
    lines: list[str], start: int, number: int, separator: str, begins_row: Callable[[list[str]], bool]
) -> Iterator[Record]:
    """The rows from line `start` on. After one whose quotation mark does not close, reading goes on at the next line."""
    while start < len(lines):
        for first, end, cells in _parsed(lines, start, separator):
            if cells is None or (end - first > 1 and begins_row(lines[first:end])):
                line = lines[first]
                trouble = LONG_CELL if len(line) > csv.field_size_limit() else OPEN_QUOTE
                yield Record(number, line.split(separator), line, trouble)
                start, number = first + 1, number + 1
                break
            yield Record(number, cells, "".join(lines[first:end]))
            start, number = end, number + 1


def _parsed(lines: list[str], start: int, separator: str) -> Iterator[tuple[int, int, list[str] | None]]:
    """First line, line after the last, and cells of each record; None for cells that a quotation mark never ends."""
    feed = (lines[position] for position in range(start, len(lines)))  # a slice would be copied at each open mark
    reader = csv.reader(feed, delimiter=separator)
    first = start
    while first < len(lines):
        try:
            cells = next(reader)
        except csv.Error:  # a cell beyond csv's limit: all that an open quotation mark has swallowed
            yield first, len(lines), None
            return
        end = start + reader.line_num
        open_to_the_end = end == len(lines) and _is_open(lines[first:end], separator)
        yield first, end, None if open_to_the_end else cells
        first = end


def _is_open(record: list[str], separator: str) -> bool:
    """Whether one more line would still belong to the record."""
    if not any('"' in line for line in record):
        return False
    ended = [*record[:-1], record[-1].rstrip("\r\n") + "\n", "next\n"]
    try:
        return len(list(csv.reader(ended, delimiter=separator))) == 1
    except csv.Error:  # the one more line was one too many for a cell
        return True


def _row_test(separator: str, position: int, is_key: Callable[[str], bool]) -> Callable[[list[str]], bool]:
    """A test whether a record's lines below the first look like rows of their own, by their cell at `position`."""

    def has_key(line: str) -> bool:
        cells = line.split(separator)
        return 1 < len(cells) > position and is_key(_cell(cells[position].strip('"')))

    def test(lines: list[str]) -> bool:
        # The last line may hold the record's own key, where that stands behind a cell of several lines.
        is_last = has_key(lines[-1]) and (position == 0 or has_key(lines[0]))
        return is_last or any(map(has_key, lines[1:-1]))

    return test


def _cell(cell: str) -> str:
    if not cell or cell.isalnum():
        return cell
    stripped = cell.replace("\0", "").strip(BLANKS)
    if stripped.startswith('="') and re.fullmatch(r'="[^"]*"', stripped):
        return stripped[2:-1]  # how a spreadsheet is made to leave a number alone
    return stripped[1:] if stripped[:1] == "'" and stripped[1:2] in FORMULAS else stripped

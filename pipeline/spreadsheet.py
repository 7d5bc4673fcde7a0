"""CSVs that people open: read with patience for what spreadsheets do to a file, written so that none executes them.

Understood are commas, semicolons, tabs, and what a first line `sep=;` says; UTF-8 with or without mark, UTF-16 and
Windows-1252; the line ends of all systems; blank lines; cells in quotes, `="0012"`, an apostrophe before a formula. A
quotation mark that opens and does not close costs its own row only, however much it would swallow.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SEPARATORS = (",", ";", "\t")
BLANKS = " \t\r\n\u00a0\ufeff\u200b"
FORMULAS = ("=", "+", "-", "@")
OPEN_QUOTE = "a quotation mark opens here and is not closed"


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row (1 is the first line) or, with row 0, with a whole file.

    Not fatal is only what had not been confirmed to anybody.
    """

    file: str
    row: int
    column: str
    value: str
    allowed: str
    is_fatal: bool = True

    def __str__(self) -> str:
        at = f"{self.file}, row {self.row}" if self.row else self.file
        return f"{at}: {self.column} {self.value[:80]!r}: {self.allowed}"


@dataclass(frozen=True)
class Record:
    """A row: its number as a spreadsheet counts, its stripped cells, and the text as it stands in the file.

    `broken` where a quotation mark opens and does not close: then it is one line, split whatever it quotes.
    """

    number: int
    cells: list[str]
    text: str
    broken: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table: names of columns in lower case with `_` for spaces, the text down to its header, and what is below."""

    columns: list[str]
    header_number: int
    head: str
    records: Iterator[Record]

    def row(self, record: Record) -> dict[str, str]:
        """Cells by column; those of nameless columns are left out."""
        return {name: cell for name, cell in zip(self.columns, record.cells, strict=False) if name}


def read_sheet(
    data: bytes,
    key: str = "",
    is_key: Callable[[str], bool] = lambda cell: False,
    aliases: Mapping[str, str] | None = None,
) -> Sheet:
    """The table in a file's bytes. Raises `ValueError` where there is none: an empty file, a workbook, an open header.

    `is_key` knows the cells of the column `key`: a line that has one begins a row, whatever quotation mark is open.
    `aliases` are other names of columns.
    """
    lines = _lines(_text(data))
    start = next(position for position, line in enumerate(lines) if line.strip())
    told = re.fullmatch(r'"?sep=(.)"?', lines[start].strip(" \r\n"), re.IGNORECASE)
    start += bool(told)
    if start == len(lines):
        raise ValueError("the file is empty")
    separator = told[1] if told else max(SEPARATORS, key=lines[start].count)
    _, end, cells = next(_parsed(lines, start, separator))
    if cells is None:
        raise ValueError("the header's quotation marks do not close")
    names = [re.sub(r"[\s-]+", "_", _cell(cell).lower()) for cell in cells]
    columns = [(aliases or {}).get(name, name) for name in names]
    begins_row = _row_test(separator, columns.index(key), is_key) if key in columns else lambda lines: False
    return Sheet(columns, start + 1, "".join(lines[:end]), _records(lines, end, start + 2, separator, begins_row))


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows by column of any such table, unjudged; none where it is no table."""
    try:
        sheet = read_sheet(path.read_bytes())
    except ValueError:
        return
    yield from map(sheet.row, sheet.records)


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """The rows as spreadsheets write them."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue()


def no_formula(cell: str) -> str:
    """A spreadsheet executes a cell that begins like a formula; a leading apostrophe makes it text."""
    return f"'{cell}" if cell.startswith((*FORMULAS, "\t", "\r", "\n")) else cell


def harmless(cell: object) -> object:
    """Nothing that a spreadsheet would execute, even one that takes another separator for granted and splits the cell."""
    return no_formula(re.sub(r"([,;\t\r\n|]\s*)([=+@-])", r"\1'\2", cell)) if isinstance(cell, str) else cell


# --- reading ------------------------------------------------------------------------------------------------------------


def _text(data: bytes) -> str:
    """The file's text, whatever encoding a spreadsheet chose."""
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError("this is an Excel workbook under the name of a CSV; open it there and save it as CSV")
    text = _decoded(data)
    if not text.strip():
        raise ValueError("the file is empty")
    return text


def _decoded(data: bytes) -> str:
    head = data[:400]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    if head.count(b"\0") > len(head) // 4:
        return data.decode("utf-16-le" if head[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


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
                yield Record(number, [_cell(cell) for cell in line.split(separator)], line, broken=True)
                start, number = first + 1, number + 1
                break
            yield Record(number, [_cell(cell) for cell in cells], "".join(lines[first:end]))
            start, number = end, number + 1


def _parsed(lines: list[str], start: int, separator: str) -> Iterator[tuple[int, int, list[str] | None]]:
    """First line, line after the last, and cells of each record; None for cells that a quotation mark never ends."""
    feed = iter(lines[start:])
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
    stripped = cell.replace("\0", "").strip(BLANKS)
    if stripped.startswith('="') and re.fullmatch(r'="[^"]*"', stripped):
        return stripped[2:-1]  # how a spreadsheet is made to leave a number alone
    return stripped[1:] if stripped[:1] == "'" and stripped[1:2] in FORMULAS else stripped

"""What a lab tells about pictures of its own: a CSV, read with patience for what spreadsheets do to a file.

Columns, in any order and with any capitals; only `file` is needed, unknown ones are named and passed over:

    file         path below the imported folder (or the bare name, where only one file has it); capitals need only be
                 right where files differ in nothing else
    owner        an id of whoever owns the picture
    owner_name   the name to attribute it to
    license      an id, name or address of a licence (`4`, `CC BY 2.0`, `cc-by-sa-3.0`); other words are kept as they are
    page_url     a link to where the picture is shown; `link` and `url` will do
    title        for people
    tags         separated by commas or semicolons; where there are none, by spaces
    date_taken   the camera's clock: 2024-03-05, 2024-03-05 12:30:00, 05.03.2024; 3/5/2024 is refused, it has two meanings
    date_upload  when it was published, UTC unless it says otherwise; written alike, or as Unix seconds
    split        the side that its authors have it on: `train` or `test`; `val` counts as `test`, it is held back
    pair         what it shares with its other half, the same scene in the other domain

`pipeline.spreadsheet` and `pipeline.times` say what is understood. What it says goes into attributions, so nothing is
guessed: a column that is there twice, an encoding that cannot be told and a row whose cells have shifted are refused.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import ConfigError
from pipeline.licenses import license_id
from pipeline.spreadsheet import Problem, Sheet, read_sheet, table_bytes
from pipeline.times import read_time

COLUMNS = (
    "file",
    "owner",
    "owner_name",
    "license",
    "page_url",
    "title",
    "tags",
    "date_taken",
    "date_upload",
    "split",
    "pair",
)
ALIASES = {"filename": "file", "file_name": "file", "licence": "license", "link": "page_url", "url": "page_url"}
SIDES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "dev", "eval"), "test"),
}
"""How people write the side of the split; what is held back from training is for testing."""
CELL_CHARACTERS = 10_000
"""No owner or title is longer; a cell that is has swallowed what is not its own."""


@dataclass(frozen=True)
class Told:
    """What a row says about its file; `None` where it says nothing."""

    owner: str | None = None
    owner_name: str | None = None
    title: str | None = None
    tags: str | None = None
    license: str | None = None
    page_url: str | None = None
    date_upload_s: int | None = None
    date_taken: str | None = None
    split: str | None = None
    pair: str | None = None


NOTHING_TOLD = Told()


@dataclass(frozen=True)
class Metadata:
    """A CSV as read: `told` by path below the folder, files whose row is wrong, columns that nobody knows, short rows."""

    told: Mapping[str, Told]
    problems: tuple[Problem, ...] = ()
    spoiled: frozenset[str] = frozenset()
    unknown_columns: tuple[str, ...] = ()
    short_rows: tuple[int, ...] = ()


def read_metadata(path: Path, folder: Path, files: list[str]) -> Metadata:
    """The CSV at `path` about `files`, paths below the imported `folder`.

    Raises `ConfigError` where the file as a whole cannot be used.
    """
    find = _finder(path, folder, files)
    sheet = _sheet(path, lambda cell: find(cell)[0] is not None)
    told: dict[str, Told] = {}
    rows_of: dict[str, int] = {}
    problems: list[Problem] = []
    spoiled: set[str] = set()
    short: list[int] = []
    read = sheet.reader(sheet.columns)
    for record in sheet.records:
        row, number = read(record), record.number
        if record.is_blank:
            continue
        file, unfound = find(row.get("file", ""))
        if trouble := sheet.trouble(record):
            problems.append(Problem(path.name, number, "row", record.text.strip(), trouble))
            spoiled |= {file} if file else set()
        elif file is None:
            problems.append(Problem(path.name, number, "file", row.get("file", ""), unfound))
        elif file in rows_of:
            problems.append(Problem(path.name, number, "file", row["file"], f"row {rows_of[file]} is about it too"))
            spoiled.add(file)
        else:
            rows_of[file] = number
            told[file], wrong = read_row(row)
            problems += [Problem(path.name, number, column, row[column], allowed) for column, allowed in wrong]
            spoiled |= {file} if wrong else set()
            short += [number] if sheet.is_short(record) else []
    unknown = tuple(name for name in sheet.columns if name and name not in COLUMNS)
    return Metadata(told, tuple(problems), frozenset(spoiled), unknown, tuple(short))


def _sheet(path: Path, is_file: Callable[[str], bool]) -> Sheet:
    try:
        sheet = read_sheet(table_bytes(path), "file", is_file, ALIASES)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if sheet.doubt:
        raise ConfigError(f"{path}, {sheet.doubt}")
    wrong = sheet.twice(COLUMNS)
    if "file" not in sheet.columns:
        wrong = f"the column file is missing; found are {', '.join(filter(None, sheet.columns))}"
    if wrong:
        raise ConfigError(f"{path}, row {sheet.header_number}: {wrong}")
    return sheet


def _finder(csv: Path, folder: Path, files: list[str]) -> Callable[[str], tuple[str | None, str]]:
    """From what a cell says to one of `files`, or `None` and why not.

    It is a path before it is a name, and either as it is written before any other reading. A path begins at the folder,
    at the CSV, or at the root.
    """
    indexes = [(alike, _by(files, of, alike)) for of in (str, _name) for alike in (str, _composed, _plain)]
    here, roots = os.path.abspath(csv.parent), [os.path.abspath(folder), os.path.realpath(folder)]

    def find(cell: str) -> tuple[str | None, str]:
        if not cell:
            return None, "which file the row is about must be said"
        wanted = os.path.normpath(cell.replace("\\", "/"))
        found = next((index[alike(wanted)] for alike, index in indexes if alike(wanted) in index), [])
        if not found and "/" in wanted:
            whole = os.path.normpath(os.path.join(here, wanted))
            below = (whole[len(root) + 1 :] for root in roots if whole.startswith(f"{root}/"))
            found = next((index[alike(path)] for path in below for alike, index in indexes[:3] if alike(path) in index), [])
        if len(found) > 1:
            return None, f"several files may be meant: {', '.join(found[:3])}; write the path, as the file is named"
        return (found[0], "") if found else (None, "there is no such picture in the folder")

    return find


def _by(files: list[str], of: Callable[[str], str], alike: Callable[[str], str]) -> dict[str, list[str]]:
    index: dict[str, list[str]] = {}
    for file in files:
        index.setdefault(alike(of(file)), []).append(file)
    return index


def _name(path: str) -> str:
    return PurePosixPath(path).name


def _composed(path: str) -> str:
    """File systems differ in how they compose an ä."""
    return unicodedata.normalize("NFC", path)


def _plain(path: str) -> str:
    """Spreadsheets and file systems differ in capitals too."""
    return _composed(path).casefold()


def read_row(row: Mapping[str, str]) -> tuple[Told, list[tuple[str, str]]]:
    """What the row says, and its columns that cannot be used, each with what is allowed."""
    limit = f"a cell has at most {CELL_CHARACTERS:,} characters"
    wrong = [(column, limit) for column in COLUMNS if len(row.get(column, "")) > CELL_CHARACTERS]
    uploaded, taken, page_url = row.get("date_upload", ""), row.get("date_taken", ""), row.get("page_url", "")
    seconds = int(uploaded) if re.fullmatch(r"[0-9]{9,10}", uploaded) else None
    # Most rows of a long list say nothing of times, and to find that out by trying every form takes most of its time.
    uploaded_at = read_time(uploaded) if uploaded and not seconds else None
    taken_at = read_time(taken) if taken else None
    if uploaded and not (seconds or uploaded_at):
        wrong.append(("date_upload", "write it like 2024-03-05 12:30:00, or as Unix seconds"))
    if taken and not taken_at:
        wrong.append(("date_taken", "write it like 2024-03-05 or 2024-03-05 12:30:00"))
    if page_url and not re.match(r"https?://[^\s/]", page_url):
        wrong.append(("page_url", "must begin with http:// or https://"))
    split = row.get("split", "").lower()
    if split and split not in SIDES:
        wrong.append(("split", f"must be train or test ({', '.join(sorted({*SIDES} - {'train', 'test'}))} are understood)"))
    told = Told(
        owner=row.get("owner") or None,
        owner_name=row.get("owner_name") or None,
        title=row.get("title") or None,
        tags=_tags(row.get("tags", "")),
        license=license_id(row["license"]) if row.get("license") else None,
        page_url=page_url or None,
        date_upload_s=seconds if uploaded_at is None else int(uploaded_at.timestamp()),
        date_taken=f"{taken_at:%Y-%m-%d %H:%M:%S}" if taken_at else None,
        split=SIDES.get(split),
        pair=row.get("pair") or None,
    )
    return told, wrong


def _tags(written: str) -> str | None:
    tags = re.split(r"[,;]", written) if re.search(r"[,;]", written) else written.split()
    return " ".join(tag for tag in ("".join(tag.lower().split()) for tag in tags) if tag) or None

"""Lists of addresses, as other tools' users have them: CSV, TSV, JSON Lines or Parquet, read a row at a time.

A row has an address under `url` and whatever else `pipeline.photos.metadata` knows: owner, licence, caption, pair, split and
so on, each optional. Nothing of the list stays in memory but its rows' digests, so that a million rows take no more room
than a thousand.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.bounded import parse_json
from pipeline.config import LIST_ENDINGS
from pipeline.errors import ConfigError
from pipeline.links import is_web
from pipeline.parquet_files import parquet_path
from pipeline.photos.metadata import COLUMNS as TOLD
from pipeline.photos.metadata import Told, read_row
from pipeline.plain_files import open_plain
from pipeline.spreadsheet import Problem

COLUMNS = ("url", *(name for name in TOLD if name != "file"))
ALIASES = {
    "image_url": "url", "caption": "title", "text": "title", "licence": "license", "author": "owner_name",
    "link": "page_url", "pair_id": "pair",
}  # fmt: skip
LONGEST_ADDRESS = 2000
LONGEST_LINE = 1_000_000
"""Bytes of a line of JSON, characters of one of a table: a file without line ends would else fill memory."""
ROWS_AT_ONCE = 4096
"""Of a Parquet file."""

Cells = Mapping[str, str]


@dataclass(frozen=True)
class ListedPhoto:
    """A good row: its number, where the picture is, and what is told about it."""

    row: int
    url: str
    told: Told

    def told_with_page(self) -> Told:
        """What is told; where no page is, the picture's own address is the link to it."""
        return replace(self.told, page_url=self.told.page_url or self.url)


@dataclass
class UrlList:
    """A list on disk. `read` gives its rows; `unknown` are the columns passed over, known once reading began."""

    path: Path
    unknown: list[str] = field(default_factory=list)
    repeated: int = 0
    """Rows that were passed over since an earlier one has their address."""

    def read(self) -> Iterator[ListedPhoto | Problem]:
        """Every row but repetitions, or what is wrong with it. Rows count as in the file, 1 being a table's header.

        Raises `ConfigError` where the file as a whole, or what follows a row, cannot be read.
        """
        seen: set[bytes] = set()
        for number, cells in self._rows():
            if isinstance(cells, str):
                yield Problem(self.path.name, number, "row", "", cells)
                continue
            wrong = list(self._wrong(cells))
            told, more = read_row(cells)
            if wrong or more:
                yield from (Problem(self.path.name, number, name, cells.get(name, ""), why) for name, why in [*wrong, *more])
                continue
            digest = hashlib.blake2b(cells["url"].encode(), digest_size=10).digest()
            self.repeated += digest in seen
            if digest not in seen:
                seen.add(digest)
                yield ListedPhoto(number, cells["url"], told)

    def _wrong(self, cells: Cells) -> Iterator[tuple[str, str]]:
        url = cells.get("url", "")
        if not is_web(url) or not url.isprintable() or " " in url:
            yield "url", "must be an address that begins with http:// or https://"
        elif len(url) > LONGEST_ADDRESS:
            yield "url", f"an address has at most {LONGEST_ADDRESS:,} characters"

    def _rows(self) -> Iterator[tuple[int, Cells | str]]:
        """The number of each row with its cells, or with what is wrong with it."""
        kind = self.path.suffix.lower()
        if kind not in LIST_ENDINGS:
            raise ConfigError(f"{self.path}: is no list of addresses, whose names end in {', '.join(LIST_ENDINGS)}")
        try:
            if kind == ".parquet":
                yield from self._of_parquet()
            elif kind in (".csv", ".tsv"):
                yield from self._of_text("\t" if kind == ".tsv" else None)
            else:
                yield from self._of_json()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.path}: is not UTF-8: {error}; save it as UTF-8") from None
        except (OSError, csv.Error, pa.ArrowException) as error:
            raise ConfigError(f"{self.path}: cannot be read: {str(error)[:300]}") from error

    def _of_text(self, separator: str | None) -> Iterator[tuple[int, Cells | str]]:
        with open_plain(self.path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            lines = self._lines(text)
            first = next(lines, "")
            found = separator or max(",;\t", key=first.count)
            names = self._names(next(csv.reader([first], delimiter=found), []))
            for number, cells in enumerate(csv.reader(lines, delimiter=found), 2):
                if len(cells) > len(names):
                    yield number, f"has {len(cells)} cells, the header {len(names)}: is a separator missing its quotes?"
                elif any(cells):
                    yield number, {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}

    def _lines(self, text: io.TextIOWrapper) -> Iterator[str]:
        for number in count(1):
            line = text.readline(LONGEST_LINE)
            if not line:
                return
            if len(line) == LONGEST_LINE:
                raise ConfigError(f"{self.path}, line {number}: is longer than {LONGEST_LINE:,} characters")
            yield line

    def _of_json(self) -> Iterator[tuple[int, Cells | str]]:
        names: dict[str, str] = {}
        with open_plain(self.path) as file:
            for number in count(1):
                line = file.readline(LONGEST_LINE)
                if not line:
                    return
                if len(line) == LONGEST_LINE:
                    raise ConfigError(f"{self.path}, row {number}: is longer than {LONGEST_LINE:,} bytes")
                if line.strip():
                    yield number, self._of_object(line, names)

    def _of_object(self, line: bytes, names: dict[str, str]) -> Cells | str:
        try:
            found = parse_json(line)
        except ValueError as error:
            return f"is no JSON: {str(error)[:100]}"
        if not isinstance(found, dict):
            return "is no JSON object"
        for new in [name for name in found if name not in names]:
            (names[new],) = self._names([new], whole=False)
        cells = {names[name]: value for name, value in found.items() if names[name]}
        if odd := [name for name, value in cells.items() if not isinstance(value, str | int | float | None)]:
            return f"{odd[0]} is neither text nor a number"
        return {name: _cell(value) for name, value in cells.items()}

    def _of_parquet(self) -> Iterator[tuple[int, Cells | str]]:
        with pq.ParquetFile(parquet_path(self.path)) as file:
            schema = file.schema_arrow
            names = dict(zip(schema.names, self._names(schema.names), strict=True))
            here = [name for name in schema.names if names[name]]
            if odd := [name for name in here if pa.types.is_nested(schema.field(name).type)]:
                raise ConfigError(f"{self.path}: its column {odd[0]} is neither text nor numbers")
            number = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=here, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {names[name]: _cell(value) for name, value in row.items()}

    def _names(self, written: Sequence[str], whole: bool = True) -> list[str]:
        """Our names of the columns, empty for those passed over. Raises `ConfigError` where they cannot be used."""
        lowered = [name.strip().lower() for name in written]
        names = [ALIASES.get(name, name) for name in lowered]
        self.unknown += [_meant(name) for name in names if name and name not in COLUMNS]
        known = [name if name in COLUMNS else "" for name in names]
        if twice := [name for name in COLUMNS if known.count(name) > 1]:
            raise ConfigError(f"{self.path}: the column {twice[0]} is there more than once")
        if whole and "url" not in known:
            raise ConfigError(f"{self.path}: the column url is missing; found are {', '.join(lowered)[:300] or 'none'}")
        return known


def _meant(name: str) -> str:
    alike = get_close_matches(name, COLUMNS, 1)
    return f"{name} (did you mean {alike[0]}?)" if alike else name


def _cell(value: object) -> str:
    return "" if value is None else str(value).strip()

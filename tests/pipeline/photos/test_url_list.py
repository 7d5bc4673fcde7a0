"""Lists of addresses in every format, and what is wrong with their rows."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError
from pipeline.package_files import CODE
from pipeline.photos.url_list import ListedPhoto, UrlList
from pipeline.spreadsheet import Problem

ROWS = [
    {"URL": "https://x.org/1.jpg", "Caption": "One, or more", "licence": "CC BY 4.0", "split": "val", "pair": "p"},
    {"URL": "https://x.org/2.jpg", "Caption": None, "licence": None, "split": "train", "pair": None},
]


def written(path: Path) -> Path:
    """`ROWS` in the format that the file's ending names."""
    columns = list(ROWS[0])
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        mark, quote = ("\t", "") if path.suffix == ".tsv" else (",", '"')
        lines = [mark.join(columns)]
        lines += [mark.join(f"{quote}{row[name] or ''}{quote}" for name in columns) for row in ROWS]
        path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    return [str(row) for row in UrlList(path).read() if isinstance(row, Problem)]


def good(listed: UrlList) -> list[ListedPhoto]:
    return [row for row in listed.read() if isinstance(row, ListedPhoto)]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_says_the_same(tmp_path: Path, ending: str) -> None:
    listed = UrlList(written(tmp_path / f"list{ending}"))
    one, two = good(listed)
    assert (one.url, two.url) == ("https://x.org/1.jpg", "https://x.org/2.jpg")
    told = one.told
    assert (told.title, told.license, told.split, told.pair) == ("One, or more", "11", "test", "p")
    assert (two.told.title, two.told.license, two.told.split, two.told.pair) == (None, None, "train", None)
    assert (one.told_with_page().page_url, listed.unknown, listed.repeated) == ("https://x.org/1.jpg", [], 0)


def test_bad_rows_are_named_with_file_row_and_column_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "url;split;date_taken;captoin\nhttps://x.org/1.jpg;;;a\nfile:///etc/passwd;;;\n;;;b\nhttps://x.org/4.jpg;half;3/5/2024;\n"
        "https://x.org/5.jpg;;;;more\nhttps://x.org/1.jpg;test;;\n\nhttps://x.org/6.jpg\n" + f"https://x.org/{'y' * 3000}\n"
    )
    listed = UrlList(path)
    assert [row.url[-5:] for row in good(listed)] == ["1.jpg", "6.jpg"]
    assert listed.unknown == ["captoin"]
    assert listed.repeated == 1
    found = problems(path)
    assert found[:2] == [
        "list.csv, row 3: url 'file:///etc/passwd': must be an address that begins with http:// or https://",
        "list.csv, row 4: url '': must be an address that begins with http:// or https://",
    ]
    assert found[2].startswith("list.csv, row 5: date_taken '3/5/2024': write it like")
    assert found[3].startswith("list.csv, row 5: split 'half': must be train or test")
    assert found[4] == "list.csv, row 6: row '': has 5 cells, the header 4: is a separator missing its quotes?"
    assert len(found) == 6
    assert "an address has at most 2,000 characters" in found[-1]
    lines = tmp_path / "list.jsonl"
    lines.write_text('{"url": "https://x.org/1.jpg"}\n{"url": 1\n[]\n{"url": ["https://x.org"]}\n{"title": "t"}\n')
    assert [text.split(": ")[0] for text in problems(lines)] == [f"list.jsonl, row {row}" for row in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"link,title\n", "the column url is missing; found are link, title"),
        ("a.csv", b"url,URL\n", "the column url is there more than once"),
        ("a.csv", b"", "the column url is missing; found are none"),
        ("a.csv", b"url\nhttps://x.org/\xff\n", "is not UTF-8"),
        ("a.csv", b'url\n"' + b"x" * 200_000, "cannot be read: field larger than field limit"),
        ("a.parquet", b"PAR1 no", "cannot be read"),
        ("a.jsonl", b'{"url": "' + b"x" * 1_000_001, "row 1: is longer than 1,000,000 bytes"),
        ("a.csv", b"url\n" + b"x" * 1_000_001, "line 2: is longer than 1,000,000 characters"),
        ("a.xlsx", b"", "is no list of addresses, whose names end in .csv, .tsv, .jsonl, .ndjson, .parquet"),
    ],
)
def test_what_is_no_list(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"{name}.*{says}"):
        list(UrlList(tmp_path / name).read())


READ_ALL = """
import sys
from pathlib import Path
from pipeline.photos.url_list import UrlList
count = sum(1 for _ in UrlList(Path(sys.argv[1])).read())
# Not getrusage: its peak begins with that of the process which started this one.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(count, int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak")
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_million_rows_take_less_than_500_mb(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"list{ending}"
    urls = [f"https://pictures.example.org/{number:012d}/{'a' * 60}.jpg" for number in range(1_000_000)]
    captions = [f"A caption of a usual length, number {number}" for number in range(1_000_000)]
    if ending == ".parquet":
        pq.write_table(pa.table({"url": urls, "caption": captions}), path)
    else:
        path.write_text("url,caption\n" + "\n".join(f'{url},"{text}"' for url, text in zip(urls, captions, strict=True)))
    del urls, captions
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ_ALL, str(path)], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(CODE), "PATH": ""}, timeout=900,
    )  # fmt: skip
    count, peak_mb = map(int, done.stdout.split())
    assert count == 1_000_000
    print(f"{ending}: {peak_mb} MB")
    assert peak_mb < 500

"""What may come from anybody is read within limits."""

import doctest
import os
from pathlib import Path

import pytest

from pipeline import bounded
from pipeline.bounded import MAX_DEPTH, parse_json, plain_file, read_json
from pipeline.errors import StorageError


@pytest.mark.parametrize("data", [b"", b"[" * 200_000, b'{"a":' * 5000, b"NaN", b"[Infinity]", b"\xff", b"9" * 10_000])
def test_what_is_no_json(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are those of Python's reader
        parse_json(data)


def test_nesting_has_an_end() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2))


def test_only_plain_files_of_a_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    assert plain_file(tmp_path, "a.json", 8) == tmp_path / "a.json"
    for name in ("pipe", "device", "."):
        with pytest.raises(StorageError):
            plain_file(tmp_path, name, 8)
    for name in ("pipe", "device"):
        with pytest.raises(OSError, match="no plain file"):
            read_json(tmp_path / name)
    with pytest.raises(StorageError, match="has 8 bytes, allowed are 7"):
        plain_file(tmp_path, "a.json", 7)


def test_the_examples_hold() -> None:
    assert doctest.testmod(bounded) == (0, 1)

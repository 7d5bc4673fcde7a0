"""Only plain files are opened, and never more is read than allowed."""

import os
import socket
from pathlib import Path

import pytest

from pipeline.plain_files import FileTooLarge, NotAPlainFile, open_plain, read_plain


def test_plain_files_and_links_to_them(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert read_plain(tmp_path / "link", 3) == b"abc"
    with pytest.raises(FileTooLarge, match="3 bytes, allowed are 2"):
        read_plain(tmp_path / "file", 2)


@pytest.mark.parametrize("max_bytes", [10**12, 2**63 - 1])
def test_whatever_is_allowed_only_what_is_there_takes_memory(tmp_path: Path, max_bytes: int) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert read_plain(tmp_path / "file", max_bytes) == b"content"


def test_what_is_none_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to("pipe")
    for name, words in (("pipe", "a pipe"), ("device", "a device"), ("link", "a pipe"), (".", "a folder")):
        with pytest.raises(NotAPlainFile, match=words) as refused:
            open_plain(tmp_path / name)
        assert str(refused.value.filename) == str(tmp_path / name)


def test_a_socket_and_a_link_to_nothing_are_errors_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        with pytest.raises(OSError, match="socket"):
            open_plain(Path("socket"))
    Path("broken").symlink_to("nothing")
    with pytest.raises(FileNotFoundError):
        open_plain(Path("broken"))

"""Atomic files and folders."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from pipeline.atomic import (
    ABANDONED_AFTER_S,
    append_whole,
    atomic_folder,
    atomic_path,
    is_temporary,
    shortened,
    sweep,
    temporary_beside,
    write_bytes,
    write_remade,
    write_text,
    writer_of,
)
from pipeline.errors import is_of_machine, machine_words
from pipeline.machine import here


def test_a_file_appears_whole_and_nothing_else_remains(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "file.txt", "ä\r\nb")
    assert (tmp_path / "deep" / "file.txt").read_bytes() == "ä\r\nb".encode()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file.txt"]


def test_nothing_but_a_file_is_replaced(tmp_path: Path) -> None:
    """Root could put a file in the place of a device."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder"):
        for write in (lambda path: write_bytes(path, b"x"), lambda path: write_remade({path: b"x"})):
            with pytest.raises(FileExistsError, match=name):
                write(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "something else lies there"),
        ("file/x", "something else lies there"),
        ("file/x/y", "a file lies where a folder would have to be"),
        ("x" * 300, "no name may be so long there"),
    ],
)
def test_what_is_in_the_way_is_no_defect(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Errno") as caught:
        write_bytes(tmp_path / name, b"x")
    assert is_of_machine(caught.value)
    assert said in machine_words(caught.value, "")


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, interruption: type[BaseException]) -> None:
    target = tmp_path / "file.txt"
    write_text(target, "old")

    def interrupted() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


class ShortFile(FileIO):
    """On a disk that takes half of what is written."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - as its base
        return super().write(data[: len(data) // 2])


def test_what_is_added_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with FileIO(path, "a+") as file:
        append_whole(file, b"first\n")
    with ShortFile(path, "a+") as file, pytest.raises(OSError, match="No space left"):
        append_whole(file, b"second\n")
    assert path.read_bytes() == b"first\n"


@pytest.mark.parametrize("writer", [atomic_path, atomic_folder])
def test_a_full_disk_is_told_with_the_name_of_what_was_written(
    tmp_path: Path, writer: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    for error, named in [
        (OSError(errno.ENOSPC, "No space left on device"), str(tmp_path / "target")),
        (OSError("36864 requested and 4080 written"), str(tmp_path / "target")),  # as numpy says it
        (OSError(errno.ENOSPC, "No space left on device", "inside"), "inside"),
        (OSError(errno.EIO, "Input/output error"), None),  # which may come from what is read meanwhile
    ]:
        with pytest.raises(OSError, match=r".") as caught, writer(tmp_path / "target"):
            raise error
        assert caught.value.filename == named


@pytest.mark.parametrize("name", ["a" * 255, "肖" * 85, "a" * 214, "a" * 180], ids=len)
def test_what_a_folder_can_hold_can_be_written(name: str, tmp_path: Path) -> None:
    write_bytes(tmp_path / name, b"1")
    write_bytes(tmp_path / name, b"2")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"2"
    assert shortened(name[:-1] + "b") != shortened(name)
    with atomic_folder(tmp_path / "folders" / name) as temporary:
        (temporary / "file").touch()
    assert [path.name for path in (tmp_path / "folders").iterdir()] == [name]


def test_what_is_unfinished_is_swept_when_its_process_is_gone(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    mine, target = temporary_beside(tmp_path / "picture-1.png"), f".picture-1.png.{os.getpid()}-"
    assert mine.name.startswith(target)
    names = {pid: mine.name.replace(f".{os.getpid()}-", f".{pid}-") for pid in (os.getppid(), process.pid)}
    old, nested = ".picture-1.png.0123abcd.tmp", f".translated.{process.pid}-0123abcd.tmp.old.tmp"
    for name in (mine.name, *names.values(), old, f"{process.pid}-0123.tmp", f"{os.getpid()}-0123.tmp"):
        (tmp_path / name).write_text("half")
    (tmp_path / nested / "deep").mkdir(parents=True)
    assert sweep(list(tmp_path.iterdir())) == 4
    kept = {mine.name, names[os.getppid()], f"{os.getpid()}-0123.tmp"}
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_what_another_machine_writes_is_swept_only_when_it_is_old(tmp_path: Path) -> None:
    gone, mine = 999999999, here().mark
    anew, other = replace(here(), boot="0" * 6).mark, replace(here(), host="0" * 6, boot="0" * 6).mark
    names = [f".a.png.{gone}-{mark}-0123abcd.tmp" for mark in (mine, anew, other)]
    left = f".b.png.{gone}-{other}-0123abcd.tmp"
    for name in (*names, left):
        (tmp_path / name).write_text("half")
    long_ago = time.time() - ABANDONED_AFTER_S - 60
    os.utime(tmp_path / left, (long_ago, long_ago))
    assert "another machine" in str(writer_of(tmp_path / names[2]))
    assert sweep(list(tmp_path.iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == [names[2]]
    assert all(map(is_temporary, names))


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path, interruption: type[BaseException]) -> None:
    target = tmp_path / "deep" / "folder"

    def write(text: str, replace: bool = False, ending: type[BaseException] | None = None) -> None:
        with atomic_folder(target, replace) as temporary:
            (temporary / "file.txt").write_text(text)
            if ending:
                raise ending

    with pytest.raises(interruption):
        write("half", ending=interruption)
    assert list(target.parent.iterdir()) == []
    write("old")
    with pytest.raises(OSError, match="not empty"):
        write("new")
    assert (target / "file.txt").read_text() == "old"
    write("new", replace=True)
    with pytest.raises(interruption):
        write("half", replace=True, ending=interruption)
    assert (target / "file.txt").read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_what_a_killed_process_left_of_the_same_folder_goes(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    ours = temporary_beside(tmp_path / "out").name
    left = tmp_path / ours.replace(f".{os.getpid()}-", f".{ended.pid}-")
    others = [temporary_beside(tmp_path / "out"), tmp_path / ".out.of-a-sync.tmp", tmp_path / ".outer.99999999-ab.tmp"]
    for path in (left, *others):
        path.mkdir()
    with atomic_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("a")
    assert {path.name for path in tmp_path.iterdir()} == {"out", *(path.name for path in others)}

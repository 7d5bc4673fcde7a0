"""Whatever a home holds, no command ends in a traceback: a sentence, an exit code, and for a defect a file with the rest."""

import errno
import io
import os
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import uvicorn

from assets.headless import open_instance
from pipeline import cli as command_line
from pipeline.atomic import naming
from pipeline.cli import cli, last_resort, main, umask_of
from pipeline.errors import DEFECT, MACHINE_FAULTS, StorageError, database_trouble, disk_trouble
from pipeline.plain_files import FileTooLarge, read_plain
from storage import Home

ARGUMENTS = {
    "import": ["PICTURES", "--domain", "ordinary"],
    "forget": ["flickr:1"],
    "train": ["cyclegan"],
    "translate": ["PICTURES/a.jpg", "--model", "aaaa"],
    "export-model": ["aaaa"],
    "publish-model": ["aaaa", "PICTURES/out"],
    "benchmark": ["ebb400", "PICTURES", "--model", "aaaa"],
    "report": ["0123456789abcdef"],
    "compare": ["0123456789abcdef"],
    "snapshot show": ["0123"],
    "snapshot verify": ["0123"],
    "snapshot diff": ["0123", "0123"],
    "snapshot export": ["0123", "PICTURES/out"],
    "snapshot restore": ["0123"],
    "lineage photo": ["flickr:1"],
    "lineage snapshot": ["0123"],
    "lineage model": ["aaaa"],
}
"""What commands need besides `--home`."""
NOT_OF_A_HOME = {"demo", "emulator", "render-studio", "weights", "dev"}
"""They make their own home or none, or go to the network; `dev` starts processes that serve."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path


COMMANDS = [path for path in leaves(cli) if path[0] not in NOT_OF_A_HOME]
SLOW = {"run", "doctor"}
TABLES = ("photo_listing", "photo_files", "unique_photos", "dataset_manifest", "tombstones", "photo_history", "imports")


def garbage(home: Path) -> None:
    for name in TABLES:
        (home / "tables" / name).mkdir(parents=True)
        (home / "tables" / name / "all.parquet").write_bytes(b"PAR1 rubbish")
        (home / "tables" / name / "ordinary+2024-01.parquet").write_bytes(b"")


def files_for_folders(home: Path) -> None:
    for name in ("tables", "blobs", "snapshots", "runs", "review", "dagster", "shards", "reports", "journals", "budget"):
        (home / name).write_text("a file")


def folders_for_files(home: Path) -> None:
    for name in TABLES:
        (home / "tables" / name / "all.parquet").mkdir(parents=True)
    for name in ("run.lock", "import.lock", "forget.lock", "dev.lock", "snapshots/0123456789abcdef/snapshot.json"):
        (home / name).mkdir(parents=True)
    for name in ("job.json", "complete.json", "model.json"):
        (home / "runs" / "aaaa" / name).mkdir(parents=True)


def broken_json(home: Path) -> None:
    for text, name in enumerate(("[" * 100_000, "null", "[]", '{"digest": 1}', '{"job": {}}')):
        folder = home / "runs" / f"aaaa{text}"
        folder.mkdir(parents=True)
        for file in ("job.json", "complete.json", "model.json", "checks.json"):
            (folder / file).write_text(name)
    (home / "snapshots" / "0123456789abcdef").mkdir(parents=True)
    (home / "snapshots" / "0123456789abcdef" / "snapshot.json").write_text("[" * 100_000)
    (home / "hints-journal.jsonl").write_text("[" * 100_000)


def broken_history(home: Path) -> None:
    for name in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
        path = home / "dagster" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE runs (id INTEGER)")
        connection.close()
        os.truncate(path, 1000)


def served(_: object, sockets: list[socket.socket] | None = None) -> None:
    for each in sockets or ():
        each.close()


POISONS = (garbage, files_for_folders, folders_for_files, broken_json, broken_history)


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[pytest.mark.slow] * (path[0] in SLOW), id=" ".join(path)) for path in COMMANDS]
)
def test_no_traceback_reaches_the_terminal(
    path: tuple[str, ...],
    poison: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    home, pictures = tmp_path / "home", tmp_path / "pictures"
    home.mkdir()
    pictures.mkdir()
    (pictures / "a.jpg").write_bytes(b"no picture")
    (home / "bokehflow.toml").write_text("[domains.ordinary]\n[domains.shallow]\n")
    poison(home)
    arguments = [text.replace("PICTURES", str(pictures)) for text in ARGUMENTS.get(" ".join(path), [])]
    for name, value in {"BOKEHFLOW_HOME": "", "BOKEHFLOW_CONFIG": "", "DAGSTER_HOME": "", "TMPDIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["bokehflow", *path, *arguments, "--home", str(home)])
    monkeypatch.setattr(uvicorn.Server, "run", served)
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    finally:
        os.umask(before)
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert code in (0, 1, 2, None, DEFECT) or str(code).startswith(("error: ", "stopped"))


def test_a_defect_ends_with_a_sentence_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyError) as caught:
        raise KeyError("what\nnobody\x1b[31m expected")
    assert last_resort(caught.value) == DEFECT
    (log,) = tmp_path.glob("bokehflow-*.log")
    said = capsys.readouterr().err
    assert str(log) in said
    assert "\x1b" not in said
    assert said.count("\n") == 1
    assert "Traceback (most recent call last)" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", sorted(MACHINE_FAULTS))
def test_a_machine_that_fails_is_no_defect(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert last_resort(OSError(number, os.strerror(number), "/home/h/x")) == 1
    assert capsys.readouterr().err.startswith("error: /home/h/x: ")


def test_a_file_that_may_not_be_so_large_needs_another_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="File too large") as caught, naming(Path("/stick/a.tar")):
        raise OSError(errno.EFBIG, "File too large")
    assert last_resort(caught.value) == 1
    assert capsys.readouterr().err == (
        "error: /stick/a.tar: a file may not be so large there (its file system, or `ulimit -f`, says so); "
        "take another folder and run the same command again\n"
    )


def test_a_file_that_is_too_large_to_be_read_is_not_taken_for_one_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.csv").write_bytes(b"abc")
    with pytest.raises(FileTooLarge) as caught:
        read_plain(tmp_path / "table.csv", 2)
    assert last_resort(caught.value) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/table.csv: it is larger than what is read (3 bytes, allowed are 2); "
        "take a smaller one and run the same command again\n"
    )


def test_a_copy_that_does_not_fit_is_told_by_where_it_was_to_lie(capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/home/from", None, "/stick/to")
    assert last_resort(error) == 1
    error = OSError(errno.EIO, "Input/output error", "/home/from", None, "/stick/to")
    assert last_resort(error) == 1
    full, failed = capsys.readouterr().err.splitlines()
    assert full == "error: /stick/to: the disk is full; make room and run the same command again"
    assert failed.startswith("error: /home/from: the disk failed (Input/output error)")


def test_what_may_not_be_read_is_not_said_to_be_written() -> None:
    (read_only, _), (refused, _) = (
        disk_trouble(OSError(number, os.strerror(number))) for number in (errno.EROFS, errno.EACCES)
    )
    assert read_only == "it may not be written (Read-only file system)"
    assert refused == "it may not be read or written (Permission denied)"


def test_a_terminal_of_few_letters_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`LANG=en_US`, as on many a cluster, means ISO 8859-1."""
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "iso-8859-1", write_through=True))
    monkeypatch.setattr(command_line.cli, "main", lambda standalone_mode: click.echo("Zürich: 6 → 8"))
    main()
    assert written.getvalue() == b"Z\xfcrich: 6 \\u2192 8\n"


def test_new_files_are_ones_own_or_the_groups() -> None:
    assert (umask_of(None), umask_of(""), umask_of("private"), umask_of("group")) == (0o077, 0o077, 0o077, 0o007)
    with pytest.raises(SystemExit, match="may be private"):
        umask_of("022")


def test_every_command_is_tried() -> None:
    assert {" ".join(path) for path in COMMANDS} >= set(ARGUMENTS)


def test_a_full_database_is_no_defect(capsys: pytest.CaptureFixture[str]) -> None:
    full = full_database()
    assert last_resort(full) == 1
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("could not write an event") from full
    assert last_resort(caught.value) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == ["error: Dagster's records: the disk is full; make room and run the same command again"] * 2


def test_a_home_whose_records_do_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    home = Home(tmp_path / "home")
    with pytest.raises(StorageError, match=r"home/dagster: the disk is full; .* MB are free"), open_instance(home):
        raise full_database()
    with pytest.raises(StorageError, match="kept as it is"), open_instance(home):
        raise StorageError("kept as it is") from full_database()


def test_a_database_whose_index_cannot_grow_has_a_full_disk() -> None:
    """SQLite calls that a disk I/O error, and "mend that" helps nobody."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    trouble = database_trouble(error)
    assert trouble is not None
    assert disk_trouble(trouble) == ("the disk is full", "make room")


def test_a_database_that_cannot_be_opened_is_no_defect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SQLite says no more than that where there is no room for the files that it makes beside a database."""
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(tmp_path / "no folder" / "records.db")
    assert last_resort(caught.value) == 1
    why = "the disk failed (unable to open database file); mend that and run the same command again"
    assert capsys.readouterr().err == f"error: Dagster's records: {why}\n"


def full_database() -> sqlite3.Error:
    """What SQLite says where its disk is full."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError, match="full") as caught:
            connection.execute("CREATE TABLE pictures (data BLOB)")
    return caught.value

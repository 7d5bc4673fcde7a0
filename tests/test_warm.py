"""What the server of warm processes forks is a process as its caller would have started it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from tests.conftest import WARM_PYTHON

EMULATOR = ("-m", "pipeline.cli", "emulator", "pictures", "--port", "0", "--image-port", "0")


def warm(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [os.environ[WARM_PYTHON], *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_arguments_folder_streams_and_exit_code_are_the_callers(tmp_path: Path) -> None:
    out, err = (process := warm(tmp_path, "-m", "pipeline.training", "--job", "no-such-job")).communicate()
    assert (process.returncode, out) == (1, "")
    assert "The job no-such-job cannot be used" in err
    out, err = (process := warm(tmp_path, "-c", "import os; print(os.getcwd())")).communicate()
    assert (process.returncode, out, err) == (0, f"{tmp_path}\n", "")


def test_a_signal_reaches_it_and_it_dies_with_its_caller(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "collection.jsonl").touch()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with warm(tmp_path, *EMULATOR) as process:
            assert process.stderr is not None
            assert process.stderr.readline()
            (forked,) = [one for one in psutil.process_iter() if one.pid != process.pid and is_at_work_in(one, tmp_path)]
            process.send_signal(number)
            assert process.wait() == -number
        deadline = time.monotonic() + 30
        while forked.is_running() and forked.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it lives on"
            time.sleep(0.02)


def test_how_it_dies_the_caller_dies(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "collection.jsonl").touch()
    with warm(tmp_path, *EMULATOR) as process:
        assert process.stderr is not None
        assert process.stderr.readline()
        (forked,) = [one for one in psutil.process_iter() if one.pid != process.pid and is_at_work_in(one, tmp_path)]
        forked.kill()
        assert process.wait() == -signal.SIGKILL


def is_at_work_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False

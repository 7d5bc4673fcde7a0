"""Nobody outlives who started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from pipeline.training.lifeline import tied
from tests.conftest import REPOSITORY

STARTER = """
import subprocess, sys, time
from pipeline.training.lifeline import tied
print(subprocess.Popen(tied("http.server", "0", "--bind", "127.0.0.1")).pid, flush=True)
time.sleep(600)
"""


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def serves(process: psutil.Process) -> bool:
    return any(one.status == psutil.CONN_LISTEN for one in process.net_connections())


def is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_module_that_is_tied_runs_as_itself_and_ends_when_its_starter_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        child = psutil.Process(int(starter.stdout.readline()))
        until(lambda: serves(child))
        starter.kill()
        starter.wait()
        until(lambda: is_over(child))


SERVER = """
import subprocess, sys, time
from pipeline.training.lifeline import starting
run = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid, flush=True)"
with starting():
    subprocess.run([sys.executable, "-c", run, sys.argv[1]])
time.sleep(600)
"""
RUN = """
import time
from pipeline import definitions
definitions.Home.at = lambda: time.sleep(600)
definitions.definitions()
"""


def test_a_run_ends_with_the_dev_that_served_it_though_another_process_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER, RUN], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        run = psutil.Process(int(server.stdout.readline()))
        server.kill()
        server.wait()
        until(lambda: is_over(run))


def test_whoever_is_interrupted_with_its_starter_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(600)\n")
    command, paths = tied("slow_module"), os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    environment = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)
    assert said == ("", "")
    assert process.returncode == 130

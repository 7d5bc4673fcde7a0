"""The budget of calls: never more in any hour, over processes and restarts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.budget import HOUR_S, CallBudget


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now_s += delay_s

    def budget(self, folder: Path, calls_per_hour: int, key: str = "key") -> CallBudget:
        return CallBudget(folder, key, calls_per_hour, clock=self, sleep=self.sleep)


def test_calls_are_counted_down_and_come_back_after_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    budget = clock.budget(tmp_path, 3)
    for left in (2, 1, 0):
        budget.acquire()
        assert budget.left() == left
        clock.now_s += 60
    budget.acquire()
    assert clock.slept == [pytest.approx(HOUR_S - 180)]
    clock.now_s += 2 * HOUR_S
    assert budget.left() == 3


def test_to_look_how_many_are_left_makes_nothing(tmp_path: Path) -> None:
    assert Clock().budget(tmp_path / "budget", 3).left() == 3
    assert not list(tmp_path.iterdir())


def test_a_restart_and_another_limit_keep_what_was_spent(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(4):
        clock.budget(tmp_path, 5).acquire()
    assert clock.budget(tmp_path, 5).left() == 1
    assert clock.budget(tmp_path, 3).left() == 0
    assert clock.budget(tmp_path, 10).left() == 6


def test_each_key_has_its_own_and_no_file_tells_the_key(tmp_path: Path) -> None:
    clock = Clock()
    clock.budget(tmp_path, 5, "first-key").acquire()
    assert clock.budget(tmp_path, 5, "second-key").left() == 5
    for path in tmp_path.rglob("*"):
        assert "key" not in path.name
        assert b"key" not in path.read_bytes()


def test_a_clock_set_back_does_not_block_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    budget = clock.budget(tmp_path, 1)
    budget.acquire()
    clock.now_s -= 365 * 24 * HOUR_S
    budget.acquire()
    assert sum(clock.slept) <= 2 * HOUR_S


@settings(max_examples=30)
@given(st.integers(1, 5), st.lists(st.floats(0, HOUR_S), min_size=1, max_size=30))
def test_no_hour_holds_more_calls_than_allowed(
    tmp_path_factory: pytest.TempPathFactory, calls_per_hour: int, pauses_s: list[float]
) -> None:
    clock = Clock()
    budget = clock.budget(tmp_path_factory.mktemp("budget"), calls_per_hour)
    called: list[float] = []
    for pause_s in pauses_s:
        clock.now_s += pause_s
        budget.acquire()
        called.append(clock.now_s)
    for at in called:
        assert sum(at - HOUR_S < other <= at for other in called) <= calls_per_hour
    assert budget.path.stat().st_size <= 8 * calls_per_hour


SPENDER = """
import sys
from pathlib import Path
from pipeline.sources.budget import CallBudget

def stop(delay_s):
    sys.exit(0)

budget = CallBudget(Path(sys.argv[1]), "key", 40, sleep=stop)
while True:
    budget.acquire()
    print("call", flush=True)
"""


def test_processes_share_it_and_a_killed_one_leaves_it_whole(tmp_path: Path) -> None:
    outputs = [tmp_path / f"{number}.txt" for number in range(3)]
    processes = []
    for output in outputs:
        with output.open("w") as file:
            command = [sys.executable, "-c", SPENDER, str(tmp_path / "budget")]
            processes.append(subprocess.Popen(command, stdout=file))
    # Whichever is first: the others may spend everything before a late one has started.
    while not any(spoke := [bool(output.read_text()) for output in outputs]):
        time.sleep(0.01)
    os.kill(processes[spoke.index(True)].pid, signal.SIGKILL)
    for process in processes:
        process.wait(timeout=60)
    printed = sum(output.read_text().count("call") for output in outputs)
    # The killed one may have died between counting a call and saying so.
    assert printed in (39, 40)
    assert CallBudget(tmp_path / "budget", "key", 40).left() == 0


def test_a_clock_that_was_set_back_blocks_for_an_hour_at_most(tmp_path: Path) -> None:
    ahead = Clock(1_700_000_000.0 + HOUR_S - 1)
    for _ in range(2):
        ahead.budget(tmp_path, 2).acquire()
    clock = Clock()
    clock.budget(tmp_path, 2).acquire()
    assert clock.slept == [pytest.approx(HOUR_S)]

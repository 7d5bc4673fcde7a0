"""A server at its worst and a process killed again and again: what comes of it equals a calm run, byte for byte."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from pipeline.emulators.faults import ApiFaults, ImageFaults
from storage import Home
from tests.collecting import (
    DOMAINS,
    FINAL,
    MONTH,
    STORM,
    SlowEmulator,
    fault_plan,
    make_photos,
    storm_plan,
    write_project,
)

TIMES = ["fetched_at_s"]
AT_MOST_S = 120.0
MOST_REQUESTS = 70
"""A process is killed before it has made so many; with the kills there are, a little earlier than all is collected."""
WITHIN_CALLS = 25
"""Fewer REST calls than one listing of the larger worlds takes."""


class World:
    """An emulator whose weather can be changed, a home for the calm run and one for the storm."""

    def __init__(self, folder: Path, accepted: int, rejected: int) -> None:
        photos, self.planted = make_photos(folder / "pictures", accepted, rejected)
        self.emulator = SlowEmulator(photos, fault_plan(self.planted, storm=False))
        self.calm, self.storm = Home(folder / "calm"), Home(folder / "storm")

    def begin_storm(self, within_calls: int | None = None) -> None:
        """With `within_calls` each fault of the REST calls comes up within so many."""
        calls = self.emulator.calls.total()
        everything = within_calls and storm_plan(self.planted, calls, within_calls)
        self.emulator.faults = everything or fault_plan(self.planted, storm=True)
        self._calm_calls = calls

    def asked(self) -> int:
        """Requests of any kind up to now."""
        return self.emulator.calls.total() + self.emulator.image_requests

    def assert_equal(self) -> None:
        """Both homes hold the same rows and the same blobs, and nothing unfinished is left."""
        for name in ("photo_listing", "photo_files"):
            for domain in DOMAINS:
                calm, storm = (home.tables.read(name, f"{domain}|{MONTH}") for home in (self.calm, self.storm))
                pd.testing.assert_frame_equal(storm.drop(columns=TIMES), calm.drop(columns=TIMES))
        assert blobs(self.storm) == blobs(self.calm)
        for leftover in ("blobs/incoming/*", "journals/*", "listing-windows/*/*", "**/.*.tmp"):
            assert not list(self.storm.root.glob(leftover)), leftover

    def assert_stormy(self) -> None:
        """Every kind of fault that the storm has came up."""
        kinds = {fault for fault in STORM["api"] if fault in ApiFaults.kinds}
        kinds |= {f"picture {fault}" for fault in STORM["images"] if fault in ImageFaults.kinds}
        assert not kinds - set(self.emulator.faulted), self.emulator.faulted
        storm_calls = range(self._calm_calls + 1, self.emulator.calls.total() + 1)
        assert any(self.emulator.faults.drift(call)[0] for call in storm_calls)

    def assert_planted(self) -> None:
        """Each planted failure has its reason, and nothing else failed."""
        files = pd.concat([self.storm.tables.read("photo_files", f"{domain}|{MONTH}") for domain in DOMAINS])
        assert not files["pending"].any()
        failed = files[files["reason"].notna()].drop_duplicates("photo_id").set_index("photo_id")["reason"].to_dict()
        assert failed == {photo_id: FINAL[kind] for photo_id, kind in self.planted.items()}


def blobs(home: Home) -> dict[str, bytes]:
    return {str(path.relative_to(home.root)): path.read_bytes() for path in home.blobs.root.glob("??/*")}


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(tmp_path, *request.param)
    with made.emulator:
        for home in (made.calm, made.storm):
            write_project(home.root, made.emulator)
        yield made


def killed_at_random(world: World, start: Callable[[], int], kills: int, chance: random.Random) -> int:
    """Start the process `kills` times and end each by SIGKILL; returns how many of them had begun to ask.

    One of three is killed some time after its start, most of which goes into imports, the others after a number of
    requests, which is the same work on a slow machine. None of the processes that they started may outlive them.
    """
    hit, left = 0, []
    for number in range(kills):
        before, began_s = world.asked(), time.monotonic()
        process, requests = start(), chance.randrange(1, MOST_REQUESTS)
        if number % 3:
            while world.asked() - before < requests and is_running(process) and time.monotonic() < began_s + AT_MOST_S:
                time.sleep(0.005)
        else:
            time.sleep(chance.uniform(0.0, 0.9))
        left += children_of(process)
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        hit += world.asked() > before
    _, alive = psutil.wait_procs(left, timeout=AT_MOST_S)
    assert not alive
    return hit


def is_running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children_of(process: int) -> list[psutil.Process]:
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


class Collector:
    """Starts processes that collect, one at a time, forked from one in which everything is imported already."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("collecting.py"))]
        self._parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._running = False

    def start(self, home: Home) -> int:
        """The process's id; the one before is waited for."""
        self.wait()
        assert self._parent.stdin
        print(home.root, file=self._parent.stdin, flush=True)
        self._running = True
        return self._line()

    def wait(self) -> int | None:
        """The exit code of the process that runs, when it has ended."""
        code = self._line() if self._running else None
        self._running = False
        return code

    def finish(self, home: Home) -> None:
        self.start(home)
        assert self.wait() == 0

    def close(self) -> None:
        self._parent.communicate(timeout=AT_MOST_S)

    def _line(self) -> int:
        assert self._parent.stdout
        return int(self._parent.stdout.readline())


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("world", "kills", "within_calls"),
    [
        ((120, 300), 4, None),
        pytest.param((500, 12_000), 20, WITHIN_CALLS, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
    indirect=["world"],
)
def test_kills_in_a_storm(world: World, kills: int, within_calls: int | None, collector: Collector) -> None:
    collector.finish(world.calm)
    world.begin_storm(within_calls)
    hit = killed_at_random(world, lambda: collector.start(world.storm), kills, chance=random.Random(1))
    collector.finish(world.storm)
    collector.finish(world.storm)
    print(f"{hit} of {kills} kills hit a process that was asking; faults met: {dict(world.emulator.faulted)}")
    assert hit >= kills / 2
    if within_calls:
        world.assert_stormy()
    assert world.emulator.faulted
    world.assert_equal()
    world.assert_planted()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("world", [(600, 9_000)], indirect=True)
def test_twenty_kills_of_the_real_command(world: World) -> None:
    environment = os.environ | {"FLICKR_API_KEY": "key", "FLICKR_API_SECRET": "secret"}
    started: list[subprocess.Popen[bytes]] = []

    def start(home: Home = world.storm) -> int:
        command = [sys.executable, "-m", "pipeline.cli", "run", "--until", "photo_files", "--home", str(home.root)]
        log = (home.root / "log.txt").open("ab")
        started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        log.close()
        return started[-1].pid

    def finish(home: Home) -> None:
        start(home)
        assert started[-1].wait(AT_MOST_S * 4) == 0, (home.root / "log.txt").read_text()

    finish(world.calm)
    world.begin_storm(WITHIN_CALLS)

    def start_after_the_last() -> int:
        for process in started:
            process.wait(10)
        return start()

    hit = killed_at_random(world, start_after_the_last, kills=20, chance=random.Random(7))
    for process in started:
        process.wait(10)
    done_before = sum(len(list(world.storm.root.glob(f"tables/{name}/*"))) for name in ("photo_listing", "photo_files"))
    finish(world.storm)
    print(f"{hit} of 20 kills hit a process that was asking; {done_before} of 4 tables stood after the last")
    print(f"faults met: {dict(world.emulator.faulted)}")
    assert hit >= 12
    world.assert_stormy()
    world.assert_equal()
    world.assert_planted()
    asked = world.asked()
    finish(world.storm)
    assert world.asked() == asked, "what is finished is not asked for again"

"""The processes that decode: they answer as `inspect_file` does, and what ends one of them ends nothing else."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from PIL import Image

from pipeline.errors import StorageError
from pipeline.package_files import child_environment
from pipeline.photos import inspectors
from pipeline.photos.inspectors import InspectorDied, Inspectors
from pipeline.photos.opening import PictureInfo, UndecodableImage, inspect_file
from tests.pipeline.photos.lab import Lab, outcome
from tests.pipeline.photos.odd_pictures import encoded, make_scene
from tests.pipeline.photos.picture_server import PictureServer

MAX_PIXELS = 1_000_000
WAIT_S = 30.0


@pytest.fixture
def two() -> Iterator[Inspectors]:
    with closing(Inspectors(2)) as made:
        yield made
    assert not children()


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "pipeline.photos.inspectors" in child.cmdline()]


def wait_until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def is_alive(process_id: int) -> bool:
    """A zombie is not: nobody may be there to wait for it."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def answer(inspect: Callable[[Path, int], PictureInfo], path: Path) -> object:
    try:
        return inspect(path, MAX_PIXELS)
    except UndecodableImage as error:
        return vars(error)


def test_answers_are_those_of_the_same_process(two: Inspectors, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "good": encoded(make_scene(50, 30)),
        "upright": encoded(make_scene(50, 30), exif=exif),
        "png": encoded(make_scene(9, 7), "PNG"),
        "cut": encoded(make_scene(50, 30))[:-9],
        "html": b"<html>",
        "large": encoded(make_scene(1200, 900)),
        "name with a\nnewline 🙂": encoded(make_scene(40, 20)),
    }
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert answer(two.inspect, path) == answer(inspect_file, path), name


def test_no_limit_is_too_high(two: Inspectors, tmp_path: Path) -> None:
    (tmp_path / "scene.png").write_bytes(encoded(make_scene(9, 7), "PNG"))
    assert two.inspect(tmp_path / "scene.png", 2**63 - 1).width_px == 9


def test_an_unreadable_disk_stays_an_error_of_the_disk(two: Inspectors, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        two.inspect(tmp_path / "missing", MAX_PIXELS)


def test_a_full_folder_of_temporary_files_is_named_and_not_the_photo(
    two: Inspectors, tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, temporary = tmp_path / "me.jpg", tmp_path / "temporary"
    photo.write_bytes(jpeg)
    temporary.mkdir()

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match=r"/temporary: the disk is full; .*make room"):
            two.read_checked(photo, 10**6, 10**6)
    assert not list(temporary.iterdir())
    assert two.read_checked(photo, 10**6, 10**6) == jpeg


def test_no_more_processes_than_places_and_none_without_work(two: Inspectors, tmp_path: Path) -> None:
    assert not children()
    path = tmp_path / "1.jpg"
    path.write_bytes(encoded(make_scene(50, 30)))
    two.inspect(path, MAX_PIXELS)
    assert len(children()) == 1
    threads = [threading.Thread(target=two.inspect, args=(path, MAX_PIXELS)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(children()) <= 2


@pytest.fixture
def endless(two: Inspectors, tmp_path: Path) -> Iterator[Path]:
    """A picture that waits for its turn among the large ones, which does not come."""
    path = tmp_path / "large.png"
    Image.new("L", (5000, 4000)).save(path)
    fcntl.lockf(two._large, fcntl.LOCK_EX)
    yield path
    fcntl.lockf(two._large, fcntl.LOCK_UN)


@pytest.mark.parametrize(("number", "passing"), [(signal.SIGSEGV, False), (signal.SIGABRT, False), (signal.SIGKILL, True)])
def test_a_process_that_ends_over_a_picture(
    number: int, passing: bool, two: Inspectors, endless: Path, tmp_path: Path
) -> None:
    deaths: list[InspectorDied] = []

    def ask() -> None:
        with pytest.raises(InspectorDied) as died:
            two.inspect(endless, 10**8)
        deaths.append(died.value)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(children)
    os.kill(children()[0].pid, number)
    thread.join(WAIT_S)
    assert [death.passing for death in deaths] == [passing]
    assert signal.Signals(number).name in deaths[0].detail
    good = tmp_path / "good"
    good.write_bytes(encoded(make_scene(50, 30)))
    assert two.inspect(good, MAX_PIXELS).width_px == 50


def test_a_picture_without_end(two: Inspectors, endless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_with(tmp_path, monkeypatch, "signal.alarm = lambda seconds, real=signal.alarm: real(min(seconds, 1))")
    with pytest.raises(InspectorDied, match="no end") as died:
        two.inspect(endless, 10**8)
    assert died.value.passing


LESS_TIME = "signal.setitimer = lambda which, seconds, real=signal.setitimer: real(which, min(seconds, 0.01))"
LESS_MEMORY = """
def less(kind, limits, real=resource.setrlimit):
    real(kind, (int(open("/proc/self/statm").read().split()[0]) * 4096 + 30_000_000, limits[1]))
resource.setrlimit = less
"""


@pytest.mark.parametrize(("code", "words"), [(LESS_TIME, "processor time"), (LESS_MEMORY, "of memory")])
def test_what_costs_too_much_is_refused_for_good(
    code: str, words: str, two: Inspectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_with(tmp_path, monkeypatch, code)
    Image.new("RGB", (5000, 4000)).save(tmp_path / "large.png")
    for _ in range(2):
        with pytest.raises(UndecodableImage, match=words) as refused:
            two.inspect(tmp_path / "large.png", 10**8)
        assert refused.value.reason == "too_costly"


def begin_with(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let every new process run `code` first."""
    (folder / "sitecustomize.py").write_text(f"import resource, signal\n{code}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_large_pictures_wait_for_each_other(two: Inspectors, tmp_path: Path) -> None:
    large, small = tmp_path / "large.png", tmp_path / "small.jpg"
    Image.new("L", (5000, 4000)).save(large)
    small.write_bytes(encoded(make_scene(50, 30)))
    found: list[PictureInfo] = []
    thread = threading.Thread(target=lambda: found.append(two.inspect(large, 10**8)))
    fcntl.lockf(two._large, fcntl.LOCK_EX)  # as another process does that decodes one
    thread.start()
    assert two.inspect(small, MAX_PIXELS).width_px == 50
    thread.join(0.5)
    assert thread.is_alive()
    assert not found
    fcntl.lockf(two._large, fcntl.LOCK_UN)
    thread.join(WAIT_S)
    assert [info.width_px for info in found] == [5000]


def test_no_process_outlives_a_killed_one(tmp_path: Path) -> None:
    picture = tmp_path / "1.jpg"
    picture.write_bytes(encoded(make_scene(50, 30)))
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom pipeline.photos.inspectors import Inspectors\n"
        "made = Inspectors(1)\nmade.inspect(Path(sys.argv[1]), 10**6)\nprint('ready', flush=True)\ntime.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(picture)]
    environment = child_environment()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        [child] = psutil.Process(parent.pid).children()
        parent.kill()
    wait_until(lambda: not is_alive(child.pid))


@pytest.mark.parametrize(
    ("number", "attempts", "expected"),
    [(signal.SIGSEGV, 1, ("decoder_died", False)), (signal.SIGKILL, 3, ("decoder_died", True))],
)
def test_a_photo_that_ends_the_decoder(
    number: int,
    attempts: int,
    expected: tuple[str, bool],
    lab: Lab,
    server: PictureServer,
    jpeg: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evil = jpeg + b"evil"
    ask = inspectors._Inspector.ask

    def crash(self: inspectors._Inspector, path: Path, max_pixels: int) -> dict[str, object]:
        if path.read_bytes() == evil:
            os.kill(self._process.pid, number)
            self._process.wait(WAIT_S)
        return ask(self, path, max_pixels)

    monkeypatch.setattr(inspectors._Inspector, "ask", crash)
    urls = {str(index): server.picture(f"/{index}.jpg", jpeg) for index in range(8)}
    table = lab.run({"evil": server.picture("/evil.jpg", evil), **urls}, retries=2)
    assert outcome(table, "evil") == expected
    assert signal.Signals(number).name in str(table["evil"]["detail"])
    assert server.requests["/evil.jpg"] == attempts
    assert {outcome(table, photo_id) for photo_id in urls} == {(None, False)}
    assert not children()

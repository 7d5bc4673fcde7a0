"""What several test modules share: a small demo world."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest
from hypothesis.internal.conjecture import engine

from tests import warm

# Workers share the cores; threads of theirs would wait for each other, in the processes that they start too.
os.environ["OMP_NUM_THREADS"] = "1"

# The same commit passes or fails each time: examples are always the same ones unless asked for others, and a machine that is
# busy is no reason to fail. What fails is made small for a minute at most, and not explained besides.
engine.MAX_SHRINKING_SECONDS = 60
PHASES = [phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain]
hypothesis.settings.register_profile(
    "repeatable",
    deadline=None,
    phases=PHASES,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")),
)
hypothesis.settings.load_profile("repeatable")

REPOSITORY = Path(__file__).parents[1]
WEIGHTS = REPOSITORY / ".venv" / "test-home" / "weights"
"""Fetched by `make test` before the tests start, since these talk to this machine only."""
FEW_STEPS = "settings = { steps = 6, generator_channels = 4, generator_blocks = 1, discriminator_channels = 8 }\n"


SETTINGS = ("BOKEHFLOW_HOME", "BOKEHFLOW_CONFIG", "FLICKR_API_KEY", "FLICKR_API_SECRET", "DAGSTER_HOME")
WARM_PYTHON = "BOKEHFLOW_TEST_PYTHON"
"""In the environment: the executable that `tests.warm` made."""
SERVER = pytest.StashKey[tuple[subprocess.Popen[bytes], Path]]()
LONG = (
    "test_end_to_end.py", "test_tutorial.py", "test_review_browser.py", "test_collecting.py", "test_importing.py",
    "test_bad_input.py", "test_recording.py", "test_process.py", "test_page.py", "test_judging.py", "test_engines.py",
    "test_dev.py", "test_training_commands.py", "test_agreement.py", "test_forget.py", "test_loop.py", "test_groups.py",
    "test_slurm.py", "test_depth_set.py", "test_reporting.py", "test_lists_as_queries.py", "test_kept_records.py",
    "test_download.py", "test_app.py", "test_semantic.py", "test_main.py", "test_restore.py", "test_web_page.py",
)  # fmt: skip
"""Modules of twenty seconds of processor time and more. The first makes the finished demo, for which the next four need not
wait."""


LAST_COLLECTED = "test_wheel"
"""Once this module is compiled, all are."""


def pytest_configure(config: pytest.Config) -> None:
    """One server of warm processes for all workers, which find it by the environment."""
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="bokehflow-tests-"))
        os.environ[WARM_PYTHON] = str(warm.python_of(folder))
        config.stash[SERVER] = warm.start(folder), folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """The server ends with the tests."""
    if SERVER in config.stash:
        server, folder = config.stash[SERVER]
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """In a fresh checkout one worker compiles the tests and what they import, while the others wait to load it."""
    fresh = not sys.dont_write_bytecode and not list((REPOSITORY / "tests" / "__pycache__").glob(f"{LAST_COLLECTED}.*"))
    if fresh and hasattr(session.config, "workerinput"):
        compiled = Path(os.environ[WARM_PYTHON]).with_name("compiled")
        with compiled.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not compiled.exists():
                try:
                    return (yield)
                finally:
                    compiled.touch()
    return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker is left alone with one of them at the end."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


@pytest.fixture(autouse=True)
def _settings_of_this_test_alone() -> Iterator[None]:
    """Homes, keys and project files of whoever runs the tests stay out of them, and what a command that is called in this
    process puts into its environment is gone with the test. So is what Dagster does to SIGTERM: it has it ignored where
    SIGINT is, as in the background of a shell, and so would whatever a later test starts."""
    before = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    for name in SETTINGS:
        os.environ.pop(name, None)
    yield
    signal.signal(signal.SIGTERM, on_sigterm)
    os.environ.clear()
    os.environ.update(before)


def make_demo_home(root: Path) -> Path:
    """A demo home whose models train for a few steps and are judged on a quarter of the scenes; the weights are in place."""
    from pipeline.demo import prepare_demo
    from storage import Home

    if not WEIGHTS.exists():
        pytest.skip("the segmenter's weights are not here: `bokehflow weights --home .venv/test-home` fetches them")
    shutil.copytree(WEIGHTS, root / "weights")
    prepare_demo(Home(root))
    scenes = root / "collection" / "truth" / "scoring" / "scoring.csv"
    header, *rows = scenes.read_text().splitlines(keepends=True)
    scenes.write_text("".join([header, *rows[::4]]))
    path = root / "bokehflow.toml"
    path.write_text(path.read_text().replace('profile = "smoke"\n', 'profile = "smoke"\n' + FEW_STEPS))
    return root


@pytest.fixture
def demo_home(tmp_path: Path) -> Path:
    """A demo home in which nothing has run yet."""
    return make_demo_home(tmp_path / "home")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A demo home in which everything has run, after it was killed while downloading; made once, whichever of the parallel
    workers needs it first."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = shared / "finished"
        if not root.exists():
            # A maker that ran out of time left its own behind.
            shutil.rmtree(shared / "making", ignore_errors=True)
            making = make_demo_home(shared / "making")
            blobs = making / "blobs"
            killed_when(making, lambda: sum(1 for _ in blobs.glob("??/*")) > 10, "--until", "photo_files")
            done = bokehflow(making, "demo")
            assert done.returncode == 0, done.stderr
            assert "Warning" not in done.stderr
            making.rename(root)
    return root


@pytest.fixture(scope="module")
def finished_demo(finished_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This module's own copy of the finished demo, for tests that only look."""
    root = tmp_path_factory.mktemp("demo") / "home"
    shutil.copytree(finished_once, root)
    return root


@pytest.fixture
def warm_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers that this process starts need not import torch first; they are processes of their own all the same."""
    monkeypatch.setattr("sys.executable", os.environ[WARM_PYTHON])


def bokehflow(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, which has imported what it needs."""
    command = [os.environ[WARM_PYTHON], "-m", "pipeline.cli", *arguments, "--home", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def killed_when(root: Path, reached: Callable[[], bool], *arguments: str) -> list[psutil.Process]:
    """Start a run, kill -9 it as soon as `reached`; returns the processes it had started."""
    command = [sys.executable, "-m", "pipeline.cli", "run", *arguments, "--home", str(root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 200
        while not reached():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline, "the run never got there"
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return children


class Outcome:
    """Exit code and what was said."""

    def __init__(self, code: object, said: str) -> None:
        self.code, self.said = code, said


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in this process, as a shell would see it."""

    def call(*arguments: str) -> Outcome:
        from pipeline.cli import main

        monkeypatch.setattr("sys.argv", ["bokehflow", *arguments])
        try:
            main()
            code: object = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        # A message given to sys.exit is printed by the interpreter and means exit code 1.
        said = captured.err + captured.out + (code if isinstance(code, str) else "")
        return Outcome(1 if isinstance(code, str) else code, said)

    return call

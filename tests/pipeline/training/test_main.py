"""The trainer's process: exit codes, signals, its starter's death, and what it tells Dagster."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster_pipes import PipesContext, encode_param

from pipeline.errors import StorageError
from pipeline.training import __main__ as trainer
from pipeline.training import process, runs
from pipeline.training.jobs import ProcessIdentity, TrainingJob
from pipeline.training.runs import RunFolder, completion_of, exclusive

MakeJob = Callable[..., TrainingJob]

PATIENCE_S = 60.0


def write_job(job: TrainingJob, path: Path) -> Path:
    path.write_text(job.model_dump_json())
    return path


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody has waited for has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@contextmanager
def signalled_in_step(step: int, number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this process receive the signal twice while the step is computed."""
    original = process.train_steps

    def steps(*arguments: object) -> Iterator[object]:
        for metrics in original(*arguments):
            if metrics.step == step:
                for _ in range(2):
                    os.kill(os.getpid(), number)
            yield metrics

    with monkeypatch.context() as patch:
        patch.setattr(process, "train_steps", steps)
        yield


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_with_a_checkpoint_and_it_goes_on_alike(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, exit_code: int
) -> None:
    stopped, straight = make_job("stopped", run_id="same"), make_job("straight", run_id="same")
    arguments = ["--job", str(write_job(stopped, tmp_path / "stopped.json"))]
    with signalled_in_step(5, number, monkeypatch):
        assert trainer.main(arguments) == exit_code
    folder = RunFolder(stopped.run_dir)
    assert folder.checkpoint.exists()
    assert completion_of(folder) is None
    assert trainer.main(arguments) == 0
    assert trainer.main(["--job", str(write_job(straight, tmp_path / "straight.json"))]) == 0
    finished, expected = completion_of(folder), completion_of(RunFolder(straight.run_dir))
    assert finished is not None
    assert expected is not None
    assert finished.files == expected.files


def test_what_cannot_be_done_is_said_and_exits_with_1(
    make_job: MakeJob, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    path = write_job(job, tmp_path / "job.json")
    monkeypatch.setattr(runs, "LOCK_PATIENCE_S", 0.0)
    with exclusive(job.run_dir):
        assert trainer.main(["--job", str(path)]) == 1
    assert "Another trainer" in caplog.text
    path.write_text(json.dumps({"run_id": "x"}))
    assert trainer.main(["--job", str(path)]) == 1
    assert "job.json cannot be used" in caplog.text
    assert "run_dir" in caplog.text
    with pytest.raises(SystemExit, match="2"):
        trainer.main([])


def test_a_starter_that_is_gone_is_noticed_at_once(
    make_job: MakeJob, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    current = ProcessIdentity.current()
    assert current.is_alive()
    recycled = ProcessIdentity(pid=current.pid, started_at_s=current.started_at_s - 100)
    assert not recycled.is_alive()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity(pid=child.pid, started_at_s=psutil.Process(child.pid).create_time())
    assert identity.is_alive()
    child.kill()
    wait_until(lambda: not identity.is_alive())  # a zombie still, since nobody waited for it
    child.communicate()
    assert not identity.is_alive()
    job = make_job(started_by=identity.model_dump())
    code = subprocess.run(
        [sys.executable, "-m", "pipeline.training", "--job", str(write_job(job, tmp_path / "job.json"))],
        capture_output=True,
        check=False,
        text=True,
    )
    assert code.returncode == 1
    assert f"The process {child.pid} that started this one is gone" in code.stderr
    assert not job.run_dir.exists()


STARTER = """
import json, subprocess, sys
from pipeline.training.jobs import ProcessIdentity
path, between = sys.argv[1], sys.argv[2] == "between"
job = json.load(open(path))
job["started_by"] = ProcessIdentity.current().model_dump()
json.dump(job, open(path, "w"))
command = [sys.executable, "-m", "pipeline.training", "--job", path]
if between:
    # A shell that stays in between, as a step's process would.
    command = ["sh", "-c", '"$@"; true', "sh", *command]
subprocess.run(command)
"""


@pytest.mark.parametrize("between", ["direct", "between"])
def test_a_trainer_dies_with_its_starter_and_frees_the_folder(make_job: MakeJob, tmp_path: Path, between: str) -> None:
    killed = make_job("killed", run_id="same", settings={"steps": 100_000})
    path = write_job(killed, tmp_path / "killed.json")
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(path), between], stderr=subprocess.DEVNULL)
    lock = killed.run_dir / ".lock"
    wait_until(lambda: lock.exists() and lock.read_text().isdigit())
    pid = int(lock.read_text())
    assert not is_gone(pid)
    starter.kill()
    wait_until(lambda: is_gone(pid))
    starter.wait()
    with exclusive(killed.run_dir):
        assert completion_of(RunFolder(killed.run_dir)) is None


def test_under_pipes_it_says_why_it_cannot_go_on(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = dict.fromkeys(["partition_key", "partition_key_range", "partition_time_window", "job_name"])
    empty: dict[str, object] = {"code_version_by_asset_key": {}, "provenance_by_asset_key": {}}
    extras = {"job": make_job().model_dump(mode="json")}
    context = {"asset_keys": ["trained_model"], "run_id": "a", "retry_number": 0, "extras": extras, **nothing, **empty}
    monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", encode_param({"data": context}))
    monkeypatch.setenv("DAGSTER_PIPES_MESSAGES", encode_param({"path": str(tmp_path / "messages")}))
    monkeypatch.setattr(PipesContext, "_instance", None)

    def full(*_: object) -> None:
        raise StorageError("runs/run: the disk is full")

    monkeypatch.setattr(trainer, "_run", full)
    assert trainer.main([]) == 1
    assert caplog.messages == ["runs/run: the disk is full"]


def train_under_pipes(job: TrainingJob) -> dg.ExecuteInProcessResult:
    @dg.asset
    def trained_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        command = [sys.executable, "-m", "pipeline.training"]
        extras = {"job": job.model_dump(mode="json")}
        return dg.PipesSubprocessClient().run(context=context, command=command, extras=extras).get_materialize_result()

    return dg.materialize([trained_model], raise_on_error=False)


# Dagster's own Pipes client asks its context in a way that Dagster deprecates,
# and its message reader counts writers, which is a preview.
@pytest.mark.usefixtures("warm_trainers")
@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.PreviewWarning")
@pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")
def test_under_pipes_a_run_reports_its_result(make_job: MakeJob) -> None:
    job = make_job(started_by=ProcessIdentity.current().model_dump())
    result = train_under_pipes(job)
    completion = completion_of(RunFolder(job.run_dir))
    assert completion is not None
    (event,) = result.get_asset_materialization_events()
    materialization = event.step_materialization_data.materialization
    assert (materialization.tags or {})["dagster/data_version"] == completion.files["generator_a_to_b.safetensors"]
    metadata = materialization.metadata
    assert metadata["steps"].value == 12
    assert metadata["run_dir"].value == str(job.run_dir)
    assert metadata["final_losses"].value == completion.final_losses
    begin = "![snapshot 0123456789abcdef input above, translation below](data:image/jpeg;base64,"
    assert str(metadata["sample"].value).startswith(begin)


def test_a_machine_that_fails_before_the_run_begins_is_no_defect(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(number: int) -> Callable[..., None]:
        def enter(*_: object) -> None:
            raise OSError(number, os.strerror(number), "runs/run/job.json")

        return enter

    arguments = ["--job", str(write_job(make_job(), tmp_path / "job.json"))]
    monkeypatch.setattr("pipeline.training.process.enter", fails(errno.ENOSPC))
    assert trainer.main(arguments) == 1
    assert caplog.messages[-1].startswith("runs/run/job.json: the disk is full; make room and run again")
    monkeypatch.setattr("pipeline.training.process.enter", fails(errno.EISDIR))
    with pytest.raises(IsADirectoryError):
        trainer.main(arguments)


def test_a_defect_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(trainer, "main", lambda: 1 // 0)
    assert trainer._exit_code() == 70
    assert "ZeroDivisionError" in capsys.readouterr().err

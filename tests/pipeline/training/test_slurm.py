"""A run as jobs of Slurm, of a made-up one that runs their scripts here."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import TrainingError
from pipeline.training import slurm
from pipeline.training.jobs import ProcessIdentity, TrainingJob
from pipeline.training.runs import Completion, RunFolder
from pipeline.training.slurm import SlurmJob

MakeJob = Callable[..., TrainingJob]
COMMANDS = {
    # The first job is told to stop once it trains, as at its limit.
    "sbatch": """
        n=$(( $(cat $FAKE/count 2>/dev/null || echo 0) + 1 )); echo $n > $FAKE/count
        log=${2#--output=}
        SLURM_JOB_ID=$n setsid ${FAKE_SHELL:-bash} "$3" >> "$log" 2>&1 < /dev/null &
        pid=$!; echo $pid > $FAKE/$n.pid
        if [ $n = 1 ]; then
            (while kill -0 $pid && ! grep -q 'step 0 of' "$log"; do sleep .05; done; kill -TERM $pid) > /dev/null 2>&1 &
        fi
        echo "$n;cluster" """,
    "squeue": "kill -0 $(cat $FAKE/$4.pid) 2>/dev/null && echo RUNNING || exit 1",
    "scancel": "echo $2 >> $FAKE/cancelled; kill -TERM -- -$(cat $FAKE/$2.pid)",
}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Slurm that is none."""
    folder = tmp_path / "fake"
    folder.mkdir()
    for name, text in COMMANDS.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o700)
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LOOK_EVERY_S", 0.1)
    yield folder
    for path in folder.glob("*.pid"):
        subprocess.run(["kill", "-KILL", "--", f"-{path.read_text().strip()}"], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_trainers")
def test_a_job_that_comes_to_its_limit_goes_on_in_another(make_job: MakeJob, tmp_path: Path, fake: Path) -> None:
    job = make_job(settings={"steps": 150}, started_by=ProcessIdentity.current().model_dump())
    said: list[str] = []
    done = SlurmJob(job, tmp_path / "slurm" / "it's one", ["--partition=gpu"]).to_the_end(said.append)
    assert done.steps == 150
    assert (fake / "count").read_text().split() == ["2"]
    assert any("came to its limit" in line for line in said)
    starts = [int(found[1]) for line in said if (found := re.search(r": step (\d+) of 150", line))]
    assert starts[0] == 0 < starts[1]
    script = (tmp_path / "slurm" / "it's one" / "job.sh").read_text()
    assert "#SBATCH --partition=gpu\n" in script


def test_silence_ends_after_its_time_and_the_job_is_cancelled(
    make_job: MakeJob, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake / "silent").write_text("#!/bin/bash\nexec sleep 100\n")
    (fake / "silent").chmod(0o700)
    monkeypatch.setenv("FAKE_SHELL", str(fake / "silent"))
    with pytest.raises(TrainingError, match=r"nothing was heard of Slurm's job 1 \(RUNNING\)"):
        SlurmJob(make_job(), tmp_path / "slurm", no_news_s=0.5).to_the_end(lambda line: None)
    assert (fake / "cancelled").read_text() == "1\n"


def test_a_job_at_work_is_followed_and_a_failed_one_is_named(make_job: MakeJob, tmp_path: Path, fake: Path) -> None:
    folder, said = tmp_path / "slurm", []
    folder.mkdir()
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as process:
        (fake / "7.pid").write_text(str(process.pid))
        (folder / "submitted").write_text("7")
        started = SlurmJob(make_job(), folder, no_news_s=0.5)
        with pytest.raises(TrainingError, match="job 7"):
            started.to_the_end(said.append)
        assert said == ["going on with Slurm's job 7"]
        assert process.wait(10) != 0
    assert not (fake / "count").exists()
    (fake / "sbatch").write_text("#!/bin/bash\necho 8; echo '8 1' > $(dirname $3)/ended\n")
    with pytest.raises(TrainingError, match=r"job 8 ended with 1; .*log\.txt says why"):
        started.to_the_end(said.append)
    (fake / "sbatch").write_text("#!/bin/bash\necho 'invalid partition' >&2; exit 1\n")
    with pytest.raises(TrainingError, match="sbatch refused: invalid partition"):
        started.to_the_end(said.append)


def test_while_slurms_controller_is_away_no_second_job_is_submitted(
    make_job: MakeJob, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is started again after changes of its settings, and the jobs go on meanwhile."""
    monkeypatch.setattr(slurm, "VANISHED_S", 0.0)
    away = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    (fake / "squeue").write_text(f"#!/bin/bash\necho '{away}' >&2; exit 1\n")
    folder = tmp_path / "slurm"
    folder.mkdir()
    (folder / "submitted").write_text("7")
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as process:
        (fake / "7.pid").write_text(str(process.pid))
        with pytest.raises(TrainingError, match=r"nothing was heard of Slurm's job 7 \(UNREACHABLE\)"):
            SlurmJob(make_job(), folder, no_news_s=0.5).to_the_end(lambda line: None)
    assert not (fake / "count").exists()


def test_a_job_that_vanished_when_it_was_done_is_not_said_to_have_had_too_little_time(
    make_job: MakeJob, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished run has no checkpoint; another job says that it is finished."""
    monkeypatch.setattr(slurm, "VANISHED_S", 0.0)
    job = make_job()
    numbers = {
        "steps": 1,
        "seconds": 1.0,
        "final_losses": {},
        "sample": "",
        "files": {"generator_a_to_b.safetensors": "0" * 64},
    }
    done = Completion(**job.model_dump(include={"run_id", "recipe", "model", "seed", "snapshot_id"}), digest="", **numbers)
    marker = RunFolder(job.run_dir).completion
    marker.parent.mkdir(parents=True)
    (fake / "done").write_text(done.model_dump_json())
    (fake / "sbatch").write_text(
        f"""#!/bin/bash
        if [ -e {marker} ]; then echo '8 0' > $(dirname $3)/ended; echo 8; else cp $FAKE/done {marker}; echo 7; fi"""
    )
    (fake / "squeue").write_text("#!/bin/bash\nexit 1\n")
    said: list[str] = []
    assert SlurmJob(job, tmp_path / "slurm").to_the_end(said.append) == done


def test_without_slurm_it_is_said(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrainingError, match="there is no sbatch on this machine"):
        SlurmJob(make_job(), tmp_path / "slurm").to_the_end(lambda line: None)

"""Sample pictures reach the UI while a run goes on."""

import time
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from pipeline.commands.training import _run as run_trial
from pipeline.errors import TrainingError
from pipeline.training.jobs import TrainingJob
from pipeline.training.recipes import resolve
from pipeline.training.runs import RunFolder
from resources.dagster_internals import ERASED, without_pictures
from resources.trainer import TrainerResource, TrainingsAhead, samples_shown

ASSET, PARTITION = dg.AssetKey("trained_model"), "smoke@0|0123456789abcdef"


def observations(instance: dg.DagsterInstance) -> list[dg.AssetObservation]:
    records = instance.fetch_observations(ASSET, limit=10).records
    return [record.event_log_entry.asset_observation for record in records if record.event_log_entry.asset_observation]


def test_new_pictures_are_observations_at_once_and_old_ones_are_not(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.samples.mkdir()
    Image.new("RGB", (32, 16), "red").save(folder.sample(10))
    job = TrainingJob.model_construct(run_dir=tmp_path, snapshot_id="0123456789abcdef")
    with dg.DagsterInstance.ephemeral() as instance:
        with samples_shown(instance, ASSET, PARTITION, job, look_every_s=0.01):
            Image.new("RGB", (32, 16), "green").save(folder.sample(20))
            deadline = time.monotonic() + 20
            while not observations(instance):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        (seen,) = observations(instance)
        assert seen.partition == PARTITION
        assert seen.metadata["step"].value == 20
        shown = str(seen.metadata["sample"].value)
        assert "data:image/jpeg;base64," in shown
        assert without_pictures(shown, set(), {"fedcba9876543210"}) == shown
        assert without_pictures(shown, set(), {"0123456789abcdef"}) == ERASED


@pytest.fixture
def trainer_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of Python: notes the job that it was given and, told to end, notes that too."""
    said = tmp_path / "said.txt"
    script = tmp_path / "python"
    script.write_text(f"""#!/bin/sh
trap 'echo ended >> {said}; exit 0' TERM
echo "$4" >> {said}
while :; do sleep 0.05; done
""")
    script.chmod(0o755)
    monkeypatch.setattr("resources.trainer.sys.executable", str(script))
    monkeypatch.setattr("resources.trainer.NVIDIA_DRIVER", tmp_path / "nowhere")
    return said


def a_job(tmp_path: Path, name: str, threads: int = 1) -> TrainingJob:
    settings = resolve("smoke", {"cpu_threads": threads})
    return TrainingJob.model_construct(run_id=name, run_dir=tmp_path / "runs" / name, settings=settings)


def test_trainings_ahead_take_the_cores_that_are_left_and_end_with_the_run(tmp_path: Path, trainer_that_waits: Path) -> None:
    with TrainingsAhead(cores=3) as ahead:
        assert not ahead.start(a_job(tmp_path, "as-many-as-it-likes", threads=0), beside=1)
        assert not ahead.start(a_job(tmp_path, "too-many", threads=3), beside=1)
        assert ahead.start(a_job(tmp_path, "first"), beside=1)
        assert not ahead.start(a_job(tmp_path, "first"), beside=1), "it runs already"
        assert ahead.start(a_job(tmp_path, "second"), beside=1)
        assert not ahead.start(a_job(tmp_path, "third"), beside=1)
        assert not ahead.wait("third")
        while trainer_that_waits.read_text().count("\n") < 2 if trainer_that_waits.exists() else True:
            time.sleep(0.02)
        jobs = [Path(line) for line in trainer_that_waits.read_text().splitlines()]
        assert sorted(path.name for path in jobs) == ["first.json", "second.json"]
    assert trainer_that_waits.read_text().count("ended") == 2
    assert not any(path.exists() for path in jobs)


def test_beside_a_gpu_nothing_trains_ahead(
    tmp_path: Path, trainer_that_waits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.trainer.NVIDIA_DRIVER", tmp_path)
    with TrainingsAhead(cores=3) as ahead:
        assert not ahead.start(a_job(tmp_path, "first"), beside=1)
    assert not trainer_that_waits.exists()


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ("exit 1", "run: the training could not go on; its last line above says why"),
        (
            "kill -9 $$",
            r"run: the training was killed \(SIGKILL, as systems do that have no memory left\); the same",
        ),
        ("kill -11 $$", r"run: the training was killed \(SIGSEGV\); the same command goes on from its last checkpoint"),
        ("exit 143", r"run: the training was stopped \(SIGTERM\) and saved where it was; the same command goes on"),
        ("exit 70", None),
        ("exit 2", None),
    ],
)
def test_a_training_that_ends_early_says_how_and_only_a_defect_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, words: str | None
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{ends}\n")
    script.chmod(0o755)
    monkeypatch.setattr("resources.trainer.sys.executable", str(script))
    job = TrainingJob.model_construct(run_dir=tmp_path, snapshot_id="0123456789abcdef", run_id="run")

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["one"]))
    def trained_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        monkeypatch.setattr("resources.trainer.samples_shown", lambda *_: nullcontext())
        return TrainerResource().train(context, job)

    expected = pytest.raises(TrainingError, match=words) if words else pytest.raises(Exception, match="failed with code")
    with dg.DagsterInstance.ephemeral() as instance, expected as caught:
        dg.materialize([trained_model], instance=instance, partition_key="one")
    assert isinstance(caught.value, TrainingError) == (words is not None)


def test_a_killed_trial_says_so_and_has_the_exit_code_of_shells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nkill -9 $$\n")
    script.chmod(0o755)
    monkeypatch.setattr("pipeline.commands.training.sys.executable", str(script))
    assert run_trial(TrainingJob.model_construct(run_dir=tmp_path / "run", run_id="run")) == 128 + 9
    assert "run: the training was killed (SIGKILL" in capsys.readouterr().err

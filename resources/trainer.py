"""The trainer as a Dagster resource: a process of its own, spoken to through Pipes."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import dagster as dg

from pipeline.atomic import write_text
from pipeline.config import Project, TrainingSection
from pipeline.errors import TrainingError
from pipeline.file_names import child, inside
from pipeline.training.jobs import TrainingJob
from pipeline.training.runs import Completion, RunFolder, why_ended
from pipeline.training.samples import embedded_sample
from pipeline.training.slurm import SlurmJob
from storage import Home

LOOK_EVERY_S = 2.0
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
"""Where it is, trainings want the GPU, and go one after the other through its pool."""


class TrainerResource:
    """Starts `python -m pipeline.training` and waits for it; logs, losses and pictures stream back."""

    def train(self, context: dg.AssetExecutionContext, job: TrainingJob) -> dg.MaterializeResult:
        """Run the job to its end, or go on with it where it stopped. Raises `TrainingError` where it ends before."""
        client = dg.PipesSubprocessClient()
        command = [sys.executable, "-m", "pipeline.training"]
        try:
            with samples_shown(context.instance, context.asset_key, context.partition_key, job):
                invocation = client.run(command=command, context=context, extras={"job": job.model_dump(mode="json")})
        except Exception as error:  # that of Pipes has no public name
            if (told := why_ended(job.run_id, _exit_code(error))) is None:
                raise
            raise TrainingError(told) from None
        return invocation.get_materialize_result()


def _exit_code(error: Exception) -> int:
    """Of a process that Pipes started and that failed, as the words of the error alone tell; 0 for any other error."""
    found = re.search(r"process failed with code (-?[0-9]+)$", str(error))
    return int(found[1]) if found else 0


class TrainingsAhead:
    """Trainings that run beside one that Dagster follows, as far as there are cores: their own turn finds them done.

    Each is a process like any trainer's, on the folder of its run, so that it ends the same whoever waits for it.
    """

    def __init__(self, cores: int = os.cpu_count() or 1) -> None:
        self._cores = cores
        self._running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Have each that still runs save where it is and end."""
        for process, _path in self._running.values():
            process.terminate()
        for run_id in list(self._running):
            self.wait(run_id)

    def start(self, job: TrainingJob, beside: int) -> bool:
        """Start it once, where cores are left `beside` so many threads of others; whether it was started now."""
        if job.run_id in self._running:
            return False
        threads = job.settings.cpu_threads
        if not threads or threads * (1 + len(self._running)) + beside > self._cores or NVIDIA_DRIVER.exists():
            return False
        path = job.run_dir.with_suffix(".json")
        write_text(path, job.model_dump_json(indent=2))
        command = [sys.executable, "-m", "pipeline.training", "--job", str(path)]
        quiet = subprocess.DEVNULL
        self._running[job.run_id] = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet), path
        return True

    def wait(self, run_id: str) -> bool:
        """Until it has ended, however it did: whoever starts it next finds what it came to. False for another."""
        if run_id not in self._running:
            return False
        process, path = self._running.pop(run_id)
        process.wait()
        path.unlink(missing_ok=True)
        return True


class SlurmTrainer(TrainerResource):
    """Has Slurm train and follows it; for the rest see `pipeline.training.slurm`."""

    def __init__(self, folder: Path, training: TrainingSection) -> None:
        """`folder` holds what jobs are told and say."""
        self.folder, self.training = folder, training

    def train(self, context: dg.AssetExecutionContext, job: TrainingJob) -> dg.MaterializeResult:
        """Run the job to its end, or go on with it where it stopped."""
        place = child(child(self.folder, job.snapshot_id), f"{job.recipe}@{job.seed}")
        slurm = SlurmJob(job, place, self.training.slurm_options, self.training.slurm_no_news_minutes * 60)
        with samples_shown(context.instance, context.asset_key, context.partition_key, job):
            done = slurm.to_the_end(context.log.info)
        return dg.MaterializeResult(
            metadata={
                "run": done.run_id,
                "steps": done.steps,
                "seconds": done.seconds,
                "final_losses": dg.MetadataValue.json(done.final_losses),
                "run_dir": dg.MetadataValue.path(str(job.run_dir)),
                "snapshot": done.snapshot_id,
                **{f"loss/{name}": value for name, value in done.final_losses.items()},
                **_last_sample(job, done),
            },
            data_version=dg.DataVersion(done.generator_sha256),
        )


def _last_sample(job: TrainingJob, done: Completion) -> dict[str, dg.MetadataValue]:
    """The run's last sample picture, where `bokehflow forget` has not taken it away."""
    sample = inside(job.run_dir, done.sample)
    if not sample.exists():
        return {}
    picture = embedded_sample(sample, done.snapshot_id)
    return {"sample": dg.MetadataValue.md(picture), "sample_path": dg.MetadataValue.path(str(sample))}


@contextmanager
def samples_shown(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str, job: TrainingJob, look_every_s: float = LOOK_EVERY_S
) -> Iterator[None]:
    """Meanwhile report each new sample picture of the run as an observation of the asset.

    What a step reports itself reaches the UI when it ends; an observation outside of it is there at once.
    """
    done = threading.Event()
    known = _pictures(job.run_dir)

    def look() -> None:
        while not done.wait(look_every_s):
            for picture in sorted(_pictures(job.run_dir) - known):
                known.add(picture)
                shown = {
                    "sample": dg.MetadataValue.md(embedded_sample(picture, job.snapshot_id)),
                    "step": int(picture.stem.rpartition("_")[2]),
                }
                instance.report_runless_asset_event(dg.AssetObservation(asset, partition=partition, metadata=shown))

    watcher = threading.Thread(target=look, name="sample pictures", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _pictures(run_dir: Path) -> set[Path]:
    return set(RunFolder(run_dir).samples.glob("step_*.png"))


def trainer_of(project: Project, home: Home) -> TrainerResource:
    """The trainer that the project file names."""
    slurm = project.training.trainer == "slurm"
    return SlurmTrainer(home.slurm, project.training) if slurm else TrainerResource()

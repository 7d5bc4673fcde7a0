"""The trainer as a Dagster resource: a process of its own, spoken to through Pipes."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from pipeline.training.jobs import TrainingJob
from pipeline.training.runs import RunFolder
from pipeline.training.samples import embedded_sample

LOOK_EVERY_S = 2.0


class TrainerResource:
    """Starts `python -m pipeline.training` and waits for it; logs, losses and pictures stream back."""

    def train(self, context: dg.AssetExecutionContext, job: TrainingJob) -> dg.MaterializeResult:
        """Run the job to its end, or go on with it where it stopped."""
        client = dg.PipesSubprocessClient()
        command = [sys.executable, "-m", "pipeline.training"]
        with samples_shown(context.instance, context.asset_key, context.partition_key, job):
            invocation = client.run(command=command, context=context, extras={"job": job.model_dump(mode="json")})
        return invocation.get_materialize_result()


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

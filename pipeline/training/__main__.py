"""The process of a training run: `python -m pipeline.training`, under Dagster Pipes or with `--job FILE`.

Under Pipes the job comes in the extras under "job"; progress, losses and the result stream back. Exit codes:
0 when the run is complete, 1 when it cannot go on, 70 for a defect, 130 and 143 when SIGINT or SIGTERM ended it
after the step at hand with a checkpoint saved; started again it goes on from there.

torch and the data are imported late: the process must be tied to its starter before anything slow. So is Pipes, which a
machine that trains from a file need not have.
"""

import argparse
import logging
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline.errors import DEFECT, BokehflowError, TrainingError, is_of_machine, machine_words
from pipeline.file_names import child, inside
from pipeline.memory import keep_freed_memory
from pipeline.parquet_files import parquet_footer, parquet_path
from pipeline.picture_layers import BY_NAME, OPTIONAL
from pipeline.plain_files import read_plain
from pipeline.training.jobs import TrainingJob
from pipeline.training.lifeline import follow
from pipeline.training.runs import Completion
from pipeline.training.samples import embedded_sample

if TYPE_CHECKING:
    import pandas as pd
    from dagster_pipes import PipesContext

    from pipeline.training.process import TrainingData
    from pipeline.training.sampling import ImageSource

JOB_EXTRA = "job"
MANIFEST_COLUMNS = ["photo_id", "domain", "split", "shard", "row"]

logger = logging.getLogger("pipeline.training")


class StopSignal:
    """Remembers SIGTERM or SIGINT until the step at hand is done.

    Further ones change nothing: Ctrl-C in a terminal reaches this process twice, from the terminal and from
    Dagster, and the second must not cut the checkpoint short.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.number = self.number or number

    def __call__(self) -> bool:
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells report it."""
        return 128 + (self.number or 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.training", description="Train one run.")
    parser.add_argument("--job", type=Path, help="the job as JSON; without it the job comes from Dagster Pipes")
    options = parser.parse_args(arguments)
    if options.job is None and not _is_under_pipes():
        parser.error("--job FILE is needed outside Dagster Pipes")
    stop = StopSignal()
    keep_freed_memory()
    try:
        completed = _run_from_file(options.job, stop) if options.job else _run_under_pipes(stop)
    except BokehflowError as error:
        logger.error("%s", error)
        return 1
    except OSError as error:
        if not is_of_machine(error):
            raise
        logger.error("%s and run again, which goes on from the last checkpoint", machine_words(error, "a file of the run"))
        return 1
    return 0 if completed else stop.exit_code


def _run_from_file(path: Path, stop: StopSignal) -> bool:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        job = TrainingJob.model_validate_json(read_plain(path))
    except (OSError, ValidationError) as error:
        raise TrainingError(f"The job {path} cannot be used: {error}") from error
    return _run(job, stop) is not None


def _is_under_pipes() -> bool:
    from dagster_pipes import PipesEnvVarParamsLoader

    return PipesEnvVarParamsLoader().is_dagster_pipes_process()


def _run_under_pipes(stop: StopSignal) -> bool:
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as context, _logging_to(list(context.log.handlers)):
        job = TrainingJob.model_validate(context.get_extra(JOB_EXTRA))
        completion = _run(job, stop)
        if completion is not None:
            _report(context, job, completion)
        return completion is not None


@contextmanager
def _logging_to(handlers: Sequence[logging.Handler]) -> Iterator[None]:
    """Pipes' own handlers raise once its context is closed, so that why a run ended would go under in a traceback."""
    package_logger = logging.getLogger("pipeline")
    package_logger.setLevel(logging.INFO)
    for handler in handlers:
        package_logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            package_logger.removeHandler(handler)


def _run(job: TrainingJob, stop: StopSignal) -> Completion | None:
    if job.started_by is not None:
        follow(job.started_by)
    from pipeline.training.process import run_training

    return run_training(job, lambda: load_data(job), stop)


def load_data(job: TrainingJob) -> "TrainingData":
    """Open the snapshot's pictures; samples are made of A's test pictures, or of its training pictures."""
    from pipeline.models import MODELS_OF_ONE_DOMAIN, model_class
    from pipeline.training.process import TrainingData
    from pipeline.training.sampling import layers_of

    manifest = _read_manifest(job.manifest_path)
    needed, only_a = model_class(job.model).LAYERS, job.model in MODELS_OF_ONE_DOMAIN
    train_a = _images(job, manifest, job.domain_a, "train", layers_of("a", needed))
    has_tests = ((manifest["domain"] == job.domain_a) & (manifest["split"] == "test")).any()
    return TrainingData(
        train_a=train_a,
        train_b=train_a if only_a else _images(job, manifest, job.domain_b, "train", layers_of("b", needed)),
        samples_a=_images(job, manifest, job.domain_a, "test") if has_tests else train_a,
    )


def _read_manifest(path: Path) -> "pd.DataFrame":
    """The rows that tell where pictures lie, sorted by photo id so that their order is a matter of content."""
    import pandas as pd

    try:
        there = parquet_footer(path).schema.names
        columns = [*MANIFEST_COLUMNS, *(layer.source for layer in OPTIONAL if layer.source in there)]
        return pd.read_parquet(parquet_path(path), columns=columns).sort_values("photo_id", kind="stable")
    except (OSError, ValueError) as error:
        raise TrainingError(f"The manifest {path} cannot be read: {error}") from error


def _images(
    job: TrainingJob, manifest: "pd.DataFrame", domain: str, split: str, layers: Sequence[str] = ()
) -> "ImageSource":
    """The pictures of a domain that have these layers."""
    from pipeline.dataset.shards import ShardReader

    rows = manifest[(manifest["domain"] == domain) & (manifest["split"] == split)]
    if rows.empty:
        raise TrainingError(f"Snapshot {job.snapshot_id} has no {split} pictures of domain {domain!r}; curate more of them.")
    for layer in (BY_NAME[name] for name in layers):
        having = rows[rows[layer.source].notna()] if layer.source in rows else rows.head(0)
        if having.empty:
            raise TrainingError(
                f"The model {job.model} learns from the layer {layer.name} ({layer.what}), which no {split} picture of"
                f" domain {domain!r} has in snapshot {job.snapshot_id}; docs/depth.md says where it comes from."
            )
        if len(having) < len(rows):
            logger.info(
                "%d of %d pictures of %s have no %s and are left out", len(rows) - len(having), len(rows), domain, layer.name
            )
        rows = having
    return ShardReader([child(job.shards_dir, shard) for shard in rows["shard"]], rows["row"].tolist())


def _report(context: "PipesContext", job: TrainingJob, completion: Completion) -> None:
    """The run's one materialisation, whose data version is the generator's content."""
    sample = inside(job.run_dir, completion.sample)
    metadata = {
        "run": completion.run_id,
        "steps": completion.steps,
        "seconds": completion.seconds,
        "final_losses": {"raw_value": completion.final_losses, "type": "json"},
        "run_dir": {"raw_value": str(job.run_dir), "type": "path"},
        "snapshot": completion.snapshot_id,
        **{f"loss/{name}": value for name, value in completion.final_losses.items()},
    }
    if sample.exists():  # `bokehflow forget` takes it away
        metadata["sample"] = {"raw_value": embedded_sample(sample, completion.snapshot_id), "type": "md"}
        metadata["sample_path"] = {"raw_value": str(sample), "type": "path"}
    context.report_asset_materialization(metadata=metadata, data_version=completion.generator_sha256)


def _exit_code() -> int:
    """Of `main`; a defect has one of its own, since Python's is that of what was told in words."""
    try:
        return main()
    except Exception:  # whatever it is, who waits for this process must not take it for an error told in words
        traceback.print_exc()
        return DEFECT


if __name__ == "__main__":
    sys.exit(_exit_code())

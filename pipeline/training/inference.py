"""Loading what a run has trained."""

from pathlib import Path
from typing import Literal

from pipeline.errors import TrainingError
from pipeline.models.networks import Generator
from pipeline.training.checkpoints import file_sha256, load_generator_weights
from pipeline.training.loop import generator_config
from pipeline.training.recipes import TrainingSettings
from pipeline.training.runs import RunFolder, completion_of, job_of

Checkpoint = Literal["last", "best"]


def provenance_of(run_dir: Path, checkpoint: Checkpoint = "last") -> dict[str, str | int]:
    """What a finished run's model says of itself: run, recipe, model, seed, snapshot, digests.

    TrainingError if the run is unfinished.
    """
    completion = completion_of(RunFolder(run_dir))
    if completion is None:
        raise TrainingError(f"{run_dir} holds no finished run; train it first.")
    fields = completion.model_dump(include={"run_id", "recipe", "model", "seed", "snapshot_id", "digest", "steps"})
    name = str(_generator_path(run_dir, checkpoint).relative_to(run_dir))
    return {**fields, "checkpoint": checkpoint, "generator_sha256": completion.files[name]}


def load_generator(run_dir: Path, checkpoint: Checkpoint = "last") -> tuple[Generator, TrainingSettings]:
    """The generator from A to B of a finished run, on the CPU and in eval mode, and the run's settings.

    It is the last one, which counts as the result, or the one that the run's own checks liked best. TrainingError if
    the run is unfinished or the file is not the one that it completed with.
    """
    folder = RunFolder(run_dir)
    completion, job = completion_of(folder), job_of(folder)
    if completion is None or job is None:
        raise TrainingError(f"{run_dir} holds no finished run; train it first.")
    path = _generator_path(run_dir, checkpoint)
    if not path.exists() or file_sha256(path) != completion.files[str(path.relative_to(run_dir))]:
        raise TrainingError(f"{path} is missing or was altered; start the run again to write it anew.")
    generator = Generator(generator_config(job.settings))
    load_generator_weights(generator, path)
    return generator.eval(), job.settings


def _generator_path(run_dir: Path, checkpoint: Checkpoint) -> Path:
    folder = RunFolder(run_dir)
    return folder.generator("a_to_b") if checkpoint == "last" else folder.best_generator("a_to_b")

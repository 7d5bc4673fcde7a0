"""Loading what a run has trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pipeline.errors import TrainingError
from pipeline.file_names import inside
from pipeline.models.lens_generator import build_generator
from pipeline.models.networks import Generator
from pipeline.plain_files import at_hand, file_sha256
from pipeline.training.checkpoints import load_generator_weights
from pipeline.training.jobs import TrainingJob
from pipeline.training.recipes import TrainingSettings
from pipeline.training.runs import Completion, RunFolder, completion_of, generator_file, job_of
from pipeline.training.state import generator_config

Checkpoint = Literal["last", "best"]
"""The last one, which counts as the result, or the one that the run's own checks liked best."""


def provenance_of(run_dir: Path, checkpoint: Checkpoint = "last") -> dict[str, str | int]:
    """What a finished run's model says of itself: run, recipe, model, seed, snapshot, digests, after how many steps.

    TrainingError if the run is unfinished.
    """
    completion, _ = _finished(run_dir)
    fields = completion.model_dump(include={"run_id", "recipe", "model", "seed", "snapshot_id", "digest"})
    name, best = _name(run_dir, "a_to_b", checkpoint, completion), completion.best
    steps = int(best["step"]) if checkpoint == "best" and "step" in best else completion.steps
    return {**fields, "steps": steps, "checkpoint": checkpoint, "generator_sha256": completion.files[name]}


@dataclass(frozen=True)
class TrainedRun:
    """A finished run's generators by direction, the settings and the model's name."""

    generators: dict[str, Generator]
    settings: TrainingSettings
    model: str


def load_generator(run_dir: Path, checkpoint: Checkpoint = "last") -> tuple[Generator, TrainingSettings]:
    """The generator from A to B of a finished run, on the CPU and in eval mode, and the run's settings.

    TrainingError if the run is unfinished or the file is not the one that it completed with, and for another `checkpoint`.
    """
    trained = load_run(run_dir, ("a_to_b",), checkpoint)
    return trained.generators["a_to_b"], trained.settings


def load_run(run_dir: Path, directions: Sequence[str] = ("a_to_b", "b_to_a"), checkpoint: Checkpoint = "last") -> TrainedRun:
    """The generators of a finished run in these directions, as far as it has them, on the CPU and in eval mode.

    TrainingError if the run is unfinished or a file is not the one that it completed with.
    """
    completion, job = _finished(run_dir)
    made = [direction for direction in directions if generator_file(direction) in completion.files]
    names = {direction: _name(run_dir, direction, checkpoint, completion) for direction in made}
    generators = {
        direction: _generator(inside(run_dir, name), completion.files[name], job, direction)
        for direction, name in names.items()
    }
    return TrainedRun(generators, job.settings, job.model)


def _finished(run_dir: Path) -> tuple[Completion, TrainingJob]:
    completion, job = completion_of(RunFolder(run_dir)), job_of(RunFolder(run_dir))
    if completion is None or job is None:
        raise TrainingError(f"{run_dir} holds no finished run; train it first.")
    return completion, job


def _name(run_dir: Path, direction: str, checkpoint: Checkpoint, completion: Completion) -> str:
    """The generator's path in the run's folder."""
    if checkpoint not in get_args(Checkpoint):
        raise TrainingError(f"There is no checkpoint {checkpoint!r}; it may be {' or '.join(get_args(Checkpoint))}.")
    folder = RunFolder(run_dir)
    path = folder.generator(direction) if checkpoint == "last" else folder.best_generator(direction)
    name = str(path.relative_to(run_dir))
    if name not in completion.files:
        raise TrainingError(f"{run_dir} has no {checkpoint} checkpoint: it was trained before runs kept one; use the last.")
    return name


def _generator(path: Path, digest: str, job: TrainingJob, direction: str) -> Generator:
    if not at_hand(path) or file_sha256(path) != digest:
        raise TrainingError(f"{path} is missing or was altered; start the run again to write it anew.")
    config = generator_config(job.settings)
    generator = build_generator(config if direction == "a_to_b" else config.way_back)
    load_generator_weights(generator, path)
    return generator.eval()

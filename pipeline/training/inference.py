"""Loading what a run has trained."""

from pathlib import Path

from pipeline.errors import TrainingError
from pipeline.models.networks import Generator
from pipeline.training.checkpoints import file_sha256, load_generator_weights
from pipeline.training.loop import generator_config
from pipeline.training.recipes import TrainingSettings
from pipeline.training.runs import RunFolder, completion_of, generator_file, job_of


def provenance_of(run_dir: Path) -> dict[str, str | int]:
    """What a finished run's model says of itself: run, recipe, model, seed, snapshot, digests.

    TrainingError if the run is unfinished.
    """
    completion = completion_of(RunFolder(run_dir))
    if completion is None:
        raise TrainingError(f"{run_dir} holds no finished run; train it first.")
    fields = completion.model_dump(include={"run_id", "recipe", "model", "seed", "snapshot_id", "digest", "steps"})
    return {**fields, "generator_sha256": completion.files[generator_file("a_to_b")]}


def load_generator(run_dir: Path) -> tuple[Generator, TrainingSettings]:
    """The generator from A to B of a finished run, on the CPU and in eval mode, and the run's settings.

    TrainingError if the run is unfinished or the file is not the one that it completed with.
    """
    folder = RunFolder(run_dir)
    completion, job = completion_of(folder), job_of(folder)
    if completion is None or job is None:
        raise TrainingError(f"{run_dir} holds no finished run; train it first.")
    path = folder.generator("a_to_b")
    if not path.exists() or file_sha256(path) != completion.files[path.name]:
        raise TrainingError(f"{path} is missing or was altered; start the run again to write it anew.")
    generator = Generator(generator_config(job.settings))
    load_generator_weights(generator, path)
    return generator.eval(), job.settings

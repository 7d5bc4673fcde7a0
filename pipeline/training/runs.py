"""The folder of a training run: what lies in it, who may write to it, and what it says about the run.

Free of torch, so that status and assets can read runs. A folder belongs to one configuration, told by the
job's digest; when a job of another digest starts in it, what was there is moved to `superseded/`.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pipeline import atomic
from pipeline.bounded import form_problem, read_json
from pipeline.errors import DEFECT, TrainingError
from pipeline.file_names import child
from pipeline.locks import Held, locked, sign
from pipeline.parquet_files import parquet_footer
from pipeline.plain_files import at_hand, read_plain
from pipeline.training.jobs import TrainingJob

LOCK_PATIENCE_S = 5.0
"""A killed trainer holds the lock until its last thread has ended, some moments after it is reported dead."""

_JOB = {"run_id": str, "recipe": str, "seed": int, "snapshot_id": str, "model": str}
"""What must stand in a job file, whatever version wrote it."""
LOCK, SUPERSEDED = ".lock", "superseded"

Failing = Literal["blurs nothing", "blurs everything"]
"""The two ways in which a run fails, as `progress_checks` tells them."""


TOLD = 1
"""The exit code of a trainer that said why it could not go on."""


def generator_file(direction: str) -> str:
    """Name of a generator's file, for the direction `a_to_b` or `b_to_a`."""
    return f"generator_{direction}.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run."""

    root: Path

    @property
    def job(self) -> Path:
        """The job and its digest, written first."""
        return self.root / "job.json"

    @property
    def losses(self) -> Path:
        """Unweighted loss terms of every step."""
        return self.root / "losses.parquet"

    @property
    def samples(self) -> Path:
        """Pictures of fixed inputs and their translations at several steps."""
        return self.root / "samples"

    @property
    def translated(self) -> Path:
        """Side-by-side pictures of photos and what the model makes of them, written when it is evaluated."""
        return self.root / "translated"

    @property
    def checkpoint(self) -> Path:
        """Where the run goes on after an interruption."""
        return self.root / "checkpoints" / "last.pt"

    @property
    def events(self) -> Path:
        """The same losses for TensorBoard."""
        return self.root / "tensorboard"

    @property
    def mlflow(self) -> Path:
        """The mark by which the run's record in MLflow is found again, where one was wanted."""
        return self.root / "mlflow.txt"

    def generator(self, direction: str) -> Path:
        """The generator that counts, the running average if there is one; `a_to_b`, or `b_to_a` where there is one."""
        return child(self.root, generator_file(direction))

    def kept_generator(self, direction: str, step: int) -> Path:
        """The generator as it was after `step` steps, of runs that keep some (`keep_every_steps`)."""
        return child(child(self.root / "checkpoints", f"step_{step:07d}"), generator_file(direction))

    def best_generator(self, direction: str) -> Path:
        """The generator as it was when the run's own checks liked it best."""
        return child(self.root / "checkpoints" / "best", generator_file(direction))

    @property
    def best_check(self) -> Path:
        """What the check said that liked these best."""
        return self.root / "checkpoints" / "best" / "check.json"

    @property
    def checks(self) -> Path:
        """What the run's own checks said."""
        return self.root / "checks.json"

    @property
    def card(self) -> Path:
        """The model card, for programs."""
        return self.root / "model.json"

    @property
    def card_page(self) -> Path:
        """The model card, for people."""
        return self.root / "model_card.md"

    @property
    def completion(self) -> Path:
        """The marker of a finished run, written last."""
        return self.root / "complete.json"

    def sample(self, step: int) -> Path:
        """The sample picture taken after `step` steps."""
        return child(self.samples, f"step_{step:07d}.png")


class Completion(BaseModel):
    """What `complete.json` says of a finished run."""

    model_config = ConfigDict(frozen=True)

    digest: str
    """The job's digest: settings, model, seed, snapshot and domains."""
    run_id: str
    recipe: str
    model: str
    seed: int
    snapshot_id: str
    steps: int
    seconds: float
    """Training time, interruptions left out."""
    final_losses: dict[str, float]
    """Unweighted terms, means over the last steps."""
    sample: str
    """The last sample picture, relative to the folder."""
    best: dict[str, float] = {}
    """The check of the best checkpoint: step, gap, scales and change, as `progress_checks` explains; empty in older runs."""
    failing: Failing | None = None
    """The way in which the run failed by its last check; None where it did not, and in older runs."""
    strengths: dict[str, float] = {}
    """Of a calibrated lens from A to B, by checkpoint (`last`, `best`): how much larger its discs are than those trained
    with; empty without one."""
    files: dict[str, str]
    """SHA-256 of the generators' files, by their paths in the folder; one maps from A to B."""

    @property
    def generator_sha256(self) -> str:
        """Of the one from A to B that counts."""
        return self.files[generator_file("a_to_b")]

    @field_validator("files")
    @classmethod
    def _has_a_generator(cls, files: dict[str, str]) -> dict[str, str]:
        if generator_file("a_to_b") not in files:
            raise ValueError(f"there is no {generator_file('a_to_b')} among them")
        return files


def why_ended(run_id: str, exit_code: int) -> str | None:
    """In words why a trainer ended before its run was complete, by its exit code; None for a defect of it.

    `subprocess` has the negative number of the signal that killed a process, and a trainer that was told to stop ends with
    128 and that number.
    """
    if exit_code == DEFECT:
        return None
    if exit_code == TOLD:
        return f"{run_id}: the training could not go on; its last line above says why"
    try:
        name = signal.Signals(-exit_code if exit_code < 0 else exit_code - 128).name
    except ValueError:
        return None
    if exit_code > 0:
        return f"{run_id}: the training was stopped ({name}) and saved where it was; the same command goes on from there"
    why = ", as systems do that have no memory left" if name == "SIGKILL" else ""
    return f"{run_id}: the training was killed ({name}{why}); the same command goes on from its last checkpoint"


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the folder's lock; TrainingError if another trainer still does after `LOCK_PATIENCE_S`.

    The kernel releases the lock when its holder dies, however it dies.
    """
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            descriptor = held.enter_context(locked(root / LOCK, patience_s=LOCK_PATIENCE_S))
        except Held as busy:
            holder = str(busy) or "unknown"
            raise TrainingError(f"Another trainer (process {holder}) works in {root}; wait for it or end it.") from None
        with atomic.naming(root / LOCK):
            sign(descriptor, str(os.getpid()))
        yield


def enter(folder: RunFolder, job: TrainingJob) -> None:
    """Make the folder the job's own; to be called under its lock.

    What another configuration left is moved to `superseded/`, remains of unfinished writes are deleted.
    """
    atomic.sweep(list(folder.root.rglob(f".*{atomic.TEMPORARY_SUFFIX}")))
    before = _job_file(folder)
    if before is None or before["digest"] != job.digest:
        _supersede(folder, before["digest"] if before else "unknown")
    content = {"digest": job.digest, "job": job.model_dump(mode="json")}
    atomic.write_text(folder.job, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def completion_of(folder: RunFolder) -> Completion | None:
    """What the completion marker says, or None while the run is unfinished."""
    try:
        return Completion.model_validate_json(read_plain(folder.completion))
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise TrainingError(f"{folder.completion} is damaged ({error}); delete it to finish the run anew.") from error


def model_version(folder: RunFolder) -> str:
    """SHA-256 of a finished run's generator from A to B; nothing while the run is unfinished."""
    done = completion_of(folder)
    return done.generator_sha256 if done else ""


def with_superseded(run_dir: Path) -> list[RunFolder]:
    """The run, and those that it took the place of."""
    return [RunFolder(path) for path in (run_dir, *sorted((run_dir / SUPERSEDED).glob("*")))]


def drop_samples(folder: RunFolder) -> int:
    """Delete the run's sample pictures and, where nothing will go on from it, the checkpoint, which holds some of its last
    translations; returns how many files went."""
    doomed = list(folder.samples.glob("*.png"))
    is_over = folder.completion.exists() or folder.root.parent.name == SUPERSEDED
    if is_over and at_hand(folder.checkpoint):
        doomed.append(folder.checkpoint)
    for path in doomed:
        path.unlink()
    return len(doomed)


def job_of(folder: RunFolder) -> TrainingJob | None:
    """The job that the folder was entered with, None if it never was."""
    content = _job_file(folder)
    return None if content is None else TrainingJob.model_validate(content["job"])


def holds_another_result(job: TrainingJob) -> bool:
    """Whether the job's folder holds a finished run of another digest, which the job would supersede."""
    done = completion_of(RunFolder(job.run_dir))
    return done is not None and done.digest != job.digest


def has_other_settings(job: TrainingJob) -> bool:
    """Whether what the job's folder holds was made by other settings, not just by an older version of the code."""
    try:
        before = job_of(RunFolder(job.run_dir))
    except ValidationError:  # settings that are no longer known
        return True
    return before is not None and before.deciding != job.deciding


def describe_run(run_dir: Path) -> dict[str, object] | None:
    """What status shows of a run: run, recipe, seed, snapshot, model, steps, whether it is complete, and how it fails.

    `steps` counts those on record, up to the last checkpoint of a run that goes on. None if the folder holds
    no run.
    """
    folder = RunFolder(run_dir)
    content = _job_file(folder)
    if content is None:
        return None
    job, completion = content["job"], completion_of(folder)
    return {
        "run": job["run_id"],
        "recipe": job["recipe"],
        "seed": job["seed"],
        "snapshot": job["snapshot_id"],
        "model": job["model"],
        "steps": completion.steps if completion else _recorded_steps(folder),
        "complete": completion is not None,
        "failing": completion.failing if completion else _failing_now(folder),
    }


def _job_file(folder: RunFolder) -> dict[str, Any] | None:
    try:
        content = read_json(folder.job)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as error:
        raise TrainingError(f"{folder.job} is damaged ({error}); delete the folder to train anew.") from error
    problem = form_problem(content, {"digest": str, "job": _JOB})
    if not problem and (missing := {"digest", "job"} - content.keys() or _JOB.keys() - content["job"].keys()):
        problem = f"{min(missing)} is missing"
    if problem:
        raise TrainingError(f"{folder.job} is damaged ({problem}); delete the folder to train anew.")
    return content


def _recorded_steps(folder: RunFolder) -> int:
    try:
        return parquet_footer(folder.losses).num_rows
    except FileNotFoundError:
        return 0
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{folder.losses} is damaged ({error}); delete the folder to train anew.") from error


def recorded_checks(path: Path) -> list[dict[str, Any]]:
    """The checks that a run has written down, none where there is no file. Raises `TrainingError` for a damaged one."""
    try:
        found = read_json(path)
    except FileNotFoundError:
        return []
    except (ValueError, OSError) as error:
        raise TrainingError(f"{path} is damaged ({error}); delete it, and the run is checked anew.") from error
    if problem := form_problem(found, [{"step": int}]):
        raise TrainingError(f"{path} is damaged ({problem}); delete it, and the run is checked anew.")
    return found


def _failing_now(folder: RunFolder) -> str | None:
    checks = recorded_checks(folder.checks)
    return checks[-1].get("failing") if checks else None


def _supersede(folder: RunFolder, digest: str) -> None:
    """Move everything but the lock aside; the job file last, so that an interrupted move is taken up again."""
    old = [path for path in folder.root.iterdir() if path.name not in {LOCK, SUPERSEDED}]
    if not old:
        return
    target = child(folder.root / SUPERSEDED, digest[:12])
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(old, key=lambda path: path == folder.job):
        if (target / path.name).is_dir():
            shutil.rmtree(target / path.name)
        path.replace(target / path.name)

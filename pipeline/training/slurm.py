"""A training run as a job of Slurm: written, submitted, and followed through files on the shared disk.

    FOLDER/job.json     what is to be trained, as `python -m pipeline.training --job` reads it
    FOLDER/job.sh       the script that was submitted last
    FOLDER/submitted    its id at Slurm
    FOLDER/ended        `ID CODE`, written by the script as its last act
    FOLDER/log.txt      what the trainer says; `log.txt` and the run's folder are what news is looked for in

Two minutes before its limit Slurm sends the script SIGTERM; the trainer saves a checkpoint and ends with 143, and is
submitted again, as often as it takes. Whoever follows may be killed: the next one finds the job at work and follows that.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.atomic import write_text
from pipeline.errors import TrainingError
from pipeline.package_files import CODE
from pipeline.plain_files import open_plain, read_plain_text
from pipeline.training.jobs import TrainingJob
from pipeline.training.runs import Completion, RunFolder, completion_of

LOOK_EVERY_S = 5.0
ANSWER_S = 60.0
"""How long a command of Slurm may take."""
VANISHED_S = 120.0
"""So long after Slurm no longer knows the job its last words may still come over the shared disk."""
BEFORE_LIMIT_S = 120
STOPPED = 128 + 15
"""The trainer's exit code after SIGTERM and a checkpoint."""
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "RESIZING")
"""States in which no news is to be expected."""

OUT_OF_REACH = ("Unable to contact", "timed out", "did not answer")
"""What is said where Slurm's controller cannot be asked, as while it starts again: its jobs go on."""
UNREACHABLE = "UNREACHABLE"

Say = Callable[[str], None]


@dataclass(frozen=True)
class SlurmJob:
    """One run's job: `options` are those of `sbatch`, such as `--partition=gpu`."""

    job: TrainingJob
    folder: Path
    options: Sequence[str] = ()
    no_news_s: float = 1800.0

    def to_the_end(self, say: Say) -> Completion:
        """Follow the run's job, or submit it, until the run is complete. What the trainer says is passed on.

        Raises `TrainingError` where Slurm refuses, the trainer fails, or nothing is heard of a job at work for `no_news_s`.
        An exception from outside, such as Ctrl-C, cancels the job, whose trainer saves a checkpoint.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        folder, lines = RunFolder(self.job.run_dir), _Tail(self.log)
        number = self._at_work()
        say(f"going on with Slurm's job {number}" if number else "submitting to Slurm")
        while True:
            before, number = _reached(folder), number or self._submit()
            try:
                code = self._follow(number, say, lines)
            except BaseException:
                self._ask("scancel", "--full", number)
                raise
            if (done := completion_of(folder)) is not None and code == 0:
                return done
            if code != STOPPED:
                raise TrainingError(f"{self.job.run_id}: Slurm's job {number} ended with {code}; {self.log} says why")
            if _reached(folder) == before:
                raise TrainingError(
                    f"{self.job.run_id}: Slurm's job {number} ended before its first checkpoint; allow it more time with "
                    "--time under slurm_options"
                )
            say(f"Slurm's job {number} came to its limit; going on in another from its checkpoint")
            number = None

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def script(self) -> str:
        """The job's script."""
        command = shlex.join([sys.executable, "-m", "pipeline.training", "--job", str(self.folder / "job.json")])
        ended = shlex.quote(str(self.folder / "ended"))
        head = [
            f"--job-name=bokehflow-{self.job.run_id}",
            "--open-mode=append",
            f"--signal=B:TERM@{BEFORE_LIMIT_S}",
            "--no-requeue",
            *self.options,
        ]
        return "\n".join([
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in head),
            f"cd {shlex.quote(str(CODE))}",
            f"{command} &",
            "trainer=$!",
            "trap 'kill -TERM $trainer 2>/dev/null' TERM",
            "wait $trainer; code=$?",
            "while kill -0 $trainer 2>/dev/null; do wait $trainer; code=$?; done  # a signal ends a wait too soon",
            f'echo "$SLURM_JOB_ID $code" > {ended}.new && mv {ended}.new {ended}',
            "exit $code\n",
        ])  # fmt: skip

    def _submit(self) -> str:
        # Nobody's process has to live for it: it is Slurm's.
        free = self.job.model_copy(update={"started_by": None})
        write_text(self.folder / "job.json", free.model_dump_json())
        write_text(self.folder / "job.sh", self.script())
        # On the command line, where a path with spaces is one; % is Slurm's sign for what it fills in.
        output = f"--output={str(self.log).replace('%', '%%')}"
        number = self._ask("sbatch", "--parsable", output, str(self.folder / "job.sh")).split(";")[0].strip()
        if not number.isdigit():
            raise TrainingError(f"{self.job.run_id}: sbatch answered {number[:200]!r} instead of a job's number")
        write_text(self.folder / "submitted", number)
        return number

    def _at_work(self) -> str | None:
        """The job that was submitted before, where Slurm still has it."""
        with suppress(OSError):
            number = read_plain_text(self.folder / "submitted").strip()
            if number.isdigit() and self._state(number) is not None and self._ended(number) is None:
                return number
        return None

    def _follow(self, number: str, say: Say, lines: Iterator[str]) -> int:
        """Wait for the job's end; its exit code."""
        news, heard_s, known_s = self._news(), time.monotonic(), time.monotonic()
        while (code := self._ended(number)) is None:
            for line in lines:
                say(line)
            state, now_s = self._state(number), time.monotonic()
            known_s = now_s if state is not None else known_s
            if state in WAITING or self._news() != news:
                news, heard_s = self._news(), now_s
            if now_s - known_s > VANISHED_S:
                return STOPPED  # its machine is gone; if that was without a checkpoint, it is not tried for ever
            if now_s - heard_s > self.no_news_s:
                raise TrainingError(
                    f"{self.job.run_id}: nothing was heard of Slurm's job {number} ({state or 'unknown'}) for "
                    f"{self.no_news_s / 60:g} minutes; it was cancelled. {self.log} has its last words; run again to go on"
                )
            time.sleep(LOOK_EVERY_S)
        for line in lines:
            say(line)
        return code

    def _news(self) -> list[int]:
        folder = RunFolder(self.job.run_dir)
        return [_mtime_ns(path) for path in (self.log, folder.checkpoint, folder.losses, folder.samples)]

    def _ended(self, number: str) -> int | None:
        """The exit code that the job's script wrote."""
        with suppress(OSError, ValueError):
            told, code = read_plain_text(self.folder / "ended").split()
            return int(code) if told == number else None
        return None

    def _state(self, number: str) -> str | None:
        """Slurm's word for how it is with the job; None where it no longer knows it."""
        try:
            return self._ask("squeue", "--noheader", "--format=%T", "--jobs", number).strip() or None
        except TrainingError as error:  # an id that is not known is one to squeue
            return UNREACHABLE if any(words in str(error) for words in OUT_OF_REACH) else None

    def _ask(self, command: str, *arguments: str) -> str:
        try:
            done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False, timeout=ANSWER_S)
        except FileNotFoundError:
            raise TrainingError(
                f"[training] trainer = 'slurm': there is no {command} on this machine; run it where jobs are submitted"
            ) from None
        except subprocess.TimeoutExpired:
            raise TrainingError(f"{command} did not answer within {ANSWER_S:.0f} s; is Slurm at work?") from None
        if done.returncode:
            raise TrainingError(f"{command} refused: {done.stderr.strip()[:500] or done.returncode}")
        return done.stdout


class _Tail(Iterator[str]):
    """Whole lines that came to a file since they were last asked for; an iterator that goes on after its end."""

    def __init__(self, path: Path) -> None:
        self.path, self.at = path, _size(path)

    def __next__(self) -> str:
        with suppress(OSError), open_plain(self.path) as file:
            file.seek(self.at)
            line = file.readline()
            if line.endswith(b"\n"):
                self.at += len(line)
                return line.decode("utf-8", "replace").rstrip()
        raise StopIteration


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _mtime_ns(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _reached(folder: RunFolder) -> tuple[int, int]:
    """What another job goes on from, by its times: a finished run keeps no checkpoint."""
    return _mtime_ns(folder.checkpoint), _mtime_ns(folder.completion)

"""Processes of this machine as an engine, which wait for one another at no lock of Python's, as threads do.

A worker reads lines of JSON and answers each with a line; it ends with its standard input, which the kernel closes when the
process that started it dies, however it dies.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import count
from queue import Empty, Queue
from typing import Any

from pipeline.compute.pieces import Function, PieceOutcome
from pipeline.errors import ComputeError
from pipeline.memory import keep_freed_memory
from pipeline.package_files import child_environment


class Processes:
    """So many workers, started when there is work for them. A piece whose worker dies is tried `retries` more times."""

    def __init__(self, workers: int, retries: int) -> None:
        self._workers, self._tries = workers, retries + 1
        self._numbers = count()
        self._asked: Queue[tuple[int, str, str] | None] = Queue()
        self._answered: Queue[tuple[int, Mapping[str, str]]] = Queue()
        self._outcomes: dict[int, Mapping[str, str]] = {}
        self._threads: list[threading.Thread] = []
        self._at_work: set[_Worker] = set()
        self._is_closed = False

    def slots(self) -> int:
        """How many pieces are worked on at once."""
        return self._workers

    def submit(self, function: Function, pieces: Sequence[str]) -> Sequence[object]:
        """Hand over pieces; returns what stands for each."""
        name, numbers = f"{function.__module__}:{function.__qualname__}", [next(self._numbers) for _ in pieces]
        for number, piece in zip(numbers, pieces, strict=True):
            self._asked.put((number, name, piece))
        while len(self._threads) < min(self._workers, len(self._threads) + len(pieces)):
            self._threads.append(threading.Thread(target=self._serve, name="worker", daemon=True))
            self._threads[-1].start()
        return numbers

    def finished(self, handles: list[Any], wait_s: float) -> list[Any]:
        """Those that are done, at least one unless so long nothing was."""
        with suppress(Empty):
            found = [self._answered.get(timeout=wait_s)]
            while not self._answered.empty():
                found.append(self._answered.get())
            self._outcomes.update(found)
        return [handle for handle in handles if handle in self._outcomes]

    def outcomes(self, finished: Mapping[Any, str]) -> Iterator[PieceOutcome]:
        """What became of finished pieces. Raises `ComputeError` with what the function raised."""
        for handle, piece in finished.items():
            told = self._outcomes.pop(handle)
            if "raised" in told:
                raise ComputeError(f"a worker of this machine failed: {told['raised']}")
            yield PieceOutcome(piece, **told)

    def close(self) -> None:
        """End all, also those at work."""
        self._is_closed = True
        for _ in self._threads:
            self._asked.put(None)
        for worker in list(self._at_work):
            worker.end()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        worker: _Worker | None = None
        while (asked := self._asked.get()) and not self._is_closed:
            number, function, piece = asked
            told: Mapping[str, str] = {}
            for _ in range(self._tries):
                worker = worker or self._started()
                try:
                    told = worker.ask(function, piece)
                    break
                except WorkerDied as death:
                    told, worker = {"lost": str(death)}, self._buried(worker)
                    if self._is_closed:
                        break
            self._answered.put((number, told))
        if worker:
            self._buried(worker)

    def _started(self) -> "_Worker":
        worker = _Worker()
        self._at_work.add(worker)
        if self._is_closed:  # meanwhile
            worker.end()
        return worker

    def _buried(self, worker: "_Worker") -> None:
        worker.end()
        self._at_work.discard(worker)


class WorkerDied(Exception):
    """The process ended over a piece."""


class _Worker:
    """One process, from the side that asks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.compute.processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,  # Ctrl+C is for the process that asks
        )

    def ask(self, function: str, piece: str) -> Mapping[str, str]:
        """The answer, `text` or `raised`. Raises `WorkerDied` where none came."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([function, piece]).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            code = self._process.wait(10)
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise WorkerDied(f"its worker died each time, the last by {name}")

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # broken where it did not read all
                assert stream is not None
                stream.close()


# --- in the process that works ------------------------------------------------------------------------------------------


def main() -> None:
    """Answer one line after the other, to the end of standard input."""
    keep_freed_memory()
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin.buffer:
        name, piece = json.loads(line)
        module, _, function = name.partition(":")
        try:
            told = {"text": getattr(import_module(module), function)(piece)}
        except Exception:  # whatever it is, who asked is told
            told = {"raised": traceback.format_exc()}
        try:
            os.write(answers, json.dumps(told).encode() + b"\n")
        except BrokenPipeError:  # nobody is there any more to read it
            return


if __name__ == "__main__":
    main()

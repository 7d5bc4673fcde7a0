"""What workers do in tests of engines: a module, since workers import it."""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.compute.batches import Row, Task, Work, answer
from pipeline.errors import StorageError

VERSION = "1.0 (tests)"


def work(text: str) -> str:
    return answer(text, VERSION, work_of)


def without_the_home(text: str) -> str:
    """As on a machine where the home is not mounted."""
    asked = json.loads(text)
    asked["task"]["folder"] = "/nowhere/at/all"
    return work(json.dumps(asked))


def work_of(task: Task) -> Work:
    """Tells of each name its length, and notes in the folder `settings` who did it; `poison` kills the worker."""

    def lengths(names: Sequence[str]) -> Iterator[Row]:
        for name in names:
            if name == "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "missing":
                raise StorageError("blobs/missing: this picture is missing")
            if name == "slow":
                time.sleep(60)
            with (Path(task.settings) / "done.txt").open("a") as file:
                file.write(f"{name} {os.getpid()}\n")
            yield {"name": name, "length": len(name)}

    return lengths

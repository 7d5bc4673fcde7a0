"""Names in batches over an engine: each batch's rows are a file in a folder, so that no work is done twice.

    FOLDER/BATCH.jsonl     a row of JSON for each name, under `name`; renamed into place when the batch is finished

A batch that kills its worker is halved until a single name does, which is tried once more alone, with nothing else at work.
"""

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.atomic import write_text
from pipeline.bounded import parse_json
from pipeline.compute.engines import Engine, map_pieces
from pipeline.compute.pieces import Function, PieceOutcome
from pipeline.errors import BY_NAME, BokehflowError, ComputeError
from pipeline.file_names import child
from pipeline.machine import host_name
from pipeline.plain_files import read_plain

CRASHES_WORKER = "crashes_worker"
"""The reason of what no worker survives."""
SUFFIX = ".jsonl"
Row = dict[str, Any]
Work = Callable[[Sequence[str]], Iterator[Row]]
"""From names to a row for each, with the name under `name`."""
Over = Callable[[str, Sequence[str], Mapping[str, str]], Iterator[Row]]
"""From a task's name, names and what their rows depend on besides to a row for each, made by an engine's workers."""


@dataclass(frozen=True)
class Task:
    """What is to be done with names: `name` is a key of a written-out dictionary, which workers look it up in."""

    name: str
    version: str
    """Of the code that asks; workers of another one refuse."""
    home: str
    """The home's folder, which all workers see under this path, or its address."""
    folder: str
    """Where results go."""
    settings: str
    """JSON."""
    list_number: int = 0
    """Of a home at an address: workers take over the list of this number, or a newer one."""


@dataclass(frozen=True)
class Batches:
    """How names are worked on: over which engine, in what sizes."""

    open_engine: Callable[[], AbstractContextManager[Engine]]
    function: Function
    """`answer` with the dictionary of tasks, of a module that workers can import."""
    batch_size: int = 256
    receive: Callable[[str], None] = lambda batch: None
    """Brings what a worker made of this batch, where it is not in the folder by itself."""


def run_batches(batches: Batches, task: Task, names: Sequence[str]) -> Iterator[Row]:
    """A row for each name, in whatever order they come; one that no worker survives has `reason` and `detail` instead.

    Rows of an interrupted run are there at once. A result's file goes when all of its rows were taken. Raises
    `ComputeError` for workers of another version or without the home, and what the work itself raises.
    """
    folder, left = Path(task.folder), dict.fromkeys(names)
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        for row in read_rows(path):
            if row["name"] in left:
                del left[row["name"]]
                yield row
        path.unlink(missing_ok=True)
    if not left:
        return
    folder.mkdir(parents=True, exist_ok=True)
    rest, size = list(left), batches.batch_size
    waiting = deque(rest[at : at + size] for at in range(0, len(rest), size))
    del left, rest  # a million names take as much room as all the bookkeeping
    with batches.open_engine() as engine:
        yield from _over(engine, batches, task, waiting)


def _over(engine: Engine, batches: Batches, task: Task, waiting: deque[list[str]]) -> Iterator[Row]:
    suspects: deque[list[str]] = deque()
    for outcome in map_pieces(engine, batches.function, lambda: _next(task, waiting)):
        asked = json.loads(outcome.piece)["names"]
        if not outcome.lost:
            yield from _rows(batches, task, outcome)
        elif len(asked) == 1:
            suspects.append(asked)
        else:
            middle = len(asked) // 2
            waiting.extend([asked[:middle], asked[middle:]])
    # A worker that dies takes along whatever else it had: alone, it is the picture itself.
    for outcome in map_pieces(engine, batches.function, lambda: _next(task, suspects), at_once=1):
        if outcome.lost:
            (name,) = json.loads(outcome.piece)["names"]
            yield {"name": name, "reason": CRASHES_WORKER, "detail": outcome.lost}
        else:
            yield from _rows(batches, task, outcome)


def _next(task: Task, waiting: deque[list[str]]) -> str | None:
    return _text(task, waiting.popleft()) if waiting else None


def _text(task: Task, names: Sequence[str]) -> str:
    return json.dumps({"task": asdict(task), "names": list(names)})


def _rows(batches: Batches, task: Task, outcome: PieceOutcome) -> Iterator[Row]:
    told = json.loads(outcome.text)
    if "refused" in told:
        raise ComputeError(told["refused"])
    if "failed" in told:
        raise BY_NAME.get(told["kind"], ComputeError)(told["failed"])
    batches.receive(told["batch"])
    path = child(Path(task.folder), f"{told['batch']}{SUFFIX}")
    yield from read_rows(path)
    path.unlink(missing_ok=True)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a result; lines that `bokehflow forget` blanked are passed over."""
    try:
        lines = read_plain(path).splitlines()
    except OSError as error:
        raise ComputeError(
            f"{path}: a worker's result is not there ({error}); the home must be one folder that all machines see"
        ) from error
    lines = [line for line in lines if line.strip()]
    rows = parse_json(b"[%b]" % b",".join(lines))  # at once, which takes a tenth of the time
    if len(rows) != len(lines):
        raise ComputeError(f"{path}: a worker's result is damaged; delete the file and run again, which does the batch anew")
    yield from rows


def answer(text: str, version: str, work_of: Callable[[Task], Work]) -> str:
    """What a worker does with a piece: do the work, write its rows, tell in a few hundred bytes. Both are JSON."""
    asked, began_s = json.loads(text), time.monotonic()
    task = Task(**asked["task"])
    if problem := _refusal(task, version):
        return json.dumps({"refused": problem})
    try:
        rows = list(work_of(task)(asked["names"]))
    except BokehflowError as error:
        return json.dumps({"failed": f"{error} (on {host_name()})", "kind": type(error).__name__})
    batch = hashlib.sha256("\n".join(asked["names"]).encode()).hexdigest()[:32]
    path = child(Path(task.folder), f"{batch}{SUFFIX}")
    write_text(path, "".join(f"{json.dumps(row)}\n" for row in rows))
    told = {"batch": batch, "rows": len(rows), "seconds": round(time.monotonic() - began_s, 3), "worker": host_name()}
    return json.dumps(told)


def _refusal(task: Task, version: str) -> str | None:
    if version != task.version:
        return (
            f"the worker on {host_name()} runs bokehflow {version}, this is {task.version}; install the same on all "
            "machines and start the workers again"
        )
    if not Path(task.folder).is_dir():
        return (
            f"the worker on {host_name()} does not see {task.folder}; the home must be one folder that all machines see "
            "under the same path, such as one on a shared disk"
        )
    return None

"""Dask, Ray and this machine's processes behind one small interface: map a function from text to text, as pieces finish.

`dask` is imported only when asked for, and so is `ray`; both are extras.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from importlib import import_module
from itertools import islice
from queue import Empty, Queue
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil

from pipeline.compute.pieces import Function, PieceOutcome
from pipeline.compute.processes import Processes
from pipeline.errors import ComputeError

ADDRESS_VARIABLE = "BOKEHFLOW_ENGINE_ADDRESS"
"""Where the engine of a cluster listens; unset: an engine on this machine's cores, for as long as a stage takes."""
START_S = 60.0
"""How long an engine may take to answer, and its first worker to come."""
ANSWER_S = 5.0
"""How long a look at whether it can be reached may take."""
AHEAD = 2
"""Pieces that are handed over for each slot: one at work, one that waits."""
TOGETHER = 8
"""Of so many pieces that are handed over one may be missing: it then goes with others, which costs little more than one."""
LOOK_EVERY_S = 5.0
"""How often it is asked how many workers there are: they may come and go."""

WORKER_BYTES = 1e9
"""Memory that a worker of this machine may come to hold: networks, and a shard of training pictures."""

DASK_LOG = {"distributed.admin.low-level-log-length": 100}
"""Dask keeps its last 1,000 messages, which here hold the names of a million photos."""


class Engine(Protocol):
    """Runs a function on workers, in other processes or on other machines."""

    def slots(self) -> int:
        """How many pieces are worked on at once, as things are now."""
        ...

    def submit(self, function: Function, pieces: Sequence[str]) -> Sequence[object]:
        """Hand over pieces; returns what stands for each."""
        ...

    def finished(self, handles: list[Any], wait_s: float) -> list[Any]:
        """Those that are done, at least one unless so long nothing was."""
        ...

    def outcomes(self, finished: Mapping[Any, str]) -> Iterator[PieceOutcome]:
        """What became of finished pieces, by what stands for them; raises what the function raised.

        `ComputeError` where the engine is gone.
        """
        ...


def map_pieces(
    engine: Engine, function: Function, take: Callable[[], str | None], at_once: int | None = None
) -> Iterator[PieceOutcome]:
    """The outcomes of all pieces, in whatever order they come.

    `take` gives the next piece whenever there is room for one, and None where there is none for now: looking at an outcome
    may bring more.
    """
    at_work: dict[Any, str] = {}
    room, looked_s = 0, float("-inf")
    while True:
        if time.monotonic() - looked_s > LOOK_EVERY_S:
            room, looked_s = at_once or max(1, engine.slots()) * AHEAD, time.monotonic()
        if room - len(at_work) > room // TOGETHER or not at_work:
            pieces = list(islice(iter(take, None), max(room - len(at_work), 0)))
            at_work.update(zip(engine.submit(function, pieces), pieces, strict=True) if pieces else ())
        if not at_work:
            return
        yield from engine.outcomes({one: at_work.pop(one) for one in engine.finished(list(at_work), LOOK_EVERY_S)})


@contextmanager
def open_engine(name: str, address: str | None, retries: int, workers: int | None = None) -> Iterator[Engine]:
    """The engine at `address`, else one on this machine with `workers` processes, one for each core;
    `local` has fewer where memory is short.

    A piece whose worker dies is tried `retries` more times. Raises `ComputeError` where the engine is not installed or does
    not answer within a minute.
    """
    with ENGINES[name](address, retries, workers or os.cpu_count() or 1) as engine:
        yield engine


def reach_problem(name: str, address: str | None) -> str | None:
    """Why the engine cannot be used, and what to do, in words; None where it can. Takes seconds at most, starts nothing."""
    try:
        _installed(name)
        if address is not None:
            _knock(name, address)
    except ComputeError as error:
        return str(error)
    return None


def _installed(name: str) -> Any:  # noqa: ANN401 - a module
    """The engine's module."""
    try:
        return import_module({"dask": "distributed", "ray": "ray"}[name])
    except ModuleNotFoundError:
        remedy = f"`pip install 'bokehflow[{name}]'` installs it; every worker needs it too"
        raise ComputeError(f"[compute] engine = {name!r}: it is not installed; {remedy}") from None


def _knock(name: str, address: str) -> None:
    """Raises `ComputeError` where nobody takes a connection at the address: engines themselves may wait for ever."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None:
        raise ComputeError(f"{ADDRESS_VARIABLE}={address}: that is no address; write it like {EXAMPLES[name]}")
    try:
        socket.create_connection((host, port), ANSWER_S).close()
    except OSError as error:
        raise ComputeError(f"{ADDRESS_VARIABLE}={address}: nobody answers there ({error}); {REMEDIES[name]}") from None


EXAMPLES = {"dask": "tcp://head:8786", "ray": "head:6379"}
REMEDIES = {
    "dask": "`dask scheduler` on one machine and `dask worker tcp://…:8786 --nthreads 1 --nworkers N` on each start a "
    "cluster; or unset the variable to use this machine's cores",
    "ray": "`ray start --head` on one machine and `ray start --address …:6379` on the others start a cluster; or unset the "
    "variable to use this machine's cores",
}


class _Dask:
    def __init__(self, client: Any) -> None:  # noqa: ANN401
        self.client, self.distributed = client, _installed("dask")
        self.done: Queue[Any] = Queue()

    def slots(self) -> int:
        return sum(self.client.nthreads().values())

    def submit(self, function: Function, pieces: Sequence[str]) -> Sequence[object]:
        futures = self.client.map(function, pieces, pure=False)
        for future in futures:
            future.add_done_callback(self.done.put)
        return futures

    def finished(self, handles: list[Any], wait_s: float) -> list[Any]:
        try:
            found = [self.done.get(timeout=wait_s)]
        except Empty:
            if self.client.status != "running":
                raise ComputeError(_gone("Dask's scheduler")) from None
            return []
        while not self.done.empty():
            found.append(self.done.get())
        return found

    def outcomes(self, finished: Mapping[Any, str]) -> Iterator[PieceOutcome]:
        whole = [handle for handle in finished if handle.status == "finished"]
        # Together: each question goes to the scheduler and from there to the workers. What fails now is asked for alone.
        texts = self.client.gather(whole, errors="skip") if len(whole) > 1 else []
        told = dict(zip(whole, texts, strict=True)) if len(texts) == len(whole) else {}
        for handle, piece in finished.items():
            yield PieceOutcome(piece, told[handle]) if handle in told else self._outcome(handle, piece)

    def _outcome(self, handle: Any, piece: str) -> PieceOutcome:  # noqa: ANN401
        from concurrent.futures import CancelledError as Cancelled

        try:
            return PieceOutcome(piece, handle.result())
        except self.distributed.KilledWorker as error:
            return PieceOutcome(piece, lost=f"its worker died each time, the last at {error.last_worker.address}")
        except (Cancelled, self.distributed.CancelledError, OSError) as error:
            if handle.status in ("cancelled", "lost"):
                raise ComputeError(_gone("Dask's scheduler")) from error
            raise


def _gone(what: str) -> str:
    return f"{what} is gone; what was finished is kept: start it again, and run again, which does only the rest"


@contextmanager
def _dask(address: str | None, retries: int, workers: int) -> Iterator[Engine]:
    distributed = _installed("dask")
    if address is None:
        with local_dask(workers, retries) as own, _dask(own, retries, workers) as engine:
            yield engine
        return
    from dask import config

    _knock("dask", address)
    try:
        with config.set(DASK_LOG):
            client = distributed.Client(address, timeout=START_S, set_as_default=False)
    except OSError as error:
        raise ComputeError(f"{ADDRESS_VARIABLE}={address}: no Dask scheduler ({error}); {REMEDIES['dask']}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=START_S)
        except TimeoutError:
            raise ComputeError(f"{address}: the scheduler has no worker in {START_S:.0f} s; {REMEDIES['dask']}") from None
        yield _Dask(client)


@contextmanager
def local_dask(workers: int, retries: int, threads: int = 1) -> Iterator[str]:
    """A Dask scheduler with so many workers of so many threads on this machine; its address.

    A worker that dies is started anew, however often and however long that takes.
    """
    distributed = _installed("dask")
    from dask import config

    options = {
        "n_workers": workers,
        "threads_per_worker": threads,
        "memory_limit": 0,
        "dashboard_address": None,
        # Another port than a second one at the same time.
        "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},
    }
    patience = {
        **DASK_LOG,
        "distributed.scheduler.allowed-failures": retries,
        "distributed.deploy.lost-worker-timeout": "1 hour",
    }
    with config.set(patience), distributed.LocalCluster(**options, silence_logs=logging.CRITICAL) as cluster:
        yield cluster.scheduler_address


class _Ray:
    def __init__(self, ray: Any, retries: int) -> None:  # noqa: ANN401
        self.ray, self.retries, self.remote = ray, retries, {}

    def slots(self) -> int:
        return int(self.ray.cluster_resources().get("CPU", 1))

    def submit(self, function: Function, pieces: Sequence[str]) -> Sequence[object]:
        if function not in self.remote:
            self.remote[function] = self.ray.remote(max_retries=self.retries, num_cpus=1)(function)
        return [self.remote[function].remote(piece) for piece in pieces]

    def finished(self, handles: list[Any], wait_s: float) -> list[Any]:
        first, _ = self.ray.wait(handles, num_returns=1, timeout=wait_s)
        return first and self.ray.wait(handles, num_returns=len(handles), timeout=0)[0]

    def outcomes(self, finished: Mapping[Any, str]) -> Iterator[PieceOutcome]:
        return (self._outcome(handle, piece) for handle, piece in finished.items())

    def _outcome(self, handle: Any, piece: str) -> PieceOutcome:  # noqa: ANN401
        errors = self.ray.exceptions
        try:
            return PieceOutcome(piece, self.ray.get(handle))
        except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError) as error:
            return PieceOutcome(piece, lost=f"its worker died each time ({type(error).__name__})")
        except errors.RayTaskError as error:
            raise error.cause or error from None
        except errors.RaySystemError as error:
            raise ComputeError(_gone("Ray's head")) from error


@contextmanager
def _ray(address: str | None, retries: int, workers: int) -> Iterator[Engine]:
    ray = _installed("ray")
    if address is not None:
        _knock("ray", address)
    local = {} if address else {"num_cpus": workers, "include_dashboard": False}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that begins here would report its use to Ray's makers
    try:
        ray.init(address=address or "local", log_to_driver=False, configure_logging=False, **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ComputeError(f"{ADDRESS_VARIABLE}={address}: no Ray cluster ({error}); {REMEDIES['ray']}") from None
    try:
        yield _Ray(ray, retries)
    finally:
        ray.shutdown()


def _local(address: str | None, retries: int, workers: int) -> AbstractContextManager[Engine]:
    room = int(psutil.virtual_memory().available // WORKER_BYTES)
    return closing(Processes(max(1, min(workers, room)), retries))


ENGINES: dict[str, Callable[[str | None, int, int], AbstractContextManager[Engine]]] = {
    "local": _local, "dask": _dask, "ray": _ray,
}  # fmt: skip
"""By their names in the project file."""

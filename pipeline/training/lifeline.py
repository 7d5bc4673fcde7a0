"""Ties this process to the one that started it: no trainer outlives its run, no run or daemon the `dev` that serves it.

Free of torch, so that the tie is made before the slow imports. A killed trainer loses the steps since its
last checkpoint and nothing else.

    python -m pipeline.training.lifeline IDENTITY MODULE …    is `python -m MODULE …`, tied to that process
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from pipeline.errors import TrainingError
from pipeline.training.jobs import ProcessIdentity

PR_SET_PDEATHSIG = 1
POLL_S = 0.5
INTERRUPTED = 130
"""The exit code that shells give whom SIGINT ended."""
STARTER_VARIABLE = "BOKEHFLOW_STARTER"
"""Tells whatever a process starts, and what that starts, with whom to end."""


def tied(module: str, *arguments: str) -> list[str]:
    """The command `python -m MODULE …` for a process that ends with this one, however this one ends."""
    starter = ProcessIdentity.current().model_dump_json()
    return [sys.executable, "-P", "-m", "pipeline.training.lifeline", starter, module, *arguments]


def follow(starter: ProcessIdentity) -> None:
    """Have the kernel kill this process when its parent dies, and watch `starter` as well.

    The kernel's signal comes when the *thread* that forked this process ends: it must live as long as the
    run. The watch covers what the signal does not: a starter that is not the direct parent, one that died
    before the signal was set, and systems other than Linux. TrainingError if the starter is gone already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not starter.is_alive():
        raise TrainingError(f"The process {starter.pid} that started this one is gone; start it anew.")
    threading.Thread(target=_watch, args=(starter,), name="lifeline", daemon=True).start()


@contextmanager
def starting() -> Iterator[None]:
    """What is started meanwhile, at whatever remove, ends with this process where it calls `end_with_starter`."""
    os.environ[STARTER_VARIABLE] = ProcessIdentity.current().model_dump_json()
    try:
        yield
    finally:
        del os.environ[STARTER_VARIABLE]


@cache
def end_with_starter() -> None:
    """Have this process end with the one that `starting` told it of, once that is gone; nothing where it was told of none.

    The kernel's signal would not do: Dagster starts runs from threads that end before them.
    """
    if told := os.environ.get(STARTER_VARIABLE):
        starter = ProcessIdentity.model_validate_json(told)
        threading.Thread(target=_watch, args=(starter,), name="lifeline", daemon=True).start()


def _watch(starter: ProcessIdentity) -> None:
    while starter.is_alive():
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _run(arguments: Sequence[str]) -> None:
    starter, module, *own = arguments
    follow(ProcessIdentity.model_validate_json(starter))
    sys.argv = [module, *own]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # Ctrl-C at a terminal means whoever started this as well, who says what there is to say
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    _run(sys.argv[1:])

"""Ties this process to the one that started it: no trainer outlives its run.

Free of torch, so that the tie is made before the slow imports. A killed trainer loses the steps since its
last checkpoint and nothing else.
"""

import ctypes
import os
import signal
import sys
import threading
import time

from pipeline.errors import TrainingError
from pipeline.training.jobs import ProcessIdentity

PR_SET_PDEATHSIG = 1
POLL_S = 0.5


def follow(starter: ProcessIdentity) -> None:
    """Have the kernel kill this process when its parent dies, and watch `starter` as well.

    The kernel's signal comes when the *thread* that forked this process ends: it must live as long as the
    run. The watch covers what the signal does not: a starter that is not the direct parent, one that died
    before the signal was set, and systems other than Linux. TrainingError if the starter is gone already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not starter.is_alive():
        raise TrainingError(f"The process {starter.pid} that started this training is gone; start it anew.")
    threading.Thread(target=_watch, args=(starter,), name="lifeline", daemon=True).start()


def _watch(starter: ProcessIdentity) -> None:
    while starter.is_alive():
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)

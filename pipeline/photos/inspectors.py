"""Processes that decode what was downloaded: as many at a time as there are processors, whatever the pictures do.

Decoding in the process that fetches would leave both waiting for Python's one lock, and a picture that makes the
decoder crash, or eat all memory, would end the whole run: here it ends one process and is a reason for one photo.
An inspector reads lines of JSON and answers each with a line; it ends with its standard input, which the kernel
closes when the process that started it dies, however it dies.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any

from pipeline.photos.opening import PictureInfo, UndecodableImage, inspect_file

MOST_S = 120
"""An inspector that is still at one picture after so long ends itself."""
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
"""Signals that say something of the picture; after others, of which SIGKILL says that memory ran out, it is tried again."""
ROOT = Path(__file__).parents[2]


class InspectorDied(Exception):
    """The process ended over a picture. `passing`: another time it may not."""

    def __init__(self, detail: str, *, passing: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.passing = passing


class Inspectors:
    """At most `count` processes, started when they are needed; may be shared by threads. To be closed."""

    def __init__(self, count: int) -> None:
        self._places = threading.BoundedSemaphore(count)
        self._idle: deque[_Inspector] = deque()
        self._large = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the processes

    def inspect(self, path: Path, max_pixels: int) -> PictureInfo:
        """`inspect_file` in another process. Raises as that does, and `InspectorDied`."""
        with self._places:
            inspector = self._take()
            try:
                answer = inspector.ask(path, max_pixels)
            except BaseException:
                inspector.end()
                raise
            self._idle.append(inspector)
        return _understood(answer)

    def _take(self) -> "_Inspector":
        try:
            return self._idle.pop()
        except IndexError:
            return _Inspector(self._large.fileno())

    def close(self) -> None:
        """End all; to be called when nobody asks any more."""
        while self._idle:
            self._idle.pop().end()
        self._large.close()


class _Inspector:
    """One process, from the side that asks."""

    def __init__(self, large_descriptor: int) -> None:
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.photos.inspectors", str(large_descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[large_descriptor],
            env=os.environ | {"PYTHONPATH": paths},
        )

    def ask(self, path: Path, max_pixels: int) -> dict[str, Any]:
        """The answer; raises `InspectorDied` where none came."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([str(path), max_pixels]).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise _death(self._process.wait(10)) from None

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        with suppress(BrokenPipeError), self._process:  # broken where it did not read all
            self._process.kill()


def _death(code: int) -> InspectorDied:
    if code >= 0:
        return InspectorDied(f"the process that decodes ended with exit code {code}", passing=True)
    name = signal.Signals(-code).name
    told = f"within {MOST_S} s no end" if -code == signal.SIGALRM else name
    return InspectorDied(f"the process that decodes was ended by this picture: {told}", passing=-code not in CRASHES)


def _understood(answer: dict[str, Any]) -> PictureInfo:
    match answer:
        case {"info": info}:
            return PictureInfo(*info)
        case {"undecodable": undecodable}:
            raise UndecodableImage(*undecodable)
        case {"disk": disk}:
            raise OSError(*disk)
    raise InspectorDied(str(answer["died"]), passing=True)


# --- in the process that decodes --------------------------------------------------------------------------------------


def main() -> None:
    """Answer one line after the other, to the end of standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that asks
    large = _Locked(int(sys.argv[1]))
    for line in sys.stdin.buffer:
        path, max_pixels = json.loads(line)
        signal.alarm(MOST_S)
        answer = _answer(Path(path), max_pixels, large)
        signal.alarm(0)
        try:
            os.write(1, json.dumps(answer).encode() + b"\n")
        except BrokenPipeError:  # nobody is there any more to read it
            return


class _Locked:
    """Held by one process at a time, and freed by the kernel when that process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _answer(path: Path, max_pixels: int, large: _Locked) -> dict[str, Any]:
    try:
        return {"info": astuple(inspect_file(path, max_pixels, large))}
    except UndecodableImage as error:
        return {"undecodable": [error.reason, error.detail, error.width_px, error.height_px]}
    except MemoryError:
        return {"died": "not enough memory to decode it"}
    except OSError as error:
        return {"disk": [error.errno, error.strerror, error.filename]}


if __name__ == "__main__":
    main()

"""Processes that check pictures from outside: as many at a time as there are processors, whatever the pictures do.

Every way in leads through here: what is downloaded, imported, or handed to a command. Each picture has the same time
and memory, and what takes more is refused for good. Decoding in the process that fetches would leave both waiting for
Python's one lock, and a picture that makes the decoder crash, or eat all memory, would end the whole run: here it ends
one process and is a reason for one photo. An inspector reads lines of JSON and answers each with a line; it ends with
its standard input, which the kernel closes when the process that started it dies, however it dies.
"""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from pipeline.errors import disk_failed
from pipeline.package_files import child_environment
from pipeline.photos.opening import PictureInfo, UndecodableImage, inspect_file
from pipeline.plain_files import FileTooLarge, read_plain

CPU_S, PIXELS_PER_CPU_S = 4.0, 10_000_000
"""Processor time for one picture: so many seconds, and one more for so many of the pixels allowed. What takes longer is
refused for good.

For 60 million pixels 10 s, of which the slowest kinds (lossless WebP, PNG) take an eighth.
"""
SPARE_BYTES, BYTES_PER_PIXEL = 300_000_000, 20
"""Memory for one picture, besides what the process starts with, and for each pixel allowed. What takes more is refused for
good.

For 60 million pixels 1.5 GB, of which the hungriest kind (WebP) takes two thirds.
"""
MOST_S = 120
"""An inspector that has been at one picture for this long ends itself: the machine or its disk is at a standstill."""
LONGEST_TIMER_S = 1e9
"""What every system's timers take."""
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
"""Signals that tell of a bad picture. After any other (SIGKILL: memory ran out) the picture is tried again."""


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

    def read_checked(self, path: Path, max_bytes: int, max_pixels: int) -> bytes:
        """The bytes of a picture out of somebody's folder, after they passed `inspect`.

        Raises `UndecodableImage`, with the reasons `too_large` and `decoder_died` besides, `OSError` where the file cannot
        be read, and `StorageError` where the folder of temporary files takes no copy.
        """
        try:
            data = read_plain(path, max_bytes)
            with tempfile.NamedTemporaryFile(prefix="bokehflow-") as copy:  # of these very bytes: the file may change
                try:
                    Path(copy.name).write_bytes(data)
                except OSError as error:
                    raise disk_failed(error, Path(copy.name).parent) from error
                self.inspect(Path(copy.name), max_pixels)
        except FileTooLarge as error:
            raise UndecodableImage("too_large", error.strerror or "") from None
        except InspectorDied as death:
            raise UndecodableImage("decoder_died", death.detail) from None
        return data

    def close(self) -> None:
        """End all; to be called when nobody asks any more."""
        while self._idle:
            self._idle.pop().end()
        self._large.close()


class _Inspector:
    """One process, from the side that asks."""

    def __init__(self, large_descriptor: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.photos.inspectors", str(large_descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[large_descriptor],
            env=child_environment(),
            start_new_session=True,  # Ctrl+C is for the process that asks
        )

    def ask(self, path: Path, max_pixels: int) -> dict[str, Any]:
        """The answer; raises `InspectorDied` where none came, and `UndecodableImage` where it took too long to decode."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([str(path), max_pixels]).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            code = self._process.wait(10)
        if code == -signal.SIGPROF:
            raise UndecodableImage("too_costly", f"more than {_most_cpu_s(max_pixels):.0f} s of processor time to decode it")
        raise _death(code)

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        with suppress(BrokenPipeError), self._process:  # broken where it did not read all
            self._process.kill()


def _most_cpu_s(max_pixels: int) -> float:
    return CPU_S + max_pixels / PIXELS_PER_CPU_S


def _most_bytes(max_pixels: int) -> int:
    return SPARE_BYTES + max_pixels * BYTES_PER_PIXEL


def _death(code: int) -> InspectorDied:
    if code >= 0:
        return InspectorDied(f"the process that decodes ended with exit code {code}", passing=True)
    name = signal.Signals(-code).name
    told = f"within {MOST_S} s no end" if -code == signal.SIGALRM else name
    return InspectorDied(f"the process that decodes was ended by this picture: {told}", passing=-code not in CRASHES)


def _understood(answer: dict[str, Any]) -> PictureInfo:
    match answer:
        case {"info": info}:
            width_px, height_px, file_format, frames, remarks = info
            return PictureInfo(width_px, height_px, file_format, frames, tuple(remarks))
        case {"undecodable": undecodable}:
            raise UndecodableImage(*undecodable)
        case {"disk": disk}:
            raise OSError(*disk)
    raise InspectorDied(str(answer["died"]), passing=True)


# --- in the process that decodes --------------------------------------------------------------------------------------


def main() -> None:
    """Answer one line after the other, to the end of standard input."""
    large = _Locked(int(sys.argv[1]))
    complaints, own_bytes = _Complaints(), _address_space_bytes()
    for line in sys.stdin.buffer:
        path, max_pixels = json.loads(line)
        signal.alarm(MOST_S)
        signal.setitimer(signal.ITIMER_PROF, min(_most_cpu_s(max_pixels), LONGEST_TIMER_S))
        _limit_memory(own_bytes + _most_bytes(max_pixels))
        answer = _answer(Path(path), max_pixels, large, complaints)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        try:
            os.write(1, json.dumps(answer).encode() + b"\n")
        except BrokenPipeError:  # nobody is there any more to read it
            return


class _Locked:
    """Held by one process at a time, and freed by the kernel when that process ends.

    Not `pipeline.locks`: forks share what is open, and a lock of `flock` with it; one of `lockf` is each process's own.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _address_space_bytes() -> int:
    """What this process has mapped; as much as a process may where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return sys.maxsize


def _limit_memory(most_bytes: int) -> None:
    """Let allocations fail beyond the limit, where the system keeps such limits."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    with suppress(OSError, ValueError, OverflowError):
        resource.setrlimit(
            resource.RLIMIT_AS, (most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard), hard)
        )


class _Complaints:
    """What the decoders' own libraries print about a picture, which names none; Python's own errors still go out."""

    def __init__(self) -> None:
        sys.stderr = os.fdopen(os.dup(2), "w")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        os.dup2(self._file.fileno(), 2)

    def taken(self) -> tuple[str, ...]:
        """Those since the last time, each line once."""
        if not self._file.tell():
            return ()
        self._file.seek(0)
        lines = self._file.read(10_000).decode(errors="replace").splitlines()
        self._file.seek(0)
        self._file.truncate()
        return tuple(dict.fromkeys(lines))


def _answer(path: Path, max_pixels: int, large: _Locked, complaints: _Complaints) -> dict[str, Any]:
    try:
        info = inspect_file(path, max_pixels, large)
        return {"info": astuple(replace(info, remarks=info.remarks + complaints.taken()))}
    except UndecodableImage as error:
        detail = "; ".join((error.detail, *complaints.taken()))
        return {"undecodable": [error.reason, detail[:500], error.width_px, error.height_px]}
    except MemoryError:
        detail = f"more than {_most_bytes(max_pixels) / 1e6:,.0f} MB of memory to decode it"
        return {"undecodable": ["too_costly", detail, None, None]}
    except OSError as error:
        return {"disk": [error.errno, error.strerror, error.filename]}


if __name__ == "__main__":
    main()

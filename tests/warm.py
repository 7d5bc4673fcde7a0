"""Processes that need not import: a server that has torch and Dagster, and forks for each command.

`python_of(folder)` is an executable to be called as `python -m pipeline.cli …` or `python -m pipeline.training …`. What it
starts is a process of its own, with the caller's arguments, environment, folder and standard streams, whose exit code or
signal it passes on. That saves the seconds that torch and Dagster take to import, in the processes that such a command
starts too. Anything else it hands to Python itself. Where start-up, signals or death are tested, call `sys.executable`.
"""

import atexit
import gc
import importlib
import marshal
import os
import runpy
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path

IMPORTED = ("multiprocessing.spawn", "torch", "dagster", "pipeline.cli", "pipeline.definitions", "pipeline.demo")
OPTIMISERS_IMPORT = "torch._dynamo"
IMPORTED_TOO = ("assets.headless", "pipeline.training.__main__", "pipeline.training.process", "pipeline.training.inference")

LOOK_EVERY_S = 2.0
"""For whether the starter is still there."""

CALLER = """
import marshal, os, signal, socket, sys, time
if sys.argv[1:2] != ["-m"] or sys.argv[2:3] not in (["pipeline.cli"], ["pipeline.training"]):
    os.execv(PYTHON, [PYTHON, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
for wait in range(3000):
    try:
        server.connect(SERVER)
        break
    except (FileNotFoundError, ConnectionRefusedError):  # it has just been started
        time.sleep(.01)
umask = os.umask(0)
os.umask(umask)
told = marshal.dumps((sys.argv[2:], dict(os.environ), os.getcwd(), umask))
socket.send_fds(server, [len(told).to_bytes(8, "little")], [0, 1, 2])
server.sendall(told)
answers = server.makefile("rb")
pid = int.from_bytes(answers.read(8), "little")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
status = int.from_bytes(answers.read(8), "little", signed=True)
if status < 0:
    if -status != signal.SIGKILL:  # which nobody can handle otherwise
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


class Server:
    """Forks for each caller, and kills what it forked when its caller dies."""

    def __init__(self, address: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen(64)
        self._wakened, self._wakes = socket.socketpair()
        for one in (self._wakened, self._wakes):
            one.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        self._children: dict[int, socket.socket] = {}
        for one in (self._listener, self._wakened):
            self._selector.register(one, selectors.EVENT_READ)

    def serve(self, starter: int) -> list[str] | None:
        """Returns in each child with what it is to run, and in the server when its starter is gone."""
        while os.getppid() == starter:
            for key, _ in self._selector.select(LOOK_EVERY_S):
                if key.fileobj is self._listener:
                    if arguments := self._fork(self._listener.accept()[0]):
                        return arguments
                elif key.fileobj is self._wakened:
                    with suppress(BlockingIOError):
                        self._wakened.recv(4096)
                    self._reap()
                else:
                    self._kill_for(key.fileobj)
        return None

    def _fork(self, caller: socket.socket) -> list[str] | None:
        """What to run, in the child."""
        size, streams, *_ = socket.recv_fds(caller, 8, 3)
        with caller.makefile("rb") as told:
            arguments, environment, folder, umask = marshal.loads(told.read(int.from_bytes(size, "little")))
        import_all()
        if pid := os.fork():
            self._children[pid] = caller
            caller.sendall(pid.to_bytes(8, "little"))
            self._selector.register(caller, selectors.EVENT_READ)
            for stream in streams:
                os.close(stream)
            return None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for one in (self._listener, self._wakened, self._wakes, caller, *self._children.values()):
            one.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        open_streams()
        os.umask(umask)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[0] = folder
        return arguments

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                caller = self._children.pop(pid)
                with suppress(KeyError):
                    self._selector.unregister(caller)
                with caller, suppress(OSError):
                    caller.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "little", signed=True))

    def _kill_for(self, caller: object) -> None:
        """The caller says nothing more: that it can be read means that it is gone."""
        for pid, its in self._children.items():
            if its is caller:
                self._selector.unregister(its)
                os.kill(pid, signal.SIGKILL)


def import_all() -> None:
    """Once, with the first caller, so that nobody pays for what is not used."""
    for name in (*IMPORTED, *IMPORTED_TOO, OPTIMISERS_IMPORT):
        importlib.import_module(name)
    gc.freeze()
    assert threading.active_count() == 1, "a fork takes one thread along"


def open_streams() -> None:
    """The server's own believe that they can be rewound, as /dev/null can."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115


def main() -> None:
    """Serve; in a child, run the module as Python would have."""
    address, executable, starter = sys.argv[1:]
    arguments = Server(address).serve(int(starter))
    if arguments is None:
        return
    sys.executable = executable
    sys.argv = arguments
    warnings.filterwarnings("ignore", "'pipeline.* found in sys.modules")  # that is what it is for
    code = carry_out(arguments[0])
    # As Python ends, but that it leaves memory alone: to take apart what was imported takes it two seconds.
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def carry_out(module: str) -> int:
    """Run it as Python would have; returns its exit code."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a server whose address and executable lie in the folder; it ends with the process that started it."""
    address, executable = folder / "server", python_of(folder)
    head = f"PYTHON, SERVER = {sys.executable!r}, {str(address)!r}"
    script = folder / "caller.py"
    script.write_text(f"{head}\n{CALLER}")
    executable.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(script))} "$@"\n')
    executable.chmod(0o755)
    quiet = subprocess.DEVNULL
    command = [sys.executable, "-m", "tests.warm", str(address), str(executable), str(os.getpid())]
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)


def python_of(folder: Path) -> Path:
    """The executable that asks the server of the folder."""
    return folder / "python"


if __name__ == "__main__":
    main()

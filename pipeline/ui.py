"""Dagster's web server and daemon on a home, the web server behind the guard of all pages of this machine.

`dagster dev` does the same without a guard: any site open in the browser could start runs there. So its parts are put
together here: one code server, which both use; the daemon, a process of its own; and the web application in this
process, where nothing reaches it but through the guard.

For containers each part also runs alone. The code server's part holds what the whole would: runs are its processes.
"""

import logging
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import dagster as dg
import uvicorn
import yaml
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from assets.headless import bury_dead_runs, open_instance, served_runs, serving_ui, take_on_record
from assets.old_runs import delete_old_runs
from pipeline.config import Project, load_project
from pipeline.errors import ConfigError
from pipeline.headless import Say
from pipeline.loopback.guard import Door, Guard, kept_secret
from pipeline.loopback.server import listen, make_server
from pipeline.operations.emulated_flickr import emulated_flickr
from pipeline.operations.forget import AT_WORK
from pipeline.operations.local_pages import HOME_LINK, with_local_pages
from pipeline.package_files import CODE, WORKSPACE
from pipeline.plain_files import read_plain_text
from pipeline.training.lifeline import starting
from resources.dagster_internals import (
    code_server,
    code_server_command,
    daemon_command,
    end_with_children,
    reload_code,
    settle_times,
    web_application,
    workspace_of,
)
from storage import Home

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8_000_000
"""A query of the UI names assets and partitions, thousands at most."""
LOG_LEVEL = "warning"
SET_BACK_S = 10
"""A clock that is set back by less holds nobody up; steps of time servers are mostly smaller."""
LOOK_AT_PROJECT_EVERY_S = 3
TIDY_EVERY_S = 86_400
CODE_SERVER_STARTS_S = 300
"""Importing everything on a cold and crowded machine takes a minute."""


@contextmanager
def _serving(home: Home, project: Project) -> Iterator[tuple[dg.DagsterInstance, Callable[[str], None]]]:
    """The home held as by the one process whose UI or code server is open: its instance, and what tells others where."""
    with (
        home.lock(AT_WORK, shared=True),
        home.lock("dev") as tell_others,
        emulated_flickr(home, project),
        open_instance(home) as instance,
    ):
        bury_dead_runs(instance, home)
        take_on_record(instance, home)
        with serving_ui(home), starting(), tidying(instance, home):
            yield instance, tell_others


@contextmanager
def tidying(instance: dg.DagsterInstance, home: Home) -> Iterator[None]:
    """Meanwhile old runs leave Dagster's records, at once and then daily."""
    ended = threading.Event()

    def tidy() -> None:
        while not ended.is_set():
            try:
                while delete_old_runs(instance, home) and not ended.is_set():
                    pass
            except Exception:  # a full disk, a database that is held: tomorrow will do, and nothing waits for it
                log.warning("records of old runs stay for now", exc_info=True)
            ended.wait(TIDY_EVERY_S)

    tidier = threading.Thread(target=tidy, name="old runs", daemon=True)
    tidier.start()
    try:
        yield
    finally:
        ended.set()
        tidier.join()


def serve_ui(home: Home, project: Project, path: Path, port: int, say: Say) -> int:
    """Run Dagster's web server and daemon on the home until they are stopped; returns their exit code."""
    with _serving(home, project) as (instance, tell_others), listen(port) as listening:
        door = Door(listening.getsockname()[1], kept_secret(home.page_secret))
        tell_others(door.place)
        say(f"project {path}\nhome    {home.root}\nloading the pipeline …")
        loaded = threading.Event()
        with (
            interruptible(is_loading=lambda: not loaded.is_set()) as stopped,
            code_server(instance, located_workspace(), LOG_LEVEL) as workspace,
            following(project, path, yaml.safe_load(read_plain_text(workspace)), say),
            web_application(instance, workspace, LOG_LEVEL) as web,
        ):
            loaded.set()
            server = _guarded_server(web, newest(project, path), home, door)
            with daemon(instance, workspace, lambda: stop(server)) as ended:
                if not stopped.is_set():
                    also = f"        {HOME_LINK} of it has reports, duplicates, masks and lineage"
                    say(f"open    {door.address} (Ctrl-C stops)\n{also}")
                    server.run(sockets=[listening])
                if at_work := len(served_runs(instance)):
                    say(f"runs at work, which end now: {at_work}; what they finished is kept, the next dev or run goes on")
                return 1 if ended.is_set() else 0


@dataclass(frozen=True)
class CodeServer:
    """Where the code server of the parts listens; whoever reaches it may run anything as its user."""

    host: str
    port: int

    @classmethod
    def of(cls, written: str) -> "CodeServer":
        """From `HOST:PORT`. Raises `ConfigError` for anything else."""
        host, _, port = written.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise ConfigError(f"--code-server {written!r}: it must be HOST:PORT, such as 127.0.0.1:4000")
        return cls(host, int(port))

    def await_answer(self, stopped: threading.Event) -> None:
        """Wait until it takes connections. Raises `ConfigError` where it does not in time."""
        deadline = time.monotonic() + CODE_SERVER_STARTS_S
        while not stopped.is_set():
            try:
                return socket.create_connection((self.host, self.port), timeout=5).close()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ConfigError(
                        f"no code server answers at {self.host}:{self.port} ({error.strerror or error}); start one with "
                        "`bokehflow dev --part code`"
                    ) from None
            stopped.wait(1)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A workspace file that names it."""
        with tempfile.TemporaryDirectory(prefix="bokehflow-ui-") as folder:
            file = Path(folder, "servers.yaml")
            file.write_text(yaml.safe_dump(workspace_of(self.host, self.port)), encoding="utf-8")
            yield file


def serve_code(home: Home, project: Project, path: Path, server: CodeServer, say: Say) -> int:
    """Run the code server alone, whose processes the runs are, until it is stopped; returns its exit code."""
    with _serving(home, project) as (_, tell_others), interruptible() as stopped:
        tell_others(f"{server.host}:{server.port}")
        say(f"project {path}\nhome    {home.root}\ncode    {server.host}:{server.port} (Ctrl-C stops)")
        with following(project, path, workspace_of(server.host, server.port), say):
            return _until_stopped(code_server_command(server.host, server.port), stopped)


def serve_daemon(home: Home, server: CodeServer, say: Say) -> int:
    """Run Dagster's daemon alone until it is stopped; returns its exit code."""
    with (
        home.lock(AT_WORK, shared=True),
        open_instance(home) as instance,
        interruptible() as stopped,
        server.workspace() as workspace,
    ):
        server.await_answer(stopped)
        if stopped.is_set():
            return 0
        say(f"home    {home.root}\ndaemon  of {server.host}:{server.port} (Ctrl-C stops)")
        return run_daemon(instance, workspace, stopped)


def serve_web(home: Home, project: Callable[[], Project], server: CodeServer, port: int, say: Say) -> int:
    """Run the web application alone, behind its guard, until it is stopped; returns the exit code."""
    with ExitStack() as stack:
        stack.enter_context(home.lock(AT_WORK, shared=True))
        instance = stack.enter_context(open_instance(home))
        listening = stack.enter_context(listen(port))
        door = Door(listening.getsockname()[1], kept_secret(home.page_secret))
        stopped = stack.enter_context(interruptible())
        server.await_answer(stopped)
        workspace = stack.enter_context(server.workspace())
        web = stack.enter_context(web_application(instance, workspace, LOG_LEVEL))
        if not stopped.is_set():
            say(f"home    {home.root}\nopen    {door.address} (Ctrl-C stops)")
            _guarded_server(web, project, home, door).run(sockets=[listening])
    return 0


@contextmanager
def following(project: Project, path: Path, workspace: Mapping[str, Any], say: Say) -> Iterator[None]:
    """Meanwhile the code servers load the project file anew when it says something else; one that is wrong is named."""
    ended = threading.Event()

    def follow() -> None:
        loaded, before, told = project, None, ""
        while not ended.wait(LOOK_AT_PROJECT_EVERY_S):
            found = _project_or_trouble(path)
            rests, before = found == before, found
            if not rests:
                continue  # somebody may be in the middle of writing it
            if isinstance(found, str):
                if found != told:
                    say(f"nothing is started until the project file is mended: {found}")
                told = found
            elif found != loaded:
                if reload_code(workspace):
                    loaded, told = found, ""
                    say(f"{path} was changed and is loaded anew")
            elif told:
                told = ""
                say(f"{path} is mended and says what it said before")

    watch = threading.Thread(target=follow, name="project file", daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()


def newest(project: Project, path: Path) -> Callable[[], Project]:
    """What gives the project that the file says at the moment; while that is wrong, what it said last."""
    last = [project]

    def ask() -> Project:
        found = _project_or_trouble(path)
        if not isinstance(found, str):
            last[0] = found
        return last[0]

    return ask


def _project_or_trouble(path: Path) -> Project | str:
    try:
        return load_project(path)
    except ConfigError as error:
        return str(error)


def _until_stopped(command: list[str], stopped: threading.Event, is_over: Callable[[], bool] = lambda: False) -> int:
    """Run a part of Dagster until it ends, this process is told to, or `is_over` says so; 1 where it ended by itself."""
    with subprocess.Popen(command, start_new_session=True) as process:
        while process.poll() is None and not is_over() and not stopped.wait(0.5):
            pass
        ended_itself = process.poll() is not None
        end_with_children(process)
        process.kill()
    return 1 if ended_itself else 0


def _guarded_server(web: ASGIApp, project: Callable[[], Project], home: Home, door: Door) -> uvicorn.Server:
    pages = with_local_pages(without_queries_in_links(web), project, home)
    return make_server(Guard(pages, door.port, MAX_BODY_BYTES), door, websockets=True)


@contextmanager
def interruptible(is_loading: Callable[[], bool] = lambda: False) -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event, so that whatever was started is stopped in order.

    Raises `KeyboardInterrupt` at once while something loads, which has nothing to lose and may take a minute. While the web
    server runs it takes the signals itself, and passes them on when it has ended.
    """
    stopped = threading.Event()

    def stop_it(*_: object) -> None:
        again = stopped.is_set()
        stopped.set()
        if is_loading() and not again:
            raise KeyboardInterrupt

    handlers = {number: signal.signal(number, stop_it) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def located_workspace() -> dict[str, Any]:
    """What `workspace.yaml` says, imported from where our packages lie.

    Otherwise Dagster would import from the folder where somebody works, in which `assets` or `resources` may be their own.
    """
    workspace = yaml.safe_load(read_plain_text(WORKSPACE))
    for location in workspace["load_from"]:
        location["python_module"]["working_directory"] = str(CODE)
    return workspace


def without_queries_in_links(web: ASGIApp) -> ASGIApp:
    """Dagster answers queries, changes too, that stand in an address: a link that somebody opens would start a run."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and scope["path"].rstrip("/") == "/graphql"
        if is_page and "query" in parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True):
            refused = PlainTextResponse("refused: send the query as the JSON body of a POST\n", 405)
            return await refused(scope, receive, send)
        await web(scope, receive, send)

    return answer


def run_daemon(instance: dg.DagsterInstance, workspace: Path, stopped: threading.Event) -> int:
    """Run Dagster's daemon: schedules, sensors and the queue of runs, until told to stop; 1 where it ended by itself.

    It pauses by the time of day: set back by an hour, it would do nothing for an hour. So it is begun anew then.
    """
    while not stopped.is_set():
        was_set_back = SetBack()
        settle_times(instance, time.time())
        if ended_itself := _until_stopped(daemon_command(workspace), stopped, was_set_back):
            return ended_itself
    return 0


class SetBack:
    """Tells whether the time of day was set back since it was last asked."""

    def __init__(self) -> None:
        self._ahead_s = self._now_s()

    def __call__(self) -> bool:
        before_s, self._ahead_s = self._ahead_s, self._now_s()
        return self._ahead_s < before_s - SET_BACK_S

    @staticmethod
    def _now_s() -> float:
        """By how much the time of day is ahead of the clock that nobody sets."""
        return time.time() - time.monotonic()


@contextmanager
def daemon(instance: dg.DagsterInstance, workspace: Path, tell: Callable[[], None]) -> Iterator[threading.Event]:
    """Meanwhile `run_daemon` is at work; where the daemon ends by itself the event is set, and `tell` called."""
    stopped, ended = threading.Event(), threading.Event()

    def work() -> None:
        # This thread lives as long as the process that it starts, which would end with it.
        try:
            run_daemon(instance, workspace, stopped)
        finally:
            if not stopped.is_set():
                ended.set()
                tell()

    watch = threading.Thread(target=work, name="daemon watch", daemon=True)
    watch.start()
    try:
        yield ended
    finally:
        stopped.set()
        watch.join()


def stop(server: uvicorn.Server) -> None:
    """Let the server end, after the answers that it is giving."""
    server.should_exit = True

"""Dagster's web server and daemon on a home, the web server behind the guard of all pages of this machine.

`dagster dev` does the same without a guard: any site open in the browser could start runs there. So its parts are put
together here: one code server, which both use; the daemon, a process of its own; and the web application in this
process, where nothing reaches it but through the guard.
"""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import dagster as dg
import uvicorn
import yaml
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from assets.headless import bury_dead_runs, open_instance, serving_ui
from pipeline.config import Project
from pipeline.headless import Say
from pipeline.loopback.guard import Door, Guard, kept_secret
from pipeline.loopback.server import listen, make_server
from pipeline.operations.emulated_flickr import emulated_flickr
from pipeline.operations.forget import AT_WORK
from pipeline.operations.local_pages import HOME_LINK, with_local_pages
from pipeline.package_files import CODE, WORKSPACE
from pipeline.plain_files import read_plain_text
from resources.dagster_internals import code_server, daemon_command, web_application
from storage import Home

MAX_BODY_BYTES = 8_000_000
"""A query of the UI names assets and partitions, thousands at most."""
LOG_LEVEL = "warning"
DAEMON_ENDS_S = 60


def serve_ui(home: Home, project: Project, path: Path, port: int, say: Say) -> int:
    """Run Dagster's web server and daemon on the home until they are stopped; returns their exit code."""
    with (
        home.lock(AT_WORK, shared=True),
        home.lock("dev") as tell_others,
        emulated_flickr(home, project),
        open_instance(home) as instance,
    ):
        bury_dead_runs(instance, home)
        with serving_ui(home), listen(port) as listening:
            door = Door(listening.getsockname()[1], kept_secret(home.page_secret))
            tell_others(door.place)
            say(f"project {path}\nhome    {home.root}\nloading the pipeline …")
            with (
                interruptible() as stopped,
                code_server(instance, located_workspace(), LOG_LEVEL) as workspace,
                web_application(instance, workspace, LOG_LEVEL) as web,
            ):
                pages = with_local_pages(without_queries_in_links(web), project, home)
                guarded = Guard(pages, door.port, MAX_BODY_BYTES)
                server = make_server(guarded, door, websockets=True)
                with daemon(instance, workspace, lambda: stop(server)) as running:
                    if not stopped.is_set():
                        also = f"        {HOME_LINK} of it has reports, duplicates, masks and lineage"
                        say(f"open    {door.address} (Ctrl-C stops)\n{also}")
                        server.run(sockets=[listening])
                    return 1 if running.poll() else 0


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event, so that whatever was started is stopped in order.

    While the web server runs it takes the signals itself, and passes them on when it has ended.
    """
    stopped = threading.Event()
    handlers = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
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


@contextmanager
def daemon(instance: dg.DagsterInstance, workspace: Path, ended: Callable[[], None]) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon: schedules, sensors, automation and the queue of runs; `ended` is called when it ends by itself."""
    process = subprocess.Popen(daemon_command(workspace), start_new_session=True)
    watch = threading.Thread(target=lambda: (process.wait(), ended()), name="daemon watch", daemon=True)
    watch.start()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(DAEMON_ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
        watch.join()


def stop(server: uvicorn.Server) -> None:
    """Let the server end, after the answers that it is giving."""
    server.should_exit = True

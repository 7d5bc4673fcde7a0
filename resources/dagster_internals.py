"""What is used of Dagster beyond its public interface, all of it, and why; the tests run it against the pinned version.

- Pictures leave its event log by SQL: Dagster can delete a run or an asset's whole history, and nothing smaller.
- `dagster dev` serves its UI to any site that is open in the browser. So its web application, code server and daemon
  are started here as its own command line starts them, and `pipeline.ui` puts a guard before them.
- Nobody but its daemon frees the slots of pools that a killed run held, and a headless run has no daemon.
- It connects to SQLite anew for every event, and whoever closes a database last writes its log back and deletes it.
- What copies the output of a stage to the terminal gets its Ctrl-C too, and answers it with a traceback; so does a code
  server while it loads.
- An asset check that blocks ends a run by an exception that has no public name, and a schedule's ticks are counted by a
  function that has none.

Nothing else in this project imports `dagster._…` or opens Dagster's files. `pipeline.operations.kept_records` looks at their
sizes and times.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from functools import cache, partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import alembic.util
import dagster as dg
import yaml
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution import compute_logs
from dagster._utils.schedules import cron_string_iterator
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DatabaseError

from pipeline.errors import ConfigError, StorageError, UnsafeName, database_trouble, disk_failed
from pipeline.file_names import child, file_name, inside
from pipeline.package_files import CODE, DAGSTER_ON_POSTGRES, DAGSTER_SETTINGS
from pipeline.plain_files import read_plain_text
from pipeline.training.lifeline import tied

if TYPE_CHECKING:
    from starlette.types import ASGIApp

RELOAD_WITHIN_S = 300
SQLITE_FILES = (".db", ".db-journal", ".db-shm", ".db-wal")
"""How the names of a database and of what lies beside it end."""
CHILDREN_END_S = 60
"""A trainer saves its checkpoint within."""
HELD_DATABASES = 8
"""Of one instance, those of runs, events and schedules and of the runs at hand."""
DELETE_CHECKS = """delete from asset_check_executions where run_id = :run and id not in (
    select max(id) from asset_check_executions group by asset_key, check_name, partition)"""
LOCATION = "bokehflow"
"""The name of our code location, as in `workspace.yaml`."""
BlockingCheckFailed = DagsterAssetCheckFailedError
"""Raised by a run in this process when a blocking check of one of its assets fails."""
AssetJob = UnresolvedAssetJobDefinition
"""What `dagster.define_asset_job` returns."""

# --- schedules and runs -------------------------------------------------------------------------------------------------


def time_between_ticks(cron: str, after: datetime) -> timedelta:
    """Time between the next two ticks of a schedule, in UTC, after a moment that need not be a tick itself."""
    ticks: Iterator[datetime] = cron_string_iterator(after.timestamp() + 1, cron, "UTC")
    first, second = next(pairwise(ticks))
    return second - first


def settle_times(instance: dg.DagsterInstance, now_s: float) -> None:
    """Have what schedules and sensors note of themselves count as of now where a clock that was ahead said later.

    Dagster passes over a schedule until after its last tick, and over a sensor until its pause after that is over.
    """
    for state in instance.all_instigator_state():
        told = state.instigator_data._asdict() if state.instigator_data else {}
        ahead = {name: now_s for name, value in told.items() if name.endswith("_timestamp") and (value or 0) > now_s}
        if state.instigator_data and ahead:
            instance.update_instigator_state(state.with_data(state.instigator_data._replace(**ahead)))
        if state.instigator_type.value == "SCHEDULE":  # a sensor's do not count, and are thousands a day
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, after=now_s):
                instance.update_tick(tick.with_status(tick.status, timestamp=now_s))


def keep_log_copies_from_the_terminal() -> None:
    """Have the processes that copy a stage's output end with it, as Dagster sees to, and not by the terminal's Ctrl-C."""
    apart: Any = SimpleNamespace(Popen=partial(subprocess.Popen, start_new_session=True))
    compute_logs.subprocess = apart  # pyright: ignore[reportPrivateImportUsage]


def look_once_for_database_scripts() -> None:
    """Have Alembic find the scripts of Dagster's databases once, and not each time that one is opened.

    It keeps what it found until the process ends: some 4 kB for each look of the sensor, one in 15 seconds.
    """
    found: Any = alembic.util.coerce_resource_to_filename
    if not hasattr(found, "cache_info"):
        alembic.util.coerce_resource_to_filename = cache(found)


def free_slots_of_ended_runs(instance: dg.DagsterInstance) -> None:
    """Free the slots of pools that runs still hold which are over."""
    log = instance.event_log_storage
    for run_id in log.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            log.free_concurrency_slots_for_run(run_id)


def delete_run(instance: dg.DagsterInstance, dagster_folder: Path, run_id: str) -> None:
    """Delete a run that is over from the records, with its events and what its steps printed.

    Dagster leaves what each check found, half a kilobyte; that goes too, but for what it found last. In SQLite each run's
    events are a file of their own, which Dagster only empties. One that is damaged holds nobody up.
    """
    try:
        instance.delete_run(run_id)
        log: Any = instance.event_log_storage
        with log.index_connection() as connection:
            connection.execute(text(DELETE_CHECKS), {"run": run_id})
    except DatabaseError:
        if instance.get_run_by_id(run_id):  # the list of runs could not be written to
            raise
    with suppress(UnsafeName):  # whoever starts a run by GraphQL may call it anything
        name = file_name(run_id)
        for ending in SQLITE_FILES:
            inside(dagster_folder, f"history/runs/{name}{ending}").unlink(missing_ok=True)
        shutil.rmtree(inside(dagster_folder, f"storage/{name}"), ignore_errors=True)


@contextmanager
def databases_held() -> Iterator[None]:
    """Meanwhile the databases in SQLite that were used last stay open, and their logs are not awaited on the disk.

    Dagster's records then cost a run a third of the time. A power cut may take the last of them; what they told of counts as
    never recorded, and is made again.
    """
    held: dict[str, sqlite3.Connection] = {}
    turn = threading.Lock()

    def hold(connection: object, _record: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        with suppress(sqlite3.Error), turn:  # it is as well to do without
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                return
            connection.execute("PRAGMA synchronous = NORMAL")
            _, _, path = connection.execute("PRAGMA database_list").fetchone()
            held[path] = held.pop(path, None) or _reading(path)
            while len(held) > HELD_DATABASES:
                held.pop(next(iter(held))).close()

    event.listen(Engine, "connect", hold)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hold)
        for connection in held.values():
            connection.close()


def _reading(path: str) -> sqlite3.Connection:
    """A connection that has read once: before that SQLite has not opened anything."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection


# --- the UI's parts -----------------------------------------------------------------------------------------------------


@contextmanager
def code_server(instance: dg.DagsterInstance, workspace: Mapping[str, Any], log_level: str) -> Iterator[Path]:
    """The code locations of a workspace, as such a file says them, in processes of their own, reloaded from the UI.

    Yields a workspace file that names these servers. At the end runs and trainers in them save what they have; at a
    `KeyboardInterrupt`, which comes while they load, nothing is waited for. Raises `ConfigError` where the folder of
    temporary files has too long a path for them.
    """
    from dagster._cli.proxy_server_manager import ProxyServerManager
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    _check_room_for_sockets()
    with tempfile.TemporaryDirectory(prefix="bokehflow-ui-") as folder, _apart_from_the_terminal() as processes:
        modules, servers_file = Path(folder) / "modules.yaml", Path(folder) / "servers.yaml"
        modules.write_text(yaml.safe_dump(dict(workspace)), encoding="utf-8")
        target = WorkspaceFileTarget([str(modules)])
        with ProxyServerManager(instance, target, code_server_log_level=log_level) as servers:
            try:
                specified = list(servers.get_code_server_specs())
                servers_file.write_text(yaml.safe_dump({"load_from": specified}), encoding="utf-8")
                yield servers_file
            except KeyboardInterrupt:
                for process in processes:
                    _signal_all(process, signal.SIGKILL)
                raise


@contextmanager
def _apart_from_the_terminal() -> Iterator[list[subprocess.Popen[Any]]]:
    """Meanwhile Dagster starts code servers, which are in the list, in sessions of their own.

    At the terminal's Ctrl-C one that still imports would end with a traceback.
    """
    server: Any = import_module("dagster._grpc.server")
    started, start = list[subprocess.Popen[Any]](), server.open_ipc_subprocess

    def start_apart(parts: list[str], **options: object) -> subprocess.Popen[Any]:
        process = start(parts, start_new_session=True, **options)
        process.terminate = partial(_signal_all, process, signal.SIGKILL)  # Dagster's only way to end what has not loaded
        started.append(process)
        return process

    server.open_ipc_subprocess = start_apart
    try:
        yield started
    finally:
        server.open_ipc_subprocess = start
        for process in started:  # which is over, or has been told to end, and may have runs
            end_with_children(process)


def end_with_children(process: subprocess.Popen[Any]) -> None:
    """Have a process that leads a session end as by Ctrl-C, with the runs and trainers in it, which save what they have."""
    _signal_all(process, signal.SIGINT)
    deadline = time.monotonic() + CHILDREN_END_S
    while _signal_all(process, 0) and time.monotonic() < deadline:
        process.poll()
        time.sleep(0.1)


def _signal_all(process: subprocess.Popen[Any], number: int) -> bool:
    """Send it to a session's processes; whether there are any."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group that is over
        return False
    return True


def _check_room_for_sockets() -> None:
    """Dagster's parts talk through sockets among the temporary files, of which the system takes short paths only."""
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER_BYTES:
        raise ConfigError(
            f"{folder}: the path of this folder of temporary files is too long for the sockets in it (at most "
            f"{LONGEST_SOCKET_FOLDER_BYTES} bytes); set TMPDIR to a folder with a shorter one, such as /tmp"
        )


def reload_code(workspace: Mapping[str, Any]) -> bool:
    """Have the servers of a workspace load their code anew, as `Reload definitions` in the UI does; whether all did.

    Whoever shows or asks their definitions is told by Dagster that they are others.
    """
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    for location in workspace["load_from"]:
        server = location["grpc_server"]
        client = DagsterGrpcClient(server.get("port"), server.get("socket"), server.get("host", "localhost"))
        try:
            client.reload_code(RELOAD_WITHIN_S)
        except DagsterUserCodeUnreachableError:
            return False
    return True


@contextmanager
def web_application(instance: dg.DagsterInstance, workspace: Path, log_level: str) -> Iterator["ASGIApp"]:
    """Dagster's web application on the code locations of a workspace file; anybody who reaches it may do anything."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context

    instance.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3600, max_overflow=20)
    target = WorkspaceFileTarget([str(workspace)])
    with WorkspaceProcessContext(instance, target, version=dg.__version__, code_server_log_level=log_level) as context:
        yield create_app_from_workspace_process_context(context, live_data_poll_rate=2000)


def code_server_command(host: str, port: int) -> list[str]:
    """The command that serves our code location to whoever reaches the port, who may then run anything.

    It ends with this process, which holds the home for it.
    """
    return tied(
        *("dagster", "code-server", "start", "--host", host, "--port", str(port)),
        *("--module-name", "pipeline.definitions", "--working-directory", str(CODE), "--location-name", LOCATION),
        *("--log-level", "warning"),
    )


def workspace_of(host: str, port: int) -> dict[str, Any]:
    """What a workspace file says of our code location on a server elsewhere."""
    return {"load_from": [{"grpc_server": {"host": host, "port": port, "location_name": LOCATION}}]}


def daemon_command(workspace: Path) -> list[str]:
    """The command that runs Dagster's daemon: schedules, sensors, automation and the queue of runs.

    It ends with this process: another one may have the home as soon as this one has not. It keeps quiet: it would tell every
    five seconds that it looked after the runs.
    """
    return tied("dagster._daemon", "run", "--workspace", str(workspace), "--log-level", "warning")


# --- forgotten photos in the event log ----------------------------------------------------------------------------------

# The log is the home's own, in SQLite files, as the `dagster.yaml` that is linked into the home has it.
SHOWN_COLUMNS = {"event_logs": "event", "asset_keys": "last_materialization"}
"""Tables of Dagster's records, and their columns of text that hold metadata."""
POSTGRES_PATIENCE_S = 20
ERASED = "*a photo that this picture showed was forgotten*"

LONGEST_SOCKET_FOLDER_BYTES = 91
"""macOS takes 103 for a socket's path, Linux 107; its name has 12 with the slash."""
_JPEG = re.compile(r"!\[([^\]]*)\]\(data:image/jpeg;base64,[A-Za-z0-9+/=]*\)")


def erase_pictures(dagster_folder: Path, photo_ids: Set[str], snapshots: Set[str]) -> int:
    """Take every picture that shows one of these photos, or photos of these snapshots, out of the event log.

    Returns how many events held one. What no later run made stays a sentence; the bytes are overwritten in the files, and in
    PostgreSQL free for new ones. Raises `StorageError` where records are in a PostgreSQL that cannot be reached, and where
    the disk does not take what changes.
    """
    files = sorted(dagster_folder.glob("history/runs/*.db"))
    try:
        erased = sum(_erase_in(file, photo_ids, snapshots) for file in files)
    except sqlite3.Error as error:
        if trouble := database_trouble(error):
            raise disk_failed(trouble, dagster_folder) from error
        raise
    settings = child(dagster_folder, DAGSTER_SETTINGS.name)
    if not (settings.is_symlink() and settings.readlink().name == DAGSTER_ON_POSTGRES.name):
        return erased
    return erased + _erase_in_postgres(photo_ids, snapshots)


def _erase_in_postgres(photo_ids: Set[str], snapshots: Set[str]) -> int:
    """The same where `dagster.postgres.yaml` keeps records."""
    words = {"host": "hostname", "port": "port", "user": "username", "password": "password", "dbname": "db_name"}
    told = yaml.safe_load(read_plain_text(DAGSTER_ON_POSTGRES))["storage"]["postgres"]["postgres_db"]
    variables = {word: told[key]["env"] for word, key in words.items()}
    values = {word: os.environ.get(variable, "") for word, variable in variables.items()}
    try:
        driver = import_module("psycopg2")
        connection = driver.connect(**values, connect_timeout=POSTGRES_PATIENCE_S)
    except Exception as error:  # ImportError, or the driver's own kinds
        problem = " ".join(str(error).split())[:200]
        raise StorageError(
            f"Dagster's records are in PostgreSQL, whose pictures could not be erased ({problem}): set "
            f"{', '.join(variables.values())}, and run `bokehflow forget` again"
        ) from error
    erased = 0
    with closing(connection), connection.cursor() as cursor:
        for table, column in SHOWN_COLUMNS.items():
            cursor.execute("SELECT to_regclass(%s)", [table])
            if cursor.fetchone()[0] is None:
                continue
            cursor.execute(f"SELECT id, {column} FROM {table} WHERE {column} LIKE %s", ["%data:image/jpeg;base64,%"])
            for row, before in cursor.fetchall():
                after = without_pictures(before, photo_ids, snapshots)
                if after != before:
                    cursor.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [after, row])
                    erased += 1
        connection.commit()
        connection.autocommit = True
        for table in SHOWN_COLUMNS if erased else ():  # or the old text stays in pages that nobody reads
            cursor.execute(f"VACUUM {table}")
    return erased


def _erase_in(file: Path, photo_ids: Set[str], snapshots: Set[str]) -> int:
    erased = 0
    with closing(sqlite3.connect(file, timeout=60)) as connection:
        connection.execute("PRAGMA secure_delete = ON")  # or the old text stays in the file's free pages
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, column in SHOWN_COLUMNS.items():
            if table in tables:
                erased += _erase_column(connection, table, column, photo_ids, snapshots)
        connection.commit()
        if erased:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log that SQLite writes first holds it as well
    return erased


def _erase_column(connection: sqlite3.Connection, table: str, column: str, photo_ids: Set[str], snapshots: Set[str]) -> int:
    held = f"SELECT id FROM {table} WHERE {column} LIKE '%data:image/jpeg;base64,%'"
    erased = 0
    for row in [row for (row,) in connection.execute(held)]:
        (before,) = connection.execute(f"SELECT {column} FROM {table} WHERE id = ?", [row]).fetchone()
        after = without_pictures(before, photo_ids, snapshots)
        if after != before:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", [after, row])
            erased += 1
    return erased


def without_pictures(text: str, photo_ids: Set[str], snapshots: Set[str]) -> str:
    """The text of an event without the pictures that show them; one that does not say what it shows goes as well."""

    def replaced(match: re.Match[str]) -> str:
        match match[1].split():
            case ["photos", *shown]:
                stays = not photo_ids & set(shown)
            case ["snapshot", snapshot, *_]:
                stays = snapshot not in snapshots
            case _:
                stays = False
        return match[0] if stays else ERASED

    return _JPEG.sub(replaced, text)

"""What is used of Dagster beyond its public interface works in the pinned version, and stands in one file."""

import atexit
import json
import os
import re
import sqlite3
import subprocess
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import alembic.util
import dagster as dg
import psutil
import pytest
from alembic.util.pyfiles import coerce_resource_to_filename

from pipeline.errors import ConfigError
from resources.dagster_internals import (
    ERASED,
    HELD_DATABASES,
    BlockingCheckFailed,
    code_server,
    daemon_command,
    databases_held,
    end_with_children,
    erase_pictures,
    free_slots_of_ended_runs,
    look_once_for_database_scripts,
    settle_times,
    time_between_ticks,
    without_pictures,
)

REPOSITORY = Path(__file__).parents[2]
JPEG = "![photos flickr:1 flickr:2](data:image/jpeg;base64,AAAA)"
OF_A_SNAPSHOT = "![snapshot 0123456789abcdef](data:image/jpeg;base64,AAAA)"


def test_the_installed_version_is_the_pinned_one() -> None:
    pinned = re.search(r"^dagster==(\S+)", (REPOSITORY / "requirements.lock").read_text(), re.M)
    assert pinned is not None
    assert version("dagster") == pinned[1]


def test_nothing_else_uses_what_is_private_to_dagster() -> None:
    sources = [path for name in ("pipeline", "assets", "resources", "storage") for path in (REPOSITORY / name).rglob("*.py")]
    private = re.compile(r"dagster\w*\._|import sqlite3|event_log_storage")
    assert [path.name for path in sources if private.search(path.read_text())] == ["dagster_internals.py"]


@pytest.mark.parametrize(
    ("cron", "between"),
    [("0 3 * * 1", timedelta(weeks=1)), ("*/5 * * * *", timedelta(minutes=5)), ("0 0 1 * *", timedelta(days=29))],
)
def test_time_between_ticks(cron: str, between: timedelta) -> None:
    assert time_between_ticks(cron, datetime(2024, 1, 31, 12, tzinfo=UTC)) == between


def noted(instance: dg.DagsterInstance) -> dict[str, tuple[object, list[float]]]:
    """By name what a schedule or a sensor notes of itself, and the times of its ticks."""
    states = instance.all_instigator_state()
    ticks = {one.name: instance.get_ticks(one.instigator_origin_id, one.selector_id) for one in states}
    return {one.name: (one.instigator_data, sorted(tick.timestamp for tick in ticks[one.name])) for one in states}


def written(kind: str, **fields: object) -> Any:  # noqa: ANN401 (Dagster's own, which it does not make public)
    """What Dagster reads out of its databases where this is written."""
    return dg.deserialize_value(json.dumps({"__class__": kind, **fields}))


def state_of(name: str, kind: str, status: str, **noted_of_itself: object) -> Any:  # noqa: ANN401 (as above)
    """Of a schedule or a sensor."""
    place = {"__class__": "GrpcServerRepositoryLocationOrigin", "host": "localhost", "port": 1, "socket": None}
    repository = {"__class__": "ExternalRepositoryOrigin", "repository_location_origin": place, "repository_name": "all"}
    origin = {"__class__": "ExternalJobOrigin", "external_repository_origin": repository, "job_name": name}
    told = {"__class__": f"{kind.title()}InstigatorData", **noted_of_itself}
    kinds = {"job_type": {"__enum__": f"InstigatorType.{kind}"}, "status": {"__enum__": f"InstigatorStatus.{status}"}}
    return written("InstigatorState", origin=origin, job_specific_data=told, **kinds)


def test_times_of_a_clock_that_was_ahead_count_as_of_now() -> None:
    now_s, ahead_s = 1_800_000_000.0, 1_830_000_000.0
    told = {"cron_schedule": "0 3 * * 1", "start_timestamp": now_s - 9, "last_iteration_timestamp": ahead_s}
    sensed = {"last_tick_timestamp": ahead_s, "last_tick_start_timestamp": ahead_s, "last_sensor_start_timestamp": 1.0}
    with dg.instance_for_test() as instance:  # which knows the kinds that are written here
        weekly = state_of("weekly", "SCHEDULE", "STOPPED", **told)
        due = state_of("due", "SENSOR", "DECLARED_IN_CODE", cursor="so far", **sensed)
        instance.add_instigator_state(weekly)
        instance.add_instigator_state(due)
        for at_s in (now_s - 7, ahead_s):
            whose = {"job_origin_id": weekly.instigator_origin_id, "job_name": "weekly", "selector_id": weekly.selector_id}
            what = {"job_type": {"__enum__": "InstigatorType.SCHEDULE"}, "status": {"__enum__": "TickStatus.SUCCESS"}}
            instance.create_tick(written("TickData", **whose, **what, timestamp=at_s, run_ids=["a run"]))
        settle_times(instance, now_s)
        settled = weekly.instigator_data._replace(last_iteration_timestamp=now_s)
        looked = due.instigator_data._replace(last_tick_timestamp=now_s, last_tick_start_timestamp=now_s)
        assert noted(instance) == {"weekly": (settled, [now_s - 7, now_s]), "due": (looked, [])}
        assert {one.name: one.status for one in instance.all_instigator_state()}["weekly"] == weekly.status
        before = noted(instance)
        settle_times(instance, now_s + 1)
        assert noted(instance) == before


def test_opening_databases_again_and_again_keeps_nothing_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code server opens them for each look of the sensor, two million times a year."""
    kept = list[object]()
    monkeypatch.setattr(atexit, "register", kept.append)
    monkeypatch.setattr(alembic.util, "coerce_resource_to_filename", coerce_resource_to_filename)
    look_once_for_database_scripts()
    counts = list[int]()
    with dg.instance_for_test() as instance:
        for _ in range(3):
            with dg.DagsterInstance.from_ref(instance.get_ref()) as again:
                again.get_runs()
                again.fetch_materializations(dg.AssetKey("made"), limit=1)
                again.all_instigator_state()
            look_once_for_database_scripts()
            counts.append(len(kept))
    assert counts[0] == counts[-1]


def logs_of(folder: Path) -> dict[str, int]:
    """What SQLite writes first, as files that are there: by name, which of that name."""
    return {path.name: path.stat().st_ino for path in folder.rglob("*.db-wal")}


def test_databases_stay_open_while_records_are_written(tmp_path: Path) -> None:
    event = dg.AssetMaterialization("made")
    with databases_held(), dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.report_runless_asset_event(event)
        before = logs_of(tmp_path)
        instance.report_runless_asset_event(event)
        assert before
        assert logs_of(tmp_path) == before
        assert instance.get_latest_materialization_event(dg.AssetKey("made"))
    assert not logs_of(tmp_path)


def test_only_so_many_databases_stay_open(tmp_path: Path) -> None:
    @dg.asset
    def made() -> None: ...

    with databases_held(), dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for _ in range(HELD_DATABASES + 1):
            dg.materialize([made], instance=instance)
        assert len(logs_of(tmp_path)) == HELD_DATABASES
        assert len(instance.get_runs()) == HELD_DATABASES + 1


def test_a_blocking_check_that_fails_raises_what_headless_runs_wait_for() -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("no", asset="made", blocking=True)])
    def made() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="no", passed=False)])

    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(BlockingCheckFailed):
        dg.materialize([made], instance=instance)


@pytest.mark.slow
def test_code_servers_do_not_hear_the_terminals_ctrl_c_and_end_at_once_while_they_load(tmp_path: Path) -> None:
    """One that is in the middle of its imports would answer with a traceback."""
    (tmp_path / "code.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    workspace = {"load_from": [{"python_file": str(tmp_path / "code.py")}]}
    before, started = set(psutil.Process().children()), set[psutil.Process]()
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        suppress(KeyboardInterrupt),
        code_server(instance, workspace, "warning"),
    ):
        started = set(psutil.Process().children()) - before
        assert {os.getsid(process.pid) for process in started} == {process.pid for process in started} != set()
        raise KeyboardInterrupt
    assert not [process for process in started if process.is_running()]


@pytest.mark.slow
def test_ctrl_c_while_a_code_server_loads_reaches_none_of_it(tmp_path: Path) -> None:
    code = f"""
import os, signal, time

os.kill({os.getpid()}, signal.SIGINT)
try:
    time.sleep(100)
except BaseException:
    open({str(tmp_path / "heard")!r}, "w").close()
"""
    (tmp_path / "code.py").write_text(code)
    workspace = {"load_from": [{"python_file": str(tmp_path / "code.py")}]}
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        pytest.raises(KeyboardInterrupt),
        code_server(instance, workspace, "warning"),
    ):
        pytest.fail("it has not loaded")
    assert not (tmp_path / "heard").exists()


def test_who_is_in_a_session_saves_what_it_has_before_it_ends(tmp_path: Path) -> None:
    """A trainer below a run below a code server."""
    below = f'trap "echo saved > {tmp_path}/checkpoint; exit" INT; echo ready; while :; do sleep 0.1; done'
    script = f"trap : INT; sh -c '{below}'"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        end_with_children(process)
    assert (tmp_path / "checkpoint").read_text() == "saved\n"


def test_a_folder_of_temporary_files_that_can_hold_no_socket_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As clusters make one for each job; Dagster would try on for minutes, with a message for each time."""
    with dg.DagsterInstance.local_temp() as instance:
        monkeypatch.setattr("tempfile.tempdir", f"/scratch/{84 * 'a'}")
        with pytest.raises(ConfigError, match=r"^/scratch/a+: the path.*at most 91 bytes.*set TMPDIR"):
            code_server(instance, {"load_from": []}, "warning").__enter__()


def test_slots_of_ended_runs_are_free_again(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        log = instance.event_log_storage
        log.set_concurrency_slots("gpu", 1)
        log.claim_concurrency_slot("gpu", "a-run-that-is-gone", "step")
        assert log.get_concurrency_info("gpu").active_slot_count == 1
        free_slots_of_ended_runs(instance)
        assert log.get_concurrency_info("gpu").active_slot_count == 0


def test_the_daemon_is_dagsters_own_command_and_ends_with_who_started_it(tmp_path: Path) -> None:
    command = daemon_command(tmp_path / "workspace.yaml")
    assert command[1:4] == ["-P", "-m", "pipeline.training.lifeline"]
    assert command[5:7] == ["dagster._daemon", "run"]


def test_pictures_leave_the_files_of_the_event_log(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for photos in (JPEG, OF_A_SNAPSHOT):
            shown = {"pictures": dg.MetadataValue.md(photos)}
            instance.report_runless_asset_event(dg.AssetMaterialization("sheet", metadata=shown))
        assert erase_pictures(tmp_path, {"flickr:3"}, set()) == 0
        assert erase_pictures(tmp_path, {"flickr:2"}, set()) >= 1
        records = instance.fetch_materializations(dg.AssetKey("sheet"), limit=2).records
        made = [record.asset_materialization for record in records if record.asset_materialization]
        kept = [str(one.metadata["pictures"].value) for one in made]
        assert kept == [OF_A_SNAPSHOT, ERASED]
    for path in tmp_path.rglob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert b"flickr:2" not in path.read_bytes()


def test_a_picture_that_does_not_say_what_it_shows_goes_as_well() -> None:
    nameless = "![](data:image/jpeg;base64,AAAA)"
    chart = "![chart](data:image/png;base64,AAAA)"
    assert (
        without_pictures(f"{nameless} {chart} {OF_A_SNAPSHOT}", set(), {"0123456789abcdef"}) == f"{ERASED} {chart} {ERASED}"
    )

"""Records of old runs go, but for those by which it is known what is due."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy.exc import OperationalError

from assets.headless import open_instance
from assets.old_runs import KEPT_FOR, delete_old_runs
from assets.records import InstanceRecords
from pipeline.postgres import connected
from resources.dagster_internals import delete_run
from storage import Home
from tests.postgres_server import postgres

__all__ = ["postgres"]

MONTHS = dg.StaticPartitionsDefinition(["ordinary|2024-01", "ordinary|2024-02"])
NOW, LATER = datetime.now(UTC), datetime.now(UTC) + KEPT_FOR + timedelta(days=1)


@dg.asset(partitions_def=MONTHS)
def photo_listing() -> None:
    """A table by month."""


@dg.asset(check_specs=[dg.AssetCheckSpec("enough_kept", asset="curated_photos")])
def curated_photos() -> dg.MaterializeResult:
    """A table with a blocking check."""
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True, check_name="enough_kept")])


@dg.op
def fails() -> None:
    """Makes nothing."""
    raise ValueError


@dg.job
def failing() -> None:
    """Fails."""
    fails()


def made(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, partition: str | None = None) -> str:
    """The id of a run that makes it."""
    return dg.materialize([asset], instance=instance, partition_key=partition).run_id


def files_of(home: Home, runs: list[str]) -> list[Path]:
    return [path for path in home.dagster.rglob("*") for run in runs if path.name.startswith(run)]


def test_runs_of_long_ago_go_with_their_files_and_what_is_newest_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with open_instance(home) as instance:
        first, second = "ordinary|2024-01", "ordinary|2024-02"
        superseded = [made(instance, photo_listing, first), made(instance, curated_photos)]
        newest = [made(instance, photo_listing, key) for key in (second, first)]
        newest += [made(instance, curated_photos)]
        failed = failing.execute_in_process(instance=instance, raise_on_error=False).run_id
        records = InstanceRecords(instance)
        known = [records.made_at_s("photo_listing", key) for key in (first, second)]
        assert files_of(home, superseded)
        assert delete_old_runs(instance, home, NOW) == 0
        assert delete_old_runs(instance, home, LATER) == 3
        assert delete_old_runs(instance, home, LATER) == 0
        assert set(instance.get_run_ids()) == set(newest)
        assert files_of(home, [*superseded, failed]) == []
        assert [records.made_at_s("photo_listing", key) for key in (first, second)] == known
        assert records.failed_checks("curated_photos", ["enough_kept"]) == {}


def check_records(instance: dg.DagsterInstance) -> list[str]:
    """The runs of which it is on record what the check found, the newest first."""
    key = dg.AssetCheckKey(dg.AssetKey("curated_photos"), "enough_kept")
    return [record.run_id for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=50)]


def test_what_checks_found_goes_with_their_runs_but_for_the_last(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with open_instance(home) as instance:
        runs = [made(instance, curated_photos) for _ in range(3)]
        assert check_records(instance) == runs[::-1]
        assert delete_old_runs(instance, home, LATER) == 2
        assert check_records(instance) == runs[2:]
        delete_run(instance, home.dagster, runs[2])  # as that of a check that does not block
        assert check_records(instance) == runs[2:]


@pytest.mark.slow
def test_on_postgres_the_same_goes_and_the_same_stays(postgres: None, tmp_path: Path) -> None:
    home = Home(tmp_path)
    with open_instance(home) as instance:
        keys = ["ordinary|2024-01", "ordinary|2024-02"]

        def all_made() -> list[str]:
            return [*(made(instance, photo_listing, key) for key in keys), made(instance, curated_photos)]

        _, newest = all_made(), all_made()
        records = InstanceRecords(instance)
        known = [records.made_at_s("photo_listing", key) for key in keys]
        assert delete_old_runs(instance, home, LATER) == len(newest)
        assert set(instance.get_run_ids()) == set(newest)
        assert [records.made_at_s("photo_listing", key) for key in keys] == known
        assert records.failed_checks("curated_photos", ["enough_kept"]) == {}
        assert check_records(instance) == newest[-1:]
    with connected("records are kept") as connection, connection.cursor() as cursor:
        for table in ("runs", "run_tags", "event_logs", "asset_check_executions"):
            cursor.execute(f"select distinct run_id from {table}")
            assert {run_id for (run_id,) in cursor.fetchall()} <= set(newest), table


def test_the_oldest_go_first_and_no_run_that_is_not_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.old_runs.AT_ONCE", 2)
    home = Home(tmp_path)
    with open_instance(home) as instance:
        runs = [made(instance, curated_photos) for _ in range(4)]
        at_work = instance.create_run_for_job(failing).run_id
        assert delete_old_runs(instance, home, LATER) == 2
        assert set(instance.get_run_ids()) == {*runs[2:], at_work}


def test_a_run_whose_own_events_are_damaged_goes_as_well(tmp_path: Path) -> None:
    """A power cut leaves such a file, which nothing else would look at."""
    home = Home(tmp_path)
    with open_instance(home) as instance:
        first, second, newest = (made(instance, curated_photos) for _ in range(3))
    for path in home.dagster.glob(f"history/runs/{first}.db*"):
        path.write_bytes(b"no database")
    with open_instance(home) as instance:
        assert delete_old_runs(instance, home, LATER) == 2
        assert instance.get_run_ids() == [newest]
        assert files_of(home, [first, second]) == []


@pytest.mark.parametrize("name", ["*", "../../mine", "..", "a/b"])
def test_a_run_of_any_name_takes_no_files_but_its_own_with_it(tmp_path: Path, name: str) -> None:
    """GraphQL lets a caller choose it."""
    home, mine = Home(tmp_path), tmp_path / "mine"
    mine.mkdir()
    with open_instance(home) as instance:
        kept = made(instance, curated_photos)
        instance.add_run(dg.DagsterRun("failing", run_id=name, status=dg.DagsterRunStatus.FAILURE))
        before = files_of(home, [kept])
        assert before
        assert delete_old_runs(instance, home, LATER) == 1
        assert instance.get_run_ids() == [kept]
        assert files_of(home, [kept]) == before
    assert mine.is_dir()


def test_a_list_of_runs_that_cannot_be_written_to_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    with open_instance(home) as instance:
        runs = [made(instance, curated_photos) for _ in range(2)]

        def refuse(_: str) -> None:
            raise OperationalError("DELETE", None, sqlite3.OperationalError("database is locked"))

        monkeypatch.setattr(instance, "delete_run", refuse)
        with pytest.raises(OperationalError, match="locked"):
            delete_old_runs(instance, home, LATER)
        assert set(instance.get_run_ids()) == set(runs)

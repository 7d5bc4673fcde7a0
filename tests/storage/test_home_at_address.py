"""A home worked on at an address is the home that a folder would be, on one machine or two at once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pytest

from assets.headless import instance_to_look, open_instance, take_on_record
from assets.records import InstanceRecords
from pipeline.compute.pieces import Function, PieceOutcome
from pipeline.config import parse_project
from pipeline.operations.planning import Planner
from pipeline.operations.stages import provenance_of
from pipeline.operations.tasks import Engaged
from pipeline.tables import empty
from storage import Home
from storage.bucket import Bucket
from storage.copying import bring, send
from tests.conftest import bokehflow
from tests.picture_home import home_of_pictures
from tests.pipeline.compute.test_engines import engaged_project, made_by
from tests.postgres_server import postgres
from tests.storage.s3_server import ADDRESS, Store
from tests.test_snapshot_equality import assert_equal_snapshots, hand_in, make_small_home, newest

__all__ = ["postgres"]

MONTHS = {"2024-01", "2024-02", "2024-03"}
MADE = ["run", "--until", "dataset_snapshot"]


def versions(root: Path) -> dict[str, str]:
    """Data versions of all tables by name and partition."""
    tables = Home(root).tables
    found = (
        (path.name, key, tables.info(path.name, key))
        for path in tables.root.iterdir()
        for key in tables.partitions(path.name)
    )
    return {f"{name} {key}": info.data_version for name, key, info in found if info}


def start(machine: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "BOKEHFLOW_CACHE": str(machine), "BOKEHFLOW_HOME": ADDRESS}
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_at_address(machine: Path, *arguments: str) -> tuple[str, str]:
    process = start(machine, *arguments)
    out, err = process.communicate(timeout=800)
    assert process.returncode == 0, err
    return out, err


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_machines_at_once_make_what_a_folder_has(tmp_path: Path, store: Store) -> None:
    calm = make_small_home(tmp_path / "calm")
    hand_in(calm, MONTHS)
    send(calm_home := Home(calm), Bucket(ADDRESS), lambda _: None)
    done = bokehflow(calm, *MADE)
    assert done.returncode == 0, done.stderr
    both = [start(tmp_path / name, *MADE) for name in ("a", "b")]
    ended = [process.communicate(timeout=1200) for process in both]
    if any(process.returncode for process in both):
        print(*ended, sep="\n")
    run_at_address(tmp_path / "a", *MADE)
    bring(Bucket(ADDRESS), tmp_path / "back", lambda _: None)
    assert newest(tmp_path / "back") == newest(calm)
    assert_equal_snapshots(calm, tmp_path / "back", newest(calm))
    assert versions(tmp_path / "back") == versions(calm_home.root)
    status = json.loads(run_at_address(tmp_path / "c", "status", "--json")[0])
    assert status == json.loads(bokehflow(calm, "status", "--json").stdout)
    store.requests.clear()
    _, said = run_at_address(tmp_path / "a", *MADE)
    assert "up to date" in said
    assert store.requests == ["GET ", "GET "]


class Elsewhere:
    """An engine of one worker, on a machine that shares nothing with this one but the store."""

    def __init__(self, machine: Path) -> None:
        self.machine, self.asked = machine, 0

    def slots(self) -> int:
        return 1

    def submit(self, function: Function, pieces: Sequence[str]) -> list[str]:
        here, self.asked = os.environ["BOKEHFLOW_CACHE"], self.asked + len(pieces)
        os.environ["BOKEHFLOW_CACHE"] = str(self.machine)
        try:
            return [function(piece) for piece in pieces]
        finally:
            os.environ["BOKEHFLOW_CACHE"] = here

    def finished(self, handles: list[str], wait_s: float) -> list[str]:
        return handles

    def outcomes(self, finished: Mapping[str, str]) -> Iterator[PieceOutcome]:
        return (PieceOutcome(piece, handle) for handle, piece in finished.items())


def test_workers_that_share_only_the_store_make_what_is_made_here(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, project = home_of_pictures(tmp_path / "calm", 4), engaged_project("dask")
    send(calm, Bucket(ADDRESS), lambda _: None)
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path / "here"))
    home, engine = Home.at(Path(ADDRESS)), Elsewhere(tmp_path / "there")
    monkeypatch.setattr("pipeline.operations.tasks.open_engine", lambda *_: nullcontext(engine))
    made = made_by(Engaged(project, home, "tcp://elsewhere"), project, home)
    assert engine.asked >= 4
    assert made == made_by(None, project, calm)
    assert home.working is not None
    home.working.settle(lambda _: None)
    assert not [name for name in store.objects if "work" in name.split("/")]
    bring(Bucket(ADDRESS), tmp_path / "back", lambda _: None)
    assert made_by(None, project, Home(tmp_path / "back")) == made


def test_processes_of_this_machine_fetch_what_they_read(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, project = home_of_pictures(tmp_path / "calm", 4), engaged_project("local")
    send(calm, Bucket(ADDRESS), lambda _: None)
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path / "here"))
    home = Home.at(Path(ADDRESS))
    assert not list(home.root.glob("blobs/*/*"))
    made = made_by(Engaged(project, home), project, home)
    assert made == made_by(None, project, calm)
    assert home.working is not None
    home.working.settle(lambda _: None)
    assert not [name for name in store.objects if "work" in name.split("/")]
    bring(Bucket(ADDRESS), tmp_path / "back", lambda _: None)
    assert made_by(None, project, Home(tmp_path / "back")) == made


def test_what_another_machine_made_is_put_on_record_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path))
    for home, count in ((Home.at(Path(ADDRESS)), 1), (Home(tmp_path / "folder"), 0)):
        for name in ("unique_photos", "dataset_manifest"):
            home.tables.write(name, empty(name), made_s=5.0)
        with dg.DagsterInstance.ephemeral() as instance:
            for _ in range(2):
                take_on_record(instance, home)
            made = [instance.fetch_materializations(dg.AssetKey(name), limit=9).records for name in ("unique_photos",)]
            assert [len(records) for records in made] == [count]
            assert InstanceRecords(instance).made_at_s("dataset_manifest", None) is None, "whose checks are not on record"


def test_what_another_machine_made_is_not_due_for_want_of_a_record(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run puts it on record and makes nothing; so that is what the plan says, and what `dev` goes by."""
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path))
    project = parse_project("[domains.ordinary]\n[domains.shallow]\n", tmp_path / "x.toml")
    for home, expected in ((Home.at(Path(ADDRESS)), set[str]()), (Home(tmp_path / "folder"), {"unique_photos"})):
        provenance = provenance_of(project, home, "unique_photos")
        home.tables.write("unique_photos", empty("unique_photos"), provenance=provenance)
        with dg.DagsterInstance.ephemeral() as instance:
            due = Planner(project, home, tmp_path, InstanceRecords(instance)).outlook().due
        assert {one.asset for one in due} & {"unique_photos"} == expected


@pytest.mark.slow
def test_who_looks_on_a_new_machine_sees_the_records_in_postgres(
    postgres: None, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for machine in ("a", "b"):
        monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path / machine))
        home = Home.at(Path(ADDRESS))
        if machine == "a":
            with open_instance(home) as instance:
                instance.report_runless_asset_event(dg.AssetMaterialization("dataset_manifest"))
            continue
        with instance_to_look(home) as instance:
            assert InstanceRecords(instance).made_at_s("dataset_manifest", None)
        assert not home.dagster.exists()

"""What `deploy/` holds: as far as it can be tried without a cluster."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.headless import bury_dead_runs, open_instance, process_tags
from storage import Home

REPOSITORY = Path(__file__).parents[1]
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def read(path: Path) -> dict[str, object]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_instance_on_postgres_has_the_settings_of_every_home() -> None:
    deployed, own = read(REPOSITORY / "deploy" / "dagster.yaml"), read(REPOSITORY / "dagster.yaml")
    assert {name: value for name, value in deployed.items() if name != "storage"} == own


@pytest.fixture
def postgres() -> Iterator[int]:
    """The port of a PostgreSQL on loopback."""
    pytest.importorskip("dagster_postgres")
    if not SERVERS or not shutil.which("runuser"):
        pytest.skip("PostgreSQL is not installed here")
    folder = Path(tempfile.mkdtemp(prefix="bokehflow-pg"))
    as_owner = []
    if os.geteuid() == 0:  # the server refuses to be root
        shutil.chown(folder, "postgres", "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]
    run = [*as_owner, str(SERVERS[-1] / "initdb"), "-D", str(folder / "data"), "-U", "lab", "--auth=trust"]
    subprocess.run(run, check=True, capture_output=True, cwd=folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"-k {folder} -p {port} -c listen_addresses=127.0.0.1"
    control = [*as_owner, str(SERVERS[-1] / "pg_ctl"), "-D", str(folder / "data"), "-l", str(folder / "log")]
    subprocess.run([*control, "-o", options, "-w", "start"], check=True, capture_output=True, cwd=folder)
    try:
        yield port
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_runs_are_recorded_and_buried_on_postgres(postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOST": "127.0.0.1",
        "PORT": str(postgres),
        "USER": "lab",
        "PASSWORD": "unused",
        "DB": "postgres",
    }.items():
        monkeypatch.setenv(f"BOKEHFLOW_POSTGRES_{name}", value)
    home = Home(tmp_path)
    home.dagster.mkdir()
    shutil.copy(REPOSITORY / "deploy" / "dagster.yaml", home.dagster / "dagster.yaml")
    gone = {**process_tags(), "bokehflow/process": "999999999"}
    for tags, run_id in ((gone, "dead"), (process_tags(), "living")):
        with open_instance(home) as instance:  # anew: what one process wrote another reads
            assert "Postgres" in type(instance.run_storage).__name__ + type(instance.event_log_storage).__name__
            run = dg.DagsterRun(job_name="dataset", run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags)
            instance.add_run(run)
    with open_instance(home) as instance:
        assert bury_dead_runs(instance, home) == ["dead"]
    assert not list(home.dagster.glob("**/*.db"))

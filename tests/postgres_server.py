"""A PostgreSQL server of a test's own, and the environment that leads there."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipeline.operations.emulated_flickr import free_ports

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
VARIABLES = {"HOST": "127.0.0.1", "USER": "postgres", "PASSWORD": "unused", "DB": "postgres"}


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("psycopg2")
    if not SERVERS or os.getuid() or not shutil.which("runuser"):
        pytest.skip("no PostgreSQL server can be started here")
    (port,) = free_ports(1)
    for name, value in {**VARIABLES, "PORT": str(port)}.items():
        monkeypatch.setenv(f"BOKEHFLOW_POSTGRES_{name}", value)

    def control(*arguments: str) -> None:
        command = ["runuser", "-u", "postgres", "--", str(SERVERS[-1] / "pg_ctl"), "-D", f"{folder}/data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

    with TemporaryDirectory(prefix="bokehflow-postgres-") as folder:
        shutil.chown(folder, "postgres")
        control("initdb", "-o", "-A trust --no-sync")
        control("start", "-w", "-l", f"{folder}/log", "-o", f"-p {port} -h 127.0.0.1 -k {folder} -F")
        try:
            yield
        finally:
            control("stop", "-m", "immediate")

"""Locks over machines: one makes a thing at a time, and who has lost a lock commits nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, StorageError
from pipeline.postgres import connected
from storage import Home, leases
from storage.leases import leased
from tests.postgres_server import VARIABLES, postgres
from tests.storage.s3_server import ADDRESS, Store, contents

__all__ = ["postgres"]

HOLDER = """
import sys
from storage import Home

with Home.at(sys.argv[1]).making("trained_model", "cyclegan@0"):
    print("held", flush=True)
    sys.stdin.read()
"""


def changed(statement: str) -> None:
    with connected("rows are") as connection, connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.slow
def test_one_of_two_machines_makes_a_thing(
    postgres: None, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path / "a"))
    home = Home.at(ADDRESS)
    other = {**os.environ, "BOKEHFLOW_CACHE": str(tmp_path / "b")}
    command = [sys.executable, "-c", HOLDER, ADDRESS]
    holder = subprocess.Popen(command, env=other, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    busy = rf"trained_model cyclegan@0: .*, process {holder.pid} is at work on it"
    with pytest.raises(StorageError, match=busy), home.making("trained_model", "cyclegan@0"):
        pass
    with home.making("trained_model", "cyclegan@1"):
        pass
    holder.kill()
    holder.communicate()
    with home.making("trained_model", "cyclegan@0"):
        pass
    with home.making("trained_model", "cyclegan@0"):
        pass


@pytest.mark.slow
def test_who_lost_a_lock_commits_nothing_and_is_told_who_has_it(
    postgres: None, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path))
    home = Home.at(ADDRESS)
    theirs = (
        "update bokehflow_locks set fence = fence + 1, owner = 'other-host, process 7', until = now() + interval '1 hour'"
    )

    def overtaken() -> None:
        assert home.working is not None
        with home.making("x", None):
            home.root.joinpath("made.txt").write_text("made")
            changed(theirs)
            with pytest.raises(StorageError, match=r"other-host, process 7 took this over, .* is not sent"):
                home.working.settle(lambda _: None)

    with pytest.raises(StorageError, match="other-host, process 7 took this over"):
        overtaken()
    assert not [name for name in store.objects if "/lists/" in name]
    with pytest.raises(StorageError, match="other-host, process 7 is at work on it"), home.making("x", None):
        pass
    changed("update bokehflow_locks set until = now(), mark = 'another machine'")
    with home.making("x", None):
        pass
    assert len(contents(store)) == 1


@pytest.mark.slow
def test_a_lock_is_renewed_while_its_owner_works(postgres: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 1.0)
    monkeypatch.setattr(leases, "_is_dead", lambda *_: False)
    with leased("x"):
        time.sleep(1.5)
        with pytest.raises(StorageError, match="is at work on it"), leased("x"):
            pass


def test_where_the_server_cannot_be_reached_nothing_is_made(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path))
    home = Home.at(ADDRESS)
    for name, value in {**VARIABLES, "PORT": "9"}.items():
        monkeypatch.setenv(f"BOKEHFLOW_POSTGRES_{name}", value)
    with (
        pytest.raises(ConfigError, match=r"where locks are kept for all machines|bokehflow.postgres"),
        home.making("x", None),
    ):
        pass
    with Home(tmp_path / "folder").making("x", None):
        pass

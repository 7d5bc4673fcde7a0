"""Compiled loops are kept where that can be done, and work where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
import numpy as np
from pipeline.compiling import compiled

@compiled()
def total(values):
    found = 0
    for value in values:
        found += value
    return found

@compiled("int64(int64)")
def doubled(value):
    return 2 * value

if __name__ == "__main__":
    print(total(np.arange(5)), doubled(4), total.stats.cache_hits.total() + doubled.stats.cache_hits.total())
"""


def totals(source: Path, **variables: str) -> str:
    """What a process prints that has loops compiled: their results, and how many of them had been kept."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), **variables}
    done = subprocess.run([sys.executable, source], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "code" / "loops.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    return path


def test_what_is_kept_is_taken_and_what_is_damaged_is_made_anew(source: Path, tmp_path: Path) -> None:
    caches = tmp_path / "caches"
    assert totals(source, NUMBA_CACHE_DIR=str(caches)) == "10 8 0"
    (index,) = caches.rglob("*total*.nbi")
    (code,) = caches.rglob("*doubled*.nbc")
    os.truncate(index, 0)
    os.truncate(code, 100)
    assert totals(source, NUMBA_CACHE_DIR=str(caches)) == "10 8 0"
    assert totals(source, NUMBA_CACHE_DIR=str(caches)) == "10 8 2"


def test_where_nothing_can_be_kept_they_are_compiled(source: Path, tmp_path: Path) -> None:
    """As for a service without a home folder of its own, which runs what an administrator installed."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    (source.parent / "__pycache__").touch()
    assert totals(source, NUMBA_CACHE_DIR="", HOME=str(in_the_way), XDG_CACHE_HOME=str(in_the_way)) == "10 8 0"


def test_a_full_disk_of_caches_stops_nothing(source: Path, tmp_path: Path) -> None:
    """Limited files stand for a full disk, or for the share that somebody has of one."""
    limited = tmp_path / "limited.py"
    limited.write_text(
        "import resource, runpy, signal, sys\n"
        "import numba.core.caching, pipeline.compiling\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        f"runpy.run_path({str(source)!r}, run_name='__main__')\n"
    )
    assert totals(limited, NUMBA_CACHE_DIR=str(tmp_path / "caches")) == "10 8 0"
    assert not list(tmp_path.rglob("*.nb?"))

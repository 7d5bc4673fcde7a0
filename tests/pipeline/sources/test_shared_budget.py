"""The budget of calls of several machines, on a PostgreSQL server of this test's own."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.sources.budget import CallBudget, SharedCallBudget, call_budget
from tests.postgres_server import VARIABLES, postgres

__all__ = ["postgres"]

SPENDER = """
import sys
from pathlib import Path
from pipeline.sources.budget import call_budget

budget = call_budget(Path(sys.argv[1]), "key", 40)
budget._sleep = lambda delay_s: sys.exit(0 if 3500 < delay_s <= 3600 else f"wait of {delay_s} s")
while True:
    budget.acquire()
    with budget.turn():
        print("call", flush=True)
"""


@pytest.mark.slow
def test_two_machines_together_make_no_more_calls_than_allowed(postgres: None, tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", SPENDER, str(tmp_path / name)] for name in ("a", "b")]
    machines = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    printed = [machine.communicate(timeout=120)[0].count("call") for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0]
    assert sum(printed) == 40
    assert call_budget(tmp_path, "key", 40).left() == 0
    assert call_budget(tmp_path, "other key", 40).left() == 40


def test_without_a_server_nobody_calls_uncounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert type(call_budget(tmp_path, "key", 40)) is CallBudget
    for name, value in {**VARIABLES, "PORT": "9"}.items():
        monkeypatch.setenv(f"BOKEHFLOW_POSTGRES_{name}", value)
    budget = call_budget(tmp_path, "key", 40)
    assert type(budget) is SharedCallBudget
    with pytest.raises(ConfigError, match=r"where calls are counted for all machines|bokehflow.postgres"):
        budget.acquire()

"""A process is known again, whatever the clock does."""

import os

import psutil
import pytest

from pipeline.training.jobs import ProcessIdentity


@pytest.mark.parametrize("step_s", [-3600.0, -1.0, 1.0, 3600.0])
def test_a_step_of_the_clock_kills_nobody(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    here = ProcessIdentity.current()
    true_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: true_time(process) + step_s)
    assert here.is_alive()
    assert ProcessIdentity.model_validate_json(here.model_dump_json()) == here


def test_a_later_process_of_the_same_number_is_another() -> None:
    here = ProcessIdentity.current()
    assert here.started_at_ticks is not None
    assert not here.model_copy(update={"started_at_ticks": here.started_at_ticks - 1}).is_alive()


def test_what_older_versions_wrote_goes_by_the_time() -> None:
    here = {"pid": os.getpid(), "started_at_s": psutil.Process().create_time()}
    assert ProcessIdentity.model_validate(here).is_alive()
    assert not ProcessIdentity.model_validate({**here, "started_at_s": here["started_at_s"] - 100}).is_alive()


def test_ticks_are_read_behind_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.training.jobs import _start_ticks

    fields = " ".join(["S", *map(str, range(4, 53))])
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: f"7 (a) b (c) {fields}\n".encode())
    assert _start_ticks(7) == 22

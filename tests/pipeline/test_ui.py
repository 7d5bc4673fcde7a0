"""What `bokehflow dev` does beside Dagster's parts."""

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from pipeline import ui
from pipeline.atomic import write_text
from pipeline.config import load_project
from pipeline.operations.links import HOME_LINK
from pipeline.operations.local_pages import with_local_pages
from storage import Home

PROJECT = "[domains.ordinary]\n[domains.shallow]\n"


def test_pages_are_of_the_project_as_its_file_says_it_now_or_said_last(tmp_path: Path) -> None:
    path = tmp_path / "bokehflow.toml"
    write_text(path, PROJECT)
    page = TestClient(with_local_pages(PlainTextResponse(""), ui.newest(load_project(path), path), Home(tmp_path)))
    write_text(path, f'{PROJECT}[project]\nname = "renamed"\n')
    assert "<bdi>renamed</bdi>" in page.get(HOME_LINK).text
    write_text(path, "[domains")
    assert "<bdi>renamed</bdi>" in page.get(HOME_LINK).text


def test_an_edited_project_file_is_loaded_anew_and_a_wrong_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said, reloaded, is_up = tmp_path / "bokehflow.toml", list[str](), list[object](), [True]
    write_text(path, PROJECT)
    monkeypatch.setattr(ui, "LOOK_AT_PROJECT_EVERY_S", 0.01)
    monkeypatch.setattr(ui, "reload_code", lambda workspace: (reloaded.append(workspace), is_up[0])[1])

    def until(reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not reached():
            assert time.monotonic() < deadline, said
            time.sleep(0.01)

    with ui.following(load_project(path), path, {"load_from": []}, said.append):
        write_text(path, f"# a remark\n{PROJECT}")
        time.sleep(0.1)
        assert (said, reloaded) == ([], [])
        write_text(path, f"{PROJECT}[dedupe]\nradius = 4\n")
        until(lambda: len(said) == 1)
        assert said[0].startswith("nothing is started until the project file is mended: ")
        assert "dedupe.radius: unknown key" in said[0]
        write_text(path, f"{PROJECT}[dedupe]\nradius_bits = 4\n")
        until(lambda: len(said) == 2)
        assert (said[1], reloaded) == (f"{path} was changed and is loaded anew", [{"load_from": []}])
        write_text(path, "[domains")
        until(lambda: len(said) == 3)
        write_text(path, f"{PROJECT}[dedupe]\nradius_bits = 4\n")
        until(lambda: len(said) == 4)
        assert (said[3], len(reloaded)) == (f"{path} is mended and says what it said before", 1)
        is_up[0] = False
        write_text(path, PROJECT)
        until(lambda: len(reloaded) > 3)
        is_up[0] = True
        until(lambda: len(said) == 5)
    count = len(reloaded)
    write_text(path, f"{PROJECT}[dedupe]\nradius_bits = 4\n")
    time.sleep(0.1)
    assert len(reloaded) == count


def test_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(wall=1_000_000.0, steady=50.0)
    monkeypatch.setattr(ui, "time", SimpleNamespace(time=lambda: now.wall, monotonic=lambda: now.steady))
    was_set_back = ui.SetBack()
    for wall_s, steady_s, expected in [
        (0.5, 0.5, False),
        (80_000, 1, False),
        (-3600, 1, True),
        (1, 1, False),
        (-2, 1, False),
    ]:
        now.wall, now.steady = now.wall + wall_s, now.steady + steady_s
        assert was_set_back() is expected


@pytest.mark.parametrize("set_back", [True, False])
def test_the_daemon_is_begun_anew_where_the_clock_was_set_back(
    set_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, settled, stopped = list[Path](), list[float](), threading.Event()

    def command(workspace: Path) -> list[str]:
        began.append(workspace)
        if len(began) > set_back:
            stopped.set()
        return [sys.executable, "-c", "import signal; signal.pause()"]

    monkeypatch.setattr(ui, "daemon_command", command)
    monkeypatch.setattr(ui, "settle_times", lambda instance, now_s: settled.append(now_s))
    monkeypatch.setattr(ui, "SetBack", lambda: lambda: set_back)
    with dg.DagsterInstance.ephemeral() as instance:
        assert ui.run_daemon(instance, tmp_path, stopped) == 0
    assert len(began) == len(settled) == 1 + set_back


def test_a_daemon_that_ends_by_itself_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "daemon_command", lambda workspace: [sys.executable, "-c", ""])
    told = threading.Event()
    monkeypatch.setattr(ui, "settle_times", lambda instance, now_s: None)
    with dg.DagsterInstance.ephemeral() as instance, ui.daemon(instance, tmp_path, told.set) as ended:
        assert told.wait(60)
    assert ended.is_set()


def test_records_of_old_runs_go_while_dev_is_open_whatever_went_wrong_the_day_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, all_gone = iter([OSError("the disk is full"), 50, 3, 0]), threading.Event()

    def delete(instance: object, home: Home) -> int:
        answer = next(answers, None)
        if isinstance(answer, OSError):
            raise answer
        if answer is None:
            all_gone.set()
        return answer or 0

    monkeypatch.setattr(ui, "delete_old_runs", delete)
    monkeypatch.setattr(ui, "TIDY_EVERY_S", 0.01)
    with dg.DagsterInstance.ephemeral() as instance, ui.tidying(instance, Home(tmp_path)):
        assert all_gone.wait(60)


def test_what_loads_is_interrupted_at_once_and_only_once() -> None:
    loaded = threading.Event()
    with ui.interruptible(lambda: not loaded.is_set()) as stopped:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stopped.is_set()
        signal.raise_signal(signal.SIGINT)  # which does not disturb what is being ended
    loaded.set()
    with ui.interruptible(lambda: not loaded.is_set()) as stopped:
        signal.raise_signal(signal.SIGTERM)
        assert stopped.is_set()

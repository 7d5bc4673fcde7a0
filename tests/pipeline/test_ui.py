"""What `bokehflow dev` does beside Dagster's parts."""

import time
from collections.abc import Callable
from pathlib import Path

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

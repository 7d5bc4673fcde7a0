"""The demo's world: its project file, its ports and its emulator."""

import socket
from pathlib import Path

import pytest
import requests

from pipeline.config import load_project
from pipeline.demo import emulated_flickr, emulator_ports, hand_in_decisions, prepare_demo
from storage import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_preparing_again_changes_nothing(home: Home) -> None:
    first = prepare_demo(home)
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    assert prepare_demo(home) == first
    assert {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()} == before


def test_ports_that_another_program_took_are_replaced_and_edits_stay(home: Home) -> None:
    taken = emulator_ports(prepare_demo(home))
    path = home.root / "bokehflow.toml"
    path.write_text(path.read_text() + "\n[curation]\nbatch_size = 7\n")
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", taken[0]))
        occupant.listen()
        project = prepare_demo(home)
    assert not set(emulator_ports(project)) & set(taken)
    assert project.curation.batch_size == 7


def test_an_emulator_that_runs_already_is_used(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.setenv(variable, "x")
    project = prepare_demo(home)
    with emulated_flickr(home, project):
        assert prepare_demo(home) == project
        with emulated_flickr(home, project):
            assert requests.get(project.flickr.endpoint, timeout=5).ok
        assert requests.get(project.flickr.endpoint, timeout=5).ok
    with pytest.raises(requests.ConnectionError):
        requests.get(project.flickr.endpoint, timeout=5)


def test_decisions_are_handed_in_once(home: Home) -> None:
    prepare_demo(home)
    hand_in_decisions(home)
    (handed,) = home.reviewed.iterdir()
    handed.write_text("photo_id,decision\n")
    hand_in_decisions(home)
    assert handed.read_text() == "photo_id,decision\n"


def test_the_demos_project_file_is_valid_and_local(home: Home) -> None:
    project = load_project(home.root / "bokehflow.toml") if prepare_demo(home) else None
    assert project is not None
    assert "127.0.0.1" in project.flickr.endpoint
    assert project.training.automatic == ["cyclegan", "mask_loss_overlay"]

"""The demo's world: its project file, its ports and its emulator."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter

from pipeline.config import load_project
from pipeline.curation.decisions import read_decisions
from pipeline.curation.queue import COLUMNS
from pipeline.demo import DEMO_CURATOR, accept_suggestions, hand_in_decisions, keep_everything, prepare_demo
from pipeline.emulators.flickr import Emulator
from pipeline.errors import ConfigError
from pipeline.hint_table import SUGGESTED
from pipeline.operations.emulated_flickr import emulated_flickr, emulator_answers, emulator_ports
from pipeline.package_files import PHOTOGRAPHS_PROJECT
from pipeline.spreadsheet import csv_text
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


def test_an_emulator_of_another_process_may_end_before_the_command_does(home: Home) -> None:
    project = prepare_demo(home)

    def answers() -> bool:
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=3))
            return session.get(project.flickr.endpoint, timeout=5).ok

    with ExitStack() as first:
        first.enter_context(emulated_flickr(home, project))
        assert prepare_demo(home) == project
        with emulated_flickr(home, project):
            assert all(answers() for _ in range(20))
            first.close()
            assert all(answers() for _ in range(20))
    assert not emulator_answers(project)


def test_an_emulator_that_shares_no_ports_is_used_as_it_is(home: Home) -> None:
    project = prepare_demo(home)
    port, image_port = emulator_ports(project)
    with Emulator(home.root / "collection", api_port=port, image_port=image_port) as emulator:
        with emulated_flickr(home, project):
            assert emulator_answers(project)
        assert emulator.calls["flickr.photos.licenses.getInfo"] == 2
        assert emulator_answers(project)


def test_ports_that_another_program_took_are_named(home: Home) -> None:
    project = prepare_demo(home)
    port, _ = emulator_ports(project)
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", port))
        with pytest.raises(ConfigError, match=f"port {port} or .* is taken"), emulated_flickr(home, project):
            pass


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


def queue_of(home: Home, rows: Mapping[str, tuple[str, ...]], without: str = "") -> None:
    """A batch whose photos have these suggested decisions, reasons and, where given, chances of being right."""
    home.review_queue.mkdir(parents=True, exist_ok=True)
    columns = [column for column in COLUMNS if column != without]
    lines = [columns]
    for photo_id, said in rows.items():
        told = dict(zip(("suggested_decision", "suggested_reason", "suggestion_probability"), said, strict=False))
        told |= {"photo_id": photo_id, "domain": "ordinary"}
        lines.append([told.get(column, "") for column in columns])
    (home.review_queue / "batch-0001-ordinary-1a2b3c4d.csv").write_text(csv_text(lines), encoding="utf-8-sig")


def test_suggestions_are_accepted_once_under_a_name_of_their_own(home: Home) -> None:
    suggested = {
        "folder:aa": ("keep", ""),
        "folder:bb": ("drop", "no_person"),
        "folder:cc": ("move", "shallow"),
        "folder:dd": ("", ""),
    }
    queue_of(home, suggested)
    assert "NOBODY LOOKED AT THESE PHOTOS" in accept_suggestions(home)
    decisions, problems = read_decisions(home.reviewed, set(suggested), {"ordinary", "shallow"})
    assert not problems
    found = {one.photo_id: (one.decision, one.reason, one.move_to, one.curator) for one in decisions}
    assert found == {
        "folder:aa": ("keep", None, None, SUGGESTED),
        "folder:bb": ("drop", "no_person", None, SUGGESTED),
        "folder:cc": ("move", None, "shallow", SUGGESTED),
        "folder:dd": ("keep", None, None, SUGGESTED),
    }
    (handed,) = home.reviewed.iterdir()
    handed.write_text("photo_id,decision\n")
    assert accept_suggestions(home) == "all photos were decided before"
    assert handed.read_text() == "photo_id,decision\n"


def test_rendered_pictures_are_all_kept_in_the_demos_name(home: Home) -> None:
    queue_of(home, {"folder:aa": ("drop", "no_person"), "folder:bb": ("", "")})
    keep_everything(home)
    keep_everything(home)
    decisions, problems = read_decisions(home.reviewed, {"folder:aa", "folder:bb"}, {"ordinary", "shallow"})
    assert not problems
    found = {(one.photo_id, one.decision, one.curator) for one in decisions}
    assert found == {("folder:aa", "keep", DEMO_CURATOR), ("folder:bb", "keep", DEMO_CURATOR)}


@pytest.mark.parametrize(("accept_from", "kept"), [(0.5, {"dd"}), (0.75, {"bb", "dd"}), (1.0, {"bb", "cc", "dd"})])
def test_a_suggestion_that_is_less_sure_than_asked_for_keeps_the_photo(
    home: Home, accept_from: float, kept: set[str]
) -> None:
    chances = {"aa": ("drop", "no_person", ""), "bb": ("drop", "unfit_blur", "0.6"), "cc": ("move", "shallow", "0.9")}
    queue_of(home, {**chances, "dd": ("", "", "")})
    accept_suggestions(home, accept_from)
    decisions, _ = read_decisions(home.reviewed, {*chances, "dd"}, {"ordinary", "shallow"})
    assert {one.photo_id for one in decisions if one.decision == "keep"} == kept


def test_a_batch_of_an_older_version_without_chances_is_accepted_as_ever(home: Home) -> None:
    queue_of(home, {"folder:aa": ("drop", "unfit_blur")}, without="suggestion_probability")
    accept_suggestions(home)
    decisions, _ = read_decisions(home.reviewed, {"folder:aa"}, {"ordinary", "shallow"})
    assert [one.reason for one in decisions] == ["unfit_blur"]


def test_the_project_file_for_photographs_is_valid(home: Home) -> None:
    home.root.mkdir(parents=True)
    (home.root / "bokehflow.toml").write_text(PHOTOGRAPHS_PROJECT.read_text())
    project = load_project(home.root / "bokehflow.toml")
    assert project.training.automatic == ["one_sided"]
    assert project.recipe_keys() == ["one_sided@0"]

"""`bokehflow init`: a project file that is read again, and nothing lost."""

import re
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import cli
from pipeline.commands.beginning import FIRST
from pipeline.config import Domain, load_project, parse_project
from pipeline.errors import ConfigError
from pipeline.operations.new_project import name_from, project_text, write_project
from pipeline.package_files import PROJECT_FILE, SETTINGS_PAGE, STARTING_PROJECTS

SOURCES = list(STARTING_PROJECTS)


@pytest.mark.parametrize("source", SOURCES)
def test_the_project_is_the_studys_under_the_folders_name(tmp_path: Path, source: str) -> None:
    written = load_project(write_project(tmp_path / "new" / "My Portraits", source=source))
    assert written.project.name == "my_portraits"
    assert {domain.source for domain in written.domains.values()} == {source}
    study = load_project(STARTING_PROJECTS[source])
    name = written.project.model_copy(update={"name": study.project.name})
    assert written.model_copy(update={"project": name}) == study


@pytest.mark.parametrize("source", SOURCES)
def test_comments_stay(source: str) -> None:
    lines = STARTING_PROJECTS[source].read_text().splitlines()
    changed = [line for line in project_text("mine", source).splitlines() if line not in lines]
    assert [line.partition("#")[0].strip() for line in changed] == ['name = "mine"']


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_commented_out_is_valid_too(source: str) -> None:
    text = project_text("mine", source)
    opened = re.sub(r"(?m)^# (\w+ = )", r"\1", text)
    assert parse_project(opened, Path("x")) != parse_project(text, Path("x")) or opened == text


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_any_folder_gives_a_usable_name(folder: str) -> None:
    assert parse_project(project_text(name_from(folder)), Path("x")).project.name == name_from(folder)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / PROJECT_FILE).symlink_to("nowhere")
    with pytest.raises(ConfigError, match="there is a project file already"):
        write_project(tmp_path)
    assert (tmp_path / PROJECT_FILE).is_symlink()


@pytest.mark.parametrize("name", ['a"\nb = 1', "A b", "é", "1"])
def test_a_name_that_cannot_be_used_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="not a usable name"):
        write_project(tmp_path / "new", name)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/new: a project cannot be written there"):
        write_project(tmp_path / "file" / "new")


def test_the_command_says_what_comes_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "a folder"), "--name", "mine"])
    assert done.exit_code == 0, done.output
    assert f"cd '{tmp_path}/a folder'" in done.output
    assert "bokehflow doctor" in done.output
    assert str(SETTINGS_PAGE) in done.output
    assert load_project(tmp_path / "a folder" / PROJECT_FILE).project.name == "mine"


def test_every_source_says_what_it_wants() -> None:
    assert FIRST.keys() == STARTING_PROJECTS.keys() == set(get_args(Domain.model_fields["source"].annotation))

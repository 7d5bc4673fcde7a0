"""What `bokehflow doctor` says without asking anybody."""

from pathlib import Path

import pytest

from pipeline.config import parse_project
from pipeline.operations.doctor import examine
from resources.sources import budget_of
from storage import Home

PROJECT = """
[project]
contact = "lab@example.org"
[flickr]
endpoint = "http://127.0.0.1:1/"
calls_per_hour = 1
[commons]
endpoint = "http://127.0.0.1:1/"
calls_per_hour = 1
[domains.ordinary]
queries = [{ text = "portrait" }]
[domains.shallow]
source = "commons"
queries = [{ text = "portrait bokeh" }]
"""


def test_where_the_calls_of_the_hour_are_spent_nobody_is_asked_or_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET"):
        monkeypatch.setenv(variable, "x")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"it waits {seconds} s"))
    project, home = parse_project(PROJECT, tmp_path / "bokehflow.toml"), Home(tmp_path)
    for source in ("flickr", "commons"):
        budget_of(project, source, home).acquire()
    said = {one.what: one for one in examine(project, home, None)}
    for what in ("Flickr", "Commons"):
        assert said[what].found == "not asked; 0 of 1 calls left this hour"
        assert not said[what].is_fatal


def test_a_project_without_recipes_is_said_to_have_none(tmp_path: Path) -> None:
    path = tmp_path / "bokehflow.toml"
    project = parse_project("[domains.ordinary]\n[domains.shallow]\n", path)
    assert examine(project, Home(tmp_path), path)[0].found == f"{path}: domains ordinary, shallow; recipes none"


@pytest.mark.parametrize(("stored_px", "said"), [(256, []), (128, ["trains at 256 px; snapshots hold pictures of 128"])])
def test_a_recipe_is_named_for_which_the_next_snapshots_pictures_are_too_small(
    tmp_path: Path, stored_px: int, said: list[str]
) -> None:
    text = f"""[domains.ordinary]\n[domains.shallow]\n[dataset]\nsize_px = {stored_px}\n[training]\nautomatic = ["large"]
[recipes]\nlarge = {{ model = "cyclegan" }}\nby_hand = {{ model = "cyclegan" }}\n"""
    found = examine(parse_project(text, tmp_path / "bokehflow.toml"), Home(tmp_path), None)
    assert [(one.what, one.found) for one in found if "recipe" in one.what] == [("recipe large", told) for told in said]

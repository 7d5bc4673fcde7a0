"""What `bokehflow status` says of the reviewed CSVs and of the double review."""

import json
from pathlib import Path

from pipeline.config import parse_project
from pipeline.operations.made_from import made_from
from pipeline.operations.status import status, summary
from storage import Home
from tests.pipeline.curation.worlds import reviewed, unique_table

PROJECT = "[domains.ordinary]\n[domains.shallow]\n[curation]\ndouble_review = 1.0\n"


def _home(root: Path) -> Home:
    home, unique = Home(root), unique_table([0, 1, 2, 11])
    home.tables.write("unique_photos", unique)
    home.tables.path("photo_history").parent.mkdir(parents=True, exist_ok=True)
    unique[["photo_id"]].to_parquet(home.tables.path("photo_history"))  # as of before there was more to know
    return home


def test_notes_on_decisions_agreement_and_conflicts_are_told(tmp_path: Path) -> None:
    home = _home(tmp_path)
    reviewed(home.reviewed, "photo_id,decision,curator\n0,keep,Ann\n1,keep,Ann\n11,keep,Ann\n", "ann.csv")
    reviewed(home.reviewed, "photo_id,decision,reason,curator\n0,keep,,Ben\n1,drop,edited,Ben\n7,kep,,Ben\n", "ben.csv", 2)
    reviewed(home.reviewed / "old", "photo_id,decision,curator\n0,keep,Ann\n1,keep,Ann\n11,keep,Ann\n", "ann.csv", 3)
    reviewed(home.reviewed / "old", "notes", "readme.md")
    project = parse_project(PROJECT, tmp_path / "bokehflow.toml")
    found = status(project, home)
    assert json.loads(json.dumps(found)) == found
    assert [note.split(": ")[-1] for note in found["decisions"]["notes"]] == [
        "it is no CSV", "a copy of ann.csv, byte for byte"
    ]  # fmt: skip
    assert len(found["decisions"]["wrong"]) == 1
    double = found["double_review"]
    assert (double["undecided"], double["decided_by_one"], double["decided_by_more"]) == (1, 1, 2)
    assert double["agreement"] == {"photos": 2, "agreeing": 1, "kappa": 0.0}
    assert list(double["conflicts"]) == ["flickr:1"]
    said = summary(found)
    for line in ("noted 2:", "wrong 1:", "in all 1 of 2, kappa 0.00; ordinary 1 of 2, kappa 0.00", "conflicts 1:"):
        assert line in said
    assert made_from(project, home)["double_review"] == {"photos": 2, "agreeing": 1, "kappa": 0.0}


def test_without_double_review_nothing_is_said_of_it(tmp_path: Path) -> None:
    home = _home(tmp_path)
    project = parse_project(PROJECT.replace("1.0", "0"), tmp_path / "bokehflow.toml")
    found = status(project, home)
    assert (found["double_review"], found["decisions"]) == ({}, {"wrong": [], "notes": []})
    assert "double" not in summary(found)
    assert "double_review" not in made_from(project, home)

"""What `bokehflow status` says of the reviewed CSVs and of the double review."""

import json
from pathlib import Path

import pytest

from pipeline.config import parse_project
from pipeline.operations import curation
from pipeline.operations.curation import make_curated, review_state
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


def test_what_the_csvs_came_to_is_kept_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, project = _home(tmp_path), parse_project(PROJECT, tmp_path / "bokehflow.toml")
    ids = home.tables.read("photo_history")["photo_id"]
    seen = dict.fromkeys(["first_seen_s", "last_seen_s"], 0) | dict.fromkeys(["title", "tags"], "")
    flags = dict.fromkeys(["stricter", "absent", "forgotten"], False)
    home.tables.write("photo_history", ids.to_frame().assign(**seen, **flags))
    said = "photo_id,decision,curator\n0,keep,Ann\n1,kep,Ann\n0,drop,Ben\n"
    reviewed(home.reviewed, said, "ann.csv")
    anew = review_state(project, home)
    assert not home.kept_review.exists(), "who only looks writes nothing"
    make_curated(project, home)
    with monkeypatch.context() as patched:
        patched.setattr(curation, "reviewed", lambda *_: pytest.fail("the CSVs are read again"))
        assert review_state(project, home) == anew
    home.kept_review.write_bytes(home.kept_review.read_bytes()[:-9])
    assert review_state(project, home) == anew
    make_curated(project, home)
    reviewed(home.reviewed, said.replace("kep,", "keep,"), "ann.csv")
    assert review_state(project, home)["wrong"] != anew["wrong"]
    reviewed(home.reviewed, "photo_id,decision,decided_at\n2,keep,2999-01-01T00:00:00Z\n", "late.csv")
    make_curated(project, home)
    assert not home.kept_review.exists(), "a time in the future comes by itself"

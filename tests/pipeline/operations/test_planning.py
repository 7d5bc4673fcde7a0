"""The planner on a home that version 0.1 made, which kept a digest where the provenance now stands."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from assets.headless import open_instance
from assets.records import InstanceRecords
from pipeline.config import load_project
from pipeline.dataset.layout import list_snapshots
from pipeline.headless import told_plan
from pipeline.operations.imports import drop_former_imports, imported_rows
from pipeline.operations.photo_tables import all_rows, rows_of_photos
from pipeline.operations.planning import Plan, Planner
from pipeline.operations.stages import provenance_of
from pipeline.tables import among
from storage import Home

FORMER_HOME = Path(__file__).parents[2] / "fixtures" / "home-0.1.tar.xz"
"""Twelve rendered portraits, nine listed and three imported, from the listing to a report; the models are made up."""
SNAPSHOT = "774d51d5797e05eb"


@dataclass
class Former:
    """A copy of that home."""

    home: Home
    planner: Planner

    def edited(self, before: str, after: str) -> Planner:
        """The planner after an edit of the project file."""
        path = self.home.root / "bokehflow.toml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        return Planner(load_project(path), self.home, self.home.root, self.planner.records)


@pytest.fixture
def former(tmp_path: Path) -> Iterator[Former]:
    with tarfile.open(FORMER_HOME) as archive:
        archive.extractall(tmp_path, filter="data")
    home = Home(tmp_path)
    with open_instance(home) as instance:
        project = load_project(tmp_path / "bokehflow.toml")
        yield Former(home, Planner(project, home, tmp_path, InstanceRecords(instance)))


def test_a_home_of_version_0_1_wants_nothing_and_keeps_its_snapshot(former: Former) -> None:
    outlook = former.planner.outlook()
    assert (outlook.due, outlook.waiting) == ([], [])
    assert list_snapshots(former.home.snapshots) == [SNAPSHOT]


def test_who_only_asks_does_not_wait_for_torch(former: Former) -> None:
    """A finished and judged model is among what is asked about; `dev` asks every few seconds."""
    code = """
import sys
from pathlib import Path
from pipeline.config import load_project
from pipeline.headless import told_plan
from pipeline.operations.planning import Plan
from pipeline.tables import among
from storage import Home
path = Path(sys.argv[1]) / "bokehflow.toml"
print(told_plan(Plan(), load_project(path), path, Home(path.parent)), "torch" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(former.home.root)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "nothing is due False\n"


def test_the_plan_of_a_home_that_may_not_be_written_is_told_and_nothing_changes(
    former: Former, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, project = former.home, former.planner.project
    monkeypatch.setattr("assets.headless.open_instance", lambda home: pytest.fail("SQLite would write there"))
    monkeypatch.setattr(Home, "is_read_only", True)
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*")}
    path = home.root / "bokehflow.toml"
    assert told_plan(Plan(), project, path, home) == "nothing is due"
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*")} == before


def test_what_changes_in_it_is_due_as_anywhere(former: Former) -> None:
    blob = next(former.home.blobs.root.glob("??/*"))
    blob.unlink()
    lost = [str(due) for due in former.planner.outlook().due]
    assert len(lost) == 1
    assert lost[0].endswith(": 1 file is missing") or lost[0].endswith(": 1 file has come or gone")
    planner = former.edited("min_kept_per_domain = 2", "min_kept_per_domain = 3")
    assert {due.asset for due in planner.outlook().due} >= {"review_queue", "curated_photos"}
    assert "an older version kept no record" in str(planner.outlook().due[-1])


def test_a_table_made_anew_tells_its_reasons(former: Former) -> None:
    project, tables = former.planner.project, former.home.tables
    tables.write("unique_photos", tables.read("unique_photos"), None, provenance_of(project, former.home, "unique_photos"))
    (due,) = former.planner.outlook().due
    assert str(due) == "`unique_photos`: Dagster has no record of it"
    planner = former.edited("[curation]", "[dedupe]\nradius_bits = 8\n[curation]")
    assert str(planner.outlook().due[0]) == "`unique_photos`: `dedupe.radius_bits` 6 → 8"


def test_imported_photos_move_into_their_own_table_and_say_the_same(former: Former) -> None:
    project, home = former.planner.project, former.home
    names = ("photo_listing", "photo_files", "fingerprints")
    before = {name: all_rows(project, home, name) for name in names}
    asked, some = ["photo_id", "owner_name"], set(before["photo_listing"]["photo_id"].iloc[[0, 2, -1]])
    of_some = before["photo_listing"].loc[lambda rows: among(rows["photo_id"], some), asked].reset_index(drop=True)
    assert of_some["photo_id"].iloc[-1] in set(home.tables.read("photo_listing", "shallow|imported")["photo_id"])
    assert rows_of_photos(project, home, "photo_listing", some, asked).equals(of_some)
    assert len(home.tables.read("photo_listing", "shallow|imported")) == 3
    home.tables.write("imported_photos", imported_rows(project, home))
    drop_former_imports(home)
    assert not [key for name in names for key in home.tables.partitions(name) if key.endswith("imported")]
    for name in names:
        after = all_rows(project, home, name)
        assert after[before[name].columns].astype(str).equals(before[name].astype(str)), name
    assert rows_of_photos(project, home, "photo_listing", some, asked).astype(str).equals(of_some.astype(str))
    assert rows_of_photos(project, home, "photo_listing", set(), asked).empty


def test_a_former_home_into_which_nothing_was_imported_is_read(former: Former) -> None:
    project, home = former.planner.project, former.home
    imported = home.tables.path("imported_photos")
    pq.write_table(pq.read_table(imported).slice(0, 0), imported)
    assert "refused_by" not in home.tables.columns("imported_photos")
    names = ("photo_listing", "photo_files", "fingerprints")
    for name in names:
        home.tables.remove(name, "shallow|imported")
        rows = all_rows(project, home, name)
        assert len(rows) == 9
        some = set(rows["photo_id"].iloc[:2])
        assert set(rows_of_photos(project, home, name, some, ["photo_id"])["photo_id"]) == some
    assert "unique_photos" in {due.asset for due in former.planner.outlook().due}

"""The stage as a whole: queue, decisions, curated photos, materialised in a small home."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from assets.curation import curation_assets
from pipeline.config import Project
from pipeline.curation.decisions import Verdict, append_decision
from pipeline.operations.planning import Planner, Scope
from resources.home import HomeResource
from resources.segmenter import SegmenterResource
from storage import Home
from tests.picture_home import home_of_pictures

PHOTOS = 8


class Everybody:
    """A segmenter that finds a person in the middle of every picture but the dark ones."""

    name, version = "everybody", "1"
    asked = 0

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        Everybody.asked += len(pictures)
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: np.ndarray) -> np.ndarray:
        alpha = np.zeros(picture.shape[:2], np.uint8)
        if picture.mean() > 20:
            alpha[picture.shape[0] // 4 :, picture.shape[1] // 4 : -picture.shape[1] // 4] = 255
        return alpha


class EverybodyResource(SegmenterResource):
    """Needs no weights."""

    def load(self, home: Home) -> Everybody:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Everybody()


def _project(**curation: object) -> Project:
    queries = [{"text": "portrait"}]
    return Project.model_validate({
        "domains": {"ordinary": {"queries": queries}, "shallow": {"queries": queries}},
        "collect": {"from": "2024-01", "to": "2024-01"}, "curation": {"min_kept_per_domain": 1, **curation},
    })  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which everything before curation has run; photo 0 is nearly black, 1 is grey."""
    return home_of_pictures(tmp_path, PHOTOS)


def run(home: Home, project: Project, *names: str) -> dg.ExecuteInProcessResult:
    resources = {"home": HomeResource(root=str(home.root)), "segmenter": EverybodyResource(project.masks)}
    assets = curation_assets(project)
    keys = [dg.AssetKey(name) for name in names]
    return dg.materialize(assets, resources=resources, selection=keys, raise_on_error=False)


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    events = [event for event in result.all_events if event.event_type_value == "ASSET_CHECK_EVALUATION"]
    found = [event.asset_check_evaluation_data for event in events]
    return {check.check_name: str(check.description) for check in found if not check.passed}


def test_from_the_queue_to_the_curated_photos(home: Home) -> None:
    project = _project()
    assert run(home, project, "photo_hints", "review_queue").success
    queue = home.tables.read("review_queue").set_index("photo_id")
    assert len(queue) == PHOTOS
    assert queue.loc["flickr:0", ["suggested_decision", "suggested_reason"]].tolist() == ["drop", "no_person"]
    assert queue.loc["flickr:1", ["suggested_decision", "suggested_reason"]].tolist() == ["drop", "edited"]
    assert all((home.thumbnails / name).exists() for name in queue["thumbnail"])
    assert not home.hints_journal.exists()
    asked = Everybody.asked
    page = home.reviewed / "ann.csv"
    append_decision(page, "flickr:0", Verdict("drop", "no_person"), curator="Ann")
    for n in (2, 3, 5, 6):
        append_decision(page, f"flickr:{n}", Verdict("keep"), curator="Ann")
    append_decision(home.reviewed / "ben.csv", "flickr:6", Verdict("drop", "unfit_blur"), curator="Ben")
    result = run(home, project, "curated_photos")
    assert result.success
    assert set(failed_checks(result)) == {"curators_agree"}
    assert (
        "flickr:6: drop by Ben (ben.csv, row 2) counts; otherwise said Ann: flickr:6 keep"
        in failed_checks(result)["curators_agree"]
    )
    curated = home.tables.read("curated_photos").set_index("photo_id")
    assert curated["decision"].to_dict() == {
        "flickr:0": "drop", "flickr:2": "keep", "flickr:3": "keep", "flickr:5": "keep", "flickr:6": "drop",
    }  # fmt: skip
    assert run(home, project, "photo_hints", "review_queue").success
    again = home.tables.read("review_queue").set_index("photo_id")
    assert again["waiting"].sum() == 3
    assert Everybody.asked == asked


def test_a_bad_row_holds_the_curated_photos_back_and_a_torn_one_does_not(home: Home) -> None:
    project = _project()
    for n in (2, 5):
        append_decision(home.reviewed / "ann.csv", f"flickr:{n}", Verdict("keep"), curator="Ann")
    path = home.reviewed / "ann.csv"
    whole = path.read_bytes()
    path.write_bytes(whole + b"flickr:3,dro")
    result = run(home, project, "curated_photos")
    assert result.success
    assert not failed_checks(result)
    (home.reviewed / "ben.csv").write_text("photo_id,decision\nflickr:99,keep\nflickr:3,keep\n")
    assert failed_checks(run(home, project, "curated_photos"))["decisions_valid"].startswith("ben.csv, row 2: photo_id")
    assert "flickr:3" in set(home.tables.read("curated_photos")["photo_id"])


class AllRecorded:
    """Records of an instance that knows everything; every check passed but those that failed."""

    failed: dict[str, str]

    def made_at_s(self, asset: str, partition: str | None) -> float:
        return float("inf")

    def failed_checks(self, asset: str, checks: Sequence[str]) -> dict[str, str]:
        return self.failed if asset == "curated_photos" else {}

    def partitions(self, asset: str) -> set[str]:
        return set()


def test_who_was_decided_before_the_queue_was_made_is_queued_when_that_is_taken_back(home: Home) -> None:
    project = _project()
    records = AllRecorded()
    planner, records.failed = Planner(project, home, home.root, records), {}

    def why_due() -> list[str]:
        return [due.why for due in planner.of_all(Scope([])).due if due.asset == "review_queue"]

    for n in range(PHOTOS):
        append_decision(home.reviewed / "ann.csv", f"flickr:{n}", Verdict("keep"), curator="Ann")
    assert run(home, project, "photo_hints", "review_queue", "curated_photos").success
    assert (len(home.tables.read("review_queue")), why_due()) == (0, [])
    for n in (2, 3):
        append_decision(home.reviewed / "ann.csv", f"flickr:{n}", Verdict("skip"), curator="Ann")
    assert run(home, project, "curated_photos").success
    assert why_due() == ["photos that nobody decides any more are in no batch: 2"]
    assert run(home, project, "review_queue").success
    assert sorted(home.tables.read("review_queue")["photo_id"]) == ["flickr:2", "flickr:3"]
    records.failed = {"enough_kept": "ordinary: 0 photos kept"}
    assert why_due() == []
    assert [waiting.asset for waiting in planner.of_all(Scope([], until="curated_photos")).waiting] == ["curated_photos"]
    assert run(home, project, "curated_photos").success
    assert why_due() == []


def test_decisions_that_change_once_more_are_another_wish(home: Home) -> None:
    project = _project()
    records = AllRecorded()
    planner, records.failed = Planner(project, home, home.root, records), {}

    def wished() -> tuple[str, str]:
        (due,) = (one for one in planner.of_all(Scope([])).due if one.asset == "curated_photos")
        return due.why, due.version

    for n in range(PHOTOS):
        append_decision(home.reviewed / "ann.csv", f"flickr:{n}", Verdict("keep"), curator="Ann")
    assert run(home, project, "photo_hints", "review_queue", "curated_photos").success
    found = []
    for n in range(2):
        append_decision(home.reviewed / "ann.csv", f"flickr:{n}", Verdict("skip"), curator="Ann")
        found.append(wished())
        assert wished() == found[-1]
    (first, version), (second, other) = found
    assert first == second == "the reviewed decisions changed"
    assert version != other


def test_a_rule_decides_and_what_it_decides_is_not_queued(home: Home) -> None:
    rule = {"name": "nobody", "hint": "person_share", "below": 0.01, "reason": "no_person"}
    project = _project(rules=[rule])
    assert run(home, project, "photo_hints", "review_queue").success
    assert "flickr:0" not in set(home.tables.read("review_queue")["photo_id"])
    run(home, project, "curated_photos")
    (row,) = home.tables.read("curated_photos").to_dict("records")
    assert (row["photo_id"], row["decision"], row["curator"]) == ("flickr:0", "drop", "rule:nobody")
    assert run(home, _project(), "photo_hints", "review_queue").success
    assert "flickr:0" in set(home.tables.read("review_queue")["photo_id"])


def test_a_batch_that_was_filled_in_where_it_lies_is_reported(home: Home) -> None:
    run(home, _project(), "photo_hints", "review_queue")
    path = sorted(home.review_queue.glob("*.csv"))[0]
    path.write_text("photo_id,decision\nflickr:2,keep\n")
    assert path.name in failed_checks(run(home, _project(), "photo_hints", "review_queue"))["batches_are_as_written"]

"""Which snapshot is the newest: told by what each records, whatever files and clocks say."""

import json
import os
from pathlib import Path

import pytest

from pipeline.dataset import layout
from pipeline.dataset.layout import FACTS, LATEST_S, frozen_s, list_snapshots
from tests.pipeline.dataset.frozen_world import World


@pytest.fixture
def ids(tmp_path: Path) -> list[str]:
    """Of three snapshots of the world at `tmp_path`, the first frozen first."""
    world = World(tmp_path)
    return [world.freeze(range(1, count)) for count in (9, 11, 13)]


def _touched(tmp_path: Path, ids: list[str]) -> None:
    """As a copy by `cp -r` or git leaves them."""
    for index, identifier in enumerate(ids):
        os.utime(tmp_path / "snapshots" / identifier / FACTS, (1_700_000_000 - index, 1_700_000_000 - index))


def test_a_copy_whose_files_have_other_times_has_the_same_newest_snapshot(tmp_path: Path, ids: list[str]) -> None:
    _touched(tmp_path, ids)
    assert list_snapshots(tmp_path / "snapshots") == ids[::-1]


def test_a_clock_that_went_back_makes_no_older_snapshot(
    tmp_path: Path, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout.time, "time", lambda: 1_000_000_000.0)
    last = World(tmp_path).freeze(range(1, 15))
    assert list_snapshots(tmp_path / "snapshots") == [last, *ids[::-1]]


@pytest.mark.parametrize("recorded", [None, "now", 0.0, -1.0, LATEST_S, 1e300, 17, True, [1.0]])
def test_files_tell_of_snapshots_that_record_no_time(tmp_path: Path, ids: list[str], recorded: object) -> None:
    for identifier in ids:
        path = tmp_path / "snapshots" / identifier / FACTS
        path.chmod(0o600)
        facts = json.loads(path.read_text())
        del facts["frozen_s"]
        path.write_text(json.dumps(facts if recorded is None else {**facts, "frozen_s": recorded}))
    _touched(tmp_path, ids)
    assert list_snapshots(tmp_path / "snapshots") == ids
    (tmp_path / "snapshots" / ids[0] / FACTS).write_text("[" * 100_000)
    _touched(tmp_path, ids)
    assert list_snapshots(tmp_path / "snapshots") == ids
    assert frozen_s(tmp_path / "snapshots" / ids[1]) == 1_699_999_999


def test_a_file_of_a_time_that_none_can_be_leaves_room_for_later_snapshots(tmp_path: Path, ids: list[str]) -> None:
    path = tmp_path / "snapshots" / ids[0] / FACTS
    facts = json.loads(path.read_text())
    path.chmod(0o600)
    path.write_text(json.dumps({**facts, "frozen_s": None}))
    os.utime(path, (2 * LATEST_S, 2 * LATEST_S))
    if path.stat().st_mtime < LATEST_S:
        pytest.skip("no file here can be of so late a time")
    last = World(tmp_path).freeze(range(1, 15))
    assert list_snapshots(tmp_path / "snapshots")[:2] == [last, ids[0]]

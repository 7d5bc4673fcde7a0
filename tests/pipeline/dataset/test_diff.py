"""What changed between two snapshots, and why."""

from pathlib import Path

import pytest

from pipeline.dataset.diff import Change, diff_snapshots, explained
from pipeline.dataset.forget import forget_in_snapshots
from pipeline.dataset.snapshot import freeze
from tests.pipeline.dataset.frozen_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "home")


def test_photos_that_came_and_went_are_named(world: World) -> None:
    a, b = world.freeze(range(1, 13)), world.freeze([n for n in range(1, 15) if n != 4])
    diff = diff_snapshots(world.snapshots, a, b)
    assert [(change.photo_id, change.kind) for change in diff.changes] == [
        ("flickr:13", "came"), ("flickr:14", "came"), ("flickr:4", "went"),
    ]  # fmt: skip
    assert diff.unchanged == 11
    assert diff.counts() == {"came": 2, "went": 1, "moved_domain": 0, "moved_split": 0, "changed": 0}
    told = explained(diff, {"flickr:4": "drop (edited); decided in b.csv, row 7, Bo"})
    assert told.changes[2] == Change("flickr:4", "went", "shallow, train", "drop (edited); decided in b.csv, row 7, Bo")
    assert diff_snapshots(world.snapshots, a, a).changes == ()


def test_a_changed_mask_and_a_changed_file_are_told_apart(world: World) -> None:
    a, b = world.freeze(range(1, 13)), world.freeze(range(1, 13), alphas={5: 99})
    (change,) = diff_snapshots(world.snapshots, a, b).changes
    assert (change.photo_id, change.kind, change.what) == ("flickr:5", "changed", "alpha")
    assert "another segmenter" in change.why


def test_moves_between_domains_and_sides_are_told_apart(world: World) -> None:
    manifest = world.manifest(world.images(range(1, 13)))
    a = freeze(manifest, world.snapshots, world.shards).name
    moved = manifest.copy()
    at = moved.index[moved["photo_id"] == "flickr:6"]
    moved.loc[at, "domain"] = "ordinary"
    merged = moved.index[(moved["photo_id"] == "flickr:9")]
    moved.loc[merged, ["split", "split_key"]] = [
        "test" if (moved.loc[merged, "split"] == "train").all() else "train",
        "flickr:1",
    ]
    other = moved.index[moved["photo_id"] == "flickr:8"]
    moved.loc[other, "split"] = moved.loc[other, "split"].map({"train": "test", "test": "train"})
    b = freeze(moved, world.snapshots, world.shards).name
    first, third, second = diff_snapshots(world.snapshots, a, b).changes
    assert (first.photo_id, first.kind, first.what) == ("flickr:6", "moved_domain", "shallow → ordinary")
    assert (second.photo_id, second.kind) == ("flickr:9", "moved_split")
    assert second.why == "its near-duplicates now go with those of flickr:1, before flickr:9"
    assert (third.photo_id, third.kind) == ("flickr:8", "moved_split")
    assert third.why.startswith("the split of [dataset] was changed")


def test_a_forgotten_photo_is_said_to_be_forgotten(world: World) -> None:
    a, b = world.freeze(range(1, 13)), world.freeze(range(2, 13))
    forget_in_snapshots(world.snapshots, world.shards, {"flickr:1"}, 5)
    (change,) = diff_snapshots(world.snapshots, a, b).changes
    assert (change.photo_id, change.kind, change.why) == ("flickr:1", "went", "forgotten on request")

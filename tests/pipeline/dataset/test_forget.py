"""A forgotten photo leaves every shard and keeps nothing but its tombstone, however often the work is interrupted."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.dataset import forget
from pipeline.dataset.forget import forget_in_snapshots
from pipeline.dataset.layout import ATTRIBUTION, CANONICAL, MANIFEST, SUMS, list_snapshots, read_forgotten
from pipeline.dataset.manifest import ORIGIN
from pipeline.dataset.shards import ShardReader
from pipeline.dataset.snapshot import all_rows, read_manifest, read_snapshot
from pipeline.dataset.verify import verify_snapshot
from pipeline.errors import DatasetError
from pipeline.tables import among
from tests.pipeline.dataset.frozen_world import World, picture

GONE = "flickr:7"


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("frozen"))
    world.freeze(range(1, 13))
    world.freeze(range(1, 17))
    world.freeze([n for n in range(1, 17) if n != 7])
    return world


@pytest.fixture
def world(frozen: World, tmp_path: Path) -> World:
    return World(shutil.copytree(frozen.root, tmp_path / "home"))


def everything(world: World) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(world.root.rglob("*")) if path.is_file())


def check_forgotten(world: World) -> None:
    pixels = picture(7).rgb.tobytes()
    assert pixels not in everything(world)
    for identifier in list_snapshots(world.snapshots):
        found = verify_snapshot(world.snapshots, identifier, world.shards)
        assert found.sound, found.findings
        pictures = read_snapshot(world.snapshots, identifier)
        reader = ShardReader([world.shards / name for name in pictures["shard"]], pictures["row"].tolist())
        numbers = [int(photo_id.split(":")[1]) for photo_id in pictures["photo_id"]]
        np.testing.assert_array_equal(reader.batch(np.arange(len(numbers)))[0], [picture(n).rgb for n in numbers])
        assert GONE not in set(pictures["photo_id"])


def test_pixels_owner_and_title_go_and_digests_stay(world: World) -> None:
    ids = list_snapshots(world.snapshots)
    before = {name: (world.snapshots / name / CANONICAL).read_bytes() for name in ids}
    shards = {path.name for path in world.shards.iterdir()}
    touched = forget_in_snapshots(world.snapshots, world.shards, {GONE, "flickr:404"}, at_s=1_700_000_000)
    assert len(touched) == 2
    assert list_snapshots(world.snapshots) == ids
    assert {name: (world.snapshots / name / CANONICAL).read_bytes() for name in ids} == before
    check_forgotten(world)
    assert len(shards & {path.name for path in world.shards.iterdir()}) == len(shards) - 1
    for name in touched:
        tomb = read_manifest(world.snapshots, name).set_index("photo_id").loc[GONE]
        assert tomb["forgotten"]
        assert tomb[ORIGIN].isna().all()
        assert tomb["pixels_sha256"] == picture(7).pixels_sha256
        assert read_forgotten(world.snapshots / name) == {GONE: 1_700_000_000}
        shown = pd.read_csv(world.snapshots / name / ATTRIBUTION)
        assert GONE not in set(shown["photo_id"])
        assert pq.read_metadata(world.snapshots / name / MANIFEST).num_rows == len(shown) + 1
        assert verify_snapshot(world.snapshots, name, world.shards).forgotten == {GONE: 1_700_000_000}
    again = everything(world)
    forget_in_snapshots(world.snapshots, world.shards, {GONE}, at_s=1_800_000_000)
    assert everything(world) == again


@pytest.mark.parametrize("step", range(9))
def test_interrupted_anywhere_it_is_finished_by_the_next_run(
    world: World, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def dying(name: str) -> None:
        original = getattr(forget, name)

        def call(*arguments: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls > step:
                raise KeyboardInterrupt
            return original(*arguments, **named)

        monkeypatch.setattr(forget, name, call)

    for name in ("_bury", "write_shard", "erase_origin", "leave_shards"):
        dying(name)
    try:
        forget_in_snapshots(world.snapshots, world.shards, {GONE}, at_s=5)
    except KeyboardInterrupt:
        assert step < 8
    monkeypatch.undo()
    forget_in_snapshots(world.snapshots, world.shards, {GONE}, at_s=6)
    check_forgotten(world)


def test_a_picture_that_was_prepared_and_never_frozen_goes_too(world: World) -> None:
    images = world.images(range(1, 20))
    forget_in_snapshots(
        world.snapshots,
        world.shards,
        {"flickr:18"},
        5,
        prepared=lambda column, values: images[among(images[column], values)],
    )
    assert picture(18).pixels_sha256 not in set(all_rows(world.shards)["pixels_sha256"])
    assert picture(17).pixels_sha256 in set(all_rows(world.shards)["pixels_sha256"])


def test_another_photo_of_the_same_pixels_keeps_them(world: World) -> None:
    manifest = world.manifest(world.images(range(1, 13)))
    manifest.loc[manifest["photo_id"] == GONE, "photo_id"] = "flickr:77"
    from pipeline.dataset.snapshot import freeze

    twin = freeze(manifest, world.snapshots, world.shards).name
    forget_in_snapshots(world.snapshots, world.shards, {GONE}, 5)
    assert picture(7).pixels_sha256 in set(all_rows(world.shards)["pixels_sha256"])
    assert "flickr:77" in set(read_snapshot(world.snapshots, twin)["photo_id"])


def test_no_identity_is_computed_where_the_digests_are_right(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = list_snapshots(world.snapshots)
    manifest = world.snapshots / first / MANIFEST
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes() + b"more")
    asked = []
    monkeypatch.setattr(forget, "read_snapshot", lambda folder, name: asked.append(name) or read_snapshot(folder, name))
    (damaged,) = forget.unreadable_snapshots(world.snapshots).items()
    assert asked == [first] == [damaged[0]]
    assert "manifest.parquet is damaged" in damaged[1]
    sums = world.snapshots / second / SUMS
    sums.chmod(0o644)
    sums.write_text(sums.read_text().replace("a", "b"))
    assert set(forget.unreadable_snapshots(world.snapshots)) == {first}, "what the digests do not vouch for may be sound"
    assert asked == [first, first, second]


def test_a_lost_shard_does_not_keep_others_from_being_forgotten(world: World) -> None:
    where = all_rows(world.shards).set_index("pixels_sha256")["shard"]
    (world.shards / where[picture(1).pixels_sha256]).unlink()
    forget_in_snapshots(world.snapshots, world.shards, {GONE}, 5)
    assert picture(7).rgb.tobytes() not in everything(world)


def test_a_full_disk_is_a_clear_error_and_the_next_run_finishes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(forget, "write_shard", full)
    with pytest.raises(DatasetError, match="the disk is full"):
        forget_in_snapshots(world.snapshots, world.shards, {GONE}, 5)
    monkeypatch.undo()
    forget_in_snapshots(world.snapshots, world.shards, {GONE}, 5)
    check_forgotten(world)


def test_the_copy_of_a_home_forgets_on_its_own(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.root, tmp_path / "copy")
    forget_in_snapshots(tmp_path / "copy" / "snapshots", tmp_path / "copy" / "shards", {GONE}, 5)
    check_forgotten(World(tmp_path / "copy"))
    assert picture(7).rgb.tobytes() in everything(world)

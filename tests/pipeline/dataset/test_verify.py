"""One flipped bit anywhere is named by file and row; a sound snapshot, a grown home and forgotten photos are not."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import ipc

from pipeline.dataset.layout import ATTRIBUTION, CANONICAL, FACTS, MANIFEST, PICTURES, SUMS
from pipeline.dataset.shards import Shard
from pipeline.dataset.snapshot import open_snapshot, read_snapshot, refresh_sums, relocate
from pipeline.dataset.verify import Verification, verify_snapshot
from pipeline.errors import DatasetError
from tests.pipeline.dataset.frozen_world import World


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    world = World(tmp_path_factory.mktemp("home"))
    return world, world.freeze(range(1, 31))


@pytest.fixture
def copy(frozen: tuple[World, str], tmp_path: Path) -> tuple[World, str]:
    shutil.copytree(frozen[0].root, tmp_path / "home")
    return World(tmp_path / "home"), frozen[1]


def verify(world: World, identifier: str) -> Verification:
    return verify_snapshot(world.snapshots, identifier, world.shards)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def test_a_sound_snapshot_passes(frozen: tuple[World, str]) -> None:
    world, identifier = frozen
    found = verify_snapshot(world.snapshots, identifier, world.shards)
    assert found.sound, found.findings
    assert (found.pictures, found.shards) == (30, 8)


def test_the_sums_are_those_of_the_common_tool(frozen: tuple[World, str]) -> None:
    folder = frozen[0].snapshots / frozen[1]
    if not shutil.which("sha256sum"):
        pytest.skip("sha256sum is not here")
    done = subprocess.run(["sha256sum", "-c", SUMS], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("OK") == 5 + 8


def test_a_flipped_bit_of_a_picture_names_shard_row_and_photo(copy: tuple[World, str]) -> None:
    world, identifier = copy
    place = read_snapshot(world.snapshots, identifier).set_index("photo_id").loc["flickr:7"]
    for what, array in (("pixels", "rgb"), ("alpha", "alpha")):
        path = world.shards / str(place["shard"])
        before = path.read_bytes()
        wanted = getattr(Shard(path), array)[int(place["row"])].tobytes()
        flip(path, before.index(wanted) + 99, 3)
        (finding,) = verify(world, identifier).findings
        assert (finding.file, finding.row, finding.photo_id) == (path.name, place["row"], "flickr:7")
        assert what in str(finding)
        path.write_bytes(before)
    assert verify(world, identifier).sound


def test_a_flipped_bit_anywhere_is_found_in_its_file(copy: tuple[World, str]) -> None:
    world, identifier = copy
    chance = random.Random(6)
    files = [*sorted((world.snapshots / identifier).iterdir()), *sorted(world.shards.iterdir())[:2]]
    for path in files:
        sound = path.read_bytes()
        for _ in range(5):
            flip(path, chance.randrange(len(sound)), chance.randrange(8))
            named = files_named(world, identifier)
            assert path.name in named <= {path.name, PICTURES, SUMS}, (path, named)
            path.write_bytes(sound)
    assert verify(world, identifier).sound


def files_named(world: World, identifier: str) -> set[str]:
    """The files that a verification finds fault with; what cannot even begin names the file in its message."""
    try:
        return {finding.file for finding in verify(world, identifier).findings}
    except DatasetError as error:
        return {name for name in (FACTS, "format") if name in str(error)} and {FACTS}


def test_an_edited_row_is_named_in_each_file_of_the_manifest(copy: tuple[World, str]) -> None:
    world, identifier = copy
    folder = world.snapshots / identifier
    lines = (folder / CANONICAL).read_text().splitlines(keepends=True)
    (folder / CANONICAL).chmod(0o644)
    at = next(number for number, line in enumerate(lines) if number > 3 and '"train"' in line)
    edited = [line.replace('"train"', '"test"') if number == at else line for number, line in enumerate(lines)]
    (folder / CANONICAL).write_text("".join(edited))
    assert [str(finding) for finding in verify(world, identifier).findings] == [
        f"{CANONICAL}, row {at + 1}: {json.loads(lines[at])['photo_id']}: was changed"
    ]
    (folder / CANONICAL).write_text("".join(lines))
    manifest = pd.read_parquet(folder / MANIFEST)
    trained = int((manifest["split"] == "train").to_numpy().nonzero()[0][0])
    manifest.loc[trained, "split"] = "test"
    manifest.loc[6, "license"] = "10"
    (folder / MANIFEST).chmod(0o644)
    manifest.to_parquet(folder / MANIFEST)
    said = [str(finding) for finding in verify(world, identifier).findings]
    assert f"{MANIFEST}, row {trained + 1}: {manifest.loc[trained, 'photo_id']}: split is test, frozen was train" in said
    assert any(line.startswith(f"{MANIFEST}, row 7: {manifest.loc[6, 'photo_id']}: says other things") for line in said)
    with pytest.raises(DatasetError, match="was changed after it was frozen"):
        read_snapshot(world.snapshots, identifier)


def test_a_newer_format_is_refused_with_advice(copy: tuple[World, str]) -> None:
    world, identifier = copy
    path = world.snapshots / identifier / FACTS
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"format": 2', '"format": 3'))
    for read in (lambda: verify(world, identifier), lambda: read_snapshot(world.snapshots, identifier)):
        with pytest.raises(DatasetError, match=r"newer bokehflow \(format 3\); update"):
            read()


def test_a_lost_shard_is_named_and_made_anew_under_another_name_it_is_found(copy: tuple[World, str]) -> None:
    world, identifier = copy
    lost = sorted(world.shards.iterdir())[0]
    lost.unlink()
    assert [finding.file for finding in verify(world, identifier).findings] == [lost.name]
    with pytest.raises(DatasetError, match=r"in no shard, first .*snapshot restore"):
        open_snapshot(world.snapshots, identifier, world.shards)
    world.images(range(1, 31), shard_rows=1)
    assert not lost.exists()
    assert verify(world, identifier).sound  # who only looks changes nothing, and calls nothing missing that is there
    pictures = open_snapshot(world.snapshots, identifier, world.shards)
    assert len(pictures) == 30
    assert verify(world, identifier).sound


def test_what_says_other_things_is_found_whatever_the_sums_say(copy: tuple[World, str]) -> None:
    world, identifier = copy
    path = world.snapshots / identifier
    before = (path / ATTRIBUTION).read_text()
    facts = json.loads((path / FACTS).read_text())
    facts["counts"]["ordinary"]["train"] += 900
    for name, text, what in (
        (ATTRIBUTION, before.replace("CC BY 2.0", "CC0 1.0", 1), "says other things than manifest.parquet"),
        (ATTRIBUTION, before[: before.index("\n") + 1], "has 1 lines instead of 31"),
        (FACTS, json.dumps(facts), "its counts are not those of the pictures"),
    ):
        kept = (path / name).read_bytes()
        (path / name).chmod(0o644)
        (path / name).write_text(text)
        refresh_sums(path, world.shards, {name})
        assert [(finding.file, finding.what) for finding in verify(world, identifier).findings] == [(name, what)]
        (path / name).write_bytes(kept)
        refresh_sums(path, world.shards, {name})
    assert verify(world, identifier).sound


def test_what_is_damaged_stays_known_for_it_when_other_files_are_written_anew(copy: tuple[World, str]) -> None:
    world, identifier = copy
    path = world.snapshots / identifier
    for name in (ATTRIBUTION, FACTS):
        (path / name).chmod(0o644)
        (path / name).write_text((path / name).read_text() + " \n")
    for written in ({PICTURES}, {PICTURES, MANIFEST}):
        refresh_sums(path, world.shards, written)
        assert {finding.file for finding in verify(world, identifier).findings} == {ATTRIBUTION, FACTS}


def test_a_shard_made_anew_with_other_bytes_harms_no_later_snapshot(copy: tuple[World, str]) -> None:
    world, identifier = copy
    shard = sorted(world.shards.iterdir())[0]
    written_otherwise(shard)
    assert [finding.file for finding in verify(world, identifier).findings] == [shard.name]
    later = world.freeze(range(1, 33))
    assert verify(world, later).sound
    relocate(world.snapshots / identifier, world.shards)
    assert verify(world, identifier).sound


def written_otherwise(shard: Path) -> None:
    """As another version of Arrow may: the same rows, other bytes."""
    with ipc.open_file(shard) as file:
        table = file.read_all()
    options = ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V4)
    before = shard.read_bytes()
    shard.unlink()
    with ipc.new_file(shard, table.schema, options=options) as file:
        file.write_table(table, max_chunksize=len(table))
    assert shard.read_bytes() != before

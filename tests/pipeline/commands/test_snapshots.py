"""What a user of `bokehflow snapshot` and `bokehflow lineage` sees, and their exit codes."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from assets.headless import open_instance
from assets.partitions import SNAPSHOTS
from pipeline.atomic import TEMPORARY_SUFFIX
from pipeline.dataset.restore import Restored
from pipeline.dataset.snapshot import freeze, read_snapshot
from pipeline.errors import StorageError
from pipeline.tables import conform
from storage import Home
from tests import conftest
from tests.pipeline.dataset.frozen_world import World
from tests.pipeline.dataset.test_spdx import read

Run = Callable[..., tuple[object, str]]
CONFIG = "[domains.ordinary]\nqueries = [{ text = 'a' }]\n[domains.shallow]\nqueries = [{ text = 'b' }]\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bokehflow.toml").write_text(CONFIG)
    return World(tmp_path / "home")


@pytest.fixture
def run(world: World, run: conftest.Run) -> Run:
    """Call the command on the home of `world`; returns exit code and what was said."""

    def call(*arguments: str) -> tuple[object, str]:
        outcome = run(*arguments, "--home", str(world.root))
        return outcome.code, outcome.said

    return call


def test_list_show_and_verify(world: World, run: Run) -> None:
    assert run("snapshot", "list") == (0, f"no snapshot in {world.snapshots}; `bokehflow run` freezes one\n")
    assert run("snapshot", "verify") == (0, f"{world.snapshots}: there is no snapshot to verify\n")
    identifier = world.freeze(range(1, 13))
    assert run("snapshot", "list")[1].startswith(f"{identifier}  ordinary ")
    code, said = run("snapshot", "show", identifier[:5])
    assert code == 0
    assert "strictest licence: All Rights Reserved" in said
    assert f"folder: {world.snapshots / identifier}" in said
    assert json.loads(run("snapshot", "show", identifier, "--json")[1])["sha256"].startswith(identifier)
    code, said = run("snapshot", "verify")
    assert code == 0
    assert said.startswith(f"{identifier}: sound; 12 pictures in 3 shards")


def test_verify_ends_with_1_and_names_the_row(world: World, run: Run) -> None:
    identifier = world.freeze(range(1, 13))
    place = read_snapshot(world.snapshots, identifier).iloc[5]
    path = world.shards / str(place["shard"])
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    code, said = run("snapshot", "verify", identifier[:4])
    assert code == 1
    assert f"  {path.name}, row " in said
    (result,) = json.loads(run("snapshot", "verify", "--json")[1])["snapshots"]
    assert result["findings"][0]["photo_id"].startswith("flickr:")


def test_diff_names_the_photo(world: World, run: Run) -> None:
    a, b = world.freeze(range(1, 13)), world.freeze(range(2, 13))
    code, said = run("snapshot", "diff", a, b)
    assert code == 0
    assert said.splitlines()[0] == f"{a} → {b}: 1 went; 11 unchanged"
    assert "  flickr:1: ordinary, " in said
    assert json.loads(run("snapshot", "diff", a, b, "--json")[1])["went"] == 1


def test_export_and_what_it_refuses(world: World, run: Run, tmp_path: Path) -> None:
    identifier = world.freeze(range(1, 13))
    code, said = run("snapshot", "export", identifier, str(tmp_path / "out"), "--use", "commercial")
    assert code == 0
    assert "left out: 6 (licence does not allow commercial)" in said
    code, said = run("snapshot", "export", identifier, str(tmp_path / "out"))
    assert (code, "exists already; name a new folder" in said) == (1, True)
    code, said = run("snapshot", "export", identifier, str(tmp_path / "b"), "--format", "bundle", "--use", "research")
    assert (code, "a bundle holds no photo" in said) == (1, True)
    code, said = run("snapshot", "export", identifier, str(tmp_path / "b"), "--format", "bundle")
    assert (code, "12 masks of the snapshot are missing" in said) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]


def test_unknown_and_ambiguous_ids(world: World, run: Run) -> None:
    identifier = world.freeze(range(1, 13))
    for arguments in (
        ["show", "zzz"],
        ["verify", "zzz"],
        ["diff", identifier, "zzz"],
        ["restore", "zzz"],
        ["delete", "zzz"],
    ):
        code, said = run("snapshot", *arguments)
        assert code == 1
        assert f"there is no snapshot zzz; known here: {identifier}" in said
    code, said = run("snapshot", "show", "")
    assert code == 1
    code, said = run("lineage", "model", "smoke@0")
    assert (code, "there is no finished run 'smoke@0'; known here: none" in said) == (1, True)
    code, said = run("lineage", "photo", "12345")
    assert (code, "no table and no snapshot knows a photo 'flickr:12345'" in said) == (1, True)


def test_what_is_left_is_frozen_while_no_run_can_begin(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    identifier = world.freeze(range(1, 13))

    def frozen(home: Home, source: str) -> str:
        with pytest.raises(StorageError, match="is at work in this home"), home.lock("run"):
            pass
        return "feedfeed"

    lost = Restored(identifier, 11, missing={"flickr:1": "unavailable"})
    monkeypatch.setattr("pipeline.operations.snapshots.restore", lambda *_: lost)
    monkeypatch.setattr("pipeline.operations.snapshots.freeze_what_is_left", frozen)
    code, said = run("snapshot", "restore", identifier, "--without-missing")
    assert code == 1
    assert "feedfeed" in said


def files_of(root: Path) -> dict[str, bytes]:
    made = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in made}
    return {name: data for name, data in files.items() if not name.startswith("dagster/")}


def with_models(world: World, identifier: str) -> None:
    """As if a model had been trained on it, judged and reported."""
    for name in (f"runs/{identifier}-smoke-0/job.json", f"evaluations/{identifier}/shared.parquet",
                 f"tables/evaluation/smoke@0+{identifier}.parquet", f"reports/{identifier}/index.html",
                 f"results/{identifier}/me.png"):  # fmt: skip
        path = world.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("made of it")


def test_delete_takes_a_snapshot_with_what_was_made_of_it_and_leaves_the_others_sound(world: World, run: Run) -> None:
    kept = world.freeze(range(1, 13))
    with_models(world, kept)
    before = files_of(world.root)
    doomed = world.freeze(range(7, 25))
    with_models(world, doomed)
    with open_instance(Home(world.root)) as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [kept, doomed])
    left = world.root / "runs" / f".{doomed}-killed-0{TEMPORARY_SUFFIX}"
    left.mkdir()
    (left / "half-deleted.pt").touch()
    both = files_of(world.root)
    code, said = run("snapshot", "delete", doomed[:6])
    assert (code, f"by --with-models alone: {doomed}-smoke-0" in said) == (1, True)
    code, said = run("snapshot", "delete", doomed, "--with-models", "--dry-run")
    assert (code, f"  runs/{doomed}-smoke-0\n" in said) == (0, True)
    assert "would be deleted: 1 snapshot, 1 model, 3 shards that nothing else needs" in said
    assert files_of(world.root) == both
    code, said = run("snapshot", "delete", doomed, "--with-models")
    assert (code, "deleted: 1 snapshot, 1 model, 3 shards that nothing else needs" in said) == (0, True)
    assert files_of(world.root) == before
    with open_instance(Home(world.root)) as instance:
        assert instance.get_dynamic_partitions(str(SNAPSHOTS.name)) == [kept]
    assert run("snapshot", "verify")[1].startswith(f"{kept}: sound; 12 pictures in 3 shards")
    assert run("snapshot", "delete", doomed)[0] == 1


def test_delete_leaves_the_model_that_estimates_depth(world: World, run: Run) -> None:
    identifier = world.freeze(range(1, 13))
    with_models(world, identifier)
    project = world.root / "bokehflow.toml"
    project.write_text(f'{CONFIG}[depth]\nestimator = "run:{identifier}-smoke-0"\n')
    before = files_of(world.root)
    code, said = run("snapshot", "delete", identifier, "--with-models")
    assert (code, f"the model {identifier}-smoke-0 estimates depth here" in said) == (1, True)
    assert files_of(world.root) == before
    project.write_text(CONFIG)
    assert run("snapshot", "delete", identifier, "--with-models")[0] == 0


def test_delete_interrupted_anywhere_goes_on(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    world.freeze(range(1, 13))
    expected, discard = files_of(world.root), Home.discard
    doomed, steps = world.freeze(range(7, 25)), 0
    with_models(world, doomed)
    while (world.snapshots / doomed).exists():
        steps += 1
        left = [True]

        def killed(home: Home, path: Path, left: list[bool] = left) -> None:
            if not left:
                raise KeyboardInterrupt
            discard(home, path)
            left.pop()

        monkeypatch.setattr(Home, "discard", killed)
        run("snapshot", "delete", doomed, "--with-models")
    assert steps == 9
    assert files_of(world.root) == expected


def test_delete_leaves_what_is_current_in_use_or_cannot_be_told(world: World, run: Run) -> None:
    images = world.images(range(1, 13))
    manifest = world.manifest(images)
    identifier = freeze(manifest, world.snapshots, world.shards).name
    home = Home(world.root)
    home.tables.write("training_images", conform("training_images", images))
    home.tables.write("dataset_manifest", conform("dataset_manifest", manifest))
    other = world.freeze(range(20, 30))
    prepared = files_of(world.root)
    code, said = run("snapshot", "delete", other, identifier)
    assert (code, "the next run would freeze it again, so it stays" in said) == (1, True)
    with home.lock("at-work", shared=True):
        code, said = run("snapshot", "delete", other)
        assert (code, "a process is at work in this home" in said) == (1, True)
    pictures = world.snapshots / identifier / "pictures.parquet"
    pictures.chmod(0o644)
    pictures.write_bytes(b"damaged")
    code, said = run("snapshot", "delete", other)
    assert (code, f"{identifier}: which shards it needs cannot be read" in said) == (1, True)
    pictures.write_bytes(prepared[f"snapshots/{identifier}/pictures.parquet"])
    assert files_of(world.root) == prepared
    assert run("snapshot", "delete", other)[0] == 0
    assert {f"shards/{name}" for name in images["shard"]} == {name for name in files_of(world.root) if "shards/" in name}


def test_folders_that_another_machines_deletion_left_count_for_nothing(world: World, run: Run) -> None:
    other, doomed = world.freeze(range(1, 13)), world.freeze(range(7, 25))
    (world.snapshots / ("0" * len(doomed))).mkdir()
    (world.root / "runs" / f"{doomed}-smoke-0" / "checkpoints").mkdir(parents=True)
    (world.root / "runs" / f"{doomed}-smoke-0" / ".lock").touch()
    code, said = run("snapshot", "delete", doomed)
    assert (code, "deleted: 1 snapshot, 0 models, 3 shards" in said) == (0, True)
    assert run("snapshot", "verify")[1].startswith(f"{other}: sound")


@pytest.mark.parametrize("where", ["tables", "runs", "runs/{doomed}-smoke-0", "snapshots/{other}"])
def test_delete_waits_for_a_disk_that_is_away(world: World, run: Run, where: str) -> None:
    other, doomed = world.freeze(range(1, 13)), world.freeze(range(7, 25))
    with_models(world, doomed)
    lies = world.root / where.format(doomed=doomed, other=other)
    away = lies.rename(lies.with_name("away"))
    lies.symlink_to(away)
    away.rename(world.root / "unmounted")
    before = files_of(world.root)
    for arguments in ([], [doomed], [doomed, "--with-models"]):
        code, said = run("snapshot", "delete", *arguments)
        assert (code, f"{lies}: leads to nothing" in said) == (1, True)
    assert files_of(world.root) == before
    (world.root / "unmounted").rename(away)
    assert run("snapshot", "delete", doomed, "--with-models")[0] == 0
    assert run("snapshot", "verify")[1].startswith(f"{other}: sound")


def test_lineage_as_text_json_and_picture(world: World, run: Run, tmp_path: Path) -> None:
    identifier = world.freeze(range(1, 13))
    code, said = run("lineage", "photo", "5", "--svg", str(tmp_path / "graph.svg"))
    assert code == 0
    assert "\nphoto flickr:5\n" in said
    assert "<svg" in (tmp_path / "graph.svg").read_text()
    found = json.loads(run("lineage", "snapshot", identifier, "--json")[1])
    assert {node["kind"] for node in found["graph"]["nodes"]} == {"query", "licence", "decision", "snapshot"}


def test_the_photos_of_a_model_hold_no_formula(world: World, run: Run, tmp_path: Path) -> None:
    manifest = world.manifest(world.images(range(1, 13)))
    identifier = freeze(manifest.assign(title="=1+1", owner_name="a;@b"), world.snapshots, world.shards).name
    facts = {"run_id": "r", "recipe": "smoke", "model": "cyclegan", "seed": 0, "snapshot_id": identifier, "steps": 6}
    (world.root / "runs" / "r").mkdir(parents=True)
    (world.root / "runs" / "r" / "complete.json").write_text(json.dumps(facts))
    prov, spdx = tmp_path / "model.prov.json", tmp_path / "model.spdx.json"
    asked = ["--photos", str(tmp_path / "photos.csv"), "--prov", str(prov), "--spdx", str(spdx)]
    code, said = run("lineage", "model", "r", *asked)
    assert code == 0
    assert f"the SPDX document is in {spdx}" in said
    read(json.loads(spdx.read_text()))
    assert f"the provenance is in {prov}" in said
    assert len(json.loads(prov.read_text())["hadMember"]) == len(set(manifest.loc[manifest["split"] == "train", "photo_id"]))
    with (tmp_path / "photos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert f"{len(rows)} photos in" in said
    assert {(row["title"], row["owner_name"]) for row in rows} == {("'=1+1", "a;'@b")}


def test_hostile_titles_and_owners_act_nowhere(world: World, run: Run, tmp_path: Path) -> None:
    hostile = "\x1b]0;pwned\x07\x1b[2J\u202e\0<script>\n| a |"
    manifest = world.manifest(world.images(range(1, 13)))
    manifest = manifest.assign(title=hostile, owner=hostile, owner_name=hostile, license=hostile)
    identifier = freeze(manifest, world.snapshots, world.shards).name
    facts = {"run_id": "r", "recipe": "smoke", "model": "cyclegan", "seed": 0, "snapshot_id": identifier, "steps": 6}
    (world.root / "runs" / "r").mkdir(parents=True)
    (world.root / "runs" / "r" / "complete.json").write_text(json.dumps(facts))
    graph, photos, out = tmp_path / "graph.svg", tmp_path / "photos.csv", tmp_path / "out"
    for arguments in (
        ["snapshot", "list"], ["snapshot", "show", identifier], ["snapshot", "show", identifier, "--json"],
        ["snapshot", "verify", identifier], ["lineage", "photo", "5", "--svg", str(graph)],
        ["lineage", "photo", "5", "--json"], ["lineage", "snapshot", identifier],
        ["lineage", "model", "r", "--photos", str(photos)], ["lineage", "photo", hostile[:9]],
        ["snapshot", "export", identifier, str(out)], ["forget", hostile[:9]],
    ):  # fmt: skip
        code, said = run(*arguments)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", f"{code}{said}"), arguments
    ElementTree.fromstring(graph.read_text(encoding="utf-8"))
    for path in (graph, photos, out / "attribution.csv", out / "DATASHEET.md"):
        assert not re.search(r"[\x00\x1b\x07\u202e]", path.read_text(encoding="utf-8")), path
    assert "<script>" not in (out / "DATASHEET.md").read_text(encoding="utf-8")

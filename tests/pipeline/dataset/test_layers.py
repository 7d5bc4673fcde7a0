"""Depth and targets beside RGB and alpha: from the photo to the loader and out again, and nothing changes without them."""

import hashlib
import json
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.dataset.crop import Crop, Tile
from pipeline.dataset.datasheet import datasheet
from pipeline.dataset.diff import diff_snapshots
from pipeline.dataset.export import ExportPlan, export_snapshot, forget_in_export
from pipeline.dataset.forget import forget_in_snapshots, frozen_sources
from pipeline.dataset.layout import CANONICAL, MANIFEST, PICTURES, read_facts
from pipeline.dataset.lineage import photo_lineage, snapshot_lineage
from pipeline.dataset.prepare import Readers, ShardFolder, prepare_images
from pipeline.dataset.restore import Kept, Photos, Restored, export_bundle, restore_snapshot
from pipeline.dataset.shards import Shard, ShardReader
from pipeline.dataset.snapshot import all_rows, missing_pictures, read_snapshot
from pipeline.dataset.verify import verify_snapshot
from pipeline.errors import DatasetError, TrainingError
from pipeline.models import MODELS, MODELS_OF_ONE_DOMAIN, layer_learnt_from, model_class
from pipeline.models.translator import Batch
from pipeline.operations.training import training_rows
from pipeline.picture_layers import BY_NAME, LAYERS, OPTIONAL, OPTIONAL_DIGESTS, Encoding, layer_digest, nearest
from pipeline.tables import columns_of, conform
from pipeline.training.__main__ import load_data
from pipeline.training.jobs import TrainingJob
from storage.tables import data_version
from tests.pipeline.dataset.frozen_world import ENCODING, SIZE_PX, World, layered_picture, picture

NUMBERS, LAYERED = range(1, 13), {2, 3, 8}
WITHOUT_LAYERS = {"id": "f3980a4000b9a4e3", "manifest": "f587ce16ca36da05", "images": "08a5a2286935044b"}
"""Of a world without layers, from before there were any: its snapshot's id and the data versions of its tables."""
SHARDS_WITHOUT = ["874b0c14b9bc27df45392f0a960d07c3", "939cfff0738a33cc988bcd8d792134b8", "c81d692bf9aa96bac7c1dce4cc2178b0"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def frozen_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    world = World(tmp_path_factory.mktemp("frozen"))
    return world, world.freeze(NUMBERS, layered=LAYERED)


@pytest.fixture
def frozen(frozen_once: tuple[World, str], world: World) -> str:
    shutil.copytree(frozen_once[0].root, world.root, dirs_exist_ok=True)
    return frozen_once[1]


def layered_rows(world: World, identifier: str) -> pd.DataFrame:
    manifest = read_snapshot(world.snapshots, identifier)
    return manifest[manifest["depth_sha256"].notna()]


def test_every_layer_has_its_columns_and_fields() -> None:
    columns = set(columns_of("training_images"))
    assert {column for layer in OPTIONAL for column in (layer.digest, layer.source, layer.source_digest)} <= columns
    assert {f"{layer.name}_{domain}" for layer in OPTIONAL for domain in "ab"} <= {field.name for field in fields(Batch)}


def test_models_learn_from_the_layer_that_is_told_of_them() -> None:
    for name in MODELS:
        layer = layer_learnt_from(name)
        assert (() if layer is None else (f"{layer}_a",)) == model_class(name).LAYERS, name


def test_data_without_layers_are_named_as_they_always_were(world: World) -> None:
    assert world.freeze(NUMBERS) == WITHOUT_LAYERS["id"]
    images = world.images(NUMBERS)
    assert data_version("training_images", images) == WITHOUT_LAYERS["images"]
    assert data_version("dataset_manifest", world.manifest(images)) == WITHOUT_LAYERS["manifest"]
    assert sorted(path.stem for path in world.shards.iterdir()) == SHARDS_WITHOUT
    for name in (MANIFEST, PICTURES):
        written = pq.read_schema(world.snapshots / WITHOUT_LAYERS["id"] / name).names
        assert not any(name.startswith(("depth", "target")) for name in written)


def test_layers_make_another_snapshot_and_their_meaning_counts(world: World, frozen: str) -> None:
    assert frozen != WITHOUT_LAYERS["id"]
    manifest = world.manifest(world.images(NUMBERS, layered=LAYERED))
    assert data_version("dataset_manifest", manifest) != WITHOUT_LAYERS["manifest"]
    lines = [json.loads(line) for line in (world.snapshots / frozen / CANONICAL).read_text().splitlines()]
    assert {line["photo_id"] for line in lines if "depth_sha256" in line} == {f"flickr:{n}" for n in LAYERED}
    depth = layered_picture(2).layers["depth"]
    other = layer_digest(BY_NAME["depth"], depth, "dioptre 0.0002 0.0")
    assert other != layer_digest(BY_NAME["depth"], depth, ENCODING)


def test_a_frozen_snapshot_reads_as_its_manifest(world: World, frozen: str) -> None:
    manifest = world.manifest(world.images(NUMBERS, layered=LAYERED))
    read = read_snapshot(world.snapshots, frozen)
    pd.testing.assert_frame_equal(read, manifest)
    assert missing_pictures(read, world.shards) == []
    assert verify_snapshot(world.snapshots, frozen, world.shards).sound


def test_shards_give_layers_back_by_their_values(world: World, frozen: str) -> None:
    manifest = read_snapshot(world.snapshots, frozen)
    reader = ShardReader([world.shards / name for name in manifest["shard"]], manifest["row"].tolist())
    for index, photo_id in enumerate(manifest["photo_id"]):
        number = int(photo_id.removeprefix("flickr:"))
        if number not in LAYERED:
            with pytest.raises(DatasetError, match="no layer depth"):
                reader.view_layer("depth", index)
            continue
        made = layered_picture(number)
        np.testing.assert_array_equal(reader.view_layer("target", index), made.layers["target"])
        disparity = reader.view_layer("depth", index)
        assert disparity.dtype == np.float32
        np.testing.assert_allclose(disparity, made.layers["depth"] * 1e-4, rtol=1e-6)
        assert not disparity[0].any()


def changed(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.chmod(0o644)
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("name", ["depth", "target"])
def test_a_changed_byte_of_a_layer_is_found(world: World, frozen: str, name: str) -> None:
    row = layered_rows(world, frozen).iloc[0]
    stored = layered_picture(int(row["photo_id"].removeprefix("flickr:"))).layers[name].tobytes()
    changed(world.shards / row["shard"], stored, stored[:-1] + bytes([stored[-1] ^ 1]))
    (finding,) = verify_snapshot(world.snapshots, frozen, world.shards).findings
    assert str(finding).endswith(f"{row['photo_id']}: {name} are not the frozen ones")


def test_a_changed_manifest_is_found(world: World, frozen: str) -> None:
    path = world.snapshots / frozen / MANIFEST
    path.chmod(0o644)
    pd.read_parquet(path).assign(depth_sha256=None).to_parquet(path)
    found = verify_snapshot(world.snapshots, frozen, world.shards).findings
    assert sum("depth_sha256 is , frozen was" in finding.what for finding in found) == len(LAYERED)


def test_what_changes_in_a_layer_is_told(world: World, frozen: str) -> None:
    before = world.freeze(NUMBERS)
    diff = diff_snapshots(world.snapshots, before, frozen)
    assert {change.photo_id for change in diff.changes} == {f"flickr:{number}" for number in LAYERED}
    assert {(change.kind, change.what) for change in diff.changes} == {("changed", "depth and target")}
    assert diff.changes[0].why == "another map, or another picture to become, belongs to it now"
    assert diff_snapshots(world.snapshots, frozen, frozen).unchanged == len(NUMBERS)


def test_forgetting_takes_layers_too_and_leaves_the_others_theirs(world: World, frozen: str) -> None:
    rows = layered_rows(world, frozen).set_index("photo_id")
    named = pd.concat(list(frozen_sources(world.snapshots, "photo_id", {"flickr:2", "flickr:3", "flickr:8"})))
    assert set(rows["target_source"]) <= set(named["sha256"])
    sources = set(named.loc[named["photo_id"] == "flickr:2", "sha256"])
    told = pd.concat(list(frozen_sources(world.snapshots, "sha256", sources)))
    assert (set(told["photo_id"]), set(told["sha256"])) == ({"flickr:2"}, sources)
    forget_in_snapshots(world.snapshots, world.shards, {"flickr:2"}, 5)
    assert layered_picture(2).layers["depth"].tobytes() not in b"".join(p.read_bytes() for p in world.shards.iterdir())
    assert verify_snapshot(world.snapshots, frozen, world.shards).sound
    kept = layered_rows(world, frozen).set_index("photo_id")
    assert set(kept.index) == {"flickr:3", "flickr:8"}
    assert kept.loc["flickr:3", "depth_source"] == "studio/3.png"
    shard = Shard(world.shards / str(kept.loc["flickr:3", "shard"]))
    again = shard.picture(int(kept.loc["flickr:3", "row"]), "key")
    assert again.encodings == {"depth": ENCODING}


def restored(world: World, frozen: str, root: Path, photos: set[str]) -> Restored:
    """In another home, which has these photos' bytes; masks and maps come with the bundle."""
    for name in ("masks", "depth"):
        column = {"masks": "mask", "depth": "depth_source"}[name]
        for path in read_snapshot(world.snapshots, frozen)[column].dropna():
            (world.root / name / path).parent.mkdir(parents=True, exist_ok=True)
            (world.root / name / path).write_text(Path(path).stem)
    bundle = root / "bundle"
    folders = {"mask": world.root / "masks", "depth": world.root / "depth"}
    assert export_bundle(world.snapshots, frozen, folders, bundle) == len(NUMBERS)
    assert len(list((bundle / "depth").rglob("*.png"))) == len(LAYERED)
    other = World(root / "other")
    kept = {
        "mask": Kept(other.root / "masks", lambda path: f"{int(path.read_text()):064d}"),
        "depth": Kept(other.root / "depth", lambda path: f"{40_000 + int(path.read_text()):064x}"),
    }

    def prepare(rows: pd.DataFrame) -> pd.DataFrame:
        assert rows["depth_source"].notna().sum() in (0, len(LAYERED))
        return other.images([int(photo_id.split(":")[1]) for photo_id in rows["photo_id"]], 5, layered=LAYERED)

    return restore_snapshot(
        bundle, other.snapshots, other.shards, kept, Photos(photos.__contains__, lambda rows: {}), prepare
    )


def test_a_bundle_brings_maps_along_and_is_the_same_snapshot(world: World, frozen: str, tmp_path: Path) -> None:
    rows = read_snapshot(world.snapshots, frozen)
    photos = {*rows["source_sha256"], *rows["target_source"].dropna()}
    done = restored(world, frozen, tmp_path, photos)
    assert done.whole, (done.missing, done.differing)
    assert verify_snapshot(tmp_path / "other" / "snapshots", frozen, tmp_path / "other" / "shards").sound


def test_a_target_that_is_not_there_is_named(world: World, frozen: str, tmp_path: Path) -> None:
    done = restored(world, frozen, tmp_path, set(read_snapshot(world.snapshots, frozen)["source_sha256"]))
    assert set(done.missing) == {f"flickr:{number}" for number in LAYERED}
    assert "the photo that is its target is not in the home" in done.missing["flickr:2"]


def test_folders_hold_layers_as_pictures_that_say_what_they_mean(world: World, frozen: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    export_snapshot(world.snapshots, frozen, world.shards, target, ExportPlan("folders", "ordinary", "shallow"))
    found = {int(path.stem.removeprefix("flickr_")): path for path in target.glob("*_depth/*.png")}
    assert set(found) == LAYERED
    with Image.open(found[2]) as image:
        assert image.info["encoding"] == ENCODING
        np.testing.assert_array_equal(np.asarray(image), layered_picture(2).layers["depth"])
    (other,) = target.glob("*_target/flickr_2.png")
    np.testing.assert_array_equal(np.asarray(Image.open(other)), layered_picture(2).layers["target"])
    shown = pd.read_csv(target / "attribution.csv").set_index("photo_id")
    assert shown.loc["flickr:2", "depth_encoding"] == ENCODING
    assert pd.isna(shown.loc["flickr:1", "depth_encoding"])
    described = json.loads((target / "croissant.json").read_text())
    assert "photos/depth_encoding" in {field["@id"] for field in described["recordSet"][0]["field"]}
    assert "disparity in 16 bits" in described["distribution"][1]["description"]
    assert forget_in_export(target, {"flickr:2"}) == 3
    assert not list(target.rglob("flickr_2.png"))


def test_hugging_faces_tables_hold_layers_and_nulls(world: World, frozen: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    export_snapshot(world.snapshots, frozen, world.shards, target, ExportPlan("hf", "ordinary", "shallow"))
    rows = pd.concat([pd.read_parquet(path) for path in sorted(target.glob("data/*.parquet"))]).set_index("photo_id")
    for number in NUMBERS:
        row = rows.loc[f"flickr:{number}"]
        assert (row["depth"] is not None) == (row["depth_encoding"] == ENCODING) == (number in LAYERED)
    described = json.loads((target / "croissant.json").read_text())
    names = {field["name"] for field in described["recordSet"][1]["field"]}
    assert {"image", "alpha", "depth", "depth_encoding", "target"} <= names
    plain = tmp_path / "plain"
    export_snapshot(world.snapshots, world.freeze(NUMBERS), world.shards, plain, ExportPlan("hf", "ordinary", "shallow"))
    assert "depth_encoding" not in (plain / "croissant.json").read_text() + (plain / "README.md").read_text()


def test_the_datasheet_and_the_lineage_tell(world: World, frozen: str) -> None:
    manifest = read_snapshot(world.snapshots, frozen)
    told = datasheet(manifest, read_facts(world.snapshots, frozen))
    assert "3 of them have the layer `depth`: disparity in 16 bits, 0 where it is unknown; 3 in 1/m." in told
    assert snapshot_lineage(frozen, world.snapshots, []).facts["with depth"] == "3 pictures"
    answer = photo_lineage("flickr:2", lambda name: [], world.snapshots, [])
    assert answer.facts["snapshots"][0]["with"] == "depth, target"
    without = world.freeze(NUMBERS)
    assert "with depth" not in snapshot_lineage(without, world.snapshots, []).facts
    assert "layer" not in datasheet(read_snapshot(world.snapshots, without), read_facts(world.snapshots, without))


# --- preparing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Photo:
    rgb: np.ndarray

    @property
    def extent(self) -> tuple[float, float]:
        return self.rgb.shape[1], self.rgb.shape[0]


def two_planes(height_px: int, width_px: int) -> np.ndarray:
    """A near half on the left, a far one on the right, and a row that is unknown."""
    stored = np.full((height_px, width_px), 2_000, np.uint16)
    stored[:, : width_px // 2] = 10_000
    stored[height_px // 2] = 0
    return stored


def masks_table(sources: dict[str, str | None]) -> pd.DataFrame:
    rows = pd.DataFrame(
        {"photo_id": ["flickr:1", "flickr:2"], "domain": "ordinary", "split_key": "k", "sha256": ["1", "2"],
         "mask": ["m1", "m2"], "mask_sha256": ["1", "2"], "coverage": 0.5, "reason": None}
    )  # fmt: skip
    return rows.assign(**{name: [value, None] for name, value in sources.items()})


SOURCES = {"depth_source": "d", "depth_source_sha256": "d" * 64, "target_source": "9", "target_source_sha256": "9"}


def prepared(folder: Path, sources: dict[str, str | None], map_px: tuple[int, int] = (40, 60)) -> pd.DataFrame:
    def rgb(sha256: str) -> np.ndarray:
        return np.random.default_rng(int(sha256)).integers(0, 256, (80, 120, 3), np.uint8)

    readers = Readers(
        photo=lambda sha256, edge_px: Photo(rgb(sha256)),
        mask=lambda mask: np.full((80, 120), 255, np.uint8),
        depth=lambda path: (two_planes(*map_px), ENCODING),
    )
    return conform(
        "training_images", prepare_images(masks_table(sources), readers, ShardFolder(folder, 8), Crop("centre", 32))
    )


def test_depth_is_cut_to_the_nearest_and_targets_as_photos_are(tmp_path: Path) -> None:
    table = prepared(tmp_path, SOURCES)
    assert table["depth_encoding"].fillna("").tolist() == [ENCODING, ""]
    assert table["target_sha256"].notna().tolist() == [True, False]
    shard = Shard(tmp_path / table["shard"][0])
    depth = shard.stored(BY_NAME["depth"], int(table["row"][0]))
    assert depth is not None
    assert set(np.unique(depth)) == {0, 2_000, 10_000}, "nothing between the two planes and the unknown"
    assert (depth[0] == np.repeat([10_000, 2_000], 16)).all()
    target = shard.stored(BY_NAME["target"], int(table["row"][0]))
    same = prepared(tmp_path / "same", {**SOURCES, "target_source": "1"})
    again = Shard(tmp_path / "same" / same["shard"][0])
    np.testing.assert_array_equal(again.stored(BY_NAME["target"], 0), again.rgb[0])
    assert target is not None
    assert (target != shard.rgb[int(table["row"][0])]).any()


def test_a_picture_is_made_anew_when_its_map_changes_and_else_not(tmp_path: Path) -> None:
    plain = prepared(tmp_path, dict.fromkeys(SOURCES))
    first = prepared(tmp_path, SOURCES)
    files = {path.name for path in tmp_path.iterdir()}
    pd.testing.assert_frame_equal(prepared(tmp_path, SOURCES), first)
    assert {path.name for path in tmp_path.iterdir()} == files
    other = prepared(tmp_path, {**SOURCES, "depth_source_sha256": "e" * 64})
    assert {path.name for path in tmp_path.iterdir()} > files
    assert first["row"].tolist() != other["row"].tolist() or first["shard"].tolist() != other["shard"].tolist()
    assert plain[OPTIONAL_DIGESTS].isna().all(axis=None)
    assert plain.loc[1, "shard"] == first.loc[1, "shard"], "the photo without layers stays where it was"


def test_a_map_of_other_proportions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"d: the depth of flickr:1 is 60×60 px, the photo 120×80: other proportions"):
        prepared(tmp_path, SOURCES, map_px=(60, 60))


def test_the_nearest_is_where_the_middle_of_the_new_pixel_lies() -> None:
    stored = np.arange(16, dtype=np.uint16).reshape(4, 4)
    np.testing.assert_array_equal(nearest(stored, 0, 0, 4, 4), stored)
    np.testing.assert_array_equal(nearest(stored, 0, 0, 4, 2), stored[1::2, 1::2])
    np.testing.assert_array_equal(nearest(stored, 1, 2, 2, 4), np.repeat(np.repeat(stored[2:4, 1:3], 2, 0), 2, 1))
    tile = Tile(10, 20, 30, (120, 80), 15).square(stored)
    left, top, right, _ = tile.box(120, 80)
    assert (left, top, right) == pytest.approx((10, 20, 40))


@pytest.mark.parametrize("text", ["dioptre 0.0001 0.0", "relative 1.5e-05 -0.25"])
def test_an_encoding_is_read_as_it_was_written(text: str) -> None:
    assert str(Encoding.parse(text)) == text


@pytest.mark.parametrize("text", ["", "metres 1 0", "dioptre 1", "dioptre 1 0 0", "dioptre nan 0", "dioptre 1 0\n"])
def test_what_is_no_encoding_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not say what the numbers"):
        Encoding.parse(text)


def test_the_same_pixels_with_and_without_layers_are_two_rows(world: World) -> None:
    world.images([2])
    world.images([2], layered={2})
    rows = all_rows(world.shards)
    assert rows["pixels_sha256"].nunique() == 1
    assert sorted(rows["depth_sha256"] != "") == [False, True]
    assert hashlib.sha256(picture(2).rgb.tobytes()).hexdigest() == rows["pixels_sha256"][0]
    assert picture(2).rgb.shape == (SIZE_PX, SIZE_PX, 3)
    assert len(LAYERS) == 4


# --- training ---------------------------------------------------------------------------------------------------------


def job_of(world: World, identifier: str) -> TrainingJob:
    return TrainingJob.model_construct(
        manifest_path=world.snapshots / identifier / PICTURES,
        shards_dir=world.shards,
        snapshot_id=identifier,
        model="cyclegan",
        domain_a="ordinary",
        domain_b="shallow",
    )


def test_a_model_is_trained_on_the_pictures_that_have_its_layers(
    world: World, frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_snapshot(world.snapshots, frozen)
    trained = manifest[manifest["split"] == "train"]
    whole = load_data(job_of(world, frozen))
    assert len(whole.train_a) == (trained["domain"] == "ordinary").sum()
    monkeypatch.setattr(model_class("cyclegan"), "LAYERS", ("depth_b", "target_b"))
    data = load_data(job_of(world, frozen))
    having = trained[(trained["domain"] == "shallow") & trained["depth_sha256"].notna()]
    assert len(data.train_b) == len(having) > 0
    assert data.train_b.view_layer("depth", 0).shape == (SIZE_PX, SIZE_PX)
    assert len(data.train_a) == len(whole.train_a)


def test_a_snapshot_without_the_layers_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    identifier = world.freeze(NUMBERS)
    monkeypatch.setattr(model_class("cyclegan"), "LAYERS", ("depth_a",))
    with pytest.raises(TrainingError, match=r"learns from the layer depth .* which no train picture of domain 'ordinary'"):
        load_data(job_of(world, identifier))


@pytest.mark.parametrize("model", sorted(MODELS_OF_ONE_DOMAIN))
def test_licences_are_counted_of_what_a_model_is_trained_on(world: World, model: str) -> None:
    identifier = world.freeze(NUMBERS, layered={1, 2, 3, 5, 8})
    job = job_of(world, identifier).model_copy(update={"model": model})
    rows = training_rows(read_snapshot(world.snapshots, identifier), job)
    assert set(rows["domain"]) == {"ordinary"}
    assert len(rows) == len(load_data(job).train_a) > 0
    bare = read_snapshot(world.snapshots, world.freeze(NUMBERS))
    assert training_rows(bare, job).empty
    assert len(training_rows(bare, job_of(world, identifier))) == (bare["split"] == "train").sum()

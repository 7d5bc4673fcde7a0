"""Tiles of whole photos: where they lie, and everything that is done with a snapshot of them."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.config import DatasetSection
from pipeline.dataset.crop import Crop, Tile, Tiling, parse_transform, picture_id
from pipeline.dataset.diff import diff_snapshots
from pipeline.dataset.export import ExportPlan, export_snapshot
from pipeline.dataset.forget import forget_in_snapshots
from pipeline.dataset.layout import PICTURES
from pipeline.dataset.lineage import RunFacts, model_lineage, model_photos, photo_lineage
from pipeline.dataset.manifest import counts, problems
from pipeline.dataset.prepare import Readers, ShardFolder, prepare_images, prepare_named
from pipeline.dataset.restore import Kept, Photos, export_bundle, restore_snapshot
from pipeline.dataset.shards import ShardReader
from pipeline.dataset.snapshot import freeze, read_snapshot, refresh_sums, replace_parquet
from pipeline.dataset.verify import verify_snapshot
from pipeline.tables import conform
from pipeline.training.__main__ import load_data
from pipeline.training.jobs import TrainingJob
from tests.pipeline.dataset.frozen_world import World, masks

TILING = Tiling(size_px=16, tile_px=16, overlap=0.25)
NUMBERS = range(1, 9)
WIDTH, HEIGHT = 40, 24
TILES = 6
"""Of a photo of that size: 3 across, 2 down."""


@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    tile_px=st.integers(32, 300),
    overlap=st.floats(0, 0.9),
)
def test_tiles_cover_all_of_a_photo_and_overlap_as_asked(width: int, height: int, tile_px: int, overlap: float) -> None:
    tiles = Tiling(32, tile_px, overlap).tiles("sha", width, height)
    if min(width, height) < tile_px:
        assert tiles == []
        return
    covered = np.zeros((height, width), bool)
    for tile in tiles:
        covered[tile.top_px : tile.top_px + tile_px, tile.left_px : tile.left_px + tile_px] = True
    assert covered.all()
    assert len({tile.name for tile in tiles}) == len(tiles)
    for starts in ({tile.left_px for tile in tiles}, {tile.top_px for tile in tiles}):
        steps = np.diff(sorted(starts))
        assert (steps <= tile_px * (1 - overlap) + 1).all()


@given(st.integers(1, 12), st.text(max_size=8))
def test_of_many_tiles_always_the_same_few_are_taken(most: int, photo: str) -> None:
    all_of_them = Tiling(32, 32).tiles(photo, 320, 200)
    chosen = Tiling(32, 32, 0.0, most).tiles(photo, 320, 200)
    assert len(chosen) == most
    assert chosen == [tile for tile in all_of_them if tile in chosen]
    assert chosen == Tiling(32, 32, 0.0, most).tiles(photo, 320, 200)


def test_different_photos_show_different_parts() -> None:
    chosen = {tuple(Tiling(32, 32, 0.0, 2).tiles(photo, 320, 320)) for photo in "abcdef"}
    assert len(chosen) > 3


@pytest.mark.parametrize("transform", [Crop("centre", 256), Crop("subject", 286), Tile(256, 0, 512, (1600, 1067), 512)])
def test_a_name_says_all_of_its_transform(transform: Crop | Tile) -> None:
    assert parse_transform(transform.name) == transform
    assert picture_id("flickr:1", transform.name) == ("flickr:1#x256y0" if isinstance(transform, Tile) else "flickr:1")


@dataclass(frozen=True)
class Photo:
    """A decoded photo at its full size."""

    rgb: np.ndarray

    @property
    def extent(self) -> tuple[float, float]:
        return self.rgb.shape[1], self.rgb.shape[0]


def photo_of(sha256: str) -> np.ndarray:
    return np.random.default_rng(int(sha256, 16)).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def alpha_of(mask: str) -> np.ndarray:
    return photo_of(f"{1000 + int(Path(mask).stem)}")[..., 0]


def prepared(shards: Path, rows: pd.DataFrame, tiling: Tiling = TILING, shard_rows: int = 5) -> pd.DataFrame:
    table = prepare_images(
        masks=rows,
        readers=Readers(
            lambda sha256, short_edge_px: Photo(photo_of(sha256)),
            alpha_of,
            photo_size=lambda sha256: (WIDTH, HEIGHT) if int(sha256, 16) < 100 else (WIDTH, 15),
        ),
        shards=ShardFolder(shards, shard_rows),
        plan=tiling,
    )
    return conform("training_images", table)


def named(shards: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Just the tiles that the rows name."""
    read = lambda sha256, short_edge_px: Photo(photo_of(sha256))  # noqa: E731
    return conform("training_images", prepare_named(rows, Readers(read, alpha_of), ShardFolder(shards, 5)))


def frozen(world: World, numbers: range, tiling: Tiling = TILING) -> str:
    manifest = world.manifest_of(prepared(world.shards, masks(numbers), tiling), numbers)
    assert problems(manifest, masks(numbers), DatasetSection(), "ordinary", "shallow") == []
    return freeze(manifest, world.snapshots, world.shards).name


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "home")


def test_tiles_at_a_photos_own_resolution_are_its_very_pixels(world: World) -> None:
    table = prepared(world.shards, masks(range(1, 3)))
    assert len(table) == 2 * TILES
    paths = [world.shards / shard for shard in table["shard"]]
    rgb, alpha = ShardReader(paths, table["row"].tolist()).batch(np.arange(len(table)))
    for row, (photo_id, name) in enumerate(zip(table["photo_id"], table["transform"], strict=True)):
        tile, number = parse_transform(name), int(photo_id.split(":")[1])
        assert isinstance(tile, Tile)
        part = np.s_[tile.top_px : tile.top_px + 16, tile.left_px : tile.left_px + 16]
        np.testing.assert_array_equal(rgb[row], photo_of(f"{number:x}")[part])
        np.testing.assert_array_equal(alpha[row], alpha_of(f"{number}")[part])


def test_a_photo_smaller_than_a_tile_has_none(world: World) -> None:
    table = prepared(world.shards, masks(range(99, 102)))
    assert set(table["photo_id"]) == {"flickr:99"}


def test_what_is_prepared_is_not_prepared_again(world: World) -> None:
    first = prepared(world.shards, masks(NUMBERS))
    files = sorted(world.shards.iterdir())
    pd.testing.assert_frame_equal(prepared(world.shards, masks(NUMBERS), shard_rows=3), first)
    assert sorted(world.shards.iterdir()) == files
    files[0].unlink()
    again = prepared(world.shards, masks(NUMBERS))
    pd.testing.assert_frame_equal(again.drop(columns=["shard", "row"]), first.drop(columns=["shard", "row"]))


def test_the_tiles_of_a_photo_share_its_side_of_the_split(world: World) -> None:
    manifest = read_snapshot(world.snapshots, frozen(world, NUMBERS))
    assert len(manifest) == len(NUMBERS) * TILES
    assert (manifest.groupby("photo_id")["split"].nunique() == 1).all()
    assert sum(sum(splits.values()) for splits in counts(manifest).values()) == len(manifest)
    assert set(manifest["split"]) == {"train", "test"}


def test_order_and_packing_do_not_count(tmp_path: Path) -> None:
    first, second = World(tmp_path / "a"), World(tmp_path / "b")
    identifier = frozen(first, NUMBERS)
    for part in (range(5, 9), range(1, 4)):
        prepared(second.shards, masks(part), shard_rows=7)
    assert frozen(second, NUMBERS) == identifier
    for name in ("manifest.jsonl", "manifest.parquet", "attribution.csv"):
        assert (first.snapshots / identifier / name).read_bytes() == (second.snapshots / identifier / name).read_bytes()


def test_a_flipped_bit_is_found_in_its_tile(world: World) -> None:
    identifier = frozen(world, NUMBERS)
    assert verify_snapshot(world.snapshots, identifier, world.shards).sound
    row = read_snapshot(world.snapshots, identifier).iloc[11]
    path = world.shards / row["shard"]
    data, tile = bytearray(path.read_bytes()), photo_of(f"{int(row['photo_id'].split(':')[1]):x}")
    transform = parse_transform(row["transform"])
    assert isinstance(transform, Tile)
    needle = tile[transform.top_px :, transform.left_px :][:16, :16].tobytes()
    data[bytes(data).index(needle) + 3] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    (finding,) = verify_snapshot(world.snapshots, identifier, world.shards).findings
    assert (finding.file, finding.row, finding.photo_id) == (row["shard"], row["row"], row["photo_id"])


def test_attribution_has_one_row_for_each_photo(world: World) -> None:
    identifier = frozen(world, NUMBERS)
    with (world.snapshots / identifier / "attribution.csv").open(newline="") as file:
        assert sorted(row["photo_id"] for row in csv.DictReader(file)) == sorted(f"flickr:{n}" for n in NUMBERS)


def test_diff_names_photos_and_not_tiles(world: World) -> None:
    before, after = frozen(world, range(1, 8)), frozen(world, NUMBERS)
    (change,) = diff_snapshots(world.snapshots, before, after).changes
    assert (change.photo_id, change.kind) == ("flickr:8", "came")
    fewer = frozen(world, NUMBERS, Tiling(16, 16, 0.25, 3))
    changes = diff_snapshots(world.snapshots, after, fewer).changes
    assert {change.kind for change in changes} == {"changed"}
    assert len(changes) == len(NUMBERS)
    assert changes[0].why.startswith("prepared otherwise: tile-x0y0-16px-of-40x24-lanczos-16-v3 and 5 more tiles → ")


def test_forgetting_a_photo_takes_all_its_tiles(world: World) -> None:
    identifier = frozen(world, NUMBERS)
    assert forget_in_snapshots(world.snapshots, world.shards, {"flickr:3"}, 5) == [identifier]
    left = read_snapshot(world.snapshots, identifier)
    assert len(left) == (len(NUMBERS) - 1) * TILES
    assert "flickr:3" not in set(left["photo_id"])
    found = verify_snapshot(world.snapshots, identifier, world.shards)
    assert found.sound
    assert found.forgotten == {"flickr:3": 5}


@pytest.mark.parametrize("format", ["folders", "hf"])
def test_every_tile_is_exported_under_a_name_of_its_own(world: World, tmp_path: Path, format: str) -> None:
    plan = ExportPlan(format, "ordinary", "shallow")
    done = export_snapshot(world.snapshots, frozen(world, NUMBERS), world.shards, tmp_path / "out", plan)
    assert sum(done.counts.values()) == len(NUMBERS) * TILES
    with (tmp_path / "out" / "attribution.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert "tiles of 8 photos" in (tmp_path / "out" / "DATASHEET.md").read_text()
    if format == "folders":
        files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*.png")}
        assert {row["file"] for row in rows} == files
        assert len(files) == len(NUMBERS) * TILES
        assert np.asarray(Image.open(next((tmp_path / "out").glob("trainB/flickr_2_x12y*.png")))).shape == (16, 16, 3)
    else:
        assert len(rows) == len(NUMBERS)
        names = pd.concat(pd.read_parquet(path) for path in (tmp_path / "out" / "data").iterdir())["image"]
        assert names.map(lambda image: image["path"]).nunique() == len(NUMBERS) * TILES


def bundled(world: World, folder: Path) -> str:
    identifier = frozen(world, NUMBERS)
    for number in NUMBERS:
        path = world.root / "masks" / "selfie" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mask")
    export_bundle(world.snapshots, identifier, {"mask": world.root / "masks"}, folder)
    return identifier


def mask_digest(path: Path) -> str:
    return f"{int(path.stem):064d}"


def test_a_bundle_of_tiles_is_restored_elsewhere(world: World, tmp_path: Path) -> None:
    identifier = bundled(world, tmp_path / "bundle")
    other = World(tmp_path / "other")
    where = (other.snapshots, other.shards, {"mask": Kept(other.root / "masks", mask_digest)})
    asked: list[pd.DataFrame] = []

    def prepare(rows: pd.DataFrame) -> pd.DataFrame:
        asked.append(rows)
        return named(other.shards, rows)

    done = restore_snapshot(tmp_path / "bundle", *where, Photos(lambda sha256: True, lambda rows: {}), prepare)
    assert done.whole
    assert done.made == done.pictures == len(NUMBERS) * TILES
    assert len(asked[0]) == len(NUMBERS) * TILES
    assert verify_snapshot(other.snapshots, identifier, other.shards).sound
    shutil.rmtree(other.root)

    def prepare_fewer(rows: pd.DataFrame) -> pd.DataFrame:
        return named(other.shards, rows.groupby("photo_id").head(3))

    done = restore_snapshot(tmp_path / "bundle", *where, Photos(lambda sha256: True, lambda rows: {}), prepare_fewer)
    assert not done.whole
    assert set(done.differing) == {f"flickr:{number}" for number in NUMBERS}
    assert "was prepared as tile-" in done.differing["flickr:1"]


def test_each_photo_of_a_bundle_of_tiles_is_fetched_once(world: World, tmp_path: Path) -> None:
    bundled(world, tmp_path / "bundle")
    other, here = World(tmp_path / "other"), set[str]()

    def fetch(rows: pd.DataFrame) -> dict[str, str | None]:
        here.update(rows["source_sha256"])
        assert not rows.duplicated(["domain", "photo_id"]).any()
        return dict.fromkeys(rows["photo_id"])

    where = (other.snapshots, other.shards, {"mask": Kept(other.root / "masks", mask_digest)})

    def prepare(rows: pd.DataFrame) -> pd.DataFrame:
        return named(other.shards, rows)

    done = restore_snapshot(tmp_path / "bundle", *where, Photos(here.__contains__, fetch), prepare)
    assert done.whole
    assert (done.fetched, done.made) == (len(NUMBERS), len(NUMBERS) * TILES)


def test_lineage_counts_photos(world: World) -> None:
    identifier = frozen(world, NUMBERS)
    run = RunFacts("run", "smoke", 0, "cyclegan", identifier, 6, ("ordinary", "shallow"), {})
    photos = read_snapshot(world.snapshots, identifier).query("split == 'train'")["photo_id"].nunique()
    answer = model_lineage(run, world.snapshots)
    assert answer.facts["trained on"] == f"{photos} photos"
    assert len(model_photos(run, world.snapshots)) == photos
    found = photo_lineage("flickr:2", lambda _: [], world.snapshots, [run])
    assert [entry[""] for entry in found.facts["snapshots"]] == [identifier]
    assert found.facts["models"] == ["run (trained on it)"]


def test_training_draws_single_tiles(world: World) -> None:
    identifier = frozen(world, NUMBERS)
    job = TrainingJob.model_construct(
        manifest_path=world.snapshots / identifier / "pictures.parquet",
        shards_dir=world.shards,
        snapshot_id=identifier,
        model="cyclegan",
        domain_a="ordinary",
        domain_b="shallow",
    )
    data, manifest = load_data(job), read_snapshot(world.snapshots, identifier)
    trained = manifest[(manifest["domain"] == "ordinary") & (manifest["split"] == "train")]
    assert len(data.train_a) == len(trained)
    assert len(data.train_b) == 4 * TILES
    rgb, _ = data.train_b.batch(np.arange(len(data.train_b)))
    assert len({picture.tobytes() for picture in rgb}) == len(rgb)


def test_snapshots_frozen_before_there_were_tiles_are_read(world: World) -> None:
    identifier = world.freeze(NUMBERS)
    expected, path = read_snapshot(world.snapshots, identifier), world.snapshots / identifier / PICTURES
    places = pd.read_parquet(path)
    replace_parquet(path, places, [name for name in places if name != "transform"])
    refresh_sums(path.parent, world.shards, {PICTURES})
    pd.testing.assert_frame_equal(read_snapshot(world.snapshots, identifier), expected)
    assert verify_snapshot(world.snapshots, identifier, world.shards).sound

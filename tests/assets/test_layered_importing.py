"""A data set with depth goes all the way: from its folder into a frozen manifest, on its sides, and what is odd is told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from pipeline.cli import cli
from pipeline.dataset.shards import ShardReader
from pipeline.operations.training_images import implausible_depth, with_oddities
from tests.assets.worlds import CollectWorld, collect_world, save_noise

PROJECT = """
[domains.ordinary]
[domains.shallow]
[photos]
min_edge_px = 64
[masks]
segmenter = "folder"
folder = "given"
[dataset]
crop = "centre"
size_px = 32
stored_size_px = 32
test_share = {ordinary = 0.4, shallow = 0.0}
[curation]
min_kept_per_domain = 1
"""
EDGE_PX, COUNT = 96, 8
INVERTED = 2


def data_set(folder: Path) -> None:
    """Somebody at 1 m before a wall at 3 m, or in one picture the other way round; the unknown in a corner."""
    for number in range(COUNT):
        save_noise(folder / "rgb" / f"{number}.jpg", number, EDGE_PX)
        save_noise(folder / "target" / f"{number}.jpg", 50 + number, EDGE_PX)
        millimetres = np.full((EDGE_PX, EDGE_PX), 3000, np.uint16)
        millimetres[30:, 30:60] = 1000
        if number == INVERTED:
            millimetres = 4000 - millimetres
        millimetres[:4, :4] = 0
        (folder / "depth").mkdir(parents=True, exist_ok=True)
        Image.fromarray(millimetres).save(folder / "depth" / f"{number}.png")


def keep_all(world: CollectWorld) -> None:
    """Every photo kept, with a mask of the person, as a curator and a lab would give them."""
    imports = world.home.tables.read("imports")
    world.home.reviewed.mkdir(parents=True, exist_ok=True)
    rows = imports.assign(decision="keep", curator="Ann")[["photo_id", "decision", "curator"]]
    rows.to_csv(world.home.reviewed / "ann.csv", index=False)
    alpha = np.zeros((EDGE_PX, EDGE_PX), np.uint8)
    alpha[30:, 30:60] = 255
    (world.folder / "given").mkdir(exist_ok=True)
    for photo_id in imports["photo_id"]:
        Image.fromarray(alpha).save(world.folder / "given" / f"{photo_id.replace(':', '_')}.png")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_from_a_folder_to_the_manifest(tmp_path: Path) -> None:
    data_set(tmp_path / "set")
    save_noise(tmp_path / "b" / "1.jpg", 90, EDGE_PX)
    save_noise(tmp_path / "b" / "2.jpg", 91, EDGE_PX)
    with collect_world(tmp_path, text=PROJECT) as world:
        (tmp_path / "bokehflow.toml").write_text(PROJECT)
        where = ["--home", str(world.home.root), "--config", str(tmp_path / "bokehflow.toml")]
        folder = [str(tmp_path / "set"), "--layout", "pairs", "--depth-unit", "mm"]
        done = CliRunner().invoke(cli, ["import", *folder, *where])
        assert done.exit_code == 0, done.output
        assert "depth of 8 pictures: 1 to 3 m" in done.output
        assert CliRunner().invoke(cli, ["import", str(tmp_path / "b"), "--domain", "shallow", *where]).exit_code == 0
        keep_all(world)
        world.run(until="dataset_manifest")
        manifest = world.home.tables.read("dataset_manifest")
        mine = manifest[manifest["domain"] == "ordinary"].reset_index(drop=True)
        assert len(mine) == COUNT
        assert mine["depth_sha256"].notna().all()
        assert mine["target_sha256"].notna().all()
        assert manifest.loc[manifest["domain"] == "shallow", "depth_sha256"].isna().all()
        assert set(mine["split"]) == {"train", "test"}
        reader = ShardReader([world.home.shards / name for name in mine["shard"]], mine["row"].tolist())
        disparity = reader.view_layer("depth", 0)
        assert {round(float(value), 2) for value in np.unique(disparity)} == {0, 0.33, 1}
        layers = world.home.tables.read("imported_layers").set_index("name")
        images = world.home.tables.read("training_images")
        odd = implausible_depth(images)
        inverted = [told for told in odd if "the subject is farther than its surround" in told]
        assert [told.partition(": ")[0] for told in inverted] == [layers.loc[str(INVERTED), "photo_id"]]
        # What was looked at is not read again: its shards may be gone.
        bare = images.drop(columns="depth_odd")
        pd.testing.assert_series_equal(
            with_oddities(bare, tmp_path / "none", images)["depth_odd"], images["depth_odd"].astype(object)
        )
        assert implausible_depth(with_oddities(bare, world.home.shards, bare)) == odd
        assert not world.emulator.calls
        before = world.home.tables.info("training_images")
        world.run(until="dataset_manifest")
        assert world.home.tables.info("training_images") == before
        CliRunner().invoke(cli, ["import", *folder[:-1], "mm/2", *where])
        world.run(until="dataset_manifest")
        again = world.home.tables.read("dataset_manifest")
        both = manifest.merge(again, on=["domain", "photo_id"])
        assert (both["depth_sha256_x"] != both["depth_sha256_y"])[both["domain"] == "ordinary"].all()
        pd.testing.assert_series_equal(both["pixels_sha256_x"], both["pixels_sha256_y"], check_names=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--depth-unit", "mm"], "pictures alone have no depth"),
        (["--layout", "pairs", "--depth-unit", "feet"], "is no unit of depth"),
        (["--layout", "pairs", "--joined", "AB"], "leave --joined and --metadata out"),
        (["--layout", "diode"], "is it another layout, or a folder too deep?"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "bokehflow.toml").write_text("[domains.ordinary]\n[domains.shallow]\n")
    where = ["--home", str(tmp_path / "home"), "--config", str(tmp_path / "bokehflow.toml")]
    done = CliRunner().invoke(cli, ["import", str(tmp_path), *options, *where])
    assert done.exit_code == 1
    assert said in str(done.exception)

"""Data sets with depth come in as photos, with their maps, rooms and sides; what cannot be used is named and left out."""

import errno
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.commands.collecting import DATA_SETS
from pipeline.config import parse_project
from pipeline.depth.maps import read_map
from pipeline.depth.units import DepthUnit
from pipeline.errors import ConfigError, StorageError
from pipeline.operations.forget import forget
from pipeline.operations.imports import Imported, summary
from pipeline.operations.layered_imports import LAYOUTS, import_layout, with_imported_layers
from pipeline.picture_layers import Encoding
from storage import Home
from tests.assets.worlds import save_noise

PROJECT = parse_project("[domains.ordinary]\n[domains.shallow]\n[photos]\nmin_edge_px = 64\nthreads = 2\n", Path("x.toml"))
EDGE_PX = 96


def a_map(path: Path, metres: float = 2.5, edge_px: int = EDGE_PX, kind: type = np.uint16) -> None:
    """Millimetres, a corner unknown."""
    values = np.full((edge_px, edge_px), min(metres * 1000, np.iinfo(kind).max), kind)
    values[:2, :2] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def a_folder(root: Path, count: int = 3) -> Path:
    for number in range(count):
        save_noise(root / "rgb" / f"{number}.jpg", number)
        a_map(root / "depth" / f"{number}.png", 2 + number / 2)
    return root


def imported(home: Home, folder: Path, unit: str | None = "mm", layout: str = "pairs") -> Imported:
    return import_layout(PROJECT, home, folder, layout, "ordinary", DepthUnit.parse(unit) if unit else None)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_pairs_become_photos_with_maps(tmp_path: Path, home: Home) -> None:
    done = imported(home, a_folder(tmp_path / "set"))
    assert (done.pictures, done.new, done.refused, done.problems) == (3, 3, [], [])
    assert "depth of 3 pictures: 2 to 3 m, median 2.5 m, 100% known" in summary([done])
    layers = home.tables.read("imported_layers").set_index("name")
    assert set(layers["photo_id"]) == set(home.tables.read("imports")["photo_id"])
    stored, encoding = read_map(home.depth / layers.loc["1", "depth_source"])
    disparity = Encoding.parse(encoding).disparity(stored)
    np.testing.assert_allclose(disparity[5], 1 / 2.5, atol=1e-4)
    assert not disparity[:2, :2].any()
    version = home.tables.info("imported_layers")
    assert imported(home, tmp_path / "set").new == 0
    again = home.tables.info("imported_layers")
    assert version is not None
    assert again is not None
    assert again.data_version == version.data_version


def test_pictures_that_the_folder_of_temporary_files_does_not_take_are_not_refused(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are as good as they were; nothing was wrong with reading them."""

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = a_folder(tmp_path / "set")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match=rf"{tempfile.gettempdir()}: the disk is full; .* MB are free there"):
            imported(home, folder)
    assert imported(home, folder).new == 3


def test_a_corrected_unit_changes_the_maps(tmp_path: Path, home: Home) -> None:
    a_folder(tmp_path / "set")
    before = home.tables.info("imported_layers")
    imported(home, tmp_path / "set", "mm/2")
    wrong = home.tables.read("imported_layers")
    assert "replaced" not in summary([imported(home, tmp_path / "set", "mm/2")])
    done = imported(home, tmp_path / "set", "mm")
    assert "replaced the depth of 3 pictures by another (0, 1, 2); where the former" in summary([done])
    right = home.tables.read("imported_layers")
    assert before is None
    assert (wrong["depth_source"] == right["depth_source"]).all()
    assert (wrong["depth_source_sha256"] != right["depth_source_sha256"]).all()
    np.testing.assert_allclose(wrong["median_m"] * 2, right["median_m"], rtol=1e-3)


def test_nothing_is_guessed(tmp_path: Path, home: Home) -> None:
    folder = a_folder(tmp_path / "set")
    with pytest.raises(ConfigError, match="nobody says what the numbers"):
        imported(home, folder, None)
    with pytest.raises(ConfigError, match="there is no domain 'deep'"):
        import_layout(PROJECT, home, folder, "pairs", "deep", DepthUnit.parse("mm"))
    with pytest.raises(ConfigError, match="has a unit of its own"):
        imported(home, folder, "mm", "diml")
    with pytest.raises(ConfigError, match="there is no such folder"):
        imported(home, folder / "none")
    assert home.tables.read_or_empty("imports").empty


def test_the_wrong_unit_is_refused_with_the_distances(tmp_path: Path, home: Home) -> None:
    done = imported(home, a_folder(tmp_path / "set"), "m")
    assert done.pictures == 0
    assert {one.reason for one in done.refused} == {"depth"}
    assert "2e+03 to 2e+03 m" in done.refused[0].detail
    assert "most likely millimetres, metres or their steps were mistaken" in done.refused[0].detail
    assert home.tables.read_or_empty("imports").empty, "a photo without its depth would pass for one that never had any"


def test_each_bad_half_is_named_and_the_others_come_in(tmp_path: Path, home: Home) -> None:
    folder = a_folder(tmp_path / "set", 7)
    a_map(folder / "depth" / "1.png", kind=np.uint8)
    a_map(folder / "depth" / "2.png", 0)
    (folder / "depth" / "3.png").unlink()
    np.save(folder / "depth" / "3.npy", np.full((EDGE_PX, EDGE_PX), np.nan))
    np.save(folder / "depth" / "4.npy", np.full((EDGE_PX, EDGE_PX // 2), 2500.0))
    (folder / "depth" / "4.png").unlink()
    (folder / "depth" / "5.png").unlink()
    (folder / "rgb" / "6.jpg").write_bytes((folder / "rgb" / "6.jpg").read_bytes()[:-200])
    infinite = np.full((EDGE_PX, EDGE_PX), 2500.0)
    infinite[:9] = np.inf
    save_noise(folder / "rgb" / "7.jpg", 7)
    np.save(folder / "depth" / "7.npy", infinite)
    done = imported(home, folder)
    assert sorted(done.photos) == ["0", "7"]
    told = {one.file: (one.reason, one.detail) for one in done.refused}
    assert "8 bits cannot hold distances" in told["1"][1]
    assert "no pixel has a depth" in told["2"][1]
    assert "no pixel has a depth" in told["3"][1]
    assert told["4"][0] == "other_size"
    assert told["6"][0] == "truncated"
    assert done.problems == ["5.jpg: there is no map of that name in depth/"]
    layers = home.tables.read("imported_layers").set_index("name")
    assert layers.loc["7", "known"] == pytest.approx(1 - 9 / EDGE_PX)


def test_the_same_picture_twice_keeps_what_came_first(tmp_path: Path, home: Home) -> None:
    folder = a_folder(tmp_path / "set", 1)
    (folder / "rgb" / "again.jpg").write_bytes((folder / "rgb" / "0.jpg").read_bytes())
    a_map(folder / "depth" / "again.png", 9)
    done = imported(home, folder)
    assert [str(one) for one in done.refused] == [
        "again: same_picture (has the same picture as 0, which keeps what belongs to it)"
    ]
    assert home.tables.read("imported_layers")["median_m"].tolist() == pytest.approx([2], rel=1e-3)


def test_targets_are_kept_beside_and_are_no_photos(tmp_path: Path, home: Home) -> None:
    folder = tmp_path / "set"
    for number in range(2):
        save_noise(folder / "rgb" / f"{number}.jpg", number)
        save_noise(folder / "target" / f"{number}.jpg", 10 + number)
    done = imported(home, folder, None)
    layers = home.tables.read("imported_layers")
    assert done.pictures == len(home.tables.read("imports")) == 2
    assert layers["depth_source"].isna().all()
    assert all(map(home.blobs.has, layers["target_source"]))


def diml(root: Path) -> Path:
    """Two pictures of one room and one of another, for training and testing, in DIML's folders."""
    for number, (side, room) in enumerate([("train", "160217"), ("train", "160217"), ("test", "160301")]):
        stem, scene = f"in_01_{room}_12313{number}", root / side / "HR" / "12. Livingroom"
        save_noise(scene / "color" / f"{stem}_c.png", number)
        a_map(scene / "depth_filled" / f"{stem}_depth_filled.png")
    return root


def test_frames_of_a_room_share_their_key_and_their_authors_side_is_kept(tmp_path: Path, home: Home) -> None:
    done = imported(home, diml(tmp_path / "set"), None, "diml")
    assert done.told_sides == 3
    assert 'split = "given"' in done.notes[-1]
    assert sorted(home.tables.read("imports")["split"]) == ["test", "train", "train"]
    imports = home.tables.read("imports")
    masks = pd.DataFrame({"photo_id": imports["photo_id"], "split_key": imports["photo_id"]})
    both = with_imported_layers(masks, home.tables.read("imported_layers"))
    trained = set(imports.loc[imports["split"] == "train", "photo_id"])
    assert set(both.loc[both["photo_id"].isin(trained), "split_key"]) == {min(trained)}
    assert both["split_key"].nunique() == 2
    assert both["depth_source"].notna().all()
    pd.testing.assert_frame_equal(with_imported_layers(masks, home.tables.read_or_empty("imported_layers").head(0)), masks)


def test_forgetting_takes_maps_and_targets(tmp_path: Path, home: Home) -> None:
    folder = a_folder(tmp_path / "set")
    for number in range(3):
        save_noise(folder / "target" / f"{number}.jpg", 10 + number)
    imported(home, folder)
    layers = home.tables.read("imported_layers").set_index("name")
    gone, kept = layers.loc["0"], layers.loc["1"]
    forget(home, [str(gone["photo_id"])], 5)
    assert not (home.depth / gone["depth_source"]).exists()
    assert not home.blobs.has(gone["target_source"])
    assert not home.blobs.has(gone["sha256"])
    assert (home.depth / kept["depth_source"]).exists()
    assert home.blobs.has(kept["target_source"])
    assert set(home.tables.read("imported_layers")["name"]) == {"1", "2"}
    assert {one.reason for one in imported(home, folder).refused} == {"forgotten"}


def test_every_layout_of_the_documentation_is_there() -> None:
    assert set(LAYOUTS) == set(DATA_SETS)

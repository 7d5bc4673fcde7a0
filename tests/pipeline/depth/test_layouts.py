"""Folders of other people's data sets, written here in their exact layout: what is read is what was put there."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.depth.layouts import Found, RgbdPair, diml, diode, pairs, realbokeh
from pipeline.depth.nyu import FILE, nyu
from pipeline.depth.units import DepthError, DepthUnit
from pipeline.errors import ConfigError


def picture(path: Path, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (level, 20, 30)).save(path)
    return path


def stored(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


def with_litter(folder: Path) -> Path:
    """As a Mac leaves it on a disk of another system: beside each file a hidden one of the same ending."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    return folder


def metres(pair: RgbdPair) -> np.ndarray:
    """Depth of a pair, 0 where unknown."""
    assert pair.depth is not None
    disparity = pair.depth(Path.read_bytes).disparity
    return np.where(disparity > 0, 1 / np.where(disparity > 0, disparity, 1), 0)


def of_name(found: Found, name: str) -> RgbdPair:
    (pair,) = (pair for pair in found.pairs if pair.name == name)
    return pair


# --- pairs ------------------------------------------------------------------------------------------------------------


def test_pairs_are_read_in_the_unit_that_is_told(tmp_path: Path) -> None:
    values = np.full((4, 6), 2500, np.uint16)
    data = picture(tmp_path / "rgb" / "a.jpg").read_bytes()
    stored(tmp_path / "depth" / "a.png", values)
    (pair,) = pairs(with_litter(tmp_path), DepthUnit.parse("mm")).pairs
    assert np.allclose(metres(pair), 2.5)
    assert pair.rgb(Path.read_bytes) == data
    (tmp_path / "depth.toml").write_text('unit = "dioptre"\nsteps_per_unit = 10000\n')
    assert np.allclose(metres(of_name(pairs(tmp_path), "a")), 4.0)


def test_a_unit_is_never_guessed(tmp_path: Path) -> None:
    picture(tmp_path / "rgb" / "a.jpg")
    stored(tmp_path / "depth" / "a.png", np.full((4, 6), 2500, np.uint16))
    with pytest.raises(ConfigError, match=r"nobody says what the numbers.*mean"):
        pairs(tmp_path)
    (tmp_path / "depth.toml").write_text('unit = "feet"')
    with pytest.raises(ConfigError, match="no unit of depth"):
        pairs(tmp_path)


def test_a_half_without_its_other_is_named_and_no_pair(tmp_path: Path) -> None:
    picture(tmp_path / "rgb" / "a.jpg")
    picture(tmp_path / "rgb" / "lonely.jpg")
    for name in ("a", "lost"):
        stored(tmp_path / "depth" / f"{name}.npy", np.full((4, 6), 2.0))
    found = pairs(tmp_path, DepthUnit.parse("m"))
    assert [pair.name for pair in found.pairs] == ["a"]
    assert found.problems == [
        "lonely.jpg: there is no map of that name in depth/",
        "lost.npy: there is no picture of that name in rgb/",
    ]


@pytest.mark.parametrize("beside", [(), ("target",)])
def test_depth_of_which_no_map_can_be_read_is_no_folder_without_depth(tmp_path: Path, beside: tuple[str, ...]) -> None:
    for name in ("rgb", *beside):
        picture(tmp_path / name / "a.jpg")
    with pytest.raises(ConfigError, match=r"needs depth/ or target/ beside it") if not beside else nullcontext():
        pairs(tmp_path)
    (tmp_path / "depth").mkdir()
    (tmp_path / "depth" / "a.pfm").write_bytes(b"Pf")
    with pytest.raises(ConfigError, match=r"depth/ has no file that can be read, which end in \.png, \.npy, \.tif, \.tiff"):
        pairs(tmp_path, DepthUnit.parse("m"))


def test_files_that_are_passed_over_for_their_endings_are_named_and_counted(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / "rgb" / f"{name}.jpg")
    stored(tmp_path / "depth" / "a.npy", np.full((4, 6), 2.0))
    for name in ("b.exr", "c.exr", ".hidden"):
        (tmp_path / "depth" / name).touch()
    assert pairs(tmp_path, DepthUnit.parse("m")).problems == [
        "depth/: 2 files not read, such as b.exr; only .png, .npy, .tif, .tiff are",
        "b.jpg: there is no map of that name in depth/",
    ]


def test_a_picture_without_the_one_that_it_is_to_become_is_named(tmp_path: Path) -> None:
    for name in ("rgb/a.jpg", "rgb/lonely.jpg", "target/a.jpg"):
        picture(tmp_path / name)
    assert pairs(tmp_path).problems == ["lonely.jpg: there is no picture of that name in target/"]


def test_pairs_of_pictures_need_no_unit(tmp_path: Path) -> None:
    picture(tmp_path / "rgb" / "a.jpg")
    target = picture(tmp_path / "target" / "a.png")
    (pair,) = pairs(tmp_path).pairs
    assert pair.depth is None
    assert [view.picture for view in pair.targets] == [target]


def test_sixteen_bit_maps_saved_with_eight_are_found_out(tmp_path: Path) -> None:
    picture(tmp_path / "rgb" / "a.jpg")
    stored(tmp_path / "depth" / "a.png", np.full((4, 6), 200, np.uint8))
    with pytest.raises(DepthError, match="8 bits"):
        metres(pairs(tmp_path, DepthUnit.parse("mm")).pairs[0])


# --- DIML -------------------------------------------------------------------------------------------------------------


def test_diml_indoors_takes_millimetres_and_leaves_what_is_stretched_for_looking_at(tmp_path: Path) -> None:
    scene, stem = tmp_path / "train" / "HR" / "12. Livingroom", "in_01_160217_123138"
    picture(scene / "color" / f"{stem}_c.png")
    values = np.array([[0, 1800, 3000]], np.uint16)
    stored(scene / "depth_filled" / f"{stem}_depth_filled.png", values)
    stored(scene / "depth_raw" / f"{stem}_depth_raw.png", values * 2)
    stored(scene / "depth_v" / f"{stem}_depth_v.png", np.array([[0, 100, 255]], np.uint8))
    picture(scene / "color" / "in_01_160217_123200_c.png")
    found = diml(with_litter(tmp_path))
    pair = of_name(found, f"train/HR/12. Livingroom/{stem}")
    assert np.allclose(metres(pair), [[0, 1.8, 3.0]])
    assert (pair.group, pair.side) == ("12. Livingroom/in_01_160217", "train")
    (problem,) = found.problems
    assert problem.endswith("in_01_160217_123200_c.png: there is no depth_filled/in_01_160217_123200_depth_filled.png")
    assert np.allclose(metres(diml(tmp_path, raw=True).pairs[0]), [[0, 3.6, 6.0]])


def test_diml_outdoors(tmp_path: Path) -> None:
    picture(tmp_path / "test" / "street" / "outleft" / "0001.png")
    stored(tmp_path / "test" / "street" / "depthmap" / "0001.png", np.full((2, 2), 12_000, np.uint16))
    (pair,) = diml(with_litter(tmp_path)).pairs
    assert (pair.group, pair.side) == ("street", "test")
    assert np.allclose(metres(pair), 12)


# --- DIODE ------------------------------------------------------------------------------------------------------------


def test_diode_is_unknown_where_invalid_too_far_or_beside_a_step(tmp_path: Path) -> None:
    scan = tmp_path / "val" / "indoors" / "scene_00019" / "scan_00183"
    depth, valid = np.full((9, 12, 1), 2.0, np.float32), np.ones((9, 12), np.float32)
    depth[:, 6:], depth[0, 0], valid[8, 0] = 5.0, 350.0, 0
    picture(scan / "a.png")
    stored(scan / "a_depth.npy", depth)
    stored(scan / "a_depth_mask.npy", valid)
    stored(scan / "b_depth.npy", depth)
    found = diode(with_litter(tmp_path))
    (pair,) = found.pairs
    assert (pair.group, pair.side) == ("scene_00019", "test")
    read = metres(pair)
    assert (read[4, :3] == 2).all()
    assert (read[4, 9:] == 5).all()
    assert not read[:, 4:8].any()
    assert (read[0, 0], read[8, 0]) == (0, 0)
    (problem,) = found.problems
    assert "there is no b.png and no b_depth_mask.npy" in problem


# --- RealBokeh --------------------------------------------------------------------------------------------------------


def test_realbokeh_tells_its_f_numbers(tmp_path: Path) -> None:
    train = tmp_path / "train"
    picture(train / "in" / "7" / "7_f22.JPG")
    for stop in ("2.8", "4.0"):
        picture(train / "gt" / "7" / f"7_f{stop}.JPG")
    told = {
        "source_image": "in/7/7_f22.JPG",
        "target_images": ["gt/7/7_f2.8.JPG", "gt/7/7_f4.0.JPG"],
        "target_avs": [2.8, "f4.0"],
    }
    (train / "metadata").mkdir()
    (train / "metadata" / "7.json").write_text(json.dumps(told))
    for name, change in (
        ("8", {"target_avs": [2.8]}),
        ("9", {"source_image": "../../secret.JPG"}),
        ("10", {"source_image": 3}),
    ):
        (train / "metadata" / f"{name}.json").write_text(json.dumps(told | change))
    found = realbokeh(with_litter(tmp_path))
    (pair,) = found.pairs
    assert (pair.group, pair.side, [view.f_number for view in pair.targets]) == ("7", "train", [2.8, 4.0])
    assert len(found.problems) == 3


# --- NYU --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nyu_folder(tmp_path: Path) -> Path:
    """Three pictures of two rooms in MATLAB's axes: the first darker to the right, with depth growing downwards."""
    h5py = pytest.importorskip("h5py")
    from scipy.io import savemat

    rows, columns = np.mgrid[:480, :640]
    rgb = np.stack([columns // 4, rows // 4, 0 * rows], 2).astype(np.uint8)
    rgb[:, [0, 639]] = 255
    depth = (1 + rows / 480).astype(np.float32)
    with h5py.File(tmp_path / FILE, "w") as file:
        file["images"] = np.stack([rgb.transpose(2, 1, 0)] * 3)
        file["depths"] = np.stack([depth.T] * 3)
        file["rawDepths"] = np.stack([np.where(rows.T == 200, 0, depth.T)] * 3)
        texts = [file.create_dataset(f"text{number}", data=np.array([[ord(letter)] for letter in name], np.uint16))
                 for number, name in enumerate(("kitchen_0001", "kitchen_0001", "office_0003"))]  # fmt: skip
        file["scenes"] = np.array([[text.ref for text in texts]], dtype=h5py.ref_dtype)
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.array([[1], [2]]), "testNdxs": np.array([[3]])})
    return tmp_path


def test_nyu_is_upright_cropped_and_split_by_its_authors(nyu_folder: Path) -> None:
    found = nyu(nyu_folder)
    assert [(pair.name, pair.group, pair.side) for pair in found.pairs] == [
        ("0001", "kitchen_0001", "train"), ("0002", "kitchen_0001", "train"), ("0003", "office_0003", "test"),
    ]  # fmt: skip
    import io

    rgb = np.asarray(Image.open(io.BytesIO(found.pairs[0].rgb(Path.read_bytes))))
    assert rgb.shape == (426, 560, 3)
    assert tuple(rgb[0, 0]) == (41 // 4, 45 // 4, 0)
    assert tuple(rgb[-1, -1]) == (600 // 4, 470 // 4, 0)
    depth = metres(found.pairs[0])
    assert depth.shape == (426, 560)
    assert np.allclose(depth[:, 0], 1 + np.arange(45, 471) / 480, atol=1e-5)
    raw = metres(nyu(nyu_folder, raw=True).pairs[0])
    assert not raw[200 - 45].any()
    assert np.count_nonzero(raw == 0) == 560


def test_another_file_is_no_nyu(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    (tmp_path / FILE).write_text("<html>")
    with pytest.raises(DepthError, match="no file of MATLAB"):
        nyu(tmp_path)


def test_without_h5py_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / FILE).touch()
    with pytest.raises(ConfigError, match=r"bokehflow\[nyu\]"):
        nyu(tmp_path)


@pytest.mark.parametrize("layout", [pairs, diml, diode, realbokeh, nyu])
def test_an_empty_folder_is_no_data_set(tmp_path: Path, layout: Callable[[Path], Found]) -> None:
    with pytest.raises(ConfigError, match="has no"):
        layout(tmp_path)

"""Photos of a home beside what a model makes of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.operations.results import are_there, enter, forget_results, result_paths, write_pair

FIRST, SECOND = "0" * 64, "1" * 64


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)


def test_what_a_result_leaves_alone_looks_so_beside_its_photo(tmp_path: Path) -> None:
    before, after = result_paths(tmp_path, "folder:aa")
    write_pair((before, after), noise(), noise())
    assert (before.name, after.name) == ("folder_aa-photo.jpg", "folder_aa.png")
    np.testing.assert_array_equal(np.asarray(Image.open(after)), noise())
    apart = np.abs(np.asarray(Image.open(before)).astype(int) - noise())
    assert apart.mean() < 2.0


def test_results_of_another_model_go_and_photos_stay(tmp_path: Path) -> None:
    before, after = result_paths(tmp_path, "folder:aa")
    write_pair((before, after), noise(), noise())
    enter(tmp_path, FIRST)  # nothing was told of the results of earlier versions
    enter(tmp_path, FIRST)
    assert after.exists()
    enter(tmp_path, SECOND)
    assert before.exists()
    assert not after.exists()


def test_what_lies_of_a_forgotten_photo_goes_from_the_results_of_all_snapshots(tmp_path: Path) -> None:
    for snapshot in ("a", "b"):
        for photo_id in ("folder:aa", "folder:aab"):
            for file in ("", "b/folder_aa.jpg", "me_.jpg"):
                write_pair(result_paths(tmp_path / snapshot, photo_id, file), noise(), noise())
        enter(tmp_path / snapshot, FIRST)
    assert forget_results(tmp_path, ["folder:aa", "folder:none", "flickr:../a/made-by", "flickr:1\n"]) == 12
    left = {path.name for path in tmp_path.rglob("*.*g")}
    stems = ("folder_aab", "folder_aa_folder_aab", "me__folder_aab")
    assert left == {stem + ending for stem in stems for ending in ("-photo.jpg", ".png")}
    assert forget_results(tmp_path / "none", ["folder:aa"]) == 0


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("holidays/IMG_0007.HEIC", "IMG_0007_folder_aa.png"),
        ("肖像 (2).jpg", "肖像 (2)_folder_aa.png"),
        ("caf\\xe9.jpg", "caf_xe9_folder_aa.png"),
        ("https://example.org/a.jpg?size=1:2", "a_folder_aa.png"),
    ],
)
def test_results_bear_the_name_of_the_file_that_came(tmp_path: Path, file: str, name: str) -> None:
    assert result_paths(tmp_path, "folder:aa", file)[1].name == name


def test_a_long_name_is_shortened(tmp_path: Path) -> None:
    write_pair(result_paths(tmp_path / "a", "folder:aa", 120 * "肖" + ".jpg"), noise(), noise())
    assert forget_results(tmp_path, ["folder:aa"]) == 2


def test_results_of_earlier_versions_get_the_name_of_the_file(tmp_path: Path) -> None:
    assert not are_there(tmp_path, "folder:aa", "me.jpg")
    write_pair(result_paths(tmp_path, "folder:aa"), noise(), noise())
    assert are_there(tmp_path, "folder:aa", "me.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["me_folder_aa-photo.jpg", "me_folder_aa.png"]

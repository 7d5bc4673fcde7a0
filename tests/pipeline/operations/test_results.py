"""Photos of a home beside what a model makes of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.operations.results import enter, forget_results, result_paths, write_pair

FIRST, SECOND = "0" * 64, "1" * 64


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)


def test_what_a_result_leaves_alone_looks_so_beside_its_photo(tmp_path: Path) -> None:
    write_pair(tmp_path, "folder:aa", noise(), noise())
    before, after = result_paths(tmp_path, "folder:aa")
    assert (before.name, after.name) == ("folder_aa-photo.jpg", "folder_aa.png")
    np.testing.assert_array_equal(np.asarray(Image.open(after)), noise())
    apart = np.abs(np.asarray(Image.open(before)).astype(int) - noise())
    assert apart.mean() < 2.0


def test_results_of_another_model_go_and_photos_stay(tmp_path: Path) -> None:
    write_pair(tmp_path, "folder:aa", noise(), noise())
    before, after = result_paths(tmp_path, "folder:aa")
    enter(tmp_path, FIRST)  # nothing was told of the results of earlier versions
    enter(tmp_path, FIRST)
    assert after.exists()
    enter(tmp_path, SECOND)
    assert before.exists()
    assert not after.exists()


def test_what_lies_of_a_forgotten_photo_goes_from_the_results_of_all_snapshots(tmp_path: Path) -> None:
    for snapshot in ("a", "b"):
        for photo_id in ("folder:aa", "folder:aab"):
            write_pair(tmp_path / snapshot, photo_id, noise(), noise())
        enter(tmp_path / snapshot, FIRST)
    assert forget_results(tmp_path, ["folder:aa", "folder:none", "flickr:../a/made-by", "flickr:1\n"]) == 4
    left = sorted(path.name for path in tmp_path.rglob("folder*"))
    assert left == ["folder_aab-photo.jpg"] * 2 + ["folder_aab.png"] * 2
    assert forget_results(tmp_path / "none", ["folder:aa"]) == 0

"""What `translate` calls its results."""

from pathlib import Path

import pytest

from pipeline.training.application import result_stems


@pytest.mark.parametrize(
    ("photos", "stems"),
    [
        ([], []),
        (["a/IMG_1.jpg"], ["IMG_1"]),
        (["a/IMG_1.jpg", "b/IMG_1.jpg", "b/IMG_2.jpg"], ["a_IMG_1_jpg", "b_IMG_1_jpg", "IMG_2"]),
        (["IMG_1.jpg", "IMG_1.png"], ["IMG_1_jpg", "IMG_1_png"]),
        (["a/x/1.jpg", "a/y/1.jpg"], ["x_1_jpg", "y_1_jpg"]),
        (["x.jpg", "x.png", "x_jpg.tif"], ["x_jpg", "x_png", "x_jpg_2"]),
        (["a/I.jpg", "b/i.jpg", "c/i.jpg"], ["a_I_jpg", "b_i_jpg", "c_i_jpg"]),
        (["a/1.jpg", "a/1.jpg"], ["1_jpg", "1_jpg_2"]),
        ([f"{100 * '肖像'}.jpg"], [f"{10 * '肖像'}-c93bbe63"]),
    ],
)
def test_photos_of_one_name_have_results_of_different_names(photos: list[str], stems: list[str]) -> None:
    assert result_stems([Path(photo) for photo in photos]) == stems

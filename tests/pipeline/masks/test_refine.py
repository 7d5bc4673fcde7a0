"""Colours that decide, edges that are followed; and nothing touched that was right."""

import threading

import numpy as np
import pytest
from PIL import Image

from pipeline.masks.quality import alpha_error
from pipeline.masks.refine import decide_by_colour, enlarged_along_edges, follow_edges
from tests.pipeline.masks.drawn_person import drawn_person


def coloured(height_px: int = 120, width_px: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A red disk on green, both a little noisy: the picture and where the disk is."""
    ys, xs = np.mgrid[0:height_px, 0:width_px]
    disk = (ys - 60) ** 2 + (xs - 80) ** 2 < 40**2
    rgb = np.where(disk[..., None], (180, 50, 40), (40, 150, 60)) + np.random.default_rng(0).normal(
        0, 8, (height_px, width_px, 3)
    )
    return rgb.clip(0, 255).astype(np.uint8), disk


def test_colour_decides_where_the_segmenter_was_unsure() -> None:
    rgb, disk = coloured()
    alpha = np.where(disk, 255, 0).astype(np.uint8)
    alpha[10:50, 5:45] = 130
    alpha[50:80, 60:100] = 110
    found = decide_by_colour(rgb, alpha)
    assert found[15:45, 10:40].max() < 30
    assert found[55:75, 65:95].min() > 225


@pytest.mark.parametrize("step", [decide_by_colour, follow_edges])
@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_of_one_kind_is_left_alone(step: object, level: int) -> None:
    rgb, _ = coloured()
    alpha = np.full(rgb.shape[:2], level, np.uint8)
    assert callable(step)
    np.testing.assert_array_equal(step(rgb, alpha), alpha)


def test_a_sure_segmenter_is_believed() -> None:
    rgb, disk = coloured()
    wrong = np.roll(disk, 30, axis=1)
    alpha = np.where(wrong, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(decide_by_colour(rgb, alpha), alpha)


def test_edges_move_to_the_pictures() -> None:
    picture, truth = drawn_person(320, 400)
    share = truth.reshape(50, 8, 40, 8).mean((1, 3))
    coarse = np.kron(share >= 0.5, np.ones((8, 8))).astype(np.uint8) * 255
    found = follow_edges(picture, coarse)
    assert ((found >= 128) != truth).mean() < 0.5 * ((coarse >= 128) != truth).mean()


@pytest.mark.parametrize("level", [0, 255])
def test_a_photo_of_one_kind_is_left_alone_when_enlarged(level: int) -> None:
    rgb, _ = coloured(480, 640)
    alpha = np.full((120, 160), level, np.uint8)
    found = enlarged_along_edges(alpha, rgb[::4, ::4], rgb)
    np.testing.assert_array_equal(found, np.full((480, 640), level, np.uint8))


@pytest.mark.parametrize("times", [2, 4])
def test_strands_that_a_small_alpha_has_lost_are_found_in_the_photo(times: int) -> None:
    rows, columns = np.mgrid[:384, :384]
    truth = (rows > 192) | ((columns % 24 < 6) & (rows > 96))
    photo = np.where(truth[..., None], (60, 40, 30), (190, 200, 210)).astype(np.uint8)
    size = (384 // times, 384 // times)
    share = Image.fromarray((truth * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
    enlarged = np.asarray(share.resize((384, 384), Image.Resampling.LANCZOS))
    found = enlarged_along_edges(np.asarray(share), small, photo)
    assert alpha_error(found, truth * np.uint8(255)) < 0.4 * alpha_error(enlarged, truth * np.uint8(255))


def test_equal_pictures_give_equal_masks_on_every_thread() -> None:
    rgb, disk = coloured()
    alpha = np.where(disk, 255, 0).astype(np.uint8)
    alpha[10:60, 5:70] = 130
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(decide_by_colour(rgb, alpha))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])

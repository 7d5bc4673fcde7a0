"""Who is meant among several people, and what is cleaned away."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.masks.subject import choose_subject, fill_holes

WIDTH_PX, HEIGHT_PX = 240, 160


def scene(*boxes: tuple[int, int, int, int], soft: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """People as boxes (left, top, right, bottom) full of fine detail, those numbered in `soft` without; and the alpha."""
    rgb, alpha = np.full((HEIGHT_PX, WIDTH_PX, 3), 90, np.uint8), np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes):
        box = slice(top, bottom), slice(left, right)
        rgb[box] = 128 if number in soft else noise[box]
        alpha[box] = 255
    return rgb, alpha


def chosen(alpha: np.ndarray, boxes: tuple[tuple[int, int, int, int], ...]) -> list[int]:
    """Numbers of the boxes whose middle is opaque."""
    return [n for n, (left, top, right, bottom) in enumerate(boxes) if alpha[(top + bottom) // 2, (left + right) // 2] > 127]


@pytest.mark.parametrize(
    ("boxes", "soft", "subject"),
    [
        (((90, 40, 150, 160), (10, 60, 50, 160)), (), 0),
        (((10, 60, 50, 160), (90, 40, 150, 160)), (), 1),
        (((100, 60, 140, 160), (5, 60, 45, 160)), (), 0),
        (((40, 40, 100, 160), (140, 40, 200, 160)), (0,), 1),
    ],
    ids=["the larger", "whatever the order", "the one in the middle", "the one in focus"],
)
def test_the_subject_is_large_central_and_sharp(
    boxes: tuple[tuple[int, int, int, int], ...], soft: tuple[int, ...], subject: int
) -> None:
    rgb, alpha = scene(*boxes, soft=soft)
    found = choose_subject(rgb, alpha, "drop")
    assert chosen(found.alpha, boxes) == [subject]
    assert found.people == 2
    assert found.runner_up is not None
    assert 0 < found.runner_up < 0.5
    left, top, right, bottom = boxes[subject]
    np.testing.assert_array_equal(found.alpha[top:bottom, left:right], 255)


def test_of_five_people_who_are_alike_those_in_the_middle_are_meant() -> None:
    boxes = tuple((10 + 45 * n, 50, 45 + 45 * n, 160) for n in range(5))
    found = choose_subject(*scene(*boxes), "drop")
    assert found.people == 5
    assert chosen(found.alpha, boxes) == [1, 2, 3]
    assert found.runner_up is not None
    assert found.runner_up > 0.5
    assert chosen(choose_subject(*scene(*boxes), "keep").alpha, boxes) == [0, 1, 2, 3, 4]


def test_without_anybody_nothing_is_opaque() -> None:
    found = choose_subject(*scene(), "drop")
    assert (found.people, found.runner_up) == (0, 0.0)
    assert not found.alpha.any()


@pytest.mark.parametrize("others", ["drop", "keep"])
def test_specks_go_and_holes_close(others: str) -> None:
    rgb, alpha = scene((90, 40, 150, 160))
    alpha[10:14, 20:24] = 255
    alpha[80:84, 118:122] = 0
    alpha[100:130, 100:130] = 0
    found = choose_subject(rgb, alpha, "keep" if others == "keep" else "drop").alpha
    assert not found[10:14, 20:24].any()
    assert (found[80:84, 118:122] == 255).all()
    assert not found[105:125, 105:125].any()


def test_two_people_linked_by_a_thread_are_two() -> None:
    boxes = ((20, 60, 70, 160), (110, 40, 200, 160))
    rgb, alpha = scene(*boxes)
    alpha[100, 70:110] = 255
    found = choose_subject(rgb, alpha, "drop")
    assert found.people == 2
    assert chosen(found.alpha, boxes) == [1]


def test_soft_hair_around_the_subject_stays() -> None:
    rgb, alpha = scene((90, 40, 150, 160))
    alpha[36:40, 90:150] = 60
    found = choose_subject(rgb, alpha, "drop").alpha
    assert (found[37:40, 95:145] == 60).all()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_hole_at_the_frame_stays_and_nothing_opaque_is_lost(seed: int) -> None:
    blobs = np.random.default_rng(seed).integers(0, 2, (20, 30)).repeat(6, 0).repeat(6, 1).astype(np.uint8) * 255
    filled = fill_holes(blobs)
    assert (filled >= blobs).all()
    outside = np.zeros_like(blobs, dtype=bool)
    outside[[0, -1]], outside[:, [0, -1]] = True, True
    np.testing.assert_array_equal(filled[outside], blobs[outside])

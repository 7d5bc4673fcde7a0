"""Who is meant among several people, and what is cleaned away."""

from typing import cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.masks.subject import Others, choose_subject, fill_holes

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


def test_another_word_for_others_is_refused() -> None:
    with pytest.raises(ValueError, match="it may be drop, keep, nearest"):
        choose_subject(*scene((90, 40, 150, 160)), cast("Others", "dorp"))


def test_without_anybody_nothing_is_opaque() -> None:
    found = choose_subject(*scene(), "drop")
    assert (found.people, found.runner_up) == (0, 0.0)
    assert not found.alpha.any()


@pytest.mark.parametrize("others", ["drop", "keep"])
def test_specks_go_and_holes_close(others: str) -> None:
    rgb, alpha = scene((90, 40, 150, 160))
    alpha[10:14, 20:24] = alpha[150:154, 20:24] = 255
    alpha[80:84, 118:122] = 0
    alpha[100:130, 100:130] = 0
    found = choose_subject(rgb, alpha, "keep" if others == "keep" else "drop").alpha
    assert not found[:, 20:24].any()
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


def depth_of(boxes: tuple[tuple[int, int, int, int], ...], disparities: tuple[float, ...]) -> np.ndarray:
    """Boxes at these disparities, the later before the earlier, before a wall at .2."""
    found = np.full((HEIGHT_PX, WIDTH_PX), 0.2, np.float32)
    for (left, top, right, bottom), disparity in zip(boxes, disparities, strict=True):
        found[top:bottom, left:right] = disparity
    return found


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (40.0, 7.0)], ids=["metric", "relative"])
@pytest.mark.parametrize(
    ("disparities", "meant", "unclear"),
    [((0.5, 1.0), [1], False), ((1.0, 0.5), [0], False), ((1.0, 0.95), [0, 1], True)],
    ids=["the smaller at the side", "the larger in the middle", "both as near"],
)
def test_the_nearest_is_meant_whatever_the_unit_of_depth(
    disparities: tuple[float, float], meant: list[int], unclear: bool, scale: float, shift: float
) -> None:
    boxes = ((90, 30, 160, 160), (10, 60, 60, 160))
    found = choose_subject(*scene(*boxes), "nearest", scale * depth_of(boxes, disparities) + np.float32(shift))
    assert chosen(found.alpha, boxes) == meant
    assert found.people == 2
    assert found.runner_up is not None
    assert (found.runner_up >= 0.5) == unclear


def test_people_who_touch_are_told_apart_where_depth_steps_even_softly() -> None:
    boxes = ((40, 30, 130, 160), (110, 50, 190, 160))
    disparity = cv2.blur(depth_of(boxes, (0.5, 1.0)), (5, 5))
    rgb, alpha = scene(*boxes)
    assert choose_subject(rgb, alpha, "drop").people == 1
    found = choose_subject(rgb, alpha, "nearest", disparity)
    assert found.people == 2
    left, top, right, bottom = boxes[1]
    assert (found.alpha[top + 3 : bottom, left + 3 : right] == 255).all()
    assert not found.alpha[30:160, 40 : left - 3].any()


def test_a_hand_before_its_person_belongs_to_it_and_a_slanted_body_stays_whole() -> None:
    person, hand = (90, 30, 150, 160), (100, 90, 115, 105)
    disparity = depth_of((person, hand), (0.6, 1.0))
    disparity[30:160, 90:150] += np.linspace(0, 0.3, 130, dtype=np.float32)[:, None]
    found = choose_subject(*scene(person), "nearest", disparity)
    assert found.people == 1
    assert (found.alpha[30:160, 90:150] == 255).all()


def test_without_a_known_depth_of_people_the_score_decides() -> None:
    boxes = ((90, 40, 150, 160), (10, 60, 50, 160))
    disparity = depth_of(boxes, (0.0, 0.0))
    for depth in (None, disparity):
        assert chosen(choose_subject(*scene(*boxes), "nearest", depth).alpha, boxes) == [0]
    disparity[60:160, 10:50] = 0.4
    assert chosen(choose_subject(*scene(*boxes), "nearest", disparity).alpha, boxes) == [1]

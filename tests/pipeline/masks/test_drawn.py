"""Masks that a person drew: strokes, files, and that they go before the segmenter's."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DatasetError
from pipeline.masks.drawn import DrawnFirst, DrawnMasks, Stroke, painted, parse_strokes
from pipeline.masks.person_masks import read_mask, segment_photos
from tests.pipeline.masks.test_person_masks import BrightSegmenter, bright, photos

POINT = st.tuples(st.integers(0, 1000), st.integers(0, 1000))
STROKES = st.lists(
    st.builds(Stroke, st.booleans(), st.integers(1, 500), st.lists(POINT, min_size=1, max_size=6).map(tuple)),
    min_size=1, max_size=5,
)  # fmt: skip


def written(strokes: list[Stroke]) -> str:
    """As the page sends them."""
    texts = []
    for stroke in strokes:
        numbers = [stroke.radius, *(number for point in stroke.points for number in point)]
        texts.append(("a" if stroke.adds else "r") + ".".join(map(str, numbers)))
    return "_".join(texts)


@given(STROKES)
def test_strokes_are_read_as_they_were_written(strokes: list[Stroke]) -> None:
    assert parse_strokes(written(strokes)) == strokes


@pytest.mark.parametrize(
    "text",
    ["", "a", "a5", "a5.1", "a5.1.2.3", "b5.1.2", "a0.1.2", "a501.1.2", "a5.1001.2", "a5.1.2_", "a5.-1.2",
     "_".join(["a5.1.2"] * 501)],
)  # fmt: skip
def test_what_are_no_strokes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"stroke|drawn|outside"):
        parse_strokes(text)


@given(STROKES)
def test_painting_the_same_again_changes_nothing(strokes: list[Stroke]) -> None:
    once = painted(np.full((40, 60), 90, np.uint8), strokes)
    np.testing.assert_array_equal(painted(once, strokes), once)


def test_strokes_add_and_take_away_where_they_are() -> None:
    alpha = np.zeros((100, 200), np.uint8)
    added = painted(alpha, parse_strokes("a50.500.500"))
    assert (added[50, 100], added[50, 105], added[50, 115]) == (255, 255, 0)
    assert painted(added, parse_strokes("r100.500.500")).max() == 0


def test_the_newest_counts_even_if_the_clock_was_set_back(tmp_path: Path) -> None:
    drawn, first, second = DrawnMasks(tmp_path), np.zeros((4, 6), np.uint8), np.full((4, 6), 255, np.uint8)
    versions = [drawn.version()]
    drawn.save("a" * 64, first, "Ann", 2000.0)
    versions.append(drawn.version())
    drawn.save("a" * 64, second, "Zoë 📷", 1000.0)
    versions.append(drawn.version())
    subject = drawn.read(drawn.newest()["a" * 64])
    np.testing.assert_array_equal(subject.alpha, second)
    assert subject.drawn_by == "Zoë 📷"
    assert len(set(versions)) == 3


def test_a_drawn_mask_goes_before_the_segmenters_and_names_its_author(tmp_path: Path) -> None:
    drawn = DrawnMasks(tmp_path / "drawn")
    before = segment_photos(photos([30, 50]), DrawnFirst(drawn, bright()), tmp_path / "masks", 0.02)
    mine = np.zeros((32, 64), np.uint8)
    mine[:16] = 255
    drawn.save(f"{50:064}", mine, "Ann", 1.0)
    segmenter = BrightSegmenter()
    source = DrawnFirst(drawn, bright(segmenter=segmenter))
    after = segment_photos(photos([30, 50]), source, tmp_path / "masks", 0.02, known=before)
    assert after["drawn_by"].fillna("").tolist() == ["", "Ann"]
    np.testing.assert_array_equal(read_mask(tmp_path / "masks" / after["mask"][1]), mine)
    assert after["mask"][0] == before["mask"][0]
    assert segmenter.shapes == []
    again = segment_photos(photos([30, 50]), DrawnFirst(drawn, bright()), tmp_path / "masks", 0.02)
    assert again["drawn_by"].fillna("").tolist() == ["", "Ann"]


def test_a_damaged_drawn_mask_says_so(tmp_path: Path) -> None:
    path = DrawnMasks(tmp_path).save("a" * 64, np.zeros((4, 6), np.uint8), "Ann", 1.0)
    path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="draw it again"):
        DrawnMasks(tmp_path).read(path)

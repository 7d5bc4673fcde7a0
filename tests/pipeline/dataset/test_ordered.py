"""Rows in order are neither sorted nor joined again, and what comes of them is as if they were."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.ordered import have_same_keys, in_order, places_in
from pipeline.dataset.snapshot import _without_found, _without_parsed

WORDS = st.sampled_from(["", "a", "b", "é", "z", "𝄞", None])
FRAMES = st.lists(st.tuples(WORDS, WORDS), max_size=6).map(lambda rows: pd.DataFrame(rows, columns=["x", "y"], dtype=object))


@given(FRAMES, st.booleans(), st.booleans())
def test_rows_in_order_are_as_if_sorted(frame: pd.DataFrame, is_sorted: bool, is_typed: bool) -> None:
    rows = frame.astype("str") if is_typed else frame
    rows = (rows.sort_values(["x", "y"]) if is_sorted else rows).assign(at=range(len(rows)))
    pd.testing.assert_frame_equal(in_order(rows, ["x", "y"]), rows.sort_values(["x", "y"], ignore_index=True))


@given(FRAMES, FRAMES)
def test_keys_are_the_same_where_a_join_by_them_changes_no_place(left: pd.DataFrame, right: pd.DataFrame) -> None:
    for one, other in ((left, right), (left, left), (left.dropna().drop_duplicates().sort_values(["x", "y"]),) * 2):
        told = have_same_keys(one, other, ["x", "y"])
        values = [[*map(tuple, rows.to_numpy().tolist())] for rows in (one, other)]
        is_whole = not one.isna().to_numpy().any() and len(set(values[0])) == len(one)
        assert told == (values[0] == values[1] and is_whole and values[0] == sorted(values[0]))


def test_the_first_row_that_has_a_text_is_found() -> None:
    assert places_in(pd.Series(["b", None, "a", "b"]), pd.Series(["a", "c", None, "b"])).tolist() == [2, -1, -1, 0]


TEXTS = st.text('ab",\n 1', max_size=5)


@given(st.lists(st.tuples(st.sampled_from(["flickr:1", "flickr:11", "commons:2"]), TEXTS, TEXTS), max_size=5), st.booleans())
def test_an_attribution_loses_the_rows_that_reading_all_of_it_would_find(rows: list[tuple[str, ...]], ends: bool) -> None:
    text = pd.DataFrame(rows, columns=["photo_id", "title", "page_url"]).to_csv(index=False, lineterminator="\n")
    data = (text if ends else text.rstrip("\n")).encode()
    for gone in ({"flickr:1"}, {"commons:2", "flickr:1"}):
        found = _without_found(data, gone)
        assert found is None or found == _without_parsed(data, gone)


@pytest.mark.parametrize("row", ['flickr:1,a"b\nflickr:2,"c"\n', 'flickr:2,a"b\nflickr:1,c\n', "flickr:2,see flickr:1\n"])
def test_an_attribution_of_another_form_is_read_whole(row: str) -> None:
    assert _without_found(b"photo_id,title\n" + row.encode(), {"flickr:1"}) is None

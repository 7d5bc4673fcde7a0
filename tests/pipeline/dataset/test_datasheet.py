"""What a datasheet says of where pictures come from is true of that snapshot."""

from typing import Any

import pandas as pd
import pytest

from pipeline.dataset.datasheet import datasheet

SEARCHED = "Flickr's public search"
ALL = "every result was listed, none was sampled"
QUERY = {"text": "portrait", "camera": "apple/iphone_7"}


def sheet(photo_ids: list[str], owners: list[str | None], queries: list[dict[str, Any]]) -> str:
    manifest = pd.DataFrame({
        "photo_id": photo_ids, "domain": "ordinary", "split": "train", "transform": "t", "license": "4",
        "owner": pd.Series(owners, dtype=object),
    })  # fmt: skip
    made = {"months": {"from": "2016-09", "to": None}, "domains": {"ordinary": {"title": "", "queries": queries}}}
    return datasheet(manifest, {"id": "ab", "sha256": "abcd", "made_from": made})


def test_a_search_without_limit_was_not_sampled() -> None:
    text = sheet(["flickr:1", "flickr:2"], ["a", "b"], [QUERY])
    assert SEARCHED in text
    assert ALL in text
    assert "bokehflow import" not in text
    assert "One side comes from few cameras (apple/iphone_7)" in text
    assert "2 owners; the most frequent has 50% of the pictures, the 10 most frequent 100%." in text


def test_a_limited_search_says_which_results_were_listed() -> None:
    text = sheet(["flickr:1"], ["a"], [QUERY, {**QUERY, "limit_per_month": 20}])
    assert ALL not in text
    assert "where a query has a `limit_per_month`, each month's earliest uploads up to it" in text


def test_imports_alone_do_not_come_from_flickr() -> None:
    text = sheet(["folder:1", "folder:2"], ["", None], [])
    assert SEARCHED not in text
    assert "Flickr's members" not in text
    assert "2 of the 2 photos were brought from folders of the keeper's own" in text
    assert "- Of no picture the owner is known." in text


@pytest.mark.parametrize("empty", ["", None])
def test_an_owner_who_is_not_known_is_none_of_them(empty: str | None) -> None:
    text = sheet(["flickr:1", "folder:1", "folder:2"], ["a", empty, empty], [QUERY])
    assert "1 owner; the most frequent has 33%" in text
    assert "; of 2 pictures the owner is not known." in text
    assert SEARCHED in text
    assert "2 of the 3 photos were brought" in text


def test_nothing_is_said_of_flickr_where_nothing_came_from_it() -> None:
    written = sheet(["folder:ab", "folder:cd"], [None, None], [])
    assert "flickr" not in written.lower()
    assert "not asked" not in written
    assert "###" not in written
    assert "Flickr's members were not asked" in sheet(["flickr:1", "folder:cd"], ["a", None], [])


@pytest.mark.parametrize(
    ("curators", "words"),
    [
        (["ann", None], "- Keep or drop is one curator's judgement"),
        (["ann", "suggested"], "- Nobody looked at 1 of the 2 photos: what measurements suggest was accepted."),
        (["suggested", "suggested"], "- Nobody looked at 2 of the 2 photos"),
    ],
)
def test_photos_that_nobody_looked_at_are_no_curators_judgement(curators: list[str | None], words: str) -> None:
    manifest = pd.DataFrame({
        "photo_id": ["folder:1", "folder:2"], "domain": "ordinary", "split": "train", "transform": "t", "license": "4",
        "owner": "o", "curator": pd.Series(curators, dtype=object),
    })  # fmt: skip
    text = datasheet(manifest, {"id": "ab", "sha256": "abcd", "made_from": {}})
    assert words in text
    assert ("judgement" in text) == ("ann" in curators)

"""Photo ids as people and spreadsheets write them."""

import doctest

import pytest

from pipeline import photo_ids
from pipeline.photo_ids import written_id


@pytest.mark.parametrize(
    "written",
    [
        "flickr:4951", " Flickr:4951 ", "FLICKR:4951", "4951", "4951.0", "4951,00", "\u00a04951",
        "https://www.flickr.com/photos/7478087@N06/4951/in/pool", "http://flickr.com/photos/ann/4951",
        "www.flickr.com/photos/ann/4951/", "https://www.flickr.com/photos/ann/4951?x=1",
    ],
)  # fmt: skip
def test_all_ways_of_writing_a_photo_of_flickr(written: str) -> None:
    assert written_id(written) == "flickr:4951"


@pytest.mark.parametrize(
    "other", ["", "folder:ab12", "4.95E+10", "٤٩٥١", "flickr.com/photos/ann", "https://x.org/photos/a/1"]
)
def test_what_is_no_number_of_flickr_stays(other: str) -> None:
    assert written_id(other) == other


def test_the_source_of_ones_own_in_capitals() -> None:
    assert written_id("Folder:ab12") == "folder:ab12"


def test_the_examples_hold() -> None:
    assert doctest.testmod(photo_ids).failed == 0

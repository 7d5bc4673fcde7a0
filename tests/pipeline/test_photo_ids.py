"""Photo ids as people and spreadsheets write them."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import photo_ids
from pipeline.photo_ids import commons_file, written_id


@pytest.mark.parametrize(
    "written",
    [
        "flickr:4951", " Flickr:4951 ", "FLICKR:4951", "4951", "4951.0", "4951,00", "\u00a04951",
        "https://www.flickr.com/photos/7478087@N06/4951/in/pool", "http://flickr.com/photos/ann/4951",
        "www.flickr.com/photos/ann/4951/", "https://www.flickr.com/photos/ann/4951?x=1", "flickr: 4951", "4951.",
        "https://www.flickr.com/photos/ann/4951/in/album-72157/", "https://m.flickr.com/photos/ann/4951/sizes/l/#x",
        "https://www.flickr.com/photos/ann%40N01/4951/in/photostream/lightbox/", "HTTPS://WWW.Flickr.com:443/photos/ann/4951",
        "https://secure.flickr.com/photos/ann/4951", "https://www.flickr.com/#/photos/ann/4951",
        "embedr.flickr.com/photos/4951", "https://www.flickr.com/photo.gne?id=4951", "http://flickr.com/photo_zoom.gne?size=l&id=4951",
        "https://www.flickr.com/photo.gne?short=2tn", "https://flic.kr/p/2tn", "flic.kr/p/2tn/", "http://flic.kr/p/2tn?a=b",
        "https://live.staticflickr.com/65535/4951_0a1b2c3d4e_b.jpg", "http://farm5.static.flickr.com/4321/4951_0a1b.jpg",
        "https://farm5.staticflickr.com/4321/4951_0a1b2c3d4e_o_d.jpg?zz=1", "https://c1.staticflickr.com/5/4321/4951_0a1b_z.png",
        "//live.staticflickr.com/1/4951_a_k.jpg", "https://live.staticflickr.com/video/4951/0a1b/720p.mp4?s=x",
        "<https://www.flickr.com/photos/ann/4951/>.", "(https://flic.kr/p/2tn),", "“https://flic.kr/p/2tn”", "'flickr:4951'",
    ],
)  # fmt: skip
def test_all_ways_of_writing_a_photo_of_flickr(written: str) -> None:
    assert written_id(written) == "flickr:4951"


@pytest.mark.parametrize(
    "other",
    [
        "",
        "folder:ab12",
        "4.95E+10",
        "٤٩٥١",
        "flickr.com/photos/ann",
        "https://x.org/photos/a/1",
        "https://www.flickr.com/photos/tags/2024",
        "https://www.flickr.com/photos/ann/albums/721",
        "https://flic.kr/ps/2tn",
        "https://www.flickr.com@x.org/photos/ann/1",
        "https://notflickr.com/photos/ann/1",
        "https://flickr.com.x.org/photos/a/1",
        "https://flic.kr/p/0OIl",
        "https://flic.kr/p/",
        "https://[x/photos/a/1",
        "https://www.flickr.com/photo.gne?id=x",
        "https://live.staticflickr.com/65535/",
        "https://live.staticflickr.com/1/buddyicon.jpg",
    ],
)
def test_what_is_no_number_of_flickr_stays(other: str) -> None:
    assert written_id(other) == other


@given(st.integers(1, 10**12))
def test_a_short_address_is_the_number_to_the_base_58(number: int) -> None:
    digits, rest = "", number
    while rest:
        rest, digit = divmod(rest, 58)
        digits = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"[digit] + digits
    assert written_id(f"https://flic.kr/p/{digits}") == f"flickr:{number}"


@given(st.text(max_size=40), st.sampled_from(["", "https://www.flickr.com/", "flic.kr/p/", "https://", "flickr:", "//["]))
def test_no_text_whatever_breaks_the_reader(text: str, before: str) -> None:
    found = written_id(before + text)
    assert found.startswith(("flickr:", "folder:")) or found == (before + text).strip()


def test_the_source_of_ones_own_in_capitals() -> None:
    assert written_id("Folder:ab12") == "folder:ab12"


def test_the_examples_hold() -> None:
    assert doctest.testmod(photo_ids).failed == 0


@pytest.mark.parametrize(
    "written",
    [
        "https://commons.wikimedia.org/wiki/File:Ada_L%C3%B6w_(1).jpg",
        "commons.m.wikimedia.org/wiki/File:Ada Löw (1).jpg",
        "<https://commons.wikimedia.org/wiki/Image:Ada_Löw_(1).jpg>",
        "https://upload.wikimedia.org/wikipedia/commons/a/ab/Ada_L%C3%B6w_%281%29.jpg",
        "https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/Ada_Löw_(1).jpg/330px-Ada_Löw_(1).jpg",
    ],
)
def test_all_addresses_of_a_file_at_commons(written: str) -> None:
    assert commons_file(written) == "Ada Löw (1).jpg"
    assert written_id(written) == written, "only a listing knows its page"


def test_a_page_of_commons_by_its_number() -> None:
    assert written_id("https://commons.wikimedia.org/w/index.php?curid=57831123") == "commons:57831123"
    assert written_id("Commons: 57831123") == "commons:57831123"
    for other in (
        "https://x.org/?curid=5",
        "https://commons.wikimedia.org/?curid=x",
        "https://notwikimedia.org/wiki/File:A.jpg",
    ):
        assert written_id(other) == other
        assert commons_file(other) is None

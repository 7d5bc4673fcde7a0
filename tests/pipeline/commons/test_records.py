"""What Commons answers, in the shapes and with the oddities of its real answers, as photos."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commons.records import LONGEST_TEXT, html_text, license_of, parse_file, parse_found, parse_info
from pipeline.entered_text import one_line
from pipeline.sources.found import FoundPhoto, Size

FILES = "https://upload.wikimedia.org/wikipedia/commons"
PAGE: dict[str, Any] = {
    "pageid": 57831123,
    "ns": 6,
    "title": "File:Portrait of Ada.jpg",
    "index": 1,
    "imagerepository": "local",
    "imageinfo": [
        {
            "timestamp": "2024-03-04T05:06:07Z",
            "user": "Ada L",
            "size": 812345,
            "width": 1000,
            "height": 1500,
            "thumburl": f"{FILES}/thumb/a/ab/Portrait_of_Ada.jpg/330px-Portrait_of_Ada.jpg",
            "thumbwidth": 330,
            "thumbheight": 495,
            "url": f"{FILES}/a/ab/Portrait_of_Ada.jpg",
            "descriptionurl": "https://commons.wikimedia.org/wiki/File:Portrait_of_Ada.jpg",
            "descriptionshorturl": "https://commons.wikimedia.org/w/index.php?curid=57831123",
            "mime": "image/jpeg",
            "mediatype": "BITMAP",
            "extmetadata": {
                "LicenseShortName": {"value": "CC BY-SA 4.0", "source": "commons-desc-page", "hidden": ""},
                "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0", "source": "commons-desc-page"},
                "License": {"value": "cc-by-sa-4.0", "source": "commons-templates", "hidden": ""},
                "Artist": {"value": '<a href="//x/User:Ada" title="User:Ada">Ada &amp; Sons</a>', "source": "x"},
                "DateTimeOriginal": {"value": "2024-03-01 10:11:12", "source": "commons-desc-page"},
                "Categories": {"value": "Portraits|Taken with Apple iPhone 7", "source": "commons-categories"},
            },
        }
    ],
}


def page(info: dict[str, Any] | None = None, about: dict[str, str] | None = None, **fields: object) -> dict[str, Any]:
    """`PAGE` with other values."""
    values = dict(PAGE["imageinfo"][0], **(info or {}))
    if about is not None:
        values["extmetadata"] = {name: {"value": value, "source": "x"} for name, value in about.items()}
    return {**PAGE, "imageinfo": [values], **fields}


def test_a_file_is_a_photo() -> None:
    thumb = f"{FILES}/thumb/a/ab/Portrait_of_Ada.jpg"
    assert parse_file(PAGE) == FoundPhoto(
        id="57831123",
        owner="Ada L",
        owner_name="Ada & Sons",
        title="Portrait of Ada",
        tags=("Portraits", "Taken_with_Apple_iPhone_7"),
        license="12",
        date_upload_s=1709528767,
        date_taken="2024-03-01 10:11:12",
        last_update_s=1709528767,
        media="photo",
        views=None,
        page_url="https://commons.wikimedia.org/wiki/File:Portrait_of_Ada.jpg",
        sizes=(
            Size("250", f"{thumb}/250px-Portrait_of_Ada.jpg", 250, 375),
            Size("330", f"{thumb}/330px-Portrait_of_Ada.jpg", 330, 495),
            Size("500", f"{thumb}/500px-Portrait_of_Ada.jpg", 500, 750),
            Size("960", f"{thumb}/960px-Portrait_of_Ada.jpg", 960, 1440),
            Size("o", f"{FILES}/a/ab/Portrait_of_Ada.jpg", 1000, 1500),
        ),
    )


def test_what_is_absent_is_unknown() -> None:
    """Metadata that is empty is a list, an uploader whose name was suppressed is none."""
    bare = parse_file(page({"extmetadata": [], "user": None, "userhidden": True, "thumburl": None}))
    assert (bare.owner, bare.owner_name, bare.license, bare.date_taken, bare.tags) == ("", None, None, None, ())
    assert [size.suffix for size in bare.sizes] == ["o"]


@pytest.mark.parametrize(
    ("about", "license"),
    [
        ({"LicenseShortName": "CC BY-SA 3.0 de", "License": "cc-by-sa-3.0-de"}, "CC BY-SA 3.0"),
        ({"LicenseShortName": "CC0", "License": "cc0"}, "9"),
        ({"LicenseShortName": "Public domain", "License": "pd"}, "10"),
        ({"LicenseShortName": "CC BY 2.0", "LicenseUrl": "https://creativecommons.org/licenses/by/2.0"}, "4"),
        # A licence of Commons' own: nothing says that it is one of Creative Commons.
        ({"LicenseShortName": "Attribution", "License": "attribution"}, "Attribution (Commons)"),
        ({"LicenseShortName": "GFDL 1.2", "License": "gfdl-1.2"}, "GFDL 1.2 (Commons)"),
        ({}, None),
    ],
)
def test_licences(about: dict[str, str], license: str | None) -> None:
    assert license_of(about) == license


def test_a_page_of_a_scan_has_its_widths_too() -> None:
    scan = page({"thumburl": f"{FILES}/thumb/a/ab/S-12px-x.tif/lossy-page1-330px-S-12px-x.tif.jpg", "width": 600})
    assert [size.url.rpartition("/")[2] for size in parse_file(scan).sizes[:2]] == [
        "lossy-page1-250px-S-12px-x.tif.jpg",
        "lossy-page1-330px-S-12px-x.tif.jpg",
    ]


def test_what_is_no_photo_says_what_it_is() -> None:
    assert parse_file(page({"mime": "image/svg+xml"})).media == "image/svg+xml"
    assert parse_file(page({"mime": "image/tiff"})).media == "photo"


@pytest.mark.parametrize(
    "broken", [{"pageid": None}, {"pageid": "5"}, {"pageid": True}, {"imageinfo": []}, {"imageinfo": "x"}]
)
def test_without_what_identifies_it_there_is_no_photo(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"pageid|imageinfo"):
        parse_file({**PAGE, **broken})


def test_a_deleted_file_is_none() -> None:
    assert parse_info({"pageid": 5, "missing": True}) is None
    found = parse_info(PAGE)
    assert found is not None
    assert (found.id, found.license, found.is_public) == ("57831123", "12", True)


@given(st.text(max_size=400))
def test_any_html_becomes_one_short_line(html: str) -> None:
    text = html_text(html)
    assert text is None or (text == one_line(text) and 0 < len(text) <= LONGEST_TEXT)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<script>alert(1)</script>Ada", "Ada"),
        ("Ada<br>Lovelace", "Ada Lovelace"),
        ('<span style="display: none;">template</span><bdi>Ada</bdi>', "Ada"),
        ("<i>Ada", "Ada"),
        ("", None),
        ("<p></p>", None),
    ],
)
def test_what_a_reader_sees_of_html(html: str, text: str | None) -> None:
    assert html_text(html) == text


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "https://", "ftp://upload.wikimedia.org/x.jpg", "https://a b/x.jpg", "https://x/\n.jpg",
     "https://x/" + "y" * 3000, 7, None],
)  # fmt: skip
def test_an_address_that_is_none_is_no_link_and_no_picture(address: object) -> None:
    found = parse_file(page({"url": address, "thumburl": address, "descriptionurl": address}))
    assert (found.page_url, found.sizes) == ("", ())


def test_an_address_without_scheme_is_of_the_web() -> None:
    assert parse_file(page({"url": "//upload.wikimedia.org/x.jpg"})).sizes[-1].url == "https://upload.wikimedia.org/x.jpg"


def test_long_texts_are_cut() -> None:
    found = parse_file(page({"user": "u" * 9000}, {"Artist": "<b>" + "a" * 9000}, title=f"File:{'t' * 9000}.jpg"))
    assert {len(found.owner), len(found.owner_name or "")} == {LONGEST_TEXT}
    assert 0 < len(found.title or "") <= LONGEST_TEXT


@pytest.mark.parametrize(
    ("fields", "id"),
    [({"pageid": 10**30}, "1" + "0" * 30), ({"pageid": -5}, "-5"), ({"pageid": "x" * 99}, "x" * 40),
     ({"imageinfo": []}, "57831123"), ({"imageinfo": [{"timestamp": "yesterday"}]}, "57831123"),
     ({"imageinfo": [{}], "pageid": None}, "None")],
)  # fmt: skip
def test_what_is_not_understood_has_an_id_and_no_picture(fields: dict[str, Any], id: str) -> None:
    found = parse_found(page(**fields))
    assert (found.id, found.sizes, found.owner) == (id, (), "")

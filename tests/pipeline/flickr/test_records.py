"""Parsing: the oddities of real answers, and nothing invented where something is unknown."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.flickr.records import (
    EXTRAS,
    Named,
    parse_brands,
    parse_info,
    parse_licenses,
    parse_models,
    parse_search,
)
from pipeline.sources.found import FoundPhoto, Size, normalised_tag

RAW: dict[str, Any] = {
    "id": "49512345678",
    "owner": "7478087@N06",
    "secret": "abc",
    "server": "65535",
    "farm": 66,
    "title": "A portrait",
    "license": "1",
    "o_width": "3178",
    "o_height": "4932",
    "dateupload": "1581319011",
    "lastupdate": "1581400000",
    "datetaken": "2011-11-05 15:54:37",
    "datetakengranularity": 0,
    "datetakenunknown": "0",
    "ownername": "Somebody",
    "pathalias": None,
    "tags": "a b",
    "views": "9",
    "media": "photo",
    "url_l": "https://live.staticflickr.com/65535/1_abc_b.jpg",
    "height_l": 1024,
    "width_l": "660",
}


def parse_one(**changes: object) -> FoundPhoto:
    raw = {**RAW, **changes}
    raw = {key: value for key, value in raw.items() if value is not ...}
    return parse_search({"photos": {"total": 1, "photo": [raw]}, "stat": "ok"}).photos[0]


def test_a_real_answer() -> None:
    assert parse_one() == FoundPhoto(
        id="49512345678",
        owner="7478087@N06",
        owner_name="Somebody",
        title="A portrait",
        tags=("a", "b"),
        license="1",
        date_upload_s=1581319011,
        date_taken="2011-11-05 15:54:37",
        last_update_s=1581400000,
        media="photo",
        views=9,
        page_url="https://www.flickr.com/photos/7478087@N06/49512345678/",
        sizes=(Size("l", "https://live.staticflickr.com/65535/1_abc_b.jpg", 660, 1024),),
    )


def test_numbers_and_strings_are_the_same() -> None:
    as_numbers = parse_one(id=49512345678, license=1, dateupload=1581319011, views=9, height_l="1024", width_l=660)
    assert as_numbers == parse_one()
    for total in (30, "30"):
        assert parse_search({"photos": {"total": total, "photo": []}}).total == 30


def test_what_is_absent_is_unknown() -> None:
    bare = parse_search({"photos": {"total": 1, "photo": [{"id": "1", "owner": "2@N00", "dateupload": "3"}]}}).photos[0]
    assert bare == FoundPhoto(
        "1", "2@N00", None, None, (), None, 3, None, None, None, None, "https://www.flickr.com/photos/2@N00/1/", ()
    )


def test_a_time_of_taking_that_flickr_made_up_is_unknown() -> None:
    assert parse_one(datetakenunknown="1").date_taken is None
    assert parse_one(datetakenunknown=1).date_taken is None


@pytest.mark.parametrize(("told", "is_public"), [
    ({"ispublic": 1}, True), ({"ispublic": 0}, False), ({"ispublic": "0", "isfriend": 1}, False), ({}, True), (None, True),
])  # fmt: skip
def test_a_photo_is_private_where_flickr_says_so(told: object, is_public: bool) -> None:
    info = parse_info({"photo": {"id": "1", "license": "4", "visibility": told, "dates": {"lastupdate": "7"}}})
    assert (info.is_public, info.license, info.last_update_s) == (is_public, "4", 7)
    assert parse_info({"photo": {"id": "1", "visibility": told}}).last_update_s is None


def test_numbers_that_cannot_be() -> None:
    assert (parse_one(views=2**53 - 1).views, parse_one(views=2**53).views) == (2**53 - 1, None)
    odd = parse_one(views="many", lastupdate="", height_l="9" * 30)
    assert (odd.views, odd.last_update_s, odd.sizes[0].height_px) == (None, None, None)


def test_dimensions_of_the_original_may_stand_apart() -> None:
    original = parse_one(url_o="https://live.staticflickr.com/65535/1_def_o.jpg").sizes[-1]
    assert (original.suffix, original.width_px, original.height_px) == ("o", 3178, 4932)


@pytest.mark.parametrize("key", ["id", "owner", "dateupload"])
def test_an_answer_whose_results_all_lack_what_identifies_them_is_refused(key: str) -> None:
    photo = {name: value for name, value in {"id": "1", "owner": "2@N00", "dateupload": "3"}.items() if name != key}
    with pytest.raises(ValueError, match=key):
        parse_search({"photos": {"total": 2, "photo": [photo, photo]}})
    (alone,) = parse_search({"photos": {"total": 1, "photo": [photo]}}).photos
    assert (alone.sizes, alone.owner) == ((), "")


@pytest.mark.parametrize("odd", [{"owner": None}, {"dateupload": "1581319011.5"}, {"id": ""}, {"id": None}])
def test_a_result_that_is_not_understood_hides_no_other(odd: dict[str, object]) -> None:
    results = [{"id": "1", "owner": "2@N00", "dateupload": "3"}, {"id": "4", "owner": "5@N00", "dateupload": "6", **odd}]
    first, second = parse_search({"photos": {"total": 2, "photo": results}}).photos
    assert (first.id, first.owner, first.date_upload_s) == ("1", "2@N00", 3)
    assert second == FoundPhoto.of_which_nothing_is_known(str(odd.get("id", "4")))
    assert (second.sizes, second.page_url) == ((), "")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"photos": []},
        {"photos": {"total": 1}},
        {"photos": {"photo": [], "total": None}},
        {"photos": {"total": 1, "photo": ["x"]}},
    ],
)
def test_an_answer_of_another_shape_is_refused(answer: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="the answer has no"):
        parse_search(answer)


@given(st.text(alphabet=st.characters(codec=None), max_size=30))
def test_any_title_comes_through_and_can_be_stored(title: str) -> None:
    through_json = json.loads(json.dumps(title))
    parsed = parse_one(title=through_json).title
    assert parsed is not None
    assert FoundPhoto.from_json(json.loads(json.dumps(parse_one(title=through_json).as_json()))).title == parsed
    if not any("\ud800" <= character <= "\udfff" for character in title):
        assert parsed == title
    parsed.encode("utf-8")


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert parse_one(title=json.loads('"a\\ud83d b"')).title == "a\ufffd b"


def test_no_square_crops_are_asked_for() -> None:
    assert not {"url_sq", "url_q"} & set(EXTRAS.split(","))
    assert {"url_h", "url_k", "url_o", "license", "tags", "last_update"} <= set(EXTRAS.split(","))


def test_licences_brands_and_models() -> None:
    assert parse_licenses({"licenses": {"license": [{"id": 4, "name": "CC BY 2.0", "url": ""}]}}) == {"4": "CC BY 2.0"}
    assert parse_brands({"brands": {"brand": [{"id": "apple", "name": "Apple"}]}}) == [Named("apple", "Apple")]
    models = {"cameras": {"brand": "apple", "camera": [{"id": "iphone_7", "name": {"_content": "Apple iPhone 7"}}]}}
    assert parse_models(models) == [Named("iphone_7", "Apple iPhone 7")]


@given(st.text(max_size=20))
def test_normalising_a_tag_again_changes_nothing(tag: str) -> None:
    once = normalised_tag(tag)
    assert not once.isascii() or normalised_tag(once) == once
    assert not any(character.isspace() for character in once)


def test_tags_are_compared_without_spaces_signs_and_capitals() -> None:
    assert normalised_tag("Black and White") == normalised_tag("black-AND-white") == "blackandwhite"
    assert normalised_tag("no_cv") == normalised_tag("nocv")
    assert normalised_tag("♥") == "♥"
    assert normalised_tag("\u2764\ufe0f") == "\u2764\ufe0f"


def test_marks_belong_to_their_letters() -> None:
    """Vowels of Devanagari and tones of Thai are marks; composed and decomposed accents are one."""
    assert normalised_tag("\u0926\u093f\u0932") != normalised_tag("\u0926\u093e\u0932")
    assert normalised_tag("\u0e20\u0e32\u0e1e \u0e16\u0e48\u0e32\u0e22") == "\u0e20\u0e32\u0e1e\u0e16\u0e48\u0e32\u0e22"
    assert normalised_tag("cafe\u0301") == normalised_tag("CAF\u00c9") == "caf\u00e9"
    assert normalised_tag("\u0130stanbul") == normalised_tag("istanbul")

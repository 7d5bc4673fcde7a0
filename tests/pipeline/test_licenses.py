"""Licences: every id of the facts, and what each allows."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import licenses
from pipeline.licenses import KNOWN, LICENSES, allowed_for, freedoms, is_stricter, license_id, license_name, strictest


def test_all_seventeen_ids_are_there_under_their_own_id() -> None:
    assert list(LICENSES) == [str(number) for number in range(17)]
    assert all(license.id == id for id, license in LICENSES.items())


@pytest.mark.parametrize(
    ("id", "name", "commercial", "derivatives"),
    [
        ("0", "All Rights Reserved", False, False),
        ("1", "CC BY-NC-SA 2.0", False, True),
        ("3", "CC BY-NC-ND 2.0", False, False),
        ("4", "CC BY 2.0", True, True),
        ("6", "CC BY-ND 2.0", True, False),
        ("7", "No known copyright restrictions", None, None),
        ("9", "CC0 1.0", True, True),
        ("14", "CC BY-NC 4.0", False, True),
        ("16", "CC BY-NC-ND 4.0", False, False),
    ],
)
def test_what_a_licence_allows(id: str, name: str, commercial: bool | None, derivatives: bool | None) -> None:
    license = LICENSES[id]
    assert (license.name, license.allows_commercial, license.allows_derivatives) == (name, commercial, derivatives)


def test_deeds_are_linked() -> None:
    assert LICENSES["5"].url == "https://creativecommons.org/licenses/by-sa/2.0/"
    assert LICENSES["0"].url is None


def test_names_for_people_never_fail() -> None:
    assert [license_name(id) for id in ("4", "99", None)] == ["CC BY 2.0", "licence 99 of Flickr", "unknown"]


FREEST_FIRST = [{"7", "8", "9", "10"}, {"4", "11"}, {"2", "5", "6", "12", "13", "14"}, {"1", "3", "15", "16"}, {"0"}]


def test_every_licence_has_its_place() -> None:
    assert set().union(*FREEST_FIRST) == set(LICENSES)
    for place, equals in enumerate(FREEST_FIRST):
        for after in equals:
            assert not is_stricter(after, before=after)
            assert not any(is_stricter(freer, before=after) for freer in FREEST_FIRST[0])
            assert is_stricter("0", before=after) == (after != "0")
            assert place == 0 or all(is_stricter(after, before) for before in FREEST_FIRST[0])


@pytest.mark.parametrize(
    ("before", "after", "stricter"),
    [
        ("4", "2", True), ("2", "4", False), ("2", "1", True), ("2", "5", True), ("5", "2", True), ("1", "15", False),
        ("9", "7", False), ("10", "4", True), ("4", "99", True), ("99", "4", False), ("4", None, False), (None, "0", False),
        ("6", "3", True), ("3", "6", False), ("4", "model release 7", True),
    ],
)  # fmt: skip
def test_what_is_stricter(before: str | None, after: str | None, stricter: bool) -> None:
    assert is_stricter(after, before) is stricter


def test_all_rights_reserved_allows_nothing() -> None:
    assert freedoms("0") == freedoms(None) == freedoms("99") == frozenset()


@pytest.mark.parametrize("id", list(LICENSES))
def test_a_licence_is_found_by_id_name_and_address(id: str) -> None:
    license = LICENSES[id]
    assert license_id(id) == license_id(license.name) == license_id(license.name.lower().replace(" ", "-")) == id
    assert license.url is None or license_id(license.url) == id


API_NAMES = {
    "1": "Attribution-NonCommercial-ShareAlike License", "2": "Attribution-NonCommercial License",
    "3": "Attribution-NonCommercial-NoDerivs License", "4": "Attribution License", "5": "Attribution-ShareAlike License",
    "6": "Attribution-NoDerivs License", "7": "No known copyright restrictions", "8": "United States Government Work",
    "9": "Public Domain Dedication (CC0)", "10": "Public Domain Mark",
}  # fmt: skip


@pytest.mark.parametrize(
    ("id", "written"),
    [
        *API_NAMES.items(),
        ("0", "All Rights Reserved"), ("0", "\u00a9 all rights reserved"), ("0", "ALL-RIGHTS-RESERVED"),
        ("14", "CC BY-NC 4.0"), ("14", "cc-by-nc-4.0"), ("14", "CC-BY-NC-4.0"), ("14", "by-nc 4.0"), ("14", "CC_BY_NC_4.0"),
        ("16", "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0 International (CC BY-NC-ND 4.0)"),
        ("16", "Creative Commons Attribution Non Commercial No Derivatives 4.0 International"), ("16", "CC BY-ND-NC 4.0"),
        ("12", "Attribution-ShareAlike 4.0 International"), ("4", "Attribution 2.0 Generic (CC BY 2.0)"),
        ("4", "Creative Commons Attribution 2.0 Generic License"), ("4", "CC BY v2.0"), ("4", "cc-by-2.0-de"),
        ("4", "https://creativecommons.org/licenses/by/2.0/"), ("4", "http://www.creativecommons.org/licenses/by/2.0"),
        ("4", "creativecommons.org/licenses/by/2.0/de/deed.de"), ("16", "https://creativecommons.org/licenses/by-nd-nc/4.0/"),
        ("12", "https://creativecommons.org/licenses/by-sa/4.0/legalcode#s3"), ("9", "CC0-1.0"), ("9", "CC0 1.0 Universal"),
        ("9", "https://creativecommons.org/publicdomain/zero/1.0/deed.en"), ("9", "Creative Commons Zero v1.0 Universal"),
        ("10", "https://creativecommons.org/publicdomain/mark/1.0/"), ("10", "PDM"), ("10", "Public Domain Mark 1.0"),
        ("7", "https://www.flickr.com/commons/usage/"), ("7", "no known restrictions"), ("8", "U.S. Government Work"),
        ("8", "http://www.usa.gov/copyright.shtml"), ("CC BY-SA 3.0", "CC BY-SA 3.0"), ("CC BY-SA 3.0", "CC-BY-SA-3.0"),
        ("CC BY-SA 3.0", "https://creativecommons.org/licenses/by-sa/3.0/de/"), ("CC BY", "CC BY"), ("CC BY-NC", "cc-by-nc"),
        ("CC BY 2.5", "Creative Commons Attribution 2.5 Australia".replace(" Australia", "")),
    ],
)  # fmt: skip
def test_all_ways_of_writing_a_licence(id: str, written: str) -> None:
    assert license_id(written) == license_id(f" {written.upper()}\n") == id
    assert license_id(id) == id


@pytest.mark.parametrize(
    "words",
    [
        "model release 12", "by John Doe", "CC", "CC BY-SA-ND 4.0", "CC BY 2.0 or CC BY 4.0", "CC BY 9.9", "nc",
        "CC BY-XX 2.0",
        "https://creativecommons.org/licenses/by/2.05/", "https://creativecommons.org/licenses/sampling/1.0/",
        "not CC BY 2.0",
        "https://example.org/license", "Attribution required, ask me",
    ],
)  # fmt: skip
def test_other_words_stay_as_they_are(words: str) -> None:
    assert license_id(words) == words


@given(st.text(max_size=60))
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    found = license_id(text)
    assert found is None or license_id(found) == found


def test_other_versions_allow_what_their_terms_say() -> None:
    assert freedoms("CC BY-SA 3.0") == freedoms("5")
    assert strictest(["CC BY-NC 3.0", "4"]) == "CC BY-NC 3.0"
    assert {"CC BY 3.0", "CC BY"} <= allowed_for("commercial-derivatives") <= allowed_for("research") == set(KNOWN) - {"0"}


def test_the_examples_hold() -> None:
    assert doctest.testmod(licenses).failed == 0


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("CC BY 4.0 NC", "CC BY-NC 4.0"), ("CC BY 4.0 (non-commercial)", "CC BY-NC 4.0"), ("CC-BY-4.0-NC", "CC BY-NC 4.0"),
        ("CC BY 2.0 NoDerivs", "CC BY-ND 2.0"), ("CC BY 2.0 ShareAlike", "CC BY-SA 2.0"),
        ("Creative Commons BY 4.0 NC-ND", "CC BY-NC-ND 4.0"), ("CC BY 2.0 DE", "CC BY 2.0"),
        ("CC BY-SA 2.0 fr", "CC BY-SA 2.0"),
    ],
)  # fmt: skip
def test_terms_after_the_version_are_no_country(words: str, name: str) -> None:
    assert license_name(license_id(words)) == name

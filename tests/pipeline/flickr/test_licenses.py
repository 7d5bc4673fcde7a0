"""Licences: every id of the facts, and what each allows."""

import pytest

from pipeline.flickr.licenses import LICENSES, freedoms, is_stricter, license_id, license_name


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

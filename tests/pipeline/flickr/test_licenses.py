"""Licences: every id of the facts, and what each allows."""

import pytest

from pipeline.flickr.licenses import LICENSES, license_name


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

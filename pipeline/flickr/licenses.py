"""Flickr's licences: id, name, deed, and what they allow.

The ids are those of `flickr.photos.licenses.getInfo` as of June 2025, when the 4.0 licences (11 to 16) came.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_CC = "https://creativecommons.org"


@dataclass(frozen=True)
class License:
    """One licence. `None` for what is allowed: Flickr's statement does not say."""

    id: str
    name: str
    url: str | None
    allows_commercial: bool | None
    allows_derivatives: bool | None


def _creative_commons(id: str, terms: str, version: str) -> License:
    return License(
        id=id,
        name=f"CC {terms.upper()} {version}",
        url=f"{_CC}/licenses/{terms}/{version}/",
        allows_commercial="nc" not in terms.split("-"),
        allows_derivatives="nd" not in terms.split("-"),
    )


LICENSES: dict[str, License] = {
    license.id: license
    for license in (
        License("0", "All Rights Reserved", None, False, False),
        _creative_commons("1", "by-nc-sa", "2.0"),
        _creative_commons("2", "by-nc", "2.0"),
        _creative_commons("3", "by-nc-nd", "2.0"),
        _creative_commons("4", "by", "2.0"),
        _creative_commons("5", "by-sa", "2.0"),
        _creative_commons("6", "by-nd", "2.0"),
        License("7", "No known copyright restrictions", "https://www.flickr.com/commons/usage/", None, None),
        License("8", "United States Government Work", "https://www.usa.gov/government-copyright", True, True),
        License("9", "CC0 1.0", f"{_CC}/publicdomain/zero/1.0/", True, True),
        License("10", "Public Domain Mark 1.0", f"{_CC}/publicdomain/mark/1.0/", True, True),
        _creative_commons("11", "by", "4.0"),
        _creative_commons("12", "by-sa", "4.0"),
        _creative_commons("13", "by-nd", "4.0"),
        _creative_commons("14", "by-nc", "4.0"),
        _creative_commons("15", "by-nc-sa", "4.0"),
        _creative_commons("16", "by-nc-nd", "4.0"),
    )
}
"""Every licence by its Flickr id."""


def license_name(id: str | None) -> str:
    """The licence's name for people; an id that is not in `LICENSES` is shown as such.

    >>> license_name("4"), license_name("99"), license_name(None)
    ('CC BY 2.0', 'licence 99 of Flickr', 'unknown')
    """
    if id is None:
        return "unknown"
    return LICENSES[id].name if id in LICENSES else f"licence {id} of Flickr"


USES: dict[str, str] = {
    "research": "non-commercial study: every licence but All Rights Reserved, and no unknown one",
    "commercial": "for money: none that forbids commercial use",
    "derivatives": "changed pictures may be shared: none that forbids derivatives",
    "commercial-derivatives": "both: changed, shared and for money",
}
"""What a photo may be wanted for, and which licences that takes."""


def allowed_for(use: str) -> frozenset[str]:
    """Ids of the licences that plainly allow the use (a key of `USES`); what a statement leaves open is not allowed.

    >>> sorted(allowed_for("commercial-derivatives"), key=int)
    ['4', '5', '8', '9', '10', '11', '12']
    """
    tests = {
        "research": lambda license: license.id != "0",
        "commercial": lambda license: license.allows_commercial is True,
        "derivatives": lambda license: license.allows_derivatives is True,
        "commercial-derivatives": lambda license: license.allows_commercial is True and license.allows_derivatives is True,
    }
    return frozenset(license.id for license in LICENSES.values() if tests[use](license))


_STRICTEST_FIRST = ["0", "16", "3", "15", "1", "14", "2", "13", "6", "12", "5", "7", "11", "4", "8", "10", "9"]
"""All rights reserved; then NC-ND, NC-SA, NC, ND, SA; no known restrictions; then BY and the public domain."""


def strictest(ids: Iterable[str | None]) -> str | None:
    """The licence id among these that allows least; one that is unknown (None, or not in `LICENSES`) allows nothing.

    >>> strictest(["4", "9", "5"]), strictest(["4", "99"]), strictest([])
    ('5', '99', None)
    """
    found = set(ids)
    unknown = sorted(id for id in found if id is not None and id not in LICENSES)
    if None in found or unknown:
        return unknown[0] if unknown else None
    return min(found, key=lambda id: _STRICTEST_FIRST.index(str(id)), default=None)

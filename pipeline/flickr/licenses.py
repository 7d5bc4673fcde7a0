"""Flickr's licences: id, name, deed, and what they allow.

The ids are those of `flickr.photos.licenses.getInfo` as of June 2025, when the 4.0 licences (11 to 16) came.

**What is stricter.** A licence is a set of freedoms, and one is stricter than another where it lacks a freedom that
the other gives; so a change may be neither, and BY-NC to BY-SA, which give and take, is stricter in both directions:

    freedom              given by
    copy                 all but All Rights Reserved (0) and what is not known
    derive               all of these but ND (3, 6, 13, 16)
    sell                 all of these but NC (1, 2, 3, 14, 15, 16)
    license otherwise    all of these but SA (1, 5, 12, 15)
    name nobody          7, 8, 9, 10: what is in the public domain or as good as

From the freest: 7 8 9 10 > BY 4 11 > BY-SA 5 12, BY-NC 2 14, BY-ND 6 13 > BY-NC-SA 1 15, BY-NC-ND 3 16 > 0. The version
of a licence (2.0 or 4.0) does not count. Flickr's statement of "no known restrictions" (7) promises nothing, but to
go from there to any licence is to claim something.
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
    """The licence's name for people; an id that is not in `LICENSES` is shown as such, other words as they are.

    >>> license_name("4"), license_name("99"), license_name(None), license_name("model release 12")
    ('CC BY 2.0', 'licence 99 of Flickr', 'unknown', 'model release 12')
    """
    if id is None:
        return "unknown"
    if id in LICENSES:
        return LICENSES[id].name
    return f"licence {id} of Flickr" if id.isdigit() else id


def license_id(written: str) -> str | None:
    """What to keep for a licence that a person wrote: an id of `LICENSES` for an id, a name or a deed's address,
    whatever the capitals and signs; else the words as they are; `None` for nothing.

    >>> license_id("CC-BY-NC 2.0"), license_id("https://creativecommons.org/licenses/by/4.0/deed.en"), license_id("cc0")
    ('2', '11', '9')
    >>> license_id("model release 12"), license_id("04"), license_id(" ")
    ('model release 12', '4', None)
    """
    words = written.strip()
    if words.isascii() and words.isdigit():
        return str(int(words))
    plain = _plain(words)
    for license in LICENSES.values():
        address = _plain((license.url or "-").partition("//")[2])
        if plain in {_plain(license.name), *_OTHER_NAMES.get(license.id, ())} or (address and address in plain):
            return license.id
    return words or None


_OTHER_NAMES = {"0": ("allrights", "arr", "copyright"), "9": ("cc0", "cczero"), "10": ("pdm", "publicdomain")}


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def freedoms(id: str | None) -> frozenset[str]:
    """What the licence allows, by the table above; nothing for one that is not known.

    >>> sorted(freedoms("2")), sorted(freedoms("0"))
    (['copy', 'derive', 'license otherwise'], [])
    """
    if id is None or id not in LICENSES or id == "0":
        return frozenset()
    terms = _plain_terms(LICENSES[id])
    withheld = {"derive": "nd", "sell": "nc", "license otherwise": "sa", "name nobody": "by"}
    return frozenset({"copy"} | {freedom for freedom, term in withheld.items() if term not in terms})


def _plain_terms(license: License) -> set[str]:
    return set(license.name.lower().split()[1].split("-")) if license.name.startswith("CC ") else set()


def is_stricter(after: str | None, before: str | None) -> bool:
    """Whether `after` lacks a freedom that `before` gave; not where `after` was not told.

    >>> is_stricter("0", before="4"), is_stricter("4", before="0"), is_stricter("11", before="4"), is_stricter("6", "2")
    (True, False, False, True)
    """
    return after is not None and not freedoms(before) <= freedoms(after)


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


def strictest(ids: Iterable[str | None]) -> str | None:
    """The licence id among these that allows least; one that is unknown (None, or not in `LICENSES`) allows nothing.

    >>> strictest(["4", "9", "5"]), strictest(["4", "99"]), strictest([])
    ('5', '99', None)
    """
    found = set(ids)
    unknown = sorted(id for id in found if id is not None and id not in LICENSES)
    if None in found or unknown:
        return unknown[0] if unknown else None
    return min(found, key=lambda id: (len(freedoms(id)), -int(id or 0)), default=None)

"""Licences: Flickr's by their id, Creative Commons' other versions by their name; what they allow, how people write them.

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
of a licence (2.0 or 4.0) does not count, nor does the country it was adapted to. Flickr's statement of "no known
restrictions" (7) promises nothing, but to go from there to any licence is to claim something.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

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
"""Every licence of Flickr's by its id."""

_TERMS = ("by", "by-nc", "by-nd", "by-sa", "by-nc-nd", "by-nc-sa")
_ELSEWHERE = [_creative_commons("", terms, version) for terms in _TERMS for version in ("1.0", "2.1", "2.5", "3.0")]
_UNVERSIONED = [replace(_creative_commons("", terms, ""), name=f"CC {terms.upper()}", url=None) for terms in _TERMS]
KNOWN: dict[str, License] = LICENSES | {one.name: replace(one, id=one.name) for one in (*_ELSEWHERE, *_UNVERSIONED)}
"""Those of Flickr, and by their names what other photos are often under: `CC BY-SA 3.0`, or `CC BY` of any version."""


def license_name(id: str | None) -> str:
    """The licence's name for people; an id that is not in `KNOWN` is shown as such, other words as they are.

    >>> license_name("4"), license_name("99"), license_name(None), license_name("model release 12")
    ('CC BY 2.0', 'licence 99 of Flickr', 'unknown', 'model release 12')
    """
    if id is None:
        return "unknown"
    if id in KNOWN:
        return KNOWN[id].name
    return f"licence {id} of Flickr" if id.isdigit() else id


_ON_THE_LIST = re.compile(r"CC (BY(?:-(?:NC|ND|SA|NC-ND|NC-SA))?) (1\.0|2\.0|2\.5|3\.0|4\.0)")
_SPDX = {"CC0 1.0": "CC0-1.0", "Public Domain Mark 1.0": "CC-PDM-1.0"}


def spdx_id(name: str) -> str:
    """SPDX's identifier of a licence by its name for people; `LicenseRef-…` for what is not on that list.

    >>> spdx_id("CC BY-NC 2.0"), spdx_id("CC0 1.0"), spdx_id("All Rights Reserved"), spdx_id("model release № 12")
    ('CC-BY-NC-2.0', 'CC0-1.0', 'LicenseRef-All-Rights-Reserved', 'LicenseRef-model-release-12')
    """
    if match := _ON_THE_LIST.fullmatch(name):
        return f"CC-{match[1]}-{match[2]}"
    return _SPDX.get(name) or f"LicenseRef-{'-'.join(re.findall('[A-Za-z0-9.]+', name)) or 'other'}"


def license_id(written: str) -> str | None:
    """What to keep for a licence that a person or a program wrote: an id of `KNOWN` for an id, a name or an address.

    Understood are Flickr's ids, the names that its API, its pages and Creative Commons give, SPDX's identifiers, and
    addresses of deeds, whatever the capitals and signs. Other words stay as they are; `None` for nothing.

    >>> license_id("CC-BY-NC 2.0"), license_id("https://creativecommons.org/licenses/by/4.0/deed.en"), license_id("cc0")
    ('2', '11', '9')
    >>> license_id("Attribution-ShareAlike License"), license_id("cc-by-sa-3.0"), license_id("Public Domain Mark")
    ('5', 'CC BY-SA 3.0', '10')
    >>> license_id("model release 12"), license_id("04"), license_id(" ")
    ('model release 12', '4', None)
    """
    words = " ".join(written.split())
    if words.isascii() and words.isdigit():
        return words.lstrip("0") or "0"
    return _OF_NAME.get(_plain(words)) or _of_address(words.lower()) or _of_terms(words.lower()) or words or None


_OTHER_NAMES = {
    "0": ("All rights reserved", "© All rights reserved", "All rights", "arr", "Copyright", "None (All rights reserved)"),
    "1": ("Attribution-NonCommercial-ShareAlike License",),
    "2": ("Attribution-NonCommercial License",),
    "3": ("Attribution-NonCommercial-NoDerivs License", "Attribution-NonCommercial-NoDerivatives License"),
    "4": ("Attribution License",),
    "5": ("Attribution-ShareAlike License",),
    "6": ("Attribution-NoDerivs License", "Attribution-NoDerivatives License"),
    "7": ("No known restrictions", "No known copyright", "nkcr", "Flickr Commons"),
    "8": ("US Government Work", "US Government Works", "United States Government Works", "US Gov", "usgov"),
    "9": (
        "CC0", "CC Zero", "Zero", "CC0 1.0 Universal", "Creative Commons Zero", "Public Domain Dedication (CC0)",
        "Public Domain Dedication", "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication", "Creative Commons CC0",
        "CC0 Public Domain", "CC0 1.0 Public Domain Dedication", "Creative Commons CC0 1.0 Universal",
        "Creative Commons Zero v1.0 Universal",
    ),
    "10": ("PDM", "PDM 1.0", "CC PDM 1.0", "CC PDM", "Public Domain", "Public Domain Work", "Public Domain Mark",
           "Public Domain Mark 1.0 Universal", "Creative Commons Public Domain Mark 1.0"),
}  # fmt: skip
"""As Flickr's API (until 2025, and in its licence history), pages and other programs call them."""
_WORDS = {
    r"creative\s*commons": "cc", r"attribution": "by", r"non-?\s*commercial": "nc", r"share-?\s*alike": "sa",
    r"no-?\s*deriv(?:s|atives?)?(?:\s*works)?": "nd",
}  # fmt: skip
_TERMS = ("by", "nc", "nd", "sa")
"""Of Creative Commons, in the order of its licences' names; no country is called so in them."""
_BESIDE_TERMS = {
    "cc", "license", "licence", "licenses", "the", "a", "generic", "unported", "international", "intl", "deed", "under",
    "v", "version",
}  # fmt: skip


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


_OF_NAME = {_plain(name): one.id for one in KNOWN.values() for name in (one.name, *_OTHER_NAMES.get(one.id, ()))}


def _of_address(address: str) -> str | None:
    """The licence whose deed or statement an address leads to."""
    if found := re.search(r"creativecommons\.org/licenses/([a-z-]+)/([0-9]\.[0-9])(?![0-9.])", address):
        return _by_terms(set(found[1].split("-")), {found[2]})
    places = {
        r"creativecommons\.org/publicdomain/zero\b": "9", r"creativecommons\.org/publicdomain/mark\b": "10",
        r"creativecommons\.org/licenses/publicdomain\b": "10", r"flickr\.com/commons\b": "7",
        r"usa\.gov/(?:government-)?copyright\b": "8",
    }  # fmt: skip
    return next((id for place, id in places.items() if re.search(place, address)), None)


def _of_terms(words: str) -> str | None:
    """The Creative Commons licence that consists of these words, and nothing else but its version and country."""
    for long, short in _WORDS.items():
        words = re.sub(long, f" {short} ", words)
    versions = set(re.findall(r"[0-9]\.[0-9]", words))
    before, _, country = re.sub(r"[()_/,-]", " ", words).partition(" ".join(versions) if versions else "\0")
    rest = country.split()
    is_country = rest and rest[0] not in _TERMS and re.fullmatch("[a-z]{2,3}", rest[0])
    named = set(before.split()) | set(rest[1:] if is_country else rest)
    return _by_terms({re.sub("^v", "", word) for word in named - versions} - _BESIDE_TERMS - {""}, versions)


def _by_terms(terms: set[str], versions: set[str]) -> str | None:
    name = "CC " + "-".join(term.upper() for term in _TERMS if term in terms)
    name = " ".join([name, *versions])
    known = terms <= set(_TERMS) and len(versions) <= 1
    return next((one.id for one in KNOWN.values() if known and one.name == name), None)


@lru_cache(1024)
def freedoms(id: str | None) -> frozenset[str]:
    """What the licence allows, by the table above; nothing for one that is not known.

    >>> sorted(freedoms("2")), sorted(freedoms("0"))
    (['copy', 'derive', 'license otherwise'], [])
    """
    if id is None or id not in KNOWN or id == "0":
        return frozenset()
    terms = _plain_terms(KNOWN[id])
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

    >>> sorted(allowed_for("commercial-derivatives"))[:8]
    ['10', '11', '12', '4', '5', '8', '9', 'CC BY']
    """
    tests = {
        "research": lambda license: license.id != "0",
        "commercial": lambda license: license.allows_commercial is True,
        "derivatives": lambda license: license.allows_derivatives is True,
        "commercial-derivatives": lambda license: license.allows_commercial is True and license.allows_derivatives is True,
    }
    return frozenset(license.id for license in KNOWN.values() if tests[use](license))


def strictest(ids: Iterable[str | None]) -> str | None:
    """The licence id among these that allows least; one that is unknown allows nothing: None, then what is not in `KNOWN`.

    >>> strictest(["4", "9", "5"]), strictest(["4", "99"]), strictest(["99", None]), strictest([])
    ('5', '99', None, None)
    """
    found = set(ids)
    named = {id for id in found if id is not None}
    if len(named) < len(found):
        return None
    if unknown := sorted(named - KNOWN.keys()):
        return unknown[0]
    return min(named, key=lambda id: (len(freedoms(id)), -int(id) if id in LICENSES else 0, id), default=None)

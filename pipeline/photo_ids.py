"""Photo ids: `flickr:4951…` and `commons:5783…` for records of a source, `folder:…` for pictures of one's own, `url:…` for
those of a list; how people write them.

The one place where an id is made, and where one that a person or a spreadsheet has written is read.
"""

import hashlib
import re
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

FLICKR, COMMONS, FOLDER, URL = "flickr:", "commons:", "folder:", "url:"
"""What ids begin with: their source."""
LONGEST_NUMBER = 20
FOLDER_DIGITS = 20
"""Hex digits of the SHA-256 by which a picture of one's own is named."""

_ID = re.compile(rf"(?:{FLICKR}|{COMMONS}|{FOLDER}|{URL})[0-9a-z]+")
# No `\d`: it takes the digits of all scripts, and Flickr knows only these.
_NUMBER = re.compile(r"([0-9]+)(?:[.,]0+)?")
_PAGE = re.compile(r"/photos/(?!tags/)(?:[^/]+/)?([0-9]+)(?:/|$)")
_FILE = re.compile(r"/(?:([0-9]+)_[0-9a-z]+(?:_[0-9a-z]+)*\.[a-z0-9]+|video/([0-9]+)/.*)$", re.IGNORECASE)
_COMMONS_FILE = re.compile(r"/wiki/(?:File|Image):([^/]+)$|/wikipedia/commons/(?:thumb/)?\w/\w\w/([^/]+)", re.IGNORECASE)
_SHORT = re.compile(r"/p/([1-9a-zA-Z]{1,16})/?")
_SHORT_DIGITS = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
_AROUND = " \t\r\n\u00a0\u200b\ufeff<>()[]\"'“”‘’«»,.;:!?"
"""What mails and people put around an address or an id."""


def flickr_id(number: str) -> str:
    """The id of Flickr's photo of that number."""
    return f"{FLICKR}{number}"


def folder_id(sha256: str) -> str:
    """The id of the picture of one's own with these bytes."""
    return f"{FOLDER}{sha256[:FOLDER_DIGITS]}"


def url_id(url: str) -> str:
    """The id of the picture at that address of a list."""
    return f"{URL}{hashlib.sha256(url.encode()).hexdigest()[:FOLDER_DIGITS]}"


def is_number(text: str) -> bool:
    """Whether a source could have given a photo this number: 64 bits."""
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER


def written_id(written: str) -> str:
    """The id that a person means: an id, Flickr's number alone, or any address by which Flickr names a photo.

    These are the photo's page on any host of Flickr's, also within an album or a size; the short address flic.kr/p/…; the
    file on an image server; photo.gne?id=…; each with or without scheme, and with what a mail puts around it.
    Spreadsheets make `4951.0` of a number, people `Flickr:4951` of an id. What is none of these stays as it is.

    >>> written_id("49512345678"), written_id("https://www.flickr.com/photos/7478087@N06/49512345678/in/pool")
    ('flickr:49512345678', 'flickr:49512345678')
    >>> written_id("<https://flic.kr/p/8xq3yy>."), written_id("farm5.staticflickr.com/4321/4950000056_0a1b2c3d4e_o.jpg")
    ('flickr:4950000056', 'flickr:4950000056')
    """
    if _ID.fullmatch(written):
        return written  # as nearly all are: what follows takes a hundred times as long
    text = written.strip().strip(_AROUND)
    if found := _NUMBER.fullmatch(text):
        return flickr_id(found[1])
    if number := _number_in(text):
        return flickr_id(number)
    if number := _page_at_commons(text):
        return f"{COMMONS}{number}"
    source, colon, number = text.partition(":")
    prefix = f"{source.lower()}{colon}"
    return prefix + number.strip() if prefix in (FLICKR, COMMONS, FOLDER, URL) else written.strip()


def commons_file(written: str) -> str | None:
    """The name of the file that an address of Wikimedia Commons names: its page, the file itself, a thumbnail of it.

    None for other text. Only a listing knows the photo's id for it; an address with `curid=` is an id of its own.

    >>> commons_file("<https://commons.wikimedia.org/wiki/File:A_%C3%A4.jpg>")
    'A ä.jpg'
    >>> commons_file("https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/A_b.jpg/330px-A_b.jpg")
    'A b.jpg'
    """
    url, host = _address(written.strip().strip(_AROUND))
    found = _COMMONS_FILE.search(url.path) if url and _is_of(host, "wikimedia.org") else None
    return unquote(found[1] or found[2]).replace("_", " ") if found else None


def _page_at_commons(address: str) -> str | None:
    url, host = _address(address)
    number = parse_qs(url.query).get("curid", [""])[0] if url and _is_of(host, "commons.wikimedia.org") else ""
    return number if is_number(number) else None


def _address(text: str) -> tuple[SplitResult | None, str]:
    """The parts of an address, with or without scheme, and its host."""
    try:
        url = urlsplit(text if "//" in text else f"//{text}")
        return url, (url.hostname or "").removesuffix(".")
    except ValueError:
        return None, ""


def _number_in(address: str) -> str | None:
    """The number of the photo that an address of Flickr's names; None for any other text."""
    url, host = _address(address)
    if url is None:
        return None
    if host in ("flic.kr", "www.flic.kr"):
        return _from_short(_SHORT.fullmatch(url.path))
    if _is_of(host, "staticflickr.com") or _is_of(host, "static.flickr.com"):
        found = _FILE.search(url.path)
        return (found[1] or found[2]) if found else None
    return _of_page(url) if _is_of(host, "flickr.com") else None


def _is_of(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _of_page(url: SplitResult) -> str | None:
    asked = parse_qs(url.query)
    if url.path.endswith(".gne") and (number := asked.get("id", [""])[0]):
        return number if is_number(number) else None
    if url.path.endswith(".gne") and "short" in asked:
        return _from_short(_SHORT.fullmatch(f"/p/{asked['short'][0]}"))
    found = _PAGE.match(url.path) or _PAGE.match(url.fragment)  # #/photos/… is how pages were once named
    return found[1] if found else None


def _from_short(found: re.Match[str] | None) -> str | None:
    """The number that a short address writes to the base 58."""
    if not found or not set(found[1]) <= set(_SHORT_DIGITS):
        return None
    number = 0
    for digit in found[1]:
        number = number * len(_SHORT_DIGITS) + _SHORT_DIGITS.index(digit)
    return str(number)

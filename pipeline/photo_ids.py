"""Photo ids: `flickr:4951…` for a Flickr record, `folder:…` for a picture of one's own; and how people write them.

The one place where an id is made, and where one that a person or a spreadsheet has written is read.
"""

import re

FLICKR, FOLDER = "flickr:", "folder:"
"""What ids begin with: their source."""
FOLDER_DIGITS = 20
"""Hex digits of the SHA-256 by which a picture of one's own is named."""

# No `\d`: it takes the digits of all scripts, and Flickr knows only these.
_NUMBER = re.compile(r"([0-9]+)(?:[.,]0+)?")
_PAGE = re.compile(r"(?:https?://)?(?:www\.)?flickr\.com/photos/[^/]+/([0-9]+)(?:[/?#].*)?", re.IGNORECASE)


def flickr_id(number: str) -> str:
    """The id of Flickr's photo of that number."""
    return f"{FLICKR}{number}"


def folder_id(sha256: str) -> str:
    """The id of the picture of one's own with these bytes."""
    return f"{FOLDER}{sha256[:FOLDER_DIGITS]}"


def is_flickr_number(text: str) -> bool:
    """Whether Flickr could have given a photo this number."""
    return text.isascii() and text.isdigit()


def written_id(written: str) -> str:
    """The id that a person means: an id, Flickr's number alone, or the address of a photo's page.

    Spreadsheets make `4951.0` of a number, people `Flickr:4951` of an id. What is none of these stays as it is.

    >>> written_id("49512345678"), written_id("https://www.flickr.com/photos/7478087@N06/49512345678/in/pool")
    ('flickr:49512345678', 'flickr:49512345678')
    """
    text = written.strip()
    if found := _NUMBER.fullmatch(text) or _PAGE.fullmatch(text):
        return flickr_id(found[1])
    source = text[: len(FLICKR)].lower()
    return source + text[len(source) :] if source in (FLICKR, FOLDER) else text

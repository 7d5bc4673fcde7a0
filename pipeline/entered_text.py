"""Text that comes from people and programs outside, made plain where it enters: one line, nothing in it that hides."""

import re
import unicodedata

_JOINERS = re.compile(r"(?<![^\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\x7f])")
"""Emoji, Persian and Indian scripts need them between their own characters; elsewhere they only hide."""
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Look like nothing and are letters, marks or symbols to Unicode."""
_VISIBLE_FORMATS = re.compile(r"[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
"""Signs before Arabic, Syriac and Kaithi numbers: of the category of what is invisible, and visible."""


def one_line(text: str) -> str:
    r"""The text as a person sees it: composed (NFC), white space as single blanks, none at the ends.

    Gone are control characters, zero-width ones, those that turn the direction of writing, halves of surrogate pairs and
    whatever else has no look of its own. What is plain already stays as it is.

    >>> one_line("\u200b undo:\tit\0\u202e ")
    'undo: it'
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    while (plain := _plainer(text)) != text:
        text = plain
    return text


def _plainer(text: str) -> str:
    seen = "".join(character for character in unicodedata.normalize("NFC", text) if not _is_hidden(character))
    return unicodedata.normalize("NFC", " ".join(_JOINERS.sub("", " ".join(seen.split())).split()))


def _is_hidden(character: str) -> bool:
    if character.isascii():
        return not character.isprintable() and not character.isspace()
    if character in "\u200c\u200d" or character.isspace() or _VISIBLE_FORMATS.match(character):
        return False
    is_noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    return is_noncharacter or character in _FILLERS or unicodedata.category(character) in ("Cc", "Cf", "Cs")

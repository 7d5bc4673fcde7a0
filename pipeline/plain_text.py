"""Text of strangers where it leaves the program: for terminals, pictures, tables and pages, nothing in it acts.

A title or a file's name may hold what clears a screen, sets its title, turns the direction of reading or ends a picture's
XML. All of it is written out here, and only here.
"""

import html
import re

_ACTS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Controls, ends of lines and paragraphs, overrides of the direction of reading, halves of pairs, what XML forbids."""


def plain(text: str, keep: str = "") -> str:
    r"""The text on one line, with what would act written as in JSON; `keep` are characters that may stay.

    >>> plain("a\x1b[2J\nb\u202e.jpg"), plain("Łódź 東京 👩\u200d🦰"), plain("a\nb", keep="\n") == "a\nb"
    ('a\\u001b[2J\\u000ab\\u202e.jpg', 'Łódź 東京 👩\u200d🦰', True)
    """
    return _ACTS.sub(lambda found: found[0] if found[0] in keep else _written_out(found[0]), text)


def _written_out(character: str) -> str:
    """As JSON writes it; a byte of a file's name that is no UTF-8 as that byte."""
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def plain_lines(text: str) -> str:
    """The text with its line ends and tabs, and nothing else that would act; JSON stays the JSON that it was."""
    return plain(text, keep="\n\t")


def plain_markdown(text: str) -> str:
    r"""The text as Markdown, HTML and the cell of a table show it to the letter.

    >>> plain_markdown("<b>a|b</b>\n")
    '&lt;b&gt;a\\|b&lt;/b&gt;\\u000a'
    """
    return re.sub(r"([|`\[])", r"\\\1", html.escape(plain(text), quote=False))


def of_plain_markdown(markdown: str) -> str:
    r"""What `plain_markdown` made Markdown of, as it is on a terminal.

    >>> of_plain_markdown("&lt;b&gt; under \\[masks], \\`none\\`")
    '<b> under [masks], `none`'
    """
    return html.unescape(re.sub(r"\\([|`\[])", r"\1", markdown))


def without_credentials(text: str) -> str:
    """The text with no name and password in its addresses.

    >>> without_credentials("http://ann:secret@lab.example.org/api failed")
    'http://lab.example.org/api failed'
    """
    return re.sub(r"(?<=://)[^/\s@]*@", "", text)

"""Text from outside as a person sees it."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.entered_text import one_line

HIDDEN = "\0\x07\x1b\x7f\x85\u200b\u200e\u202e\u2066\u2060\ufeff\u00ad\ud800\udfff\ufffe\u3164\u2800\U000e0041"
TRICKY = st.text(st.sampled_from(HIDDEN + "\u200c\u200d \u00a0\u2028\t\n\u212a\u037ee\u0301\u00e9aundo: "))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\r\nb\tc\u2028d", "a b c d"), ("un\0do\u200b: x", "undo: x"), ("\u200bundo: it", "undo: it"),
        ("\u00a0\u200d\u00a0undo: it", "undo: it"), ("abc\u202edef", "abcdef"), ("e\u0301", "\u00e9"),
        ("\ud83d", ""), ("می\u200cروم", "می\u200cروم"), ("👩\u200d💻!", "👩\u200d💻!"), ("a\u200db", "ab"),
        ("שלום 📷", "שלום 📷"),
        ("\u0600\u0661", "\u0600\u0661"),
    ],
)  # fmt: skip
def test_what_is_seen_stays_and_what_hides_goes(text: str, plain: str) -> None:
    assert one_line(text) == plain


@settings(max_examples=300)
@given(st.one_of(st.text(), TRICKY))
@example("\u00a0\u200d\u00a0undo: ")
@example("\u00e9\u200d\u212a")
def test_what_is_plain_stays_as_it_is_and_can_be_written(text: str) -> None:
    plain = one_line(text)
    assert one_line(plain) == plain == unicodedata.normalize("NFC", plain)
    assert plain.encode().decode() == plain
    assert not set(plain) & set(HIDDEN)
    assert plain == " ".join(plain.split())

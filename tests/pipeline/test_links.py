"""Only addresses of the web become links; a broken one does not break a page."""

import pytest

from pipeline.links import is_web


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://www.flickr.com/photos/1/2", True),
        ("http://example.org", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//example.org", False),
        ("https://example.org:0/", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_what_may_become_a_link(address: str, expected: bool) -> None:
    assert is_web(address) is expected

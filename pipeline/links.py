"""Addresses that came with a photo and may become links on our pages."""

from urllib.parse import urlsplit


def is_web(address: str) -> bool:
    """Whether it leads to the web; a table that came from elsewhere could hold `javascript:`, or no address at all.

    >>> is_web("https://www.flickr.com/photos/1/2"), is_web("javascript:alert(1)"), is_web("http://["), is_web("https:")
    (True, False, False, False)
    """
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False

"""Answers of servers, read within bounds: bytes as sent and as unpacked, time in all, depth and numbers of JSON."""

import json
import math
import time
import zlib
from collections.abc import Iterator

import urllib3

CHUNK_BYTES = 65_536
MAX_DEPTH = 32
GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Exceeded(Exception):
    """An answer exceeds a bound, or is packed in a way that was not asked for; the message says how."""


def chunks(response: urllib3.BaseHTTPResponse, deadline_s: float) -> Iterator[bytes]:
    """The body as it arrives, packed as it is sent, until the monotonic time `deadline_s`.

    Raises `TimeoutError` after that, and urllib3's `IncompleteRead` where the body is shorter than its Content-Length.
    """
    while chunk := response.read1(CHUNK_BYTES, decode_content=False):
        yield chunk
        _check_time(deadline_s)
    # A connection that was closed for being late looks like the end of the body.
    _check_time(deadline_s)


def read_whole(response: urllib3.BaseHTTPResponse, max_bytes: int, deadline_s: float) -> bytes:
    """The unpacked body, at most `max_bytes` before and after unpacking. Raises `Exceeded` and what `chunks` raises."""
    unpack = _unpacker(response.headers.get("Content-Encoding", "").strip().lower())
    body, received_bytes = bytearray(), 0
    for chunk in chunks(response, deadline_s):
        received_bytes += len(chunk)
        body += unpack.more(chunk, max_bytes + 1 - len(body))
        if max(received_bytes, len(body)) > max_bytes:
            raise Exceeded(f"an answer of more than {max_bytes / 1e6:g} MB")
    unpack.end()
    return bytes(body)


def parse_json(data: bytes) -> object:
    """The value of a JSON text. Raises `ValueError` for broken text, `NaN`, numbers without end and deep nesting."""
    try:
        value = json.loads(data, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise _too_deep() from None
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise _too_deep()


class _Unpacked:
    """A body that is sent as it is."""

    def more(self, chunk: bytes, max_bytes: int) -> bytes:
        return chunk

    def end(self) -> None:
        pass


class _Gzip(_Unpacked):
    """A body in gzip; never unpacks more than it is asked for."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(GZIP_WINDOW)

    def more(self, chunk: bytes, max_bytes: int) -> bytes:
        try:
            data = self._decoder.decompress(chunk, max_bytes)
        except zlib.error:
            raise Exceeded("an answer that is called gzip and is not") from None
        if self._decoder.unused_data:
            raise Exceeded("an answer with something after its gzip data")
        return data

    def end(self) -> None:
        if not self._decoder.eof:
            raise Exceeded("an answer whose gzip data ends early")


def _unpacker(encoding: str) -> _Unpacked:
    if encoding in ("", "identity"):
        return _Unpacked()
    if encoding in ("gzip", "x-gzip"):
        return _Gzip()
    raise Exceeded(f"an answer in the encoding {encoding[:40]!r}, which was not asked for")


def _check_time(deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise TimeoutError("the answer was not complete in time")


def _inside(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is not finite")
    return number


def _too_deep() -> ValueError:
    return ValueError(f"nested in more than {MAX_DEPTH} levels")

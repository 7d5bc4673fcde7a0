"""Answers within bounds: what is packed, endless, slow, deep or not a number ends in a sentence."""

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from pipeline.web.reading import MAX_DEPTH, parse_json
from pipeline.web.session import BoundedSession, UnusableAnswer

Talk = Callable[[socket.socket], None]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@contextmanager
def answering(talk: Talk) -> Iterator[str]:
    """A server that hears a request out and then does `talk`, for each connection; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        connection.recv(65_536)
                        talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def asked(talk: Talk, max_bytes: int = 10_000, longest_s: float = 5.0) -> requests.Response:
    with answering(talk) as address, BoundedSession(longest_s, max_bytes) as session:
        session.trust_env = False
        return session.get(address, timeout=3)


@given(st.binary(max_size=3000), st.booleans())
def test_what_is_within_bounds_comes_whole(body: bytes, is_packed: bool) -> None:
    sent = answer(gzip.compress(body, mtime=0), "Content-Encoding: gzip") if is_packed else answer(body)
    response = asked(lambda connection: connection.sendall(sent))
    assert (response.status_code, response.content) == (200, body)


BOMB = gzip.compress(b" " * 5_000_000, mtime=0)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (answer(BOMB, "Content-Encoding: gzip"), "more than 0.01 MB"),
        (answer(b" " * 10_001), "more than 0.01 MB"),
        (answer(b"no gzip", "Content-Encoding: gzip"), "called gzip and is not"),
        (answer(gzip.compress(b"x", mtime=0)[:-4], "Content-Encoding: gzip"), "ends early"),
        (answer(gzip.compress(b"x", mtime=0) + b"more", "Content-Encoding: x-gzip"), "something after"),
        (answer(gzip.compress(BOMB, mtime=0), "Content-Encoding: gzip, gzip"), "encoding 'gzip, gzip'"),
        (answer(zlib.compress(b"x"), "Content-Encoding: deflate"), "encoding 'deflate'"),
        (answer(b"x", "Content-Encoding: br"), "encoding 'br'"),
    ],
)
def test_what_is_not_is_refused(sent: bytes, said: str) -> None:
    with pytest.raises(UnusableAnswer, match=said):
        asked(lambda connection: connection.sendall(sent))


def test_chunks_without_end_are_refused() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")

    with pytest.raises(UnusableAnswer, match="more than"):
        asked(endless)


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)  # fmt: skip
def test_a_byte_now_and_then_is_awaited_for_a_bounded_time(begin: bytes) -> None:
    """In a body with and without length, in a header, in the status line, in the size of a chunk."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(begin)
        while True:
            connection.sendall(b"0")
            time.sleep(0.02)

    began_s = time.monotonic()
    with pytest.raises(requests.Timeout):
        asked(drip, longest_s=0.3)
    assert time.monotonic() - began_s < 5


def test_a_body_that_ends_early_is_no_answer() -> None:
    with pytest.raises(requests.ConnectionError):
        asked(lambda connection: connection.sendall(answer(b"abc").replace(b": 3", b": 9")))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Again", "308 Moved"])
def test_a_redirect_is_not_followed(status: str) -> None:
    came: list[bytes] = []

    def elsewhere(connection: socket.socket) -> None:
        came.append(b"somebody")
        connection.sendall(answer(b"inside"))

    with answering(elsewhere) as inner:
        response = asked(lambda connection: connection.sendall(answer(b"", f"Location: {inner}", status=status)))
    assert (response.status_code, response.content, came) == (int(status[:3]), b"", [])


def test_of_a_failure_only_the_head_is_read() -> None:
    response = asked(lambda connection: connection.sendall(answer(b" " * 50_000, status="500 Broken")))
    assert (response.status_code, response.content) == (500, b"")


# --- JSON


@given(PLAIN)
def test_json_is_read_as_it_is(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000, "[" * 900 + "]" * 900, '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "1e999",
        '{"code": -1e999}',
        "NaN", "[Infinity]", "-Infinity", "9" * 5000, "", "\xff", '{"stat"', "<html>",
    ],
)  # fmt: skip
def test_json_beyond_bounds_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_json(text.encode("latin-1"))


def test_depth_up_to_the_bound_is_read() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    with pytest.raises(ValueError, match="levels"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))

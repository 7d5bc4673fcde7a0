"""Connections that take their time: a request that does not arrive whole is ended, and others are served meanwhile."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from pipeline.errors import ConfigError
from pipeline.loopback import server
from pipeline.loopback.guard import Door, Guard


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(server, "REQUEST_S", 0.3)
    listening = server.listen(0)
    door = Door(listening.getsockname()[1])
    running: uvicorn.Server = server.make_server(Guard(echo, door.port, 1000), door)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield door
    running.should_exit = True
    thread.join(20)
    listening.close()


def head(door: Door, *more: str) -> bytes:
    lines = ["POST / HTTP/1.1", f"Host: 127.0.0.1:{door.port}", f"Authorization: Bearer {door.token.value}", *more]
    return "\r\n".join(lines).encode()


def talk(door: Door, *parts: bytes) -> bytes:
    """Send the parts, and then read until the other side closes."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        try:
            while received := connection.recv(4096):
                answer += received
        except ConnectionResetError:
            pass
        return answer


def test_a_whole_request_is_answered(door: Door) -> None:
    whole = head(door, "Connection: close", "Content-Length: 4", "", "") + b"four"
    assert talk(door, whole).endswith(b"4 bytes")


def test_no_answer_waits_for_the_client_to_acknowledge_a_part(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    no_delay, made = [], server.H11Protocol.connection_made

    def connected(self: server.H11Protocol, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        no_delay.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    monkeypatch.setattr(server.H11Protocol, "connection_made", connected)
    assert talk(door, head(door, "Connection: close", "", "")).endswith(b"0 bytes")
    assert no_delay == [1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_half_a_request_is_given_up(door: Door) -> None:
    assert talk(door) == b""
    assert talk(door, head(door, "X: ")) == b""
    assert talk(door, head(door, "Content-Length: 4", "", ""), b"thr") == b""


def test_a_byte_now_and_then_does_not_keep_a_connection(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as connection:
        with pytest.raises(OSError, match=r"(?i)reset|pipe"):  # noqa: PT012
            for byte in head(door):
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        assert talk(door, head(door, "Connection: close", "", "")).endswith(b"0 bytes")


@pytest.mark.parametrize(
    "head_line", [b"GET / HTTP/9.9", b"\x16\x03\x01", b"GET /\xff HTTP/1.1", b"GET /" + b"a" * 100_000 + b" HTTP/1.1"]
)
def test_what_is_no_request_is_told_so(door: Door, head_line: bytes) -> None:
    assert talk(door, head_line + b"\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 40")


def test_another_address_is_listened_to_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with server.listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
    monkeypatch.setenv(server.LISTEN_VARIABLE, "0.0.0.0")
    with server.listen(0) as listening:
        assert listening.getsockname()[0] == "0.0.0.0"
    monkeypatch.setenv(server.LISTEN_VARIABLE, "no address")
    with pytest.raises(ConfigError, match="of no address cannot be used"):
        server.listen(0)

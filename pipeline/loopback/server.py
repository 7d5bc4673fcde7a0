"""Serving a guarded page on loopback, to clients that may be slow but not for ever."""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import replace

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import ConfigError
from pipeline.loopback.guard import CONNECTION_MEMORY, Door, Guard

LISTEN_VARIABLE = "BOKEHFLOW_LISTEN"
REQUEST_S = 10
"""Time for a request to arrive whole, head and body, from its connection or its first byte on."""
STUCK_S = 60
"""A client that takes none of its answer for this long is given up."""


def listen(port: int) -> socket.socket:
    """A socket on 127.0.0.1; port 0 takes a free one. Raises `ConfigError` where the port is taken.

    `BOKEHFLOW_LISTEN` names another address: in a container, whose loopback nobody outside reaches, it is 0.0.0.0.
    """
    address = os.environ.get(LISTEN_VARIABLE) or "127.0.0.1"
    # Named as TCP, or asyncio leaves Nagle on, and each answer on a kept connection waits 40 ms for the client.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        why = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise ConfigError(f"port {port} of {address} cannot be used ({why}); name another with --port") from None
    return listening


def make_server(guard: Guard, door: Door, websockets: bool = False) -> uvicorn.Server:
    """A server of the page behind its guard and `door`; `run(sockets=[listen(port)])` serves until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        replace(guard, door=door), log_level="warning", access_log=False, lifespan="off", server_header=False,
        loop="asyncio", http=_PunctualProtocol, ws="auto" if websockets else "none",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    return uvicorn.Server(config)


def serve(guard: Guard, door: Door, listening: socket.socket, started: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM; `started` is called first."""
    started()
    make_server(guard, door).run(sockets=[listening])


class _PunctualProtocol(H11Protocol):
    """A connection that is closed when a request does not arrive, or its answer is not taken, in time.

    The server's own time-outs begin after an answer and end with the next byte, so that a byte now and then, or none
    at all, would hold a connection for ever, and enough of them all that the process may have.
    """

    _looking: asyncio.TimerHandle | None = None
    _unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.app_state = {**self.app_state, CONNECTION_MEMORY: {}}
        self._look_in(REQUEST_S)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._looking is not None:
            self._looking.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look_in(REQUEST_S)

    def _look_in(self, seconds: float) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        unsent_bytes = self.transport.get_write_buffer_size()
        is_stuck = unsent_bytes > 0 and unsent_bytes == self._unsent_bytes
        if is_stuck or (not unsent_bytes and self._awaits_request()):
            self.transport.abort()
        else:
            self._unsent_bytes = unsent_bytes
            self._look_in(STUCK_S)

    def _awaits_request(self) -> bool:
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

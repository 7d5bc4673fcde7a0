"""Serving the page on loopback."""

import socket
from collections.abc import Callable

import uvicorn

from pipeline.curation.review.guard import Guard
from pipeline.errors import ConfigError

DEFAULT_PORT = 8765


def listen(port: int) -> socket.socket:
    """A socket on 127.0.0.1; port 0 takes a free one. Raises `ConfigError` where the port is taken."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise ConfigError(f"port {port} of 127.0.0.1 cannot be used ({error.strerror}); name another with --port") from None
    return listening


def serve(application: Guard, listening: socket.socket, started: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM; `started` is called first."""
    config = uvicorn.Config(
        application, log_level="warning", access_log=False, ws="none", lifespan="off", server_header=False,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    started()
    uvicorn.Server(config).run(sockets=[listening])

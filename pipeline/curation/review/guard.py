"""Who may talk to the page: its own browser window on this machine and nobody else.

The page listens on loopback only. What remains are other sites opened in the same browser: they can make it send
requests here (cross-site request forgery), and a name of theirs can be made to resolve to 127.0.0.1 (DNS rebinding).
So the Host header must name loopback and the right port, nothing may come from a foreign origin, and whatever changes
something carries a token that only this page's own content knows.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
TOKEN_HEADER = "x-review-token"
MAX_BODY_BYTES = 65_536
SAFE_METHODS = ("GET", "HEAD")

HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Sent with every answer: no script but our own file, nothing from elsewhere, no frames."""


@dataclass(frozen=True)
class Guard:
    """ASGI middleware that refuses what does not come from this page itself, with 403 and the reason.

    `port` is the one the page listens on.
    """

    app: ASGIApp
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        problem = refusal(scope["method"], Headers(scope=scope), self.port)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = PlainTextResponse(f"refused: {problem}\n", status_code=403) if problem else self.app
        await answer(scope, receive, send_guarded)


def refusal(method: str, headers: Mapping[str, str], port: int) -> str | None:
    """Why a request with these headers (names in lower case) is refused; None where it may pass."""
    host = headers.get("host", "")
    if host.lower() not in own_hosts(port):
        return f"this page is only at http://127.0.0.1:{port}, not at {host[:200]!r}"
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return f"another site's page asked for this; open http://{host} yourself"
    for name in ("origin", "referer"):
        if name in headers and not _is_own(headers[name], host):
            return f"the {name} {headers[name][:200]!r} is not this page"
    if method not in (*SAFE_METHODS, "POST"):
        return f"the method {method[:20]!r} does nothing here"
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return f"more than {MAX_BODY_BYTES} bytes were sent"
    return None


def own_hosts(port: int) -> set[str]:
    """The Host headers under which the page may be opened; browsers leave out the port 80."""
    return {f"{name}:{port}" for name in LOOPBACK_NAMES} | (set(LOOPBACK_NAMES) if port == 80 else set())


def _is_own(url: str, host: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.netloc.lower() == host.lower()


@dataclass(frozen=True)
class Token:
    """A secret of this server process; the page carries it, other sites cannot read it."""

    value: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def matches(self, given: str) -> bool:
        """Whether `given` is the token, in constant time."""
        return secrets.compare_digest(self.value.encode(), given.encode())

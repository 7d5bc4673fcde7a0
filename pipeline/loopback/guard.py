"""Who may talk to a page of this machine: whoever was shown its address, in a browser window of its own.

A page listens on loopback only. What remains are other programs and users of this machine, other sites opened in
the same browser (cross-site request forgery), and names of theirs made to resolve to 127.0.0.1 (DNS rebinding).
So the Host header must name loopback and the right port, nothing may come from a foreign origin, and whoever asks
must have been given the secret in the address that the command prints. Opening that address leaves a cookie in its
place, which other sites cannot send and which outlives restarts.
"""

import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.atomic import atomic_path
from pipeline.errors import BokehflowError
from pipeline.plain_files import read_plain

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
SAFE_METHODS = ("GET", "HEAD")
TOKEN_PARAMETER = "token"
SECRET_BYTES = 32
POLICY_VIOLATION = 1008
CONNECTION_MEMORY = "connection"
"""Key, in a request's state, of a dictionary that lives as long as its connection."""

HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Sent with every answer: no frames, nothing for other sites, no address in a Referer to them."""


class StalePage(BokehflowError):
    """A request from a page of an earlier start, or from another site."""


@dataclass(frozen=True)
class Token:
    """A secret of this server process, compared in constant time and never shown by accident."""

    value: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def matches(self, given: str) -> bool:
        """Whether `given` is the token."""
        return secrets.compare_digest(self.value.encode(), given.encode("utf-8", "surrogatepass"))

    def check(self, given: str) -> None:
        """Raise `StalePage` unless `given` is the token, as pages of this start send it."""
        if not self.matches(given):
            raise StalePage("this page is from before the server was started; load it again")


@dataclass(frozen=True)
class Door:
    """What opens a page on `port`: the token in its address at first, then the cookie of a browser that had it.

    The token lives as long as the process. The cookie is made from `secret`, which may be kept in a file, so that open
    windows go on working after a restart.
    """

    port: int
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES), repr=False)
    token: Token = field(default_factory=Token)
    starter: int = field(default_factory=os.getppid)

    @property
    def place(self) -> str:
        """Where the page is: of use to a browser that was let in before."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def address(self) -> str:
        """What a person opens; it carries the token."""
        return f"{self.place}?{TOKEN_PARAMETER}={self.token.value}"

    @property
    def cookie_name(self) -> str:
        """Browsers do not tell the ports of a host apart, so the name does."""
        return f"bokehflow-{self.port}-access"

    @property
    def cookie(self) -> Token:
        return Token(hmac.new(self.secret, self.cookie_name.encode(), "sha256").hexdigest())

    def knows(self, scope: Scope) -> bool:
        """Whether a request shows the cookie or, as programs do, the token in `Authorization: Bearer`.

        The process that started this one has been shown the address as well: it may do without.
        """
        headers = Headers(scope=scope)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.token.matches(given.strip()):
            return True
        shown = cookie_parser(headers.get("cookie", "")).get(self.cookie_name, "")
        return self.cookie.matches(shown) or self._is_starter(scope)

    def _is_starter(self, scope: Scope) -> bool:
        """Whether the other end of the connection belongs to the process that started this one.

        Asked once for a connection, where the server keeps a memory of it.
        """
        if not scope.get("client") or os.getppid() != self.starter:
            return False
        memory = scope.get("state", {}).get(CONNECTION_MEMORY, {})
        if "is_starter" not in memory:
            memory["is_starter"] = _holds(self.starter, scope["client"], self.port)
        return memory["is_starter"]


@dataclass(frozen=True)
class Guard:
    """ASGI middleware that refuses what does not come from this page itself, with 403 and the reason.

    `port` is the one the page listens on. Websockets are refused before they are accepted. `headers` are added to
    those of every answer, `max_body_bytes` may be sent at once. Without a `door`, whoever reaches the page may use it.
    """

    app: ASGIApp
    port: int
    max_body_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    door: Door | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self._websocket(scope, receive, send)
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                for name, value in {**self.headers, "cache-control": "no-store"}.items():
                    headers.setdefault(name, value)
            await send(message)

        with suppress(ClientDisconnect):  # nobody is left to be told
            await (self._answer(scope) or self.app)(scope, receive, send_guarded)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._refusal("GET", Headers(scope=scope)) or not self._may_enter(scope):
            return await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        await self.app(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        """What is said in place of the page; None where the page may answer."""
        if problem := self._refusal(scope["method"], Headers(scope=scope)):
            return PlainTextResponse(f"refused: {problem}\n", 403)
        if self.door and scope["method"] in SAFE_METHODS and _given_token(scope) is not None:
            return self._let_in(scope, self.door)
        if not self._may_enter(scope):
            return PlainTextResponse("refused: open the address that the command printed; it carries the token\n", 403)
        return None

    def _refusal(self, method: str, headers: Headers) -> str | None:
        several = [name for name in ("host", "origin", "content-length") if len(headers.getlist(name)) > 1]
        if several:
            return f"the header {several[0]} came twice"
        return refusal(method, headers, self.port, self.max_body_bytes)

    def _may_enter(self, scope: Scope) -> bool:
        return self.door is None or self.door.knows(scope)

    def _let_in(self, scope: Scope, door: Door) -> Response:
        """Take the token out of the address bar and its history, and leave a cookie for it."""
        if not door.token.matches(_given_token(scope) or ""):
            return PlainTextResponse("refused: this token is of another start; open the address printed last\n", 403)
        rest = [(name, value) for name, value in _query(scope) if name != TOKEN_PARAMETER]
        # One slash only: two would lead to another host.
        path = "/" + scope["raw_path"].decode("latin-1").lstrip("/\\")
        answer = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), 303)
        answer.set_cookie(door.cookie_name, door.cookie.value, httponly=True, samesite="strict")
        return answer


def refusal(method: str, headers: Mapping[str, str], port: int, max_body_bytes: int) -> str | None:
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
    if "transfer-encoding" in headers:
        return "a body must say its length (Content-Length) before it comes"
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 16 and int(length) <= max_body_bytes):
        return f"more than {max_body_bytes} bytes were sent"
    return None


def own_hosts(port: int) -> set[str]:
    """The Host headers under which the page may be opened; browsers leave out the port 80."""
    return {f"{name}:{port}" for name in LOOPBACK_NAMES} | (set(LOOPBACK_NAMES) if port == 80 else set())


def kept_secret(path: Path) -> bytes:
    """The secret in the file `path`, made anew where there is none that only this user can read.

    Where no file can be kept it is one for this process alone, and browsers must be let in again after a restart.
    """
    fresh = secrets.token_bytes(SECRET_BYTES)
    with suppress(OSError):
        if _is_private(path) and len(kept := read_plain(path)) == SECRET_BYTES:
            return kept
        with atomic_path(path) as temporary:
            temporary.touch(0o600, exist_ok=False)
            temporary.write_bytes(fresh)
    return fresh


def _is_private(path: Path) -> bool:
    return path.exists() and not path.stat().st_mode & 0o077


def _holds(process: int, client: tuple[str, int], port: int) -> bool:
    """Whether the process has a connection from the address `client` to our port."""
    import psutil

    with suppress(psutil.Error, OSError):
        held = psutil.Process(process).net_connections("tcp")
        return any(tuple(one.laddr) == tuple(client) and one.raddr and one.raddr.port == port for one in held)
    return False


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _given_token(scope: Scope) -> str | None:
    return dict(_query(scope)).get(TOKEN_PARAMETER)


def _is_own(url: str, host: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.netloc.lower() == host.lower()

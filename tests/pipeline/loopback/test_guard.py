"""Who gets in: whoever has the address that was printed, from a window of this page itself, and nobody else."""

import asyncio
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from pipeline.loopback.guard import SECRET_BYTES, Door, Guard, kept_secret
from tests.pipeline.curation.review.worlds import PORT, Answer, ask

DOOR = Door(PORT, b"s" * SECRET_BYTES)
GUARDED = Guard(PlainTextResponse("the page"), PORT, 1000, door=DOOR)
COOKIE = {"cookie": f"other={{]; {DOOR.cookie_name}={DOOR.cookie.value}"}


def entered(path: str = "/", method: str = "GET", **headers: str) -> Answer:
    return ask(GUARDED, path, method, headers)


def test_nobody_gets_in_without_the_token() -> None:
    assert entered().status == 403
    assert "address that the command printed" in entered().text
    assert entered("/?token=").status == entered("/?token=guess").status == 403
    assert entered(cookie=f"{DOOR.cookie_name}=guess").status == 403
    assert entered(authorization="Bearer guess").status == entered(authorization=f"Basic {DOOR.token.value}").status == 403


def test_the_address_leaves_a_cookie_and_no_token() -> None:
    answer = entered(f"/grid?status=all&token={DOOR.token.value}")
    assert (answer.status, answer.headers["location"]) == (303, "/grid?status=all")
    set_cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in set_cookie
    assert "samesite=strict" in set_cookie
    assert DOOR.token.value not in str(answer.headers)
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert ask(GUARDED, "/grid", headers=COOKIE).text == "the page"
    assert entered(authorization=f"bearer {DOOR.token.value}").text == "the page"


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///evil.example/x", "http://evil.example/"])
def test_the_token_leads_to_this_page_only(path: str) -> None:
    answer = ask(GUARDED, f"{path}?token={DOOR.token.value}")
    location = answer.headers["location"]
    assert location.startswith("/")
    assert location[1:2] not in ("/", "\\")


@pytest.mark.parametrize(
    "foreign",
    [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"},
     {"sec-fetch-site": "same-site"}, {"referer": "http://evil.example/"}, {"origin": "http://127.0.0.1:1"}],
)  # fmt: skip
def test_the_cookie_alone_does_not_help_another_site(foreign: dict[str, str]) -> None:
    assert ask(GUARDED, "/", headers={**COOKIE, **foreign}).status == 403
    assert ask(GUARDED, f"/?token={DOOR.token.value}", headers=foreign).status == 403
    assert not socket_opens({**COOKIE, **foreign})


def test_a_body_of_unknown_length_is_refused() -> None:
    answer = ask(GUARDED, "/", "POST", {**COOKIE, "transfer-encoding": "chunked"})
    assert (answer.status, "must say its length" in answer.text) == (403, True)


def test_whoever_goes_away_in_the_middle_of_a_request_is_no_fault() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    async def nothing(message: Message | None = None) -> Message:
        raise AssertionError(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"",
             "headers": [(b"host", f"127.0.0.1:{PORT}".encode())]}  # fmt: skip
    asyncio.run(Guard(app, PORT, 1000)(scope, nothing, nothing))


def test_a_socket_needs_the_cookie_too() -> None:
    own = {"origin": f"http://127.0.0.1:{PORT}"}
    assert socket_opens({**COOKIE, **own})
    assert not socket_opens(own)
    assert not socket_opens({**COOKIE, "origin": "null"})


def test_a_restart_keeps_the_windows_and_not_the_address() -> None:
    again = replace(GUARDED, door=Door(PORT, DOOR.secret))
    assert ask(again, "/", headers=COOKIE).text == "the page"
    assert ask(again, f"/?token={DOOR.token.value}").status == 403
    assert ask(replace(GUARDED, door=Door(PORT)), "/", headers=COOKIE).status == 403


def test_secrets_are_in_no_representation() -> None:
    assert DOOR.token.value not in repr(GUARDED)
    assert repr(DOOR.secret) not in repr(GUARDED)


@given(st.text(), st.text(st.characters(max_codepoint=255)))
def test_odd_tokens_are_refused(cookie: str, token: str) -> None:
    assert not DOOR.cookie.matches(cookie)
    assert not DOOR.token.matches(token)


def test_the_secret_is_kept_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "page-secret"
    secret = kept_secret(path)
    assert len(secret) == SECRET_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept_secret(path) == secret
    path.chmod(0o644)
    assert kept_secret(path) != secret
    path.write_bytes(b"")
    assert len(kept_secret(path)) == SECRET_BYTES
    assert kept_secret(path) == path.read_bytes()


def test_a_secret_that_cannot_be_kept_lasts_for_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(kept_secret(tmp_path / "file" / "page-secret")) == SECRET_BYTES


ASK_PARENT_AND_CHILD = """
import subprocess, sys, urllib.request
server = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
address = f"http://127.0.0.1:{server.stdout.readline().strip()}/"
ask = "import sys, urllib.request; urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1])"
try:
    sys.argv = ["", address]
    exec(ask)
    print("parent in")
    child = subprocess.run([sys.executable, "-c", ask, address], stderr=subprocess.PIPE, text=True)
    print("other", "403" in child.stderr)
finally:
    server.terminate()
    server.wait()
"""
SERVE = """
from starlette.responses import PlainTextResponse
from pipeline.loopback.guard import Door, Guard
from pipeline.loopback.server import listen, serve
listening = listen(0)
port = listening.getsockname()[1]
serve(Guard(PlainTextResponse("page"), port, 1000), Door(port), listening, lambda: print(port, flush=True))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process may not look at its parent's connections")
def test_only_the_process_that_started_the_page_needs_no_token() -> None:
    command = [sys.executable, "-c", ASK_PARENT_AND_CHILD, SERVE]
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": "."}
    )
    assert said.stdout.split("\n")[:2] == ["parent in", "other True"], said.stderr


def socket_opens(headers: dict[str, str]) -> bool:
    """Whether the page behind the guard is asked about a websocket with these headers."""
    asked: list[str] = []
    told: list[Message] = []

    async def page(scope: object, receive: object, send: object) -> None:
        asked.append("page")

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        told.append(message)

    sent = {"host": f"127.0.0.1:{PORT}", **headers}
    scope = {
        "type": "websocket", "path": "/graphql", "query_string": b"", "client": None,
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    asyncio.run(replace(GUARDED, app=page)(scope, receive, send))
    assert bool(asked) != bool(told)
    return bool(asked)

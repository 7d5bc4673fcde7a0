"""Flickr on this machine: its REST calls and its picture server on two loopback ports, and its bad days.

    with Emulator(Path("collection")) as emulator:
        client = FlickrClient("any key", "any secret", endpoint=emulator.endpoint)

Any key that is not empty is accepted unless `valid_keys` are given; the fault plan names keys that are refused.
The server is the standard library's, since what a well-behaved one cannot do is wanted here: bodies shorter than
announced. What the answers say is made in `answers`; chance and plans are in `faults`.
"""

import http
import io
import json
import logging
import re
import socket
import socketserver
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from collections.abc import Collection as Keys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, unquote, urlsplit

from PIL import Image

from pipeline.errors import ConfigError
from pipeline.flickr.answers import Rest, RestError, pictures
from pipeline.flickr.collection import Collection, CollectionPhoto, digest, load_collection
from pipeline.flickr.faults import FaultPlan

HOST = "127.0.0.1"
REST_PATH = "/services/rest/"
UNAVAILABLE_PATH = "/images/photo_unavailable.png"
LOG_LENGTH = 10_000
_SECRET_ARGUMENTS = re.compile(r"oauth_.*|api_key|api_sig|auth_token")
_OAUTH_KEY = re.compile(r'oauth_consumer_key="([^"]*)"')
_PICTURE_PATH = re.compile(r"/\d+/([^/_]+)_[0-9a-f]+(?:_\w+)?\.\w+")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoggedRequest:
    """One request that came in: a REST method or `picture`, arguments without keys, the fault it met."""

    method: str
    arguments: dict[str, str]
    user_agent: str
    fault: str | None


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. `cut`: the connection ends in the middle of the body."""

    body: bytes
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False


class Emulator:
    """Serves a collection: a folder with `collection.jsonl`, or records in memory. A context manager.

    `api_port` and `image_port` 0 take free ones. While it runs: `endpoint` and `image_host` are what
    `[flickr] endpoint` and `image_hosts` need; `calls` counts REST calls by method and `faulted` the requests
    that met a fault, by its name, those of pictures with `picture ` before it; `image_requests` counts pictures
    asked for, and `requests` are the last 10,000 requests. `collection` may be changed meanwhile.
    """

    def __init__(
        self,
        collection: Path | Iterable[CollectionPhoto],
        faults: FaultPlan | None = None,
        *,
        api_port: int = 0,
        image_port: int = 0,
        valid_keys: Keys[str] | None = None,
    ) -> None:
        if isinstance(collection, Path):
            self.collection = Collection(load_collection(collection), collection)
        else:
            self.collection = Collection(collection)
        self.faults = faults or FaultPlan()
        self.calls: Counter[str] = Counter()
        self.faulted: Counter[str] = Counter()
        self.image_requests = 0
        self.requests: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)
        self._ports = (api_port, image_port)
        self._valid_keys = valid_keys
        self._asked_for: Counter[str] = Counter()
        self._check_changes()
        self._pending = sorted(self.faults.changes, key=lambda change: change.after_calls)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._servers: list[_Server] = []

    def __enter__(self) -> "Emulator":
        self._stopped.clear()
        try:
            for port, answer in zip(self._ports, (self._api_reply, self._image_reply), strict=True):
                self._servers.append(_listen(port, answer))
        except ConfigError:
            while self._servers:
                self._servers.pop().server_close()
            raise
        self.endpoint = f"http://{self._host(0)}{REST_PATH}"
        self.image_host = self._host(1)
        self._rest = Rest(self.collection, f"http://{self.image_host}")
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End answering and close every connection; a second time does nothing."""
        self._stopped.set()
        while self._servers:
            self._servers.pop().stop()

    def wait(self) -> None:
        """Return when the emulator stops."""
        self._stopped.wait()

    def _host(self, index: int) -> str:
        return f"{HOST}:{self._servers[index].server_address[1]}"

    def _api_reply(self, request: "_Request") -> Reply:
        if request.path == UNAVAILABLE_PATH:
            return Reply(_unavailable_picture(), content_type="image/png")
        if request.path.rstrip("/") != REST_PATH.rstrip("/"):
            return _html(404, "Not found")
        method = request.arguments.get("method", "")
        with self._lock:
            self.calls[method] += 1
            call = self.calls.total()
            self._change_what_is_due(call)
        fault = self.faults.api_fault(call)
        self._note(method, request.arguments, request, fault)
        return self._faulty(fault, call, self.faults.api.slow_s) or self._rest_reply(method, request, call)

    def _rest_reply(self, method: str, request: "_Request", call: int) -> Reply:
        try:
            self._check_key(request.key)
            if request.arguments.get("format") != "json":
                raise RestError(111, f'Format "{request.arguments.get("format", "")}" not found')
            answer = self._rest.call(method, request.arguments, self.faults.drift(call))
        except RestError as error:
            answer = error.answer()
        text = json.dumps(answer)
        plain = request.arguments.get("nojsoncallback") == "1"
        return Reply((text if plain else f"jsonFlickrApi({text})").encode())

    def _check_key(self, key: str) -> None:
        if not key:
            raise RestError(100, "Invalid API Key (Key has invalid format)")
        if key in self.faults.refused_keys or (self._valid_keys is not None and key not in self._valid_keys):
            raise RestError(100, "Invalid API Key (Key not found)")

    def _image_reply(self, request: "_Request") -> Reply:
        match = _PICTURE_PATH.fullmatch(request.path)
        id = unquote(match[1]) if match else ""
        with self._lock:
            self.image_requests += 1
            self._asked_for[request.path] += 1
            asked = self._asked_for[request.path]
        fault = self.faults.image_fault(id, request.path, asked)
        self._note("picture", {"path": request.path}, request, fault)
        faulty = self._faulty(fault, asked, self.faults.images.slow_s)
        return faulty or self._picture(id, request, cut=fault == "cut")

    def _picture(self, id: str, request: "_Request", cut: bool) -> Reply:
        photo = self.collection.get(id)
        if photo is not None and photo.removed:
            return self._unavailable()
        found = photo and next((one for one in pictures(self.collection, photo) if one.path == request.path), None)
        body = self.collection.picture(photo, found.edge_px) if photo and found else None
        if body is None:
            return Reply(b"", 404, "text/html")
        tag = f'"{digest(body)}"'
        if request.if_none_match == tag:
            return Reply(b"", 304, "image/jpeg", (("ETag", tag),))
        kind = "image/png" if request.path.endswith(".png") else "image/jpeg"
        return Reply(body, content_type=kind, headers=(("ETag", tag),), cut=cut)

    def _faulty(self, fault: str | None, number: int, slow_s: float) -> Reply | None:
        """What a fault makes of the answer; `None`: the right one, after a pause if it is a slow one."""
        match fault:
            case "http_429":
                return _html(429, "Too many requests")
            case "http_5xx":
                return _html((500, 502, 503)[number % 3], "Something went wrong")
            case "error_201":
                message = "Sorry, the Flickr API service is not currently available."
                return Reply(json.dumps(RestError(201 if number % 2 else 0, message).answer()).encode())
            case "html":
                return _html(200, "Log in to this network")
            case "broken_json":
                return Reply(b'{"photos":{"page":1,"pages":')
            case "broken":
                return Reply(bytes(range(256)) * 8, content_type="image/jpeg")
            case "unavailable":
                return self._unavailable()
            case "slow":
                self._stopped.wait(slow_s)
        return None

    def _unavailable(self) -> Reply:
        """A redirect to another host than that of pictures, as Flickr's is."""
        return Reply(b"", 302, "text/html", (("Location", f"http://{self._host(0)}{UNAVAILABLE_PATH}"),))

    def _change_what_is_due(self, call: int) -> None:
        while self._pending and self._pending[0].after_calls < call:
            change = self._pending.pop(0)
            self.collection.change(change.photo, **change.fields())

    def _check_changes(self) -> None:
        unknown = [change.photo for change in self.faults.changes if self.collection.get(change.photo) is None]
        if unknown:
            raise ConfigError(f"the fault plan changes photos that the collection does not have: {', '.join(unknown)}")

    def _note(self, method: str, arguments: dict[str, str], request: "_Request", fault: str | None) -> None:
        shown = {name: value for name, value in arguments.items() if not _SECRET_ARGUMENTS.fullmatch(name)}
        with self._lock:
            self.requests.append(LoggedRequest(method, shown, request.user_agent, fault))
            if fault:
                self.faulted[f"picture {fault}" if method == "picture" else fault] += 1


def serve(
    folder: Path, faults: FaultPlan | None, api_port: int, image_port: int, announce: Callable[[Emulator], None]
) -> None:
    """Serve `folder` until interrupted. `announce` is called once, when requests are answered."""
    with Emulator(folder, faults, api_port=api_port, image_port=image_port) as emulator:
        announce(emulator)
        try:
            emulator.wait()
        except KeyboardInterrupt:
            log.info("stopped after %d calls and %d pictures", emulator.calls.total(), emulator.image_requests)


@dataclass(frozen=True)
class _Request:
    path: str
    arguments: dict[str, str]
    key: str
    user_agent: str
    if_none_match: str | None


class _Server(socketserver.ThreadingTCPServer):
    """Answers each connection in a thread, and closes all of them when it stops.

    `http.server`'s own server looks up the name of its address first, which takes seconds on some machines.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[_Request], Reply]) -> None:
        self.answer = answer
        self._connections: set[socket.socket] = set()
        super().__init__((HOST, port), _Handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._connections.add(request)
        super().process_request(request, client_address)  # pyright: ignore[reportArgumentType]

    def shutdown_request(self, request: socket.socket) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that went away is nothing; anything else is a defect that a test must see.
        level = logging.DEBUG if isinstance(sys.exception(), ConnectionError) else logging.ERROR
        log.log(level, "a request failed", exc_info=True)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            # Without this, kept-alive connections would be answered on after the end.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests, writes replies; keeps connections alive."""

    protocol_version = "HTTP/1.1"
    server_version = "bokehflow-emulator"
    disable_nagle_algorithm = True
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self._write(self.server.answer(self._read("")))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._write(self.server.answer(self._read(body.decode("utf-8", "replace"))))

    def _read(self, form: str) -> _Request:
        url = urlsplit(self.path)
        arguments = dict(parse_qsl(f"{url.query}&{form}", keep_blank_values=True))
        signed = _OAUTH_KEY.search(self.headers.get("Authorization") or "")
        key = unquote(signed[1]) if signed else arguments.get("api_key", "")
        user_agent = self.headers.get("User-Agent") or ""
        return _Request(url.path, arguments, key, user_agent, self.headers.get("If-None-Match"))

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        self.close_connection = self.close_connection or reply.cut

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: request lines may hold keys; what came in is in `Emulator.requests`."""


def _listen(port: int, answer: Callable[[_Request], Reply]) -> _Server:
    try:
        return _Server(port, answer)
    except OSError as error:
        raise ConfigError(f"port {port} cannot be used ({error}); name another, or 0 for a free one") from error


def _html(status: int, text: str) -> Reply:
    title = http.HTTPStatus(status).phrase
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><p>{text}</p></body></html>"
    return Reply(page.encode(), status, "text/html; charset=utf-8")


@cache
def _unavailable_picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (500, 374), (243, 245, 246)).save(buffer, format="PNG")
    return buffer.getvalue()

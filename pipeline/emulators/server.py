"""What all emulated sources have in common: an API and a picture server on two loopback ports, faults, and a log.

The server is the standard library's, since what a well-behaved one cannot do is wanted here: bodies shorter than announced.
"""

import http
import logging
import re
import socket
import socketserver
import sys
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.emulators.collection import Collection, CollectionPhoto, digest, load_collection
from pipeline.emulators.faults import FaultPlan
from pipeline.errors import ConfigError

HOST = "127.0.0.1"
LOG_LENGTH = 10_000
_SECRET_ARGUMENTS = re.compile(r"oauth_.*|api_key|api_sig|auth_token")
_OAUTH_KEY = re.compile(r'oauth_consumer_key="([^"]*)"')

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


@dataclass(frozen=True)
class Request:
    """What was asked; `key` is the API key, wherever it stood."""

    path: str
    arguments: dict[str, str]
    key: str
    user_agent: str
    if_none_match: str | None


class Server(socketserver.ThreadingTCPServer):
    """Answers each connection in a thread, and closes all of them when it stops.

    `http.server`'s own server looks up the name of its address first, which takes seconds on some machines.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[Request], Reply], *, shares_port: bool) -> None:
        self.answer = answer
        self.allow_reuse_port = shares_port
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
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self._write(self.server.answer(self._read("")))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._write(self.server.answer(self._read(body.decode("utf-8", "replace"))))

    def _read(self, form: str) -> Request:
        url = urlsplit(self.path)
        arguments = dict(parse_qsl(f"{url.query}&{form}", keep_blank_values=True))
        signed = _OAUTH_KEY.search(self.headers.get("Authorization") or "")
        key = unquote(signed[1]) if signed else arguments.get("api_key", "")
        user_agent = self.headers.get("User-Agent") or ""
        return Request(url.path, arguments, key, user_agent, self.headers.get("If-None-Match"))

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


def listen(port: int, answer: Callable[[Request], Reply], *, shares_port: bool = False) -> Server:
    """A server on this port, 0 for a free one; `shares_port` with others of this user that share it too.

    Raises `ConfigError` for a port that cannot be used.
    """
    try:
        return Server(port, answer, shares_port=shares_port)
    except OSError as error:
        raise ConfigError(f"port {port} cannot be used ({error}); name another, or 0 for a free one") from error


def html_page(status: int, text: str) -> Reply:
    """A page as gateways and overloaded servers give it."""
    title = http.HTTPStatus(status).phrase
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><p>{text}</p></body></html>"
    return Reply(page.encode(), status, "text/html; charset=utf-8")


@dataclass(frozen=True)
class ServedFile:
    """What a path of the picture server names: a photo, and the long edge of its picture; None for the original."""

    id: str
    photo: CollectionPhoto | None
    edge_px: int | None
    exists: bool


class SourceEmulator(ABC):
    """Serves a collection: a folder with `collection.jsonl`, or records in memory. A context manager.

    `api_port` and `image_port` 0 take free ones; with `shares_ports` several processes may show one collection on the
    same ports, and each may end while others go on. While it runs: `endpoint` and `image_host` are what the project file
    needs for the source; `calls` counts calls of the API by method and `faulted` the requests that met a fault, by its
    name, those of pictures with `picture ` before it; `image_requests` counts pictures asked for, and `requests` are the
    last 10,000 requests. `collection` may be changed meanwhile.
    """

    api_path: ClassVar[str]

    def __init__(
        self,
        collection: Path | Iterable[CollectionPhoto],
        faults: FaultPlan | None = None,
        *,
        api_port: int = 0,
        image_port: int = 0,
        shares_ports: bool = False,
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
        self._ports, self._shares_ports = (api_port, image_port), shares_ports
        self._asked_for: Counter[str] = Counter()
        self._check_changes()
        self._pending = sorted(self.faults.changes, key=lambda change: change.after_calls)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._servers: list[Server] = []

    def __enter__(self) -> Self:
        self._stopped.clear()
        try:
            for port, answer in zip(self._ports, (self._api_reply, self._image_reply), strict=True):
                self._servers.append(listen(port, answer, shares_port=self._shares_ports))
        except ConfigError:
            while self._servers:
                self._servers.pop().server_close()
            raise
        self.api_host, self.image_host = (f"{HOST}:{server.server_address[1]}" for server in self._servers)
        self.endpoint = f"http://{self.api_host}{self.api_path}"
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

    def breaches(self) -> Mapping[str, int]:
        """What in how many calls was against the source's etiquette, where the emulator keeps an eye on one."""
        return {}

    @abstractmethod
    def _method(self, request: Request) -> str:
        """What the call is counted as."""

    @abstractmethod
    def _answer(self, request: Request, call: int) -> Reply:
        """The right answer to a call of the API, the `call`th."""

    @abstractmethod
    def _file(self, path: str) -> ServedFile:
        """What a path of the picture server names."""

    @abstractmethod
    def _refusal(self, number: int) -> Reply:
        """How the source says that it cannot answer now."""

    @abstractmethod
    def _unavailable(self) -> Reply:
        """What stands in the place of a picture that is gone."""

    def _api_reply(self, request: Request) -> Reply:
        if request.path.rstrip("/") != self.api_path.rstrip("/"):
            return html_page(404, "Not found")
        method = self._method(request)
        with self._lock:
            self.calls[method] += 1
            call = self.calls.total()
            self._change_what_is_due(call)
        fault = self.faults.api_fault(call)
        self._note(method, request.arguments, request, fault)
        return self._faulty(fault, call, self.faults.api.slow_s) or self._answer(request, call)

    def _image_reply(self, request: Request) -> Reply:
        file = self._file(request.path)
        with self._lock:
            self.image_requests += 1
            self._asked_for[request.path] += 1
            asked = self._asked_for[request.path]
        fault = self.faults.image_fault(file.id, request.path, asked)
        self._note("picture", {"path": request.path}, request, fault)
        faulty = self._faulty(fault, asked, self.faults.images.slow_s)
        return faulty or self._picture(file, request, cut=fault == "cut")

    def _picture(self, file: ServedFile, request: Request, cut: bool) -> Reply:
        if file.photo is not None and file.photo.removed:
            return self._unavailable()
        body = self.collection.picture(file.photo, file.edge_px) if file.photo and file.exists else None
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
                return html_page(429, "Too many requests")
            case "http_5xx":
                return html_page((500, 502, 503)[number % 3], "Something went wrong")
            case "error_201":
                return self._refusal(number)
            case "html":
                return html_page(200, "Log in to this network")
            case "broken_json":
                return Reply(b'{"photos":{"page":1,"pages":')
            case "broken":
                return Reply(bytes(range(256)) * 8, content_type="image/jpeg")
            case "unavailable":
                return self._unavailable()
            case "slow":
                self._stopped.wait(slow_s)
        return None

    def _change_what_is_due(self, call: int) -> None:
        while self._pending and self._pending[0].after_calls < call:
            change = self._pending.pop(0)
            self.collection.change(change.photo, **change.fields())

    def _check_changes(self) -> None:
        unknown = [change.photo for change in self.faults.changes if self.collection.get(change.photo) is None]
        if unknown:
            raise ConfigError(f"the fault plan changes photos that the collection does not have: {', '.join(unknown)}")

    def _note(self, method: str, arguments: dict[str, str], request: Request, fault: str | None) -> None:
        shown = {name: value for name, value in arguments.items() if not _SECRET_ARGUMENTS.fullmatch(name)}
        with self._lock:
            self.requests.append(LoggedRequest(method, shown, request.user_agent, fault))
            if fault:
                self.faulted[f"picture {fault}" if method == "picture" else fault] += 1


def serve(emulator: SourceEmulator, announce: Callable[[SourceEmulator], None]) -> None:
    """Answer until interrupted, and say then what was asked. `announce` is called once, when requests are answered."""
    with emulator:
        announce(emulator)
        try:
            emulator.wait()
        except KeyboardInterrupt:
            log.info("stopped after %d calls and %d pictures", emulator.calls.total(), emulator.image_requests)
            for breach, count in emulator.breaches().items():
                log.warning("against the etiquette in %d calls: %s", count, breach)

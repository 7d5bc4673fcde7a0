"""A picture server on loopback that misbehaves on command."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """One answer of the server."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_length: int | None = -1
    """What the header claims; -1: the truth, None: no header, the connection's end ends the body."""
    delay_s: float = 0.0
    drip_s: float = 0.0
    """Pause after each 2 KiB of the body."""


@dataclass
class PictureServer:
    """Answers by path; where a path has several answers, each request takes the next and the last one stays."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    connections: set[tuple[str, int]] = field(default_factory=set)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def serve(self, path: str, *answers: Answer) -> str:
        """Register answers; returns the URL."""
        self.answers[path] = list(answers)
        return self.url + path

    def picture(self, path: str, data: bytes) -> str:
        return self.serve(path, Answer(body=data, headers={"ETag": f'"{path}"'}))


def _handler(server: PictureServer, lock: threading.Lock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                queue = server.answers.get(self.path) or [Answer(404, content_length=0)]
                answer = queue.pop(0) if len(queue) > 1 else queue[0]
                server.requests[self.path] += 1
                server.headers[self.path] = dict(self.headers)
                server.connections.add(self.client_address)
            time.sleep(answer.delay_s)
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) if answer.content_length == -1 else answer.content_length
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            try:
                for start in range(0, len(answer.body), 2048):
                    self.wfile.write(answer.body[start : start + 2048])
                    time.sleep(answer.drip_s)
            except OSError:  # the client has had enough
                self.close_connection = True
            if length != len(answer.body):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class RunningServers:
    """Starts servers, and stops all of them."""

    def __init__(self) -> None:
        self._running: list[ThreadingHTTPServer] = []

    def start(self) -> PictureServer:
        server = PictureServer("")
        http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server, threading.Lock()))
        http.daemon_threads = True
        http.block_on_close = False
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self._running.append(http)
        return server

    def stop(self) -> None:
        for http in self._running:
            http.shutdown()
            http.server_close()

"""As much of S3 as copying a home needs, on loopback, misbehaving on demand."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "lab"
KEY = "the-key"
ADDRESS = f"s3://{BUCKET}/some/place"


@dataclass
class Store:
    """What the server holds, and how it behaves."""

    objects: dict[str, bytes] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method and name of each, as they came."""
    keeps_conditions: bool = True
    redirects: bool = False
    is_late: bool = False
    """Whether its clock differs from everybody's."""
    fails: Callable[[str, str], bool] = lambda method, name: False
    """Whether a request is answered by 400, which no client tries again."""
    ails: Callable[[str, str], int] = lambda method, name: 0
    """The code by which a request is answered instead, such as 503; below zero the body stops after so many bytes."""


def handler_of(store: Store) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def error(self, code: int, what: str, **headers: str) -> None:
            self.answer(code, f"<Error><Code>{what}</Code><Message>{what}</Message></Error>".encode(), **headers)

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            _, bucket, name = (unquote(parts.path) + "/").split("/", 2)
            name = name.removesuffix("/")
            store.requests.append(f"{self.command} {name}")
            if f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
                return self.error(403, "InvalidAccessKeyId")
            if bucket != BUCKET:
                return self.error(404, "NoSuchBucket")
            if store.redirects:
                return self.error(301, "PermanentRedirect", x_amz_bucket_region="mars-1")
            if store.is_late:
                return self.error(403, "RequestTimeTooSkewed")
            if store.fails(self.command, name):
                return self.error(400, "Mood")
            ailment = store.ails(self.command, name)
            if ailment > 0:
                return self.error(ailment, "SlowDown")
            query = parse_qs(parts.query, keep_blank_values=True)
            if self.command == "PUT" and "uploadId" in query:
                store.parts[name, int(query["partNumber"][0])] = body
                return self.answer(200, ETag=f'"{md5(body).hexdigest()}"')
            if self.command == "POST" and "uploads" in query:
                return self.answer(
                    200, b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
                )
            if self.command == "POST" and "uploadId" in query:
                numbers = sorted(number for part, number in store.parts if part == name)
                body = b"".join(store.parts.pop((name, number)) for number in numbers)
                done = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
                store.objects[name] = body
                store.puts.append(name)
                return self.answer(200, done)
            if self.command == "PUT":
                if store.keeps_conditions and self.headers.get("If-None-Match") == "*" and name in store.objects:
                    return self.error(412, "PreconditionFailed")
                store.objects[name] = body
                store.puts.append(name)
                return self.answer(200, ETag=f'"{md5(body).hexdigest()}"')
            if self.command == "POST":
                keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
                for key in keys:
                    store.objects.pop(key, None)
                deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
                return self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())
            if not name:
                return self.answer(200, listing(store, parse_qs(parts.query).get("prefix", [""])[0]))
            if name not in store.objects:
                return self.error(404, "NoSuchKey")
            data = store.objects[name]
            if ailment < 0:
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Last-Modified", "Sat, 28 Nov 2026 00:00:00 GMT")
                self.end_headers()
                self.wfile.write(data[:-ailment])
                return self.connection.shutdown(2)
            when = "Sat, 28 Nov 2026 00:00:00 GMT"
            self.answer(200, data, ETag=f'"{md5(data).hexdigest()}"', Last_Modified=when)

        do_GET = do_PUT = do_HEAD = do_POST = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def listing(store: Store, prefix: str) -> bytes:
    rows = [
        f"<Contents><Key>{escape(name)}</Key><Size>{len(data)}</Size><ETag>e</ETag>"
        "<LastModified>2126-11-28T00:00:00.000Z</LastModified></Contents>"
        for name, data in sorted(store.objects.items()) if name.startswith(prefix)
    ]  # fmt: skip
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(rows)}</ListBucketResult>".encode()


@contextmanager
def serving(store: Store, port: int = 0) -> Iterator[str]:
    """The address of the server, until the end of the block."""
    with ThreadingHTTPServer(("127.0.0.1", port), handler_of(store)) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def contents(store: Store) -> set[str]:
    """The digests that it holds."""
    return {found[1] for name in store.objects if (found := re.search(r"objects/([0-9a-f]{64})$", name))}

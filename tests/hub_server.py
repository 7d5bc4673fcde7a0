"""A server on this machine that speaks the parts of the Hugging Face Hub's API that publishing and loading need."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_test"
LARGE_BYTES = 1000
"""Larger files, and all Parquet and tar files, go through LFS."""


@dataclass
class Hub:
    """What the server has and was asked; `faults` maps a pattern of `METHOD path` to the status it answers with."""

    url: str = ""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def puts(self) -> list[str]:
        return [line for line in self.asked if line.startswith("PUT ")]

    def revision(self, repo: str) -> str:
        content = "".join(f"{path}{git_digest(data)}" for path, data in sorted(self.repos[repo].items()))
        return hashlib.sha1(content.encode()).hexdigest()


def git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(path: str, size: int) -> bool:
    return size > LARGE_BYTES or path.endswith((".parquet", ".tar"))


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_digest(data)}
    if is_large(path, len(data)):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_HEAD = do_GET

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b"".join(iter(self._chunk, b""))
        line = f"{self.command} {path}"
        self.hub.asked.append(line)
        for pattern, status in self.hub.faults.items():
            if re.search(pattern, line):
                return self._answer(status, {"error": "you shall not"})
        needs_token = self.command == "POST"
        if needs_token and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid username or password."})
        for pattern, method in _ROUTES:
            if found := re.fullmatch(pattern, line):
                return method(self, body, *found.groups())
        return self._answer(404, {"error": "no such thing"}, {"X-Error-Code": "RepoNotFound"})

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _answer(self, status: int, content: object = None, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        url = f"{self.hub.url}/datasets/{repo}"
        is_new = repo not in self.hub.repos
        self.hub.repos.setdefault(repo, {})
        self._answer(200 if is_new else 409, {"url": url} if is_new else {"error": "exists", "url": url})

    def _yaml(self, body: bytes) -> None:
        assert json.loads(body)["content"].startswith("---\n")
        self._answer(200, {"errors": [], "warnings": []})

    def _preupload(self, body: bytes, repo: str) -> None:
        there = self.hub.repos[repo]
        files = []
        for file in json.loads(body)["files"]:
            path, large = file["path"], is_large(file["path"], file["size"])
            oid = (hashlib.sha256(there[path]).hexdigest() if large else git_digest(there[path])) if path in there else None
            mode = "lfs" if large else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._answer(200, {"files": files})

    def _batch(self, body: bytes) -> None:
        objects = []
        for asked in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.url}/lfs/{asked['oid']}"}}
            is_there = asked["oid"] in self.hub.large
            objects.append(dict(asked) if is_there else {**asked, "actions": upload})
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _large(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._answer(400, {"error": "other bytes"})
        self.hub.large[oid] = body
        return self._answer(200, {})

    def _commit(self, body: bytes, repo: str) -> None:
        files = dict(self.hub.repos[repo])
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        self.hub.repos[repo] = files
        self.hub.commits.append(files)
        oid = self.hub.revision(repo)
        self._answer(200, {"commitUrl": f"{self.hub.url}/datasets/{repo}/commit/{oid}", "commitOid": oid})

    def _info(self, _: bytes, repo: str) -> None:
        if repo not in self.hub.repos:
            return self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        files = [{"rfilename": path} for path in sorted(self.hub.repos[repo])]
        known = {"id": repo, "sha": self.hub.revision(repo), "siblings": files, "private": False, "gated": False, "tags": []}
        return self._answer(200, {**known, "disabled": False, "downloads": 0, "likes": 0})

    def _tree(self, _: bytes, repo: str, below: str | None) -> None:
        prefix = f"{(below or '').strip('/')}/" if (below or "").strip("/") else ""
        is_deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
        found, folders = [], set()
        for path, data in sorted(self.hub.repos[repo].items()):
            rest = path.removeprefix(prefix)
            if not path.startswith(prefix):
                continue
            if "/" in rest and (folder := prefix + rest.partition("/")[0]) not in folders:
                folders.add(folder)
                found.append({"type": "directory", "path": folder, "size": 0, "oid": "0" * 40})
            if is_deep or "/" not in rest:
                found.append(_entry(path, data))
        is_there = found or not prefix
        self._answer(200 if is_there else 404, found, {} if is_there else {"X-Error-Code": "EntryNotFound"})

    def _paths(self, body: bytes, repo: str) -> None:
        text = body.decode()
        asked = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text)["paths"]
        files = self.hub.repos[repo]
        self._answer(200, [_entry(path, files[path]) for path in asked if path in files])

    def _resolve(self, _: bytes, repo: str, path: str) -> None:
        data = self.hub.repos.get(repo, {}).get(path)
        if data is None:
            return self._answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": self.hub.revision(repo), "ETag": f'"{git_digest(data)}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._answer(200, data, headers)
        start, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
        part = data[start : end + 1]
        return self._answer(206, part, headers | {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"})


_REPO = r"([\w.-]+/[\w.-]+)"
_ROUTES: list[tuple[str, Any]] = [
    (r"POST /api/repos/create", _Handler._create),
    (r"POST /api/validate-yaml", _Handler._yaml),
    (rf"POST /api/datasets/{_REPO}/preupload/main", _Handler._preupload),
    (r"POST /datasets/[^ ]+\.git/info/lfs/objects/batch", _Handler._batch),
    (r"PUT /lfs/([0-9a-f]{64})", _Handler._large),
    (rf"POST /api/datasets/{_REPO}/commit/main", _Handler._commit),
    (rf"GET /api/datasets/{_REPO}(?:/revision/\w+)?", _Handler._info),
    (rf"GET /api/datasets/{_REPO}/tree/\w+(/.*)?", _Handler._tree),
    (rf"POST /api/datasets/{_REPO}/paths-info/\w+", _Handler._paths),
    (rf"(?:GET|HEAD) /datasets/{_REPO}/resolve/\w+/(.+)", _Handler._resolve),
]


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of this machine, without any repository."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

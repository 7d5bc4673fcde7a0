"""One picture over HTTP to a file: allowed hosts only, size and time bounded, every failure classified.

Observed of Flickr's image servers: a removed photo is a redirect to a `photo_unavailable` picture on another host,
or 404 with an empty HTML body; 429 and sometimes 403 come even at a few requests a second.
"""

import hashlib
import http.client
import os
import re
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import certifi
import urllib3
from urllib3 import exceptions
from urllib3.util import Retry, Timeout, Url, parse_url

from pipeline.photos.pace import HostAnswer
from pipeline.web.addresses import OpenAnswers, PrivateAddress, connection_pools, host_allowed, is_loopback
from pipeline.web.reading import CHUNK_BYTES, chunks

MAX_REDIRECTS = 3
WHOLE_TIMEOUTS = 10
"""A whole picture may take this many times the time-out for a single answer; slower ones count as timed out."""
USUAL_SCHEMES = ("http", "https")
LENGTH = re.compile(r"[0-9]{1,18}")
"""Bytes of a body, as far as any server has them."""
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Body:
    """A complete body, written to the caller's file."""

    sha256: str
    size_bytes: int
    etag: str | None


class FetchFailed(Exception):
    """One attempt did not yield a picture.

    `retry`: asking again at once may help; `pending`: asking again at a later run may. `wait_s` is what the server
    asked to wait, `size_bytes` the size of a picture that is too large, `answer` what it means for the host's pace.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        retry: bool = False,
        pending: bool = False,
        wait_s: float | None = None,
        size_bytes: int | None = None,
        answer: HostAnswer = HostAnswer.FAILED,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry = retry
        self.pending = pending
        self.wait_s = wait_s
        self.size_bytes = size_bytes
        self.answer = answer


def failure_of_status(status: int, retry_after: str | None) -> FetchFailed:
    """What an HTTP status other than 200, 304 and the redirects means for the photo."""
    detail = f"the server answered with status {status}"
    if status in (404, 410, 451):
        return FetchFailed("unavailable", detail, answer=HostAnswer.GOOD)
    wait_s = _seconds(retry_after)
    if status in (403, 429):
        answer = HostAnswer.REFUSED if status == 429 else HostAnswer.FORBIDDEN
        return FetchFailed("rate_limited", detail, retry=True, pending=True, wait_s=wait_s, answer=answer)
    answer = HostAnswer.REFUSED if status == 503 else HostAnswer.FAILED
    passing = status >= 500 or status == 408
    return FetchFailed("server_error", detail, retry=passing, pending=True, wait_s=wait_s, answer=answer)


def failure_of_error(error: exceptions.HTTPError) -> FetchFailed:
    """What a failure of the connection means for the photo; all of them may pass."""
    detail = f"{type(error).__name__}: {error}"[:300]
    refused = isinstance(error, exceptions.NewConnectionError)  # urllib3 derives it from its time-outs
    if isinstance(error, exceptions.TimeoutError) and not refused:
        return FetchFailed("timeout", detail, retry=True, pending=True)
    if isinstance(error.__cause__, http.client.IncompleteRead):
        return FetchFailed("cut_body", detail, retry=True, pending=True)
    return FetchFailed("unreachable", detail, retry=True, pending=True)


class PictureClient:
    """Fetches pictures over kept-alive connections; may be shared by `connections` threads.

    The proxies and certificates of the usual environment variables (`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE` …) count,
    as they do for the API calls.
    """

    def __init__(self, hosts: Sequence[str], user_agent: str, timeout_s: float, max_bytes: int, connections: int) -> None:
        self._hosts = tuple(hosts)
        self._headers = {"User-Agent": user_agent, "Accept": "image/*", "Accept-Encoding": "identity"}
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        certificates = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
        timeout = Timeout(connect=timeout_s, read=timeout_s)
        self._stopped = threading.Event()
        self._waiting = OpenAnswers(longest_s=WHOLE_TIMEOUTS * timeout_s)
        kept = {"num_pools": len(hosts) + 1, "maxsize": connections, "timeout": timeout, "ca_certs": certificates}
        self._direct = urllib3.PoolManager(**kept)
        self._direct.pool_classes_by_scheme = connection_pools(self._waiting, direct=True)
        self._by_scheme = {
            scheme: urllib3.ProxyManager(proxy, **kept)
            for scheme, proxy in urllib.request.getproxies().items()
            if scheme in USUAL_SCHEMES and proxy.startswith("http")
        }
        for manager in self._by_scheme.values():
            manager.pool_classes_by_scheme = connection_pools(self._waiting, direct=False)

    def stop(self) -> None:
        """Let all requests, running and to come, fail soon: at the latest when the server is silent too long."""
        self._stopped.set()
        self._waiting.end_overdue(float("inf"))

    def close(self) -> None:
        """Close all connections."""
        for manager in (self._direct, *self._by_scheme.values()):
            manager.clear()

    def end_overdue(self) -> None:
        """End requests whose answer should have begun long ago; to be called now and then while others run."""
        self._waiting.end_overdue(time.monotonic())

    def get(self, url: str, target: Path, etag: str | None = None) -> Body | None:
        """Write the picture at `url` to `target`; None where it still is the one that `etag` marks.

        Raises `FetchFailed`; errors of the disk stay `OSError`.
        """
        try:
            with self._open(url, etag) as response:
                return None if response.status == 304 else self._save(response, target)
        except PrivateAddress as error:
            raise FetchFailed("private_address", str(error), pending=True) from error
        except exceptions.HTTPError as error:
            raise failure_of_error(error) from error

    def _open(self, url: str, etag: str | None) -> urllib3.BaseHTTPResponse:
        """The answer with status 200 (or 304) at the end of at most `MAX_REDIRECTS` redirects."""
        location = self._checked(url, FetchFailed("host_not_allowed", f"{url} is not on {', '.join(self._hosts)}"))
        headers = self._headers | ({"If-None-Match": etag} if etag else {})
        for _ in range(MAX_REDIRECTS + 1):
            self._go_on()
            manager = self._manager(location)
            response = manager.request(
                "GET", location.url, headers=headers, redirect=False, retries=False, preload_content=False
            )
            if response.status == 200 or (etag and response.status == 304):
                return response
            _discard(response)
            if response.status not in REDIRECTS:
                raise failure_of_status(response.status, response.headers.get("Retry-After"))
            location = self._redirected(location, response.headers.get("Location", ""))
        raise FetchFailed("server_error", f"more than {MAX_REDIRECTS} redirects", pending=True)

    def _redirected(self, before: Url, target: str) -> Url:
        """Where a redirect leads. Other hosts, and the picture that stands for removed photos, mean unavailable."""
        gone = FetchFailed("unavailable", f"redirected to {target[:200]}", answer=HostAnswer.GOOD)
        try:
            location = self._checked(urljoin(before.url, target), gone)
        except ValueError:
            raise gone from None
        downgraded = before.scheme == "https" and location.scheme != "https"
        if downgraded or "photo_unavailable" in (location.path or ""):
            raise gone
        return location

    def _checked(self, url: str, refusal: FetchFailed) -> Url:
        """The URL, parsed by the same code that will open it, or `refusal` raised."""
        try:
            parsed = parse_url(url)
        except exceptions.LocationParseError:
            raise refusal from None
        if not host_allowed(parsed, self._hosts):
            raise refusal
        return parsed

    def _manager(self, url: Url) -> urllib3.PoolManager:
        proxied = self._by_scheme.get(url.scheme or "")
        host = url.host or ""
        if proxied is None or is_loopback(host) or urllib.request.proxy_bypass(host):
            return self._direct
        return proxied

    def _save(self, response: urllib3.BaseHTTPResponse, target: Path) -> Body:
        claimed = response.headers.get("Content-Length", "")
        if LENGTH.fullmatch(claimed) and int(claimed) > self._max_bytes:
            raise self._too_large(int(claimed))
        digest, size_bytes = hashlib.sha256(), 0
        with target.open("wb") as file:
            for chunk in self._chunks(response):
                size_bytes += len(chunk)
                if size_bytes > self._max_bytes:
                    raise self._too_large(size_bytes)
                digest.update(chunk)
                file.write(chunk)
        return Body(digest.hexdigest(), size_bytes, response.headers.get("ETag"))

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """The body as it arrives; a body shorter than its Content-Length raises `IncompleteRead` at its end."""
        whole_s = WHOLE_TIMEOUTS * self._timeout_s
        try:
            for chunk in chunks(response, time.monotonic() + whole_s):
                yield chunk
                self._go_on()
        except TimeoutError:
            raise FetchFailed("timeout", f"not complete after {whole_s:g} s", retry=True, pending=True) from None

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise FetchFailed("stopped", "the run ended before", pending=True)

    def _too_large(self, size_bytes: int) -> FetchFailed:
        detail = f"at least {size_bytes} bytes, [photos] max_bytes allows {self._max_bytes}"
        return FetchFailed("too_large", detail, size_bytes=size_bytes, answer=HostAnswer.GOOD)


def _discard(response: urllib3.BaseHTTPResponse) -> None:
    """Read the body if it came with its headers, so that the connection can be used again; otherwise close it."""
    with suppress(exceptions.HTTPError):
        response.read1(CHUNK_BYTES, decode_content=False)
    response.close()


def _seconds(retry_after: str | None) -> float | None:
    """What a server asks to wait, by a number or a date; None where it says nothing that could be meant."""
    try:
        return float(Retry().parse_retry_after(retry_after)) if retry_after else None
    except (exceptions.InvalidHeader, ValueError, OverflowError):
        return None

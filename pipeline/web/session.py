"""A `requests` session for an untrusted server: checked addresses, no redirects, bounded answers."""

import io
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import exceptions

from pipeline.web.addresses import OpenAnswers, PrivateAddress, connection_pools, is_loopback
from pipeline.web.reading import Exceeded, read_whole

MAX_ANSWER_BYTES = 8_000_000
"""500 photos with all that Flickr tells of them are 1 MB or so; as Python objects 8 MB of brackets are 200 MB."""


class UnusableAnswer(requests.RequestException):
    """There is no answer that could be taken; the message says why in a few words."""


class BoundedSession(requests.Session):
    """Reads `max_bytes` of an answer at most, and for `longest_s` in all; to be used by one thread at a time.

    A redirect is an answer like others and never followed, and of an answer other than 200 only the head is read.
    Raises `requests.Timeout` for what takes too long and `UnusableAnswer` for what cannot be accepted.
    """

    def __init__(self, longest_s: float, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        super().__init__()
        self.headers["Accept-Encoding"] = "gzip"
        for scheme in ("http://", "https://"):
            self.mount(scheme, _BoundedAdapter(longest_s, max_bytes))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: an answer leads nowhere."""
        return None


def trusts_environment(host: str | None) -> bool:
    """Whether proxies of the environment count: what is on this machine is not reached through anybody's."""
    return not is_loopback(host or "")


class _BoundedAdapter(HTTPAdapter):
    def __init__(self, longest_s: float, max_bytes: int) -> None:
        self._longest_s, self._max_bytes = longest_s, max_bytes
        self._waiting = OpenAnswers(longest_s)
        super().__init__()

    def init_poolmanager(self, *args: Any, **named: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, **named)
        self.poolmanager.pool_classes_by_scheme = connection_pools(self._waiting, direct=True)

    def proxy_manager_for(self, proxy: str, **named: Any) -> urllib3.ProxyManager:  # noqa: ANN401
        manager = super().proxy_manager_for(proxy, **named)
        manager.pool_classes_by_scheme = connection_pools(self._waiting, direct=False)
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,  # noqa: ANN401
        verify: bool | str = True,
        cert: Any = None,  # noqa: ANN401
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Ask, and read the answer to its end."""
        deadline_s = time.monotonic() + self._longest_s
        try:
            with self._ended_when_overdue():
                response = super().send(request, True, timeout, verify, cert, proxies)
                body = self._read(response.raw, deadline_s)
        except (PrivateAddress, Exceeded) as error:
            raise UnusableAnswer(str(error), request=request) from error
        except (TimeoutError, exceptions.TimeoutError) as error:
            raise requests.Timeout(str(error), request=request) from error
        except (exceptions.HTTPError, requests.ConnectionError) as error:
            if time.monotonic() > deadline_s:
                raise requests.Timeout("the answer was not complete in time", request=request) from error
            raise requests.ConnectionError(error, request=request) from error
        response.raw = io.BytesIO(body)
        response.headers.pop("Content-Encoding", None)
        return response

    def _read(self, raw: urllib3.BaseHTTPResponse, deadline_s: float) -> bytes:
        if raw.status != 200:
            raw.close()
            return b""
        try:
            body = read_whole(raw, self._max_bytes, deadline_s)
        except BaseException:
            raw.close()
            raise
        raw.release_conn()
        return body

    @contextmanager
    def _ended_when_overdue(self) -> Iterator[None]:
        """Close the connection when time is up, whatever is read then: the time-out of a read starts anew with each byte."""
        timer = threading.Timer(self._longest_s, self._waiting.end_overdue, (float("inf"),))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

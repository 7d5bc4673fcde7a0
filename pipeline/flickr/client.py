"""Asking Flickr: the `flickrapi` package with time-outs, retries, a budget, and no key in any message.

What the package does by itself and is undone here: one requests session shared by all instances (each thread
gets its own, which bounds what is read and follows no redirect), no time-out, no retries, tokens stored in the home
folder, and logs that repeat whole bodies of refused answers (Flickr's reply to a wrong signature quotes the signed
text, key included).
"""

import http
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, Unpack
from urllib.parse import urlsplit

import flickrapi
import requests

from pipeline.errors import FlickrRefused, FlickrUnreachable
from pipeline.flickr.records import (
    EXTRAS,
    PAGING,
    Named,
    parse_brands,
    parse_info,
    parse_licenses,
    parse_models,
    parse_search,
)
from pipeline.sources.found import PhotoInfo, SearchPage
from pipeline.web.manners import Patience, Waits, phrase, transport_failure, user_agent, wait_s
from pipeline.web.reading import parse_json
from pipeline.web.session import BoundedSession, trusts_environment

ENDPOINT = "https://api.flickr.com/services/rest/"
HOW_TO_GET_A_KEY = (
    "put a working key and its secret into the environment variables FLICKR_API_KEY and FLICKR_API_SECRET; "
    "Flickr gives or replaces them at https://www.flickr.com/services/apps/create/ (a Pro account is needed)"
)

WHOLE_TIMEOUTS = 3
"""A whole answer may take so many times as long as the silence that is borne."""
_KEY_CODES = {96, 97, 98, 99, 100}
_PASSING_CODES = {10, 105, 201}
_NOT_FOUND = 1
_NOT_SHOWN = {1, 2}
"""getInfo: the photo is not there, or not for whoever asks."""

log = logging.getLogger(__name__)
# Their debug output shows keys and signatures, and flickrapi logs bodies as errors; what matters is raised.
for _name in ("flickrapi", "oauthlib", "requests_oauthlib"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

Answer = TypeVar("Answer")


class Budget(Protocol):
    """Counts calls; `acquire` returns when one more is allowed."""

    def acquire(self) -> None: ...


@dataclass(frozen=True)
class Failure:
    """What one attempt met in place of a usable answer.

    `status` is an HTTP status other than 200, `code` and `message` are Flickr's own; all three unknown means
    that nothing usable arrived: no connection, a time-out, a body that is not the JSON of an answer.
    """

    seen: str
    status: int | None = None
    code: int | None = None
    message: str = ""


class RefusedCall(FlickrRefused):
    """A final refusal; `code` is Flickr's error number, `None` where there was only an HTTP status."""

    def __init__(self, text: str, code: int | None) -> None:
        super().__init__(text)
        self.code = code


def may_be_retried(failure: Failure) -> bool:
    """Whether asking again can help.

    What passes: no connection, time-outs, broken JSON, HTTP 408, 429 and 5xx, errors 105 and 201 (which has also
    come as code 0, so by message too) and 10, a search that is down. Everything else is Flickr's last word.

    >>> may_be_retried(Failure("HTTP 429", status=429)), may_be_retried(Failure("error 100", code=100))
    (True, False)
    """
    if failure.status is not None:
        return failure.status in (408, 429) or failure.status >= 500
    if failure.code is not None:
        return failure.code in _PASSING_CODES or "not currently available" in failure.message
    return True


class FlickrClient:
    """Flickr's REST calls that bokehflow makes. May be shared between threads.

    Every call raises `FlickrRefused` on a final refusal and `FlickrUnreachable` when all tries failed.
    `budget` is asked before every try; `contact` (an e-mail or web
    address) goes into the User-Agent. `calls` and `retried` count tries so far. `timeout_s` and `retries` may be given
    without a whole `patience`.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        endpoint: str = ENDPOINT,
        contact: str = "",
        patience: Patience | None = None,
        budget: Budget | None = None,
        **waits: Unpack[Waits],
    ) -> None:
        self.endpoint = endpoint
        self.user_agent = user_agent(contact)
        self.calls = 0
        self.retried = 0
        self._key, self._secret = key, secret
        self._patience = replace(patience or Patience(), **waits)
        self._budget = budget
        self._per_thread = threading.local()
        self._lock = threading.Lock()
        self._brands: list[Named] | None = None
        self._models: dict[str, list[Named] | None] = {}

    def search(self, arguments: Mapping[str, str], *, begin_s: int, end_s: int, page: int = 1) -> SearchPage:
        """A page of 500 of the photos uploaded from `begin_s` to `end_s`, oldest first.

        Times are Unix seconds, both included; pages count from 1; `arguments` are those of
        `flickr.photos.search` that say what is searched.
        """
        window = {"min_upload_date": begin_s, "max_upload_date": end_s, "sort": "date-posted-asc"}
        paging = {"page": page, "per_page": PAGING.per_page, "extras": EXTRAS}
        return self._ask("flickr.photos.search", parse_search, {**arguments, **window, **paging})

    def photo_info(self, id: str) -> PhotoInfo | None:
        """The photo as it is now, `None` where Flickr refuses it: deleted, or private by now."""
        try:
            return self._ask("flickr.photos.getInfo", parse_info, {"photo_id": id})
        except RefusedCall as refusal:
            if refusal.code in _NOT_SHOWN:
                return None
            raise

    def check_key(self) -> None:
        """One cheap call that raises `FlickrRefused` where the key does not work."""
        self.license_names()

    def license_names(self) -> dict[str, str]:
        """Flickr's licences today: id to name."""
        return self._ask("flickr.photos.licenses.getInfo", parse_licenses, {})

    def camera_brands(self) -> list[Named]:
        """All camera brands; asked once, then remembered."""
        if self._brands is None:
            self._brands = self._ask("flickr.cameras.getBrands", parse_brands, {})
        return self._brands

    def camera_models(self, brand: str) -> list[Named] | None:
        """The brand's models, `None` for an unknown brand; asked once per brand, then remembered."""
        if brand not in self._models:
            self._models[brand] = self._ask_models(brand)
        return self._models[brand]

    def _ask_models(self, brand: str) -> list[Named] | None:
        try:
            return self._ask("flickr.cameras.getBrandModels", parse_models, {"brand": brand})
        except RefusedCall as refusal:
            if refusal.code == _NOT_FOUND:
                return None
            raise

    def _ask(self, method: str, parse: Callable[[Mapping[str, object]], Answer], arguments: Mapping[str, object]) -> Answer:
        attempt = 0
        while isinstance(answer := self._try(method, parse, arguments), Failure):
            if not may_be_retried(answer):
                raise self._refusal(method, answer)
            if attempt == self._patience.retries:
                raise self._unreachable(method, answer)
            self._wait(method, attempt, answer)
            attempt += 1
        return answer

    def _wait(self, method: str, attempt: int, failure: Failure) -> None:
        delay_s = wait_s(attempt, self._patience.chance())
        log.info("%s: %s; try %d follows in %.1f s", method, failure.seen, attempt + 2, delay_s)
        with self._lock:
            self.retried += 1
        self._patience.sleep(delay_s)

    def _try(
        self, method: str, parse: Callable[[Mapping[str, object]], Answer], arguments: Mapping[str, object]
    ) -> Answer | Failure:
        """One try: the parsed answer, or what came in its place."""
        if self._budget is not None:
            self._budget.acquire()
        with self._lock:
            self.calls += 1
        api = self._api()
        try:
            body: bytes = api.do_flickr_call(method, format="json", **arguments)  # pyright: ignore[reportAssignmentType]
        except flickrapi.FlickrError:
            status = self._per_thread.status
            return Failure(f"HTTP {status} {phrase(status)}".rstrip(), status=status)
        except requests.RequestException as error:
            return Failure(transport_failure(error, self._patience.timeout_s))
        return self._read(body, parse)

    def _read(self, body: bytes, parse: Callable[[Mapping[str, object]], Answer]) -> Answer | Failure:
        try:
            answer = parse_json(body)
            if not isinstance(answer, dict):
                return Failure("an answer that is not a JSON object")
            if answer.get("stat") == "ok":
                return parse(answer)
            code, message = int(answer["code"]), self._without_secrets(str(answer.get("message", "")))
        except (ValueError, KeyError, TypeError) as error:
            # Secrets go before the text is cut, which might leave half of one.
            shown = self._without_secrets(body.decode("utf-8", "replace"))[:60]
            return Failure(f"an answer that cannot be read ({shown!r}…): {self._without_secrets(str(error))}")
        return Failure(f'error {code} "{message}"', code=code, message=message)

    def _refusal(self, method: str, failure: Failure) -> RefusedCall:
        if failure.code in _KEY_CODES or failure.status == http.HTTPStatus.UNAUTHORIZED:
            text = f"{self.endpoint}: Flickr refuses the API key: {failure.seen}; {HOW_TO_GET_A_KEY}"
        else:
            text = f"{self.endpoint}: Flickr refuses {method}: {failure.seen}; asking again cannot help"
        return RefusedCall(text, failure.code)

    def _unreachable(self, method: str, failure: Failure) -> FlickrUnreachable:
        tries = self._patience.retries + 1
        return FlickrUnreachable(
            f"{self.endpoint}: no usable answer to {method} in {tries} tries; last seen: {failure.seen}. "
            "Check the network and `[flickr] endpoint` in the project file, and run again: nothing is lost"
        )

    def _api(self) -> flickrapi.FlickrAPI:
        """This thread's own `FlickrAPI`, with its own session."""
        if not hasattr(self._per_thread, "api"):
            api = flickrapi.FlickrAPI(self._key, self._secret, store_token=False, timeout=self._patience.timeout_s)
            api.REST_URL = self.endpoint  # pyright: ignore[reportAttributeAccessIssue]
            api.flickr_oauth.session = self._session()
            self._per_thread.api = api
        return self._per_thread.api

    def _session(self) -> requests.Session:
        session = BoundedSession(WHOLE_TIMEOUTS * self._patience.timeout_s)
        session.headers["User-Agent"] = self.user_agent
        session.hooks["response"].append(self._note_status)
        session.trust_env = trusts_environment(urlsplit(self.endpoint).hostname)
        return session

    def _note_status(self, response: requests.Response, **_: object) -> None:
        """The package's error keeps no status."""
        self._per_thread.status = response.status_code

    def _without_secrets(self, text: str) -> str:
        for secret in filter(None, (self._key, self._secret)):
            text = text.replace(secret, "…")
        return text

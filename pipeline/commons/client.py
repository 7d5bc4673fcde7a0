"""Asking Wikimedia Commons as its etiquette wants it: one call at a time, `maxlag`, whom to reach, and patience.

Read: https://www.mediawiki.org/wiki/API:Etiquette and https://meta.wikimedia.org/wiki/User-Agent_policy. No key is needed.
"""

import logging
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import requests

from pipeline.commons.records import LONGEST_TEXT, PAGING, parse_found, parse_info
from pipeline.entered_text import one_line
from pipeline.errors import CommonsRefused, CommonsTooSlow, CommonsUnreachable
from pipeline.sources.found import PhotoInfo, SearchPage
from pipeline.web.manners import Patience, phrase, transport_failure, user_agent, wait_s
from pipeline.web.reading import parse_json
from pipeline.web.session import BoundedSession, trusts_environment

ENDPOINT = "https://commons.wikimedia.org/w/api.php"
MAXLAG_S = 5
"""The service refuses while its databases lag behind by more, which is how it asks everybody to wait."""
LONGEST_ASKED_WAIT_S = 300.0
"""A server that wants one to stay away for longer is not waited for: the run ends, and the next goes on from there."""
WHOLE_TIMEOUTS = 3
FILE_NAMESPACE = 6
METADATA = "LicenseShortName|LicenseUrl|License|Artist|DateTimeOriginal|Categories"
_PASSING_CODES = {"maxlag", "ratelimited", "readonly", "cirrussearch-too-busy-error", "search-error", "timeout"}
PARTIAL_RETRIES = 2
"""Of a search that times out; it is asked for less then."""
MOST_PARTS = 100
NEAREST = 5
"""Names of categories that are offered for one that does not exist."""

log = logging.getLogger(__name__)


class CommonsBudget(Protocol):
    """Counts calls (`acquire` returns when one more is allowed) and gives the `turn` to make one."""

    def acquire(self) -> None: ...

    def turn(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class CommonsFailure:
    """What came in place of a usable answer; `final`: asking again cannot help, `partial`: asking for less may."""

    seen: str
    final: bool = False
    retry_after_s: float = 0.0
    partial: bool = False


class CommonsClient:
    """The two calls that bokehflow makes. For one thread; `budget` keeps all processes to one call at a time.

    `contact` (an e-mail or web address) goes into the User-Agent, as the service demands. Every call raises
    `CommonsRefused` on a final refusal and `CommonsUnreachable` when all tries failed, `CommonsTooSlow` where the last
    showed a part; `calls` and `retried` count tries.
    """

    def __init__(
        self,
        *,
        contact: str,
        budget: CommonsBudget,
        endpoint: str = ENDPOINT,
        patience: Patience | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.calls = self.retried = 0
        self._budget, self._patience = budget, patience or Patience()
        self._session = BoundedSession(WHOLE_TIMEOUTS * self._patience.timeout_s)
        self._session.headers["User-Agent"] = user_agent(contact)
        self._session.trust_env = trusts_environment(urlsplit(endpoint).hostname)

    def search(self, words: str, page: int = 1, *, total: bool = True) -> SearchPage:
        """A page (from 1) of the files that `words` find, oldest first; without `total` the count is left at 0.

        `words` are in the language of the service's search: https://www.mediawiki.org/wiki/Help:CirrusSearch.
        """
        offset = (page - 1) * PAGING.per_page
        arguments = {
            "generator": "search",
            "gsrsearch": words,
            "gsrnamespace": FILE_NAMESPACE,
            "gsrlimit": min(PAGING.per_page, PAGING.cap - offset),
            "gsroffset": offset,
            "gsrsort": "create_timestamp_asc",
            **_FILES,
        }
        if total:
            counted = {"srsearch": words, "srnamespace": FILE_NAMESPACE, "srlimit": 1, "srinfo": "totalhits", "srprop": ""}
            arguments |= {"list": "search", **counted}
        pages, count = self._ask(arguments)
        found = [parse_found(one) for one in pages]
        return SearchPage(count, tuple(sorted(found, key=lambda photo: photo.date_upload_s)))

    def photo_info(self, number: str) -> PhotoInfo | None:
        """The file of this page id as it is now; None for one that was deleted. It may have another name by now."""
        pages, _ = self._ask({"pageids": number, **_FILES})
        try:
            return parse_info(pages[0]) if pages else None
        except ValueError as error:
            raise CommonsUnreachable(f"{self.endpoint}: what it says of page {number} is not understood: {error}") from None

    def categories_like(self, name: str) -> list[str]:
        """Names of existing categories nearest to `name`, without namespace; itself alone if it exists."""
        pages, _ = self._ask({"titles": f"Category:{name}"})
        if pages and not pages[0].get("missing") and not pages[0].get("invalid"):
            return [name]
        # The search wants all of the words; `~` lets each be off by a letter or two.
        return self._categories(name) or self._categories(" ".join(f"{word}~" for word in re.findall(r"\w+", name)))

    def _categories(self, words: str) -> list[str]:
        if not words:
            return []
        pages, _ = self._ask({"generator": "search", "gsrsearch": words, "gsrnamespace": 14, "gsrlimit": NEAREST})
        ordered = sorted(pages, key=lambda page: _index(page.get("index")))
        return [one_line(str(page.get("title", "")).removeprefix("Category:"))[:LONGEST_TEXT] for page in ordered]

    def _ask(self, arguments: Mapping[str, object]) -> tuple[list[Mapping[str, object]], int]:
        """All pages of an answer, its parts put together, and how many results it counts."""
        pages: dict[object, dict[str, object]] = {}
        more: Mapping[str, object] = {}
        count = 0
        for _ in range(MOST_PARTS):
            answer = self._answer({**arguments, **more})
            found, hits = _pages(answer)
            for page in found:
                pages.setdefault(page.get("pageid", page.get("title")), {}).update(page)
            count = max(count, hits)
            more = _mapping(answer.get("continue"))
            if "batchcomplete" in answer or not more:
                return list(pages.values()), count
        raise CommonsUnreachable(f"{self.endpoint}: an answer of more than {MOST_PARTS} parts; run again later")

    def _answer(self, arguments: Mapping[str, object]) -> Mapping[str, object]:
        attempt = partial = 0
        while isinstance(tried := self._try(arguments), CommonsFailure):
            if tried.final:
                raise CommonsRefused(f"{self.endpoint}: Commons refuses: {tried.seen}; asking again cannot help")
            partial += tried.partial
            is_enough = attempt >= self._patience.retries or partial > PARTIAL_RETRIES
            if tried.retry_after_s > LONGEST_ASKED_WAIT_S or is_enough:
                raise self._unreachable(attempt + 1, tried)
            self._wait(attempt, tried)
            attempt += 1
        return tried

    def _unreachable(self, tries: int, failure: CommonsFailure) -> CommonsUnreachable:
        wanted = f" (it asks for {failure.retry_after_s:.0f} s of patience)" if failure.retry_after_s else ""
        kind = CommonsTooSlow if failure.partial else CommonsUnreachable
        return kind(
            f"{self.endpoint}: no usable answer in {tries} tries; last seen: {failure.seen}{wanted}. Check the network and "
            "`[commons] endpoint` in the project file, and run again later: nothing is lost"
        )

    def _wait(self, attempt: int, failure: CommonsFailure) -> None:
        delay_s = max(wait_s(attempt, self._patience.chance()), failure.retry_after_s)
        log.info("Commons: %s; try %d follows in %.1f s", failure.seen, attempt + 2, delay_s)
        self.retried += 1
        self._patience.sleep(delay_s)

    def _try(self, arguments: Mapping[str, object]) -> Mapping[str, object] | CommonsFailure:
        self._budget.acquire()
        self.calls += 1
        always = {"action": "query", "format": "json", "formatversion": "2", "maxlag": str(MAXLAG_S)}
        asked = always | {name: str(value) for name, value in arguments.items()}
        try:
            with self._budget.turn():
                response = self._session.get(self.endpoint, params=asked, timeout=self._patience.timeout_s)
        except requests.RequestException as error:
            return CommonsFailure(transport_failure(error, self._patience.timeout_s))
        asked_s = _retry_after_s(response.headers.get("Retry-After"))
        if response.status_code != 200:
            passing = response.status_code in (408, 429) or response.status_code >= 500
            return CommonsFailure(
                f"HTTP {response.status_code} {phrase(response.status_code)}".rstrip(), not passing, asked_s
            )
        return _read(response.content, asked_s)


_FILES = {
    "prop": "imageinfo",
    "iiprop": "timestamp|user|url|size|mime|mediatype|extmetadata",
    # A width that exists: from it follow the addresses of all others.
    "iiurlwidth": "330",
    "iiextmetadatafilter": METADATA,
    "iiextmetadatalanguage": "en",
}


def _read(body: bytes, asked_s: float) -> Mapping[str, object] | CommonsFailure:
    try:
        answer = parse_json(body)
    except ValueError as error:
        return CommonsFailure(f"an answer that cannot be read: {error}")
    if not isinstance(answer, Mapping):
        return CommonsFailure("an answer that is not a JSON object")
    error = answer.get("error")
    if error is None:
        too_long = CommonsFailure("a search that took too long and shows a part", partial=True)
        return too_long if _is_partial(answer) else answer
    code, text = str(_mapping(error).get("code")), str(_mapping(error).get("info", ""))[:200]
    passing = code in _PASSING_CODES or code.startswith("internal_api_error")
    return CommonsFailure(f'error {code} "{text}"', not passing, asked_s)


def _is_partial(answer: Mapping[str, object]) -> bool:
    """Whether the search timed out, and shows and counts what it had found until then (CirrusSearch's warning)."""
    warnings = [_mapping(told).get("warnings") for told in _mapping(answer.get("warnings")).values()]
    return any("partial results" in str(text) for text in warnings)


def _pages(answer: Mapping[str, object]) -> tuple[list[Mapping[str, object]], int]:
    query = _mapping(answer.get("query"))
    pages, hits = query.get("pages"), _mapping(query.get("searchinfo")).get("totalhits", 0)
    found = [page for page in pages if isinstance(page, Mapping)] if isinstance(pages, list) else []
    return found, hits if isinstance(hits, int) else 0


def _index(value: object) -> int:
    return value if isinstance(value, int) else 0


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _retry_after_s(written: str | None) -> float:
    """Seconds that the server asks to wait; dates, which it does not send, count as nothing said."""
    return float(written) if written and written.isascii() and written.isdigit() else 0.0

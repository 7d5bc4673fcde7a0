"""Wikimedia Commons on this machine: its API and its file server on two loopback ports, and its bad days.

    with CommonsEmulator(photos) as emulator:
        client = CommonsClient(contact="you@example.org", endpoint=emulator.endpoint, …)

It keeps an eye on its etiquette: `impolite` says what was wrong with a call, `at_once` how many came at the same time.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.emulators.collection import CollectionPhoto
from pipeline.emulators.commons_answers import MediaWiki, MediaWikiError, asked_file
from pipeline.emulators.faults import FaultPlan
from pipeline.emulators.server import Reply, Request, ServedFile, SourceEmulator, html_page

JSON = "application/json; charset=utf-8"


class CommonsEmulator(SourceEmulator):
    """Files by search and by id. The fault `error_201` is a refusal while databases lag, with `retry_after_s`."""

    api_path = "/w/api.php"

    def __init__(
        self,
        collection: Path | Iterable[CollectionPhoto],
        faults: FaultPlan | None = None,
        *,
        api_port: int = 0,
        image_port: int = 0,
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(collection, faults, api_port=api_port, image_port=image_port)
        self.retry_after_s = retry_after_s
        self.impolite: Counter[str] = Counter()
        self.at_once = self._running = 0

    def breaches(self) -> Mapping[str, int]:
        """`impolite`, and the most calls at a time where it was more than one."""
        several = {f"{self.at_once} calls at the same time": 1} if self.at_once > 1 else {}
        return {**self.impolite, **several}

    def _api_reply(self, request: Request) -> Reply:
        with self._lock:
            self._running += 1
            self.at_once = max(self.at_once, self._running)
            self.impolite.update(_impolite(request))
        try:
            return super()._api_reply(request)
        finally:
            with self._lock:
                self._running -= 1

    def _method(self, request: Request) -> str:
        return next((name for name in ("gsrsearch", "pageids", "titles") if name in request.arguments), "")

    def _answer(self, request: Request, call: int) -> Reply:
        try:
            answer = MediaWiki(self.collection, f"http://{self.image_host}", self.faults.is_partial(call)).call(
                request.arguments
            )
        except MediaWikiError as error:
            answer = error.answer()
        return Reply(json.dumps(answer).encode(), content_type=JSON)

    def _file(self, path: str) -> ServedFile:
        id, wide_px = asked_file(path)
        photo = self.collection.get(id)
        if photo is None or wide_px is None:
            return ServedFile(id, photo, None, exists=photo is not None)
        width_px, height_px = self.collection.size_px(photo)
        return ServedFile(id, photo, round(wide_px * max(1, height_px / width_px)), exists=wide_px < width_px)

    def _refusal(self, number: int) -> Reply:
        answer = MediaWikiError("maxlag", "Waiting for a database server: 6.2 seconds lagged.").answer()
        return Reply(json.dumps(answer).encode(), content_type=JSON, headers=(("Retry-After", str(self.retry_after_s)),))

    def _unavailable(self) -> Reply:
        return html_page(404, "File not found")


def _impolite(request: Request) -> list[str]:
    """What the etiquette of the API forbids or misses in this call."""
    arguments = request.arguments
    wrong = {
        "no maxlag": arguments.get("maxlag") is None,
        "nobody to reach": "@" not in request.user_agent and "http" not in request.user_agent,
        "more than 50 files with metadata": int(arguments.get("gsrlimit", "0")) > 50,
    }
    return [what for what, applies in wrong.items() if applies]

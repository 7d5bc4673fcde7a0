"""Flickr on this machine: its REST calls and its picture server on two loopback ports, and its bad days.

    with Emulator(Path("collection")) as emulator:
        client = FlickrClient("any key", "any secret", endpoint=emulator.endpoint)

Any key that is not empty is accepted unless `valid_keys` are given; the fault plan names keys that are refused.
What the answers say is made in `flickr_answers`; chance and plans are in `faults`.
"""

import json
import logging
import re
from collections.abc import Collection as Keys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from PIL import Image

from pipeline.emulators.collection import CollectionPhoto
from pipeline.emulators.faults import FaultPlan
from pipeline.emulators.flickr_answers import Rest, RestError, pictures
from pipeline.emulators.server import Reply, Request, ServedFile, SourceEmulator
from pipeline.pillow import as_file

UNAVAILABLE_PATH = "/images/photo_unavailable.png"
_PICTURE_PATH = re.compile(r"/\d+/([^/_]+)_[0-9a-f]+(?:_\w+)?\.\w+")

log = logging.getLogger(__name__)


class Emulator(SourceEmulator):
    """Flickr's REST calls and pictures. `calls` counts REST calls by method."""

    api_path = "/services/rest/"

    def __init__(
        self,
        collection: Path | Iterable[CollectionPhoto],
        faults: FaultPlan | None = None,
        *,
        api_port: int = 0,
        image_port: int = 0,
        shares_ports: bool = False,
        valid_keys: Keys[str] | None = None,
    ) -> None:
        super().__init__(collection, faults, api_port=api_port, image_port=image_port, shares_ports=shares_ports)
        self._valid_keys = valid_keys

    def _api_reply(self, request: Request) -> Reply:
        if request.path == UNAVAILABLE_PATH:
            return Reply(_unavailable_picture(), content_type="image/png")
        return super()._api_reply(request)

    def _method(self, request: Request) -> str:
        return request.arguments.get("method", "")

    def _answer(self, request: Request, call: int) -> Reply:
        try:
            self._check_key(request.key)
            if request.arguments.get("format") != "json":
                raise RestError(111, f'Format "{request.arguments.get("format", "")}" not found')
            rest = Rest(self.collection, f"http://{self.image_host}")
            answer = rest.call(self._method(request), request.arguments, self.faults.drift(call))
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

    def _file(self, path: str) -> ServedFile:
        match = _PICTURE_PATH.fullmatch(path)
        id = unquote(match[1]) if match else ""
        photo = self.collection.get(id)
        found = photo and next((one for one in pictures(self.collection, photo) if one.path == path), None)
        return ServedFile(id, photo, None if found is None else found.edge_px, exists=found is not None)

    def _refusal(self, number: int) -> Reply:
        message = "Sorry, the Flickr API service is not currently available."
        return Reply(json.dumps(RestError(201 if number % 2 else 0, message).answer()).encode())

    def _unavailable(self) -> Reply:
        """A redirect to another host than that of pictures, as Flickr's is."""
        return Reply(b"", 302, "text/html", (("Location", f"http://{self.api_host}{UNAVAILABLE_PATH}"),))


@cache
def _unavailable_picture() -> bytes:
    return as_file(Image.new("RGB", (500, 374), (243, 245, 246)), "PNG")

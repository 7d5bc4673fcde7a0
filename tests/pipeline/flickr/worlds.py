"""Months of made-up photos, the search that shows them, and projects that ask for them."""

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from pipeline.config import Project
from pipeline.emulators.collection import CollectionPhoto
from pipeline.emulators.flickr import Emulator
from pipeline.flickr.client import FlickrClient
from pipeline.flickr.records import PAGING
from pipeline.sources.found import FoundPhoto, Paging, SearchPage
from pipeline.sources.windows import Window
from pipeline.web.manners import Patience

MONTH = "2024-03"
BEGIN_S = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp())
MONTH_S = 31 * 24 * 3600
LATER_S = BEGIN_S + 2 * MONTH_S
KEY, SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210"

Drift = Callable[[int], tuple[int, int]]


def found_photo(id: str, date_upload_s: int) -> FoundPhoto:
    """A search result of which only id and time matter."""
    return FoundPhoto(id, "1@N00", None, None, (), None, date_upload_s, None, None, "photo", None, "", ())


class CappedSearch:
    """A search over upload times as Flickr shows it: pages, the cap, and drift by the number of the call."""

    def __init__(self, dates: Iterable[int], drift: Drift = lambda call: (0, 0), paging: Paging = PAGING) -> None:
        self.paging = paging
        self.dates = sorted(dates)
        self.photos = [found_photo(str(number), at) for number, at in enumerate(self.dates)]
        self.calls = 0
        self._drift = drift

    def __call__(self, window: Window, page: int) -> SearchPage:
        self.calls += 1
        total_off, page_off = self._drift(self.calls)
        found = self.photos[bisect_left(self.dates, window.begin_s) : bisect_right(self.dates, window.end_s)]
        shown = found[: self.paging.cap]
        last_page = max(1, -(-len(shown) // self.paging.per_page))
        start = (min(page, last_page) - 1) * self.paging.per_page
        start += page_off if start else 0
        return SearchPage(len(found) + total_off, tuple(shown[start : start + self.paging.per_page]))


def daily_rhythm(count: int, seed: int = 0) -> list[int]:
    """Upload times in `MONTH`: none at night, most in the evening."""
    chance = random.Random(seed)
    times: list[int] = []
    while len(times) < count:
        time_s = chance.randrange(MONTH_S)
        if chance.random() < 0.5 - 0.5 * math.cos(2 * math.pi * (time_s / 86400 - 0.2)):
            times.append(BEGIN_S + time_s)
    return times


def burst(count: int, seed: int = 0) -> list[int]:
    """Upload times within one hour of `MONTH`."""
    chance = random.Random(seed)
    return [BEGIN_S + 12 * 86400 + 3 * 3600 + chance.randrange(3600) for _ in range(count)]


def collection_photo(number: int, date_upload: int, **fields: object) -> CollectionPhoto:
    """A portrait by an iPhone 7, large and free to use unless `fields` say otherwise."""
    values: dict[str, object] = {
        "title": f"Portrait {number}",
        "tags": ("portrait",),
        "license": "4",
        "camera": "apple/iphone_7",
        "owner_name": "Somebody",
        "width_px": 3000,
        "height_px": 2000,
        **fields,
    }
    return CollectionPhoto(str(4950000000 + number), f"{number % 7}@N01", date_upload, **values)


def project(*queries: Mapping[str, object], exclude_no_cv: bool = True) -> Project:
    """A project whose domain `ordinary` has these queries."""
    domains = {"ordinary": {"queries": list(queries)}, "shallow": {"queries": [{"text": "portrait bokeh"}]}}
    return Project.model_validate({"domains": domains, "photos": {"exclude_no_cv": exclude_no_cv}})


def client_of(emulator: Emulator, **arguments: object) -> FlickrClient:
    """A client that does not sleep."""
    patient = {name: arguments.pop(name) for name in ("timeout_s", "retries", "sleep", "chance") if name in arguments}
    patience = Patience(**{"sleep": lambda delay_s: None, **patient})
    return FlickrClient(KEY, SECRET, endpoint=emulator.endpoint, patience=patience, **arguments)


def save_picture(path: Path, width_px: int, height_px: int) -> None:
    """A JPEG with some texture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.radial_gradient("L").resize((width_px, height_px)).convert("RGB").save(path, quality=90)

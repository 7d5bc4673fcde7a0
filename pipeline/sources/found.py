"""What a source of photos finds, as records that say the same of a photo wherever it comes from."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

LONGEST_ID = 40
"""Characters of an id that is none."""


@dataclass(frozen=True)
class Paging:
    """How a source shows results: `per_page` in one call, the first `cap` of a query, times to `step_s` seconds.

    A window with more than `window` results is divided, so that no more than these are asked for again after an
    interruption; without it, `cap` is the limit.
    """

    per_page: int
    cap: int
    step_s: int = 1
    window: int | None = None

    @property
    def photos_per_window(self) -> int:
        """The most that a window may hold which could be divided."""
        return self.window or self.cap

    @property
    def photos_per_part(self) -> int:
        """What a part of a divided window should hold, leaving room for an uneven rhythm of uploads."""
        return self.photos_per_window * 7 // 8

    @property
    def photos_per_one_page_part(self) -> int:
        """The same for windows that should fit into one page."""
        return self.per_page * 4 // 5


@dataclass(frozen=True)
class Size:
    """One picture file of a photo; `None` where the source did not tell the dimensions."""

    suffix: str
    url: str
    width_px: int | None
    height_px: int | None


@dataclass(frozen=True)
class FoundPhoto:
    """One search result. Times are Unix seconds, `date_taken` is the camera's clock; unknown is `None`."""

    id: str
    owner: str
    owner_name: str | None
    title: str | None
    tags: tuple[str, ...]
    license: str | None
    date_upload_s: int
    date_taken: str | None
    last_update_s: int | None
    media: str | None
    views: int | None
    page_url: str
    sizes: tuple[Size, ...]

    @classmethod
    def of_which_nothing_is_known(cls, id: str) -> "FoundPhoto":
        """A result that a source shows and nobody understands: without it the month would count as incomplete for ever."""
        unknown = dict.fromkeys(["owner_name", "title", "license", "date_taken", "last_update_s", "media", "views"])
        return cls(id=id[:LONGEST_ID], owner="", tags=(), date_upload_s=0, page_url="", sizes=(), **unknown)

    def as_json(self) -> dict[str, object]:
        """Plain values, for `from_json`."""
        return {**vars(self), "sizes": [vars(size) for size in self.sizes]}

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "FoundPhoto":
        """The photo that `as_json` wrote. Raises `TypeError` or `KeyError` on anything else."""
        fields = dict(values)
        tags, sizes = fields.pop("tags"), fields.pop("sizes")
        if not isinstance(tags, list) or not isinstance(sizes, list):
            raise TypeError("tags and sizes must be lists")
        return cls(tags=tuple(tags), sizes=tuple(Size(**size) for size in sizes), **fields)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class SearchPage:
    """One page of a search. `total` counts all results, those past the cap included."""

    total: int
    photos: tuple[FoundPhoto, ...]


@dataclass(frozen=True)
class PhotoInfo:
    """What a source says of one photo that whoever asks may see."""

    id: str
    license: str | None
    is_public: bool
    last_update_s: int | None


@lru_cache(maxsize=100_000)
def normalised_tag(tag: str) -> str:
    """The tag as it is compared: lower case, letters with their marks and digits only.

    Flickr's own rule also drops spaces and most punctuation, but not the same in all calls; the same rule on
    both sides makes `no_cv` and `nocv` one. A tag of signs alone stays as it is, in lower case.

    >>> normalised_tag("Black and White"), normalised_tag("no_cv"), normalised_tag("<3")
    ('blackandwhite', 'nocv', '3')
    """
    # In Unicode's composed form; what lower case makes of a dotted capital I is a plain one.
    lowered = "".join(unicodedata.normalize("NFC", tag.lower()).replace("i\u0307", "i").split())
    kept = ""
    for before, character in pairwise(" " + lowered):
        is_mark = unicodedata.category(character) in ("Mn", "Mc") and kept.endswith(before)
        kept += character if character.isalnum() or is_mark else ""
    return kept or lowered

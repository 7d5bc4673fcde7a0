"""What Flickr's answers say, as typed records.

An answer to `flickr.photos.search` with the `EXTRAS` asked for here looks like this (cut to one photo):

    {"photos": {"page": 1, "pages": 1, "perpage": 500, "total": 30, "photo": [{
       "id": "49512345678", "owner": "7478087@N06", "secret": "…", "server": "65535", "farm": 66,
       "title": "…", "ispublic": 1, "isfriend": 0, "isfamily": 0, "license": "1",
       "o_width": "3178", "o_height": "4932", "dateupload": "1581319011", "lastupdate": "1581400000",
       "datetaken": "2011-11-05 15:54:37", "datetakengranularity": "0", "datetakenunknown": "0",
       "ownername": "…", "tags": "a b", "views": "9", "media": "photo", "media_status": "ready",
       "url_l": "https://live.staticflickr.com/…_b.jpg", "height_l": 1024, "width_l": 660}]}, "stat": "ok"}

Oddities:
- `total` was a string up to 2020 and is a number in 2026; heights and widths are either, in one answer too.
- A size that does not exist is an absent key. Since 2025-05-15 sizes over 1024 px of free accounts are absent.
- `url_m` is the 500 px size, whose file name has no suffix; `url_s` ends in `_m`, `url_l` in `_b`.
- `datetaken` repeats the time of upload where the camera told none, marked by `datetakenunknown` = "1".
- Titles are plain strings in a search and `{"_content": "…"}` elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.sources.found import FoundPhoto, Paging, PhotoInfo, SearchPage, Size

PAGING = Paging(per_page=500, cap=4000)
"""The most results that Flickr gives in one call, and that one query shows."""

SIZE_SUFFIXES = ("t", "s", "n", "m", "z", "c", "l", "h", "k", "o")
"""Suffixes of `url_…` from small to large. The square ones, `sq` and `q`, are crops and so never asked for."""

EXTRAS = ",".join(
    ["license", "date_upload", "date_taken", "owner_name", "last_update", "tags", "o_dims", "views", "media"]
    + [f"url_{suffix}" for suffix in SIZE_SUFFIXES]
)
"""Everything about a photo in the one call that finds it."""


@dataclass(frozen=True)
class Named:
    """A camera brand or model: the slug that the API takes, and the name for people."""

    id: str
    name: str


def parse_search(answer: Mapping[str, object]) -> SearchPage:
    """The answer of `flickr.photos.search`.

    Of a result without what identifies it, an owner or a time of upload, nothing is known but its id: it has no picture to
    fetch. Raises `ValueError` where no result of several has it: then it is the answer that is odd, and is asked for again.
    """
    photos = _mapping(answer, "photos")
    total, results = _required_integer(photos, "total"), _list(photos, "photo")
    found, problem = list[FoundPhoto](), None
    for result in results:
        try:
            found.append(_parse_photo(result))
        except ValueError as error:
            found.append(FoundPhoto.of_which_nothing_is_known(str(_text(result.get("id")))))
            problem = error
    if problem and len(found) > 1 and not any(photo.owner for photo in found):
        raise problem
    return SearchPage(total, tuple(found))


def parse_info(answer: Mapping[str, object]) -> PhotoInfo:
    """The answer of `flickr.photos.getInfo`:

        {"photo": {"id": "495…", "license": "1", "visibility": {"ispublic": 1, "isfriend": 0, "isfamily": 0},
                   "dates": {"posted": "1581319011", "lastupdate": "1581400000"}, …}, "stat": "ok"}

    A photo that is shown without saying whether it is public counts as public. Raises `ValueError` without an id.
    """
    photo = _mapping(answer, "photo")
    visibility, dates = photo.get("visibility"), photo.get("dates")
    return PhotoInfo(
        id=_required_text(photo, "id"),
        license=_text(photo.get("license")) or None,
        is_public=not isinstance(visibility, Mapping) or _integer(visibility.get("ispublic")) != 0,
        last_update_s=_integer(dates.get("lastupdate")) if isinstance(dates, Mapping) else None,
    )


def parse_licenses(answer: Mapping[str, object]) -> dict[str, str]:
    """Licence id to name, from `{"licenses": {"license": [{"id": "4", "name": "…", "url": "…"}]}}`."""
    entries = _list(_mapping(answer, "licenses"), "license")
    return {_required_text(entry, "id"): _text(entry.get("name")) or "" for entry in entries}


def parse_brands(answer: Mapping[str, object]) -> list[Named]:
    """Brands, from `{"brands": {"brand": [{"id": "apple", "name": "Apple"}]}}`."""
    return [_parse_named(entry) for entry in _list(_mapping(answer, "brands"), "brand")]


def parse_models(answer: Mapping[str, object]) -> list[Named]:
    """Models, from `{"cameras": {"brand": "apple", "camera": [{"id": "iphone_7", "name": {"_content": "…"}}]}}`."""
    return [_parse_named(entry) for entry in _list(_mapping(answer, "cameras"), "camera")]


def _parse_photo(photo: Mapping[str, object]) -> FoundPhoto:
    id, owner = _required_text(photo, "id"), _required_text(photo, "owner")
    taken_is_known = _text(photo.get("datetakenunknown")) != "1"
    return FoundPhoto(
        id=id,
        owner=owner,
        owner_name=_text(photo.get("ownername")),
        title=_text(photo.get("title")),
        tags=tuple((_text(photo.get("tags")) or "").split()),
        license=_text(photo.get("license")) or None,
        date_upload_s=_required_integer(photo, "dateupload"),
        date_taken=_text(photo.get("datetaken")) if taken_is_known else None,
        last_update_s=_integer(photo.get("lastupdate")),
        media=_text(photo.get("media")),
        views=_integer(photo.get("views")),
        page_url=f"https://www.flickr.com/photos/{owner}/{id}/",
        sizes=tuple(_parse_sizes(photo)),
    )


def _parse_sizes(photo: Mapping[str, object]) -> list[Size]:
    sizes = []
    for suffix in SIZE_SUFFIXES:
        url = _text(photo.get(f"url_{suffix}"))
        if url:
            width_px, height_px = _integer(photo.get(f"width_{suffix}")), _integer(photo.get(f"height_{suffix}"))
            if suffix == "o":
                width_px = width_px or _integer(photo.get("o_width"))
                height_px = height_px or _integer(photo.get("o_height"))
            sizes.append(Size(suffix, url, width_px, height_px))
    return sizes


def _parse_named(entry: Mapping[str, object]) -> Named:
    id = _required_text(entry, "id")
    return Named(id=id, name=_text(entry.get("name")) or id)


def _text(value: object) -> str | None:
    """A string, a number, or either as `{"_content": …}`. Half surrogate pairs, which UTF-8 cannot hold, go."""
    if isinstance(value, dict):
        value = value.get("_content")
    if value is None:
        return None
    text = str(value)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _integer(value: object) -> int | None:
    """A whole number of at most 53 bits, from a number or a string; anything else is unknown.

    Beyond, a column in which another photo's is unknown would not hold it: pandas makes floats of such numbers on the way.
    """
    if value is None:
        return None
    try:
        number = int(_text(value) or "")
    except ValueError:
        return None
    return number if abs(number) < 2**53 else None


def _required_text(values: Mapping[str, object], key: str) -> str:
    text = _text(values.get(key))
    if not text:
        raise ValueError(f"the answer has no {key!r}")
    return text


def _required_integer(values: Mapping[str, object], key: str) -> int:
    number = _integer(values.get(key))
    if number is None:
        raise ValueError(f"the answer has no number {key!r}")
    return number


def _mapping(values: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = values.get(key)
    if not isinstance(value, Mapping):
        raise ValueError(f"the answer has no object {key!r}")
    return value


def _list(values: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = values.get(key)
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise ValueError(f"the answer has no list {key!r}")
    return value

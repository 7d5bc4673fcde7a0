"""What Wikimedia Commons answers, built from a collection: the half of its emulator that knows nothing of HTTP.

A photo's tags are its categories, with that of its camera's model; its title is the file's name, its camera (`Q…`) is what
its structured data state. Of the search's language it understands what bokehflow writes: words, `-"word"`, `incategory:"…"`,
`haswbstatement:P4082=Q…`, `filetype:bitmap`, `creationdate:` with `>=` and `<`, and in the names of categories `word~`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from html import escape
from urllib.parse import quote, unquote

from pipeline.commons.records import PAGING, THUMBNAIL_WIDTHS_PX
from pipeline.emulators.collection import Arguments, Collection, CollectionPhoto, digest, number_of, words_of
from pipeline.licenses import KNOWN

Json = dict[str, object]

FILE_ROOT = "/wikipedia/commons"
FILES_A_PART = 40
"""Files of a search whose metadata come in one answer; those of the others come in its next part."""
_TERM = re.compile(r'(-?)(\w+:)?("([^"]*)"|\S+)')


class MediaWikiError(Exception):
    """An error as the API reports it, with HTTP status 200."""

    def __init__(self, code: str, info: str) -> None:
        super().__init__(info)
        self.code = code

    def answer(self) -> Json:
        return {"error": {"code": self.code, "info": str(self), "docref": "See the API's help."}}


@dataclass(frozen=True)
class MediaWiki:
    """Answers `action=query` from `collection`; addresses of files start with `image_root`.

    Where `times_out`, a search shows half of what it finds, and counts that: an answer like others but for its warning.
    """

    collection: Collection
    image_root: str
    times_out: bool = False

    def call(self, arguments: Arguments) -> Json:
        """The answer. Raises `MediaWikiError`."""
        if arguments.get("action") != "query" or arguments.get("format") != "json":
            raise MediaWikiError("badvalue", "Unrecognized value for parameter")
        if "pageids" in arguments:
            return self._by_id(arguments["pageids"])
        if arguments.get("titles", "").startswith("Category:"):
            return self._category(arguments["titles"].removeprefix("Category:"))
        if arguments.get("gsrnamespace") == "14":
            return self._categories(arguments.get("gsrsearch", ""))
        return self._search(arguments)

    def _search(self, arguments: Arguments) -> Json:
        words = arguments.get("gsrsearch", "")
        if not words:
            raise MediaWikiError("missingparam", 'The "gsrsearch" parameter must be set.')
        offset, limit = number_of(arguments, "gsroffset", 0), min(number_of(arguments, "gsrlimit", 10), 500)
        if offset + limit > PAGING.cap:
            raise MediaWikiError("badinteger", f"offset and limit exceed {PAGING.cap}")
        found = self._matches(words)
        is_partial = self.times_out and bool(found)
        if is_partial:
            found = found[: (len(found) + 1) // 2]
        shown = found[offset : offset + limit]
        begin = number_of(arguments, "iistart", 0)
        entries = [self._page(photo, index, begin <= index < begin + FILES_A_PART) for index, photo in enumerate(shown)]
        # By page id, as the service has them; the place in the search is their index.
        answer: Json = {"query": {"pages": sorted(entries, key=lambda page: int(str(page["pageid"])))}} if entries else {}
        if arguments.get("list") == "search":
            answer.setdefault("query", {})["searchinfo"] = {"totalhits": len(found)}  # pyright: ignore[reportIndexIssue]
        if is_partial:
            answer["warnings"] = {"search": {"warnings": "The search timed out, only partial results are available."}}
        if begin + FILES_A_PART < len(shown):
            return {"continue": {"iistart": str(begin + FILES_A_PART), "continue": "||"}, **answer}
        more = {"gsroffset": offset + limit, "continue": "gsroffset||"} if len(found) > offset + limit else {}
        return {"batchcomplete": True, **({"continue": more} if more else {}), **answer}

    def _matches(self, words: str) -> list[CollectionPhoto]:
        begin_s, end_s = 0, 2**62
        kept = []
        for sign, operator, term, quoted in _TERM.findall(words):
            value = quoted or term
            if operator == "creationdate:" and value.startswith(">="):
                begin_s = _day_s(value[2:])
            elif operator == "creationdate:" and value.startswith("<"):
                end_s = _day_s(value[1:]) - 1
            else:
                kept.append((sign == "-", operator, value))
        return self.collection.search(repr(kept), matcher(kept)).between(begin_s, end_s)

    def _page(self, photo: CollectionPhoto, index: int, with_info: bool = True) -> Json:
        page: Json = {"pageid": int(photo.id), "ns": 6, "title": f"File:{_file_name(photo)}", "index": index + 1}
        return {**page, "imagerepository": "local", "imageinfo": [self._info(photo)]} if with_info else page

    def _info(self, photo: CollectionPhoto) -> Json:
        width_px, height_px = self.collection.size_px(photo)
        wide_px = next(wide for wide in THUMBNAIL_WIDTHS_PX if wide >= 330)
        url = f"{self.image_root}{file_path(photo)}"
        info: Json = {
            "timestamp": _utc(photo.last_update or photo.date_upload),
            "user": photo.owner,
            "size": width_px * height_px // 4,
            "width": width_px,
            "height": height_px,
            "url": url,
            "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{quote(_file_name(photo))}",
            "mime": "image/png" if _file_name(photo).endswith(".png") else "image/jpeg",
            "mediatype": "BITMAP",
            "extmetadata": _metadata(photo) or [],
        }
        if width_px > wide_px:
            info |= {"thumburl": f"{self.image_root}{thumbnail_path(photo, wide_px)}", "thumbwidth": wide_px}
        return info

    def _by_id(self, pageids: str) -> Json:
        photo = self.collection.get(pageids)
        if photo is None or photo.removed:
            return {"batchcomplete": True, "query": {"pages": [{"pageid": int(pageids), "missing": True}]}}
        return {"batchcomplete": True, "query": {"pages": [self._page(photo, 0)]}}

    def _category(self, name: str) -> Json:
        page: Json = {"ns": 14, "title": f"Category:{name}"}
        page |= {"pageid": 1} if name in self._names() else {"missing": True}
        return {"batchcomplete": True, "query": {"pages": [page]}}

    def _categories(self, words: str) -> Json:
        wanted = words.lower().split()
        alike = sorted(name for name in self._names() if all(_is_in(word, name.lower().split()) for word in wanted))
        pages = [{"pageid": 10 + at, "ns": 14, "title": f"Category:{name}", "index": at} for at, name in enumerate(alike, 1)]
        return {"batchcomplete": True, "query": {"pages": pages}} if pages else {"batchcomplete": True}

    def _names(self) -> set[str]:
        photos = self.collection.search("all", lambda photo: True).photos
        return {category for photo in photos for category in categories_of(photo)}


def categories_of(photo: CollectionPhoto) -> list[str]:
    """Tags, and for a camera by Flickr's name the category of what it took: `Taken with Apple iPhone 7`."""
    brand, slash, model = (photo.camera or "").partition("/")
    named = [word if word[:1].isdigit() else word.title() for word in [brand, *model.split("_")]]
    camera = " ".join("iPhone" if word == "Iphone" else word for word in named)
    return [*photo.tags, *([f"Taken with {camera}"] if slash else [])]


def _is_in(word: str, words: list[str]) -> bool:
    """As the search takes a word, and one with `~` after it, which may be off by two letters."""
    return bool(get_close_matches(word[:-1], words, 1, 0.7)) if word.endswith("~") else word in words


def matcher(terms: list[tuple[bool, str, str]]) -> Callable[[CollectionPhoto], bool]:
    """Whether a file is found by these terms: excluded or not, operator, value."""

    def holds(photo: CollectionPhoto, operator: str, value: str) -> bool:
        match operator:
            case "incategory:":
                return value in categories_of(photo)
            case "haswbstatement:":
                return value == f"P4082={photo.camera}"
            case "filetype:":
                return photo.media == "photo"
            case _:
                return value.lower() in words_of(photo)

    return lambda photo: all(holds(photo, operator, value) != excluded for excluded, operator, value in terms)


def file_path(photo: CollectionPhoto) -> str:
    """Path of the file itself."""
    name = _file_name(photo).replace(" ", "_")
    hashed = digest(name)
    return f"{FILE_ROOT}/{hashed[0]}/{hashed[:2]}/{quote(name)}"


def thumbnail_path(photo: CollectionPhoto, wide_px: int) -> str:
    """Path of the file reduced to this width."""
    path = file_path(photo)
    return f"{path.replace(FILE_ROOT, f'{FILE_ROOT}/thumb', 1)}/{wide_px}px-{path.rpartition('/')[2]}"


def asked_file(path: str) -> tuple[str, int | None]:
    """The page id in the name of the file that a path names, and the width of a thumbnail; ("", None) for other paths."""
    found = re.fullmatch(rf"{FILE_ROOT}/(?:thumb/)?\w/\w\w/([^/]+)(?:/(\d+)px-[^/]+)?", path)
    number = re.search(r"\((\d+)\)\.\w+$", unquote(found[1]).replace("_", " ")) if found else None
    return (number[1], int(found[2]) if found and found[2] else None) if number else ("", None)


def _file_name(photo: CollectionPhoto) -> str:
    """Titles repeat, names of files do not."""
    kind = "png" if (photo.file or "").endswith(".png") else "jpg"
    return f"{photo.title or 'Portrait'} ({photo.id}).{kind}"


def _metadata(photo: CollectionPhoto) -> Json:
    license = KNOWN.get(photo.license)
    values = {
        "LicenseShortName": license.name if license else None,
        "LicenseUrl": license.url if license else None,
        "Artist": f'<a href="//commons.wikimedia.org/wiki/User:{quote(photo.owner)}">{escape(photo.owner_name)}</a>',
        "DateTimeOriginal": photo.date_taken,
        "Categories": "|".join(categories_of(photo)),
    }
    return {name: {"value": value, "source": "commons-desc-page", "hidden": ""} for name, value in values.items() if value}


def _day_s(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def _utc(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

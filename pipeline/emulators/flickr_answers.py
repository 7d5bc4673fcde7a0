"""What Flickr's REST calls answer, built from a collection: the emulator's half that knows nothing of HTTP.

Shapes, types and absent keys are those of the real answers: numbers as strings here and as numbers there, a size
that does not exist as an absent key, errors with HTTP status 200.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from pipeline.emulators.collection import Arguments, Collection, CollectionPhoto, digest, number_of, shown_tag, words_of
from pipeline.flickr.records import PAGING
from pipeline.licenses import LICENSES
from pipeline.sources.found import normalised_tag

Json = dict[str, object]

SERVER = "65535"
WITHHELD_ABOVE_PX = 1024
KNOWN_CAMERAS = (
    "apple/iphone_6s",
    "apple/iphone_7",
    "apple/iphone_7_plus",
    "canon/eos_5d_mark_iii",
    "nikon/d750",
    "samsung/galaxy-note-3",
    "samsung/galaxy_s7",
)
"""Listed by `flickr.cameras.*` whether or not the collection has photos of them."""


class RestError(Exception):
    """An answer with `stat` "fail"."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def answer(self) -> Json:
        return {"stat": "fail", "code": self.code, "message": self.message}


@dataclass(frozen=True)
class Rendition:
    """One of the files that Flickr makes of a photo: its key in `extras`, suffix of file name, label, long edge."""

    key: str
    suffix: str
    label: str
    edge_px: int

    @property
    def has_own_secret(self) -> bool:
        return self.edge_px > WITHHELD_ABOVE_PX


RENDITIONS = (
    Rendition("t", "t", "Thumbnail", 100),
    Rendition("s", "m", "Small", 240),
    Rendition("n", "n", "Small 320", 320),
    Rendition("m", "", "Medium", 500),
    Rendition("z", "z", "Medium 640", 640),
    Rendition("c", "c", "Medium 800", 800),
    Rendition("l", "b", "Large", 1024),
    Rendition("h", "h", "Large 1600", 1600),
    Rendition("k", "k", "Large 2048", 2048),
)


@dataclass(frozen=True)
class ServedPicture:
    """A file that exists of a photo. `edge_px` is `None` for the original."""

    key: str
    label: str
    path: str
    width_px: int
    height_px: int
    edge_px: int | None


def pictures(collection: Collection, photo: CollectionPhoto) -> list[ServedPicture]:
    """All files of `photo`, from small to large: every standard size below the original's, and the original."""
    width_px, height_px = collection.size_px(photo)
    edge_px = max(width_px, height_px)
    limit_px = WITHHELD_ABOVE_PX if photo.withheld else edge_px
    found = [
        _resized(photo, rendition, width_px, height_px)
        for rendition in RENDITIONS
        if rendition.edge_px < edge_px and rendition.edge_px <= limit_px
    ]
    if edge_px <= limit_px:
        path = _path(photo.id, original_secret(photo), "o", original_format(photo))
        found.append(ServedPicture("o", "Original", path, width_px, height_px, None))
    return found


def _resized(photo: CollectionPhoto, rendition: Rendition, width_px: int, height_px: int) -> ServedPicture:
    scale = rendition.edge_px / max(width_px, height_px)
    secret = _secret(photo.id, rendition.key) if rendition.has_own_secret else secret_of(photo)
    path = _path(photo.id, secret, rendition.suffix, "jpg")
    width_px, height_px = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    return ServedPicture(rendition.key, rendition.label, path, width_px, height_px, rendition.edge_px)


def _path(id: str, secret: str, suffix: str, extension: str) -> str:
    return f"/{SERVER}/{quote(id, safe='')}_{secret}{'_' if suffix else ''}{suffix}.{extension}"


def secret_of(photo: CollectionPhoto) -> str:
    """The secret of all files up to 1024 px."""
    return _secret(photo.id, "")


def original_secret(photo: CollectionPhoto) -> str:
    return _secret(photo.id, "o")


@lru_cache(maxsize=100_000)
def _secret(id: str, key: str) -> str:
    return digest(id, key)[:10]


def original_format(photo: CollectionPhoto) -> str:
    extension = (photo.file or "").rpartition(".")[2].lower()
    return extension if extension in ("png", "gif") else "jpg"


@dataclass(frozen=True)
class Rest:
    """Answers REST calls from `collection`; picture URLs start with `image_root`."""

    collection: Collection
    image_root: str

    def call(self, method: str, arguments: Arguments, drift: tuple[int, int] = (0, 0)) -> Json:
        """The answer. `drift`: by how much a search's total and page are off. Raises `RestError`."""
        if method == "flickr.photos.search":
            return self._search(arguments, *drift)
        answers: dict[str, Callable[[Arguments], Json]] = {
            "flickr.photos.getSizes": self._sizes,
            "flickr.photos.getExif": self._exif,
            "flickr.photos.getInfo": self._info,
            "flickr.photos.licenses.getInfo": self._licenses,
            "flickr.cameras.getBrands": self._brands,
            "flickr.cameras.getBrandModels": self._models,
        }
        if method not in answers:
            raise RestError(112, f'Method "{method}" not found')
        return answers[method](arguments)

    def _search(self, arguments: Arguments, total_off: int, page_off: int) -> Json:
        matches = self._matches(arguments)
        per_page = min(number_of(arguments, "per_page", 100), 500) or 100
        shown = matches[: PAGING.cap]
        last_page = max(1, -(-len(shown) // per_page))
        page = max(1, number_of(arguments, "page", 1))
        # Past the cap pages repeat; drift moves the edges between pages, and the first page has none before it.
        start = (min(page, last_page) - 1) * per_page
        start += page_off if start else 0
        total = max(0, len(matches) + total_off)
        extras = set(arguments.get("extras", "").replace(" ", "").split(","))
        entries = [self._entry(photo, extras) for photo in shown[start : start + per_page]]
        pages = -(-total // per_page)
        return _ok("photos", {"page": page, "pages": pages, "perpage": per_page, "total": total, "photo": entries})

    def _matches(self, arguments: Arguments) -> list[CollectionPhoto]:
        if not any(arguments.get(name) for name in ("text", "tags", "camera")):
            raise RestError(3, "Parameterless searches have been disabled. Please use flickr.photos.getRecent instead.")
        what = {name: arguments.get(name, "") for name in _SEARCHED}
        matches = self.collection.search(json.dumps(what), matcher(what))
        begin_s, end_s = number_of(arguments, "min_upload_date", 0), number_of(arguments, "max_upload_date", 2**62)
        found = matches.between(begin_s, end_s)
        return found if arguments.get("sort") == "date-posted-asc" else found[::-1]

    def _entry(self, photo: CollectionPhoto, extras: set[str]) -> Json:
        entry: Json = {
            "id": photo.id,
            "owner": photo.owner,
            "secret": secret_of(photo),
            "server": SERVER,
            "farm": 66,
            "title": photo.title,
            "ispublic": 1,
            "isfriend": 0,
            "isfamily": 0,
        }
        for extra, fields in self._extras(photo).items():
            if extra in extras:
                entry.update(fields)
        if any(extra.startswith("url_") for extra in extras):
            entry.update(self._urls(photo, extras))
        return entry

    def _extras(self, photo: CollectionPhoto) -> dict[str, Json]:
        taken = photo.date_taken or _clock(photo.date_upload)
        width_px, height_px = self.collection.size_px(photo)
        return {
            "license": {"license": photo.license},
            "description": {"description": {"_content": photo.description}},
            "date_upload": {"dateupload": str(photo.date_upload)},
            "last_update": {"lastupdate": str(photo.last_update or photo.date_upload)},
            "date_taken": {
                "datetaken": taken,
                "datetakengranularity": 0,
                "datetakenunknown": "0" if photo.date_taken else "1",
            },
            "owner_name": {"ownername": photo.owner_name},
            "path_alias": {"pathalias": None},
            "tags": {"tags": " ".join(shown_tag(tag) for tag in photo.tags)},
            "views": {"views": str(photo.views)},
            "media": {"media": photo.media, "media_status": "ready"},
            "o_dims": {} if photo.withheld else {"o_width": str(width_px), "o_height": str(height_px)},
            "original_format": {}
            if photo.withheld
            else {"originalsecret": original_secret(photo), "originalformat": original_format(photo)},
        }

    def _urls(self, photo: CollectionPhoto, extras: set[str]) -> Json:
        as_text = int(digest(photo.id)[0], 16) % 2 == 0
        urls: Json = {}
        for picture in pictures(self.collection, photo):
            if f"url_{picture.key}" in extras:
                size = (picture.height_px, picture.width_px)
                height, width = map(str, size) if as_text else size
                urls[f"url_{picture.key}"] = self.image_root + picture.path
                urls |= {f"height_{picture.key}": height, f"width_{picture.key}": width}
        return urls

    def _photo(self, arguments: Arguments) -> CollectionPhoto:
        photo = self.collection.get(arguments.get("photo_id", ""))
        if photo is None or photo.removed:
            raise RestError(1, "Photo not found")
        return photo

    def _sizes(self, arguments: Arguments) -> Json:
        photo = self._photo(arguments)
        page = _page_url(photo)
        sizes = [
            {
                "label": picture.label,
                "width": picture.width_px,
                "height": picture.height_px,
                "source": self.image_root + picture.path,
                "url": f"{page}sizes/{picture.key}/",
                "media": "photo",
            }
            for picture in pictures(self.collection, photo)
        ]
        return _ok("sizes", {"canblog": 0, "canprint": 0, "candownload": 1, "size": sizes})

    def _exif(self, arguments: Arguments) -> Json:
        photo = self._photo(arguments)
        if photo.exif is None:
            raise RestError(2, "Permission denied")
        tags = [
            {"tagspace": "IFD0", "tagspaceid": 0, "tag": tag, "label": tag, "raw": {"_content": value}}
            for tag, value in photo.exif.items()
        ]
        ids = {"id": photo.id, "secret": secret_of(photo), "server": SERVER, "farm": 66}
        return _ok("photo", {**ids, "camera": photo.exif.get("Model", ""), "exif": tags})

    def _info(self, arguments: Arguments) -> Json:
        photo = self._photo(arguments)
        tags = [{"id": f"{photo.id}-{tag}", "raw": tag, "_content": shown_tag(tag)} for tag in photo.tags]
        info: Json = {
            "id": photo.id,
            "secret": secret_of(photo),
            "server": SERVER,
            "farm": 66,
            "dateuploaded": str(photo.date_upload),
            "license": photo.license,
            "rotation": 0,
            "owner": {"nsid": photo.owner, "username": photo.owner_name, "realname": "", "path_alias": None},
            "title": {"_content": photo.title},
            "description": {"_content": photo.description},
            "visibility": {"ispublic": 1, "isfriend": 0, "isfamily": 0},
            "dates": {
                "posted": str(photo.date_upload),
                "taken": photo.date_taken or _clock(photo.date_upload),
                "takengranularity": 0,
                "takenunknown": "0" if photo.date_taken else "1",
                "lastupdate": str(photo.last_update or photo.date_upload),
            },
            "views": str(photo.views),
            "tags": {"tag": tags},
            "urls": {"url": [{"type": "photopage", "_content": _page_url(photo)}]},
            "media": photo.media,
        }
        return _ok("photo", info)

    def _licenses(self, arguments: Arguments) -> Json:
        entries = [{"id": entry.id, "name": entry.name, "url": entry.url or ""} for entry in LICENSES.values()]
        return _ok("licenses", {"license": entries})

    def _brands(self, arguments: Arguments) -> Json:
        brands = sorted({camera.partition("/")[0] for camera in self._cameras()})
        return _ok("brands", {"brand": [{"id": brand, "name": _title(brand)} for brand in brands]})

    def _models(self, arguments: Arguments) -> Json:
        brand = arguments.get("brand", "")
        models = sorted(model for name, _, model in (camera.partition("/") for camera in self._cameras()) if name == brand)
        if not models:
            raise RestError(1, "Brand not found")
        entries = [{"id": model, "name": {"_content": f"{_title(brand)} {_title(model)}"}} for model in models]
        return _ok("cameras", {"brand": brand, "camera": entries})

    def _cameras(self) -> set[str]:
        return {*KNOWN_CAMERAS, *self.collection.cameras()}


_SEARCHED = ("text", "tags", "tag_mode", "license", "camera", "media", "content_types")


def matcher(what: Arguments) -> Callable[[CollectionPhoto], bool]:
    """Whether a photo is found, by the arguments of a search other than its window.

    As on Flickr, exclusion lets something through: a quarter of the photos, by their ids.
    """
    words, excluded_words = _split(what["text"].lower().split())
    tags, excluded_tags = _split([normalised_tag_with_sign(tag) for tag in what["tags"].split(",") if tag.strip()])
    licenses = set(filter(None, what["license"].split(",")))
    content_types = set(filter(None, what["content_types"].split(",")))
    media = {"photos": {"photo"}, "videos": {"video"}}.get(what["media"], {"photo", "video"})
    of_tags = all if what["tag_mode"] == "all" else any

    def matches(photo: CollectionPhoto) -> bool:
        if (
            photo.media not in media
            or (licenses and photo.license not in licenses)
            or (what["camera"] and photo.camera != what["camera"])
            or (content_types and str(photo.content_type) not in content_types)
        ):
            return False
        own_tags = {normalised_tag(tag) for tag in photo.tags}
        if tags and not of_tags(tag in own_tags for tag in tags):
            return False
        own_words = words_of(photo) if words or excluded_words else set()
        if not words <= own_words:
            return False
        return not (excluded_words & own_words or excluded_tags & own_tags) or _slips_through(photo)

    return matches


def normalised_tag_with_sign(tag: str) -> str:
    """A tag of the `tags` argument, its leading minus kept."""
    return ("-" if tag.strip().startswith("-") else "") + normalised_tag(tag.strip().removeprefix("-"))


def _split(terms: list[str]) -> tuple[set[str], set[str]]:
    excluded = {term[1:] for term in terms if term.startswith("-") and len(term) > 1}
    return {term for term in terms if not term.startswith("-")}, excluded


def _slips_through(photo: CollectionPhoto) -> bool:
    return int(digest(photo.id, "slips")[:2], 16) % 4 == 0


def _ok(name: str, content: Json) -> Json:
    return {name: content, "stat": "ok"}


def _title(slug: str) -> str:
    return slug.replace("_", " ").replace("-", " ").title()


def _clock(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def _page_url(photo: CollectionPhoto) -> str:
    return f"https://www.flickr.com/photos/{photo.owner}/{photo.id}/"

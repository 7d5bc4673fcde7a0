"""The photos that the emulator serves: a folder with `collection.jsonl`, or a list of records in memory.

A line of `collection.jsonl` is one photo, with the fields of `CollectionPhoto`; keys that are not among them are
ignored, so that a collection may say more about itself.
"""

import hashlib
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from pipeline.bounded import parse_json
from pipeline.errors import ConfigError
from pipeline.file_names import inside
from pipeline.pillow import as_file
from pipeline.plain_files import plain_path, read_plain, read_plain_text
from pipeline.sources.found import normalised_tag

COLLECTION_FILE = "collection.jsonl"
UNREADABLE_SIZE_PX = (640, 480)
"""What Flickr is made to believe about a file that no image library opens."""
UNDECODABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
Arguments = Mapping[str, str]
"""Of a call, as they came."""


@dataclass(frozen=True)
class CollectionPhoto:
    """One photo as its owner uploaded it. Times are Unix seconds; `file` is relative to the collection's folder."""

    id: str
    owner: str
    date_upload: int
    owner_name: str = ""
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    license: str = "0"
    date_taken: str | None = None
    last_update: int | None = None
    camera: str | None = None
    """`brand/model`, in Flickr's slugs."""
    media: str = "photo"
    content_type: int = 0
    views: int = 0
    file: str | None = None
    width_px: int | None = None
    """Read from the file where not given."""
    height_px: int | None = None
    withheld: bool = False
    """Sizes over 1024 px are withheld, as for free accounts."""
    removed: bool = False
    """Still found, but its picture is gone: what a search shows for a while after a photo was deleted."""
    vanished: bool = False
    """Not found any more either."""
    exif: Mapping[str, str] | None = None
    """`None`: the owner hides it."""


_LINE = TypeAdapter(CollectionPhoto)


def load_collection(folder: Path) -> list[CollectionPhoto]:
    """The photos of `folder`. Raises `ConfigError` with file and line where something is wrong."""
    path = folder / COLLECTION_FILE
    try:
        lines = read_plain_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; a collection is a folder with this file") from error
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _parse(path: Path, number: int, line: str) -> CollectionPhoto:
    try:
        return _LINE.validate_python(parse_json(line.encode("utf-8", "surrogatepass")))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the photo"
        raise ConfigError(f"{path}:{number}: {key}: {first['msg']}") from None
    except ValueError as error:
        raise ConfigError(f"{path}:{number}: not a JSON object: {error}") from None


@dataclass(frozen=True)
class Matches:
    """Photos that match a search, by upload: `dates[i]` is that of `photos[i]`, ascending."""

    photos: list[CollectionPhoto]
    dates: list[int]

    def between(self, begin_s: int, end_s: int) -> list[CollectionPhoto]:
        """Those uploaded in the window, both ends included."""
        return self.photos[bisect_left(self.dates, begin_s) : bisect_right(self.dates, end_s)]


class Collection:
    """The photos by id and by upload, with searches remembered until a photo changes. Safe between threads."""

    def __init__(self, photos: Iterable[CollectionPhoto], folder: Path | None = None) -> None:
        self._folder = folder
        self._photos = {photo.id: photo for photo in photos}
        self._searches: dict[str, Matches] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._photos)

    def get(self, id: str) -> CollectionPhoto | None:
        """The photo, also a removed one; `None` for one that vanished or never was."""
        photo = self._photos.get(id)
        return None if photo is None or photo.vanished else photo

    def cameras(self) -> set[str]:
        return {photo.camera for photo in self._photos.values() if photo.camera}

    def put(self, photo: CollectionPhoto) -> None:
        """Add the photo, or replace the one of this id."""
        with self._lock:
            self._photos[photo.id] = photo
            self._searches.clear()

    def change(self, id: str, **fields: object) -> None:
        """Replace fields of a photo. Raises `KeyError` for an unknown id."""
        with self._lock:
            self.put(replace(self._photos[id], **fields))  # pyright: ignore[reportArgumentType]

    def search(self, name: str, matches: Callable[[CollectionPhoto], bool]) -> Matches:
        """The photos for which `matches` holds; `name` identifies it, so that it runs once per photo."""
        with self._lock:
            if name not in self._searches:
                found = [photo for photo in self._photos.values() if not photo.vanished and matches(photo)]
                found.sort(key=lambda photo: (photo.date_upload, photo.id))
                self._searches[name] = Matches(found, [photo.date_upload for photo in found])
            return self._searches[name]

    def size_px(self, photo: CollectionPhoto) -> tuple[int, int]:
        """Width and height of the original."""
        if photo.width_px and photo.height_px:
            return photo.width_px, photo.height_px
        path = self._path(photo)
        return _file_size_px(path) if path else UNREADABLE_SIZE_PX

    def picture(self, photo: CollectionPhoto, edge_px: int | None) -> bytes | None:
        """The original's bytes, or a JPEG with this long edge where it can be decoded; `None` without a file."""
        path = self._path(photo)
        if path is None or not path.is_file():
            return None
        return read_plain(path) if edge_px is None else _resized(path, edge_px)

    def _path(self, photo: CollectionPhoto) -> Path | None:
        """A collection without a folder was made in code, whose paths are its own."""
        if not photo.file:
            return None
        return Path(photo.file) if self._folder is None else inside(self._folder, photo.file)


def number_of(arguments: Arguments, name: str, default: int) -> int:
    """A whole number of a call; the default where it is none."""
    value = arguments.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else default


def words_of(photo: CollectionPhoto) -> set[str]:
    """What a text search looks at: title, description and tags, in lower case."""
    text = f"{photo.title} {photo.description}".lower()
    words = "".join(character if character.isalnum() else " " for character in text).split()
    return {*words, *(normalised_tag(tag) for tag in photo.tags), *" ".join(photo.tags).lower().split()}


def shown_tag(tag: str) -> str:
    """A tag as a search shows it: lower case, without spaces."""
    return "".join(tag.lower().split())


def digest(*parts: object) -> str:
    """40 hexadecimal digits that the parts decide: for secrets, and for chance that repeats."""
    return hashlib.sha1(repr(parts).encode(), usedforsecurity=False).hexdigest()


@lru_cache(maxsize=100_000)
def _file_size_px(path: Path) -> tuple[int, int]:
    try:
        with Image.open(plain_path(path)) as image:
            return image.size
    except UNDECODABLE:
        return UNREADABLE_SIZE_PX


@lru_cache(maxsize=256)
def _resized(path: Path, edge_px: int) -> bytes:
    try:
        with Image.open(plain_path(path)) as image:
            image.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS)
            return as_file(image.convert("RGB"), "JPEG", quality=90)
    except UNDECODABLE:
        return read_plain(path)

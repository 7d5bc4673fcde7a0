"""Collections: read with clear messages, searched quickly, changed while they are served."""

import json
import time
from pathlib import Path

import pytest

from pipeline.emulators.collection import Collection, CollectionPhoto, load_collection
from pipeline.errors import ConfigError
from tests.pipeline.flickr.worlds import BEGIN_S, collection_photo, daily_rhythm, save_picture

LINE = {
    "id": "4950000001",
    "owner": "12345678@N06",
    "owner_name": "Somebody",
    "title": "A portrait",
    "description": "",
    "tags": ["portrait", "Two Words"],
    "license": "4",
    "date_upload": 1710000000,
    "date_taken": "2024-03-01 10:00:00",
    "last_update": 1710000001,
    "camera": "apple/iphone_7",
    "media": "photo",
    "file": "files/x.jpg",
    "removed": False,
    "exif": {"Make": "Apple"},
    "domain_hint": "ordinary",
}


def write(folder: Path, *lines: object) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "collection.jsonl").write_text(text + "\n")
    return folder


def test_a_line_is_a_photo_and_unknown_keys_are_ignored(tmp_path: Path) -> None:
    (photo,) = load_collection(write(tmp_path, LINE))
    assert photo.tags == ("portrait", "Two Words")
    assert photo.exif == {"Make": "Apple"}
    assert (photo.file, photo.camera, photo.removed) == ("files/x.jpg", "apple/iphone_7", False)


def test_only_id_owner_and_time_are_needed(tmp_path: Path) -> None:
    (photo,) = load_collection(write(tmp_path, {"id": "1", "owner": "2@N00", "date_upload": 3}))
    assert photo == CollectionPhoto("1", "2@N00", 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({**LINE, "date_upload": "soon"}, r"collection\.jsonl:2: date_upload: "),
        ({"id": "1", "owner": "2"}, r"collection\.jsonl:2: date_upload: Field required"),
        ({**LINE, "tags": "portrait"}, r"collection\.jsonl:2: tags: "),
        ("{", r"collection\.jsonl:2: not a JSON object"),
        ("[]", r"collection\.jsonl:2: the photo: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, line: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_collection(write(tmp_path, LINE, line))


def test_a_folder_without_a_collection(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a collection is a folder with this file"):
        load_collection(tmp_path)


def test_a_size_is_read_from_the_file_or_assumed(tmp_path: Path) -> None:
    save_picture(tmp_path / "good.jpg", 320, 200)
    (tmp_path / "page.jpg").write_text("<html>")
    collection = Collection([], tmp_path)
    assert collection.size_px(CollectionPhoto("1", "o", 0, file="good.jpg")) == (320, 200)
    assert collection.size_px(CollectionPhoto("2", "o", 0, file="page.jpg")) == (640, 480)
    assert collection.size_px(CollectionPhoto("3", "o", 0, file="missing.jpg")) == (640, 480)
    assert collection.size_px(CollectionPhoto("4", "o", 0, width_px=10, height_px=20)) == (10, 20)


def test_a_search_runs_once_until_a_photo_changes() -> None:
    asked: list[str] = []

    def matches(photo: CollectionPhoto) -> bool:
        asked.append(photo.id)
        return photo.license == "4"

    collection = Collection([collection_photo(number, BEGIN_S - number) for number in range(5)])
    found = collection.search("by", matches)
    assert found.dates == sorted(found.dates)
    assert [photo.date_upload for photo in found.between(BEGIN_S - 3, BEGIN_S - 2)] == [BEGIN_S - 3, BEGIN_S - 2]
    collection.search("by", matches)
    assert len(asked) == 5
    collection.change("4950000000", license="0")
    collection.change("4950000001", vanished=True)
    collection.put(collection_photo(5, BEGIN_S + 1))
    assert len(collection.search("by", matches).photos) == 4
    assert collection.get("4950000001") is None
    assert collection.get("nobody") is None


def test_windows_of_a_large_collection_are_found_at_once() -> None:
    collection = Collection([collection_photo(n, at) for n, at in enumerate(daily_rhythm(50_000))])
    collection.search("all", lambda photo: True)
    began = time.perf_counter()
    for day in range(31):
        collection.search("all", lambda photo: True).between(BEGIN_S + day * 86400, BEGIN_S + day * 86400 + 86399)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("line", ["[" * 100_000, '{"id": ' * 100_000, "9" * 5000, '{"id": NaN}'])
def test_no_line_makes_the_reader_stumble(tmp_path: Path, line: str) -> None:
    (tmp_path / "collection.jsonl").write_text(line)
    with pytest.raises(ConfigError, match=r"jsonl:1: "):
        load_collection(tmp_path)

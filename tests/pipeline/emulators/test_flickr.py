"""The emulator, asked as Flickr is: by plain requests, and by the flickrapi package."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flickrapi
import pytest
import requests
from PIL import Image

from pipeline.emulators.collection import CollectionPhoto
from pipeline.emulators.faults import FaultPlan
from pipeline.emulators.flickr import Emulator
from pipeline.emulators.server import serve
from pipeline.errors import ConfigError
from pipeline.flickr.records import EXTRAS
from tests.pipeline.flickr.worlds import BEGIN_S, KEY, SECRET, collection_photo, save_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos: two good ones, a truncated one, a page of HTML, a removed one, a video."""
    folder = tmp_path_factory.mktemp("collection")
    save_picture(folder / "files/large.jpg", 1800, 1200)
    save_picture(folder / "files/small.jpg", 300, 400)
    (folder / "files/cut.jpg").write_bytes((folder / "files/small.jpg").read_bytes()[:-2000])
    (folder / "files/page.jpg").write_text("<html><body>Not found</body></html>")
    photos = [
        {"title": "One", "tags": ["Portrait", "Black and White"], "license": "4", "file": "files/large.jpg",
         "camera": "apple/iphone_7", "exif": {"Make": "Apple", "Model": "Apple iPhone 7"}, "owner_name": "A"},
        {"title": "Two", "tags": ["portrait", "bokeh"], "license": "0", "file": "files/small.jpg", "views": 3},
        {"title": "Three portrait", "license": "9", "file": "files/cut.jpg"},
        {"title": "Four portrait", "license": "9", "file": "files/page.jpg"},
        {"title": "Five portrait", "license": "9", "file": "files/small.jpg", "removed": True},
        {"title": "Six portrait", "license": "9", "media": "video"},
    ]  # fmt: skip
    lines = [
        {"id": str(4950000001 + number), "owner": "1@N06", "date_upload": BEGIN_S + number, **photo}
        for number, photo in enumerate(photos)
    ]
    (folder / "collection.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def emulator(folder: Path) -> Iterator[Emulator]:
    with Emulator(folder) as emulator:
        yield emulator


def ask(emulator: Emulator, method: str, **arguments: object) -> dict[str, Any]:
    given = {"method": f"flickr.{method}", "api_key": KEY, "format": "json", "nojsoncallback": "1", **arguments}
    return requests.get(emulator.endpoint, params=given, timeout=10).json()


def titles(emulator: Emulator, **arguments: object) -> list[str]:
    given = {"sort": "date-posted-asc", **arguments}
    return [photo["title"] for photo in ask(emulator, "photos.search", **given)["photos"]["photo"]]


# Search ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"text": "portrait"}, ["One", "Two", "Three portrait", "Four portrait", "Five portrait", "Six portrait"]),
        ({"text": "PORTRAIT three"}, ["Three portrait"]),
        ({"text": "portrait", "license": "0,4"}, ["One", "Two"]),
        ({"text": "portrait", "media": "photos", "license": "9"}, ["Three portrait", "Four portrait", "Five portrait"]),
        ({"text": "portrait", "media": "videos"}, ["Six portrait"]),
        ({"text": "portrait", "camera": "apple/iphone_7"}, ["One"]),
        ({"text": "portrait", "camera": "apple/unknown"}, []),
        ({"text": "portrait", "content_types": "1,2"}, []),
        ({"text": "portrait", "min_upload_date": BEGIN_S + 1, "max_upload_date": BEGIN_S + 2}, ["Two", "Three portrait"]),
        ({"tags": "blackandwhite,bokeh"}, ["One", "Two"]),
        ({"tags": "portrait,bokeh", "tag_mode": "all"}, ["Two"]),
        ({"text": "portrait", "per_page": 2, "page": 2}, ["Three portrait", "Four portrait"]),
        ({"text": "one", "sort": "date-posted-desc"}, ["One"]),
    ],
)
def test_a_search(emulator: Emulator, arguments: dict[str, object], found: list[str]) -> None:
    assert titles(emulator, **arguments) == found


def test_newest_first_unless_told_otherwise(emulator: Emulator) -> None:
    answer = ask(emulator, "photos.search", text="portrait")["photos"]
    assert [photo["id"] for photo in answer["photo"]] == [str(4950000006 - number) for number in range(6)]
    assert (answer["page"], answer["pages"], answer["perpage"], answer["total"]) == (1, 1, 100, 6)


def test_exclusion_is_no_more_reliable_than_flickrs() -> None:
    photos = [collection_photo(number, BEGIN_S, tags=("cat",)) for number in range(100)]
    with Emulator(photos) as emulator:
        for arguments in ({"text": "portrait -cat"}, {"text": "portrait", "tags": "-cat"}):
            assert 0 < ask(emulator, "photos.search", **arguments)["photos"]["total"] < 60


def test_types_and_absent_keys_are_flickrs(emulator: Emulator) -> None:
    one, two, *_ = ask(emulator, "photos.search", text="portrait", sort="date-posted-asc", extras=EXTRAS)["photos"]["photo"]
    assert one["dateupload"] == str(BEGIN_S)
    assert (one["ispublic"], one["datetakengranularity"], one["views"]) == (1, 0, "0")
    assert one["tags"] == "portrait blackandwhite"
    assert (one["o_width"], one["o_height"]) == ("1800", "1200")
    assert {key for key in one if key.startswith("url_")} == {f"url_{suffix}" for suffix in "tsnmzclho"}
    assert {key for key in two if key.startswith("url_")} == {f"url_{suffix}" for suffix in "tsno"}
    assert two["datetakenunknown"] == "1"
    assert "description" not in one
    plain = ask(emulator, "photos.search", text="one")["photos"]["photo"][0]
    assert not {"license", "tags", "url_l", "dateupload"} & set(plain)


def test_large_sizes_are_withheld_from_free_accounts() -> None:
    photos = [collection_photo(0, BEGIN_S, withheld=True), collection_photo(1, BEGIN_S, withheld=True, width_px=800)]
    with Emulator(photos) as emulator:
        found = ask(emulator, "photos.search", text="portrait", extras=EXTRAS)["photos"]["photo"]
    assert [{key for key in photo if key in ("url_l", "url_h", "url_k", "url_o")} for photo in found] == [{"url_l"}] * 2
    assert "o_width" not in found[0]


def test_every_size_from_1600_has_its_own_secret() -> None:
    with Emulator([collection_photo(0, BEGIN_S)]) as emulator:
        photo = ask(emulator, "photos.search", text="portrait", extras=EXTRAS)["photos"]["photo"][0]
    secrets = {
        key: url.rsplit("/", 1)[1].split("_")[1].split(".")[0] for key, url in photo.items() if key.startswith("url_")
    }
    small = {secrets.pop(f"url_{suffix}") for suffix in "tsnmzcl"}
    assert small == {photo["secret"]}
    assert len(set(secrets.values()) | small) == len(secrets) + 1
    assert photo["url_m"].endswith(f"{photo['secret']}.jpg")
    assert photo["url_s"].endswith("_m.jpg")
    assert photo["url_l"].endswith("_b.jpg")


def test_past_the_cap_pages_repeat_and_counts_go_on() -> None:
    with Emulator([collection_photo(number, BEGIN_S + number) for number in range(4600)]) as emulator:
        pages = {
            page: ask(emulator, "photos.search", text="portrait", per_page=500, page=page, sort="date-posted-asc")["photos"]
            for page in (1, 8, 9, 10)
        }
    assert {answer["total"] for answer in pages.values()} == {4600}
    assert {answer["pages"] for answer in pages.values()} == {10}
    ids = {page: [photo["id"] for photo in answer["photo"]] for page, answer in pages.items()}
    assert ids[8] == ids[9] == ids[10]
    assert ids[8][-1] == "4950003999"
    assert not set(ids[1]) & set(ids[8])


# Other calls, keys, errors -------------------------------------------------------------------------------------


def test_sizes_exif_and_info(emulator: Emulator) -> None:
    sizes = ask(emulator, "photos.getSizes", photo_id="4950000001")["sizes"]["size"]
    assert [size["label"] for size in sizes][-3:] == ["Large", "Large 1600", "Original"]
    assert (sizes[-1]["width"], sizes[-1]["height"]) == (1800, 1200)
    exif = ask(emulator, "photos.getExif", photo_id="4950000001")["photo"]
    assert exif["camera"] == "Apple iPhone 7"
    assert exif["exif"][0]["raw"] == {"_content": "Apple"}
    info = ask(emulator, "photos.getInfo", photo_id="4950000002")["photo"]
    assert info["title"] == {"_content": "Two"}
    assert info["dates"]["posted"] == str(BEGIN_S + 1)
    assert [tag["_content"] for tag in info["tags"]["tag"]] == ["portrait", "bokeh"]


def test_licences_and_cameras(emulator: Emulator) -> None:
    licenses = ask(emulator, "photos.licenses.getInfo")["licenses"]["license"]
    assert len(licenses) == 17
    assert licenses[4]["name"] == "CC BY 2.0"
    assert {"id": "apple", "name": "Apple"} in ask(emulator, "cameras.getBrands")["brands"]["brand"]
    cameras = ask(emulator, "cameras.getBrandModels", brand="apple")["cameras"]
    assert {"id": "iphone_7", "name": {"_content": "Apple Iphone 7"}} in cameras["camera"]


@pytest.mark.parametrize(
    ("method", "arguments", "code", "message"),
    [
        ("photos.search", {}, 3, "Parameterless searches have been disabled"),
        ("photos.search", {"text": "x", "api_key": ""}, 100, "Invalid API Key (Key has invalid format)"),
        ("photos.search", {"text": "x", "api_key": "refused"}, 100, "Invalid API Key (Key not found)"),
        ("photos.search", {"text": "x", "format": "rest"}, 111, 'Format "rest" not found'),
        ("photos.getSizes", {"photo_id": "1"}, 1, "Photo not found"),
        ("photos.getInfo", {"photo_id": "4950000005"}, 1, "Photo not found"),
        ("photos.getExif", {"photo_id": "4950000002"}, 2, "Permission denied"),
        ("cameras.getBrandModels", {"brand": "nobody"}, 1, "Brand not found"),
        ("photos.fold", {}, 112, 'Method "flickr.photos.fold" not found'),
    ],
)
def test_errors_come_with_status_200(
    emulator: Emulator, method: str, arguments: dict[str, object], code: int, message: str
) -> None:
    answer = ask(emulator, method, **arguments)
    assert (answer["stat"], answer["code"]) == ("fail", code)
    assert answer["message"].startswith(message)


def test_without_nojsoncallback_the_answer_is_wrapped(emulator: Emulator) -> None:
    given = {"method": "flickr.photos.licenses.getInfo", "api_key": KEY, "format": "json"}
    text = requests.post(emulator.endpoint, data=given, timeout=10).text
    assert text.startswith('jsonFlickrApi({"licenses"')
    assert text.endswith(")")


def test_only_given_keys_are_valid() -> None:
    with Emulator([], valid_keys={KEY}) as emulator:
        assert ask(emulator, "photos.licenses.getInfo")["stat"] == "ok"
        assert ask(emulator, "photos.licenses.getInfo", api_key="another")["code"] == 100


def test_the_flickrapi_package_is_understood(folder: Path) -> None:
    with Emulator(folder, valid_keys={KEY}) as emulator:
        flickr: Any = flickrapi.FlickrAPI(KEY, SECRET, format="parsed-json", store_token=False, timeout=10)
        flickr.REST_URL = emulator.endpoint
        with requests.Session() as flickr.flickr_oauth.session:
            found = flickr.photos.search(text="portrait bokeh", extras="license", per_page=10)
            assert found["photos"]["photo"][0]["license"] == "0"
            with pytest.raises(flickrapi.FlickrError, match="Photo not found") as caught:
                flickr.photos.getInfo(photo_id="1")
            assert caught.value.code == 1
        assert emulator.calls == {"flickr.photos.search": 1, "flickr.photos.getInfo": 1}
        (search, _) = emulator.requests
    assert search.arguments["text"] == "portrait bokeh"
    assert not any("key" in name or name.startswith("oauth") for name in search.arguments)
    assert KEY not in repr(emulator.requests)


# Pictures --------------------------------------------------------------------------------------------------------


def urls(emulator: Emulator, title: str) -> dict[str, str]:
    photo = ask(emulator, "photos.search", text=title, extras=EXTRAS)["photos"]["photo"][0]
    return {key.removeprefix("url_"): value for key, value in photo.items() if key.startswith("url_")}


def test_the_original_is_the_file_and_others_are_smaller(emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    found = urls(emulator, "One")
    original = requests.get(found["o"], timeout=10)
    assert original.content == (folder / "files/large.jpg").read_bytes()
    assert original.headers["Content-Type"] == "image/jpeg"
    assert found["o"].startswith(f"http://{emulator.image_host}/")
    for suffix, size in {"l": (1024, 683), "m": (500, 333), "h": (1600, 1067)}.items():
        path = tmp_path / f"{suffix}.jpg"
        path.write_bytes(requests.get(found[suffix], timeout=10).content)
        with Image.open(path) as image:
            assert image.size == size


def test_a_picture_that_is_known_is_not_sent_again(emulator: Emulator) -> None:
    url = urls(emulator, "Two")["o"]
    tag = requests.get(url, timeout=10).headers["ETag"]
    again = requests.get(url, headers={"If-None-Match": tag}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(("title", "file"), [("Three", "cut"), ("Four", "page")])
def test_files_that_do_not_decode_are_sent_as_they_are(emulator: Emulator, folder: Path, title: str, file: str) -> None:
    for url in urls(emulator, title).values():
        if url.endswith(("_o.jpg", "_m.jpg")):
            assert requests.get(url, timeout=10).content == (folder / f"files/{file}.jpg").read_bytes()


def test_a_removed_photo_redirects_to_another_host(emulator: Emulator) -> None:
    first = requests.get(urls(emulator, "Five")["o"], allow_redirects=False, timeout=10)
    assert first.status_code == 302
    assert emulator.image_host not in first.headers["Location"]
    assert "photo_unavailable" in first.headers["Location"]
    followed = requests.get(first.headers["Location"], timeout=10)
    assert (followed.status_code, followed.headers["Content-Type"]) == (200, "image/png")


def test_wrong_secrets_and_paths_find_nothing(emulator: Emulator) -> None:
    good = urls(emulator, "One")["o"]
    for url in (good.replace("_o.", "_k."), good[:-8] + "0_o.jpg", f"http://{emulator.image_host}/../collection.jsonl"):
        answer = requests.get(url, timeout=10)
        assert (answer.status_code, answer.content) == (404, b"")
    assert requests.get(emulator.endpoint.replace("rest", "soap"), timeout=10).status_code == 404


# Faults --------------------------------------------------------------------------------------------------------


def with_faults(folder: Path, **plan: object) -> Emulator:
    return Emulator(folder, FaultPlan.model_validate(plan))


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("http_429", 429, "text/html"),
        ("http_5xx", 502, "text/html"),
        ("html", 200, "text/html"),
        ("broken_json", 200, "application/json"),
    ],
)
def test_faults_of_the_api(folder: Path, fault: str, status: int, kind: str) -> None:
    with with_faults(folder, api={fault: 1.0}) as emulator:
        answer = requests.get(emulator.endpoint, params={"method": "flickr.photos.search", "api_key": KEY}, timeout=10)
        assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (status, kind)
        assert "Retry-After" not in answer.headers
        with pytest.raises(ValueError, match="Expecting"):
            answer.json()
        assert emulator.faulted == {fault: 1}


def test_error_201_also_comes_as_0(folder: Path) -> None:
    with with_faults(folder, api={"error_201": 1.0}) as emulator:
        answers = [ask(emulator, "photos.search", text="x") for _ in range(2)]
    assert {answer["code"] for answer in answers} == {0, 201}
    assert {answer["message"] for answer in answers} == {"Sorry, the Flickr API service is not currently available."}


def test_faults_of_pictures(folder: Path) -> None:
    plan = {
        "images": {
            "photos": {"4950000001": "cut", "4950000002": "broken", "4950000003": "unavailable", "4950000004": "http_429"}
        }
    }
    with with_faults(folder, **plan) as emulator:
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            requests.get(urls(emulator, "One")["o"], timeout=10)
        broken = requests.get(urls(emulator, "Two")["o"], timeout=10)
        assert broken.status_code == 200
        assert broken.content != (folder / "files/small.jpg").read_bytes()
        assert requests.get(urls(emulator, "Three")["o"], allow_redirects=False, timeout=10).status_code == 302
        assert requests.get(urls(emulator, "Four")["o"], timeout=10).status_code == 429
        assert emulator.image_requests == 4
        assert emulator.faulted["picture cut"] == 1


def test_a_slow_answer_is_the_right_one_later(folder: Path) -> None:
    with with_faults(folder, api={"slow": 1.0, "slow_s": 0.2}) as emulator:
        began = time.perf_counter()
        assert ask(emulator, "photos.licenses.getInfo")["stat"] == "ok"
        assert time.perf_counter() - began >= 0.2


def test_drift_moves_pages_and_counts() -> None:
    photos = [collection_photo(number, BEGIN_S + number) for number in range(30)]
    plan = FaultPlan.model_validate({"api": {"drift": 1.0}})
    with Emulator(photos, plan) as emulator:
        pages = [
            ask(emulator, "photos.search", text="portrait", per_page=10, page=2, sort="date-posted-asc")["photos"]
            for _ in range(20)
        ]
    firsts = {int(page["photo"][0]["id"]) - 4950000000 for page in pages}
    assert firsts <= {7, 8, 9, 11, 12, 13}
    assert len(firsts) > 2
    assert {page["total"] for page in pages} == {31, 32, 33}


def test_photos_change_and_vanish_after_some_calls(folder: Path) -> None:
    changes = [
        {"after_calls": 2, "photo": "4950000001", "license": "0", "tags": ["other"]},
        {"after_calls": 1, "photo": "4950000002", "vanished": True},
    ]
    with with_faults(folder, changes=changes) as emulator:
        seen = [
            ask(emulator, "photos.search", text="one", extras="license")["photos"]["photo"][0]["license"] for _ in range(3)
        ]
        assert seen == ["4", "4", "0"]
        assert ask(emulator, "photos.search", text="two")["photos"]["total"] == 0
        assert ask(emulator, "photos.getInfo", photo_id="4950000002")["code"] == 1


def test_a_plan_for_unknown_photos_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="4711"):
        with_faults(folder, changes=[{"after_calls": 1, "photo": "4711", "removed": True}])


# Running it -----------------------------------------------------------------------------------------------------


def test_it_starts_at_once_and_stops_for_good(folder: Path) -> None:
    session = requests.Session()
    began = time.perf_counter()
    with Emulator(folder) as emulator:
        given = {"method": "flickr.photos.licenses.getInfo", "api_key": KEY, "format": "json"}
        assert session.get(emulator.endpoint, params=given, timeout=10).status_code == 200
        assert time.perf_counter() - began < 1
    with pytest.raises(requests.ConnectionError):
        session.get(emulator.endpoint, params=given, timeout=10)
    session.close()


def test_a_taken_port_is_named(emulator: Emulator, folder: Path) -> None:
    port = int(emulator.image_host.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {port} cannot be used"), Emulator(folder, image_port=port):
        pass


def test_serving_announces_itself_and_lasts_until_stopped(folder: Path) -> None:
    announced: list[Emulator] = []
    ready = threading.Event()

    def announce(emulator: Emulator) -> None:
        announced.append(emulator)
        ready.set()

    thread = threading.Thread(target=serve, args=(Emulator(folder), announce))
    thread.start()
    assert ready.wait(5)
    assert ask(announced[0], "photos.licenses.getInfo")["stat"] == "ok"
    announced[0].stop()
    thread.join(5)
    assert not thread.is_alive()


def test_records_in_memory_are_served_too() -> None:
    with Emulator([CollectionPhoto("7", "1@N00", BEGIN_S, title="portrait")]) as emulator:
        photo = ask(emulator, "photos.search", text="portrait", extras=EXTRAS)["photos"]["photo"][0]
        assert photo["id"] == "7"
        assert requests.get(photo["url_o"], timeout=10).status_code == 404

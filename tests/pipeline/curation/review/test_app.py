"""The page over HTTP: who may ask, what it says, what it writes, which pictures it serves."""

import errno
import io
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from starlette.types import ASGIApp

from pipeline.commands.review import review_page
from pipeline.config import load_project
from pipeline.curation.decisions import read_decisions
from pipeline.curation.review.app import NOTICE, make_app
from pipeline.curation.review.state import PHOTOS_ON_A_PAGE
from storage import Home
from tests.blobs import stored
from tests.pipeline.curation.review.worlds import NASTY_TITLES, PORT, Answer, ask, make_home, photo_id

SELF = f"http://127.0.0.1:{PORT}"
SEAT = {"cookie": f"bokehflow-{PORT}-seat=ann"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("made"), count=35, titles=NASTY_TITLES).root


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    shutil.copytree(made, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def page(home: Home) -> ASGIApp:
    return make_app(review_page(load_project(home.root / "bokehflow.toml"), home, "Ann", PORT))


@dataclass
class Seen(HTMLParser):
    """Tags of a page, and whatever could run a script in it."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def seen(answer: Answer) -> Seen:
    assert answer.status == 200, answer.text[:500]
    found = Seen()
    found.feed(answer.text)
    return found


def token_of(page: ASGIApp) -> str:
    return json.loads(ask(page, "/session").body)["token"]


def send(page: ASGIApp, path: str, fields: dict[str, str], token: str | None = None, **headers: str) -> Answer:
    sent = {"accept": "application/json", "origin": SELF, "content-type": "application/x-www-form-urlencoded", **headers}
    sent["x-review-token"] = token_of(page) if token is None else token
    return ask(page, path, "POST", sent, urlencode(fields).encode())


def decisions(home: Home) -> list[tuple[str, str, str | None]]:
    found, problems = read_decisions(home.reviewed, {photo_id(number) for number in range(35)}, {"ordinary", "shallow"})
    assert not problems
    return [(decision.photo_id, decision.decision, decision.reason) for decision in found]


# --- who is shown what


def test_twenty_at_once_decide_about_no_photo_twice(page: ASGIApp) -> None:
    """The home has fewer photos than twenty browsers would hold with all that they fetch ahead."""
    token, decided = token_of(page), []

    def visit(number: int, path: str, **fields: str) -> Answer:
        jar = cookies[number]
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        answer = send(page, path, fields, token, **headers) if fields else ask(page, path, headers=headers)
        for cookie in answer.headers.getlist("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            jar[name] = value
        return visit(number, answer.headers["location"]) if answer.status == 303 else answer

    cookies: list[dict[str, str]] = [{f"bokehflow-{PORT}-curator": f"c{number}"} for number in range(20)]
    for _ in range(3):
        shown = [re.search(r'<main[^>]*data-photo="([^"]+)"', visit(number, "/single").text) for number in range(20)]
        found = {number: match[1] for number, match in enumerate(shown) if match}
        assert len(set(found.values())) == len(found)
        for number, photo in found.items():
            assert visit(number, "/decide", photo_id=photo, verdict="keep", back="/single").status == 200
            decided.append(photo)
    assert len(decided) == len(set(decided)) > 0
    told = [visit(number, "/single").text for number in range(20)]
    assert all("Others are at what is left" in text or "data-photo" in text for text in told)
    assert any("Others are at what is left" in text for text in told)


# --- what it shows


def test_a_page_shows_at_most_thirty_photos_with_owner_licence_link_and_the_notice(page: ASGIApp) -> None:
    answer = ask(page, "/grid")
    cards = [tag for tag in seen(answer).all("article") if tag["class"] == "card"]
    links = [tag["href"] for tag in seen(answer).all("a") if "flickr.com/photos" in str(tag.get("href"))]
    assert len(cards) == len(links) == PHOTOS_ON_A_PAGE
    assert NOTICE in answer.text
    assert answer.text.count("CC BY 2.0") >= 10
    assert answer.text.count("Anna Lindqvist") >= 6


def test_nasty_titles_are_shown_and_nothing_of_them_is_markup(page: ASGIApp) -> None:
    for path in ("/grid", *(f"/single?photo={photo_id(number)}" for number in range(len(NASTY_TITLES)))):
        answer = ask(page, path, headers=SEAT)
        found = seen(answer)
        assert [tag.get("src") for tag in found.all("script")] == ["/static/review.js"]
        assert not [tag for tag in found.all("img") if not str(tag.get("src")).startswith(("/thumbnail/", "/picture/"))]
        assert not [tag for _, attributes in found.tags for tag in attributes if tag.startswith("on") or tag == "style"]
        assert "49 &amp; <b>" not in answer.text
        assert "{{ 7 * 7 }}" in answer.text or path != "/grid"
        assert len(answer.text) < 120_000
    assert "y" * 301 not in ask(page, "/grid").text


def test_links_lead_to_web_addresses_only(home: Home) -> None:
    queue = home.tables.read("review_queue")
    home.tables.write("review_queue", queue.assign(page_url="javascript:alert(1)"))
    application = make_app(review_page(load_project(home.root / "bokehflow.toml"), home, "Ann", PORT))
    assert "javascript:" not in ask(application, "/grid").text


def test_every_picture_has_a_text_and_every_control_a_name(page: ASGIApp) -> None:
    for path in ("/grid", f"/single?photo={photo_id(1)}"):
        found = seen(ask(page, path, headers=SEAT))
        assert all(tag.get("alt") for tag in found.all("img"))
        inputs = [tag for tag in found.all("input") if tag.get("type") not in ("hidden", "checkbox")]
        assert all(tag.get("aria-label") or tag.get("name") in ("note", "curator") for tag in inputs)
        assert found.all("html")[0]["lang"] == "en"
        assert [tag["aria-live"] for tag in found.all("p") if tag.get("role") == "status"] == ["polite"]
        assert found.all("main")
        assert found.all("progress")[0]["aria-label"]


def test_a_browser_comes_back_to_where_it_was(page: ASGIApp) -> None:
    assert ask(page, "/").headers["location"] == "/grid"
    left = ask(page, f"/single?photo={photo_id(3)}&domain=shallow")
    cookie = left.headers.getlist("set-cookie")[0].partition(";")[0]
    back = ask(page, "/", headers={"cookie": cookie}).headers["location"]
    assert back.startswith("/single?")
    assert "domain=shallow" in back
    away = ask(page, "/", headers={"cookie": f"bokehflow-{PORT}-view=//evil.example"})
    assert away.headers["location"] == "/grid"


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (photo_id(3), 3), (photo_id(4).partition(":")[2], 4), (f"https://flickr.com/photos/me/{photo_id(5)[7:]}/", 5),
        ("7", 6), (" 1,000 ", None), ("0", None), (NASTY_TITLES[1], 1), ("a b  c", 5), ("no such title", None),
        ("flickr:7", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/grid", "/single"])
def test_a_photo_is_found_by_what_a_person_knows_of_it(page: ASGIApp, path: str, written: str, number: int | None) -> None:
    found = ask(page, f"{path}?{urlencode({'find': written, 'domain': 'shallow'})}")
    if number is None:
        assert "There is no such photo in the queue" in found.text
        assert 'href="/single?domain=shallow">Back to the photos' in found.text
    else:
        assert found.headers["location"] == f"/single?{urlencode({'domain': 'shallow', 'photo': photo_id(number)})}"


def test_a_title_leads_to_a_photo_that_is_still_there(home: Home, page: ASGIApp) -> None:
    unique = home.tables.read("unique_photos")
    home.tables.write("unique_photos", unique[unique["photo_id"] != photo_id(1)])
    found = ask(page, f"/grid?{urlencode({'find': NASTY_TITLES[1]})}")
    assert found.headers["location"] == f"/single?{urlencode({'photo': photo_id(1 + len(NASTY_TITLES))})}"


def test_who_seeks_a_photo_of_another_screen_is_led_to_no_other_one(page: ASGIApp) -> None:
    ask(page, f"/single?photo={photo_id(3)}", headers=SEAT)
    found = ask(page, f"/single?find={photo_id(3)}")
    assert "Somebody else is at it" in found.text
    assert f'href="/single?{urlencode({"find": photo_id(3)})}">look again' in found.text


# --- what it writes


def test_a_decision_by_the_script_and_one_without_it(page: ASGIApp, home: Home) -> None:
    fields = {"photo_id": photo_id(0), "verdict": "drop:no_person", "back": "/single"}
    answer = json.loads(send(page, "/decide", fields).body)
    assert (answer["photo_id"], answer["decided"], answer["said"]) == (photo_id(0), 1, "Dropped: no person.")
    assert answer["upcoming"][0].endswith(photo_id(1).replace(":", "%3A"))
    plain = send(page, "/decide", {**fields, "photo_id": photo_id(1), "verdict": "keep"}, accept="text/html")
    assert (plain.status, plain.headers["location"]) == (303, "/single")
    assert decisions(home) == [(photo_id(0), "drop", "no_person"), (photo_id(1), "keep", None)]
    undone = json.loads(send(page, "/undo", {"key": answer["undo"]}).body)
    assert undone["said"] == "There is nothing to undo."
    undone = json.loads(send(page, "/undo", {}).body)
    assert undone["said"] == "Undone: kept."


def test_the_curators_name_stands_beside_the_decision(page: ASGIApp, home: Home) -> None:
    named = send(page, "/curator", {"curator": " Zoë  de Vries; =1 ", "back": "/grid"})
    cookie = named.headers["set-cookie"].partition(";")[0]
    send(page, "/decide", {"photo_id": photo_id(0), "verdict": "keep"}, cookie=cookie)
    found, _ = read_decisions(home.reviewed, {photo_id(0)}, {"ordinary"})
    assert found[0].curator == "Zoë de Vries; =1"


@pytest.mark.parametrize(
    "fields",
    [
        {"photo_id": "flickr:1", "verdict": "keep"}, {"photo_id": photo_id(0), "verdict": "explode"}, {},
        {"photo_id": photo_id(0), "verdict": "drop:"}, {"photo_id": photo_id(0), "verdict": "move:mars"},
        {"photo_id": photo_id(0), "verdict": "drop:other"},
    ],
)  # fmt: skip
def test_what_cannot_be_decided_is_refused_and_explained(page: ASGIApp, home: Home, fields: dict[str, str]) -> None:
    answer = send(page, "/decide", fields)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]
    assert not home.reviewed.exists()


def test_forms_lead_back_to_this_page_only(page: ASGIApp) -> None:
    fields = {"photo_id": photo_id(0), "verdict": "keep", "back": "//evil.example/grid"}
    assert send(page, "/decide", fields, accept="text/html").headers["location"] == "/grid"


# --- who may ask


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"}, {"host": f"evil.example:{PORT}"}, {"host": "127.0.0.1"}, {"host": "127.0.0.1:80"},
        {"host": f"127.0.0.1.evil.example:{PORT}"}, {"host": ""}, {"host": f"localhost:{PORT}.evil.example"},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil.example"},
        {"origin": "null"}, {"origin": f"https://127.0.0.1:{PORT}"}, {"origin": "http://127.0.0.1:3000"},
        {"referer": "http://evil.example/page"}, {"referer": f"http://127.0.0.1:{PORT}@evil.example/"},
        {"sec-fetch-site": "", "referer": "http://evil.example/"}, {"content-length": "99999999"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/grid", "/session", "/state", "/static/review.js", "/decide"])
def test_requests_of_other_sites_and_foreign_hosts_are_refused(
    page: ASGIApp, home: Home, path: str, headers: dict[str, str]
) -> None:
    if path == "/decide":
        fields = urlencode({"photo_id": photo_id(0), "verdict": "keep", "token": token_of(page)}).encode()
        answer = ask(page, path, "POST", headers, fields)
    else:
        answer = ask(page, path, headers=headers)
    assert answer.status == 403
    assert answer.text.startswith("refused: ")
    assert not home.reviewed.exists()


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"])
def test_this_machine_itself_is_let_in(page: ASGIApp, host: str) -> None:
    typed = {"host": host, "sec-fetch-site": "none"}
    assert ask(page, "/session", headers=typed).status == 200
    assert ask(page, "/session", headers={"host": host, "origin": f"http://{host}"}).status == 200


@pytest.mark.parametrize("path", ["/decide", "/undo", "/curator"])
def test_nothing_changes_without_the_token(page: ASGIApp, home: Home, path: str) -> None:
    fields = {"photo_id": photo_id(0), "verdict": "keep", "curator": "Eve"}
    for token in ("", "guessed", "ü" * 30):
        answer = send(page, path, fields, token=token.encode().decode("latin-1"))
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
    assert ask(page, f"{path}?{urlencode(fields)}").status == 405
    assert ask(page, path, "PUT", body=urlencode({**fields, "token": token_of(page)}).encode()).status == 403
    assert not home.reviewed.exists()


def test_every_answer_forbids_foreign_content(page: ASGIApp) -> None:
    for path in ("/grid", "/session", "/static/review.js", "/nothing", "/thumbnail/none"):
        headers = ask(page, path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
    cookies = ask(page, "/grid").headers.getlist("set-cookie")
    assert cookies
    assert all("HttpOnly" in cookie and "SameSite=strict" in cookie for cookie in cookies)


# --- pictures


def test_pictures_are_served_by_digest_and_kept_by_browsers(page: ASGIApp, home: Home) -> None:
    row = home.tables.read("review_queue").iloc[0]
    for path, edge_px in (("thumbnail", 320), ("picture", 448), ("original", 448)):
        answer = ask(page, f"/{path}/{row['sha256']}")
        assert answer.status == 200
        assert answer.headers["content-type"] == "image/jpeg"
        assert "immutable" in answer.headers["cache-control"]
        assert max(Image.open(io.BytesIO(answer.body)).size) <= edge_px


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/passwd", "..%2f..%2fbokehflow.toml", "%2e%2e/%2e%2e/bokehflow.toml", "0" * 64, "x" * 64, "A" * 64,
        "/etc/passwd", "", "..", f"{'0' * 64}/../../x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["thumbnail", "picture", "original", "mask", "static"])
def test_nothing_else_on_the_disk_is_served(page: ASGIApp, kind: str, name: str) -> None:
    answer = ask(page, f"/{kind}/{name}")
    assert answer.status in (404, 405)
    assert b"root:" not in answer.body
    assert b"[project]" not in answer.body


@pytest.mark.parametrize("thumbnail", ["../bokehflow.toml", "/etc/passwd", "../../../../../../etc/passwd", "ab/../../x"])
def test_a_queue_that_names_files_outside_the_thumbnails_gets_none(home: Home, thumbnail: str) -> None:
    queue = home.tables.read("review_queue")
    home.tables.write("review_queue", queue.assign(thumbnail=thumbnail))
    application = make_app(review_page(load_project(home.root / "bokehflow.toml"), home, "Ann", PORT))
    ask(application, "/grid")
    answer = ask(application, f"/thumbnail/{queue['sha256'].iloc[0]}")
    assert answer.status == 403


def test_missing_thumbnails_are_made_and_missing_blobs_explained(page: ASGIApp, home: Home) -> None:
    ask(page, "/grid")
    first, second = home.tables.read("review_queue")["sha256"].iloc[:2]
    shutil.rmtree(home.thumbnails)
    answer = ask(page, f"/thumbnail/{first}")
    assert max(Image.open(io.BytesIO(answer.body)).size) == 320
    home.blobs.path(second).unlink()
    answer = ask(page, f"/picture/{second}")
    assert (answer.status, "missing" in answer.text) == (404, True)


def test_a_turned_photo_is_shown_upright_and_a_tiff_as_png(home: Home) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, odd = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (2400, 1200), "red").save(turned, "JPEG", exif=exif)
    Image.new("RGB", (40, 20), "red").save(odd, "TIFF")
    upright, tiff = stored(home, turned.getvalue()), stored(home, odd.getvalue())
    unique = home.tables.read("unique_photos")
    home.tables.write("unique_photos", unique.assign(sha256=[upright, tiff, *unique["sha256"].iloc[2:]]))
    application = make_app(review_page(load_project(home.root / "bokehflow.toml"), home, "Ann", PORT))
    ask(application, "/grid")
    assert Image.open(io.BytesIO(ask(application, f"/picture/{upright}").body)).size == (800, 1600)
    original = ask(application, f"/original/{tiff}")
    assert original.headers["content-type"] == "image/png"


def test_the_mask_is_a_tint_over_what_is_not_the_subject(page: ASGIApp, home: Home) -> None:
    ask(page, "/grid")
    sha256 = str(home.tables.read("review_queue")["sha256"].iloc[0])
    assert ask(page, f"/mask/{sha256}").status == 404
    alpha = np.zeros((30, 40), np.uint8)
    alpha[:, :10] = 255
    path = home.masks / "selfie-abc-1-512px" / sha256[:2] / f"{sha256}.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(alpha).save(path)
    tint = np.asarray(Image.open(io.BytesIO(ask(page, f"/mask/{sha256}").body)))
    assert tint.shape == (30, 40, 4)
    assert (tint[0, 0, 3], tint[0, 20, 3] > 100) == (0, True)


@dataclass(frozen=True)
class DepthOfOne:
    """A page of a home whose first photo has a map, half of it at 1.25 m and half at 4 m, its first row unknown."""

    page: ASGIApp
    sha256: str
    other: str
    metres: np.ndarray


@pytest.fixture
def deep(home: Home) -> DepthOfOne:
    sha256, other = home.tables.read("review_queue")["sha256"].unique()[:2]
    path, given = home.root / "bokehflow.toml", home.root / "given"
    path.write_text(path.read_text() + '\n[depth]\nestimator = "folder"\nfolder = "given"\nunit = "m"\n')
    given.mkdir()
    with Image.open(home.blobs.path(sha256)) as image:
        metres = np.full((image.height, image.width), 4.0)
    metres[:, : metres.shape[1] // 2] = 1.25
    metres[0] = 0
    np.save(given / f"{sha256}.npy", metres)
    return DepthOfOne(make_app(review_page(load_project(path), home, "Ann", PORT)), sha256, other, metres)


def test_depth_is_shown_in_colour_with_what_the_colours_stand_for(deep: DepthOfOne) -> None:
    page, sha256, other = deep.page, deep.sha256, deep.other
    assert "map of depth" in ask(page, "/grid").text
    shown = np.asarray(Image.open(io.BytesIO(ask(page, f"/depth/{sha256}").body)))
    assert shown.shape == (*deep.metres.shape, 3)
    near, far, unknown = shown[5, 5].astype(int), shown[5, -5].astype(int), shown[0, 0]
    assert near.sum() > far.sum() + 300
    assert unknown.tolist() == [128, 128, 128]
    assert json.loads(ask(page, f"/depth/{sha256}/range").text) == {"far": "4 m", "near": "1.25 m"}
    for address in (f"/depth/{other}", f"/depth/{other}/range", f"/depth/{'0' * 64}"):
        assert ask(page, address).status == 404


def test_a_photo_with_depth_opens_on_the_page_that_refocuses(deep: DepthOfOne) -> None:
    page, sha256, other, size = deep.page, deep.sha256, deep.other, deep.metres.shape[::-1]
    links = [tag.get("href") for tag in seen(ask(page, f"/single?photo={photo_id(0)}", headers=SEAT)).all("a")]
    assert f"/refocus/?photo={sha256}" in links
    view = ask(page, "/refocus/")
    assert "img-src 'self' blob:" in view.headers["content-security-policy"]
    for address in re.findall(r'(?:src|href)="([a-z]+/[^"]+)"', view.text):
        assert ask(page, f"/refocus/{address}").status == 200
    facts = json.loads(ask(page, f"/refocus/photo/{sha256}").body)
    assert (facts["name"], facts["width"], facts["height"]) == (photo_id(0), *size)
    shown = Image.open(io.BytesIO(ask(page, f"/refocus/photo/{sha256}/seen?x=1&y=1&strength=4").body))
    assert shown.size == size
    assert "no map of depth" in ask(page, f"/refocus/photo/{other}").text
    assert ask(page, f"/refocus/photo/{'0' * 64}").status == 404
    assert ask(page, "/refocus/photos", headers={"sec-fetch-site": "cross-site"}).status == 403
    assert ask(page, f"/refocus/photo/{sha256}/full", "POST", {"x-refocus-token": token_of(page)}, b"x=1").status == 403


def test_without_an_estimator_nothing_is_said_of_depth(page: ASGIApp, home: Home) -> None:
    assert "map of depth" not in ask(page, "/grid").text
    assert "refocus" not in ask(page, "/single", headers=SEAT).text
    assert ask(page, "/refocus/").status == 404
    assert ask(page, f"/depth/{home.tables.read('review_queue')['sha256'].iloc[0]}").status == 404


def test_a_drawn_mask_that_the_disk_does_not_take_is_told(
    page: ASGIApp, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(page, "/grid")
    sha256 = str(home.tables.read("review_queue")["sha256"].iloc[0])
    strokes = {"sha256": sha256, "strokes": "a100.500.500.600.600_r20.500.500"}

    def full(target: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.masks.drawn.write_bytes", full)
        lost = send(page, "/draw", strokes)
    assert lost.status == 500
    assert re.fullmatch(rf"error: {home.drawn_masks}/{sha256}.*: the disk is full; make room and try again\n", lost.text)
    assert send(page, "/draw", strokes).status == 200


def test_a_drawn_mask_is_kept_with_its_author_and_shown(page: ASGIApp, home: Home) -> None:
    ask(page, "/grid")
    sha256 = str(home.tables.read("review_queue")["sha256"].iloc[0])
    token = json.loads(ask(page, "/session").text)["token"]
    drawn = {"sha256": sha256, "strokes": "a100.500.500.600.600_r20.500.500"}

    def sent(form: dict[str, str], token: str = token) -> Answer:
        return ask(page, "/draw", "POST", {"x-review-token": token, "accept": "application/json"}, urlencode(form).encode())

    assert sent(drawn, "wrong").status == 403
    assert sent({**drawn, "sha256": "0" * 64}).status == 400
    assert sent({**drawn, "sha256": "../../x"}).status == 400
    assert sent({**drawn, "strokes": "rubbish"}).status == 400
    assert not home.drawn_masks.exists()
    assert sent(drawn).status == 200
    (path,) = home.drawn_masks.iterdir()
    with Image.open(path) as image:
        assert (image.mode, image.info["drawn_by"]) == ("L", "Ann")
    tint = np.asarray(Image.open(io.BytesIO(ask(page, f"/mask/{sha256}").body)))[..., 3]
    height_px, width_px = tint.shape
    assert tint[height_px // 2, width_px // 2] > 100
    assert tint[round(height_px * 0.6), round(width_px * 0.6)] == 0


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"license": "unknown"}, "<bdi>licence unknown</bdi>"),
        ({"license": "CC BY 2.0"}, "<bdi>CC BY 2.0</bdi>"),
        (
            {"suggested_decision": "keep", "suggestion_probability": 0.998},
            "right in more than 99\u00a0% of such photographs",
        ),
        ({"suggested_decision": "keep", "suggestion_probability": 0.985}, "right in 98\u00a0% of such photographs"),
    ],
)
def test_no_more_is_said_than_is_known(page: ASGIApp, home: Home, facts: dict[str, object], said: str) -> None:
    queue = home.tables.read("review_queue")
    for name, value in facts.items():
        queue.loc[queue["photo_id"] == photo_id(0), name] = value
    home.tables.write("review_queue", queue)
    assert said in ask(page, f"/single?photo={photo_id(0)}").text


def test_photos_can_be_filtered_by_how_sure_their_masks_are(page: ASGIApp, home: Home) -> None:
    queue = home.tables.read("review_queue")
    facts = {"domain": "ordinary", "split_key": "x", "mask": "a/b.png", "mask_sha256": "c", "coverage": 0.4, "reason": None}
    rows = [
        {**facts, "photo_id": queue["photo_id"][n], "sha256": queue["sha256"][n], "uncertainty": doubt, "people": 1,
         "runner_up": 0.0, "detail": None, "drawn_by": None}
        for n, doubt in ((0, 0.1), (1, 0.6))
    ]  # fmt: skip
    home.tables.write("person_masks", pd.DataFrame(rows).astype({"people": "Int64"}))
    shown = ask(page, "/grid?status=all&min_mask_uncertainty=0.25").text
    assert (photo_id(1) in shown, photo_id(0) in shown) == (True, False)
    assert "Mask wrong" in ask(page, f"/single?photo={photo_id(1)}").text


def test_an_empty_queue_is_not_called_decided(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", count=0)
    page = make_app(review_page(load_project(home.root / "bokehflow.toml"), home, "Ann", PORT))
    shown = ask(page, "/grid").text
    assert "There is nothing to review yet" in shown
    assert "bokehflow run --until review_queue" in shown
    assert "Everything is decided" not in shown


def test_nothing_comes_from_elsewhere(page: ASGIApp) -> None:
    for path in ("/grid", f"/single?photo={photo_id(1)}", "/static/review.css", "/static/review.js"):
        text = ask(page, path).text
        loaded = re.findall(r"""(?:src|href)=["']?(https?://[^"'\s>]+)|url\(([^)]+)\)|@import""", text)
        assert all("flickr.com/photos" in address for address, _ in loaded)


# --- odd addresses

ODD = (
    "", "x" * 50_000, "%ff%fe", "%00", "%0d%0aset-cookie:a=b", "²", "٣", "-1", "nan", "inf", "-1e308", "9" * 5000, "1e999",
    "0x10", "../../etc/passwd", "%ed%a0%80", "{{7*7}}", "flickr:%00", "a" * 200 + "%f0%9f", "a;b",
    "&&&==", "+", "%",
)  # fmt: skip
PARAMETERS = (
    "status", "domain", "batch", "suggestion", "min_shallowness", "max_probability", "start", "photo", "after", "since",
    "seen",
)  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/grid", "/single", "/state"])
def test_an_odd_query_is_answered_without_a_failure(page: ASGIApp, path: str) -> None:
    for value in ODD:
        for name in PARAMETERS:
            answer = ask(page, f"{path}?{name}={value}&{name}={value}")
            assert answer.status in (200, 303, 400), (name, value[:40], answer.status)
            assert "set-cookie:a=b" not in str(answer.headers)
    assert ask(page, path + "?" + "&".join(f"a{number}={number}" for number in range(5000))).status < 500


@pytest.mark.parametrize("value", ODD)
def test_an_odd_path_or_form_is_refused(page: ASGIApp, home: Home, value: str) -> None:
    for path in ("/thumbnail/", "/picture/", "/original/", "/mask/", "/static/", "/"):
        assert ask(page, path + "x" + value.replace("?", "")).status == 404
    for body in ({"photo_id": value, "verdict": "keep"}, {"photo_id": photo_id(1), "verdict": value}):
        assert send(page, "/decide", body).status in (400, 404)
    assert send(page, "/undo", {"key": value}).status in (200, 400)
    assert ask(page, "/grid", headers={"cookie": f"bokehflow-{PORT}-seat={value[:99]}"}).status == 200
    assert decisions(home) == []

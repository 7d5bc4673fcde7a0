"""The page of `refocus --page`: what it shows is what is saved, who may ask, what it refuses."""

import base64
import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, sync_playwright

from pipeline.commands.refocus_page import PagePictures
from pipeline.config import PhotosSection
from pipeline.depth.maps import encoded, map_png
from pipeline.depth.page.app import OPENNESS_HEADER, TOKEN_HEADER, TOLD_HEADER, RefocusPage, make_refocus_app
from pipeline.depth.page.photos import (
    KEPT_DROPPED,
    MOST_NAMED,
    SCREEN_EDGE_PX,
    OpenPhoto,
    PagePhotos,
    PhotoAndDepth,
    Setting,
)
from pipeline.depth.refocus import lens_of_full_frame, lens_of_strength, refocus_photo
from pipeline.depth.units import DepthError, DepthMap
from pipeline.loopback import server
from pipeline.loopback.guard import Door
from pipeline.photos.inspectors import Inspectors
from pipeline.tables import conform
from storage import Home
from tests.picture_home import home_of_pictures
from tests.pipeline.curation.review.worlds import PORT, ask
from tests.pipeline.operations.test_status import fill

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTH_PX, HEIGHT_PX = 1500, 1000
FACE, BACKDROP = (0.5, 0.5), (0.1, 0.15)
"""Points, in shares of the sides."""
TOLERANCE = 2.0
"""Levels of 255, on average, between the screen, which is a JPEG, and the photo saved, made as small."""


def photo() -> PhotoAndDepth:
    """A round subject at 1 m before a wall at 3 m, both with a fine grain, as cloth has it."""
    rows, columns = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    grain = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((HEIGHT_PX, WIDTH_PX)), (0, 0), 2.5)
    rgb = np.repeat((128 + 25 * grain / grain.std()).clip(0, 255).astype(np.uint8)[..., None], 3, 2)
    is_face = np.hypot(rows - HEIGHT_PX / 2, columns - WIDTH_PX / 2) < 300
    rgb[is_face, 2] //= 2
    return PhotoAndDepth(rgb, DepthMap(np.where(is_face, 1.0, 1 / 3).astype(np.float32), True))


def page_of(photos: PagePhotos, port: int = PORT) -> RefocusPage:
    return RefocusPage(photos, port, 3.0, 1_000_000)


@pytest.fixture
def photos() -> PagePhotos:
    made = PagePhotos()
    made.add("me & <you>.jpg", photo)
    return made


def picture(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def detail(rgb: np.ndarray, place: tuple[float, float]) -> float:
    """How much neighbours differ around a point."""
    row, column = (int(share * side) for share, side in zip(place[::-1], rgb.shape[:2], strict=True))
    around = rgb[row - 40 : row + 40, column - 40 : column + 40, 0].astype(float)
    return float(np.abs(np.diff(around, axis=1)).mean())


# --- over HTTP


def test_a_photo_is_listed_opened_seen_and_saved(photos: PagePhotos) -> None:
    page = page_of(photos)
    app = make_refocus_app(page)
    assert ask(app, "/photos").body == b'{"photos":[{"key":"1","name":"me & <you>.jpg"}],"count":1}'
    assert b'"width":1500,"height":1000,"depth":"1 to 3 m' in ask(app, "/photo/1").body
    seen = ask(app, "/photo/1/seen?x=750&y=500&strength=3")
    assert seen.headers[TOLD_HEADER] == quote("in focus 1 m, largest disc 30 px at full size")
    assert max(picture(seen.body).shape) == SCREEN_EDGE_PX
    assert max(picture(ask(app, "/photo/1/seen?x=750&y=500&strength=3&draft").body).shape) == SCREEN_EDGE_PX // 2
    assert picture(ask(app, "/photo/1/depth").body).shape == picture(seen.body).shape
    token = {TOKEN_HEADER: page.token.value}
    saved = ask(app, "/photo/1/full", "POST", token, b"x=750&y=500&strength=3")
    rgb, depth, _ = photo()
    assert np.array_equal(picture(saved.body), refocus_photo(rgb, depth.disparity, lens_of_strength(depth.disparity, 1, 3)))


def test_an_f_number_is_that_of_a_full_frame_camera(photos: PagePhotos) -> None:
    page = page_of(photos)
    app, token = make_refocus_app(page), {TOKEN_HEADER: page.token.value}
    seen = ask(app, "/photo/1/seen?x=750&y=500&f=2.8&mm=50")
    rgb, depth, _ = photo()
    lens = lens_of_full_frame(depth.disparity, 1.0, 50, 2.8)
    percent = 100 * float(np.abs(lens.radii_px(np.array([[1 / 3]], np.float32))).max()) / HEIGHT_PX
    assert json.loads(seen.headers[OPENNESS_HEADER]) == {"percent": round(percent, 2), "f": 2.8}
    saved = ask(app, "/photo/1/full", "POST", token, b"x=750&y=500&f=2.8&mm=50")
    assert np.array_equal(picture(saved.body), refocus_photo(rgb, depth.disparity, lens))
    told = json.loads(ask(app, f"/photo/1/seen?x=750&y=500&strength={percent}&mm=50").headers[OPENNESS_HEADER])
    assert told["f"] == pytest.approx(2.8, abs=0.01)
    assert "f" not in json.loads(ask(app, "/photo/1/seen?x=750&y=500&strength=3").headers[OPENNESS_HEADER])


def test_the_focal_length_of_a_photo_is_known_by_its_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 85  # FocalLengthIn35mmFilm
    Image.fromarray(photo().rgb).save(tmp_path / "me.jpg", exif=exif)

    class Known:
        def depth(self, photo_file: Path, rgb: np.ndarray, read: object) -> DepthMap:
            return photo().depth

    inspectors = Inspectors(1)
    try:
        pictures = PagePictures(Home(tmp_path / "home"), None, PhotosSection(), inspectors, Known(), predicts=True)
        photos = PagePhotos()
        photos.add("me", lambda: pictures.given(tmp_path / "me.jpg"))
        app = make_refocus_app(page_of(photos))
        assert b'"focal_mm":85.0' in ask(app, "/photo/1").body
        told = [ask(app, f"/photo/1/seen?x=750&y=500&{lens}").headers[OPENNESS_HEADER] for lens in ("f=2", "f=2&mm=85")]
        assert told[0] == told[1]
    finally:
        inspectors.close()


class Many:
    """A thousand photos."""

    def named(self, part: str) -> list[tuple[str, str]]:
        return [(f"{n:064x}", f"flickr:{n}") for n in range(1000) if part in f"flickr:{n}"]

    def find(self, key: str) -> tuple[str, Callable[[], PhotoAndDepth]]:
        return {key: (name, photo) for key, name in self.named("")}[key]


def test_of_more_photos_than_a_list_holds_the_others_are_found_by_a_part_of_their_names() -> None:
    photos = PagePhotos(collection=Many())
    photos.add("Mine:77.jpg", photo)
    app = make_refocus_app(page_of(photos))
    first = json.loads(ask(app, "/photos").body)
    assert (len(first["photos"]), first["count"]) == (MOST_NAMED, 1001)
    found = json.loads(ask(app, "/photos?named=:77").body)["photos"]
    names = ["Mine:77.jpg", "flickr:77", *(f"flickr:{n}" for n in range(770, 780))]
    assert [one["name"] for one in found] == names
    assert b'"name":"flickr:777"' in ask(app, f"/photo/{777:064x}").body
    assert ask(app, f"/photo/{1000:064x}").status == 404


def test_the_page_runs_no_script_but_its_own_and_escapes_nothing_into_it(photos: PagePhotos) -> None:
    answer = ask(make_refocus_app(page_of(photos)), "/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert b"<you>" not in answer.body
    assert b'id="file"' not in answer.body
    for path in ("/static/refocus.js", "/static/refocus.css", "/look/review.css", "/look/icon.png"):
        assert ask(make_refocus_app(page_of(photos)), path).status == 200


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/photo/1/seen?x=1500&y=5&strength=3", 400, "outside the photo, which has 1500 × 1000"),
        ("/photo/1/seen?x=-1&y=5&strength=3", 400, "outside the photo"),
        ("/photo/1/seen?x=nan&y=5&strength=3", 400, "the strength goes from 0 to 8"),
        ("/photo/1/seen?x=5&y=5&strength=80", 400, "the strength goes from 0 to 8"),
        ("/photo/1/seen?x=5&strength=3", 400, "x, y and strength are numbers"),
        ("/photo/1/seen?x=5&y=5&mm=50", 400, "x, y and strength are numbers"),
        ("/photo/1/seen?x=5&y=5&f=0.1&mm=50", 400, "the f-number goes from 0.5 to 64"),
        ("/photo/1/seen?x=5&y=5&f=2&mm=0", 400, "the focal length in mm goes from 4 to 3000"),
        ("/photo/1/seen?x=5&y=5&f=2", 400, "an f-number needs the focal length"),
        ("/photo/1/seen?x=5&y=5&f=inf&mm=50", 400, "the strength goes from 0 to 8"),
        ("/photo/2/seen?x=5&y=5&strength=3", 404, "no longer here"),
        ("/photo/..%2f/depth", 404, ""),
    ],
)
def test_what_cannot_be_shown_says_why(photos: PagePhotos, path: str, status: int, said: str) -> None:
    answer = ask(make_refocus_app(page_of(photos)), path)
    assert (answer.status, said in answer.body.decode()) == (status, True)


def test_who_may_not_ask_is_refused(photos: PagePhotos) -> None:
    app = make_refocus_app(page_of(photos))
    assert ask(app, "/", headers={"host": "evil.example"}).status == 403
    assert ask(app, "/photos", headers={"sec-fetch-site": "cross-site"}).status == 403
    assert ask(app, "/photo/1/full", "POST", {TOKEN_HEADER: "guessed"}, b"x=1&y=1&strength=3").status == 403
    assert ask(app, "/photos?name=a", "POST", {"content-length": "1000001"}, b"").status == 403


def test_depth_that_is_unknown_flat_or_of_another_picture_is_told() -> None:
    rgb, depth, _ = photo()
    bad = {
        "no pixel has a depth": np.full_like(depth.disparity, 0.0),
        "flat": np.ones_like(depth.disparity),
        "of another picture": depth.disparity.T.copy(),
    }
    photos = PagePhotos()
    for said, disparity in bad.items():
        key = photos.add("me", lambda disparity=disparity: PhotoAndDepth(rgb, DepthMap(disparity, True)))
        answer = ask(make_refocus_app(page_of(photos)), f"/photo/{key}")
        assert (answer.status, said in answer.body.decode()) == (400, True)


def test_a_photo_that_is_dropped_is_checked_and_older_ones_make_room(tmp_path: Path) -> None:
    class Half:
        def depth(self, photo: Path, rgb: np.ndarray, read: object) -> DepthMap:
            found = np.full(rgb.shape[:2], 0.5, np.float32)
            found[:, : rgb.shape[1] // 2] = 1.0
            return DepthMap(found, False)

    inspectors = Inspectors(1)
    try:
        source = PagePictures(Home(tmp_path), None, PhotosSection(), inspectors, Half(), predicts=True)
        photos = PagePhotos(source.dropped())
        page = page_of(photos)
        app, token = make_refocus_app(page), {TOKEN_HEADER: page.token.value}
        assert b'id="file"' in ask(app, "/").body
        refused = ask(app, "/photos?name=a.jpg", "POST", token, b"<html>")
        assert (refused.status, b"not_an_image" in refused.body) == (400, True)
        assert ask(app, "/photos?name=a.jpg", "POST", {}, b"").status == 403
        stream = io.BytesIO()
        Image.fromarray(photo().rgb[:80, :120]).save(stream, "PNG")
        keys = [ask(app, "/photos?name=a.png", "POST", token, stream.getvalue()) for _ in range(KEPT_DROPPED + 1)]
        assert keys[0].body == b'{"key":"1","name":"a.png"}'
        assert ask(app, "/photo/1").status == 404
        assert b'"width":120,"height":80,"depth":"relative depth' in ask(app, "/photo/2").body
        relative = ask(app, "/photo/2/seen?x=5&y=5&f=2&mm=50")
        assert (relative.status, b"an f-number needs depth in metres" in relative.body) == (400, True)
    finally:
        inspectors.close()


def own_photo(photo_id: str, file: str) -> pd.DataFrame:
    """The table `imports` of one photo."""
    numbers = dict.fromkeys(["size_bytes", "width_px", "height_px", "frames", "imported_at_s"], 1)
    row = {"photo_id": photo_id, "file": file, "domain": "ordinary", "sha256": "0" * 64, "format": "JPEG", **numbers}
    return conform("imports", pd.DataFrame([row]))


def test_photos_of_the_home_are_listed_where_they_are_kept_and_have_depth(tmp_path: Path) -> None:
    home = home_of_pictures(tmp_path, 4)
    unique = home.tables.read("unique_photos").sort_values("photo_id")
    (tmp_path / "bokehflow.toml").write_text("[domains.ordinary]\n[domains.shallow]\n")
    decided = [{"photo_id": row.photo_id, "sha256": row.sha256, "decision": "keep"} for row in unique.itertuples()]
    decided[1]["decision"] = "drop"
    home.tables.write("curated_photos", fill("curated_photos", decided))
    slope = np.tile(np.linspace(0.3, 1, 96, dtype=np.float32), (96, 1))
    for row in decided[:3]:
        path = home.depth / "imported" / str(row["sha256"])[:2] / f"{row['sha256']}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(map_png(*encoded(DepthMap(slope, True))))
    inspectors = Inspectors(1)
    try:
        pictures = PagePictures(home, None, PhotosSection(), inspectors, None, predicts=False)
        kept = pictures.kept()
        assert kept is not None
        found = {name: key for key, name in kept.named("")}
        assert list(found) == ["flickr:0", "flickr:2"]
        assert kept.named("R:2") == [(found["flickr:2"], "flickr:2")]
        home.tables.write("imports", own_photo("flickr:0", "holidays/IMG_7.HEIC"))
        assert kept.named("img_7") == kept.named("R:0") == [(found["flickr:0"], "IMG_7.HEIC")]
        assert kept.find(found["flickr:0"])[0] == "IMG_7.HEIC"
        home.tables.write("imports", own_photo("flickr:0", "68").assign(title="6036-v2"))
        assert kept.named("036") == [(found["flickr:0"], "6036-v2")]
        name, opened = kept.find(found["flickr:2"])
        (rgb, depth, _) = opened()
        assert name == "flickr:2"
        assert (rgb.shape, depth.is_metric) == ((96, 96, 3), True)
        assert np.allclose(depth.disparity, slope, atol=1e-3)
        assert pictures.dropped() is None
    finally:
        inspectors.close()


def test_where_nobody_estimates_depth_a_dropped_photo_is_refused(photos: PagePhotos) -> None:
    with pytest.raises(DepthError, match=r"nobody estimates depth.*--model"):
        photos.drop("a.png", b"")


def test_names_of_files_are_plain() -> None:
    names = {"a b/../ü.jpg": "a_b_ü", "flickr:12": "flickr_12", "...": "photo"}
    assert {name: OpenPhoto(name, *photo()).file_stem for name in names} == names


# --- in a browser


@pytest.fixture
def address(photos: PagePhotos) -> Iterator[str]:
    with served(photos) as address:
        yield address


@contextmanager
def served(photos: PagePhotos) -> Iterator[str]:
    listening = server.listen(0)
    door = Door(listening.getsockname()[1])
    running = server.make_server(make_refocus_app(page_of(photos, door.port)), door)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield door.address
    finally:
        running.should_exit = True
        thread.join(20)
        listening.close()


def shown(page: Page) -> np.ndarray:
    """The picture on the screen, once it rests."""
    page.wait_for_selector("#stage[data-shown=rest]", timeout=60_000)
    data = page.evaluate(
        """() => { const drawn = document.createElement("canvas"), seen = document.getElementById("seen");
        [drawn.width, drawn.height] = [seen.naturalWidth, seen.naturalHeight];
        drawn.getContext("2d").drawImage(seen, 0, 0); return drawn.toDataURL().split(",")[1]; }"""
    )
    return picture(base64.b64decode(data))


def click(page: Page, place: tuple[float, float]) -> np.ndarray:
    box = page.locator("#seen").bounding_box()
    assert box is not None
    page.evaluate("delete document.getElementById('stage').dataset.shown")
    page.mouse.click(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])
    return shown(page)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_what_is_clicked_is_sharp_and_saved_as_it_is_seen(address: str, tmp_path: Path) -> None:
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 850})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        shown(page)
        face, backdrop = click(page, FACE), click(page, BACKDROP)
        assert detail(face, FACE) > 5 * detail(face, BACKDROP)
        assert detail(backdrop, BACKDROP) > 5 * detail(backdrop, FACE)
        assert "in focus 3 m" in page.inner_text("#say")
        with page.expect_download() as saving:
            page.keyboard.press("s")
        saving.value.save_as(tmp_path / "saved.png")
        assert saving.value.suggested_filename == "me_you-refocused.png"
        assert page.input_value("#f-number") == "", "no focal length is known"
        assert not page.is_visible("#find"), "there is one photo"
        page.evaluate("delete document.getElementById('stage').dataset.shown")
        page.fill("#focal", "50")
        page.fill("#f-number", "1.4")
        page.keyboard.press("Tab")
        page.wait_for_function("() => document.getElementById('percent').value !== '3.0 %'")
        camera = lens_of_full_frame(photo().depth.disparity, 1 / 3, 50, 1.4).px_per_dioptre * (2 / 3) / HEIGHT_PX * 100
        assert page.locator("#percent").evaluate("one => one.value") == f"{camera:.1f} %"
        page.focus("#stage")
        page.keyboard.press("]")
        page.wait_for_function("() => document.getElementById('f-number').value !== '1.4'")
        page.keyboard.press("o")
        page.wait_for_function("document.getElementById('compare').ariaPressed === 'true'")
        page.focus("#stage")
        page.evaluate("delete document.getElementById('stage').dataset.shown")
        page.keyboard.press("Shift+ArrowRight")
        original = shown(page)
        browser.close()
    assert not said
    saved = picture((tmp_path / "saved.png").read_bytes())
    assert saved.shape == (HEIGHT_PX, WIDTH_PX, 3)
    smaller = cv2.resize(saved, (backdrop.shape[1], backdrop.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(smaller.astype(float) - backdrop).mean() < TOLERANCE
    assert min(detail(original, FACE), detail(original, BACKDROP)) > 5 * detail(face, BACKDROP)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_of_many_the_one_asked_for_last_is_shown_and_after_a_reload_too() -> None:
    held: list[Route] = []
    with served(PagePhotos(collection=Many())) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 800, "height": 600})
        page.route(f"**/photo/{3:064x}", lambda route: held.append(route))
        page.goto(address)
        shown(page)
        page.select_option("#photo", f"{3:064x}")
        page.select_option("#photo", f"{4:064x}")
        page.wait_for_function("() => !document.getElementById('stage').disabled")
        with page.expect_response(f"**/photo/{3:064x}"):
            held[0].continue_()
        page.evaluate("() => new Promise(done => setTimeout(done))")
        assert page.get_attribute("#seen", "alt") == "flickr:4, refocused"
        page.fill("#find", "r:777")
        page.keyboard.press("Enter")
        page.wait_for_selector("#seen[alt='flickr:777, refocused']")
        page.reload()
        page.wait_for_selector("#seen[alt='flickr:777, refocused']")
        browser.close()


def test_the_screen_shows_what_is_saved() -> None:
    """Also where discs are large, and the screen's are less round."""
    opened = OpenPhoto("me", *photo())
    for place, percent in ((FACE, 1.0), (FACE, 8.0), (BACKDROP, 4.0)):
        setting = Setting(place[0] * WIDTH_PX, place[1] * HEIGHT_PX, percent)
        seen, saved = opened.shown(setting, SCREEN_EDGE_PX), opened.saved(setting)
        smaller = cv2.resize(saved, (seen.shape[1], seen.shape[0]), interpolation=cv2.INTER_AREA)
        assert np.abs(smaller.astype(float) - seen).mean() < TOLERANCE

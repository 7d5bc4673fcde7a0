"""The review page in a browser: fifty photos by keyboard, reloads and kills, undo, two people at once, narrow and dark."""

import csv
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, Route, sync_playwright

from pipeline.curation.decisions import opinions, read_decisions
from pipeline.curation.review.state import LEAVE_S
from pipeline.operations.emulated_flickr import free_ports
from storage import Home
from tests.conftest import WARM_PYTHON
from tests.contrast import CONTRAST
from tests.pipeline.curation.review.worlds import NASTY_TITLES, make_home, photo_id

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
DOMAINS = {"ordinary", "shallow"}

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


@dataclass
class Server:
    """`bokehflow review` in a process of its own, which can be killed and started again on the same port."""

    home: Home
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """What stands in the address that was printed last, nothing before."""
        return ["", *re.findall(r"review page on \S+\?token=(\S+)", (self.home.root / "review.log").read_text())][-1]

    def start(self) -> None:
        command = [
            os.environ[WARM_PYTHON], "-m", "pipeline.cli", "review", "--home", str(self.home.root), "--port", str(self.port),
            "--curator", "Ann",
        ]  # fmt: skip
        with (self.home.root / "review.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.answers, 120)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home.root / "review.log").read_text()
        try:
            return requests.get(f"{self.address}/session", headers={"Authorization": f"Bearer {self.token}"}, timeout=5).ok
        except requests.RequestException:
            return False

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def kill(self) -> None:
        """With kill -9, which whoever asked the warm server for the process cannot pass on."""
        assert self.process is not None
        for one in psutil.net_connections("tcp"):
            if one.status == "LISTEN" and one.laddr[1] == self.port and one.pid:
                os.kill(one.pid, signal.SIGKILL)
        assert self.process.wait(30) == -signal.SIGKILL


def wait_until(true: Callable[[], bool], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"waited for {timeout_s} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("made"), count=64).root


@pytest.fixture
def server(made: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(made, tmp_path / "home")
    running = Server(Home(tmp_path / "home"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def shared_server(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that several tests look at; what they decide does not matter."""
    root = tmp_path_factory.mktemp("shared") / "home"
    shutil.copytree(made, root)
    running = Server(Home(root))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
    try:
        yield launched
    finally:
        launched.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """One that shows nothing yet and knows nothing of other tests, since each window has cookies of its own."""
    yield chromium
    for window in chromium.contexts:
        window.close()


def opened(browser: Browser, server: Server, path: str, **options: object) -> Page:
    """A page of a browser window of its own; whatever its console says fails the test in the end."""
    page = browser.new_context(**options).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the page's script failed: {error}"))
    page.goto(f"{server.address}{path}{'&' if '?' in path else '?'}token={server.token}")
    return page


def current(page: Page) -> str:
    """The photo that a key would decide."""
    return page.evaluate("document.querySelector('#decide [name=photo_id]')?.value ?? ''")


ANOTHER_PHOTO = "before => document.querySelector('#decide [name=photo_id]')?.value !== before"


def press(page: Page, key: str) -> None:
    """Press a key that decides, and wait for the next photo."""
    before = current(page)
    page.keyboard.press(key)
    page.wait_for_function(ANOTHER_PHOTO, arg=before)


def rows(home: Home) -> list[dict[str, str]]:
    """All rows of the pages' files, in the order in which they were written."""
    found = []
    for path in home.reviewed.glob("review-page-*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            found += list(csv.DictReader(file))
    return sorted(found, key=lambda row: row["decided_at"])


def holding(home: Home) -> dict[str, tuple[str, str | None]]:
    decisions, problems = read_decisions(home.reviewed, {photo_id(number) for number in range(64)}, DOMAINS)
    assert not problems
    return {word.photo_id: (word.decision, word.reason or word.move_to) for word in opinions(decisions)}


KEYS = {
    "k": ("keep", None), "1": ("drop", "wrong_tag"), "2": ("drop", "unfit_blur"), "3": ("drop", "no_person"),
    "4": ("drop", "edited"), "5": ("drop", "inappropriate"),
}  # fmt: skip


def test_fifty_photos_by_keyboard_alone_each_on_the_disk_before_the_next_shows(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/single")
    expected = {}
    for number in range(50):
        assert current(page) == photo_id(number)
        key = "kk1k2k3k4k5"[number % 11]
        expected[photo_id(number)] = KEYS[key]
        press(page, key)
        assert holding(server.home)[photo_id(number)] == KEYS[key]
    assert holding(server.home) == expected
    assert len(rows(server.home)) == 50
    assert "50 of 64" in page.inner_text("#progress")
    assert "an hour" in page.inner_text("#progress")
    seen = page.evaluate("document.querySelector('img.photo').complete && document.querySelector('img.photo').naturalWidth")
    assert seen > 0


def test_the_grid_by_keyboard_alone(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/grid")
    for key in "k3m":
        press(page, key)
    page.keyboard.press("6")
    page.keyboard.type("a k4 doll")
    press(page, "Enter")
    page.keyboard.press("ArrowRight")
    assert current(page) == photo_id(5)
    page.keyboard.press("ArrowLeft")
    press(page, "s")
    assert [(row["photo_id"], row["decision"], row["reason"], row["note"]) for row in rows(server.home)] == [
        (photo_id(0), "keep", "", ""), (photo_id(1), "drop", "no_person", ""), (photo_id(2), "move", "", ""),
        (photo_id(3), "drop", "other", "a k4 doll"), (photo_id(4), "skip", "", ""),
    ]  # fmt: skip
    assert page.inner_text(".card:nth-child(1) .badge") == "Kept"
    page.keyboard.press("]")
    page.wait_for_url("**start=**")
    assert len(page.query_selector_all(".card")) == 30
    assert current(page) == photo_id(30)
    page.keyboard.press("Enter")
    page.wait_for_selector("#stage")
    assert current(page) == photo_id(30)


def test_who_has_decided_everything_is_told_so_and_what_comes_next(browser: Browser, tmp_path: Path) -> None:
    running = Server(make_home(tmp_path / "home", count=1))
    try:
        running.start()
        page = opened(browser, running, "/grid")
        page.keyboard.press("k")
        page.wait_for_function("() => document.querySelector('#say').textContent.includes('Everything is decided')")
        page.keyboard.press("]")
        page.wait_for_selector(".nothing")
        assert "bokehflow run makes the dataset" in page.inner_text(".nothing")
    finally:
        running.stop()


@pytest.fixture
def server_of_three(made: Path, tmp_path: Path) -> Iterator[Server]:
    """One of a project with a third domain, in which nobody is looked for."""
    shutil.copytree(made, tmp_path / "home")
    config = tmp_path / "home" / "bokehflow.toml"
    config.write_text(config.read_text() + '\n[domains.engravings]\n\n[masks]\nsegmenter = "none"\n')
    running = Server(Home(tmp_path / "home"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_with_three_domains_m_and_a_number_move(browser: Browser, server_of_three: Server) -> None:
    page = opened(browser, server_of_three, "/single")
    domain = page.get_attribute("[data-move][hidden]", "data-move") or page.inner_text(".domain")
    others = [one for one in ("engravings", "ordinary", "shallow") if one != domain]
    page.keyboard.press("m")
    assert page.inner_text("#say") == f"Move to which? 1 {others[0]} · 2 {others[1]}"
    page.keyboard.press("Escape")
    assert page.inner_text("#say") == "Not moved"
    assert not rows(server_of_three.home)
    page.keyboard.press("m")
    press(page, "2")
    press(page, "1")  # a reason again, as ever
    told = [(row["decision"], row["move_to"], row["reason"]) for row in rows(server_of_three.home)]
    assert told == [("move", others[1], ""), ("drop", "", "wrong_tag")]
    buttons = page.eval_on_selector_all("[name=verdict]", "found => found.map(one => one.value)")
    assert not {"drop:no_person", "drop:unfit_blur"} & set(buttons), "nobody is looked for"
    assert "Person covers" not in page.content()
    assert page.locator("#overlay, #brush").count() == 0
    page.evaluate("sessionStorage.setItem('masked', 'true')")  # as another project on this port may leave it
    page.reload()
    page.keyboard.press("o")
    press(page, "k")


def test_a_half_given_key_does_not_stay_for_the_next_photo(browser: Browser, server_of_three: Server) -> None:
    for path in ("/single", "/grid"):
        page = opened(browser, server_of_three, path)
        page.wait_for_function("() => document.querySelector('#decide [name=photo_id]')?.value")
        written = len(rows(server_of_three.home))
        for key, onward in (("m", "1"), ("6", "Enter")):
            before = current(page)
            page.keyboard.press(key)
            if key == "m":
                page.keyboard.press("ArrowRight")
            elif path == "/grid":
                page.locator(f".card:not([data-photo='{before}'])").last.focus()
            else:
                page.click(".steps [data-step='1']")
            page.wait_for_function(ANOTHER_PHOTO, arg=before)
            if onward == "Enter":
                page.keyboard.press("n")
                page.keyboard.type("lovely light")
                page.keyboard.press(onward)
                assert page.inner_text("#say") == "The note goes with your next decision"
            else:
                press(page, onward)
        found = [(row["decision"], row["reason"], row["note"]) for row in rows(server_of_three.home)[written:]]
        assert found == [("drop", "wrong_tag", "")], path
        page.close()


def test_a_mask_is_drawn_taken_back_and_saved(browser: Browser, server: Server) -> None:
    page = opened(browser, server, f"/single?photo={photo_id(1)}&status=all", viewport={"width": 1280, "height": 900})
    page.keyboard.press("b")
    page.wait_for_selector("canvas")
    page.wait_for_function("() => document.querySelector('#say').textContent.startsWith('Draw')")
    box, said, tools = (page.locator(where).bounding_box() for where in ("canvas", "#say", "#brush-tools"))
    assert box is not None
    assert said is not None
    assert tools is not None
    assert said["y"] + said["height"] <= tools["y"]
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def stroke(across_px: int, down_px: int) -> None:
        page.mouse.move(middle[0] - across_px, middle[1] + down_px)
        page.mouse.down()
        page.mouse.move(middle[0] + across_px, middle[1] + down_px, steps=4)
        page.mouse.up()

    stroke(60, 0)
    page.keyboard.press("r")
    page.keyboard.press("+")
    stroke(10, 0)
    stroke(80, 80)
    page.keyboard.press("u")
    page.keyboard.press("k")
    assert current(page) == photo_id(1)
    if folder := os.environ.get("REVIEW_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/brush.png")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#say').textContent.includes('mask is saved')")
    page.wait_for_selector("img.overlay")
    assert not page.is_visible("canvas")
    (path,) = server.home.drawn_masks.iterdir()
    with Image.open(path) as image:
        alpha, author = np.asarray(image), image.info["drawn_by"]
    height_px, width_px = alpha.shape
    assert author == "Ann"
    assert alpha[height_px // 2, width_px // 2] == 0
    assert 0.002 < (alpha > 127).mean() < 0.2
    page.keyboard.press("b")
    page.wait_for_selector("canvas")
    page.keyboard.press("Escape")
    assert not page.is_visible("canvas")
    page.keyboard.press("k")
    page.wait_for_function(f"() => document.querySelector('main').dataset.photo !== '{photo_id(1)}'")


def test_a_key_shows_the_depth_of_a_photo_with_its_legend(browser: Browser, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "home")
    server = Server(Home(tmp_path / "home"))
    config, given = server.home.root / "bokehflow.toml", server.home.root / "given"
    config.write_text(config.read_text() + '\n[depth]\nestimator = "folder"\nfolder = "given"\nunit = "m"\n')
    given.mkdir()
    queue = server.home.tables.read("review_queue").set_index("photo_id")
    with Image.open(server.home.blobs.path(queue.loc[photo_id(1), "sha256"])) as image:
        across = np.linspace(1, 3, image.width)
        np.save(given / f"{photo_id(1).replace(':', '_')}.npy", np.tile(across, (image.height, 1)))
    try:
        server.start()
        page = opened(browser, server, f"/single?photo={photo_id(1)}&status=all", viewport={"width": 1280, "height": 900})
        page.keyboard.press("d")
        page.wait_for_selector("#legend:not([hidden])")
        page.wait_for_function("() => document.querySelector('img.depth').naturalWidth > 0")
        assert page.inner_text("#legend").split("\n") == ["2.98 m", "1.02 m"]
        assert page.get_attribute("#depth", "aria-pressed") == "true"
        boxes = [page.locator(f"img.{name}").bounding_box() for name in ("photo", "depth")]
        assert boxes[0] == boxes[1]
        if folder := os.environ.get("REVIEW_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/depth.png")
        with page.expect_popup() as opening:
            page.keyboard.press("l")
        lens = opening.value
        lens.wait_for_selector("#stage[data-shown=rest]", timeout=60_000)
        assert lens.locator("#photo option:checked").inner_text() == photo_id(1)
        assert lens.inner_text("#trouble") == ""
        assert "in focus" in lens.inner_text("#say")
        if folder := os.environ.get("REVIEW_SCREENSHOTS"):
            lens.screenshot(path=f"{folder}/refocus.png")
        lens.close()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => document.querySelector('#say').textContent.includes('no map of depth')")
        assert not page.is_visible("#legend")
        assert page.locator("img.depth").count() == 0
        page.keyboard.press("d")
        assert page.get_attribute("#depth", "aria-pressed") == "false"
        page.keyboard.press("?")
        assert "the nearer the brighter" in page.inner_text("#help")
    finally:
        server.stop()


def test_looking_closely_by_keyboard(browser: Browser, server: Server) -> None:
    page = opened(browser, server, f"/single?photo={photo_id(1)}&status=all")
    page.keyboard.press("z")
    page.wait_for_function("() => document.querySelector('img.photo').src.includes('/original/')")
    assert page.evaluate("document.querySelector('img.photo').getBoundingClientRect().width") == page.evaluate(
        "Number(document.querySelector('img.photo').getAttribute('width'))"
    )
    page.keyboard.press("Escape")
    assert "zoomed" not in str(page.get_attribute("#stage", "class"))
    page.keyboard.press("o")
    page.wait_for_function("() => document.querySelector('#say').textContent.includes('no mask')")
    assert "looks the same" in page.inner_text(".duplicates")
    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("document.activeElement.textContent") == "Close"
    page.keyboard.press("k")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    page.keyboard.press("f")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"() => document.querySelector('main').dataset.photo === '{photo_id(2)}'")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"() => document.querySelector('main').dataset.photo === '{photo_id(1)}'")
    assert rows(server.home) == []


def test_undo_by_keyboard_is_a_newer_row(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/single")
    for key in "k4k":
        press(page, key)
    press(page, "u")
    assert current(page) == photo_id(2)
    press(page, "u")
    assert current(page) == photo_id(1)
    press(page, "k")
    assert current(page) == photo_id(2)
    assert holding(server.home) == {photo_id(0): ("keep", None), photo_id(1): ("keep", None)}
    assert [(row["decision"], row["note"]) for row in rows(server.home)] == [
        ("keep", ""), ("drop", ""), ("keep", ""), ("skip", "undo: keep"), ("skip", "undo: drop (edited)"), ("keep", ""),
    ]  # fmt: skip


def test_the_back_button_shows_what_was_shown_before(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/grid")
    for first in (30, 60):
        press(page, "]")
        assert current(page) == photo_id(first)
    for there, first in ((page.go_back, 30), (page.go_back, 0), (page.go_forward, 30)):
        there()
        page.wait_for_function("photo => document.querySelector('.card').dataset.photo === photo", arg=photo_id(first))
    assert page.inner_text("#say") == "Photos 31–60 of 64"
    page.goto(f"{server.address}/single")
    for key in "kk":
        press(page, key)
    page.go_back()
    page.wait_for_selector(f"main[data-photo='{photo_id(1)}']")
    assert page.inner_text("#standing").startswith("Kept")
    press(page, "4")
    assert current(page) == photo_id(2), "one goes on where one was"
    press(page, "ArrowLeft")
    assert current(page) == photo_id(1)
    assert holding(server.home) == {photo_id(0): ("keep", None), photo_id(1): ("drop", "edited")}


def test_a_key_decides_the_photo_that_one_sees(browser: Browser, server: Server) -> None:
    page = browser.new_context().new_page()
    held: list[Route] | None = []

    def hold(route: Route) -> None:
        if held is None or route.request.resource_type != "fetch":
            route.continue_()
        else:
            held.append(route)

    page.route("**/single?photo=*", hold)
    page.goto(f"{server.address}/single?token={server.token}")
    page.keyboard.press("k")
    page.wait_for_function("() => document.querySelector('#progress').textContent.startsWith('1 of 64')")
    page.keyboard.press("4")  # meant for the next photo, which is still on its way
    page.evaluate("() => new Promise(done => setTimeout(done))")
    waiting, held = held, None
    for route in waiting:
        route.continue_()
    page.wait_for_function(ANOTHER_PHOTO, arg=photo_id(0))
    press(page, "s")
    told = [(row["photo_id"], row["decision"]) for row in rows(server.home)]
    assert told == [(photo_id(0), "keep"), (photo_id(1), "skip")]


def test_two_tabs_of_a_browser_know_what_was_decided_in_the_other(browser: Browser, server: Server) -> None:
    one = opened(browser, server, "/grid")
    with one.expect_response("**/state?*", timeout=10_000):  # the next 30 are there in advance by then
        one.wait_for_load_state("networkidle")
    other = one.context.new_page()
    other.goto(f"{server.address}/grid?start={photo_id(30)}")
    press(other, "k")
    one.wait_for_function("() => document.querySelector('#progress').textContent.startsWith('1 of 64')")
    one.keyboard.press("]")
    one.wait_for_function("photo => document.querySelector('.card').dataset.photo === photo", arg=photo_id(31))


def test_reload_and_kill_lose_no_decision(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/single")
    for number in range(4):
        press(page, "k")
        page.reload()
        assert current(page) == photo_id(number + 1)
    server.kill()
    page.keyboard.press("2")
    page.wait_for_selector("#trouble:not([hidden])")
    assert current(page) == photo_id(4)
    assert "not saved yet" in page.inner_text("#trouble")
    server.start()
    page.wait_for_function(f"() => document.querySelector('main').dataset.photo === '{photo_id(5)}'", timeout=60_000)
    assert page.is_hidden("#trouble")
    assert holding(server.home)[photo_id(4)] == ("drop", "unfit_blur")
    page.keyboard.press("k")
    server.kill()
    server.start()
    page.wait_for_function(f"() => document.querySelector('main').dataset.photo === '{photo_id(6)}'", timeout=60_000)
    page.reload()
    assert set(holding(server.home)) == {photo_id(number) for number in range(6)}
    assert len(rows(server.home)) == 6


def test_who_closes_the_page_before_a_decision_is_saved_is_asked(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/single")
    page.on("dialog", lambda dialog: dialog.dismiss())
    server.kill()
    page.keyboard.press("2")
    page.wait_for_selector("#trouble:not([hidden])")
    with page.expect_event("dialog", timeout=10_000) as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    server.start()
    page.wait_for_function(ANOTHER_PHOTO, arg=photo_id(0), timeout=60_000)
    assert holding(server.home) == {photo_id(0): ("drop", "unfit_blur")}
    with page.expect_event("close"):
        page.close(run_before_unload=True)


def test_two_people_at_once_lose_nothing_and_share_no_photo(browser: Browser, server: Server) -> None:
    ann, ben = opened(browser, server, "/single"), opened(browser, server, "/single")
    sit_down(ben, "Ben")
    assert current(ann) != current(ben)
    for _ in range(8):
        press(ann, "k")
        press(ben, "3")
    written = rows(server.home)
    assert len({row["photo_id"] for row in written}) == len(written) == 16
    assert sorted(row["curator"] for row in written) == ["Ann"] * 8 + ["Ben"] * 8
    ann.wait_for_function("() => document.querySelector('#progress').textContent.includes('16 of 64')", timeout=30_000)
    seen = current(ann)
    ben.goto(f"{server.address}/single?photo={seen}&status=all")
    assert current(ben) != seen  # Ann is at it
    press(ann, "k")
    assert holding(server.home)[seen] == ("keep", None)
    assert len(rows(server.home)) == 17


def test_two_people_decide_the_share_blind_and_a_conflict_is_settled(browser: Browser, server: Server) -> None:
    server.stop()
    with (server.home.root / "bokehflow.toml").open("a") as file:
        file.write("\n[curation]\ndouble_review = 1.0\n")
    server.start()
    ann, ben = opened(browser, server, "/single"), opened(browser, server, "/single")
    sit_down(ben, "Ben")
    first = current(ann)
    press(ann, "k")
    assert holding(server.home)[first] == ("keep", None)
    before = current(ben)
    press(ben, "k")
    assert current(ben) == first != before  # right after a decision; held for nobody but him
    assert ben.inner_text("#standing") == "Undecided"
    press(ben, "4")
    ann.wait_for_selector("#conflicts:has-text('1 conflict')")
    if folder := os.environ.get("REVIEW_SCREENSHOTS"):
        ann.screenshot(path=f"{folder}/double.png")
    ann.click("#conflicts")
    ann.wait_for_selector("[data-status=conflict]")
    assert current(ann) == first
    assert "Kept, by Ann" in ann.inner_text("#standing")
    assert "Dropped: edited, by Ben" in ann.inner_text("#standing")
    if folder:
        ann.screenshot(path=f"{folder}/conflict.png")
    sit_down(ann, "Cem")
    ann.wait_for_load_state("networkidle")
    ann.wait_for_function("photo => document.querySelector('#decide [name=photo_id]')?.value === photo", arg=first)
    ann.keyboard.press("k")
    ann.wait_for_selector("#conflicts[hidden]", state="attached")
    said = [(row["curator"], row["decision"]) for row in rows(server.home) if row["photo_id"] == first]
    assert said == [("Ann", "keep"), ("Ben", "drop"), ("Cem", "keep")]


def test_a_page_that_is_left_lets_its_photos_go(browser: Browser, server: Server) -> None:
    ann, ben = opened(browser, server, "/grid"), opened(browser, server, "/grid")
    left = current(ann)
    assert left not in [card.get_attribute("data-photo") for card in ben.query_selector_all(".card")]
    ann.goto("about:blank")
    ben.wait_for_timeout(1000 * (LEAVE_S + 1))
    ben.goto(f"{server.address}/single")
    assert current(ben) == left


def sit_down(page: Page, name: str) -> None:
    """Write the name into the page."""
    page.click("#curator summary")
    page.fill("#curator input[name=curator]", name)
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#curator summary:has-text('{name}')")


@pytest.mark.parametrize("path", ["/grid", "/single"])
def test_no_window_is_too_narrow(browser: Browser, shared_server: Server, path: str) -> None:
    page = opened(browser, shared_server, path)
    for width_px in (320, 390, 700, 1000, 1280, 1440):
        page.set_viewport_size({"width": width_px, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width_px
        for button in page.query_selector_all(".bar button:visible"):
            box = button.bounding_box()
            assert box is not None
            inside = box["x"] >= 0 and box["x"] + box["width"] <= width_px and box["y"] + box["height"] <= 700
            assert inside, (width_px, button.inner_text(), box)
        page.wait_for_function(COVERS_NOTHING, timeout=5000)


COVERS_NOTHING = """() => {
  scrollTo(0, document.body.scrollHeight);
  const box = selector => document.querySelector(selector).getBoundingClientRect();
  const tops = [...document.querySelectorAll('.views a, .top summary, .top .help')].map(one => one.getBoundingClientRect());
  return box('footer').bottom <= box('.bar').top && tops.every(one => one.top >= 0 && one.bottom <= box('.top').bottom);
}"""


def test_what_is_typed_into_the_filters_decides_nothing_and_finds_a_photo(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/grid", viewport={"width": 360, "height": 700})
    focus = """() => {
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "f", bubbles: true }));
      return document.activeElement.name;
    }"""
    assert page.evaluate(focus) == "find", "before another key can come"
    page.keyboard.type("k17")
    assert page.input_value("#filters [name=find]") == "k17"
    page.fill("#filters [name=find]", "17")
    show = page.locator("#filters .primary")
    show.scroll_into_view_if_needed()
    box, bar = show.bounding_box(), page.locator(".bar").bounding_box()
    assert box is not None
    assert bar is not None
    assert box["y"] + box["height"] <= bar["y"], "a tap on it must not drop a photo"
    show.click()
    page.wait_for_selector(f"main[data-photo='{photo_id(16)}']")
    page.go_back()
    page.wait_for_selector(".card")
    assert rows(server.home) == []


def test_on_a_phone_a_note_says_what_is_wrong(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/single", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    before = current(page)
    page.locator("button[value='drop:other']").tap()
    page.keyboard.type("a poster")
    press(page, "Enter")
    assert [(row["photo_id"], row["reason"], row["note"]) for row in rows(server.home)] == [(before, "other", "a poster")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(browser: Browser, shared_server: Server, scheme: str) -> None:
    page = opened(browser, shared_server, "/grid?status=all", color_scheme=scheme)
    page.wait_for_selector(".card[aria-current]")
    page.keyboard.press("ArrowRight")
    for key in "k3ms":
        press(page, key)
    assert page.evaluate(CONTRAST) == []
    page.goto(f"{shared_server.address}/single?photo={photo_id(1)}&status=all")
    page.click("#filters summary")
    assert page.evaluate(CONTRAST) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(ground.split("(")[1].split(",")[0]) < 60) == (scheme == "dark")


def test_the_photo_does_not_move_while_one_decides(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/single", viewport={"width": 1280, "height": 800})
    places = set()
    for key in "k3ksk":
        boxes = [page.locator(where).bounding_box() for where in (".stage", ".bar .keep", "#undo button", ".bar .skip")]
        places.add(str(boxes))
        press(page, key)
    assert len(places) == 1


def test_a_slow_disk_is_told_of_while_keys_wait_for_it(browser: Browser, server: Server) -> None:
    page = opened(browser, server, "/single")
    held: list[Route] = []
    page.route("**/decide", lambda route: held.append(route))
    page.clock.install()
    page.keyboard.press("k")
    for _ in range(2):  # as long as it takes, and not for the seconds that other words stay
        page.clock.run_for(10_000)
        assert page.inner_text("#say.on") == "Saving …"
    page.clock.resume()
    assert current(page) == photo_id(0)
    held[0].continue_()
    page.wait_for_function(ANOTHER_PHOTO, arg=photo_id(0))
    assert page.inner_text("#say").startswith("Kept")


def test_where_colours_are_the_systems_what_is_chosen_shows(browser: Browser, shared_server: Server) -> None:
    page = opened(browser, shared_server, f"/single?photo={photo_id(3)}&status=all", forced_colors="active")
    page.keyboard.press("z")
    grounds = "all => all.map(one => getComputedStyle(one).backgroundColor.match(/[0-9]+/g).slice(0, 3).join())"
    for pair in (".views a", "#zoom, #overlay"):
        one, other = page.eval_on_selector_all(pair, grounds)
        assert one != other, pair


def test_a_picture_that_is_gone_is_said_to_be(browser: Browser, server: Server) -> None:
    tables = server.home.tables.read("review_queue").set_index("photo_id")["sha256"]
    server.home.blobs.path(tables[photo_id(1)]).unlink()
    page = opened(browser, server, f"/single?photo={photo_id(0)}&status=all")
    page.wait_for_function("() => document.querySelector('img.photo').naturalWidth")
    assert page.locator(".unseen").count() == 0
    for show in (lambda: page.keyboard.press("ArrowRight"), page.reload):
        show()
        page.wait_for_selector(f"main[data-photo='{photo_id(1)}']")
        page.wait_for_selector(".unseen")
        assert "this picture is missing; run `bokehflow run` to fetch it again" in page.inner_text(".unseen")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".unseen", state="detached")


SLOW_WORDS = """() => {
  const fetched = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await fetched(...asked);
    if (answer.status === 404 && answer.url.includes('/picture/')) {
      answer.text = () => { window.asked = true; return new Promise(done => { window.tell = () => done('gone'); }); };
    }
    return answer;
  };
}"""


def test_what_is_said_of_a_picture_that_is_gone_comes_to_no_other(browser: Browser, server: Server) -> None:
    tables = server.home.tables.read("review_queue").set_index("photo_id")["sha256"]
    server.home.blobs.path(tables[photo_id(1)]).unlink()
    page = opened(browser, server, f"/single?photo={photo_id(0)}&status=all")
    page.evaluate(SLOW_WORDS)
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => window.asked")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f"main[data-photo='{photo_id(0)}']")
    page.evaluate("() => { window.tell(); return new Promise(done => setTimeout(done)); }")
    assert page.locator(".unseen").count() == 0


def test_nasty_titles_run_nothing(browser: Browser, tmp_path: Path) -> None:
    running = Server(make_home(tmp_path / "home", count=8, titles=NASTY_TITLES))
    try:
        running.start()
        page = opened(browser, running, "/grid")
        assert page.title().startswith("Grid")
        for number in range(len(NASTY_TITLES)):
            page.goto(f"{running.address}/single?photo={photo_id(number)}&status=all")
            assert "owned" not in page.title().split("·")[-1]
            assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
        assert page.evaluate("document.querySelectorAll('script').length") == 1
    finally:
        running.stop()

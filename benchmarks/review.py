"""How soon the review page shows 30 photos of a queue of 100,000, in the server and in Chromium, and in how much memory.

The queue is made here: real tables, a few small pictures that many rows share, 20,000 decisions already made.
"""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import psutil
import requests
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from pipeline.curation.decisions import DECISION_COLUMNS
from pipeline.operations.emulated_flickr import free_ports
from pipeline.studio.pictures import PICTURES
from storage import Home

if TYPE_CHECKING:
    from playwright.sync_api import Page

QUEUED, DECIDED, PICTURES_USED = 100_000, 20_000, 60
PAGES, SINGLES, BROWSED = 60, 200, 12
PAGE_MS, GROWTH_MIB = 300, 40
ALL_SHOWN = "[...document.querySelectorAll('.picture img')].every(image => image.complete && image.naturalWidth)"
PROJECT = """\
[domains.ordinary]
queries = [{ text = "portrait" }]
[domains.shallow]
queries = [{ text = "portrait bokeh" }]
"""


def make_home(root: Path) -> Home:
    """A home with a queue of `QUEUED` photos, of which `DECIDED` are decided."""
    home, rng = Home(root), np.random.default_rng(0)
    (root / "bokehflow.toml").write_text(PROJECT, encoding="utf-8")
    digests = [_store(home, path) for path in sorted(PICTURES.glob("*/*[0-9].jpg"))[:PICTURES_USED]]
    n = np.arange(QUEUED)
    sha256 = np.array(digests)[n % len(digests)]
    photo_id = np.array([f"flickr:{4950000000 + number}" for number in n])
    words = np.array(["portrait", "bokeh", "girl", "street", "50mm", "light", "blackhair", "summer", "canon", "face"])
    tags = [" ".join(words[rng.integers(0, len(words), 9)]) for _ in n]
    domain = np.where(n % 2, "shallow", "ordinary")
    shares = {name: rng.random(QUEUED).round(3) for name in ("person_share", "cut_off", "subject_sharpness",
              "background_sharpness", "shallowness", "colourfulness", "drawn", "probability")}  # fmt: skip
    queue = pd.DataFrame({
        "photo_id": photo_id, "domain": domain, "batch": [f"batch-{1 + i // 500:04d}-x.csv" for i in n], "group": photo_id,
        "waiting": True, "position": n, "sha256": sha256, "width_px": 448, "height_px": 336,
        "thumbnail": [f"{digest[:2]}/{digest}.jpg" for digest in sha256],
        "page_url": [f"https://www.flickr.com/photos/someone/{number}/" for number in n],
        "title": [f"Portrait no. {number}, in the park" for number in n], "owner": "12345678@N00", "owner_name": "Somebody",
        "license": "CC BY 2.0", "tags": tags, "people": 1, "edited": 0.0, "inappropriate": None, "camera": "Apple iPhone 7",
        "software": None, "suggested_decision": ["keep" if i % 3 else None for i in n], "suggested_reason": None,
        "suggestion": ["one person" if i % 3 else None for i in n], **shares,
    })  # fmt: skip
    unique = queue[["photo_id", "domain", "sha256", "width_px", "height_px", "group"]]
    home.tables.write("review_queue", queue)
    home.tables.write("unique_photos", unique.assign(rule=None, measure=None, duplicate_of=None, split_key=photo_id))
    home.reviewed.mkdir(parents=True)
    for start in range(0, DECIDED, 4000):
        rows = pd.DataFrame({"photo_id": photo_id[start : start + 4000], "decision": "keep", "curator": "Ann"})
        times = [f"2026-01-{1 + start // 4000:02d}T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z" for i in range(4000)]
        rows = rows.assign(decided_at=times).reindex(columns=list(DECISION_COLUMNS))
        rows.to_csv(home.reviewed / f"review-page-ann-{start}.csv", index=False)
    return home


def _store(home: Home, path: Path) -> str:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    with home.blobs.temporary() as temporary:
        temporary.write_bytes(data)
        home.blobs.adopt(temporary, sha256)
    thumbnail = home.thumbnails / sha256[:2] / f"{sha256}.jpg"
    thumbnail.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(io.BytesIO(data))
    image.thumbnail((320, 320))
    image.save(thumbnail, quality=85)
    return sha256


def timed_ms(session: requests.Session, url: str) -> tuple[float, str]:
    """Milliseconds until the whole answer is there, and the answer."""
    start = time.perf_counter()
    answer = session.get(url, timeout=60)
    answer.raise_for_status()
    return (time.perf_counter() - start) * 1000, answer.text


def in_chromium(address: str, door: str) -> dict[str, float]:
    """Milliseconds from asking for a grid page until its 30 pictures are there, and from a key to the next photo."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        shown, opened = [], browser.new_page()
        opened.goto(door)
        kept = opened.context.storage_state()  # the cookie for the token in the address, and no picture
        for number in range(BROWSED):  # each in a fresh window, so that no picture comes from the browser's cache
            page = browser.new_page(viewport={"width": 1440, "height": 900}, storage_state=kept)
            page.goto(f"{address}/grid?start=flickr:{4950030000 + 900 * number}")
            shown.append(page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd"))
            page.close()
        page = browser.new_page(viewport={"width": 1440, "height": 900}, storage_state=kept)
        page.goto(f"{address}/grid?start=flickr:4950060000")
        turned = []
        for _ in range(BROWSED):
            page.wait_for_timeout(1500)  # a person looks at a page for longer than it takes to fetch the next
            turned.append(_until(page, "]", "document.querySelector('.card').dataset.photo", ALL_SHOWN))
        page.goto(f"{address}/single")
        decided = []
        for _ in range(40):
            decided.append(_until(page, "k", "document.querySelector('main').dataset.photo", "true"))
            page.wait_for_timeout(150)
        browser.close()
    return {
        "chromium_page_of_30_ms": round(statistics.median(shown), 1),
        "chromium_page_of_30_slowest_ms": round(max(shown), 1),
        "chromium_key_to_next_30_ms": round(statistics.median(turned), 1),
        "chromium_key_to_next_photo_ms": round(statistics.median(decided), 1),
    }


def _until(page: "Page", key: str, what: str, ready: str) -> float:
    """Milliseconds from pressing the key until `what` has changed and the page is `ready`, both JavaScript."""
    before = page.evaluate(f"() => {what}")
    page.evaluate("() => { window.pressed = performance.now(); }")
    page.keyboard.press(key)
    wait = f"before => {what} !== before && {ready} && performance.now() - window.pressed"
    return float(page.wait_for_function(wait, arg=before).json_value())


def printed_address(server: subprocess.Popen[str]) -> str:
    """The address, with its token, that `bokehflow review` prints once it listens."""
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"review page on (\S+)", line):
            return found[1]
    raise SystemExit("the review page did not start")


def main() -> None:
    """Serve the queue, page through it, decide, and report."""
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        home = make_home(Path(folder))
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "pipeline.cli", "review", "--home", folder, "--port", str(port), "--curator", "Ann"]
        start = time.perf_counter()
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        address = f"http://127.0.0.1:{port}"
        session = requests.Session()
        door = printed_address(server)
        timed_ms(session, door)
        first_s = time.perf_counter() - start
        process = psutil.Process(server.pid)
        try:
            figures, goals = _measure(session, address, door, process)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
        del home
    report(
        "review",
        {
            "load_of_the_machine": round(os.getloadavg()[0], 1),
            "queued": QUEUED,
            "already_decided": DECIDED,
            "start_to_first_page_s": round(first_s, 1),
            **figures,
        },
        goals,
    )


def _measure(
    session: requests.Session, address: str, door: str, process: psutil.Process
) -> tuple[dict[str, float | str], list[Goal]]:
    rng = np.random.default_rng(1)
    starts = [f"flickr:{4950000000 + int(number)}" for number in rng.integers(DECIDED, QUEUED - 100, PAGES)]
    grids = [timed_ms(session, f"{address}/grid?start={start}")[0] for start in starts]
    filtered = [timed_ms(session, f"{address}/grid?domain=shallow&min_shallowness=0.8&start={start}")[0] for start in starts]
    before_mib = process.memory_info().rss / 2**20
    for start in starts * 3:
        timed_ms(session, f"{address}/grid?status=all&start={start}")
    singles = [timed_ms(session, f"{address}/single?photo=flickr:{4950040000 + number}")[0] for number in range(SINGLES)]
    token = json.loads(timed_ms(session, f"{address}/session")[1])["token"]
    decisions = []
    for number in range(SINGLES):
        at = time.perf_counter()
        fields = {"photo_id": f"flickr:{4950040000 + number}", "verdict": "keep", "back": "/single"}
        headers = {"X-Review-Token": token, "Accept": "application/json"}
        session.post(f"{address}/decide", data=fields, headers=headers, timeout=60).raise_for_status()
        decisions.append((time.perf_counter() - at) * 1000)
    browsed = in_chromium(address, door)
    after_mib = process.memory_info().rss / 2**20
    figures: dict[str, float | str] = {
        "page_of_30_ms": round(statistics.median(grids), 1),
        "page_of_30_slowest_ms": round(max(grids), 1),
        "page_of_30_filtered_ms": round(statistics.median(filtered), 1),
        "single_view_ms": round(statistics.median(singles), 1),
        "decision_on_disk_ms": round(statistics.median(decisions), 1),
        "memory_mib": round(before_mib),
        "memory_after_mib": round(after_mib),
        **browsed,
    }
    shown = {
        "the server's slowest page of 30": figures["page_of_30_slowest_ms"],
        "the next 30 after a key, in Chromium": browsed.get("chromium_key_to_next_30_ms"),
        "30 in a fresh window of Chromium, nothing cached": browsed.get("chromium_page_of_30_ms"),
    }
    return figures, [
        *(Goal(f"{what} within {PAGE_MS} ms", ms, float(ms) < PAGE_MS) for what, ms in shown.items() if ms is not None),
        Goal(
            f"memory grows by less than {GROWTH_MIB} MiB",
            round(after_mib - before_mib, 1),
            after_mib - before_mib < GROWTH_MIB,
        ),
    ]


if __name__ == "__main__":
    main()

"""`bokehflow dev` in a browser: the graph, its groups, a materialisation started there, and other sites kept out."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

from pipeline.operations.emulated_flickr import free_ports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


@contextmanager
def served(home: Path) -> Iterator[str]:
    """`bokehflow dev` on the home until the end of the block; its address, with the token, as it is printed."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "pipeline.cli", "dev", "--home", str(home), "--port", str(port)]
    with (home / "dev.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: process.poll() is not None or bool(printed(home)), 120)
            yield printed(home)[0]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def printed(home: Path) -> list[str]:
    return re.findall(r"^open +(\S+)", (home / "dev.log").read_text(), re.MULTILINE)


def wait_until(reached: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it never got there"
        time.sleep(0.5)


@contextmanager
def browser_page(hosts: set[str]) -> Iterator[Page]:
    """A page; every host that it asks for is added to `hosts`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
        yield page
        browser.close()


def graphql(address: str, query: str) -> dict[str, Any]:
    """What a program is answered that shows the token of the address."""
    page, _, token = address.partition("/?token=")
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(f"{page}/graphql", json={"query": query}, headers=headers, timeout=30).json()["data"]


def runs_of(address: str, asset: str) -> dict[str, str]:
    """Status of each run that selected just this asset, by run id."""
    query = "{ runsOrError(limit: 50) { ... on Runs { results { id status assetSelection { path } } } } }"
    results = graphql(address, query)["runsOrError"]["results"]
    return {run["id"]: run["status"] for run in results if run["assetSelection"] == [{"path": [asset]}]}


def test_the_graph_is_seen_and_a_materialisation_started_there_succeeds(finished_demo: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(finished_demo, home)
    hosts: set[str] = set()
    with served(home) as address, browser_page(hosts) as page:
        page.goto(address)
        assert "token" not in page.url
        sockets: list[str] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sockets.append(str(frame))))
        page.goto(f"{origin(address)}/asset-groups")
        for group in ("collect", "dedupe", "curation", "dataset", "training", "evaluation"):
            page.get_by_text(group, exact=True).first.wait_for(timeout=60_000)
        before = runs_of(address, "unique_photos")
        page.goto(f"{origin(address)}/assets/unique_photos")
        page.get_by_role("button", name="Materialize").first.click(timeout=60_000)
        wait_until(lambda: len(runs_of(address, "unique_photos")) > len(before), 60)
        (new,) = runs_of(address, "unique_photos").keys() - before.keys()
        wait_until(lambda: runs_of(address, "unique_photos")[new] in ("SUCCESS", "FAILURE"), 120)
        assert runs_of(address, "unique_photos")[new] == "SUCCESS"
        page.goto(f"{origin(address)}/runs/{new}")
        page.get_by_text("ASSET_MATERIALIZATION").first.wait_for(timeout=60_000)  # the events come over the websocket
        assert any("connection_ack" in frame for frame in sockets)
        assert hosts <= {"127.0.0.1", ""}
        assert_other_sites_are_kept_out(page, address)


CHANGE = 'mutation{setConcurrencyLimit(concurrencyKey:"foreign",limit:1)}'
FROM_A_FOREIGN_SITE = """async (target) => {
  const address = `${target}/graphql?query=${encodeURIComponent('MUTATION')}`, opened = [];
  await new Promise(done => { const image = new Image(); image.onload = image.onerror = done; image.src = address; });
  const body = new Blob([JSON.stringify({query: 'MUTATION'})], {type: 'text/plain'});
  for (const method of ['GET', 'POST']) try {
    await fetch(address, {method, mode: 'no-cors', credentials: 'include', body: method === 'POST' ? body : undefined});
  } catch {}
  try { opened.push(await (await fetch(`${target}/server_info`, {credentials: 'include'})).text()); } catch {}
  await new Promise(done => { const socket = new WebSocket(`${target.replace('http', 'ws')}/graphql`, 'graphql-ws');
    socket.onopen = () => { opened.push('socket'); done(); }; socket.onerror = done; });
  return opened;
}""".replace("MUTATION", CHANGE)


def assert_other_sites_are_kept_out(page: Page, address: str) -> None:
    """In the browser that has the cookie, a site of another port and one of another name get nothing."""
    answered: list[int] = []
    target = origin(address)
    page.goto("about:blank")
    page.context.on(
        "response", lambda response: answered.append(response.status) if response.url.startswith(target) else None
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        for name in ("127.0.0.1", "localhost"):
            answered.clear()
            page.goto(f"http://{name}:{site.server_port}/")
            assert page.evaluate(FROM_A_FOREIGN_SITE, target) == []
            assert set(answered) <= {403}
        site.shutdown()
    page.goto(f"{target}/graphql?query={CHANGE}")  # as if somebody had sent a link
    assert "refused: send the query" in page.content()
    limits = "{ instance { concurrencyLimits { concurrencyKey } } }"
    assert "foreign" not in str(graphql(address, limits))
    graphql(address, CHANGE)
    assert "foreign" in str(graphql(address, limits))


class Site(BaseHTTPRequestHandler):
    """Another site that the user has open."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def origin(address: str) -> str:
    return address.partition("/?")[0]

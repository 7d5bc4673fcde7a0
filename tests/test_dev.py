"""`bokehflow dev` in a browser: the graph, its groups, and a materialisation started there."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(home: Path) -> Iterator[str]:
    """`bokehflow dev` on the home until the end of the block; its address."""
    port = free_port()
    command = [sys.executable, "-m", "pipeline.cli", "dev", "--home", str(home), "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with (home / "dev.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until(lambda: answers(address), 120)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/server_info", timeout=5).ok
    except requests.RequestException:
        return False


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


def runs_of(address: str, asset: str) -> dict[str, str]:
    """Status of each run that selected just this asset, by run id."""
    query = "{ runsOrError(limit: 50) { ... on Runs { results { id status assetSelection { path } } } } }"
    results = requests.post(f"{address}/graphql", json={"query": query}, timeout=30).json()["data"]["runsOrError"]["results"]
    return {run["id"]: run["status"] for run in results if run["assetSelection"] == [{"path": [asset]}]}


def test_the_graph_is_seen_and_a_materialisation_started_there_succeeds(finished_demo: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(finished_demo, home)
    hosts: set[str] = set()
    with served(home) as address, browser_page(hosts) as page:
        page.goto(f"{address}/asset-groups")
        for group in ("collect", "dedupe", "curation", "dataset", "training", "evaluation"):
            page.get_by_text(group, exact=True).first.wait_for(timeout=60_000)
        before = runs_of(address, "unique_photos")
        page.goto(f"{address}/assets/unique_photos")
        page.get_by_role("button", name="Materialize").first.click(timeout=60_000)
        wait_until(lambda: len(runs_of(address, "unique_photos")) > len(before), 60)
        (new,) = runs_of(address, "unique_photos").keys() - before.keys()
        wait_until(lambda: runs_of(address, "unique_photos")[new] in ("SUCCESS", "FAILURE"), 120)
        assert runs_of(address, "unique_photos")[new] == "SUCCESS"
    assert hosts <= {"127.0.0.1", ""}

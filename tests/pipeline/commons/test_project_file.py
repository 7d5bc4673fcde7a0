"""The study from Commons, as its project file asks for it: complete, polite, and the same after any interruption."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from pipeline.emulators.collection import Collection, CollectionPhoto
from pipeline.emulators.commons import CommonsEmulator
from pipeline.emulators.faults import FaultPlan
from pipeline.package_files import CODE, STARTING_PROJECTS
from storage import Home
from tests.assets.worlds import save_noise
from tests.conftest import WARM_PYTHON

MONTHS = ("2024-01", "2024-02")
STORM = {
    "seed": 5,
    "api": {"http_429": 0.05, "http_5xx": 0.05, "error_201": 0.05, "html": 0.03, "broken_json": 0.03, "slow": 0.2,
            "slow_s": 0.3},
    "images": {"http_5xx": 0.05, "cut": 0.05, "slow": 0.3, "slow_s": 0.3},
}  # fmt: skip
KILLS = 10
AT_MOST_S = 240.0


def photo(folder: Path, number: int, **fields: object) -> CollectionPhoto:
    save_noise(folder / f"{number}.jpg", number, edge_px=700)
    begin_s = int(datetime(2024, 1 + number % 2, 5, tzinfo=UTC).timestamp())
    values: dict[str, object] = {
        "title": f"Portrait {number}", "license": "12", "owner_name": "Ada <i>&</i> Sons", "file": f"{number}.jpg", **fields,
    }  # fmt: skip
    return CollectionPhoto(str(57_000_000 + number), f"User {number}", begin_s + 3600 * number, **values)


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[CommonsEmulator]:
    """Twelve files of either domain, with some that were deleted, excluded or are another word's."""
    folder = tmp_path / "pictures"
    photos = [photo(folder, number, camera="apple/iphone_7") for number in range(12)]
    photos += [photo(folder, number, title=f"Portrait with bokeh {number}") for number in range(20, 32)]
    photos += [
        photo(folder, 40, camera="apple/iphone_7", title="Portrait of a cat 40", tags=("cat",)),
        photo(folder, 41, camera="apple/iphone_7", removed=True),
        photo(folder, 42, camera="apple/iphone_7", title="Selfie 42", license="0"),
        photo(folder, 43, title="House 43", tags=("Shallow depth of field",)),
    ]
    running = CommonsEmulator(photos)
    running.collection = Collection(photos, folder)
    with running:
        yield running


def write_project(home: Home, emulator: CommonsEmulator) -> None:
    home.root.mkdir(parents=True)
    commons = f'[commons]\nendpoint = "{emulator.endpoint}"\nimage_hosts = ["{emulator.image_host}"]\nretries = 2\n'
    (home.root / "bokehflow.toml").write_text(STARTING_PROJECTS["commons"].read_text() + commons)


def start(home: Home, python: str) -> subprocess.Popen[bytes]:
    arguments = ["run", "--home", str(home.root), "--from", MONTHS[0], "--to", MONTHS[1], "--until", "photo_files"]
    arguments += ["--config", str(home.root / "bokehflow.toml")]
    without_key = {name: value for name, value in os.environ.items() if not name.startswith("FLICKR_")}
    command = [python, "-m", "pipeline.cli", *arguments]
    log = (home.root / "run.log").open("ab")
    with log:
        return subprocess.Popen(command, env=without_key | {"PYTHONPATH": str(CODE)}, cwd=home.root, stdout=log, stderr=log)


def found(home: Home) -> dict[str, pd.DataFrame]:
    names = ("photo_listing", "photo_files")
    tables = {name: home.tables.read_all(name) for name in names}
    return {name: table.drop(columns="fetched_at_s").sort_values(["domain", "photo_id"]) for name, table in tables.items()}


def test_the_project_file_is_collected_completely_and_politely(tmp_path: Path, emulator: CommonsEmulator) -> None:
    home = Home(tmp_path / "home")
    write_project(home, emulator)
    python = os.environ[WARM_PYTHON]
    assert start(home, python).wait(AT_MOST_S) == 0, (home.root / "run.log").read_text()
    tables = found(home)
    listing = tables["photo_listing"].set_index("photo_id")
    assert listing["domain"].value_counts().to_dict() == {"ordinary": 14, "shallow": 12}
    assert listing["reason"].isna().all(), "what an excluded word rules out is not even found"
    files = tables["photo_files"].set_index("photo_id")
    assert files["reason"].dropna().to_dict() == {"commons:57000041": "unavailable"}
    assert files["sha256"].nunique() == 25
    # Attribution is complete, and an author's HTML is text.
    assert set(listing["owner_name"]) == {"Ada <i>&</i> Sons"}
    assert listing["owner"].str.fullmatch(r"User \d+").all()
    assert listing["license"].value_counts().to_dict() == {"12": 25, "All Rights Reserved (Commons)": 1}
    assert listing["page_url"].str.startswith("https://commons.wikimedia.org/wiki/File:").all()
    # The etiquette, by the emulator's log.
    assert not emulator.breaches()
    assert emulator.at_once == 1
    calls = [request for request in emulator.requests if request.method != "picture"]
    assert all("you@example.org" in request.user_agent for request in emulator.requests)
    assert all(request.arguments["maxlag"] == "5" for request in calls)
    assert emulator.calls["titles"] == 3, "categories are asked about in the three searches that find nothing"
    before = emulator.calls.total() + emulator.image_requests
    assert start(home, python).wait(AT_MOST_S) == 0
    assert emulator.calls.total() + emulator.image_requests == before, "again, nothing is asked"


def wait_for(process: subprocess.Popen[bytes], asked: int, emulator: CommonsEmulator) -> None:
    until = time.monotonic() + AT_MOST_S
    while process.poll() is None and emulator.calls.total() + emulator.image_requests < asked:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.slow
def test_a_storm_and_ten_kills_change_nothing(tmp_path: Path, emulator: CommonsEmulator) -> None:
    calm, stormy = Home(tmp_path / "calm"), Home(tmp_path / "storm")
    write_project(calm, emulator)
    assert start(calm, sys.executable).wait(AT_MOST_S) == 0
    write_project(stormy, emulator)
    emulator.faults = FaultPlan.model_validate(STORM)
    kills, draw = 0, random.Random(7)
    for _ in range(10 * KILLS):
        process = start(stormy, sys.executable)
        if kills < KILLS:
            wait_for(process, emulator.calls.total() + emulator.image_requests + draw.randint(2, 4), emulator)
        if kills < KILLS and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        elif process.wait(AT_MOST_S) == 0 and not found(stormy)["photo_files"]["pending"].any():
            break
    assert kills == KILLS, "all was collected before it was killed so often"
    for name, table in found(calm).items():
        pd.testing.assert_frame_equal(found(stormy)[name], table)
    assert not emulator.breaches()
    assert emulator.faulted, "no fault came up"

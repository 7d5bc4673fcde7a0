"""`bokehflow snapshot publish` against a server on this machine, and what comes back from there."""

import errno
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from pipeline.dataset import export, published
from pipeline.dataset.exported import png
from pipeline.dataset.published import RESERVED
from tests import conftest
from tests.hub_server import TOKEN, Hub, serving
from tests.pipeline.dataset.frozen_world import LICENSES, World

Run = Callable[..., tuple[object, str]]
CONFIG = "[domains.ordinary]\nqueries = [{ text = 'a' }]\n[domains.shallow]\nqueries = [{ text = 'b' }]\n"
REPO = "ann/portraits"
# What the Hub's library itself does where it sends files by LFS.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bokehflow.toml").write_text(CONFIG)
    for number in range(1, 13):
        mask = tmp_path / "home" / "masks" / "selfie" / f"{number}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), number).save(mask)
    return World(tmp_path / "home")


@pytest.fixture
def run(world: World, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: conftest.Run) -> Run:
    """Call the command with a token; returns exit code and what was said."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    def call(*arguments: str) -> tuple[object, str]:
        outcome = run("snapshot", "publish", *arguments, "--home", str(world.root))
        assert not [path.name for path in world.root.iterdir() if path.name.endswith(".tmp")]
        return outcome.code, outcome.said

    return call


def attribution(hub: Hub) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(hub.repos[REPO]["attribution.csv"]), dtype=str)


def test_what_is_published_is_what_may_be_shared_and_the_bundle_for_all(world: World, hub: Hub, run: Run) -> None:
    identifier = world.freeze(range(1, 13))
    code, said = run(identifier[:6], REPO)
    assert code == 0, said
    assert f"{hub.url}/datasets/{REPO}" in said
    files = hub.repos[REPO]
    assert {name.partition("/")[0] for name in files} == {
        "README.md", "DATASHEET.md", "attribution.csv", "bundle.tar", "croissant.json", "data", "manifest.jsonl",
    }  # fmt: skip
    assert hashlib.sha256(files["manifest.jsonl"]).hexdigest().startswith(identifier)
    lines = {line["photo_id"]: line for line in map(json.loads, files["manifest.jsonl"].splitlines())}
    assert len(lines) == 12
    shared = {f"flickr:{n}" for n in range(1, 13) if LICENSES[n % len(LICENSES)] not in (RESERVED, "16")}
    assert set(attribution(hub)["photo_id"]) == shared
    found = pd.concat([pd.read_parquet(io.BytesIO(files[name])) for name in files if name.startswith("data/")])
    assert set(found["photo_id"]) == shared
    assert "All Rights Reserved" not in set(found["license"])
    for row in found.itertuples():
        pixels = Image.open(io.BytesIO(row.image["bytes"])).tobytes()
        assert hashlib.sha256(pixels).hexdigest() == lines[row.photo_id]["pixels_sha256"]
    with tarfile.open(fileobj=io.BytesIO(files["bundle.tar"])) as tar:
        assert len([name for name in tar.getnames() if name.startswith("bundle/masks/")]) == 12
        packed = tar.extractfile("bundle/pictures.parquet")
        assert packed is not None
        places = pd.read_parquet(io.BytesIO(packed.read()))
        assert len(places) == 12
        assert places[["curator", "decision_file", "decision_row"]].isna().all(axis=None)
    head = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert head["license"] == ["cc", "cc-by-2.0", "cc-by-nc-2.0", "cc0-1.0"]


def test_a_dry_run_shows_every_file_and_the_card_and_asks_nobody(
    world: World, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    identifier = world.freeze(range(1, 13))
    code, said = run(identifier, REPO, "--dry-run")
    assert code == 0, said
    assert hub.asked == []
    for name in ("data/train-00000-of-00001.parquet", "bundle.tar", "attribution.csv", "README.md", "manifest.jsonl"):
        assert f"  {name}\n" in said
    assert f"snapshot {identifier}" in said
    assert "| CC BY 2.0 | 2 |" in said
    assert "left out: 4 (licence does not allow derivatives)" in said
    assert "dry run: nothing was sent" in said


def test_a_rehearsal_weighs_some_pictures_and_knows_all_other_sizes(
    world: World, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = world.freeze(range(1, 13))
    assert run(identifier, REPO)[0] == 0
    asked, pngs = len(hub.asked), []
    monkeypatch.setattr(export, "SAMPLE", 6)
    monkeypatch.setattr(export, "png", lambda *parts: pngs.append(parts) or png(*parts))
    code, said = run(identifier, REPO, "--dry-run")
    assert (code, len(hub.asked), len(pngs)) == (0, asked, 6 * 2), "six pictures, each with its alpha"
    shown = {
        line.split()[-1]: line.split()[0] for line in said.partition(" bytes in")[0].splitlines() if line[14:16] == "  "
    }
    for name, data in hub.repos[REPO].items():
        size = int(shown[name].strip("~").replace(",", ""))
        assert shown[name].startswith("~") == name.startswith("data/")
        assert 0.5 < size / len(data) < 2 if name.startswith("data/") else size == len(data), name
    assert "  bytes in" in said


def test_all_rights_reserved_is_never_published(world: World, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    identifier = world.freeze(range(1, 13))
    code, said = run(identifier, REPO, "--all-licenses")
    assert code == 0, said
    assert "WARNING: --all-licenses publishes photos whose licence may forbid it" in said
    assert "left out: 2 (licence does not allow passing them on)" in said
    assert set(attribution(hub)["license"]) == set(LICENSES) - {RESERVED}
    monkeypatch.setattr(published, "export_snapshot", lambda *_: pytest.fail("nothing may be written"))
    monkeypatch.setattr(published, "every_license", lambda *_: [RESERVED])
    code, said = run(identifier, REPO, "--all-licenses")
    assert (code, "all rights reserved are not published" in said) == (1, True)


def test_a_second_publication_sends_nothing_twice_and_takes_away_what_went(world: World, hub: Hub, run: Run) -> None:
    identifier = world.freeze(range(1, 13))
    assert run(identifier, REPO)[0] == 0
    sent = len(hub.puts())
    assert sent >= 3
    hub.repos[REPO] |= {"data/old.parquet": b"old", "mine.txt": b"a person's own"}
    assert run(identifier, REPO)[0] == 0
    assert len(hub.puts()) == sent
    assert "data/old.parquet" not in hub.repos[REPO]
    assert hub.repos[REPO]["mine.txt"] == b"a person's own"


def test_a_disk_that_fills_is_named_and_nothing_is_sent(
    world: World, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = world.freeze(range(1, 13))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(published, "_pack", full)
        code, said = run(identifier, REPO)
    assert code == 1
    assert re.search(rf"error: {world.root}/.*\.tmp: the disk is full; ", said)
    assert not hub.repos
    assert run(identifier, REPO)[0] == 0


def test_an_interrupted_publication_goes_on_and_shows_nothing_before_it_is_whole(world: World, hub: Hub, run: Run) -> None:
    identifier = world.freeze(range(1, 13))
    hub.faults["PUT /lfs/[0-7]"] = 400
    code, said = run(identifier, REPO)
    assert code == 1
    assert f"{REPO} was not published" in said
    assert "run the same again" in said
    assert hub.repos[REPO] == {}
    there = set(hub.large)
    hub.faults.clear()
    hub.asked.clear()
    assert run(identifier, REPO)[0] == 0
    assert {line.rpartition("/")[2] for line in hub.puts()}.isdisjoint(there)
    assert len(hub.commits) == 1


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ({"POST /api/repos/create": 403}, "answered 403 (you shall not); the token may not write there"),
        ({"commit/main": 500}, "answered 500"),
        ({"preupload": 404}, "answered 404"),
    ],
)
def test_a_server_that_refuses_is_told(world: World, hub: Hub, run: Run, faults: dict[str, int], told: str) -> None:
    hub.faults |= faults
    code, said = run(world.freeze(range(1, 13)), REPO)
    assert code == 1
    assert "error: " in said
    assert told in said
    assert "Traceback" not in said


def test_other_bytes_on_the_server_are_found(world: World, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.hub_server._entry", lambda path, data: {"type": "file", "path": path, "size": 1, "oid": "0"})
    code, said = run(world.freeze(range(1, 13)), REPO)
    assert (code, "has other bytes for DATASHEET.md than were sent" in said) == (1, True)


def test_bad_input_is_refused_before_anything_is_asked(
    world: World, hub: Hub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = world.freeze(range(1, 13))
    for repo in ("portraits", "a/b/c", "ann/..", "ann/por traits", "", "ann/x--y", "ann/" + "x" * 97):
        code, said = run(identifier, repo)
        assert (code, "is no repository's name; it is OWNER/NAME" in said) == (1, True), repo
    assert "there is no snapshot zzz" in run("zzz", REPO)[1]
    assert "contradict each other" in run(identifier, REPO, "--use", "research", "--all-licenses")[1]
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "answered 401 (Invalid username or password.); check the token in HF_TOKEN" in run(identifier, REPO)[1]
    hub.asked.clear()
    monkeypatch.delenv("HF_TOKEN")
    assert "there is no token: set HF_TOKEN" in run(identifier, REPO)[1]
    assert hub.asked == []


@pytest.mark.slow
def test_what_is_published_loads_with_datasets_and_verifies(world: World, hub: Hub, run: Run, tmp_path: Path) -> None:
    identifier = world.freeze(range(1, 13))
    assert run(identifier, REPO)[0] == 0
    code = """
import hashlib, json, sys
from datasets import load_dataset
from huggingface_hub import hf_hub_download
loaded = load_dataset(sys.argv[1])
manifest = open(hf_hub_download(sys.argv[1], "manifest.jsonl", repo_type="dataset"), "rb").read()
digests = {line["photo_id"]: line for line in map(json.loads, manifest.splitlines())}
rows = [row for split in loaded for row in loaded[split]]
same = [hashlib.sha256(row[name].tobytes()).hexdigest() == digests[row["photo_id"]][column]
        for row in rows for name, column in (("image", "pixels_sha256"), ("alpha", "alpha_sha256"))]
licences = sorted({row["license"] for row in rows})
print(json.dumps([hashlib.sha256(manifest).hexdigest()[:16], len(rows), all(same), licences]))
"""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, REPO], env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == [identifier, 8, True, ["CC BY 2.0", "CC BY-NC 2.0", "CC BY-SA 2.0", "CC0 1.0"]]

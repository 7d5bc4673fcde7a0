"""Forgetting on a disk that fills: what may still name a photo is not taken for purged, and the exit code says so."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.dedupe.near_hashes import NearHashes, NearHashStore
from pipeline.dedupe.store import keys_of
from pipeline.operations.forget import finish_forgetting
from pipeline.operations.tombstones import unpurged
from storage import Home
from tests.conftest import Run
from tests.picture_home import home_of_pictures

BATCH = "photo_id,title\nflickr:0,mine\nflickr:1,yours\n"
NOW_S = 1_700_000_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    data = home_of_pictures(tmp_path / "home", 4)
    data.review_queue.mkdir(parents=True)
    (data.review_queue / "batch.csv").write_text(BATCH)
    return data


def full(target: Path, data: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))


def test_a_batch_that_a_full_disk_does_not_take_anew_still_names_the_photo(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.operations.forget.write_bytes", full)
        outcome = run("forget", "0", "--home", str(home.root))
    assert outcome.code == 1
    assert "not complete:" in outcome.said
    assert "batch.csv: the disk is full; make room; then run `bokehflow forget`" in outcome.said
    assert unpurged(home) == ["flickr:0"]
    assert finish_forgetting(home, NOW_S)
    assert (home.review_queue / "batch.csv").read_text("utf-8-sig") == BATCH.replace("flickr:0,mine\n", "")
    assert not unpurged(home)


def test_an_export_that_a_full_disk_does_not_take_anew_need_not_be_deleted(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = home.root / "exported"
    export.mkdir()

    def dies(folder: Path, ids: set[str]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pipeline.operations.forget.is_export", lambda folder: folder == export)
    monkeypatch.setattr("pipeline.operations.forget.forget_in_export", dies)
    outcome = run("forget", "0", "--home", str(home.root))
    assert outcome.code == 1
    assert f"not complete: {export}: the disk is full; make room; then run `bokehflow forget`" in outcome.said


def test_what_may_still_name_a_photo_is_an_exit_code(home: Home, run: Run) -> None:
    (home.review_queue / "notes.csv").write_text("flickr:0 is mine\n")
    outcome = run("forget", "0", "--home", str(home.root))
    assert outcome.code == 1
    assert "notes.csv" in outcome.said
    (home.review_queue / "notes.csv").unlink()
    assert run("forget", "0", "--home", str(home.root)).code == 0


def test_the_deduplication_forgets_which_pictures_it_has_looked_at(home: Home, run: Run) -> None:
    store, digests = NearHashStore(home.fingerprints), sorted(home.tables.read("unique_photos")["sha256"])
    store.write(6, replace(NearHashes.nothing(), apart=np.sort(keys_of(digests)), told_by="settings"))
    assert run("forget", "0", "--home", str(home.root)).code == 0
    left = sorted(home.tables.read("unique_photos")["sha256"])
    assert len(left) == len(digests) - 1
    assert store.read(6).apart.tolist() == np.sort(keys_of(left)).tolist()

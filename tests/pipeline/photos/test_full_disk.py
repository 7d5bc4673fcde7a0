"""A disk that fills up: a clear end, nothing half-written, and the next run goes on."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import StorageError
from pipeline.photos import download
from storage.provenance import Provenance
from storage.tables import TableStore
from tests.pipeline.photos.lab import SETTINGS, Lab, outcome
from tests.pipeline.photos.odd_pictures import encoded
from tests.pipeline.photos.picture_server import PictureServer

DISK_BYTES = 2_000_000
LARGE = SETTINGS.model_copy(update={"max_bytes": 1_000_000})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def noise(seed: int) -> bytes:
    return encoded(np.random.default_rng(seed).integers(0, 256, (190, 190, 3), dtype=np.uint8))


@pytest.mark.parametrize("reserve_bytes", [0, 500_000])
def test_a_disk_fills_up(
    reserve_bytes: int, small_disk: Path, server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no reserve the system's own error ends it, with one the end comes before."""
    monkeypatch.setattr(download, "RESERVE_BYTES", reserve_bytes)
    lab = Lab(small_disk, [server.host])
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    urls = {str(seed): server.picture(f"/{seed}.jpg", noise(seed)) for seed in range(40)}
    needed = sum(len(noise(seed)) for seed in range(40))
    assert 1_000_000 < needed < 1_900_000
    with pytest.raises(StorageError, match=r"the disk is.* full.*; [\d,.]+ MB are free there.*make room and run") as ended:
        lab.run(urls, settings=LARGE)
    assert str(small_disk) in str(ended.value)
    fetched = list(lab.blobs.root.glob("??/*"))
    assert fetched
    assert all(lab.blobs.read(path.name) for path in fetched)
    assert not list(lab.blobs.root.glob("incoming/*"))
    if reserve_bytes:
        assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize > reserve_bytes / 2
    ballast.unlink()
    monkeypatch.setattr(download, "RESERVE_BYTES", 0)
    server.requests.clear()
    table = lab.run(urls, settings=LARGE)
    assert {outcome(table, photo_id) for photo_id in urls} == {(None, False)}
    # What was in the blob store but not yet in the journal is at most what the threads had in their hands.
    assert sum(server.requests.values()) <= len(urls) - len(fetched) + LARGE.threads


def test_a_line_of_the_journal_that_does_not_fit(
    lab: Lab, server: PictureServer, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def write(self, line: bytes) -> int:
            return len(line) // 2

        def close(self) -> None:
            pass

    original = download._Journal.__enter__

    def enter(self: download._Journal) -> download._Journal:
        original(self)
        self._file.close()
        self._file = Full()  # pyright: ignore[reportAttributeAccessIssue]
        return self

    monkeypatch.setattr(download._Journal, "__enter__", enter)
    with pytest.raises(StorageError, match="the disk is full"):
        lab.run({"1": server.picture("/1.jpg", jpeg)})
    monkeypatch.undo()
    assert outcome(lab.run({"1": server.url + "/1.jpg"})) == (None, False)


def test_a_table_that_does_not_fit(
    lab: Lab, server: PictureServer, jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = TableStore(tmp_path / "tables")
    lab.run({"1": server.picture("/1.jpg", jpeg)})
    tables.write("photo_files", lab.table, "ordinary|2024-03", Provenance("before"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipeline.atomic.sync", full)
    with pytest.raises(StorageError, match=r"tables: the disk is full; .* MB are free there"):
        tables.write("photo_files", lab.table, "ordinary|2024-03", Provenance("after"))
    info = tables.info("photo_files", "ordinary|2024-03")
    assert info is not None
    assert info.provenance == Provenance("before")
    assert not list(tables.root.rglob("*.tmp"))

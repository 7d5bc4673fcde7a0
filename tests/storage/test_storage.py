"""Blobs, tables and the home's lock."""

import errno
import hashlib
import multiprocessing
import os
import re
import stat
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pandas as pd
import pandera.errors
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.atomic import atomic_path, temporary_beside, write_bytes, write_remade
from pipeline.errors import CorruptBlob, StorageError
from pipeline.sources.budget import CallBudget
from pipeline.training.runs import LOCK, exclusive
from storage import BlobStore, Home, TableStore
from storage.provenance import Provenance
from storage.tables import DATA_MARK, MADE_MARK
from tests.pipeline.curation.worlds import hints_of


def store_bytes(blobs: BlobStore, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    with blobs.temporary() as path:
        path.write_bytes(data)
        blobs.adopt(path, digest)
    return digest


def test_a_blob_is_named_by_its_content(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digest = store_bytes(blobs, b"portrait")
    assert blobs.read(digest) == b"portrait"
    assert blobs.has(digest, 8)
    assert not blobs.has(digest, 9)
    assert not list((tmp_path / "incoming").iterdir())


def test_a_corrupt_blob_is_refused_with_its_remedy(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digest = store_bytes(blobs, b"portrait")
    blobs.path(digest).write_bytes(b"portraiT")
    with pytest.raises(CorruptBlob, match="delete the file and run `bokehflow run`"):
        blobs.read(digest)
    other = store_bytes(blobs, b"another")
    assert list(blobs.corrupt()) == [blobs.path(digest)]
    blobs.path(other).write_bytes(b"anothe")
    assert sorted(blobs.corrupt()) == sorted([blobs.path(digest), blobs.path(other)])
    blobs.path(digest).unlink()
    with pytest.raises(StorageError, match="is missing"):
        blobs.read(digest)


def test_a_full_disk_is_told_with_the_name_of_what_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system names no file to who writes to an open one."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as caught, BlobStore(tmp_path / "blobs").temporary() as path:
        full()
    assert caught.value.filename == str(path)
    home = Home(tmp_path / "home")
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.locks.os.pwrite", full)
        with pytest.raises(StorageError, match=r"home: the disk is full; .* MB are free there"), home.lock("run"):
            pass
        budget = CallBudget(tmp_path / "budget", "key", 2)
        with pytest.raises(OSError, match="No space left") as caught:
            budget.acquire()
        assert caught.value.filename == str(budget.path)
        with pytest.raises(OSError, match="No space left") as caught, exclusive(tmp_path / "run"):
            pass
        assert caught.value.filename == str(tmp_path / "run" / LOCK)
    with home.lock("run"):
        pass


def scores(**columns: object) -> pd.DataFrame:
    rows = {"photo_id": ["b", "a"], "method": ["m", "m"], "metric": ["x", "x"], "value": [1.0, None]}
    return pd.DataFrame({**rows, **columns})


def test_a_table_comes_back_ordered_by_its_key(tmp_path: Path) -> None:
    tables = TableStore(tmp_path)
    info = tables.write("evaluation", scores(), "smoke@0|abc", provenance=Provenance("v1"))
    assert tables.read("evaluation", "smoke@0|abc")["photo_id"].tolist() == ["a", "b"]
    assert tables.partitions("evaluation") == ["smoke@0|abc"]
    assert tables.info("evaluation", "smoke@0|abc") == info
    assert info.provenance == Provenance("v1")


def test_when_a_table_was_made_survives_a_copy_and_what_forgetting_rewrites(tmp_path: Path) -> None:
    tables = TableStore(tmp_path / "tables")
    made_s = tables.write("evaluation", scores()).made_s
    assert abs(made_s - time.time()) < 60
    os.utime(tables.path("evaluation"), (5, 5))
    tables.drop_rows("evaluation", {"a"})
    info = tables.info("evaluation")
    assert info is not None
    assert (info.made_s, info.row_count) == (made_s, 1)


def test_a_table_that_does_not_say_when_it_was_made_is_as_old_as_its_file(tmp_path: Path) -> None:
    tables = TableStore(tmp_path)
    path = tables.write("evaluation", scores(), provenance=Provenance("v1")).path
    table = pq.read_table(path)
    marks = {key: value for key, value in (table.schema.metadata or {}).items() if key != MADE_MARK}
    pq.write_table(table.replace_schema_metadata(marks), path)
    os.utime(path, (5, 5))
    info = tables.info("evaluation")
    assert info is not None
    assert (info.made_s, info.provenance) == (5, Provenance("v1"))


def test_the_data_version_ignores_order_and_volatile_columns(tmp_path: Path) -> None:
    tables = TableStore(tmp_path)
    rows = pd.DataFrame({"photo_id": ["a", "b"], "domain": "ordinary", "split_key": "k", "sha256": "s", "transform": "t",
                         "shard": "one", "row": [0, 1], "pixels_sha256": "p", "alpha_sha256": "q"})  # fmt: skip
    first = tables.write("training_images", rows).data_version
    assert tables.write("training_images", rows.iloc[::-1].assign(shard="two", row=[7, 8])).data_version == first
    assert tables.write("training_images", rows.assign(alpha_sha256="r")).data_version != first


def test_wrong_columns_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    tables = TableStore(tmp_path)
    with pytest.raises(pandera.errors.SchemaErrors):
        tables.write("evaluation", scores().drop(columns="method"))
    with pytest.raises(ValueError, match="is not unique"):
        tables.write("evaluation", scores(photo_id=["a", "a"]))
    assert tables.info("evaluation") is None


def test_a_missing_or_broken_table_says_how_to_make_it(tmp_path: Path) -> None:
    tables = TableStore(tmp_path)
    with pytest.raises(StorageError, match=r"bokehflow run --until unique_photos"):
        tables.read("unique_photos")
    tables.path("unique_photos").parent.mkdir()
    tables.path("unique_photos").write_bytes(b"PAR1 but not really")
    with pytest.raises(StorageError, match="delete it and run"):
        tables.read("unique_photos")


def test_who_mistypes_a_name_is_told_the_names_and_loses_nothing(tmp_path: Path) -> None:
    tables = TableStore(tmp_path)
    tables.write("evaluation", scores(), "smoke@0|abc")
    for read in (tables.read, tables.read_or_empty, tables.read_all):
        with pytest.raises(StorageError, match=r"there is no table 'evaluations'; there are photo_listing, "):
            read("evaluations")
        with pytest.raises(
            StorageError, match=r"the table evaluation has no column 'score'; it has photo_id, method, metric"
        ):
            read("evaluation", columns=["score"])
    with pytest.raises(StorageError, match=r"for each of its partitions, such as 'smoke@0\|abc'; `read_all` reads all"):
        tables.read("evaluation")


def test_a_column_that_an_older_version_did_not_write_is_null_where_it_may_be(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    path = store.write("photo_hints", hints_of(range(2))).path
    pq.write_table(pq.read_table(path).drop_columns(["camera", "edited", "drawn"]), path)
    found = store.read("photo_hints", columns=["sha256", "camera", "edited"])
    assert list(found) == ["sha256", "camera", "edited"]
    assert found[["camera", "edited"]].isna().all(axis=None)
    with pytest.raises(StorageError, match="run --until photo_hints"):
        store.read("photo_hints", columns=["sha256", "drawn"])


def test_a_run_deletes_nothing_that_others_are_writing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with atomic_path(home.tables.path("imports")) as table, home.blobs.temporary() as blob:
        for path in (table, blob, home.thumbnails / ".0.jpg.0123abcd.tmp"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
        home.sweep()
        assert blob.exists()
        assert table.exists()
    assert not list(home.thumbnails.iterdir())


def _hold(home: Path, address: str, ready: Event, done: Event) -> None:
    with Home(home).lock("run") as say:
        say(address)
        ready.set()
        done.wait(30)


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:8765/"])
def test_the_lock_names_its_holder_and_goes_with_the_process(tmp_path: Path, address: str) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, address, ready, done))
    process.start()
    assert ready.wait(30)
    at = f", at {address}; use that, or" if address else ";"
    told = re.escape(f"process {process.pid} is at work in this home{at} end it first")
    with pytest.raises(StorageError, match=told), Home(tmp_path).lock("run"):
        pass
    process.kill()
    process.join()
    with Home(tmp_path).lock("run"):
        pass


def test_the_home_is_named_by_argument_then_environment_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOKEHFLOW_HOME", raising=False)
    assert Home.at().root == tmp_path / "data"
    monkeypatch.setenv("BOKEHFLOW_HOME", str(tmp_path / "elsewhere"))
    assert Home.at().root == tmp_path / "elsewhere"
    assert Home.at(tmp_path / "given").root == tmp_path / "given"


def test_what_is_put_in_place_is_on_the_disk_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of syncing and renaming: after a power cut a name stands for whole content, or is not there."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def renamed(before: Path, after: Path) -> None:
        done.append("rename")
        replace(before, after)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    home = Home(tmp_path)
    write_bytes(tmp_path / "table", b"1")
    assert done == ["sync file", "rename", "sync folder"]
    done.clear()
    with home.blobs.temporary() as path:
        path.write_bytes(b"1")
        home.blobs.adopt(path, "a" * 64)
    assert done == ["sync file", "rename"]
    done.clear()
    write_remade({tmp_path / "1": b"1", tmp_path / "2": b"2"})
    assert done == ["sync file", "rename"] * 2


def test_of_files_written_together_none_is_left_half(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_bytes(b"")
    with pytest.raises(FileExistsError):
        write_remade({tmp_path / "1": b"1", tmp_path / "in the way" / "2": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["in the way"]


def test_a_blob_that_a_power_cut_took_is_missing_and_not_empty(tmp_path: Path) -> None:
    blobs = Home(tmp_path).blobs
    blobs.path("a" * 64).parent.mkdir(parents=True)
    blobs.path("a" * 64).write_bytes(b"")
    assert not blobs.has("a" * 64, 5)
    blobs.path("a" * 64).with_name("a" * 63 + "b").write_bytes(b"whole")
    sizes = {"a" * 64: 5, "a" * 63 + "b": 5, "c" * 64: 5}
    assert blobs.missing(sizes.items()) == 2


@pytest.mark.parametrize("digest", ["../../x", "/etc/passwd", "A" * 64, "", "٣" * 64])
def test_what_is_no_digest_is_no_blob(tmp_path: Path, digest: str) -> None:
    blobs = Home(tmp_path).blobs
    assert not blobs.has(digest)
    assert blobs.missing([(digest, 1)]) == 1
    for use in (blobs.path, blobs.read, lambda each: blobs.adopt(tmp_path / "a", each)):
        with pytest.raises(StorageError, match="is no SHA-256"):
            use(digest)


def test_what_a_power_cut_left_of_a_blob_counts_as_missing(tmp_path: Path) -> None:
    blobs, data = BlobStore(tmp_path), b"a picture"
    digest = hashlib.sha256(data).hexdigest()
    path = blobs.path(digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert not blobs.has(digest)
    with pytest.raises(StorageError, match="missing; run `bokehflow run`"):
        blobs.read(digest)
    path.write_bytes(bytes(len(data)))
    with pytest.raises(CorruptBlob, match="only zeros"):
        blobs.read(digest)
    assert not blobs.has(digest)


def test_a_footer_that_says_odd_things_is_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    tables = TableStore(tmp_path)
    path = tables.path("photo_files", "a|2024-01")
    path.parent.mkdir(parents=True)
    table = pa.table({"photo_id": ["flickr:1"]})
    for marks in ({DATA_MARK: b"\xff"}, {MADE_MARK: b"x"}):
        pq.write_table(table.replace_schema_metadata(marks), path)
        assert tables.info("photo_files", "a|2024-01") is None
    pq.write_table(table.replace_schema_metadata({MADE_MARK: b"1e999", b"pandas": b"["}), path)
    info = tables.info("photo_files", "a|2024-01")
    assert info is not None
    assert info.made_s == pytest.approx(path.stat().st_mtime, abs=1e-3)
    pq.write_table(table, tables.path("photo_files", "a|2023-12"))
    for read in (lambda: tables.read("photo_files", "a|2024-01"), lambda: tables.read_all("photo_files")):
        with pytest.raises(StorageError, match=rf"{re.escape(str(path))}: cannot be read"):
            read()


def test_what_is_unfinished_is_found_behind_links_and_others_files_are_not_taken_for_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    (tmp_path / "disk").mkdir(parents=True)
    home.reviewed.mkdir(parents=True)
    (home.root / "masks").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "again").symlink_to(home.root)  # a circle
    unfinished = temporary_beside(home.masks / "a.png")
    old, ours = home.thumbnails / ".b.png.12345678.tmp", temporary_beside(home.reviewed / "ann.csv")
    home.thumbnails.mkdir()
    theirs = [home.reviewed / ".syncthing.ann.csv.tmp", home.masks / ".of-a-sync.tmp"]
    for path in (unfinished, old, ours, *theirs):
        path.write_bytes(b"half")
    assert {path.name for path in home.unfinished()} == {unfinished.name, old.name, ours.name}
    home.sweep()
    assert all(path.exists() for path in theirs)
    assert not old.exists()


def test_a_table_that_cannot_be_read_does_not_pass_for_one_without_the_rows(tmp_path: Path) -> None:
    tables = Home(tmp_path).tables
    tables.drop_rows("evaluation", {"a"})  # there is none
    path = tables.path("evaluation")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 and no footer")
    with pytest.raises(StorageError, match=r"all\.parquet: cannot be read"):
        tables.drop_rows("evaluation", {"a"})

"""A home worked on at an address: taken over, sent, merged with another machine's changes, and never lost."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.cli import cli
from pipeline.errors import ConfigError, StorageError
from pipeline.operations.doctor import _cache, _store
from pipeline.operations.imports import GrowingImports
from pipeline.operations.tombstones import unpurged
from pipeline.photos.folder import ImportedPhoto
from pipeline.photos.metadata import NOTHING_TOLD
from pipeline.photos.opening import PictureInfo
from pipeline.plain_files import at_hand, is_there, paths_in, read_plain
from pipeline.tables import conform, empty
from storage import Home, bucket
from storage.bucket import Bucket
from storage.working import WorkingFolder, folder_of
from tests.blobs import stored
from tests.storage.s3_server import ADDRESS, Store, contents, serving

Machine = Callable[[str], Home]


@pytest.fixture
def machine(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The home at the address as a machine of that name sees it when a command begins."""

    def opened(name: str) -> Home:
        monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path / name))
        return Home.at(Path(ADDRESS))

    return opened


def put(home: Home, name: str, data: bytes) -> None:
    path = home.root.joinpath(*name.split("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def read(home: Home) -> dict[str, bytes]:
    names = (path for path in home.root.rglob("*") if path.is_file())
    files = {path.relative_to(home.root).as_posix(): path.read_bytes() for path in names}
    return {name: data for name, data in files.items() if not name.startswith("remote/")}


def settle(home: Home) -> list[str]:
    said: list[str] = []
    working(home).settle(said.append)
    return said


def working(home: Home) -> WorkingFolder:
    assert home.working is not None
    return home.working


def test_what_one_machine_makes_another_has_and_blobs_when_it_reads_them(machine: Machine, store: Store) -> None:
    first = machine("a")
    put(first, "tables/x/all.parquet", b"rows")
    put(first, "dagster/history/runs.db", b"of this machine")
    picture = stored(first, b"picture")
    settle(first)
    second = machine("b")
    assert second.root != first.root
    assert read(second) == {"tables/x/all.parquet": b"rows"}
    store.requests.clear()
    assert second.blobs.has(picture, 7)
    assert not second.blobs.has(picture, 8)
    assert not second.blobs.has("0" * 64)
    assert not store.requests, "the list tells"
    assert second.blobs.read(picture) == b"picture"
    assert second.blobs.path(picture).exists()
    settle(second)
    assert store.requests == [f"GET some/place/objects/{picture}", "GET "], "and nothing is sent back"


def test_what_is_discarded_goes_from_the_store_whether_it_is_here_or_not(machine: Machine, store: Store) -> None:
    first = machine("a")
    put(first, "shards/stays.arrow", b"stays")
    for name in ("shards/goes.arrow", "runs/r/last.pt", "runs/r/model.json", "runs/other/model.json"):
        put(first, name, b"123456789 of " + name.encode())
    for number in range(200):  # more than may be lost unasked
        put(first, f"runs/r/translated/{number}.png", b"%d" % number)
    settle(first)
    second = machine("b")
    assert not (second.root / "shards" / "goes.arrow").exists(), "it is fetched when it is opened"
    assert second.bytes_below(second.shards / "goes.arrow") == len(b"123456789 of shards/goes.arrow")
    for path in (second.shards / "goes.arrow", second.runs / "r"):
        second.discard(path)
        assert not is_there(path)
    settle(second)
    assert contents(store) == {
        hashlib.sha256(data).hexdigest() for data in (b"stays", b"123456789 of runs/other/model.json")
    }
    settle(machine("a"))
    assert sorted(read(first)) == ["runs/other/model.json", "shards/stays.arrow"]


def test_a_home_of_many_files_asks_little(machine: Machine, store: Store) -> None:
    home = machine("a")
    for number in range(300):
        put(home, f"tables/x/{number}.parquet", b"%d" % number)
    settle(home)
    store.requests.clear()
    settle(machine("a"))
    assert store.requests == ["GET ", "GET "], "a command on a current home lists the lists twice"
    put(home, "tables/x/7.parquet", b"other")
    settle(home)
    sent = hashlib.sha256(b"other").hexdigest()
    assert f"PUT some/place/objects/{sent}" in store.requests
    assert len(store.requests) <= 10


def test_what_a_list_sends_does_not_grow_with_the_home(machine: Machine, store: Store) -> None:
    home, other = machine("a"), machine("b")
    for number in range(200):
        put(home, f"tables/x/{number}.parquet", b"%d" % number)
    settle(home)
    other = machine("b")
    sizes = []
    for number in range(40):
        put(home, f"tables/x/{number % 7}.parquet", b"again %d" % number)
        (home.root / "tables" / "x" / f"{100 + number}.parquet").unlink()
        settle(home)
        lists = {name: data for name, data in store.objects.items() if "/lists/" in name}
        sizes.append(len(lists[max(lists)]))
        assert len(lists) <= 17
        if number % 5 == 4:
            put(other, f"tables/y/{number}.parquet", b"%d" % number)
            settle(other)
            settle(home)
    assert sorted(sizes)[len(sizes) // 2] < max(sizes) / 10, "most lists have the changes alone"
    assert read(machine("b")) == read(home) == read(machine("c"))
    assert len(read(home)) == 168


def test_photos_that_went_are_in_no_list_any_more(machine: Machine, store: Store) -> None:
    home = machine("a")
    pictures = [stored(home, b"%d" % number) for number in range(50)]
    settle(home)
    put(home, "tables/x/all.parquet", b"rows")
    settle(home)
    assert len([name for name in store.objects if "/lists/" in name]) == 2
    home.blobs.remove(pictures[7])
    settle(home)
    (packed,) = [data for name, data in store.objects.items() if "/lists/" in name]
    assert pictures[7].encode() not in gzip.decompress(packed)
    assert pictures[8].encode() in gzip.decompress(packed)


@pytest.mark.slow
def test_a_current_home_of_many_blobs_and_partitions_asks_two_things(machine: Machine, store: Store) -> None:
    home = machine("a")
    for number in range(200):
        put(home, f"tables/photo_files/{number}.parquet", b"%d" % number)
    pictures = [stored(home, b"blob %d" % number) for number in range(2000)]
    settle(home)
    store.requests.clear()
    home = machine("a")
    assert all(home.blobs.has(picture) for picture in pictures)
    with home.making("photo_files", "7"):
        pass
    settle(home)
    assert store.requests == ["GET "] * 3
    settle(other := machine("b"))
    assert all(other.blobs.has(picture) for picture in pictures)
    assert len(store.requests) <= 220, "a new machine fetches the tables and no photo"


def test_what_goes_here_goes_there(machine: Machine, store: Store) -> None:
    first = machine("a")
    picture, other = stored(first, b"picture"), stored(first, b"other")
    put(first, "journals/a.jsonl", b"{}")
    settle(first)
    second = machine("b")
    (second.root / "journals" / "a.jsonl").unlink()
    assert second.blobs.remove(picture) == 7, "which this machine never had"
    assert not second.blobs.has(picture)
    settle(second)
    assert contents(store) == {other}
    first = machine("a")
    assert read(first).keys() == {f"blobs/{other[:2]}/{other}"}
    assert not first.blobs.has(picture)


def test_changes_of_two_machines_are_put_together_by_file(machine: Machine) -> None:
    first = machine("a")
    for name in ("tables/x/one.parquet", "tables/x/two.parquet", "tables/x/three.parquet"):
        put(first, name, b"old")
    put(first, "review/reviewed/anna.csv", b"photo_id,decision\n")
    put(first, "bokehflow.toml", b"old")
    put(first, "journals/x.jsonl", b"{}")
    settle(first)
    second = machine("b")
    put(first, "tables/x/one.parquet", b"of a")
    put(second, "tables/x/two.parquet", b"of b")
    for home, text in ((first, b"of a"), (second, b"of b too")):
        for name in ("tables/x/three.parquet", "review/reviewed/anna.csv", "bokehflow.toml", "journals/x.jsonl"):
            put(home, name, text)
        put(home, "tables/x/four.parquet", b"both the same")
    settle(first)
    said = settle(second)
    aside = second.root / "remote" / "set-aside" / f"bokehflow-{hashlib.sha256(b'of b too').hexdigest()[:8]}.toml"
    assert aside.read_bytes() == b"of b too"
    assert any(str(aside) in line for line in said)
    assert any("tables/x/three.parquet: changed here and by another machine" in line for line in said)
    merged = {
        "tables/x/one.parquet": b"of a", "tables/x/two.parquet": b"of b", "tables/x/three.parquet": b"of a",
        "tables/x/four.parquet": b"both the same", "bokehflow.toml": b"of a", "review/reviewed/anna.csv": b"of a",
        f"review/reviewed/anna-{hashlib.sha256(b'of b too').hexdigest()[:8]}.csv": b"of b too",
        "journals/x.jsonl": b"of b too",
    }  # fmt: skip
    assert read(second) == merged
    assert read(machine("a")) == merged


def test_a_photo_that_another_machine_forgot_is_to_be_forgotten_here(machine: Machine) -> None:
    def forgotten(home: Home, photo_id: str) -> None:
        rows = home.tables.read_or_empty("tombstones").astype(object).to_dict("records")
        rows.append({"photo_id": photo_id, "forgotten_s": 5, "purged_s": 6})
        home.tables.write("tombstones", pd.DataFrame(rows))

    first, second = machine("a"), machine("b")
    forgotten(first, "flickr:1")
    forgotten(second, "flickr:2")
    put(first, "bokehflow.toml", b"a")
    settle(first)
    put(second, "bokehflow.toml", b"b")
    settle(second)
    first = machine("a")
    for home, other in ((first, "flickr:2"), (second, "flickr:1")):
        assert sorted(home.tables.read("tombstones")["photo_id"]) == ["flickr:1", "flickr:2"]
        assert unpurged(home) == [other]
        working(home).forgotten([other])
        assert not unpurged(home)
        assert not (home.root / "remote" / "set-aside").exists()


def imported(home: Home, domain: str, photo_ids: list[str]) -> None:
    rows = home.tables.read_or_empty("imports").astype(object).to_dict("records")
    taken = dict.fromkeys(empty("imports").columns)
    taken |= {"file": "a.jpg", "sha256": "0" * 64, "size_bytes": 5, "width_px": 3, "height_px": 2, "format": "JPEG"}
    taken |= {"frames": 1, "imported_at_s": 7, "license": "0", "tags": [], "folder": "/pictures"}
    rows += [{**taken, "domain": domain, "photo_id": photo_id} for photo_id in photo_ids]
    home.tables.write("imports", conform("imports", pd.DataFrame(rows)))


def test_two_machines_import_at_once_and_both_imports_are_there(machine: Machine) -> None:
    first = machine("a")
    imported(first, "ordinary", ["folder:old", "folder:gone"])
    settle(first)
    second = machine("b")
    imported(first, "ordinary", ["folder:1", "folder:both"])
    imported(second, "shallow", ["folder:2", "folder:both"])
    imported(second, "ordinary", ["folder:both"])
    rows = first.tables.read("imports")
    first.tables.write("imports", rows[rows["photo_id"] != "folder:gone"])
    tombstone = {"photo_id": "folder:gone", "forgotten_s": 5, "purged_s": 6}
    first.tables.write("tombstones", pd.DataFrame([tombstone]))
    settle(first)
    said = settle(second)
    assert "tables/imports/all.parquet: changed here and by another machine; the rows of both stay" in said
    rows = machine("a").tables.read("imports")
    ordinary = ["folder:1", "folder:both", "folder:old"]
    assert sorted(rows.loc[rows["domain"] == "ordinary", "photo_id"]) == ordinary, "and what one has forgotten stays gone"
    assert sorted(rows.loc[rows["domain"] == "shallow", "photo_id"]) == ["folder:2", "folder:both"]


def test_eight_writers_of_one_table_end_as_one_would(machine: Machine) -> None:
    homes = [machine(f"w{number}") for number in range(8)]

    def write(number: int) -> None:
        for part in range(3):
            put(homes[number], f"tables/x/{number}-{part}.parquet", b"%d %d" % (number, part))
            put(homes[number], "tables/x/all.parquet", b"of %d, %d" % (number, part))
            settle(homes[number])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    made = read(machine("calm"))
    assert made.pop("tables/x/all.parquet") in {b"of %d, %d" % (number, part) for number in range(8) for part in range(3)}
    assert made == {f"tables/x/{n}-{part}.parquet": b"%d %d" % (n, part) for n in range(8) for part in range(3)}
    for number in range(8):
        assert read(machine(f"w{number}")) == read(machine("calm"))


def test_a_machine_killed_between_contents_and_list_goes_on_beside_another(machine: Machine, store: Store) -> None:
    first, second = machine("a"), machine("b")
    for number in range(5):
        put(first, f"tables/x/{number}.parquet", b"%d" % number)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(first.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(contents(store)) == 5
    assert not [name for name in store.objects if "/lists/" in name], "nothing is committed"
    assert read(machine("c")) == {}
    put(second, "tables/x/other.parquet", b"other")
    settle(second)
    settle(first)
    calm = {**{f"tables/x/{number}.parquet": b"%d" % number for number in range(5)}, "tables/x/other.parquet": b"other"}
    assert read(machine("c")) == read(machine("b")) == read(first) == calm


KILLED = """
import os, signal, sys
from storage import Home
from storage.bucket import Bucket

Bucket.create = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Home.at(sys.argv[1]).working.settle(print)
"""


def test_a_file_that_is_as_large_and_as_old_as_before_is_seen_to_differ(machine: Machine) -> None:
    home = machine("a")
    put(home, "tables/x/all.parquet", b"one")
    settle(home)
    path = home.root / "tables" / "x" / "all.parquet"
    seen = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    settle(home)
    assert read(machine("b")) == {"tables/x/all.parquet": b"two"}


def test_killed_after_the_list_was_put_nothing_is_done_twice(
    machine: Machine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = machine("a")
    put(home, "tables/x/all.parquet", b"one")
    settle(home)
    put(home, "tables/x/all.parquet", b"two")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(WorkingFolder, "_know", killed)
        with pytest.raises(KeyboardInterrupt):
            settle(home)
    assert len(contents(store)) == 2, "the content of before goes when the new list is known to count"
    store.puts.clear()
    settle(machine("a"))
    assert not store.puts
    assert contents(store) == {hashlib.sha256(b"two").hexdigest()}


def test_killed_while_it_sends_the_next_command_goes_on(machine: Machine, store: Store) -> None:
    home = machine("a")
    for number in range(20):
        put(home, f"tables/x/{number}.parquet", b"%d" % number)
    broken = hashlib.sha256(b"7").hexdigest()
    store.fails = lambda method, name: name.endswith(broken)
    with pytest.raises(StorageError, match="run the same command again"):
        settle(home)
    assert not [name for name in store.objects if "/lists/" in name]
    store.fails = lambda method, name: False
    settle(machine("a"))
    assert len(read(machine("b"))) == 20


def test_a_folder_that_was_emptied_does_not_empty_the_store(machine: Machine) -> None:
    home = machine("a")
    for number in range(80):
        put(home, f"tables/x/{number}.parquet", b"%d" % number)
    settle(home)
    for path in (home.root / "tables" / "x").iterdir():
        path.unlink()
    with pytest.raises(StorageError, match="80 of 80 files are gone since the last command"):
        settle(home)
    assert len(read(machine("b"))) == 80


def test_a_store_that_lost_its_lists_is_told_of(machine: Machine, store: Store) -> None:
    home = machine("a")
    put(home, "tables/x/all.parquet", b"one")
    settle(home)
    store.objects.clear()
    with pytest.raises(StorageError, match="its list of number 1 is gone"):
        machine("a")
    assert read(home) == {"tables/x/all.parquet": b"one"}


def test_a_number_that_is_free_again_is_no_way_to_be_first(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = machine("a"), machine("b")
    put(first, "tables/x/one.parquet", b"a")
    put(second, "tables/x/two.parquet", b"b")
    number, calls = Bucket.number, []

    def overtaken(bucket: Bucket) -> int:
        found = number(bucket)
        calls.append(found)
        if len(calls) == 1:
            monkeypatch.setattr(Bucket, "number", number)
            settle(first)
            put(first, "tables/x/one.parquet", b"a, later")
            settle(first)
        return found

    monkeypatch.setattr(Bucket, "number", overtaken)
    settle(second)
    both = {"tables/x/one.parquet": b"a, later", "tables/x/two.parquet": b"b"}
    assert read(second) == both
    assert read(machine("a")) == both


def test_records_of_a_copied_home_go_to_the_first_machine(machine: Machine, store: Store, tmp_path: Path) -> None:
    from storage.copying import send

    old = Home(tmp_path / "old")
    put(old, "dagster/history/runs.db", b"records")
    put(old, "tables/x/all.parquet", b"rows")
    send(old, Bucket(ADDRESS), lambda _: None)
    home = machine("a")
    assert read(home).keys() == {"dagster/history/runs.db", "tables/x/all.parquet"}
    store.puts.clear()
    settle(home)
    assert not store.puts, "to look changes nothing"
    put(home, "tables/x/all.parquet", b"more")
    settle(home)
    assert read(home).keys() == {"dagster/history/runs.db", "tables/x/all.parquet"}
    assert read(machine("b")).keys() == {"tables/x/all.parquet"}


def test_each_address_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path))
    folders = {folder_of(address) for address in ("s3://lab/a", "s3://lab/a/", "s3://lab/b", "gs://lab/a")}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "homes"}


# --- what is fetched when it is opened, and goes again -----------------------------------------------------------------


def old(home: Home, name: str, data: bytes) -> None:
    """A file of some time ago: one that was changed a moment before may be written to still."""
    put(home, name, data)
    os.utime(home.root / name, ns=(1, 1))


def test_shards_weights_and_models_come_when_they_are_opened(machine: Machine, store: Store) -> None:
    first = machine("a")
    lazy = {"shards/a.arrow": b"shard", "weights/w.onnx": b"weights", "runs/r/generator_a_to_b.safetensors": b"model"}
    for name, data in {**lazy, "runs/r/job.json": b"{}"}.items():
        old(first, name, data)
    settle(first)
    second = machine("b")
    assert read(second) == {"runs/r/job.json": b"{}"}
    paths = {name: second.root / name for name in lazy}
    store.requests.clear()
    assert all(is_there(path) for path in paths.values())
    assert not is_there(second.root / "shards" / "b.arrow")
    assert paths_in(second.shards, ".arrow") == [second.shards / "a.arrow"]
    assert not store.requests, "the list tells"
    assert {name: read_plain(path) for name, path in paths.items()} == lazy
    with pytest.raises(FileNotFoundError):
        read_plain(second.root / "shards" / "b.arrow")
    paths["shards/a.arrow"].unlink()
    assert not is_there(paths["shards/a.arrow"]), "somebody deleted it"
    settle(second)
    assert not at_hand(machine("a").root / "shards" / "a.arrow")
    assert at_hand(machine("c").root / "weights" / "w.onnx")


def test_another_version_of_what_is_here_takes_its_place(machine: Machine) -> None:
    first = machine("a")
    old(first, "weights/w.pth", b"one")
    settle(first)
    second = machine("b")
    assert read_plain(second.root / "weights" / "w.pth") == b"one"
    settle(second)
    old(first, "weights/w.pth", b"other")
    settle(first)
    assert read(machine("b")) == {"weights/w.pth": b"other"}


def test_what_was_used_last_goes_last_and_comes_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    home = machine("a")
    pictures = [stored(home, bytes([number]) * 100) for number in range(10)]
    old(home, "shards/a.arrow", b"a" * 100)
    settle(home)
    for number, picture in enumerate(pictures):
        os.utime(home.blobs.path(picture), ns=(100 + number, 1))
    home.blobs.read(pictures[0])
    monkeypatch.setenv("BOKEHFLOW_CACHE_GB", "600e-9")
    settle(home)
    assert [home.blobs.path(one).exists() for one in pictures] == [True, *[False] * 6, *[True] * 3]
    assert (home.shards / "a.arrow").exists(), "which was read when it was sent"
    settle(home)
    other = machine("b")
    for each in (home, other):
        assert all(each.blobs.has(one, 100) for one in pictures)
        assert [each.blobs.read(one) for one in pictures] == [bytes([number]) * 100 for number in range(10)]
        assert read_plain(each.shards / "a.arrow") == b"a" * 100
        settle(each)
        assert sum(state.st_size for _, state in working(each).cache.files()) <= 600
        assert sorted(read(machine("c"))) == []


def test_what_is_not_sent_or_is_in_use_does_not_go(machine: Machine, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    home = machine("a")
    for name in ("used", "other"):
        old(home, f"shards/{name}.arrow", b"a" * 100)
    settle(home)
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(home.shards / "used.arrow"), str(home.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert user.stdout is not None
    assert user.stdout.readline() == b"in use\n"
    unsent = stored(home, b"unsent" * 100)
    monkeypatch.setenv("BOKEHFLOW_CACHE_GB", "1e-9")
    assert working(home).make_room() == 100
    assert [path.name for path in home.shards.iterdir()] == ["used.arrow"]
    assert home.blobs.path(unsent).exists()
    assert at_hand(home.shards / "used.arrow")
    user.kill()
    user.communicate()
    assert working(home).make_room() == 0, "this process has it"
    working(home).cache.release()
    assert working(home).make_room() == 100, "of a killed process nothing is in use"
    settle(home)
    assert not list(home.shards.iterdir())
    assert not home.blobs.path(unsent).exists()
    assert machine("b").blobs.read(unsent) == b"unsent" * 100
    assert [is_there(home.shards / f"{name}.arrow") for name in ("used", "other")] == [True, True]


USER = """
import sys
from pathlib import Path
from pipeline.plain_files import plain_path
from storage import Home

Home.at(sys.argv[2])
plain_path(Path(sys.argv[1]))
print("in use", flush=True)
sys.stdin.read()
"""


def test_killed_while_it_makes_room_a_command_loses_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    home = machine("a")
    for number in range(4):
        old(home, f"shards/{number}.arrow", b"%d" % number * 100)
    settle(home)
    monkeypatch.setenv("BOKEHFLOW_CACHE_GB", "1e-9")
    unlink, gone = Path.unlink, []

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".arrow" and len(gone) == 2:
            raise KeyboardInterrupt
        gone.append(path)
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            working(home).make_room()
    monkeypatch.setenv("BOKEHFLOW_CACHE_GB", "1")
    left = next(machine("a").shards.iterdir())
    left.unlink()
    settle(home)
    assert len(paths_in(machine("b").shards, ".arrow")) == 3, "what somebody deletes is deleted"


def test_two_processes_that_read_and_make_room_at_once_read_all(machine: Machine, tmp_path: Path) -> None:
    home = machine("a")
    pictures = [stored(home, bytes([number]) * 1000) for number in range(40)]
    settle(home)
    environment = {**os.environ, "BOKEHFLOW_CACHE": str(tmp_path / "b"), "BOKEHFLOW_CACHE_GB": "3e-6"}
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, ADDRESS, *pictures], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in readers] == ["40000\n"] * 2
    other = machine("b")
    assert sum(state.st_size for _, state in working(other).cache.files()) <= 3000
    assert other.blobs.read(pictures[0]) == bytes(1000)


def test_what_another_process_deletes_as_it_comes_is_fetched_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = machine("a")
    picture = stored(home, b"picture")
    settle(home)
    other, replace, came = machine("b"), os.replace, []

    def deleted_at_once(temporary: Path, target: Path) -> None:
        replace(temporary, target)
        if target.name == picture and not came:
            came.append(target)
            target.unlink()

    monkeypatch.setattr(os, "replace", deleted_at_once)
    assert other.blobs.read(picture) == b"picture"
    assert came


READER = """
import sys
from storage import Home

home = Home.at(sys.argv[1])
print(sum(len(home.blobs.read(one)) for one in sys.argv[2:]))
home.working.settle(print)
"""


@pytest.mark.parametrize("limit", ["much", "0", "-1", "nan", "1e300"])
def test_what_is_no_limit_of_the_cache_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("BOKEHFLOW_CACHE_GB", limit)
    with pytest.raises(ConfigError, match=f"BOKEHFLOW_CACHE_GB={limit}: give the gigabytes"):
        machine("a")


# --- a store that fails -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [500, 503, -2])
def test_what_fails_a_few_times_is_asked_again(machine: Machine, store: Store, code: int) -> None:
    tries: dict[str, int] = {}

    def ails(method: str, name: str) -> int:
        tries[f"{method} {name}"] = tries.get(f"{method} {name}", 0) + 1
        is_cut = code < 0 and (method != "GET" or not name)
        return 0 if is_cut or tries[f"{method} {name}"] > 2 else code

    store.ails = ails
    home = machine("a")
    put(home, "tables/x/all.parquet", b"one")
    settle(home)
    assert read(machine("b")) == {"tables/x/all.parquet": b"one"}
    assert max(tries.values()) >= 3


def test_a_store_that_goes_on_failing_is_told_of_and_nothing_is_lost(
    machine: Machine, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bucket, "GIVE_UP_S", 1)
    home = machine("a")
    put(home, "tables/x/all.parquet", b"one")
    settle(home)
    cut = hashlib.sha256(b"one").hexdigest()
    store.ails = lambda method, name: -1 if name.endswith(cut) else 0
    with pytest.raises(StorageError, match=rf"{ADDRESS}: (the store failed|tables/x/all.parquet: its content is not)"):
        machine("b")
    store.ails = lambda method, name: 503
    put(home, "tables/x/all.parquet", b"two")
    with pytest.raises(StorageError, match="run the same command again"):
        settle(home)
    with home.making("x", None):
        put(home, "tables/x/all.parquet", b"three")
    assert "goes there later" in caplog.text, "what is made is made, whatever the store"
    store.ails = lambda method, name: 0
    settle(machine("a"))
    assert read(machine("b")) == {"tables/x/all.parquet": b"three"}


def test_a_store_that_is_away_for_a_while_is_waited_for(
    machine: Machine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Store()) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(machine, "a")
        time.sleep(2)
        assert not opened.done()
        with serving(store, int(endpoint.rpartition(":")[2])):
            assert opened.result(60).working


def test_while_a_page_is_open_decisions_go_there_and_others_come(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.working.LOOK_EVERY_S", 0.02)
    monkeypatch.setattr("storage.working.TAKE_OVER_EVERY_S", 0.1)
    page, other = machine("a"), machine("b")
    with page.kept_alike():
        put(page, "review/reviewed/anna.csv", b"keep")
        put(other, "tables/x/all.parquet", b"rows")
        settle(other)
        both = {"review/reviewed/anna.csv": b"keep", "tables/x/all.parquet": b"rows"}
        deadline_s = time.monotonic() + 30
        while read(page) != both or read(machine("b")) != both:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def test_a_row_that_is_written_while_the_file_is_replaced_is_not_lost(machine: Machine) -> None:
    name = "review/reviewed/ann.csv"
    first = machine("a")
    put(first, name, b"photo_id,decision\n1,keep\n")
    settle(first)
    second = machine("b")
    put(first, name, b"photo_id,decision\n1,keep\n2,keep\n")
    settle(first)
    bring, writes = working(second)._bring_all, iter([b"3,drop\n"])

    def late(*arguments: Any) -> None:  # noqa: ANN401
        for row in writes:  # once
            with (second.root / name).open("ab") as file:
                file.write(row)
        bring(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(working(second), "_bring_all", late)
        settle(second)
    rows = {line for file in (second.reviewed).glob("*.csv") for line in file.read_bytes().splitlines()}
    assert {b"1,keep", b"2,keep", b"3,drop"} <= rows


def test_what_a_newer_list_names_is_not_deleted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every journal begins with the same line feed; one ends here while another machine's begins."""
    first = machine("a")
    put(first, "journals/x.jsonl", b"\n")
    put(first, "tables/x/all.parquet", b"1")
    settle(first)
    second = machine("b")
    (first.root / "journals/x.jsonl").unlink()
    put(second, "journals/y.jsonl", b"\n")
    know = working(first)._know

    def late(*arguments: Any) -> None:  # noqa: ANN401
        settle(second)
        know(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(working(first), "_know", late)
        settle(first)
    assert read(machine("c"))["journals/y.jsonl"] == b"\n"
    put(first, "tables/x/all.parquet", b"2")
    settle(first)
    assert read(machine("d"))["journals/y.jsonl"] == b"\n"


def test_photos_of_another_machine_that_come_during_an_import_stay(machine: Machine) -> None:
    first = machine("a")
    imported(first, "ordinary", ["folder:old"])
    settle(first)
    second = machine("b")
    with GrowingImports(second) as growing:
        imported(first, "ordinary", ["folder:theirs"])
        settle(first)
        settle(second)
        told = ImportedPhoto("b.jpg", "folder:mine", "1" * 64, 5, PictureInfo(3, 2, "JPEG", 1), "ordinary", NOTHING_TOLD)
        growing.add([told], {})
    assert {"folder:old", "folder:theirs", "folder:mine"} == set(second.tables.read("imports")["photo_id"])


def test_a_large_file_goes_there_in_parts(machine: Machine) -> None:
    home = machine("a")
    put(home, "tables/x/all.parquet", data := bytes(range(256)) * 2**16)
    settle(home)
    assert read(machine("b")) == {"tables/x/all.parquet": data}


def test_a_store_that_ignores_conditions_is_not_worked_on(machine: Machine, store: Store) -> None:
    store.keeps_conditions = False
    with pytest.raises(StorageError, match="accepts `put if absent` and ignores it"):
        machine("a")


def test_what_is_made_is_sent_at_once(machine: Machine, store: Store) -> None:
    home = machine("a")
    with home.making("x", "2024-01"):
        put(home, "tables/x/2024-01.parquet", b"rows")
    assert contents(store) == {hashlib.sha256(b"rows").hexdigest()}


def doctor(home: Home) -> str:
    (finding,) = _store(home)
    assert finding.is_fatal == bool(finding.remedy)
    return f"{finding.mark} {finding.what}: {finding.found}"


def test_doctor_tells_what_is_wrong_with_the_store(machine: Machine, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**fault: object) -> str:
        with monkeypatch.context() as patched:
            for name, value in fault.items():
                patched.setattr(store, name, value)
            return doctor(Home.left_at(ADDRESS))

    home = machine("a")
    assert doctor(home).startswith(f"ok   home {ADDRESS}: answers and keeps `put if absent`; nothing is there yet")
    put(home, "tables/x/all.parquet", b"one")
    settle(home)
    assert "list 1 is its newest" in found()
    assert "accepts `put if absent` and ignores it" in found(keeps_conditions=False)
    assert "set AWS_REGION" in found(redirects=True)
    assert "clock" in found(is_late=True)
    assert not _store(Home(home.root.parent)), "of a folder there is nothing to say"
    assert not _cache(Home(home.root.parent))
    monkeypatch.setenv("BOKEHFLOW_CACHE_GB", "2")
    assert "0.00 of at most 2.00 GB" in _cache(home)[0].found
    with monkeypatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", "wrong")
        assert "refuses these keys" in found()
    assert "no such bucket" in doctor(Home.left_at("s3://other/place"))


def test_doctor_looks_at_the_rest_where_the_store_cannot_be_used(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOKEHFLOW_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--home", "s3://other/place"], standalone_mode=False)
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "FAIL home s3://other/place: s3://other/place: there is no such bucket" in said
    assert "disk" in said

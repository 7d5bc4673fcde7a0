"""A home to object storage and back: whole, verified, gone on with after any interruption, and clear where it cannot be."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import cli
from pipeline.errors import ConfigError, StorageError
from pipeline.operations.forget import AT_WORK
from storage import Home, bucket
from storage.bucket import Bucket, File, read_list, write_list
from storage.copying import bring, send
from tests.storage.s3_server import ADDRESS, Store, contents

FILES = {
    "bokehflow.toml": b"a = 1\n", "tables/unique_photos.parquet": b"rows", "blobs/ab/abcd": b"x" * 50_000,
    "review/reviewed/anna.csv": b"1", "review/reviewed/same.csv": b"1", "dagster/history/runs.db": b"db",
    "masks/é b+c.png": b"m",
}  # fmt: skip
LEFT_OUT = ("at-work.lock", "making/x.lock", "processes/1.lock", "page-secret", "tables/.a.1-2.tmp", "ui-process.json")


def told(_: str) -> None:
    pass


def fill(root: Path, files: dict[str, bytes]) -> Home:
    for name, data in files.items():
        path = root.joinpath(*name.split("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Home(root)


def read(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = fill(tmp_path / "home", FILES | dict.fromkeys(LEFT_OUT, b"of processes"))
    snapshot = home.root / "bokehflow.toml"
    snapshot.chmod(0o444)
    os.utime(snapshot, ns=(10**18 + 1, 10**18 + 1))
    (home.dagster / "dagster.yaml").symlink_to("/nowhere")
    return home


def test_there_and_back_is_the_same_home(home: Home, store: Store, tmp_path: Path) -> None:
    sent = send(home, Bucket(ADDRESS), told)
    assert (sent.files, sent.sent) == (len(FILES), len(FILES))
    assert contents(store) == {hashlib.sha256(data).hexdigest() for data in FILES.values()}
    assert all(name.startswith("some/place/") for name in store.objects)
    assert store.puts[-1] == "some/place/lists/0000000001.gz", "the list comes last"
    target = tmp_path / "back"
    brought = bring(Bucket(ADDRESS), target, told)
    assert brought.files == len(FILES)
    assert read(target) == FILES
    state = (target / "bokehflow.toml").stat()
    assert (state.st_mode & 0o777, state.st_mtime_ns) == (0o444, 10**18 + 1)
    assert not list(tmp_path.glob("*.unfinished-copy"))


def test_only_what_changed_travels_and_what_is_gone_is_said_and_deleted(home: Home, store: Store, tmp_path: Path) -> None:
    send(home, Bucket(ADDRESS), told)
    (home.root / "blobs" / "ab" / "abcd").unlink()
    (home.root / "tables" / "unique_photos.parquet").write_bytes(b"other rows")
    store.puts.clear()
    again = send(home, Bucket(ADDRESS), told)
    assert (again.sent, again.gone) == (1, ["blobs/ab/abcd"])
    assert [name for name in store.puts if "/objects/" in name] == [
        f"some/place/objects/{hashlib.sha256(b'other rows').hexdigest()}"
    ]
    assert hashlib.sha256(FILES["blobs/ab/abcd"]).hexdigest() not in contents(store), "what was forgotten goes"
    assert [name for name in store.objects if "/lists/" in name] == ["some/place/lists/0000000002.gz"]
    store.puts.clear()
    send(home, Bucket(ADDRESS), told)
    assert not [name for name in store.puts if "/probe/" not in name]
    bring(Bucket(ADDRESS), tmp_path / "back", told)
    assert read(tmp_path / "back") == read_kept(home)


def read_kept(home: Home) -> dict[str, bytes]:
    return {name: data for name, data in read(home.root).items() if name not in LEFT_OUT}


def test_cut_off_on_the_way_there_it_is_no_copy_and_goes_on(home: Home, store: Store, tmp_path: Path) -> None:
    broken = hashlib.sha256(FILES["tables/unique_photos.parquet"]).hexdigest()
    store.fails = lambda method, name: method == "PUT" and name.endswith(broken)
    with pytest.raises(StorageError, match="run the same command again"):
        send(home, Bucket(ADDRESS), told)
    with pytest.raises(StorageError, match="no whole copy"):
        bring(Bucket(ADDRESS), tmp_path / "back", told)
    assert not (tmp_path / "back").exists()
    had = contents(store)
    assert had
    store.fails = lambda method, name: False
    store.puts.clear()
    send(home, Bucket(ADDRESS), told)
    assert not [name for name in store.puts if name[-64:] in had]


def test_cut_off_on_the_way_back_it_is_no_home_and_goes_on(home: Home, store: Store, tmp_path: Path) -> None:
    send(home, Bucket(ADDRESS), told)
    broken = hashlib.sha256(b"m").hexdigest()
    store.fails = lambda method, name: method == "GET" and name.endswith(broken)
    target = tmp_path / "back"
    with pytest.raises(StorageError):
        bring(Bucket(ADDRESS), target, told)
    assert not target.exists()
    store.fails = lambda method, name: False
    (tmp_path / "back.unfinished-copy" / "blobs" / "ab" / "abcd").write_bytes(b"half")
    (tmp_path / "back.unfinished-copy" / "stray").write_bytes(b"of another copy")
    assert 0 < bring(Bucket(ADDRESS), target, told).sent < len(FILES)
    assert read(target) == FILES


def test_altered_content_is_found(home: Home, store: Store, tmp_path: Path) -> None:
    send(home, Bucket(ADDRESS), told)
    (name,) = [name for name in store.objects if name.endswith(hashlib.sha256(b"rows").hexdigest())]
    store.objects[name] = b"rowz"
    with pytest.raises(StorageError, match=r"tables/unique_photos.parquet: its content is not what the list says"):
        bring(Bucket(ADDRESS), tmp_path / "back", told)
    assert not (tmp_path / "back").exists()


def test_a_store_that_ignores_conditions_is_refused(home: Home, store: Store) -> None:
    store.keeps_conditions = False
    with pytest.raises(StorageError, match="accepts `put if absent` and ignores it"):
        send(home, Bucket(ADDRESS), told)
    assert not store.objects


def test_of_two_copies_at_once_one_is_refused(home: Home, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = Bucket.newest

    def and_another_finishes(bucket: Bucket) -> tuple[int, dict[str, File]]:
        found = newest(bucket)
        store.objects["some/place/lists/0000000001.gz"] = write_list({})
        return found

    monkeypatch.setattr(Bucket, "newest", and_another_finishes)
    with pytest.raises(StorageError, match="another copy was finished there meanwhile"):
        send(home, Bucket(ADDRESS), told)
    assert contents(store), "nothing that the other may need is deleted"


def test_wrong_keys_bucket_region_and_network_are_told_apart(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="there is no such bucket"):
        send(home, Bucket("s3://other/place"), told)
    store.redirects = True
    with pytest.raises(StorageError, match="AWS_REGION"):
        send(home, Bucket(ADDRESS), told)
    store.redirects = False
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    with pytest.raises(StorageError, match="refuses these keys"):
        bring(Bucket(ADDRESS), tmp_path / "back", told)
    monkeypatch.setattr(bucket, "GIVE_UP_S", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be reached"):
        send(home, Bucket(ADDRESS), told)


@pytest.mark.parametrize("address", ["http://lab/x", "s3://", "s3:///x", "s3://lab/x?a=b", "ftp://lab"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="s3://BUCKET/PREFIX"):
        Bucket(address)


def test_keys_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="must hold no keys") as refused:
        Bucket("s3://key:secret@lab/x")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        b"no gzip",
        write_list({"a": File(1, bucket.sha256_of("0" * 64), 1, 0o600)})[:-9],
        write_list({"../a": File(1, bucket.sha256_of("0" * 64), 1, 0o600)}),
        write_list({"remote/address": File(1, bucket.sha256_of("0" * 64), 1, 0o600)}),
        write_list({"page-secret": File(1, bucket.sha256_of("0" * 64), 1, 0o600)}),
        write_list({"a": File(-1, bucket.sha256_of("0" * 64), 1, 0o600)}),
    ],
)
def test_damaged_lists_are_refused(data: bytes) -> None:
    with pytest.raises(StorageError, match="list of the copy's files is damaged"):
        read_list(data, "s3://lab")


def test_an_object_longer_than_its_list_says_ends_there(tmp_path: Path) -> None:
    taken: list[int] = []

    def for_ever() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield b"x" * 100

    wanted = File(250, bucket.sha256_of("0" * 64), 1, 0o600)
    with pytest.raises(StorageError, match="not what the list says"):
        bucket.write_checked(tmp_path / "a", for_ever(), wanted, "s3://lab")
    assert len(taken) == 3
    assert not [*tmp_path.iterdir()]


def call(*arguments: str) -> None:
    cli.main(["home", "copy", *arguments], standalone_mode=False)


def test_a_home_that_may_not_be_written_is_copied_and_left_as_it_is(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with home.lock(AT_WORK, shared=True):
        monkeypatch.setattr(Home, "is_read_only", True)
        before = read(home.root)
        with pytest.raises(StorageError, match=f"process {os.getpid()} is at work in this home"):
            call(str(home.root), str(tmp_path / "copy"))
    call(str(home.root), str(tmp_path / "copy"))
    (home.root / f"{AT_WORK}.lock").unlink()
    call(str(home.root), str(tmp_path / "second"))
    assert read_kept(Home(tmp_path / "second")) == read_kept(Home(tmp_path / "copy")) == FILES
    del before[f"{AT_WORK}.lock"]
    assert read(home.root) == before


def test_a_home_is_read_only_where_its_folder_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Home(tmp_path).is_read_only
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert Home(tmp_path).is_read_only
    assert not Home(tmp_path / "new").is_read_only


def test_the_command(home: Home, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, back = str(home.root), tmp_path / "back"
    with home.lock(AT_WORK, shared=True), pytest.raises(StorageError, match="at work in this home"):
        call(root, ADDRESS)
    with home.lock(AT_WORK, shared=True):
        call(root, ADDRESS, "--at-work")
    call(ADDRESS, str(back))
    assert f"{len(FILES)} files, {len(FILES)} of them sent" in capsys.readouterr().out
    call(str(back), str(tmp_path / "third"))
    assert read_kept(Home(tmp_path / "third")) == FILES
    with pytest.raises(ConfigError, match="not empty"):
        call(ADDRESS, str(back))
    with pytest.raises(ConfigError, match="must be a folder"):
        call(ADDRESS, f"{ADDRESS}2")
    with pytest.raises(ConfigError, match="there is no home"):
        call(str(tmp_path / "nothing"), ADDRESS)
    with pytest.raises(ConfigError, match="lies in the home"):
        call(root, f"{root}/copy")

"""A home between a folder and object storage: `s3://`, `gs://` or `az://`, whole or not at all.

In the store every file lies under the digest of its content, `objects/<sha256>`, and a numbered list, `lists/<number>.gz`,
says which file has which content. The list is put last, only where none has its number, so that a copy that was cut off is
none, what it has sent is not sent again, and of two that copy at once one is refused. In a folder the files are collected
beside the target, which takes its name at the end.
"""

import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from pipeline.atomic import atomic_path, is_temporary, sync
from pipeline.errors import ConfigError, StorageError, UnsafeName, disk_failed
from pipeline.file_names import Sha256, child, inside, is_sha256, sha256_of
from pipeline.plain_files import open_plain, read_plain
from storage.home import Home

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")
FORMAT = 1
AT_ONCE = 8
"""Files that travel at the same time."""
AT_A_CALL = 1000
"""Objects that one call lists or deletes."""
IN_MEMORY_BYTES = 8 * 2**20
"""Files up to this size are read once, so that what is sent is what was hashed, whoever writes meanwhile."""
CHUNK_BYTES = 2**20
GIVE_UP_S = 60
"""A store that does not answer for so long is not reachable."""
KEPT_UNNAMED = timedelta(days=1)
"""So long an object that no list names may belong to a copy at work."""
MAX_LIST_BYTES = 2**32
OF_PROCESSES = ("making", "processes", "ui-process.json", "page-secret")
"""Parts of a home that mean something to processes of one machine alone, or are its secret."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class File:
    """One file of a home as a list has it: size in bytes, digest, time of its last change, rights."""

    size: int
    sha256: Sha256
    mtime_ns: int
    mode: int

    @classmethod
    def of(cls, written: list[Any]) -> "File":
        """From a line of a list, without the name. Raises `ValueError` or `StorageError` for anything else."""
        size, sha256, mtime_ns, mode = written
        if not all(type(number) is int and 0 <= number < 2**63 for number in (size, mtime_ns, mode)):
            raise ValueError
        return cls(size, sha256_of(sha256), mtime_ns, mode & 0o777)


@dataclass
class Copied:
    """What a copy did: files in all, those whose content had to be sent, their bytes, and what the target had and lost."""

    files: int = 0
    sent: int = 0
    sent_bytes: int = 0
    gone: list[str] = field(default_factory=list)


def is_address(text: object) -> bool:
    """Whether it names object storage."""
    return isinstance(text, str) and "://" in text


# --- the store ----------------------------------------------------------------------------------------------------------


class Bucket:
    """A home's copies in object storage, at `scheme://bucket/prefix`; keys, region and endpoint come by the environment."""

    def __init__(self, address: str) -> None:
        """Raises `ConfigError` for an address of another form, or without the extra; asks nothing of the store yet."""
        parts = urlsplit(address)
        if parts.scheme not in SCHEMES or not parts.netloc or parts.query or parts.fragment:
            raise ConfigError(f"{address!r}: an address of object storage is s3://BUCKET/PREFIX, or gs:// or az:// instead")
        if parts.username or parts.password:
            raise ConfigError("an address must hold no keys: they come by the environment, such as AWS_ACCESS_KEY_ID")
        try:
            from obstore.store import from_url
        except ImportError:
            raise ConfigError(f"{address}: pip install 'bokehflow[cloud]' brings what object storage needs") from None
        self.address = address.rstrip("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        options: Any = {"timeout": f"{GIVE_UP_S}s", "connect_timeout": "10s"}
        if urlsplit(endpoint).hostname in ("127.0.0.1", "::1", "localhost"):
            options["allow_http"] = True
        retries: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=GIVE_UP_S)}
        with self._told():
            self._store: ObjectStore = from_url(self.address, client_options=options, retry_config=retries)

    def check_conditions(self) -> None:
        """Raise `StorageError` where *put if absent* is not kept: two copies at once would overwrite one another's list."""
        name = f"probe/{uuid4().hex}"
        if not self.create(name, b"1"):
            raise StorageError(f"{self.address}: the store says of a new, random name that it is taken")
        try:
            if self.create(name, b"2"):
                raise StorageError(
                    f"{self.address}: the store accepts `put if absent` and ignores it, so that two copies at once could "
                    "destroy one another; use a store that keeps the condition, such as S3, R2, Google's, MinIO or Ceph"
                )
        finally:
            self.delete([name])

    def create(self, name: str, data: bytes) -> bool:
        """Put where there is none of that name; False where there is one."""
        from obstore.exceptions import AlreadyExistsError

        with self._told():
            try:
                self._store.put(name, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def put(self, sha256: Sha256, data: bytes | Path) -> None:
        """Put a content under its digest."""
        with self._told():
            self._store.put(f"objects/{sha256}", data)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of an object. Raises `StorageError` where it is not there, or stops coming."""
        with self._told():
            for chunk in self._store.get(name).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def listed(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """Name without the prefix, size and last change of the objects below `prefix/`."""
        with self._told():
            for batch in self._store.list(prefix=prefix, chunk_size=AT_A_CALL):
                for one in batch:
                    yield one["path"].rpartition(f"{prefix}/")[2], one["size"], one["last_modified"]

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, whether they are there or not."""
        paths = list(names)
        with self._told():
            for start in range(0, len(paths), AT_A_CALL):
                self._store.delete(paths[start : start + AT_A_CALL])

    def newest(self) -> tuple[int, dict[str, File]]:
        """Number and content of the newest list; 0 and nothing where no copy is whole."""
        numbers = [int(name[:-3]) for name, *_ in self.listed("lists") if name.endswith(".gz") and name[:-3].isdigit()]
        if not numbers:
            return 0, {}
        return max(numbers), read_list(b"".join(self.chunks(list_name(max(numbers)))), self.address)

    @contextmanager
    def _told(self) -> Iterator[None]:
        from obstore import exceptions

        try:
            yield
        except (exceptions.BaseError, FileNotFoundError, PermissionError, ValueError, OSError) as error:
            raise StorageError(f"{self.address}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """What a store's error means to a person."""
    from obstore import exceptions

    text = " ".join(str(error).partition("Debug source")[0].split())
    lower = text.lower()
    if "nosuchbucket" in lower or "container does not exist" in lower or "bucket does not exist" in lower:
        return "there is no such bucket; make it, or correct the address"
    if (
        "redirect" in lower
        or "wrong region" in lower
        or "incorrect region" in lower
        or "authorizationheadermalformed" in lower
    ):
        return f"the store sends to another region or endpoint; set AWS_REGION or AWS_ENDPOINT_URL ({text[:200]})"
    refused = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError)
    if isinstance(error, refused) or "invalidaccesskeyid" in lower or "signaturedoesnotmatch" in lower:
        return f"the store refuses these keys; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or their like ({text[:200]})"
    if isinstance(error, FileNotFoundError | exceptions.NotFoundError):
        return f"an object or the bucket is not there ({text[:200]})"
    if "error sending request" in lower or "timed out" in lower or "connect" in lower:
        return f"it cannot be reached; check network and AWS_ENDPOINT_URL, then run the same command again ({text[:200]})"
    return f"the store failed; run the same command again to go on ({text[:300]})"


def list_name(number: int) -> str:
    """The object that holds the list of that number."""
    return f"lists/{number:010}.gz"


def write_list(files: Mapping[str, File]) -> bytes:
    """A list as an object: its format and length, then a line for each file."""
    lines = [{"format": FORMAT, "files": len(files)}]
    rows = [[name, one.size, one.sha256, one.mtime_ns, one.mode] for name, one in sorted(files.items())]
    return gzip.compress("\n".join(map(json.dumps, [*lines, *rows])).encode(), mtime=0)


def read_list(data: bytes, place: str) -> dict[str, File]:
    """The files that a list names. Raises `StorageError` where it is damaged, or names what is outside a home."""
    try:
        with gzip.open(io.BytesIO(data)) as unpacked:
            head, *rows = unpacked.read(MAX_LIST_BYTES).decode().split("\n")
        about = json.loads(head)
        if about["format"] != FORMAT:
            raise StorageError(f"{place}: the copy has format {about['format']!r}; a newer bokehflow made it")
        files = {name: File.of(rest) for name, *rest in map(json.loads, rows)}
        for name in files:
            inside(Path("home"), name)
        if len(files) != about["files"]:
            raise ValueError
    except (OSError, EOFError, ValueError, TypeError, KeyError, UnsafeName) as error:
        raise StorageError(
            f"{place}: the list of the copy's files is damaged ({type(error).__name__}); copy again"
        ) from None
    return files


# --- a folder -----------------------------------------------------------------------------------------------------------


def files_of(home: Home) -> dict[str, Path]:
    """The files that make up a home, by their names in it; none that a process of this machine alone needs."""
    found: dict[str, Path] = {}
    seen: set[tuple[int, int]] = set()
    # Links are followed, since a lab may keep pictures on another disk; round in a circle they lead nowhere.
    for parent, folders, files in os.walk(home.root, followlinks=True):
        state, top = os.stat(parent), Path(parent) == home.root
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = [name for name in folders if not is_temporary(name) and not (top and name in OF_PROCESSES)]
        for name in files:
            path = Path(parent, name)
            is_settings = path == Path(home.dagster, "dagster.yaml") and path.is_symlink()
            if is_temporary(name) or is_settings or (top and (name in OF_PROCESSES or name.endswith(".lock"))):
                continue
            found[path.relative_to(home.root).as_posix()] = path
    return found


def _seen(path: Path, sha256: Sha256, size: int) -> File:
    state = path.stat()
    return File(size, sha256, state.st_mtime_ns, state.st_mode & 0o777)


def _digest(path: Path) -> tuple[Sha256, int]:
    """Digest and length of what was read, which belong together even where the file grows meanwhile."""
    with open_plain(path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return sha256_of(digest.hexdigest()), file.tell()


# --- from one to the other ----------------------------------------------------------------------------------------------


def send(home: Home, bucket: Bucket, say: Say) -> Copied:
    """Copy a home's folder into object storage. Raises `StorageError`; run again, it goes on."""
    bucket.check_conditions()
    number, before = bucket.newest()
    there = {name: size for name, size, _ in bucket.listed("objects")}
    copied, files = Copied(), {}

    def one(item: tuple[str, Path]) -> tuple[str, File, bool]:
        name, path = item
        size = path.stat().st_size
        data = read_plain(path, IN_MEMORY_BYTES) if size <= IN_MEMORY_BYTES else None
        sha256, size = (sha256_of(hashlib.sha256(data).hexdigest()), len(data)) if data is not None else _digest(path)
        seen = _seen(path, sha256, size)
        is_new = there.get(sha256) != size
        if is_new:
            bucket.put(sha256, path if data is None else data)
            if data is None and _seen(path, sha256, path.stat().st_size) != seen:
                raise StorageError(f"{path}: it changed while it was copied; end what writes there and copy again")
        return name, seen, is_new

    try:
        for name, seen, is_new in _many(one, sorted(files_of(home).items())):
            files[name] = seen
            copied.sent += is_new
            copied.sent_bytes += seen.size * is_new
            if len(files) % 1000 == 0:
                say(f"{len(files):,} files looked at, {copied.sent:,} sent ({copied.sent_bytes / 1e6:,.0f} MB)")
    except OSError as error:
        raise disk_failed(error, home.root) from error
    copied.files, copied.gone = len(files), sorted(before.keys() - files.keys())
    if files != before and not bucket.create(list_name(number + 1), write_list(files)):
        raise StorageError(f"{bucket.address}: another copy was finished there meanwhile; copy again")
    _clean(bucket, number + (files != before), files, before)
    return copied


def _clean(bucket: Bucket, number: int, files: Mapping[str, File], before: Mapping[str, File]) -> None:
    """Delete older lists, and contents that no list needs: what was forgotten in the home goes here as well."""
    needed, named = {one.sha256 for one in files.values()}, {one.sha256 for one in before.values()}
    bucket.delete([f"lists/{name}" for name, *_ in bucket.listed("lists") if f"lists/{name}" < list_name(number)])
    old = datetime.now(UTC) - KEPT_UNNAMED
    unneeded = [
        name for name, _, changed in bucket.listed("objects")
        if is_sha256(name) and name not in needed and (name in named or changed < old)
    ]  # fmt: skip
    bucket.delete([f"objects/{name}" for name in unneeded])


def bring(bucket: Bucket, target: Path, say: Say) -> Copied:
    """Copy a home out of object storage into a folder that is empty or not there; it appears when all of it is verified."""
    number, files = bucket.newest()
    if not number:
        raise StorageError(f"{bucket.address}: no whole copy of a home is there; one that was cut off is not used")

    def fetch(name: str, path: Path) -> None:
        _write(path, bucket.chunks(f"objects/{files[name].sha256}"), files[name], f"{bucket.address}: {name}")

    return _collect(files, target, fetch, say)


def duplicate(home: Home, target: Path, say: Say) -> Copied:
    """Copy a home's folder into another that is empty or not there, verified likewise."""
    paths = files_of(home)
    files = {name: _seen(path, *_digest(path)) for name, path in paths.items()}

    def fetch(name: str, path: Path) -> None:
        with open_plain(paths[name]) as file:
            _write(path, iter(lambda: file.read(CHUNK_BYTES), b""), files[name], str(paths[name]))

    return _collect(files, target, fetch, say)


def _collect(files: Mapping[str, File], target: Path, fetch: Callable[[str, Path], None], say: Say) -> Copied:
    check_target(target)
    unfinished = child(target.parent, f"{target.name}.unfinished-copy")
    copied = Copied()

    def one(name: str) -> bool:
        path, wanted = inside(unfinished, name), files[name]
        is_new = not (path.is_file() and _digest(path) == (wanted.sha256, wanted.size))
        if is_new:
            fetch(name, path)
        path.chmod(wanted.mode | 0o400)
        os.utime(path, ns=(wanted.mtime_ns, wanted.mtime_ns))
        return is_new

    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        for path in [path for path in unfinished.rglob("*") if path.is_file()]:
            if path.relative_to(unfinished).as_posix() not in files:  # of a copy of before, or half written
                path.unlink()
        for (name, wanted), is_new in zip(files.items(), _many(one, files), strict=True):
            copied.files += 1
            copied.sent += is_new
            copied.sent_bytes += wanted.size * is_new
            if copied.files % 1000 == 0:
                say(f"{copied.files:,} of {len(files):,} files are there, the last {name}")
        sync(unfinished)
        os.replace(unfinished, target)
        sync(target.parent)
    except OSError as error:
        raise disk_failed(error, target) from error
    return copied


def check_target(target: Path) -> None:
    """Raise `ConfigError` for a target that holds something: two homes are not mixed."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ConfigError(f"{target}: it is not empty; a home is copied into a folder that is new or empty")


def _write(path: Path, chunks: Iterable[bytes], wanted: File, source: str) -> None:
    with atomic_path(path) as temporary:
        digest, size = hashlib.sha256(), 0
        with temporary.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        if (digest.hexdigest(), size) != (wanted.sha256, wanted.size):
            raise StorageError(f"{source}: its content is not what the list says; copy from the home again")


def _many(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Results in order. Where one fails, those that have not begun are left."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="copy")
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)

"""A home's files in object storage: contents under their digests, and numbered lists of which file has which content.

In the store every content lies at `objects/<sha256>`, and `lists/<number>.gz` says which file has which; the list of the
highest number counts. A list is put after all that it names, and only where none has its number. It is whole, or has the
changes since the list before it, so that what is sent does not grow with the home.
"""

import gzip
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from pipeline.atomic import atomic_path, is_temporary
from pipeline.errors import ConfigError, StorageError, UnsafeName
from pipeline.file_names import Sha256, inside, sha256_of
from pipeline.plain_files import open_plain, read_plain

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")
FORMAT, CHANGES = 1, 2
"""Of a whole list, and of one that has the changes since the list before it."""
WHOLE_EVERY = 16
"""So many lists follow one another at most until one is whole."""
AT_ONCE = 8
"""Files that travel at the same time."""
AT_A_CALL = 1000
"""Objects that one call lists or deletes."""
IN_MEMORY_BYTES = 8 * 2**20
"""Files up to this size are read once, so that what is sent is what was hashed, whoever writes meanwhile."""
CHUNK_BYTES = 2**20
GIVE_UP_S = 60
"""A store that does not answer for so long is not reachable."""
FETCHES = 3
"""So often a content is asked for that comes cut or altered."""
MAX_LIST_BYTES = 2**32
OF_PROCESSES = ("making", "processes", "ui-process.json", "page-secret")
"""Parts of a home that mean something to processes of one machine alone, or are its secret."""
WORKING = "remote"
"""Folder of a home that is worked on at an address: what is known of the store, and where it is."""


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
        retries: Any = {"max_retries": 1000, "retry_timeout": timedelta(seconds=GIVE_UP_S)}
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

    def write(self, name: str, data: bytes) -> None:
        """Put, in place of what may have that name."""
        with self._told():
            self._store.put(name, data, use_multipart=False)

    def put(self, sha256: Sha256, data: bytes | Path) -> None:
        """Put a content under its digest."""
        with self._told():
            if isinstance(data, bytes):  # which one request takes
                self._store.put(f"objects/{sha256}", data, use_multipart=False)
            else:
                self._store.put(f"objects/{sha256}", data)

    def take(self, path: Path, has: Callable[[Sha256, int], bool]) -> tuple[File, bool]:
        """Put a file's content, unless the store `has` it; the file as a list has it, and whether it was put.

        Raises `StorageError` for a file that is written to meanwhile.
        """
        size = path.stat().st_size
        data = read_plain(path, IN_MEMORY_BYTES) if size <= IN_MEMORY_BYTES else None
        sha256, size = (sha256_of(hashlib.sha256(data).hexdigest()), len(data)) if data is not None else digest_of(path)
        file = file_at(path, sha256, size)
        is_new = not has(sha256, size)
        if is_new:
            self.put(sha256, path if data is None else data)
            if data is None and file_at(path, sha256, path.stat().st_size) != file:
                raise StorageError(f"{path}: it changed while it was copied; end what writes there and copy again")
        return file, is_new

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of an object. Raises `StorageError` where it is not there, or stops coming."""
        with self._told():
            for chunk in self._store.get(name).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def content(self, name: str) -> bytes:
        """An object whole, asked for a few times where it comes cut. Raises `StorageError` as `chunks` does."""
        for tries_left in reversed(range(FETCHES)):
            try:
                return b"".join(self.chunks(name))
            except StorageError:
                if not tries_left:
                    raise
        raise AssertionError

    def listed(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """Name without the prefix, size and last change of the objects below `prefix/`."""
        with self._told():
            for batch in self._store.list(prefix=prefix, chunk_size=AT_A_CALL):
                for one in batch:
                    yield one["path"].rpartition(f"{prefix}/")[2], one["size"], one["last_modified"]

    def changed(self, name: str) -> datetime | None:
        """When the object was put, by the store's clock; None where there is none."""
        from obstore.exceptions import NotFoundError

        with self._told():
            try:
                return self._store.head(name)["last_modified"]
            except (NotFoundError, FileNotFoundError):
                return None

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, whether they are there or not."""
        paths = list(names)
        with self._told():
            for start in range(0, len(paths), AT_A_CALL):
                self._store.delete(paths[start : start + AT_A_CALL])

    def number(self) -> int:
        """Number of the newest list; 0 where there is none."""
        return max(self._numbers(), default=0)

    def newest(self, known: int = 0, files: Mapping[str, File] | None = None) -> tuple[int, dict[str, File]]:
        """Number and content of the newest list; 0 and nothing where no copy is whole.

        Where the list of the number `known` is known, with its `files`, only those after it are read.
        """
        number = self.number()
        while number:
            try:
                return number, self._files_of(number, known, files or {})
            except StorageError:
                newer = self.number()  # which takes its place
                if newer <= number:
                    raise
                number = newer
        return 0, {}

    def _files_of(self, number: int, known: int, files: Mapping[str, File]) -> dict[str, File]:
        later: list[bytes] = []
        for at in range(number, max(0, number - WHOLE_EVERY), -1):
            if at == known:
                found = dict(files)
                break
            data = self.content(list_name(at))
            if not is_changes(data, self.address):
                found = read_list(data, self.address)
                break
            later.append(data)
        else:
            raise StorageError(f"{self.address}: no whole list comes before list {number}; copy again")
        for data in reversed(later):
            read_changes(data, found, self.address)
        return found

    def delete_lists_before(self, number: int) -> None:
        """Delete the lists that one of this number takes the place of."""
        if older := [list_name(one) for one in self._numbers() if one < number]:
            self.delete(older)

    def _numbers(self) -> list[int]:
        return [int(name[:-3]) for name, *_ in self.listed("lists") if name.endswith(".gz") and name[:-3].isdigit()]

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
    if "requesttimetooskewed" in lower:
        return "the store's clock and this machine's differ by minutes; set this machine's"
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
    return _packed({"format": FORMAT, "files": len(files)}, files)


def write_changes(files: Mapping[str, File], before: Mapping[str, File], number: int) -> bytes:
    """A list of that number after `before`: its changes; or whole, where these are many, a photo went, or it is time."""
    gone = sorted(before.keys() - files.keys())
    changed = {name: file for name, file in files.items() if before.get(name) != file}
    if number % WHOLE_EVERY == 1 or 4 * (len(gone) + len(changed)) > len(files) or any(map(is_blob, gone)):
        return write_list(files)
    return _packed({"format": CHANGES, "files": len(files), "gone": gone, "changed": len(changed)}, changed)


def is_blob(name: str) -> bool:
    """Whether the file is a photo, of which no list shall tell once it is forgotten."""
    return name.startswith("blobs/")


def _packed(head: Mapping[str, object], files: Mapping[str, File]) -> bytes:
    rows = [[name, one.size, one.sha256, one.mtime_ns, one.mode] for name, one in sorted(files.items())]
    return gzip.compress("\n".join(map(json.dumps, [head, *rows])).encode(), mtime=0)


def is_changes(data: bytes, place: str) -> bool:
    """Whether the list has the changes since the one before it. Raises `StorageError` as `read_list` does."""
    with _damage_told(place), gzip.open(io.BytesIO(data)) as unpacked:
        return json.loads(unpacked.readline(MAX_LIST_BYTES))["format"] == CHANGES


def read_list(data: bytes, place: str) -> dict[str, File]:
    """The files that a whole list names.

    Raises `StorageError` where it is damaged, or names what is outside a home or a machine's own: no list holds where a
    working folder's store is, or the pages' secret.
    """
    with _damage_told(place):
        about, files = _unpacked(data)
        if about["format"] != FORMAT:
            raise StorageError(f"{place}: the copy has format {about['format']!r}; a newer bokehflow made it")
        if len(files) != about["files"]:
            raise ValueError
        return files


def read_changes(data: bytes, files: dict[str, File], place: str) -> None:
    """Make the files of the list before those of this one, which has the changes. Raises as `read_list` does."""
    with _damage_told(place):
        about, changed = _unpacked(data)
        for name in about["gone"]:
            del files[name]
        files.update(changed)
        if (len(files), len(changed)) != (about["files"], about["changed"]):
            raise ValueError


def _unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, File]]:
    with gzip.open(io.BytesIO(data)) as unpacked:
        head, *rows = unpacked.read(MAX_LIST_BYTES).decode().split("\n")
    files = {name: File.of(rest) for name, *rest in map(json.loads, rows)}
    for name in files:
        inside(Path("home"), name)
        if name.partition("/")[0] in (*OF_PROCESSES, WORKING):
            raise ValueError
    return json.loads(head), files


@contextmanager
def _damage_told(place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, TypeError, KeyError, UnsafeName) as error:
        raise StorageError(
            f"{place}: the list of the copy's files is damaged ({type(error).__name__}); copy again"
        ) from None


# --- a folder -----------------------------------------------------------------------------------------------------------


def files_of(root: Path) -> dict[str, Path]:
    """The files that make up a home, by their names in it; none that a process of this machine alone needs."""
    found: dict[str, Path] = {}
    seen: set[tuple[int, int]] = set()
    # Links are followed, since a lab may keep pictures on another disk; round in a circle they lead nowhere.
    for parent, folders, files in os.walk(root, followlinks=True):
        state, top = os.stat(parent), Path(parent) == root
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = [name for name in folders if not is_temporary(name) and not (top and name in (*OF_PROCESSES, WORKING))]
        for name in files:
            path = Path(parent, name)
            is_settings = path == Path(root, "dagster", "dagster.yaml") and path.is_symlink()
            if is_temporary(name) or is_settings or (top and (name in OF_PROCESSES or name.endswith(".lock"))):
                continue
            found[path.relative_to(root).as_posix()] = path
    return found


def file_at(path: Path, sha256: Sha256, size: int) -> File:
    state = path.stat()
    return File(size, sha256, state.st_mtime_ns, state.st_mode & 0o777)


def digest_of(path: Path) -> tuple[Sha256, int]:
    """Digest and length of what was read, which belong together even where the file grows meanwhile."""
    with open_plain(path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return sha256_of(digest.hexdigest()), file.tell()


# --- what travels -------------------------------------------------------------------------------------------------------


def write_checked(
    path: Path, chunks: Iterable[bytes], wanted: File, source: str, before: Callable[[], None] = lambda: None
) -> None:
    """Write a file from what the store sends; `before` is called when all is there, before it takes its place."""
    with atomic_path(path) as temporary:
        digest, size = hashlib.sha256(), 0
        with temporary.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                if size > wanted.size:  # it may go on for ever
                    break
                file.write(chunk)
        if (digest.hexdigest(), size) != (wanted.sha256, wanted.size):
            raise StorageError(f"{source}: its content is not what the list says; copy from the home again")
        mark(temporary, wanted)  # before it has its name, under which another process may delete it to make room
        before()


def mark(path: Path, wanted: File) -> None:
    """Give a file the rights and the time of its last change that its list says, and now as that of its last use."""
    path.chmod(wanted.mode | 0o400)
    os.utime(path, ns=(time.time_ns(), wanted.mtime_ns))


def many(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Results in order. Where one fails, those that have not begun are left."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="copy")
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)

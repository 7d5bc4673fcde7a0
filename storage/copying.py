"""A home between a folder and object storage: `s3://`, `gs://` or `az://`, whole or not at all.

In the store it lies as `storage.bucket` says. The list is put last, so that a copy that was cut off is none, what it has
sent is not sent again, and of two that copy at once one is refused. In a folder the files are collected beside the target,
which takes its name at the end.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.atomic import sync
from pipeline.errors import ConfigError, StorageError, disk_failed
from pipeline.file_names import child, inside, is_sha256
from pipeline.plain_files import open_plain
from storage.bucket import (
    CHUNK_BYTES,
    Bucket,
    File,
    digest_of,
    file_at,
    files_of,
    list_name,
    many,
    mark,
    write_checked,
    write_list,
)
from storage.home import Home

KEPT_UNNAMED = timedelta(days=1)
"""So long an object that no list names may belong to a copy at work."""

Say = Callable[[str], None]


@dataclass
class Copied:
    """What a copy did: files in all, those whose content had to be sent, their bytes, and what the target had and lost."""

    files: int = 0
    sent: int = 0
    sent_bytes: int = 0
    gone: list[str] = field(default_factory=list)


# --- from one to the other ----------------------------------------------------------------------------------------------


def send(home: Home, bucket: Bucket, say: Say) -> Copied:
    """Copy a home's folder into object storage. Raises `StorageError`; run again, it goes on."""
    bucket.check_conditions()
    number, before = bucket.newest()
    there = {name: size for name, size, _ in bucket.listed("objects")}
    copied, files = Copied(), {}

    def one(item: tuple[str, Path]) -> tuple[str, File, bool]:
        name, path = item
        file, is_new = bucket.take(path, lambda sha256, size: there.get(sha256) == size)
        return name, file, is_new

    try:
        for name, file, is_new in many(one, sorted(files_of(home.root).items())):
            files[name] = file
            copied.sent += is_new
            copied.sent_bytes += file.size * is_new
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
    bucket.delete_lists_before(number)
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
        write_checked(path, bucket.chunks(f"objects/{files[name].sha256}"), files[name], f"{bucket.address}: {name}")

    return _collect(files, target, fetch, say)


def duplicate(home: Home, target: Path, say: Say) -> Copied:
    """Copy a home's folder into another that is empty or not there, verified likewise."""
    paths = files_of(home.root)
    files = {name: file_at(path, *digest_of(path)) for name, path in paths.items()}

    def fetch(name: str, path: Path) -> None:
        with open_plain(paths[name]) as file:
            write_checked(path, iter(lambda: file.read(CHUNK_BYTES), b""), files[name], str(paths[name]))

    return _collect(files, target, fetch, say)


def _collect(files: Mapping[str, File], target: Path, fetch: Callable[[str, Path], None], say: Say) -> Copied:
    check_target(target)
    unfinished = child(target.parent, f"{target.name}.unfinished-copy")
    copied = Copied()

    def one(name: str) -> bool:
        path, wanted = inside(unfinished, name), files[name]
        is_new = not (path.is_file() and digest_of(path) == (wanted.sha256, wanted.size))
        if is_new:
            fetch(name, path)
        else:
            mark(path, wanted)
        return is_new

    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        for path in [path for path in unfinished.rglob("*") if path.is_file()]:
            if path.relative_to(unfinished).as_posix() not in files:  # of a copy of before, or half written
                path.unlink()
        for (name, wanted), is_new in zip(files.items(), many(one, files), strict=True):
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

"""The bytes of every accepted photo of a listing: into the blob store, or a row that says why not.

Nothing is fetched twice: what an earlier table or the journal of an interrupted run knows, and the blob store
still holds, is taken over. A picture counts only once it was hashed on the way, decoded to its end and measured.
"""

import errno
import json
import logging
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import urlsplit

import pandas as pd

from pipeline.config import PhotosSection
from pipeline.errors import FlickrUnreachable, StorageError
from pipeline.photos.decode import PictureInfo, UndecodableImage, inspect_file
from pipeline.photos.fetch import Body, FetchFailed, PictureClient
from pipeline.tables import conform

log = logging.getLogger(__name__)

BACKOFF_S = 0.5
"""Wait before the first new attempt; doubled for each further one, with jitter."""
MAX_WAIT_S = 60.0
UNDECODABLE_RETRIES = 2
"""How often a complete answer that is no good picture is asked for anew: servers pass off error pages as pictures."""
GIVE_UP_AFTER = 20
"""So many photos in a row, each failing in a way that may pass, mean that the server is out of reach."""

SIZE_REASONS = ("too_large", "too_many_pixels", "too_small")


class BlobProtocol(Protocol):
    """What is needed of the blob store."""

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Whether the blob exists with that size."""
        ...

    def temporary(self) -> AbstractContextManager[Path]:
        """A path to write to, removed at the end."""
        ...

    def adopt(self, path: Path, sha256: str) -> None:
        """Move a finished file to its place."""
        ...


@dataclass(frozen=True)
class Wanted:
    """A photo to have; equal ones, found in several domains, are fetched once."""

    photo_id: str
    image_url: str | None
    last_update_s: int | None


@dataclass(frozen=True)
class FileFacts:
    """What became of a photo's bytes: the columns of `photo_files` that describe it."""

    sha256: str | None = None
    size_bytes: int | None = None
    width_px: int | None = None
    height_px: int | None = None
    format: str | None = None
    frames: int | None = None
    etag: str | None = None
    reason: str | None = None
    pending: bool = False
    detail: str | None = None
    fetched_at_s: int = 0


def download_photos(
    listing: pd.DataFrame,
    known: pd.DataFrame,
    blobs: BlobProtocol,
    settings: PhotosSection,
    hosts: Sequence[str],
    user_agent: str,
    timeout_s: float,
    retries: int,
    now_s: int,
    forgotten: set[str],
    journal: Path,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """The table `photo_files`: one row for each photo of `listing` that no filter rejected.

    `known` holds earlier rows of any domain. A row with the same address (the host aside, which Flickr changes) and
    last update is taken over, unless it is pending or its blob is gone; where only the last update differs, the
    server is asked with the known ETag. `forgotten` photos are not fetched. `journal` is a file that keeps finished
    photos of a run that was interrupted; the caller deletes it after writing the table. `progress` is called with the
    numbers of photos done and in all. Raises `FlickrUnreachable` when the picture server is out of reach and
    `StorageError` when the disk fails; what was fetched by then is not fetched again.
    """
    rows = _accepted(listing)
    wanted = list(dict.fromkeys(_wanted(row) for row in rows))
    records = _records(known, {photo.photo_id for photo in wanted}, journal)
    facts: dict[Wanted, FileFacts] = {}
    to_fetch: list[tuple[Wanted, FileFacts | None]] = []
    for photo in wanted:
        settled = _settled(photo, records[photo.photo_id], forgotten, settings, blobs, now_s)
        if settled is not None:
            facts[photo] = settled
        else:
            to_fetch.append((photo, _revalidated(photo, records[photo.photo_id], blobs)))
    log.info("%d photos: %d known, %d to fetch", len(wanted), len(facts), len(to_fetch))
    client = PictureClient(hosts, user_agent, timeout_s, settings.max_bytes, settings.threads)
    fetching = _Fetcher(client, blobs, settings, retries, now_s).run(to_fetch)
    with closing(client), _Journal(journal) as finished, closing(fetching):
        for photo, fetched in _watched(fetching, hosts):
            facts[photo] = fetched
            if not fetched.pending:
                finished.add(photo, fetched)
            if progress:
                progress(len(facts), len(wanted))
    return _table(rows, facts)


# --- what is known already --------------------------------------------------------------------------------------------


def _accepted(listing: pd.DataFrame) -> list[dict[str, object]]:
    columns = ["photo_id", "domain", "month", "image_url", "last_update_s"]
    return _plain(listing.loc[listing["reason"].isna(), columns])


def _plain(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as dictionaries of Python values, every kind of missing value being None."""
    table = frame.astype(object)
    return [{str(name): value for name, value in row.items()} for row in table.where(table.notna(), None).to_dict("records")]


def _wanted(row: dict[str, object]) -> Wanted:
    last_update_s = row["last_update_s"]
    return Wanted(
        photo_id=str(row["photo_id"]),
        image_url=cast("str | None", row["image_url"]),
        last_update_s=None if last_update_s is None else int(cast("int", last_update_s)),
    )


def _facts(row: dict[str, object]) -> FileFacts:
    return FileFacts(**{field.name: row[field.name] for field in fields(FileFacts)})  # pyright: ignore[reportArgumentType]


def _records(known: pd.DataFrame, photo_ids: set[str], journal: Path) -> defaultdict[str, list[tuple[Wanted, FileFacts]]]:
    """What journal and table say of each photo, the journal first."""
    records: defaultdict[str, list[tuple[Wanted, FileFacts]]] = defaultdict(list)
    for row in [*_journal_rows(journal), *_plain(known[known["photo_id"].isin(photo_ids)])]:
        records[str(row["photo_id"])].append((_wanted(row), _facts(row)))
    return records


def _settled(
    photo: Wanted,
    records: Iterable[tuple[Wanted, FileFacts]],
    forgotten: set[str],
    settings: PhotosSection,
    blobs: BlobProtocol,
    now_s: int,
) -> FileFacts | None:
    """What can be said of the photo without asking the server; None where it must be asked."""
    if photo.photo_id in forgotten:
        return FileFacts(reason="forgotten", detail="purged on request", fetched_at_s=now_s)
    if photo.image_url is None:
        return FileFacts(reason="no_image_url", detail="Flickr lists no picture of an allowed size", fetched_at_s=now_s)
    for seen, facts in records:
        unchanged = _same_address(seen, photo) and seen.last_update_s == photo.last_update_s
        if unchanged and not facts.pending and (settled := _still_true(facts, settings, blobs)) is not None:
            return settled
    return None


def _still_true(facts: FileFacts, settings: PhotosSection, blobs: BlobProtocol) -> FileFacts | None:
    """The facts under today's settings; None where the server must be asked again."""
    if facts.sha256 is not None:
        return _judged(facts, settings) if blobs.has(facts.sha256, facts.size_bytes) else None
    if facts.reason == "host_not_allowed":
        return None
    if facts.reason not in SIZE_REASONS or (facts.size_bytes is None and facts.width_px is None):
        return facts
    judged = _judged(replace(facts, reason=None), settings)
    return judged if judged.reason else None


def _revalidated(photo: Wanted, records: Iterable[tuple[Wanted, FileFacts]], blobs: BlobProtocol) -> FileFacts | None:
    """Earlier facts whose ETag may spare a download: the same address, only the record was updated."""
    for seen, facts in records:
        usable = _same_address(seen, photo) and facts.etag is not None and facts.sha256 is not None
        if usable and blobs.has(str(facts.sha256), facts.size_bytes):
            return facts
    return None


def _same_address(one: Wanted, other: Wanted) -> bool:
    return _path(one.image_url) == _path(other.image_url)


def _path(url: str | None) -> str | None:
    """The part of the address that names the picture: photo, secret and size."""
    try:
        return None if url is None else urlsplit(url)._replace(scheme="", netloc="").geturl()
    except ValueError:
        return url


def _judged(facts: FileFacts, settings: PhotosSection) -> FileFacts:
    """The facts, or the same measures with the reason for which the settings refuse them."""
    refusal = _refusal(facts.size_bytes or 0, facts.width_px, facts.height_px, settings)
    if refusal is None:
        return facts
    reason, detail = refusal
    return replace(facts, sha256=None, reason=reason, detail=detail)


def _refusal(
    size_bytes: int, width_px: int | None, height_px: int | None, settings: PhotosSection
) -> tuple[str, str] | None:
    if size_bytes > settings.max_bytes:
        return "too_large", f"at least {size_bytes} bytes, allowed are {settings.max_bytes}"
    if width_px is None or height_px is None:
        return None
    if width_px * height_px > settings.max_pixels:
        return "too_many_pixels", f"{width_px} × {height_px} pixels, allowed are {settings.max_pixels}"
    if min(width_px, height_px) < settings.min_edge_px:
        return "too_small", f"{width_px} × {height_px} pixels, the short edge must have {settings.min_edge_px}"
    return None


# --- the journal ------------------------------------------------------------------------------------------------------


class _Journal:
    """Finished photos as lines of JSON, one written at once, so that a killed run loses none of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "_Journal":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        self._file.write(b"\n")  # ends a line that a killed run left half written
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, photo: Wanted, facts: FileFacts) -> None:
        try:
            self._file.write(json.dumps(vars(photo) | vars(facts)).encode() + b"\n")
        except OSError as error:
            raise _disk_failed(error) from error


def _journal_rows(path: Path) -> Iterator[dict[str, object]]:
    """The journal's whole lines; none where there is no journal, and later lines win."""
    if not path.exists():
        return
    columns = {field.name for kind in (Wanted, FileFacts) for field in fields(kind)}
    for line in reversed(path.read_bytes().splitlines()):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.keys() == columns:
            yield row


# --- fetching ---------------------------------------------------------------------------------------------------------


class _Fetcher:
    """Fetches photos in parallel, each with its retries."""

    def __init__(
        self, client: PictureClient, blobs: BlobProtocol, settings: PhotosSection, retries: int, now_s: int
    ) -> None:
        self._client = client
        self._blobs = blobs
        self._settings = settings
        self._retries = retries
        self._now_s = now_s
        self._stop = threading.Event()

    def run(self, photos: Iterable[tuple[Wanted, FileFacts | None]]) -> Generator[tuple[Wanted, FileFacts]]:
        """Photos as they are finished. Closing the generator ends all waiting at once."""
        with ThreadPoolExecutor(self._settings.threads, thread_name_prefix="download") as executor:
            running: set[Future[tuple[Wanted, FileFacts]]] = set()
            try:
                for photo, earlier in photos:
                    running.add(executor.submit(self._fetch, photo, earlier))
                    if len(running) >= 4 * self._settings.threads:
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in done)
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            finally:
                self._stop.set()
                executor.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, photo: Wanted, earlier: FileFacts | None) -> tuple[Wanted, FileFacts]:
        """All attempts for one photo."""
        bad_bodies: list[FileFacts] = []
        attempt = 0
        while True:
            try:
                facts = self._attempt(photo, earlier)
                again = _may_be_a_passing_page(facts, bad_bodies) and attempt < self._retries
                bad_bodies.append(facts)
                wait_s = None
            except FetchFailed as failure:
                facts = _failed(failure)
                again = failure.retry and attempt < self._retries
                wait_s = failure.wait_s
            if not again or self._stop.wait(_delay_s(attempt, wait_s)):
                return photo, replace(facts, fetched_at_s=self._now_s)
            log.debug("photo %s: %s (%s), asked for again", photo.photo_id, facts.reason, facts.detail)
            attempt += 1

    def _attempt(self, photo: Wanted, earlier: FileFacts | None) -> FileFacts:
        try:
            with self._blobs.temporary() as path:
                body = self._client.get(str(photo.image_url), path, earlier.etag if earlier else None)
                if body is None and earlier is not None:
                    return _judged(earlier, self._settings)
                assert body is not None, "only a request with an ETag is answered by None"
                return self._checked(body, path)
        except OSError as error:
            raise _disk_failed(error) from error

    def _checked(self, body: Body, path: Path) -> FileFacts:
        """Facts about complete bytes; those of a good picture are in the blob store afterwards."""
        try:
            info = inspect_file(path, self._settings.max_pixels)
        except UndecodableImage as error:
            return FileFacts(
                size_bytes=body.size_bytes,
                width_px=error.width_px,
                height_px=error.height_px,
                reason=error.reason,
                detail=error.detail,
            )
        facts = _judged(_measured(body, info), self._settings)
        if facts.sha256 is not None:
            self._blobs.adopt(path, facts.sha256)
        return facts


def _failed(failure: FetchFailed) -> FileFacts:
    return FileFacts(size_bytes=failure.size_bytes, reason=failure.reason, pending=failure.pending, detail=failure.detail)


def _measured(body: Body, info: PictureInfo) -> FileFacts:
    return FileFacts(
        sha256=body.sha256,
        size_bytes=body.size_bytes,
        width_px=info.width_px,
        height_px=info.height_px,
        format=info.format,
        frames=info.frames,
        etag=body.etag,
    )


def _may_be_a_passing_page(facts: FileFacts, earlier: list[FileFacts]) -> bool:
    """Whether a complete answer should be asked for anew.

    Pages instead of pictures pass; a picture that is broken in the same way twice stays so.
    """
    if facts.reason not in ("not_an_image", "truncated", "broken") or len(earlier) >= UNDECODABLE_RETRIES:
        return False
    return facts.reason == "not_an_image" or facts not in earlier


def _delay_s(attempt: int, wait_s: float | None) -> float:
    """Exponential with jitter, and at least what the server asked for, within a minute."""
    own_s = BACKOFF_S * 2**attempt * random.uniform(0.5, 1.0)
    return min(max(own_s, wait_s or 0.0), MAX_WAIT_S)


def _disk_failed(error: OSError) -> StorageError:
    what = "the disk is full" if error.errno == errno.ENOSPC else f"the disk failed ({error.strerror or error})"
    where = f"{error.filename}: " if error.filename else ""
    return StorageError(
        f"{where}{what}; pictures fetched so far are kept: mend that and run again, which fetches only the rest"
    )


def _watched(results: Iterator[tuple[Wanted, FileFacts]], hosts: Sequence[str]) -> Iterator[tuple[Wanted, FileFacts]]:
    """Pass the results on, and stop when the server seems to be out of reach."""
    in_a_row = 0
    for photo, facts in results:
        in_a_row = in_a_row + 1 if facts.pending else 0
        if in_a_row >= GIVE_UP_AFTER:
            raise FlickrUnreachable(
                f"{', '.join(hosts)}: the last {in_a_row} pictures could not be fetched, the latest for {facts.reason} "
                f"({facts.detail}); check the connection and [flickr] image_hosts and run again, which fetches only the rest"
            )
        yield photo, facts


# --- the table --------------------------------------------------------------------------------------------------------


def _table(rows: list[dict[str, object]], facts: dict[Wanted, FileFacts]) -> pd.DataFrame:
    columns = [*("photo_id", "domain", "month", "image_url", "last_update_s"), *(field.name for field in fields(FileFacts))]
    records = [row | vars(facts[_wanted(row)]) for row in rows]
    return conform("photo_files", pd.DataFrame.from_records(records, columns=columns))

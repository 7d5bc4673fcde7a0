"""The bytes of every accepted photo of a listing: into the blob store, or a row that says why not.

Nothing is fetched twice: what an earlier table or the journal of an interrupted run knows, and the blob store
still holds, is taken over. A picture counts only once it was hashed on the way, decoded to its end and measured.
"""

import errno
import json
import logging
import os
import random
import shutil
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pandas as pd

from pipeline.config import PhotosSection
from pipeline.errors import FlickrUnreachable, disk_failed, disk_nearly_full
from pipeline.photos.blobs import BlobProtocol
from pipeline.photos.fetch import Body, FetchFailed, PictureClient
from pipeline.photos.inspectors import InspectorDied, Inspectors
from pipeline.photos.opening import PictureInfo, UndecodableImage
from pipeline.photos.pace import HostAnswer
from pipeline.photos.pool import PacedPool, Transfer, Tried
from pipeline.plain_files import open_plain, plain
from pipeline.tables import among, conform

log = logging.getLogger(__name__)

BACKOFF_S = 0.5
"""Wait before the first new attempt; doubled for each further one, with jitter."""
MAX_WAIT_S = 60.0
UNDECODABLE_RETRIES = 2
"""How often a complete answer that is not a good picture is requested again: servers pass off error pages as pictures."""
GIVE_UP_AFTER = 20
"""This many photos in a row that fail in a way that may pass mean that the server is out of reach."""

RESERVE_BYTES = 32_000_000
"""Downloads stop while this much room is left, so that tables and the record of what went wrong can still be written."""

SIZE_REASONS = ("too_large", "too_many_pixels", "too_small")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A photo to have; equal ones, found in several domains, are fetched once."""

    photo_id: str
    image_url: str | None
    last_update_s: int | None


@dataclass(frozen=True, slots=True)
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


FACT_COLUMNS = tuple(column.name for column in fields(FileFacts))
WANTED_COLUMNS = tuple(column.name for column in fields(Wanted))


@dataclass(frozen=True)
class Known:
    """What is known of photos before anybody is asked."""

    files: pd.DataFrame
    """Earlier rows of `photo_files`, of any domain."""
    journal: Path
    """A file that keeps finished photos of a run that was interrupted; the caller deletes it after writing the table."""
    forgotten: Set[str] = frozenset()
    """Photos that are not fetched."""


@dataclass(frozen=True)
class Asking:
    """Whom to ask for pictures, as whom, how long an answer is waited for, and how often it is asked again."""

    hosts: Sequence[str]
    user_agent: str
    timeout_s: float
    retries: int
    gone: set[str] = field(default_factory=set)
    """Hosts that are not asked any more; those that fail `GIVE_UP_AFTER` times in a row join them."""


@dataclass(frozen=True)
class Downloads:
    """The table `photo_files`, and how fast what was fetched for it came."""

    table: pd.DataFrame
    transfer: Transfer


def download_photos(
    listing: pd.DataFrame,
    known: Known,
    blobs: BlobProtocol,
    settings: PhotosSection,
    asking: Asking,
    now_s: int,
    progress: Callable[[int, int], None] | None = None,
) -> Downloads:
    """Make the table `photo_files`: one row for each photo of `listing` that no filter rejected.

    A known row with the same address (the host aside, which Flickr changes) and last update is taken over, unless it is
    pending or its blob is gone; where only the last update differs, the server is asked with the known ETag. `progress` is
    called with the numbers of photos done and in all. Photos of a host that is given up stay pending.
    Raises `FlickrUnreachable` when nobody is left who could be asked, and `StorageError` when the disk fails or is all but
    full; what was fetched by then is not fetched again.
    """
    rows = _accepted(listing)
    wanted = list(dict.fromkeys(_wanted(row) for row in rows))
    records = _records(known, {photo.photo_id for photo in wanted})
    facts: dict[Wanted, FileFacts] = {}
    to_fetch: deque[_Task] = deque()
    for photo in wanted:
        known_of = records.get(photo.photo_id, [])
        settled = _settled(photo, known_of, known.forgotten, settings, blobs, now_s)
        if settled is not None:
            facts[photo] = settled
        else:
            to_fetch.append(_Task(photo, _revalidated(photo, known_of, blobs)))
    log.info("%d photos: %d known, %d to fetch", len(wanted), len(facts), len(to_fetch))
    client = PictureClient(asking.hosts, asking.user_agent, asking.timeout_s, settings.max_bytes, settings.threads)
    # More decoders than processors only wait for each other, while requests can well be many.
    decoders = min(os.cpu_count() or 1, settings.threads)
    with closing(client), closing(Inspectors(decoders)) as inspectors, _Journal(known.journal) as finished:
        reach = _Reach(Counter(_host(task.photo) for task in to_fetch), asking.gone)
        fetcher = _Fetcher(client, inspectors, blobs, settings, asking, now_s)
        pool = PacedPool(settings.threads, fetcher.attempt, client.end_overdue, client.stop)
        with closing(pool.run(_by_host(to_fetch))) as fetching:
            for task, fetched in fetching:
                reach.note(_host(task.photo), fetched)
                facts[task.photo] = fetched
                if not fetched.pending:
                    finished.add(task.photo, fetched)
                if progress:
                    progress(len(facts), len(wanted))
    return Downloads(_table(rows, facts), pool.transfer())


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
    return FileFacts(**{column: row[column] for column in FACT_COLUMNS})  # pyright: ignore[reportArgumentType]


def _records(known: Known, photo_ids: set[str]) -> defaultdict[str, list[tuple[Wanted, FileFacts]]]:
    """What journal and table say of each photo, the journal first."""
    records: defaultdict[str, list[tuple[Wanted, FileFacts]]] = defaultdict(list)
    for row in [*_journal_rows(known.journal), *_plain(known.files[among(known.files["photo_id"], photo_ids)])]:
        records[str(row["photo_id"])].append((_wanted(row), _facts(row)))
    return records


def _settled(
    photo: Wanted,
    records: Iterable[tuple[Wanted, FileFacts]],
    forgotten: Set[str],
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
    found = refusal(facts.size_bytes or 0, facts.width_px, facts.height_px, settings)
    if found is None:
        return facts
    reason, detail = found
    return replace(facts, sha256=None, reason=reason, detail=detail)


def refusal(size_bytes: int, width_px: int | None, height_px: int | None, settings: PhotosSection) -> tuple[str, str] | None:
    """Reason and detail for which the settings refuse a picture of that size; None where they accept it."""
    if size_bytes > settings.max_bytes:
        return "too_large", f"at least {size_bytes} bytes, [photos] max_bytes allows {settings.max_bytes}"
    if width_px is None or height_px is None:
        return None
    pixels = f"{width_px} × {height_px} pixels"
    if width_px * height_px > settings.max_pixels:
        return "too_many_pixels", f"{pixels}, [photos] max_pixels allows {settings.max_pixels}"
    if min(width_px, height_px) < settings.min_edge_px:
        return "too_small", f"{pixels}, [photos] min_edge_px asks {settings.min_edge_px} of the short edge"
    return None


# --- the journal ------------------------------------------------------------------------------------------------------


class _Journal:
    """Finished photos as lines of JSON, one written at once, so that a killed run loses none of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "_Journal":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "ab", buffering=0, opener=plain)
        self._file.write(b"\n")  # ends a line that a killed run left half written
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, photo: Wanted, facts: FileFacts) -> None:
        """Write a line. Raises `StorageError` where the disk does not take all of it."""
        line = json.dumps(_values(photo) | _values(facts)).encode() + b"\n"
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, "the line was cut")
        except OSError as error:
            raise disk_failed(error, self._path.parent) from error


def _values(row: Wanted | FileFacts) -> dict[str, object]:
    return {column: getattr(row, column) for column in (WANTED_COLUMNS if isinstance(row, Wanted) else FACT_COLUMNS)}


def _journal_rows(path: Path) -> Iterator[dict[str, object]]:
    """The newest whole line of each photo; none where there is no journal."""
    if not path.exists():
        return
    newest: dict[object, dict[str, object]] = {}
    with open_plain(path) as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and row.keys() == {*WANTED_COLUMNS, *FACT_COLUMNS}:
                newest[row["photo_id"]] = row
    yield from newest.values()


def journal_digests(path: Path) -> pd.DataFrame:
    """Columns `photo_id` and `sha256` (null without bytes) of the photos in a journal."""
    rows = [{"photo_id": row["photo_id"], "sha256": row["sha256"]} for row in _journal_rows(path)]
    return pd.DataFrame(rows, columns=["photo_id", "sha256"], dtype=object)


# --- fetching ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Task:
    """A photo to fetch, what an earlier run knew of it, and what this one has met so far."""

    photo: Wanted
    earlier: FileFacts | None
    attempts: int = 0
    bad_bodies: tuple[FileFacts, ...] = ()


def _by_host(tasks: deque[_Task]) -> Iterator[tuple[str, _Task]]:
    """The tasks with their hosts, each taken out: what is done need not stay in memory."""
    while tasks:
        task = tasks.popleft()
        yield _host(task.photo), task


def _host(photo: Wanted) -> str:
    """Host and port, to which the pace belongs; what has none is refused without asking anybody."""
    try:
        return urlsplit(str(photo.image_url)).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


class _Fetcher:
    """Makes one attempt at a time for a photo; may be shared by threads."""

    def __init__(
        self,
        client: PictureClient,
        inspectors: Inspectors,
        blobs: BlobProtocol,
        settings: PhotosSection,
        asking: Asking,
        now_s: int,
    ) -> None:
        self._gone = asking.gone
        self._client = client
        self._inspectors = inspectors
        self._blobs = blobs
        self._settings = settings
        self._retries = asking.retries
        self._now_s = now_s

    def attempt(self, task: _Task) -> Tried[FileFacts]:
        """Ask once; says whether and when to ask again. Raises `StorageError` when the disk fails."""
        began_s = time.monotonic()
        if (host := _host(task.photo)) in self._gone:
            return self._failed(task, FetchFailed("unreachable", f"{host} was given up", pending=True), 0.0)
        try:
            with self._blobs.temporary() as path:
                self._check_room()
                body = self._client.get(str(task.photo.image_url), path, task.earlier.etag if task.earlier else None)
                took_s = time.monotonic() - began_s
                facts = self._judge(task, body, path)
        except FetchFailed as failure:
            return self._failed(task, failure, time.monotonic() - began_s)
        except OSError as error:
            raise disk_failed(error, self._blobs.root) from error
        again = _may_be_a_passing_page(facts, task.bad_bodies) and task.attempts < self._retries
        if again:
            task.bad_bodies += (facts,)
        received_bytes = body.size_bytes if body else None
        return Tried(
            self._dated(facts), HostAnswer.GOOD, took_s, received_bytes, again_in_s=self._next(task, facts, again, None)
        )

    def _failed(self, task: _Task, failure: FetchFailed, took_s: float) -> Tried[FileFacts]:
        facts = FileFacts(
            size_bytes=failure.size_bytes, reason=failure.reason, pending=failure.pending, detail=failure.detail
        )
        again = failure.retry and task.attempts < self._retries
        again_in_s = self._next(task, facts, again, failure.wait_s)
        return Tried(self._dated(facts), failure.answer, took_s, retry_after_s=failure.wait_s, again_in_s=again_in_s)

    def _next(self, task: _Task, facts: FileFacts, again: bool, wait_s: float | None) -> float | None:
        if not again:
            return None
        log.debug("photo %s: %s (%s), to be asked for again", task.photo.photo_id, facts.reason, facts.detail)
        task.attempts += 1
        return _delay_s(task.attempts - 1, wait_s)

    def _dated(self, facts: FileFacts) -> FileFacts:
        return replace(facts, fetched_at_s=self._now_s)

    def _check_room(self) -> None:
        if shutil.disk_usage(self._blobs.root).free < RESERVE_BYTES:
            raise disk_nearly_full(self._blobs.root, RESERVE_BYTES)

    def _judge(self, task: _Task, body: Body | None, path: Path) -> FileFacts:
        """Facts about complete bytes; those of a good picture are in the blob store afterwards."""
        if body is None:
            assert task.earlier is not None, "only a request with an ETag is answered by None"
            return _judged(task.earlier, self._settings)
        try:
            info = self._inspectors.inspect(path, self._settings.max_pixels)
        except UndecodableImage as error:
            return FileFacts(
                size_bytes=body.size_bytes,
                width_px=error.width_px,
                height_px=error.height_px,
                reason=error.reason,
                detail=error.detail,
            )
        except InspectorDied as death:
            raise FetchFailed(
                "decoder_died", death.detail, retry=death.passing, pending=death.passing, answer=HostAnswer.GOOD
            ) from death
        facts = _judged(_measured(body, info), self._settings)
        if facts.sha256 is not None:
            self._blobs.adopt(path, facts.sha256)
        return facts


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


def _may_be_a_passing_page(facts: FileFacts, earlier: Sequence[FileFacts]) -> bool:
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


class _Reach:
    """Which hosts have been out of reach for so long that asking them on is no use."""

    def __init__(self, left: Counter[str], gone: set[str]) -> None:
        self._left, self._gone = left, gone
        self._in_a_row: Counter[str] = Counter()
        self._good: set[str] = set()

    def note(self, host: str, facts: FileFacts) -> None:
        """One photo of `host` is done. Raises `FlickrUnreachable` where no host is left that answers, or might."""
        self._left[host] -= 1
        self._in_a_row[host] = self._in_a_row[host] + 1 if facts.pending else 0
        if not facts.pending:
            self._good.add(host)
        if self._in_a_row[host] < GIVE_UP_AFTER:
            return
        self._gone.add(host)
        if not (self._good | {name for name, count in self._left.items() if count}) - self._gone:
            raise FlickrUnreachable(
                f"{', '.join(sorted(self._gone))}: the last {self._in_a_row[host]} pictures could not be fetched, the "
                f"latest for {facts.reason} ({facts.detail}); check the connection and `image_hosts` of the project file, "
                "and run again, which fetches only the rest"
            )


# --- the table --------------------------------------------------------------------------------------------------------


def _table(rows: list[dict[str, object]], facts: dict[Wanted, FileFacts]) -> pd.DataFrame:
    found = [facts[_wanted(row)] for row in rows]
    columns = {name: [row[name] for row in rows] for name in ("photo_id", "domain", "month", "image_url", "last_update_s")}
    measured = {name: [getattr(one, name) for one in found] for name in FACT_COLUMNS}
    return conform("photo_files", pd.DataFrame(columns | measured, dtype=object))

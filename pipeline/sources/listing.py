"""One month of a domain as a table: every photo that its queries find, with the reason where a filter rejects it.

Server-side exclusion is unreliable, so tags, licence and media are filtered again here; what is rejected stays
in the table with its reason. The camera cannot be filtered again: a search does not tell it, and one call per
photo is too many. Reasons, the first that applies:

    forgotten      it was purged on request: its row says nothing but the id, and nothing is fetched
    bad_id         the id is not a number, as all ids of sources are
    no_cv          the owner tagged it `no_cv`: not for computer vision (`photos.exclude_no_cv`)
    license        not among the licences that the query accepts, or unknown
    not_a_photo    a video
    excluded_tag   it has a tag of the query's `exclude_tags`
    no_size        the listing gives no picture file of it

A photo that several queries of the domain find gets one row: that of the first query which accepts it, or else
of the first which found it. `limit_per_month` keeps a query's earliest uploads: its listing ends with the photo
that fills the limit, later ones are not asked for, and what came along with them is not part of the table.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pandas as pd

from pipeline.config import Project, Query
from pipeline.errors import ConfigError
from pipeline.photo_ids import is_number
from pipeline.sources.found import FoundPhoto, Paging, PhotoInfo, SearchPage, Size, normalised_tag
from pipeline.sources.windows import PageSource, Window, WindowState, begin_state, list_window, month_window
from pipeline.tables import among, conform, empty

NO_CV_TAG = "no_cv"
FORGOTTEN = "forgotten"
UNKNOWN_MEDIA = "unknown"

Row = dict[str, object]
Reason = Callable[[FoundPhoto], str | None]
Found = tuple[FoundPhoto, str | None, bool]
"""A photo, why it is rejected, and whether its window was truncated."""


@dataclass(frozen=True)
class Search:
    """A query as its source takes it: `ask` shows its pages, `version` tells it from every other search."""

    ask: PageSource
    version: str


class Client(Protocol):
    """Asks a source; counts its tries, and those of them that came after a failure."""

    calls: int
    retried: int


class Source(Protocol):
    """A place that lists photos by month of upload and answers about each of them.

    `prefix` is what its photo ids begin with, followed by a number of the source's own. Everything raises `ConfigError`
    for a query that the source does not know, and `SourceError` where it refuses or cannot be reached.
    """

    @property
    def prefix(self) -> str: ...

    @property
    def paging(self) -> Paging: ...

    @property
    def client(self) -> Client: ...

    def search(self, query: Query, max_edge_px: int) -> Search:
        """The query, made ready to be asked, for pictures of about this long edge."""
        ...

    def photo_info(self, number: str) -> PhotoInfo | None:
        """The photo as it is now; None where the source does not show it any more."""
        ...


def list_month(
    source: Source,
    project: Project,
    domain: str,
    month: str,
    state_folder: Path,
    now_s: int,
    forgotten: Set[str] = frozenset(),
) -> pd.DataFrame:
    """The table `photo_listing` of `domain` and `month` (like `2024-03`, UTC, up to `now_s`).

    Queries that do not cover the month are not asked. `forgotten` are photo ids with a tombstone. Finished windows
    lie in `state_folder`, which belongs to this domain and month alone: called again after an interruption, the
    listing goes on where it stopped. The caller removes it with `windows.clear_state` after the table is written.
    Raises `ConfigError` for an unknown domain or a month in the future, and what `Source` raises.
    """
    if domain not in project.domains:
        raise ConfigError(f"there is no domain {domain!r} in the project file; it has {', '.join(project.domains)}")
    month_window(month, now_s)
    began_s = begin_state(state_folder, now_s)
    window = month_window(month, began_s)
    rows: dict[str, Row] = {}
    for index, query in enumerate(project.domains[domain].queries):
        if query.covers(month):
            try:
                listed = list_query(source, project, query, window, state_folder, forgotten)
            except ConfigError as error:
                raise ConfigError(f"[domains.{domain}], query {index + 1}: {error}") from error
            _merge(rows, [{**row, "query": index} for row in listed])
    if not rows:
        return empty("photo_listing")
    frame = pd.DataFrame(list(rows.values())).assign(domain=domain, month=month, fetched_at_s=began_s)
    return conform("photo_listing", without_forgotten(frame, forgotten))


def without_forgotten(listing: pd.DataFrame, forgotten: Set[str]) -> pd.DataFrame:
    """The table `photo_listing` with no word about `forgotten` photos but their ids and that they are."""
    gone = among(listing["photo_id"], forgotten)
    if not gone.any():
        return listing
    blank: dict[str, object] = {"title": "", "tags": "", "owner": "", "page_url": "", "reason": FORGOTTEN}
    unknown = ["owner_name", "license", "date_taken", "image_url", "image_width_px", "image_height_px", "last_update_s"]
    cleaned = listing.copy()
    for column, value in {**blank, **dict.fromkeys(unknown)}.items():
        cleaned[column] = cleaned[column].astype(object).where(~gone, value)
    return cleaned


def _without_words(photo: FoundPhoto) -> FoundPhoto:
    """A forgotten photo with nothing but its id and time, since finished windows are kept on the disk for a while."""
    unknown = dict.fromkeys(["owner_name", "title", "license", "date_taken", "last_update_s", "views"])
    return replace(photo, owner="", tags=(), sizes=(), page_url="", **unknown)


def list_query(
    source: Source,
    project: Project,
    query: Query,
    window: Window,
    state_folder: Path,
    forgotten: Set[str],
) -> list[Row]:
    """Rows of what `query` finds in `window`, each photo once, oldest upload first."""
    max_edge_px = query.max_edge_px or project.photos.max_edge_px
    search = source.search(query, max_edge_px)
    exclude_no_cv = project.photos.exclude_no_cv
    state = WindowState(state_folder, f"{search.version} {query.version()} {exclude_no_cv}")
    forgotten_numbers = {id.removeprefix(source.prefix) for id in forgotten if id.startswith(source.prefix)}
    reason_of = _reasons(query, exclude_no_cv, forgotten_numbers)
    found_photos: dict[str, Found] = {}
    accepted: set[str] = set()

    def ask(window: Window, page: int) -> SearchPage:
        found = search.ask(window, page)
        shown = (_without_words(photo) if photo.id in forgotten_numbers else photo for photo in found.photos)
        return replace(found, photos=tuple(shown))

    def is_enough(more: Sequence[FoundPhoto]) -> bool:
        if query.limit_per_month is None:
            return False
        return len(accepted.union(photo.id for photo in more if reason_of(photo) is None)) >= query.limit_per_month

    for window_found in list_window(window, ask, source.paging, state, is_enough):
        new = {photo.id: (photo, reason_of(photo), window_found.truncated) for photo in window_found.photos}
        found_photos.update(new)
        accepted.update(id for id, (_, reason, _) in new.items() if reason is None)
    listed = _up_to_limit(query.limit_per_month, found_photos.values())
    return [_row(source.prefix, photo, reason, truncated, max_edge_px) for photo, reason, truncated in listed]


def choose_size(sizes: Iterable[Size], max_edge_px: int) -> Size | None:
    """The largest size whose long edge is at most `max_edge_px`; if none is that small, the smallest.

    Sizes of unknown dimensions are chosen only where nothing else is there; `None` without any size.
    """
    known = sorted((size for size in sizes if _edge_px(size)), key=_edge_px)
    fitting = [size for size in known if _edge_px(size) <= max_edge_px]
    return fitting[-1] if fitting else next(iter([*known, *sizes]), None)


def _edge_px(size: Size) -> int:
    return max(size.width_px or 0, size.height_px or 0)


def _reasons(query: Query, exclude_no_cv: bool, forgotten: Set[str]) -> Reason:
    excluded = {normalised_tag(tag) for tag in query.exclude_tags}
    no_cv = {normalised_tag(NO_CV_TAG)} if exclude_no_cv else set()

    def reason_of(photo: FoundPhoto) -> str | None:
        tags = {normalised_tag(tag) for tag in photo.tags}
        rejections = {
            FORGOTTEN: photo.id in forgotten,
            "bad_id": not is_number(photo.id),
            "no_cv": bool(tags & no_cv),
            "license": bool(query.licenses) and photo.license not in query.licenses,
            "not_a_photo": photo.media not in ("photo", None),
            "excluded_tag": bool(tags & excluded),
            "no_size": not photo.sizes,
        }
        return next((reason for reason, applies in rejections.items() if applies), None)

    return reason_of


def _up_to_limit(limit: int | None, photos: Iterable[Found]) -> list[Found]:
    """The photos in order of upload, up to and with the one that fills the limit of accepted ones."""
    listed, accepted = [], 0
    for photo, reason, truncated in sorted(photos, key=lambda found: (found[0].date_upload_s, found[0].id)):
        if limit is not None and accepted >= limit:
            break
        listed.append((photo, reason, truncated))
        accepted += reason is None
    return listed


def _merge(rows: dict[str, Row], more: Iterable[Row]) -> None:
    for row in more:
        id = str(row["photo_id"])
        if id not in rows or (rows[id]["reason"] is not None and row["reason"] is None):
            rows[id] = row


def _row(prefix: str, photo: FoundPhoto, reason: str | None, truncated: bool, max_edge_px: int) -> Row:
    size = choose_size(photo.sizes, max_edge_px)
    return {
        "photo_id": f"{prefix}{photo.id}",
        "owner": photo.owner,
        "owner_name": photo.owner_name,
        "title": photo.title or "",
        "tags": " ".join(photo.tags),
        "license": photo.license,
        "date_upload_s": photo.date_upload_s,
        "date_taken": photo.date_taken,
        "last_update_s": photo.last_update_s,
        "media": photo.media or UNKNOWN_MEDIA,
        "page_url": photo.page_url,
        "image_url": size.url if size else None,
        "image_width_px": size.width_px if size else None,
        "image_height_px": size.height_px if size else None,
        "reason": reason,
        "truncated": truncated,
        "views": photo.views,
    }

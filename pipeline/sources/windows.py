"""A whole month of search results past a source's cap, by windows of upload time.

A query shows at most its first results (4,000 at Flickr); past them its pages repeat while `total` goes on counting.
So a window with more is divided by upload time into ceil(total / 3,500) parts, and those again, until each fits; what
cannot be divided further (a second at Flickr) is kept as far as it is shown and marked as truncated. A window
that a source cannot search in its time is halved.

Results drift: two calls moments apart differ in `total` and shift entries over the edges of pages, so that one
page repeats what another lost. Position therefore means nothing and the photo id is the key. Where a window
gave fewer photos than it counts, and showed signs of drift, it is listed again in windows of one page, which
have no edges inside; without such signs its shortest page is asked for once more. A count that stays too high
is a habit of sources: they count what they do not show.

Every finished window is a file in the state folder, and so is every division, so an interrupted month asks only
for what is missing. Whoever writes the finished table removes the folder afterwards (`clear_state`).
"""

import hashlib
import json
import logging
import shutil
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from pipeline.atomic import write_text
from pipeline.errors import ConfigError, SearchTooWide
from pipeline.file_names import child
from pipeline.plain_files import read_plain_text
from pipeline.sources.found import FoundPhoto, Paging, SearchPage

MAX_STATE_AGE_S = 24 * 3600
"""Windows listed longer ago than this are listed anew: the month must be of one time."""
_TIMES_ASKED_AGAIN = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """Upload times from `begin_s` to `end_s`, Unix seconds, both included."""

    begin_s: int
    end_s: int

    @property
    def seconds(self) -> int:
        return self.end_s - self.begin_s + 1

    def steps(self, step_s: int) -> int:
        """In how many steps of `step_s` seconds, the last one cut off, the window begins and ends."""
        return -(-self.seconds // step_s)

    def divided(self, parts: int, step_s: int = 1) -> list["Window"]:
        """At most `parts` windows of as equal length as whole steps allow, in order, covering this one.

        >>> Window(0, 9).divided(3)
        [Window(begin_s=0, end_s=2), Window(begin_s=3, end_s=5), Window(begin_s=6, end_s=9)]
        >>> Window(0, 9).divided(3, step_s=4)
        [Window(begin_s=0, end_s=3), Window(begin_s=4, end_s=7), Window(begin_s=8, end_s=9)]
        """
        steps = self.steps(step_s)
        parts = min(parts, steps)
        edges = [self.begin_s + steps * part // parts * step_s for part in range(parts)]
        return [Window(begin, end - 1) for begin, end in pairwise([*edges, self.end_s + 1])]


@dataclass(frozen=True)
class FoundWindow:
    """The photos of a finished window, oldest upload first. `truncated`: it has more than the source shows."""

    window: Window
    photos: tuple[FoundPhoto, ...]
    truncated: bool


class PageSource(Protocol):
    """Asks for one page (from 1, oldest upload first) of a window."""

    def __call__(self, window: Window, page: int) -> SearchPage: ...


def month_window(month: str, now_s: int) -> Window:
    """The month (like `2024-03`, UTC) up to `now_s`. Raises `ConfigError` for one that has not begun."""
    year, number = (int(part) for part in month.split("-"))
    begin_s = int(datetime(year, number, 1, tzinfo=UTC).timestamp())
    end_s = begin_s + monthrange(year, number)[1] * 24 * 3600 - 1
    if now_s < begin_s:
        raise ConfigError(f"the month {month} has not begun: there is nothing to list yet")
    return Window(begin_s, min(end_s, now_s))


@dataclass
class _Gathered:
    """What has been seen of one window so far."""

    paging: Paging
    pages: dict[int, dict[str, FoundPhoto]] = field(default_factory=dict)
    totals: list[int] = field(default_factory=list)

    def add(self, number: int, page: SearchPage) -> None:
        self.pages.setdefault(number, {}).update({photo.id: photo for photo in page.photos})
        self.totals.append(page.total)

    @property
    def photos(self) -> dict[str, FoundPhoto]:
        return {id: photo for page in self.pages.values() for id, photo in page.items()}

    @property
    def total(self) -> int:
        """The highest count reported, since a drifting one may be too low."""
        return max(self.totals, default=0)

    @property
    def page_count(self) -> int:
        return max(1, -(-min(self.total, self.paging.cap) // self.paging.per_page))

    @property
    def is_missing_some(self) -> bool:
        return len(self.photos) < min(self.total, self.paging.cap)

    @property
    def drifted(self) -> bool:
        """Counts that differ, ids on two pages, or entries missing at the very end, after full pages."""
        ids_on_pages = sum(len(page) for page in self.pages.values())
        return len(set(self.totals)) > 1 or ids_on_pages > len(self.photos) or self._end_is_missing()

    def in_order(self) -> tuple[FoundPhoto, ...]:
        return tuple(sorted(self.photos.values(), key=lambda photo: (photo.date_upload_s, photo.id)))

    def settled_seconds(self) -> tuple[FoundPhoto, ...]:
        """The photos without those of the last second, of which the next page may hold more."""
        photos = self.in_order()
        return tuple(photo for photo in photos if photo.date_upload_s < photos[-1].date_upload_s)

    def shortest_page(self) -> int:
        return min(self.pages, key=self._shown_share)

    def _end_is_missing(self) -> bool:
        """Whether pages were moved forward, so that the first short one has only empty ones after it."""
        short = [number for number in sorted(self.pages) if self._shown_share(number) < 1]
        return (
            len(self.pages) > 1 and bool(short) and not any(self.pages[number] for number in self.pages if number > short[0])
        )

    def _shown_share(self, number: int) -> float:
        shown = min(self.total, self.paging.cap)
        expected = min(self.paging.per_page, shown - (number - 1) * self.paging.per_page)
        return len(self.pages[number]) / max(1, expected)


class WindowState:
    """Finished windows and divisions of one query, as files of JSON lines; the folder is made when needed.

    `query` is whatever tells one query from another: windows of a changed query are not found again.
    """

    def __init__(self, folder: Path, query: str) -> None:
        shape = ",".join(FoundPhoto.__dataclass_fields__)
        self._folder = child(folder, hashlib.sha256(f"{query}\n{shape}".encode()).hexdigest()[:16])

    def found(self, window: Window) -> FoundWindow | None:
        """The window as it was finished, else `None`."""
        lines = self._read(window, "found")
        if lines is None:
            return None
        try:
            photos = tuple(FoundPhoto.from_json(json.loads(line)) for line in lines[1:])
            return FoundWindow(window, photos, bool(json.loads(lines[0])["truncated"]))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.warning("%s: cannot be read and is listed again: %s", self._path(window, "found"), error)
            return None

    def parts(self, window: Window) -> int | None:
        """Into how many parts the window was divided, else `None`."""
        lines = self._read(window, "divided")
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def keep(self, window: Window, outcome: FoundWindow | int) -> None:
        """Record that `window` is finished, or into how many parts it was divided."""
        if isinstance(outcome, int):
            write_text(self._path(window, "divided"), str(outcome))
            return
        head = json.dumps({"truncated": outcome.truncated})
        write_text(
            self._path(window, "found"), "\n".join([head, *(json.dumps(photo.as_json()) for photo in outcome.photos)])
        )

    def _path(self, window: Window, what: str) -> Path:
        return self._folder / f"{window.begin_s}-{window.end_s}.{what}"

    def _read(self, window: Window, what: str) -> list[str] | None:
        try:
            return read_plain_text(self._path(window, what)).split("\n")
        except FileNotFoundError:  # never finished, or purged since it was
            return None


def begin_state(folder: Path, now_s: int) -> int:
    """Unix seconds at which the listing in `folder` began: that of an interrupted one, else `now_s`.

    What began more than `MAX_STATE_AGE_S` ago, or in the future, is cleared first.
    """
    path = folder / "began"
    if path.exists() and 0 <= now_s - int(read_plain_text(path)) <= MAX_STATE_AGE_S:
        return int(read_plain_text(path))
    clear_state(folder)
    write_text(path, str(now_s))
    return now_s


def clear_state(folder: Path) -> None:
    """Remove the windows of a listing: to be called once its table is written, never before."""
    shutil.rmtree(folder, ignore_errors=True)


def list_window(
    window: Window,
    ask: PageSource,
    paging: Paging,
    state: WindowState,
    is_enough: Callable[[Sequence[FoundPhoto]], bool] = lambda photos: False,
) -> Iterator[FoundWindow]:
    """List `window` completely: finished windows in order of upload time, each photo in one of them at least.

    `is_enough` is asked with photos of the current window, from its oldest on, before they are yielded; once it
    says yes, the window may end there, with more photos than were asked about, and no other follows. Raises what `ask`
    does, but `SearchTooWide` only of a window that cannot be halved.
    """
    waiting = [window]
    while waiting:
        current = waiting.pop()
        outcome = state.found(current) or state.parts(current)
        if outcome is None:
            try:
                outcome = _list_one(current, ask, paging, is_enough)
            except SearchTooWide as error:
                if current.steps(paging.step_s) == 1:
                    raise
                log.info("%s; asked for in halves", error)
                outcome = 2
            state.keep(current, outcome)
        if isinstance(outcome, int):
            waiting.extend(reversed(current.divided(outcome, paging.step_s)))
            continue
        enough = is_enough(outcome.photos)
        yield outcome
        if enough:
            return


def _list_one(
    window: Window, ask: PageSource, paging: Paging, is_enough: Callable[[Sequence[FoundPhoto]], bool]
) -> FoundWindow | int:
    """All that the window shows, or into how many parts it must be divided."""
    gathered = _Gathered(paging)
    is_divisible = window.steps(paging.step_s) > 1
    page = 1
    while page <= gathered.page_count:
        gathered.add(page, ask(window, page))
        if gathered.total > paging.photos_per_window and is_divisible:
            return -(-gathered.total // paging.photos_per_part)
        if not gathered.drifted and is_enough(gathered.settled_seconds()):
            return FoundWindow(window, gathered.in_order(), truncated=False)
        page += 1
    if not _is_settled(window, ask, gathered, is_divisible):
        return max(2, -(-gathered.total // paging.photos_per_one_page_part))
    if gathered.is_missing_some:
        log.info("%s counts %d photos and shows %d", window, gathered.total, len(gathered.photos))
    return FoundWindow(window, gathered.in_order(), truncated=gathered.total > paging.cap)


def _is_settled(window: Window, ask: PageSource, gathered: _Gathered, is_divisible: bool) -> bool:
    """Whether `gathered` is all that the window shows, asking again where it seems not to be."""
    for _ in range(_TIMES_ASKED_AGAIN):
        if not gathered.is_missing_some:
            return True
        if gathered.page_count > 1 and is_divisible and gathered.drifted:
            return False
        seen, total = len(gathered.photos), gathered.totals[-1]
        every_page = range(1, gathered.page_count + 1)
        for page in [gathered.shortest_page()] if is_divisible else every_page:
            gathered.add(page, ask(window, page))
        if len(gathered.photos) == seen and gathered.totals[-1] == total:
            return True
    return True

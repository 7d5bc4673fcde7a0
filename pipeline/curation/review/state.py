"""The state of a review: which photos each curator gets, what becomes of their decisions, how far they are.

Two people are not given the same undecided photo: whoever is given one holds a lease of it and of its duplicates. It
ends with the decision, `LEASE_S` after the photo was last in sight, or `LEAVE_S` after its page was left.

A photo of the double review (`pipeline.curation.double_review`) that one person has decided is undecided for everybody
else: it is given to one other person, who is shown nothing of what was said.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.curation.decisions import Decision, Verdict, opinions, person_of
from pipeline.curation.double_review import DoubleReview, DoubleReviewOutcome, holders
from pipeline.curation.review.catalog import Catalog, CatalogPhoto, Duplicate
from pipeline.curation.review.decision_log import DecisionLog, is_undo, key_of, said
from pipeline.curation.review.filters import Filters
from pipeline.curation.review.search import Search, first_of
from pipeline.curation.review.statuses import (
    BY_RULE,
    CODE_OF,
    CONFLICT,
    SKIPPED,
    STATUS_CODES,
    UNDECIDED,
    GroupStatus,
    Statuses,
)

PHOTOS_ON_A_PAGE = 30
"""Flickr's terms allow no more."""
AHEAD = 4
"""Photos that a single view may load in advance."""
LEASE_S = 90.0
"""Longer than the minute between two timers of a hidden tab."""
LEAVE_S = 5.0
"""Time enough for the next page of the same browser to ask for the same photos."""
LOOK_AGAIN_S = 1.0
"""How often, at most, the folder and the tables are checked for changes by others."""
OPEN_LISTS = ("undecided", "skipped")
SOMEBODY_ELSE = "\0"
"""No curator has this name."""


@dataclass(frozen=True)
class ReviewStanding:
    """What is decided about a photo's group; `holds` is None while nothing is."""

    holds: Decision | None
    others: Sequence[Decision]
    """What other curators hold, or what was said of other members of the group, and is overruled."""
    skipped_by: Sequence[str]
    by_rule: bool
    conflict: Sequence[Decision] = ()
    """What the two of a double review say who differ, while nothing has settled it."""

    @property
    def status(self) -> str:
        """`undecided`, `skipped`, `keep`, `drop`, `move`, `rule` or `conflict`."""
        if self.conflict:
            return "conflict"
        if self.holds:
            return self.holds.decision
        return "rule" if self.by_rule else "skipped" if self.skipped_by else "undecided"


@dataclass(frozen=True)
class PhotoToReview:
    """A photo with everything a person decides by."""

    photo: CatalogPhoto
    standing: ReviewStanding
    duplicates: Sequence[Duplicate]


@dataclass(frozen=True)
class GridPage:
    """At most 30 photos. `before` and `after` are the ids with which the neighbouring pages begin, None at the ends."""

    shown: Sequence[PhotoToReview]
    first: int
    matching: int
    before: str | None
    after: str | None
    elsewhere: int
    """Matching photos that are on another curator's screen."""


@dataclass(frozen=True)
class Progress:
    """How far the work is, over the whole queue and one domain at a time, and the curator's pace."""

    decided: int
    total: int
    domains: Sequence[tuple[str, int, int]]
    conflicts: int
    """Photos about which the two of a double review differ."""
    per_hour: float | None
    undo_key: str
    undo_label: str

    @property
    def hours_left(self) -> float | None:
        """At this pace."""
        return (self.total - self.decided) / self.per_hour if self.per_hour else None


@dataclass
class ReviewState:
    """Everything behind one lock; each call takes milliseconds."""

    catalog: Catalog
    log: DecisionLog
    double: DoubleReview = field(default_factory=DoubleReview)
    clock_s: Callable[[], float] = time.monotonic
    """What leases run by."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _looked_at_s: float = -1e9
    _statuses: Statuses = field(init=False)
    _leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    """The smallest photo id of a group → the seat that holds the group, and until when."""
    _changed_at: dict[str, int] = field(default_factory=dict)
    """Photo → the number of the last change of its standing."""
    _number: int = field(default_factory=lambda: time.time_ns() // 10**6)
    """Of the latest change; higher than those of any server before, which had fewer than one a millisecond."""

    def __post_init__(self) -> None:
        self._statuses = Statuses(self.catalog)

    def grid(self, filters: Filters, start: str, curator: str, seat: str) -> GridPage:
        """The first 30 photos that match, from the photo `start` on."""
        with self._lock:
            self._look()
            search = self._search(filters, curator)
            places, elsewhere = search.all(), 0
            if filters.status in OPEN_LISTS:
                held = np.array(list(search.of_these(self._held(seat, curator))), np.int64)
                places, elsewhere = np.delete(places, np.searchsorted(places, held)), len(held)
            first = int(np.searchsorted(places, self.catalog.place(start) or 0))
            page = places[first : first + PHOTOS_ON_A_PAGE]
            if filters.status in OPEN_LISTS:
                self._lease(map(self.catalog.photo_id, page.tolist()), seat, curator)
            earlier = places[max(0, first - PHOTOS_ON_A_PAGE)] if first else None
            later = places[first + PHOTOS_ON_A_PAGE] if first + PHOTOS_ON_A_PAGE < len(places) else None
            return GridPage(
                shown=[self._shown(photo, curator) for photo in self.catalog.photos(page)],
                first=first,
                matching=len(places),
                before=None if earlier is None else self.catalog.photo_id(int(earlier)),
                after=None if later is None else self.catalog.photo_id(int(later)),
                elsewhere=elsewhere,
            )

    def find(self, written: str) -> str | None:
        """The id of the photo that a person means, as `Catalog.find` takes it."""
        with self._lock:
            self._look()
            return self.catalog.find(written)

    def single(self, photo_id: str, curator: str, seat: str) -> PhotoToReview | None:
        """One photo; None where it is not in the queue, may not be shown any more or is another seat's."""
        with self._lock:
            self._look()
            place = self.catalog.place(photo_id)
            if place is None or (self._open(photo_id, curator) and self._holder(photo_id) not in ("", seat)):
                return None
            self._lease([photo_id], seat, curator)
            return self._shown(self.catalog.photos([place])[0], curator)

    def upcoming(
        self, filters: Filters, after: str, curator: str, seat: str, count: int = AHEAD, second_first: bool = False
    ) -> list[str]:
        """Photos that match and come after the photo `after` (from the beginning where there are no more).

        With `second_first` those that wait for a second person come before. They are this seat's from now on.
        """
        with self._lock:
            self._look()
            search, held = self._search(filters, curator), set(self._held(seat, curator))
            here = self.catalog.place(after)
            cut = 0 if here is None else here + 1
            seconds = search.of_these(self._statuses.awaiting(curator)) if second_first else ()
            onward = first_of(search.after(cut), count, held)
            is_round = len(onward) < count and filters.status == "undecided"
            around = first_of(search.after(0, cut), count, held) if is_round else ()
            found = dict.fromkeys([*first_of(seconds, count, held), *onward, *around])
            chosen = [place for place in found if place != here][:count]
            photo_ids = [self.catalog.photo_id(place) for place in chosen]
            self._lease(photo_ids, seat, curator)
            return photo_ids

    def elsewhere(self, filters: Filters, curator: str, seat: str) -> int:
        """How many photos match that another seat holds."""
        with self._lock:
            return len(list(self._search(filters, curator).of_these(self._held(seat, curator))))

    def previous(self, filters: Filters, before: str, curator: str) -> str | None:
        """The last photo that matches and comes before the photo `before`."""
        with self._lock:
            found = first_of(self._search(filters, curator).before(self.catalog.place(before) or 0), 1)
            return self.catalog.photo_id(found[0]) if found else None

    def decide(self, photo_id: str, verdict: Verdict, curator: str, seat: str = "") -> Decision:
        """Write the decision; it is on the disk when this returns. Raises `RefusedDecision`.

        It counts whoever holds the photo: a lease is about what is shown, never about what was said.
        """
        with self._lock:
            self._look()
            decision = self.log.write(photo_id, verdict, curator, self.catalog.members(photo_id))
            if self._holder(photo_id) == seat:
                for member in self.catalog.members(photo_id):
                    self._leases.pop(member, None)
            self._changed({photo_id})
            return decision

    def undo(self, curator: str, expected: str = "", seat: str = "") -> Decision | None:
        """Take back the curator's last decision by a new row; returns what was undone, None where nothing was.

        The photo is this seat's again, unless another has taken it meanwhile.
        """
        with self._lock:
            self._look()
            undone = self.log.undo(curator, expected, self.catalog.members)
            if undone is not None:
                self._changed({undone.photo_id})
                if seat:
                    self._lease([undone.photo_id], seat, curator)
            return undone

    def standing(self, photo_id: str, curator: str) -> ReviewStanding | None:
        """What is decided about the photo as the curator may see it; None for one that is not in the queue."""
        with self._lock:
            self._look()
            return None if self.catalog.place(photo_id) is None else self._standing(photo_id, curator)

    def leave(self, seat: str, in_sight: Iterable[str]) -> None:
        """These photos' page was left: let the seat's leases of them run out soon."""
        with self._lock:
            soon_s = self.clock_s() + LEAVE_S
            for name in {self._lease_name(photo_id) for photo_id in in_sight}:
                holder, until_s = self._leases.get(name, ("", 0.0))
                if holder == seat:
                    self._leases[name] = seat, min(until_s, soon_s)

    def progress(self, curator: str) -> Progress:
        """How far the work is."""
        with self._lock:
            self._look()
            _, names = self.catalog.codes.get("domain", (np.empty(0, np.int64), []))
            counts = self._statuses.seen_by(curator).counts
            total_by, decided_by = (counts[:, STATUS_CODES[status]].sum(axis=1) for status in ("all", "decided"))
            last = self.log.undoable(curator)
            return Progress(
                decided=int(decided_by.sum()),
                total=int(total_by.sum()),
                domains=[(name, int(decided_by[n]), int(total_by[n])) for n, name in enumerate(names) if total_by[n]],
                conflicts=int(counts[:, CONFLICT].sum()),
                per_hour=self.log.pace(curator),
                undo_key=key_of(last) if last else "",
                undo_label=f"{said(last)} of {last.photo_id}" if last else "",
            )

    def changes(
        self, since: int, curator: str, seat: str, in_sight: Sequence[str]
    ) -> tuple[int, list[tuple[str, ReviewStanding]]]:
        """Photos `in_sight` whose standing changed after the number `since`, and the number to ask with next time.

        They stay reserved for this seat. That another has decided a photo of the double review is no news for whoever
        has not.
        """
        with self._lock:
            self._look()
            self._lease((photo_id for photo_id in in_sight if self.catalog.place(photo_id) is not None), seat, curator)
            # A number from before the server was started says nothing about what was missed.
            seen = since if since <= self._number else 0
            new = {photo_id for photo_id in in_sight if self._changed_at.get(photo_id, 0) > seen}
            told = [
                photo_id
                for photo_id in sorted(new)
                if not self._statuses.is_hidden(self.catalog.group_of(photo_id), curator)
            ]
            return self._number, [(photo_id, self._standing(photo_id, curator)) for photo_id in told]

    def picture(self, sha256: str) -> str | None:
        """The thumbnail's name of a picture that may be shown (empty where it has none); None for any other digest."""
        with self._lock:
            self._look()
            return self.catalog.thumbnail(sha256) if self.catalog.may_show(sha256) else None

    def batches(self) -> list[str]:
        """All names of batches in the queue."""
        return self._names("batch")

    def domains(self) -> list[str]:
        """All domains in the queue."""
        return self._names("domain")

    def _names(self, column: str) -> list[str]:
        with self._lock:
            self._look()
            return self.catalog.codes.get(column, (np.empty(0), []))[1]

    def _look(self) -> None:
        """Take in what others have written, unless that was done a moment ago."""
        if time.monotonic() - self._looked_at_s < LOOK_AGAIN_S:
            return
        reloaded = self.catalog.refresh()
        changed = self.log.refresh(everything=reloaded)
        if reloaded:
            self._statuses = Statuses(self.catalog)
        self._changed(self.log.photos() if reloaded else changed)
        self._looked_at_s = time.monotonic()

    def _changed(self, photo_ids: Collection[str]) -> None:
        """Note that words about these photos came or went: at the start, those about nearly all."""
        self._number += bool(photo_ids)
        self._changed_at.update(dict.fromkeys(photo_ids, self._number))
        groups = self.catalog.groups_of(photo_ids)
        found: dict[int, GroupStatus] = {}
        for photo_id, group, is_double in zip(photo_ids, groups.tolist(), self._are_double(groups), strict=True):
            if group < 0 or group in found:
                continue
            words, members = self.log.words(photo_id), self.catalog.members_of(group)
            if members:
                words = [word for member in members for word in self.log.words(member)]
                self._changed_at.update(dict.fromkeys(members, self._number))
            if len(words) == 1 and not is_double and (code := CODE_OF.get(words[0].decision)):  # as nearly all are
                found[group] = GroupStatus(group, code, code)
            else:
                found[group] = self._comes_to(group, words, is_double)
        if found:
            self._statuses.take(list(found.values()))

    def _comes_to(self, group: int, words: Sequence[Decision], is_double: bool) -> GroupStatus:
        deciders = {word.person for word in holders(words)} if is_double else set()
        standing = to_others = self._standing_by(group, words, is_double)
        only_by = next(iter(deciders)) if len(deciders) == 1 else None
        if only_by is not None:
            to_others = self._standing_by(group, words, is_double, SOMEBODY_ELSE)
        return GroupStatus(group, _code(standing), _code(to_others), only_by, to_others.skipped_by)

    def _are_double(self, groups: np.ndarray) -> list[bool]:
        """For each group, -1 for none, whether two people decide it."""
        if not self.double.share:
            return [False] * len(groups)
        return [key is not None and self.double.includes(key) for key in self.catalog.split_keys(groups)]

    def _shown(self, photo: CatalogPhoto, curator: str) -> PhotoToReview:
        return PhotoToReview(photo, self._standing(photo.photo_id, curator), self.catalog.duplicates(photo.photo_id))

    def _words(self, photo_id: str) -> list[Decision]:
        """All that was said about the photo and its copies."""
        return [word for member in self.catalog.members(photo_id) for word in self.log.words(member)]

    def _standing(self, photo_id: str, curator: str) -> ReviewStanding:
        """As the curator may see it."""
        group = self.catalog.group_of(photo_id)
        (is_double,) = self._are_double(np.array([group]))
        return self._standing_by(group, self._words(photo_id), is_double, curator)

    def _standing_by(
        self, group: int, words: Sequence[Decision], is_double: bool, curator: str | None = None
    ) -> ReviewStanding:
        """What the words about a group come to; as those see it who decided it, where no curator is named."""
        if not words:
            return ReviewStanding(None, (), (), group >= 0 and bool(self.catalog.by_rule[group]))
        if is_double and curator is not None:
            deciders = {word.person for word in holders(words)}
            if len(deciders) == 1 and person_of(curator) not in deciders:
                words = [word for word in words if word.person not in deciders]
        held = holders(words) if is_double else opinions(words)
        outcome = self.double.outcome(words) if is_double else DoubleReviewOutcome(held[-1] if held else None)
        last = {word.person: word for word in sorted(words, key=lambda word: word.when)}
        skipped = [word.curator or "" for word in last.values() if word.decision == "skip" and not is_undo(word)]
        return ReviewStanding(
            holds=outcome.counts,
            others=[word for word in held if outcome.counts and said(word) != said(outcome.counts)],
            skipped_by=[] if held else skipped,
            by_rule=False,
            conflict=outcome.conflict,
        )

    def _search(self, filters: Filters, curator: str) -> Search:
        return Search.of(self.catalog, self._statuses, filters, curator)

    def _held(self, seat: str, curator: str) -> list[int]:
        """Places of open photos that other seats hold."""
        now_s = self.clock_s()
        self._leases = {name: lease for name, lease in self._leases.items() if lease[1] > now_s}
        groups = {self.catalog.group_of(name) for name, (holder, _) in self._leases.items() if holder != seat}
        return [
            place for group in groups if self._statuses.is_open(group, curator) for place in self.catalog.places_of(group)
        ]

    def _lease(self, photo_ids: Iterable[str], seat: str, curator: str) -> None:
        """Take or renew leases of those that are open and that no other seat holds."""
        until_s = self.clock_s() + LEASE_S
        for photo_id in photo_ids:
            if self._open(photo_id, curator) and self._holder(photo_id) in ("", seat):
                self._leases[self._lease_name(photo_id)] = seat, until_s

    def _lease_name(self, photo_id: str) -> str:
        return min(self.catalog.members(photo_id))

    def _holder(self, photo_id: str) -> str:
        """The seat that holds the photo; empty while none does. The group may have grown since the lease began."""
        leases = (self._leases.get(member, ("", 0.0)) for member in self.catalog.members(photo_id))
        return next((holder for holder, until_s in leases if until_s > self.clock_s()), "")

    def _open(self, photo_id: str, curator: str) -> bool:
        return self._statuses.is_open(self.catalog.group_of(photo_id), curator)


def _code(standing: ReviewStanding) -> int:
    if standing.conflict:
        return CONFLICT
    if standing.holds:
        return CODE_OF[standing.holds.decision]
    return BY_RULE if standing.by_rule else SKIPPED if standing.skipped_by else UNDECIDED

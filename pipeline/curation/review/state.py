"""The state of a review: which photos each curator gets, what becomes of their decisions, how far they are.

Two people are not given the same undecided photo: whoever is given one holds a lease of it and of its duplicates. It
ends with the decision, `LEASE_S` after the photo was last in sight, or `LEAVE_S` after its page was left.

A photo of the double review (`pipeline.curation.double_review`) that one person has decided is undecided for everybody
else: it is given to one other person, who is shown nothing of what was said.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.curation.decisions import Decision, Verdict, opinions
from pipeline.curation.double_review import DoubleReview, DoubleReviewOutcome, holders, person, person_of
from pipeline.curation.review.catalog import Catalog, CatalogPhoto, Duplicate
from pipeline.curation.review.decision_log import DecisionLog, key_of, said
from pipeline.curation.review.filters import Filters

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
UNDECIDED, KEPT, DROPPED, MOVED, SKIPPED, BY_RULE, CONFLICT = range(7)
CODE_OF = {"keep": KEPT, "drop": DROPPED, "move": MOVED}
STATUS_CODES = {
    "undecided": (UNDECIDED, SKIPPED), "skipped": (SKIPPED,), "kept": (KEPT,), "moved": (MOVED,), "dropped": (DROPPED,),
    "decided": (KEPT, DROPPED, MOVED, BY_RULE, CONFLICT), "conflicts": (CONFLICT,), "all": tuple(range(7)),
}  # fmt: skip
OPEN = (UNDECIDED, SKIPPED)
"""What a lease is needed for: looking at what is decided is everybody's."""
OPEN_LISTS = ("undecided", "skipped")
SOMEBODY_ELSE = "\0"
"""No curator has this name."""
CHANGES_KEPT = 5_000


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
    _status: np.ndarray = field(default_factory=lambda: np.empty(0, np.int8))
    """For each group, as those may see it who decided it."""
    _status_of_others: np.ndarray = field(default_factory=lambda: np.empty(0, np.int8))
    """For each group, as all others may see it."""
    _only_by: dict[int, str] = field(default_factory=dict)
    """Group of the double review that one person alone has decided → who that is."""
    _is_double: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    """For each group whether two people decide it."""
    _skipped_by: dict[str, set[int]] = field(default_factory=dict)
    """Curator → groups that this curator skipped."""
    _leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    """The smallest photo id of a group → the seat that holds the group, and until when."""
    _changes: list[str] = field(default_factory=list)
    """Photos whose standing changed, the latest last."""
    _changes_before: int = 0

    def grid(self, filters: Filters, start: str, curator: str, seat: str) -> GridPage:
        """The first 30 photos that match, from the photo `start` on."""
        with self._lock:
            self._look()
            matching = self._matching(filters, curator)
            places = np.flatnonzero(self._free(matching, seat, curator) if filters.status in OPEN_LISTS else matching)
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
                elsewhere=int(matching.sum()) - len(places),
            )

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
            places = np.flatnonzero(self._free(self._matching(filters, curator), seat, curator))
            here = self.catalog.place(after)
            cut = 0 if here is None else int(np.searchsorted(places, here, side="right"))
            around = places[:cut][:count] if filters.status == "undecided" else ()
            seconds = places[np.isin(self.catalog.group[places], list(self._only_by))][:count] if second_first else ()
            found = [int(place) for place in (*seconds, *places[cut : cut + count], *around)]
            chosen = [place for place in dict.fromkeys(found) if place != here][:count]
            photo_ids = [self.catalog.photo_id(place) for place in chosen]
            self._lease(photo_ids, seat, curator)
            return photo_ids

    def elsewhere(self, filters: Filters, curator: str, seat: str) -> int:
        """How many photos match that another seat holds."""
        with self._lock:
            matching = self._matching(filters, curator)
            return int((matching & ~self._free(matching, seat, curator)).sum())

    def previous(self, filters: Filters, before: str, curator: str) -> str | None:
        """The last photo that matches and comes before the photo `before`."""
        with self._lock:
            places = np.flatnonzero(self._matching(filters, curator))
            here = self.catalog.place(before) or 0
            cut = int(np.searchsorted(places, here))
            return self.catalog.photo_id(int(places[cut - 1])) if cut else None

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
            places = np.flatnonzero(self.catalog.group >= 0)
            status = self._seen_by(curator)[self.catalog.group[places]]
            decided = np.isin(status, STATUS_CODES["decided"])
            numbers, names = self.catalog.codes.get("domain", (np.empty(0, np.int64), []))
            total_by = np.bincount(numbers[places], minlength=len(names))
            decided_by = np.bincount(numbers[places[decided]], minlength=len(names))
            last = self.log.undoable(curator)
            return Progress(
                decided=int(decided.sum()),
                total=len(places),
                domains=[(name, int(decided_by[n]), int(total_by[n])) for n, name in enumerate(names) if total_by[n]],
                conflicts=int((status == CONFLICT).sum()),
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
            now = self._changes_before + len(self._changes)
            # A number from before the server was started says nothing about what was missed.
            seen = since if since <= now else 0
            new = set(self._changes[max(0, seen - self._changes_before) :]) & set(in_sight)
            told = [photo_id for photo_id in sorted(new) if not self._is_hidden(self.catalog.group_of(photo_id), curator)]
            return now, [(photo_id, self._standing(photo_id, curator)) for photo_id in told]

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
            self._status = np.zeros(self.catalog.group_count, np.int8)
            rule = self.catalog.group[~self.catalog.waiting & (self.catalog.group >= 0)]
            self._status[rule] = BY_RULE
            self._status_of_others = self._status.copy()
            self._is_double = np.array([self.double.includes(key) for key in self.catalog.split_keys], bool)
            self._skipped_by.clear()
            self._only_by.clear()
            changed |= set(self.log.photos())
        self._changed(changed)
        self._looked_at_s = time.monotonic()

    def _changed(self, photo_ids: set[str]) -> None:
        for photo_id in photo_ids:
            group = self.catalog.group_of(photo_id)
            if group < 0:
                continue
            standing, to_others = self._standing(photo_id), self._standing(photo_id, SOMEBODY_ELSE)
            self._status[group], self._status_of_others[group] = _code(standing), _code(to_others)
            deciders = holders(self._words(photo_id)) if self._is_double[group] else []
            self._only_by.pop(group, None)
            if len(deciders) == 1:
                self._only_by[group] = person(deciders[0])
            for curator in {*self._skipped_by, *to_others.skipped_by}:
                groups = self._skipped_by.setdefault(curator, set())
                (groups.add if curator in to_others.skipped_by else groups.discard)(group)
            self._changes += self.catalog.members(photo_id)
        if len(self._changes) > 2 * CHANGES_KEPT:
            self._changes_before += len(self._changes) - CHANGES_KEPT
            del self._changes[:-CHANGES_KEPT]

    def _shown(self, photo: CatalogPhoto, curator: str) -> PhotoToReview:
        return PhotoToReview(photo, self._standing(photo.photo_id, curator), self.catalog.duplicates(photo.photo_id))

    def _words(self, photo_id: str) -> list[Decision]:
        """All that was said about the photo and its copies."""
        return [word for member in self.catalog.members(photo_id) for word in self.log.words(member)]

    def _standing(self, photo_id: str, curator: str | None = None) -> ReviewStanding:
        """As the curator may see it; as those see it who decided it, where none is named."""
        words = self._words(photo_id)
        place, group = self.catalog.place(photo_id), self.catalog.group_of(photo_id)
        if not words:
            by_rule = place is not None and not self.catalog.waiting[place]
            return ReviewStanding(None, (), (), by_rule)
        is_double = group >= 0 and bool(self._is_double[group])
        if is_double and curator is not None:
            deciders = {person(word) for word in holders(words)}
            if len(deciders) == 1 and person_of(curator) not in deciders:
                words = [word for word in words if person(word) not in deciders]
        held = holders(words) if is_double else opinions(words)
        outcome = self.double.outcome(words) if is_double else DoubleReviewOutcome(held[-1] if held else None)
        last = {word.curator or "": word for word in sorted(words, key=lambda word: word.when)}
        skipped = [curator for curator, word in last.items() if word.decision == "skip" and not is_undo(word)]
        return ReviewStanding(
            holds=outcome.counts,
            others=[word for word in held if outcome.counts and said(word) != said(outcome.counts)],
            skipped_by=[] if held else skipped,
            by_rule=False,
            conflict=outcome.conflict,
        )

    def _is_hidden(self, group: int, curator: str) -> bool:
        """Whether somebody has decided the group of which the curator may not know it."""
        return self._only_by.get(group, person_of(curator)) != person_of(curator)

    def _seen_by(self, curator: str) -> np.ndarray:
        """The status of each group as the curator may see it."""
        own = [group for group, decider in self._only_by.items() if decider == person_of(curator)]
        status = self._status_of_others.copy()
        status[own] = self._status[own]
        return status

    def _matching(self, filters: Filters, curator: str) -> np.ndarray:
        group = self.catalog.group
        seen = self._seen_by(curator)
        status = np.where(group >= 0, seen[group] if len(seen) else 0, -1)
        mask = np.isin(status, STATUS_CODES[filters.status])
        if filters.status == "undecided" and (skipped := self._skipped_by.get(curator)):
            mask &= ~np.isin(group, list(skipped))
        for name, wanted in (("domain", filters.domain), ("batch", filters.batch)):
            if wanted:
                mask &= self._is(name, wanted)
        if filters.suggestion:
            mask &= self._is("suggested_decision", "" if filters.suggestion == "none" else filters.suggestion)
        for name, (lowest, highest) in filters.hints.items():
            values = self.catalog.hint(name)
            mask &= ~np.isnan(values)
            mask &= (values >= (-np.inf if lowest is None else lowest)) & (
                values <= (np.inf if highest is None else highest)
            )
        return mask

    def _free(self, matching: np.ndarray, seat: str, curator: str) -> np.ndarray:
        """What matches and no other seat holds."""
        now_s = self.clock_s()
        self._leases = {name: lease for name, lease in self._leases.items() if lease[1] > now_s}
        groups = (self.catalog.group_of(name) for name, (holder, _) in self._leases.items() if holder != seat)
        held, group = [number for number in groups if number >= 0], self.catalog.group
        return matching & ~(np.isin(group, held) & np.isin(self._seen_by(curator)[group], OPEN)) if held else matching

    def _is(self, column: str, value: str) -> np.ndarray:
        numbers, names = self.catalog.codes.get(column, (np.empty(0, np.int64), []))
        return numbers == (names.index(value) if value in names else -2)

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
        group = self.catalog.group_of(photo_id)
        own = self._only_by.get(group) == person_of(curator)
        return group >= 0 and int((self._status if own else self._status_of_others)[group]) in OPEN


def is_undo(decision: Decision) -> bool:
    """Whether the row undoes another; a `skip` of this kind is no wish to see the photo later."""
    return (decision.note or "").startswith("undo: ")


def _code(standing: ReviewStanding) -> int:
    if standing.conflict:
        return CONFLICT
    if standing.holds:
        return CODE_OF[standing.holds.decision]
    return BY_RULE if standing.by_rule else SKIPPED if standing.skipped_by else UNDECIDED

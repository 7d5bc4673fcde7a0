"""What the photos come to, as each curator may see it: counted, and changed where a decision belongs and nowhere else.

All see the same but for photos of the double review that one person alone has decided: that person sees what it was, and
all others that it is open. So there is one view for all, and a further one for each person who is the only one somewhere.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import NamedTuple

import numpy as np

from pipeline.curation.decisions import person_of
from pipeline.curation.review.catalog import Catalog

UNDECIDED, KEPT, DROPPED, MOVED, SKIPPED, BY_RULE, CONFLICT, HIDDEN = range(8)
CODE_OF = {"keep": KEPT, "drop": DROPPED, "move": MOVED}
STATUS_CODES = {
    "undecided": (UNDECIDED, SKIPPED), "skipped": (SKIPPED,), "kept": (KEPT,), "moved": (MOVED,), "dropped": (DROPPED,),
    "decided": (KEPT, DROPPED, MOVED, BY_RULE, CONFLICT), "conflicts": (CONFLICT,), "all": tuple(range(HIDDEN)),
}  # fmt: skip
OPEN = (UNDECIDED, SKIPPED)
"""What a lease is needed for: looking at what is decided is everybody's."""


class GroupStatus(NamedTuple):
    """What a group comes to, as those may see it who decided it, and as all others may."""

    group: int
    code: int
    code_for_others: int
    only_by: str | None = None
    """The person who alone has decided it, of the double review."""
    skipped_by: Collection[str] = ()


@dataclass(frozen=True)
class StatusView:
    """Of each group its status, and of none at the end, for places without one; of each domain the places by status."""

    status: np.ndarray
    counts: np.ndarray

    def copy(self) -> "StatusView":
        """One that can be changed by itself."""
        return StatusView(self.status.copy(), self.counts.copy())


class Statuses:
    """The statuses of a catalog as it was read; nothing is decided at first."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._domain, names = catalog.codes.get("domain", (np.empty(0, np.int64), []))
        status = np.append(np.where(catalog.by_rule, BY_RULE, UNDECIDED), HIDDEN).astype(np.int8)
        counts = np.zeros((len(names), HIDDEN + 1), np.int64)
        np.add.at(counts, (self._domain, status[catalog.group]), 1)
        self._of_all = StatusView(status, counts)
        self._of: dict[str, StatusView] = {}
        self._only_by: dict[int, str] = {}
        self._alone: dict[str, list[int]] = {}
        """Person → places that this person alone has decided, in order."""
        self._skipped: dict[str, np.ndarray] = {}
        """Person → for each group, and for none at the end, whether this person skipped it."""

    def seen_by(self, curator: str) -> StatusView:
        """As the curator may see it."""
        return self._of.get(person_of(curator), self._of_all)

    def skipped_by(self, curator: str) -> np.ndarray | None:
        """For each group, and for none at the end, whether the curator skipped it; None where that is true of none."""
        return self._skipped.get(person_of(curator))

    def is_open(self, group: int, curator: str) -> bool:
        """Whether the curator sees nothing decided."""
        return group >= 0 and int(self.seen_by(curator).status[group]) in OPEN

    def is_hidden(self, group: int, curator: str) -> bool:
        """Whether somebody has decided the group of which the curator may not know it."""
        return self._only_by.get(group, person_of(curator)) != person_of(curator)

    def awaiting(self, curator: str) -> Iterator[int]:
        """Places in order that one person alone has decided, and not the curator."""
        return merge(*(places for person, places in self._alone.items() if person != person_of(curator)))

    def take(self, found: Sequence[GroupStatus]) -> None:
        """Note what groups, each named once, come to now."""
        groups = np.array([one.group for one in found], np.int64)
        codes = np.array([one.code_for_others for one in found], np.int8)
        alone: dict[str, list[int]] = {}
        for number, one in enumerate(found):
            if one.only_by is not None or one.group in self._only_by:
                self._note_alone(one)
            if one.only_by is not None:
                alone.setdefault(one.only_by, []).append(number)
        for person in alone.keys() - self._of.keys():
            self._of[person] = self._of_all.copy()
        self._set(self._of_all, groups, codes)
        for person, view in self._of.items():
            own, numbers = codes.copy(), alone.get(person, [])
            own[numbers] = [found[number].code for number in numbers]
            self._set(view, groups, own)
        for skipped in self._skipped.values():
            skipped[groups] = False
        for one in found:
            for curator in one.skipped_by:
                self._skipped.setdefault(person_of(curator), np.zeros(len(self._of_all.status), bool))[one.group] = True

    def _note_alone(self, found: GroupStatus) -> None:
        before = self._only_by.pop(found.group, None)
        if before is not None and before != found.only_by:
            for place in self._catalog.places_of(found.group):
                del self._alone[before][bisect_left(self._alone[before], place)]
        if found.only_by is not None:
            self._only_by[found.group] = found.only_by
            if before != found.only_by:
                for place in self._catalog.places_of(found.group):
                    insort(self._alone.setdefault(found.only_by, []), place)

    def _set(self, view: StatusView, groups: np.ndarray, codes: np.ndarray) -> None:
        changed = np.flatnonzero(view.status[groups] != codes)
        places, numbers = self._catalog.places_of_all(groups[changed])
        np.subtract.at(view.counts, (self._domain[places], view.status[groups[changed]][numbers]), 1)
        np.add.at(view.counts, (self._domain[places], codes[changed][numbers]), 1)
        view.status[groups[changed]] = codes[changed]

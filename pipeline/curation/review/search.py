"""Which places of the queue match, looked for from one of them on, in as few of them as it takes."""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pipeline.curation.review.catalog import Catalog
from pipeline.curation.review.filters import Filters
from pipeline.curation.review.statuses import HIDDEN, STATUS_CODES, Statuses

FIRST_LOOK, LONGEST_LOOK = 256, 65_536
"""Places that are looked at together, at first and in the end: the next match is seldom far."""


@dataclass(frozen=True, eq=False)
class Search:
    """What a curator asks for."""

    group: np.ndarray
    status: np.ndarray
    wanted: np.ndarray
    """For each status whether it matches."""
    skipped: np.ndarray | None
    """For each group whether it does not match, whatever its status."""
    named: Sequence[tuple[np.ndarray, int]]
    """Numbers of all places, and the one that matches."""
    limits: Sequence[tuple[np.ndarray, float, float]]
    """Values of all places, the lowest and the highest that match."""

    @classmethod
    def of(cls, catalog: Catalog, statuses: Statuses, filters: Filters, curator: str) -> "Search":
        """As the curator may see the photos."""
        wanted = np.zeros(HIDDEN + 1, bool)
        wanted[list(STATUS_CODES[filters.status])] = True
        named = {"domain": filters.domain, "batch": filters.batch, "suggested_decision": filters.suggestion}
        return cls(
            group=catalog.group,
            status=statuses.seen_by(curator).status,
            wanted=wanted,
            skipped=statuses.skipped_by(curator) if filters.status == "undecided" else None,
            named=[catalog.numbered(name, "" if value == "none" and name == "suggested_decision" else value)
                   for name, value in named.items() if value],
            limits=[(catalog.hints[name], -np.inf if lowest is None else lowest, np.inf if highest is None else highest)
                    for name, (lowest, highest) in filters.hints.items() if name in catalog.hints],
        )  # fmt: skip

    def matches(self, places: slice | np.ndarray) -> np.ndarray:
        """Whether each of these places matches."""
        group = self.group[places]
        mask = self.wanted[self.status[group]]
        if self.skipped is not None:
            mask &= ~self.skipped[group]
        for numbers, number in self.named:
            mask &= numbers[places] == number
        for values, lowest, highest in self.limits:
            mask &= (values[places] >= lowest) & (values[places] <= highest)
        return mask

    def all(self) -> np.ndarray:
        """All places that match, in order."""
        return np.flatnonzero(self.matches(slice(None)))

    def after(self, start: int, end: int | None = None) -> Iterator[int]:
        """The places from `start` on, up to `end`, that match, in order."""
        look, last = FIRST_LOOK, len(self.group) if end is None else end
        while start < last:
            stop = min(last, start + look)
            yield from (start + np.flatnonzero(self.matches(slice(start, stop)))).tolist()
            start, look = stop, min(2 * look, LONGEST_LOOK)

    def before(self, end: int) -> Iterator[int]:
        """The places before `end` that match, the last first."""
        look = FIRST_LOOK
        while end > 0:
            start = max(0, end - look)
            yield from (start + np.flatnonzero(self.matches(slice(start, end)))[::-1]).tolist()
            end, look = start, min(2 * look, LONGEST_LOOK)

    def of_these(self, places: Iterable[int]) -> Iterator[int]:
        """Those of the places that match, in their order."""
        asked = iter(places)
        while some := list(islice(asked, FIRST_LOOK)):
            yield from np.array(some)[self.matches(np.array(some))].tolist()


def first_of(places: Iterable[int], count: int, but: Set[int] = frozenset()) -> list[int]:
    """The first of the places that are not among `but`."""
    return list(islice((place for place in places if place not in but), count))

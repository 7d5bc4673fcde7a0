"""Which places match, however they are looked for."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.curation.review import search as module
from pipeline.curation.review.search import Search, first_of
from pipeline.curation.review.statuses import HIDDEN, KEPT, UNDECIDED


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 1), st.sampled_from([0.2, 0.7, np.nan])), max_size=30),
    st.integers(0, 30), st.integers(0, 30),
)  # fmt: skip
def test_looking_piece_by_piece_finds_what_a_look_at_all_finds(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[int, int, float]], start: int, end: int
) -> None:
    monkeypatch.setattr(module, "FIRST_LOOK", 2)
    monkeypatch.setattr(module, "LONGEST_LOOK", 4)
    group, domain = (np.array([row[n] for row in rows], np.int64) for n in (0, 1))
    values = np.array([row[2] for row in rows], float)
    status = np.array([UNDECIDED, KEPT, UNDECIDED, UNDECIDED, KEPT, UNDECIDED, HIDDEN], np.int8)
    wanted, skipped = np.arange(HIDDEN + 1) == UNDECIDED, np.arange(len(status)) == 3
    search = Search(group, status, wanted, skipped, [(domain, 1)], [(values, -np.inf, 0.5)])
    by_hand = [place for place, row in enumerate(rows) if row[0] in (0, 2, 5) and row[1:] == (1, 0.2)]
    assert search.all().tolist() == by_hand
    assert list(search.after(start)) == [place for place in by_hand if place >= start]
    assert list(search.after(start, min(end, len(rows)))) == [place for place in by_hand if start <= place < end]
    assert list(search.before(min(end, len(rows)))) == [place for place in by_hand if place < end][::-1]
    assert list(search.of_these(range(len(rows)))) == by_hand
    assert first_of(search.after(0), 2, set(by_hand[:1])) == by_hand[1:3]

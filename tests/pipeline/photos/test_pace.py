"""How a host's pace falls and recovers, on a clock of the test's own."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.photos.pace import MAX_PAUSE_S, MIN_PER_S, HostAnswer, Pace


class Simulated:
    """A server that takes `latency_s` for an answer and refuses what goes beyond `per_s`, by a bucket of `burst`."""

    def __init__(self, pace: Pace, latency_s: float = 0.1, per_s: float | None = None, burst: float = 5) -> None:
        self.pace, self.latency_s, self.per_s, self.burst = pace, latency_s, per_s, burst
        self.now_s: float = 0.0
        self.filled_s: float = 0.0
        self.tokens = burst
        self.running: list[tuple[float, HostAnswer, object, float]] = []
        self.good = self.refused = 0

    def run(self, duration_s: float) -> None:
        """Begin whatever the pace lets begin, for so long."""
        until_s = self.now_s + duration_s
        while self.now_s < until_s:
            earliest_s = self.pace.earliest_start_s()
            if earliest_s is not None and earliest_s <= self.now_s:
                ticket = self.pace.start(self.now_s)
                self.running.append((self.now_s + self.latency_s, self._judge(), ticket, self.latency_s))
                continue
            ends = [end_s for end_s, *_ in self.running]
            self.now_s = min([*ends, *([earliest_s] if earliest_s is not None else []), until_s])
            for entry in [one for one in self.running if one[0] <= self.now_s]:
                self.running.remove(entry)
                _, answer, ticket, took_s = entry
                self.good += answer is HostAnswer.GOOD
                self.refused += answer is HostAnswer.REFUSED
                self.pace.finish(ticket, self.now_s, answer, took_s)

    def _judge(self) -> HostAnswer:
        if self.per_s is None:
            return HostAnswer.GOOD
        self.tokens = min(self.burst, self.tokens + (self.now_s - self.filled_s) * self.per_s)
        self.filled_s = self.now_s
        if self.tokens < 1:
            return HostAnswer.REFUSED
        self.tokens -= 1
        return HostAnswer.GOOD


def answered(pace: Pace, answer: HostAnswer, times: int = 1, took_s: float = 0.1, now_s: float = 0.0) -> None:
    for _ in range(times):
        pace.finish(pace.start(now_s), now_s, answer, took_s)


def test_a_well_behaved_server_is_never_held_back() -> None:
    server = Simulated(Pace(8))
    server.run(60)
    assert server.good == pytest.approx(60 / 0.1 * 8, rel=0.01)
    report = server.pace.report()
    assert (report.lowest_concurrency, report.final_concurrency, report.lowest_per_s, report.refusals) == (8, 8, None, 0)


@pytest.mark.parametrize("allowed_per_s", [2.0, 5.0, 25.0, 60.0])
@pytest.mark.parametrize("latency_s", [0.01, 0.1])
def test_a_limit_is_found_and_kept(allowed_per_s: float, latency_s: float) -> None:
    server = Simulated(Pace(8), latency_s=latency_s, per_s=allowed_per_s)
    server.run(120)
    server.good = server.refused = 0
    server.run(600)
    assert server.good / 600 > 0.5 * allowed_per_s
    assert server.refused / (server.good + server.refused) < 0.16


def test_it_recovers_when_the_limit_goes() -> None:
    server = Simulated(Pace(8), per_s=1.0)
    server.run(120)
    assert server.pace.concurrency == 1
    assert server.pace.per_s is not None
    server.per_s = None
    server.run(180)
    assert (server.pace.concurrency, server.pace.per_s) == (8, None)
    report = server.pace.report()
    assert (report.lowest_concurrency, report.final_concurrency) == (1, 8)
    assert report.lowest_per_s is not None
    assert report.lowest_per_s < 1


def test_one_refusal_halves_once_for_all_that_ran() -> None:
    pace = Pace(8)
    tickets = [pace.start(0.0) for _ in range(8)]
    assert pace.earliest_start_s() is None
    for ticket in tickets:
        pace.finish(ticket, 1.0, HostAnswer.REFUSED, 0.1)
    assert pace.concurrency == 4
    assert pace.report().refusals == 8


def test_increase_is_additive() -> None:
    pace = Pace(8)
    answered(pace, HostAnswer.REFUSED)
    answered(pace, HostAnswer.REFUSED)
    grown = []
    for _ in range(30):
        answered(pace, HostAnswer.GOOD, times=10)
        grown.append(pace.concurrency)
    assert grown[0] <= 3
    assert grown[-1] == 8
    assert all(0 <= later - earlier <= 1 for earlier, later in itertools.pairwise(grown))


def test_retry_after_holds_up_the_whole_host() -> None:
    pace = Pace(4)
    running = pace.start(0.0)
    pace.finish(pace.start(0.0), 10.0, HostAnswer.REFUSED, 0.1, retry_after_s=7)
    assert pace.earliest_start_s() == 17
    pace.finish(running, 11.0, HostAnswer.GOOD, 0.1)
    assert pace.earliest_start_s() == 17
    pace.finish(pace.start(17.0), 18.0, HostAnswer.REFUSED, 0.1, retry_after_s=86_400)
    assert pace.earliest_start_s() == 18 + MAX_PAUSE_S


def test_a_lone_403_is_the_photos_own_matter() -> None:
    pace = Pace(8)
    answered(pace, HostAnswer.FORBIDDEN)
    answered(pace, HostAnswer.GOOD, times=25)
    answered(pace, HostAnswer.FORBIDDEN)
    assert pace.concurrency == 8
    answered(pace, HostAnswer.FORBIDDEN)
    assert pace.concurrency == 4


def test_rare_refusals_at_any_pace_cost_little() -> None:
    pace = Pace(8)
    for number in range(2_000):
        answered(pace, HostAnswer.REFUSED if number % 20 == 7 else HostAnswer.GOOD)
    assert pace.per_s is None
    assert pace.concurrency >= 2


def test_a_slow_server_is_asked_less_and_then_taken_as_it_is() -> None:
    pace = Pace(8)
    answered(pace, HostAnswer.GOOD, times=64, took_s=0.2)
    answered(pace, HostAnswer.GOOD, times=32, took_s=2.0)
    assert pace.concurrency < 8
    report = pace.report()
    assert (report.slowdowns, report.refusals, report.lowest_per_s) == (2, 0, None)
    answered(pace, HostAnswer.GOOD, times=800, took_s=2.0)
    assert pace.concurrency == 8


def test_some_slow_answers_and_slow_starts_change_nothing() -> None:
    pace = Pace(8)
    for number in range(640):
        answered(pace, HostAnswer.GOOD, took_s=5.0 if number % 8 == 0 else 0.2)
    assert pace.report().slowdowns == 0
    always_slow = Pace(8)
    answered(always_slow, HostAnswer.GOOD, times=320, took_s=3.0)
    assert always_slow.report().slowdowns == 0


@given(st.lists(st.tuples(st.sampled_from(list(HostAnswer)), st.floats(0, 100), st.floats(0, 50)), max_size=300))
def test_whatever_comes_there_is_always_a_next_start(answers: list[tuple[HostAnswer, float, float]]) -> None:
    pace, now_s = Pace(8), 0.0
    for answer, took_s, gap_s in answers:
        earliest_s = pace.earliest_start_s()
        assert earliest_s is not None
        assert earliest_s <= now_s + max(1 / MIN_PER_S, MAX_PAUSE_S)
        now_s = max(now_s + gap_s, earliest_s)
        ticket = pace.start(now_s)
        now_s += took_s
        pace.finish(ticket, now_s, answer, took_s, retry_after_s=gap_s)
        assert 1 <= pace.concurrency <= 8
        assert pace.per_s is None or pace.per_s >= MIN_PER_S

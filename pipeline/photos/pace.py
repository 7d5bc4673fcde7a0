"""How fast one host may be asked: additive increase, multiplicative decrease, so that its limits are found and kept.

Flickr's image servers answer 429 (sometimes 403) without saying for how long, and get slow before they do. One
`Pace` belongs to one host and to all connections to it, so that one refusal slows every one of them:

- refused (429, 503, a second 403 among the last 20 answers) or slow (see below): half as many requests at a time;
- still refused at one at a time, a quarter of the last 20 answers: half as many requests a second, evenly spaced;
  refused seldom after that: less by a third;
- every good answer gives a little back: first of the rate, until it is what one connection manages anyway, then
  of the number at a time, up to what was configured.

Requests that began before the last decrease tell nothing new. `Retry-After` holds up the whole host. A server counts
as slow when the median of its last 16 answers took over a second and four times as long as at its best; what is
best is forgotten slowly, so that a server which stays slow is not held at one request for ever.

Nothing here waits or looks at a clock: times come in as arguments, seconds of any monotonic clock. Not thread-safe.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from statistics import median

RECENT = 20
"""So many of the last answers tell whether refusals are frequent."""
FREQUENT = 0.25
"""At one request at a time: from this share of refusals on the rate is lowered too."""
LONE_DECREASE = 0.7
"""What a lowered rate is multiplied by at a refusal among many good answers; some servers refuse at any rate."""
ANSWERS_TO_RECOVER = 40
"""This many good answers add to a lowered rate the rate that it was lowered from; together with the above, a server with a
fixed limit refuses one request in thirteen."""
ANSWERS_PER_CONNECTION = 4
"""With n requests at a time, so many times n good answers allow one more."""
MIN_PER_S = 0.2
SLOW_WINDOW, SLOW_RATIO, SLOW_S = 16, 4.0, 1.0
MAX_PAUSE_S = 60.0


class HostAnswer(Enum):
    """What a request came to, as far as the host's pace goes."""

    GOOD = "good"
    """Complete, whatever it says of the photo."""
    REFUSED = "refused"
    """429 or 503: too much was asked."""
    FORBIDDEN = "forbidden"
    """403: this photo's own matter when it comes alone, a refusal when it comes in bursts."""
    FAILED = "failed"
    """Anything else; says nothing about the pace but for the time it took."""


@dataclass(frozen=True)
class PaceReport:
    """How a host was asked. `lowest_per_s` is None where the rate was never lowered."""

    lowest_concurrency: int
    final_concurrency: int
    lowest_per_s: float | None
    refusals: int
    slowdowns: int


class Pace:
    """The pace of one host."""

    def __init__(self, max_concurrency: int) -> None:
        self._max = float(max_concurrency)
        self._limit = self._lowest_limit = self._max
        self._per_s: float | None = None
        self._lowest_per_s: float | None = None
        self._reference_per_s = 0.0
        self._running = 0
        self._decreases = 0
        self._refusals = 0
        self._slowdowns = 0
        self._next_start_s = self._pause_until_s = float("-inf")
        self._refused: deque[bool] = deque(maxlen=RECENT)
        self._forbidden: deque[bool] = deque(maxlen=RECENT)
        self._started_s: deque[float] = deque(maxlen=RECENT)
        self._took_s: deque[float] = deque(maxlen=SLOW_WINDOW)
        self._best_s = float("inf")
        self._typical_s: float | None = None

    @property
    def concurrency(self) -> int:
        """How many requests may run at a time."""
        return int(self._limit)

    @property
    def per_s(self) -> float | None:
        """How many requests a second may begin; None: as many as come about."""
        return self._per_s

    def earliest_start_s(self) -> float | None:
        """When the next request may begin; None: not before one has ended."""
        if self._running >= self.concurrency:
            return None
        return max(self._next_start_s, self._pause_until_s)

    def start(self, now_s: float) -> int:
        """A request begins now; returns the ticket that belongs to its `finish`: how often the pace had been lowered."""
        self._running += 1
        self._started_s.append(now_s)
        if self._per_s is not None:
            self._next_start_s = now_s + 1 / self._per_s
        return self._decreases

    def finish(
        self, ticket: int, now_s: float, answer: HostAnswer, took_s: float, retry_after_s: float | None = None
    ) -> None:
        """The request ended now with `answer`, `took_s` after it went out; its server asked to wait `retry_after_s`."""
        self._running -= 1
        refused = self._is_refusal(answer)
        self._refused.append(refused)
        if retry_after_s:
            self._pause_until_s = max(self._pause_until_s, now_s + min(retry_after_s, MAX_PAUSE_S))
        if refused:
            self._refusals += 1
        self._took_s.append(took_s)
        slow = self._is_slow()
        if (refused or slow) and ticket == self._decreases:
            self._slowdowns += slow
            self._decrease(now_s, refused)
        elif answer is HostAnswer.GOOD:
            self._typical_s = took_s if self._typical_s is None else 0.9 * self._typical_s + 0.1 * took_s
            self._increase()

    def report(self) -> PaceReport:
        """What it came to."""
        return PaceReport(int(self._lowest_limit), self.concurrency, self._lowest_per_s, self._refusals, self._slowdowns)

    def _is_refusal(self, answer: HostAnswer) -> bool:
        burst = answer is HostAnswer.FORBIDDEN and any(self._forbidden)
        self._forbidden.append(answer is HostAnswer.FORBIDDEN)
        return burst or answer is HostAnswer.REFUSED

    def _is_slow(self) -> bool:
        """Judged once for each full window."""
        if len(self._took_s) < SLOW_WINDOW:
            return False
        typical_s = median(self._took_s)
        slow = typical_s > max(SLOW_S, SLOW_RATIO * self._best_s)
        self._best_s = min(self._best_s * 1.1, typical_s)
        self._took_s.clear()
        return slow

    def _decrease(self, now_s: float, refused: bool) -> None:
        self._decreases += 1
        at_a_time = self.concurrency
        self._limit = max(1.0, self._limit / 2)
        self._lowest_limit = min(self._lowest_limit, self._limit)
        if at_a_time > 1:
            return
        frequent = sum(self._refused) >= FREQUENT * RECENT
        if refused and (frequent or self._per_s is not None):
            self._reference_per_s = self._per_s or self._observed_per_s(now_s)
            self._per_s = max(MIN_PER_S, self._reference_per_s * (0.5 if frequent else LONE_DECREASE))
            self._lowest_per_s = min(self._lowest_per_s or self._per_s, self._per_s)
            self._next_start_s = now_s + 1 / self._per_s

    def _observed_per_s(self, now_s: float) -> float:
        return len(self._started_s) / max(now_s - self._started_s[0], 1e-3)

    def _increase(self) -> None:
        if self._per_s is None:
            self._limit = min(self._max, self._limit + 1 / (ANSWERS_PER_CONNECTION * self._limit))
            return
        self._per_s += self._reference_per_s / ANSWERS_TO_RECOVER
        self._reference_per_s = max(self._reference_per_s, self._per_s)
        if self._typical_s is not None and self._per_s * self._typical_s >= 1:
            self._per_s = None

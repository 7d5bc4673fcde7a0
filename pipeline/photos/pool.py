"""Many requests at a time to several hosts, each host at its own pace, each item with its retries.

One thread, the caller's, decides what begins when; the others only make requests. So nobody sleeps while it holds a
place that another host could use, and all decisions about pace and retries lie on one line of time.
"""

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from pipeline.photos.pace import HostAnswer, Pace, PaceReport

TICK_S = 1.0
"""How often `tick` is called, about."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Tried(Generic[Result]):
    """What one attempt came to. `again_in_s` None: that was all; otherwise the wait before the next attempt.

    `took_s` is the time of the request alone, `received_bytes` the size of a complete body, else None.
    """

    result: Result
    answer: HostAnswer
    took_s: float
    received_bytes: int | None = None
    retry_after_s: float | None = None
    again_in_s: float | None = None


@dataclass(frozen=True)
class Transfer:
    """What was received in all, in which time, and how each host was asked."""

    pictures: int
    size_bytes: int
    duration_s: float
    hosts: Mapping[str, PaceReport]

    @property
    def pictures_per_s(self) -> float:
        return self.pictures / self.duration_s if self.duration_s else 0.0

    @property
    def megabytes_per_s(self) -> float:
        return self.size_bytes / 1e6 / self.duration_s if self.duration_s else 0.0


@dataclass
class _Host(Generic[Item]):
    """What is to be asked of one host: what may be asked at once, and a heap of what must wait."""

    pace: Pace
    ready: deque[Item] = field(default_factory=deque)
    later: list[tuple[float, int, Item]] = field(default_factory=list)

    def earliest_s(self) -> float | None:
        """When the next item may begin; None without one, or while the pace lets none begin before another ended."""
        start_s = self.pace.earliest_start_s()
        if start_s is None or not (self.ready or self.later):
            return None
        return start_s if self.ready else max(start_s, self.later[0][0])

    def take(self, now_s: float) -> Item:
        """The next item: one that has waited its time, else a new one."""
        if self.later and (self.later[0][0] <= now_s or not self.ready):
            return heapq.heappop(self.later)[2]
        return self.ready.popleft()


class PacedPool(Generic[Item, Result]):
    """Makes attempts in `threads` threads. `tick` is called about once a second, `stop` when the pool ends early."""

    def __init__(
        self, threads: int, attempt: Callable[[Item], Tried[Result]], tick: Callable[[], None], stop: Callable[[], None]
    ) -> None:
        self._threads = threads
        self._attempt = attempt
        self._tick = tick
        self._stop = stop
        self._hosts: dict[str, _Host[Item]] = {}
        self._done: SimpleQueue[tuple[Item, _Host[Item], int, Future[Tried[Result]]]] = SimpleQueue()
        self._order = itertools.count()
        self._running = 0
        self._pictures = self._size_bytes = 0
        self._began_s = self._ended_s = 0.0

    def run(self, items: Iterable[tuple[str, Item]]) -> Generator[tuple[Item, Result]]:
        """Items, given with their hosts, as they are finished. Closing the generator ends what still runs."""
        for host, item in items:
            if host not in self._hosts:
                self._hosts[host] = _Host(Pace(self._threads))
            self._hosts[host].ready.append(item)
        self._began_s = self._ended_s = time.monotonic()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="download") as executor:
            try:
                yield from self._results(executor)
            finally:
                if self._running:
                    self._stop()
                executor.shutdown(wait=False, cancel_futures=True)

    def transfer(self) -> Transfer:
        """What was received up to now."""
        reports = {name: host.pace.report() for name, host in self._hosts.items()}
        return Transfer(self._pictures, self._size_bytes, self._ended_s - self._began_s, reports)

    def _results(self, executor: ThreadPoolExecutor) -> Generator[tuple[Item, Result]]:
        next_tick_s = self._began_s + TICK_S
        while True:
            wake_s = self._launch(executor)
            if not self._running and wake_s is None:
                return
            now_s = time.monotonic()
            if now_s >= next_tick_s:
                self._tick()
                next_tick_s = now_s + TICK_S
            try:
                until_s = next_tick_s if wake_s is None else min(wake_s, next_tick_s)
                item, host, ticket, future = self._done.get(timeout=max(until_s - now_s, 0.001))
            except Empty:
                continue
            self._running -= 1
            tried = future.result()
            if self._note(item, host, ticket, tried):
                yield item, tried.result

    def _launch(self, executor: ThreadPoolExecutor) -> float | None:
        """Begin all that may begin now, the hosts in turn; returns when there may be more, None: not by waiting."""
        while True:
            now_s = time.monotonic()
            times = {name: host.earliest_s() for name, host in self._hosts.items()}
            waiting = [time_s for time_s in times.values() if time_s is not None]
            if self._running >= self._threads or not waiting:
                return None
            if min(waiting) > now_s:
                return min(waiting)
            for name, earliest_s in times.items():
                if earliest_s is not None and earliest_s <= now_s and self._running < self._threads:
                    self._begin(executor, self._hosts[name], now_s)

    def _begin(self, executor: ThreadPoolExecutor, host: _Host[Item], now_s: float) -> None:
        item = host.take(now_s)
        ticket = host.pace.start(now_s)
        self._running += 1
        future = executor.submit(self._attempt, item)
        future.add_done_callback(lambda done: self._done.put((item, host, ticket, done)))

    def _note(self, item: Item, host: _Host[Item], ticket: int, tried: Tried[Result]) -> bool:
        """Account for an attempt; True where the item is finished."""
        now_s = self._ended_s = time.monotonic()
        host.pace.finish(ticket, now_s, tried.answer, tried.took_s, tried.retry_after_s)
        if tried.received_bytes is not None:
            self._pictures += 1
            self._size_bytes += tried.received_bytes
        if tried.again_in_s is None:
            return True
        heapq.heappush(host.later, (now_s + tried.again_in_s, next(self._order), item))
        return False

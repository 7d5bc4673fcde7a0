"""How many API calls an hour a service takes, counted over all processes and restarts; and one call at a time.

Flickr allows 3,600 an hour per key, whoever makes them, and disables a key that goes on past it. The calls of
the last hour stand in one small file per key, under a lock of the operating system that goes with its process. Where
Dagster's records are in PostgreSQL they stand there as well, so that several machines together stay within the limit.
"""

import hashlib
import logging
import os
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.atomic import naming
from pipeline.file_names import child
from pipeline.locks import locked
from pipeline.plain_files import read_plain
from pipeline.postgres import alone, connected, is_shared

HOUR_S = 3600.0
_QUIET_WAIT_S = 5.0
COUNTED = "calls are counted"

log = logging.getLogger(__name__)


def call_budget(folder: Path, key: str, calls_per_hour: int, service: str = "Flickr") -> "CallBudget":
    """The budget of a key, counted in the folder; where `BOKEHFLOW_POSTGRES_HOST` is set, there, over all machines."""
    shared = SharedCallBudget if is_shared() else CallBudget
    return shared(folder, key, calls_per_hour, service=service)


class CallBudget:
    """`calls_per_hour` calls in any 3,600 s, for one key.

    `folder` is shared by every process that uses the key; the file in it is named by the key's digest, so that
    the key itself stands nowhere. `clock` gives Unix seconds.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        calls_per_hour: int,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        service: str = "Flickr",
    ) -> None:
        self.path = child(folder, f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.calls")
        self.calls_per_hour = calls_per_hour
        self.service = service
        self._clock = clock
        self._sleep = sleep

    def acquire(self) -> None:
        """Count one call, waiting until one is allowed."""
        while (wait_s := self._try()) > 0:
            level = logging.INFO if wait_s > _QUIET_WAIT_S else logging.DEBUG
            spent = f"the {self.calls_per_hour} {self.service} calls of this hour are spent"
            log.log(level, "%s: waiting %.0f s", spent, wait_s)
            self._sleep(wait_s)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold everybody else's calls to the service back, in all processes, until the `with` block ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_suffix(".turn")):
            yield

    def left(self) -> int:
        """How many calls are allowed at this moment."""
        try:
            data = read_plain(self.path)
        except FileNotFoundError:  # to look makes nothing: the folder may be one that cannot be written
            data = b""
        return max(0, self.calls_per_hour - len(self._recent(_times(data))))

    def _try(self) -> float:
        """Count a call and return 0, or return the seconds until one may be tried again."""
        with self._locked() as descriptor:
            times, now = _read(descriptor), self._clock()
            for slot in (slot for slot, at in enumerate(times) if at > now):
                # A clock that was set back: as if they had been made now, they block for an hour at most.
                times[slot] = now
                os.pwrite(descriptor, array("d", [now]).tobytes(), slot * 8)
            recent = self._recent(times)
            if len(recent) >= self.calls_per_hour:
                next_free = sorted(recent)[len(recent) - self.calls_per_hour]
                return max(0.01, next_free + HOUR_S - self._clock())
            free_slot = next((slot for slot, at in enumerate(times) if not self._is_recent(at)), len(times))
            # One write of eight bytes in place: a process killed here leaves the old time or the new one.
            os.pwrite(descriptor, array("d", [self._clock()]).tobytes(), free_slot * 8)
            return 0.0

    def _recent(self, times: array) -> list[float]:
        return [at for at in times if self._is_recent(at)]

    def _is_recent(self, at: float) -> bool:
        return self._clock() - at < HOUR_S

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with naming(self.path), locked(self.path) as descriptor:
            yield descriptor


class SharedCallBudget(CallBudget):
    """The same over several machines: rows in PostgreSQL, by its clock, under its locks, which go with their connection.

    Raises `ConfigError` where it cannot be reached: nobody may call without being counted.
    """

    @contextmanager
    def turn(self) -> Iterator[None]:
        """As `CallBudget` has it, over all machines."""
        with connected(COUNTED) as connection, connection.cursor() as cursor:
            alone(cursor.execute, f"bokehflow turn {self.path.stem}")
            yield

    def left(self) -> int:
        """As `CallBudget` has it."""
        with self._counting() as (_, times):
            return max(0, self.calls_per_hour - len(times))

    def _try(self) -> float:
        with self._counting() as (connection, times):
            if len(times) >= self.calls_per_hour:
                return max(0.01, times[len(times) - self.calls_per_hour])
            with connection.cursor() as cursor:
                cursor.execute("insert into bokehflow_calls values (%s, clock_timestamp())", [self.path.stem])
            return 0.0

    @contextmanager
    def _counting(self) -> Iterator[tuple[Any, list[float]]]:
        """Alone among all machines: a connection, and in how many seconds each call of the last hour is over an hour old."""
        with connected(COUNTED) as connection:
            with connection.cursor() as cursor:
                alone(cursor.execute, "bokehflow calls")  # for all keys, as they share the table
                cursor.execute("create table if not exists bokehflow_calls (key text, made_at timestamptz)")
                cursor.execute("delete from bokehflow_calls where made_at < clock_timestamp() - interval '1 hour'")
                age = "extract(epoch from made_at - clock_timestamp())::float8 + 3600"
                cursor.execute(f"select {age} from bokehflow_calls where key = %s order by 1", [self.path.stem])
                left_s = [seconds for (seconds,) in cursor.fetchall()]
            yield connection, left_s


def _read(descriptor: int) -> array:
    return _times(os.pread(descriptor, os.fstat(descriptor).st_size, 0))


def _times(data: bytes) -> array:
    times = array("d")
    times.frombytes(data[: len(data) // 8 * 8])
    return times

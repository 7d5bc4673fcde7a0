"""Locks over machines, for a home in a bucket: rows in PostgreSQL, where `BOKEHFLOW_POSTGRES_HOST` names one.

A row has its owner, a fence number that grows with each owner, and until when the lock is that one's, by the server's clock.
Owners renew it while they work. Who comes after that time, or finds the owner's process dead, takes it over; the first one
learns it before its next list is put, and puts none.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psutil import pid_exists

from pipeline.errors import BokehflowError, StorageError
from pipeline.machine import MachinePlace, here, host_name
from pipeline.postgres import alone, connected

LEASE_S = 60.0
"""So long a lock stays its owner's after it was last heard of."""
RENEWALS = 4
"""So often a lock is renewed in that time."""
KEPT = "locks are kept"
TABLE = """create table if not exists bokehflow_locks (
    name text primary key, fence bigint not null, owner text not null, mark text not null, pid bigint not null,
    until timestamptz not null)"""
TAKE = """insert into bokehflow_locks values (
    %(name)s, 1, %(owner)s, %(mark)s, %(pid)s, clock_timestamp() + %(lease)s * interval '1 second')
    on conflict (name) do update set fence = bokehflow_locks.fence + 1, owner = excluded.owner, mark = excluded.mark,
    pid = excluded.pid, until = excluded.until returning fence"""


class Lease:
    """A lock that this process holds: `name` of what, `fence` its number."""

    def __init__(self, name: str, fence: int) -> None:
        self.name, self.fence = name, fence
        self.ended = threading.Event()
        self._heard_s = time.monotonic()

    def check(self) -> None:
        """Raise `StorageError` where another process has taken the lock over, or may have."""
        try:
            self._renew()
        except StorageError:
            raise
        except BokehflowError as error:
            if time.monotonic() > self._heard_s + LEASE_S:
                raise StorageError(f"{self.name}: the lock could not be renewed for {LEASE_S:.0f} s ({error})") from error

    def renewed(self) -> None:
        """Renew it until it has ended; a lost one is told of by `check`."""
        while not self.ended.wait(LEASE_S / RENEWALS):
            try:
                self._renew()
            except StorageError:
                return
            except BokehflowError:  # as long as the lease lasts there is time
                continue

    def end(self) -> None:
        """Give it up; one that is not this process's any more stays as it is."""
        self.ended.set()
        with connected(KEPT) as connection, connection.cursor() as cursor:
            cursor.execute(
                "update bokehflow_locks set until = clock_timestamp() where name = %s and fence = %s",
                [self.name, self.fence],
            )

    def _renew(self) -> None:
        asked_s = time.monotonic()
        with connected(KEPT) as connection, connection.cursor() as cursor:
            cursor.execute(
                "update bokehflow_locks set until = clock_timestamp() + %s * interval '1 second' "
                "where name = %s and fence = %s",
                [LEASE_S, self.name, self.fence],
            )
            if cursor.rowcount:
                self._heard_s = asked_s
                return
            cursor.execute("select owner from bokehflow_locks where name = %s", [self.name])
            owner = (cursor.fetchone() or ["somebody"])[0]
        raise StorageError(
            f"{self.name}: {owner} took this over, as nothing was heard of this process for {LEASE_S:.0f} s; what was made "
            "here is not sent. Run the same command again: it goes on from what is in the bucket"
        )


_HELD: set[Lease] = set()


@contextmanager
def leased(name: str) -> Iterator[None]:
    """Hold the lock `name`, alone among all machines.

    Raises `StorageError` where another process holds it, and at the end where one has taken it over.
    """
    lease = _taken(name)
    _HELD.add(lease)
    renewer = threading.Thread(target=lease.renewed, name=f"lease {name}", daemon=True)
    renewer.start()
    try:
        yield
        lease.check()
    finally:
        _HELD.discard(lease)
        lease.ended.set()
        renewer.join()
        _end(lease)


def check_leases() -> None:
    """Raise `StorageError` where a lock of this process is another's by now: it must not commit what it makes."""
    for lease in list(_HELD):
        lease.check()


def _taken(name: str) -> Lease:
    with connected(KEPT) as connection, connection.cursor() as cursor:
        alone(cursor.execute, "bokehflow locks")
        cursor.execute(TABLE)
        cursor.execute("select owner, mark, pid, until > clock_timestamp() from bokehflow_locks where name = %s", [name])
        found = cursor.fetchone()
        if found and found[3] and not _is_dead(*found[1:3]):
            raise StorageError(f"{name}: {found[0]} is at work on it; wait for it, or end it first, then run again")
        own = {"name": name, "owner": f"{host_name()}, process {os.getpid()}", "mark": here().mark, "pid": os.getpid()}
        cursor.execute(TAKE, {**own, "lease": LEASE_S})
        return Lease(name, cursor.fetchone()[0])


def _is_dead(mark: str, pid: int) -> bool:
    """Whether the owner is known to be gone: of another machine nothing is known but the time."""
    place = MachinePlace.of(mark)
    return place is not None and (place.is_over() or (place.is_here() and not pid_exists(pid)))


def _end(lease: Lease) -> None:
    with suppress(BokehflowError):  # it ends by itself
        lease.end()

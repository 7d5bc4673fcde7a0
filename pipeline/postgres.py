"""The PostgreSQL that several machines share, where `BOKEHFLOW_POSTGRES_HOST` and its like name one."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from pipeline.errors import ConfigError
from pipeline.package_files import POSTGRES_VARIABLE

PATIENCE_S = 10


def is_shared() -> bool:
    """Whether the environment names one."""
    return bool(os.environ.get(POSTGRES_VARIABLE))


@contextmanager
def connected(what: str) -> Iterator[Any]:
    """A connection whose transaction ends with the block; `what` says what is kept there, as in "locks are kept".

    Raises `ConfigError` where it cannot be reached.
    """
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "DB"}
    given = {name: os.environ.get(f"BOKEHFLOW_POSTGRES_{variable}") for name, variable in names.items()}
    try:
        driver = import_module("psycopg2")
    except ImportError:
        raise ConfigError(f"{POSTGRES_VARIABLE} is set, so {what} there: pip install 'bokehflow[postgres]'") from None
    try:
        connection = driver.connect(**given, connect_timeout=PATIENCE_S)
        try:
            with connection:
                yield connection
        finally:
            connection.close()
    except driver.Error as error:
        raise ConfigError(
            f"PostgreSQL at {given['host']}, where {what} for all machines, failed ({str(error).strip()[:300]}); start it "
            f"or correct {POSTGRES_VARIABLE} and its like, then run again"
        ) from error


@contextmanager
def claiming_records(place: str) -> Iterator[None]:
    """Have Dagster's records in the database be those of the home at `place`; nobody else opens them meanwhile.

    Where processes of Dagster make its tables at once, as containers that start together do, one ends by it. And no record
    says which home it is of: the checks of this one would count in another, whose daemon would execute its runs. Raises
    `ConfigError` where the database has another home's.
    """
    with connected("records are kept") as connection, connection.cursor() as cursor:
        alone(cursor.execute, "bokehflow records")
        cursor.execute("create table if not exists bokehflow_records (home text not null)")
        cursor.execute("select home from bokehflow_records")
        found = cursor.fetchone()
        if not found:
            cursor.execute("insert into bokehflow_records values (%s)", [place])
        elif found[0] != place:
            name = connection.info.dbname
            raise ConfigError(
                f"the database {name} has the records of another home, {found[0]}, with which those of {place} would mix; "
                "make one for this home (`createdb NAME`) and set BOKEHFLOW_POSTGRES_DB to it. If that home lies here by "
                "now, say `drop table bokehflow_records` in psql"
            )
        yield


def alone(execute: Callable[[str, list[int]], object], text: str) -> None:
    """Hold the lock of the database that the text names, by a cursor's `execute`, until the transaction ends."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
    execute("select pg_advisory_xact_lock(%s)", [number])

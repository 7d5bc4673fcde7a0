"""The PostgreSQL that several machines share, where `BOKEHFLOW_POSTGRES_HOST` and its like name one."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.atomic import write_text
from pipeline.errors import ConfigError
from pipeline.package_files import POSTGRES_VARIABLE
from pipeline.plain_files import read_plain_text

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
def claiming_records(place: str, mark_file: Path | None = None) -> Iterator[None]:
    """Have Dagster's records in the database be those of the home at `place`; nobody else opens them meanwhile.

    A folder may lie elsewhere on another machine or in a container, so that what is in its `mark_file` tells it, which is
    made where there is none.

    Where processes of Dagster make its tables at once, as containers that start together do, one ends by it. And no record
    says which home it is of: the checks of this one would count in another, whose daemon would execute its runs. Raises
    `ConfigError` where the database has another home's.
    """
    with connected("records are kept") as connection, connection.cursor() as cursor:
        alone(cursor.execute, "bokehflow records")
        mark = place if mark_file is None else _kept_mark(mark_file)
        cursor.execute("create table if not exists bokehflow_records (mark text not null, home text not null)")
        cursor.execute("select mark, home from bokehflow_records")
        found = cursor.fetchone()
        if not found:
            cursor.execute("insert into bokehflow_records values (%s, %s)", [mark, place])
        elif found[0] != mark:
            name = connection.info.dbname
            raise ConfigError(
                f"the database {name} has the records of another home, {found[1]}, with which those of {place} would mix; "
                "make one for this home (`createdb NAME`) and set BOKEHFLOW_POSTGRES_DB to it. If that home lies here by "
                "now, say `drop table bokehflow_records` in psql"
            )
        yield


def _kept_mark(path: Path) -> str:
    if not path.exists():
        write_text(path, f"{uuid4().hex}\n")
    return read_plain_text(path).strip()


def alone(execute: Callable[[str, list[int]], object], text: str) -> None:
    """Hold the lock of the database that the text names, by a cursor's `execute`, until the transaction ends."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
    execute("select pg_advisory_xact_lock(%s)", [number])

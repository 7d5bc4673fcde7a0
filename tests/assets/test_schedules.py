"""What the project file takes for a schedule, Dagster takes too, and a tick that failed is tried again."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
from hypothesis import example, given
from hypothesis import strategies as st

from assets.headless import open_instance
from pipeline.config import CollectSection
from resources.dagster_internals import cron_string_iterator
from storage import Home


def field(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest - 1, highest + 1)
    span = st.one_of(st.just("*"), st.tuples(number, number).map(lambda pair: f"{pair[0]}-{pair[1]}"))
    step = st.tuples(span, st.integers(0, highest + 1)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.lists(st.one_of(number.map(str), span, step), min_size=1, max_size=3).map(",".join)


BOUNDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
FIELDS = [field(*bounds) for bounds in BOUNDS]


def numbers(text: str, lowest: int, highest: int) -> set[int]:
    """What a field of a schedule names, as anybody would read it."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.replace("*", f"{lowest}-{highest}").partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


@given(st.tuples(*FIELDS).map(" ".join))
@example("0 0 30 2 1")
@example("0 0 1-1/2 * 0")
@example("0-0 0 * * *")
@example("0 0 1 5-5 *")
@example("0 0 * * 5-5")
@example("0 0 2 * 0-6")
def test_what_the_project_file_accepts_dagster_accepts(cron: str) -> None:
    try:
        CollectSection.model_validate({"schedule": cron})
    except ValueError:
        return
    dg.ScheduleDefinition(name="any", job_name="any", cron_schedule=cron)
    tick = next(cron_string_iterator(0, cron, "UTC"))
    minutes, hours, days, months, weekdays = (
        numbers(text, *bounds) for text, bounds in zip(cron.split(), BOUNDS, strict=True)
    )
    assert (tick.minute in minutes, tick.hour in hours, tick.month in months) == (True, True, True)
    weekdays = {day % 7 for day in weekdays}
    enough = all if "*" in cron.split()[2::2] else any  # of a day and a weekday that are both named one is enough
    assert enough((tick.day in days, tick.isoweekday() % 7 in weekdays))


@given(st.sampled_from(["0 3 * * 1", "*/5 * * * *", "0 0 1-7,15 */2 0", "59 23 31 12 7", "0 0 29 2 *"]))
def test_usual_ones_are_accepted(cron: str) -> None:
    assert CollectSection.model_validate({"schedule": cron}).schedule == cron


def test_a_tick_that_failed_is_tried_again_until_the_next_one_of_a_week_later(tmp_path: Path) -> None:
    """Dagster looks once a minute; left alone it would let a month's turn pass after one failure."""
    with open_instance(Home(tmp_path)) as instance:
        retries: int = getattr(instance.scheduler, "max_tick_retries", 0)
        assert retries >= timedelta(weeks=1) // timedelta(minutes=1)

"""What the project file takes for a schedule, Dagster takes too, and a tick that failed is tried again."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
from hypothesis import example, given
from hypothesis import strategies as st

from assets.headless import open_instance
from pipeline.config import CollectSection
from storage import Home


def field(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest - 1, highest + 1)
    span = st.one_of(st.just("*"), st.tuples(number, number).map(lambda pair: f"{pair[0]}-{pair[1]}"))
    step = st.tuples(span, st.integers(0, highest + 1)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.lists(st.one_of(number.map(str), span, step), min_size=1, max_size=3).map(",".join)


FIELDS = [field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)]


@given(st.tuples(*FIELDS).map(" ".join))
@example("0 0 30 2 1")
@example("0 0 1-1/2 * 0")
@example("0-0 0 * * *")
def test_what_the_project_file_accepts_dagster_accepts(cron: str) -> None:
    try:
        CollectSection.model_validate({"schedule": cron})
    except ValueError:
        return
    dg.ScheduleDefinition(name="any", job_name="any", cron_schedule=cron)


@given(st.sampled_from(["0 3 * * 1", "*/5 * * * *", "0 0 1-7,15 */2 0", "59 23 31 12 7", "0 0 29 2 *"]))
def test_usual_ones_are_accepted(cron: str) -> None:
    assert CollectSection.model_validate({"schedule": cron}).schedule == cron


def test_a_tick_that_failed_is_tried_again_until_the_next_one_of_a_week_later(tmp_path: Path) -> None:
    """Dagster looks once a minute; left alone it would let a month's turn pass after one failure."""
    with open_instance(Home(tmp_path)) as instance:
        retries: int = getattr(instance.scheduler, "max_tick_retries", 0)
        assert retries >= timedelta(weeks=1) // timedelta(minutes=1)

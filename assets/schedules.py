"""The weekly re-scrape: which months are listed again, whether they are current or not."""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.jobs import WHY_TAG
from assets.partitions import domain_month_key
from pipeline.config import Project
from pipeline.operations.due import is_ahead
from pipeline.operations.lists import TURN, missing_lists
from pipeline.operations.lost_files import find_loss
from pipeline.operations.months import listed_keys
from pipeline.operations.stages import PHOTO_TABLES, hindrance
from resources.dagster_internals import time_between_ticks
from storage import Home


def schedules(project: Project, home: Home) -> list[dg.ScheduleDefinition]:
    """The weekly re-scrape of this month, the last, and some older ones; and that of lists, where there are some."""

    @dg.schedule(
        name="weekly_rescrape",
        job_name="collect",
        cron_schedule=project.collect.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Lists the current and the last month of every domain again, and of the older ones those whose turn "
        "it is; tries what failed before. A listing that says the same as the last one asks for nothing more.",
    )
    def weekly_rescrape(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        tick = context.scheduled_execution_time.astimezone(UTC)
        due = due_for_rescrape(project, home, tick)
        problems = {key: hindrance(project, PHOTO_TABLES[0], key) for key in due}
        keys = [key for key in due if problems[key] is None]
        if due and not keys:
            return dg.SkipReason("; ".join(sorted({str(problem) for problem in problems.values()})))
        # Run keys deduplicate for ever, so the tick is part of them.
        requests = [
            dg.RunRequest(
                run_key=f"{key}@{tick:%Y-%m-%dT%H:%M}",
                partition_key=domain_month_key(*key.split("|")),
                asset_selection=[dg.AssetKey(name) for name in _what_to_do(project, home, key)],
            )
            for key in keys
        ]
        return requests or dg.SkipReason("no query of the project covers a month that could be listed again")

    @dg.schedule(
        name="weekly_lists",
        job_name="dataset",
        cron_schedule=project.collect.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Reads the project file's lists of addresses again and tries what failed before. Where that brings "
        "nothing new, it asks for nothing more.",
    )
    def weekly_lists(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        if problem := missing_lists(project):
            return dg.SkipReason(problem)
        tick = f"{context.scheduled_execution_time.astimezone(UTC):%Y-%m-%dT%H:%M}"
        return [
            dg.RunRequest(run_key=f"lists@{tick}", asset_selection=[dg.AssetKey("imported_photos")], tags={WHY_TAG: TURN})
        ]

    has_lists = any(domain.lists for domain in project.domains.values())
    return [weekly_rescrape, weekly_lists] if has_lists else [weekly_rescrape]


def due_for_rescrape(project: Project, home: Home, tick: datetime) -> list[str]:
    """The keys `domain|month` to list again at this tick: recent months first, then the share of the older ones.

    Older months are taken the longest unlisted first, never listed ones before all, so many at each tick that all of
    them have had their turn within `rescrape_weeks`.
    """
    recent = recent_months(tick)
    keys = [key for key in listed_keys(project) if key.split("|")[1] <= recent[-1]]
    older = [key for key in keys if key.split("|")[1] not in recent]
    ticks = max(
        1, round(timedelta(weeks=project.collect.rescrape_weeks) / time_between_ticks(project.collect.schedule, tick))
    )
    now_s = max(time.time(), tick.timestamp())
    rotation = sorted(older, key=lambda key: (_listed_at(home, key, now_s), key))
    return [key for key in keys if key not in older] + rotation[: -(-len(older) // ticks)]


def _listed_at(home: Home, key: str, now_s: float) -> float:
    info = home.tables.info("photo_listing", key)
    # By a clock that was ahead a month would have no turn until then.
    return info.made_s if info and not is_ahead(info.made_s, now_s) else 0.0


def recent_months(now: datetime) -> list[str]:
    """The last month and the current one, like `["2023-12", "2024-01"]`."""
    current = f"{now:%Y-%m}"
    last = f"{now.year - (now.month == 1)}-{(now.month - 2) % 12 + 1:02d}"
    return [last, current]


def _what_to_do(project: Project, home: Home, key: str) -> list[str]:
    """The listing, and what of its month was never made or failed before.

    Where the listing says something new, the sensor goes on from there.
    """
    first, *rest = PHOTO_TABLES
    infos = {name: home.tables.info(name, key) for name in rest}
    wanted = [name for name, info in infos.items() if not info or find_loss(project, home, name, key, info.made_s)]
    return [first, *wanted]

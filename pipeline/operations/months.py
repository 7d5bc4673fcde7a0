"""The upload months that a project collects, and the keys `domain|month` under which its tables lie."""

from datetime import UTC, datetime, timedelta

from pipeline.config import Project

IMPORTED = "imported"
"""Stands for the month in the tables of photos that `bokehflow import` brought."""
LISTING_IS_STALE_AFTER = timedelta(days=10)
"""A month that is listed again each week, and the current one each day, is older only where something is wrong."""


def month_after(month: str) -> str:
    """The month that follows, like `2024-01` after `2023-12`."""
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02d}"


def configured_months(project: Project, now: datetime | None = None) -> list[str]:
    """Upload months in UTC, from the project file's first to its last one, or the current one where that is earlier."""
    current = f"{now or datetime.now(UTC):%Y-%m}"
    month, last = project.collect.from_month, min(project.collect.to_month or current, current)
    months = []
    while month <= last:
        months.append(month)
        month = month_after(month)
    return months


def listed_keys(project: Project) -> list[str]:
    """The keys `domain|month` that some query covers, up to now."""
    months = configured_months(project)
    return [
        f"{name}|{month}"
        for name, domain in project.domains.items()
        for month in months
        if any(query.covers(month) for query in domain.queries)
    ]

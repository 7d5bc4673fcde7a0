"""How assets are divided: domain × upload month, frozen snapshots, snapshot × recipe@seed."""

from datetime import UTC, datetime

import dagster as dg

from pipeline.config import Project
from pipeline.operations.months import month_after

DOMAIN, MONTH, SNAPSHOT, RECIPE = "domain", "month", "snapshot", "recipe"
MONTH_FORMAT = "%Y-%m"
LAST_MONTH = "9999-11"
"""The end of it is the last that Python's calendar can hold, and Dagster looks one beyond: who names it means no end."""

SNAPSHOTS = dg.DynamicPartitionsDefinition(name="snapshot_id")


def _month_start(month: str) -> datetime:
    return datetime.strptime(month, MONTH_FORMAT).replace(tzinfo=UTC)


def months(project: Project) -> dg.TimeWindowPartitionsDefinition:
    """Upload months in UTC; without a last month in the project file, up to the current one."""
    collect = project.collect
    ends = collect.to_month is not None and collect.to_month < LAST_MONTH
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule="0 0 1 * *",
        fmt=MONTH_FORMAT,
        timezone="UTC",
        start=_month_start(min(collect.from_month, LAST_MONTH)),
        end=_month_start(month_after(str(collect.to_month))) if ends else None,
        end_offset=1,
    )


def domain_months(project: Project) -> dg.MultiPartitionsDefinition:
    """Domain × upload month."""
    domains = dg.StaticPartitionsDefinition(list(project.domains))
    return dg.MultiPartitionsDefinition({DOMAIN: domains, MONTH: months(project)})


def snapshot_recipes(project: Project) -> dg.MultiPartitionsDefinition:
    """Snapshot × `recipe@seed`."""
    recipes = dg.StaticPartitionsDefinition(project.recipe_keys())
    return dg.MultiPartitionsDefinition({SNAPSHOT: SNAPSHOTS, RECIPE: recipes})


def domain_month_key(domain: str, month: str) -> dg.MultiPartitionKey:
    """Key of one month of one domain; as text `domain|month`."""
    return dg.MultiPartitionKey({DOMAIN: domain, MONTH: month})


def key_parts(context: dg.AssetExecutionContext) -> dict[str, str]:
    """The dimensions of the partition that is being made."""
    key = context.partition_key
    if not isinstance(key, dg.MultiPartitionKey):
        raise TypeError(f"{key!r} is not a key of two dimensions")
    return dict(key.keys_by_dimension)

"""What all asset modules share: results with metadata, progress, reading photos."""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from types import MappingProxyType
from typing import Any

import dagster as dg

from assets.jobs import WHY_TAG
from pipeline.config import Project
from pipeline.operations.lineage_events import Done, Making, events_of, is_on
from pipeline.operations.stages import STAGES, dagster_code_version
from pipeline.plain_text import plain, plain_markdown
from pipeline.tables import TABLES, empty
from resources.home import HomeResource
from storage import Home, TableInfo

OWNERS = ["team:bokehflow"]
PROGRESS_EVERY_S = 5.0
SHOWN_PROBLEMS = 50
NO_CHECKS: Mapping[str, str] = MappingProxyType({})


def stage_asset(
    project: Project,
    name: str,
    group: str,
    kinds: set[str],
    checks: Mapping[str, str] = NO_CHECKS,
    **options: Any,  # noqa: ANN401 - passed on to dagster.asset
) -> Callable[[Callable[..., object]], dg.AssetsDefinition]:
    """`dagster.asset` with what every asset has: name, group, owners, kinds, code version, checks, the table's columns.

    `checks` says of each by its name what holds when it passes, and what to do where it does not. Those block that its stage
    names. Its body runs while nobody else makes the same partition of it, in whatever process; OpenLineage is told of it.
    """
    blocking = STAGES[name].blocking_checks if name in STAGES else ()
    asset = dg.asset(
        name=name,
        group_name=group,
        owners=OWNERS,
        kinds={"python", *kinds},
        code_version=dagster_code_version(project, name) if name in STAGES else "1",
        metadata={"dagster/column_schema": column_schema(name)} if name in TABLES else {},
        check_specs=[
            dg.AssetCheckSpec(one, asset=name, blocking=one in blocking, description=told) for one, told in checks.items()
        ],
        **options,
    )
    return lambda body: asset(_alone(project, name, body))


def _alone(project: Project, name: str, body: Callable[..., object]) -> Callable[..., object]:
    @wraps(body)
    def guarded(*context: dg.AssetExecutionContext, home: HomeResource, **resources: object) -> object:
        partition = str(context[0].partition_key) if context and context[0].has_partition_key else None
        opened = home.open()
        with opened.making(name, partition), _told(project, opened, name, partition) as done:
            result = body(*context, home=home, **resources)
            if isinstance(result, dg.MaterializeResult) and result.data_version:
                done(result.data_version.value)
            return result

    return guarded


def _told(project: Project, home: Home, name: str, partition: str | None) -> AbstractContextManager[Done]:
    """Events for OpenLineage, where they are asked for and this is a run."""
    context = _running() if is_on() else None
    if context is None:
        return nullcontext(lambda version: None)
    run = context.run
    making = Making(project, home, name, partition, run.run_id, run.job_name, run.tags.get(WHY_TAG, ""))
    return events_of(making, context.log.warning)


def _running() -> dg.AssetExecutionContext | None:
    """The context of the run at hand; None where an asset's function is called by itself."""
    try:
        return dg.AssetExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return None


def column_schema(name: str) -> dg.TableSchema:
    """The table's columns as Dagster shows them."""
    types = empty(name).dtypes
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column, str(types[column]), facts.description, constraints=dg.TableColumnConstraints(facts.nullable)
            )
            for column, facts in TABLES[name].shown.items()
        ]
    )


def table_result(
    info: TableInfo, metadata: Mapping[str, Any], checks: Sequence[dg.AssetCheckResult]
) -> dg.MaterializeResult:
    """The result of an asset that wrote a table."""
    facts = {"dagster/row_count": info.row_count, "path": dg.MetadataValue.path(str(info.path))}
    return dg.MaterializeResult(
        metadata={**facts, **metadata}, data_version=dg.DataVersion(info.data_version), check_results=list(checks)
    )


def check(
    name: str, problems: Sequence[str], severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> dg.AssetCheckResult:
    """A check that passes when there are no problems, and says which there are, the first of many."""
    lines = [f"- {plain_markdown(problem)}" for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"- and {len(problems) - SHOWN_PROBLEMS:,} more")
    shown = {"problems": dg.MetadataValue.md("\n".join(lines))} if problems else {}
    return dg.AssetCheckResult(
        check_name=name,
        passed=not problems,
        severity=severity,
        description=plain("; ".join(problems[:3])) or None,
        metadata={**shown, "count": len(problems)},
    )


def progress(context: dg.AssetExecutionContext, what: str) -> Callable[[int, int], None]:
    """A callback `(done, total)` that logs at most every five seconds and at the end."""
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if done >= total or time.monotonic() - last >= PROGRESS_EVERY_S:
            last = time.monotonic()
            context.log.info(f"{what}: {done:,} of {total:,}")

    return report


def picture_metadata(data: bytes, media_type: str = "image/png", shows: str = "chart") -> dg.MarkdownMetadataValue:
    """An encoded picture embedded in Markdown; `shows` is its alternative text."""
    return dg.MetadataValue.md(f"![{shows}](data:{media_type};base64,{base64.b64encode(data).decode()})")


def count_table(counts: Mapping[Any, int], heading: str) -> dg.MarkdownMetadataValue:
    """Counts by name as a small table."""
    rows = "\n".join(f"| {plain_markdown(str(name))} | {count:,} |" for name, count in counts.items())
    return dg.MetadataValue.md(f"| {heading} | photos |\n|---|---|\n{rows}")

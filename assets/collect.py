"""Collect: what Flickr lists, the files behind it, and what became of both over time."""

import time
from datetime import UTC, datetime

import dagster as dg

from assets.attempts import others_at_work
from assets.building_blocks import check, count_table, progress, stage_asset, table_result
from assets.contact_sheets import contact_sheet
from assets.partitions import DOMAIN, MONTH, domain_months, key_parts
from assets.plots import bars
from pipeline.config import Project
from pipeline.counted import counted
from pipeline.errors import ConfigError
from pipeline.operations.downloads import download, known_files
from pipeline.operations.forget import finish_forgetting, leftovers
from pipeline.operations.history import make_history
from pipeline.operations.made_from import license_counts
from pipeline.operations.months import LISTING_IS_STALE_AFTER
from pipeline.operations.photos import photo_reader
from pipeline.operations.stages import provenance_of
from pipeline.operations.tombstones import forgotten_photos, unpurged
from pipeline.photos.history import gone_photos, history_counts, stricter_photos
from pipeline.photos.pool import Transfer
from pipeline.sources.listing import list_month
from pipeline.sources.windows import clear_state
from resources.home import HomeResource
from resources.sources import SourcesResource

MANY_FAILURES = 0.2


def collect_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The assets of this stage, for the project."""
    return [listing_asset(project), files_asset(project), history_asset(project)]


def listing_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `photo_listing`."""

    @stage_asset(
        project,
        "photo_listing",
        "collect",
        {"parquet"},
        partitions_def=domain_months(project),
        pool="flickr_api",
        description="Search results of one domain and upload month, the rejected ones with their reason.",
        checks={
            "every_result_seen": "No search had more results in a window of time than its source shows. Where one had, "
            "photos may be missing: narrow its query.",
        },
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=LISTING_IS_STALE_AFTER),
    )
    def photo_listing(
        context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource], sources: dg.ResourceParam[SourcesResource]
    ) -> dg.MaterializeResult:
        data, key = home.open(), key_parts(context)
        provenance = provenance_of(project, data, "photo_listing", str(context.partition_key))
        state = data.listing_windows(key[DOMAIN], key[MONTH])
        if not project.domains[key[DOMAIN]].queries:
            raise ConfigError(f"[domains.{key[DOMAIN]}] has no queries: its photos come by `bokehflow import`")
        source = sources.of_domain(key[DOMAIN], data)
        forgotten = forgotten_photos(data)
        frame = list_month(source, project, key[DOMAIN], key[MONTH], state, int(time.time()), forgotten)
        info = data.tables.write("photo_listing", frame, str(context.partition_key), provenance)
        clear_state(state)
        truncated = frame.loc[frame["truncated"], "photo_id"].tolist()
        reasons = {"accepted": int(frame["reason"].isna().sum()), **frame["reason"].value_counts().to_dict()}
        shown = {
            "counts": count_table(reasons, "listed"),
            "licences": count_table(license_counts(frame["license"]), "licence"),
            "api_calls": source.client.calls,
            "api_calls_retried": source.client.retried,
            "api_calls_left_this_hour": sources.calls_left(key[DOMAIN], data),
        }
        problems = [f"{counted(len(truncated), 'photo')} in windows with more results than are shown"] if truncated else []
        return table_result(info, shown, [check("every_result_seen", problems, dg.AssetCheckSeverity.WARN)])

    return photo_listing


def files_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `photo_files`."""

    @stage_asset(
        project,
        "photo_files",
        "collect",
        {"jpeg", "parquet"},
        deps=["photo_listing"],
        partitions_def=domain_months(project),
        description="The bytes of every accepted photo as a blob, or the reason why there are none.",
        checks={
            "few_failures": "At most one file in five could not be had or read. The table says why of each.",
        },
    )
    def photo_files(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data, key = home.open(), str(context.partition_key)
        provenance = provenance_of(project, data, "photo_files", key)
        journal, listing = data.journal(key), data.tables.read("photo_listing", key)
        known = known_files(data, key, set(listing["photo_id"]))
        downloads = download(project, data, listing, known, journal, progress(context, "photos fetched"))
        frame = downloads.table
        info = data.tables.write("photo_files", frame, key, provenance)
        journal.unlink(missing_ok=True)
        stored = frame["sha256"].notna()
        reasons = {"stored": int(stored.sum()), **frame["reason"].value_counts().to_dict()}
        pictures = map(photo_reader(data, project), frame.loc[stored, "sha256"])
        problems = _too_many_failures(len(frame), int((~stored).sum()))
        shown = {
            "counts": count_table(reasons, "files"),
            "pictures": contact_sheet(zip(frame.loc[stored, "photo_id"], pictures, strict=True)),
            **transfer_metadata(downloads.transfer),
        }
        return table_result(info, shown, [check("few_failures", problems, dg.AssetCheckSeverity.WARN)])

    return photo_files


def history_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `photo_history`."""

    @stage_asset(
        project,
        "photo_history",
        "collect",
        {"parquet"},
        deps=["photo_listing", "imported_photos"],
        description="When each photo was first and last seen, what changed about it, which are gone or forgotten.",
        checks={
            "nothing_vanished": "No photo was deleted or made private at its source since. `bokehflow forget --gone` "
            "purges those that were.",
            "no_licence_stricter": "No photo has a stricter licence than before. Those named are for you to judge.",
            "forgotten_are_purged": "Nothing shows or names a photo that was forgotten. `bokehflow forget` completes an "
            "interrupted purge.",
        },
    )
    def photo_history(
        context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource], sources: dg.ResourceParam[SourcesResource]
    ) -> dg.MaterializeResult:
        data = home.open()
        began = datetime.now(UTC)
        purged = finish_forgetting(
            data, int(time.time()), lambda: not others_at_work(context.instance, context.run_id, began)
        )
        for left in leftovers(purged) if purged else ():
            context.log.warning(left)
        provenance = provenance_of(project, data, "photo_history")
        made = make_history(project, data, sources)
        info = data.tables.write("photo_history", made.table, provenance=provenance)
        shown = {
            "counts": count_table(history_counts(made.table), "history"),
            "by_month": bars(made.listed_by_month, "upload month"),
            "asked_about_absent_photos": made.asked,
            "still_to_ask": made.still_to_ask,
        }
        if made.not_asked:
            context.log.warning(f"absent photos could not be asked about: {made.not_asked}")
        left = [*unpurged(data), *(purged.problems if purged else ())]
        checks = [
            check("nothing_vanished", gone_photos(made.table), dg.AssetCheckSeverity.WARN),
            check("no_licence_stricter", stricter_photos(made.table), dg.AssetCheckSeverity.WARN),
            check("forgotten_are_purged", left, dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, shown, checks)

    return photo_history


def transfer_metadata(transfer: Transfer) -> dict[str, int | float | dg.MarkdownMetadataValue]:
    """The rate that was reached, and how each host was asked."""
    if not transfer.hosts:
        return {"pictures_received": 0}
    rows = [
        f"| {host} | {one.lowest_concurrency} | {one.final_concurrency} | "
        f"{'as fast as they came' if one.lowest_per_s is None else f'{one.lowest_per_s:.2f}'} | "
        f"{one.refusals:,} | {one.slowdowns:,} |"
        for host, one in transfer.hosts.items()
    ]
    head = "| host | lowest concurrency | final concurrency | lowest rate, 1/s | refusals | slow spells |\n|" + "---|" * 6
    return {
        "pictures_received": transfer.pictures,
        "pictures_per_s": round(transfer.pictures_per_s, 1),
        "megabytes_per_s": round(transfer.megabytes_per_s, 2),
        "hosts": dg.MetadataValue.md("\n".join([head, *rows])),
    }


def _too_many_failures(rows: int, failed: int) -> list[str]:
    share = failed / max(rows, 1)
    return [f"{failed} of {rows} files failed ({share:.0%})"] if share > MANY_FAILURES else []

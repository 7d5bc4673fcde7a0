"""Collect: what Flickr lists, the files behind it, and what became of both over time."""

import time
from datetime import timedelta

import dagster as dg

from assets.automation import ON_ANY_CHANGE, ON_CHANGE
from assets.common import check, contact_sheet, count_table, photo_reader, progress, stage_asset, table_result
from assets.partitions import DOMAIN, MONTH, domain_months, key_parts
from assets.plots import bars
from assets.versions import configured_partitions, forgotten_photos, inputs_version
from pipeline.config import Project
from pipeline.flickr.client import user_agent
from pipeline.flickr.listing import list_month
from pipeline.flickr.windows import clear_state
from pipeline.photos.download import download_photos
from pipeline.photos.history import update_history
from resources.flickr import FlickrResource, make_budget
from resources.home import HomeResource

MANY_FAILURES = 0.2
LISTING_IS_STALE_AFTER_DAYS = 10


def collect_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The assets of this stage, for the project."""
    partitions = domain_months(project)

    @stage_asset(
        "photo_listing",
        "collect",
        {"flickr", "parquet"},
        partitions_def=partitions,
        pool="flickr_api",
        description="Search results of one domain and upload month, the rejected ones with their reason.",
        check_specs=[dg.AssetCheckSpec("every_result_seen", asset="photo_listing")],
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=_days(LISTING_IS_STALE_AFTER_DAYS)),
    )
    def photo_listing(context: dg.AssetExecutionContext, home: HomeResource, flickr: FlickrResource) -> dg.MaterializeResult:
        data, key = home.open(), key_parts(context)
        version = inputs_version(project, data, "photo_listing", str(context.partition_key))
        state = data.listing_windows(key[DOMAIN], key[MONTH])
        client = flickr.client(data)
        frame = list_month(client, project, key[DOMAIN], key[MONTH], state, int(time.time()))
        info = data.tables.write("photo_listing", frame, str(context.partition_key), version)
        clear_state(state)
        truncated = frame.loc[frame["truncated"], "photo_id"].tolist()
        reasons = {"accepted": int(frame["reason"].isna().sum()), **frame["reason"].value_counts().to_dict()}
        shown = {
            "counts": count_table(reasons, "listed"),
            "licences": count_table(frame["license"].value_counts().to_dict(), "licence id"),
            "api_calls": client.calls,
            "api_calls_left_this_hour": make_budget(project, data).left(),
        }
        problems = [f"{len(truncated)} photos lie in a second with more results than Flickr shows"] if truncated else []
        return table_result(info, shown, [check("every_result_seen", problems, dg.AssetCheckSeverity.WARN)])

    @stage_asset(
        "photo_files",
        "collect",
        {"jpeg", "parquet"},
        deps=[photo_listing],
        partitions_def=partitions,
        automation_condition=ON_CHANGE,
        description="The bytes of every accepted photo as a blob, or the reason why there are none.",
        check_specs=[dg.AssetCheckSpec("few_failures", asset="photo_files")],
    )
    def photo_files(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        data, key = home.open(), str(context.partition_key)
        version = inputs_version(project, data, "photo_files", key)
        journal = data.root / "journals" / f"{key.replace('|', '+')}.jsonl"
        frame = download_photos(
            listing=data.tables.read("photo_listing", key),
            known=data.tables.read_or_empty("photo_files", key),
            blobs=data.blobs,
            settings=project.photos,
            hosts=project.flickr.image_hosts,
            user_agent=user_agent(project.project.contact),
            timeout_s=project.flickr.timeout_s,
            retries=project.flickr.retries,
            now_s=int(time.time()),
            forgotten=forgotten_photos(data),
            journal=journal,
            progress=progress(context, "photos fetched"),
        )
        info = data.tables.write("photo_files", frame, key, version)
        journal.unlink(missing_ok=True)
        stored = frame["sha256"].notna()
        reasons = {"stored": int(stored.sum()), **frame["reason"].value_counts().to_dict()}
        sheet = [photo_reader(data, project)(digest) for digest in frame.loc[stored, "sha256"].head(12)]
        problems = _too_many_failures(len(frame), int((~stored).sum()))
        shown = {"counts": count_table(reasons, "files"), "pictures": contact_sheet(sheet)}
        return table_result(info, shown, [check("few_failures", problems, dg.AssetCheckSeverity.WARN)])

    @stage_asset(
        "photo_history",
        "collect",
        {"parquet"},
        deps=[photo_listing],
        automation_condition=ON_ANY_CHANGE,
        description="When each photo was first and last seen, what changed about it, which are gone or forgotten.",
        check_specs=[dg.AssetCheckSpec("nothing_vanished", asset="photo_history")],
    )
    def photo_history(home: HomeResource) -> dg.MaterializeResult:
        data = home.open()
        version = inputs_version(project, data, "photo_history")
        listing = data.tables.read_all("photo_listing", configured_partitions(project, data, "photo_listing"))
        frame = update_history(data.tables.read_or_empty("photo_history"), listing)
        info = data.tables.write("photo_history", frame, inputs_version=version)
        counts = {
            "seen in the newest listing": int((~frame["absent"]).sum()),
            "absent from it": int(frame["absent"].sum()),
            "changed at some time": int(frame["changed_s"].notna().sum()),
            "forgotten": int(frame["forgotten"].sum()),
        }
        by_month = listing["month"].value_counts().sort_index().to_dict()
        shown = {"counts": count_table(counts, "history"), "by_month": bars(by_month, "upload month")}
        absent = [f"{photo_id} is not listed any more" for photo_id in frame.loc[frame["absent"], "photo_id"]]
        return table_result(info, shown, [check("nothing_vanished", absent, dg.AssetCheckSeverity.WARN)])

    return [photo_listing, photo_files, photo_history]


def _too_many_failures(rows: int, failed: int) -> list[str]:
    share = failed / max(rows, 1)
    return [f"{failed} of {rows} files failed ({share:.0%})"] if share > MANY_FAILURES else []


def _days(days: int) -> timedelta:
    return timedelta(days=days)

"""Jobs, the weekly re-scrape, and the sensors that freeze a passed manifest and train automatic recipes."""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.partitions import (
    SNAPSHOTS,
    domain_month_key,
    domain_months,
    snapshot_recipe_key,
)
from pipeline.config import Project
from pipeline.curation.decisions import folder_version
from resources.flickr import key_missing
from storage import Home

SETTLING = "seen once: "
CAN_BE_FROZEN = dg.AssetCheckKey(dg.AssetKey("dataset_manifest"), "can_be_frozen")
DATASET_ASSETS = [
    "photo_history", "unique_photos", "review_queue", "curated_photos",
    "person_masks", "training_images", "dataset_manifest",
]  # fmt: skip
"""Everything without partitions, in order."""


def jobs() -> list[UnresolvedAssetJobDefinition]:
    """One job for each partitioning: Dagster refuses to mix them in one."""
    return [
        dg.define_asset_job(
            "collect", ["photo_listing", "photo_files", "fingerprints"], description="List, fetch and fingerprint a month."
        ),
        dg.define_asset_job("dataset", DATASET_ASSETS, description="From fingerprints to the manifest."),
        dg.define_asset_job("freeze", ["dataset_snapshot"], description="Freeze a manifest."),
        dg.define_asset_job("train", ["trained_model", "evaluation"], description="Train and judge a model."),
        dg.define_asset_job("report", ["comparison"], description="Compare the models of a snapshot."),
    ]


def schedules(project: Project) -> list[dg.ScheduleDefinition]:
    """The weekly re-scrape of this month and the last."""

    @dg.schedule(
        name="weekly_rescrape",
        job_name="collect",
        cron_schedule=project.collect.schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Lists the current and the last month of every domain again, and tries what failed before.",
    )
    def weekly_rescrape(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        if problem := key_missing():
            return dg.SkipReason(problem)
        tick = context.scheduled_execution_time.astimezone(UTC)
        months = [month for month in recent_months(tick) if month in _covered(project)]
        if not months:
            return dg.SkipReason("none of the project's months is the current one or the last")
        # Run keys deduplicate for ever, so the tick is part of them.
        return [
            dg.RunRequest(
                run_key=f"{domain}|{month}@{tick:%Y-%m-%dT%H:%M}",
                partition_key=domain_month_key(domain, month),
            )
            for domain in project.domains
            for month in months
        ]

    return [weekly_rescrape]


def recent_months(now: datetime) -> list[str]:
    """The last month and the current one, like `["2023-12", "2024-01"]`."""
    current = f"{now:%Y-%m}"
    last = f"{now.year - (now.month == 1)}-{(now.month - 2) % 12 + 1:02d}"
    return [last, current]


def _covered(project: Project) -> list[str]:
    return sorted({str(key).split("|")[1] for key in domain_months(project).get_partition_keys()})


def sensors(project: Project, home: Home) -> list[dg.SensorDefinition]:
    """The automation's own sensor, the one that watches the reviewed CSVs, and the two that go on from a manifest."""

    @dg.sensor(
        name="watch_reviewed",
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Notices new and changed files in review/reviewed/.",
    )
    def watch_reviewed(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        # An observation for each change: a job that observes every minute would bury all other runs.
        version, cursor = folder_version(home.reviewed), context.cursor or ""
        if version == cursor:
            return dg.SkipReason("no reviewed file is new or changed")
        if cursor != SETTLING + version:
            # A file that is still being copied looks different at the next tick.
            return dg.SensorResult(skip_reason="a reviewed file changed; is it complete?", cursor=SETTLING + version)
        return dg.SensorResult(asset_events=[decisions_observed(version)], cursor=version)

    @dg.sensor(
        name="freeze_passed_manifest",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a snapshot partition for the manifest once its blocking check has passed.",
    )
    def freeze_passed_manifest(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        snapshot = passed_snapshot(context.instance)
        if snapshot is None:
            return dg.SkipReason("there is no manifest whose check has passed")
        if context.instance.has_dynamic_partition(str(SNAPSHOTS.name), snapshot):
            return dg.SkipReason(f"snapshot {snapshot} is known")
        return dg.SensorResult(dynamic_partitions_requests=[SNAPSHOTS.build_add_request([snapshot])])

    @dg.sensor(
        name="train_automatic_recipes",
        job_name="train",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Trains the recipes that `[training] automatic` lists on each new snapshot.",
    )
    def train_automatic_recipes(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        keys = [key for key in project.recipe_keys() if key.split("@")[0] in project.training.automatic]
        if not keys:
            return dg.SkipReason("[training] automatic lists no recipe")
        # Only the newest: a recipe that becomes automatic must not train on every snapshot there ever was.
        snapshot = passed_snapshot(context.instance)
        if snapshot not in context.instance.get_materialized_partitions(dg.AssetKey("dataset_snapshot")):
            return dg.SkipReason("the newest manifest is not frozen yet")
        trained = context.instance.get_materialized_partitions(dg.AssetKey("trained_model"))
        wanted = [snapshot_recipe_key(str(snapshot), key) for key in keys]
        requests = [dg.RunRequest(run_key=str(key), partition_key=key) for key in wanted if str(key) not in trained]
        return requests or dg.SkipReason(f"snapshot {snapshot} has its automatic models")

    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
    )
    return [automation, watch_reviewed, freeze_passed_manifest, train_automatic_recipes]


def decisions_observed(version: str) -> dg.AssetObservation:
    """The observation that the reviewed CSVs have this content."""
    return dg.AssetObservation("review_decisions", tags={"dagster/data_version": version})


def passed_snapshot(instance: dg.DagsterInstance) -> str | None:
    """Snapshot id of the newest manifest if the check of that very materialisation passed."""
    event = instance.get_latest_materialization_event(dg.AssetKey("dataset_manifest"))
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key([CAN_BE_FROZEN]).get(CAN_BE_FROZEN)
    if event is None or event.asset_materialization is None or found is None:
        return None
    if found.status.value != "SUCCEEDED" or found.run_id != event.run_id:
        return None
    return str(event.asset_materialization.metadata["snapshot_id"].value)

"""Jobs, the weekly re-scrape, and the sensors that freeze a passed manifest and train automatic recipes."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from assets.attempts import attempt, has_succeeded, others_at_work
from assets.partitions import SNAPSHOTS, domain_month_key, snapshot_recipe_key
from pipeline.config import Project
from pipeline.curation.decisions import folder_version
from pipeline.operations.forget import unpurged
from pipeline.operations.history import questions_left
from pipeline.operations.months import listed_keys
from pipeline.operations.versions import has_new_metadata, inputs_version
from pipeline.training.recipes import canonical_digest
from resources.dagster_internals import AssetJob, time_between_ticks
from resources.sources import source_problem
from storage import Home

SETTLING = "seen once: "
CAN_BE_FROZEN = dg.AssetCheckKey(dg.AssetKey("dataset_manifest"), "can_be_frozen")
DATASET_ASSETS = [
    "photo_history", "unique_photos", "review_queue", "curated_photos",
    "person_masks", "training_images", "dataset_manifest",
]  # fmt: skip
"""Everything without partitions, in order."""


def jobs() -> list[AssetJob]:
    """One job for each partitioning: Dagster refuses to mix them in one."""
    return [
        dg.define_asset_job(
            "collect", ["photo_listing", "photo_files", "fingerprints"], description="List, fetch and fingerprint a month."
        ),
        dg.define_asset_job(
            "notice", ["imported_photos", "photo_history"], description="Take in what was imported, forgotten or is absent."
        ),
        dg.define_asset_job("dataset", DATASET_ASSETS, description="From fingerprints to the manifest."),
        dg.define_asset_job("freeze", ["dataset_snapshot"], description="Freeze a manifest."),
        dg.define_asset_job("train", ["trained_model", "evaluation"], description="Train and judge a model."),
        dg.define_asset_job("report", ["comparison"], description="Compare the models of a snapshot."),
    ]


def schedules(project: Project, home: Home) -> list[dg.ScheduleDefinition]:
    """The weekly re-scrape of this month, the last, and some older ones."""

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
        problems = {key: source_problem(project, project.domains[key.split("|")[0]].source) for key in due}
        keys = [key for key in due if problems[key] is None]
        if due and not keys:
            return dg.SkipReason("; ".join(sorted({str(problem) for problem in problems.values()})))
        # Run keys deduplicate for ever, so the tick is part of them.
        requests = [
            dg.RunRequest(
                run_key=f"{key}@{tick:%Y-%m-%dT%H:%M}",
                partition_key=domain_month_key(*key.split("|")),
                asset_selection=_what_to_do(home, key),
            )
            for key in keys
        ]
        return requests or dg.SkipReason("no query of the project covers a month that could be listed again")

    return [weekly_rescrape]


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
    rotation = sorted(older, key=lambda key: (_listed_at(home, key), key))
    return [key for key in keys if key not in older] + rotation[: -(-len(older) // ticks)]


def _listed_at(home: Home, key: str) -> float:
    info = home.tables.info("photo_listing", key)
    return info.made_s if info else 0.0


def _what_to_do(home: Home, key: str) -> list[dg.AssetKey]:
    """The listing alone, since the automation goes on where it changed; with files that are missing, these as well."""
    files = home.tables.read_or_empty("photo_files", key, columns=["pending"])
    never = home.tables.info("photo_files", key) is None
    names = ["photo_listing", "photo_files", "fingerprints"] if never or files["pending"].any() else ["photo_listing"]
    return [dg.AssetKey(name) for name in names]


def recent_months(now: datetime) -> list[str]:
    """The last month and the current one, like `["2023-12", "2024-01"]`."""
    current = f"{now:%Y-%m}"
    last = f"{now.year - (now.month == 1)}-{(now.month - 2) % 12 + 1:02d}"
    return [last, current]


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
        name="watch_imported_and_forgotten",
        job_name="notice",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Notices what `bokehflow import` brought and what `bokehflow forget` purged.",
    )
    def watch_imported_and_forgotten(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        wanted, told = {}, context.cursor or ""
        imports, found = home.tables.info("imports"), home.tables.info("imported_photos")
        version = inputs_version(project, home, "imported_photos") if imports else None
        if version and (found is None or found.inputs_version != version):
            wanted["imported_photos"] = version
        tombstones = home.tables.info("tombstones")
        if tombstones and has_succeeded(context.instance, "photo_history", tombstones.data_version):
            told = tombstones.data_version
        # A purge is complete only when nothing else runs; until then it is not the time to go on with one.
        if tombstones and (told != tombstones.data_version or (unpurged(home) and not others_at_work(context.instance))):
            wanted["photo_history"] = tombstones.data_version
        answers = [
            attempt(context.instance, name, version, asset_selection=[dg.AssetKey(name)]) for name, version in wanted.items()
        ]
        if requests := [answer for answer in answers if isinstance(answer, dg.RunRequest)]:
            return dg.SensorResult(run_requests=requests, cursor=told)
        why = "; ".join(map(str, answers)) or "nothing was imported or forgotten"
        return dg.SensorResult(skip_reason=why, cursor=told)

    @dg.sensor(
        name="watch_metadata",
        job_name="dataset",
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Notices owners, titles and licences that were learnt after their photos became training pictures.",
    )
    def watch_metadata(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not has_new_metadata(project, home):
            return dg.SkipReason("the manifest, where there is one, says all that is known of owners and licences")
        version = inputs_version(project, home, "dataset_manifest")
        answer = attempt(context.instance, "dataset_manifest", version, asset_selection=[dg.AssetKey("dataset_manifest")])
        return answer if isinstance(answer, dg.RunRequest) else dg.SkipReason(answer)

    @dg.sensor(
        name="ask_about_absent_photos",
        job_name="notice",
        minimum_interval_seconds=3600,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Goes on asking Flickr about photos that no listing shows any more, some each hour.",
    )
    def ask_about_absent_photos(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if home.tables.info("photo_history") is None or not questions_left(project, home):
            return dg.SkipReason("every absent photo was asked about")
        key = f"absent@{datetime.now(UTC):%Y-%m-%dT%H}"
        return dg.RunRequest(run_key=key, asset_selection=[dg.AssetKey("photo_history")])

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
        wanted = {recipe: snapshot_recipe_key(str(snapshot), recipe) for recipe in keys}
        answers = [
            attempt(context.instance, str(key), recipe_version(project, recipe), partition_key=key)
            for recipe, key in wanted.items()
            if str(key) not in trained
        ]
        requests = [answer for answer in answers if isinstance(answer, dg.RunRequest)]
        why = "; ".join(map(str, answers)) or f"snapshot {snapshot} has its automatic models"
        return requests or dg.SkipReason(why)

    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
    )
    return [
        automation,
        watch_reviewed,
        watch_imported_and_forgotten,
        watch_metadata,
        ask_about_absent_photos,
        freeze_passed_manifest,
        train_automatic_recipes,
    ]


def recipe_version(project: Project, recipe: str) -> str:
    """Digest of what the project file says of the recipe of `recipe@seed`."""
    return canonical_digest(project.recipes[recipe.split("@")[0]].model_dump(mode="json"))[:16]


def decisions_observed(version: str) -> dg.AssetObservation:
    """The observation that the reviewed CSVs have this content."""
    return dg.AssetObservation("review_decisions", tags={"dagster/data_version": version})


def passed_snapshot(instance: dg.DagsterInstance) -> str | None:
    """Snapshot id of the newest manifest if the check of that very materialisation passed."""
    event = instance.get_latest_materialization_event(dg.AssetKey("dataset_manifest"))
    found = instance.get_latest_asset_check_evaluation_record(CAN_BE_FROZEN)
    if event is None or event.asset_materialization is None or found is None:
        return None
    if found.status.value != "SUCCEEDED" or found.run_id != event.run_id:
        return None
    return str(event.asset_materialization.metadata["snapshot_id"].value)

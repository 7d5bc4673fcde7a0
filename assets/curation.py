"""Curation: the queue that a person works through, the reviewed CSVs, and what was kept."""

import dagster as dg

from assets.automation import ON_CHANGE
from assets.common import check, contact_sheet, count_table, photo_reader, progress, stage_asset, table_result
from assets.versions import configured_partitions, inputs_version
from pipeline.config import Project
from pipeline.curation.curate import curate, too_few
from pipeline.curation.decisions import Decision, Problem, folder_version, read_decisions
from pipeline.curation.queue import queue_photos
from pipeline.flickr.licenses import license_name
from resources.home import HomeResource
from storage import Home


def curation_assets(project: Project) -> list[dg.AssetsDefinition | dg.SourceAsset]:
    """The assets of this stage, for the project."""

    @stage_asset(
        "review_queue",
        "curation",
        {"csv"},
        deps=["unique_photos"],
        automation_condition=ON_CHANGE,
        description="CSV batches of photos that nobody has decided, with hints and thumbnails. "
        "Fill in `decision` and `reason` and save the file, under any name, in `review/reviewed/`.",
        check_specs=[dg.AssetCheckSpec("nobody_waits_unqueued", asset="review_queue")],
    )
    def review_queue(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        data = home.open()
        version = inputs_version(project, data, "review_queue")
        unique, queued = data.tables.read("unique_photos"), data.tables.read_or_empty("review_queue")
        decisions, _ = reviewed(data, project)
        frame = queue_photos(
            unique=unique,
            listing=data.tables.read_all("photo_listing", configured_partitions(project, data, "photo_listing")),
            queued=queued,
            decided={decision.photo_id for decision in decisions if decision.decision != "skip"},
            read_photo=photo_reader(data, project),
            license_name=license_name,
            folders=(data.review_queue, data.thumbnails),
            batch_size=project.curation.batch_size,
            progress=progress(context, "photos queued"),
        )
        data.reviewed.mkdir(parents=True, exist_ok=True)
        info = data.tables.write("review_queue", frame, inputs_version=version)
        new = frame[~frame["photo_id"].isin(set(queued["photo_id"]))]
        shown = {
            "new": count_table(new["domain"].value_counts().to_dict(), "newly queued"),
            "batches": dg.MetadataValue.path(str(data.review_queue)),
            "save reviewed files in": dg.MetadataValue.path(str(data.reviewed)),
        }
        decided = {decision.photo_id for decision in decisions}
        groups = set(unique.loc[unique["photo_id"].isin(decided | set(frame["photo_id"])), "group"])
        waiting = unique.loc[unique["rule"].isna() & ~unique["group"].isin(groups), "photo_id"].tolist()
        return table_result(info, shown, [check("nobody_waits_unqueued", waiting)])

    @dg.observable_source_asset(
        name="review_decisions",
        group_name="curation",
        description="The folder `review/reviewed/`: what curators decided. Its content is the data version.",
        tags={"dagster/kind/csv": ""},
    )
    def review_decisions(home: HomeResource) -> dg.DataVersion:
        return dg.DataVersion(folder_version(home.open().reviewed))

    @stage_asset(
        "curated_photos",
        "curation",
        {"parquet"},
        deps=["unique_photos", review_decisions],
        automation_condition=ON_CHANGE,
        description="What was decided about each photo: kept, moved or dropped, by whom and why.",
        check_specs=[
            dg.AssetCheckSpec("decisions_valid", asset="curated_photos", blocking=True),
            dg.AssetCheckSpec("enough_kept", asset="curated_photos", blocking=True),
        ],
    )
    def curated_photos(home: HomeResource) -> dg.MaterializeResult:
        data = home.open()
        version = inputs_version(project, data, "curated_photos")
        decisions, problems = reviewed(data, project)
        unique = data.tables.read("unique_photos")
        frame = curate(unique, decisions)
        info = data.tables.write("curated_photos", frame, inputs_version=version)
        kept = frame[frame["target_domain"].notna()]
        counts = {
            **{f"kept in {domain}": int(count) for domain, count in kept["target_domain"].value_counts().items()},
            **{
                f"dropped, {reason}": int(count)
                for reason, count in frame.loc[frame["decision"] == "drop", "reason"].value_counts().items()
            },
            "undecided": int(unique["rule"].isna().sum()) - len(frame),
        }
        read = photo_reader(data, project)
        pictures = {
            f"kept in {domain}": contact_sheet([read(digest) for digest in rows["sha256"].head(12)])
            for domain, rows in kept.groupby("target_domain")
        }
        checks = [
            check("decisions_valid", [str(problem) for problem in problems]),
            check("enough_kept", too_few(frame, list(project.domains), project.curation.min_kept_per_domain)),
        ]
        return table_result(info, {"counts": count_table(counts, "curated"), **pictures}, checks)

    return [review_queue, review_decisions, curated_photos]


def reviewed(home: Home, project: Project) -> tuple[list[Decision], list[Problem]]:
    """Decisions and problems of the reviewed CSVs.

    Known are the ids of every photo ever listed (the history), so that a decision about a photo that has since
    vanished is no mistake. The history is looked up, not a dependency: a re-scrape alone changes no decision.
    """
    known = set(home.tables.read_or_empty("photo_history", columns=["photo_id"])["photo_id"])
    return read_decisions(home.reviewed, known, set(project.domains))

"""Dedupe: fingerprints of every picture, and which photo of each group of duplicates is kept."""

import dagster as dg

from assets.building_blocks import check, count_table, progress, stage_asset, table_result
from assets.contact_sheets import contact_sheet
from assets.partitions import domain_months
from assets.plots import distances, histogram
from pipeline.config import Project
from pipeline.operations.duplicates import kept_and_dropped, make_fingerprints, make_unique_photos, nearest_distances
from pipeline.operations.links import DUPLICATES_LINK
from pipeline.operations.stages import provenance_of
from resources.home import HomeResource


def dedupe_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The assets of this stage, for the project."""
    return [fingerprints_asset(project), unique_asset(project)]


def fingerprints_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `fingerprints`."""

    @stage_asset(
        project,
        "fingerprints",
        "dedupe",
        {"parquet"},
        deps=["photo_files"],
        partitions_def=domain_months(project),
        description="Size, dimensions and perceptual hashes of every stored photo, computed once per picture.",
        checks={
            "every_file_has_one": "Every stored file has a fingerprint; without one a photo is compared with nothing.",
        },
    )
    def fingerprints(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data, key = home.open(), str(context.partition_key)
        provenance = provenance_of(project, data, "fingerprints", key)
        frame, new, without = make_fingerprints(project, data, key, progress(context, "pictures fingerprinted"))
        info = data.tables.write("fingerprints", frame, key, provenance)
        edges = frame[["width_px", "height_px"]].max(axis=1).tolist()
        shown = {"new pictures": new, "long_edges": histogram(edges, "long edge, px")}
        return table_result(info, shown, [check("every_file_has_one", without)])

    return fingerprints


def unique_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `unique_photos`."""

    @stage_asset(
        project,
        "unique_photos",
        "dedupe",
        {"parquet"},
        deps=["fingerprints", "photo_history", "imported_photos"],
        description="Every downloaded photo of all domains: kept, or the rule by which it went and for which photo. "
        "`bokehflow duplicates` shows them side by side.",
        checks={
            "no_picture_in_two_domains": "No picture is in several domains. One that is goes from all of them, but where "
            "the project file says whose it is.",
        },
    )
    def unique_photos(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "unique_photos")
        frame, work = make_unique_photos(project, data, progress(context, "pictures fingerprinted again"))
        info = data.tables.write("unique_photos", frame, provenance=provenance)
        kept = frame["rule"].isna()
        counts = {"kept": int(kept.sum()), **frame["rule"].value_counts().to_dict()}
        duplicates, strangers = nearest_distances(frame, data)
        conflicts = frame.loc[frame["rule"] == "both_domains", "photo_id"].tolist()
        problems = [f"{photo_id} is in several domains" for photo_id in conflicts]
        shown = {
            "counts": count_table(counts, "unique photos"),
            "kept beside dropped, the least sure first": contact_sheet(kept_and_dropped(frame, project, data)),
            "after `bokehflow duplicates`": dg.MetadataValue.url(DUPLICATES_LINK),
            "nearest pictures": distances(duplicates, strangers, project.dedupe.radius_bits),
            "work": work,
        }
        return table_result(info, shown, [check("no_picture_in_two_domains", problems, dg.AssetCheckSeverity.WARN)])

    return unique_photos

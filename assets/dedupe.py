"""Dedupe: fingerprints of every picture, and which photo of each group of duplicates is kept."""

import dagster as dg

from assets.automation import ON_ANY_CHANGE, ON_CHANGE
from assets.common import check, contact_sheet, count_table, photo_reader, progress, stage_asset, table_result
from assets.partitions import domain_months
from assets.plots import histogram
from assets.versions import forgotten_photos, inputs_version, newest_rows
from pipeline.config import Project
from pipeline.dedupe.fingerprints import fingerprint_photos
from pipeline.dedupe.groups import find_unique
from resources.home import HomeResource


def dedupe_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The assets of this stage, for the project."""

    @stage_asset(
        "fingerprints",
        "dedupe",
        {"parquet"},
        deps=["photo_files"],
        partitions_def=domain_months(project),
        automation_condition=ON_CHANGE,
        description="Size, dimensions and perceptual hashes of every stored photo, computed once per picture.",
        check_specs=[dg.AssetCheckSpec("every_file_has_one", asset="fingerprints")],
    )
    def fingerprints(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        data, key = home.open(), str(context.partition_key)
        version = inputs_version(project, data, "fingerprints", key)
        files = data.tables.read("photo_files", key)
        frame = fingerprint_photos(
            files=files,
            listing=data.tables.read("photo_listing", key),
            known=data.tables.read_or_empty("fingerprints", key),
            read_photo=photo_reader(data, project),
            progress=progress(context, "pictures hashed"),
        )
        info = data.tables.write("fingerprints", frame, key, version)
        without = sorted(set(files.loc[files["sha256"].notna(), "photo_id"]) - set(frame["photo_id"]))
        shown = {"long_edges": histogram(frame[["width_px", "height_px"]].max(axis=1).tolist(), "long edge, px")}
        return table_result(info, shown, [check("every_file_has_one", without)])

    @stage_asset(
        "unique_photos",
        "dedupe",
        {"parquet"},
        deps=[fingerprints, "photo_history", "imported_photos"],
        automation_condition=ON_ANY_CHANGE,
        description="Every downloaded photo of all domains: kept, or the rule by which it went and for which photo.",
        check_specs=[dg.AssetCheckSpec("no_picture_in_two_domains", asset="unique_photos")],
    )
    def unique_photos(home: HomeResource) -> dg.MaterializeResult:
        data = home.open()
        version = inputs_version(project, data, "unique_photos")
        photos = newest_rows(project, data, "fingerprints")
        photos = photos[~photos["photo_id"].isin(forgotten_photos(data))]
        read = photo_reader(data, project)
        frame = find_unique(photos, read, project.dedupe)
        info = data.tables.write("unique_photos", frame, inputs_version=version)
        kept = frame["rule"].isna()
        counts = {"kept": int(kept.sum()), **frame["rule"].value_counts().to_dict()}
        dropped = frame[frame["duplicate_of"].notna() & ~kept].head(6)
        by_id = frame.drop_duplicates("photo_id").set_index("photo_id")["sha256"]
        pairs = [digest for _, row in dropped.iterrows() for digest in (by_id[row["duplicate_of"]], row["sha256"])]
        conflicts = frame.loc[frame["rule"] == "both_domains", "photo_id"].tolist()
        problems = [f"{photo_id} is in several domains" for photo_id in conflicts]
        shown = {"counts": count_table(counts, "unique photos"), "kept beside dropped": contact_sheet([*map(read, pairs)])}
        return table_result(info, shown, [check("no_picture_in_two_domains", problems, dg.AssetCheckSeverity.WARN)])

    return [fingerprints, unique_photos]

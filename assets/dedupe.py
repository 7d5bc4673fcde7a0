"""Dedupe: fingerprints of every picture, and which photo of each group of duplicates is kept."""

import dagster as dg

from assets.common import check, count_table, progress, stage_asset, table_result
from assets.partitions import domain_months
from assets.plots import distances, histogram
from assets.sheets import contact_sheet
from pipeline.config import Project
from pipeline.operations.duplicates import kept_and_dropped, nearest_distances
from pipeline.operations.links import DUPLICATES_LINK
from pipeline.operations.photo_tables import newest_rows
from pipeline.operations.stages import provenance_of
from pipeline.operations.tasks import engine_of, fingerprints_over
from pipeline.operations.tombstones import forgotten_photos
from resources.home import HomeResource


def dedupe_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The assets of this stage, for the project."""

    @stage_asset(
        project,
        "fingerprints",
        "dedupe",
        {"parquet"},
        deps=["photo_files"],
        partitions_def=domain_months(project),
        description="Size, dimensions and perceptual hashes of every stored photo, computed once per picture.",
        check_specs=[dg.AssetCheckSpec("every_file_has_one", asset="fingerprints")],
    )
    def fingerprints(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        from pipeline.dedupe.fingerprints import fingerprint_pictures, fingerprint_table
        from pipeline.dedupe.store import FingerprintStore

        data, key = home.open(), str(context.partition_key)
        provenance = provenance_of(project, data, "fingerprints", key)
        files, store = data.tables.read("photo_files", key), FingerprintStore(data.fingerprints)
        digests = files["sha256"].dropna().tolist()
        report, over, crashed = progress(context, "pictures fingerprinted"), engine_of(project, data), {}
        new = len(store.missing(digests))
        if over is not None:
            crashed = fingerprints_over(over, data, digests, report)
        fingerprint_pictures([one for one in digests if one not in crashed], data.blobs.read, store, report)
        frame = fingerprint_table(files[~files["sha256"].isin(crashed)], data.tables.read("photo_listing", key), store)
        info = data.tables.write("fingerprints", frame, key, provenance)
        stored = files[files["sha256"].notna() & ~files["photo_id"].isin(frame["photo_id"])].sort_values("photo_id")
        pairs = zip(stored["photo_id"], stored["sha256"], strict=True)
        without = [f"{photo_id}: {crashed[sha256]}" if sha256 in crashed else photo_id for photo_id, sha256 in pairs]
        edges = frame[["width_px", "height_px"]].max(axis=1).tolist()
        shown = {"new pictures": new, "long_edges": histogram(edges, "long edge, px")}
        return table_result(info, shown, [check("every_file_has_one", without)])

    @stage_asset(
        project,
        "unique_photos",
        "dedupe",
        {"parquet"},
        deps=[fingerprints, "photo_history", "imported_photos"],
        description="Every downloaded photo of all domains: kept, or the rule by which it went and for which photo. "
        "`bokehflow duplicates` shows them side by side.",
        check_specs=[dg.AssetCheckSpec("no_picture_in_two_domains", asset="unique_photos")],
    )
    def unique_photos(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        from pipeline.dedupe.fingerprints import fingerprint_pictures
        from pipeline.dedupe.groups import find_unique
        from pipeline.dedupe.near import NearHashStore
        from pipeline.dedupe.store import FingerprintStore

        data, settings = home.open(), project.dedupe
        provenance = provenance_of(project, data, "unique_photos")
        photos = newest_rows(project, data, "fingerprints")
        photos = photos[~photos["photo_id"].isin(forgotten_photos(data))]
        store, near = FingerprintStore(data.fingerprints), NearHashStore(data.fingerprints)
        # Usually all are there; where somebody cleared the folder, they are made again.
        again = progress(context, "pictures fingerprinted again")
        decoded = fingerprint_pictures(photos["sha256"].tolist(), data.blobs.read, store, again)
        known = data.tables.read_or_empty("duplicate_pairs")
        found = find_unique(photos, store, data.blobs.read, settings, known, near.read(settings.radius_bits))
        near.write(settings.radius_bits, found.near)
        data.tables.write("duplicate_pairs", found.duplicate_pairs)
        frame = found.unique_photos
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
            "nearest pictures": distances(duplicates, strangers, settings.radius_bits),
            "work": {**found.work, "pictures_fingerprinted": decoded},
        }
        return table_result(info, shown, [check("no_picture_in_two_domains", problems, dg.AssetCheckSeverity.WARN)])

    return [fingerprints, unique_photos]

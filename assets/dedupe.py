"""Dedupe: fingerprints of every picture, and which photo of each group of duplicates is kept."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd

from assets.automation import ON_ANY_CHANGE, ON_CHANGE
from assets.common import check, count_table, photo_reader, progress, stage_asset, table_result
from assets.partitions import domain_months
from assets.plots import distances, histogram
from assets.sheets import contact_sheet
from pipeline.config import Project
from pipeline.errors import BokehflowError
from pipeline.operations.versions import forgotten_photos, inputs_version, newest_rows
from resources.home import HomeResource
from storage import Home

SHOWN_PAIRS = 6


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
    def fingerprints(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        from pipeline.dedupe.fingerprints import fingerprint_pictures, fingerprint_table
        from pipeline.dedupe.store import FingerprintStore

        data, key = home.open(), str(context.partition_key)
        version = inputs_version(project, data, "fingerprints", key)
        files, store = data.tables.read("photo_files", key), FingerprintStore(data.fingerprints)
        digests = files["sha256"].dropna().tolist()
        new = fingerprint_pictures(digests, data.blobs.read, store, progress(context, "pictures fingerprinted"))
        frame = fingerprint_table(files, data.tables.read("photo_listing", key), store)
        info = data.tables.write("fingerprints", frame, key, version)
        without = sorted(set(files.loc[files["sha256"].notna(), "photo_id"]) - set(frame["photo_id"]))
        edges = frame[["width_px", "height_px"]].max(axis=1).tolist()
        shown = {"new pictures": new, "long_edges": histogram(edges, "long edge, px")}
        return table_result(info, shown, [check("every_file_has_one", without)])

    @stage_asset(
        "unique_photos",
        "dedupe",
        {"parquet"},
        deps=[fingerprints, "photo_history", "imported_photos"],
        automation_condition=ON_ANY_CHANGE,
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
        version = inputs_version(project, data, "unique_photos")
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
        info = data.tables.write("unique_photos", frame, inputs_version=version)
        kept = frame["rule"].isna()
        counts = {"kept": int(kept.sum()), **frame["rule"].value_counts().to_dict()}
        duplicates, strangers = _distances(frame, data)
        conflicts = frame.loc[frame["rule"] == "both_domains", "photo_id"].tolist()
        problems = [f"{photo_id} is in several domains" for photo_id in conflicts]
        shown = {
            "counts": count_table(counts, "unique photos"),
            "kept beside dropped, the least sure first": contact_sheet(_pairs(frame, project, data)),
            "nearest pictures": distances(duplicates, strangers, settings.radius_bits),
            "work": {**found.work, "pictures_fingerprinted": decoded},
        }
        return table_result(info, shown, [check("no_picture_in_two_domains", problems, dg.AssetCheckSeverity.WARN)])

    return [fingerprints, unique_photos]


def write_duplicates(project: Project, home: Home, max_pages: int) -> tuple[Path, list[str]]:
    """Write the pages of `bokehflow duplicates`; returns the first, and what could not be shown, each with the reason.

    Raises `StorageError` when nothing was deduplicated yet.
    """
    from pipeline.dedupe.page import EDGE_PX, PageInputs, write_pages

    frame = home.tables.read("unique_photos")
    duplicates, strangers = _distances(frame, home)
    inputs = PageInputs(
        project=project.project.name,
        unique=frame,
        credits=home.tables.read_all("photo_listing"),
        duplicates=duplicates,
        strangers=strangers,
        radius_bits=project.dedupe.radius_bits,
        max_pages=max_pages,
    )
    read, failed = photo_reader(home, project, min_short_edge_px=EDGE_PX), dict[str, str]()

    def thumbnail(sha256: str) -> np.ndarray:
        try:
            return read(sha256)
        except (BokehflowError, OSError) as error:
            failed[sha256] = str(error)
            return np.full((EDGE_PX, EDGE_PX, 3), 128, np.uint8)

    return write_pages(home.duplicates, inputs, thumbnail), list(failed.values())


def _distances(frame: pd.DataFrame, home: Home) -> tuple[dict[int, int], dict[int, int]]:
    """Photos by distance in bits: duplicates, and a sample's nearest pictures that are none."""
    from pipeline.dedupe.distances import duplicate_distances, nearest_strangers
    from pipeline.dedupe.store import FingerprintStore

    pictures = frame.drop_duplicates("sha256")
    records = FingerprintStore(home.fingerprints).read(pictures["sha256"].tolist(), with_pictures=False).records
    strangers = nearest_strangers(records, pictures["split_key"].tolist())
    return duplicate_distances(frame["distance_bits"].dropna().tolist()), strangers


def _pairs(frame: pd.DataFrame, project: Project, home: Home) -> Iterator[tuple[str, np.ndarray]]:
    """Photos kept and dropped, alternating."""
    read = photo_reader(home, project, min_short_edge_px=128)
    dropped = frame[frame["duplicate_of"].notna() & (frame["duplicate_of"] != frame["photo_id"])]
    dropped = dropped.sort_values("measure").drop_duplicates("duplicate_of").head(SHOWN_PAIRS)
    by_id = frame.drop_duplicates("photo_id").set_index("photo_id")["sha256"]
    chosen = [id for pair in zip(dropped["duplicate_of"], dropped["photo_id"], strict=True) for id in pair]
    return ((id, read(by_id[id])) for id in chosen)

"""Dataset: masks, training pictures, the manifest and its frozen snapshots."""

from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from assets.building_blocks import check, count_table, progress, stage_asset, table_result
from assets.contact_sheets import contact_sheet
from assets.partitions import SNAPSHOTS
from assets.plots import histogram
from pipeline.config import Project
from pipeline.dataset.manifest import broken_pairs, counts, overruled, snapshot_id
from pipeline.dataset.snapshot import missing_pictures, open_snapshot, read_facts, refresh_origin
from pipeline.depth.colours import coloured, range_of
from pipeline.depth.depth_maps import odd_maps
from pipeline.depth.maps import read_map
from pipeline.file_names import child, inside
from pipeline.masks.person_masks import read_mask, to_review
from pipeline.operations.dataset import (
    first_pictures,
    freeze_manifest,
    make_depth_maps,
    make_manifest,
    make_person_masks,
    make_training_images,
)
from pipeline.operations.links import MASKS_LINK, lineage_link
from pipeline.operations.made_from import license_counts, strictest_name
from pipeline.operations.stages import STAGES, provenance_of
from pipeline.operations.training_images import implausible_depth, too_small
from pipeline.picture_layers import Encoding, present
from resources.home import HomeResource
from resources.segmenter import SegmenterResource
from storage import Home

FROZEN = " Partitioned by snapshot and frozen: a 'stale' badge on an old snapshot is expected and asks for nothing."


def dataset_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The assets of this stage, for the project."""
    estimated = [depth_asset(project)] if project.depth.estimator != "none" else []
    return [masks_asset(project), *estimated, images_asset(project), manifest_asset(project), snapshot_asset(project)]


def masks_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `person_masks`."""

    @stage_asset(
        project,
        "person_masks",
        "dataset",
        {"png", "parquet"},
        deps=[*STAGES["person_masks"].tables(project)],
        description="Alpha of the subject of each kept photo, cached per picture and segmenter.",
        checks={
            "subjects_found": "Every kept photo has a subject. Those named are left out of the dataset.",
            "subjects_are_clear": "In no photo is another person nearly as prominent as the subject. Look at the masks of "
            "those named.",
            "share_of_the_frame": "No subject fills nearly the whole frame, which is often a wrong mask.",
            "masks_are_certain": "No mask is wrong with a high chance. `bokehflow review` shows those named, and lets you "
            "draw better ones.",
        },
    )
    def person_masks(
        context: dg.AssetExecutionContext,
        home: dg.ResourceParam[HomeResource],
        segmenter: dg.ResourceParam[SegmenterResource],
    ) -> dg.MaterializeResult:
        data, warn = home.open(), dg.AssetCheckSeverity.WARN
        frame, provenance = make_person_masks(project, data, segmenter, progress(context, "pictures segmented"))
        info, odd = data.tables.write("person_masks", frame, provenance=provenance), to_review(frame)
        checks = [
            check("subjects_found", odd["left out"], warn),
            check("subjects_are_clear", odd["unclear who is meant"], warn),
            check("share_of_the_frame", odd["fills the frame"], warn),
            check("masks_are_certain", odd["uncertain"], warn),
        ]
        return table_result(info, _masks_shown(project, data, frame), checks)

    return person_masks


def _masks_shown(project: Project, data: Home, frame: pd.DataFrame) -> dict[str, Any]:
    found, nobody = frame[frame["mask"].notna()], project.masks.segmenter == "none"
    reasons = frame["reason"].dropna().value_counts().to_dict()
    alphas = (read_mask(inside(data.masks, mask)) for mask in found["mask"])
    return {
        "counts": count_table({"pictures" if nobody else "with a subject": len(found), **reasons}, "masks"),
        "people": count_table(found["people"].value_counts().sort_index().to_dict(), "people in the picture"),
        "median_coverage": float(found["coverage"].median()) if len(found) else 0.0,
        "coverage": histogram(frame["coverage"].tolist(), "share of the frame that is subject"),
        "masks": contact_sheet(zip(found["photo_id"], alphas, strict=True)),
        "look_at_them": dg.MetadataValue.text("bokehflow mask-sheet"),
        "sheet": dg.MetadataValue.url(MASKS_LINK),
    }


def depth_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `depth_maps`, of projects that ask somebody for depth."""

    @stage_asset(
        project,
        "depth_maps",
        "dataset",
        {"png", "parquet"},
        deps=[*STAGES["depth_maps"].tables(project)],
        description="How far away everything in each kept photo is, cached per picture and estimator.",
        checks={
            "every_photo_has_a_map": "Every kept photo has a map of depth. The others train nothing that needs one.",
            "maps_fit_their_pictures": "No map of depth contradicts its picture, as one with near and far exchanged does.",
        },
    )
    def depth_maps(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "depth_maps")
        frame = make_depth_maps(project, data, progress(context, "maps of depth"))
        info, odd = data.tables.write("depth_maps", frame, provenance=provenance), odd_maps(frame)
        checks = [
            check("every_photo_has_a_map", odd["without a map"], dg.AssetCheckSeverity.WARN),
            check("maps_fit_their_pictures", odd["odd"], dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, _depth_shown(data, frame), checks)

    return depth_maps


def _depth_shown(data: Home, frame: pd.DataFrame) -> dict[str, Any]:
    found = frame[frame["depth_source"].notna()]
    nearer = found["nearer"].dropna()

    def shown(path: str) -> np.ndarray:
        stored, encoding = read_map(inside(data.depth, path))
        disparity = Encoding.parse(encoding).disparity(stored)
        return coloured(disparity, *range_of(disparity))

    return {
        "counts": count_table({"with depth": len(found), "without": len(frame) - len(found)}, "maps"),
        "subject_nearer": float((nearer > 1).mean()) if len(nearer) else 0.0,
        "known": histogram(found["known"].tolist(), "share of the map that is known"),
        "maps": contact_sheet(zip(found["photo_id"], map(shown, found["depth_source"]), strict=True)),
    }


def images_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `training_images`."""

    @stage_asset(
        project,
        "training_images",
        "dataset",
        {"arrow"},
        deps=[*STAGES["training_images"].tables(project)],
        description="Cropped and scaled RGB with alpha, and depth and targets where photos have them, in memory-mapped "
        "shards that all snapshots share.",
        checks={
            "one_for_each_mask": "Every photo with a mask has training pictures.",
            "large_enough_for_tiles": "Every photo is at least as large as a tile. Smaller ones are left out.",
            "depth_is_plausible": "No depth contradicts its picture, as one with near and far exchanged does.",
        },
    )
    def training_images(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "training_images")
        frame, without = make_training_images(project, data, progress(context, "pictures prepared"))
        info = data.tables.write("training_images", frame, provenance=provenance)
        small = too_small(project, data, without)
        shown = {
            "photos": int(frame["photo_id"].nunique()),
            "shards": frame["shard"].nunique(),
            **{f"with {layer.name}": int(frame[layer.digest].notna().sum()) for layer in present(frame)},
            "pictures": contact_sheet(first_pictures(data, frame)),
        }
        checks = [
            check("one_for_each_mask", sorted(set(without["photo_id"]) - set(small))),
            check("large_enough_for_tiles", list(small.values()), dg.AssetCheckSeverity.WARN),
            check("depth_is_plausible", implausible_depth(frame), dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, shown, checks)

    return training_images


def manifest_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `dataset_manifest`."""

    @stage_asset(
        project,
        "dataset_manifest",
        "dataset",
        {"parquet"},
        deps=["training_images"],
        description="Every picture with split, digests, origin and licence. Its data version is the snapshot id. "
        "What it newly says of owners, titles and licences goes into the frozen snapshot of the same pictures.",
        checks={
            "can_be_frozen": "The manifest has what training and judging need; what is missing is named.",
            "sides_as_given": "Every photo given for testing is tested on. Those named train, since a near-duplicate or "
            "their other half does.",
            "pairs_are_whole": "Every pair has one photo in each of its two domains.",
        },
    )
    def dataset_manifest(home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "dataset_manifest")
        frame, found = make_manifest(project, data)
        info = data.tables.write("dataset_manifest", frame, provenance=provenance)
        by_split = {f"{domain}, {split}": n for domain, splits in counts(frame).items() for split, n in splits.items()}
        identifier, warn = snapshot_id(frame), dg.AssetCheckSeverity.WARN
        if child(data.snapshots, identifier).exists():
            refresh_origin(child(data.snapshots, identifier), frame, data.shards)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(identifier),
            metadata={
                "dagster/row_count": info.row_count,
                "path": dg.MetadataValue.path(str(info.path)),
                "snapshot_id": identifier,
                "counts": count_table(by_split, "manifest"),
            },
            check_results=[
                check("can_be_frozen", found),
                check("sides_as_given", overruled(frame) if project.dataset.split == "given" else [], warn),
                check("pairs_are_whole", broken_pairs(frame), warn),
            ],
        )

    return dataset_manifest


def snapshot_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `dataset_snapshot`."""

    @stage_asset(
        project,
        "dataset_snapshot",
        "dataset",
        {"parquet"},
        deps=["dataset_manifest"],
        partitions_def=SNAPSHOTS,
        description="The frozen manifest, its split and the attribution of every photo." + FROZEN,
        checks={
            "every_picture_is_there": "Every picture of the manifest is in its shard. `bokehflow snapshot restore` makes "
            "lost ones anew.",
        },
    )
    def dataset_snapshot(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data, identifier = home.open(), context.partition_key
        freeze_manifest(project, data, identifier)
        manifest = open_snapshot(data.snapshots, identifier, data.shards)
        photos = manifest.drop_duplicates(["domain", "photo_id"])
        return dg.MaterializeResult(
            data_version=dg.DataVersion(identifier),
            metadata={
                "dagster/row_count": len(manifest),
                "path": dg.MetadataValue.path(str(child(data.snapshots, identifier))),
                "lineage": dg.MetadataValue.url(lineage_link("snapshot", identifier)),
                "manifest_sha256": read_facts(data.snapshots, identifier)["sha256"],
                "photos": len(photos),
                "licences": count_table(license_counts(photos["license"]), "licence"),
                "strictest_licence": strictest_name(manifest["license"]),
                "owners": int(manifest["owner"].nunique()),
            },
            check_results=[check("every_picture_is_there", missing_pictures(manifest, data.shards))],
        )

    return dataset_snapshot

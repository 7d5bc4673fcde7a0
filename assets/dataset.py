"""Dataset: masks, training pictures, the manifest and its frozen snapshots."""

import dagster as dg
import numpy as np

from assets.automation import ON_CHANGE, ON_NEW
from assets.common import check, contact_sheet, count_table, photo_reader, progress, stage_asset, table_result
from assets.origins import license_counts, made_from, strictest_name
from assets.partitions import SNAPSHOTS
from assets.plots import histogram
from assets.versions import configured_partitions, inputs_version
from pipeline.config import Project
from pipeline.dataset.manifest import build_manifest, counts, problems, snapshot_id
from pipeline.dataset.prepare import prepare_images
from pipeline.dataset.shards import ShardReader
from pipeline.dataset.snapshot import freeze, missing_pictures, open_snapshot, read_facts
from pipeline.errors import DatasetError
from pipeline.flickr.licenses import license_name
from pipeline.masks.person_masks import read_mask, segment_photos
from resources.home import HomeResource
from resources.segmenter import SegmenterResource

FROZEN = " Partitioned by snapshot and frozen: a 'stale' badge on an old snapshot is expected and asks for nothing."


def dataset_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The assets of this stage, for the project."""

    @stage_asset(
        "person_masks",
        "dataset",
        {"png", "parquet"},
        deps=["curated_photos"],
        automation_condition=ON_CHANGE,
        description="Alpha of the subject of each kept photo, cached per picture and segmenter.",
        check_specs=[dg.AssetCheckSpec("subjects_found", asset="person_masks")],
    )
    def person_masks(
        context: dg.AssetExecutionContext, home: HomeResource, segmenter: SegmenterResource
    ) -> dg.MaterializeResult:
        data = home.open()
        version = inputs_version(project, data, "person_masks")
        curated = data.tables.read("curated_photos")
        frame = segment_photos(
            photos=curated[curated["target_domain"].notna()],
            read_rgb=photo_reader(data, project, min_short_edge_px=project.masks.long_side_px),
            segmenter=segmenter.load(data),
            masks_folder=data.masks,
            long_side_px=project.masks.long_side_px,
            min_coverage=project.masks.min_coverage,
            progress=progress(context, "pictures segmented"),
            known=data.tables.read_or_empty("person_masks"),
        )
        info = data.tables.write("person_masks", frame, inputs_version=version)
        without = frame.loc[frame["mask"].isna(), "photo_id"].tolist()
        masks = [read_mask(data.masks / mask) for mask in frame["mask"].dropna().head(12)]
        shown = {
            "counts": count_table({"with a subject": len(frame) - len(without), "without": len(without)}, "masks"),
            "median_coverage": float(frame["coverage"].median()) if len(frame) else 0.0,
            "coverage": histogram(frame["coverage"].tolist(), "share of the frame that is subject"),
            "masks": contact_sheet(masks),
        }
        missing = [f"no subject found in {photo_id}" for photo_id in without]
        return table_result(info, shown, [check("subjects_found", missing, dg.AssetCheckSeverity.WARN)])

    @stage_asset(
        "training_images",
        "dataset",
        {"arrow"},
        deps=[person_masks],
        automation_condition=ON_CHANGE,
        description="Cropped and scaled RGB with alpha, in memory-mapped shards that all snapshots share.",
        check_specs=[dg.AssetCheckSpec("one_for_each_mask", asset="training_images")],
    )
    def training_images(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        data = home.open()
        version = inputs_version(project, data, "training_images")
        masks = data.tables.read("person_masks")
        frame = prepare_images(
            masks=masks,
            read_photo=photo_reader(data, project),
            read_mask=lambda mask: read_mask(data.masks / mask),
            shards_folder=data.shards,
            size_px=project.dataset.size_px,
            shard_rows=project.dataset.shard_rows,
            progress=progress(context, "pictures prepared"),
        )
        info = data.tables.write("training_images", frame, inputs_version=version)
        first = frame.groupby("domain").head(6)
        reader = (
            ShardReader([data.shards / shard for shard in first["shard"]], first["row"].tolist()) if len(first) else None
        )
        sheet = list(reader.batch(np.arange(len(reader)))[0]) if reader else []
        missing = sorted(set(masks.loc[masks["mask"].notna(), "photo_id"]) - set(frame["photo_id"]))
        shown = {"shards": frame["shard"].nunique(), "pictures": contact_sheet(sheet)}
        return table_result(info, shown, [check("one_for_each_mask", missing)])

    @stage_asset(
        "dataset_manifest",
        "dataset",
        {"parquet"},
        deps=[training_images],
        automation_condition=ON_CHANGE,
        description="Every picture with split, digests, origin and licence. Its data version is the snapshot id.",
        check_specs=[dg.AssetCheckSpec("can_be_frozen", asset="dataset_manifest", blocking=True)],
    )
    def dataset_manifest(home: HomeResource) -> dg.MaterializeResult:
        data = home.open()
        version = inputs_version(project, data, "dataset_manifest")
        images = data.tables.read("training_images")
        listing = data.tables.read_all("photo_listing", configured_partitions(project, data, "photo_listing"))
        curated = data.tables.read("curated_photos")
        frame = build_manifest(
            images, listing, curated, data.tables.read("person_masks"), project.dataset, project.training.domain_a
        )
        info = data.tables.write("dataset_manifest", frame, inputs_version=version)
        by_split = {f"{domain}, {split}": n for domain, splits in counts(frame).items() for split, n in splits.items()}
        found = problems(frame, images, project.training.domain_a, project.training.domain_b)
        identifier = snapshot_id(frame)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(identifier),
            metadata={
                "dagster/row_count": info.row_count,
                "path": dg.MetadataValue.path(str(info.path)),
                "snapshot_id": identifier,
                "counts": count_table(by_split, "manifest"),
            },
            check_results=[check("can_be_frozen", found)],
        )

    @stage_asset(
        "dataset_snapshot",
        "dataset",
        {"parquet"},
        deps=[dataset_manifest],
        partitions_def=SNAPSHOTS,
        automation_condition=ON_NEW,
        description="The frozen manifest, its split and the attribution of every photo." + FROZEN,
        check_specs=[dg.AssetCheckSpec("every_picture_is_there", asset="dataset_snapshot")],
    )
    def dataset_snapshot(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        data, identifier = home.open(), context.partition_key
        if not (data.snapshots / identifier).exists():
            manifest = data.tables.read("dataset_manifest")
            if snapshot_id(manifest) != identifier:
                raise DatasetError(
                    f"snapshot {identifier} was never frozen, and the manifest has moved on to {snapshot_id(manifest)}; "
                    "materialise that one"
                )
            freeze(manifest, data.snapshots, data.shards, license_name, made_from(project, data))
        manifest = open_snapshot(data.snapshots, identifier, data.shards)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(identifier),
            metadata={
                "dagster/row_count": len(manifest),
                "path": dg.MetadataValue.path(str(data.snapshots / identifier)),
                "manifest_sha256": read_facts(data.snapshots, identifier)["sha256"],
                "licences": count_table(license_counts(manifest["license"]), "licence"),
                "strictest_licence": strictest_name(manifest["license"]),
                "owners": int(manifest["owner"].nunique()),
            },
            check_results=[check("every_picture_is_there", missing_pictures(manifest, data.shards))],
        )

    return [person_masks, training_images, dataset_manifest, dataset_snapshot]

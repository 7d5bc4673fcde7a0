"""Dataset: masks, training pictures, the manifest and its frozen snapshots."""

import dagster as dg
import numpy as np

from assets.common import check, count_table, progress, stage_asset, table_result
from assets.partitions import SNAPSHOTS
from assets.plots import histogram
from assets.sheets import contact_sheet
from pipeline.config import Project
from pipeline.dataset.crop import Tiling
from pipeline.dataset.manifest import broken_pairs, build_manifest, counts, overruled, problems, snapshot_id
from pipeline.dataset.prepare import prepare_images
from pipeline.dataset.shards import ShardReader
from pipeline.dataset.snapshot import freeze, missing_pictures, open_snapshot, read_facts, refresh_origin
from pipeline.depth.colours import coloured, range_of
from pipeline.depth.depth_maps import estimate_photos, odd_maps, with_estimated_depth
from pipeline.depth.maps import read_map
from pipeline.errors import DatasetError
from pipeline.file_names import child, inside
from pipeline.masks.person_masks import read_mask, segment_photos, to_review
from pipeline.masks.selfie import ALONE
from pipeline.operations.estimators import depth_estimator
from pipeline.operations.layered_imports import with_imported_layers
from pipeline.operations.links import MASKS_LINK, lineage_link
from pipeline.operations.made_from import license_counts, made_from, strictest_name
from pipeline.operations.masks import mask_source
from pipeline.operations.photo_tables import all_rows
from pipeline.operations.stages import provenance_of
from pipeline.operations.tasks import engine_of, masks_over, shards_over
from pipeline.operations.training_images import implausible_depth, photo_sizes, plan, readers, too_small
from pipeline.photos.decode import decode_reduced
from pipeline.picture_layers import Encoding, present
from resources.home import HomeResource
from resources.segmenter import SegmenterResource

FROZEN = " Partitioned by snapshot and frozen: a 'stale' badge on an old snapshot is expected and asks for nothing."


def dataset_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The assets of this stage, for the project."""

    @stage_asset(
        project,
        "person_masks",
        "dataset",
        {"png", "parquet"},
        deps=["curated_photos"],
        description="Alpha of the subject of each kept photo, cached per picture and segmenter.",
        check_specs=[
            dg.AssetCheckSpec("subjects_found", asset="person_masks"),
            dg.AssetCheckSpec("subjects_are_clear", asset="person_masks"),
            dg.AssetCheckSpec("share_of_the_frame", asset="person_masks"),
            dg.AssetCheckSpec("masks_are_certain", asset="person_masks"),
        ],
    )
    def person_masks(
        context: dg.AssetExecutionContext,
        home: dg.ResourceParam[HomeResource],
        segmenter: dg.ResourceParam[SegmenterResource],
    ) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "person_masks")
        source, curated = mask_source(project, data, segmenter), data.tables.read("curated_photos")
        if ALONE in source.key.split("-"):
            # So that the next run tries again to get the second network.
            provenance = provenance.with_outside(segmenter=f"without its second network, {source.key}")
        over = engine_of(project, data)
        frame = segment_photos(
            photos=curated[curated["target_domain"].notna()],
            source=source,
            masks_folder=data.masks,
            min_coverage=project.masks.least_coverage,
            progress=progress(context, "pictures segmented"),
            known=data.tables.read_or_empty("person_masks"),
            each=over and masks_over(over, {"source": source.key, **provenance.outside}),
        )
        info = data.tables.write("person_masks", frame, provenance=provenance)
        found, odd = frame[frame["mask"].notna()], to_review(frame)
        nobody = project.masks.segmenter == "none"
        reasons = frame["reason"].dropna().value_counts().to_dict()
        alphas = (read_mask(inside(data.masks, mask)) for mask in found["mask"])
        shown = {
            "counts": count_table({"pictures" if nobody else "with a subject": len(found), **reasons}, "masks"),
            "people": count_table(found["people"].value_counts().sort_index().to_dict(), "people in the picture"),
            "median_coverage": float(found["coverage"].median()) if len(found) else 0.0,
            "coverage": histogram(frame["coverage"].tolist(), "share of the frame that is subject"),
            "masks": contact_sheet(zip(found["photo_id"], alphas, strict=True)),
            "look_at_them": dg.MetadataValue.text("bokehflow mask-sheet"),
            "sheet": dg.MetadataValue.url(MASKS_LINK),
        }
        warn = dg.AssetCheckSeverity.WARN
        checks = [
            check("subjects_found", odd["left out"], warn),
            check("subjects_are_clear", odd["unclear who is meant"], warn),
            check("share_of_the_frame", odd["fills the frame"], warn),
            check("masks_are_certain", odd["uncertain"], warn),
        ]
        return table_result(info, shown, checks)

    estimates = project.depth.estimator != "none"
    estimated = [depth_asset(project)] if estimates else []

    @stage_asset(
        project,
        "training_images",
        "dataset",
        {"arrow"},
        deps=[person_masks, *estimated],
        description="Cropped and scaled RGB with alpha, and depth and targets where photos have them, in memory-mapped "
        "shards that all snapshots share.",
        check_specs=[
            dg.AssetCheckSpec("one_for_each_mask", asset="training_images"),
            dg.AssetCheckSpec("large_enough_for_tiles", asset="training_images"),
            dg.AssetCheckSpec("depth_is_plausible", asset="training_images"),
        ],
    )
    def training_images(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "training_images")
        layers = data.tables.read_or_empty("imported_layers")
        masks, over = with_imported_layers(data.tables.read("person_masks"), layers), engine_of(project, data)
        if estimates:
            masks = with_estimated_depth(masks, data.tables.read("depth_maps"))
        frame = prepare_images(
            masks=masks,
            readers=readers(project, data),
            shards_folder=data.shards,
            photo_size=photo_sizes(project, data) if isinstance(plan(project), Tiling) else None,
            plan=plan(project),
            shard_rows=project.dataset.shard_rows,
            progress=progress(context, "pictures prepared"),
            known=data.tables.read_or_empty("training_images"),
            each=shards_over(over) if over else None,
        )
        info = data.tables.write("training_images", frame, provenance=provenance)
        first = frame.groupby("domain").head(6)
        reader = (
            ShardReader([child(data.shards, shard) for shard in first["shard"]], first["row"].tolist())
            if len(first)
            else None
        )
        pictures = reader.batch(np.arange(len(reader)))[0] if reader else []
        sheet = contact_sheet(zip(first["photo_id"], pictures, strict=True))
        missing = masks[masks["mask"].notna() & ~masks["photo_id"].isin(frame["photo_id"])]
        small = too_small(project, data, missing)
        shown = {
            "photos": int(frame["photo_id"].nunique()),
            "shards": frame["shard"].nunique(),
            **{f"with {layer.name}": int(frame[layer.digest].notna().sum()) for layer in present(frame)},
            "pictures": sheet,
        }
        checks = [
            check("one_for_each_mask", sorted(set(missing["photo_id"]) - set(small))),
            check("large_enough_for_tiles", list(small.values()), dg.AssetCheckSeverity.WARN),
            check("depth_is_plausible", implausible_depth(frame, data.shards), dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, shown, checks)

    @stage_asset(
        project,
        "dataset_manifest",
        "dataset",
        {"parquet"},
        deps=[training_images],
        description="Every picture with split, digests, origin and licence. Its data version is the snapshot id. "
        "What it newly says of owners, titles and licences goes into the frozen snapshot of the same pictures.",
        check_specs=[
            dg.AssetCheckSpec("can_be_frozen", asset="dataset_manifest", blocking=True),
            dg.AssetCheckSpec("sides_as_given", asset="dataset_manifest"),
            dg.AssetCheckSpec("pairs_are_whole", asset="dataset_manifest"),
        ],
    )
    def dataset_manifest(home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "dataset_manifest")
        images = data.tables.read("training_images")
        listing = all_rows(project, data, "photo_listing")
        curated, masks = data.tables.read("curated_photos"), data.tables.read("person_masks")
        domain_a, domain_b = project.training.domain_a, project.training.domain_b
        frame = build_manifest(images, listing, curated, masks, project.dataset, domain_a)
        info = data.tables.write("dataset_manifest", frame, provenance=provenance)
        by_split = {f"{domain}, {split}": n for domain, splits in counts(frame).items() for split, n in splits.items()}
        found = problems(frame, masks, project.dataset, domain_a, domain_b)
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

    @stage_asset(
        project,
        "dataset_snapshot",
        "dataset",
        {"parquet"},
        deps=[dataset_manifest],
        partitions_def=SNAPSHOTS,
        description="The frozen manifest, its split and the attribution of every photo." + FROZEN,
        check_specs=[dg.AssetCheckSpec("every_picture_is_there", asset="dataset_snapshot")],
    )
    def dataset_snapshot(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data, identifier = home.open(), context.partition_key
        if not child(data.snapshots, identifier).exists():
            manifest = data.tables.read("dataset_manifest")
            if snapshot_id(manifest) != identifier:
                raise DatasetError(
                    f"snapshot {identifier} was never frozen, and the manifest has moved on to {snapshot_id(manifest)}; "
                    "materialise that one"
                )
            freeze(manifest, data.snapshots, data.shards, made_from(project, data))
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

    return [person_masks, *estimated, training_images, dataset_manifest, dataset_snapshot]


def depth_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `depth_maps`, of projects that ask somebody for depth."""

    @stage_asset(
        project,
        "depth_maps",
        "dataset",
        {"png", "parquet"},
        deps=["person_masks"],
        description="How far away everything in each kept photo is, cached per picture and estimator.",
        check_specs=[
            dg.AssetCheckSpec("every_photo_has_a_map", asset="depth_maps"),
            dg.AssetCheckSpec("maps_fit_their_pictures", asset="depth_maps"),
        ],
    )
    def depth_maps(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "depth_maps")
        long_side_px, most_pixels = project.depth.long_side_px, project.photos.max_pixels
        frame = estimate_photos(
            data.tables.read("person_masks"),
            depth_estimator(project, data),
            data.depth,
            lambda sha256: decode_reduced(data.blobs.read(sha256), 0, most_pixels, min_long_edge_px=long_side_px).rgb,
            lambda mask: read_mask(inside(data.masks, mask)),
            progress(context, "maps of depth"),
        )
        info = data.tables.write("depth_maps", frame, provenance=provenance)
        found, odd = frame[frame["depth_source"].notna()], odd_maps(frame)
        nearer = found["nearer"].dropna()

        def shown(path: str) -> np.ndarray:
            stored, encoding = read_map(inside(data.depth, path))
            disparity = Encoding.parse(encoding).disparity(stored)
            return coloured(disparity, *range_of(disparity))

        maps = zip(found["photo_id"], map(shown, found["depth_source"]), strict=True)
        metadata = {
            "counts": count_table({"with depth": len(found), "without": len(frame) - len(found)}, "maps"),
            "subject_nearer": float((nearer > 1).mean()) if len(nearer) else 0.0,
            "known": histogram(found["known"].tolist(), "share of the map that is known"),
            "maps": contact_sheet(maps),
        }
        checks = [
            check("every_photo_has_a_map", odd["without a map"], dg.AssetCheckSeverity.WARN),
            check("maps_fit_their_pictures", odd["odd"], dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, metadata, checks)

    return depth_maps

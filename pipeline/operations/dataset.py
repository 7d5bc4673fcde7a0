"""The tables of the dataset, made from those of a home: masks, maps of depth, training pictures and the manifest.

Each function gives the table of its name and does not write it; the pictures that its rows name lie in their files then.
"""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from pipeline.config import Project
from pipeline.dataset.manifest import build_manifest, problems, snapshot_id
from pipeline.dataset.prepare import ShardFolder, prepare_images
from pipeline.dataset.shards import ShardReader
from pipeline.dataset.snapshot import freeze
from pipeline.depth.depth_maps import estimate_photos, odd_maps, with_estimated_depth
from pipeline.errors import ConfigError, DatasetError
from pipeline.file_names import child, inside
from pipeline.masks.person_masks import Masks, read_mask, segment_photos
from pipeline.masks.selfie import ALONE
from pipeline.masks.sources import PhotoToMask
from pipeline.operations.estimators import depth_estimator
from pipeline.operations.layered_imports import with_imported_layers
from pipeline.operations.made_from import made_from
from pipeline.operations.masks import source_for_photos
from pipeline.operations.photo_tables import all_rows
from pipeline.operations.photos import photo_reader
from pipeline.operations.stages import provenance_of
from pipeline.operations.tasks import engine_of, masks_over, shards_over
from pipeline.operations.training_images import plan, readers, with_oddities
from pipeline.tables import among
from resources.segmenter import SegmenterResource
from storage import Home
from storage.provenance import Provenance

FIRST = 6
"""So many pictures of each domain are shown of a table."""
log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""Called with how many pictures are done, and of how many."""


def make_person_masks(
    project: Project, home: Home, segmenter: SegmenterResource, report: Report
) -> tuple[pd.DataFrame, Provenance]:
    """The table `person_masks`, and its provenance."""
    provenance = provenance_of(project, home, "person_masks")
    source, curated = source_for_photos(project, home, segmenter), home.tables.read("curated_photos")
    if ALONE in source.key.split("-"):
        # So that the next run tries again to get the second network.
        provenance = provenance.with_outside(segmenter=f"without its second network, {source.key}")
    told = {"source": source.key, **provenance.outside, "tables": str(dict(provenance.tables))}

    def each(pictures: Sequence[PhotoToMask]) -> Iterator[Masks] | None:
        over = engine_of(project, home, len(pictures))
        return masks_over(over, told)(pictures) if over else None

    frame = segment_photos(
        photos=curated[curated["target_domain"].notna()],
        source=source,
        masks_folder=home.masks,
        min_coverage=project.masks.least_coverage,
        progress=report,
        known=home.tables.read_or_empty("person_masks"),
        each=each,
    )
    return frame, provenance


def make_depth_maps(project: Project, home: Home, report: Report) -> pd.DataFrame:
    """The table `depth_maps`. Where the masks go by depth, they come after it, and no map is held against its subject.

    Raises `ConfigError` where a folder of maps has none for any photo, and none came with a photo either.
    """
    frame = estimate_photos(
        _without_masks(home) if project.masks.asks_depth else home.tables.read("person_masks"),
        depth_estimator(project, home),
        home.depth,
        photo_reader(home, project, min_long_edge_px=project.depth.long_side_px),
        lambda mask: read_mask(inside(home.masks, mask)),
        report,
        home.tables.read_or_empty("depth_maps"),
    )
    without, info = odd_maps(frame)["without a map"], home.tables.info("imported_layers")
    if without and len(without) == len(frame) and project.depth.estimator == "folder" and not (info and info.row_count):
        raise ConfigError(f"[depth] folder: it has no map of any photo that is kept, the first {without[0]}")
    if without:
        log.warning("%d of %d photos have no map of depth, the first %s", len(without), len(frame), without[0])
    return frame


def _without_masks(home: Home) -> pd.DataFrame:
    curated = home.tables.read("curated_photos", columns=["photo_id", "target_domain", "sha256"])
    kept = curated[curated["target_domain"].notna()].rename(columns={"target_domain": "domain"})
    return kept.assign(mask=None).reset_index(drop=True)


def make_training_images(project: Project, home: Home, report: Report) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table `training_images`, and the rows with a mask of which no picture came."""
    layers, known = home.tables.read_or_empty("imported_layers"), home.tables.read_or_empty("training_images")
    masks = with_imported_layers(home.tables.read("person_masks"), layers)
    over = engine_of(project, home, len(masks) - len(known))
    if project.depth.estimator != "none":
        masks = with_estimated_depth(masks, home.tables.read("depth_maps"))
    frame = prepare_images(
        masks=masks,
        readers=readers(project, home),
        shards=ShardFolder(home.shards, project.dataset.shard_rows),
        plan=plan(project),
        progress=report,
        known=known,
        each=shards_over(over) if over else None,
    )
    without = masks[masks["mask"].notna() & ~among(masks["photo_id"], frame["photo_id"])]
    return with_oddities(frame, home.shards, known), without


def first_pictures(home: Home, images: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Photo id and RGB, uint8 `[height, width, 3]`, of the first pictures of each domain."""
    first = images.groupby("domain").head(FIRST)
    if len(first):
        reader = ShardReader([child(home.shards, shard) for shard in first["shard"]], first["row"].tolist())
        yield from zip(first["photo_id"], reader.batch(np.arange(len(reader)))[0], strict=True)


def make_manifest(project: Project, home: Home) -> tuple[pd.DataFrame, list[str]]:
    """The table `dataset_manifest`, and why it cannot be frozen, if so."""
    images, listing = home.tables.read("training_images"), all_rows(project, home, "photo_listing")
    curated, masks = home.tables.read("curated_photos"), home.tables.read("person_masks")
    domain_a, domain_b = project.training.domain_a, project.training.domain_b
    frame = build_manifest(images, listing, curated, masks, project.dataset, domain_a)
    return frame, problems(frame, masks, project.dataset, domain_a, domain_b)


def freeze_manifest(project: Project, home: Home, identifier: str) -> None:
    """Freeze the manifest as the snapshot of that id, unless it is; DatasetError where the manifest is another by now."""
    if child(home.snapshots, identifier).exists():
        return
    manifest = home.tables.read("dataset_manifest")
    if snapshot_id(manifest) != identifier:
        raise DatasetError(
            f"snapshot {identifier} was never frozen, and the manifest has moved on to {snapshot_id(manifest)}; "
            "materialise that one"
        )
    freeze(manifest, home.snapshots, home.shards, made_from(project, home))

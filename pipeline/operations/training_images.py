"""Training pictures of a home: how they are cut, what from, sizes of its photos, and which are too small."""

from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path

import pandas as pd

from pipeline.config import Project
from pipeline.dataset.crop import Crop, Plan, Tiling, picture_id
from pipeline.dataset.prepare import PhotoSize, Readers
from pipeline.dataset.shards import ShardReader
from pipeline.depth.checks import oddities
from pipeline.depth.maps import read_map
from pipeline.depth.units import DepthMap
from pipeline.file_names import child, inside
from pipeline.masks.person_masks import read_mask
from pipeline.photos.decode import decode_reduced, upright_size
from pipeline.picture_layers import METRIC, Encoding
from storage import Home


def plan(project: Project) -> Plan:
    """How the project prepares its training pictures."""
    dataset = project.dataset
    if dataset.crop == "tiles":
        return Tiling(dataset.stored_px, dataset.tile_px or dataset.stored_px, dataset.tile_overlap, dataset.max_tiles)
    return Crop(dataset.crop, dataset.stored_px)


def readers(project: Project, home: Home) -> Readers:
    """Photos, masks and maps of depth of the home."""
    most_pixels = project.photos.max_pixels
    return Readers(
        photo=lambda sha256, short_edge_px: decode_reduced(home.blobs.read(sha256), ceil(short_edge_px), most_pixels),
        mask=lambda mask: read_mask(inside(home.masks, mask)),
        depth=lambda path: read_map(inside(home.depth, path)),
        photo_size=photo_sizes(project, home) if isinstance(plan(project), Tiling) else None,
    )


def too_small(project: Project, home: Home, photos: pd.DataFrame) -> dict[str, str]:
    """Photos that have no tile, with the reason in words."""
    planned = plan(project)
    if not isinstance(planned, Tiling):
        return {}
    size = photo_sizes(project, home)
    sizes = {photo_id: size(sha256) for photo_id, sha256 in zip(photos["photo_id"], photos["sha256"], strict=True)}
    return {
        photo_id: f"{photo_id}: {width}×{height} px, smaller than a tile of {planned.tile_px} px"
        for photo_id, (width, height) in sorted(sizes.items())
        if min(width, height) < planned.tile_px
    }


def with_oddities(images: pd.DataFrame, shards: Path, known: pd.DataFrame) -> pd.DataFrame:
    """`training_images` with `depth_odd`; what `known`, an earlier result, says of a picture and its depth stands."""
    if images["depth_sha256"].isna().all():
        return images.assign(depth_odd=None)
    layers = ["photo_id", "domain", "transform", "pixels_sha256", "alpha_sha256", "depth_sha256"]
    looked_at = known.reindex(columns=[*layers, "depth_odd"])
    looked_at = looked_at[looked_at["depth_sha256"].notna() & looked_at["depth_odd"].notna()]
    frame = images.merge(looked_at, "left", layers).astype({"depth_odd": object})
    new = frame[frame["depth_sha256"].notna() & frame["depth_odd"].isna()]
    if new.empty:
        return frame
    reader = ShardReader([child(shards, name) for name in new["shard"]], new["row"].tolist())
    encodings = new["depth_encoding"].tolist()

    def odd(index: int) -> str:
        rgb, alpha = reader.view(index)
        metric = Encoding.parse(str(encodings[index])).unit == METRIC
        return ", ".join(oddities(DepthMap(reader.view_layer("depth", index), metric), rgb, alpha))

    with ThreadPoolExecutor() as pool:
        frame.loc[new.index, "depth_odd"] = list(pool.map(odd, range(len(new))))
    return frame


def implausible_depth(images: pd.DataFrame) -> list[str]:
    """Pictures of `training_images` whose depth cannot be right, each with what is odd about it."""
    told = images.loc[images["depth_odd"].fillna("") != "", ["photo_id", "transform", "depth_odd"]]
    return [f"{picture_id(photo, transform)}: {odd}" for photo, transform, odd in told.itertuples(index=False, name=None)]


def photo_sizes(project: Project, home: Home) -> PhotoSize:
    """Upright sizes as they were found when the photos were downloaded; of one that is not listed now, by its header."""
    columns = ["sha256", "width_px", "height_px"]
    known = home.tables.read_or_empty("unique_photos", columns=columns).drop_duplicates("sha256").set_index("sha256")
    edges_px = zip(known["width_px"].tolist(), known["height_px"].tolist(), strict=True)
    sizes = dict(zip(known.index, edges_px, strict=True))

    def size(sha256: str) -> tuple[int, int]:
        if sha256 in sizes:
            return sizes[sha256]
        return upright_size(home.blobs.read(sha256), project.photos.max_pixels)

    return size

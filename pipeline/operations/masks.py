"""Where a project's masks come from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import Project
from pipeline.curation.hints import SEGMENTED_EDGE_PX
from pipeline.depth.maps import read_map
from pipeline.errors import BokehflowError
from pipeline.file_names import inside
from pipeline.masks.drawn import DrawnFirst, DrawnMasks
from pipeline.masks.person_masks import mask_file
from pipeline.masks.segmenter import Seen, Segmenter
from pipeline.masks.segmenters import published_version
from pipeline.masks.selfie import EMBEDDED
from pipeline.masks.sources import GivenMasks, MapsOfDepth, MaskSource, ReadRgb, SegmentedMasks
from pipeline.operations.photos import photo_reader
from pipeline.picture_layers import Encoding
from resources.segmenter import SegmenterResource
from storage import Home

if TYPE_CHECKING:
    from pipeline.masks.contact_sheet import SheetTile

MaskFile = Callable[[str, np.ndarray, np.ndarray], dict[Path, bytes]]
"""From a picture's SHA-256, its RGB, uint8 [height, width, 3], and the opacity of its people, uint8 [height, width]."""
FACTS = ("people", "runner_up", "reason", "uncertainty")
"""What a caption says of a mask."""


@dataclass(frozen=True)
class HomeDepth:
    """The maps of a home's photos: those that came with imported ones, then those of the table `depth_maps`."""

    home: Home

    def mark(self, sha256: str) -> str:
        return self._digests.get(sha256, "")[:12]

    def disparity(self, sha256: str) -> np.ndarray | None:
        """Raises `DatasetError` where the map is missing or damaged."""
        if sha256 not in self._paths:
            return None
        stored, encoding = read_map(inside(self.home.depth, self._paths[sha256]))
        return Encoding.parse(encoding).disparity(stored)

    @cached_property
    def _paths(self) -> Mapping[str, str]:
        return self._told("depth_source")

    @cached_property
    def _digests(self) -> Mapping[str, str]:
        return self._told("depth_source_sha256")

    def _told(self, column: str) -> Mapping[str, str]:
        curated = self.home.tables.read("curated_photos", columns=["photo_id", "sha256"])
        layers = self.home.tables.read_or_empty("imported_layers", columns=["photo_id", column])
        maps = self.home.tables.read_or_empty("depth_maps", columns=["sha256", column]).dropna()
        own = layers.dropna().merge(curated, "inner", "photo_id")
        return {**dict(zip(maps["sha256"], maps[column], strict=True)), **dict(zip(own["sha256"], own[column], strict=True))}


def mask_source(
    project: Project,
    home: Home,
    segmenter: SegmenterResource,
    read_rgb: ReadRgb | None = None,
    depth: MapsOfDepth | None = None,
) -> MaskSource:
    """Where the project's masks come from: drawn by a person, if there is one; else as configured.

    Pictures come from the home's blobs, or as `read_rgb` reads them. `depth` is of use where people are chosen by it.
    """
    masks, drawn = project.masks, DrawnMasks(home.drawn_masks)
    if masks.folder is not None:
        given = GivenMasks(Path(masks.folder), read_rgb or _blob_reader(project, home), masks.long_side_px)
        return DrawnFirst(drawn, given)
    return DrawnFirst(drawn, segmented_masks(project, home, segmenter.load(home), read_rgb, depth))


def source_for_photos(project: Project, home: Home, segmenter: SegmenterResource) -> MaskSource:
    """The same for the kept photos of the home, with their maps of depth where people are chosen by them."""
    return mask_source(project, home, segmenter, depth=HomeDepth(home) if project.masks.asks_depth else None)


def segmented_masks(
    project: Project,
    home: Home,
    segmenter: Segmenter,
    read_rgb: ReadRgb | None = None,
    depth: MapsOfDepth | None = None,
) -> SegmentedMasks:
    """A segmenter with what the project has follow it."""
    masks, read = project.masks, read_rgb or _blob_reader(project, home)
    return SegmentedMasks(segmenter, read, masks.long_side_px, masks.others, tuple(masks.refine), depth)


def masks_beside_hints(project: Project, home: Home, people: Segmenter) -> MaskFile:
    """What makes the mask of a picture whose people were found for its hints, where the mask would be made of the same.

    So it is with one view (`views = 1`), whose subject depth does not choose, and in pictures that neither looks at scaled
    down: they are decoded and segmented once. No file where masks come of more than that, or of something else.
    """
    masks = project.masks
    if masks.segmenter != EMBEDDED or masks.asks_depth or published_version(EMBEDDED, masks) != people.version:
        return lambda sha256, rgb, alpha: {}
    source = segmented_masks(project, home, people)
    largest_px = min(SEGMENTED_EDGE_PX, masks.long_side_px)

    def found(sha256: str, rgb: np.ndarray, alpha: np.ndarray) -> dict[Path, bytes]:
        if max(rgb.shape[:2]) > largest_px:
            return {}
        return mask_file(sha256, source.finished(rgb, Seen(alpha, None)), source.key, home.masks)

    return found


def _blob_reader(project: Project, home: Home) -> ReadRgb:
    return photo_reader(home, project, min_long_edge_px=project.masks.long_side_px)


def mask_tiles(project: Project, home: Home, count: int, odd: bool, failed: list[str]) -> "Iterator[SheetTile]":
    """Tiles from the table `person_masks` and the files it names; what could not be read is added to `failed`.

    With `odd` only masks that ask for a look. Raises `StorageError` where there are none yet.
    """
    import pandas as pd

    from pipeline.masks.contact_sheet import TILE_PX, SheetTile, choose, facts_of
    from pipeline.masks.person_masks import read_mask

    read = photo_reader(home, project, TILE_PX)
    for row in choose(home.tables.read("person_masks"), count, odd).to_dict("records"):
        try:
            rgb = read(str(row["sha256"]))
            alpha = None if pd.isna(row["mask"]) else read_mask(inside(home.masks, row["mask"]))
        except (BokehflowError, OSError) as error:
            failed.append(f"{row['photo_id']}: {error}")
            continue
        known = {name: None if pd.isna(row[name]) else row[name] for name in FACTS if name in row}
        yield SheetTile(rgb, alpha, str(row["photo_id"]), facts_of(float(row["coverage"]), **known))

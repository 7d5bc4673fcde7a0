"""Where a project's masks come from."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import Project
from pipeline.errors import BokehflowError
from pipeline.file_names import inside
from pipeline.masks.drawn import DrawnFirst, DrawnMasks
from pipeline.masks.segmenter import Segmenter
from pipeline.masks.sources import GivenMasks, MaskSource, ReadRgb, SegmentedMasks
from pipeline.photos.decode import decode_reduced
from resources.segmenter import SegmenterResource
from storage import Home

if TYPE_CHECKING:
    from pipeline.masks.contact_sheet import SheetTile

FACTS = ("people", "runner_up", "reason", "uncertainty")
"""What a caption says of a mask."""


def mask_source(project: Project, home: Home, segmenter: SegmenterResource, read_rgb: ReadRgb | None = None) -> MaskSource:
    """Where the project's masks come from: drawn by a person, if there is one; else as configured.

    Pictures come from the home's blobs, or as `read_rgb` reads them.
    """
    masks, drawn = project.masks, DrawnMasks(home.drawn_masks)
    if masks.folder is not None:
        given = GivenMasks(Path(masks.folder), read_rgb or _blob_reader(project, home), masks.long_side_px)
        return DrawnFirst(drawn, given)
    return DrawnFirst(drawn, segmented_masks(project, home, segmenter.load(home), read_rgb))


def segmented_masks(project: Project, home: Home, segmenter: Segmenter, read_rgb: ReadRgb | None = None) -> SegmentedMasks:
    """A segmenter with what the project has follow it."""
    masks, read = project.masks, read_rgb or _blob_reader(project, home)
    return SegmentedMasks(segmenter, read, masks.long_side_px, masks.others, tuple(masks.refine))


def _blob_reader(project: Project, home: Home) -> ReadRgb:
    def read(sha256: str) -> np.ndarray:
        data = home.blobs.read(sha256)
        return decode_reduced(data, 0, project.photos.max_pixels, min_long_edge_px=project.masks.long_side_px).rgb

    return read


def mask_tiles(project: Project, home: Home, count: int, odd: bool, failed: list[str]) -> "Iterator[SheetTile]":
    """Tiles from the table `person_masks` and the files it names; what could not be read is added to `failed`.

    With `odd` only masks that ask for a look. Raises `StorageError` where there are none yet.
    """
    import pandas as pd

    from pipeline.masks.contact_sheet import TILE_PX, SheetTile, choose, facts_of
    from pipeline.masks.person_masks import read_mask

    for row in choose(home.tables.read("person_masks"), count, odd).to_dict("records"):
        try:
            rgb = decode_reduced(home.blobs.read(row["sha256"]), TILE_PX, project.photos.max_pixels).rgb
            alpha = None if pd.isna(row["mask"]) else read_mask(inside(home.masks, row["mask"]))
        except (BokehflowError, OSError) as error:
            failed.append(f"{row['photo_id']}: {error}")
            continue
        known = {name: None if pd.isna(row[name]) else row[name] for name in FACTS if name in row}
        yield SheetTile(rgb, alpha, str(row["photo_id"]), facts_of(float(row["coverage"]), **known))

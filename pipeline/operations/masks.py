"""Where a project's masks come from."""

from pathlib import Path

import numpy as np

from pipeline.config import Project
from pipeline.masks.drawn import DrawnFirst, DrawnMasks
from pipeline.masks.segmenter import Segmenter
from pipeline.masks.sources import GivenMasks, MaskSource, ReadRgb, SegmentedMasks
from pipeline.photos.decode import decode_reduced
from resources.segmenter import SegmenterResource
from storage import Home


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

"""Pictures of photos in Dagster's event log, where its UI finds them.

Dagster shows a picture only where its bytes stand in the metadata of an event, so each carries the names of what it
shows as its alternative text: photo ids, or the snapshot whose photos they are. By these `resources.dagster_internals` finds
them when a photo is forgotten. Charts, which show no photo, are PNGs and stay.
"""

from collections.abc import Iterable
from itertools import islice

import dagster as dg
import numpy as np
from PIL import Image

from assets.building_blocks import picture_metadata
from pipeline.pillow import as_file

SHEET_PICTURES, SHEET_EDGE_PX = 12, 112


def contact_sheet(photos: Iterable[tuple[str, np.ndarray]]) -> dg.MarkdownMetadataValue:
    """Small pictures side by side, as Dagster's UI shows them: photo ids and uint8 `[height, width, 3]` each.

    Of more than fit the first are taken, and the others not read.
    """
    shown = list(islice(photos, SHEET_PICTURES))
    if not shown:
        return dg.MetadataValue.md("nothing to show")
    sheet = Image.new("RGB", (SHEET_EDGE_PX * min(len(shown), 6), SHEET_EDGE_PX * -(-len(shown) // 6)), "white")
    for position, (_, picture) in enumerate(shown):
        small = Image.fromarray(picture)
        small.thumbnail((SHEET_EDGE_PX - 4, SHEET_EDGE_PX - 4))
        sheet.paste(small, (position % 6 * SHEET_EDGE_PX + 2, position // 6 * SHEET_EDGE_PX + 2))
    names = " ".join(["photos", *(photo_id for photo_id, _ in shown)])
    return picture_metadata(as_file(sheet, "JPEG", quality=80), "image/jpeg", names)

"""A home in which everything before curation has run, with pictures made up of noise."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.tables import conform
from storage import Home
from tests.blobs import stored


def home_of_pictures(root: Path, count: int) -> Home:
    """Of so many pictures, half of them in each domain; picture 0 is nearly black, 1 is grey."""
    data, rows = Home(root), []
    chance = np.random.default_rng(0)
    for n in range(count):
        rgb = chance.integers(30, 256, (96, 96, 3), np.uint8)
        rgb = rgb // 20 if n == 0 else np.repeat(rgb[..., :1], 3, axis=2) if n == 1 else rgb
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "PNG")
        domain = "ordinary" if n < count // 2 else "shallow"
        rows.append({"photo_id": f"flickr:{n}", "domain": domain, "sha256": stored(data, buffer.getvalue())})
    table = pd.DataFrame(rows).assign(
        width_px=96, height_px=96, group=lambda rows: rows["photo_id"], rule=None, measure=None, duplicate_of=None,
        split_key=lambda rows: rows["photo_id"], size_bytes=10_000, date_upload_s=1, phash="0" * 16, phash_mirrored="0" * 16,
        month="2024-01", query=0, owner="1@N00", owner_name="Ann", title="=1+1", tags="portrait", license="4",
        date_taken=None, last_update_s=1, media="photo", page_url="https://www.flickr.com/photos/x", image_url=None,
        image_width_px=96, image_height_px=96, reason=None, truncated=False, views=1, fetched_at_s=1, first_seen_s=1,
        last_seen_s=1, changed_s=None, license_before=None, absent=False, forgotten=False,
    )  # fmt: skip
    for name in ("unique_photos", "photo_history"):
        data.tables.write(name, conform(name, table))
    for domain, mine in table.groupby("domain"):
        for name in ("photo_listing", "fingerprints"):
            data.tables.write(name, conform(name, mine), f"{domain}|2024-01")
    return data

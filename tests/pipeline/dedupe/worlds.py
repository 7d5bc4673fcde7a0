"""Drawn pictures, and photos of them with fingerprints in a store."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.config import DedupeSection
from pipeline.dedupe.fingerprints import fingerprint_pictures
from pipeline.dedupe.groups import FoundDuplicates, find_unique
from pipeline.dedupe.near_hashes import NearHashes
from pipeline.dedupe.store import FingerprintStore
from pipeline.tables import conform, empty


def scene(seed: int, width: int = 320, height: int = 240) -> np.ndarray:
    """A picture with structure at all sizes, RGB uint8, so that it behaves like a photo."""
    rng, layers = np.random.default_rng(seed), np.zeros((height, width, 3))
    for cells, weight in ((4, 110.0), (12, 80.0), (40, 50.0)):
        noise = Image.fromarray(rng.integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8))
        layers += weight * (np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) / 255.0 - 0.5)
    return np.clip(layers + 128, 0, 255).astype(np.uint8)


def png(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(rgb: np.ndarray, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def resized(rgb: np.ndarray, factor: float) -> np.ndarray:
    size = (round(rgb.shape[1] * factor), round(rgb.shape[0] * factor))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


class World:
    """Photos with the table of their fingerprints, added one by one; remembers what was found before if asked to."""

    def __init__(self, root: Path) -> None:
        self.store = FingerprintStore(root)
        self.bytes: dict[str, bytes] = {}
        self.rows: list[dict[str, object]] = []
        self.near, self.pairs = NearHashes.nothing(), empty("duplicate_pairs")

    def add(
        self,
        number: int,
        data: bytes,
        domain: str = "ordinary",
        uploaded_s: int | None = None,
        size_bytes: int | None = None,
        pair: str | None = None,
    ) -> None:
        digest = hashlib.sha256(data).hexdigest()
        self.bytes[digest] = data
        with Image.open(io.BytesIO(data)) as image:
            width_px, height_px = image.size
        self.rows.append({
            "photo_id": f"flickr:{number}", "domain": domain, "sha256": digest, "size_bytes": size_bytes or len(data),
            "width_px": width_px, "height_px": height_px, "date_upload_s": number if uploaded_s is None else uploaded_s,
            "phash": "0" * 16, "phash_mirrored": "0" * 16, "pair": pair,
        })  # fmt: skip

    def table(self) -> pd.DataFrame:
        return conform("fingerprints", pd.DataFrame(self.rows)) if self.rows else empty("fingerprints")

    def find(self, remember: bool = False, **options: Any) -> FoundDuplicates:  # noqa: ANN401 (keys of [dedupe])
        fingerprint_pictures(sorted(self.bytes), self.bytes.__getitem__, self.store)
        settings = DedupeSection.model_validate(options)
        found = find_unique(self.table(), self.store, self.bytes.__getitem__, settings, self.pairs, self.near)
        if remember:
            self.pairs, self.near = conform("duplicate_pairs", found.duplicate_pairs), found.near
        return found

    def unique(self, **options: Any) -> pd.DataFrame:  # noqa: ANN401 (keys of [dedupe])
        return conform("unique_photos", self.find(**options).unique_photos).set_index("photo_id")

    def rules(self, **options: Any) -> dict[str, object]:  # noqa: ANN401 (keys of [dedupe])
        rule = self.unique(**options)["rule"]
        return {str(key): value for key, value in rule.astype(object).where(rule.notna(), None).items()}

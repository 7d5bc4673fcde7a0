"""What one more month costs: a large set deduplicated at once, then with one photo in a hundred added.

The fingerprints are made up, so that no million pictures has to be decoded; hashes and thumbnails are as those of
different pictures, and one photo in a hundred is a copy of another with some bits flipped and its thumbnail scaled in
brightness. Work is counted; seconds are those of search, verification and grouping without decoding for fingerprints,
which is proportional to the new pictures by construction.
"""

import argparse
import hashlib
import io
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.results import Goal, report
from pipeline.config import DedupeSection
from pipeline.dedupe.groups import FoundDuplicates, find_unique
from pipeline.dedupe.near_hashes import NearHashes
from pipeline.dedupe.store import LARGE_PX, RECORD, SMALL_PX, Fingerprint, FingerprintStore
from pipeline.tables import conform, empty

COPIES, BATCH = 0.01, 20_000
WORK, SECONDS = 0.02, 0.30
COUNTED = ("alignments", "detail_comparisons", "exact_decodes")
CELLS = 12


class MadeUp:
    """Photos 0 … n − 1; every hundredth is a copy of the one before."""

    def __init__(self, root: Path, count: int) -> None:
        self.store, self.count = FingerprintStore(root), count
        self.original = np.where(np.arange(count) % round(1 / COPIES) == 1, np.arange(count) - 1, np.arange(count))
        self.digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
        self.number = {digest: number for number, digest in enumerate(self.digests)}

    def picture(self, number: int) -> np.ndarray:
        """The grey thumbnail of a photo."""
        rng = np.random.default_rng(int(self.original[number]))
        cells = rng.integers(0, 256, (CELLS, CELLS), np.uint8)
        grey = cv2.resize(cells, (LARGE_PX, LARGE_PX), interpolation=cv2.INTER_CUBIC)
        return grey if self.original[number] == number else (grey * 0.9).astype(np.uint8)

    def fill(self) -> None:
        """Put the fingerprint of every photo into the store."""
        rng = np.random.default_rng(0)
        hashes = rng.integers(0, 2**64, (self.count, RECORD["windows"].shape[0] + 1), np.uint64, endpoint=False)
        copies = np.flatnonzero(self.original != np.arange(self.count))
        flips = np.uint64(1) << rng.integers(0, 64, (len(copies), 1), np.uint64)
        hashes[copies] = hashes[self.original[copies]] ^ flips
        for start in range(0, self.count, BATCH):
            batch = []
            for number in range(start, min(start + BATCH, self.count)):
                large = self.picture(number)
                record = np.zeros(1, RECORD)[0]
                record["sha256"] = np.frombuffer(bytes.fromhex(self.digests[number]), np.uint8)
                record["windows"], record["mirrored"] = hashes[number, :-1], hashes[number, -1]
                small = cv2.resize(large, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA)
                batch.append(Fingerprint(record, small, large))
            self.store.add(batch)

    def read_bytes(self, digest: str) -> bytes:
        """The encoded picture, for comparisons in detail."""
        buffer = io.BytesIO()
        Image.fromarray(self.picture(self.number[digest])).save(buffer, "PNG")
        return buffer.getvalue()

    def table(self, count: int) -> pd.DataFrame:
        """The table `fingerprints` of the first photos."""
        rows = {
            "photo_id": [f"flickr:{number:09}" for number in range(count)], "domain": "ordinary",
            "sha256": self.digests[:count], "size_bytes": np.arange(count) + 100_000, "width_px": 1024, "height_px": 768,
            "date_upload_s": np.arange(count), "phash": "0" * 16, "phash_mirrored": "0" * 16,
        }  # fmt: skip
        return conform("fingerprints", pd.DataFrame(rows))


def timed(photos: MadeUp, count: int, pairs: pd.DataFrame, near: NearHashes) -> tuple[float, FoundDuplicates]:
    """Seconds that the first photos take, with what is known."""
    table = photos.table(count)
    start = time.perf_counter()
    found = find_unique(table, photos.store, photos.read_bytes, DedupeSection(), pairs, near)
    return time.perf_counter() - start, found


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200_000)
    count = parser.parse_args().photos
    nothing = (empty("duplicate_pairs"), NearHashes.nothing())
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        warm = MadeUp(Path(folder) / "warm", 2000)
        warm.fill()
        timed(warm, 2000, *nothing)
        photos = MadeUp(Path(folder) / "photos", count)
        photos.fill()
        before = count - count // 100
        _, known = timed(photos, before, *nothing)
        grown_s, grown = timed(photos, count, conform("duplicate_pairs", known.duplicate_pairs), known.near)
        full_s, full = timed(photos, count, *nothing)
    same = conform("unique_photos", grown.unique_photos).equals(conform("unique_photos", full.unique_photos))
    shares = {
        name: grown.work[name] / max(1, full.work[name]) for name in ("alignments", "detail_comparisons", "exact_decodes")
    }
    report(
        "dedupe_growth",
        {
            "photos": count,
            "duplicates": int(full.unique_photos["rule"].notna().sum()),
            "full, s": round(full_s, 1),
            "one in a hundred added, s": round(grown_s, 1),
            **{f"full, {name}": value for name, value in full.work.items()},
            **{f"added, {name}": value for name, value in grown.work.items()},
        },
        [
            Goal("growing gives the same groups as starting anew", str(same), same),
            *(
                Goal(f"{name} ≤ {WORK:.0%} of a full run's", round(share, 4), share <= WORK)
                for name, share in shares.items()
            ),
            Goal(
                f"search and grouping ≤ {SECONDS:.0%} of the full time",
                round(grown_s / full_s, 3),
                grown_s / full_s <= SECONDS,
            ),
        ],
    )


if __name__ == "__main__":
    main()

"""What duplicates are found by: perceptual hashes, computed once per picture for ever."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import imagehash
import numpy as np
import pandas as pd
from PIL import Image

ReadPhoto = Callable[[str], np.ndarray]
"""From a blob's SHA-256 to RGB uint8 `[height, width, 3]`."""


def perceptual_hash(rgb: np.ndarray) -> str:
    """`imagehash.phash` of RGB uint8 `[height, width, 3]` as 16 hexadecimal digits (64 bits)."""
    return str(imagehash.phash(Image.fromarray(rgb)))


def fingerprint_photos(
    files: pd.DataFrame,
    listing: pd.DataFrame,
    known: pd.DataFrame,
    read_photo: ReadPhoto,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """The table `fingerprints` of every stored photo of `files` (table `photo_files`).

    `listing` gives the upload dates; hashes in `known`, an earlier `fingerprints`, are taken over by SHA-256.
    """
    stored = files[files["sha256"].notna()]
    hashes = known.drop_duplicates("sha256").set_index("sha256")[["phash", "phash_mirrored"]]
    missing = sorted(set(stored["sha256"]) - set(hashes.index))
    hashes = pd.concat([hashes, _hash_all(missing, read_photo, progress)])
    uploads = listing.set_index(["domain", "photo_id"])["date_upload_s"]
    columns = ["photo_id", "domain", "sha256", "size_bytes", "width_px", "height_px"]
    return stored[columns].join(hashes, on="sha256").join(uploads, on=["domain", "photo_id"])


def _hash_all(digests: list[str], read_photo: ReadPhoto, progress: Callable[[int, int], None]) -> pd.DataFrame:
    def one(digest: str) -> tuple[str, str]:
        rgb = read_photo(digest)
        return perceptual_hash(rgb), perceptual_hash(np.ascontiguousarray(rgb[:, ::-1]))

    rows: list[tuple[str, str]] = []
    with ThreadPoolExecutor() as pool:
        for row in pool.map(one, digests):
            rows.append(row)
            progress(len(rows), len(digests))
    return pd.DataFrame(rows, index=pd.Index(digests, name="sha256"), columns=["phash", "phash_mirrored"], dtype=str)

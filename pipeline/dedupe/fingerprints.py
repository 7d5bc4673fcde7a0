"""What duplicates are found by: hashes and small grey pictures, computed once per picture for ever, on all cores."""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.dedupe.hashes import both_ways, grey_fast
from pipeline.dedupe.store import LARGE_PX, RECORD, SMALL_PX, Fingerprint, FingerprintStore
from pipeline.errors import StorageError
from pipeline.pillow import open_picture, silenced

ReadBytes = Callable[[str], bytes]
"""From a blob's SHA-256 to its bytes, an encoded picture."""
Progress = Callable[[int, int], None]

FLAT_LEVELS = 2.0
"""Pictures whose large thumbnail varies less than this (standard deviation) hold nothing that could be compared."""
COLOUR_LEVELS, GREY_SHARE = 6, 0.999
"""A picture is without colour where red, green and blue lie within this many levels in all but a thousandth of it."""
PICTURES_AT_ONCE = 1024
"""Pictures fingerprinted between two writes; an interrupted run loses no more than these."""


def fingerprint(digest: str, data: bytes) -> Fingerprint:
    """The fingerprint of one encoded picture, `digest` being its SHA-256 in hexadecimal.

    Raises `StorageError` where the bytes cannot be decoded.
    """
    try:
        grey = grey_fast(data)
        hashes = both_ways(grey)
        small, large = (_scaled(grey, side_px) for side_px in (SMALL_PX, LARGE_PX))
        is_flat = float(large.std()) < FLAT_LEVELS
        colour = _mean_rgb(data) if is_flat else (0, 0, 0)
    except StorageError as error:
        raise StorageError(f"picture {digest[:12]}…: {error}") from error
    record = np.zeros(1, RECORD)[0]
    record["sha256"] = np.frombuffer(bytes.fromhex(digest), np.uint8)
    record["windows"], record["mirrored"] = hashes[0], hashes[1, 0]
    record["mean_rgb"], record["is_flat"] = colour, is_flat
    return Fingerprint(record, small, large)


def _scaled(grey: np.ndarray, side_px: int) -> np.ndarray:
    return np.asarray(Image.fromarray(grey).resize((side_px, side_px), Image.Resampling.BOX))


def is_grey(data: bytes) -> bool:
    """Whether a picture has no colour; a JPEG is looked at reduced."""
    with silenced(), open_picture(io.BytesIO(data)) as image:
        image.draft("RGB", (LARGE_PX, LARGE_PX))
        if image.mode in ("1", "L", "LA") or image.mode.startswith("I;16"):
            return True
        rgb = np.asarray(image.convert("RGB").resize((LARGE_PX, LARGE_PX), Image.Resampling.BOX)).astype(int)
    spread = rgb.max(axis=-1) - rgb.min(axis=-1)
    return bool((spread <= COLOUR_LEVELS).mean() >= GREY_SHARE)


def _mean_rgb(data: bytes) -> tuple[int, int, int]:
    with silenced(), open_picture(io.BytesIO(data)) as image:
        red, green, blue = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(axis=0).round().astype(int)
    return int(red), int(green), int(blue)


def fingerprint_pictures(
    digests: Sequence[str],
    read_bytes: ReadBytes,
    store: FingerprintStore,
    progress: Progress = lambda done, total: None,
) -> int:
    """Fingerprint those of the pictures that have none in the store yet; returns how many that were.

    Threads suffice to use all cores: Pillow frees the interpreter while it decodes and scales.
    """
    missing, done = store.missing(digests), 0
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(missing), PICTURES_AT_ONCE):
            chosen, batch = missing[start : start + PICTURES_AT_ONCE], []
            for found in pool.map(lambda digest: fingerprint(digest, read_bytes(digest)), chosen):
                batch.append(found)
                progress(done + len(batch), len(missing))
            store.add(batch)
            done += len(batch)
    return done


def fingerprint_table(files: pd.DataFrame, listing: pd.DataFrame, store: FingerprintStore) -> pd.DataFrame:
    """The table `fingerprints` of every stored photo of `files` (table `photo_files`); `listing` gives dates and pairs.

    Raises `StorageError` when a picture has no fingerprint in the store.
    """
    stored = files[files["sha256"].notna()]
    records = store.read(stored["sha256"].tolist(), with_pictures=False).records
    columns = ["photo_id", "domain", "sha256", "size_bytes", "width_px", "height_px"]
    listed = listing.set_index(["domain", "photo_id"]).reindex(columns=["date_upload_s", "pair"])
    return (
        stored[columns]
        .join(listed, on=["domain", "photo_id"])
        .assign(phash=_hexadecimal(records["windows"][:, 0]), phash_mirrored=_hexadecimal(records["mirrored"]))
    )


def _hexadecimal(hashes: np.ndarray) -> list[str]:
    return [f"{value:016x}" for value in hashes.tolist()]

"""The alpha of every kept photo's subject: made once for each picture, segmenter and size, and kept as a PNG."""

import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.atomic import write_bytes
from pipeline.errors import DatasetError
from pipeline.masks.segmenters import Segmenter
from pipeline.tables import columns_of, conform

log = logging.getLogger(__name__)

BATCH = 8
"""Pictures that a segmenter gets at once."""
THREADS = max(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class StoredMask:
    """A mask on disk: `path` below the folder of masks, the digest of its pixels, and the subject's share of them."""

    path: str
    sha256: str
    coverage: float


def segment_photos(
    photos: pd.DataFrame,
    read_rgb: Callable[[str], np.ndarray],
    segmenter: Segmenter,
    masks_folder: Path,
    long_side_px: int,
    min_coverage: float,
    progress: Callable[[int, int], None] | None = None,
    known: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The table `person_masks`: one row for each row of `photos` (photo_id, target_domain, sha256, split_key).

    `read_rgb` returns the picture of a SHA-256 as uint8 [height, width, 3]; several threads call it. Pictures are
    scaled down to a long side of `long_side_px` before they are segmented, and the alpha is stored at that size,
    below `masks_folder`. A mask that exists is not made again; where `known`, an earlier result, lists it, it is not
    even read. Subjects that cover less than `min_coverage` of the picture get the reason `no_subject`.
    `progress` is called with the numbers of pictures done and in all.
    """
    key = mask_key(segmenter, long_side_px)
    pictures = sorted(set(photos["sha256"]))
    masks = {} if known is None else _already_known(known, set(pictures), key, masks_folder)
    missing = [sha256 for sha256 in pictures if sha256 not in masks]
    maker = _Maker(read_rgb, segmenter, masks_folder, key, long_side_px)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="masks") as executor:
        for made in executor.map(maker.masks, _batches(missing)):
            masks |= made
            if progress:
                progress(len(masks), len(pictures))
    return _table(photos, masks, min_coverage)


def mask_key(segmenter: Segmenter, long_side_px: int) -> str:
    """Folder of the masks that one segmenter makes at one size."""
    return f"{segmenter.name}-{segmenter.version}-{long_side_px}px"


def read_mask(path: Path) -> np.ndarray:
    """The alpha in a PNG as uint8 [height, width]. Raises `DatasetError` when the file is missing or damaged."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode != "L":
                raise DatasetError(f"{path}: this mask has the mode {image.mode}, not 8-bit grey; {_REMEDY}")
            return np.array(image)
    except FileNotFoundError:
        raise DatasetError(f"{path}: this mask is missing; run `bokehflow run`, which makes it anew") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: this mask is damaged ({error}); {_REMEDY}") from error


_REMEDY = "delete the file and run `bokehflow run`, which makes it anew"


def alpha_digest(alpha: np.ndarray) -> str:
    """SHA-256 of an alpha's size and pixels, whatever the compression of its file."""
    height_px, width_px = alpha.shape
    return hashlib.sha256(f"{height_px} {width_px} ".encode() + alpha.tobytes()).hexdigest()


def coverage(alpha: np.ndarray) -> float:
    """Share of the picture that is more subject than background, 0 to 1."""
    return float(np.mean(alpha >= 128))


@dataclass(frozen=True)
class _Maker:
    """Makes masks, or reads those that exist."""

    read_rgb: Callable[[str], np.ndarray]
    segmenter: Segmenter
    folder: Path
    key: str
    long_side_px: int

    def masks(self, pictures: Sequence[str]) -> dict[str, StoredMask]:
        alphas = {sha256: alpha for sha256 in pictures if (alpha := self._existing(sha256)) is not None}
        missing = [sha256 for sha256 in pictures if sha256 not in alphas]
        small = [_shrunk(self.read_rgb(sha256), self.long_side_px) for sha256 in missing]
        for sha256, alpha in zip(missing, self.segmenter.alpha(small), strict=True):
            write_bytes(self.folder / _path(self.key, sha256), _png(alpha))
            alphas[sha256] = alpha
        return {sha256: self._stored(sha256, alpha) for sha256, alpha in alphas.items()}

    def _existing(self, sha256: str) -> np.ndarray | None:
        path = self.folder / _path(self.key, sha256)
        try:
            return read_mask(path) if path.exists() else None
        except DatasetError as error:
            log.warning("%s; made anew", error)
            return None

    def _stored(self, sha256: str, alpha: np.ndarray) -> StoredMask:
        return StoredMask(_path(self.key, sha256), alpha_digest(alpha), coverage(alpha))


def _path(key: str, sha256: str) -> str:
    return f"{key}/{sha256[:2]}/{sha256}.png"


def _batches(pictures: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(pictures), BATCH):
        yield pictures[start : start + BATCH]


def _shrunk(rgb: np.ndarray, long_side_px: int) -> np.ndarray:
    """The picture with its long side at `long_side_px`; smaller ones stay as they are."""
    height_px, width_px = rgb.shape[:2]
    scale = long_side_px / max(height_px, width_px)
    if scale >= 1:
        return rgb
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))


def _png(alpha: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(alpha).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _already_known(known: pd.DataFrame, pictures: set[str], key: str, folder: Path) -> dict[str, StoredMask]:
    """Masks of an earlier result that were made with the same key and are still there."""
    listed = known[known["mask"].notna() & known["sha256"].isin(pictures)]
    rows = zip(listed["sha256"], listed["mask"], listed["mask_sha256"], listed["coverage"], strict=True)
    return {
        sha256: StoredMask(path, digest, float(share))
        for sha256, path, digest, share in rows
        if path == _path(key, sha256) and (folder / path).exists()
    }


def _table(photos: pd.DataFrame, masks: dict[str, StoredMask], min_coverage: float) -> pd.DataFrame:
    rows = []
    for photo_id, domain, sha256, split_key in photos[["photo_id", "target_domain", "sha256", "split_key"]].to_numpy():
        mask = masks[sha256]
        found = mask.coverage >= min_coverage
        rows.append(
            {
                "photo_id": photo_id,
                "domain": domain,
                "sha256": sha256,
                "split_key": split_key,
                "mask": mask.path if found else None,
                "mask_sha256": mask.sha256 if found else None,
                "coverage": mask.coverage,
                "reason": None if found else "no_subject",
            }
        )
    return conform("person_masks", pd.DataFrame(rows, columns=columns_of("person_masks")))

"""Groups of one picture, which photo of each is kept, and by which rule every other one went.

Candidates come from equal bytes, equal resolution and size, and near hashes; all but the first are confirmed on
the pixels. A photo goes only where it is verified against the photo kept, so no chain joins what differs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.config import DedupeSection
from pipeline.dedupe.fingerprints import ReadPhoto
from pipeline.dedupe.neighbours import hashes_from_hex, pairs_between

THUMBNAIL_PX = 64
CACHED_THUMBNAILS = 20_000


@dataclass(frozen=True)
class Pair:
    """Two verified duplicates by position, the rule that found them and the measure that decided."""

    i: int
    j: int
    rule: str
    measure: float


def find_unique(fingerprints: pd.DataFrame, read_photo: ReadPhoto, settings: DedupeSection) -> pd.DataFrame:
    """The table `unique_photos` over all domains; independent of the order of the rows.

    `fingerprints` is the table of that name, all partitions of it.
    """
    photos = _by_preference(fingerprints, settings.min_bytes)
    pairs = _verified_pairs(photos, read_photo, settings)
    result = _assign(photos, pairs)
    result["split_key"] = _components(photos["photo_id"].tolist(), pairs)
    result.loc[(photos["size_bytes"] < settings.min_bytes) & result["rule"].isna(), "rule"] = "small_file"
    return _drop_conflicts(result)


def _by_preference(fingerprints: pd.DataFrame, min_bytes: int) -> pd.DataFrame:
    """The photo to keep comes first: the largest, then the earliest upload, then the smallest id.

    Files that are too small to be kept come after all others.
    """
    pixels, small = fingerprints["width_px"] * fingerprints["height_px"], fingerprints["size_bytes"] < min_bytes
    photos = fingerprints.assign(pixels=-pixels, small=small)
    return photos.sort_values(["small", "pixels", "date_upload_s", "photo_id", "domain"], ignore_index=True)


def _verified_pairs(photos: pd.DataFrame, read_photo: ReadPhoto, settings: DedupeSection) -> list[Pair]:
    digests = photos["sha256"].tolist()
    pairs = [Pair(i, j, "same_photo", 0.0) for i, j in _equal(photos, ["photo_id"])]
    pairs += [Pair(i, j, "same_bytes", 0.0) for i, j in _equal(photos, ["sha256"])]
    known = {(pair.i, pair.j) for pair in pairs}
    correlate = _correlation(digests, read_photo)

    def confirm(candidates: Iterable[tuple[int, int]], rule: str, mirrored: bool) -> None:
        for i, j in candidates:
            if (i, j) not in known and (measure := correlate(i, j, mirrored)) >= settings.min_correlation:
                known.add((i, j))
                pairs.append(Pair(i, j, rule, round(measure, 4)))

    hashes, mirrored = (hashes_from_hex(photos[column].tolist()) for column in ("phash", "phash_mirrored"))
    confirm(_equal(photos, ["width_px", "height_px", "size_bytes"]), "same_resolution_and_size", mirrored=False)
    confirm(_near(hashes, hashes, settings.radius_bits), "perceptual", mirrored=False)
    confirm(_near(hashes, mirrored, settings.radius_bits), "mirrored", mirrored=True)
    return pairs


def _equal(photos: pd.DataFrame, columns: list[str]) -> list[tuple[int, int]]:
    """Pairs of the first of each group of equal rows with each other one."""
    repeated = photos[photos.duplicated(columns, keep=False)]
    groups = repeated.groupby(columns, sort=False).indices.values()
    positions = repeated.index.to_numpy()
    return [(int(positions[group[0]]), int(positions[other])) for group in groups for other in group[1:]]


def _near(left: np.ndarray, right: np.ndarray, radius_bits: int) -> Iterable[tuple[int, int]]:
    for i, j, _ in pairs_between(left, right, radius_bits):
        ahead = i < j
        yield from zip(i[ahead].tolist(), j[ahead].tolist(), strict=True)


def _correlation(digests: list[str], read_photo: ReadPhoto) -> Callable[[int, int, bool], float]:
    @lru_cache(CACHED_THUMBNAILS)
    def thumbnail(digest: str) -> np.ndarray:
        grey = Image.fromarray(read_photo(digest)).convert("L")
        small = np.asarray(grey.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX), np.float32)
        centred = small - small.mean()
        return centred / max(float(np.linalg.norm(centred)), 1e-6)

    def correlate(i: int, j: int, mirrored: bool) -> float:
        """Normalised correlation in [-1, 1] of the two grey thumbnails; flat pictures give 0."""
        other = thumbnail(digests[j])
        return float(np.vdot(thumbnail(digests[i]), other[:, ::-1] if mirrored else other))

    return correlate


def _assign(photos: pd.DataFrame, pairs: list[Pair]) -> pd.DataFrame:
    """Walk in order of preference: who is not taken yet is kept and takes all that are verified against it."""
    by_keeper: dict[int, list[Pair]] = {}
    for pair in pairs:
        by_keeper.setdefault(min(pair.i, pair.j), []).append(pair)
    taken: dict[int, tuple[int, Pair]] = {}
    for keeper in range(len(photos)):
        if keeper not in taken:
            for pair in by_keeper.get(keeper, []):
                taken.setdefault(max(pair.i, pair.j), (keeper, pair))
    ids = photos["photo_id"].tolist()
    result = photos[["photo_id", "domain", "sha256", "width_px", "height_px"]].copy()
    result["group"] = [ids[taken[position][0]] if position in taken else ids[position] for position in range(len(photos))]
    result["rule"] = [taken[position][1].rule if position in taken else None for position in range(len(photos))]
    result["measure"] = [taken[position][1].measure if position in taken else None for position in range(len(photos))]
    result["duplicate_of"] = result["group"].where(result["rule"].notna(), None)
    return result


def _drop_conflicts(photos: pd.DataFrame) -> pd.DataFrame:
    """One picture in several domains cannot be right in all: every one of its photos goes."""
    conflict = photos.groupby("group")["domain"].transform("nunique") > 1
    photos.loc[conflict, "rule"] = "both_domains"
    return photos


def _components(ids: list[str], pairs: list[Pair]) -> list[str]:
    """For each photo the smallest photo id among all that are joined to it by verified pairs."""
    parent = list(range(len(ids)))

    def root(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    for pair in pairs:
        a, b = root(pair.i), root(pair.j)
        low, high = (a, b) if ids[a] <= ids[b] else (b, a)
        parent[high] = low
    return [ids[root(position)] for position in range(len(ids))]

"""The depth of every kept photo: estimated once for each picture and estimator, and kept as a PNG of 16 bits.

Where maps come from is an `Estimator`: a folder of maps that somebody else made, or a network. What cannot be right about a
map, by its picture and its subject, stands beside it in the table; nothing is dropped for it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pandas as pd
from jaxtyping import UInt16

from pipeline.atomic import write_bytes
from pipeline.depth.checks import Alpha, Rgb, edge_agreement, oddities
from pipeline.depth.files import ReadPicture, read_depth_map
from pipeline.depth.judging import nearer_than_surround
from pipeline.depth.layouts import MAPS, misfit
from pipeline.depth.maps import digest_of, encoded, map_png, read_map
from pipeline.depth.units import DepthError, DepthMap, DepthUnit
from pipeline.errors import ConfigError, DatasetError
from pipeline.file_names import inside
from pipeline.picture_layers import METRIC, Encoding, nearest
from pipeline.plain_files import file_sha256, read_plain
from pipeline.tables import among, columns_of, conform, not_there

PROCESSING = 1
"""Raised whenever what happens between an estimator's map and the stored one changes, or what the table says of it."""
LOOKED_AT_PX = 192
"""Side of the square in the middle at which a map is held against its picture and its subject."""


class Estimator(Protocol):
    """Gives pictures their depth."""

    @property
    def key(self) -> str:
        """Changes with everything that changes all maps; usable as a folder's name."""
        ...

    def mark(self, sha256: str, photo_ids: Sequence[str]) -> str:
        """What besides the picture itself decides its map; empty for nothing."""
        ...

    def depth(self, sha256: str, photo_ids: Sequence[str], rgb: Rgb) -> DepthMap:
        """Of a picture, of its proportions. Raises DepthError, whose message says why there is none."""
        ...


@dataclass(frozen=True)
class GivenDepth:
    """Maps from a folder: PNG, TIFF or .npy named by photo id (`:` may be written `_`) or by the picture's SHA-256.

    Raises `ConfigError` when the folder does not exist.
    """

    folder: Path
    unit: DepthUnit
    read_picture: ReadPicture = read_plain

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ConfigError(f"[depth] folder = {str(self.folder)!r}: there is no such folder")

    @property
    def key(self) -> str:
        return f"given-{PROCESSING}-{self.unit.quantity.value}-{self.unit.steps:g}"

    def mark(self, sha256: str, photo_ids: Sequence[str]) -> str:
        path = self._path(sha256, photo_ids)
        return file_sha256(path)[:12] if path else ""

    def depth(self, sha256: str, photo_ids: Sequence[str], rgb: Rgb) -> DepthMap:
        path = self._path(sha256, photo_ids)
        if path is None:
            raise DepthError(f"{self.folder} has no {photo_ids[0].replace(':', '_')}.png or {sha256}.png")
        found = read_depth_map(path, self.unit, self.read_picture)
        sizes = (found.disparity.shape[1], found.disparity.shape[0]), (rgb.shape[1], rgb.shape[0])
        if problem := misfit("map of depth", *sizes):
            raise DepthError(f"{path}: {problem}")
        return found

    def _path(self, sha256: str, photo_ids: Sequence[str]) -> Path | None:
        named = [*photo_ids, *(photo_id.replace(":", "_") for photo_id in photo_ids), sha256]
        return next((self._files[name] for name in named if name in self._files), None)

    @cached_property
    def _files(self) -> dict[str, Path]:
        found = [path for path in sorted(self.folder.rglob("*")) if path.suffix.lower() in MAPS]
        return {path.name[: -len(path.suffix)]: path for path in found}


@dataclass(frozen=True)
class PredictedDepth:
    """Maps by a network: `predict` gives a picture's, and `version` changes with its weights."""

    version: str
    predict: Callable[[Rgb], DepthMap] = field(compare=False)

    @property
    def key(self) -> str:
        return f"network-{PROCESSING}-{self.version}"

    def mark(self, sha256: str, photo_ids: Sequence[str]) -> str:
        return ""

    def depth(self, sha256: str, photo_ids: Sequence[str], rgb: Rgb) -> DepthMap:
        return self.predict(rgb)


@dataclass
class _Picture:
    """A picture, the photos that show it, and the mask that its map is held against."""

    sha256: str
    photo_ids: list[str]
    mask: str | None = None
    mask_sha256: str | None = None

    def path(self, estimator: Estimator) -> str:
        """Where its map lies below the folder of maps."""
        return _path_of(estimator, self.sha256, self.photo_ids)


def estimate_photos(
    masks: pd.DataFrame,
    estimator: Estimator,
    folder: Path,
    read_rgb: Callable[[str], Rgb],
    read_alpha: Callable[[str], Alpha],
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The table `depth_maps`: one row for each row of `masks`, the table `person_masks`.

    Maps are stored below `folder`; one that is there is not made again, and where `known`, an earlier result, lists it with
    the same mask, neither it nor its picture is even read. A picture of which the estimator has none gets its reason.
    `progress` is called with the numbers of pictures done and in all. The estimator is asked by several threads.
    """
    pictures = _pictures(masks)
    found = {} if known is None else _already_known(known, estimator, folder, pictures)
    missing = [picture for sha256, picture in pictures.items() if sha256 not in found]

    def told(picture: _Picture) -> dict[str, object]:
        try:
            alpha = None if picture.mask is None else read_alpha(picture.mask)
            return _row(estimator, folder, picture, read_rgb(picture.sha256), alpha)
        except DepthError as error:
            return {"detail": str(error)[:300]}

    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="depth") as pool:
        for picture, row in zip(missing, pool.map(told, missing), strict=True):
            found[picture.sha256] = row
            progress(len(found), len(pictures))
    rows = [
        {"photo_id": photo_id, "domain": domain, "sha256": sha256, **found[sha256]}
        for photo_id, domain, sha256 in masks[["photo_id", "domain", "sha256"]].itertuples(index=False, name=None)
    ]
    return conform("depth_maps", pd.DataFrame(rows, dtype=object))


def _pictures(masks: pd.DataFrame) -> dict[str, _Picture]:
    """By their digests, in the order of these."""
    shown = masks.reindex(columns=["sha256", "photo_id", "mask", "mask_sha256"]).sort_values(["sha256", "photo_id"])
    found: dict[str, _Picture] = {}
    for sha256, photo_id, mask, digest in shown.itertuples(index=False, name=None):
        picture = found.setdefault(sha256, _Picture(sha256, []))
        picture.photo_ids.append(photo_id)
        if picture.mask is None and not pd.isna(mask):
            picture.mask, picture.mask_sha256 = mask, None if pd.isna(digest) else digest
    return found


def _already_known(
    known: pd.DataFrame, estimator: Estimator, folder: Path, pictures: Mapping[str, _Picture]
) -> dict[str, dict[str, object]]:
    """What an earlier result says of maps that are still there, as the estimator makes them and held against these masks."""
    columns = [name for name in columns_of("depth_maps") if name not in ("photo_id", "domain", "sha256")]
    listed = known[known["depth_source"].notna() & among(known["sha256"], pictures)].drop_duplicates("sha256")
    if not set(columns) <= set(listed):  # a table of an earlier version
        return {}
    found: dict[str, dict[str, object]] = {}
    as_made = listed[listed["depth_source"] == listed["sha256"].map(lambda sha256: pictures[str(sha256)].path(estimator))]
    there = as_made[~not_there(folder, as_made["depth_source"])]
    for sha256, *values in there[["sha256", *columns]].itertuples(index=False, name=None):
        row: dict[str, object] = {name: None if pd.isna(one) else one for name, one in zip(columns, values, strict=True)}
        if row["mask_sha256"] == pictures[sha256].mask_sha256:
            found[sha256] = row
    return found


def odd_maps(table: pd.DataFrame) -> dict[str, list[str]]:
    """Photos that a person should look at, as sentences: those without a map, and those whose map cannot be right."""
    without, odd = table[table["depth_source"].isna()], table[table["odd"].notna()]
    return {
        "without a map": [f"{photo}: {why}" for photo, why in zip(without["photo_id"], without["detail"], strict=True)],
        "odd": [f"{photo}: {why}" for photo, why in zip(odd["photo_id"], odd["odd"], strict=True)],
    }


def with_estimated_depth(rows: pd.DataFrame, maps: pd.DataFrame) -> pd.DataFrame:
    """`person_masks` with sources of depth: what came with a photo stays, and the others get what was estimated."""
    if maps.empty:
        return rows
    names = ["depth_source", "depth_source_sha256"]
    told = rows[["domain", "photo_id"]].merge(maps[["domain", "photo_id", *names]], "left", ["domain", "photo_id"])
    filled = {}
    for name in names:
        own = rows[name].astype(object) if name in rows else pd.Series(None, rows.index, object)
        filled[name] = own.where(own.notna(), told[name].astype(object).set_axis(rows.index))
    return rows.assign(**filled)


def kept_map(
    estimator: Estimator, folder: Path, picture: tuple[str, Sequence[str]], rgb: Rgb
) -> tuple[str, UInt16[np.ndarray, "height width"], str]:
    """The map of a picture, its SHA-256 and the ids of its photos: its path below `folder`, its numbers and encoding.

    It is made where it is missing or damaged. Raises DepthError, whose message says why there is none.
    """
    sha256, names = picture
    path = _path_of(estimator, sha256, names)
    try:
        return path, *read_map(inside(folder, path))
    except DatasetError:
        stored, encoding = encoded(estimator.depth(sha256, names, rgb))
        write_bytes(inside(folder, path), map_png(stored, encoding))
        return path, stored, str(encoding)


def _path_of(estimator: Estimator, sha256: str, photo_ids: Sequence[str]) -> str:
    mark = estimator.mark(sha256, photo_ids)
    return f"{estimator.key}/{sha256[:2]}/{sha256}{f'-{mark}' if mark else ''}.png"


def _row(estimator: Estimator, folder: Path, picture: _Picture, rgb: Rgb, alpha: Alpha | None) -> dict[str, object]:
    """What the table says of a picture, whose map is made where it is missing or damaged."""
    path, stored, told = kept_map(estimator, folder, (picture.sha256, picture.photo_ids), rgb)
    encoding = Encoding.parse(told)
    depth = DepthMap(encoding.disparity(stored), encoding.unit == METRIC)
    metres = dict(zip(("nearest_m", "median_m", "farthest_m"), depth.range_m(), strict=True)) if depth.is_metric else {}
    return {
        "depth_source": path, "depth_source_sha256": digest_of(stored, told), "unit": encoding.unit,
        "scale": encoding.scale, "shift": encoding.shift, "known": float(depth.known.mean()), **metres,
        "mask_sha256": picture.mask_sha256, **_looked_at(depth, rgb, alpha),
    }  # fmt: skip


def _looked_at(depth: DepthMap, rgb: Rgb, alpha: Alpha | None) -> dict[str, object]:
    """How the map fits its picture and its subject, all at one size."""
    small = DepthMap(_square(depth.disparity), depth.is_metric)
    seen = cv2.resize(_middle(rgb), (LOOKED_AT_PX, LOOKED_AT_PX), interpolation=cv2.INTER_AREA)
    subject = np.zeros((LOOKED_AT_PX, LOOKED_AT_PX), np.uint8) if alpha is None else _square(alpha)
    ratio = nearer_than_surround(small.disparity, subject)
    odd = "; ".join(oddities(small, seen, subject)) if small.known.any() else "nothing is known in its middle"
    return {
        "nearer": None if np.isnan(ratio) else ratio,
        "edges": edge_agreement(small, seen) if small.known.any() else None,
        "odd": odd or None,
    }


def _middle(pixels: np.ndarray) -> np.ndarray:
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _square(pixels: np.ndarray) -> np.ndarray:
    side = min(pixels.shape)
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return nearest(pixels, left, top, side, LOOKED_AT_PX)

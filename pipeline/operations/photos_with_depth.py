"""Photos of a home with their depth: the map that is kept, else one made now, as pages ask for it."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import Project
from pipeline.depth.depth_maps import kept_map
from pipeline.depth.maps import read_map
from pipeline.depth.page.photos import Open, PhotoAndDepth
from pipeline.depth.units import DepthError, DepthMap
from pipeline.errors import ConfigError
from pipeline.file_names import sha256_of
from pipeline.operations.estimators import depth_estimator
from pipeline.operations.photo_tables import file_name
from pipeline.operations.photos import photo_reader
from pipeline.photos.decode import decode
from pipeline.photos.exif import equivalent_focal_mm
from pipeline.picture_layers import METRIC, Encoding
from pipeline.tables import among
from storage import Home

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HomePhotos:
    """The home's photos of a table, without those that are dropped; keys are the SHA-256 of their pictures, names the photo
    ids, and of one's own photos their titles, else their files' names.

    `depth` gives the depth of one by its key and pixels. Unless all have some (`is_estimated`), those without a file of it
    are not named. The table is read each time: it may have changed.
    """

    home: Home
    table: str
    max_pixels: int
    depth: Callable[[str, np.ndarray], DepthMap | None]
    is_estimated: bool

    def named(self, part: str) -> Sequence[tuple[str, str]]:
        """Key and name of all whose name or photo id has that part."""
        photos = self._photos()
        if not self.is_estimated:
            photos = photos[among(photos["sha256"], {path.stem[:64] for path in self.home.depth.glob("*/*/*.png")})]
        photos = photos.assign(name=self._names(photos))
        if part:
            has_part = [photos[column].str.contains(part, case=False, regex=False) for column in ("photo_id", "name")]
            photos = photos[has_part[0] | has_part[1]]
        return list(zip(photos["sha256"], photos["name"], strict=True))

    def find(self, key: str) -> tuple[str, Open]:
        """Name and opening of one. Raises `KeyError`."""
        photos = self._photos()
        found = photos[photos["sha256"] == key]
        if found.empty:
            raise KeyError(key)
        return str(self._names(found).iloc[0]), lambda: self._opened(key)

    def _names(self, photos: pd.DataFrame) -> pd.Series:
        if self.home.tables.info("imports") is None:
            return photos["photo_id"]
        columns = ["photo_id", "title", "file"]
        own = self.home.tables.rows_with("imports", "photo_id", set(photos["photo_id"]), columns).to_pylist()
        names = {row["photo_id"]: (row["title"] or "").strip() or file_name(row["file"]) for row in own}
        return photos["photo_id"].map(lambda photo_id: names.get(photo_id) or photo_id)

    def _photos(self) -> pd.DataFrame:
        columns = ["photo_id", "sha256", *(["decision"] if self.table == "curated_photos" else [])]
        photos = self.home.tables.read_or_empty(self.table, columns=columns)
        if "decision" in photos:
            photos = photos[photos["decision"] != "drop"]
        return photos.drop_duplicates("sha256")

    def _opened(self, sha256: str) -> PhotoAndDepth:
        def depth(rgb: np.ndarray) -> DepthMap:
            if (found := self.depth(sha256, rgb)) is None:
                raise DepthError("this photo has no map of depth: `bokehflow run` makes it, or its log says why not")
            return found

        return with_depth(self.home.blobs.read(sha256), self.max_pixels, depth)


def with_depth(data: bytes, max_pixels: int, depth: Callable[[np.ndarray], DepthMap]) -> PhotoAndDepth:
    """A photo's bytes decoded, with its depth and the focal length that its EXIF tells."""
    rgb = decode(data, max_pixels).rgb
    return PhotoAndDepth(rgb, depth(rgb), equivalent_focal_mm(data, max_pixels))


def depth_reader(project: Project, home: Home) -> Callable[[str], DepthMap | None]:
    """A function from a picture's SHA-256 to its map of depth: the one that is kept, else one made now.

    None where there is none, and where nobody is asked for any.
    """
    one_at_a_time, estimator = threading.Lock(), cache(lambda: depth_estimator(project, home))
    read_rgb = photo_reader(home, project, min_long_edge_px=project.depth.long_side_px)

    def made(sha256: str) -> tuple[np.ndarray, str] | None:
        unique = home.tables.read_or_empty("unique_photos", columns=["photo_id", "sha256"])
        names = sorted(map(str, unique.loc[unique["sha256"] == sha256, "photo_id"])) or [sha256]
        rgb = read_rgb(sha256)
        try:
            return kept_map(estimator(), home.depth, (sha256, names), rgb)[1:]
        except (DepthError, ConfigError) as error:
            log.warning("no map of depth of %s: %s", sha256[:12], error)
            return None

    def read(sha256: str) -> DepthMap | None:
        kept = kept_depth(home, sha256)
        with one_at_a_time:
            found = read_map(kept) if kept else made(sha256) if project.depth.estimator != "none" else None
        if found is None:
            return None
        encoding = Encoding.parse(found[1])
        return DepthMap(encoding.disparity(found[0]), encoding.unit == METRIC)

    return read


def kept_depth(home: Home, sha256: str) -> Path | None:
    """The file of a picture's map, the imported one before estimated ones."""
    files = home.depth.glob(f"*/{sha256_of(sha256)[:2]}/{sha256_of(sha256)}*.png")
    kept = sorted(files, key=lambda path: (path.parts[-3] == "imported", path.stat().st_mtime_ns))
    return kept[-1] if kept else None

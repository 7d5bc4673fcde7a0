"""`bokehflow refocus --page`, and the same view within the review page: where its photos and their depth come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.commands.options import say

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipeline.config import PhotosSection
    from pipeline.depth.files import ReadPicture
    from pipeline.depth.page.photos import Open, PhotoAndDepth
    from pipeline.depth.units import DepthMap
    from pipeline.photos.inspectors import Inspectors
    from storage import Home


STRENGTH_PERCENT = 3.0
"""Of a lens of which nothing is said."""


class DepthSource(Protocol):
    """Gives a photo its depth, at the size of the map."""

    def depth(self, photo: Path, rgb: "np.ndarray", read: "ReadPicture") -> "DepthMap": ...


@dataclass(frozen=True)
class PagePictures:
    """Where the page's photos come from."""

    home: "Home"
    config: Path | None
    limits: "PhotosSection"
    inspectors: "Inspectors"
    source: "DepthSource | None"
    predicts: bool

    def given(self, photo: Path) -> "PhotoAndDepth":
        """A photo of the command line."""
        assert self.source is not None
        source, data = self.source, self._checked(photo)
        return _with_depth(data, self.limits.max_pixels, lambda rgb: source.depth(photo, rgb, self._checked))

    def dropped(self) -> "Callable[[bytes], PhotoAndDepth] | None":
        """How photos that are brought get their depth; None where nobody estimates any."""
        import tempfile

        estimate = self._estimate()
        if estimate is None:
            return None

        def opened(data: bytes) -> "PhotoAndDepth":
            with tempfile.NamedTemporaryFile(prefix="bokehflow-") as file:
                file.write(data)
                file.flush()
                return _with_depth(self._checked(Path(file.name)), self.limits.max_pixels, estimate)

        return opened

    def _estimate(self) -> "Callable[[np.ndarray], DepthMap] | None":
        from functools import cache

        from pipeline.config import load_project
        from pipeline.operations.estimators import depth_estimator

        if self.predicts:
            source = self.source
            assert source is not None
            return lambda rgb: source.depth(Path(), rgb, self._checked)
        path = self.home.project_file(self.config)
        project = load_project(path) if path.exists() else None
        if project is None or project.depth.estimator in ("none", "folder"):
            return None
        estimator = cache(lambda: depth_estimator(project, self.home))
        return lambda rgb: estimator().depth("", [], rgb)

    def kept(self) -> "HomePhotos | None":
        """Photos that are kept in the home and have depth; None without a project, or before anything is kept."""
        from pipeline.commands.review import depth_reader
        from pipeline.config import load_project

        path = self.home.project_file(self.config)
        if not path.exists() or self.home.tables.info("curated_photos") is None:
            return None
        project, table = load_project(path), "curated_photos"
        if self.predicts:
            return HomePhotos(self.home, table, self.limits.max_pixels, estimate=self._estimate())
        is_estimated = project.depth.estimator != "none"
        return HomePhotos(self.home, table, self.limits.max_pixels, depth_reader(project, self.home), is_estimated)

    def _checked(self, path: Path) -> bytes:
        return self.inspectors.read_checked(path, self.limits.max_bytes, self.limits.max_pixels)


@dataclass(frozen=True)
class HomePhotos:
    """The home's photos of a table, without those that are dropped; keys are the SHA-256 of their pictures.

    Each gets the depth that `estimate` gives it, else the map that `read` finds by its key. Unless all have one
    (`is_estimated`), those without a file of it are not named. The table is read each time: it may have changed.
    """

    home: "Home"
    table: str
    max_pixels: int
    read: "Callable[[str], DepthMap | None]" = lambda sha256: None
    is_estimated: bool = False
    estimate: "Callable[[np.ndarray], DepthMap] | None" = None

    def named(self, part: str) -> Sequence[tuple[str, str]]:
        """Key and name of all whose photo id has that part."""
        photos = self._photos()
        if not self.is_estimated and self.estimate is None:
            photos = photos[photos["sha256"].isin({path.stem[:64] for path in self.home.depth.glob("*/*/*.png")})]
        found = photos[photos["photo_id"].str.contains(part, case=False, regex=False)] if part else photos
        return list(zip(found["sha256"], found["photo_id"], strict=True))

    def find(self, key: str) -> "tuple[str, Open]":
        """Photo id and opening of one. Raises `KeyError`."""
        photos = self._photos()
        names = list(photos.loc[photos["sha256"] == key, "photo_id"])
        if not names:
            raise KeyError(key)
        return str(names[0]), lambda: self._opened(key)

    def _photos(self) -> "pd.DataFrame":
        columns = ["photo_id", "sha256", *(["decision"] if self.table == "curated_photos" else [])]
        photos = self.home.tables.read_or_empty(self.table, columns=columns)
        if "decision" in photos:
            photos = photos[photos["decision"] != "drop"]
        return photos.drop_duplicates("sha256")

    def _opened(self, sha256: str) -> "PhotoAndDepth":
        from pipeline.depth.units import DepthError

        def depth(rgb: "np.ndarray") -> "DepthMap":
            found = self.estimate(rgb) if self.estimate is not None else self.read(sha256)
            if found is None:
                raise DepthError("this photo has no map of depth: `bokehflow run` makes it, or its log says why not")
            return found

        return _with_depth(self.home.blobs.read(sha256), self.max_pixels, depth)


def _with_depth(data: bytes, max_pixels: int, depth: "Callable[[np.ndarray], DepthMap]") -> "PhotoAndDepth":
    """A photo's bytes decoded, with its depth and the focal length that its EXIF tells."""
    from pipeline.depth.page.photos import PhotoAndDepth
    from pipeline.photos.decode import decode
    from pipeline.photos.exif import equivalent_focal_mm

    rgb = decode(data, max_pixels).rgb
    return PhotoAndDepth(rgb, depth(rgb), equivalent_focal_mm(data, max_pixels))


def serve_page(pictures: PagePictures, photos: tuple[Path, ...], percent: float, port: int) -> None:
    """The page, until it is stopped."""
    from functools import partial

    from pipeline.depth.page.app import RefocusPage, make_refocus_app
    from pipeline.depth.page.photos import MOST_PERCENT, PagePhotos
    from pipeline.errors import ConfigError
    from pipeline.loopback.guard import Door, kept_secret
    from pipeline.loopback.server import listen, serve

    home = pictures.home
    if percent > MOST_PERCENT:
        raise ConfigError(f"the page's aperture goes to {MOST_PERCENT:g} per cent")
    shown = PagePhotos(pictures.dropped(), pictures.kept())
    for photo in photos:
        shown.add(photo.name, partial(pictures.given, photo))
    count = shown.named()[1]
    if not count and shown.estimate is None:
        remedy = "name photos with their depth, or who estimates it by `--model RUN` or `--model FILE.onnx`"
        raise ConfigError(f"there is nothing to refocus: the home keeps no photo with depth; {remedy}")
    with listen(port) as listening:
        number = listening.getsockname()[1]
        door = Door(number, kept_secret(home.page_secret)) if home.root.exists() else Door(number)
        page = RefocusPage(shown, number, percent, pictures.limits.max_bytes)
        say(f"{count:,} photos to refocus" + ("; others can be dropped on the page" if shown.estimate else ""))
        serve(make_refocus_app(page), door, listening, lambda: say(f"refocus page on {door.address} (Ctrl-C stops)"))

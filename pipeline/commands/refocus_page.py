"""`bokehflow refocus --page`: where its photos and their depth come from, and serving it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.commands.options import say

if TYPE_CHECKING:
    import numpy as np

    from pipeline.config import PhotosSection
    from pipeline.depth.files import ReadPicture
    from pipeline.depth.units import DepthMap
    from pipeline.photos.inspectors import Inspectors
    from storage import Home

MOST_KEPT = 300
"""Of the home's photos, that the page lists."""


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

    def given(self, photo: Path) -> "tuple[np.ndarray, DepthMap]":
        """A photo of the command line."""
        from pipeline.photos.decode import decode

        assert self.source is not None
        rgb = decode(self._checked(photo), self.limits.max_pixels).rgb
        return rgb, self.source.depth(photo, rgb, self._checked)

    def dropped(self) -> "Callable[[bytes], tuple[np.ndarray, DepthMap]] | None":
        """How photos that are brought get their depth; None where nobody estimates any."""
        import tempfile

        estimate = self._estimate()
        if estimate is None:
            return None

        def opened(data: bytes) -> "tuple[np.ndarray, DepthMap]":
            from pipeline.photos.decode import decode

            with tempfile.NamedTemporaryFile(prefix="bokehflow-") as file:
                file.write(data)
                file.flush()
                rgb = decode(self._checked(Path(file.name)), self.limits.max_pixels).rgb
            return rgb, estimate(rgb)

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

    def kept(self) -> "Iterator[tuple[str, Callable[[], tuple[np.ndarray, DepthMap]]]]":
        """Name and opening of photos that are kept in the home and have depth."""
        from functools import partial

        from pipeline.commands.review import depth_reader, kept_depth
        from pipeline.config import load_project

        path = self.home.project_file(self.config)
        if not path.exists() or self.home.tables.info("curated_photos") is None:
            return
        project = load_project(path)
        estimate = self._estimate() if self.predicts else None
        read, is_estimated = depth_reader(project, self.home), project.depth.estimator != "none" or estimate is not None
        curated = self.home.tables.read("curated_photos", columns=["photo_id", "sha256", "decision"])
        kept = curated[curated["decision"] != "drop"].drop_duplicates("sha256")
        for photo_id, sha256 in zip(kept["photo_id"], kept["sha256"], strict=True):
            if is_estimated or kept_depth(self.home, str(sha256)) is not None:
                yield str(photo_id), partial(self._blob, str(sha256), read, estimate)

    def _blob(
        self,
        sha256: str,
        read: "Callable[[str], DepthMap | None]",
        estimate: "Callable[[np.ndarray], DepthMap] | None",
    ) -> "tuple[np.ndarray, DepthMap]":
        from pipeline.depth.units import DepthError
        from pipeline.photos.decode import decode

        rgb = decode(self.home.blobs.read(sha256), self.limits.max_pixels).rgb
        depth = estimate(rgb) if estimate is not None else read(sha256)
        if depth is None:
            raise DepthError("this photo has no map of depth: `bokehflow run` makes it, or its log says why not")
        return rgb, depth

    def _checked(self, path: Path) -> bytes:
        return self.inspectors.read_checked(path, self.limits.max_bytes, self.limits.max_pixels)


def serve_page(pictures: PagePictures, photos: tuple[Path, ...], percent: float, port: int) -> None:
    """The page, until it is stopped."""
    from functools import partial
    from itertools import islice

    from pipeline.depth.page.app import RefocusPage, make_refocus_app
    from pipeline.depth.page.photos import MOST_PERCENT, PagePhotos
    from pipeline.errors import ConfigError
    from pipeline.loopback.guard import Door, kept_secret
    from pipeline.loopback.server import listen, serve

    home = pictures.home
    if percent > MOST_PERCENT:
        raise ConfigError(f"the page's aperture goes to {MOST_PERCENT:g} per cent")
    shown = PagePhotos(pictures.dropped())
    for photo in photos:
        shown.add(photo.name, partial(pictures.given, photo))
    for name, opening in islice(pictures.kept(), MOST_KEPT):
        shown.add(name, opening)
    if not shown.names() and shown.estimate is None:
        remedy = "name photos with their depth, or who estimates it by `--model RUN` or `--model FILE.onnx`"
        raise ConfigError(f"there is nothing to refocus: the home keeps no photo with depth; {remedy}")
    with listen(port) as listening:
        number = listening.getsockname()[1]
        door = Door(number, kept_secret(home.page_secret)) if home.root.exists() else Door(number)
        page = RefocusPage(shown, number, percent, pictures.limits.max_bytes)
        say(f"{len(shown.names()):,} photos to refocus" + ("; others can be dropped on the page" if shown.estimate else ""))
        serve(make_refocus_app(page), door, listening, lambda: say(f"refocus page on {door.address} (Ctrl-C stops)"))

"""`bokehflow refocus --page`: where its photos and their depth come from, and serving it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.commands.options import say
from pipeline.counted import counted

if TYPE_CHECKING:
    import numpy as np

    from pipeline.config import PhotosSection
    from pipeline.depth.files import ReadPicture
    from pipeline.depth.page.photos import PhotoAndDepth
    from pipeline.depth.units import DepthMap
    from pipeline.operations.photos_with_depth import HomePhotos
    from pipeline.photos.inspectors import Inspectors
    from storage import Home


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
        from pipeline.operations.photos_with_depth import with_depth

        assert self.source is not None
        source, data = self.source, self._checked(photo)
        return with_depth(data, self.limits.max_pixels, lambda rgb: source.depth(photo, rgb, self._checked))

    def dropped(self) -> "Callable[[bytes], PhotoAndDepth] | None":
        """How photos that are brought get their depth; None where nobody estimates any."""
        import tempfile

        from pipeline.operations.photos_with_depth import with_depth

        estimate = self._estimate()
        if estimate is None:
            return None

        def opened(data: bytes) -> "PhotoAndDepth":
            with tempfile.NamedTemporaryFile(prefix="bokehflow-") as file:
                file.write(data)
                file.flush()
                return with_depth(self._checked(Path(file.name)), self.limits.max_pixels, estimate)

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
        from pipeline.config import load_project
        from pipeline.operations.photos_with_depth import HomePhotos, depth_reader

        path = self.home.project_file(self.config)
        if not path.exists() or self.home.tables.info("curated_photos") is None:
            return None
        project, estimate = load_project(path), self._estimate() if self.predicts else None
        read, is_estimated = depth_reader(project, self.home), self.predicts or project.depth.estimator != "none"

        def depth(sha256: str, rgb: "np.ndarray") -> "DepthMap | None":
            return estimate(rgb) if estimate else read(sha256)

        return HomePhotos(self.home, "curated_photos", self.limits.max_pixels, depth, is_estimated)

    def _checked(self, path: Path) -> bytes:
        return self.inspectors.read_checked(path, self.limits.max_bytes, self.limits.max_pixels)


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
        say(f"{counted(count, 'photo')} to refocus" + ("; others can be dropped on the page" if shown.estimate else ""))
        serve(make_refocus_app(page), door, listening, lambda: say(f"refocus page on {door.address} (Ctrl-C stops)"))

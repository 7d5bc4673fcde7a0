"""The pictures that the page shows: thumbnails, a display size, the original, the mask over it, its depth."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import StorageError
from pipeline.file_names import below
from pipeline.pillow import as_file
from pipeline.plain_files import read_plain

DISPLAY_EDGE_PX = 1600
THUMBNAIL_EDGE_PX = 320
KEPT_PICTURES = 64
"""Encoded pictures that are held in memory: what is on the screen, what comes next, what was just decided."""
MASK_TINT = (214, 38, 132)
"""Laid over what is not the subject: a magenta that no portrait has."""

BROWSER_FORMATS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
"""Files that are served as they are when a person wants the original; WebP's signature is in two parts."""


@dataclass(frozen=True)
class ReviewPicture:
    """An encoded picture."""

    data: bytes
    media_type: str


@dataclass(frozen=True, eq=False)
class DepthView:
    """A map of depth to look at: uint8 RGB `[height, width, 3]`, and what its farthest and nearest colours stand for."""

    coloured: np.ndarray
    far: str
    near: str


@dataclass(frozen=True)
class Pictures:
    """Makes pictures from blobs, keeping the last few.

    `read_blob` takes a SHA-256 and returns the file's bytes (raises `StorageError`), `decode` makes of them uint8
    RGB `[height, width, 3]`, upright, `read_mask` returns a picture's alpha, uint8 `[height, width]`, or None, `view_depth`
    its map of depth in colour, or None.
    """

    read_blob: Callable[[str], bytes]
    decode: Callable[[bytes], np.ndarray]
    read_mask: Callable[[str], np.ndarray | None]
    thumbnails: Path
    view_depth: Callable[[str], DepthView | None] = lambda sha256: None
    _kept: OrderedDict[tuple[str, int], ReviewPicture] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def thumbnail(self, name: str, sha256: str) -> ReviewPicture:
        """The thumbnail `name` below the folder of thumbnails; made anew where it is missing or has no name.

        Raises `UnsafeName` for a name that leads out of the folder.
        """
        if name and (path := below(self.thumbnails, name)).is_file():
            return ReviewPicture(read_plain(path), "image/jpeg")
        return self.scaled(sha256, THUMBNAIL_EDGE_PX)

    def scaled(self, sha256: str, edge_px: int = DISPLAY_EDGE_PX) -> ReviewPicture:
        """The picture upright in sRGB as a JPEG with a long edge of at most `edge_px`."""
        with self._lock:
            if found := self._kept.get((sha256, edge_px)):
                self._kept.move_to_end((sha256, edge_px))
                return found
        image = Image.fromarray(self.decode(self.read_blob(sha256)))
        image.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS)
        picture = ReviewPicture(as_file(image, "JPEG", quality=90, subsampling=0), "image/jpeg")
        with self._lock:
            self._kept[sha256, edge_px] = picture
            while len(self._kept) > KEPT_PICTURES:
                self._kept.popitem(last=False)
        return picture

    def original(self, sha256: str) -> ReviewPicture:
        """The file as its owner uploaded it; what browsers do not show comes as an equal PNG."""
        data = self.read_blob(sha256)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return ReviewPicture(data, "image/webp")
        for signature, media_type in BROWSER_FORMATS.items():
            if data.startswith(signature):
                return ReviewPicture(data, media_type)
        return ReviewPicture(as_file(Image.fromarray(self.decode(data)), "PNG"), "image/png")

    def overlay(self, sha256: str) -> ReviewPicture:
        """A tint over everything that is not the subject, transparent where it is.

        Raises `StorageError` where there is no mask.
        """
        alpha = self.read_mask(sha256)
        if alpha is None:
            raise StorageError(f"no mask of the picture {sha256[:12]}… has been made")
        tint = np.empty((*alpha.shape, 4), np.uint8)
        tint[..., :3] = MASK_TINT
        tint[..., 3] = ((255 - alpha.astype(np.uint16)) * 0.62).astype(np.uint8)
        return ReviewPicture(as_file(Image.fromarray(tint), "PNG"), "image/png")

    def depth(self, sha256: str) -> DepthView:
        """The map of depth. Raises `StorageError` where there is none."""
        if (view := self.view_depth(sha256)) is None:
            raise StorageError(f"no map of depth of the picture {sha256[:12]}… has been made")
        return view

    def coloured_depth(self, sha256: str) -> ReviewPicture:
        """The map of depth in colour; raises as `depth` does."""
        return ReviewPicture(as_file(Image.fromarray(self.depth(sha256).coloured), "PNG"), "image/png")

    def depth_range(self, sha256: str) -> ReviewPicture:
        """What its colours stand for, as JSON; raises as `depth` does."""
        view = self.depth(sha256)
        return ReviewPicture(json.dumps({"far": view.far, "near": view.near}).encode(), "application/json")

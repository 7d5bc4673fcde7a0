"""The photos of the page: listed by name, opened with their depth when somebody looks at them."""

import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.depth.colours import coloured, range_of
from pipeline.depth.refocus import (
    LEAST_RADIUS_PX,
    ThinLens,
    disparity_at,
    fitted_to,
    lens_of_full_frame,
    lens_of_strength,
    refocus_photo,
)
from pipeline.depth.units import DepthError, DepthMap, Disparity
from pipeline.models.images import RgbPhoto

SCREEN_EDGE_PX, DRAFT_EDGE_PX = 1024, 512
"""Longer side of what is shown, and of what is shown while the aperture is dragged."""
SCREEN_LEAST_RADIUS_PX = 2.0
"""Of the discs on the screen, by which they are as round as a screen shows."""
MOST_PERCENT = 8.0
KEPT_OPEN = 2
"""Photos at full size, with their depth: 12 MP are 100 MB."""
KEPT_DROPPED = 8
MOST_NAMED = 300
"""Photos that one list names; the others are found by a part of their names."""
F_NUMBERS, FOCAL_MM = (0.5, 64.0), (4.0, 3000.0)


class PhotoAndDepth(NamedTuple):
    """A photo, uint8 [height, width, 3], its map of depth, and its focal length as on 35 mm film, where EXIF tells it."""

    rgb: RgbPhoto
    depth: DepthMap
    focal_mm: float | None = None


Open = Callable[[], PhotoAndDepth]


@dataclass(frozen=True)
class Setting:
    """A point of the upright photo, in its pixels, that should be sharp, and how open the lens is.

    That is told by the strength in per cent of the shorter side, or by the f-number of a full-frame camera whose focal
    length, where it is None, is the photo's.
    """

    x_px: float
    y_px: float
    percent: float
    f_number: float | None = None
    focal_mm: float | None = None

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> "Setting":
        """From a request. Raises DepthError."""
        try:
            values = {name: float(given[name][:40]) for name in ("x", "y", "strength", "f", "mm") if name in given}
            x_px, y_px, percent = values["x"], values["y"], 0.0 if "f" in values else values["strength"]
        except (KeyError, ValueError):
            told = "a point of the photo in its pixels, and per cent; or f, an f-number, in place of the last"
            raise DepthError(f"x, y and strength are numbers: {told}") from None
        if not (all(map(math.isfinite, values.values())) and 0 <= percent <= MOST_PERCENT):
            raise DepthError(f"the strength goes from 0 to {MOST_PERCENT:g} per cent of the shorter side")
        for name, (least, most), what in (("f", F_NUMBERS, "the f-number"), ("mm", FOCAL_MM, "the focal length in mm")):
            if not least <= values.get(name, least) <= most:
                raise DepthError(f"{what} goes from {least:g} to {most:g}")
        return cls(x_px, y_px, percent, values.get("f"), values.get("mm"))


@dataclass(frozen=True, eq=False)
class OpenPhoto:
    """A photo at full size, uint8 [height, width, 3], and its depth."""

    name: str
    rgb: RgbPhoto
    depth: DepthMap
    focal_mm: float | None = None

    @cached_property
    def disparity(self) -> Disparity:
        """At the photo's size, known everywhere. Raises DepthError for a map of another picture."""
        return fitted_to(self.depth.disparity, *self.rgb.shape[:2])

    @cached_property
    def _px_per_percent(self) -> float:
        return lens_of_strength(self.disparity, 0.0, 1.0).px_per_dioptre

    def check(self) -> None:
        """Raises DepthError where it cannot be refocused."""
        self.depth.check(self.name)
        assert self._px_per_percent > 0

    @cached_property
    def _views(self) -> dict[int, tuple[RgbPhoto, Disparity]]:
        return {edge_px: self._smaller(edge_px) for edge_px in (SCREEN_EDGE_PX, DRAFT_EDGE_PX)}

    def _smaller(self, edge_px: int) -> tuple[RgbPhoto, Disparity]:
        height, width = self.rgb.shape[:2]
        shrink = min(1.0, edge_px / max(height, width))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        return cv2.resize(self.rgb, size, interpolation=cv2.INTER_AREA), fitted_to(self.disparity, size[1], size[0])

    def lens(self, setting: Setting) -> ThinLens:
        """At full size. Raises DepthError for a point outside the photo, and for an f-number where nothing tells metres or
        the focal length."""
        focus = disparity_at(self.disparity, setting.x_px, setting.y_px)
        if setting.f_number is None:
            return ThinLens(focus, setting.percent * self._px_per_percent)
        focal_mm = setting.focal_mm or self.focal_mm
        if not self.depth.is_metric or focal_mm is None:
            missing = "depth in metres, and this map is relative" if focal_mm else "the focal length: say it in mm"
            raise DepthError(f"an f-number needs {missing}")
        return lens_of_full_frame(self.disparity, focus, focal_mm, setting.f_number)

    def openness(self, setting: Setting) -> dict[str, float]:
        """How open the lens is: `percent`, and where metres and the focal length are known, the f-number as `f`."""
        lens, focal_mm = self.lens(setting), setting.focal_mm or self.focal_mm
        told = {"percent": lens.px_per_dioptre / self._px_per_percent}
        if self.depth.is_metric and focal_mm and lens.px_per_dioptre > 0:
            fully_open = lens_of_full_frame(self.disparity, lens.focus, focal_mm, 1.0)
            told["f"] = fully_open.px_per_dioptre / lens.px_per_dioptre
        return {name: round(value, 2) for name, value in told.items()}

    def shown(self, setting: Setting, edge_px: int) -> RgbPhoto:
        """Refocused on the screen, its longer side `edge_px` at most."""
        (rgb, disparity), lens = self._views[edge_px], self.lens(setting)
        scaled = ThinLens(lens.focus, lens.px_per_dioptre * rgb.shape[1] / self.rgb.shape[1])
        return refocus_photo(rgb, disparity, scaled, least_radius_px=SCREEN_LEAST_RADIUS_PX)

    def saved(self, setting: Setting) -> RgbPhoto:
        """Refocused at full size."""
        return refocus_photo(self.rgb, self.disparity, self.lens(setting), least_radius_px=LEAST_RADIUS_PX)

    def coloured_depth(self) -> UInt8[np.ndarray, "height width 3"]:
        """The map on the screen."""
        disparity = self._views[SCREEN_EDGE_PX][1]
        return coloured(disparity, *range_of(disparity))

    def told(self, setting: Setting) -> str:
        """What is sharp, and how large the largest disc is, for a person."""
        lens = self.lens(setting)
        ends = np.array([[self.disparity.min(), self.disparity.max()]], np.float32)
        where = f"in focus {1 / lens.focus:.3g} m" if self.depth.is_metric else "in focus where you pointed"
        return f"{where}, largest disc {np.abs(lens.radii_px(ends)).max():.0f} px at full size"

    @property
    def file_stem(self) -> str:
        """For the file that is saved."""
        stem = self.name.rpartition(".")[0] or self.name
        return re.sub(r"[^\w-]+", "_", stem)[:80].strip("_") or "photo"


class Collection(Protocol):
    """Photos that are too many to list: named by a part of their names, and found by their keys."""

    def named(self, part: str) -> Sequence[tuple[str, str]]:
        """Key and name of all whose name has that part."""
        ...

    def find(self, key: str) -> tuple[str, Open]:
        """Name and opening of one. Raises `KeyError`."""
        ...


@dataclass
class PagePhotos:
    """What can be opened, by keys that the page uses; a few stay open.

    `estimate` takes a photo's bytes that somebody dropped on the page, and gives it with its depth; None where nobody
    estimates depth. `collection` are the home's, after those that were added.
    """

    estimate: Callable[[bytes], PhotoAndDepth] | None = None
    collection: Collection | None = None
    _listed: OrderedDict[str, tuple[str, Open]] = field(default_factory=OrderedDict)
    _open: OrderedDict[str, OpenPhoto] = field(default_factory=OrderedDict)
    _dropped: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _added: int = 0

    def add(self, name: str, open_photo: Open) -> str:
        """List a photo; returns its key."""
        self._added += 1
        self._listed[str(self._added)] = name, open_photo
        return str(self._added)

    def drop(self, name: str, data: bytes) -> str:
        """List a photo that somebody brought, once it is known to be one; older ones make room. Raises BokehflowError."""
        if self.estimate is None:
            remedy = "start it with `--model RUN` or `--model FILE.onnx`, or set an estimator under `[depth]`"
            raise DepthError(f"nobody estimates depth for this page: {remedy}")
        with self._lock:
            photo = OpenPhoto(name, *self.estimate(data))
            photo.check()
            estimate = self.estimate
            key = self.add(name, lambda: estimate(data))
            self._keep(key, photo)
            self._dropped.append(key)
            if len(self._dropped) > KEPT_DROPPED:
                oldest = self._dropped.pop(0)
                self._listed.pop(oldest, None)
                self._open.pop(oldest, None)
            return key

    def named(self, part: str = "") -> tuple[list[tuple[str, str]], int]:
        """Key and name of the first `MOST_NAMED` whose name has that part, in any case, and how many have it."""
        added = [(key, name) for key, (name, _) in list(self._listed.items()) if part.lower() in name.lower()]
        others = self.collection.named(part) if self.collection else []
        return [*added, *others[:MOST_NAMED]][:MOST_NAMED], len(added) + len(others)

    def opened(self, key: str) -> OpenPhoto:
        """A photo with its depth. Raises `KeyError` for an unknown key, BokehflowError where it cannot be refocused."""
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
            name, open_photo = self._found(key)
            photo = OpenPhoto(name, *open_photo())
            photo.check()
            self._keep(key, photo)
            return photo

    def _found(self, key: str) -> tuple[str, Open]:
        if key in self._listed or self.collection is None:
            return self._listed[key]
        return self.collection.find(key)

    def _keep(self, key: str, photo: OpenPhoto) -> None:
        self._open[key] = photo
        while len(self._open) > KEPT_OPEN:
            self._open.popitem(last=False)

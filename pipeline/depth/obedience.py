"""Whether refocused pictures obey the plane they were told: which true picture each is nearest to.

A scene is photographed with the focus on several planes. A method is told one of them, as a map of what is sharp, as a
patch drawn roughly around a place, or by a click; it has obeyed if its picture is nearer (L1) to the true one of that plane
than to those of the others. A method that does not look at the plane is right once in as many times as there are planes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from pipeline.depth.metrics import edges, widened
from pipeline.depth.refocus import ThinLens, disparity_at
from pipeline.depth.units import DepthError, Disparity

SHARP_PX = 0.6
"""Radius of a disc up to which a pixel counts as in focus."""
LEAST_SHARE = 0.01
"""Of the pixels, the nearest to the plane, that count as in focus where there is nothing in it."""
SURROUNDINGS_PX = 5
PATCH_SHARES = 0.04, 0.1
"""Of the shorter side: half the width and half the height of a drawn patch lie between these."""
RIM_PX = 2

Region = Bool[np.ndarray, "height width"]
Picture = UInt8[np.ndarray, "height width 3"]


class Place(NamedTuple):
    """A pixel."""

    row: int
    column: int


class Zones(NamedTuple):
    """Parts of a picture that are judged apart; the rim lies along steps of depth, and in neither of the others."""

    in_focus: Region
    out_of_focus: Region
    rim: Region


def in_focus(disparity: Disparity, lens: ThinLens) -> Region:
    """The map of what is sharp; where hardly anything is, of what comes nearest to it."""
    radius_px = np.abs(lens.radii_px(disparity))
    return radius_px <= max(SHARP_PX, float(np.quantile(radius_px, LEAST_SHARE)))


def click_in(region: Region) -> Place:
    """The pixel that has most of the region around it, the first of several."""
    around = ndimage.uniform_filter(region.astype(np.float32), SURROUNDINGS_PX, mode="constant")
    row, column = np.unravel_index(int(np.where(region, around, -1.0).argmax()), region.shape)
    return Place(int(row), int(column))


def patch_around(place: Place, shape: tuple[int, int], rng: np.random.Generator) -> Region:
    """What somebody draws who means that place: an ellipse of some size, which does not stop at edges."""
    half_height, half_width = rng.uniform(*PATCH_SHARES, 2) * min(shape)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - place.row) / half_height) ** 2 + ((columns - place.column) / half_width) ** 2 <= 1.0


def ways_to_tell(region: Region, rng: np.random.Generator) -> dict[str, Region]:
    """The same plane told by a `map` of what is sharp, by a `patch` drawn around a place in it, and by a `click` there."""
    place = click_in(region)
    click = np.zeros_like(region)
    click[place] = True
    return {"map": region, "patch": patch_around(place, (region.shape[0], region.shape[1]), rng), "click": click}


def plane_under(disparity: Disparity, region: Region) -> float:
    """The plane that a map means: the median of the known disparity under it, of a click (one pixel) that around it.

    Raises DepthError where nothing is known.
    """
    places = np.argwhere(region)
    if len(places) == 1:
        row, column = places[0].tolist()
        return disparity_at(disparity, column, row)
    under = disparity[region & (disparity > 0)]
    if not len(under):
        raise DepthError("the map covers nothing whose depth is known")
    return float(np.median(under))


def nearest_truth(result: Picture, truths: Sequence[Picture]) -> int:
    """The number of the true picture that a result is nearest to."""
    return int(np.argmin([np.abs(result.astype(float) - truth).mean() for truth in truths]))


def zones(disparity: Disparity, lens: ThinLens) -> Zones:
    """Of a scene with known depth under a lens."""
    known = disparity > 0
    rim = widened(edges(1.0 / np.where(known, disparity, 1.0), known), RIM_PX)
    sharp = np.abs(lens.radii_px(disparity)) <= SHARP_PX
    return Zones(sharp & ~rim, ~sharp & ~rim, rim)

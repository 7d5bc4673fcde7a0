"""The subject among the people of a picture, and what is cleaned away around it.

A segmenter says where people are, not who is meant. People who do not touch are told apart as regions; the subject is
the one with the highest score, with those who come near it: a group is meant as a whole. People who touch count as one,
unless a map of depth tells them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from pipeline.masks.nearest import nearness, told_apart
from pipeline.masks.refine import disk

Others = Literal["drop", "keep", "nearest"]
"""What becomes of people besides the subject."""

THREAD_SHARE = 0.006
"""Links between people thinner than twice this share of the long side are cut, to tell them apart."""
COMPANION = 0.5
"""Anyone who reaches this share of the subject's score is meant too: a couple, a group."""
SPECK_SHARE = 0.002
"""Regions and holes that cover less of the frame are specks."""
PLACE_SPREAD = 0.35
"""How fast a person's score falls from the middle of the frame: one standard deviation, in half frames."""


@dataclass(frozen=True)
class Person:
    """One person: share of the frame, place and sharpness, each in [0, 1]."""

    area_share: float
    place: float
    """1 in the middle of the frame, falling to the sides as exp(−d²/2σ²)."""
    sharpness: float
    """Strength of the strongest fine detail, relative to the sharpest person of the picture."""

    @property
    def score(self) -> float:
        """Area × place × sharpness: large, in the middle and in focus is who a portrait shows."""
        return self.area_share * self.place * self.sharpness


@dataclass(frozen=True, eq=False)
class Subject:
    """`alpha` uint8 [height, width]; the number of people found; how near the second comes to the subject's score.

    `runner_up` is 0 without a second person; from `COMPANION` on both are meant. Both are None where nobody counted.
    `uncertainty` as in `Seen`; `drawn_by` is who drew the alpha, where a person did.
    """

    alpha: np.ndarray
    people: int | None
    runner_up: float | None
    uncertainty: float | None = None
    drawn_by: str | None = None


def choose_subject(rgb: np.ndarray, alpha: np.ndarray, others: Others, disparity: np.ndarray | None = None) -> Subject:
    """The person meant. `rgb` is uint8 [height, width, 3], `alpha` uint8 [height, width] of everybody.

    With `others = "drop"` the alpha keeps the person with the highest score and companions, with "keep" everybody, with
    "nearest" the person who is nearest by `disparity` and who is as near; where no person's disparity is known, as "drop".
    Disparity is float32 [height, width], larger is nearer, 0 unknown; only "nearest" looks at it.
    Specks belong to nobody and go in all cases; small holes are filled. Without anybody alpha is 0 everywhere.
    Raises ValueError for another word of `others`.
    """
    if others not in get_args(Others):
        raise ValueError(f"others is {others!r}; it may be {', '.join(get_args(Others))}")
    regions, count = _regions(alpha)
    if not count:
        return Subject(np.zeros_like(alpha), 0, 0.0)
    if others == "nearest" and disparity is not None and (disparity[regions > 0] > 0).any():
        regions, count = told_apart(regions, disparity)
        scores = nearness(regions, count, disparity)
    elif count == 1:
        scores = np.ones(1)  # whoever is alone is meant, and need not be compared
    else:
        scores = np.array([person.score for person in _people(rgb, regions, count)])
    order = np.argsort(-scores, kind="stable")
    best = scores[order[0]]
    wanted = order if others == "keep" else [index for index in order if scores[index] >= COMPANION * best]
    kept = np.where(_belongs(regions, [index + 1 for index in wanted]), alpha, 0).astype(np.uint8)
    runner_up = float(scores[order[1]] / best) if count > 1 and best > 0 else 0.0
    return Subject(fill_holes(kept), count, runner_up)


def fill_holes(alpha: np.ndarray) -> np.ndarray:
    """Make holes opaque that are smaller than a speck and do not touch the frame; wider ones, as under an arm, stay."""
    from pipeline.pixel_loops import parts

    labels, known = parts(alpha < 128)
    height_px, width_px = alpha.shape
    left, top, right, bottom, area = known.T
    inside = (left > 0) & (top > 0) & (right < width_px - 1) & (bottom < height_px - 1)
    small = inside & (area < SPECK_SHARE * alpha.size)
    small[0] = False
    return np.where(small[labels], np.uint8(255), alpha) if small.any() else alpha


def _regions(alpha: np.ndarray) -> tuple[np.ndarray, int]:
    """People as regions: int32 [height, width] with 0 for nobody and 1, 2, … for each; and how many there are."""
    import cv2

    from pipeline.pixel_loops import parts

    opaque = (alpha >= 128).astype(np.uint8)
    radius_px = max(1, round(THREAD_SHARE * max(alpha.shape)))
    # Repeated edges, or whoever is cut by the frame would lose a strip along it.
    around = np.pad(opaque, radius_px, mode="edge")
    bodies = cv2.morphologyEx(around, cv2.MORPH_OPEN, disk(radius_px))[radius_px:-radius_px, radius_px:-radius_px]
    labels, known = parts(np.ascontiguousarray(bodies) > 0)
    large = known[:, -1] >= SPECK_SHARE * alpha.size
    large[0] = False
    if large[1:].all():
        return labels, int(large.sum())
    numbers = np.where(large, np.cumsum(large), 0).astype(np.int32)
    return numbers[labels], int(large.sum())


def _people(rgb: np.ndarray, regions: np.ndarray, count: int) -> list[Person]:
    import cv2

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    inner = [cv2.erode((regions == number).astype(np.uint8), disk(2)) > 0 for number in range(1, count + 1)]
    details = [float(np.percentile(detail[region], 95)) if region.any() else 0.0 for region in inner]
    # One level of grey is added, so that flat regions, which have no detail to compare, are equally sharp.
    sharpest = max(details, default=0.0) + 1
    return [
        Person(float((regions == number).mean()), _place(regions == number), (details[number - 1] + 1) / sharpest)
        for number in range(1, count + 1)
    ]


def _place(region: np.ndarray) -> float:
    """1 where the region's middle is the frame's, by the distance in half frames; sideways counts in full, height half."""
    ys, xs = np.nonzero(region)
    across = 2 * (xs.mean() + 0.5) / region.shape[1] - 1
    down = 2 * (ys.mean() + 0.5) / region.shape[0] - 1
    return float(np.exp(-(across**2 + (down / 2) ** 2) / (2 * PLACE_SPREAD**2)))


def _belongs(regions: np.ndarray, wanted: Sequence[int]) -> np.ndarray:
    """bool [height, width]: pixels that are nearer to a wanted person than to another, and not far from one."""
    import cv2

    is_wanted = np.zeros(int(regions.max()) + 1, bool)
    is_wanted[list(wanted)] = True
    chosen = is_wanted[regions]
    reach_px = 4 * max(1, round(THREAD_SHARE * max(regions.shape)))
    near = cv2.distanceTransform((~chosen).astype(np.uint8), cv2.DIST_L2, 5)
    rest = (regions > 0) & ~chosen
    if not rest.any():
        return near <= reach_px
    far = cv2.distanceTransform((~rest).astype(np.uint8), cv2.DIST_L2, 5)
    return (near <= reach_px) & (near <= far)

"""Who is nearest to the camera, by a map of depth. People who touch are told apart where depth steps between them.

Disparity is float32 [height, width], larger is nearer, 0 unknown. Its scale and shift do not matter, so that relative maps
do as well as metric ones. Regions are int32 [height, width]: 0 for nobody and 1, 2, … for each person.
"""

import numpy as np

from pipeline.masks.refine import disk

STEP_SHARE = 0.2
"""Of the picture's range of disparity: who differs by less is equally near, and where it steps by more one ends."""
REACH_SHARE = 0.008
"""Of the long side: within so much a step rises in maps of networks, which are soft."""
PART_SHARE = 0.1
"""Of the largest person: a smaller region is a hand, a bag or a mistake of the segmenter, and not who is meant."""
FAR_SHARE = 0.05
"""Of the map's pixels: as many lie behind what counts as its far end."""


def told_apart(regions: np.ndarray, disparity: np.ndarray) -> tuple[np.ndarray, int]:
    """The regions, cut where depth steps inside one, and their number. What is too small for a person stays with its next.

    Where nothing steps they stay as they are.
    """
    import cv2

    kernel = disk(max(2, round(REACH_SHARE * max(regions.shape))))
    highest = cv2.dilate(disparity, kernel)
    lowest = cv2.erode(np.where(disparity > 0, disparity, disparity.max()), kernel)
    people = regions > 0
    level = people & ~(highest - lowest > STEP_SHARE * _range_of(disparity, people))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(level.astype(np.uint8), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    large = areas >= PART_SHARE * max(int(areas.max()), 1)
    found, count = np.zeros_like(regions), 0
    for number in range(1, int(regions.max()) + 1):
        whole = regions == number
        own = [part for part in np.unique(parts[whole]) if part and large[part]] or [0]
        away = [_away_from(parts == part) for part in own] if len(own) > 1 else [np.zeros(whole.shape)]
        found[whole] = count + 1 + np.argmin(away, axis=0)[whole]
        count += len(own)
    return found, count


def nearness(regions: np.ndarray, count: int, disparity: np.ndarray) -> np.ndarray:
    """Of each person in [0, 1], float64: 1 is the nearest, at .5 and more somebody is as near as that one.

    By medians; all 0 where no person has a depth.
    """
    known = disparity > 0
    inside = [known & (regions == number) for number in range(1, count + 1)]
    medians = np.array([np.median(disparity[part]) if part.any() else np.nan for part in inside])
    areas = np.array([(regions == number).sum() for number in range(1, count + 1)])
    meant = medians[(areas >= PART_SHARE * areas.max()) & ~np.isnan(medians)]
    if not len(meant):
        return np.zeros(count)
    behind = np.abs(meant.max() - medians) / (2 * STEP_SHARE * max(_range_of(disparity, regions > 0), 1e-9))
    return np.nan_to_num((1 - behind).clip(0, 1), nan=0.0)


def _range_of(disparity: np.ndarray, people: np.ndarray) -> float:
    """From what lies farthest in the picture to the nearest of its people; 0 where nobody has a depth."""
    known = disparity > 0
    if not (known & people).any():
        return 0.0
    return float(np.quantile(disparity[known & people], 1 - FAR_SHARE) - np.quantile(disparity[known], FAR_SHARE))


def _away_from(region: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the region."""
    import cv2

    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5)

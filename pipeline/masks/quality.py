"""How near an alpha comes to the true one. Both uint8 [height, width]; every score is symmetric."""

import numpy as np


def iou(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of the regions that are more opaque than not, in [0, 1]; 1 where both are empty."""
    found, true = alpha >= 128, truth >= 128
    union = np.count_nonzero(found | true)
    return np.count_nonzero(found & true) / union if union else 1.0


def alpha_error(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference of the opacities, in [0, 1]."""
    return float(np.abs(alpha.astype(np.int16) - truth).mean() / 255)


def boundary_error(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance from each outline to the other, both ways, in percent of the long side.

    Outlines along the frame do not count. 0 where neither has one; 50 where only one has.
    """
    found, true = _outline(alpha), _outline(truth)
    if not found.any() and not true.any():
        return 0.0
    if not found.any() or not true.any():
        return 50.0
    there, back = _distance_to(true)[found].mean(), _distance_to(found)[true].mean()
    return float(100 * (there + back) / 2 / max(alpha.shape))


def _outline(alpha: np.ndarray) -> np.ndarray:
    """bool [height, width]: opaque pixels beside one that is not."""
    opaque = np.pad(alpha >= 128, 1, mode="edge")
    inside = opaque[:-2, 1:-1] & opaque[2:, 1:-1] & opaque[1:-1, :-2] & opaque[1:-1, 2:]
    return opaque[1:-1, 1:-1] & ~inside


def _distance_to(outline: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.distanceTransform((~outline).astype(np.uint8), cv2.DIST_L2, 5)

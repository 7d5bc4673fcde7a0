"""Baselines without learning: blur a copy and paste the subject back by its mask.

The 2018 study's two have kernels sized for its 256-pixel pictures. The others are as strong as a plain blur can be: a
Gaussian and a disc of the width that makes the backgrounds of domain A as soft as those of domain B. The study does not say
how it continued a picture beyond its frame; here it is mirrored about the outermost pixel.
"""

from collections.abc import Callable
from functools import cache, lru_cache

import cv2
import numpy as np
from scipy import ndimage

from pipeline.evaluation.measure.metrics import Rgb
from pipeline.regions import SUBJECT_LEVEL, Mask

Baseline = Callable[[Rgb, Mask], Rgb]
"""From a picture and the mask of its subject to the result, at the stored size."""
OfWidth = Callable[[float], Rgb]
"""The results of one picture by their width in pixels."""

AVERAGE_SIDE_PX = 5
GAUSSIAN_SIDE_PX = 9
FRAME = "mirror"
EMPTY = 1e-3
"""Weight of the pixel itself, where a disc finds no background."""
NARROWEST, WIDEST, TRIED_WIDTHS = 1 / 512, 1 / 16, 12
"""Widths that may be tried, as shares of the picture's side."""
WORSE_WIDTHS = 2
"""So many in a row, each a third wider than the one before, are no bump in the way to a better one."""


def average_5x5(image: Rgb) -> Rgb:
    """Each pixel the mean of the 25 around it."""
    return ndimage.uniform_filter(image, AVERAGE_SIDE_PX, mode=FRAME, axes=(1, 2))


def gaussian_9x9(image: Rgb) -> Rgb:
    """Each pixel the weighted mean of the 81 around it, weights exp(−d² / 2σ²) in each direction, normalised."""
    sigma_px = gaussian_sigma_px(GAUSSIAN_SIDE_PX)
    return ndimage.gaussian_filter(image, sigma_px, radius=GAUSSIAN_SIDE_PX // 2, mode=FRAME, axes=(1, 2))


def gaussian(image: Rgb, sigma_px: float) -> Rgb:
    """A Gaussian of any width, cut off at four σ, which must not reach beyond the mirrored frame."""
    radius_px = int(4 * sigma_px + 0.5)
    kernel = cv2.getGaussianKernel(2 * radius_px + 1, sigma_px, cv2.CV_64F)
    pictures = np.ascontiguousarray(image)
    return np.stack([cv2.sepFilter2D(one, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101) for one in pictures])


def gaussians(image: Rgb, mask: Mask) -> OfWidth:
    """Gaussians of any σ, the subject pasted back as the study did."""
    return lambda sigma_px: pasted(lambda whole: gaussian(whole, sigma_px))(image, mask)


def disc_held(image: Rgb, mask: Mask, radius_px: float) -> Rgb:
    """What a photographer's app does with a mask: the background's light spread over discs of one size.

    The subject's light does not bleed into the background, since it is left out there, and the subject is laid over it by
    its alpha. Discs that reach beyond the frame or under the subject are made up of what is known.
    """
    return discs_held(image, mask)(radius_px)


def discs_held(image: Rgb, mask: Mask) -> OfWidth:
    """`disc_held` of any radius; what does not depend on the radius is computed once."""
    # torch takes seconds to import, and reports do without.
    import torch

    from pipeline.models.lens import linear, srgb

    light = linear(torch.from_numpy(np.asarray(image, np.float32))).numpy()
    share = np.asarray(1.0 - mask, np.float32)
    lit, faint = np.concatenate([light * share, share], axis=3), _planes(EMPTY * light)

    def of_radius(radius_px: float) -> Rgb:
        kernel = _disc(radius_px)
        soft = np.empty_like(faint)
        for one, known, found in zip(lit, faint, soft, strict=True):
            *spread, weight = cv2.split(cv2.filter2D(one, -1, kernel, borderType=cv2.BORDER_CONSTANT))
            # By planes: numpy is slow where the innermost axis has three values.
            np.divide(np.add(spread, known), weight + np.float32(EMPTY), out=found)
        return paste_subject(np.moveaxis(srgb(torch.from_numpy(soft)).numpy(), 1, 3), image, mask)

    return of_radius


@lru_cache(maxsize=8)
def _disc(radius_px: float) -> np.ndarray:
    from pipeline.models.lens import disc

    return disc(radius_px, int(radius_px + 0.5)).numpy()


def pasted(blur: Callable[[Rgb], Rgb]) -> Baseline:
    """The blur, with the subject pasted back by its mask cut to 0 and 1, as the study's were."""

    def result(image: Rgb, mask: Mask) -> Rgb:
        return paste_subject(blur(image), image, (mask >= SUBJECT_LEVEL).astype(np.float32))

    return result


def fitting_width(misfit: Callable[[float], float], side_px: int) -> float:
    """The width, to a few per cent, at which a blur of pictures of this side has the least `misfit`.

    Widths are tried from one in the middle on, towards either end until `WORSE_WIDTHS` in a row are worse than the best,
    then some around the best.
    """
    misfit_of = cache(misfit)  # the second widths begin, end and may meet in the middle with ones of the first
    widths = _widths(NARROWEST * side_px, WIDEST * side_px, TRIED_WIDTHS)
    best = start = len(widths) // 2 - 1
    for towards in (range(start + 1, len(widths)), range(start - 1, -1, -1)):
        best = _downhill(misfit_of, widths, best, towards)
    around = _widths(widths[max(0, best - 1)], widths[min(len(widths) - 1, best + 1)], 7)
    return round(min(around, key=misfit_of), 2)


def _downhill(misfit: Callable[[float], float], widths: list[float], best: int, towards: range) -> int:
    """The best place known, or a better one this way."""
    worse = 0
    for place in towards:
        better = misfit(widths[place]) < misfit(widths[best])
        best, worse = (place, 0) if better else (best, worse + 1)
        if worse == WORSE_WIDTHS:
            break
    return best


def _widths(narrowest: float, widest: float, count: int) -> list[float]:
    """Each wider than the one before by the same factor, rounded so that equal ones are equal."""
    return np.geomspace(narrowest, widest, count).round(6).tolist()


def gaussian_sigma_px(side_px: int) -> float:
    """σ for a kernel of `side_px`: 0.3·((side − 1)/2 − 1) + 0.8.

    >>> round(gaussian_sigma_px(9), 12)
    1.7
    """
    return 0.3 * ((side_px - 1) / 2 - 1) + 0.8


def _planes(images: Rgb) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(images, 3, 1))


def paste_subject(blurred: Rgb, image: Rgb, mask: Mask) -> Rgb:
    """M·image + (1 − M)·blurred."""
    return np.asarray(mask * image + (1.0 - mask) * blurred, image.dtype)

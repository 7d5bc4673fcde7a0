"""What goes wrong with generated pictures, each fault as a number: pure functions on float arrays in [0, 1].

As in `metrics`, one float64 per picture that depends on that picture alone, NaN where there is nothing to measure.
"""

import cv2
import numpy as np
from scipy import ndimage

from pipeline.evaluation.measure.metrics import MIN_SHARPNESS, Rgb, Scores, float64
from pipeline.regions import Mask, Region, margin_px

LUMA = np.array([0.299, 0.587, 0.114])
UPSAMPLING_PERIODS_PX = (2, 4)
"""Transposed convolutions that double twice leave patterns of these periods."""
PEAK_HALF_WIDTH, SURROUND_HALF_WIDTH = 0.02, 0.08
"""Cycles per pixel around a frequency that count as its peak, and as what surrounds it."""
BLOCK_SHARE = 1 / 16
"""Side of the blocks in which the evenness of a blur is looked at, as a share of the picture's side."""
MIN_BLOCKS = 4
D65_WHITE = np.array([0.95047, 1.0, 1.08883])
SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def colour_shift(output: Rgb, reference: Rgb, region: Region) -> Scores:
    """Distance between the region's mean colours in CIELAB (CIE76 ΔE, D65); 0 (equal), 2.3 is just noticeable."""
    first, second = _lab(_region_mean(output, region)), _lab(_region_mean(reference, region))
    return np.sqrt(((first - second) ** 2).sum(axis=1))


def checkerboard(image: Rgb) -> Scores:
    """Energy at the frequencies that upsampling leaves, as a multiple of the energy around them; 1 means no pattern.

    Periods of 2 and 4 px, in rows, columns and both, in the spectrum of the luminance under a Hann window. The
    largest of them counts: a pattern in one direction is a pattern.
    """
    height_px, width_px = image.shape[1:3]
    window = np.hanning(height_px)[:, None] * np.hanning(width_px)
    luma = float64(image) @ LUMA
    luma = luma - luma.mean(axis=(1, 2), keepdims=True)
    energy = np.abs(np.fft.fft2(luma * window)) ** 2
    rows, columns = np.abs(np.fft.fftfreq(height_px))[:, None], np.abs(np.fft.fftfreq(width_px))[None]
    ratios = []
    for period_px in UPSAMPLING_PERIODS_PX:
        for row, column in ((1 / period_px, 0.0), (0.0, 1 / period_px), (1 / period_px, 1 / period_px)):
            distance = np.maximum(np.abs(rows - row), np.abs(columns - column))
            peak = distance <= PEAK_HALF_WIDTH
            around = (distance > PEAK_HALF_WIDTH) & (distance <= SURROUND_HALF_WIDTH)
            ratios.append(energy[:, peak].mean(axis=1) / np.maximum(np.median(energy[:, around], axis=1), 1e-12))
    flat = energy.sum(axis=(1, 2)) < 1e-9
    return np.where(flat, np.nan, np.max(ratios, axis=0))


def imagined(output: Rgb, reference: Rgb, region: Region) -> Scores:
    """Structure of the output's background that the input does not have: 0 (none) to about 1.

    Mean of what the output's gradient exceeds the largest gradient of the input nearby (within the margin of the
    picture's size), so that neither blurring nor moving an edge a little counts.
    """
    reach = 2 * margin_px(output.shape[1]) + 1
    before = ndimage.maximum_filter(_gradient(reference), size=(1, reach, reach))
    excess = np.maximum(_gradient(output) - before, 0.0)
    return _mean(excess, region)


def blur_unevenness(output: Rgb, reference: Rgb, region: Region) -> Scores:
    """Standard deviation of log2(sharpness after / before) over the background's blocks; 0 is an even blur, 1 an octave.

    Blocks whose input is flat say nothing and are left out; NaN with fewer than `MIN_BLOCKS` left.
    """
    side = max(4, round(output.shape[1] * BLOCK_SHARE))
    after, before = (_block_means(_laplacian(picture), region, side) for picture in (output, reference))
    scores = np.full(len(output), np.nan)
    for index in range(len(output)):
        known = np.isfinite(before[index]) & (before[index] >= 4 * MIN_SHARPNESS)
        if known.sum() >= MIN_BLOCKS:
            scores[index] = np.log2(np.maximum(after[index][known], MIN_SHARPNESS) / before[index][known]).std()
    return scores


def rim_sharpness(output: Rgb, reference: Rgb, mask: Mask) -> Scores:
    """Sharpness after / before in a rim just outside the subject; a halo of sharp background stays near 1.

    The rim lies one pixel to the margin away from the subject, where a mask's fringe is left behind.
    """
    rim = _rim(mask)
    before = _mean(_laplacian(reference), rim)
    known = before >= MIN_SHARPNESS
    return np.where(known, _mean(_laplacian(output), rim) / np.where(known, before, 1.0), np.nan)


def leak(output: Rgb, reference: Rgb, mask: Mask) -> Scores:
    """How much of the subject's colour has spread into the rim outside it: 0 (none), 1 (as by blurring it along).

    The rim's change is compared with two blurs of the input by the margin's width: one that lets the subject in and
    one of the background alone. The score is the share of their difference that the output shows, by least squares,
    and 0 where that is negative.
    """
    rim, sigma_px = _rim(mask), margin_px(output.shape[1]) / 2
    inside = (mask >= 0.5).astype(np.float64)
    output, reference = float64(output), float64(reference)
    everything = _blurred(reference, sigma_px)
    outside = _blurred(reference * (1 - inside), sigma_px) / np.maximum(_blurred(1 - inside, sigma_px), 1e-6)
    spread = everything - outside
    strength = _mean((spread**2).sum(axis=3, keepdims=True), rim)
    share = _mean(((output - outside) * spread).sum(axis=3, keepdims=True), rim)
    known = strength > 1e-6
    # Detail that was not blurred can point the other way; that is no leak either.
    return np.where(known, np.maximum(share / np.where(known, strength, 1.0), 0.0), np.nan)


def _rim(mask: Mask) -> Region:
    subject = (mask >= 0.5)[..., 0]
    near, far = (
        np.stack([ndimage.binary_dilation(picture, iterations=steps) for picture in subject])
        for steps in (1, 1 + margin_px(mask.shape[1]))
    )
    return np.logical_and(far, np.logical_not(near))[..., None]


def _lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1], [n, 3], to CIELAB under D65."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratio = linear @ SRGB_TO_XYZ.T / D65_WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _region_mean(image: Rgb, region: Region) -> np.ndarray:
    """Mean colour of each picture's region, [n, 3], NaN without pixels."""
    pixels = region.sum(axis=(1, 2))
    total = np.where(region, float64(image), 0.0).sum(axis=(1, 2))
    return np.where(pixels > 0, total / np.maximum(pixels, 1), np.nan)


def _gradient(image: Rgb) -> np.ndarray:
    """Length of the luminance's gradient by central differences, [n, height, width]."""
    luma = float64(image) @ LUMA
    rows, columns = np.gradient(luma, axis=(1, 2))
    return np.hypot(rows, columns)


def _laplacian(image: Rgb) -> np.ndarray:
    """|Laplacian| of the luminance, [n, height, width]."""
    luma = float64(image) @ LUMA
    return np.stack([np.abs(ndimage.laplace(picture, mode="nearest")) for picture in luma])


def _blurred(values: np.ndarray, sigma_px: float) -> np.ndarray:
    radius_px = int(4 * sigma_px + 0.5)
    kernel = cv2.getGaussianKernel(2 * radius_px + 1, sigma_px, cv2.CV_64F)
    pictures = np.ascontiguousarray(values, np.float64)
    blurred = [cv2.sepFilter2D(one, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT) for one in pictures]
    return np.stack(blurred).reshape(pictures.shape) if blurred else pictures


def _mean(values: np.ndarray, region: Region) -> Scores:
    """Mean of values [n, height, width] or [n, height, width, 1] over the region, NaN without pixels."""
    inside = region[..., 0]
    values = values[..., 0] if values.ndim == 4 else values
    pixels = inside.sum(axis=(1, 2))
    total = np.where(inside, values, 0.0).sum(axis=(1, 2))
    return np.where(pixels > 0, total / np.maximum(pixels, 1), np.nan)


def _block_means(values: np.ndarray, region: Region, side: int) -> np.ndarray:
    """Means over blocks of `side`² that lie in the region for the most part, [n, blocks], NaN for the others."""
    count, height, width = values.shape
    rows, columns = height // side, width // side
    cut = (slice(None), slice(rows * side), slice(columns * side))
    shape = (count, rows, side, columns, side)
    inside = region[..., 0][cut].reshape(shape).astype(np.float64)
    total = (values[cut].reshape(shape) * inside).sum(axis=(2, 4))
    pixels = inside.sum(axis=(2, 4))
    return np.where(pixels >= side * side / 2, total / np.maximum(pixels, 1), np.nan).reshape(count, -1)

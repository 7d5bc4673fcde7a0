"""Scores of an output picture, as pure functions on float arrays in [0, 1].

Every function takes a batch and returns one float64 per picture that depends on that picture alone. A region
is a boolean array; where a picture's region is empty there is nothing to measure and the score is NaN, which
becomes null in tables and does not count in means. Arrays of another type, such as bytes from 0 to 255, raise ValueError.
"""

import cv2
import numpy as np
from jaxtyping import Float, Float64
from scipy import ndimage

from pipeline.arrays import check_array
from pipeline.regions import SUBJECT_LEVEL, Mask, Region

Rgb = Float[np.ndarray, "batch height width 3"]
"""sRGB in [0, 1]."""
Scores = Float64[np.ndarray, " batch"]
"""One score a picture, NaN where its region is empty."""

MAX_PSNR_DB = 100.0
"""PSNR of equal pictures, so that means stay finite; 8-bit rounding alone gives about 59 dB."""
MIN_SHARPNESS = 1e-4
"""Mean |Laplacian| below which a region is flat, so that no share of its sharpness can be told."""
SSIM_SIGMA_PX, SSIM_RADIUS_PX = 1.5, 5
"""The 11×11 window of Wang et al."""
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def l1(output: Rgb, reference: Rgb, region: Region) -> Scores:
    """Mean |output − reference| over the region and the channels; 0 (equal) to 1."""
    return _mean(np.abs(float64(output) - float64(reference)), region)


def psnr_db(output: Rgb, reference: Rgb, region: Region) -> Scores:
    """−10 log₁₀ of the mean squared difference over the region, in dB; at most `MAX_PSNR_DB`, for equal pictures."""
    squared = _mean((float64(output) - float64(reference)) ** 2, region)
    return -10.0 * np.log10(np.maximum(squared, 10.0 ** (-MAX_PSNR_DB / 10.0)))


def ssim(output: Rgb, reference: Rgb, region: Region) -> Scores:
    """Structural similarity, mean over the region and the channels; −1 to 1 (equal).

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004): Gaussian
    windows of 11×11 pixels with σ 1.5, K₁ 0.01, K₂ 0.03. A window sees the region's pixels only (its weights
    are normalised over them), so that what happens outside cannot change the score.
    """
    x, y = float64(output), float64(reference)
    weight = _window(region.astype(np.float64))
    mean_x, mean_y = _local(x, region, weight), _local(y, region, weight)
    variance_x = _local(x * x, region, weight) - mean_x**2
    variance_y = _local(y * y, region, weight) - mean_y**2
    covariance = _local(x * y, region, weight) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)
    return _mean(luminance * structure, region)


def sharpness(image: Rgb, region: Region) -> Scores:
    """Mean |Laplacian| over the region and the channels; 0 (flat) to 4 (a one-pixel chequerboard).

    The Laplacian is that of the four neighbours, the frame's pixels repeated outwards. It reaches one pixel
    beyond the region, no more.
    """
    stencil = np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, :, :, None]
    return _mean(np.abs(ndimage.convolve(float64(image), stencil, mode="nearest")), region)


def relative_sharpness(output: Rgb, reference: Rgb, region: Region) -> Scores:
    """Sharpness of the output as a share of the reference's; 0 (flat), 1 (unchanged), above 1 (sharper).

    NaN too where the reference's region is flat (below `MIN_SHARPNESS`).
    """
    before = sharpness(reference, region)
    known = before >= MIN_SHARPNESS
    return np.where(known, sharpness(output, region) / np.where(known, before, 1.0), np.nan)


def mask_iou(mask: Mask, reference: Mask) -> Scores:
    """Intersection over union of two masks cut at `SUBJECT_LEVEL`; 0 to 1 (equal), NaN where both are empty."""
    for each in (mask, reference):
        check_array("a mask", each, Mask)
    first, second = _flat(mask >= SUBJECT_LEVEL), _flat(reference >= SUBJECT_LEVEL)
    union = (first | second).sum(axis=1)
    shared = (first & second).sum(axis=1)
    return np.where(union > 0, shared / np.maximum(union, 1), np.nan)


def _mean(values: np.ndarray, region: Region) -> Scores:
    """Mean over the region's pixels and all channels of each picture, NaN without any."""
    check_array("the region", region, Region)
    pixels = _flat(region).sum(axis=1)
    total = _flat(np.where(region, values, 0.0)).sum(axis=1)
    return np.where(pixels > 0, total / np.maximum(pixels * values.shape[-1], 1), np.nan)


def _local(values: np.ndarray, region: Region, weight: np.ndarray) -> np.ndarray:
    """Windowed mean of `values` over the region's pixels; `weight` is how much of each window they fill."""
    return _window(np.where(region, values, 0.0)) / np.where(region, weight, 1.0)


def _window(values: np.ndarray) -> np.ndarray:
    kernel = cv2.getGaussianKernel(2 * SSIM_RADIUS_PX + 1, SSIM_SIGMA_PX, cv2.CV_64F)
    windows = [
        cv2.sepFilter2D(np.ascontiguousarray(picture), -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
        for picture in values
    ]
    return np.stack(windows).reshape(values.shape) if windows else values


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def float64(image: Rgb) -> np.ndarray:
    """The picture to be computed with. Raises ValueError for one of another type."""
    check_array("a picture", image, Rgb)
    return np.asarray(image, np.float64)

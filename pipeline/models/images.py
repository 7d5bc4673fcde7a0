"""Images as the models see them: tensor types, the two value ranges, and applying a generator.

Inside the models images lie in [-1, 1], everywhere else in [0, 1] (or uint8). `to_model_range` and
`from_model_range` are the only way between.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional

from pipeline.arrays import check_array

Images = Float[Tensor, "batch 3 height width"]
"""RGB in [-1, 1] inside the models."""

Masks = Float[Tensor, "batch 1 height width"]
"""The subject's alpha in [0, 1]."""

Disparities = Float[Tensor, "batch 1 height width"]
"""Disparity, larger is nearer, 0 where it is unknown; in 1/m where the map is metric."""

RgbArray = UInt8[np.ndarray, "batch height width 3"]
"""sRGB, 0 to 255, as pictures are stored."""

AlphaArray = UInt8[np.ndarray, "batch height width"]
"""The subject's alpha, 0 to 255, as it is stored."""

UnitRgbArray = Float32[np.ndarray, "batch height width 3"]
"""sRGB in [0, 1]."""

RgbPhoto = UInt8[np.ndarray, "height width 3"]
"""One photo, sRGB, 0 to 255."""

AlphaPhoto = UInt8[np.ndarray, "height width"]
"""The alpha of one photo's subject, 0 to 255."""

UnitRgbPhoto = Float32[np.ndarray, "height width 3"]
"""One photo, sRGB in [0, 1]."""

STRIDE_PX = 8
"""Sides must be multiples of this: generators halve their input twice, and a plan may be made at half the size."""

LEAST_EDGE_PX = 2 * STRIDE_PX
"""Of photos that shall be translated: what is left of a smaller one has no spread that it could be normalised by."""

MAX_BATCH_PIXELS = 16 * 256 * 256
"""Pixels that `translate` sends through a generator at once: about 1.5 GB for the full-size network."""

CPU_BATCH_PIXELS = 2 * 256 * 256
"""The same on a processor, whose caches hold no more: larger batches take a third longer a picture."""


def to_model_range(unit: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """[0, 1] to [-1, 1].

    >>> to_model_range(torch.tensor([0.0, 0.5, 1.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return unit * 2.0 - 1.0


def from_model_range(images: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """[-1, 1] to [0, 1]; what lies outside is clipped, since a residual output may overshoot a little.

    >>> from_model_range(torch.tensor([-1.1, 0.0, 1.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return ((images + 1.0) * 0.5).clamp(0.0, 1.0)


def images_from_uint8(rgb: RgbArray, device: torch.device) -> Images:
    """Stored pictures to model images, [0, 255] to [-1, 1], on `device`."""
    tensor = torch.from_numpy(np.require(rgb, requirements=["C", "W"])).to(device)
    return to_model_range(tensor.permute(0, 3, 1, 2).contiguous().float() / 255.0)


def masks_from_uint8(alpha: AlphaArray, device: torch.device) -> Masks:
    """Stored alpha to model masks, [0, 255] to [0, 1], on `device`."""
    return torch.from_numpy(np.require(alpha, requirements=["C", "W"])).to(device)[:, None].float() / 255.0


def overlaid(generated: Images, real: Images, alpha: Masks) -> Images:
    """The real subject over the generated background: alpha · real + (1 - alpha) · generated.

    >>> overlaid(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), torch.full((1, 1, 1, 1), 0.25)).flatten().tolist()
    [0.25, 0.25, 0.25]
    """
    return generated + alpha * (real - generated)


def translate(generator: nn.Module, rgb: RgbArray, alpha: AlphaArray | None = None) -> UnitRgbArray:
    """Apply `generator` to pictures of any one size; returns float32 in [0, 1], same shape.

    `alpha` is that of the subjects, for a generator whose lens holds them; others pass over it.

    Pictures go through in batches of at most `MAX_BATCH_PIXELS` pixels, on a processor `CPU_BATCH_PIXELS` (one picture at
    least), so that memory is bounded by one batch beside input and output. Sides that are no multiple of `STRIDE_PX` are
    padded by reflection and cut again. The generator runs where its weights are and should be in eval mode.
    Raises ValueError for arrays of another type.
    """
    check_array("rgb", rgb, RgbArray)
    if alpha is not None:
        check_array("alpha", alpha, AlphaArray)
    device = next(generator.parameters()).device
    pixels = CPU_BATCH_PIXELS if device.type == "cpu" else MAX_BATCH_PIXELS
    pictures_at_once = max(1, pixels // (rgb.shape[1] * rgb.shape[2]))
    translated = np.empty(rgb.shape, np.float32)
    for start in range(0, len(rgb), pictures_at_once):
        part = slice(start, start + pictures_at_once)
        masks = None if alpha is None else masks_from_uint8(alpha[part], device)
        translated[part] = _translate_batch(generator, images_from_uint8(rgb[part], device), masks)
    return translated


@torch.inference_mode()
def _translate_batch(generator: nn.Module, images: Images, masks: Masks | None) -> UnitRgbArray:
    height_px, width_px = images.shape[-2:]
    padded = padded_to_stride(images)
    output = generator(padded) if masks is None else generator(padded, padded_to_stride(masks))
    return from_model_range(output[..., :height_px, :width_px]).permute(0, 2, 3, 1).float().cpu().numpy()


def padded_to_stride(tensor: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels rows columns"]:
    """Reflected at the lower and right border until the sides are multiples of `STRIDE_PX`; tiny ones repeat their edge."""
    height_px, width_px = tensor.shape[-2:]
    mode = "reflect" if min(height_px, width_px) >= STRIDE_PX else "replicate"
    return functional.pad(tensor, (0, -width_px % STRIDE_PX, 0, -height_px % STRIDE_PX), mode=mode)

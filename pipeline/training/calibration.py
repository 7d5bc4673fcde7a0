"""How strong a trained lens shall be: one factor for all its discs, fitted to the training pictures.

A discriminator tells where a background is sharper than those of B long after it has stopped to tell by how much, so runs
of different seeds end at the same places with discs of different sizes. What they end at can be measured, by the two
measures of `pipeline.softness`, and one number sets most of it right.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pipeline.models.images import UnitRgbArray, from_model_range, images_from_uint8, masks_from_uint8, padded_to_stride
from pipeline.models.lens_generator import LensGenerator
from pipeline.models.networks import Generator
from pipeline.training.progress_checks import Checker

STRENGTHS = 1.0, 0.9, 1.15, 0.8, 1.3, 0.7, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35
"""What is tried, the nearest to what was trained with first."""
AS_GOOD = 1.1
"""A misfit at most so many times the least one is as good: no picture tells so little, and the mildest change is made."""
PICTURES = 64
"""Of each domain, at most; 32 do nearly as well, 16 say too little."""


def calibrate(generator: Generator, pictures: Checker) -> float:
    """Set a trained lens to the strength that brings the pictures of A nearest to those of B; returns the strength.

    1 where the pictures cannot tell. `ValueError` where the generator has no lens that is calibrated.
    """
    if not isinstance(generator, LensGenerator) or not generator.config.lens_calibrated:
        raise ValueError("this generator has no lens that is calibrated")
    before, generator = generator.training, generator.eval()
    misfits = dict(zip(STRENGTHS, map(pictures.misfit, _outputs(generator, pictures, STRENGTHS)), strict=True))
    fitting = next(strength for strength in STRENGTHS if misfits[strength] <= AS_GOOD * min(misfits.values()))
    generator.calibrate(fitting)
    generator.train(before)
    return fitting


@torch.inference_mode()
def _outputs(generator: LensGenerator, pictures: Checker, strengths: Sequence[float]) -> Iterator[UnitRgbArray]:
    """Of all pictures of A, with one strength after the other; the plan of each is made once."""
    device = generator.strength.device
    generator.calibrate(1.0)
    batches = []
    for rgb, alpha in zip(pictures.rgb, pictures.alpha, strict=True):
        images, masks = (
            padded_to_stride(one) for one in (images_from_uint8(rgb[None], device), masks_from_uint8(alpha[None], device))
        )
        batches.append((images, *generator.setting(images, masks)))
    side_px = pictures.rgb.shape[1]
    for strength in strengths:
        lens = generator.lens_of(strength).to(device)
        seen = [lens(*batch)[0, :, :side_px, :side_px] for batch in batches]
        yield np.stack([from_model_range(one).permute(1, 2, 0).float().cpu().numpy() for one in seen])

"""A finished run's generator as ONNX, for programs without torch; checked against torch before it is kept."""

import json
from pathlib import Path

import numpy as np
import torch
from torch.export import Dim

from pipeline.atomic import atomic_path
from pipeline.errors import TrainingError
from pipeline.models.images import STRIDE_PX
from pipeline.models.networks import Generator

TOLERANCE = 1e-3
"""Largest difference that a pixel may show, of a range of 2."""
TRIAL_SIZES_PX = ((64, 64), (96, 160))


def export_onnx(generator: Generator, path: Path, provenance: dict[str, str | int]) -> float:
    """Write the generator; returns the largest difference to torch's output on trial pictures, range [-1, 1].

    Input `images` and output `translated` are float32 [batch, 3, height, width] in [-1, 1], RGB; batch and sides are
    free, sides multiples of 4. `provenance` goes into the file's metadata. TrainingError if the outputs differ by more
    than `TOLERANCE`; nothing is written then.
    """
    generator = generator.cpu().eval()
    sides = {2: STRIDE_PX * Dim("rows", min=4), 3: STRIDE_PX * Dim("columns", min=4)}
    program = torch.onnx.export(
        generator,
        (torch.zeros(2, 3, *TRIAL_SIZES_PX[1]),),
        dynamo=True,
        input_names=["images"],
        output_names=["translated"],
        dynamic_shapes=({0: Dim("batch"), **sides},),
        verbose=False,
        external_data=False,
    )
    assert program is not None
    program.model.metadata_props["bokehflow"] = json.dumps(provenance, sort_keys=True)
    with atomic_path(path) as temporary:
        program.save(temporary)
        difference = _difference(generator, temporary)
        if difference > TOLERANCE:
            raise TrainingError(f"The ONNX model differs from torch's by {difference:.4f}, more than {TOLERANCE}.")
    return difference


def _difference(generator: Generator, path: Path) -> float:
    """Largest difference between both on random pictures of several sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random, largest = torch.Generator().manual_seed(0), 0.0
    for height_px, width_px in TRIAL_SIZES_PX:
        images = torch.rand(1, 3, height_px, width_px, generator=random) * 2 - 1
        (output,) = session.run(None, {"images": images.numpy()})
        with torch.inference_mode():
            expected = generator(images).numpy()
        largest = max(largest, float(np.abs(np.asarray(output) - expected).max()))
    return largest

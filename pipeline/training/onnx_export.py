"""A finished run's generator as ONNX, for programs without torch; checked against torch before it is kept."""

import json
from pathlib import Path

import numpy as np
import torch
from torch.export import Dim

from pipeline.atomic import atomic_path
from pipeline.errors import TrainingError
from pipeline.models.networks import Generator

TOLERANCE = 1e-3
"""Largest difference that a pixel may show, of a range of 2."""
TRIAL_SIZES_PX = ((64, 64), (96, 160))


def export_onnx(generator: Generator, path: Path, provenance: dict[str, str | int]) -> float:
    """Write the generator; returns the largest difference to torch's output on trial pictures, range [-1, 1].

    Input `images` and output `translated` are float32 [batch, 3, height, width] in [-1, 1], RGB; a generator that holds
    the subject takes its `alpha` too, [batch, 1, height, width] in [0, 1]. Batch and sides are free, sides multiples of
    the generator's stride. `provenance` goes into the file's metadata. TrainingError if the outputs differ by more than
    `TOLERANCE`; nothing is written then.
    """
    generator = generator.cpu().eval()
    sides = {2: generator.stride_px * Dim("rows", min=4), 3: generator.stride_px * Dim("columns", min=4)}
    inputs = _trial_inputs(generator, 2, TRIAL_SIZES_PX[1])
    program = torch.onnx.export(
        generator,
        tuple(inputs.values()),
        dynamo=True,
        input_names=[*inputs],
        output_names=["translated"],
        dynamic_shapes=tuple({0: Dim("batch"), **sides} for _ in inputs),
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


def input_words(generator: Generator) -> str:
    """What the exported file takes, for people."""
    alpha = ", and the subject's alpha in [0, 1]" if generator.holds_subject else ""
    return f"float32 RGB in [-1, 1]{alpha}, any batch, sides multiples of {generator.stride_px}"


def _trial_inputs(
    generator: Generator, batch: int, size_px: tuple[int, int], random: torch.Generator | None = None
) -> dict[str, torch.Tensor]:
    """Random inputs by the names that the file gives them."""
    inputs = {"images": torch.rand(batch, 3, *size_px, generator=random) * 2 - 1}
    if generator.holds_subject:
        inputs["alpha"] = torch.rand(batch, 1, *size_px, generator=random)
    return inputs


def _difference(generator: Generator, path: Path) -> float:
    """Largest difference between both on random pictures of several sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random, largest = torch.Generator().manual_seed(0), 0.0
    for size_px in TRIAL_SIZES_PX:
        inputs = _trial_inputs(generator, 1, size_px, random)
        (output,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        with torch.inference_mode():
            expected = generator(*inputs.values()).numpy()
        largest = max(largest, float(np.abs(np.asarray(output) - expected).max()))
    return largest

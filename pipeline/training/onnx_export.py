"""A finished run's generator as ONNX, for programs without torch; checked against torch before it is kept."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from pipeline.atomic import atomic_path
from pipeline.errors import TrainingError
from pipeline.models.images import Images
from pipeline.models.lens_generator import LensGenerator
from pipeline.models.networks import Generator

TOLERANCE = 1e-3
"""Largest difference that a pixel may show, of a range of 2."""
LEAST_SIDE_PX = 64
"""Of a picture; the subject's finder halves it five times and mirrors what is left at its edges."""
TRIAL_SIZES_PX = ((LEAST_SIDE_PX, LEAST_SIDE_PX), (96, 160))


def export_onnx(generator: Generator, path: Path, provenance: dict[str, str | int]) -> float:
    """Write the generator; returns the largest difference to torch's output on trial pictures, range [-1, 1].

    Input `images` and output `translated` are float32 [batch, 3, height, width] in [-1, 1], RGB; a generator that holds
    the subject takes its `alpha` too, [batch, 1, height, width] in [0, 1]. Batch and sides are free, sides multiples of
    the generator's stride, `LEAST_SIDE_PX` and more. `provenance` goes into the file's metadata. TrainingError if the
    outputs differ by more than `TOLERANCE`; nothing is written then.
    """
    return _export(generator.cpu().eval(), _trial_inputs(generator), "translated", path, provenance)


class LensPlanner(nn.Module):
    """What a generator that ends in a lens sets it to, without looking through it."""

    def __init__(self, generator: LensGenerator) -> None:
        super().__init__()
        self.generator, self.stride_px = generator, generator.stride_px

    def forward(self, images: Images) -> Tensor:
        """The plan, and as one more channel the logits of the subject where the generator finds it."""
        plan = self.generator.plan(images)
        return plan if self.generator.finder is None else torch.cat([plan, self.generator.subject_logits(images)], 1)


def export_plan(generator: LensGenerator, path: Path, provenance: dict[str, str | int]) -> float:
    """Write the network of `LensPlanner`, for programs that look through the lens themselves; as `export_onnx` else.

    Input `images`; output `plan`, float32 [batch, channels, height, width]: `lens.PLAN_CHANNELS` logits, then the subject's.
    """
    planner = LensPlanner(generator.cpu().eval()).eval()
    return _export(planner, lambda *given: {"images": _images(*given)}, "plan", path, provenance)


Inputs = Callable[[int, tuple[int, int], torch.Generator | None], dict[str, torch.Tensor]]
"""Random inputs by name, for a batch of so many and a height and width."""


def _export(
    network: Generator | LensPlanner, inputs_of: Inputs, output: str, path: Path, provenance: dict[str, str | int]
) -> float:
    stride_px, least = network.stride_px, LEAST_SIDE_PX // network.stride_px
    sides = {2: stride_px * Dim("rows", min=least), 3: stride_px * Dim("columns", min=least)}
    inputs = inputs_of(2, TRIAL_SIZES_PX[1], None)
    with warnings.catch_warnings():
        # Pictures and their alpha have the same sides, by the same names.
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            dynamo=True,
            input_names=[*inputs],
            output_names=[output],
            dynamic_shapes=tuple({0: Dim("batch"), **sides} for _ in inputs),
            verbose=False,
            external_data=False,
        )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # from which lines of which files on this machine it came
    program.model.metadata_props["bokehflow"] = json.dumps(provenance, sort_keys=True)
    with atomic_path(path) as temporary:
        program.save(temporary)
        difference = _difference(network, inputs_of, temporary)
        if difference > TOLERANCE:
            raise TrainingError(f"The ONNX model differs from torch's by {difference:.4f}, more than {TOLERANCE}.")
    return difference


def input_words(generator: Generator) -> str:
    """What the exported file takes, for people."""
    alpha = ", and the subject's alpha in [0, 1]" if generator.holds_subject else ""
    sides = f"multiples of {generator.stride_px}, {LEAST_SIDE_PX}" if generator.stride_px > 1 else f"of {LEAST_SIDE_PX}"
    return f"float32 RGB in [-1, 1]{alpha}, any batch, sides {sides} px and more"


def _trial_inputs(generator: Generator) -> Inputs:
    def inputs(batch: int, size_px: tuple[int, int], random: torch.Generator | None) -> dict[str, torch.Tensor]:
        images = {"images": _images(batch, size_px, random)}
        if not generator.holds_subject:
            return images
        return {**images, "alpha": torch.rand(batch, 1, *size_px, generator=random)}

    return inputs


def _images(batch: int, size_px: tuple[int, int], random: torch.Generator | None) -> torch.Tensor:
    return torch.rand(batch, 3, *size_px, generator=random) * 2 - 1


def _difference(network: nn.Module, inputs_of: Inputs, path: Path) -> float:
    """Largest difference between both on random pictures of several sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random, largest = torch.Generator().manual_seed(0), 0.0
    for size_px in TRIAL_SIZES_PX:
        inputs = inputs_of(1, size_px, random)
        (output,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        with torch.inference_mode():
            expected = network(*inputs.values()).numpy()
        largest = max(largest, float(np.abs(np.asarray(output) - expected).max()))
    return largest

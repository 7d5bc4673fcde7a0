"""What a generator costs: parameters, operations, and the time and memory that a picture of each size takes.

They depend on the generator's architecture and the machine, not on what it has learned.
"""

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.networks import Generator

SIDES_PX = (256, 512, 1024)
RUNS = {256: 3, 512: 1, 1024: 1}
"""Timed runs at each size, on a processor; a GPU, where a run costs little, does `GPU_RUNS`."""
GPU_RUNS = 10
MEMORY_SHARE = 0.5
"""Of the free memory: a size whose tensors need more is left out, since convolutions need room of their own."""
MEGABYTE = 1e6


def generator_costs(generator: nn.Module, sides_px: tuple[int, ...] = SIDES_PX) -> dict[str, float]:
    """By name, of each size: times are medians for one picture in milliseconds, memory is that of `peak_memory_mb`.

    Timed where the generator's weights are. NaN for the time of a size that needs more memory than is free.
    """
    found = {"parameters": float(sum(one.numel() for one in generator.parameters())), "flops_256": flops(generator, 256)}
    for side_px in sides_px:
        memory_mb = peak_memory_mb(generator, side_px)
        fits = memory_mb <= MEMORY_SHARE * _free_mb(generator)
        found |= {f"ms_{side_px}": _time_ms(generator, side_px) if fits else float("nan")}
        found |= {f"memory_mb_{side_px}": memory_mb}
    return found


def flops(generator: nn.Module, side_px: int) -> float:
    """Floating-point operations for one picture, a multiplication and an addition as two; nothing is computed."""
    shapes_only = _shapes_only(generator)
    with FlopCounterMode(display=False) as counter:
        _pass(shapes_only, side_px)
    return float(counter.get_total_flops())


def peak_memory_mb(generator: nn.Module, side_px: int) -> float:
    """The most that the tensors of one picture's pass hold at once, weights left out, in megabytes; nothing is computed.

    What a convolution takes for itself while it works, which differs between processors, is not in it.
    """
    shapes_only = _shapes_only(generator)
    with _LiveTensors() as live:
        _pass(shapes_only, side_px)
    return live.peak_bytes / MEGABYTE


def _shapes_only(generator: nn.Module) -> nn.Module:
    """The generator without its weights, on torch's device for tensors that have no content."""
    return copy.deepcopy(generator).to("meta")


def _pass(shapes_only: nn.Module, side_px: int) -> None:
    with torch.inference_mode():
        shapes_only(*_inputs(shapes_only, side_px, torch.device("meta")))


def _inputs(generator: nn.Module, side_px: int, device: torch.device) -> list[Tensor]:
    """A picture and, for a generator that holds the subject, its alpha."""
    holds = isinstance(generator, Generator) and generator.holds_subject
    return [torch.zeros(1, channels, side_px, side_px, device=device) for channels in ((3, 1) if holds else (3,))]


class _LiveTensors(TorchDispatchMode):
    """Adds up the storages that operations make, as long as something holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  (whatever the operation returns)
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                reference = StorageWeakRef(tensor.untyped_storage())
                self._made.setdefault(reference.cdata, (reference, tensor.untyped_storage().nbytes()))
        self._made = {place: one for place, one in self._made.items() if not one[0].expired()}
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._made.values()))
        return result


def _time_ms(generator: nn.Module, side_px: int) -> float:
    """Median time of a pass in milliseconds."""
    device = next(generator.parameters()).device
    inputs = _inputs(generator, side_px, device)

    def run() -> None:
        with torch.inference_mode():
            generator(*inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    if device.type == "cuda":
        run()
        return _median_ms(run, GPU_RUNS)
    return _median_ms(run, RUNS.get(side_px, 1))


def _median_ms(run: Callable[[], None], times: int) -> float:
    found = []
    for _ in range(times):
        start_s = time.perf_counter()
        run()
        found.append(1000 * (time.perf_counter() - start_s))
    return float(np.median(found))


def _free_mb(generator: nn.Module) -> float:
    device = next(generator.parameters()).device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return free / MEGABYTE

"""What a generator costs: parameters, operations, and the time and memory that a picture of each size takes.

They depend on the generator's architecture and the machine, not on what it has learned.
"""

import copy
import threading
import time
from collections.abc import Callable

import numpy as np
import psutil
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SIDES_PX = (256, 512, 1024)
RUNS = {256: 3, 512: 1, 1024: 1}
"""Timed runs at each size, on a processor; a GPU, where a run costs little, does `GPU_RUNS`."""
GPU_RUNS = 10
MEMORY_SHARE = 0.8
"""Of the free memory: a size that is estimated to need more is left out."""
SAMPLE_EVERY_S = 0.002
MEGABYTE = 1e6

COST_METRICS = ("parameters", "flops_256", *(f"{name}_{side}" for side in SIDES_PX for name in ("ms", "memory_mb")))


def generator_costs(generator: nn.Module, sides_px: tuple[int, ...] = SIDES_PX) -> dict[str, float]:
    """Scores of `COST_METRICS`: times are medians for one picture in milliseconds, memory the peak beyond what was used.

    Measured where the generator's weights are. NaN for a size that is estimated to need more memory than is free.
    """
    found = {"parameters": float(sum(one.numel() for one in generator.parameters())), "flops_256": flops(generator, 256)}
    per_pixel_mb = 0.0
    for side_px in sides_px:
        if per_pixel_mb * side_px**2 > MEMORY_SHARE * _free_mb(generator):
            time_ms, memory_mb = float("nan"), float("nan")
        else:
            time_ms, memory_mb = _measured(generator, side_px)
            per_pixel_mb = memory_mb / side_px**2
        found |= {f"ms_{side_px}": time_ms, f"memory_mb_{side_px}": memory_mb}
    return found


def flops(generator: nn.Module, side_px: int) -> float:
    """Floating-point operations for one picture, a multiplication and an addition as two; nothing is computed."""
    shape_only = copy.deepcopy(generator).to("meta")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        shape_only(torch.empty(1, 3, side_px, side_px, device="meta"))
    return float(counter.get_total_flops())


def _measured(generator: nn.Module, side_px: int) -> tuple[float, float]:
    """Median time in milliseconds and peak memory in megabytes."""
    device = next(generator.parameters()).device
    picture = torch.zeros(1, 3, side_px, side_px, device=device)

    def run() -> None:
        with torch.inference_mode():
            generator(picture)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    if device.type == "cuda":
        run()
        return _median_ms(run, GPU_RUNS), _peak_on_gpu_mb(run, device)
    peak_mb = 0.0
    times_ms = []
    for _ in range(RUNS.get(side_px, 1)):
        with _PeakMemory() as memory:
            times_ms.append(_median_ms(run, 1))
        peak_mb = max(peak_mb, memory.megabytes)
    return float(np.median(times_ms)), peak_mb


def _median_ms(run: Callable[[], None], times: int) -> float:
    found = []
    for _ in range(times):
        start_s = time.perf_counter()
        run()
        found.append(1000 * (time.perf_counter() - start_s))
    return float(np.median(found))


def _peak_on_gpu_mb(run: Callable[[], None], device: torch.device) -> float:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return (torch.cuda.max_memory_allocated(device) - before) / MEGABYTE


def _free_mb(generator: nn.Module) -> float:
    device = next(generator.parameters()).device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return free / MEGABYTE


class _PeakMemory:
    """Watches by how much this process grows at most while the context is open, in `megabytes`."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._process, self._done = psutil.Process(), threading.Event()
        self._before = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_PeakMemory":
        self._before = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_EVERY_S):
            grown = self._process.memory_info().rss - self._before
            self.megabytes = max(self.megabytes, grown / MEGABYTE)

"""Steps that a GPU records once and replays: one launch in place of some thousand small ones.

At batch 1 a GPU finishes the study's kernels faster than Python can ask for them. A CUDA graph holds all kernels of a
step with the addresses they work on, so everything that changes from step to step must lie in fixed places: the batch,
the discriminators' fakes, the learning rate. Chance stays outside, in the loader and the pools.

The first steps of a process are made one by one, as cuDNN and the allocator need to settle; then each kind of step is
recorded. Where recording fails, the run goes on one by one.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from pipeline.models.images import Images
from pipeline.models.translator import Batch

logger = logging.getLogger(__name__)

WARM_UP_CALLS = 3
"""Calls of each kind before it is recorded; as many as torch's documentation on CUDA graphs advises."""

Outputs = dict[str, Tensor]
Function = Callable[[], Outputs]


class Recording(Protocol):
    """A recorded function; `outputs` are the same tensors after each replay, with new content."""

    outputs: Outputs

    def replay(self) -> None:
        """Do again what was recorded, on what lies in the same places now."""
        ...


Recorder = Callable[[Function], Recording]
"""Records a function of tensors in fixed places without carrying it out."""


class CudaGraph:
    """A `Recording` by torch's CUDA graphs, with memory of its own."""

    def __init__(self, function: Function) -> None:
        self._graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(self._graph, stream=_side_stream()):
                self.outputs = function()
        finally:  # where recording fails, older versions of torch stay on its stream
            torch.cuda.set_stream(before)

    def replay(self) -> None:
        self._graph.replay()


@functools.cache
def _side_stream() -> torch.cuda.Stream:
    """One for all: each stream keeps its freed memory to itself, and torch hands out 32 of them in turn."""
    return torch.cuda.Stream()


def on_side_stream(function: Function) -> Outputs:
    """Carry out `function` as recording will, beside the default stream, which cannot be recorded."""
    stream = _side_stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        outputs = function()
    torch.cuda.current_stream().wait_stream(stream)
    return outputs


class Replayed:
    """A function that is carried out at first, then recorded, then replayed.

    What it returns lies where the next call will write; a caller that keeps it makes a copy.
    """

    def __init__(
        self, function: Function, recorder: Recorder = CudaGraph, carry_out: Callable[[Function], Outputs] = on_side_stream
    ) -> None:
        self._function, self._recorder, self._carry_out = function, recorder, carry_out
        self._calls = 0
        self._recording: Recording | None = None
        self._gave_up = False

    def __call__(self) -> Outputs:
        self._calls += 1
        if self._recording is None and self._calls > WARM_UP_CALLS and not self._gave_up:
            self._record()
        if self._recording is None:
            return self._carry_out(self._function)
        self._recording.replay()
        return self._recording.outputs

    def _record(self) -> None:
        try:
            self._recording = self._recorder(self._function)
        except RuntimeError as error:  # out of memory too
            self._gave_up = True
            logger.warning(
                "this step cannot be recorded as a CUDA graph (%s); it goes on kernel by kernel", error, exc_info=True
            )


@dataclass(frozen=True)
class Places:
    """Tensors with fixed addresses for what a step is given."""

    batch: Batch
    pooled: dict[str, Images]

    @classmethod
    def like(cls, batch: Batch, pooled: Mapping[str, Images]) -> "Places":
        """Places for such a batch and such fakes."""
        copies = {name: torch.empty_like(tensor) for name, tensor in _tensors(batch).items()}
        return cls(Batch(**copies), {domain: torch.empty_like(images) for domain, images in pooled.items()})

    def put_batch(self, batch: Batch) -> None:
        """Copy the batch to its places."""
        tensors = _tensors(batch)
        for name, place in _tensors(self.batch).items():
            place.copy_(tensors[name])

    def put_pooled(self, pooled: Mapping[str, Images]) -> None:
        """Copy what the discriminators are shown to its places."""
        for domain, images in pooled.items():
            self.pooled[domain].copy_(images)


def _tensors(batch: Batch) -> dict[str, Tensor]:
    """The fields of a batch that it has."""
    found = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: tensor for name, tensor in found.items() if tensor is not None}

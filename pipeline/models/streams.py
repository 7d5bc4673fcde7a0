"""Work of one step side by side on a GPU.

At batch 1 a layer of the study's networks seldom fills a large GPU, but the two directions of a CycleGAN hardly depend
on each other. While a step is recorded as a CUDA graph, each gets a stream of its own, and the graph runs them at once;
their gradients follow by themselves, as autograd computes each on the stream of what it belongs to. Elsewhere one comes
after the other.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def side_by_side(functions: Sequence[Callable[[], Result]], given: Iterable[Tensor] = ()) -> list[Result]:
    """What the functions return, in their order.

    `given`: tensors of this step that any but the first of the functions will read.
    """
    if not is_recording():
        return [function() for function in functions]
    own, shared = torch.cuda.current_stream(), list(given)
    others = [_stream(number) for number in range(len(functions) - 1)]
    for stream in others:
        stream.wait_stream(own)
        # Else the memory would be free for others as soon as the stream that made it has no use for it any more.
        for tensor in shared:
            tensor.record_stream(stream)
    results = [functions[0]()]
    for stream, function in zip(others, functions[1:], strict=True):
        with torch.cuda.stream(stream):
            results.append(function())
    for stream, result in zip(others, results[1:], strict=True):
        own.wait_stream(stream)
        for tensor in _tensors(result):
            tensor.record_stream(own)
    return results


def is_recording() -> bool:
    """Whether what a GPU is asked for now is recorded as a CUDA graph instead of carried out."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


@functools.cache
def _stream(number: int) -> torch.cuda.Stream:
    return torch.cuda.Stream()


def _tensors(result: object) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping):
        for value in result.values():
            yield from _tensors(value)
    elif isinstance(result, tuple):
        for value in result:
            yield from _tensors(value)

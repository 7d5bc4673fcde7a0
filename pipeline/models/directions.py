"""The same for each direction of a model, side by side on a GPU: models say what, this file says how.

At batch 1 a layer of the study's networks seldom fills a large GPU, but the two directions of a CycleGAN hardly depend
on each other. While a step is recorded as a CUDA graph, each gets a stream of its own, and the graph runs them at once;
their gradients follow by themselves, as autograd computes each on the stream of what it belongs to. Elsewhere one comes
after the other.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def for_each(function: Callable[..., Result], *directions: tuple[Any, ...]) -> list[Result]:
    """What the function returns for the arguments of each direction, in their order.

    The function may read no tensor that this step made but its arguments, and those in tuples and mappings among them.
    """
    if not is_recording():
        return [function(*arguments) for arguments in directions]
    own = torch.cuda.current_stream()
    others = [_stream(number) for number in range(len(directions) - 1)]
    for stream, arguments in zip(others, directions[1:], strict=True):
        stream.wait_stream(own)
        # Else the memory would be free for others as soon as the stream that made it has no use for it any more.
        for tensor in _tensors(arguments):
            tensor.record_stream(stream)
    results = [function(*directions[0])]
    for stream, arguments in zip(others, directions[1:], strict=True):
        with torch.cuda.stream(stream):
            results.append(function(*arguments))
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

"""Networks compiled by torch for the steps that a GPU records.

`torch.compile` fuses what lies between convolutions: norms, activations, paddings, casts. That takes a minute or two, so
it is for long runs; and it is for the step alone: pictures in between are of other shapes and would be compiled anew.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.training.state import TrainingState

COMPILED_FROM_STEPS = 15_000
"""Steps that must be left: compiling takes a minute or two, which the study's networks win back in ten thousand."""
ACROSS_CHANNELS = torch.channels_last
"""How tensor cores want pictures and weights; converted before, they need no conversion at each convolution."""
KERNEL_DIMENSIONS = 4
RECOMPILE_LIMIT = 64

Call = Callable[..., Tensor]


class CompiledNetworks:
    """The networks of a state's model, whose compiled form stands in for them inside `in_use`.

    What needs a gradient of a gradient (R1) must be done outside it.
    """

    def __init__(self, state: TrainingState, backend: str | Callable[..., Any] = "inductor") -> None:
        """`backend` is `torch.compile`'s."""
        self._state, model = state, state.model
        _lay_out(state, ACROSS_CHANNELS)
        places: list[tuple[nn.Module, str]] = [(generator, "output") for generator in model.generators.values()]
        others = [*model.discriminators.values(), *([model.features] if model.features is not None else [])]
        places += [(network, "forward") for network in others]
        self._calls = [(network, name, _compiled(getattr(network, name), backend)) for network, name in places]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it the model's networks are the compiled ones."""
        import torch._dynamo  # takes two seconds, which runs that are not compiled save

        for network, name, call in self._calls:
            setattr(network, name, call)
        try:
            # Torch counts what it compiled by place in the code, where all networks of a process meet.
            with torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT):
                yield
        finally:
            for network, name, _ in self._calls:
                delattr(network, name)

    def give_up(self) -> None:
        """Lay the state out as it was, for networks that are not compiled."""
        _lay_out(self._state, torch.contiguous_format)


def _compiled(call: Call, backend: str | Callable[..., Any]) -> Call:
    options: dict[str, Any] | None = {"force_layout_optimization": True} if backend == "inductor" else None
    compiled = torch.compile(call, dynamic=False, backend=backend, options=options)
    return lambda *pictures: compiled(*(_across_channels(picture) for picture in pictures))


def _across_channels(picture: Tensor | None) -> Tensor | None:
    return None if picture is None else picture.contiguous(memory_format=ACROSS_CHANNELS)


def _lay_out(state: TrainingState, memory_format: torch.memory_format) -> None:
    """Move weights, averages and moments in memory, with their values; Adam's kernel walks through them alike."""
    for network in (state.model, *state.averages.values()):
        network.to(memory_format=memory_format)
    for optimiser in (state.generator_optimiser, state.discriminator_optimiser):
        for moments in optimiser.state.values():
            for name, moment in moments.items():
                if isinstance(moment, Tensor) and moment.dim() == KERNEL_DIMENSIONS:
                    moments[name] = moment.contiguous(memory_format=memory_format)

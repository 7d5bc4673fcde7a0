"""The two halves of a step, generators and discriminators: done one operation after the other, or recorded and replayed."""

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline.models.directions import is_recording
from pipeline.models.images import Images
from pipeline.models.translator import Batch
from pipeline.training.compilation import CompiledNetworks
from pipeline.training.recording import Function, Places, Replayed
from pipeline.training.state import TrainingState

logger = logging.getLogger(__name__)

Moved = TypeVar("Moved")
FAKE = "fake of domain "
"""Marks the fakes among what a recorded step puts out."""


class PlainSteps:
    """The two halves of a step, one operation after the other."""

    def __init__(self, state: TrainingState) -> None:
        self._state = state

    def generator_step(self, batch: Batch, rate: float) -> tuple[dict[str, Tensor], dict[str, Images]]:
        """Move the generators and their averages; the unweighted terms, and the fakes by domain, detached."""
        _set_rate(self._state.generator_optimiser, rate)
        return move_generators(self._state, batch)

    def discriminator_step(self, batch: Batch, pooled: Mapping[str, Images], rate: float) -> dict[str, Tensor]:
        """Move the discriminators on real pictures and pooled fakes; the unweighted terms, detached."""
        _set_rate(self._state.discriminator_optimiser, rate)
        return move_discriminators(self._state, batch, pooled)


class RecordedSteps:
    """The same halves, recorded once and replayed: that of the generators, that of the discriminators, and theirs
    with R1. With `compiled`, of compiled networks, as long as those can be compiled here."""

    def __init__(
        self,
        state: TrainingState,
        replayed: Callable[[Function], Replayed] = Replayed,
        compiled: CompiledNetworks | None = None,
    ) -> None:
        self._state, self._replayed, self._compiled = state, replayed, compiled
        self._places: Places | None = None
        self._generators = replayed(self._move_generators)
        self._discriminators = {penalised: replayed(self._move_discriminators) for penalised in (False, True)}

    def generator_step(self, batch: Batch, rate: float) -> tuple[dict[str, Tensor], dict[str, Images]]:
        """As that of `PlainSteps`; the fakes hold until the next call."""
        if self._places is None:
            model = self._state.model
            self._places = Places.like(batch, {domain: model.real(batch, domain) for domain in self._state.pools})
        self._places.put_batch(batch)
        _set_rate(self._state.generator_optimiser, rate)
        outputs = self._generators()
        fakes = {domain: outputs[FAKE + domain] for domain in self._state.pools}
        return _kept({name: value for name, value in outputs.items() if not name.startswith(FAKE)}), fakes

    def discriminator_step(self, batch: Batch, pooled: Mapping[str, Images], rate: float) -> dict[str, Tensor]:
        """As that of `PlainSteps`, for the batch of the generators' step before."""
        self._known_places.put_pooled(pooled)
        _set_rate(self._state.discriminator_optimiser, rate)
        return _kept(self._discriminators[self._state.model.penalises(self._state.step)]())

    @property
    def _known_places(self) -> Places:
        if self._places is None:
            raise ValueError("the generators' step comes first")
        return self._places

    def _move_generators(self) -> dict[str, Tensor]:
        terms, fakes = self._with_compiled(lambda: move_generators(self._state, self._known_places.batch))
        return terms | {FAKE + domain: images for domain, images in fakes.items()}

    def _move_discriminators(self) -> dict[str, Tensor]:
        def move() -> dict[str, Tensor]:
            return move_discriminators(self._state, self._known_places.batch, self._known_places.pooled)

        return move() if self._state.model.penalises(self._state.step) else self._with_compiled(move)

    def _with_compiled(self, move: Callable[[], Moved]) -> Moved:
        """What `move` returns; it changes the state last, so that it can be done again where compiling fails.

        While a step is recorded all is compiled already, and the other half's recording may hold where the weights lie:
        what fails then is the recording's to tell.
        """
        if self._compiled is None:
            return move()
        try:
            with self._compiled.in_use():
                return move()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers raise whatever
            if is_recording():
                raise
            self._compiled.give_up()
            self._compiled = None
            logger.warning("the networks cannot be compiled here (%s); the run goes on without, at half the speed", error)
            return move()


def _kept(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies, by one operation, of terms that the next replay would write over."""
    return dict(zip(terms, torch.stack([*terms.values()]).unbind(), strict=True))


def move_generators(state: TrainingState, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Images]]:
    """Move the generators and their averages; the unweighted terms, and the fakes by domain, detached."""
    model = state.model
    # Frozen, the discriminators pass gradients through without computing their own.
    _require_gradients(model.discriminator_parameters(), False)
    with state.autocast():
        made = model.translations(batch)
        terms = model.generator_terms(batch, made)
    _descend(state.generator_optimiser, model.objective(terms))
    _require_gradients(model.discriminator_parameters(), True)
    _update_averages(state)
    return _detached(terms), _detached(model.fakes(made))


def move_discriminators(state: TrainingState, batch: Batch, pooled: Mapping[str, Images]) -> dict[str, Tensor]:
    """Move the discriminators on real pictures and pooled fakes; the unweighted terms, detached."""
    # R1 is a gradient of a gradient, for which bfloat16 has too few digits.
    with torch.autocast(state.device.type, enabled=False) if state.model.penalises(state.step) else state.autocast():
        terms = state.model.discriminator_terms(batch, pooled, state.step)
    _descend(state.discriminator_optimiser, state.model.objective(terms))
    return _detached(terms)


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _descend(optimiser: torch.optim.Optimizer, objective: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    objective.backward()
    optimiser.step()


def _require_gradients(parameters: list[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)


@torch.no_grad()
def _update_averages(state: TrainingState) -> None:
    follow = get_ema_multi_avg_fn(state.settings.weight_average)
    for direction, average in state.averages.items():
        generator = state.model.generators[direction]
        follow([*average.adversarial_parameters()], [*generator.adversarial_parameters()], 0)
        average.take_settled(generator)

"""The training loop: one step of generators and discriminators after another.

`train_steps` yields after each step, so that whoever drives it logs, saves and stops between steps. It knows
nothing of files or processes.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from pipeline.training.compilation import COMPILED_FROM_STEPS, CompiledNetworks
from pipeline.training.loader import BatchLoader
from pipeline.training.sampling import step_generator
from pipeline.training.state import TrainingState
from pipeline.training.steps import PlainSteps, RecordedSteps

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepMetrics:
    """What a step reports."""

    step: int
    """Steps done, this one included."""
    terms: dict[str, Tensor]
    """Unweighted loss terms, detached scalars on the training device: reading one waits for the device."""


def train_steps(state: TrainingState, loader: BatchLoader) -> Iterator[StepMetrics]:
    """Train from `state.step` to the end of the run, yielding after each step; `state` is changed in place."""
    records = state.device.type == "cuda" and state.model.RECORDABLE
    steps = _recorded(state, loader.total_steps) if records else PlainSteps(state)
    while state.step < loader.total_steps:
        generator = step_generator(state.seed, state.step)
        batch = loader.batch(state.step, generator)
        rate = state.settings.rate_at(state.step, loader.steps_per_epoch)
        terms, fakes = steps.generator_step(batch, rate)
        pooled = {domain: state.pools[domain].exchange(fake, generator) for domain, fake in fakes.items()}
        if pooled:
            terms |= steps.discriminator_step(batch, pooled, rate)
        state.step += 1
        yield StepMetrics(state.step, terms)


def _recorded(state: TrainingState, total_steps: int) -> "RecordedSteps":
    """Steps recorded as CUDA graphs, of compiled networks where so many are left that compiling pays."""
    if total_steps - state.step < COMPILED_FROM_STEPS:
        return RecordedSteps(state)
    logger.info("compiling the networks for this GPU: the first steps take a minute or two")
    return RecordedSteps(state, compiled=CompiledNetworks(state))

"""The training loop: one step of generators and discriminators after another.

`train_steps` yields after each step, so that whoever drives it logs, saves and stops between steps. It knows
nothing of files or processes.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.models import model_class
from pipeline.models.cyclegan import Batch, CycleGAN, CycleGANConfig
from pipeline.models.images import images_from_uint8, masks_from_uint8
from pipeline.models.networks import DiscriminatorConfig, Generator, GeneratorConfig
from pipeline.training.pool import ImagePool
from pipeline.training.recipes import TrainingSettings
from pipeline.training.sampling import PairSampler, SampledBatch, step_generator


@dataclass(frozen=True)
class StepMetrics:
    """What a step reports."""

    step: int
    """Steps done, this one included."""
    terms: dict[str, Tensor]
    """Unweighted loss terms, detached scalars on the training device: reading one waits for the device."""


def generator_config(settings: TrainingSettings) -> GeneratorConfig:
    """The generator that the settings describe."""
    return GeneratorConfig(
        channels=settings.generator_channels,
        blocks=settings.generator_blocks,
        upsampling=settings.upsampling,
        output=settings.output,
        skip_channels=settings.skip_channels,
        initialisation=settings.initialisation,
    )


def discriminator_config(settings: TrainingSettings) -> DiscriminatorConfig:
    """The discriminator that the settings describe."""
    return DiscriminatorConfig(
        channels=settings.discriminator_channels,
        strided_layers=settings.discriminator_layers,
        norm=settings.discriminator_norm,
        laplacian=settings.discriminator_laplacian,
        initialisation=settings.initialisation,
    )


def build_model(name: str, settings: TrainingSettings, seed: int) -> CycleGAN:
    """The model with its initial weights, on the CPU: the same for a seed wherever it will be trained."""
    config = CycleGANConfig(
        generator=generator_config(settings),
        discriminator=discriminator_config(settings),
        gan_weight=settings.gan_weight,
        cycle_weight=settings.cycle_weight,
        identity_weight=settings.identity_weight,
        r1_weight=settings.r1_weight,
        r1_every_steps=settings.r1_every_steps,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(name)(config)


class TrainingState:
    """All that changes in a run: networks, optimisers, pools, average, and the number of steps done."""

    def __init__(self, model: CycleGAN, settings: TrainingSettings, seed: int, device: torch.device) -> None:
        self.device = device
        self.seed = seed
        self.settings = settings
        self.step = 0
        self.model = model.to(device)
        betas = (settings.adam_beta1, settings.adam_beta2)
        rate = settings.learning_rate
        self.generator_optimiser = torch.optim.Adam(model.generator_parameters(), rate, betas)
        self.discriminator_optimiser = torch.optim.Adam(model.discriminator_parameters(), rate, betas)
        self.pool_a, self.pool_b = ImagePool(settings.pool_size), ImagePool(settings.pool_size)
        self.average_a_to_b: Generator | None = None
        self.average_b_to_a: Generator | None = None
        if settings.weight_average > 0:
            self.average_a_to_b = _frozen_copy(model.generator_a_to_b)
            self.average_b_to_a = _frozen_copy(model.generator_b_to_a)

    def result_a_to_b(self) -> Generator:
        """The generator that counts: the running average if there is one."""
        return self.average_a_to_b or self.model.generator_a_to_b

    def result_b_to_a(self) -> Generator:
        """As `result_a_to_b`, for the way back."""
        return self.average_b_to_a or self.model.generator_b_to_a


def train_steps(state: TrainingState, sampler: PairSampler) -> Iterator[StepMetrics]:
    """Train from `state.step` to the end of the run, yielding after each step; `state` is changed in place."""
    while state.step < sampler.total_steps:
        generator = step_generator(state.seed, state.step)
        batch = _to_device(sampler.batch(state.step, generator), state.device)
        rate = state.settings.rate_at(state.step, sampler.steps_per_epoch)
        terms, fake_a, fake_b = _generator_step(state, batch, rate)
        pooled_a = state.pool_a.exchange(fake_a, generator)
        pooled_b = state.pool_b.exchange(fake_b, generator)
        terms |= _discriminator_step(state, batch, pooled_a, pooled_b, rate)
        _update_averages(state)
        state.step += 1
        yield StepMetrics(state.step, {name: term.detach() for name, term in terms.items()})


def _to_device(sampled: SampledBatch, device: torch.device) -> Batch:
    return Batch(
        real_a=images_from_uint8(sampled.rgb_a, device),
        alpha_a=masks_from_uint8(sampled.alpha_a, device),
        real_b=images_from_uint8(sampled.rgb_b, device),
        alpha_b=masks_from_uint8(sampled.alpha_b, device),
    )


def _generator_step(state: TrainingState, batch: Batch, rate: float) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Move the generators; the terms and both fakes, detached."""
    model = state.model
    # Frozen, the discriminators pass gradients through without computing their own.
    _require_gradients(model.discriminator_parameters(), False)
    made = model.translations(batch)
    terms = model.generator_terms(batch, made)
    _descend(state.generator_optimiser, model.objective(terms), rate)
    _require_gradients(model.discriminator_parameters(), True)
    return terms, made.fake_a.detach(), made.fake_b.detach()


def _discriminator_step(
    state: TrainingState, batch: Batch, pooled_a: Tensor, pooled_b: Tensor, rate: float
) -> dict[str, Tensor]:
    terms = state.model.discriminator_terms(batch, pooled_a, pooled_b, state.step)
    _descend(state.discriminator_optimiser, state.model.objective(terms), rate)
    return terms


def _descend(optimiser: torch.optim.Optimizer, objective: Tensor, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    objective.backward()
    optimiser.step()


def _require_gradients(parameters: list[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)


def _frozen_copy(generator: Generator) -> Generator:
    return copy.deepcopy(generator).requires_grad_(False).eval()


@torch.no_grad()
def _update_averages(state: TrainingState) -> None:
    pairs = (
        (state.average_a_to_b, state.model.generator_a_to_b),
        (state.average_b_to_a, state.model.generator_b_to_a),
    )
    for average, generator in pairs:
        if average is not None:
            for kept, current in zip(average.parameters(), generator.parameters(), strict=True):
                kept.lerp_(current, 1 - state.settings.weight_average)

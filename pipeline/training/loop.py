"""The training loop: one step of generators and discriminators after another.

`train_steps` yields after each step, so that whoever drives it logs, saves and stops between steps. It knows
nothing of files or processes.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline.models import MODELS_WITH_MASK_LOSS, model_class
from pipeline.models.images import Images
from pipeline.models.networks import DiscriminatorConfig, Generator, GeneratorConfig
from pipeline.models.translator import Batch, ModelConfig, Translator
from pipeline.models.vgg import VggFeatures
from pipeline.training.loader import BatchLoader
from pipeline.training.pool import ImagePool
from pipeline.training.recipes import TrainingSettings
from pipeline.training.sampling import step_generator


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


def needs_features(model: str, settings: TrainingSettings) -> bool:
    """Whether `build_model` wants VGG's features for this model and these settings."""
    return model in MODELS_WITH_MASK_LOSS and settings.perceptual_scale != "none" and settings.mask_weight != 0


def build_model(name: str, settings: TrainingSettings, seed: int, features: VggFeatures | None = None) -> Translator[Any]:
    """The model with its initial weights, on the CPU: the same for a seed wherever it will be trained.

    `features` are those of the settings' `perceptual_network`, where `needs_features` says so.
    """
    config = ModelConfig(
        generator=generator_config(settings),
        discriminator=discriminator_config(settings),
        gan_weight=settings.gan_weight,
        cycle_weight=settings.cycle_weight,
        identity_weight=settings.identity_weight,
        r1_weight=settings.r1_weight,
        r1_every_steps=settings.r1_every_steps,
        mask_weight=settings.mask_weight,
        mask_area=settings.mask_area,
        perceptual_scale=settings.perceptual_scale,
    )
    if needs_features(name, settings) and features is None:
        raise ValueError(f"{name} with perceptual_scale {settings.perceptual_scale!r} needs VGG's features")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(name)(config, features)


class TrainingState:
    """All that changes in a run: networks, optimisers, pools, averages, and the number of steps done."""

    def __init__(self, model: Translator[Any], settings: TrainingSettings, seed: int, device: torch.device) -> None:
        self.device = device
        self.seed = seed
        self.settings = settings
        self.step = 0
        self.model = model.to(device)
        betas = (settings.adam_beta1, settings.adam_beta2)
        # One kernel for all parameters where a GPU would otherwise wait for hundreds of small ones.
        options: dict[str, Any] = {"lr": settings.learning_rate, "betas": betas, "fused": device.type == "cuda"}
        self.generator_optimiser = torch.optim.Adam(model.generator_parameters(), **options)
        self.discriminator_optimiser = torch.optim.Adam(model.discriminator_parameters(), **options)
        self.pools = {domain: ImagePool(settings.pool_size) for domain in model.discriminators}
        averaged = model.generators if settings.weight_average > 0 else {}
        self.averages = {direction: _frozen_copy(generator) for direction, generator in averaged.items()}

    def results(self) -> dict[str, Generator]:
        """The generators that count, by direction: the running averages if there are any."""
        return self.averages or self.model.generators

    def autocast(self) -> torch.autocast:
        """The precision that the settings ask for; parameters, losses and optimisers stay in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")


def train_steps(state: TrainingState, loader: BatchLoader) -> Iterator[StepMetrics]:
    """Train from `state.step` to the end of the run, yielding after each step; `state` is changed in place."""
    while state.step < loader.total_steps:
        generator = step_generator(state.seed, state.step)
        batch = loader.batch(state.step, generator)
        rate = state.settings.rate_at(state.step, loader.steps_per_epoch)
        terms, fakes = generator_step(state, batch, rate)
        pooled = {domain: state.pools[domain].exchange(fake, generator) for domain, fake in fakes.items()}
        terms |= discriminator_step(state, batch, pooled, rate)
        _update_averages(state)
        state.step += 1
        yield StepMetrics(state.step, {name: term.detach() for name, term in terms.items()})


def generator_step(state: TrainingState, batch: Batch, rate: float) -> tuple[dict[str, Tensor], dict[str, Images]]:
    """Move the generators; the unweighted terms, and the fakes by domain, detached."""
    model = state.model
    # Frozen, the discriminators pass gradients through without computing their own.
    _require_gradients(model.discriminator_parameters(), False)
    with state.autocast():
        made = model.translations(batch)
        terms = model.generator_terms(batch, made)
    _descend(state.generator_optimiser, model.objective(terms), rate)
    _require_gradients(model.discriminator_parameters(), True)
    return terms, {domain: fake.detach() for domain, fake in model.fakes(made).items()}


def discriminator_step(state: TrainingState, batch: Batch, pooled: Mapping[str, Images], rate: float) -> dict[str, Tensor]:
    """Move the discriminators on real pictures and pooled fakes; the unweighted terms."""
    # R1 is a gradient of a gradient, for which bfloat16 has too few digits.
    with torch.autocast(state.device.type, enabled=False) if state.model.penalises(state.step) else state.autocast():
        terms = state.model.discriminator_terms(batch, pooled, state.step)
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
    follow = get_ema_multi_avg_fn(state.settings.weight_average)
    for direction, average in state.averages.items():
        follow([*average.parameters()], [*state.model.generators[direction].parameters()], 0)

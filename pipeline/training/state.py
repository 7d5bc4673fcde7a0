"""All that changes in a training run, and the networks and optimisers that the settings describe."""

import copy
from typing import Any

import torch
from torch import nn

from pipeline.models import MODELS_WITH_MASK_LOSS, model_class
from pipeline.models.networks import DiscriminatorConfig, Generator, GeneratorConfig
from pipeline.models.translator import ModelConfig, Translator
from pipeline.models.vgg import VggFeatures
from pipeline.training.pool import ImagePool
from pipeline.training.recipes import TrainingSettings


def generator_config(settings: TrainingSettings) -> GeneratorConfig:
    """The generator that the settings describe."""
    return GeneratorConfig(
        channels=settings.generator_channels,
        blocks=settings.generator_blocks,
        upsampling=settings.upsampling,
        output=settings.output,
        lens_side_px=settings.size_px,
        lens_bounded=settings.lens_bounded,
        lens_highlights=settings.lens_highlights,
        lens_single_disc=settings.lens_single_disc,
        lens_keeps_grain=settings.lens_keeps_grain,
        lens_opens_points=settings.lens_opens_points,
        lens_holds_subject=settings.lens_holds_subject,
        lens_finds_subject=settings.lens_finds_subject,
        lens_calibrated=settings.lens_calibrated,
        plan_scale=settings.plan_scale,
        skip_channels=settings.skip_channels,
        initialisation=settings.initialisation,
        dropout=settings.dropout,
        encoders=settings.encoders,
    )


def discriminator_config(settings: TrainingSettings) -> DiscriminatorConfig:
    """The discriminator that the settings describe."""
    return DiscriminatorConfig(
        channels=settings.discriminator_channels,
        strided_layers=settings.discriminator_layers,
        norm=settings.discriminator_norm,
        sight=settings.discriminator_sight,
        laplacian=settings.discriminator_laplacian,
        initialisation=settings.initialisation,
    )


def needs_features(model: str, settings: TrainingSettings) -> bool:
    """Whether `build_model` wants VGG's features for this model and these settings."""
    return model in MODELS_WITH_MASK_LOSS and settings.perceptual_scale != "none" and settings.mask_weight != 0


def build_model(
    name: str,
    settings: TrainingSettings,
    seed: int,
    features: VggFeatures | None = None,
    parser: nn.Module | None = None,
) -> Translator[Any]:
    """The model with its initial weights, on the CPU: the same for a seed wherever it will be trained.

    `features` are those of the settings' `perceptual_network`, where `needs_features` says so, and `parser` is their
    `parser_for` this model.
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
        semantic_weight=settings.semantic_weight,
        mask_area=settings.mask_area,
        perceptual_scale=settings.perceptual_scale,
        depth_loss=settings.depth_loss,
        depth_weight=settings.depth_weight,
        depth_gradient_weight=settings.depth_gradient_weight,
        picture_weight=settings.picture_weight,
        l1_weight=settings.l1_weight,
        focus_map=settings.focus_map,
        focus_weights=settings.focus_weights,
    )
    if needs_features(name, settings) and features is None:
        raise ValueError(f"{name} with perceptual_scale {settings.perceptual_scale!r} needs VGG's features")
    if settings.parser_for(name) and parser is None:
        raise ValueError(f"{name} with semantic_weight {settings.semantic_weight} needs a parser")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(name)(config, features, parser)


class TrainingState:
    """All that changes in a run: networks, optimisers, pools, averages, and the number of steps done."""

    def __init__(self, model: Translator[Any], settings: TrainingSettings, seed: int, device: torch.device) -> None:
        self.device = device
        self.seed = seed
        self.settings = settings
        self.step = 0
        self.model = model.to(device)
        self.generator_optimiser = _adam(model.generator_parameters(), settings, device)
        self.discriminator_optimiser = _adam(model.discriminator_parameters(), settings, device)
        self.pools = {domain: ImagePool(settings.pool_size) for domain in model.discriminators}
        averaged = model.generators if settings.weight_average > 0 else {}
        self.averages = {direction: _frozen_copy(generator) for direction, generator in averaged.items()}

    def results(self) -> dict[str, Generator]:
        """The generators that count, by direction: the running averages if there are any."""
        return self.averages or self.model.generators

    def autocast(self) -> torch.autocast:
        """The precision that the settings ask for; parameters, losses and optimisers stay in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")


def _adam(parameters: list[nn.Parameter], settings: TrainingSettings, device: torch.device) -> torch.optim.Adam:
    """On a GPU one kernel moves all parameters and, since it may be recorded, reads the rate from a tensor.

    There may be no parameters: a model without discriminators has none of them.
    """
    group, betas = [{"params": parameters}], (settings.adam_beta1, settings.adam_beta2)
    if device.type != "cuda":
        return torch.optim.Adam(group, settings.learning_rate, betas)
    rate = torch.tensor(settings.learning_rate, device=device)
    return torch.optim.Adam(group, rate, betas, fused=True, capturable=True)


def _frozen_copy(generator: Generator) -> Generator:
    return copy.deepcopy(generator).requires_grad_(False).eval()

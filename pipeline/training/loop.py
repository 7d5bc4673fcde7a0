"""The training loop: one step of generators and discriminators after another.

`train_steps` yields after each step, so that whoever drives it logs, saves and stops between steps. It knows
nothing of files or processes.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline.models import MODELS_WITH_MASK_LOSS, model_class
from pipeline.models.images import Images
from pipeline.models.networks import DiscriminatorConfig, Generator, GeneratorConfig
from pipeline.models.streams import is_recording
from pipeline.models.translator import Batch, ModelConfig, Translator
from pipeline.models.vgg import VggFeatures
from pipeline.training.compilation import COMPILED_FROM_STEPS, CompiledNetworks
from pipeline.training.loader import BatchLoader
from pipeline.training.pool import ImagePool
from pipeline.training.recipes import TrainingSettings
from pipeline.training.recording import Function, Places, Replayed
from pipeline.training.sampling import step_generator

logger = logging.getLogger(__name__)

Moved = TypeVar("Moved")
FAKE = "fake of domain "
"""Marks the fakes among what a recorded step puts out."""


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
        lens_side_px=settings.size_px,
        lens_bounded=settings.lens_bounded,
        lens_highlights=settings.lens_highlights,
        lens_holds_subject=settings.lens_holds_subject,
        lens_finds_subject=settings.lens_finds_subject,
        plan_scale=settings.plan_scale,
        skip_channels=settings.skip_channels,
        initialisation=settings.initialisation,
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


def train_steps(state: TrainingState, loader: BatchLoader) -> Iterator[StepMetrics]:
    """Train from `state.step` to the end of the run, yielding after each step; `state` is changed in place."""
    steps = _recorded(state, loader.total_steps) if state.device.type == "cuda" else PlainSteps(state)
    while state.step < loader.total_steps:
        generator = step_generator(state.seed, state.step)
        batch = loader.batch(state.step, generator)
        rate = state.settings.rate_at(state.step, loader.steps_per_epoch)
        terms, fakes = steps.generator_step(batch, rate)
        pooled = {domain: state.pools[domain].exchange(fake, generator) for domain, fake in fakes.items()}
        terms |= steps.discriminator_step(batch, pooled, rate)
        state.step += 1
        yield StepMetrics(state.step, terms)


def _recorded(state: TrainingState, total_steps: int) -> "RecordedSteps":
    """Steps recorded as CUDA graphs, of compiled networks where so many are left that compiling pays."""
    if total_steps - state.step < COMPILED_FROM_STEPS:
        return RecordedSteps(state)
    logger.info("compiling the networks for this GPU: the first steps take a minute or two")
    return RecordedSteps(state, compiled=CompiledNetworks(state))


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
            self._places = Places.like(batch, {domain: batch.real(domain) for domain in self._state.pools})
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


def _adam(parameters: list[nn.Parameter], settings: TrainingSettings, device: torch.device) -> torch.optim.Adam:
    """On a GPU one kernel moves all parameters and, since it may be recorded, reads the rate from a tensor."""
    betas = (settings.adam_beta1, settings.adam_beta2)
    if device.type != "cuda":
        return torch.optim.Adam(parameters, settings.learning_rate, betas)
    rate = torch.tensor(settings.learning_rate, device=device)
    return torch.optim.Adam(parameters, rate, betas, fused=True, capturable=True)


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


def _frozen_copy(generator: Generator) -> Generator:
    return copy.deepcopy(generator).requires_grad_(False).eval()


@torch.no_grad()
def _update_averages(state: TrainingState) -> None:
    follow = get_ema_multi_avg_fn(state.settings.weight_average)
    for direction, average in state.averages.items():
        generator = state.model.generators[direction]
        follow([*average.adversarial_parameters()], [*generator.adversarial_parameters()], 0)
        average.take_settled(generator)

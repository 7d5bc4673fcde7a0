"""CycleGAN, the baseline: two generators, two discriminators, each translation must lead back.

Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"
(ICCV 2017), least-squares form, as the 2018 study "Simulating Shallow Depth of Field in Portraits Using
Generative Models" trained it: A are portraits in focus throughout, B portraits with shallow depth of field.

Deviations with the study's settings: none in networks and losses. The two passes through one generator, and
those of real and fake pictures through one discriminator, are merged into a batch, which instance norm makes
the same computation. A term whose weight is 0 is not computed. Off by default: R1 on the discriminators, and
the options that `networks` explains.

A variant replaces one visible step: `translations` (what discriminators and cycles see) or `generator_terms`
(what the generators are asked for).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pipeline.models.images import Images, Masks
from pipeline.models.losses import (
    adversarial_loss,
    discriminator_loss,
    gradient_penalty,
    l1_loss,
    weighted_sum,
)
from pipeline.models.networks import DiscriminatorConfig, Generator, GeneratorConfig, PatchDiscriminator


@dataclass(frozen=True)
class CycleGANConfig:
    """Networks and weights; the defaults are the study's."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    gan_weight: float = 1.0
    cycle_weight: float = 10.0
    identity_weight: float = 5.0
    r1_weight: float = 0.0
    """R1's gamma: the penalty enters as gamma/2 times the squared gradient norm."""
    r1_every_steps: int = 8
    """R1 is computed on one step of so many and weighs so many times as much there (lazy regularisation)."""


@dataclass(frozen=True)
class Batch:
    """Real pictures of both domains with the alpha of their subjects; the batches may differ in content only."""

    real_a: Images
    alpha_a: Masks
    real_b: Images
    alpha_b: Masks


@dataclass(frozen=True)
class Translations:
    """What the generators make of a batch; the identities are None where their weight is 0."""

    fake_b: Images
    fake_a: Images
    cycled_a: Images
    cycled_b: Images
    identity_a: Images | None
    identity_b: Images | None


class CycleGAN(nn.Module):
    """Holds the four networks and computes the loss terms; optimisers and pools belong to the loop."""

    def __init__(self, config: CycleGANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator_a_to_b = Generator(config.generator)
        self.generator_b_to_a = Generator(config.generator)
        self.discriminator_a = PatchDiscriminator(config.discriminator)
        self.discriminator_b = PatchDiscriminator(config.discriminator)

    def generator_parameters(self) -> list[nn.Parameter]:
        """The parameters that the generators' step moves."""
        return [*self.generator_a_to_b.parameters(), *self.generator_b_to_a.parameters()]

    def discriminator_parameters(self) -> list[nn.Parameter]:
        """The parameters that the discriminators' step moves."""
        return [*self.discriminator_a.parameters(), *self.discriminator_b.parameters()]

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every term this model may report."""
        config = self.config
        return {
            **dict.fromkeys(("gan_a", "gan_b"), config.gan_weight),
            **dict.fromkeys(("cycle_a", "cycle_b"), config.cycle_weight),
            **dict.fromkeys(("identity_a", "identity_b"), config.identity_weight),
            **dict.fromkeys(("discriminator_a", "discriminator_b"), 1.0),
            **dict.fromkeys(("r1_a", "r1_b"), 0.5 * config.r1_weight * config.r1_every_steps),
        }

    def translations(self, batch: Batch) -> Translations:
        """Both translations, both ways back and, where they have a weight, the identities."""
        fake_b, identity_b = self._translate(self.generator_a_to_b, batch.real_a, batch.real_b)
        fake_a, identity_a = self._translate(self.generator_b_to_a, batch.real_b, batch.real_a)
        return Translations(
            fake_b=fake_b,
            fake_a=fake_a,
            cycled_a=self.generator_b_to_a(fake_b),
            cycled_b=self.generator_a_to_b(fake_a),
            identity_a=identity_a,
            identity_b=identity_b,
        )

    def generator_terms(self, batch: Batch, made: Translations) -> dict[str, Tensor]:
        """What the generators are asked for, unweighted: to pass for real, and to lead back.

        `gan_b` is the verdict of discriminator_b on fake_b; `cycle_a` and `identity_a` compare with real_a.
        """
        terms = {
            "gan_a": adversarial_loss(self.discriminator_a(made.fake_a)),
            "gan_b": adversarial_loss(self.discriminator_b(made.fake_b)),
            "cycle_a": l1_loss(made.cycled_a, batch.real_a),
            "cycle_b": l1_loss(made.cycled_b, batch.real_b),
        }
        if made.identity_a is not None and made.identity_b is not None:
            terms["identity_a"] = l1_loss(made.identity_a, batch.real_a)
            terms["identity_b"] = l1_loss(made.identity_b, batch.real_b)
        return terms

    def discriminator_terms(
        self, batch: Batch, pooled_fake_a: Images, pooled_fake_b: Images, step: int
    ) -> dict[str, Tensor]:
        """What the discriminators are asked for, unweighted; `step` says whether R1's turn has come."""
        config = self.config
        penalised = config.r1_weight > 0 and step % config.r1_every_steps == 0
        return {
            **_discriminator_terms("a", self.discriminator_a, batch.real_a, pooled_fake_a, penalised),
            **_discriminator_terms("b", self.discriminator_b, batch.real_b, pooled_fake_b, penalised),
        }

    def objective(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum that a step brings down."""
        return weighted_sum(terms, self.weights)

    def _translate(self, generator: Generator, real: Images, target: Images) -> tuple[Images, Images | None]:
        """The translation of `real` and, if the identity has a weight, what becomes of the `target` domain."""
        if self.config.identity_weight == 0:
            return generator(real), None
        fake, identity = generator(torch.cat([real, target])).chunk(2)
        return fake, identity


def _discriminator_terms(
    domain: str, discriminator: PatchDiscriminator, real: Images, fake: Images, penalised: bool
) -> dict[str, Tensor]:
    if not penalised:
        real_scores, fake_scores = discriminator(torch.cat([real, fake])).chunk(2)
        return {f"discriminator_{domain}": discriminator_loss(real_scores, fake_scores)}
    real = real.detach().requires_grad_(True)
    real_scores = discriminator(real)
    return {
        f"discriminator_{domain}": discriminator_loss(real_scores, discriminator(fake)),
        f"r1_{domain}": gradient_penalty(real, real_scores),
    }

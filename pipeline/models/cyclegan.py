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

from dataclasses import dataclass
from operator import call

import torch
from torch import Tensor, nn

from pipeline.models.directions import for_each
from pipeline.models.images import Images, Masks
from pipeline.models.lens_generator import build_generator
from pipeline.models.losses import Scalar, adversarial_loss, l1_loss
from pipeline.models.networks import Generator, PatchDiscriminator
from pipeline.models.sharpness_bands import Background
from pipeline.models.translator import Batch, ModelConfig, Translator
from pipeline.models.vgg import VggFeatures


@dataclass(frozen=True)
class Translations:
    """What the generators make of a batch; the identities are None where their weight is 0.

    `fake_b` and `fake_a` are what discriminators, cycles and pools see, `generated_b` and `generated_a` what the
    generators put out: the same but in a model that lays the real subject over them.
    """

    fake_b: Images
    fake_a: Images
    cycled_a: Images
    cycled_b: Images
    identity_a: Images | None
    identity_b: Images | None
    generated_b: Images
    generated_a: Images


class CycleGAN(Translator[Translations]):
    """Holds the four networks and computes the loss terms."""

    def __init__(self, config: ModelConfig, features: VggFeatures | None = None, parser: nn.Module | None = None) -> None:
        super().__init__(config, features, parser)
        self.generator_a_to_b = build_generator(config.generator)
        self.generator_b_to_a = build_generator(config.generator.way_back)
        self.discriminator_a = PatchDiscriminator(config.discriminator)
        self.discriminator_b = PatchDiscriminator(config.discriminator)

    @property
    def generators(self) -> dict[str, Generator]:
        return {"a_to_b": self.generator_a_to_b, "b_to_a": self.generator_b_to_a}

    @property
    def discriminators(self) -> dict[str, PatchDiscriminator]:
        return {"a": self.discriminator_a, "b": self.discriminator_b}

    @property
    def weights(self) -> dict[str, float]:
        return {
            **super().weights,
            **dict.fromkeys(("cycle_a", "cycle_b"), self.config.cycle_weight),
            **dict.fromkeys(("identity_a", "identity_b"), self.config.identity_weight),
        }

    def translations(self, batch: Batch) -> Translations:
        """Both translations, both ways back and, where they have a weight, the identities."""
        (fake_b, identity_b), (fake_a, identity_a) = self.both_translations(batch)
        cycled_b, cycled_a = self.both_ways_back(fake_a, fake_b, batch)
        return Translations(
            fake_b=fake_b,
            fake_a=fake_a,
            cycled_a=cycled_a,
            cycled_b=cycled_b,
            identity_a=identity_a,
            identity_b=identity_b,
            generated_b=fake_b,
            generated_a=fake_a,
        )

    def fakes(self, made: Translations) -> dict[str, Images]:
        return {"a": made.fake_a, "b": made.fake_b}

    def generator_terms(self, batch: Batch, made: Translations) -> dict[str, Tensor]:
        """What the generators are asked for, unweighted: to pass for real, and to lead back.

        `gan_b` is the verdict of discriminator_b on fake_b; `cycle_a` and `identity_a` compare with real_a.
        """
        background = self.background(batch)
        gan_b, gan_a = for_each(
            passes_for_real,
            (self.discriminator_b, made.fake_b, background),
            (self.discriminator_a, made.fake_a, background),
        )
        terms = {
            "gan_a": gan_a,
            "gan_b": gan_b,
            "cycle_a": l1_loss(made.cycled_a, batch.real_a),
            "cycle_b": l1_loss(made.cycled_b, batch.real_b),
        }
        if made.identity_a is not None and made.identity_b is not None:
            terms["identity_a"] = l1_loss(made.identity_a, batch.real_a)
            terms["identity_b"] = l1_loss(made.identity_b, batch.real_b)
        return terms | self.finding_terms(batch)

    def both_translations(self, batch: Batch) -> list[tuple[Images, Images | None]]:
        """From A to B with the identity of B, and from B to A with that of A."""
        a, b = (batch.real_a, batch.alpha_a), (batch.real_b, batch.alpha_b)
        return for_each(self.translate, (self.generator_a_to_b, a, b), (self.generator_b_to_a, b, a))

    def both_ways_back(self, fake_a: Images, fake_b: Images, batch: Batch) -> list[Images]:
        """What becomes of the fakes of A in B, and of those of B in A; a fake shows the subject of what it was made of."""
        return for_each(call, (self.generator_a_to_b, fake_a, batch.alpha_b), (self.generator_b_to_a, fake_b, batch.alpha_a))

    def translate(
        self, generator: Generator, real: tuple[Images, Masks], target: tuple[Images, Masks]
    ) -> tuple[Images, Images | None]:
        """The translation of `real` and, if the identity has a weight, what becomes of the `target` domain."""
        if self.config.identity_weight == 0:
            return generator(*real), None
        fake, identity = generator(*(torch.cat(pair) for pair in zip(real, target, strict=True))).chunk(2)
        return fake, identity


def passes_for_real(discriminator: PatchDiscriminator, fake: Images, background: Background | None) -> Scalar:
    """How far a fake is from passing for real."""
    return adversarial_loss(discriminator(fake, background), background)

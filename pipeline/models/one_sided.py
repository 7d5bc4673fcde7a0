"""One-sided translation: no way back; the mask loss alone holds the content.

Not of the study. Without cycles there is one generator and one discriminator, a step costs about a third, and the
adversarial term has no cycle to fight; what a cycle is for, keeping the picture's content, is left to the mask loss
inside the subject and, in the background, to the identity term, which asks that shallow portraits stay as they are.
Its weights are those of the two-sided models: mask terms weigh cycle_weight · mask_weight.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline.models.images import Images
from pipeline.models.lens_generator import build_generator
from pipeline.models.losses import adversarial_loss, l1_loss
from pipeline.models.mask_loss import mask_terms, mask_weights
from pipeline.models.networks import Generator, PatchDiscriminator
from pipeline.models.translator import Batch, ModelConfig, Translator
from pipeline.models.vgg import VggFeatures


@dataclass(frozen=True)
class OneSidedTranslations:
    """The translation and, where it has a weight, what becomes of a picture that is shallow already."""

    fake_b: Images
    identity_b: Images | None


class OneSided(Translator[OneSidedTranslations]):
    """One generator, one discriminator, and the mask loss."""

    STUDY_MASK_WEIGHT: ClassVar[float] = 1.0

    def __init__(self, config: ModelConfig, features: VggFeatures | None = None, parser: nn.Module | None = None) -> None:
        super().__init__(config, features, parser)
        self.generator_a_to_b = build_generator(config.generator)
        self.discriminator_b = PatchDiscriminator(config.discriminator)

    @property
    def generators(self) -> dict[str, Generator]:
        return {"a_to_b": self.generator_a_to_b}

    @property
    def discriminators(self) -> dict[str, PatchDiscriminator]:
        return {"b": self.discriminator_b}

    @property
    def weights(self) -> dict[str, float]:
        mask = mask_weights(self.config, self.STUDY_MASK_WEIGHT, ("a",))
        return {**super().weights, **mask, "identity_b": self.config.identity_weight}

    def translations(self, batch: Batch) -> OneSidedTranslations:
        """The translation of A and, if the identity has a weight, what becomes of B."""
        if self.config.identity_weight == 0:
            return OneSidedTranslations(self.generator_a_to_b(batch.real_a, batch.alpha_a), None)
        both, alpha = torch.cat([batch.real_a, batch.real_b]), torch.cat([batch.alpha_a, batch.alpha_b])
        fake, identity = self.generator_a_to_b(both, alpha).chunk(2)
        return OneSidedTranslations(fake, identity)

    def fakes(self, made: OneSidedTranslations) -> dict[str, Images]:
        return {"b": made.fake_b}

    def generator_terms(self, batch: Batch, made: OneSidedTranslations) -> dict[str, Tensor]:
        """To pass for shallow, to keep the subject, and to leave alone what is shallow already."""
        background = self.background(batch)
        terms = {"gan_b": adversarial_loss(self.discriminator_b(made.fake_b, background), background)}
        if made.identity_b is not None:
            terms["identity_b"] = l1_loss(made.identity_b, batch.real_b)
        held = mask_terms("a", made.fake_b, batch.real_a, batch.alpha_a, self.config, self.features)
        return terms | held | self.finding_terms(batch)

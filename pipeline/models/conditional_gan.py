"""What pix2pix and its kin share: one generator and, where the adversarial term has a weight, a discriminator that is shown
what the generator was."""

from dataclasses import replace

from torch import nn

from pipeline.models.losses import Scalar, Scores, cross_entropy_discriminator_loss
from pipeline.models.networks import Generator, PatchDiscriminator
from pipeline.models.sharpness_bands import Background
from pipeline.models.translator import Made, ModelConfig, Translator
from pipeline.models.vgg import VggFeatures


class ConditionalGan(Translator[Made]):
    """Base of these models. Subclasses make the generator and state what the discriminator sees."""

    def __init__(
        self, config: ModelConfig, features: VggFeatures | None, parser: nn.Module | None, generator: Generator, inputs: int
    ) -> None:
        """`inputs` are the channels that the discriminator is shown."""
        super().__init__(config, features, parser)
        self.generator_a_to_b = generator
        judge = PatchDiscriminator(replace(config.discriminator, inputs=inputs)) if config.gan_weight > 0 else None
        self.discriminator_a = judge

    @property
    def generators(self) -> dict[str, Generator]:
        return {"a_to_b": self.generator_a_to_b}

    @property
    def discriminators(self) -> dict[str, PatchDiscriminator]:
        return {} if self.discriminator_a is None else {"a": self.discriminator_a}

    @property
    def weights(self) -> dict[str, float]:
        return {**super().weights, "l1": self.config.l1_weight}

    def verdict(self, real_scores: Scores, fake_scores: Scores, background: Background | None) -> Scalar:
        return cross_entropy_discriminator_loss(real_scores, fake_scores)

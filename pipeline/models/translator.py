"""What all models share: generators and discriminators by name, the adversarial terms, and the weighted sum.

A model says which translations it makes of a batch and what its generators are asked for; optimisers, image pools
and averages belong to the training loop, which knows no more of a model than stands here.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from pipeline.models.directions import for_each
from pipeline.models.images import Disparities, Images, Masks
from pipeline.models.lens_generator import LensGenerator
from pipeline.models.losses import MaskArea, Scalar, Scores, discriminator_loss, gradient_penalty, weighted_sum
from pipeline.models.networks import DiscriminatorConfig, Generator, GeneratorConfig, PatchDiscriminator
from pipeline.models.sharpness_bands import Background, common_background
from pipeline.models.vgg import VggFeatures

PerceptualScale = Literal["paper", "code", "none"]
DepthLoss = Literal["log", "affine"]
"""What is asked of predicted depth: that it is right in metres, by logarithms, or up to scale and shift of disparity."""
FocusMap = Literal["map", "patches"]
"""How a network is told what should be sharp: by an exact map, or by squares of three levels."""
FocusWeights = Literal["uniform", "grey", "in_focus"]
"""How pixels count in L1: alike; 2000 in focus and else the grey of depth, 0 to 1; 11 in focus and else 1."""
Made = TypeVar("Made")


@dataclass(frozen=True)
class ModelConfig:
    """Networks and weights of any model; the defaults are the study's."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    gan_weight: float = 1.0
    cycle_weight: float = 10.0
    identity_weight: float = 5.0
    r1_weight: float = 0.0
    """R1's gamma: the penalty enters as gamma/2 times the squared gradient norm."""
    r1_every_steps: int = 8
    """R1 is computed on one step of so many and weighs so many times as much there (lazy regularisation)."""
    mask_weight: float | None = None
    """The study's lambda_mask, for the models with mask loss; None takes the model's own (`STUDY_MASK_WEIGHT`)."""
    semantic_weight: float = 10.0
    """Of the semantic loss, each direction; for the model that has one."""
    mask_area: MaskArea = "image"
    perceptual_scale: PerceptualScale = "paper"
    """Weight of the mask loss on features: cycle_weight · mask_weight in the paper, 2 · mask_weight in the study's
    code; "none" leaves it out."""
    depth_loss: DepthLoss = "log"
    depth_weight: float = 1.0
    depth_gradient_weight: float = 1.0
    picture_weight: float = 10.0
    """Of what is seen through a lens set by depth."""
    l1_weight: float = 100.0
    """Of pix2pix's term on the picture itself."""
    focus_map: FocusMap = "map"
    focus_weights: FocusWeights = "uniform"


@dataclass(frozen=True)
class Batch:
    """Real pictures of both domains with the alpha of their subjects; the batches may differ in content only.

    Layers beside these are there where the model's `LAYERS` names them, cut and mirrored as their pictures are.
    """

    real_a: Images
    alpha_a: Masks
    real_b: Images
    alpha_b: Masks
    depth_a: Disparities | None = None
    depth_b: Disparities | None = None
    target_a: Images | None = None
    target_b: Images | None = None

    def real(self, domain: str) -> Images:
        """The real pictures of domain "a" or "b"."""
        return self.real_a if domain == "a" else self.real_b


class Translator(nn.Module, ABC, Generic[Made]):
    """Base of all models. Subclasses make translations (`Made`), name the fakes in them, and state their terms."""

    TRAINS_WITH_OVERLAY: ClassVar[bool] = False
    """Whether its discriminators and cycles see the real subject laid over translations."""
    OVERLAYS_RESULT: ClassVar[bool] = False
    """Whether the real subject belongs over the result at test time too."""
    RECORDABLE: ClassVar[bool] = True
    """Whether a GPU may record its steps and replay them."""

    LAYERS: ClassVar[tuple[str, ...]] = ()
    """Fields of `Batch` that it needs beside pictures and alpha, such as "depth_a": it is trained on the pictures of that
    domain that have the layer."""

    def __init__(self, config: ModelConfig, features: VggFeatures | None = None, parser: nn.Module | None = None) -> None:
        """`features` are for the models with mask loss, unless `perceptual_scale` is "none"; `parser`, from pictures to
        `losses.Logits`, is for the one with a semantic loss, unless `semantic_weight` is 0."""
        super().__init__()
        self.config, self.features, self.parser = config, features, parser

    @property
    @abstractmethod
    def generators(self) -> dict[str, Generator]:
        """By direction, `a_to_b` and, where the model has it, `b_to_a`."""

    @property
    @abstractmethod
    def discriminators(self) -> dict[str, PatchDiscriminator]:
        """By the domain whose pictures are real to them, `a` or `b`."""

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every term this model may report."""
        config = self.config
        return {
            **{f"gan_{domain}": config.gan_weight for domain in self.discriminators},
            **{f"discriminator_{domain}": 1.0 for domain in self.discriminators},
            **{f"r1_{domain}": 0.5 * config.r1_weight * config.r1_every_steps for domain in self.discriminators},
            "subject": 1.0,
        }

    @abstractmethod
    def translations(self, batch: Batch) -> Made:
        """What the generators make of a batch."""

    @abstractmethod
    def fakes(self, made: Made) -> Mapping[str, Tensor]:
        """What each discriminator is to tell from what is real to it, by its domain."""

    def real(self, batch: Batch, domain: str) -> Tensor:
        """What is real to a domain's discriminator: the domain's pictures, and whatever is shown beside them."""
        return batch.real(domain)

    def verdict(self, real_scores: Scores, fake_scores: Scores, background: Background | None) -> Scalar:
        """What a discriminator is asked for, as a loss on its scores."""
        return discriminator_loss(real_scores, fake_scores, background)

    @abstractmethod
    def generator_terms(self, batch: Batch, made: Made) -> dict[str, Tensor]:
        """What the generators are asked for, unweighted."""

    def background(self, batch: Batch) -> Background | None:
        """What the discriminators are shown of a batch's pictures, where they see the background alone."""
        if self.config.discriminator.sight != "bands":
            return None
        return common_background(batch.alpha_a, batch.alpha_b)

    def finding_terms(self, batch: Batch) -> dict[str, Tensor]:
        """What a generator that finds the subject is asked for, unweighted: those of both domains."""
        generator = self.generators["a_to_b"]
        if not isinstance(generator, LensGenerator) or generator.finder is None:
            return {}
        pictures, alpha = torch.cat([batch.real_a, batch.real_b]), torch.cat([batch.alpha_a, batch.alpha_b])
        return {"subject": generator.finding_loss(pictures, alpha)}

    def discriminator_terms(self, batch: Batch, fakes: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """What the discriminators are asked for, unweighted; `step` says whether R1's turn has come."""
        penalised, background = self.penalises(step), self.background(batch)

        each = for_each(
            self._discriminator_terms,
            *((domain, self.real(batch, domain), fakes[domain], background, penalised) for domain in self.discriminators),
        )
        return {
            f"{name}_{domain}": term
            for domain, terms in zip(self.discriminators, each, strict=True)
            for name, term in terms.items()
        }

    def _discriminator_terms(
        self, domain: str, real: Tensor, fake: Tensor, background: Background | None, penalised: bool
    ) -> dict[str, Tensor]:
        discriminator = self.discriminators[domain]
        if not penalised:
            twice = None if background is None else torch.cat([background, background])
            real_scores, fake_scores = discriminator(torch.cat([real, fake]), twice).chunk(2)
            return {"discriminator": self.verdict(real_scores, fake_scores, background)}
        real = real.detach().requires_grad_(True)
        real_scores = discriminator(real, background)
        return {
            "discriminator": self.verdict(real_scores, discriminator(fake, background), background),
            "r1": gradient_penalty(real, real_scores),
        }

    def penalises(self, step: int) -> bool:
        """Whether R1 is computed in the step with this index."""
        return self.config.r1_weight > 0 and step % self.config.r1_every_steps == 0

    def objective(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum that a step brings down."""
        return weighted_sum(terms, self.weights)

    def generator_parameters(self) -> list[nn.Parameter]:
        """The parameters that the generators' step moves."""
        return [parameter for generator in self.generators.values() for parameter in generator.parameters()]

    def discriminator_parameters(self) -> list[nn.Parameter]:
        """The parameters that the discriminators' step moves."""
        return [parameter for network in self.discriminators.values() for parameter in network.parameters()]

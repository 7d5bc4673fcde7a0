"""CycleGAN with mask loss: inside the subject's mask a translation must stay what it was.

The second model of the 2018 study "Simulating Shallow Depth of Field in Portraits Using Generative Models". To
CycleGAN's terms it adds, for each direction, the L1 difference of the masked pictures and that of their VGG features
at relu3_2, with lambda_mask 1.

Deviations with the study's settings: none. It scales the term on features by lambda_cycle · lambda_mask in the paper
and by 2 · lambda_mask in its code: `perceptual_scale` says which, the paper's by default. Its mask is 0 or 1; the
loop can hand over soft alpha as well. `mask_area = "person"` divides by the person's area where the study divides by
the whole picture, in which a small person counts little.
"""

from functools import partial
from typing import ClassVar

from torch import Tensor

from pipeline.models.cyclegan import CycleGAN, Translations
from pipeline.models.directions import for_each
from pipeline.models.images import Images, Masks
from pipeline.models.losses import masked_l1_loss, perceptual_loss
from pipeline.models.translator import Batch, ModelConfig
from pipeline.models.vgg import VggFeatures


class MaskLoss(CycleGAN):
    """Adds the mask terms to what the generators are asked for."""

    STUDY_MASK_WEIGHT: ClassVar[float] = 1.0

    @property
    def weights(self) -> dict[str, float]:
        return {**super().weights, **mask_weights(self.config, self.STUDY_MASK_WEIGHT, ("a", "b"))}

    def generator_terms(self, batch: Batch, made: Translations) -> dict[str, Tensor]:
        """CycleGAN's, with `mask_a` (real_a against its translation) and `mask_features_a`, and the same of b."""
        of_a, of_b = for_each(
            partial(mask_terms, config=self.config, features=self.features),
            ("a", made.generated_b, batch.real_a, batch.alpha_a),
            ("b", made.generated_a, batch.real_b, batch.alpha_b),
        )
        return super().generator_terms(batch, made) | of_a | of_b


def mask_terms(
    domain: str, generated: Images, real: Images, mask: Masks, config: ModelConfig, features: VggFeatures | None
) -> dict[str, Tensor]:
    """The unweighted mask terms of one direction; `real` is what `generated` was made of, both in [-1, 1].

    Features are those of the masked pictures, grey outside the mask, so that their gradient is zero there too.
    """
    terms = {f"mask_{domain}": masked_l1_loss(generated, real, mask, config.mask_area)}
    if features is not None and config.perceptual_scale != "none":
        terms[f"mask_features_{domain}"] = perceptual_loss(features(mask * generated), features(mask * real).detach())
    return terms


def mask_weights(config: ModelConfig, study_weight: float, domains: tuple[str, ...]) -> dict[str, float]:
    """The weights of the mask terms of those domains."""
    mask_weight = study_weight if config.mask_weight is None else config.mask_weight
    scale = {"paper": config.cycle_weight, "code": 2.0, "none": 0.0}[config.perceptual_scale]
    return {
        **{f"mask_{domain}": config.cycle_weight * mask_weight for domain in domains},
        **{f"mask_features_{domain}": scale * mask_weight for domain in domains},
    }

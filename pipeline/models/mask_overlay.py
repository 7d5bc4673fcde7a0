"""CycleGAN with mask overlay: the real subject is laid over every translation, and over every way back.

The third model of the 2018 study "Simulating Shallow Depth of Field in Portraits Using Generative Models": before
discriminators, cycles and pools see them, fakes and reconstructions become mask · real + (1 - mask) · generated, at
test time too. The identities are left as they are.

Deviations with the study's settings: none. Overlaid pixels carry no error, so the cycle terms are lower than
CycleGAN's by construction and say nothing about which of the two is better.
"""

from typing import ClassVar

from pipeline.models.cyclegan import CycleGAN, Translations
from pipeline.models.images import overlaid
from pipeline.models.translator import Batch


class MaskOverlay(CycleGAN):
    """Replaces the translations by overlaid ones."""

    TRAINS_WITH_OVERLAY: ClassVar[bool] = True
    OVERLAYS_RESULT: ClassVar[bool] = True

    def translations(self, batch: Batch) -> Translations:
        """CycleGAN's, with the subjects laid over fakes and reconstructions."""
        return overlaid_translations(self, batch)


def overlaid_translations(model: CycleGAN, batch: Batch) -> Translations:
    """Both translations under their subjects, and the ways back from there, under them again."""
    (generated_b, identity_b), (generated_a, identity_a) = model.both_translations(batch)
    fake_b = overlaid(generated_b, batch.real_a, batch.alpha_a)
    fake_a = overlaid(generated_a, batch.real_b, batch.alpha_b)
    cycled_b, cycled_a = model.both_ways_back(fake_a, fake_b, batch)
    return Translations(
        fake_b=fake_b,
        fake_a=fake_a,
        cycled_a=overlaid(cycled_a, batch.real_a, batch.alpha_a),
        cycled_b=overlaid(cycled_b, batch.real_b, batch.alpha_b),
        identity_a=identity_a,
        identity_b=identity_b,
        generated_b=generated_b,
        generated_a=generated_a,
    )

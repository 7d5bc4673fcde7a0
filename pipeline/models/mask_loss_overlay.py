"""Mask loss and mask overlay together: the overlay in training, the generator's own output at test time.

The fourth model of the 2018 study "Simulating Shallow Depth of Field in Portraits Using Generative Models":
discriminators, cycles and pools see overlaid pictures, the mask loss, with lambda_mask 1/2, the generators' output
before the overlay, so that the subject is kept by the network itself.

Deviations with the study's settings: none.
"""

from typing import ClassVar

from pipeline.models.cyclegan import Translations
from pipeline.models.mask_loss import MaskLoss
from pipeline.models.mask_overlay import overlaid_translations
from pipeline.models.translator import Batch


class MaskLossOverlay(MaskLoss):
    """Takes its terms from the mask loss and its translations from the overlay."""

    TRAINS_WITH_OVERLAY: ClassVar[bool] = True
    STUDY_MASK_WEIGHT: ClassVar[float] = 0.5

    def translations(self, batch: Batch) -> Translations:
        """CycleGAN's, with the subjects laid over fakes and reconstructions."""
        return overlaid_translations(self, batch)

"""The segmenter as a Dagster resource."""

from dataclasses import dataclass, replace
from typing import Self

from pipeline.config import MasksSection
from pipeline.masks.segmenter import Segmenter
from pipeline.masks.segmenters import make_segmenter, published_version
from pipeline.masks.selfie import EMBEDDED
from pipeline.masks.sources import FOLDER
from storage import Home


@dataclass(frozen=True)
class SegmenterResource:
    """Makes the segmenter that the project file names."""

    masks: MasksSection

    @property
    def name(self) -> str:
        """The segmenter's, as `[masks]` has it."""
        return self.masks.segmenter

    def with_one_view(self) -> Self:
        """The same, looking at each picture once."""
        return replace(self, masks=self.masks.model_copy(update={"views": 1}))

    def published_version(self) -> str:
        """The version of the segmenter that `load` gives, known without loading anything."""
        return published_version(EMBEDDED if self.name == FOLDER else self.name, self.masks)

    def load(self, home: Home) -> Segmenter:
        """The segmenter, its weights fetched into the home and checked. Raises `WeightsError`.

        A folder of given masks says nothing about pictures that are not in it, such as rendered scenes: there the
        embedded segmenter stands in.
        """
        return make_segmenter(EMBEDDED if self.name == FOLDER else self.name, home.weights, self.masks)

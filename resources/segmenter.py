"""The segmenter as a Dagster resource."""

from dataclasses import dataclass

from pipeline.config import MasksSection
from pipeline.masks.segmenter import Segmenter
from pipeline.masks.segmenters import make_segmenter, published_version
from pipeline.masks.selfie import EMBEDDED
from pipeline.masks.sources import FOLDER
from storage import Home


@dataclass(frozen=True)
class SegmenterResource:
    """Makes the segmenter that the project file names."""

    name: str
    views: int = 4
    second_opinion: bool = True

    @classmethod
    def of(cls, masks: MasksSection) -> "SegmenterResource":
        """The one that the project file's `[masks]` names."""
        return cls(name=masks.segmenter, views=masks.views, second_opinion=masks.second_opinion)

    def published_version(self) -> str:
        """The version of the segmenter that `load` gives, known without loading anything."""
        return published_version(EMBEDDED if self.name == FOLDER else self.name, self._looks())

    def load(self, home: Home) -> Segmenter:
        """The segmenter, its weights fetched into the home and checked. Raises `WeightsError`.

        A folder of given masks says nothing about pictures that are not in it, such as rendered scenes: there the
        embedded segmenter stands in.
        """
        return make_segmenter(EMBEDDED if self.name == FOLDER else self.name, home.weights, self._looks())

    def _looks(self) -> MasksSection:
        return MasksSection.model_validate({"views": self.views, "second_opinion": self.second_opinion})

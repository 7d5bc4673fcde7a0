"""The segmenter as a Dagster resource."""

from dataclasses import dataclass

from pipeline.config import MasksSection
from pipeline.masks.segmenters import EMBEDDED, Segmenter, make_segmenter, published_version
from pipeline.masks.sources import FOLDER
from storage import Home


@dataclass(frozen=True)
class SegmenterResource:
    """Makes the segmenter that the project file names."""

    name: str
    views: int = 4

    @classmethod
    def of(cls, masks: MasksSection) -> "SegmenterResource":
        """The one that the project file's `[masks]` names."""
        return cls(name=masks.segmenter, views=masks.views)

    def published_version(self) -> str:
        """The version of the segmenter that `load` gives, known without loading anything."""
        return published_version(EMBEDDED if self.name == FOLDER else self.name, self.views)

    def load(self, home: Home) -> Segmenter:
        """The segmenter, its weights fetched into the home and checked. Raises `WeightsError`.

        A folder of given masks says nothing about pictures that are not in it, such as rendered scenes: there the
        embedded segmenter stands in.
        """
        return make_segmenter(EMBEDDED if self.name == FOLDER else self.name, home.weights, self.views)

"""The segmenter as a Dagster resource."""

import dagster as dg

from pipeline.masks.segmenters import Segmenter, make_segmenter
from storage import Home


class SegmenterResource(dg.ConfigurableResource):
    """Makes the segmenter that the project file names."""

    name: str

    def load(self, home: Home) -> Segmenter:
        """The segmenter, its weights fetched into the home and checked. Raises `WeightsError`."""
        return make_segmenter(self.name, home.weights)

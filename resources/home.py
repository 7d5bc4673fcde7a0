"""The data folder as a Dagster resource."""

import dagster as dg

from storage import Home


class HomeResource(dg.ConfigurableResource):
    """Where all data lies."""

    root: str

    def open(self) -> Home:
        """The home itself."""
        return Home.at(self.root)

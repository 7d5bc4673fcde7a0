"""The data folder as a Dagster resource."""

from dataclasses import dataclass

from storage import Home


@dataclass(frozen=True)
class HomeResource:
    """Where all data lies."""

    root: str

    def open(self) -> Home:
        """The home itself."""
        return Home.at(self.root)

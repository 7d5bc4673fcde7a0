"""The sources of photos as a Dagster resource: how each is asked for this project, and what is missing to ask it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config import Project
from pipeline.errors import ConfigError
from pipeline.photo_ids import COMMONS, FLICKR
from pipeline.sources.budget import CallBudget, call_budget
from pipeline.web.manners import Patience
from resources.flickr import key_missing, make_budget, make_client
from storage import Home

if TYPE_CHECKING:
    from pipeline.commons.client import CommonsClient
    from pipeline.sources.listing import Source

SOURCE_OF_PREFIX = {FLICKR: "flickr", COMMONS: "commons"}


@dataclass(frozen=True)
class SourcesResource:
    """Makes the project's sources, which share the home's budgets of calls."""

    project: Project

    def named(self, source: str, home: Home) -> "Source":
        """The source of this name. Raises `ConfigError` for what `source_problem` says."""
        return make_source(self.project, source, home)

    def of_domain(self, domain: str, home: Home) -> "Source":
        """The source that the domain's queries are asked at. Raises likewise."""
        return self.named(self.project.domains[domain].source, home)

    def calls_left(self, domain: str, home: Home) -> int:
        """How many calls the domain's source takes at this moment."""
        return budget_of(self.project, self.project.domains[domain].source, home).left()


def source_of(photo_id: str) -> str | None:
    """The source whose photo this is, by its id.

    >>> source_of("commons:57831123"), source_of("folder:0a1b")
    ('commons', None)
    """
    return SOURCE_OF_PREFIX.get(f"{photo_id.partition(':')[0]}:")


def source_problem(project: Project, source: str) -> str | None:
    """What is missing to ask this source and how to get it; None where nothing is."""
    if source == "flickr":
        return key_missing()
    if not project.project.contact:
        return (
            "`[project] contact` is empty: Wikimedia Commons answers only those who say how they can be reached; "
            "put an e-mail or web address there"
        )
    return None


def make_source(project: Project, source: str, home: Home) -> "Source":
    """The source of this name. Raises `ConfigError` where `source_problem` says something."""
    if problem := source_problem(project, source):
        raise ConfigError(problem)
    # What lists photos needs pandas, which `doctor` does without.
    if source == "flickr":
        from pipeline.flickr.source import FlickrSource

        return FlickrSource(make_client(project, home))
    from pipeline.commons.source import CommonsSource

    return CommonsSource(make_commons_client(project, home))


def make_commons_client(project: Project, home: Home) -> "CommonsClient":
    """A client that takes turns with all other processes of the home."""
    from pipeline.commons.client import CommonsClient

    commons = project.commons
    return CommonsClient(
        contact=project.project.contact,
        budget=budget_of(project, "commons", home),
        endpoint=commons.endpoint,
        patience=Patience(commons.timeout_s, commons.retries),
    )


def budget_of(project: Project, source: str, home: Home) -> CallBudget:
    """The calls that the source still takes, counted over all processes of the home."""
    if source == "flickr":
        return make_budget(project, home)
    return call_budget(home.budget, project.commons.endpoint, project.commons.calls_per_hour, service="Commons")

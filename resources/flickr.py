"""Flickr's client: endpoint, hosts and limits from the project file, the key from the environment."""

import os

from pipeline.config import Project
from pipeline.flickr.client import HOW_TO_GET_A_KEY, FlickrClient
from pipeline.sources.budget import CallBudget, call_budget
from pipeline.web.manners import Patience
from storage import Home

KEY_VARIABLE, SECRET_VARIABLE = "FLICKR_API_KEY", "FLICKR_API_SECRET"


def key_missing() -> str | None:
    """What is missing for asking Flickr and how to get it; None where nothing is."""
    missing = [name for name in (KEY_VARIABLE, SECRET_VARIABLE) if not os.environ.get(name)]
    if not missing:
        return None
    without = "without a key, `bokehflow demo` runs the same pipeline on rendered portraits"
    return f"no Flickr key: {' and '.join(missing)} not set; {HOW_TO_GET_A_KEY}; {without}"


def make_client(project: Project, home: Home) -> FlickrClient:
    """A client for the key in the environment, with the home's budget of calls."""
    flickr = project.flickr
    return FlickrClient(
        os.environ[KEY_VARIABLE],
        os.environ[SECRET_VARIABLE],
        endpoint=flickr.endpoint,
        contact=project.project.contact,
        patience=Patience(flickr.timeout_s, flickr.retries),
        budget=make_budget(project, home),
    )


def make_budget(project: Project, home: Home) -> CallBudget:
    """The calls that the key in the environment has left, counted over all processes of the home."""
    return call_budget(home.budget, os.environ[KEY_VARIABLE], project.flickr.calls_per_hour)

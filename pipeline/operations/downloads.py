"""Downloading with the project's settings into the home's blob store: for collecting and for restoring."""

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pipeline.config import Project
from pipeline.flickr.client import user_agent
from pipeline.operations.versions import forgotten_photos
from pipeline.photos.download import Downloads, download_photos
from storage import Home


def download(
    project: Project,
    home: Home,
    listing: pd.DataFrame,
    known: pd.DataFrame,
    journal: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Downloads:
    """`download_photos` of these rows; what was forgotten is not fetched. Raises as that does."""
    return download_photos(
        listing=listing,
        known=known,
        blobs=home.blobs,
        settings=project.photos,
        hosts=project.flickr.image_hosts,
        user_agent=user_agent(project.project.contact),
        timeout_s=project.flickr.timeout_s,
        retries=project.flickr.retries,
        now_s=int(time.time()),
        forgotten=forgotten_photos(home),
        journal=journal,
        progress=progress,
    )

"""Downloading with the project's settings into the home's blob store: for collecting and for restoring."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from pipeline.config import Project
from pipeline.operations.tombstones import forgotten_photos
from pipeline.photos.download import Asking, Downloads, Known, download_photos
from pipeline.tables import among
from pipeline.web.manners import user_agent
from storage import Home


def download(
    project: Project,
    home: Home,
    listing: pd.DataFrame,
    known: pd.DataFrame,
    journal: Path,
    progress: Callable[[int, int], None] | None = None,
    asking: Asking | None = None,
) -> Downloads:
    """`download_photos` of these rows, from the hosts of what the project asks, or as `asking` says.

    What was forgotten is not fetched. Raises as `download_photos` does.
    """
    flickr = project.flickr
    asking = asking or asking_as(project, project.image_hosts(), flickr.timeout_s, flickr.retries)
    known_of = Known(known, journal, forgotten_photos(home))
    return download_photos(listing, known_of, home.blobs, project.photos, asking, int(time.time()), progress)


def asking_as(
    project: Project, hosts: Sequence[str], timeout_s: float, retries: int, gone: set[str] | None = None
) -> Asking:
    """Asking these hosts as the project's contact."""
    return Asking(hosts, user_agent(project.project.contact), timeout_s, retries, set() if gone is None else gone)


def known_files(home: Home, partition: str, photo_ids: set[str]) -> pd.DataFrame:
    """Rows of `photo_files` about these photos: the partition's own, and for the rest those of any other.

    A photo may be found in both domains, and its owner may move it to another month: its bytes are known all the same.
    """
    own = home.tables.read_or_empty("photo_files", partition)
    missing = photo_ids - set(own["photo_id"])
    found = [own]
    for other in home.tables.partitions("photo_files") if missing else []:
        if other != partition and missing & set(home.tables.read("photo_files", other, ["photo_id"])["photo_id"]):
            rows = home.tables.read("photo_files", other)
            found.append(rows[among(rows["photo_id"], missing)])
    filled = [frame for frame in found if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else own

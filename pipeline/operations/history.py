"""What the history tells: questions to Flickr about absent photos, counts, and what needs somebody's attention."""

import time
from collections.abc import Sequence

import pandas as pd

from pipeline.config import Project
from pipeline.errors import ConfigError, FlickrError
from pipeline.licenses import license_name
from pipeline.operations.versions import newest_listings
from pipeline.photo_ids import FLICKR
from pipeline.photos.history import Answer, unasked
from resources.flickr import FlickrResource, key_missing
from storage import Home


def answers_about(photo_ids: Sequence[str], flickr: FlickrResource, home: Home) -> tuple[dict[str, Answer], str | None]:
    """What Flickr says of these photos, and why it could not be asked about all of them, if so.

    No failure: what is not answered stays open for the next run, and nothing else waits for it.
    """
    answers: dict[str, Answer] = {}
    try:
        if not photo_ids:
            return {}, None
        client = flickr.client(home)
        for photo_id in photo_ids:
            found = client.photo_info(photo_id.removeprefix(FLICKR))
            shown = found is not None and found.is_public
            answers[photo_id] = Answer(int(time.time()), shown, found.license if found else None)
    except (ConfigError, FlickrError) as error:
        return answers, str(error)
    return answers, None


def questions_left(project: Project, home: Home) -> bool:
    """Whether the history has absent photos about which Flickr could be asked and never was."""
    if key_missing() or not project.collect.checks_per_run:
        return False
    history = home.tables.read("photo_history")
    return bool(unasked(history, newest_listings(project, home))["asked_s"].isna().any())


def history_counts(history: pd.DataFrame) -> dict[str, int]:
    """How many photos the history has, by what became of them; `absent` includes gone and forgotten ones."""
    kept = ~history["forgotten"]
    return {
        "listed": int((~history["absent"] & kept).sum()),
        "absent": int((history["absent"] & kept).sum()),
        "gone": int((history["gone_s"].notna() & kept).sum()),
        "changed": int((history["changed_s"].notna() & kept).sum()),
        "stricter_licence": int((history["stricter"] & kept).sum()),
        "forgotten": int(history["forgotten"].sum()),
    }


def gone_photos(history: pd.DataFrame) -> list[str]:
    """A line for each photo that is gone and not forgotten."""
    gone = history.loc[history["gone_s"].notna() & ~history["forgotten"], "photo_id"]
    return [f"{photo_id} was deleted or made private; `bokehflow forget --gone` purges it" for photo_id in gone]


def stricter_photos(history: pd.DataFrame) -> list[str]:
    """A line for each photo whose licence got stricter and that is not forgotten."""
    stricter = history[history["stricter"] & ~history["forgotten"]]
    rows = zip(stricter["photo_id"], stricter["license_first"], stricter["license"], strict=True)
    return [f"{photo_id} went from {license_name(first)} to {license_name(now)}" for photo_id, first, now in rows]

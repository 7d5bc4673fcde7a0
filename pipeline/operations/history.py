"""The history of photos, and questions to their sources about those that are absent."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.config import Project
from pipeline.errors import ConfigError, SourceError
from pipeline.operations.photo_tables import all_rows, newest_listings
from pipeline.operations.tombstones import forgotten_photos
from pipeline.photos.history import OF_LISTING, SourceAnswer, unasked, update_history, with_answers
from pipeline.sources.listing import Source
from resources.sources import SourcesResource, source_of, source_problem
from storage import Home


@dataclass(frozen=True)
class MadeHistory:
    """The table `photo_history`, and what came up while it was made."""

    table: pd.DataFrame
    listed_by_month: dict[str, int]
    """Photos by upload month."""
    asked: int
    """Absent photos that their sources were asked about."""
    still_to_ask: int
    not_asked: str | None
    """Why not all could be asked about, if so."""


def make_history(project: Project, home: Home, sources: SourcesResource) -> MadeHistory:
    """The history of all that is listed, brought up to date but not written; sources are asked about absent photos."""
    listings, listing = newest_listings(project, home), all_rows(project, home, "photo_listing", OF_LISTING)
    before = home.tables.read_or_empty("photo_history")
    frame = update_history(before, listing, listings, forgotten_photos(home))
    questions = unasked(frame, listings)["photo_id"].head(project.collect.checks_per_run).tolist()
    answers, not_asked = answers_about(questions, sources, home)
    frame = with_answers(frame, answers)
    by_month = {str(month): int(count) for month, count in listing["month"].value_counts().sort_index().items()}
    return MadeHistory(frame, by_month, len(answers), len(unasked(frame, listings)), not_asked)


def answers_about(
    photo_ids: Sequence[str], sources: SourcesResource, home: Home
) -> tuple[dict[str, SourceAnswer], str | None]:
    """What their sources say of these photos, and why it could not be asked about all of them, if so.

    No failure: what is not answered stays open for the next run, and nothing else waits for it.
    """
    answers: dict[str, SourceAnswer] = {}
    problems: list[str] = []
    for name in sorted({source for photo_id in photo_ids if (source := source_of(photo_id))}):
        own = [photo_id for photo_id in photo_ids if source_of(photo_id) == name]
        try:
            source = sources.named(name, home)
            for photo_id in own:
                answers[photo_id] = _answer(source, photo_id)
        except (ConfigError, SourceError) as error:
            problems.append(str(error))
    return answers, "; ".join(problems) or None


def _answer(source: Source, photo_id: str) -> SourceAnswer:
    found = source.photo_info(photo_id.removeprefix(source.prefix))
    shown = found is not None and found.is_public
    return SourceAnswer(int(time.time()), shown, found.license if found else None)


def questions_left(project: Project, home: Home) -> int:
    """About how many absent photos of the history their source could be asked and never was."""
    if not project.collect.checks_per_run:
        return 0
    rows = unasked(home.tables.read("photo_history"), newest_listings(project, home))
    sources = Counter(source_of(photo_id) for photo_id in rows.loc[rows["asked_s"].isna(), "photo_id"])
    return sum(count for source, count in sources.items() if source and source_problem(project, source) is None)

"""Questions to the sources about the absent photos of the history."""

import time
from collections import Counter
from collections.abc import Sequence

from pipeline.config import Project
from pipeline.errors import ConfigError, SourceError
from pipeline.operations.photo_tables import newest_listings
from pipeline.photos.history import SourceAnswer, unasked
from pipeline.sources.listing import Source
from resources.sources import SourcesResource, source_of, source_problem
from storage import Home


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

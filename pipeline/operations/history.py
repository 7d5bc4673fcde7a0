"""What the history tells: questions to the sources about absent photos, counts, and what needs somebody's attention."""

import time
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pipeline.config import Project
from pipeline.errors import ConfigError, SourceError
from pipeline.licenses import license_name
from pipeline.operations.versions import newest_listings
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

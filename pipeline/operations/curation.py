"""What is measured of each picture, the queue, what curators decided, and what comes of it."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.atomic import write_remade, write_text
from pipeline.bounded import form_problem, read_json
from pipeline.config import Project
from pipeline.curation.agreement import Reviewed, reviewed_twice
from pipeline.curation.curate import curate, decided_groups, one_per_photo
from pipeline.curation.decisions import Decision, folder_version, opinions, read_decisions
from pipeline.curation.double_review import DoubleReview
from pipeline.curation.kept_decisions import KeptDecisions
from pipeline.errors import StorageError
from pipeline.file_names import inside
from pipeline.hint_table import HINTS
from pipeline.operations.photo_tables import all_rows, newest_rows, shown_titles
from pipeline.operations.tombstones import forgotten_photos
from pipeline.spreadsheet import Problem
from pipeline.tables import among, not_there
from storage import Home

if TYPE_CHECKING:
    from pipeline.compute.batches import Over
    from pipeline.curation.hints import Hints, Measured, Measuring
    from pipeline.curation.ranking import Ranking
    from resources.segmenter import SegmenterResource

KEY = ("domain", "photo_id")
SUGGESTED = ("suggested_decision", "suggested_reason", "suggestion", "suggestion_probability")
MEASURED_SHORT_EDGE_PX = 512
"""Large JPEGs are decoded at a reduced size of at least this much for the hints."""


def reviewed(home: Home, project: Project, keep: bool = False) -> tuple[list[Decision], list[Problem]]:
    """Decisions and problems of the reviewed CSVs; `keep` for who may write, so that the next one reads what changes."""
    kept = KeptDecisions(home.kept_decisions)
    found = read_decisions(home.reviewed, known_photos(home), set(project.domains), kept)
    if keep:
        kept.save()
    return found


def known_photos(home: Home) -> set[str]:
    """Ids of every photo ever listed (the history), so that a decision about one that has since vanished is no mistake.

    The history is looked up, not a dependency: a re-scrape alone changes no decision.
    """
    return set(home.tables.read_or_empty("photo_history", columns=["photo_id"])["photo_id"].tolist())


def hints_of(home: Home) -> dict[str, dict[str, Any]]:
    """What was measured of each photo of the queue and suggested, by photo id; what is not known is left out."""
    queue = home.tables.read_or_empty("review_queue")
    told = ["photo_id", *(name for name in (*HINTS, *SUGGESTED) if name in queue)]
    rows = json.loads(queue[told].to_json(orient="records"))
    return {
        row["photo_id"]: {name: value for name, value in row.items() if name != "photo_id" and value is not None}
        for row in rows
    }


def double_review(project: Project, home: Home, decisions: Sequence[Decision]) -> Reviewed | None:
    """Where the double review stands; None where the project asks for none."""
    double = DoubleReview.of(project.curation)
    return reviewed_twice(home.tables.read_or_empty("unique_photos"), decisions, double) if double.share else None


def review_state(project: Project, home: Home) -> dict[str, Any]:
    """What is `wrong` in the reviewed CSVs and what is noted (`notes`), in words, and where the `double_review` stands.

    What `make_curated` found counts as long as nothing has changed that it follows from: a million rows take a minute.
    """
    try:
        kept = read_json(home.kept_review)
        version = _review_version(project, home)
        if version and form_problem(kept, _KEPT_REVIEW) is None and kept.get("of") == version:
            return kept["told"]
    except (OSError, ValueError):
        pass
    decisions, problems = reviewed(home, project)
    return _told(problems, double_review(project, home, decisions))


_KEPT_REVIEW = {"of": str, "told": {"wrong": [str], "notes": [str], "double_review": dict}}


def _told(problems: Sequence[Problem], twice: Reviewed | None) -> dict[str, Any]:
    wrong, notes = ([str(one) for one in problems if one.is_fatal == fatal] for fatal in (True, False))
    return {"wrong": wrong, "notes": notes, "double_review": asdict(twice) if twice else {}}


def _review_version(project: Project, home: Home) -> str:
    """Of all that `review_state` follows from, but the clock; empty where a table does not say of which version it is."""
    infos = [home.tables.info(name) for name in ("photo_history", "unique_photos")]
    versions = [info.data_version for info in infos if info and info.data_version]
    if len(versions) < len(infos):
        return ""
    settings = project.curation.model_dump_json(include={"double_review", "conflicts"})
    told = [*versions, *sorted(project.domains), settings]
    return f"{folder_version(home.reviewed)} {hashlib.sha256(' '.join(told).encode()).hexdigest()[:16]}"


def _keep_review(home: Home, version: str, problems: Sequence[Problem], twice: Reviewed | None) -> None:
    """Not where a time lies in the future: that passes by itself."""
    if not version or any(problem.column in ("decided_at", "counts_at") for problem in problems):
        home.kept_review.unlink(missing_ok=True)
        return
    with suppress(OSError, StorageError):  # it is found anew then
        write_text(home.kept_review, json.dumps({"of": version, "told": _told(problems, twice)}))


@dataclass(frozen=True)
class MadeQueue:
    """The table `review_queue`, and what came up while it was made."""

    table: pd.DataFrame
    new: dict[str, int]
    """Newly queued photos by domain."""
    decided_by_rules: int
    ranking: "Ranking | None"
    """What gave the order of review, where enough was decided to learn from."""
    unqueued: list[str]
    """Photos that nobody decided and that stand in no batch."""
    filled_in_place: list[str]
    """Batches that somebody filled in where nothing reads them."""


def make_queue(project: Project, home: Home) -> MadeQueue:
    """Write batches of what is new, and the table that goes with them but for writing it."""
    from pipeline.curation.queue import ORIGIN_COLUMNS, QueueFolders, QueueInputs, filled_in_place, queue_photos
    from pipeline.curation.suggestions import rule_decisions

    unique, queued = home.tables.read("unique_photos"), home.tables.read_or_empty("review_queue")
    unmeasured = home.tables.read_or_empty("unmeasured_pictures", columns=["sha256"])
    unique = unique[~among(unique["sha256"], unmeasured["sha256"])]  # nobody can look at them
    hints, told = home.tables.read("photo_hints"), [*KEY, "sha256", "phash", "size_bytes"]
    fingerprints = newest_rows(project, home, "fingerprints", told)
    words = opinions(reviewed(home, project, keep=True)[0])
    decided = decided_groups(unique, words)
    by_rules = rule_decisions(unique, hints, project.curation.rules, decided)
    ranking = _ranking(project, unique, hints, fingerprints, words)
    del words
    groups = decided | decided_groups(unique, by_rules)
    listing = [*KEY, *ORIGIN_COLUMNS]
    frame = queue_photos(
        QueueInputs(
            unique, all_rows(project, home, "photo_listing", listing), hints, fingerprints, partial(shown_titles, home)
        ),
        queued, groups, forgotten_photos(home), QueueFolders(home.review_queue, home.thumbnails), project.curation, ranking,
    )  # fmt: skip
    home.reviewed.mkdir(parents=True, exist_ok=True)
    domains = frame.loc[~among(frame["photo_id"], queued["photo_id"]), "domain"]
    new = {str(domain): int(count) for domain, count in domains.value_counts().items()}
    groups |= set(unique.loc[among(unique["photo_id"], frame["photo_id"]), "group"])
    unqueued = unique.loc[unique["rule"].isna() & ~among(unique["group"], groups), "photo_id"].tolist()
    return MadeQueue(frame, new, len(by_rules), ranking, unqueued, filled_in_place(home.review_queue))


def _ranking(
    project: Project, unique: pd.DataFrame, hints: pd.DataFrame, fingerprints: pd.DataFrame, words: Sequence[Decision]
) -> "Ranking | None":
    from pipeline.curation.queue import with_fingerprints
    from pipeline.curation.ranking import learn, learnt_from

    if len(words) < project.curation.learn_from:
        return None
    photos = one_per_photo(unique)
    measured = photos[among(photos["sha256"], hints["sha256"])]
    seen = learnt_from(measured, [word.photo_id for word in words])  # a few of a million, before more is joined to them
    told, marks = (table[among(table["sha256"], seen["sha256"])] for table in (hints, fingerprints))
    return learn(with_fingerprints(seen.merge(told, on="sha256"), marks), words, project.curation.learn_from)


@dataclass(frozen=True)
class MadeCuration:
    """The table `curated_photos`, and what came up while it was made."""

    table: pd.DataFrame
    problems: list[Problem]
    """Of the reviewed CSVs."""
    undecided: int
    unqueued: int
    """How many of them are in no batch either, since somebody had decided them when the queue was made."""
    twice: Reviewed
    is_double: bool
    """Whether the project asks for a double review."""


def make_curated(project: Project, home: Home) -> MadeCuration:
    """What is kept by the decisions, and else by the project's rules; not written."""
    from pipeline.curation.suggestions import rule_decisions

    version = _review_version(project, home)
    decisions, problems = reviewed(home, project, keep=True)
    unique, hints = home.tables.read("unique_photos"), home.tables.read_or_empty("photo_hints")
    decided = decided_groups(unique, decisions)
    by_rules = rule_decisions(unique, hints, project.curation.rules, decided)
    double = DoubleReview.of(project.curation)
    frame = curate(unique, decisions, by_rules, double)
    undecided = int(unique["rule"].isna().sum()) - len(frame)
    unqueued = _unqueued(home, unique, decided | decided_groups(unique, by_rules))
    twice = reviewed_twice(unique, decisions, double)
    _keep_review(home, version, problems, twice if double.share else None)
    return MadeCuration(frame, problems, undecided, unqueued, twice, bool(double.share))


def _unqueued(home: Home, unique: pd.DataFrame, decided: set[str]) -> int:
    """How many photos the queue would take up that are in no batch of it."""
    if home.tables.info("review_queue") is None:
        return 0
    unmeasured = home.tables.read_or_empty("unmeasured_pictures", columns=["sha256"])["sha256"]
    queued = home.tables.read("review_queue", columns=["group"])["group"]
    left_out = unique["rule"].isna() & ~among(unique["group"], decided) & ~among(unique["group"], queued)
    return int((left_out & ~among(unique["sha256"], unmeasured)).sum())


def hints_measurer(project: Project, home: Home, segmenter: "SegmenterResource") -> tuple["Measuring", str]:
    """What measures pictures, and the version of all that decides what it finds.

    Each is decoded once, for its thumbnail as well and, where masks are made of the same, for its mask.
    """
    from pipeline import weights
    from pipeline.curation.hints import measure_with, measured_by, people_of
    from pipeline.curation.inappropriate import OpenNsfw
    from pipeline.curation.queue import thumbnail, thumbnail_name
    from pipeline.operations.masks import masks_beside_hints
    from pipeline.photos.decode import decode_reduced

    # One view is enough to tell who is there, and takes a third of the time that masks take.
    people = segmenter.with_one_view().load(home)
    rating = OpenNsfw(weights.ensure("opennsfw", home.weights)) if project.curation.inappropriate_model else None
    mask_file = masks_beside_hints(project, home, people)

    def one(sha256: str, files: dict[Path, bytes]) -> "Hints":
        data = home.blobs.read(sha256)
        rgb = decode_reduced(data, MEASURED_SHORT_EDGE_PX, project.photos.max_pixels).rgb
        shown, alpha = inside(home.thumbnails, thumbnail_name(sha256)), people_of(rgb, people)
        if not shown.exists():
            files[shown] = thumbnail(rgb)
        files |= mask_file(sha256, rgb, alpha)
        return measure_with(rgb, alpha, data, rating)

    def measured(pictures: Sequence[str]) -> list["Hints"]:
        files: dict[Path, bytes] = {}
        found = [one(sha256, files) for sha256 in pictures]
        write_remade(files)
        return found

    return measured, measured_by(f"{people.name}-{people.version}", rating.version if rating else "")


def update_hints(
    project: Project,
    home: Home,
    segmenter: "SegmenterResource",
    photos: pd.DataFrame,
    report: Callable[[int, int], None] = lambda done, total: None,
    engine: "Callable[[int], Over | None]" = lambda pictures: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table `photo_hints`, brought up to date for the photos but not written, and their thumbnails.

    Also the table `unmeasured_pictures`; what is in it is not tried again by the same measurements. The others are
    measured over the `engine` for so many, or in threads.
    What is measured is in the home's `hints_journal` too, until the table is written and the journal deleted.
    """
    from pipeline.curation.hints import in_threads, measure_photos
    from pipeline.curation.queue import thumbnail, thumbnail_name
    from pipeline.operations.photos import photo_reader

    measured, by = hints_measurer(project, home, segmenter)

    def each(pictures: Sequence[str]) -> "Iterator[Measured]":
        over = engine(len(pictures))
        return in_threads(measured)(pictures) if over is None else _over(over, pictures, by)

    before = home.tables.read_or_empty("unmeasured_pictures")
    before = before[before["measured_by"] == by]
    table, refused = measure_photos(
        pictures=photos.loc[~among(photos["sha256"], before["sha256"]), "sha256"].tolist(),
        known=home.tables.read_or_empty("photo_hints"),
        by=by,
        each=each,
        journal=home.hints_journal,
        progress=report,
    )
    rows = [
        {"sha256": sha256, "measured_by": by, "reason": why, "detail": detail} for sha256, (why, detail) in refused.items()
    ]
    unmeasured = pd.concat([before, pd.DataFrame(rows, columns=before.columns)], ignore_index=True) if rows else before
    read = photo_reader(home, project, MEASURED_SHORT_EDGE_PX)
    shown = photos.loc[~among(photos["sha256"], unmeasured["sha256"]), "sha256"].drop_duplicates()
    names = pd.Series([thumbnail_name(sha256) for sha256 in shown.tolist()], shown.index, dtype="str")
    for sha256 in shown[not_there(home.thumbnails, names)]:
        write_remade({inside(home.thumbnails, thumbnail_name(sha256)): thumbnail(read(sha256))})
    return table, unmeasured


def _over(over: "Over", pictures: Sequence[str], by: str) -> "Iterator[Measured]":
    from pipeline.curation.hints import Hints

    for row in over("hints", pictures, {"by": by}):
        name, hints = row.pop("name"), row
        yield name, (hints["reason"], hints["detail"]) if "reason" in hints else Hints(**hints)

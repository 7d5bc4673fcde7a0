"""Every table that the pipeline makes: from what, by which settings, and which files it speaks of.

A table is made anew when its provenance is no longer the one that holds now, or when files are lost; `planning` asks for
both. What stands here is about one table at a time and names no other module's decisions.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import log
from typing import Any

from pydantic import BaseModel

from pipeline.config import Project
from pipeline.curation.decisions import folder_version
from pipeline.curation.hints import MEASUREMENTS
from pipeline.dataset.manifest import ORIGIN, TOLD, by_time, origin_version, told_version
from pipeline.masks.drawn import DrawnMasks
from pipeline.masks.segmenters import published_version
from pipeline.masks.selfie import EMBEDDED
from pipeline.masks.sources import outside_versions
from pipeline.operations.estimators import depth_makers
from pipeline.operations.lists import lists_versions, missing_lists
from pipeline.operations.photo_tables import all_rows, configured_partitions, listing_configuration
from resources.sources import source_problem
from storage import Home
from storage.provenance import Provenance, Settings

SETTLED_AFTER = timedelta(days=7)
PHOTO_TABLES = ("photo_listing", "photo_files", "fingerprints")
"""Tables by domain × upload month, in order."""
TABLES_OF_ALL = (
    "imported_photos", "photo_history", "unique_photos", "photo_hints", "review_queue", "curated_photos", "person_masks",
    "depth_maps", "training_images", "dataset_manifest",
)  # fmt: skip
"""Tables without partitions, in order."""


def tables_of_all(project: Project) -> list[str]:
    """Those of them that the project has, in order.

    Depth is estimated only where somebody is asked for it, and before the masks where these go by it.
    """
    names = [name for name in TABLES_OF_ALL if name != "depth_maps" or project.depth.estimator != "none"]
    if project.masks.asks_depth:
        names.remove("depth_maps")
        names.insert(names.index("person_masks"), "depth_maps")
    return names


DECIDED_LATER = ("conflicts", "double_review")
"""Keys of `[curation]` that the queue does not follow."""

Key = str | None
"""A partition `domain|month`, or None of a table that has none."""


@dataclass(frozen=True)
class Stage:
    """What one table is made from."""

    tables: Callable[[Project], tuple[str, ...]]
    """Other tables, by whose content it changes."""
    settings: Callable[[Project, Key], Settings]
    outside: Callable[[Project, Home, Key], Mapping[str, str]] = lambda project, home, key: {}
    notes: Callable[[Project, Home, Key], Mapping[str, str]] = lambda project, home, key: {}
    code_version: str = "1"
    blocking_checks: tuple[str, ...] = ()
    """What has to pass before anything is made from it."""
    hindrance: Callable[[Project, Key], str | None] = lambda project, key: None
    """What is missing that it cannot be made without, in words with what to do about it."""
    settles: bool = False
    """It is made from files that people put there, which may still be on their way."""


def provenance_of(project: Project, home: Home, name: str, key: Key = None) -> Provenance:
    """From what the table (one partition of it) would be made now."""
    stage = STAGES[name]
    return Provenance(
        stage.code_version,
        stage.settings(project, key),
        {table: _data_versions(project, home, table, key) for table in stage.tables(project)},
        stage.outside(project, home, key),
        stage.notes(project, home, key),
    )


def hindrance(project: Project, name: str, key: Key) -> str | None:
    """Why the asset cannot be made now, whatever is due; None where it can."""
    return STAGES[name].hindrance(project, key) if name in STAGES else None


def default_settings(name: str) -> Settings:
    """What the settings of a table are where the project file says nothing of them."""
    return STAGES[name].settings(_a_project_of_defaults(), None)


def dagster_code_version(project: Project, name: str) -> str:
    """Code version with what the project file says of the table, so that Dagster too shows a changed setting as stale."""
    from pipeline.training.recipes import canonical_digest

    stage = STAGES[name]
    return f"{stage.code_version}-{canonical_digest(dict(stage.settings(project, None)))[:8]}"


@cache
def _a_project_of_defaults() -> Project:
    return Project.model_validate({"domains": {"ordinary": {}, "shallow": {}}})


def _data_versions(project: Project, home: Home, name: str, key: Key) -> dict[str, str]:
    if name not in PHOTO_TABLES:
        keys: list[Key] = [None]
    else:
        keys = [key] if key else list(configured_partitions(project, home, name))
    infos = {one or "": home.tables.info(name, one) for one in keys}
    return {one: info.data_version for one, info in infos.items() if info}


def _fields(prefix: str, section: BaseModel, *names: str) -> dict[str, Any]:
    """Values of a section of the project file by dotted name: those named, or all."""
    values = section.model_dump(mode="json", include=set(names) or None)
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _none(project: Project, key: Key) -> Settings:
    return {}


def _from(*names: str) -> Callable[[Project], tuple[str, ...]]:
    return lambda project: names


def _of_listing(project: Project, key: Key) -> Settings:
    """Months themselves do not count: a partition is one month."""
    photos = _fields("photos", project.photos, "max_edge_px", "exclude_no_cv")
    if key is None:
        return photos
    domain, month = key.split("|")
    queries = {
        str(number): query.model_dump(mode="json", exclude_defaults=True, exclude={"from_month", "to_month"})
        for number, query in enumerate(project.domains[domain].queries)
        if query.covers(month)
    }
    source = {f"domains.{domain}.source": project.domains[domain].source}
    return {**source, f"domains.{domain}.queries": queries, **photos}


def _day_of_listing(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    """A month that is over is listed once; one that still runs, once a day, and for a week after its end.

    Flickr indexes late, and a listing that was interrupted before midnight covers what was there then.
    """
    now = datetime.now(UTC)
    is_over = key is None or key.split("|")[1] < f"{now - SETTLED_AFTER:%Y-%m}"
    return {"day of a month that is not long over": "" if is_over else f"{now:%Y-%m-%d}"}


def _configuration(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    return {"configuration": listing_configuration(project, key)} if key else {}


def _not_to_be_asked(project: Project, key: Key) -> str | None:
    return source_problem(project, project.domains[key.split("|")[0]].source) if key else None


def _of_files(project: Project, key: Key) -> Settings:
    hosts = sorted({host.split(":")[0] for host in project.image_hosts()})
    limits = _fields("photos", project.photos, "max_edge_px", "min_edge_px", "max_bytes", "max_pixels")
    return {**limits, "image_hosts": hosts}


def _of_imports(project: Project, key: Key) -> Settings:
    limits = _fields("photos", project.photos, "min_edge_px", "max_bytes", "max_pixels", "exclude_no_cv")
    return {"domains": sorted(project.domains), **limits}


def _of_hints(project: Project, key: Key) -> Settings:
    return _fields("curation", project.curation, "inappropriate_model")


def _measured_by(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    """One view is enough to tell who is there, and takes a third of the time that masks take."""
    masks = project.masks.model_copy(update={"views": 1})
    segmenter = published_version(EMBEDDED if masks.folder else masks.segmenter, masks)
    return {"segmenter": segmenter, "way of measuring": str(MEASUREMENTS)}


def _learning(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    """Changes when there are enough decisions to learn from, and again whenever there are a quarter more."""
    curated = home.tables.info("curated_photos")
    decisions, enough = curated.row_count if curated else 0, project.curation.learn_from
    return {"number of decisions to learn from": str(int(log(decisions / enough, 1.25)))} if decisions >= enough else {}


def _note_decided(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    curated = home.tables.info("curated_photos")
    return {DECIDED: curated.data_version} if curated else {}


DECIDED = "decided"
"""Under this name the queue's notes say which decisions had been made when it was."""
UNQUEUED = "unqueued"
"""Under this name the notes of `curated_photos` say how many photos nobody decided that are in no batch, if any are."""


def _of_curation(project: Project, key: Key) -> Settings:
    decides = _fields("curation", project.curation, "min_kept_per_domain", "rules", *DECIDED_LATER)
    return {"domains": sorted(project.domains), **decides}


def _of_queue(project: Project, key: Key) -> Settings:
    settings = _fields("curation", project.curation)
    return {name: value for name, value in settings.items() if name.rpartition(".")[2] not in DECIDED_LATER}


def _decisions(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    return {"reviewed decisions": folder_version(home.reviewed)}


def _of_masks(project: Project, key: Key) -> Settings:
    settings = _fields("masks", project.masks)
    settings.pop("masks.folder")  # where it lies does not count; what is in it does
    return settings


def _mask_makers(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    drawn = DrawnMasks(home.drawn_masks).version()
    depth = _imported_layers(project, home, key) if project.masks.asks_depth else {}
    return {**outside_versions(project.masks), **({"drawn masks": drawn} if drawn else {}), **depth}


def _of_people(project: Project) -> tuple[str, ...]:
    return ("curated_photos", "depth_maps") if project.masks.asks_depth else ("curated_photos",)


def _of_whom_depth(project: Project) -> tuple[str, ...]:
    return ("curated_photos",) if project.masks.asks_depth else ("person_masks",)


def _of_depth(project: Project, key: Key) -> Settings:
    settings = _fields("depth", project.depth)
    for place in ("depth.folder", "depth.network"):  # where it lies does not count; what is in it does
        settings.pop(place)
    return settings


def _of_masks_and_depth(project: Project) -> tuple[str, ...]:
    return ("person_masks",) if project.depth.estimator == "none" else ("person_masks", "depth_maps")


def _of_preparation(project: Project, key: Key) -> Settings:
    dataset = project.dataset
    settings = {"dataset.crop": dataset.crop, "dataset.stored_size_px": dataset.stored_px}
    if dataset.crop != "tiles":
        return settings
    tiles = _fields("dataset", dataset, "tile_overlap", "max_tiles")
    return {**settings, "dataset.tile_px": dataset.tile_px or dataset.stored_px, **tiles}


def _imported_layers(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    """What came with imported photos beside their pictures; homes where nothing did ask for nothing anew."""
    info = home.tables.info("imported_layers")
    return {"depth and targets of imported photos": info.data_version} if info and info.row_count else {}


def _of_manifest(project: Project, key: Key) -> Settings:
    sides = _fields("training", project.training, "domain_a", "domain_b")
    return {**_fields("dataset", project.dataset, "split", "test_share"), **sides}


def _origin(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    """What is known of the training pictures' owners, titles and licences, and what came with them of sides and pairs.

    Views and times do not count.
    """
    followed = _followed(project, home)
    if _ORIGINS.get(home, ("", {}))[0] != followed:
        info = home.tables.info("dataset_manifest")
        made = info.provenance if info and info.provenance else None
        same = made and made.notes.get(FOLLOWED) == followed
        _ORIGINS[home] = followed, made.outside if made and same else _looked_at(project, home)
    return _ORIGINS[home][1]


def _looked_at(project: Project, home: Home) -> Mapping[str, str]:
    photos = home.tables.read_or_empty("training_images", columns=["photo_id"])["photo_id"]
    listing = all_rows(project, home, "photo_listing", ["photo_id", "fetched_at_s", *ORIGIN, *TOLD])
    told = told_version(listing, photos)
    sides = {"sides and pairs": told} if told else {}
    return {"owners, titles or licences": origin_version(by_time(listing), photos), **sides}


def _followed(project: Project, home: Home) -> str:
    """Digest of the data versions of all that `_origin` follows from: of a million photos a look takes five seconds."""
    tables = ("photo_listing", "imported_photos", "training_images")
    made_of = [sorted(project.domains), *(_data_versions(project, home, name, None) for name in tables)]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


def _note_followed(project: Project, home: Home, key: Key) -> Mapping[str, str]:
    return {FOLLOWED: _followed(project, home)}


FOLLOWED = "followed"
"""Under this name the manifest's notes say from which data what `_origin` says was found."""
_ORIGINS: dict[Home, tuple[str, Mapping[str, str]]] = {}
"""By home what was followed last, and what it came to: `dev` asks every few seconds."""


def _rules_look_at_hints(project: Project) -> tuple[str, ...]:
    return ("unique_photos", "photo_hints") if project.curation.rules else ("unique_photos",)


STAGES: dict[str, Stage] = {
    "photo_listing": Stage(_from(), _of_listing, _day_of_listing, _configuration, hindrance=_not_to_be_asked),
    "photo_files": Stage(_from("photo_listing"), _of_files),
    "fingerprints": Stage(_from("photo_files"), _none, code_version="2"),
    "imported_photos": Stage(
        _from("imports", "listed_photos"),
        _of_imports,
        lambda project, home, key: lists_versions(project),
        hindrance=lambda project, key: missing_lists(project),
    ),
    "photo_history": Stage(_from("photo_listing", "imported_photos", "tombstones"), _none, code_version="2"),
    "unique_photos": Stage(
        _from("fingerprints", "imported_photos", "photo_history"),
        lambda project, key: _fields("dedupe", project.dedupe),
        code_version="3",
    ),
    "photo_hints": Stage(_from("unique_photos"), _of_hints, _measured_by),
    "review_queue": Stage(
        _from("unique_photos", "photo_hints"),
        _of_queue,
        _learning,
        _note_decided,
        code_version="3",
    ),
    "curated_photos": Stage(
        _rules_look_at_hints,
        _of_curation,
        _decisions,
        code_version="3",
        blocking_checks=("decisions_valid", "enough_kept"),
        settles=True,
    ),
    "person_masks": Stage(_of_people, _of_masks, _mask_makers, settles=True),
    "depth_maps": Stage(_of_whom_depth, _of_depth, depth_makers, settles=True),
    "training_images": Stage(_of_masks_and_depth, _of_preparation, _imported_layers),
    "dataset_manifest": Stage(
        _from("training_images"), _of_manifest, _origin, _note_followed, blocking_checks=("can_be_frozen",)
    ),
}
"""Every table with a provenance, by the asset that makes it, in the order in which they are made."""

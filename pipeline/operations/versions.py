"""From what each table is made, and the version of exactly those inputs.

A stage whose table carries the current version has nothing to do. The versions live in the tables themselves,
so that they hold whoever started the stage: the UI, the automation or the command line.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log

import pandas as pd

from pipeline.config import Project
from pipeline.curation.decisions import folder_version
from pipeline.dataset.crop import Crop, Plan, Tiling
from pipeline.dataset.manifest import ORIGIN, origin_version
from pipeline.masks.drawn import DrawnMasks
from pipeline.masks.sources import configured_version
from pipeline.operations.months import IMPORTED, listed_keys
from pipeline.photos.history import Relisted
from storage import Home

SETTLED_AFTER = timedelta(days=7)
PARTITIONED = ("photo_listing", "photo_files", "fingerprints")
"""Tables by domain × upload month."""


DECIDED_LATER = frozenset({"double_review", "conflicts"})
"""Keys of `[curation]` that the queue does not follow."""


@dataclass(frozen=True)
class Inputs:
    """What a table is made from: other tables, configuration, and its code."""

    upstream: tuple[str, ...]
    configuration: Callable[[Project], str]
    code_version: str = "1"


def listing_configuration(project: Project, key: str) -> str:
    """Digest of all that decides what a listing of `domain|month` has; months themselves do not count."""
    name, month = key.split("|")
    domain = project.domains[name]
    queries = [
        (index, query.model_dump_json(exclude_defaults=True, exclude={"from_month", "to_month"}))
        for index, query in enumerate(domain.queries)
        if query.covers(month)
    ]
    source = "" if domain.source == "flickr" else f" {domain.source}"
    return _digest([f"{queries} {project.photos.max_edge_px} {project.photos.exclude_no_cv}{source}"])


def _files_configuration(project: Project) -> str:
    limits = project.photos
    hosts = sorted({host.split(":")[0] for host in project.image_hosts()})
    return f"{limits.max_edge_px} {limits.min_edge_px} {limits.max_bytes} {limits.max_pixels} {hosts}"


def _import_configuration(project: Project) -> str:
    limits = project.photos
    shape = f"{limits.min_edge_px} {limits.max_bytes} {limits.max_pixels} {limits.exclude_no_cv}"
    return f"{sorted(project.domains)} {shape}"


def _manifest_configuration(project: Project) -> str:
    sides = f"{project.training.domain_a} {project.training.domain_b}"
    return f"{project.dataset.split} {sorted(project.dataset.test_share.items())} {sides}"


def _curation_configuration(project: Project) -> str:
    curation = project.curation
    rules = [rule.model_dump_json() for rule in curation.rules]
    double = f" {curation.double_review} {curation.conflicts}" if curation.double_review else ""
    return f"{sorted(project.domains)} {curation.min_kept_per_domain} {rules}{double}"


def plan(project: Project) -> Plan:
    """How the project prepares its training pictures."""
    dataset = project.dataset
    if dataset.crop == "tiles":
        return Tiling(dataset.stored_px, dataset.tile_px or dataset.stored_px, dataset.tile_overlap, dataset.max_tiles)
    return Crop(dataset.crop, dataset.stored_px)


def configured_code_version(project: Project, name: str) -> str:
    """Code version of a table with what the project file says of it, so that Dagster shows a changed setting as stale."""
    inputs = INPUTS[name]
    return f"{inputs.code_version}-{hashlib.sha256(inputs.configuration(project).encode()).hexdigest()[:8]}"


INPUTS: dict[str, Inputs] = {
    "photo_listing": Inputs((), lambda project: ""),
    "photo_files": Inputs(("photo_listing",), _files_configuration),
    "imported_photos": Inputs(("imports",), _import_configuration),
    "photo_history": Inputs(("photo_listing", "tombstones"), lambda project: "", "2"),
    "fingerprints": Inputs(("photo_files",), lambda project: "", "2"),
    "unique_photos": Inputs(("fingerprints", "photo_history"), lambda project: project.dedupe.version(), "3"),
    "review_queue": Inputs(("unique_photos",), lambda project: project.curation.version(DECIDED_LATER), "3"),
    "curated_photos": Inputs(("unique_photos",), _curation_configuration, "3"),
    "person_masks": Inputs(("curated_photos",), lambda project: configured_version(project.masks)),
    "training_images": Inputs(("person_masks",), lambda project: plan(project).name),
    "dataset_manifest": Inputs(("training_images",), _manifest_configuration),
}


def inputs_version(project: Project, home: Home, name: str, partition: str | None = None) -> str:
    """Version of everything the table `name` (one partition of it) would now be made from."""
    inputs = INPUTS[name]
    parts = [name, inputs.code_version, inputs.configuration(project)]
    for upstream in inputs.upstream:
        parts += [upstream, *_data_versions(project, home, upstream, partition)]
    if name == "curated_photos":
        parts.append(folder_version(home.reviewed))
        if project.curation.rules:
            parts += _data_versions(project, home, "photo_hints", None)
    if name == "person_masks" and (drawn := DrawnMasks(home.drawn_masks).version()):
        parts.append(drawn)
    if name == "review_queue":
        parts.append(_learning_step(project, home))
    if name == "photo_listing" and partition:
        # The configuration stands apart, so that a table tells later by which one it was made.
        return f"{listing_configuration(project, partition)}-{_digest([*parts, _freshness(partition.split('|')[1])])}"
    if name == "dataset_manifest":
        # Apart, so that one sees whether more than this changed.
        return f"{_origin_version(project, home)}-{_digest(parts)}"
    return _digest(parts)


def _origin_version(project: Project, home: Home) -> str:
    """Of what is known about owners, titles and licences of the training pictures; views and times do not count."""
    images = home.tables.read_or_empty("training_images", columns=["photo_id"])
    keys = configured_partitions(project, home, "photo_listing")
    listing = home.tables.read_all("photo_listing", keys, ["photo_id", *ORIGIN])
    return origin_version(listing, set(images["photo_id"]))


def has_new_metadata(project: Project, home: Home) -> bool:
    """Whether owners, titles or licences are known otherwise than the manifest, where there is one, says."""
    info = home.tables.info("dataset_manifest")
    return info is not None and info.inputs_version.split("-")[0] != _origin_version(project, home)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def newest_listings(project: Project, home: Home) -> dict[str, Relisted]:
    """By which configuration, and when, each configured month was listed last, the empty ones too."""
    found = {}
    for key in configured_partitions(project, home, "photo_listing"):
        info = home.tables.info("photo_listing", key)
        if info is not None and not key.endswith(f"|{IMPORTED}"):
            found[key] = Relisted(info.inputs_version.split("-")[0], int(info.made_s))
    return found


def _learning_step(project: Project, home: Home) -> str:
    """Changes when there are enough decisions to learn from, and again whenever there are a quarter more."""
    curated = home.tables.info("curated_photos")
    decisions = curated.row_count if curated else 0
    enough = project.curation.learn_from
    return str(int(log(decisions / enough, 1.25))) if decisions >= enough else "none"


def configured_partitions(project: Project, home: Home, name: str) -> list[str]:
    """The partitions of a table by domain × month that exist and that the project file still asks for.

    Those of imported photos are among them.
    """
    wanted = {*listed_keys(project), *(f"{domain}|{IMPORTED}" for domain in project.domains)}
    return [key for key in home.tables.partitions(name) if key in wanted]


def newest_rows(project: Project, home: Home, name: str) -> pd.DataFrame:
    """All configured partitions of a table in one frame, each photo of a domain once.

    An owner may change a photo's upload date, and then two months list it; the later month counts.
    """
    rows = home.tables.read_all(name, configured_partitions(project, home, name))
    return rows.drop_duplicates(["domain", "photo_id"], keep="last", ignore_index=True)


def forgotten_photos(home: Home) -> set[str]:
    """Ids with a tombstone: purged on request and never to be fetched again."""
    return set(home.tables.read_or_empty("tombstones", columns=["photo_id"])["photo_id"])


def _data_versions(project: Project, home: Home, name: str, partition: str | None) -> list[str]:
    if name not in PARTITIONED:
        keys: list[str | None] = [None]
    else:
        keys = [partition] if partition else list(configured_partitions(project, home, name))
    infos = [home.tables.info(name, key) for key in keys]
    return [f"{key} {info.data_version}" for key, info in zip(keys, infos, strict=True) if info]


def _freshness(month: str) -> str:
    """A month that is over is listed once; one that still runs, once a day, and for a week after its end.

    Flickr indexes late, and a listing that was interrupted before midnight covers what was there then.
    """
    now = datetime.now(UTC)
    return "over" if month < f"{now - SETTLED_AFTER:%Y-%m}" else f"listed on {now:%Y-%m-%d}"

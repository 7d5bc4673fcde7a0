"""What version 0.1 wrote where the provenance now stands: one digest of everything, which only equals or does not.

A home of that version is as current as it was: its tables are held against the digest that they would have got. Nothing
writes these any more, and nothing here may change.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log
from typing import Any

from pipeline.config import Project
from pipeline.curation.decisions import folder_version
from pipeline.dataset.manifest import ORIGIN, origin_version
from pipeline.masks.drawn import DrawnMasks
from pipeline.masks.sources import outside_versions
from pipeline.operations.months import IMPORTED, listed_keys
from pipeline.operations.photo_tables import listing_configuration
from pipeline.operations.stages import STAGES
from pipeline.operations.training_images import plan
from storage import Home, TableInfo

_PARTITIONED = ("photo_listing", "photo_files", "fingerprints")
_SETTLED_AFTER = timedelta(days=7)
_DEDUPE = {"verify", "radius_bits", "min_correlation", "min_detail", "prefer_domain", "min_bytes"}
_CURATION = {
    "batch_size", "min_kept_per_domain", "shallow_domains", "deep_domains", "learn_from", "inappropriate_model", "rules",
}  # fmt: skip
_RULE = {"name", "hint", "below", "above", "decision", "reason", "domain"}
_MASKS = {"segmenter", "views", "second_opinion", "others", "refine", "long_side_px", "min_coverage"}
"""The settings that there were; one that came later has its default in a home of that version."""


@dataclass(frozen=True)
class _Inputs:
    upstream: tuple[str, ...]
    configuration: Callable[[Project], str]
    more: Callable[[Project, Home, str | None], Sequence[str]] = lambda project, home, key: ()
    before: Callable[[Project, Home, str | None], str] = lambda project, home, key: ""
    """What stood apart, before the digest."""
    bound_to: str | None = None
    """The table that was made together with this one, which said nothing itself."""


def is_former_current(project: Project, home: Home, name: str, key: str | None, info: TableInfo) -> bool:
    """Whether a table without provenance would have counted as current."""
    inputs = _INPUTS[name]
    if inputs.bound_to is not None:
        bound = home.tables.info(inputs.bound_to)
        return bound is not None and is_former_current(project, home, inputs.bound_to, None, bound)
    return bool(info.former_version) and info.former_version == _former_version(project, home, name, key)


def former_judgement(info: TableInfo) -> tuple[str, str, str]:
    """Digest of the model, version of the method and digest of the yardstick that an evaluation was made by."""
    model, method, yardstick = [*info.former_version.split("-"), "", "", ""][:3]
    return model, method, yardstick


def _former_version(project: Project, home: Home, name: str, key: str | None) -> str:
    inputs = _INPUTS[name]
    parts = [name, STAGES[name].code_version, inputs.configuration(project)]
    for upstream in inputs.upstream:
        parts += [upstream, *_data_versions(project, home, upstream, key)]
    digest = _digest([*parts, *inputs.more(project, home, key)])
    return "-".join(filter(None, [inputs.before(project, home, key), digest]))


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _partitions(project: Project, home: Home, name: str) -> list[str]:
    wanted = {*listed_keys(project), *(f"{domain}|{IMPORTED}" for domain in project.domains)}
    return [key for key in home.tables.partitions(name) if key in wanted]


def _data_versions(project: Project, home: Home, name: str, key: str | None) -> list[str]:
    if name not in _PARTITIONED:
        keys: list[str | None] = [None]
    else:
        keys = [key] if key else list(_partitions(project, home, name))
    infos = [home.tables.info(name, one) for one in keys]
    return [f"{one} {info.data_version}" for one, info in zip(keys, infos, strict=True) if info]


def _nothing(project: Project) -> str:
    return ""


def _files(project: Project) -> str:
    limits = project.photos
    hosts = sorted({host.split(":")[0] for host in project.image_hosts()})
    return f"{limits.max_edge_px} {limits.min_edge_px} {limits.max_bytes} {limits.max_pixels} {hosts}"


def _imports(project: Project) -> str:
    limits = project.photos
    shape = f"{limits.min_edge_px} {limits.max_bytes} {limits.max_pixels} {limits.exclude_no_cv}"
    return f"{sorted(project.domains)} {shape}"


def _deduped(project: Project) -> str:
    return hashlib.sha256(project.dedupe.model_dump_json(include=_DEDUPE).encode()).hexdigest()[:16]


def _queued(project: Project) -> str:
    names: dict[str, Any] = {**dict.fromkeys(_CURATION, True), "rules": {"__all__": _RULE}}
    return hashlib.sha256(project.curation.model_dump_json(include=names).encode()).hexdigest()[:16]


def _masks(project: Project) -> str:
    return " ".join([project.masks.model_dump_json(include=_MASKS), *outside_versions(project.masks).values()])


def _curation(project: Project) -> str:
    rules = [rule.model_dump_json(include=_RULE) for rule in project.curation.rules]
    curation = project.curation
    double = f" {curation.double_review} {curation.conflicts}" if curation.double_review else ""
    return f"{sorted(project.domains)} {curation.min_kept_per_domain} {rules}{double}"


def _manifest(project: Project) -> str:
    sides = f"{project.training.domain_a} {project.training.domain_b}"
    return f"{project.dataset.split} {sorted(project.dataset.test_share.items())} {sides}"


def _decided(project: Project, home: Home, key: str | None) -> list[str]:
    hints = _data_versions(project, home, "photo_hints", None) if project.curation.rules else []
    return [folder_version(home.reviewed), *hints]


def _drawn(project: Project, home: Home, key: str | None) -> list[str]:
    drawn = DrawnMasks(home.drawn_masks).version()
    return [drawn] if drawn else []


def _learning_step(project: Project, home: Home, key: str | None) -> list[str]:
    curated = home.tables.info("curated_photos")
    decisions, enough = curated.row_count if curated else 0, project.curation.learn_from
    return [str(int(log(decisions / enough, 1.25))) if decisions >= enough else "none"]


def _origin(project: Project, home: Home, key: str | None) -> str:
    images = home.tables.read_or_empty("training_images", columns=["photo_id"])
    keys = _partitions(project, home, "photo_listing")
    return origin_version(home.tables.read_all("photo_listing", keys, ["photo_id", *ORIGIN]), images["photo_id"])


def _freshness(project: Project, home: Home, key: str | None) -> list[str]:
    now, month = datetime.now(UTC), (key or "").split("|")[-1]
    return ["over" if month < f"{now - _SETTLED_AFTER:%Y-%m}" else f"listed on {now:%Y-%m-%d}"]


def _configuration(project: Project, home: Home, key: str | None) -> str:
    return listing_configuration(project, key) if key else ""


_INPUTS: dict[str, _Inputs] = {
    "photo_listing": _Inputs((), _nothing, _freshness, _configuration),
    "photo_files": _Inputs(("photo_listing",), _files),
    "imported_photos": _Inputs(("imports",), _imports),
    "photo_history": _Inputs(("photo_listing", "tombstones"), _nothing),
    "fingerprints": _Inputs(("photo_files",), _nothing),
    "unique_photos": _Inputs(("fingerprints", "photo_history"), _deduped),
    "photo_hints": _Inputs((), _nothing, bound_to="review_queue"),
    "review_queue": _Inputs(("unique_photos",), _queued, _learning_step),
    "curated_photos": _Inputs(("unique_photos",), _curation, _decided),
    "person_masks": _Inputs(("curated_photos",), _masks, _drawn),
    "training_images": _Inputs(("person_masks",), lambda project: plan(project).name),
    "dataset_manifest": _Inputs(("training_images",), _manifest, before=_origin),
}

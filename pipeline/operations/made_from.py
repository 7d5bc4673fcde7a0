"""What a snapshot was made from: what its datasheet, its lineage and Dagster's metadata say of its photos."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import distribution
from subprocess import run
from typing import Any

import pandas as pd

from pipeline.config import Project
from pipeline.licenses import license_name, strictest
from pipeline.operations.curation import double_review, reviewed
from pipeline.operations.status import funnel
from pipeline.package_files import CODE
from storage import Home

TABLES = ("photo_history", "unique_photos", "curated_photos", "person_masks", "training_images")


def made_from(project: Project, home: Home) -> dict[str, Any]:
    """Queries, filters, counts by reason, data versions and code, kept with a snapshot when it is frozen."""
    infos = {name: home.tables.info(name) for name in TABLES}
    domains = {
        name: {"title": domain.title, "queries": [query.model_dump(exclude_defaults=True) for query in domain.queries]}
        for name, domain in project.domains.items()
    }
    twice = double_review(project, home, reviewed(home, project)[0])
    agreed = asdict(twice.agreement) if twice else {}
    sections = ("photos", "dedupe", "curation", "masks", "dataset")
    return {
        "project": project.project.name,
        "months": {"from": project.collect.from_month, "to": project.collect.to_month},
        "domains": domains,
        "settings": {name: getattr(project, name).model_dump(mode="json") for name in sections},
        "counts": funnel(project, home),
        **({"double_review": {name: value for name, value in agreed.items() if value is not None}} if agreed else {}),
        "data_versions": {name: info.data_version for name, info in infos.items() if info},
        "code_revision": code_revision(),
    }


def license_counts(licenses: Iterable[object]) -> dict[str, int]:
    """Photos by the name of their licence, the most frequent first."""
    names = pd.Series([license_name(value if isinstance(value, str) else None) for value in licenses], dtype=str)
    return {str(name): int(count) for name, count in names.value_counts().items()}


def strictest_name(licenses: Iterable[object]) -> str:
    """Name of the licence that allows least."""
    values = [value if isinstance(value, str) else None for value in licenses]
    return license_name(strictest(values)) if values else "none"


def code_revision() -> str:
    """Git's name of the code that runs, with `+` where files differ from it; outside a checkout the wheel's.

    `unknown` where there is no git to ask.
    """
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    if not (CODE / ".git").exists():
        return wheel_revision()
    try:
        done = run(command, cwd=CODE, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def wheel_revision() -> str:
    """`wheel` and twelve digits of the digest of all code in the wheel that is installed."""
    files = distribution("bokehflow").files or ()
    code = "\n".join(sorted(f"{file} {file.hash.value}" for file in files if file.hash and file.suffix == ".py"))
    return f"wheel {sha256(code.encode()).hexdigest()[:12]}" if code else "unknown"

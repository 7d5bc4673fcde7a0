"""Snapshots: a manifest frozen in a folder of its own, read-only, with what a paper and a lawyer need.

`snapshots/<id>/`: `manifest.parquet` (one row a picture, with shard and row), `manifest.jsonl` (the canonical
bytes whose digest is the id), `attribution.csv`, `snapshot.json` (counts, digests).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from pipeline.atomic import TEMPORARY_SUFFIX, sync
from pipeline.dataset.manifest import canonical, counts, snapshot_id
from pipeline.errors import DatasetError

FORMAT_VERSION = 1


def freeze(manifest: pd.DataFrame, folder: Path, license_name: Callable[[str | None], str]) -> Path:
    """Write the snapshot of `manifest` below `folder` unless it is there already; returns its folder.

    `license_name` turns a licence id into words for the attribution file.
    """
    target = folder / snapshot_id(manifest)
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{target.name}.{uuid4().hex[:8]}{TEMPORARY_SUFFIX}"
    try:
        temporary.mkdir()
        _fill(temporary, manifest, license_name)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _fill(folder: Path, manifest: pd.DataFrame, license_name: Callable[[str | None], str]) -> None:
    manifest.to_parquet(folder / "manifest.parquet", index=False)
    (folder / "manifest.jsonl").write_bytes(canonical(manifest))
    attribution(manifest, license_name).to_csv(folder / "attribution.csv", index=False)
    facts = {
        "format": FORMAT_VERSION,
        "id": snapshot_id(manifest),
        "sha256": hashlib.sha256(canonical(manifest)).hexdigest(),
        "counts": counts(manifest),
        "shards": sorted(manifest["shard"].unique()),
    }
    (folder / "snapshot.json").write_text(json.dumps(facts, indent=2) + "\n")
    for path in folder.iterdir():
        sync(path)
        path.chmod(0o444)


def attribution(manifest: pd.DataFrame, license_name: Callable[[str | None], str]) -> pd.DataFrame:
    """Title, owner, licence and link of each photo, as its licence asks to be shown."""
    table = manifest[["photo_id", "domain", "split", "title", "owner", "owner_name", "license", "page_url"]].copy()
    known = table["license"].where(table["license"].notna(), None)
    table["license_name"] = [license_name(value) for value in known]
    return table


def read_facts(folder: Path, identifier: str) -> dict[str, Any]:
    """What `snapshot.json` says: `format`, `id`, `sha256`, `counts` by domain and split, `shards`.

    Raises `DatasetError` when there is no such snapshot or when it is of a newer format.
    """
    path = folder / identifier
    if not (path / "snapshot.json").exists():
        known = ", ".join(list_snapshots(folder)) or "none"
        raise DatasetError(f"{path}: there is no snapshot {identifier}; known here: {known}")
    try:
        facts = json.loads((path / "snapshot.json").read_text())
    except ValueError as error:
        raise DatasetError(f"{path}: snapshot.json is damaged ({error}); restore the folder from a copy") from None
    if facts["format"] > FORMAT_VERSION:
        raise DatasetError(f"{path}: written by a newer bokehflow (format {facts['format']}); update to read it")
    return facts


def read_snapshot(folder: Path, identifier: str) -> pd.DataFrame:
    """The frozen manifest.

    Raises `DatasetError` as `read_facts` does, and when the manifest's bytes no longer give its id.
    """
    read_facts(folder, identifier)
    path = folder / identifier
    try:
        manifest = pd.read_parquet(path / "manifest.parquet")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: manifest.parquet is damaged ({error}); restore the folder from a copy") from None
    if snapshot_id(manifest) != identifier:
        raise DatasetError(f"{path}: the manifest was changed after it was frozen; restore the folder from a copy")
    return manifest


def list_snapshots(folder: Path) -> list[str]:
    """Ids of the snapshots below `folder`, newest first."""
    found = [path.parent for path in folder.glob("*/snapshot.json") if not path.parent.name.startswith(".")]
    return [path.name for path in sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.name))]

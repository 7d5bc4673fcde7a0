"""Snapshots over a home: why photos came and went, and restoring with the photos that Flickr still has."""

from math import ceil
from pathlib import Path

import pandas as pd

from assets.downloads import download
from assets.versions import plan
from pipeline.config import DatasetSection, Project
from pipeline.dataset.diff import Diff, diff_snapshots, explained
from pipeline.dataset.layout import facts_of, find_snapshot
from pipeline.dataset.lineage import stories, why_kept, why_missing
from pipeline.dataset.prepare import prepare_images
from pipeline.dataset.restore import Restored, restore_snapshot, without_missing
from pipeline.dataset.snapshot import freeze
from pipeline.errors import ConfigError, FlickrUnreachable
from pipeline.licenses import license_name
from pipeline.masks.person_masks import alpha_digest, read_mask
from pipeline.photos.decode import decode_reduced, upright_size
from storage import Home


def diff_with_reasons(home: Home, before: str, after: str) -> Diff:
    """What changed between two snapshots (the beginnings of their ids will do), and why as far as the tables know."""
    diff = diff_snapshots(home.snapshots, find_snapshot(home.snapshots, before), find_snapshot(home.snapshots, after))
    told = stories(home.table_files, [change.photo_id for change in diff.changes])
    tell = {"came": why_kept, "moved_domain": why_kept, "went": why_missing}
    reasons = {change.photo_id: tell[change.kind](told[change.photo_id]) for change in diff.changes if change.kind in tell}
    return explained(diff, reasons)


def restore(home: Home, project: Project, source: str) -> Restored:
    """Restore a snapshot of the home by its id, or the one in a bundle's folder.

    Photos are fetched from where they came from, unless they were forgotten here.
    """
    folder = source_folder(home, source)
    as_frozen = frozen_settings(project, folder)

    def prepare(masks: pd.DataFrame) -> pd.DataFrame:
        return prepare_images(
            masks=masks,
            read_photo=lambda sha256, short_edge_px: decode_reduced(
                home.blobs.read(sha256), ceil(short_edge_px), project.photos.max_pixels
            ),
            read_mask=lambda mask: read_mask(home.masks / mask),
            photo_size=lambda sha256: upright_size(home.blobs.read(sha256), project.photos.max_pixels),
            shards_folder=home.shards,
            plan=plan(as_frozen),
            shard_rows=project.dataset.shard_rows,
        )

    return restore_snapshot(
        folder,
        home.snapshots,
        home.shards,
        home.masks,
        has_photo=home.blobs.has,
        fetch=lambda rows: _fetch(home, project, rows),
        prepare=prepare,
        mask_digest=lambda path: alpha_digest(read_mask(path)),
    )


def freeze_what_is_left(home: Home, source: str) -> str:
    """Freeze the pictures that could be restored; they are another snapshot, whose id is returned."""
    folder = source_folder(home, source)
    rest = without_missing(folder, home.shards)
    return freeze(rest, home.snapshots, home.shards, license_name, facts_of(folder)["made_from"]).name


def source_folder(home: Home, source: str) -> Path:
    """The folder of a bundle, or of a snapshot of the home by its id."""
    path = Path(source).expanduser()
    return path if path.is_dir() else home.snapshots / find_snapshot(home.snapshots, source)


def frozen_settings(project: Project, folder: Path) -> Project:
    """The project with the settings by which the snapshot's pictures were prepared."""
    frozen = facts_of(folder)["made_from"].get("settings", {}).get("dataset")
    if frozen is None:
        return project
    known = {name: value for name, value in frozen.items() if name in DatasetSection.model_fields}
    try:
        return project.model_copy(update={"dataset": DatasetSection.model_validate(known)})
    except ValueError as error:
        raise ConfigError(
            f"{folder}: the settings of [dataset] that it was frozen with are no longer known: {error}"
        ) from None


def _fetch(home: Home, project: Project, rows: pd.DataFrame) -> dict[str, str | None]:
    """Fetch photos into the blob store; what became of each: null, or a reason."""
    listing = rows.assign(month="restored", last_update_s=None, reason=None)
    journal = home.journal("restore")
    try:
        frame = download(project, home, listing, pd.DataFrame(columns=["photo_id"]), journal).table
    except FlickrUnreachable as error:
        return dict.fromkeys(rows["photo_id"], f"could not be fetched: {error}")
    journal.unlink(missing_ok=True)
    reasons = frame["reason"].astype(object).where(frame["reason"].notna(), None)
    return dict(zip(frame["photo_id"], reasons, strict=True))

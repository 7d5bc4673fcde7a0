"""Snapshots over a home: why photos came and went, restoring with the photos that Flickr still has, and deleting."""

from collections.abc import Collection
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from shutil import disk_usage

import pandas as pd
import pyarrow as pa

from pipeline.config import Project
from pipeline.dataset.crop import parse_transform
from pipeline.dataset.diff import Diff, diff_snapshots, explained
from pipeline.dataset.layout import PICTURES, RESTORE, facts_of, find_snapshot, read_sums
from pipeline.dataset.lineage import stories, why_kept, why_missing
from pipeline.dataset.prepare import ShardFolder, picture_bytes, prepare_named
from pipeline.dataset.restore import Kept, Photos, Restored, restore_snapshot, without_missing
from pipeline.dataset.shards import SUFFIX
from pipeline.dataset.snapshot import freeze
from pipeline.depth.maps import map_digest
from pipeline.errors import DatasetError, FlickrUnreachable, free_space
from pipeline.file_names import child, expanded, is_snapshot_id
from pipeline.masks.person_masks import alpha_digest, read_mask
from pipeline.operations.downloads import asking_as, download
from pipeline.operations.estimators import RUN
from pipeline.operations.planning import newest_snapshot
from pipeline.operations.tombstones import forgotten_photos
from pipeline.operations.training_images import readers
from pipeline.parquet_files import parquet_table
from pipeline.plain_files import paths_in
from pipeline.training.runs import exclusive
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

    def prepare(masks: pd.DataFrame) -> pd.DataFrame:
        wanted = masks[masks["transform"].map(_is_ours)]
        _check_room(home, wanted)
        return prepare_named(
            wanted,
            readers(project, home),
            ShardFolder(home.shards, project.dataset.shard_rows),
        )

    return restore_snapshot(
        folder,
        home.snapshots,
        home.shards,
        {"mask": Kept(home.masks, lambda path: alpha_digest(read_mask(path))), "depth": Kept(home.depth, map_digest)},
        Photos(home.blobs.has, lambda rows: fetch_photos(home, project, rows), lambda: forgotten_photos(home)),
        prepare,
    )


def freeze_what_is_left(home: Home, source: str) -> str:
    """Freeze the pictures that could be restored; they are another snapshot, whose id is returned."""
    folder = source_folder(home, source)
    rest = without_missing(folder, home.shards, forgotten_photos(home))
    return freeze(rest, home.snapshots, home.shards, facts_of(folder)["made_from"]).name


@dataclass(frozen=True)
class Doomed:
    """What is deleted with snapshots. It goes in this order, so that the same command goes on where one was killed."""

    models: list[Path]
    """The folders of the runs that trained on them."""
    made: list[Path]
    """What their models were judged to be, reports and results."""
    shards: list[Path]
    """Those that no other snapshot names, nor the table `training_images`."""
    snapshots: list[Path]
    """Their folders, last: what is gone can no longer be named."""

    @property
    def paths(self) -> list[Path]:
        """All of it."""
        return [*self.models, *self.made, *self.shards, *self.snapshots]


def doomed(home: Home, identifiers: Collection[str], with_models: bool = False, depth_by: str = "none") -> Doomed:
    """What goes with these snapshots, and whatever shards nothing names any more; `depth_by` is `[depth] estimator`.

    Raises `DatasetError` for the snapshot of what the tables hold, which would be frozen again, for one that models were
    trained on unless they go, too, for a model that estimates depth here, and where it cannot be told what models there are
    and which shards snapshots need.
    """
    if home.tables.info("dataset_manifest") and (newest := newest_snapshot(home)) in identifiers:
        raise DatasetError(f"{newest} is what the tables hold now; the next run would freeze it again, so it stays")
    _check_links(home)
    models = [run for one in identifiers for run in sorted(home.runs.glob(f"{escape(one)}-*")) if _holds_files(run)]
    if models and not with_models:
        names = ", ".join(run.name for run in models)
        raise DatasetError(f"models were trained on what is to be deleted, and go with it by --with-models alone: {names}")
    if estimator := next((run.name for run in models if f"{RUN}{run.name}" == depth_by), None):
        raise DatasetError(
            f"the model {estimator} estimates depth here ([depth] estimator), so it stays; name another there"
        )
    evaluations = [key for key in home.tables.partitions("evaluation") if key.partition("|")[2] in identifiers]
    made = [home.tables.path("evaluation", key) for key in evaluations]
    made += [child(folder, one) for one in identifiers for folder in (home.evaluations, home.reports, home.results)]
    needed = _needed_shards(home, identifiers)
    shards = [path for path in paths_in(home.shards, SUFFIX) if path.name not in needed]
    snapshots = [child(home.snapshots, one) for one in identifiers]
    return Doomed(models, [path for path in made if path.exists()], shards, snapshots)


def delete(home: Home, what: Doomed) -> None:
    """Delete it, in a home where nobody makes anything. Raises `TrainingError` where one of the models is being trained."""
    for run in what.models:
        with exclusive(run):
            pass
    for path in what.paths:
        home.discard(path)
    home.sweep()  # what was left of a deletion that was killed


def _check_links(home: Home) -> None:
    """Raises `DatasetError` where a part of the home, a snapshot or a model lies behind a link to a disk that is away."""
    links = (path for folder in (home.root, home.snapshots, home.runs) for path in folder.glob("*") if path.is_symlink())
    if lost := next((path for path in links if not path.exists()), None):
        raise DatasetError(f"{lost}: leads to nothing, so what needs what cannot be told; mount what it names, or delete it")


def _holds_files(folder: Path) -> bool:
    """Whether there is more than folders and locks, which stay here of what another machine deletes from a bucket."""
    return any(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*"))


def _needed_shards(home: Home, without: Collection[str]) -> set[str]:
    needed = set(home.tables.read_or_empty("training_images", columns=["shard"])["shard"])
    for path in home.snapshots.glob("*/"):
        if is_snapshot_id(path.name) and path.name not in without and _holds_files(path):
            try:
                named = parquet_table(path / PICTURES, ["shard"])["shard"].to_pylist()
                needed |= {*named, *(Path(name).name for name in read_sums(path))}
            except (OSError, ValueError, KeyError, pa.ArrowException) as error:
                raise DatasetError(
                    f"{path}: which shards it needs cannot be read ({error}); {RESTORE}, or delete it"
                ) from error
    return needed


def source_folder(home: Home, source: str) -> Path:
    """The folder of a bundle, or of a snapshot of the home by its id."""
    path = expanded(source)
    return path if path.is_dir() else child(home.snapshots, find_snapshot(home.snapshots, source))


def _is_ours(transform: str) -> bool:
    """Whether this version can repeat it."""
    try:
        parse_transform(transform)
    except DatasetError:
        return False
    return True


def _check_room(home: Home, wanted: pd.DataFrame) -> None:
    """Raises `DatasetError` where the pictures would not go on the disk: a few lines may name any number of them."""
    needed = sum(picture_bytes(wanted, parse_transform(name).size_px) for name in wanted["transform"])
    home.root.mkdir(parents=True, exist_ok=True)
    if needed > disk_usage(home.root).free:
        raise DatasetError(f"{home.root}: the pictures need {needed / 1e9:,.1f} GB; {free_space(home.root)}; make room")


def fetch_photos(home: Home, project: Project, rows: pd.DataFrame) -> dict[str, str | None]:
    """Fetch photos (`photo_id`, `domain`, `image_url`) into the blob store; what became of each: null, or a reason."""
    listing = rows.assign(month="restored", last_update_s=None, reason=None)
    journal = home.journal("restore")
    try:
        hosts = [*project.image_hosts(), *project.lists.image_hosts]
        asking = asking_as(project, hosts, project.flickr.timeout_s, project.flickr.retries)
        frame = download(project, home, listing, pd.DataFrame(columns=["photo_id"]), journal, asking=asking).table
    except FlickrUnreachable as error:
        return dict.fromkeys(rows["photo_id"], f"could not be fetched: {error}")
    journal.unlink(missing_ok=True)
    reasons = frame["reason"].astype(object).where(frame["reason"].notna(), None)
    return dict(zip(frame["photo_id"], reasons, strict=True))

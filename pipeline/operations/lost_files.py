"""What may have gone of a table's files since it was made, and what of it is to be tried again."""

import time
from collections.abc import Callable

import pandas as pd

from pipeline.config import Project
from pipeline.curation.queue import thumbnail_name
from pipeline.file_names import child
from pipeline.operations.due import Loss
from pipeline.operations.history import questions_left
from pipeline.operations.imports import misreported_imports
from pipeline.operations.tombstones import unpurged
from pipeline.plain_files import is_there
from pipeline.tables import among, not_there
from storage import Home

FindLoss = Callable[[Project, Home, str, str | None, float], Loss | None]
"""From a project, a home, a table's name, its partition and when it was made to what was lost of it."""
ASKED_EVERY_S = 3600
"""Sources are asked about absent photos in portions, so that the calls of an hour suffice for listings too."""
TRIED_EVERY_S = 86_400
"""A server that failed to give a file, and may yet, is asked once a day."""
LOOKED_FOR_EVERY_S = 600
"""Where one process asks again and again, files that were all there are looked for again after so long."""


def _counted(count: int, what: str, one: str, many: str) -> str:
    return f"1 {what} {one}" if count == 1 else f"{count:,} {what}s {many}"


def _files(project: Project, home: Home, key: str | None) -> Loss | None:
    """No photo may be worth another try, and every blob has to be there at its full size."""
    files = home.tables.read("photo_files", key, ["sha256", "size_bytes", "pending"])
    stored = files[files["sha256"].notna()]
    sizes = zip(stored["sha256"].tolist(), stored["size_bytes"].astype(int).tolist(), strict=True)
    if missing := home.blobs.missing(sizes):
        return Loss(_counted(missing, "file", "is missing", "are missing"))
    pending = int(files["pending"].sum())
    if not pending:
        return None
    return Loss(_counted(pending, "file", "is to be tried again", "are to be tried again"), TRIED_EVERY_S)


def _imports(project: Project, home: Home, key: str | None) -> Loss | None:
    count = misreported_imports(home)
    return Loss(_counted(count, "file", "has come or gone", "have come or gone")) if count else None


def _history(project: Project, home: Home, key: str | None) -> Loss | None:
    if left := len(unpurged(home)):
        return Loss(_counted(left, "forgotten photo", "is not purged yet", "are not purged yet"), needs_quiet=True)
    if left := questions_left(project, home):
        return Loss(_counted(left, "absent photo", "is to be asked about", "are to be asked about"), ASKED_EVERY_S)
    return None


def _hints(project: Project, home: Home, key: str | None) -> Loss | None:
    unique = home.tables.read_or_empty("unique_photos", columns=["sha256", "rule"])
    measured = home.tables.read("photo_hints", columns=["sha256"])["sha256"]
    shown = measured[among(measured, unique.loc[unique["rule"].isna(), "sha256"])]
    names = pd.Series([thumbnail_name(one) for one in shown.drop_duplicates().tolist()], dtype="str")
    missing = int(not_there(home.thumbnails, names).sum())
    return Loss(_counted(missing, "thumbnail", "is missing", "are missing")) if missing else None


def _masks(project: Project, home: Home, key: str | None) -> Loss | None:
    masks = home.tables.read("person_masks", columns=["mask"])["mask"].dropna()
    missing = int(not_there(home.masks, masks.drop_duplicates().astype("str")).sum())
    return Loss(_counted(missing, "mask", "is missing", "are missing")) if missing else None


def _depth(project: Project, home: Home, key: str | None) -> Loss | None:
    maps = home.tables.read("depth_maps", columns=["depth_source"])["depth_source"].dropna()
    missing = int(not_there(home.depth, maps.drop_duplicates().astype("str")).sum())
    return Loss(_counted(missing, "map of depth", "is missing", "are missing")) if missing else None


def _shards(project: Project, home: Home, key: str | None) -> Loss | None:
    shards = home.tables.read("training_images", columns=["shard"])["shard"].unique()
    missing = sum(not is_there(child(home.shards, shard)) for shard in shards)
    return Loss(_counted(missing, "shard", "is missing", "are missing")) if missing else None


_LOSSES: dict[str, Callable[[Project, Home, str | None], Loss | None]] = {
    "photo_files": _files,
    "imported_photos": _imports,
    "photo_history": _history,
    "photo_hints": _hints,
    "person_masks": _masks,
    "depth_maps": _depth,
    "training_images": _shards,
}


def find_loss(project: Project, home: Home, name: str, key: str | None, made_s: float) -> Loss | None:
    """What has gone of the files that the table speaks of, or is to be tried again; None where all is there."""
    find = _LOSSES.get(name)
    return find(project, home, key) if find else None


class RememberingLosses:
    """`find_loss` that looks at a table's files again only when the table is new or some time has gone by.

    For who asks after each stage, or every few seconds: a home may have a million files.
    """

    def __init__(self) -> None:
        self._whole: dict[tuple[str, str | None], tuple[float, float]] = {}

    def __call__(self, project: Project, home: Home, name: str, key: str | None, made_s: float) -> Loss | None:
        """As `find_loss`."""
        seen_made_s, seen_s = self._whole.get((name, key), (0.0, 0.0))
        if seen_made_s == made_s and time.monotonic() - seen_s < LOOKED_FOR_EVERY_S:
            return None
        loss = find_loss(project, home, name, key, made_s)
        if loss is None:
            self._whole[name, key] = made_s, time.monotonic()
        return loss

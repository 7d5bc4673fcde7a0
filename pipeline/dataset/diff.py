"""What changed between two snapshots: which photos came, went, moved or changed."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.dataset.manifest import IDENTITY, PAIR
from pipeline.dataset.ordered import places_in
from pipeline.dataset.snapshot import read_manifest
from pipeline.picture_layers import LAYERS, OPTIONAL_DIGESTS, with_all_digests

OF_PICTURES = [*(layer.digest for layer in LAYERS), "transform"]
"""What a photo's pictures are told by; those of its tiles are joined."""
DECIDING = [*IDENTITY[1:], *OPTIONAL_DIGESTS, PAIR]
COMPARED = (*DECIDING, "split_key", "source_sha256")
Row = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Change:
    """One photo that differs. `kind`: came, went, moved_domain, moved_split or changed; `why` in words, where known."""

    photo_id: str
    kind: str
    what: str
    why: str = ""


@dataclass(frozen=True)
class Diff:
    """From snapshot `before` to snapshot `after`."""

    before: str
    after: str
    unchanged: int
    changes: tuple[Change, ...]

    def counts(self) -> dict[str, int]:
        """Photos by kind of change."""
        kinds = ("came", "went", "moved_domain", "moved_split", "changed")
        return {kind: sum(change.kind == kind for change in self.changes) for kind in kinds}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        changes = [asdict(change) for change in self.changes]
        return {"before": self.before, "after": self.after, "unchanged": self.unchanged, **self.counts(), "changes": changes}


def diff_snapshots(folder: Path, before: str, after: str) -> Diff:
    """Compare two snapshots row by row; `why` is left to `explained`. Raises as `read_manifest` does."""
    old, new = (_by_photo(read_manifest(folder, name)) for name in (before, after))
    place = places_in(old["photo_id"], new["photo_id"])
    is_gone = np.ones(len(old), bool)
    is_gone[place[place >= 0]] = False
    changes = [*_came(new[place < 0]), *_went(old[is_gone])]
    moved = list(_moved(old.iloc[place[place >= 0]], new[place >= 0]))
    unchanged = int((place >= 0).sum()) - len({change.photo_id for change in moved})
    return Diff(before, after, unchanged, tuple(sorted([*changes, *moved], key=lambda one: (one.kind, one.photo_id))))


def explained(diff: Diff, why: Mapping[str, str]) -> Diff:
    """The diff with a reason for each photo that `why` knows one for; what the manifests themselves say comes first."""
    changes = tuple(
        Change(change.photo_id, change.kind, change.what, change.why or why.get(change.photo_id, ""))
        for change in diff.changes
    )
    return Diff(diff.before, diff.after, diff.unchanged, changes)


def _by_photo(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row for each photo; the digests and transforms of its tiles are joined, in one order."""
    paired = manifest.assign(**{PAIR: manifest[PAIR].astype(object).fillna("") if PAIR in manifest else ""})
    rows = with_all_digests(paired)[["photo_id", *COMPARED, "forgotten"]]
    if rows["photo_id"].is_unique:
        return rows
    rows = rows.drop_duplicates(["photo_id", "transform"])
    photos = rows.drop_duplicates("photo_id").set_index("photo_id")
    tiled = rows[rows["photo_id"].duplicated(keep=False)].sort_values(["photo_id", "transform"])
    for column in OF_PICTURES:
        joined = tiled.groupby("photo_id")[column].agg(", ".join)
        photos.loc[joined.index, column] = joined
    return photos.reset_index()


def _came(photos: pd.DataFrame) -> Iterator[Change]:
    for row in photos[["photo_id", "domain", "split"]].itertuples(index=False):
        yield Change(str(row.photo_id), "came", f"{row.domain}, {row.split}")


def _went(photos: pd.DataFrame) -> Iterator[Change]:
    for row in photos[["photo_id", "domain", "split", "forgotten"]].itertuples(index=False):
        yield Change(str(row.photo_id), "went", f"{row.domain}, {row.split}", "forgotten on request" * bool(row.forgotten))


def _moved(old: pd.DataFrame, new: pd.DataFrame) -> Iterator[Change]:
    """Of the same photos in the same order."""
    left, right = (rows.reset_index(drop=True) for rows in (old, new))
    differs = pd.DataFrame({name: left[name].ne(right[name]) for name in COMPARED})
    rows = np.flatnonzero(differs[DECIDING].any(axis=1))
    told = (frame.iloc[rows].to_dict("records") for frame in (left, right, differs))
    for a, b, other in zip(*told, strict=True):
        photo_id = str(a["photo_id"])
        if other["domain"]:
            yield Change(photo_id, "moved_domain", f"{a['domain']} → {b['domain']}")
        elif other["split"]:
            yield Change(photo_id, "moved_split", f"{a['split']} → {b['split']}", _why_other_side(a, b))
        if any(other[name] for name in OF_PICTURES):
            what = ["pixels" if layer.name == "rgb" else layer.name for layer in LAYERS if other[layer.digest]]
            yield Change(photo_id, "changed", " and ".join(what) or "transform", _why_changed(a, b))
        elif other[PAIR]:
            yield Change(photo_id, "changed", "pair", f"{a[PAIR] or 'none'} → {b[PAIR] or 'none'}")


def _why_other_side(before: Row, after: Row) -> str:
    if before["split_key"] != after["split_key"]:
        return f"its near-duplicates now go with those of {after['split_key']}, before {before['split_key']}"
    return "the split of [dataset] was changed, or others took its place among the lowest hashes"


def _shown(transforms: str) -> str:
    first, *others = transforms.split(", ")
    return f"{first} and {len(others)} more tiles" if others else first


def _why_changed(before: Row, after: Row) -> str:
    if before["source_sha256"] != after["source_sha256"]:
        return f"the photo's file is another: {before['source_sha256'][:12]}… → {after['source_sha256'][:12]}…"
    if before["transform"] != after["transform"]:
        return f"prepared otherwise: {_shown(before['transform'])} → {_shown(after['transform'])}"
    if before["alpha_sha256"] == after["alpha_sha256"] and before["pixels_sha256"] == after["pixels_sha256"]:
        return "another map, or another picture to become, belongs to it now"
    if before["pixels_sha256"] == after["pixels_sha256"]:
        return "its mask was made by another segmenter or with other settings"
    return "the same file gave other pixels: another version of the libraries, or another crop around the subject"

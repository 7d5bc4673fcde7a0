"""What changed between two snapshots: which photos came, went, moved or changed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.dataset.manifest import IDENTITY, PAIR
from pipeline.dataset.snapshot import read_manifest
from pipeline.picture_layers import LAYERS, OPTIONAL_DIGESTS, with_all_digests

OF_PICTURES = [*(layer.digest for layer in LAYERS), "transform"]
"""What a photo's pictures are told by; those of its tiles are joined."""
DECIDING = [*IDENTITY[1:], *OPTIONAL_DIGESTS, PAIR]
COMPARED = (*DECIDING, "split_key", "source_sha256")


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
    changes = [*_came_and_went(old, new), *_moved(old, new)]
    both = set(old.index) & set(new.index)
    unchanged = len(both) - len(both & {change.photo_id for change in changes})
    return Diff(before, after, unchanged, tuple(sorted(changes, key=lambda change: (change.kind, change.photo_id))))


def explained(diff: Diff, why: Mapping[str, str]) -> Diff:
    """The diff with a reason for each photo that `why` knows one for; what the manifests themselves say comes first."""
    changes = tuple(
        Change(change.photo_id, change.kind, change.what, change.why or why.get(change.photo_id, ""))
        for change in diff.changes
    )
    return Diff(diff.before, diff.after, diff.unchanged, changes)


def _by_photo(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row for each photo by its id; the digests and transforms of its tiles are joined, in one order."""
    paired = manifest.assign(**{PAIR: manifest[PAIR].astype(object).fillna("") if PAIR in manifest else ""})
    rows = with_all_digests(paired).drop_duplicates(["photo_id", "transform"])
    photos = rows.drop_duplicates("photo_id").set_index("photo_id")
    tiled = rows[rows["photo_id"].duplicated(keep=False)].sort_values(["photo_id", "transform"])
    for column in OF_PICTURES:
        joined = tiled.groupby("photo_id")[column].agg(", ".join)
        photos.loc[joined.index, column] = joined
    return photos


def _came_and_went(old: pd.DataFrame, new: pd.DataFrame) -> Iterator[Change]:
    for photo_id in new.index.difference(old.index):
        row = new.loc[photo_id]
        yield Change(str(photo_id), "came", f"{row['domain']}, {row['split']}")
    for photo_id in old.index.difference(new.index):
        row = old.loc[photo_id]
        why = "forgotten on request" if row["forgotten"] else ""
        yield Change(str(photo_id), "went", f"{row['domain']}, {row['split']}", why)


def _moved(old: pd.DataFrame, new: pd.DataFrame) -> Iterator[Change]:
    both = old.index.intersection(new.index)
    left, right = old.loc[both, list(COMPARED)], new.loc[both, list(COMPARED)]
    differs = left.ne(right)
    for photo_id in both[differs[DECIDING].any(axis=1)]:
        a, b, other = left.loc[photo_id], right.loc[photo_id], differs.loc[photo_id]
        if other["domain"]:
            yield Change(str(photo_id), "moved_domain", f"{a['domain']} → {b['domain']}")
        elif other["split"]:
            yield Change(str(photo_id), "moved_split", f"{a['split']} → {b['split']}", _why_other_side(a, b))
        if other[OF_PICTURES].any():
            what = ["pixels" if layer.name == "rgb" else layer.name for layer in LAYERS if other[layer.digest]]
            yield Change(str(photo_id), "changed", " and ".join(what) or "transform", _why_changed(a, b))
        elif other[PAIR]:
            yield Change(str(photo_id), "changed", "pair", f"{a[PAIR] or 'none'} → {b[PAIR] or 'none'}")


def _why_other_side(before: pd.Series, after: pd.Series) -> str:
    if before["split_key"] != after["split_key"]:
        return f"its near-duplicates now go with those of {after['split_key']}, before {before['split_key']}"
    if before["domain"] == after["domain"]:
        return "the split of [dataset] was changed, or others took its place among the lowest hashes"
    return ""


def _shown(transforms: str) -> str:
    first, *others = transforms.split(", ")
    return f"{first} and {len(others)} more tiles" if others else first


def _why_changed(before: pd.Series, after: pd.Series) -> str:
    if before["source_sha256"] != after["source_sha256"]:
        return f"the photo's file is another: {before['source_sha256'][:12]}… → {after['source_sha256'][:12]}…"
    if before["transform"] != after["transform"]:
        return f"prepared otherwise: {_shown(before['transform'])} → {_shown(after['transform'])}"
    if before["alpha_sha256"] == after["alpha_sha256"] and before["pixels_sha256"] == after["pixels_sha256"]:
        return "another map, or another picture to become, belongs to it now"
    if before["pixels_sha256"] == after["pixels_sha256"]:
        return "its mask was made by another segmenter or with other settings"
    return "the same file gave other pixels: another version of the libraries, or another crop around the subject"

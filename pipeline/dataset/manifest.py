"""The manifest: which pictures make the dataset, on which side of the split, and the snapshot id they give."""

import hashlib
import json
from collections.abc import Set

import pandas as pd

from pipeline.config import DatasetSection
from pipeline.picture_layers import OPTIONAL_DIGESTS, present

IDENTITY = ["photo_id", "domain", "pixels_sha256", "alpha_sha256", "split", "transform"]
"""The columns that make a snapshot what it is, with the digests of the layers that a picture has beside these; owner,
licence and packing into shards do not count."""
ORIGIN = ["owner", "owner_name", "title", "license", "page_url"]
"""What the listing says of a photo; it is what `forget` erases from a manifest."""
STUDY_TEST_COUNT = 100
ID_DIGITS = 16
"""Hex digits of the SHA-256 that a snapshot is named by."""


def build_manifest(
    images: pd.DataFrame,
    listing: pd.DataFrame,
    curated: pd.DataFrame,
    masks: pd.DataFrame,
    dataset: DatasetSection,
    domain_a: str,
) -> pd.DataFrame:
    """The table `dataset_manifest` from `training_images`, `photo_listing`, `curated_photos` and `person_masks`."""
    listed = listing.drop_duplicates("photo_id", keep="last").set_index("photo_id")
    decided = curated.drop_duplicates("photo_id").set_index("photo_id")[["curator", "file", "row"]]
    manifest = images.join(listed[[*ORIGIN, "image_url"]], on="photo_id")
    manifest = manifest.join(decided.add_prefix("decision_"), on="photo_id")
    manifest["curator"] = manifest["decision_curator"]
    segmented = masks.set_index(["domain", "photo_id"])[["mask", "mask_sha256"]]
    manifest = manifest.drop(columns=list(segmented), errors="ignore").join(segmented, on=["domain", "photo_id"])
    manifest["source_sha256"] = manifest["sha256"]
    manifest["split"] = split_of(manifest, dataset, domain_a)
    return manifest


def origin_version(listing: pd.DataFrame, photo_ids: Set[str]) -> str:
    """Digest of what the listing (`photo_id` and `ORIGIN`) says of these photos, 16 hex digits."""
    listed = listing[listing["photo_id"].isin(list(photo_ids))].drop_duplicates("photo_id", keep="last")
    told = listed.sort_values("photo_id")[["photo_id", *ORIGIN]].to_json(orient="values", force_ascii=False)
    return hashlib.sha256(str(told).encode()).hexdigest()[:16]


def split_of(images: pd.DataFrame, dataset: DatasetSection, domain_a: str) -> pd.Series:
    """`train` or `test` for each row of `images` (columns `domain`, `split_key`).

    The side depends on the split key alone, so near-duplicates share it and a photo keeps it as the set grows.
    Keys that have photos in several domains, whose shares differ, are for training.
    """
    score = images["split_key"].map(split_score)
    spans = images.groupby("split_key")["domain"].transform("nunique") > 1
    if dataset.split == "study":
        lowest = score[(images["domain"] == domain_a) & ~spans].drop_duplicates().nsmallest(STUDY_TEST_COUNT)
        test = score.isin(lowest) & (images["domain"] == domain_a)
    else:
        test = score < images["domain"].map(dataset.test_share).fillna(0.0)
    return (test & ~spans).map({True: "test", False: "train"})


def split_score(split_key: str) -> float:
    """A number in [0, 1) that depends on the key alone, evenly spread over keys."""
    return int.from_bytes(hashlib.sha256(split_key.encode()).digest()[:8]) / 2**64


def canonical(manifest: pd.DataFrame) -> bytes:
    """The manifest's identity as JSON lines in UTF-8, the same bytes for the same pictures in whatever order.

    A layer that a picture does not have is not in its line, so that data without layers keep the ids they always had.
    """
    columns = identity_columns(manifest)
    ordered = manifest[columns].sort_values(["domain", "photo_id", "transform"])
    encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
    rows = zip(*(ordered[column].tolist() for column in columns), strict=True)
    named = ({name: cell for name, cell in zip(columns, row, strict=True) if _counts(name, cell)} for row in rows)
    return "".join(f"{encode(row)}\n" for row in named).encode()


def identity_columns(manifest: pd.DataFrame) -> list[str]:
    """`IDENTITY`, and the digests of those layers that any picture has."""
    return [*IDENTITY, *(layer.digest for layer in present(manifest))]


def _counts(name: str, cell: object) -> bool:
    return name not in OPTIONAL_DIGESTS or isinstance(cell, str)


def snapshot_id(manifest: pd.DataFrame) -> str:
    """First `ID_DIGITS` hex digits of the SHA-256 of the canonical manifest."""
    return hashlib.sha256(canonical(manifest)).hexdigest()[:ID_DIGITS]


def counts(manifest: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Pictures by domain and split, both splits always named."""
    domains = sorted(manifest["domain"].unique())
    return {
        domain: {
            split: int(((manifest["domain"] == domain) & (manifest["split"] == split)).sum()) for split in ("train", "test")
        }
        for domain in domains
    }


def problems(
    manifest: pd.DataFrame, masks: pd.DataFrame, dataset: DatasetSection, domain_a: str, domain_b: str
) -> list[str]:
    """What forbids freezing the manifest and what to do about it, in words; empty when nothing does.

    `masks` is the table `person_masks`, which says why photos have no picture.
    """
    found = counts(manifest)
    messages = [_no_picture(domain, masks) for domain in (domain_a, domain_b) if domain not in found]
    messages += [
        _empty_side(domain, split, manifest, dataset)
        for domain, split in ((domain_a, "train"), (domain_a, "test"), (domain_b, "train"))
        if domain in found and not found[domain][split]
    ]
    sides = manifest.groupby("split_key")["split"].nunique()
    messages += [f"near-duplicates of {key} are on both sides of the split" for key in sides[sides > 1].index]
    return messages


def _no_picture(domain: str, masks: pd.DataFrame) -> str:
    photos = masks[masks["domain"] == domain]
    without = photos[photos["mask"].isna()]
    if len(without) < len(photos):
        small = f"{len(photos) - len(without)} of its {len(photos)} photos are smaller than a tile"
        return f"no picture in {domain}: {small}; lower `tile_px` under [dataset]"
    reasons = ", ".join(f"{count} {reason}" for reason, count in without["reason"].value_counts().items())
    example = "".join(f"; {row.photo_id}: {row.detail}" for row in without[without["detail"].notna()].head(1).itertuples())
    return (
        f"no picture in {domain}: none of its {len(photos)} photos has a mask ({reasons}{example}); "
        "what makes masks stands under [masks]"
    )


def _empty_side(domain: str, split: str, manifest: pd.DataFrame, dataset: DatasetSection) -> str:
    keys = manifest.loc[manifest["domain"] == domain, "split_key"].nunique()
    photos = f"{keys} photos, near-duplicates counted once"
    if dataset.split == "study" and split == "train":
        return (
            f'no train picture in {domain}: split = "study" takes {STUDY_TEST_COUNT} for testing and there are {photos}; '
            'keep more, or set split = "share" under [dataset]'
        )
    if dataset.split == "study":
        return f"no test picture in {domain}: all of {photos}, are in another domain too, and such are for training"
    share, change = dataset.test_share.get(domain, 0.0), {"train": "lower", "test": "raise"}[split]
    return (
        f"no {split} picture in {domain}: its test_share is {share:g} and there are {photos}; "
        f"{change} {domain} in `test_share` under [dataset]{'' if share in (0, 1) else ', or keep more'}"
    )

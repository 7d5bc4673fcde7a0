"""One schema for every table that is kept, and what identifies a row.

A schema's `Config.metadata` names the `key` (unique, and the order on disk) and the `volatile` columns: those
that change by themselves (times of fetching, views) and so do not count for the table's data version.
Unknown is null, never a default. Times are Unix seconds in UTC, ids are strings.
"""

from typing import ClassVar

import pandas as pd
import pandera.pandas as pa

class PhotoListing(pa.DataFrameModel):
    """Search results: one row per photo, domain and month, those that a filter rejected included."""

    photo_id: str
    domain: str
    month: str
    query: int = pa.Field(ge=0, description="Index of the domain's query that found it first")
    owner: str
    owner_name: str = pa.Field(nullable=True)
    title: str
    tags: str = pa.Field(description="Flickr's normalised tags, separated by spaces")
    license: str = pa.Field(nullable=True, description="Flickr's licence id")
    date_upload_s: int
    date_taken: str = pa.Field(nullable=True)
    last_update_s: pd.Int64Dtype = pa.Field(nullable=True)
    media: str
    page_url: str
    image_url: str = pa.Field(nullable=True, description="The largest size up to photos.max_edge_px")
    image_width_px: pd.Int64Dtype = pa.Field(nullable=True)
    image_height_px: pd.Int64Dtype = pa.Field(nullable=True)
    reason: str = pa.Field(nullable=True, description="Why a filter rejected it; null: accepted")
    truncated: bool = pa.Field(description="Found in a window of one second with more results than Flickr shows")
    views: pd.Int64Dtype = pa.Field(nullable=True)
    fetched_at_s: int

    class Config:
        metadata: ClassVar = {"key": ["domain", "photo_id"], "volatile": ["views", "fetched_at_s"]}
        coerce = True
        strict = True


class PhotoFiles(pa.DataFrameModel):
    """What became of the bytes of each accepted photo: a blob, or a reason."""

    photo_id: str
    domain: str
    month: str
    image_url: str = pa.Field(nullable=True)
    last_update_s: pd.Int64Dtype = pa.Field(nullable=True)
    sha256: str = pa.Field(nullable=True, description="Name of the blob; null: rejected or pending")
    size_bytes: pd.Int64Dtype = pa.Field(nullable=True)
    width_px: pd.Int64Dtype = pa.Field(nullable=True, description="After EXIF orientation")
    height_px: pd.Int64Dtype = pa.Field(nullable=True)
    format: str = pa.Field(nullable=True)
    frames: pd.Int64Dtype = pa.Field(nullable=True)
    etag: str = pa.Field(nullable=True)
    reason: str = pa.Field(nullable=True, description="Why there is no blob")
    pending: bool = pa.Field(description="The reason may pass: tried again at the next run")
    detail: str = pa.Field(nullable=True, description="What exactly was seen, for a person")
    fetched_at_s: int

    class Config:
        metadata: ClassVar = {"key": ["domain", "photo_id"], "volatile": ["fetched_at_s", "etag", "detail"]}
        coerce = True
        strict = True


class PhotoHistory(pa.DataFrameModel):
    """When each photo was seen, and what changed about it."""

    photo_id: str
    first_seen_s: int
    last_seen_s: int
    changed_s: pd.Int64Dtype = pa.Field(nullable=True, description="Last time that title, tags or licence differed")
    title: str
    tags: str
    license: str = pa.Field(nullable=True)
    license_before: str = pa.Field(nullable=True, description="The licence before the last change of licence")
    absent: bool = pa.Field(description="Missing from the newest listing of its month")
    forgotten: bool = pa.Field(description="Tombstone: purged on request, never to be fetched again")

    class Config:
        metadata: ClassVar = {"key": ["photo_id"], "volatile": ["first_seen_s", "last_seen_s", "changed_s"]}
        coerce = True
        strict = True


class Fingerprints(pa.DataFrameModel):
    """What duplicates are found by; a function of the picture alone."""

    photo_id: str
    domain: str
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int
    date_upload_s: int
    phash: str = pa.Field(str_length=16, description="64-bit perceptual hash, hexadecimal")
    phash_mirrored: str = pa.Field(str_length=16)

    class Config:
        metadata: ClassVar = {"key": ["domain", "photo_id"], "volatile": []}
        coerce = True
        strict = True


class UniquePhotos(pa.DataFrameModel):
    """Every downloaded photo, its group, and the rule by which it went."""

    photo_id: str
    domain: str
    sha256: str
    width_px: int
    height_px: int
    group: str = pa.Field(description="Photo id of the one kept; for a conflict of domains the smallest id")
    rule: str = pa.Field(nullable=True, description="Null: kept")
    measure: float = pa.Field(nullable=True, description="What decided: bits or correlation, by rule")
    duplicate_of: str = pa.Field(nullable=True)
    split_key: str = pa.Field(description="Smallest photo id among all joined by verified duplicate pairs")

    class Config:
        metadata: ClassVar = {"key": ["domain", "photo_id"], "volatile": []}
        coerce = True
        strict = True


class ReviewQueue(pa.DataFrameModel):
    """Which photo was put into which batch for a person to decide."""

    photo_id: str
    domain: str
    batch: str
    sharpness: float = pa.Field(ge=0, description="Mean absolute Laplacian of the grey thumbnail, 0 to 4")
    colourfulness: float = pa.Field(ge=0, description="Mean chroma spread, 0 (monochrome) to about 1")
    thumbnail: str

    class Config:
        metadata: ClassVar = {"key": ["domain", "photo_id"], "volatile": []}
        coerce = True
        strict = True


class CuratedPhotos(pa.DataFrameModel):
    """Every photo somebody decided about, with what was decided, by whom and why."""

    photo_id: str
    domain: str = pa.Field(description="Where it was found")
    sha256: str
    split_key: str
    decision: str = pa.Field(isin=["keep", "drop", "move"])
    target_domain: str = pa.Field(nullable=True, description="Where a kept or moved photo goes; null: dropped")
    reason: str = pa.Field(nullable=True)
    curator: str = pa.Field(nullable=True)
    note: str = pa.Field(nullable=True)
    file: str
    row: int = pa.Field(ge=1, description="Row of the CSV, the header being 1")

    class Config:
        metadata: ClassVar = {"key": ["domain", "photo_id"], "volatile": ["file", "row"]}
        coerce = True
        strict = True


class PersonMasks(pa.DataFrameModel):
    """Where the alpha of each kept photo's subject lies."""

    photo_id: str
    domain: str
    sha256: str
    split_key: str
    mask: str = pa.Field(nullable=True, description="Path below masks/; null: no subject")
    mask_sha256: str = pa.Field(nullable=True)
    coverage: float = pa.Field(ge=0, le=1)
    reason: str = pa.Field(nullable=True, description="no_subject, or null")

    class Config:
        metadata: ClassVar = {"key": ["domain", "photo_id"], "volatile": []}
        coerce = True
        strict = True


class TrainingImages(pa.DataFrameModel):
    """Which row of which shard holds each picture."""

    photo_id: str
    domain: str
    split_key: str
    sha256: str
    transform: str = pa.Field(description="Crop, size and version of the preparation")
    shard: str
    row: int = pa.Field(ge=0)
    pixels_sha256: str
    alpha_sha256: str

    class Config:
        metadata: ClassVar = {"key": ["domain", "photo_id"], "volatile": ["shard", "row"]}
        coerce = True
        strict = True


class DatasetManifest(pa.DataFrameModel):
    """One row a picture of the dataset, with split, digests, origin and licence."""

    photo_id: str
    domain: str
    split: str = pa.Field(isin=["train", "test"])
    transform: str
    pixels_sha256: str
    alpha_sha256: str
    shard: str
    row: int = pa.Field(ge=0)
    source_sha256: str
    owner: str = pa.Field(nullable=True)
    owner_name: str = pa.Field(nullable=True)
    title: str = pa.Field(nullable=True)
    license: str = pa.Field(nullable=True)
    page_url: str = pa.Field(nullable=True)

    class Config:
        metadata: ClassVar = {
            "key": ["domain", "photo_id"],
            "volatile": ["shard", "row", "owner_name", "title", "owner", "license", "page_url", "source_sha256"],
        }
        coerce = True
        strict = True


class Evaluation(pa.DataFrameModel):
    """Scores of one model or baseline on one picture."""

    photo_id: str = pa.Field(description="Photo id, or `scene:` and the name of a scene with known truth")
    method: str
    metric: str
    value: float = pa.Field(nullable=True)

    class Config:
        metadata: ClassVar = {"key": ["photo_id", "method", "metric"], "volatile": []}
        coerce = True
        strict = True


SCHEMAS: dict[str, type[pa.DataFrameModel]] = {
    "photo_listing": PhotoListing,
    "photo_files": PhotoFiles,
    "photo_history": PhotoHistory,
    "fingerprints": Fingerprints,
    "unique_photos": UniquePhotos,
    "review_queue": ReviewQueue,
    "curated_photos": CuratedPhotos,
    "person_masks": PersonMasks,
    "training_images": TrainingImages,
    "dataset_manifest": DatasetManifest,
    "evaluation": Evaluation,
}
"""The schema of each table by the name of the asset that writes it."""


def key_of(name: str) -> list[str]:
    """Columns that identify a row of the table, in the order in which rows lie on disk."""
    return list(_metadata(name)["key"])


def volatile_of(name: str) -> list[str]:
    """Columns that change by themselves and do not count for the data version."""
    return list(_metadata(name)["volatile"])


def empty(name: str) -> pd.DataFrame:
    """The table without rows, every column in place."""
    return conform(name, pd.DataFrame(columns=columns_of(name)))


def columns_of(name: str) -> list[str]:
    """Column names in the order on disk."""
    return list(SCHEMAS[name].to_schema().columns)


def conform(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Check `frame` against the schema, with columns and rows in the order on disk.

    Raises pandera's `SchemaErrors`, which list every offending column and value.
    """
    checked = SCHEMAS[name].validate(frame.reindex(columns=columns_of(name)), lazy=True)
    key = key_of(name)
    duplicated = checked.duplicated(key)
    if duplicated.any():
        raise ValueError(f"{name}: the key {key} is not unique, for example {checked.loc[duplicated, key].iloc[0].to_dict()}")
    return checked.sort_values(key, ignore_index=True)


def _metadata(name: str) -> dict[str, list[str]]:
    return SCHEMAS[name].Config.metadata  # pyright: ignore[reportAttributeAccessIssue]

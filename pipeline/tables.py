"""One schema for every table that is kept, and what identifies a row.

`TABLES` names each table's key (unique, and the order on disk) and its volatile columns: those that change by
themselves (times of fetching, views) and so do not count for the table's data version.
Unknown is null, never a default. Times are Unix seconds in UTC, ids are strings.

What a table holds is said without pandera, which checks what is written: who only reads need not wait for it.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import pyarrow as arrow
from pyarrow import compute

from pipeline.file_names import inside
from pipeline.hint_table import HINTS, JUDGEMENTS
from pipeline.picture_layers import ENCODINGS, OPTIONAL_DIGESTS, SOURCES

if TYPE_CHECKING:
    import pandera.pandas as pa


@dataclass(frozen=True)
class Column:
    """One column: the type of its values, and what these may be."""

    dtype: type = str
    nullable: bool = False
    description: str | None = None
    ge: float | None = None
    le: float | None = None
    isin: Sequence[str] | None = None
    str_length: int | None = None

    def schema(self) -> "pa.Column":
        """The column as pandera checks it."""
        import pandera.pandas as pa

        checks = {
            pa.Check.ge: self.ge,
            pa.Check.le: self.le,
            pa.Check.isin: self.isin,
            pa.Check.str_length: self.str_length,
        }
        return pa.Column(
            self.dtype,
            [check(value) for check, value in checks.items() if value is not None],
            nullable=self.nullable,
            description=self.description,
        )

    def allows(self, values: pd.Series) -> bool:
        """Whether all these values, which are of its type, may stand in it."""
        known = values.dropna()
        return (
            (self.nullable or len(known) == len(values))
            and (self.ge is None or bool((known >= self.ge).all()))
            and (self.le is None or bool((known <= self.le).all()))
            and (self.isin is None or bool(known.isin(self.isin).all()))
            and (self.str_length is None or bool((known.str.len() == self.str_length).all()))
        )


def _column(**facts: Any) -> Any:  # noqa: ANN401 (it stands where a value of the column's type would)
    return Column(**facts)


class _Rows:
    """A table's columns: annotated with their types, and set to `_column` where there is more to say."""

    columns: ClassVar[dict[str, Column]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: replace(vars(cls).get(name, Column()), dtype=dtype) for name, dtype in cls.__annotations__.items()}
        cls.columns = {**cls.columns, **own}


_SPLIT = _column(nullable=True, isin=["train", "test"], description="The side that whoever gave the photo says it is on")
_PAIR = _column(nullable=True, description="What it shares with its other half, the same scene in the other domain")


class PhotoListing(_Rows):
    """Search results: one row per photo, domain and month, those that a filter rejected included."""

    photo_id: str
    domain: str
    month: str
    query: int = _column(ge=0, description="Index of the domain's query that found it first")
    owner: str
    owner_name: str = _column(nullable=True)
    title: str
    tags: str = _column(description="Normalised as by Flickr, separated by spaces")
    license: str = _column(nullable=True)
    date_upload_s: int
    date_taken: str = _column(nullable=True)
    last_update_s: pd.Int64Dtype = _column(nullable=True)
    media: str = _column(description="photo, video, or unknown")
    page_url: str
    image_url: str = _column(nullable=True, description="The largest size up to photos.max_edge_px")
    image_width_px: pd.Int64Dtype = _column(nullable=True, description="Of that size")
    image_height_px: pd.Int64Dtype = _column(nullable=True, description="Of that size")
    reason: str = _column(nullable=True, description="Why a filter rejected it (docs/collecting.md); null: accepted")
    truncated: bool = _column(description="Found in a window of one second with more results than Flickr shows")
    split: str = _SPLIT
    pair: str = _PAIR
    views: pd.Int64Dtype = _column(nullable=True, description="How often it was looked at, as the source says")
    fetched_at_s: int


class PhotoFiles(_Rows):
    """What became of the bytes of each accepted photo: a blob, or a reason."""

    photo_id: str
    domain: str
    month: str
    image_url: str = _column(nullable=True)
    last_update_s: pd.Int64Dtype = _column(nullable=True)
    sha256: str = _column(nullable=True, description="Name of the blob; null: rejected or pending")
    size_bytes: pd.Int64Dtype = _column(nullable=True)
    width_px: pd.Int64Dtype = _column(nullable=True, description="After EXIF orientation")
    height_px: pd.Int64Dtype = _column(nullable=True)
    format: str = _column(nullable=True)
    frames: pd.Int64Dtype = _column(nullable=True)
    etag: str = _column(nullable=True)
    reason: str = _column(nullable=True, description="Why there is no blob (docs/collecting.md)")
    pending: bool = _column(description="The reason may pass: tried again at the next run")
    detail: str = _column(nullable=True, description="What exactly was seen, for a person")
    fetched_at_s: int


class PhotoHistory(_Rows):
    """When each photo was seen, and what changed about it."""

    photo_id: str
    partition: str = _column(nullable=True, description="`domain|month` of the listing that showed it last")
    configuration: str = _column(nullable=True, description="Digest of the configuration of that listing")
    first_seen_s: int = _column(description="The first listing that showed it")
    last_seen_s: int = _column(description="The last one")
    changed_s: pd.Int64Dtype = _column(nullable=True, description="Last time that title, tags or licence differed")
    changed: str = _column(nullable=True, description="Which of title, tags and license differed then")
    title: str
    tags: str
    license: str = _column(nullable=True)
    license_first: str = _column(nullable=True, description="The licence under which it was first seen")
    license_before: str = _column(nullable=True, description="The licence before the last change of licence")
    stricter: bool = _column(description="The licence lacks a freedom that license_first gave")
    absent: bool = _column(description="Missing from the newest listing of its month")
    asked_s: pd.Int64Dtype = _column(nullable=True, description="When the source was last asked about the absent photo")
    gone_s: pd.Int64Dtype = _column(nullable=True, description="When the source refused to show the absent photo")
    forgotten: bool = _column(description="It has a tombstone: purged on request, never to be fetched again")


class Tombstones(_Rows):
    """Photos purged on request; written by `bokehflow forget` before anything is deleted."""

    photo_id: str
    forgotten_s: int = _column(description="When it was asked to be forgotten")
    purged_s: pd.Int64Dtype = _column(nullable=True, description="When the purge was complete; null: it is to go on")


class Imports(_Rows):
    """Photos brought by `bokehflow import`: their bytes, and what was told about them."""

    photo_id: str = _column(description="`folder:` and the beginning of the SHA-256")
    domain: str
    file: str = _column(description="Path below the imported folder, when it was first brought")
    sha256: str
    size_bytes: int
    width_px: int = _column(description="After EXIF orientation")
    height_px: int
    format: str
    frames: int
    owner: str = _column(nullable=True)
    owner_name: str = _column(nullable=True)
    title: str = _column(nullable=True)
    tags: str = _column(nullable=True)
    license: str = _column(nullable=True, description="Id of a licence that `pipeline.licenses` knows, else words")
    page_url: str = _column(nullable=True)
    date_upload_s: pd.Int64Dtype = _column(nullable=True)
    date_taken: str = _column(nullable=True)
    split: str = _SPLIT
    pair: str = _PAIR
    imported_at_s: int = _column(description="When it was first brought")


class ListedPhotos(_Rows):
    """Photos that came by a list of the project file and by nothing else: whether the list still has them."""

    photo_id: str
    domain: str
    list: str = _column(description="Name of the list's file")
    absent: bool = _column(description="The list was read to its end without it")


class ImportedLayers(_Rows):
    """What came with imported photos beside their pictures: depth, what they are to become, and the scene they show."""

    photo_id: str
    domain: str
    sha256: str
    name: str = _column(description="What the data set calls it")
    scene: str = _column(nullable=True, description="Room or scene: photos that share it stay on one side of the split")
    depth_source: str = _column(nullable=True, description="Path below depth/ of its map; null: none came")
    depth_source_sha256: str = _column(nullable=True)
    known: float = _column(nullable=True, ge=0, le=1, description="Share of the map whose depth is known")
    nearest_m: float = _column(nullable=True, description="Of what is known; null where depth is relative")
    median_m: float = _column(nullable=True)
    farthest_m: float = _column(nullable=True)
    target_source: str = _column(nullable=True, description="SHA-256 of the picture that it is to become; null: none came")
    target_source_sha256: str = _column(nullable=True, description="The same as `target_source`")
    f_number: float = _column(nullable=True, description="At which that picture was taken, where it is told")


class ImportedPhotos(_Rows):
    """Photos of one's own as the stages take them: what is listed, stored and fingerprinted of each in one row."""

    photo_id: str
    domain: str
    owner: str
    owner_name: str = _column(nullable=True)
    title: str
    tags: str
    license: str = _column(nullable=True)
    date_upload_s: int
    date_taken: str = _column(nullable=True)
    page_url: str
    sha256: str
    size_bytes: int
    width_px: int = _column(description="After EXIF orientation")
    height_px: int
    format: str
    frames: int
    phash: str = _column(nullable=True, str_length=16, description="As in `fingerprints`; null where it goes no further")
    phash_mirrored: str = _column(nullable=True, str_length=16)
    image_url: str = _column(nullable=True, description="Where its bytes came from, for those that came by a list")
    refused_by: str = _column(
        nullable=True, isin=["photo_listing", "photo_files"], description="The table that would have said so of other photos"
    )
    reason: str = _column(nullable=True, description="Why it goes no further; null: it does")
    detail: str = _column(nullable=True, description="The reason for a person")
    split: str = _SPLIT
    pair: str = _PAIR
    fetched_at_s: int = _column(description="When it was imported")


class Fingerprints(_Rows):
    """What duplicates are found by; a function of the picture alone."""

    photo_id: str
    domain: str
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int
    date_upload_s: int
    phash: str = _column(str_length=16, description="64-bit perceptual hash, hexadecimal")
    phash_mirrored: str = _column(str_length=16)
    pair: str = _PAIR


class UniquePhotos(_Rows):
    """Every downloaded photo, its group, and the rule by which it went."""

    photo_id: str
    domain: str
    sha256: str
    width_px: int
    height_px: int
    group: str = _column(description="Photo id of the one kept; of the first where a conflict of domains takes all")
    rule: str = _column(nullable=True, description="By which rule it went (docs/collecting.md); null: kept")
    measure: float = _column(nullable=True, description="What decided: agreement in detail, 1 for equal bytes")
    distance_bits: pd.Int64Dtype = _column(nullable=True, description="Between the nearest of the perceptual hashes")
    duplicate_of: str = _column(nullable=True, description="The photo of its group that is kept; null: itself")
    split_key: str = _column(description="Smallest photo id among all joined by verified duplicate pairs")


class DuplicatePairs(_Rows):
    """Every pair of pictures that was ever compared, duplicates or not; a function of the two pictures alone."""

    sha256_a: str = _column(description="The smaller of the two digests")
    sha256_b: str = _column(description="The larger of the two digests")
    mirrored: bool = _column(description="One of them was flipped before")
    distance_bits: int = _column(ge=0, le=64, description="Between the nearest of their perceptual hashes")
    correlation: float = _column(description="Of the aligned thumbnails, -1 to 1")
    shown: float = _column(ge=0, le=1, description="Share of the frame that the one showing less has of the other")
    detail: float = _column(nullable=True, description="Agreement of the exactly decoded pictures; null: far too unlike")


class UnmeasuredPictures(_Rows):
    """Pictures without hints, which nobody is asked about, and why."""

    sha256: str
    measured_by: str = _column(description="Version of the measurements that failed")
    reason: str = _column(description="Why, like `crashes_worker`")
    detail: str


def _hint(name: str) -> Any:  # noqa: ANN401 (as `_column`)
    hint = {**HINTS, **JUDGEMENTS}[name]
    lowest, highest = None if hint.scale == "words" else 0, 1 if hint.is_bounded else None
    return _column(ge=lowest, le=highest, nullable=hint.may_be_unknown, description=hint.meaning)


class _Hints(_Rows):
    """What is measured on a picture for those who decide (`pipeline.hint_table`); null where it is unknown."""

    person_share: float = _hint("person_share")
    people: int = _hint("people")
    cut_off: float = _hint("cut_off")
    subject_sharpness: float = _hint("subject_sharpness")
    background_sharpness: float = _hint("background_sharpness")
    shallowness: float = _hint("shallowness")
    colourfulness: float = _hint("colourfulness")
    drawn: float = _hint("drawn")
    edited: float = _hint("edited")
    inappropriate: float = _hint("inappropriate")
    camera: str = _hint("camera")
    software: str = _hint("software")


class PhotoHints(_Hints):
    """The hints of each picture: made once for each, and again only when what measures them changes."""

    sha256: str
    measured_by: str = _column(description="Version of the measurements, the segmenter and the optional model")


class ReviewQueue(_Hints):
    """Which photo was put into which batch for a person to decide, with all that the review page shows of it.

    The batches on disk never change; `waiting`, `position`, the suggestion and the probability are those of now.
    """

    photo_id: str
    domain: str
    batch: str = _column(description="File name in review/queue/")
    group: str = _column(nullable=True, description="The photo's group among the unique photos; null: in none now")
    waiting: bool = _column(description="Nobody has decided its group yet, and no rule has taken it out")
    position: int = _column(ge=0, description="Place in the order in which to review: those that wait come first")
    sha256: str
    width_px: int = _column(ge=1)
    height_px: int = _column(ge=1)
    thumbnail: str = _column(description="Path below thumbnails/")
    page_url: str
    title: str
    owner: str
    owner_name: str = _column(nullable=True)
    license: str = _column(description="The licence's name")
    tags: str
    suggested_decision: str = _column(nullable=True, description="keep, drop or move, by the hints")
    suggested_reason: str = _column(nullable=True, description="A reason of the study, for drop")
    suggestion: str = _column(nullable=True, description="Why, in a few words with the number that decided")
    suggestion_probability: float = _hint("suggestion_probability")
    probability: float = _hint("probability")


class CuratedPhotos(_Rows):
    """Every photo somebody decided about, with what was decided, by whom and why."""

    photo_id: str
    domain: str = _column(description="Where it was found")
    sha256: str
    split_key: str
    decision: str = _column(isin=["keep", "drop", "move"], description="What was decided")
    target_domain: str = _column(nullable=True, description="Where a kept or moved photo goes; null: dropped")
    reason: str = _column(nullable=True, description="Why it was dropped, a word of the reviewed CSVs")
    curator: str = _column(nullable=True, description="Who decided; `rule:NAME` where a configured threshold did")
    note: str = _column(nullable=True, description="The curator's")
    decided_photo_id: str = _column(description="The member of the group that the decision was about")
    decided_at_s: int = _column(description="Time of the decision; for a rule 0")
    file: str = _column(description="The reviewed CSV that says so")
    row: int = _column(ge=1, description="Row of the CSV, the header being 1; for a rule its number in the project file")
    dissent: str = _column(nullable=True, description="What others decided about this group, or about another member")


class PersonMasks(_Rows):
    """Where the alpha of each kept photo's subject lies."""

    photo_id: str
    domain: str
    sha256: str
    split_key: str
    mask: str = _column(nullable=True, description="Path below masks/; null: no subject")
    mask_sha256: str = _column(nullable=True)
    coverage: float = _column(ge=0, le=1, description="Share of the picture that is subject")
    people: pd.Int64Dtype = _column(nullable=True, ge=0, description="People who do not touch; null: nobody counted")
    runner_up: float = _column(
        nullable=True, ge=0, le=1, description="Score of the second person relative to the subject's; near 1: unclear"
    )
    uncertainty: float = _column(
        nullable=True, ge=0, le=1, description="Chance that the mask's IoU with the truth is below .85; null: unknown"
    )
    drawn_by: str = _column(nullable=True, description="Who drew the mask on the review page; null: nobody did")
    reason: str = _column(
        nullable=True,
        description="no_subject, mask_missing, mask_unreadable, mask_wrong_size, depth_missing, or null",
    )
    detail: str = _column(nullable=True, description="The reason for a person")


class DepthMaps(_Rows):
    """How far away everything in each photo is, as it was estimated, and how that fits its picture."""

    photo_id: str
    domain: str
    sha256: str
    depth_source: str = _column(nullable=True, description="Path below depth/ of its map; null: there is none")
    depth_source_sha256: str = _column(nullable=True)
    unit: str = _column(nullable=True, description="dioptre (1/m), or relative: scale and shift mean nothing")
    scale: float = _column(nullable=True, description="Disparity is scale · number + shift, where the number is not 0")
    shift: float = _column(nullable=True, description="See there")
    known: float = _column(nullable=True, ge=0, le=1, description="Share of the map whose depth is known")
    nearest_m: float = _column(nullable=True, description="Of what is known; null where depth is relative")
    median_m: float = _column(nullable=True)
    farthest_m: float = _column(nullable=True)
    nearer: float = _column(nullable=True, description="The subject's median disparity by the rest's; below 1: inverted?")
    edges: float = _column(nullable=True, description="How much the picture changes at steps of depth; 1 is chance")
    mask_sha256: str = _column(nullable=True, description="Digest of the mask that it was held against; null: of none")
    odd: str = _column(nullable=True, description="What cannot be right about it, for a person")
    detail: str = _column(nullable=True, description="Why there is none, for a person")


class _Layers(_Rows):
    """What a training picture has beside RGB and alpha (`pipeline.picture_layers`); all null where it has nothing."""

    depth_sha256: str = _column(nullable=True, description="Digest of its depth with its encoding; null: it has none")
    depth_encoding: str = _column(nullable=True, description="Unit, scale, shift: disparity = scale·n + shift where n > 0")
    depth_source: str = _column(nullable=True, description="Path below depth/ of the map it was made from")
    depth_source_sha256: str = _column(nullable=True, description="Digest of that map")
    target_sha256: str = _column(nullable=True, description="Digest of the picture that it is to become; null: it has none")
    target_source: str = _column(nullable=True, description="SHA-256 of the photo that this was made from")
    target_source_sha256: str = _column(nullable=True, description="The same")


class TrainingImages(_Layers):
    """Which row of which shard holds each picture."""

    photo_id: str
    domain: str
    split_key: str
    sha256: str
    transform: str = _column(description="Crop or tile, size and version of the preparation")
    shard: str
    row: int = _column(ge=0)
    pixels_sha256: str
    alpha_sha256: str
    depth_odd: str = _column(
        nullable=True, description="What cannot be right about its depth, for a person; empty: nothing. Null: nobody looked"
    )


class DatasetManifest(_Layers):
    """One row a picture of the dataset, with split, digests, origin and licence."""

    photo_id: str
    domain: str
    split: str = _column(isin=["train", "test"], description="Its side")
    transform: str
    pixels_sha256: str
    alpha_sha256: str
    split_key: str
    source_sha256: str
    owner: str = _column(nullable=True)
    owner_name: str = _column(nullable=True)
    title: str = _column(nullable=True)
    license: str = _column(nullable=True)
    page_url: str = _column(nullable=True)
    shard: str
    row: int = _column(ge=0)
    image_url: str = _column(nullable=True, description="Where its bytes came from")
    curator: str = _column(nullable=True)
    decision_file: str = _column(nullable=True, description="The reviewed CSV that keeps it")
    decision_row: pd.Int64Dtype = _column(nullable=True, description="Row of that CSV, the header being 1")
    mask: str = _column(nullable=True, description="Path below masks/ of the alpha it was made with")
    mask_sha256: str = _column(nullable=True)
    pair: str = _PAIR


class Evaluation(_Rows):
    """Scores of one model or baseline on one picture."""

    photo_id: str = _column(
        description="Photo id, of a tile with `#` and its place; `scene:` and a scene's name; `set:test` or `set:model`"
    )
    method: str = _column(description="`RECIPE@SEED` of a model, or the name of a baseline")
    metric: str = _column(description="A name of docs/evaluation.md")
    value: float = _column(nullable=True, description="The score; null: nothing to measure")


@dataclass(frozen=True)
class Table:
    """A table's columns, those that identify a row, and those that change by themselves."""

    rows: type[_Rows]
    key: tuple[str, ...]
    volatile: tuple[str, ...] = ()
    since: tuple[str, ...] = ()
    """Columns that came later: where they are null throughout, the data version is what it was without them."""

    @property
    def columns(self) -> dict[str, Column]:
        """What each column holds, in the order on disk."""
        return self.rows.columns

    @property
    def shown(self) -> dict[str, Column]:
        """The same as people read them: the table's own before those that it shares with others."""
        own = self.rows.__annotations__
        return {name: self.columns[name] for name in (*own, *(name for name in self.columns if name not in own))}

    @property
    def schema(self) -> "pa.DataFrameSchema":
        """The table as pandera checks it: these columns and no others, values brought to their types."""
        return _schema(self.rows)


@cache
def _schema(rows: type[_Rows]) -> "pa.DataFrameSchema":
    import pandera.pandas as pa

    columns = {name: column.schema() for name, column in rows.columns.items()}
    return pa.DataFrameSchema(columns, name=rows.__name__, coerce=True, strict=True)


TABLES: dict[str, Table] = {
    "photo_listing": Table(PhotoListing, ("domain", "photo_id"), ("views", "fetched_at_s"), ("split", "pair")),
    "photo_files": Table(PhotoFiles, ("domain", "photo_id"), ("fetched_at_s", "etag", "detail")),
    "photo_history": Table(
        PhotoHistory,
        ("photo_id",),
        # Downstream asks only which photos are known and which are forgotten.
        tuple(column for column in PhotoHistory.columns if column not in ("photo_id", "forgotten")),
    ),
    "tombstones": Table(Tombstones, ("photo_id",), ("forgotten_s", "purged_s")),
    "imports": Table(Imports, ("domain", "photo_id"), ("file", "imported_at_s"), ("split", "pair")),
    "listed_photos": Table(ListedPhotos, ("domain", "photo_id", "list")),
    "depth_maps": Table(DepthMaps, ("domain", "photo_id"), ("detail", "mask_sha256")),
    "imported_layers": Table(ImportedLayers, ("domain", "photo_id"), ("name",)),
    "imported_photos": Table(
        ImportedPhotos, ("domain", "photo_id"), ("fetched_at_s", "detail"), ("split", "pair", "image_url")
    ),
    "fingerprints": Table(Fingerprints, ("domain", "photo_id"), since=("pair",)),
    "unique_photos": Table(UniquePhotos, ("domain", "photo_id")),
    "duplicate_pairs": Table(DuplicatePairs, ("sha256_a", "sha256_b", "mirrored")),
    "photo_hints": Table(PhotoHints, ("sha256",)),
    "unmeasured_pictures": Table(UnmeasuredPictures, ("sha256",)),
    "review_queue": Table(ReviewQueue, ("domain", "photo_id"), ("position", "probability")),
    "curated_photos": Table(
        CuratedPhotos, ("domain", "photo_id"), ("file", "row", "decided_at_s", "decided_photo_id", "dissent")
    ),
    "person_masks": Table(PersonMasks, ("domain", "photo_id"), ("detail",)),
    "training_images": Table(
        TrainingImages,
        ("domain", "photo_id", "transform"),
        ("shard", "row", "depth_odd"),
        (*OPTIONAL_DIGESTS, *ENCODINGS, *SOURCES),
    ),
    "dataset_manifest": Table(
        DatasetManifest,
        ("domain", "photo_id", "transform"),
        # The columns of the snapshot's identity remain.
        (
            *("split_key", "source_sha256", "owner", "owner_name", "title", "license", "page_url"),
            *("shard", "row", "image_url", "curator", "decision_file", "decision_row", "mask", "mask_sha256"),
            *SOURCES,
        ),
        (*OPTIONAL_DIGESTS, *ENCODINGS, "pair"),
    ),
    "evaluation": Table(Evaluation, ("photo_id", "method", "metric")),
}
"""Every table by the name of the asset that writes it."""


def empty(name: str) -> pd.DataFrame:
    """The table without rows, every column in place."""
    return pd.DataFrame({column: pd.Series(dtype=_dtype(facts)) for column, facts in TABLES[name].columns.items()})


def _dtype(column: Column) -> Any:  # noqa: ANN401 (all that pandas takes for one)
    return column.dtype() if column.dtype is pd.Int64Dtype else column.dtype


def columns_of(name: str) -> list[str]:
    """Column names in the order on disk."""
    return list(TABLES[name].columns)


def conform(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Check `frame` against the schema, with columns and rows in the order on disk.

    Raises pandera's `SchemaErrors`, which list every offending column and value.
    """
    table, ordered = TABLES[name], frame.reindex(columns=columns_of(name))
    checked = _if_allowed(table, ordered)
    if checked is None:
        checked = table.schema.validate(ordered, lazy=True)
    key = list(table.key)
    duplicated = checked.duplicated(key)
    if duplicated.any():
        raise ValueError(
            f"{name}: the key {key} is not unique, for example {checked.loc[duplicated, key].iloc[0].to_dict()}"
        )
    return checked.sort_values(key, ignore_index=True)


def among(column: pd.Series, values: Iterable[object]) -> pd.Series:
    """Whether each value of a column is one of these, as `Series.isin`; what is unknown is none of them.

    Where the column has strings of Arrow's, `isin` makes an object of Arrow's of each of `values`: 8 µs each, where this
    takes half of one.
    """
    if not isinstance(column.dtype, pd.StringDtype):
        return column.isin(list(values))
    known = arrow.array(column)
    wanted = arrow.array(values if isinstance(values, pd.Series | pd.Index) else list(values), from_pandas=True)
    if isinstance(wanted, arrow.ChunkedArray):
        wanted = wanted.combine_chunks()
    found = compute.call_function("is_in", [known], compute.SetLookupOptions(wanted.cast(known.type), skip_nulls=True))
    return pd.Series(found.to_numpy(zero_copy_only=False), index=column.index)


def not_there(root: Path, names: pd.Series) -> pd.Series:
    """Whether each of these files below `root`, text, is missing; folders are listed: a tenth of asking for each file."""
    there: list[str] = []
    for folder in {name.rpartition("/")[0] for name in names.tolist()}:
        with suppress(FileNotFoundError, NotADirectoryError):
            files = os.listdir(inside(root, folder) if folder else root)
            there += [f"{folder}/{file}" if folder else file for file in files if file.isascii()]  # as all of ours are
    return ~among(names, there)


def _if_allowed(table: Table, frame: pd.DataFrame) -> pd.DataFrame | None:
    """The frame, its values brought to their types, where all of them are allowed; else pandera has to say what is wrong.

    Pandera takes more than twice the time of all the rest.
    """
    try:
        typed = frame.astype({name: _dtype(column) for name, column in table.columns.items()})
    except (TypeError, ValueError):
        return None
    return typed if all(column.allows(typed[name]) for name, column in table.columns.items()) else None

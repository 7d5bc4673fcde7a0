"""The manifest: which pictures make the dataset, on which side of the split, and the snapshot id they give."""

import hashlib
import json
from collections.abc import Iterator
from json.encoder import encode_basestring

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import DatasetSection
from pipeline.counted import counted
from pipeline.dataset.ordered import is_ordered, order_of, texts_of
from pipeline.picture_layers import OPTIONAL_DIGESTS, present
from pipeline.tables import among

IDENTITY = ["photo_id", "domain", "pixels_sha256", "alpha_sha256", "split", "transform"]
"""The columns that make a snapshot what it is, with the pair and the digests of the layers that a picture has beside these;
owner, licence and packing into shards do not count."""
PAIR = "pair"
ORDER = ["domain", "photo_id", "transform"]
"""The order of the canonical manifest, and that in which snapshots are frozen."""
TOLD_APART = [*IDENTITY, *OPTIONAL_DIGESTS, PAIR]
"""All that may count for a snapshot's id."""
ORIGIN = ["owner", "owner_name", "title", "license", "page_url"]
"""What the listing says of a photo; it is what `forget` erases from a manifest."""
GIVEN = "given_split"
"""The column of `images` that says on which side whoever gave a photo has it."""
TOLD = ["split", PAIR]
"""What whoever gave a photo says of its place in a dataset."""
STUDY_TEST_COUNT = 100
LINES_AT_ONCE = 65_536
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
    listed = by_time(listing).drop_duplicates("photo_id", keep="last").set_index("photo_id")
    told = listing.drop_duplicates("photo_id", keep="last").set_index("photo_id")
    decided = curated.drop_duplicates("photo_id").set_index("photo_id")[["curator", "file", "row"]]
    manifest = images.join(listed.reindex(columns=[*ORIGIN, "image_url"]), on="photo_id")
    manifest = manifest.join(told.reindex(columns=TOLD), on="photo_id")
    manifest = manifest.rename(columns={"split": GIVEN})
    manifest = manifest.join(decided.add_prefix("decision_"), on="photo_id")
    manifest["curator"] = manifest["decision_curator"]
    segmented = masks.set_index(["domain", "photo_id"])[["mask", "mask_sha256"]]
    manifest = manifest.drop(columns=list(segmented), errors="ignore").join(segmented, on=["domain", "photo_id"])
    manifest["source_sha256"] = manifest["sha256"]
    manifest["split"] = split_of(manifest, dataset, domain_a)
    manifest["split_key"] = with_pairs(manifest["split_key"], manifest[PAIR])
    return manifest


def by_time(listing: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order in which they were fetched: of a photo that several queries or months list the latest counts."""
    return listing.sort_values("fetched_at_s", kind="stable")


def origin_version(listing: pd.DataFrame, photo_ids: pd.Series) -> str:
    """Digest of what the listing (`photo_id` and `ORIGIN`) says of these photos, in the last row of each, 16 hex digits."""
    listed = listing[among(listing["photo_id"], photo_ids)].drop_duplicates("photo_id", keep="last")
    told = listed.sort_values("photo_id")[["photo_id", *ORIGIN]].to_json(orient="values", force_ascii=False)
    return hashlib.sha256(str(told).encode()).hexdigest()[:16]


def told_version(listing: pd.DataFrame, photo_ids: pd.Series) -> str:
    """Digest of the sides and pairs that came with these photos, 16 hex digits; empty where none did."""
    told = listing[among(listing["photo_id"], photo_ids) & listing[TOLD].notna().any(axis=1)]
    rows = told.drop_duplicates("photo_id", keep="last").sort_values("photo_id")[["photo_id", *TOLD]]
    return (
        hashlib.sha256(str(rows.to_json(orient="values", force_ascii=False)).encode()).hexdigest()[:16] if len(rows) else ""
    )


def split_of(images: pd.DataFrame, dataset: DatasetSection, domain_a: str) -> pd.Series:
    """`train` or `test` for each row of `images` (columns `domain`, `split_key`; `pair` and `given_split` where told).

    The side depends on the split key alone, so near-duplicates share it and a photo keeps it as the set grows. The two
    halves of a pair have one key, and stand on the side of the half in `domain_a`. Keys that have photos in several domains
    otherwise, whose shares differ, are for training. Of `split = "given"` a key is for testing where all its photos are
    given so.
    """
    pair = images.get(PAIR, pd.Series(None, images.index, dtype=object))
    key = with_pairs(images["split_key"], pair)
    if dataset.split == "given":
        test = images[GIVEN].eq("test").groupby(key).transform("all")
        return test.map({True: "test", False: "train"})
    several = images.groupby("split_key")["domain"].transform("nunique") > 1
    spans = several.groupby(key).transform("any")
    score = key.map(split_score).astype(float)  # of no text pandas makes text
    of = images["domain"].where(pair.isna(), domain_a)
    if dataset.split == "study":
        lowest = score[(of == domain_a) & ~spans].drop_duplicates().nsmallest(STUDY_TEST_COUNT)
        test = among(score, lowest) & (of == domain_a)
    else:
        test = score < of.map(dataset.test_share).astype(float).fillna(0.0)
    # A key may have halves of pairs and, as near-duplicates of theirs, photos without: none of them may straddle.
    return (test.groupby(key).transform("all") & ~spans).map({True: "test", False: "train"})


def with_pairs(split_key: pd.Series, pair: pd.Series) -> pd.Series:
    """For each row the smallest key among all that are joined by pairs; `pair` is null where there is none."""
    smallest = split_key
    while pair.notna().any():
        joined = smallest.groupby(pair).transform("min").fillna(smallest).groupby(split_key).transform("min")
        if joined.equals(smallest):
            break
        smallest = joined
    return smallest


def overruled(manifest: pd.DataFrame) -> list[str]:
    """Photos given for testing that are for training, since a near-duplicate or their other half is."""
    moved = manifest[manifest[GIVEN].eq("test") & manifest["split"].eq("train")]
    return sorted(moved["photo_id"].unique())


def broken_pairs(manifest: pd.DataFrame) -> list[str]:
    """A message for each pair of which not exactly one photo is there in each of two domains."""
    photos = manifest[manifest[PAIR].notna()].drop_duplicates(["domain", "photo_id"])
    found = photos.groupby(PAIR)["domain"].agg(["size", "nunique"])
    return [
        f"pair {pair}: {counted(size, 'photo')} in {counted(domains, 'domain')}"
        for pair, size, domains in found[(found["size"] != 2) | (found["nunique"] != 2)].itertuples()
    ]


def split_score(split_key: str) -> float:
    """A number in [0, 1) that depends on the key alone, evenly spread over keys."""
    return int.from_bytes(hashlib.sha256(split_key.encode()).digest()[:8]) / 2**64


def canonical(manifest: pd.DataFrame) -> bytes:
    """The manifest's identity as JSON lines in UTF-8, the same bytes for the same pictures in whatever order.

    A layer or a pair that a picture does not have is not in its line, so that data without any keep the ids they always had.
    """
    return b"".join(_canonical_pieces(manifest))


def manifest_sha256(manifest: pd.DataFrame) -> str:
    """SHA-256 of the canonical manifest, in hex."""
    digest = hashlib.sha256()
    for piece in _canonical_pieces(manifest):
        digest.update(piece)
    return digest.hexdigest()


def _canonical_pieces(manifest: pd.DataFrame) -> Iterator[bytes]:
    """`canonical`, some lines at a time: of a million pictures it has half a gigabyte."""
    columns = sorted(identity_columns(manifest))
    found = {name: texts for name in columns if (texts := texts_of(manifest[name])) is not None}
    if len(found) < len(columns) or any(found[name].null_count for name in IDENTITY):
        yield _with_odd_cells(manifest[columns])
        return
    keys = [found[name] for name in ORDER]
    table = pa.table(found)
    table = table if is_ordered(keys) else table.take(order_of(keys)).combine_chunks()
    for start in range(0, len(table), LINES_AT_ONCE):
        yield _lines({name: table[name].slice(start, LINES_AT_ONCE).combine_chunks() for name in columns})


def _lines(columns: dict[str, pa.LargeStringArray]) -> bytes:
    """The lines of some pictures; cells lie behind one another in Arrow's memory, and so do the lines that they become."""
    parts = list[pa.Array | str]()
    for name, cells in columns.items():
        begins = f'{", " if parts else "{"}"{name}": '
        parts += [begins, _quoted(cells)] if name in IDENTITY else [_further(begins, _quoted(cells))]
    lines = pc.call_function("binary_join_element_wise", [*map(_large, parts), _large("}\n"), _large("")])
    return _bytes_of(lines).tobytes()


def _large(part: pa.Array | str) -> pa.Array | pa.Scalar:
    return pa.scalar(part, pa.large_string()) if isinstance(part, str) else part


def _bytes_of(cells: pa.LargeStringArray) -> np.ndarray:
    """All of its texts, one behind the other, uint8."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, np.int64, len(cells) + 1, cells.offset * 8)
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]] if data else np.empty(0, np.uint8)


def _quoted(cells: pa.LargeStringArray) -> pa.LargeStringArray:
    """JSON of each text; nearly none has what must be escaped, which the bytes tell at a glance. What is null stays so."""
    found = _bytes_of(cells)
    if ((found < ord(" ")) | (found == ord('"')) | (found == ord("\\"))).any():
        told = [None if cell is None else encode_basestring(cell) for cell in cells.to_pylist()]
        return pa.array(told, pa.large_string())
    return pc.call_function("binary_join_element_wise", [_large('"'), cells, _large('"'), _large("")])


def _further(begins: str, cells: pa.LargeStringArray) -> pa.Array:
    """What each line says more of the picture: empty where it does not have it. None of it comes first."""
    told = pc.call_function("binary_join_element_wise", [_large(begins), cells, _large("")])
    return pc.call_function("coalesce", [told, _large("")])


def _with_odd_cells(rows: pd.DataFrame) -> bytes:
    """`canonical` of a manifest in which not all that counts for every picture is text, as no sound one is."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    ordered = rows.sort_values(ORDER)
    told = {
        name: [f'"{name}": {encode(cell)}' if name in IDENTITY or isinstance(cell, str) else "" for cell in ordered[name]]
        for name in ordered
    }
    return "".join(f"{{{', '.join(filter(None, cells))}}}\n" for cells in zip(*told.values(), strict=True)).encode()


def identity_columns(manifest: pd.DataFrame) -> list[str]:
    """`IDENTITY`, the digests of those layers that any picture has, and `pair` where any has one."""
    paired = [PAIR] if PAIR in manifest and manifest[PAIR].notna().any() else []
    return [*IDENTITY, *(layer.digest for layer in present(manifest)), *paired]


def snapshot_id(manifest: pd.DataFrame) -> str:
    """First `ID_DIGITS` hex digits of the SHA-256 of the canonical manifest."""
    return manifest_sha256(manifest)[:ID_DIGITS]


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
    if photos.empty:
        return f"no picture in {domain}: no photo of it is kept; decide some of its photos"
    without = photos[photos["mask"].isna()]
    if len(without) < len(photos):
        small = f"{len(photos) - len(without)} of its {len(photos)} photos are smaller than a tile"
        return f"no picture in {domain}: {small}; lower `tile_px` under [dataset]"
    reasons = ", ".join(f"{count} {reason}" for reason, count in without["reason"].value_counts().items())
    example = "".join(f"; {row.photo_id}: {row.detail}" for row in without[without["detail"].notna()].head(1).itertuples())
    return (
        f"no picture in {domain}: of {counted(len(photos), 'kept photo')} none has a mask ({reasons}{example}); "
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
    if dataset.split == "given":
        return (
            f'no {split} picture in {domain}: split = "given" goes by what came with the photos: of {photos}, none is for '
            f'{split}ing; import some (a folder {split}A, or a column `split`), or set split = "share" under [dataset]'
        )
    share, change = dataset.test_share.get(domain, 0.0), {"train": "lower", "test": "raise"}[split]
    return (
        f"no {split} picture in {domain}: its test_share is {share:g} and there are {photos}; "
        f"{change} {domain} in `test_share` under [dataset]{'' if share in (0, 1) else ', or keep more'}"
    )

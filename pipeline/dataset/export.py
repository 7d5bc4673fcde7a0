"""Exports: a snapshot as the folders that CycleGAN's community reads, as a Hugging Face dataset, or as WebDataset.

Each comes with the attribution of every picture in it, a datasheet and Croissant metadata. The attribution is for people:
what a spreadsheet would execute has an apostrophe before it, unlike in the frozen one. An export is a copy: what is
forgotten later is forgotten in those that lie in the home (`forget_in_export`) and in no other.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.atomic import atomic_path, write_text
from pipeline.dataset import croissant
from pipeline.dataset.annotation_tools import forget_in_tasks, write_fiftyone, write_label_studio
from pipeline.dataset.datasheet import datasheet
from pipeline.dataset.exported import AT_ONCE, ExportedPicture, batches, file_name, picture_ids, png
from pipeline.dataset.layout import ATTRIBUTION, read_facts
from pipeline.dataset.snapshot import PHOTO, attribution, new_folder, open_snapshot
from pipeline.dataset.webdataset import forget_in_shards, write_webdataset
from pipeline.errors import DatasetError
from pipeline.file_names import child, inside
from pipeline.licenses import license_name
from pipeline.parquet_files import parquet_path
from pipeline.picture_layers import Layer, present
from pipeline.plain_files import plain_path
from pipeline.spreadsheet import harmless_table
from pipeline.tables import among

FORMATS = ("folders", "hf", "webdataset", "labelstudio", "fiftyone")
SIDES = ("trainA", "trainB", "testA", "testB")
SAMPLE = 256
"""Pictures that a rehearsal weighs."""
FILE_ROWS = 4096
"""Pictures in one Parquet file."""
PER_SHARD = 1000
DATASHEET, CROISSANT = "DATASHEET.md", "croissant.json"


@dataclass(frozen=True)
class ExportPlan:
    """What to export: a format, the two domains, whether with alpha, and which licence ids (None: all).

    `per_shard` is how many pictures a shard of `webdataset` has at most, `image_prefix` what `labelstudio` has before each
    picture's file: where it finds the folder; by default below its document root, under the folder's own name. `hints` are
    shown beside the picture there: what was measured and suggested, by photo id. A rehearsal of `hf` writes files of the
    right names and of about the right sizes, and of many pictures no more than `SAMPLE` to know these.
    """

    format: str
    domain_a: str
    domain_b: str
    rgba: bool = False
    licenses: Collection[str | None] | None = None
    use: str | None = None
    per_shard: int = PER_SHARD
    image_prefix: str | None = None
    hints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_rehearsal: bool = False


@dataclass(frozen=True)
class Exported:
    """Where the export lies, its pictures by folder or split, and how many were left out by their licence or domain.

    `estimated` are the files of a rehearsal that are holes of about the right size.
    """

    folder: Path
    counts: dict[str, int]
    left_out: dict[str, int]
    estimated: Collection[str] = ()


def export_snapshot(
    snapshots: Path,
    identifier: str,
    shards: Path,
    target: Path,
    plan: ExportPlan,
    manifest: pd.DataFrame | None = None,
) -> Exported:
    """Write the snapshot's pictures into the new folder `target`; `manifest` is `open_snapshot`'s, where it was opened.

    Raises `DatasetError` when `target` exists, when no picture is left, and when the disk is full; then there is no
    `target`.
    """
    if target.exists():
        raise DatasetError(f"{target}: exists already; name a new folder, or delete that one")
    chosen, left_out = choose(open_snapshot(snapshots, identifier, shards) if manifest is None else manifest, plan)
    if chosen.empty:
        raise DatasetError(f"snapshot {identifier}: no picture is left to export ({_counted(left_out)} left out)")
    facts = read_facts(snapshots, identifier)
    if plan.image_prefix is None:
        plan = replace(plan, image_prefix=f"/data/local-files/?d={quote(target.name)}/")
    with new_folder(target, read_only=False) as folder:
        counts = _WRITERS[plan.format](folder, chosen, shards, plan)
        files = chosen[[*PHOTO, "file"]].drop_duplicates()
        shown = attribution(chosen).merge(files, on=PHOTO).merge(_layers_of(chosen), on=PHOTO)
        harmless_table(shown).to_csv(folder / ATTRIBUTION, index=False, lineterminator="\n")
        (folder / DATASHEET).write_text(datasheet(chosen, facts, left_out, plan.use), encoding="utf-8")
        described = croissant.describe(folder, chosen, facts, plan.format)
        (folder / CROISSANT).write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    estimated = sorted(set(chosen["file"])) if _is_estimated(chosen, plan) else []
    return Exported(target, counts, left_out, estimated)


def choose(manifest: pd.DataFrame, plan: ExportPlan) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows to export, with `folder` (trainA …), and how many go by which reason."""
    sides = {plan.domain_a: "A", plan.domain_b: "B"}
    mine = among(manifest["domain"], sides)
    allowed = mine if plan.licenses is None else mine & _is_licensed(manifest["license"], plan.licenses)
    chosen = manifest[allowed].copy()
    chosen["folder"] = chosen["split"] + chosen["domain"].map(sides)
    refused = f"licence does not allow {plan.use}" if plan.use else "licence does not allow passing them on"
    reasons = {"another domain": int((~mine).sum()), refused: int((mine & ~allowed).sum())}
    return chosen.reset_index(drop=True), {reason: count for reason, count in reasons.items() if count}


def _is_licensed(given: pd.Series, licenses: Collection[str | None]) -> pd.Series:
    """Whether each is one of these licences, of which None is the unknown one."""
    return among(given, {one for one in licenses if one is not None}) | (given.isna() & (None in licenses))


def _counted(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count} ({reason})" for reason, count in left_out.items()) or "none"


# --- forgetting -------------------------------------------------------------------------------------------------------


def is_export(folder: Path) -> bool:
    """Whether `export_snapshot` wrote this folder."""
    return (folder / ATTRIBUTION).is_file() and (folder / DATASHEET).is_file()


def forget_in_export(folder: Path, photo_ids: set[str]) -> int:
    """Take the pictures and attributions of these photos out of the export in `folder`; returns how many files changed.

    The datasheet and the Croissant metadata go on telling what was exported. Done twice, it changes nothing more.
    """
    named = {file_name(photo_id).removesuffix(".png") for photo_id in photo_ids}
    pictures = [path for path in folder.glob("*/*.png") if _TILE.sub("", path.stem) in named]
    for path in pictures:
        path.unlink()
    tables = [path for path in folder.glob("data/*.parquet") if _without(path, photo_ids)]
    shown = pd.read_csv(plain_path(folder / ATTRIBUTION), dtype=str, keep_default_na=False)
    kept = shown[~among(shown["photo_id"], photo_ids)]
    if len(kept) < len(shown):
        write_text(folder / ATTRIBUTION, kept.to_csv(index=False, lineterminator="\n"))
    return len(pictures) + len(tables) + forget_in_shards(folder, photo_ids) + forget_in_tasks(folder, photo_ids)


_TILE = re.compile(r"_x[0-9]+y[0-9]+$")
"""What a tile's file name has after its photo's."""


def _without(path: Path, photo_ids: set[str]) -> bool:
    """Write the Parquet file anew without these photos; False where it has none of them."""
    with pq.ParquetFile(parquet_path(path)) as file:
        if not photo_ids & set(file.read(["photo_id"])["photo_id"].to_pylist()):
            return False
        with atomic_path(path) as temporary, pq.ParquetWriter(temporary, file.schema_arrow) as writer:
            for batch in file.iter_batches(AT_ONCE):
                writer.write_batch(batch.filter(pa.array([one not in photo_ids for one in batch["photo_id"].to_pylist()])))
    return True


def _layers_of(chosen: pd.DataFrame) -> pd.DataFrame:
    """What the attribution says of each photo's layers: the encoding of those that are numbers."""
    told = [layer.encoding for layer in present(chosen) if layer.encoded]
    return chosen[[*PHOTO, *told]].drop_duplicates(PHOTO)


# --- folders A and B --------------------------------------------------------------------------------------------------


def _write_folders(folder: Path, chosen: pd.DataFrame, shards: Path, plan: ExportPlan) -> dict[str, int]:
    """`trainA`, `trainB`, `testA`, `testB` with a PNG a picture, RGBA on request; layers beside, in `trainA_depth`."""
    names = picture_ids(chosen).map(file_name)
    chosen["file"] = chosen["folder"] + "/" + names
    for name in SIDES:
        child(folder, name).mkdir()
    for layer in present(chosen):
        for name in sorted(set(chosen.loc[chosen[layer.digest].notna(), "folder"])):
            child(folder, f"{name}_{layer.name}").mkdir()

    def write(at: tuple[str, str, ExportedPicture]) -> None:
        side, name, picture = at
        pixels = np.dstack([picture.rgb, picture.alpha]) if plan.rgba else picture.rgb
        inside(folder, f"{side}/{name}").write_bytes(png(pixels))
        for layer, (stored, encoding) in picture.layers.items():
            inside(folder, f"{side}_{layer.name}/{name}").write_bytes(png(stored, encoding))

    with ThreadPoolExecutor() as pool:
        for rows, pictures in batches(chosen, shards):
            list(pool.map(write, zip(rows["folder"], names[rows.index], pictures, strict=True)))
    return {name: int((chosen["folder"] == name).sum()) for name in SIDES}


# --- Hugging Face -----------------------------------------------------------------------------------------------------

_TEXT = ("photo_id", "domain", "title", "owner", "owner_name", "license", "page_url")
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _write_hugging_face(folder: Path, chosen: pd.DataFrame, shards: Path, plan: ExportPlan) -> dict[str, int]:
    """Parquet files of PNGs, as `datasets.load_dataset(folder)` reads them; `README.md` is the dataset card."""
    (folder / "data").mkdir()
    chosen["file"] = ""
    counts = {}
    row_bytes = _row_bytes(folder, chosen, shards) if _is_estimated(chosen, plan) else None
    for split in ("train", "test"):
        rows = chosen[chosen["split"] == split]
        if rows.empty:
            continue
        counts[split] = len(rows)
        parts = range(0, len(rows), FILE_ROWS)
        for number, start in enumerate(parts):
            part = rows.iloc[start : start + FILE_ROWS]
            name = f"data/{split}-{number:05d}-of-{len(parts):05d}.parquet"
            chosen.loc[part.index, "file"] = name
            if row_bytes is None:
                _write_part(inside(folder, name), part, shards, present(chosen))
            else:
                make_hole(inside(folder, name), round(row_bytes * len(part)))
    (folder / "README.md").write_text(_card(present(chosen)), encoding="utf-8")
    return counts


def _is_estimated(chosen: pd.DataFrame, plan: ExportPlan) -> bool:
    return plan.is_rehearsal and len(chosen) > SAMPLE


def _row_bytes(folder: Path, chosen: pd.DataFrame, shards: Path) -> float:
    """What a picture takes in a file of pictures, on average over some from all parts of the export."""
    sample, trial = chosen.iloc[np.linspace(0, len(chosen) - 1, SAMPLE).astype(int)], child(folder, "sample.parquet")
    _write_part(trial, sample, shards, present(chosen))
    size_bytes = trial.stat().st_size
    trial.unlink()
    return size_bytes / len(sample)


def make_hole(path: Path, size_bytes: int) -> None:
    """A file of this size with nothing in it, which takes no room."""
    with path.open("xb") as file:
        file.truncate(size_bytes)


def _write_part(path: Path, rows: pd.DataFrame, shards: Path, layers: Sequence[Layer]) -> None:
    """`layers` are those that any picture of the export has; they are null where a picture has none."""
    texts = (*_TEXT, *(layer.encoding for layer in layers if layer.encoded))
    images = ("image", "alpha", *(layer.name for layer in layers))
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in texts}
    features |= {name: {"_type": "Image"} for name in images}
    schema = pa.schema([*((name, pa.string()) for name in texts), *((name, _IMAGE) for name in images)])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})

    with pq.ParquetWriter(path, schema) as writer, ThreadPoolExecutor() as pool:
        for part, pictures in batches(rows, shards):
            names = {value: license_name(value) for value in part["license"].dropna().unique()}
            shown = part.assign(license=part["license"].map(names).fillna(license_name(None)))
            files = [file_name(identifier) for identifier in picture_ids(part)]
            columns = {
                name: pa.array(shown[name].astype(object).where(shown[name].notna(), None), pa.string()) for name in texts
            }
            columns |= {name: pa.array(list(pool.map(partial(_cell, name), pictures, files)), _IMAGE) for name in images}
            writer.write_table(pa.table(columns, schema=schema))


def _cell(name: str, picture: ExportedPicture, file: str) -> dict[str, Any] | None:
    found = picture.stored(name)
    return None if found is None else {"bytes": png(*found), "path": file}


def _card(layers: Sequence[Layer]) -> str:
    """It does not name the files: the library would know an export again by the patterns, and take another one for it."""
    beside = "".join(f", `{layer.name}`: {layer.what}" for layer in layers)
    return (
        "---\ntags: [bokehflow]\n---\n\n"
        f"Pictures with the alpha of their subject, 0 where nobody was looked for{beside}. "
        f"[{DATASHEET}]({DATASHEET}) says how they were collected, "
        f"[{ATTRIBUTION}]({ATTRIBUTION}) whose they are and under which licence.\n"
    )


def _write_webdataset(folder: Path, chosen: pd.DataFrame, shards: Path, plan: ExportPlan) -> dict[str, int]:
    return write_webdataset(folder, chosen, shards, plan.per_shard)


def _write_tasks(folder: Path, chosen: pd.DataFrame, shards: Path, plan: ExportPlan) -> dict[str, int]:
    return write_label_studio(folder, chosen, shards, plan.image_prefix or "", plan.hints)


def _write_samples(folder: Path, chosen: pd.DataFrame, shards: Path, plan: ExportPlan) -> dict[str, int]:
    return write_fiftyone(folder, chosen, shards)


_WRITERS = {
    "folders": _write_folders,
    "hf": _write_hugging_face,
    "webdataset": _write_webdataset,
    "labelstudio": _write_tasks,
    "fiftyone": _write_samples,
}

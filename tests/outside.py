"""Every reader of outside data as a function of bytes, and whole inputs to damage, for `test_outside_fuzzed`.

Where a reader takes a folder, the bytes are the name of one of its files, a newline, and what that file holds.
"""

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from pipeline.config import load_project
from pipeline.curation.decisions import Verdict, append_decision, read_decisions
from pipeline.dataset.layout import ATTRIBUTION, CANONICAL, FACTS, FORGOTTEN, MANIFEST, PICTURES, SUMS, read_sums
from pipeline.dataset.manifest import snapshot_id
from pipeline.dataset.restore import Kept, Photos, export_bundle, restore_snapshot
from pipeline.dataset.verify import verify_snapshot
from pipeline.depth.maps import map_digest
from pipeline.emulators.collection import COLLECTION_FILE, Collection, load_collection
from pipeline.emulators.faults import load_faults
from pipeline.flickr import records
from pipeline.flickr.client import FlickrClient
from pipeline.masks.person_masks import alpha_digest, read_mask
from pipeline.masks.sources import GivenMasks, PhotoToMask
from pipeline.photos.decode import decode, decode_reduced, upright_size
from pipeline.photos.metadata import read_metadata
from pipeline.photos.opening import inspect_file
from pipeline.sources.found import normalised_tag
from pipeline.training.__main__ import main as train
from pipeline.training.checkpoints import load_generator_weights, restore_checkpoint, save_checkpoint
from pipeline.training.recipes import TrainingSettings, resolve
from pipeline.training.runs import RunFolder, completion_of, describe_run
from pipeline.training.state import TrainingState, build_model
from storage.tables import DATA_MARK, MADE_MARK, PROVENANCE_MARK, TableStore
from tests.fuzzing import Reader, damaged, damaged_json
from tests.pipeline.dataset.frozen_world import World
from tests.pipeline.photos.odd_pictures import encoded, make_scene, wide_gamut_profile
from tests.pipeline.training.conftest import TINY

MAX_PIXELS = 10_000_000
NUMBERS = range(1, 7)
DOMAINS = {"ordinary", "shallow"}
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Outside:
    """A reader and where its inputs come from; `inputs` is asked when a test runs, not when tests are collected."""

    read: Reader
    inputs: Callable[[], st.SearchStrategy[bytes]]
    allowed: tuple[type[Exception], ...] = field(default=())
    """What callers of this reader are documented to catch besides the project's own exceptions."""


def at(data: bytes, read: Callable[[Path], object], name: str = "file") -> object:
    """What `read` makes of a file with these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return read(path)


def named(
    files: Mapping[str, bytes], damage: Callable[[Sequence[bytes]], st.SearchStrategy[bytes]] = damaged
) -> st.SearchStrategy[bytes]:
    """Strategy: a file's name, a newline, its damaged content."""
    return st.sampled_from(sorted(files)).flatmap(
        lambda name: damage([files[name]]).map(lambda data: name.encode() + b"\n" + data)
    )


def in_copy(folder: Path, data: bytes, read: Callable[[Path], object]) -> object:
    """What `read` makes of a copy of `folder` in which one file holds something else."""
    name, _, content = data.partition(b"\n")
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(folder, Path(place, "copy")))
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755)
        (copy / name.decode()).write_bytes(content)
        return read(copy)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- answers of Flickr ------------------------------------------------------------------------------------------------

PHOTO = {
    "id": "4951", "owner": "1@N00", "secret": "s", "server": "65535", "farm": 66, "title": "x", "license": "4",
    "ispublic": 1, "dateupload": "1581319011", "lastupdate": "1581319011", "datetakenunknown": "0",
    "datetaken": "2020-02-10 08:16:51",
    "ownername": "Ann", "tags": "bokeh portrait", "views": "3", "media": "photo", "o_width": "10", "o_height": "20",
    "url_h": "https://live.staticflickr.com/1.jpg", "height_h": 10, "width_h": "20",
}  # fmt: skip
ANSWERS = {
    "search": {"photos": {"page": 1, "pages": 1, "perpage": 500, "total": 2, "photo": [PHOTO, PHOTO]}, "stat": "ok"},
    "info": {
        "photo": {"id": "1", "license": "1", "visibility": {"ispublic": 1}, "dates": {"lastupdate": "1581400000"}},
        "stat": "ok",
    },
    "licenses": {"licenses": {"license": [{"id": "4", "name": "Attribution", "url": "x"}]}, "stat": "ok"},
    "brands": {"brands": {"brand": [{"id": "apple", "name": "Apple"}]}, "stat": "ok"},
    "models": {"cameras": {"brand": "a", "camera": [{"id": "b", "name": {"_content": "B"}}]}, "stat": "ok"},
    "refusal": {"stat": "fail", "code": 100, "message": "Invalid API Key"},
}


def read_answer(data: bytes) -> None:
    """Whatever comes is parsed or a `Failure`; nothing is raised, and what was parsed can be written as a table is."""
    client = FlickrClient("k" * 32, "s" * 16)
    parsers = (records.parse_search, records.parse_info, records.parse_licenses, records.parse_brands, records.parse_models)
    for parse in parsers:
        client._read(data, parse)
    found = client._read(data, records.parse_search)
    for photo in getattr(found, "photos", ()):
        json.dumps(photo.as_json()).encode()
        pa.Table.from_pylist([photo.as_json()])
        normalised_tag(" ".join(photo.tags))


def answers() -> st.SearchStrategy[bytes]:
    wholes = [json.dumps(answer).encode() for answer in ANSWERS.values()]
    return st.one_of(damaged(wholes), damaged_json(list(ANSWERS.values())))


# --- CSVs -------------------------------------------------------------------------------------------------------------

IDS = {f"flickr:{number}" for number in range(9)}


def read_reviewed(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.csv").write_bytes(data)
        decisions, problems = read_decisions(Path(folder), IDS, DOMAINS)
        for each in (*decisions, *problems):
            str(each).encode()


@cache
def reviewed_files() -> list[bytes]:
    rows = b'photo_id,decision,reason,move_to,curator,note\r\nflickr:1,keep,,,Bo,\r\n2,drop,other,,Bo,"a, ""b"""\r\n'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        for number, note in enumerate(["", "=1+1", "ä\u202ex", "two\nlines"]):
            append_decision(path, f"flickr:{number}", Verdict("drop", "other", note=note), curator="Bo")
        own = path.read_bytes()
    text = rows.decode()
    utf16 = [text.encode("utf-16"), text.encode("utf-16-le"), text.replace(",", ";").encode("utf-8-sig")]
    return [rows, own, *utf16, b"sep=;\n" + rows.replace(b",", b";"), rows.replace(b",", b"\t")]


def read_told(data: bytes) -> None:
    def read(path: Path) -> None:
        metadata = read_metadata(path, path.parent, ["a/one.jpg", "two.png", "b/two.png"])
        for each in metadata.problems:
            str(each).encode()

    at(data, read, "photos.csv")


def told_files() -> list[bytes]:
    text = (
        "file,owner,owner_name,license,page_url,title,tags,date_taken,date_upload\n"
        'a/one.jpg,1,Ann,CC BY 2.0,https://x.org/1,"One, or two",a;b,2024-03-05 12:30:00,1581319011\n'
        "b/two.png,2,Bo,4,,,a b,05.03.2024,2024-03-05T10:00:00+02:00\n"
    )
    return [text.encode(), text.encode("utf-16"), text.replace(",", ";").encode("utf-8-sig"), text.encode("cp1252")]


# --- snapshots and bundles --------------------------------------------------------------------------------------------


@cache
def _places() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # goes with the process


@cache
def bundle() -> Path:
    """A bundle on the disk, as `snapshot export --bundle` writes it; its masks are all alike."""
    root = Path(_places().name)
    world = World(root / "origin")
    identifier = world.freeze(NUMBERS)
    (world.root / "masks" / "selfie").mkdir(parents=True)
    for number in NUMBERS:
        Image.fromarray(make_scene(16, 16)[..., 0]).save(world.root / "masks" / "selfie" / f"{number}.png")
    export_bundle(world.snapshots, identifier, {"mask": world.root / "masks"}, root / "bundle")
    return root / "bundle"


def read_bundle(data: bytes) -> None:
    """Restore into an empty home, where no photo can be had; then where each is had and made again."""

    def none_to_be_had(rows: pd.DataFrame) -> dict[str, str | None]:
        return dict.fromkeys(rows["photo_id"], "gone")

    def made(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(pixels_sha256="0" * 64, alpha_sha256="0" * 64)

    def read(copy: Path) -> None:
        home = copy.parent / "home"
        masks = Kept(home / "masks", lambda path: alpha_digest(read_mask(path)))
        for has in (False, True):
            restore_snapshot(
                copy, home / "snapshots", home / "shards", {"mask": masks, "depth": Kept(home / "depth", map_digest)},
                Photos(lambda _, has=has: has, none_to_be_had), made,
            )  # fmt: skip

    in_copy(bundle(), data, read)


def bundles() -> st.SearchStrategy[bytes]:
    files = files_of(bundle())
    texts = {name: files[name] for name in (FACTS, CANONICAL, ATTRIBUTION, SUMS)}
    tables = {name: files[name] for name in (MANIFEST, PICTURES)}
    facts = damaged_json([json.loads(files[FACTS])]).map(lambda data: FACTS.encode() + b"\n" + data)
    forgotten = damaged_json([{"flickr:1": 1_700_000_000}]).map(lambda data: FORGOTTEN.encode() + b"\n" + data)
    masks = {"masks/selfie/1.png": files["masks/selfie/1.png"]}
    return st.one_of(named(texts), named(tables, damaged_parquet), named(masks), facts, forgotten)


def read_frozen_snapshot(data: bytes) -> None:
    """`snapshot verify` of a folder that its owner's disk has damaged."""

    def read(copy: Path) -> None:
        identifier = snapshot_id(pd.read_parquet(bundle() / MANIFEST))
        copy.rename(copy.parent / identifier)
        verify_snapshot(copy.parent, identifier, copy.parent / "shards")
        read_sums(copy.parent / identifier)

    in_copy(bundle(), data, read)


def damaged_parquet(wholes: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Damaged bytes, and whole files in which a cell, a type or the packing is another."""
    packed = [whole for each in wholes for whole in repacked(each)]
    return st.one_of(damaged(packed), st.sampled_from(packed), st.sampled_from(wholes).flatmap(_with_another_cell))


HOSTILE_TEXTS = ("", "../../x", "/etc/passwd", "a\0b", "\u202ex", "A" * 64, "0" * 64, "x" * 70_000, "\n", "=1+1", "flickr:1")


def _with_another_cell(whole: bytes) -> st.SearchStrategy[bytes]:
    table = pq.read_table(io.BytesIO(whole))
    cells = st.one_of(st.none(), st.sampled_from(HOSTILE_TEXTS), st.integers(-(2**63), 2**63 - 1), st.floats())
    return st.builds(
        lambda column, row, cell: _replaced(table, column, row, cell),
        st.sampled_from(table.column_names), st.integers(0, table.num_rows - 1), cells,
    )  # fmt: skip


def _replaced(table: pa.Table, column: str, row: int, cell: object) -> bytes:
    values = table[column].to_pylist()
    values[row] = cell
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError):
        array = pa.array([None if value is None else str(value) for value in values])
    changed = table.set_column(table.column_names.index(column), column, array)
    return parquet_bytes(changed)


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:  # noqa: ANN401 - of pyarrow
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


@cache
def repacked(whole: bytes) -> list[bytes]:
    """The same table in other encodings, packings and types."""
    table = pq.read_table(io.BytesIO(whole))
    texts = [name for name in table.column_names if pa.types.is_string(table[name].type)]
    delta = {"use_dictionary": False, "column_encoding": dict.fromkeys(texts, "DELTA_BYTE_ARRAY")}
    options: list[dict[str, Any]] = [
        {}, {"compression": "zstd"}, {"compression": "none"}, {"use_dictionary": False, "compression": "brotli"}, delta,
        {"data_page_version": "2.0", "write_page_checksum": True}, {"row_group_size": 1}, {"store_schema": False},
    ]  # fmt: skip
    long_texts = table.set_column(0, table.column_names[0], table.column(0).cast(pa.large_string()))
    nested = table.append_column("nested", pa.array([[{"a": [1]}]] * table.num_rows))
    odd = [table.slice(0, 0), long_texts, nested, table.select(table.column_names[:1]), pa.concat_tables([table] * 40)]
    return [*(parquet_bytes(table, **one) for one in options), *(parquet_bytes(one) for one in odd)]


def read_tables(data: bytes) -> None:
    """The tables of a home that was copied from somewhere: as a whole, by footer, and by column."""
    with tempfile.TemporaryDirectory() as folder:
        tables = TableStore(Path(folder))
        path = tables.path("photo_files", "ordinary|2024-01")
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        tables.info("photo_files", "ordinary|2024-01")
        for columns in (None, ["photo_id"]):
            try:
                tables.read("photo_files", "ordinary|2024-01", columns)
            except (ValueError, KeyError) as error:  # a column that a table of another version lacks
                if "photo_id" not in str(error):
                    raise
        tables.drop_rows("photo_files", {"flickr:1"}, "ordinary|2024-01")


def tables_of_a_home() -> st.SearchStrategy[bytes]:
    rows = [{"photo_id": f"flickr:{n}", "sha256": f"{n:064x}", "size_bytes": n} for n in range(1, 9)]
    table = pa.Table.from_pylist(rows)
    marks = {MADE_MARK: b"x", PROVENANCE_MARK: b"\xff\xfe", DATA_MARK: b"\0"}
    return damaged_parquet([parquet_bytes(table), parquet_bytes(table.replace_schema_metadata(marks))])


# --- pictures and masks -----------------------------------------------------------------------------------------------


def read_picture(data: bytes) -> None:
    """All that is done with a picture from outside."""
    at(data, lambda path: inspect_file(path, MAX_PIXELS))
    decode(data, MAX_PIXELS)
    decode_reduced(data, 16, MAX_PIXELS)
    upright_size(data, MAX_PIXELS)


@cache
def pictures() -> list[bytes]:
    scene, exif = make_scene(48, 36), Image.Exif()
    exif[0x0112] = 6
    frames = [Image.fromarray(make_scene(20, 16, seed)) for seed in range(3)]
    several = []
    for kind in ("GIF", "PNG", "WEBP", "TIFF", "MPO"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        several.append(buffer.getvalue())
    plain = [encoded(scene, kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")]
    profile = {"icc_profile": wide_gamut_profile(), "exif": exif}
    profiles = [encoded(scene, kind, **profile) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    packed = [encoded(scene, "TIFF", compression=name) for name in ("tiff_lzw", "jpeg", "tiff_deflate", "packbits")]
    ways = [encoded(scene, progressive=True), encoded(scene, restart_marker_blocks=3), encoded(scene[..., 0])]
    return [*plain, *several, *profiles, *packed, *ways]


def read_given_mask(data: bytes) -> None:
    digest = "0" * 64
    picture = PhotoToMask(digest, ("flickr:1",))

    def read(path: Path) -> None:
        source = GivenMasks(path.parent, lambda _: make_scene(48, 36), 48)
        source.mark(picture)
        source.masks([picture])

    for suffix in (".png", ".tif"):  # the name decides nothing
        at(data, read, digest + suffix)


@cache
def given_masks() -> list[bytes]:
    grey = make_scene(48, 36)[..., 0]
    sixteen, clear = Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(np.dstack([make_scene(48, 36), grey]))
    found = [encoded(grey, kind) for kind in ("PNG", "TIFF", "WEBP", "BMP", "JPEG")]
    for image, kind in ((sixteen, "PNG"), (sixteen, "TIFF"), (clear, "PNG"), (clear, "WEBP"), (clear.convert("LA"), "PNG")):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        found.append(buffer.getvalue())
    return found


# --- project files, the emulator's files ------------------------------------------------------------------------------


def project_files() -> list[bytes]:
    small = '[domains.ordinary]\n[domains.shallow]\n[[domains.shallow.queries]]\ntags = ["bokeh"]\ntext = "a"\n'
    wide = "[training]\nautomatic = ['a']\n[recipes.a]\nmodel = 'cyclegan'\nseeds = [0]\nsteps = 10\n[masks]\nfolder = 'x'\n"
    return [(ROOT / "bokehflow.toml").read_bytes(), small.encode(), (small + wide).encode()]


def read_project(data: bytes) -> None:
    at(data, load_project, "bokehflow.toml")


def read_faults(data: bytes) -> None:
    at(data, load_faults, "faults.toml")


def read_collection(data: bytes) -> None:
    def read(path: Path) -> None:
        photos = Collection(load_collection(path.parent), path.parent)
        for photo in photos.search("all", lambda photo: True).photos:
            photos.picture(photo, None)

    at(data, read, COLLECTION_FILE)


LISTED = {
    "id": "4950000001", "domain_hint": "shallow", "owner": "1@N04", "owner_name": "Esi", "title": "x", "description": "",
    "tags": ["portrait"], "license": "11", "date_upload": 1704072707, "date_taken": "2023-11-26 10:22:06", "views": 840,
    "last_update": 1704389351, "camera": "canon/eos_6d", "media": "photo", "file": "files/1.jpg", "removed": False,
    "exif": {"Make": "Apple"},
}  # fmt: skip
FAULTS = b"seed = 1\n[api]\ntimeout = 0.1\n[images]\ntruncated = 0.1\n[[changes]]\nphoto = '1'\nafter_calls = 3\n"


# --- training ---------------------------------------------------------------------------------------------------------


@cache
def tiny() -> TrainingSettings:
    return resolve("smoke", {**TINY, "perceptual_scale": "none"})


def fresh_state() -> TrainingState:
    return TrainingState(build_model("cyclegan", tiny(), 0), tiny(), 0, torch.device("cpu"))


def read_checkpoint(data: bytes) -> None:
    at(data, lambda path: restore_checkpoint(fresh_state(), path, "d"))


@cache
def checkpoints() -> list[bytes]:
    """Of this run, of this run without some part of it, and of none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "last.pt")
        save_checkpoint(fresh_state(), path, "d", 1.0)
        whole = path.read_bytes()
    content: dict[str, Any] = torch.load(io.BytesIO(whole), weights_only=True)
    lacking = [{key: value for key, value in content.items() if key != name} for name in content]
    other = [content | {name: value} for name in content for value in (None, "x", {"a": 1}, torch.zeros(3))]
    return [whole, *map(saved, [*lacking, *other, {}, [], "x"])]


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def read_weights(data: bytes) -> None:
    generator = build_model("cyclegan", tiny(), 0).generators["a_to_b"]
    at(data, lambda path: load_generator_weights(generator, path), "generator_a_to_b.safetensors")


def weights_files() -> st.SearchStrategy[bytes]:
    weights = build_model("cyclegan", tiny(), 0).generators["a_to_b"].state_dict()
    whole = save(weights)
    length = int.from_bytes(whole[:8], "little")
    header = damaged_json([json.loads(whole[8 : 8 + length])])
    return st.one_of(
        damaged([whole, save({"a": torch.zeros(3)})]),
        header.map(lambda text: len(text).to_bytes(8, "little") + text + whole[8 + length :]),
    )


JOB = {
    "run_id": "r", "recipe": "tiny", "seed": 3, "model": "cyclegan", "snapshot_id": "0123456789abcdef",
    "manifest_path": "manifest.parquet", "shards_dir": "shards", "lineage": {"code_revision": "abc"},
}  # fmt: skip


@cache
def job() -> dict[str, Any]:
    return {**JOB, "run_dir": "FOLDER", "settings": tiny().model_dump(mode="json")}


def read_job(data: bytes) -> None:
    """`python -m pipeline.training --job FILE`, whose manifest is not there; a whole one ends with that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.json")
        path.write_bytes(data.replace(b"FOLDER", folder.encode()))
        if b"FOLDER" in data:  # elsewhere nothing is written
            assert train(["--job", str(path)]) == 1


def read_run(data: bytes) -> None:
    """What `status` and the trainer read of a run's folder that was copied from elsewhere."""
    name, _, content = data.partition(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.job.write_text(json.dumps({"digest": "d", "job": job()}))
        (Path(folder) / name.decode()).write_bytes(content)
        describe_run(run.root)
        completion_of(run)


COMPLETION = {
    "digest": "d", "run_id": "r", "recipe": "tiny", "model": "cyclegan", "seed": 3, "snapshot_id": "0" * 16, "steps": 3,
    "seconds": 1.5, "final_losses": {"gan": 0.5}, "sample": "samples/a.png", "files": {"a.safetensors": "0" * 64},
}  # fmt: skip
CHECKS = [{"step": 3, "gap": 0.1, "scales": 1.0, "change": 0.1, "failing": None}]


def runs() -> st.SearchStrategy[bytes]:
    wholes: dict[str, Any] = {"job.json": {"digest": "d", "job": job()}, "complete.json": COMPLETION, "checks.json": CHECKS}
    losses = parquet_bytes(pa.table({"step": [1, 2, 3], "gan": [0.1, 0.2, 0.3]}))
    return st.one_of(
        *(damaged_json([whole]).map(lambda data, name=name: name.encode() + b"\n" + data) for name, whole in wholes.items()),
        named({"losses.parquet": losses}, damaged_parquet),
        named({name: json.dumps(whole).encode() for name, whole in wholes.items()}),
    )


OUTSIDE = {
    "answers": Outside(read_answer, answers),
    "reviewed": Outside(read_reviewed, lambda: damaged(reviewed_files())),
    "metadata": Outside(read_told, lambda: damaged(told_files())),
    "bundles": Outside(read_bundle, bundles),
    "snapshots": Outside(read_frozen_snapshot, bundles),
    "tables": Outside(read_tables, tables_of_a_home),
    "pictures": Outside(read_picture, lambda: damaged(pictures())),
    "given_masks": Outside(read_given_mask, lambda: damaged(given_masks())),
    "projects": Outside(read_project, lambda: damaged(project_files())),
    "faults": Outside(read_faults, lambda: damaged([FAULTS])),
    "collections": Outside(
        read_collection, lambda: st.one_of(damaged([json.dumps(LISTED).encode()]), damaged_json([LISTED]))
    ),
    "checkpoints": Outside(read_checkpoint, lambda: damaged(checkpoints())),
    "weights": Outside(read_weights, weights_files),
    "jobs": Outside(read_job, lambda: st.one_of(damaged([json.dumps(job()).encode()]), damaged_json([job()]))),
    "runs": Outside(read_run, runs),
}

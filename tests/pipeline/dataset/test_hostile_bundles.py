"""A bundle may be a stranger's: it is refused, or restored, and neither fills memory nor reaches anything else."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset import frozen_tables
from pipeline.dataset.crop import parse_transform
from pipeline.dataset.frozen_tables import read_frozen
from pipeline.dataset.layout import ATTRIBUTION, CANONICAL, FACTS, FORGOTTEN, MANIFEST, PICTURES
from pipeline.dataset.manifest import canonical, snapshot_id
from pipeline.dataset.restore import Kept, Photos, export_bundle, restore_snapshot
from pipeline.errors import BokehflowError, DatasetError
from tests.pipeline.dataset.frozen_world import World

NUMBERS = range(1, 7)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound bundle, for the tests to copy."""
    root = tmp_path_factory.mktemp("exported")
    world = World(root / "origin")
    identifier = world.freeze(NUMBERS)
    (world.root / "masks" / "selfie").mkdir(parents=True)
    for number in NUMBERS:
        (world.root / "masks" / "selfie" / f"{number}.png").write_bytes(b"mask")
    export_bundle(world.snapshots, identifier, {"mask": world.root / "masks"}, root / "bundle")
    for path in (root / "bundle").rglob("*"):
        path.chmod(0o755)
    return root / "bundle"


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "bundle")


def restore(bundle: Path) -> None:
    """Into an empty home; whatever is asked for is the world's, not the machine's."""
    home = bundle.with_name("home")

    def nothing(_: object) -> Mapping[str, str | None]:
        raise AssertionError("nothing of a refused bundle is fetched or made")

    kept = {name: Kept(home / name, nothing) for name in ("mask", "depth")}
    restore_snapshot(bundle, home / "snapshots", home / "shards", kept, Photos(nothing, nothing), nothing)


def rewritten(bundle: Path, name: str, column: str, value: object) -> None:
    """One cell of the first row is a stranger's, and all digests and ids are made to fit."""
    frame = pd.read_parquet(bundle / name)
    frame.loc[0, column] = value
    frame.to_parquet(bundle / name)
    manifest = pd.read_parquet(bundle / MANIFEST)
    facts = json.loads((bundle / FACTS).read_text()) | {"id": snapshot_id(manifest)}
    (bundle / FACTS).write_text(json.dumps(facts))
    (bundle / CANONICAL).write_bytes(canonical(manifest))


COLUMNS = ["photo_id", "domain", "split", "transform", "pixels_sha256", "split_key", "source_sha256"]
PATHS = ["../../x", "/etc/passwd", "a\0b", "a\\b", "..", "a" * 300, "A" * 64, "٣" * 64, "0" * 64 + "\n", ""]


@pytest.mark.parametrize("value", PATHS)
@pytest.mark.parametrize(
    "column", ["photo_id", "domain", "split", "transform", "pixels_sha256", "split_key", "source_sha256"]
)
def test_no_cell_of_the_manifest_is_a_path(bundle: Path, column: str, value: str) -> None:
    rewritten(bundle, MANIFEST, column, value)
    with pytest.raises(DatasetError, match=r"not used|names a picture twice|is damaged"):
        restore(bundle)
    assert not bundle.with_name("home").exists()


@pytest.mark.parametrize("value", PATHS)
@pytest.mark.parametrize("column", ["mask", "mask_sha256", "shard"])
def test_no_cell_of_the_places_is_a_path(bundle: Path, column: str, value: str) -> None:
    if column == "mask" and value in ("a" * 300, "A" * 64, "٣" * 64):
        value = f"{value}/../../x"
    rewritten(bundle, PICTURES, column, value)
    with pytest.raises(DatasetError, match="not used"):
        restore(bundle)
    assert not bundle.with_name("home").exists()


FACTS_OF = {"format": 2, "id": "0" * 16, "sha256": "0" * 64, "counts": {}, "made_from": {}}


@pytest.mark.parametrize(
    "spoilt",
    [
        b"", b"[]", b"7", b'"x"', b"null", b"[" * 200_000, b'{"format":2,"id":' + b"[" * 200_000, b"\xff\xfe",
        *(json.dumps({k: v for k, v in FACTS_OF.items() if k != name}).encode() for name in FACTS_OF),
        *(json.dumps(FACTS_OF | {name: value}).encode() for name in FACTS_OF for value in (None, "x", [], 1e400, True)),
        *(json.dumps(FACTS_OF | {"made_from": made}).encode() for made in (
            {"domains": 1}, {"domains": {"a": "b"}}, {"domains": {"a": {"queries": {}}}}, {"settings": {"dataset": 3}},
            {"counts": {"a": 1}}, {"months": "x"}, {"project": {}},
        )),
        json.dumps(FACTS_OF | {"counts": {"ordinary": {"train": "many"}}}).encode(),
        json.dumps(FACTS_OF | {"id": "../../../x"}).encode(),
    ],
)  # fmt: skip
def test_any_snapshot_json_is_refused_in_words(bundle: Path, spoilt: bytes) -> None:
    (bundle / FACTS).write_bytes(spoilt)
    with pytest.raises(BokehflowError):
        restore(bundle)


@pytest.mark.parametrize("spoilt", [b"[]", b"{", b'{"flickr:1": "x"}', b'{"flickr:1": [1]}', b"[" * 100_000, b"NaN"])
def test_any_list_of_the_forgotten_is_refused_in_words(bundle: Path, spoilt: bytes) -> None:
    (bundle / FORGOTTEN).write_bytes(spoilt)
    with pytest.raises(DatasetError, match="forgotten"):
        restore(bundle)


@pytest.mark.parametrize("name", [FACTS, CANONICAL, MANIFEST, ATTRIBUTION, PICTURES])
@pytest.mark.parametrize("kind", ["device", "pipe", "outside", "folder"])
def test_nothing_of_a_bundle_is_a_device_a_pipe_or_a_link(bundle: Path, name: str, kind: str) -> None:
    (bundle / name).unlink()
    if kind == "pipe":
        os.mkfifo(bundle / name)
    elif kind == "folder":
        (bundle / name).mkdir()
    else:
        (bundle / name).symlink_to("/dev/zero" if kind == "device" else "/etc/hostname")
    with pytest.raises(DatasetError, match="not used"):
        restore(bundle)


def test_the_two_manifests_say_the_same(bundle: Path) -> None:
    (bundle / CANONICAL).write_text("{}\n")
    with pytest.raises(DatasetError, match="do not say the same"):
        restore(bundle)


def test_a_text_that_is_repeated_is_not_unfolded(tmp_path: Path) -> None:
    once = pa.array([0] * 4000, pa.int32())
    for text in ("A" * 1_000_000, "A" * 60_000):
        table = pa.table({"title": pa.DictionaryArray.from_arrays(once, pa.array([text]))})
        pq.write_table(table, tmp_path / "a.parquet", store_schema=False, compression="zstd")
        before = pa.total_allocated_bytes()
        with pytest.raises(DatasetError, match=r"a text of|would become|rows in"):
            read_frozen(tmp_path / "a.parquet", ["title"])
        assert pa.total_allocated_bytes() - before < 50_000_000


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (pa.table({"title": pa.nulls(2_000_000, pa.string())}), "rows in"),
        (pa.table({"title": ["A" * 100_000_000]}), "would become"),
        (pa.table({"title": [[["a"]]]}), "is of the kind"),
        (pa.table({"title": [b"a"]}), "is of the kind"),
        (pa.table({"other": ["a"]}), "it has no column title"),
        (pa.table([pa.array(["a"])] * 65, [f"c{n}" for n in range(65)]), "65 columns"),
    ],
)
def test_tables_out_of_all_proportion(tmp_path: Path, table: pa.Table, why: str) -> None:
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(DatasetError, match=why):
        read_frozen(tmp_path / "a.parquet", ["title"])


def test_what_is_no_parquet_at_all(tmp_path: Path) -> None:
    for data in (b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", os.urandom(1000)):
        (tmp_path / "a.parquet").write_bytes(data)
        with pytest.raises(DatasetError):
            read_frozen(tmp_path / "a.parquet", ["title"])
    with pytest.raises(DatasetError, match="is missing"):
        read_frozen(tmp_path / "none.parquet", ["title"])


def test_a_large_file_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_tables, "ROWS_AT_ONCE", 7)
    frame = pd.DataFrame({"a": [f"text {n % 5}" if n % 3 else None for n in range(50)], "row": range(50)})
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=9)
    pd.testing.assert_frame_equal(read_frozen(tmp_path / "a.parquet", ["a", "row"], ["row"]), frame)


@pytest.mark.parametrize(
    "name",
    [
        "centre-square-lanczos-999999999-v3", "centre-square-lanczos-2049-v3", "centre-square-lanczos-0-v3",
        "centre-square-lanczos-٢٥٦-v3", "tile-x0y0-512px-of-100x100-lanczos-512-v3", "tile-x1y0-99px-of-99x99-lanczos-5-v3",
        "tile-x0y0-0px-of-99x99-lanczos-5-v3", f"centre-square-lanczos-{'9' * 5000}-v3", "../x", "",
    ],
)  # fmt: skip
def test_transforms_that_no_photo_has(name: str) -> None:
    with pytest.raises(DatasetError):
        parse_transform(name)

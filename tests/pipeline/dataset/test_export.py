"""Each export is loaded back by the tool it is for."""

import csv
import gc
import json
import os
import re
import tarfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.dataset import export, snapshot
from pipeline.dataset.export import Exported, ExportPlan, choose, export_snapshot, forget_in_export, is_export
from pipeline.dataset.exported import file_name
from pipeline.dataset.forget import forget_in_snapshots
from pipeline.dataset.responsible_ai import responsible
from pipeline.dataset.snapshot import freeze, read_snapshot
from pipeline.dataset.verify import verify_snapshot
from pipeline.errors import DatasetError
from pipeline.licenses import LICENSES, allowed_for, license_name
from tests.pipeline.dataset.frozen_world import ENCODING, World, layered_picture, picture

MADE_FROM = {
    "project": "portraits",
    "months": {"from": "2024-01", "to": None},
    "domains": {"ordinary": {"title": "All in focus", "queries": [{"text": "portrait", "camera": "apple/iphone_7"}]}},
    "settings": {"photos": {"exclude_no_cv": True}, "dataset": {"size_px": 16}},
    "counts": {
        "ordinary": {"listed": 30, "rejected": {"no_cv": 2}, "duplicates": {"perceptual": 3}, "dropped": {}, "kept": 8}
    },
    "code_revision": "abc",
}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    world = World(tmp_path_factory.mktemp("home"))
    manifest = world.manifest(world.images(range(1, 25)))
    return world, freeze(manifest, world.snapshots, world.shards, MADE_FROM).name


def export_to(frozen: tuple[World, str], target: Path, format: str = "folders", **options: object) -> Exported:
    plan = ExportPlan(format, "ordinary", "shallow", **options)
    world, identifier = frozen
    return export_snapshot(world.snapshots, identifier, world.shards, target, plan)


def test_folders_hold_the_very_pixels_of_each_side(frozen: tuple[World, str], tmp_path: Path) -> None:
    done = export_to(frozen, tmp_path / "out")
    manifest = read_snapshot(frozen[0].snapshots, frozen[1])
    assert done.counts["trainB"] == 12
    assert done.counts["testB"] == 0
    assert done.counts["trainA"] + done.counts["testA"] == 12
    for photo_id, domain, split in manifest[["photo_id", "domain", "split"]].itertuples(index=False):
        path = tmp_path / "out" / f"{split}{'A' if domain == 'ordinary' else 'B'}" / file_name(photo_id)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture(int(photo_id.split(":")[1])).rgb)
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 24
    assert os.access(tmp_path / "out" / "DATASHEET.md", os.W_OK)


def test_rgba_carries_the_alpha(frozen: tuple[World, str], tmp_path: Path) -> None:
    export_to(frozen, tmp_path / "out", rgba=True)
    with Image.open(tmp_path / "out" / "trainB" / "flickr_2.png") as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image)[..., 3], picture(2).alpha)


@pytest.mark.slow
def test_torchvision_reads_the_folders(frozen: tuple[World, str], tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    export_to(frozen, tmp_path / "out", licenses=None)
    (tmp_path / "out" / "testB").rmdir()  # an empty class is an error to torchvision, as for any reader of folders
    found = ImageFolder(str(tmp_path / "out"))
    assert found.classes == ["testA", "trainA", "trainB"]
    assert len(found) == 24


@pytest.mark.slow
def test_hugging_face_loads_its_folder(frozen: tuple[World, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export_to(frozen, tmp_path / "out", "hf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datasets import load_dataset

        loaded = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
        export_to(frozen, tmp_path / "other" / "out", "hf", licenses=allowed_for("research"))
        other = load_dataset(str(tmp_path / "other" / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(other["train"]["license"]) < set(loaded["train"]["license"]), "one is not taken for the other"
    manifest = read_snapshot(frozen[0].snapshots, frozen[1])
    assert {split: len(loaded[split]) for split in loaded} == manifest["split"].value_counts().to_dict()
    row = loaded["train"][3]
    number = int(row["photo_id"].split(":")[1])
    np.testing.assert_array_equal(np.asarray(row["image"]), picture(number).rgb)
    np.testing.assert_array_equal(np.asarray(row["alpha"]), picture(number).alpha)
    assert row["license"] == license_name(manifest.set_index("photo_id").loc[row["photo_id"], "license"])
    assert any(name is None for name in loaded["train"]["owner_name"])


@pytest.mark.slow
@pytest.mark.parametrize("format", ["folders", "hf", "webdataset", "labelstudio", "fiftyone"])
def test_croissant_is_valid_and_yields_records(frozen: tuple[World, str], tmp_path: Path, format: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlcroissant

        export_to(frozen, tmp_path / "out", format)
        dataset = mlcroissant.Dataset(str(tmp_path / "out" / "croissant.json"))
        assert not dataset.metadata.ctx.issues.errors
        assert not dataset.metadata.ctx.issues.warnings
        photos = list(dataset.records("photos"))
        images = list(dataset.records("images"))
    told = dataset.metadata
    assert str(told.data_collection).startswith("Flickr's public search")
    assert told.data_collection_type == ["Web API", "User-generated content data", "Manual Human Curator"]
    assert any("camera and domain are confounded" in bias for bias in told.data_biases or [])
    assert "left open: ages, regions" in " ".join(told.data_limitations or [])
    assert told.annotator_demographics is None
    assert len(photos) == 24
    assert len(images) == (48 if format == "webdataset" else 24)  # alphas are pictures too
    assert {photo["photos/photo_id"].decode() for photo in photos} == {f"flickr:{n}" for n in range(1, 25)}
    image = images[0]["images/image"]
    assert image.size == (16, 16)


def test_attribution_names_every_exported_picture_and_no_other(frozen: tuple[World, str], tmp_path: Path) -> None:
    export_to(frozen, tmp_path / "out", licenses=allowed_for("commercial"), use="commercial")
    with (tmp_path / "out" / "attribution.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*.png")
    }
    assert all(row["title"] and row["owner"] and row["license_name"] and row["page_url"] for row in rows)
    assert {row["license"] for row in rows} == {"4", "9", "5"}


def test_a_title_that_a_spreadsheet_would_execute_goes_out_as_text_and_is_frozen_to_the_letter(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    manifest = world.manifest(world.images(range(1, 5)))
    manifest["title"] = ["=1+1", "@SUM(A1)", "fine", "a;=1+1"]
    identifier = freeze(manifest, world.snapshots, world.shards).name
    export_to((world, identifier), tmp_path / "out")
    shown = pd.read_csv(tmp_path / "out" / "attribution.csv", dtype=str)
    assert shown["title"].tolist() == ["'=1+1", "'@SUM(A1)", "fine", "a;'=1+1"]
    frozen = pd.read_csv(world.snapshots / identifier / "attribution.csv", dtype=str)
    assert frozen["title"].tolist() == manifest["title"].tolist()
    assert verify_snapshot(world.snapshots, identifier, world.shards).sound


@pytest.mark.parametrize("use", ["research", "commercial", "derivatives", "commercial-derivatives"])
def test_only_licences_that_allow_the_use_are_exported(frozen: tuple[World, str], tmp_path: Path, use: str) -> None:
    done = export_to(frozen, tmp_path / "out", licenses=allowed_for(use), use=use)
    shown = pd.read_csv(tmp_path / "out" / "attribution.csv", dtype=str)
    for license in shown["license"].unique():
        if use != "research":
            assert LICENSES[license].allows_commercial or "commercial" not in use
            assert LICENSES[license].allows_derivatives or "derivatives" not in use
        assert license != "0"
    assert sum(done.counts.values()) == len(shown) < 24
    assert done.left_out == {f"licence does not allow {use}": 24 - len(shown)}
    assert f"the use `{use}`" in (tmp_path / "out" / "DATASHEET.md").read_text()


def test_the_datasheet_tells_how_it_was_collected(frozen: tuple[World, str], tmp_path: Path) -> None:
    export_to(frozen, tmp_path / "out")
    text = (tmp_path / "out" / "DATASHEET.md").read_text()
    for told in (
        '"camera": "apple/iphone_7"', "| rejected: no_cv | 2 |", "| duplicates: perceptual | 3 |", "| ordinary |",
        "CC BY-NC-ND 4.0", "Known biases", "5 owners", "bokehflow forget", "were left out", frozen[1],
    ):  # fmt: skip
        assert told in text, told


def test_an_existing_folder_is_refused_and_untouched(frozen: tuple[World, str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"out: exists already; name a new folder"):
        export_to(frozen, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_nothing_left_to_export_is_an_error(frozen: tuple[World, str], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"24 \(licence does not allow moon\)"):
        export_to(frozen, tmp_path / "out", licenses=["8"], use="moon")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_neither_export_nor_snapshot(
    frozen: tuple[World, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "png", full)
    with pytest.raises(DatasetError, match=r"out: the disk is full; nothing of it was written"):
        export_to(frozen, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    world = World(tmp_path / "home")
    images = world.images(range(1, 13))
    for broken in ("_write_table", "write_json", "sync", "file_sha256"):
        monkeypatch.setattr(snapshot, broken, full)
        with pytest.raises(DatasetError, match="the disk is full"):
            freeze(world.manifest(images), world.snapshots, world.shards)
        assert list(world.snapshots.iterdir()) == []
        monkeypatch.undo()


def test_a_forgotten_photo_is_not_exported(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    identifier = world.freeze(range(1, 13))
    forget_in_snapshots(world.snapshots, world.shards, {"flickr:2"}, 5)
    export_to((world, identifier), tmp_path / "out")
    assert not (tmp_path / "out" / "trainB" / "flickr_2.png").exists()
    assert "flickr:2," not in (tmp_path / "out" / "attribution.csv").read_text()
    assert json.loads((tmp_path / "out" / "croissant.json").read_text())["description"].startswith("11 portraits")


@pytest.mark.parametrize("format", ["folders", "hf"])
def test_a_photo_is_forgotten_in_an_export_and_nobody_else(tmp_path: Path, format: str) -> None:
    world = World(tmp_path / "home")
    export_to((world, world.freeze([*range(1, 13), 20])), tmp_path / "out", format)
    assert is_export(tmp_path / "out")
    assert not is_export(world.snapshots)
    tile = tmp_path / "out" / "trainB" / "flickr_2_x256y0.png"
    if format == "folders":
        tile.write_bytes(b"a tile of the same photo")
    before = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert forget_in_export(tmp_path / "out", {"flickr:2", "flickr:99"}) == (2 if format == "folders" else 1)
    gone = before - {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert gone == ({tile, tile.with_name("flickr_2.png")} if format == "folders" else set())
    shown = pd.read_csv(tmp_path / "out" / "attribution.csv")["photo_id"]
    assert "flickr:2" not in set(shown)
    assert len(shown) == 12
    tables = [pd.read_parquet(path) for path in sorted((tmp_path / "out").glob("data/*.parquet"))]
    assert sorted(name for table in tables for name in table["photo_id"]) == (sorted(shown) if tables else [])
    assert forget_in_export(tmp_path / "out", {"flickr:2"}) == 0


# --- WebDataset -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files to the collector
def test_webdataset_reads_its_shards(frozen: tuple[World, str], tmp_path: Path) -> None:
    from webdataset.compat import WebDataset

    done = export_to(frozen, tmp_path / "out", "webdataset", per_shard=5)
    manifest = read_snapshot(frozen[0].snapshots, frozen[1]).set_index("photo_id")
    read = {}
    for side, count in done.counts.items():
        urls = [str(path) for path in sorted((tmp_path / "out" / side).glob("*.tar"))]
        assert len(urls) == -(-count // 5)
        samples = list(WebDataset(urls, shardshuffle=False).decode("rgb8"))
        assert len(samples) == count
        assert [sample["__key__"] for sample in samples] == sorted(sample["__key__"] for sample in samples)
        read |= {sample["json"]["photo_id"]: (side, sample) for sample in samples}
    gc.collect()
    assert set(read) == set(manifest.index)
    for photo_id, (side, sample) in read.items():
        row, told, made = manifest.loc[photo_id], sample["json"], picture(_number(photo_id))
        np.testing.assert_array_equal(sample["png"], made.rgb)
        np.testing.assert_array_equal(sample["mask.png"][..., 0], made.alpha)
        assert side == row["split"] + {"ordinary": "A", "shallow": "B"}[row["domain"]]
        assert sample["txt"] == told["caption"] == row["title"]
        assert (told["pixels_sha256"], told["alpha_sha256"]) == (row["pixels_sha256"], row["alpha_sha256"])
        assert told["license"] == license_name(row["license"])
        assert told["license"] in told["attribution"]
        assert row["page_url"] in told["attribution"]


def _number(name: str) -> int:
    return int(name.replace("_", ":").split(":")[1])


def test_shards_are_equal_bytes_and_say_so_in_table_and_stats(frozen: tuple[World, str], tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_to(frozen, tmp_path / name, "webdataset", per_shard=5)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len([path for path in files if path.suffix == ".tar"]) >= 5
    for path in files:
        if path.name != "croissant.json":  # says on which day it was published
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path
    for tar in (tmp_path / "one").glob("*/*.tar"):
        with tarfile.open(tar) as opened:
            members = opened.getmembers()
        assert {member.mtime for member in members} == {0}
        stems = {member.name.partition(".")[0] for member in members}
        stats = json.loads(tar.with_name(f"{tar.stem}_stats.json").read_text())
        table = pd.read_parquet(tar.with_suffix(".parquet"))
        assert stats["count"] == stats["successes"] == len(table) == len(stems) == len(members) // 4
        assert set(table["key"]) == stems


def test_layers_lie_in_the_shards(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    identifier = world.freeze(range(1, 9), layered={2, 4})
    export_to((world, identifier), tmp_path / "out", "webdataset")
    with tarfile.open(tmp_path / "out" / "trainB" / "00000.tar") as tar:
        names = tar.getnames()
        layered = [name for name in names if name.startswith("flickr_2.")]
        tar.extractall(tmp_path / "untarred", filter="data")
    stored = np.asarray(Image.open(tmp_path / "untarred" / "flickr_2.depth.png"))
    told = json.loads((tmp_path / "untarred" / "flickr_2.json").read_text())
    assert layered == [f"flickr_2.{end}" for end in ("png", "mask.png", "depth.png", "target.png", "txt", "json")]
    assert "flickr_6.depth.png" not in names
    np.testing.assert_array_equal(stored, layered_picture(2).layers["depth"])
    assert told["depth_encoding"] == ENCODING
    assert len(told["depth_sha256"]) == 64


@pytest.mark.slow
def test_hugging_face_streams_the_shards(frozen: tuple[World, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export_to(frozen, tmp_path / "out", "webdataset", per_shard=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datasets import load_dataset

        files = {"trainA": str(tmp_path / "out" / "trainA" / "*.tar"), "trainB": str(tmp_path / "out" / "trainB" / "*.tar")}
        loaded = load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path / "cache"))
    row = loaded["trainB"][3]
    np.testing.assert_array_equal(np.asarray(row["png"]), picture(_number(row["json"]["photo_id"])).rgb)
    np.testing.assert_array_equal(np.asarray(row["mask.png"]), picture(_number(row["json"]["photo_id"])).alpha)


def test_a_photo_is_forgotten_in_its_shard_alone(frozen: tuple[World, str], tmp_path: Path) -> None:
    export_to(frozen, tmp_path / "out", "webdataset", per_shard=5)
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("*/*")}
    files = pd.read_csv(tmp_path / "out" / "attribution.csv").set_index("photo_id")["file"]
    mates = set(files.index[files == files["flickr:2"]]) - {"flickr:2"}
    assert forget_in_export(tmp_path / "out", {"flickr:2", "flickr:99"}) == 3
    tar = tmp_path / "out" / files["flickr:2"]
    changed = {path for path, data in before.items() if path.read_bytes() != data}
    assert changed == {tar, tar.with_suffix(".parquet"), tar.with_name(f"{tar.stem}_stats.json")}
    with tarfile.open(tar) as opened:
        assert {name.partition(".")[0].replace("_", ":") for name in opened.getnames()} == mates
    assert "flickr:2" not in set(pd.read_csv(tmp_path / "out" / "attribution.csv")["photo_id"])
    assert forget_in_export(tmp_path / "out", {"flickr:2"}) == 0


def test_what_is_not_known_is_left_out_of_the_rai_properties() -> None:
    rows = pd.DataFrame({"photo_id": ["folder:ab"], "domain": ["a"], "owner": [None]})
    told = responsible(rows, {"id": "x"})
    assert told["rai:dataCollectionType"] == ["Manual Human Curator"]
    assert told["rai:dataBiases"][0] == "Of no picture the owner is known."
    assert "Not known, and so left open" in told["rai:dataLimitations"][-1]
    unknown = {"dataCollectionMissingData", "machineAnnotationTools", "dataAnnotationAnalysis", "annotatorDemographics"}
    assert not {f"rai:{name}" for name in unknown} & set(told)
    made = {"double_review": {"photos": 20, "agreeing": 18, "kappa": 0.8}, "counts": MADE_FROM["counts"]}
    told = responsible(rows, {"id": "x", "made_from": made})
    assert told["rai:dataAnnotationAnalysis"] == ["Two curators decided 20 photos blind: 18 alike, Cohen's kappa 0.80."]
    assert told["rai:dataCollectionMissingData"] == "Of the photos found for ordinary, 2 no_cv are missing."


def test_a_dataset_about_nobody_is_not_said_to_be_of_portraits(tmp_path: Path) -> None:
    world = World(tmp_path / "home")
    manifest = world.manifest(world.images(range(1, 13)))
    settings = {**MADE_FROM["settings"], "masks": {"segmenter": "none"}}
    made = {**MADE_FROM, "project": "paintings", "settings": settings}
    identifier = freeze(manifest, world.snapshots, world.shards, made).name
    export_to((world, identifier), tmp_path / "out", "hf")
    told = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert told["description"] == f"12 pictures, without subjects, snapshot {identifier} of paintings."
    told = {name: value for name, value in told.items() if name != "rai:dataCollection"}  # tells the queries
    written = [(tmp_path / "out" / name).read_text() for name in ("DATASHEET.md", "README.md")]
    for text in (json.dumps(told), *written):
        assert not re.search(r"[Pp]ortraits |sitters|shallow depth|subject segmented", text)
    assert "nobody was looked for" in written[0]


def test_where_every_licence_is_wanted_the_unknown_ones_are_there(frozen: tuple[World, str]) -> None:
    rows = read_snapshot(frozen[0].snapshots, frozen[1])
    rows["license"] = rows["license"].astype(object).where(rows.index % 2 == 0, None)
    plan = ExportPlan("hf", "ordinary", "shallow", licenses={None, *rows["license"].dropna()})
    chosen, left_out = choose(rows, plan)
    assert (len(chosen), left_out) == (len(rows), {})
    known, left_out = choose(rows, replace(plan, licenses=set(rows["license"].dropna())))
    assert len(known) == rows["license"].notna().sum() < len(rows)
    assert sum(left_out.values()) == rows["license"].isna().sum()

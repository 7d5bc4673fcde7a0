"""Photos of one's own: a folder into the same tables, again, renamed, interrupted, forgotten."""

import io
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.atomic import own_name
from pipeline.commands.collecting import import_photos
from pipeline.commands.review import review_page
from pipeline.config import parse_project
from pipeline.errors import ConfigError
from pipeline.operations.forget import forget
from pipeline.operations.imports import import_folder, summary
from pipeline.operations.photo_tables import all_rows
from pipeline.operations.results import result_paths, write_pair
from pipeline.operations.status import status
from pipeline.operations.status import summary as told
from pipeline.photos import folder as folder_module
from pipeline.photos.inspectors import Inspectors
from storage import Home
from tests.assets.worlds import CollectWorld, collect_world, save_noise

PROJECT = """
[domains.ordinary]
[domains.shallow]
[photos]
min_edge_px = 64
threads = 2
"""
PARSED = parse_project(PROJECT, Path("x.toml"))


def a_folder(root: Path) -> Path:
    """Four good pictures, one small, one with `no_cv`, a broken one, and files of other kinds."""
    folder = root / "mine"
    for number in range(4):
        save_noise(folder / f"sub{number % 2}" / f"{number}.jpg", number)
    save_noise(folder / "small.png", 10, edge_px=32)
    save_noise(folder / "taboo.jpg", 11)
    (folder / "cut.jpg").write_bytes((folder / "sub0" / "0.jpg").read_bytes()[:-200])
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.jpg").write_text("x")
    return folder


def test_imported_photos_go_through_all_stages_without_a_key(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (tmp_path / "photos.csv").write_text(
        "file;owner;owner_name;license;link;title;tags\n"
        "0.jpg;ann;Ann;CC BY 4.0;https://x.org/0;=Zero;a, b c\ntaboo.jpg;;;;;;no_cv\n"
    )
    with collect_world(tmp_path, text=PROJECT) as world:
        world.run(until="photo_files")
        (done,) = import_folder(PARSED, world.home, folder, "ordinary", tmp_path / "photos.csv")
        assert (done.pictures, done.new, len(done.refused)) == (6, 6, 1)
        assert "refused cut.jpg: truncated" in summary([done])
        assert ".txt 1" in summary([done])
        assert "imported 6 more: the next `bokehflow run` takes them in" in told(status(world.project, world.home))
        world.run(until="review_queue")
        assert not world.emulator.calls
        home = world.home
        listing = all_rows(world.project, home, "photo_listing")
        row = listing[listing["owner"] == "ann"].iloc[0]
        shown = row[["owner_name", "license", "page_url", "title", "tags", "month"]].tolist()
        assert shown == ["Ann", "11", "https://x.org/0", "=Zero", "a bc", "imported"]
        counts = status(world.project, home)["domains"]["ordinary"]
        assert counts["listed"] == 6
        assert counts["rejected"] == {"no_cv": 1, "too_small": 1}
        assert counts["queued"] == counts["undecided"] == 4
        assert len(home.tables.read("review_queue")) == 4
        assert len(home.tables.read("photo_history")) == 6
        assert sorted(home.tables.read("review_queue")["title"]) == ["", "", "", "=Zero"]
        page = review_page(world.project, home, "Ann", 0).review.catalog
        page.refresh()
        assert sorted(photo.title for photo in page.photos(range(4))) == ["1.jpg", "2.jpg", "3.jpg", "=Zero"]
        (batch,) = home.review_queue.glob("*.csv")
        assert sorted(pd.read_csv(batch)["title"]) == ["'=Zero", "1.jpg", "2.jpg", "3.jpg"]
        assert status(world.project, home)["imported_since"] == 0
        made = world.made()
        world.run(until="review_queue")
        assert world.made() == made


def test_a_photo_in_two_domains_is_listed_in_each_and_goes(tmp_path: Path) -> None:
    """What a tag forbids in one domain does not come in by the other."""
    folder = a_folder(tmp_path)
    (tmp_path / "a.csv").write_text("file,tags\n0.jpg,no_cv\n")
    with collect_world(tmp_path, text=PROJECT) as world:
        import_folder(PARSED, world.home, folder, "ordinary", tmp_path / "a.csv")
        import_folder(PARSED, world.home, folder, "shallow", None)
        world.run(until="unique_photos")
        rows = world.home.tables.read("imported_photos").groupby("photo_id")
        assert {tuple(group["domain"]) for _, group in rows} == {("ordinary", "shallow")}
        (forbidden,) = [group for _, group in rows if (group["reason"] == "no_cv").any()]
        assert forbidden["reason"].fillna("").tolist() == ["no_cv", ""]
        unique = world.home.tables.read("unique_photos")
        assert set(unique.loc[unique["photo_id"] != forbidden["photo_id"].iloc[0], "rule"]) == {"both_domains"}


def test_again_and_renamed_nothing_changes_and_more_may_be_told(tmp_path: Path) -> None:
    folder, home = a_folder(tmp_path), Home(tmp_path / "home")
    (tmp_path / "one.csv").write_text("file,title,license\n0.jpg,Zero,4\n")
    import_folder(PARSED, home, folder, "ordinary", tmp_path / "one.csv")
    before, version = home.tables.read("imports"), home.tables.info("imports")
    (folder / "sub0" / "0.jpg").rename(folder / "other name.jpg")
    (again,) = import_folder(PARSED, home, folder, "ordinary", None)
    assert again.new == 0
    pd.testing.assert_frame_equal(home.tables.read("imports"), before)
    (tmp_path / "two.csv").write_text("file,title,tags\nother name.jpg,Nought,\n")
    import_folder(PARSED, home, folder, "ordinary", tmp_path / "two.csv")
    row = home.tables.read("imports").dropna(subset="title").iloc[0]
    assert row[["title", "license"]].tolist() == ["Nought", "4"]
    now = home.tables.info("imports")
    assert version is not None
    assert now is not None
    assert version.data_version != now.data_version


def test_an_interrupted_import_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, home = a_folder(tmp_path), Home(tmp_path / "home")
    import_folder(PARSED, Home(tmp_path / "calm"), folder, "ordinary", None)
    monkeypatch.setattr(folder_module, "BATCH", 2)
    checked: list[str] = []
    inspect = Inspectors.inspect

    def dies(self: Inspectors, path: Path, max_pixels: int) -> object:
        checked.append(path.name)
        if len(checked) == 4:
            raise KeyboardInterrupt
        return inspect(self, path, max_pixels)

    monkeypatch.setattr(Inspectors, "inspect", dies)
    with pytest.raises(KeyboardInterrupt):
        import_folder(PARSED, home, folder, "ordinary", None)
    assert 0 < len(home.tables.read("imports")) < 6
    import_folder(PARSED, home, folder, "ordinary", None)
    assert len(checked) == 4 + 7 - 1, "the good picture of the finished batch is not decoded again"
    calm = Home(tmp_path / "calm").tables.read("imports")
    pd.testing.assert_frame_equal(
        home.tables.read("imports").drop(columns="imported_at_s"), calm.drop(columns="imported_at_s")
    )
    assert not list((home.root / "blobs" / "incoming").glob("*"))


def test_what_a_killed_import_left_goes_with_the_next(tmp_path: Path) -> None:
    folder, home = a_folder(tmp_path), Home(tmp_path / "home")
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    left = [
        home.blobs.root / "incoming" / f"{gone.pid}-0a.tmp",
        home.root / "tables" / f".imports.parquet.{gone.pid}-0a.tmp",
    ]
    at_work = home.blobs.root / "incoming" / own_name()
    for path in (*left, at_work):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    import_folder(PARSED, home, folder, "ordinary", None)
    assert at_work.exists()
    assert not any(path.exists() for path in left)


def sides_of(home: Home) -> dict[str, str]:
    """Domain and side of each imported file, by its name."""
    imports = home.tables.read("imports").astype(object)
    return {row["file"]: f"{row['domain']} {row['split']}" for row in imports.to_dict("records")}


def test_the_folders_of_cyclegan_keep_domain_and_side(tmp_path: Path) -> None:
    for side, seed in (("trainA", 1), ("trainB", 2), ("testA", 3), ("testB", 4), ("valA", 5), ("other", 6)):
        save_noise(tmp_path / "set" / side / f"{side}.jpg", seed)
    shutil.copyfile(tmp_path / "set" / "trainA" / "trainA.jpg", tmp_path / "set" / "testA" / "again.jpg")
    home = Home(tmp_path / "home")
    done = import_folder(PARSED, home, tmp_path / "set", None, None)
    assert [(one.domain, one.pictures) for one in done] == [
        ("ordinary", 1), ("shallow", 1), ("ordinary", 2), ("shallow", 1), ("ordinary", 1),
    ]  # fmt: skip
    assert sides_of(home) == {
        "trainA.jpg": "ordinary test", "trainB.jpg": "shallow train", "testA.jpg": "ordinary test",
        "testB.jpg": "shallow test", "valA.jpg": "ordinary test",
    }  # fmt: skip
    said = summary(done)
    assert "1 photo in folders for training and for testing: taken for testing" in said
    assert 'split = "given" under [dataset] goes by it' in said
    assert "folders not looked at: other (1 file)" in said
    given = parse_project(PROJECT + '[dataset]\nsplit = "given"\n', Path("x.toml"))
    assert 'split = "given"' not in summary(import_folder(given, home, tmp_path / "set", None, None))


def test_a_side_that_an_export_left_empty_is_passed_over(tmp_path: Path) -> None:
    for name in ("trainA", "trainB", "testA"):
        save_noise(tmp_path / "set" / name / "1.jpg", len(name) + ord(name[-1]))
    (tmp_path / "set" / "testB").mkdir()
    assert len(import_folder(PARSED, Home(tmp_path / "home"), tmp_path / "set", None, None)) == 3
    (tmp_path / "set" / "trainB" / "1.jpg").unlink()
    with pytest.raises(ConfigError, match="trainB: no pictures found"):
        import_folder(PARSED, Home(tmp_path / "other"), tmp_path / "set", None, None)


def test_a_column_says_side_and_pair(tmp_path: Path) -> None:
    for number in range(5):
        save_noise(tmp_path / "set" / f"{number}.jpg", number)
    told = tmp_path / "told.csv"
    told.write_text("file,Split,pair\n0.jpg,Test,a\n1.jpg,training,b\n2.jpg,val,\n3.jpg,,\n4.jpg,held out,c\n")
    home = Home(tmp_path / "home")
    (done,) = import_folder(PARSED, home, tmp_path / "set", "ordinary", told)
    assert done.problems == [
        "told.csv, row 6: split 'held out': must be train or test (dev, eval, testing, training, val, valid, validation are "
        "understood)"
    ]
    imports = home.tables.read("imports").astype(object).sort_values("file")
    assert imports["split"].where(imports["split"].notna(), None).tolist() == ["test", "train", "test", None]
    assert imports["pair"].where(imports["pair"].notna(), None).tolist() == ["a", "b", None, None]


def test_files_of_one_name_in_a_and_b_are_pairs(tmp_path: Path) -> None:
    for file, seed in (("A/train/1.jpg", 1), ("B/train/1.png", 2), ("A/test/2.jpg", 3), ("B/test/2.jpg", 4), ("A/3.jpg", 5)):
        save_noise(tmp_path / "set" / file, seed)
    home = Home(tmp_path / "home")
    done = import_folder(PARSED, home, tmp_path / "set", None, None)
    assert "2 pairs by name; 1 picture without the other half" in summary(done)
    imports = home.tables.read("imports").set_index("file")
    assert imports.loc["train/1.jpg", "pair"] == imports.loc["train/1.png", "pair"] == imports.loc["train/1.jpg", "photo_id"]
    assert imports["pair"].nunique() == 2
    assert pd.isna(imports.loc["3.jpg", "pair"])
    halves = imports.loc["test/2.jpg"].set_index("domain")
    assert halves["split"].to_dict() == {"ordinary": "test", "shallow": "test"}
    version = home.tables.info("imports")
    import_folder(PARSED, home, tmp_path / "set", None, None)
    again = home.tables.info("imports")
    assert version is not None
    assert again is not None
    assert version.data_version == again.data_version


def joined_picture(path: Path, left: int, right: int, edge_px: int = 96) -> None:
    save_noise(path.with_suffix(".left.png"), left, edge_px)
    save_noise(path.with_suffix(".right.png"), right, edge_px)
    halves = [np.asarray(Image.open(path.with_suffix(f".{side}.png"))) for side in ("left", "right")]
    for side in ("left", "right"):
        path.with_suffix(f".{side}.png").unlink()
    Image.fromarray(np.hstack(halves)).save(path)


def test_a_joined_picture_becomes_a_pair_and_again_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, number in (("train", 1), ("val", 2)):
        (tmp_path / "set" / split).mkdir(parents=True)
        joined_picture(tmp_path / "set" / split / f"{number}.png", number, number + 10)
    save_noise(tmp_path / "set" / "odd.png", 5, edge_px=97)
    home = Home(tmp_path / "home")
    (done,) = import_folder(PARSED, home, tmp_path / "set", None, None, joined="BA")
    assert (done.domain, done.pictures, done.new) == ("shallow and ordinary", 4, 4)
    assert "refused odd.png: not_joined (is 97 px wide, which are no two halves)" in summary([done])
    imports = home.tables.read("imports")
    assert imports["pair"].value_counts().tolist() == [2, 2]
    assert imports.groupby("pair")["split"].unique().map(len).tolist() == [1, 1]
    shallow = imports[(imports["domain"] == "shallow") & (imports["split"] == "train")].iloc[0]
    save_noise(tmp_path / "left.png", 1)
    left = np.asarray(Image.open(tmp_path / "left.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(home.blobs.read(shallow["sha256"])))), left)
    (tmp_path / "set" / "odd.png").unlink()
    monkeypatch.setattr(folder_module, "halves", lambda data, max_pixels: pytest.fail("cut again"))
    (again,) = import_folder(PARSED, home, tmp_path / "set", None, None, joined="BA")
    assert again.new == 0
    pd.testing.assert_frame_equal(home.tables.read("imports"), imports)
    with pytest.raises(ConfigError, match="leave --domain or --joined out"):
        import_folder(PARSED, home, tmp_path / "set", "shallow", None, joined="AB")


def test_domain_of_a_folder_must_be_known(tmp_path: Path) -> None:
    save_noise(tmp_path / "set" / "trainA" / "x.jpg", 1)
    home = Home(tmp_path / "home")
    import_folder(PARSED, home, tmp_path / "set", None, None)
    (both,) = import_folder(PARSED, home, tmp_path / "set" / "trainA", "shallow", None)
    assert "1 photo in another domain too, dropped later as `both_domains`" in summary([both])
    with pytest.raises(ConfigError, match="to which domain do these photos belong"):
        import_folder(PARSED, home, tmp_path / "set" / "trainA", None, None)
    with pytest.raises(ConfigError, match="there is no domain 'odd'"):
        import_folder(PARSED, home, tmp_path / "set", "odd", None)
    (tmp_path / "empty").mkdir()
    for missing in ("nowhere", "empty"):
        with pytest.raises(ConfigError, match=missing):
            import_folder(PARSED, home, tmp_path / missing, "ordinary", None)


def test_the_command_reports_bad_rows_and_pictures_and_keeps_the_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = a_folder(tmp_path)
    config, metadata = tmp_path / "bokehflow.toml", tmp_path / "m.csv"
    config.write_text(PROJECT)
    metadata.write_text("file,date_taken\n0.jpg,3/5/2024\n1.jpg,2024-01-01\n")
    arguments = [str(folder), "--domain", "shallow", "--metadata", str(metadata)]
    with pytest.raises(SystemExit) as stopped:
        import_photos.main([*arguments, "--home", str(tmp_path / "home"), "--config", str(config)], standalone_mode=False)
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    assert "m.csv, row 2: date_taken '3/5/2024': write it like 2024-03-05" in said
    imports = Home(tmp_path / "home").tables.read("imports")
    assert len(imports) == 5
    assert imports["date_taken"].dropna().tolist() == ["2024-01-01 00:00:00"]


def test_a_name_that_is_not_utf8_is_refused_and_the_rest_of_the_batch_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, home = a_folder(tmp_path), tmp_path / "home"
    (tmp_path / "bokehflow.toml").write_text(PROJECT)
    for name in (b"caf\xe9.jpg", b"caf\xe9/deep.jpg", b"notes.caf\xe9"):
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((folder / "small.png").read_bytes() if path.suffix == ".jpg" else b"x")
    arguments = [str(folder), "--domain", "ordinary", "--home", str(home), "--config", str(tmp_path / "bokehflow.toml")]
    with pytest.raises(SystemExit) as stopped:
        import_photos.main(arguments, standalone_mode=False)
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    assert "refused caf\\xe9.jpg: bad_name (its name is not UTF-8, which no table takes; rename it)" in said
    assert "refused caf\\xe9/deep.jpg: bad_name" in said
    assert "other files, not looked at: .caf\\xe9 1" in said
    assert len(Home(home).tables.read("imports")) == 6


def test_pictures_of_phones_that_are_not_read_come_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    for name in ("IMG_0001.JXL", "IMG_0002.jxl", "IMG_0003.DNG", "IMG_0001.MOV"):
        (folder / name).write_bytes(b"some bytes")
    remedy = "pictures in .dng and .jxl are not taken: save them as JPEG"
    with pytest.raises(ConfigError, match=rf"no pictures found .*\.dng 1, \.jxl 2, \.mov 1; {remedy}"):
        folder_module.find_pictures(folder, tmp_path / "home")
    save_noise(folder / "IMG_0004.jpg", 1)
    others = folder_module.find_pictures(folder, tmp_path / "home").others
    assert folder_module.told(others) == f".dng 1, .jxl 2, .mov 1; {remedy}"


@pytest.mark.parametrize(("limit", "reason"), [("max_pixels = 5000", "too_many_pixels"), ("max_bytes = 100", "too_large")])
def test_limits_that_were_lowered_after_an_import_refuse_what_is_beyond_them(
    tmp_path: Path, limit: str, reason: str
) -> None:
    folder = tmp_path / "mine"
    save_noise(folder / "large.jpg", 1)
    with collect_world(tmp_path, text=PROJECT) as world:
        import_folder(PARSED, world.home, folder, "ordinary", None)
        world.run(until="imported_photos")
        world.text = PROJECT + limit + "\n"
        world.run(until="imported_photos")
        assert world.home.tables.read("imported_photos")["reason"].tolist() == [reason]
        (row,) = all_rows(world.project, world.home, "photo_files").to_dict("records")
        assert row["reason"] == reason
        assert pd.isna(row["sha256"])
        assert "allows" in row["detail"]


def pictures_of(world: CollectWorld) -> set[str]:
    return set(world.home.tables.read("unique_photos")["photo_id"])


def test_a_forgotten_import_stays_away_and_lost_bytes_are_named(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    with collect_world(tmp_path, text=PROJECT) as world:
        import_folder(PARSED, world.home, folder, "ordinary", None)
        world.run()
        imports = world.home.tables.read("imports").set_index("file")
        gone, lost = imports.loc["sub0/0.jpg"], imports.loc["sub1/1.jpg"]
        results, white = world.home.results / "0123456789abcdef", np.full((8, 8, 3), 255, np.uint8)
        for photo_id in (gone["photo_id"], lost["photo_id"]):
            write_pair(result_paths(results, photo_id, "me.jpg"), white, white)
        forget(world.home, [gone["photo_id"]], 1)
        assert not world.home.blobs.has(gone["sha256"])
        assert sorted(results.iterdir()) == sorted(result_paths(results, lost["photo_id"], "me.jpg"))
        world.home.blobs.path(lost["sha256"]).unlink()
        world.run()
        assert not {gone["photo_id"], lost["photo_id"]} & pictures_of(world)
        assert world.home.tables.read("imported_photos").set_index("photo_id").loc[lost["photo_id"], "reason"] == "missing"
        (again,) = import_folder(PARSED, world.home, folder, "ordinary", None)
        assert [str(refused) for refused in again.refused if refused.reason == "forgotten"] == [
            "sub0/0.jpg: forgotten (this picture was purged by `bokehflow forget`)"
        ]
        world.run()
        assert lost["photo_id"] in pictures_of(world)
        assert gone["photo_id"] not in pictures_of(world)


GIVEN = """
[domains.ordinary]
[domains.shallow]
[photos]
min_edge_px = 64
threads = 2
[curation]
min_kept_per_domain = 2
[masks]
segmenter = "folder"
folder = "given"
[dataset]
split = "given"
size_px = 64
[training]
automatic = ["tiny"]
[evaluation]
perceptual = false
[recipes.tiny]
model = "cyclegan"
profile = "smoke"
settings = { steps = 2, generator_channels = 4, generator_blocks = 1, discriminator_channels = 8 }
"""


def keep_all(home: Home) -> None:
    """What a curator saves who would keep every photo of the queue."""
    home.reviewed.mkdir(parents=True, exist_ok=True)
    queue = home.tables.read("review_queue").sort_values("photo_id")
    rows = [f"{photo_id},keep,ann\n" for photo_id in queue["photo_id"]]
    (home.reviewed / "ann.csv").write_text("photo_id,decision,curator\n" + "".join(rows))
    an_hour_ago = time.time() - 3600
    os.utime(home.reviewed / "ann.csv", (an_hour_ago, an_hour_ago))


def give_masks(home: Home, folder: Path) -> None:
    folder.mkdir()
    mask = np.zeros((96, 96), np.uint8)
    mask[24:, 30:66] = 255
    for photo_id in home.tables.read("imports")["photo_id"]:
        Image.fromarray(mask).save(folder / f"{photo_id.replace(':', '_')}.png")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_trainers")
def test_the_given_test_side_is_that_of_the_snapshot_and_of_what_judges(tmp_path: Path) -> None:
    for side, seeds in (("trainA", (1, 2, 3)), ("testA", (4, 5)), ("trainB", (6, 7, 8)), ("testB", (9,))):
        for seed in seeds:
            save_noise(tmp_path / "set" / side / f"{seed}.png", seed)
    with collect_world(tmp_path, text=GIVEN) as world:
        import_folder(world.project, world.home, tmp_path / "set", None, None)
        give_masks(world.home, tmp_path / "given")
        world.run(until="review_queue")
        keep_all(world.home)
        world.run(until="comparison")
        home = world.home
        imports = home.tables.read("imports").set_index("photo_id")
        (frozen,) = home.snapshots.iterdir()
        manifest = pd.read_parquet(frozen / "manifest.parquet").set_index("photo_id")
        assert len(manifest) == 9
        assert manifest["split"].to_dict() == imports["split"].to_dict()
        tests = imports.index[(imports["split"] == "test") & (imports["domain"] == "ordinary")]
        scores = home.tables.read_all("evaluation")
        judged = set(scores.loc[scores["photo_id"].str.startswith("folder:"), "photo_id"])
        assert judged == set(tests)
        (report,) = home.reports.glob("*/index.html")
        assert "2 test photos" in report.read_text(encoding="utf-8")


def test_pairs_stay_whole_from_the_folder_to_the_snapshot(tmp_path: Path) -> None:
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "val").mkdir()
    for number in range(5):
        joined_picture(tmp_path / "set" / ("val" if number == 4 else "train") / f"{number}.jpg", number, number)
    with collect_world(tmp_path, text=GIVEN) as world:
        import_folder(world.project, world.home, tmp_path / "set", None, None, joined="AB")
        give_masks(world.home, tmp_path / "given")
        world.run(until="review_queue")
        keep_all(world.home)
        world.run(until="dataset_snapshot")
        (frozen,) = world.home.snapshots.iterdir()
        manifest = pd.read_parquet(frozen / "manifest.parquet")
        assert manifest.groupby("pair")["domain"].apply(sorted).tolist() == [["ordinary", "shallow"]] * 5
        assert manifest.groupby("pair")["split_key"].nunique().tolist() == [1] * 5
        assert manifest.groupby("pair")["split"].first().tolist().count("test") == 1
        # A pair that is told anew makes a new snapshot.
        imports = world.home.tables.read("imports")
        world.home.tables.write("imports", imports.assign(pair="set " + imports["pair"]))
        world.run(until="dataset_snapshot")
        assert len(list(world.home.snapshots.iterdir())) == 2

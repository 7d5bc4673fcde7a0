"""A snapshot comes back in an empty home from its manifest and masks, and what cannot come back is named."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

from pipeline.dataset.forget import forget_in_bundle, forget_in_snapshots, is_bundle
from pipeline.dataset.layout import ATTRIBUTION, CANONICAL, FACTS, MANIFEST, PICTURES, SUMS, read_sums
from pipeline.dataset.restore import Kept, Photos, Restored, export_bundle, restore_snapshot, without_missing
from pipeline.dataset.shards import Shard
from pipeline.dataset.snapshot import freeze, read_snapshot, refresh_origin
from pipeline.dataset.verify import verify_snapshot
from pipeline.errors import DatasetError, UnsafeName
from tests.pipeline.dataset.frozen_world import World

NUMBERS = range(1, 13)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    world = World(tmp_path_factory.mktemp("frozen"))
    identifier = world.freeze(NUMBERS)
    for number in NUMBERS:
        path = world.root / "masks" / "selfie" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"mask {number}".encode())
    return world, identifier


@pytest.fixture
def origin(frozen: tuple[World, str], tmp_path: Path) -> tuple[World, str]:
    return World(shutil.copytree(frozen[0].root, tmp_path / "origin")), frozen[1]


@pytest.fixture
def bundle(origin: tuple[World, str], tmp_path: Path) -> Path:
    world, identifier = origin
    assert export_bundle(world.snapshots, identifier, {"mask": world.root / "masks"}, tmp_path / "bundle") == len(NUMBERS)
    return tmp_path / "bundle"


class Elsewhere:
    """Another home: which photos it has, which can be fetched, and what comes out when they are prepared."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.photos: set[str] = set()
        self.served = {f"{number:064x}" for number in NUMBERS}
        self.asked: list[str] = []
        self.alphas: dict[int, int] = {}
        self.forgotten: set[str] = set()

    def fetch(self, rows: pd.DataFrame) -> Mapping[str, str | None]:
        self.asked += rows["photo_id"].tolist()
        assert rows["image_url"].str.startswith("https://live.staticflickr.com/").all()
        self.photos |= set(rows["source_sha256"]) & self.served
        digests = zip(rows["photo_id"], rows["source_sha256"], strict=True)
        return {photo_id: None if digest in self.served else "unavailable" for photo_id, digest in digests}

    def prepare(self, masks: pd.DataFrame) -> pd.DataFrame:
        for path in masks["mask"]:
            assert (self.world.root / "masks" / path).read_bytes().startswith(b"mask ")
        return self.world.images([int(photo_id.split(":")[1]) for photo_id in masks["photo_id"]], 5, self.alphas)

    def restore(self, source: Path, prepare: Callable[[pd.DataFrame], pd.DataFrame] | None = None) -> Restored:
        has = self.photos.__contains__
        masks = self.world.root / "masks"
        where = (self.world.snapshots, self.world.shards, {"mask": Kept(masks, mask_digest)})
        return restore_snapshot(source, *where, Photos(has, self.fetch, lambda: self.forgotten), prepare or self.prepare)


def mask_digest(path: Path) -> str:
    """As the small world names its masks."""
    return f"{int(path.read_text().removeprefix('mask ')):064d}"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path / "elsewhere")


def test_a_bundle_holds_masks_and_no_picture_and_is_never_overwritten(origin: tuple[World, str], bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == {
        CANONICAL, MANIFEST, ATTRIBUTION, FACTS, SUMS, "pictures.parquet", "masks"
    }  # fmt: skip
    assert (bundle / "masks" / "selfie" / "7.png").read_bytes() == b"mask 7"
    with pytest.raises(DatasetError, match="exists already"):
        export_bundle(origin[0].snapshots, origin[1], {"mask": origin[0].root / "masks"}, bundle)
    shutil.rmtree(origin[0].root / "masks")
    with pytest.raises(DatasetError, match="12 masks of the snapshot are missing"):
        export_bundle(origin[0].snapshots, origin[1], {"mask": origin[0].root / "masks"}, bundle.with_name("other"))


def test_in_an_empty_home_it_is_the_same_snapshot(origin: tuple[World, str], bundle: Path, elsewhere: Elsewhere) -> None:
    done = elsewhere.restore(bundle)
    assert done.whole
    assert (done.pictures, done.already_there, done.fetched, done.made) == (12, 0, 12, 12)
    world, identifier = elsewhere.world, origin[1]
    for name in (CANONICAL, MANIFEST, ATTRIBUTION, FACTS):
        assert (world.snapshots / identifier / name).read_bytes() == (origin[0].snapshots / identifier / name).read_bytes()
    assert verify_snapshot(world.snapshots, identifier, world.shards).sound
    again = elsewhere.restore(bundle)
    assert (again.already_there, again.fetched, again.made) == (12, 0, 0)


def test_what_flickr_no_longer_has_is_named_and_the_rest_can_be_frozen(
    origin: tuple[World, str], bundle: Path, elsewhere: Elsewhere
) -> None:
    elsewhere.served -= {f"{3:064x}", f"{8:064x}"}
    done = elsewhere.restore(bundle)
    assert not done.whole
    assert done.missing == {"flickr:3": "unavailable", "flickr:8": "unavailable"}
    assert not elsewhere.world.snapshots.exists() or not list(elsewhere.world.snapshots.iterdir())
    rest = freeze(without_missing(bundle, elsewhere.world.shards), elsewhere.world.snapshots, elsewhere.world.shards)
    assert rest.name != origin[1]
    assert set(read_snapshot(elsewhere.world.snapshots, rest.name)["photo_id"]) == {
        f"flickr:{n}" for n in NUMBERS if n not in (3, 8)
    }
    elsewhere.served.add(f"{3:064x}")
    elsewhere.served.add(f"{8:064x}")
    elsewhere.asked.clear()
    assert elsewhere.restore(bundle).whole
    assert sorted(elsewhere.asked) == ["flickr:3", "flickr:8"]


@pytest.mark.parametrize("when", ["before", "between", "meanwhile"])
def test_who_was_forgotten_here_does_not_come_back(
    origin: tuple[World, str], bundle: Path, elsewhere: Elsewhere, when: str
) -> None:
    def prepare(masks: pd.DataFrame) -> pd.DataFrame:
        elsewhere.forgotten |= {"flickr:3"} if when == "meanwhile" else set()
        return elsewhere.prepare(masks)

    if when == "between":  # another photo shares its bytes and its pixels, so these stay
        assert elsewhere.restore(bundle).whole
        shutil.rmtree(elsewhere.world.snapshots)
    elsewhere.photos |= elsewhere.served
    elsewhere.forgotten = set() if when == "meanwhile" else {"flickr:3"}
    done = elsewhere.restore(bundle, prepare)
    assert (done.whole, done.missing) == (False, {"flickr:3": "it was forgotten here"})
    assert not elsewhere.world.snapshots.exists() or not list(elsewhere.world.snapshots.iterdir())
    rest = without_missing(bundle, elsewhere.world.shards, elsewhere.forgotten)
    assert set(rest["photo_id"]) == {f"flickr:{n}" for n in NUMBERS if n != 3}


def test_another_file_under_the_same_address_is_not_taken(bundle: Path, elsewhere: Elsewhere) -> None:
    def other(rows: pd.DataFrame) -> Mapping[str, str | None]:
        return dict.fromkeys(rows["photo_id"], None)

    elsewhere.fetch = other  # pyright: ignore[reportAttributeAccessIssue]
    done = elsewhere.restore(bundle)
    assert len(done.missing) == 12
    assert set(done.missing.values()) == {"the file that is served now is another than the frozen one"}


def test_pictures_that_come_out_otherwise_are_named(bundle: Path, elsewhere: Elsewhere) -> None:
    elsewhere.alphas = {5: 99}
    done = elsewhere.restore(bundle)
    assert done.differing == {
        "flickr:5": "other alpha than the frozen ones: made with other libraries or on another processor"
    }
    assert not done.whole


def test_a_lost_shard_of_the_home_itself_is_made_anew(origin: tuple[World, str], tmp_path: Path) -> None:
    world, identifier = origin
    sorted(world.shards.iterdir())[0].unlink()
    here = Elsewhere(world.root)
    here.photos = {f"{number:064x}" for number in NUMBERS}
    done = here.restore(world.snapshots / identifier)
    assert done.whole
    assert (done.already_there, done.made, here.asked) == (8, 4, [])
    assert verify_snapshot(world.snapshots, identifier, world.shards).sound


def test_a_forgotten_photo_does_not_come_back(origin: tuple[World, str], tmp_path: Path, elsewhere: Elsewhere) -> None:
    world, identifier = origin
    forget_in_snapshots(world.snapshots, world.shards, {"flickr:4"}, 5)
    export_bundle(world.snapshots, identifier, {"mask": world.root / "masks"}, tmp_path / "later")
    assert not (tmp_path / "later" / "masks" / "selfie" / "4.png").exists()
    done = elsewhere.restore(tmp_path / "later")
    assert done.whole
    assert "flickr:4" not in elsewhere.asked
    found = verify_snapshot(elsewhere.world.snapshots, identifier, elsewhere.world.shards)
    assert found.sound
    assert found.forgotten == {"flickr:4": 5}


def test_an_edited_bundle_is_refused(bundle: Path, elsewhere: Elsewhere) -> None:
    manifest = pd.read_parquet(bundle / MANIFEST)
    manifest.loc[0, "split"] = "test" if manifest.loc[0, "split"] == "train" else "train"
    (bundle / MANIFEST).chmod(0o644)
    manifest.to_parquet(bundle / MANIFEST)
    with pytest.raises(DatasetError, match="was changed after it was frozen"):
        elsewhere.restore(bundle)
    with pytest.raises(DatasetError, match="holds no snapshot"):
        elsewhere.restore(bundle.parent)


def rewrite(bundle: Path, column: str, value: str) -> None:
    """What a stranger may write into a bundle: the first photo's row of what no digest covers."""
    pictures = pd.read_parquet(bundle / PICTURES)
    pictures.loc[0, column] = value
    (bundle / PICTURES).chmod(0o644)
    pictures.to_parquet(bundle / PICTURES)


@pytest.mark.parametrize("path", ["../bokehflow.toml", "selfie/../../bokehflow.toml", "ABSOLUTE", "", ".", "a\0b"])
def test_a_bundle_writes_nothing_outside_the_masks(bundle: Path, elsewhere: Elsewhere, path: str) -> None:
    target = elsewhere.world.root / "bokehflow.toml"
    rewrite(bundle, "mask", str(target) if path == "ABSOLUTE" else path)
    (bundle / "bokehflow.toml").write_text("mask 1")
    with pytest.raises(DatasetError, match=r"not used, (it would .* is not below .*masks|its mask )"):
        elsewhere.restore(bundle)
    assert not elsewhere.world.root.exists()


def test_a_link_in_the_masks_leads_nowhere_else(bundle: Path, elsewhere: Elsewhere, tmp_path: Path) -> None:
    (elsewhere.world.root / "masks").mkdir(parents=True)
    (elsewhere.world.root / "masks" / "selfie").symlink_to(tmp_path, target_is_directory=True)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError, match="outside its folders"):
        elsewhere.restore(bundle)
    assert sorted(tmp_path.iterdir()) == before


def test_a_bundle_brings_no_file_of_this_machine_by_a_link(bundle: Path, elsewhere: Elsewhere, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mask 1")
    (bundle / "masks" / "selfie" / "1.png").chmod(0o644)
    (bundle / "masks" / "selfie" / "1.png").unlink()
    (bundle / "masks" / "selfie" / "1.png").symlink_to(secret)
    done = elsewhere.restore(bundle)
    assert list(done.missing) == ["flickr:1"]
    assert "is not below" in done.missing["flickr:1"]
    (bundle / ATTRIBUTION).unlink()
    (bundle / ATTRIBUTION).symlink_to(secret)
    with pytest.raises(DatasetError, match="outside its folders"):
        elsewhere.restore(bundle)


def test_a_mask_that_is_not_the_frozen_one_is_not_taken(bundle: Path, elsewhere: Elsewhere) -> None:
    (bundle / "masks" / "selfie" / "5.png").chmod(0o644)
    (bundle / "masks" / "selfie" / "5.png").write_text("mask 6")
    done = elsewhere.restore(bundle)
    assert done.missing == {"flickr:5": "the bundle's mask selfie/5.png is not the frozen one"}
    assert not (elsewhere.world.root / "masks" / "selfie" / "5.png").exists()


def test_a_side_of_the_split_that_would_name_a_folder_is_refused(tmp_path: Path, elsewhere: Elsewhere) -> None:
    world = World(tmp_path / "origin")
    manifest = world.manifest(world.images(NUMBERS))
    manifest["split"] = "../../train"
    frozen = freeze(manifest, world.snapshots, world.shards)
    with pytest.raises(DatasetError, match=r"its split '\.\./\.\./train' is none"):
        elsewhere.restore(frozen)


def test_no_title_makes_a_snapshot_that_cannot_be_restored(tmp_path: Path, elsewhere: Elsewhere) -> None:
    world = World(tmp_path / "origin")
    manifest = world.manifest(world.images(NUMBERS))
    manifest["title"] = "\x1b[31m\x07red\x00"
    frozen = freeze(manifest, world.snapshots, world.shards)
    assert set(read_snapshot(world.snapshots, frozen.name)["title"]) == {"[31mred"}
    assert not refresh_origin(frozen, manifest, world.shards)
    assert elsewhere.restore(frozen).pictures == len(NUMBERS)


def test_a_snapshot_that_names_files_outside_the_masks_is_not_bundled(origin: tuple[World, str], tmp_path: Path) -> None:
    world, identifier = origin
    rewrite(world.snapshots / identifier, "mask", "../secret")
    (world.root / "secret").write_text("secret")
    with pytest.raises(DatasetError, match="outside its folders"):
        export_bundle(world.snapshots, identifier, {"mask": world.root / "masks"}, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_where_the_home_has_another_mask_under_the_same_path_the_bundles_counts(bundle: Path, elsewhere: Elsewhere) -> None:
    own = elsewhere.world.root / "masks" / "selfie" / "5.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mask 777")
    elsewhere.photos = {f"{number:064x}" for number in NUMBERS}
    made = dict[str, bytes]()

    def prepare(masks: pd.DataFrame) -> pd.DataFrame:
        made.update({one: (elsewhere.world.root / "masks" / path).read_bytes()
                     for one, path in zip(masks["photo_id"], masks["mask"], strict=True)})  # fmt: skip
        return elsewhere.prepare(masks)

    assert elsewhere.restore(bundle, prepare).whole
    assert (made["flickr:5"], made["flickr:6"]) == (b"mask 5", b"mask 6")
    assert own.read_bytes() == b"mask 777"


def test_a_damaged_picture_is_made_anew_and_its_neighbours_stay(origin: tuple[World, str], elsewhere: Elsewhere) -> None:
    world, identifier = origin
    elsewhere.world, elsewhere.photos = world, {f"{number:064x}" for number in NUMBERS}
    place = read_snapshot(world.snapshots, identifier).set_index("photo_id").loc["flickr:7"]
    path = world.shards / str(place["shard"])
    shown = Shard(path).rgb[int(place["row"])].tobytes()
    data = bytearray(path.read_bytes())
    data[data.index(shown) + 99] ^= 8
    path.chmod(0o644)
    path.write_bytes(data)
    done = elsewhere.restore(world.snapshots / identifier)
    assert (done.whole, done.made, done.already_there) == (True, 1, len(NUMBERS) - 1)
    assert verify_snapshot(world.snapshots, identifier, world.shards).sound


@pytest.mark.parametrize("dies", [False, True])
def test_a_bundle_forgets_owner_title_and_mask_and_can_still_be_restored(
    bundle: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    owner = pd.read_parquet(bundle / MANIFEST).set_index("photo_id").loc["flickr:3"]
    assert is_bundle(bundle)
    assert forget_in_bundle(bundle, {"flickr:99"}, 5) == 0
    if dies:
        with monkeypatch.context() as patch:
            patch.setattr("pipeline.dataset.forget.refresh_sums", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                forget_in_bundle(bundle, {"flickr:3"}, 5)
    assert forget_in_bundle(bundle, {"flickr:3"}, 5) == 5
    assert forget_in_bundle(bundle, {"flickr:3", "flickr:99"}, 6) == 0
    texts = [path.read_bytes() for path in bundle.iterdir() if path.is_file()]
    assert not any(str(owner["page_url"]).encode() in text for text in texts)
    assert sorted(path.stem for path in (bundle / "masks" / "selfie").iterdir()) == sorted(str(n) for n in NUMBERS if n != 3)
    assert all((bundle / name).exists() for name in read_sums(bundle))
    done = elsewhere.restore(bundle)
    assert (done.whole, done.pictures) == (True, 11)


def test_a_bundle_whose_masks_are_a_link_has_nothing_deleted_elsewhere(bundle: Path, tmp_path: Path) -> None:
    mine = bundle / "masks"
    mine.rename(tmp_path / "mine")
    mine.symlink_to(tmp_path / "mine")
    before = {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    with pytest.raises(UnsafeName, match="a link leads out of it"):
        forget_in_bundle(bundle, {"flickr:3"}, 5)
    assert (tmp_path / "mine" / "selfie" / "3.png").exists()
    assert {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()} == before


def spoil(file: Path) -> bytes:
    """Add a line that means nothing; returns what was there."""
    before = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(before + b"\n")
    return before


def test_files_of_the_folder_are_put_back_where_their_bytes_are_known(
    origin: tuple[World, str], bundle: Path, elsewhere: Elsewhere
) -> None:
    assert elsewhere.restore(bundle).whole
    world, identifier = elsewhere.world, origin[1]
    folder = world.snapshots / identifier
    before = {name: spoil(folder / name) for name in (ATTRIBUTION, FACTS)}
    done = elsewhere.restore(folder)
    assert (done.whole, done.damaged, done.missing) == (False, [FACTS], {})
    assert (folder / ATTRIBUTION).read_bytes() == before[ATTRIBUTION]  # the manifest says it as well
    assert [finding.file for finding in verify_snapshot(world.snapshots, identifier, world.shards).findings] == [FACTS]
    assert elsewhere.restore(bundle).whole
    assert (folder / FACTS).read_bytes() == before[FACTS]
    assert verify_snapshot(world.snapshots, identifier, world.shards).sound


def test_a_damaged_file_of_a_bundle_does_not_become_the_snapshots(bundle: Path, elsewhere: Elsewhere) -> None:
    before = spoil(bundle / ATTRIBUTION)
    with pytest.raises(DatasetError, match=r"not restored, attribution\.csv is not what SHA256SUMS there says"):
        elsewhere.restore(bundle)
    (bundle / ATTRIBUTION).write_bytes(before)
    assert elsewhere.restore(bundle).whole


def test_of_nothing_no_snapshot_is_frozen(bundle: Path, elsewhere: Elsewhere) -> None:
    elsewhere.served = set()
    assert not elsewhere.restore(bundle).whole
    with pytest.raises(DatasetError, match="none of its pictures could be restored"):
        without_missing(bundle, elsewhere.world.shards)

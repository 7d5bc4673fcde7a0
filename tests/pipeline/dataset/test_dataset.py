"""Shards, preparation, split, manifest and snapshot."""

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import DatasetSection
from pipeline.dataset.crop import Crop
from pipeline.dataset.diff import diff_snapshots
from pipeline.dataset.forget import forget_in_snapshots
from pipeline.dataset.manifest import (
    IDENTITY,
    ORIGIN,
    broken_pairs,
    build_manifest,
    by_time,
    canonical,
    counts,
    origin_version,
    overruled,
    problems,
    snapshot_id,
    split_of,
    split_score,
    with_pairs,
)
from pipeline.dataset.prepare import Readers, ShardFolder, prepare_images, shard_index
from pipeline.dataset.shards import Shard, ShardPicture, ShardReader, write_shard
from pipeline.dataset.snapshot import attribution, freeze, list_snapshots, read_manifest, read_snapshot, refresh_origin
from pipeline.dataset.verify import verify_snapshot
from pipeline.errors import DatasetError
from pipeline.tables import conform
from storage.tables import data_version
from tests.pipeline.dataset.frozen_world import World

SIZE_PX = 32
TRANSFORM = Crop("centre", SIZE_PX)


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo at its full size."""

    rgb: np.ndarray

    @property
    def extent(self) -> tuple[float, float]:
        return self.rgb.shape[1], self.rgb.shape[0]


def noise(seed: int, height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def picture(seed: int) -> ShardPicture:
    rgb = noise(seed, SIZE_PX, SIZE_PX)
    return ShardPicture(f"key{seed}", rgb, rgb[..., 0])


def masks_table(numbers: range) -> pd.DataFrame:
    rows = [
        {"photo_id": f"flickr:{n}", "domain": "ordinary" if n % 2 else "shallow", "sha256": f"s{n}",
         "split_key": f"flickr:{n}", "mask": f"m{n}", "mask_sha256": f"ms{n}", "coverage": 0.3, "reason": None}
        for n in numbers
    ]  # fmt: skip
    return conform("person_masks", pd.DataFrame(rows))


def prepared(folder: Path, numbers: range, shard_rows: int = 3) -> pd.DataFrame:
    table = prepare_images(
        masks_table(numbers),
        Readers(lambda digest, short_edge_px: Photo(noise(int(digest[1:]))), lambda mask: noise(int(mask[1:]))[..., 0]),
        ShardFolder(folder, shard_rows),
        TRANSFORM,
    )
    return conform("training_images", table)


def listing(numbers: range) -> pd.DataFrame:
    rows = [
        {
            "photo_id": f"flickr:{n}",
            "owner": f"o{n}",
            "owner_name": "Ann",
            "title": f"t{n}",
            "license": "4",
            "page_url": "https://x",
            "image_url": f"https://x/{n}.jpg",
            "fetched_at_s": 1_700_000_000,
        }
        for n in numbers
    ]
    return pd.DataFrame(rows)


def curated(numbers: range) -> pd.DataFrame:
    return pd.DataFrame(
        [{"photo_id": f"flickr:{n}", "curator": "Bo", "file": "reviewed.csv", "row": n + 2} for n in numbers]
    )


def manifest_of(images: pd.DataFrame, numbers: range, **settings: object) -> pd.DataFrame:
    section = DatasetSection.model_validate({"test_share": {"ordinary": 0.3, "shallow": 0.0}, **settings})
    return conform(
        "dataset_manifest",
        build_manifest(images, listing(numbers), curated(numbers), masks_table(numbers), section, "ordinary"),
    )


def test_shards_give_back_what_was_written_at_any_position(tmp_path: Path) -> None:
    names = [write_shard(tmp_path, [picture(seed) for seed in seeds]) for seeds in ((0, 1, 2), (3, 4))]
    reader = ShardReader([tmp_path / names[1], tmp_path / names[0], tmp_path / names[1]], [1, 2, 0])
    rgb, alpha = reader.batch(np.array([2, 0, 1]))
    for position, seed in enumerate((3, 4, 2)):
        np.testing.assert_array_equal(rgb[position], picture(seed).rgb)
        np.testing.assert_array_equal(alpha[position], picture(seed).alpha)


def test_a_shard_is_immutable_and_named_by_its_content(tmp_path: Path) -> None:
    first = write_shard(tmp_path, [picture(0), picture(1)])
    assert write_shard(tmp_path, [picture(0), picture(1)]) == first
    assert write_shard(tmp_path, [picture(1), picture(0)]) != first
    assert stat.S_IMODE((tmp_path / first).stat().st_mode) == 0o444
    with pytest.raises(ValueError, match="read-only"):
        Shard(tmp_path / first).rgb[0, 0, 0] = 1


def test_a_missing_or_broken_shard_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the shard is missing"):
        Shard(tmp_path / "none.arrow")
    (tmp_path / "bad.arrow").write_bytes(b"not arrow at all")
    with pytest.raises(DatasetError, match="not a readable shard"):
        Shard(tmp_path / "bad.arrow")


def test_preparing_again_decodes_nothing_and_growth_only_the_new(tmp_path: Path) -> None:
    first = prepared(tmp_path, range(7))
    files = {path.name for path in tmp_path.iterdir()}

    def never(*_: object) -> Any:  # noqa: ANN401  (stands for both readers)
        raise AssertionError("decoded again")

    again = conform(
        "training_images", prepare_images(masks_table(range(7)), Readers(never, never), ShardFolder(tmp_path, 3), TRANSFORM)
    )
    pd.testing.assert_frame_equal(first, again)
    grown = prepared(tmp_path, range(8))
    assert files < {path.name for path in tmp_path.iterdir()}
    assert len(shard_index(tmp_path)) == len(grown) == 8


def test_packing_does_not_change_pixels_or_snapshot(tmp_path: Path) -> None:
    one, many = prepared(tmp_path / "a", range(9), 9), prepared(tmp_path / "b", range(9), 2)
    assert one["shard"].nunique() == 1
    assert many["shard"].nunique() == 5
    assert snapshot_id(manifest_of(one, range(9))) == snapshot_id(manifest_of(many, range(9)))


def test_a_mask_of_other_proportions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"m1: the mask of flickr:1 is 20×20 px, the photo 50×40"):
        prepare_images(
            masks_table(range(1, 2)),
            Readers(lambda *_: Photo(noise(1)), lambda _: np.zeros((20, 20), np.uint8)),
            ShardFolder(tmp_path, 3),
            TRANSFORM,
        )


@given(st.permutations(range(8)))
def test_the_snapshot_id_does_not_depend_on_order(order: list[int]) -> None:
    rows = pd.DataFrame(
        {"photo_id": [f"p{n}" for n in range(8)], "domain": "ordinary", "pixels_sha256": [f"x{n}" for n in range(8)],
         "alpha_sha256": "a", "split": "train", "transform": "t"}
    )  # fmt: skip
    assert snapshot_id(rows.iloc[order]) == snapshot_id(rows)
    assert snapshot_id(rows.assign(split="test")) != snapshot_id(rows)


def test_the_split_follows_the_key_and_grows_without_moving_anyone() -> None:
    section = DatasetSection(test_share={"ordinary": 0.2, "shallow": 0.0})
    rows = pd.DataFrame({"domain": "ordinary", "split_key": [f"flickr:{n}" for n in range(2000)]})
    split = split_of(rows, section, "ordinary")
    assert 0.17 < (split == "test").mean() < 0.23
    assert split_of(rows.head(500), section, "ordinary").equals(split.head(500))
    assert (split_of(rows.assign(domain="shallow"), section, "ordinary") == "train").all()


def test_the_studys_split_takes_the_hundred_lowest_of_domain_a() -> None:
    rows = pd.DataFrame({"domain": ["ordinary"] * 300 + ["shallow"] * 300, "split_key": [f"flickr:{n}" for n in range(600)]})
    split = split_of(rows, DatasetSection(split="study"), "ordinary")
    assert (split == "test").sum() == 100
    scores = rows["split_key"].map(split_score)
    assert scores[split == "test"].max() <= scores[(split == "train") & (rows["domain"] == "ordinary")].min()


@pytest.mark.parametrize(
    ("settings", "sides", "said"),
    [
        ({}, {"train"}, "no test picture in ordinary: its test_share is 0.05 and there are 6 photos, near-duplicates "
         "counted once; raise ordinary in `test_share` under [dataset], or keep more"),
        ({"test_share": {"sharp": 0.5}}, {"train"}, "its test_share is 0 and there are 6 photos"),
        ({"test_share": {"ordinary": 1.0}}, {"test"}, "lower ordinary in `test_share` under [dataset]"),
        ({"split": "study"}, {"test"}, 'no train picture in ordinary: split = "study" takes 100 for testing and there are 6 '
         'photos, near-duplicates counted once; keep more, or set split = "share" under [dataset]'),
    ],
)  # fmt: skip
def test_a_side_without_pictures_is_named_with_its_remedy(
    tmp_path: Path, settings: dict[str, object], sides: set[str], said: str
) -> None:
    manifest = manifest_of(prepared(tmp_path, range(12)), range(12))
    manifest.loc[manifest["domain"] == "ordinary", "split"] = next(iter(sides))
    section = DatasetSection.model_validate(settings)
    (message,) = problems(manifest, masks_table(range(12)), section, "ordinary", "shallow")
    assert said in message


def test_the_shipped_split_is_met_by_the_hundred_and_first_photo(tmp_path: Path) -> None:
    section = DatasetSection(split="study")
    for count, side in ((100, {"test"}), (101, {"train", "test"})):
        rows = pd.DataFrame({"domain": "ordinary", "split_key": [f"flickr:{n}" for n in range(count)]})
        assert set(split_of(rows, section, "ordinary")) == side


def test_near_duplicates_on_both_sides_are_named(tmp_path: Path) -> None:
    manifest = manifest_of(prepared(tmp_path, range(12)), range(12)).assign(split_key="flickr:1")
    manifest.loc[0, "split"] = "test"
    found = problems(manifest, masks_table(range(12)), DatasetSection(), "ordinary", "shallow")
    assert found == ["near-duplicates of flickr:1 are on both sides of the split"]


def test_a_domain_without_pictures_says_why(tmp_path: Path) -> None:
    table, numbers = prepared(tmp_path, range(12)), range(12)
    manifest = manifest_of(table[table["domain"] == "ordinary"], numbers)
    manifest.loc[0, "split"] = "test"
    lost = masks_table(numbers).assign(mask=None, reason="mask_missing", detail="there is no flickr_0.png")
    assert problems(manifest, lost, DatasetSection(), "ordinary", "shallow") == [
        "no picture in shallow: of 6 kept photos none has a mask (6 mask_missing; flickr:0: there is no flickr_0.png); "
        "what makes masks stands under [masks]"
    ]
    (small,) = problems(manifest, masks_table(numbers), DatasetSection(crop="tiles"), "ordinary", "shallow")
    assert "6 of its 6 photos are smaller than a tile; lower `tile_px` under [dataset]" in small
    (unkept,) = problems(manifest, lost[lost["domain"] == "ordinary"], DatasetSection(), "ordinary", "shallow")
    assert unkept == "no picture in shallow: no photo of it is kept; decide some of its photos"
    nothing = problems(manifest.head(0), lost, DatasetSection(), "ordinary", "shallow")
    assert [message.split(":")[0] for message in nothing] == ["no picture in ordinary", "no picture in shallow"]


def test_a_snapshot_is_frozen_once_and_read_only(tmp_path: Path) -> None:
    manifest = manifest_of(prepared(tmp_path / "shards", range(12)), range(12))
    folder = freeze(manifest, tmp_path / "snapshots", tmp_path / "shards")
    assert folder.name == snapshot_id(manifest)
    assert freeze(manifest, tmp_path / "snapshots", tmp_path / "shards") == folder
    assert list_snapshots(tmp_path / "snapshots") == [folder.name]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    pd.testing.assert_frame_equal(read_snapshot(tmp_path / "snapshots", folder.name), manifest)
    shown = pd.read_csv(folder / "attribution.csv")
    assert set(shown["license_name"]) == {"CC BY 2.0"}
    assert attribution(manifest)["owner_name"].eq("Ann").all()
    assert sum(sum(splits.values()) for splits in counts(manifest).values()) == 12


def test_what_is_learnt_later_of_owners_reaches_the_snapshot_and_leaves_its_id(tmp_path: Path) -> None:
    world = World(tmp_path)
    manifest = world.manifest(world.images(range(1, 13)))
    folder = freeze(manifest, world.snapshots, world.shards)
    assert not refresh_origin(folder, manifest, world.shards)
    forget_in_snapshots(world.snapshots, world.shards, {"flickr:7"}, 5)
    learnt = manifest.assign(owner_name="Zoe", title=None)
    assert refresh_origin(folder, learnt, world.shards)
    assert not refresh_origin(folder, learnt, world.shards)
    frozen = read_manifest(world.snapshots, folder.name).set_index("photo_id")
    assert frozen.loc["flickr:7", ORIGIN].isna().all()
    others = frozen.drop(index="flickr:7")
    assert others["owner_name"].eq("Zoe").all()
    assert others["title"].notna().all(), "what is unknown now was known before"
    shown = pd.read_csv(folder / "attribution.csv")
    assert set(shown["owner_name"]) == {"Zoe"}
    assert len(shown) == 11
    found = verify_snapshot(world.snapshots, folder.name, world.shards)
    assert found.sound, found.findings


def test_a_snapshot_that_was_edited_or_is_unknown_is_refused(tmp_path: Path) -> None:
    manifest = manifest_of(prepared(tmp_path / "shards", range(12)), range(12))
    folder = freeze(manifest, tmp_path / "snapshots", tmp_path / "shards")
    with pytest.raises(DatasetError, match=f"no snapshot 0000; known here: {folder.name}"):
        read_snapshot(tmp_path / "snapshots", "0000")
    edited = folder / "manifest.parquet"
    edited.chmod(0o644)
    manifest.assign(alpha_sha256="changed").to_parquet(edited)
    with pytest.raises(DatasetError, match="was changed after it was frozen"):
        read_snapshot(tmp_path / "snapshots", folder.name)


def rows_of(*rows: tuple[str, str, str | None, str | None]) -> pd.DataFrame:
    """Domain, split key, pair and given side of each."""
    return pd.DataFrame(rows, columns=["domain", "split_key", "pair", "given_split"]).assign(
        photo_id=[f"flickr:{n}" for n in range(len(rows))]
    )


def test_the_given_split_is_theirs_but_for_near_duplicates() -> None:
    rows = rows_of(
        ("ordinary", "a", None, "test"), ("ordinary", "b", None, "train"), ("ordinary", "c", None, None),
        ("shallow", "d", None, "test"), ("ordinary", "e", None, "test"), ("ordinary", "e", None, "train"),
        ("ordinary", "f", "1", "test"), ("shallow", "g", "1", "test"), ("ordinary", "h", "2", "test"),
        ("shallow", "i", "2", "train"), ("ordinary", "j", None, "test"), ("shallow", "j", None, "test"),
    )  # fmt: skip
    section = DatasetSection(split="given")
    rows["split"] = split_of(rows, section, "ordinary")
    assert "".join(side[1] for side in rows["split"]) == "errerreerree"
    assert overruled(rows) == ["flickr:4", "flickr:8"]


def test_the_halves_of_a_pair_have_one_key_and_one_side() -> None:
    halves = [(domain, f"flickr:{n}{domain}", str(n), None) for n in range(500) for domain in ("ordinary", "shallow")]
    rows = rows_of(*halves, ("ordinary", "flickr:0shallow", None, None))
    keys = with_pairs(rows["split_key"], rows["pair"])
    assert keys.nunique() == 500
    assert keys.iloc[-1] == keys.iloc[0] == keys.iloc[1] == "flickr:0ordinary"
    for section in (DatasetSection(test_share={"ordinary": 0.2, "shallow": 0.0}), DatasetSection(split="study")):
        split = split_of(rows, section, "ordinary")
        assert split.groupby(keys).nunique().max() == 1
        tests = split[rows["domain"] == "shallow"].eq("test").sum()
        assert tests == 100 if section.split == "study" else 60 < tests < 140
    both = rows_of(("ordinary", "a", "1", None), ("shallow", "a", "1", None))
    assert set(split_of(both, DatasetSection(test_share={"ordinary": 1.0}), "ordinary")) == {"train"}


def test_the_canonical_manifest_is_a_line_of_json_for_each_picture(tmp_path: Path) -> None:
    images = prepared(tmp_path, range(4))
    texts = ['say "a"', "100 %s\n", "Grüße\u2028", "7"]
    rows = manifest_of(images, range(4)).assign(
        split=["train", "test", "train", None],
        pair=["%d", None, 'x"', None],
        transform=texts,
        depth_sha256=["d", None, None, ""],
    )
    expected = []
    for row in rows.sort_values(["domain", "photo_id", "transform"]).to_dict("records"):
        further = {name: row[name] for name in ("pair", "depth_sha256") if isinstance(row[name], str)}
        whole = {name: row[name] for name in IDENTITY} | further
        expected.append(json.dumps(whole, sort_keys=True, ensure_ascii=False) + "\n")
    assert canonical(rows) == "".join(expected).encode()


def test_of_two_listings_the_later_one_says_the_licence_and_a_side_that_was_given_stays(tmp_path: Path) -> None:
    images, numbers = prepared(tmp_path, range(2)), range(2)
    told = listing(numbers).assign(split=None, pair=None)
    earlier = told.assign(fetched_at_s=1_600_000_000, license="9", title="before", split=None, pair="x")
    section = DatasetSection(test_share={"ordinary": 0.3, "shallow": 0.0})
    for rows in (pd.concat([told, earlier], ignore_index=True), pd.concat([earlier, told], ignore_index=True)):
        made = build_manifest(images, rows, curated(numbers), masks_table(numbers), section, "ordinary")
        assert made["license"].tolist() == ["4", "4"]
        assert sorted(made["title"]) == ["t0", "t1"]
        photos = pd.Series(["flickr:0", "flickr:1"])
        assert origin_version(by_time(rows), photos) == origin_version(told, photos)


def test_a_pair_is_whole_with_one_photo_in_each_of_two_domains() -> None:
    cells = [
        ("whole", "ordinary", 1), ("whole", "shallow", 2), ("whole", "shallow", 2),  # two tiles of one photo
        ("alone", "ordinary", 3), ("beside", "ordinary", 4), ("beside", "ordinary", 5),
        ("crowded", "ordinary", 6), ("crowded", "shallow", 7), ("crowded", "shallow", 8), (None, "ordinary", 9),
    ]  # fmt: skip
    rows = pd.DataFrame(cells, columns=["pair", "domain", "photo_id"])
    assert broken_pairs(rows) == [
        "pair alone: 1 photo in 1 domain",
        "pair beside: 2 photos in 1 domain",
        "pair crowded: 3 photos in 2 domains",
    ]


def test_a_pair_counts_for_the_snapshot_and_no_pair_changes_nothing(tmp_path: Path) -> None:
    images, numbers = prepared(tmp_path, range(4)), range(4)
    plain = manifest_of(images, numbers)
    told = listing(numbers).assign(pair=["x", "x", None, None], split=None)
    section = DatasetSection(test_share={"ordinary": 0.3, "shallow": 0.0})
    paired = conform(
        "dataset_manifest", build_manifest(images, told, curated(numbers), masks_table(numbers), section, "ordinary")
    )
    assert snapshot_id(plain) != snapshot_id(paired)
    assert data_version("dataset_manifest", plain) == data_version("dataset_manifest", plain.assign(pair=None))
    lines = [json.loads(line) for line in canonical(paired).splitlines()]
    assert [line.get("pair") for line in lines].count("x") == 2
    assert b"pair" not in canonical(plain)
    assert broken_pairs(paired.head(0)) == []
    one = paired[paired["photo_id"] != "flickr:1"]
    assert broken_pairs(one) == ["pair x: 1 photo in 1 domain"]
    freeze(paired, tmp_path / "snapshots", tmp_path)
    frozen = read_manifest(tmp_path / "snapshots", snapshot_id(paired))
    assert frozen["pair"].notna().sum() == 2
    assert verify_snapshot(tmp_path / "snapshots", snapshot_id(paired), tmp_path).sound
    freeze(plain, tmp_path / "snapshots", tmp_path)
    assert verify_snapshot(tmp_path / "snapshots", snapshot_id(plain), tmp_path).sound
    changes = diff_snapshots(tmp_path / "snapshots", snapshot_id(plain), snapshot_id(paired)).changes
    assert {change.what for change in changes} == {"pair"}

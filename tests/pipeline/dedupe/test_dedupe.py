"""Fingerprints, neighbour search and groups."""

import io
from collections.abc import Hashable

import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from pipeline.config import DedupeSection
from pipeline.dedupe.fingerprints import fingerprint_photos, perceptual_hash
from pipeline.dedupe.groups import find_unique
from pipeline.dedupe.neighbours import pairs_within
from pipeline.tables import conform, empty


def scene(seed: int, width: int = 160, height: int = 120) -> np.ndarray:
    """A smooth random picture, so that its hash survives scaling as a photo's does."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def resaved(rgb: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def resized(rgb: np.ndarray, factor: float) -> np.ndarray:
    size = (round(rgb.shape[1] * factor), round(rgb.shape[0] * factor))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


class World:
    """Photos with the table of their fingerprints, built one by one."""

    def __init__(self) -> None:
        self.pictures: dict[str, np.ndarray] = {}
        self.rows: list[dict[str, object]] = []

    def add(
        self, number: int, rgb: np.ndarray, domain: str = "ordinary", digest: str | None = None, size_bytes: int = 0
    ) -> None:
        digest = digest or f"digest{number}"
        self.pictures[digest] = rgb
        self.rows.append({
            "photo_id": f"flickr:{number}", "domain": domain, "sha256": digest, "size_bytes": size_bytes or 1000 + number,
            "width_px": rgb.shape[1], "height_px": rgb.shape[0], "date_upload_s": number,
            "phash": perceptual_hash(rgb), "phash_mirrored": perceptual_hash(np.ascontiguousarray(rgb[:, ::-1])),
        })  # fmt: skip

    def unique(self, **options: object) -> pd.DataFrame:
        table = conform("fingerprints", pd.DataFrame(self.rows))
        found = find_unique(table, lambda digest: self.pictures[digest], DedupeSection.model_validate(options))
        return conform("unique_photos", found).set_index("photo_id")


def rules(found: pd.DataFrame) -> dict[Hashable, object]:
    return found["rule"].astype(object).where(found["rule"].notna(), None).to_dict()


def test_each_kind_of_duplicate_goes_by_its_own_rule() -> None:
    world, original = World(), scene(1)
    world.add(1, original, digest="same")
    world.add(2, original, digest="same")
    world.add(3, resaved(original, 60))
    world.add(4, resized(original, 0.5))
    world.add(5, np.ascontiguousarray(original[:, ::-1]))
    world.add(6, scene(2))
    found = world.unique()
    assert rules(found) == {
        "flickr:1": None, "flickr:2": "same_bytes", "flickr:3": "perceptual", "flickr:4": "perceptual",
        "flickr:5": "mirrored", "flickr:6": None,
    }  # fmt: skip
    assert set(found.loc[found["rule"].notna(), "duplicate_of"]) == {"flickr:1"}
    assert set(found.drop("flickr:6")["split_key"]) == {"flickr:1"}


def test_equal_resolution_and_size_is_only_a_candidate() -> None:
    world = World()
    world.add(1, scene(1), size_bytes=5000)
    world.add(2, scene(2), size_bytes=5000)
    slightly = np.asarray(Image.fromarray(scene(1)).filter(ImageFilter.GaussianBlur(0.5)))
    world.add(3, slightly, size_bytes=5000)
    assert rules(world.unique()) == {"flickr:1": None, "flickr:2": None, "flickr:3": "same_resolution_and_size"}


def test_the_largest_then_the_earliest_is_kept() -> None:
    world = World()
    world.add(1, resized(scene(1), 0.5))
    world.add(2, scene(1))
    world.add(3, resaved(scene(1), 80))
    assert rules(world.unique()) == {"flickr:1": "perceptual", "flickr:2": None, "flickr:3": "perceptual"}


def test_one_picture_in_two_domains_goes_from_both() -> None:
    world = World()
    world.add(1, scene(1))
    world.add(2, resaved(scene(1), 70), domain="shallow")
    world.add(3, scene(3), domain="shallow")
    assert rules(world.unique()) == {"flickr:1": "both_domains", "flickr:2": "both_domains", "flickr:3": None}


def test_a_near_hash_is_not_enough() -> None:
    """Equal hashes of different pictures are no duplicates: the pixels decide."""
    world = World()
    world.add(1, scene(1))
    world.add(2, scene(2))
    world.rows[1]["phash"] = world.rows[0]["phash"]
    assert rules(world.unique()) == {"flickr:1": None, "flickr:2": None}


def test_flat_pictures_are_not_one_picture() -> None:
    world = World()
    for number, grey in enumerate((0, 90, 255), 1):
        world.add(number, np.full((50, 50, 3), grey, np.uint8))
    assert set(rules(world.unique()).values()) == {None}


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(7)))
def test_the_result_does_not_depend_on_the_order(order: list[int]) -> None:
    world, original = World(), scene(1)
    for number, rgb in enumerate(
        (original, resaved(original, 50), resized(original, 0.4), scene(2), scene(3), resaved(scene(3), 60), scene(4))
    ):
        world.add(number, rgb)
    expected = world.unique()
    world.rows = [world.rows[position] for position in order]
    pd.testing.assert_frame_equal(world.unique(), expected)


def test_small_files_go_where_the_study_dropped_them() -> None:
    world = World()
    world.add(1, scene(1), size_bytes=99_999)
    world.add(2, scene(2), size_bytes=100_000)
    assert rules(world.unique(min_bytes=100_000)) == {"flickr:1": "small_file", "flickr:2": None}


def test_no_photos_give_an_empty_table() -> None:
    found = find_unique(empty("fingerprints"), lambda digest: scene(0), DedupeSection())
    assert len(conform("unique_photos", found)) == 0


@pytest.mark.parametrize("radius_bits", [0, 4, 10])
def test_all_pairs_within_the_radius_are_found(radius_bits: int) -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, 300, np.uint64)
    hashes[100:200] = hashes[:100] ^ np.uint64(0b1011)
    expected = {
        (i, j) for i in range(300) for j in range(i + 1, 300) if int(hashes[i] ^ hashes[j]).bit_count() <= radius_bits
    }
    found = [
        (int(a), int(b))
        for i, j, _ in pairs_within(hashes, radius_bits)
        for a, b in zip(i, j, strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_hashes_equal_imagehash_and_known_ones_are_not_computed_again() -> None:
    files = pd.DataFrame({
        "photo_id": ["flickr:1", "flickr:2", "flickr:3"], "domain": "ordinary", "sha256": ["a", "b", None],
        "size_bytes": [1, 2, None], "width_px": [160, 160, None], "height_px": [120, 120, None],
    })  # fmt: skip
    listing = pd.DataFrame({"photo_id": files["photo_id"], "domain": "ordinary", "date_upload_s": [7, 8, 9]})
    read: list[str] = []

    def reader(digest: str) -> np.ndarray:
        read.append(digest)
        return scene(ord(digest))

    first = conform("fingerprints", fingerprint_photos(files, listing, empty("fingerprints"), reader))
    assert first["phash"].tolist() == [str(imagehash.phash(Image.fromarray(scene(ord(digest))))) for digest in "ab"]
    again = conform("fingerprints", fingerprint_photos(files, listing, first, reader))
    pd.testing.assert_frame_equal(first, again)
    assert read == ["a", "b"]

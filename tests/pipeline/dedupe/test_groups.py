"""Groups over all photos: rules, which photo is kept, and what must not change the result."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.dedupe.fingerprints import is_grey
from pipeline.dedupe.near_hashes import NearHashes
from pipeline.dedupe.store import GREY, GREY_FILE
from pipeline.tables import conform, empty
from tests.pipeline.dedupe.worlds import World, jpeg, png, resized, scene


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def flipped(rgb: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rgb[:, ::-1])


def bordered(rgb: np.ndarray, px: int) -> np.ndarray:
    return np.pad(rgb, ((px, px), (px, px), (0, 0)))


def test_each_kind_of_duplicate_goes_by_its_own_rule(world: World) -> None:
    original = scene(1)
    world.add(1, png(original))
    world.add(2, png(original))
    world.add(3, jpeg(original, 60))
    world.add(4, png(resized(original, 0.5)))
    world.add(5, png(flipped(original)))
    world.add(6, png(scene(2)))
    world.add(7, jpeg(original[12:-12, 16:-16]))
    world.add(8, jpeg(original[:, 16:]))
    world.add(9, jpeg(flipped(original)[:, 16:]))
    found = world.unique()
    assert found["rule"].astype(object).where(found["rule"].notna(), None).to_dict() == {
        "flickr:1": None, "flickr:2": "same_bytes", "flickr:3": "perceptual", "flickr:4": "perceptual",
        "flickr:5": "mirrored", "flickr:6": None, "flickr:7": "cropped", "flickr:8": "cropped", "flickr:9": "mirrored",
    }  # fmt: skip
    dropped = found[found["rule"].notna()]
    assert set(dropped["duplicate_of"]) == {"flickr:1"}
    assert dropped["measure"].between(0.9, 1).all()
    assert dropped["distance_bits"].le(6).all()
    assert set(found.drop("flickr:6")["split_key"]) == {"flickr:1"}
    assert found.loc["flickr:6", "split_key"] == "flickr:6"


def test_a_border_is_found_from_the_outside(world: World) -> None:
    world.add(1, jpeg(scene(1)))
    world.add(2, jpeg(bordered(scene(1), 12)))
    assert world.rules() == {"flickr:1": "cropped", "flickr:2": None}


def test_one_photo_in_several_domains_is_the_same_photo_and_a_conflict(world: World) -> None:
    world.add(1, png(scene(1)))
    world.add(1, jpeg(scene(5)), domain="shallow")
    found = world.unique()
    assert found["rule"].tolist() == ["both_domains", "both_domains"]
    world.rows[1]["domain"] = "ordinary"
    world.rows[1]["photo_id"] = "flickr:2"
    assert world.rules() == {"flickr:1": None, "flickr:2": None}


def test_equal_resolution_and_size_is_only_a_candidate(world: World) -> None:
    for number, data in enumerate((png(scene(1)), png(scene(2)), jpeg(scene(1), 95)), 1):
        world.add(number, data, size_bytes=5000)
    assert world.rules() == {"flickr:1": None, "flickr:2": None, "flickr:3": "same_resolution_and_size"}


def test_without_verification_only_what_the_study_compared_counts(world: World) -> None:
    for number, data in enumerate((png(scene(1)), png(scene(2)), png(scene(1))), 1):
        world.add(number, data, size_bytes=5000)
    world.add(4, jpeg(scene(1)))
    expected = {"flickr:1": None, "flickr:2": "same_resolution_and_size", "flickr:3": "same_bytes", "flickr:4": None}
    found = world.find(verify=False)
    unique = conform("unique_photos", found.unique_photos).set_index("photo_id")
    assert unique["rule"].astype(object).where(unique["rule"].notna(), None).to_dict() == expected
    assert found.work["alignments"] == found.work["exact_decodes"] == found.work["hashes_searched"] == 0


def test_most_pixels_then_most_bytes_then_the_earliest_then_the_smallest_id_is_kept(world: World) -> None:
    def kept() -> set[str]:
        return {key for key, rule in world.rules().items() if rule is None}

    world.add(8, png(resized(scene(1), 0.5)), uploaded_s=1, size_bytes=90_000)
    world.add(7, jpeg(scene(1), 70), uploaded_s=2, size_bytes=8_000)
    assert kept() == {"flickr:7"}
    world.add(6, jpeg(scene(1), 90), uploaded_s=20, size_bytes=9_000)
    assert kept() == {"flickr:6"}
    world.add(5, jpeg(scene(1), 80), uploaded_s=10, size_bytes=9_000)
    assert kept() == {"flickr:5"}
    world.add(3, png(scene(1)), uploaded_s=10, size_bytes=9_000)
    assert kept() == {"flickr:3"}


class TestDomains:
    @pytest.fixture
    def conflict(self, world: World) -> World:
        world.add(1, jpeg(scene(1)))
        world.add(2, jpeg(resized(scene(1), 0.6), 80), domain="shallow")
        world.add(3, jpeg(scene(1), 70), domain="ordinary")
        world.add(4, jpeg(scene(3)), domain="shallow")
        return world

    def test_one_picture_in_two_domains_goes_from_both(self, conflict: World) -> None:
        both = dict.fromkeys(("flickr:1", "flickr:2", "flickr:3"), "both_domains")
        assert conflict.rules() == {**both, "flickr:4": None}

    def test_unless_its_keeper_lies_in_the_preferred_one(self, conflict: World) -> None:
        expected = {"flickr:1": None, "flickr:2": "both_domains", "flickr:3": "perceptual", "flickr:4": None}
        assert conflict.rules(prefer_domain="ordinary") == expected

    def test_or_what_lies_outside_goes_although_it_is_larger(self, conflict: World) -> None:
        found = conflict.unique(prefer_domain="shallow").sort_index()
        assert found["rule"].isna().tolist() == [False, True, False, True]
        assert found.loc[["flickr:1", "flickr:3"], "duplicate_of"].tolist() == ["flickr:2", "flickr:2"]
        assert found.loc["flickr:2", "split_key"] == "flickr:1"

    def test_or_in_the_group_of_a_copy_that_goes_itself(self, world: World) -> None:
        """A decision about it is one about the photo that is kept."""
        world.add(1, jpeg(scene(1)))
        world.add(2, jpeg(resized(scene(1), 0.6)))
        world.add(3, jpeg(resized(scene(1), 0.6)), domain="shallow")
        found = world.unique(prefer_domain="ordinary").sort_index()
        assert found["rule"].fillna("").tolist() == ["", "perceptual", "both_domains"]
        assert found["group"].tolist() == ["flickr:1"] * 3

    def test_equal_bytes_in_both(self, world: World) -> None:
        world.add(1, jpeg(scene(1)))
        world.add(2, jpeg(scene(1)), domain="shallow")
        assert set(world.rules().values()) == {"both_domains"}
        assert world.rules(prefer_domain="shallow") == {"flickr:1": "both_domains", "flickr:2": None}


def test_no_chain_joins_what_is_not_verified_against_the_photo_kept(world: World) -> None:
    """Each is a crop of the one before; the last shows too little of the first to be found as one with it."""
    wide, chain = scene(1, 480, 360), []
    for step in range(4):
        chain.append(wide[18 * step : 360 - 18 * step, 24 * step : 480 - 24 * step])
    for number, rgb in enumerate(chain, 1):
        world.add(number, png(rgb))
    found = world.unique()
    pairs = {frozenset(pair) for pair in world.find().duplicate_pairs[["sha256_a", "sha256_b"]].itertuples(index=False)}
    assert found.loc["flickr:1", "rule"] != found.loc["flickr:1", "rule"]  # kept
    assert found["rule"].isna().sum() > 1
    for _, row in found[found["rule"].notna()].iterrows():
        assert frozenset((row["sha256"], found.loc[row["duplicate_of"], "sha256"])) in pairs
    assert set(found["split_key"]) == {"flickr:1"}


def test_small_files_go_where_the_study_dropped_them(world: World) -> None:
    world.add(1, png(scene(1)), size_bytes=99_999)
    world.add(2, png(scene(2)), size_bytes=100_000)
    assert world.rules(min_bytes=100_000) == {"flickr:1": "small_file", "flickr:2": None}


def test_no_photos_give_an_empty_table(world: World) -> None:
    assert len(world.unique()) == len(world.unique(verify=False)) == 0


VARIANTS = (
    png(scene(1)), jpeg(scene(1), 50), png(resized(scene(1), 0.4)), png(flipped(scene(1))), jpeg(scene(1)[12:-12, 16:-16]),
    jpeg(bordered(scene(1), 8)), png(scene(2)), png(scene(3)), jpeg(scene(3), 60), png(np.full((40, 40, 3), 7, np.uint8)),
    png(np.full((40, 50, 3), 7, np.uint8)), png(np.full((40, 40, 3), 8, np.uint8)), jpeg(scene(1)[:, 20:]),
)  # fmt: skip


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    order=st.permutations(range(len(VARIANTS))),
    cuts=st.lists(st.integers(0, len(VARIANTS)), max_size=3),
    shallow=st.sets(st.integers(0, len(VARIANTS) - 1), max_size=3),
    prefer=st.sampled_from([None, "shallow"]),
)
def test_neither_order_nor_what_was_known_before_changes_the_result(
    tmp_path: Path, order: list[int], cuts: list[int], shallow: set[int], prefer: str | None
) -> None:
    """Photos that come in months, each deduplicated with what was known, give what all at once give."""
    at_once, by_month = World(tmp_path), World(tmp_path)
    for number in range(len(VARIANTS)):
        at_once.add(number, VARIANTS[number], "shallow" if number in shallow else "ordinary")
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(VARIANTS)], strict=True):
        for number in order[start:end]:
            by_month.add(number, VARIANTS[number], "shallow" if number in shallow else "ordinary")
        by_month.find(remember=True, prefer_domain=prefer)
    grown = by_month.find(prefer_domain=prefer).unique_photos
    expected = conform("unique_photos", at_once.find(prefer_domain=prefer).unique_photos)
    pd.testing.assert_frame_equal(conform("unique_photos", grown), expected)


def test_a_photo_that_is_gone_leaves_no_trace(world: World) -> None:
    """The wide one joined two crops that do not match each other; without it they are two pictures."""
    wide = scene(1, 480, 360)
    for number, rgb in enumerate((wide, wide[:, 24:], wide[:, :-24]), 1):
        world.add(number, png(rgb))
    world.find(remember=True)
    del world.rows[0]
    grown = conform("unique_photos", world.find().unique_photos)
    world.pairs, world.near = empty("duplicate_pairs"), NearHashes.nothing()
    pd.testing.assert_frame_equal(grown, conform("unique_photos", world.find().unique_photos))


def test_what_was_compared_once_is_not_compared_again(world: World) -> None:
    for number, data in enumerate(VARIANTS):
        world.add(number, data)
    first = world.find(remember=True).work
    again = world.find(remember=True).work
    assert first["alignments"] > 5
    assert again["alignments"] == again["detail_comparisons"] == again["exact_decodes"] == again["hashes_searched"] == 0
    world.add(100, jpeg(scene(3), 40))
    grown = world.find().work
    assert 1 <= grown["alignments"] <= 2
    assert 1 <= grown["hashes_searched"] <= 13


def test_pictures_that_both_stayed_are_not_looked_at_again(world: World) -> None:
    """Of one resolution and size they are candidates, whatever they show."""
    for number in range(1, 5):
        world.add(number, png(scene(number)), size_bytes=5000)
    assert world.find(remember=True).work["likeness_checks"] == 6
    assert world.find(remember=True).work["likeness_checks"] == 0
    world.add(5, png(scene(5)), size_bytes=5000)
    assert world.find(remember=True).work["likeness_checks"] == 4
    assert world.find(min_detail=0.8).work["likeness_checks"] == 10


def test_halves_of_pairs_that_stayed_are_looked_at_when_they_are_pairs_no_more(world: World) -> None:
    for number, domain in enumerate(("ordinary", "shallow"), 1):
        world.add(number, jpeg(scene(1), 60 + number), domain, pair="a")
    assert set(world.rules().values()) == {None}
    world.find(remember=True)
    for row in world.rows:
        row["pair"] = None
    assert set(world.rules().values()) == {"both_domains"}


class TestBadInput:
    def test_flat_pictures_of_different_colours_stay(self, world: World) -> None:
        colours = [(0, 0, 0), (90, 90, 90), (255, 255, 255), (200, 0, 0), (0, 102, 0), (1, 0, 0)]
        for number, colour in enumerate(colours):
            world.add(number, png(np.broadcast_to(np.array(colour, np.uint8), (60, 80, 3))))
        world.add(90, png(np.full((70, 70, 3), 90, np.uint8)))
        assert world.rules() == {**dict.fromkeys(f"flickr:{n}" for n in (0, 2, 3, 4, 5, 90)), "flickr:1": "perceptual"}

    def test_smooth_gradients_of_different_pictures_stay(self, world: World) -> None:
        """Clear skies correlate perfectly."""
        rng = np.random.default_rng(0)
        for number, (low, high) in enumerate(((120, 220), (60, 200), (140, 240))):
            sky = np.linspace(low, high, 240)[:, None, None] + rng.normal(0, 1, (240, 320, 3))
            world.add(number, png(sky.astype(np.uint8)))
        assert set(world.rules().values()) == {None}

    def test_tiny_and_extreme_shapes(self, world: World) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (1, 2000, 3), np.uint8)
        shapes = [
            noise[:, :1],
            noise[:, 1:3],
            noise,
            noise.reshape(2000, 1, 3),
            noise[:, :900],
            scene(1, 3000, 3),
            scene(1, 3, 3000),
        ]
        for number, rgb in enumerate(shapes):
            world.add(number, png(rgb))
            world.add(100 + number, png(rgb))
        assert sum(rule is None for rule in world.rules().values()) == len(shapes)

    def test_hundreds_of_equal_pictures_take_linear_work(self, world: World) -> None:
        """Equal to look at, though no two files are: a few bytes after the picture's end differ."""
        data, count = png(scene(1, 64, 48)), 300
        for number in range(count):
            world.add(number, data + number.to_bytes(4))
        found = world.find()
        assert found.unique_photos["rule"].notna().sum() == count - 1
        assert found.work["alignments"] == count - 1
        assert found.work["likeness_checks"] <= 2 * count


def without_colour(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L").convert("RGB"))


class TestColour:
    def test_the_photo_in_colour_stays_whichever_id_and_size_it_has(self, world: World) -> None:
        colour = scene(1)
        grey = without_colour(colour)
        world.add(1, jpeg(resized(grey, 1.5)))
        world.add(2, jpeg(colour))
        world.add(3, png(grey[..., 0]))
        world.add(4, png(scene(2)))
        found = world.unique()
        assert found["rule"].isna().to_dict() == {
            "flickr:1": False, "flickr:2": True, "flickr:3": False, "flickr:4": True,
        }  # fmt: skip
        assert set(found["duplicate_of"].dropna()) == {"flickr:2"}

    def test_of_grey_ones_alone_the_largest_stays(self, world: World) -> None:
        grey = scene(1)[..., 1]
        world.add(1, png(grey))
        world.add(2, png(np.asarray(resized(np.repeat(grey[..., None], 3, -1), 1.5))))
        assert world.rules() == {"flickr:1": "perceptual", "flickr:2": None}

    def test_the_preferred_domain_goes_before_colour(self, world: World) -> None:
        grey = without_colour(scene(1))
        world.add(1, png(scene(1)))
        world.add(2, png(grey), domain="shallow")
        assert world.rules(prefer_domain="shallow") == {"flickr:1": "both_domains", "flickr:2": None}

    def test_each_picture_is_looked_at_for_it_once(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        looked: list[bytes] = []

        def noting(data: bytes) -> bool:
            looked.append(data)
            return is_grey(data)

        monkeypatch.setattr("pipeline.dedupe.groups.is_grey", noting)
        for number, picture in enumerate((scene(1), without_colour(scene(1)), scene(2)), 1):
            world.add(number, png(picture))
        first = world.find(remember=True).unique_photos
        assert sorted(looked) == sorted([png(scene(1)), png(without_colour(scene(1)))])
        pd.testing.assert_frame_equal(world.find(remember=True).unique_photos, first)
        assert len(looked) == 2
        world.add(4, jpeg(scene(1)))
        world.find(remember=True)
        assert looked[2:] == [jpeg(scene(1))]
        world.store.forget([hashlib.sha256(looked[0]).hexdigest()])
        world.find()
        assert len(looked) == 4
        kept, vast = world.store.root / GREY_FILE, io.BytesIO()
        header = {"descr": GREY.descr, "fortran_order": False, "shape": (10**15,)}
        np.lib.format.write_array_header_1_0(vast, header)
        for number, spoilt in enumerate((b"", b"half of a file", vast.getvalue(), kept.read_bytes()[:-9]), 1):
            kept.write_bytes(spoilt)
            world.find()
            assert len(looked) == 4 + 3 * number, "what cannot be read is asked again"


@pytest.mark.parametrize("options", [{}, {"prefer_domain": "shallow"}, {"verify": False}])
def test_the_halves_of_a_pair_are_no_copies_and_of_two_equal_pairs_one_stays_whole(
    world: World, options: dict[str, object]
) -> None:
    one, two = scene(1), scene(2)
    # Their halves are the same scene; of the second pair the left half is larger, of the third the right one.
    world.add(1, png(one), "ordinary", pair="a")
    world.add(2, jpeg(one, 95), "shallow", pair="a")
    world.add(3, png(resized(two, 1.2)), "ordinary", pair="b")
    world.add(4, jpeg(two, 95), "shallow", pair="b")
    world.add(5, png(two), "ordinary", pair="c")
    world.add(6, jpeg(resized(two, 1.1), 90), "shallow", pair="c")
    flat = np.full((64, 64, 3), 128, np.uint8)
    world.add(7, png(flat), "ordinary", pair="d")
    world.add(8, jpeg(flat), "shallow", pair="d")
    kept = {number for number, rule in world.rules(**options).items() if rule is None}
    copies = set() if options.get("verify") is False else {"flickr:5", "flickr:6"}
    assert kept == {f"flickr:{number}" for number in range(1, 9)} - copies
    # Beside a photo that is of no pair, the halves are compared like any others.
    world.add(9, jpeg(one, 80), "shallow")
    assert world.rules()["flickr:9"] == "both_domains"

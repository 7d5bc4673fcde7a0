"""Pairs of pictures: what counts as one, and what only looks so."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.dedupe.candidates import MIN_LIKENESS
from pipeline.dedupe.distances import duplicate_distances, nearest_strangers
from pipeline.dedupe.fingerprints import fingerprint, fingerprint_pictures
from pipeline.dedupe.hashes import WINDOWS
from pipeline.dedupe.store import RECORD, FingerprintStore
from pipeline.dedupe.verify import Candidate, PairComparison, Verifier, align, detail_agreement, overlap_correlation
from pipeline.tables import empty
from tests.pipeline.dedupe.worlds import jpeg, png, scene

IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def grey(seed: int, side_px: int = 192) -> np.ndarray:
    return cv2.cvtColor(scene(seed, side_px, side_px), cv2.COLOR_RGB2GRAY)


def test_alignment_finds_a_crop() -> None:
    whole = grey(1)
    crop = cv2.resize(whole[8:, 12:], (192, 192), interpolation=cv2.INTER_AREA)
    warp = align(whole, crop, IDENTITY)
    assert warp is not None
    np.testing.assert_allclose(warp[:, :2], np.diag([192 / 180, 192 / 184]), atol=0.01)
    np.testing.assert_allclose(warp[:, 2], [-12 / 180, -8 / 184], atol=0.01)
    correlation, shown = overlap_correlation(whole, crop, warp)
    assert correlation > 0.99
    assert shown == pytest.approx(180 * 184 / 192**2, abs=0.02)


def test_pictures_that_hardly_overlap_are_not_compared() -> None:
    far = np.array([[1.0, 0, 0.6], [0, 1.0, 0]])
    assert overlap_correlation(grey(1), grey(1), far) == (-1.0, 0.0)


class TestDetail:
    def test_the_same_picture_agrees(self) -> None:
        first = grey(1)
        for second in (
            first,
            (first * 0.8 + 10).astype(np.uint8),
            cv2.resize(first, (96, 96), interpolation=cv2.INTER_AREA),
        ):
            assert detail_agreement(first, second, IDENTITY) > 0.98

    def test_two_frames_of_a_burst_do_not_although_they_correlate(self) -> None:
        """The middle moved by three hundredths of the width, everything else stood still."""
        first, side_px = grey(1), 192
        y, x = np.mgrid[0:side_px, 0:side_px].astype(np.float32)
        inside = np.clip(1.6 - ((x / side_px - 0.5) / 0.3) ** 2 - ((y / side_px - 0.5) / 0.35) ** 2, 0, 1)
        moved = x - 0.03 * side_px * inside
        second = cv2.remap(first, moved.astype(np.float32), y, cv2.INTER_LINEAR)
        correlation, _ = overlap_correlation(first, second, IDENTITY)
        assert correlation > 0.85
        assert detail_agreement(first, second, IDENTITY) < 0.9

    def test_a_gradient_is_no_detail(self) -> None:
        first = np.broadcast_to(np.linspace(60, 220, 192).astype(np.uint8)[:, None], (192, 192)).copy()
        assert detail_agreement(first, first, IDENTITY) > 0.98
        assert detail_agreement(first, first - 30, IDENTITY) == -1.0

    @pytest.mark.parametrize("side_px", [1, 2, 7])
    def test_pictures_too_small_to_align(self, side_px: int) -> None:
        assert detail_agreement(grey(1)[:side_px, :side_px].copy(), grey(2), IDENTITY) <= 1


class TestVerifier:
    def measure(self, folder: Path, first: bytes, second: bytes, window: int, swap: bool, mirrored: bool) -> PairComparison:
        """The second picture's whole against a window of the first, asked in either order."""
        pictures = {hashlib.sha256(data).hexdigest(): data for data in (first, second)}
        store = FingerprintStore(folder)
        fingerprint_pictures(list(pictures), pictures.__getitem__, store)
        digests = list(pictures)[:: -1 if swap else 1]
        windowed = int(swap)
        candidate = Candidate(0, 1, mirrored, windowed, window, 0)
        return Verifier(pictures.__getitem__, empty("duplicate_pairs")).compare(store.read(digests), [candidate])[0]

    @pytest.mark.parametrize("window", range(len(WINDOWS)))
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_the_measure_is_one_whoever_asks_and_starts_at_the_window(
        self, tmp_path: Path, window: int, mirrored: bool
    ) -> None:
        whole = scene(3, 400, 300)
        left, top, right, bottom = WINDOWS[window]
        part = whole[round(300 * top) : round(300 * bottom), round(400 * left) : round(400 * right)]
        part = np.ascontiguousarray(part[:, ::-1]) if mirrored else part
        one = self.measure(tmp_path, png(whole), jpeg(part, 95), window, False, mirrored)
        assert one == self.measure(tmp_path, png(whole), jpeg(part, 95), window, True, mirrored)
        assert one.correlation > 0.97
        assert one.detail > 0.95
        assert one.shown == pytest.approx((right - left) * (bottom - top), abs=0.02)

    def test_different_pictures_are_not_even_decoded(self, tmp_path: Path) -> None:
        found = self.measure(tmp_path, png(scene(1)), png(scene(2)), 0, False, False)
        assert found.correlation < 0.85
        assert np.isnan(found.detail)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("window", range(len(WINDOWS)))
def test_the_quick_look_sees_a_window_and_no_other_picture(window: int, flip: bool) -> None:
    from pipeline.dedupe.candidate_walk import likeness
    from pipeline.dedupe.candidates import SAMPLES

    whole = scene(3, 400, 300)
    left, top, right, bottom = WINDOWS[window]
    part = whole[round(300 * top) : round(300 * bottom), round(400 * left) : round(400 * right)]
    part = np.ascontiguousarray(part[:, ::-1]) if flip else part
    small = [fingerprint("00" * 32, png(rgb)).small for rgb in (part, whole, scene(4))]
    assert likeness(small[0], small[1], SAMPLES[window], flip) > 0.97
    assert likeness(small[2], small[1], SAMPLES[window], flip) < MIN_LIKENESS


def test_the_nearest_stranger_is_no_duplicate_of_the_picture() -> None:
    """Hashes of four pictures: 0 and 1 are duplicates, 2 lies 3 bits from them, 3 is alone."""
    records = np.zeros(4, RECORD)
    rng = np.random.default_rng(0)
    records["sha256"] = rng.integers(0, 256, (4, 32), np.uint8)
    records["windows"] = rng.integers(0, 2**63, (4, len(WINDOWS)), np.uint64)
    records["mirrored"] = rng.integers(0, 2**63, 4, np.uint64)
    records["windows"][1] = records["windows"][0]
    records["windows"][2, 0] = records["windows"][0, 0] ^ np.uint64(0b111)
    assert nearest_strangers(records, ["a", "a", "c", "d"], within_bits=6) == {3: 3}
    assert nearest_strangers(records, ["a", "a", "a", "d"], within_bits=6) == {}
    records["is_flat"] = True
    assert nearest_strangers(records, ["a", "a", "c", "d"]) == {}
    assert duplicate_distances([2, 0, 2]) == {0: 1, 2: 2}

"""Perceptual hashes equal imagehash's on equal pixels, whatever the picture; reduced decodes stay near them."""

import io
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pipeline.dedupe.hashes import (
    FULL,
    WINDOWS,
    HashWindow,
    both_ways,
    grey_exact,
    grey_fast,
    mirrored_window,
    phash,
    phash_mirrored,
)
from pipeline.errors import StorageError

PORTRAITS = Path(__file__).parents[4] / "shared" / "portraits"


def by_imagehash(grey: np.ndarray | Image.Image) -> int:
    image = grey if isinstance(grey, Image.Image) else Image.fromarray(grey)
    return int(str(imagehash.phash(image)), 16)


def scene(seed: int, width_px: int = 320, height_px: int = 240) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (15, 20, 3), np.uint8)
    return Image.fromarray(noise).resize((width_px, height_px), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def bits(a: int, b: int) -> int:
    return (int(a) ^ int(b)).bit_count()


greys = st.tuples(st.integers(1, 90), st.integers(1, 90)).flatmap(lambda shape: arrays(np.uint8, shape))


@settings(max_examples=150)
@given(greys)
@example(np.zeros((1, 1), np.uint8))
@example(np.full((50, 50), 200, np.uint8))
@example(np.full((1, 5_000), 7, np.uint8))
@example(np.tile(np.arange(64, dtype=np.uint8) * 3, (50, 1)))
@example(np.tile(np.arange(64, dtype=np.uint8) * 3, (50, 1)).T.copy())
@example(np.kron(np.indices((4, 4)).sum(axis=0) % 2, np.ones((16, 16))).astype(np.uint8) * 255)
def test_hashes_equal_imagehash(grey: np.ndarray) -> None:
    """Flat, striped and symmetric ones too, where rounding decides."""
    small = np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.LANCZOS))
    assert phash(grey) == by_imagehash(grey)
    assert phash_mirrored(grey) == by_imagehash(np.ascontiguousarray(small[:, ::-1]))


@pytest.mark.parametrize("shape", [(171, 256), (683, 1024), (1000, 130), (128, 128)])
@pytest.mark.parametrize("seed", range(5))
def test_the_mirrored_hash_is_that_of_the_mirrored_picture(seed: int, shape: tuple[int, int]) -> None:
    grey = np.asarray(scene(seed, shape[1], shape[0]).convert("L"))
    mirrored = np.ascontiguousarray(grey[:, ::-1])
    assert phash(grey) == by_imagehash(grey)
    assert phash_mirrored(grey) == by_imagehash(mirrored)
    hashes = zip(both_ways(mirrored, [*map(mirrored_window, WINDOWS)])[1], both_ways(grey)[0], strict=True)
    assert max(bits(*pair) for pair in hashes) <= (2 if min(shape) < 256 else 4)


@pytest.mark.parametrize("seed", range(8))
def test_a_window_s_hash_is_near_that_of_the_pixels_cut_out(seed: int) -> None:
    grey = np.asarray(scene(seed, 240, 200).convert("L"))
    distances = []
    for window, found in zip(WINDOWS, both_ways(grey)[0], strict=True):
        left, top, right, bottom = np.round(np.array(window) * (240, 200, 240, 200)).astype(int)
        distances.append(bits(found, by_imagehash(np.ascontiguousarray(grey[top:bottom, left:right]))))
    assert both_ways(grey, (FULL,))[0][0] == phash(grey)
    assert max(distances) <= 4
    assert np.mean(distances) < 1


def test_windows_of_large_pictures_are_taken_from_a_reduced_one() -> None:
    large = scene(3, 1200, 900).convert("L")
    reduced = np.asarray(large.reduce(4))
    distances = [bits(*pair) for pair in zip(both_ways(np.asarray(large))[0], both_ways(reduced)[0], strict=True)]
    assert max(distances) <= 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 4_000), (4_000, 1), (2, 3), (31, 33), (20, 3_000)])
def test_pictures_of_any_shape_have_hashes(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    for grey in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), random.integers(0, 256, shape, np.uint8)):
        hashes = both_ways(grey)
        assert hashes.shape == (2, len(WINDOWS))
        assert hashes[0, 0] == by_imagehash(grey)


def test_flat_pictures_hash_alike_in_every_window() -> None:
    """Rounding must not make flat pictures look varied; that they are different pictures only their pixels tell."""
    for level in (1, 90, 200, 255):
        assert set(both_ways(np.full((150, 200), level, np.uint8)).ravel().tolist()) == {1 << 63}


def test_windows_that_overlap_nothing_new_are_shared() -> None:
    grey = np.asarray(scene(1).convert("L"))
    one_by_one = [int(both_ways(grey, (window,))[0][0]) for window in WINDOWS]
    assert both_ways(grey)[0].tolist() == one_by_one
    assert both_ways(grey, (HashWindow(0.1, 0.2, 0.7, 0.9), FULL))[0][1] == phash(grey)


def test_the_exact_grey_is_what_imagehash_sees() -> None:
    for image in (scene(1), scene(1).convert("L"), scene(1).convert("CMYK")):
        data = encoded(image, quality=90)
        assert phash(grey_exact(data)) == by_imagehash(Image.open(io.BytesIO(data)))
    data = encoded(scene(2), "PNG")
    assert phash(grey_fast(data)) == by_imagehash(scene(2))


@pytest.mark.parametrize(
    ("size", "expected"), [((1024, 683), (171, 256)), ((1600, 1067), (134, 200)), ((200, 255), (255, 200))]
)
def test_a_jpeg_is_reduced_as_far_as_enough_pixels_are_left(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert grey_fast(encoded(scene(1, *size))).shape == expected


@pytest.mark.parametrize("seed", range(6))
def test_a_reduced_decode_moves_a_hash_by_little(seed: int) -> None:
    data = encoded(scene(seed, 1600, 1067), quality=85)
    assert bits(phash(grey_fast(data)), phash(grey_exact(data))) <= 2


@pytest.mark.parametrize("orientation", range(2, 9))
def test_hashes_are_of_the_upright_picture(orientation: int) -> None:
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = scene(1, 640, 480)
    data = encoded(upright.transpose(turned), exif=exif, quality=95)
    for grey in (grey_fast(data), grey_exact(data)):
        assert grey.shape[0] < grey.shape[1]
        assert bits(phash(grey), by_imagehash(upright)) <= 2


def test_transparency_lies_over_white_and_sixteen_bits_become_eight() -> None:
    mask = Image.fromarray(np.linspace(0, 255, 240).astype(np.uint8)[:, None].repeat(320, axis=1))
    rgba = scene(1).convert("RGBA")
    rgba.putalpha(mask)
    over_white = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("L")
    assert np.abs(grey_fast(encoded(rgba, "PNG")).astype(int) - np.asarray(over_white)).max() <= 1
    grey = np.asarray(scene(2).convert("L"))
    sixteen = encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
    assert np.array_equal(grey_fast(sixteen), grey)


@pytest.mark.parametrize("data", [b"", b"<html>", encoded(scene(1))[:900]], ids=["empty", "page", "cut off"])
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    for decode in (grey_fast, grey_exact):
        with pytest.raises(StorageError, match="cannot be decoded"):
            decode(data)


@pytest.mark.skipif(not PORTRAITS.exists(), reason="the portraits are not here")
def test_portraits_drift_by_two_bits_at_most() -> None:
    drifts = []
    for path in sorted(PORTRAITS.glob("*/*.jpg"))[::10]:
        data = path.read_bytes()
        exact = grey_exact(data)
        assert phash(exact) == by_imagehash(Image.open(path))
        drifts.append(bits(phash(grey_fast(data)), phash(exact)))
    assert max(drifts) <= 2
    assert np.mean([drift == 0 for drift in drifts]) >= 0.8

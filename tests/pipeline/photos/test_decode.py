"""Every odd file that the field has shown, built here, and what must come of it."""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pipeline.curation.hints import camera_and_software
from pipeline.photos.decode import Decoded, decode, decode_reduced
from pipeline.photos.exif import equivalent_focal_mm
from pipeline.photos.opening import FORMATS, UndecodableImage, inspect_file
from pipeline.pillow import HEIF, reads_heif
from tests.pipeline.photos.odd_pictures import (
    all_inks_black_profile,
    encoded,
    linear_grey_profile,
    make_scene,
    wide_gamut_profile,
)

MAX_PIXELS = 1_000_000


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def reason_of(data: bytes, max_pixels: int = MAX_PIXELS) -> str:
    with pytest.raises(UndecodableImage) as caught:
        decode(data, max_pixels)
    assert caught.value.detail
    return caught.value.reason


def flat(colour: object, mode: str, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new(mode, size, colour)


def assert_colour(decoded: Decoded, expected: tuple[int, int, int], within: int = 1) -> None:
    assert decoded.rgb.dtype == np.uint8
    assert np.abs(decoded.rgb.astype(int) - np.array(expected)).max() <= within


class TestPictures:
    @pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG"])
    def test_formats(self, file_format: str) -> None:
        scene = make_scene(40, 30)
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(file_format, {})
        decoded = decode(saved(Image.fromarray(scene), file_format, **options), MAX_PIXELS)
        tolerance = {"GIF": 40, "JPEG": 6}.get(file_format, 0)
        assert np.abs(decoded.rgb.astype(int) - scene).max() <= tolerance
        assert (decoded.format, decoded.frames) == (file_format, 1)
        assert decoded.rgb.flags.writeable

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation(self, orientation: int, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = make_scene(40, 24)
        data = encoded(stored, "PNG", exif=exif)
        undo = {
            1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
            5: stored.transpose(1, 0, 2), 6: np.rot90(stored, -1), 7: np.rot90(stored, 2).transpose(1, 0, 2),
            8: np.rot90(stored),
        }  # fmt: skip
        np.testing.assert_array_equal(decode(data, MAX_PIXELS).rgb, undo[orientation])
        (tmp_path / "picture").write_bytes(data)
        info = inspect_file(tmp_path / "picture", MAX_PIXELS)
        assert (info.height_px, info.width_px) == undo[orientation].shape[:2]

    def test_damaged_exif_spoils_nothing(self) -> None:
        data = encoded(make_scene(40, 24), exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
        assert decode(data, MAX_PIXELS).rgb.shape == (24, 40, 3)

    @pytest.mark.parametrize("block", [b"II*\0\x08\0\0", b"XX*\0\x08\0\0\0"])
    @pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG"])
    def test_whoever_reads_damaged_exif_reads_nothing(self, file_format: str, block: bytes) -> None:
        """Pillow raises `struct.error` and `SyntaxError` where another's program would see no EXIF."""
        data = encoded(make_scene(40, 24), file_format, exif=b"Exif\0\0" + block)
        assert camera_and_software(data) == (None, None)
        assert equivalent_focal_mm(data, MAX_PIXELS) is None
        assert decode(data, MAX_PIXELS).rgb.shape == (24, 40, 3)

    def test_cmyk(self) -> None:
        decoded = decode(saved(flat((0, 255, 255, 0), "CMYK"), "JPEG", quality=98), MAX_PIXELS)
        assert_colour(decoded, (255, 0, 0), within=3)

    def test_cmyk_by_its_profile(self) -> None:
        for inks, expected in [((0, 255, 255, 0), (0, 0, 0)), ((0, 0, 0, 0), (255, 255, 255))]:
            data = saved(flat(inks, "CMYK"), "JPEG", icc_profile=all_inks_black_profile())
            assert_colour(decode(data, MAX_PIXELS), expected, within=3)

    @pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
    def test_sixteen_bits(self, file_format: str) -> None:
        values = np.array([[0, 128, 129, 256, 32896, 65407, 65535]], dtype=np.uint16)
        decoded = decode(saved(Image.fromarray(values), file_format), MAX_PIXELS)
        np.testing.assert_array_equal(decoded.rgb[0, :, 0], [0, 0, 1, 1, 128, 255, 255])

    def test_palette(self) -> None:
        image = Image.fromarray(make_scene(40, 30)).quantize(64)
        expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(decode(saved(image, "PNG"), MAX_PIXELS).rgb, expected)

    @pytest.mark.parametrize(
        ("mode", "colour", "expected"),
        [
            ("RGBA", (200, 0, 0, 0), (255, 255, 255)),
            ("RGBA", (200, 0, 0, 255), (200, 0, 0)),
            ("RGBA", (200, 0, 0, 128), (227, 127, 127)),
            ("LA", (10, 0), (255, 255, 255)),
            ("LA", (10, 128), (132, 132, 132)),
        ],
    )
    def test_transparency_over_white(self, mode: str, colour: object, expected: tuple[int, int, int]) -> None:
        assert_colour(decode(saved(flat(colour, mode), "PNG"), MAX_PIXELS), expected)

    def test_transparent_level_of_a_palette_and_of_grey(self) -> None:
        palette = flat(1, "P")
        palette.putpalette([0, 0, 0, 9, 9, 9])
        assert_colour(decode(saved(palette, "PNG", transparency=1), MAX_PIXELS), (255, 255, 255))
        assert_colour(decode(saved(palette, "PNG", transparency=0), MAX_PIXELS), (9, 9, 9))
        assert_colour(decode(saved(flat(7, "L"), "PNG", transparency=7), MAX_PIXELS), (255, 255, 255))
        deep = Image.fromarray(np.array([[500, 30_000]], dtype=np.uint16))
        decoded = decode(saved(deep, "PNG", transparency=500), MAX_PIXELS)
        np.testing.assert_array_equal(decoded.rgb[0, :, 0], [255, 117])

    def test_junk_after_the_end_changes_nothing(self) -> None:
        for file_format in ("JPEG", "PNG", "GIF", "WEBP"):
            data = encoded(make_scene(40, 30), file_format)
            clean = decode(data, MAX_PIXELS)
            for junk in (b"\0" * 5_000, b"<html>appended</html>", encoded(make_scene(9, 9))):
                found = decode(data + junk, MAX_PIXELS)
                np.testing.assert_array_equal(found.rgb, clean.rgb)
                assert (found.format, found.frames) == (file_format, 1)

    def test_zeros_in_the_middle_are_a_picture(self) -> None:
        """No decoder tells them from flat grey: only the length and the digest of what was sent could."""
        data = bytearray(encoded(make_scene(256, 256)))
        data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
        assert decode(bytes(data), MAX_PIXELS).rgb.shape == (256, 256, 3)

    def test_orientation_and_profile_and_transparency_together(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        image = flat((180, 60, 60, 255), "RGBA", (8, 6))
        image.paste((0, 0, 0, 0), (0, 0, 8, 3))
        decoded = decode(saved(image, "PNG", icc_profile=wide_gamut_profile(), exif=exif), MAX_PIXELS)
        assert decoded.rgb.shape == (8, 6, 3)
        assert np.abs(decoded.rgb[:, :3].astype(int) - (197, 43, 51)).max() <= 2
        assert (decoded.rgb[:, 3:] == 255).all()

    def test_bilevel(self) -> None:
        assert_colour(decode(saved(flat(1, "1"), "PNG"), MAX_PIXELS), (255, 255, 255))

    def test_first_frame_of_an_animation(self) -> None:
        frames = [flat(colour, "RGB", (9, 9)) for colour in ("red", "lime", "blue")]
        for file_format in ("GIF", "PNG", "WEBP", "TIFF", "MPO"):
            decoded = decode(saved(frames[0], file_format, save_all=True, append_images=frames[1:]), MAX_PIXELS)
            assert_colour(decoded, (255, 0, 0), within=3)
            assert (decoded.format, decoded.frames) == (file_format, 3)


class TestProfiles:
    def test_wide_gamut_becomes_srgb(self) -> None:
        grey, red = np.full((4, 4, 3), 128, np.uint8), np.full((4, 4, 3), (180, 60, 60), np.uint8)
        assert_colour(decode(encoded(grey, "PNG", icc_profile=wide_gamut_profile()), MAX_PIXELS), (128, 128, 128), within=2)
        # Linear light (.465, .041, .041), by Display P3's matrix to sRGB (.560, .024, .033), by sRGB's curve (197, 43, 51).
        assert_colour(decode(encoded(red, "PNG", icc_profile=wide_gamut_profile()), MAX_PIXELS), (197, 43, 51), within=2)

    def test_transparency_keeps_its_profile(self) -> None:
        data = saved(flat((180, 60, 60, 255), "RGBA"), "PNG", icc_profile=wide_gamut_profile())
        assert_colour(decode(data, MAX_PIXELS), (197, 43, 51), within=2)

    def test_srgb_profile_changes_no_pixel(self) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        scene = make_scene(40, 30)
        np.testing.assert_array_equal(decode(encoded(scene, "PNG", icc_profile=profile), MAX_PIXELS).rgb, scene)

    def test_grey_profile(self) -> None:
        decoded = decode(saved(flat(55, "L"), "PNG", icc_profile=linear_grey_profile()), MAX_PIXELS)
        assert_colour(decoded, (128, 128, 128), within=2)
        with_alpha = saved(flat((55, 255), "LA"), "PNG", icc_profile=linear_grey_profile())
        assert_colour(decode(with_alpha, MAX_PIXELS), (128, 128, 128), within=2)

    def test_profile_for_another_kind_of_picture_is_ignored(self) -> None:
        assert_colour(decode(saved(flat(55, "L"), "PNG", icc_profile=wide_gamut_profile()), MAX_PIXELS), (55, 55, 55))

    def test_damaged_profile_is_ignored(self) -> None:
        scene = make_scene(40, 30)
        np.testing.assert_array_equal(decode(encoded(scene, "PNG", icc_profile=b"nonsense"), MAX_PIXELS).rgb, scene)


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "empty"),
            (b"\n <!DOCTYPE html><html><body>gone</body></html>", "HTML"),
            (b'{"stat": "fail"}', "JSON"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unknown bytes"),
        ],
    )
    def test_not_an_image(self, data: bytes, words: str) -> None:
        with pytest.raises(UndecodableImage, match=words) as caught:
            decode(data, MAX_PIXELS)
        assert caught.value.reason == "not_an_image"

    @pytest.mark.parametrize(("file_format", "missing_bytes"), [("JPEG", 14), ("JPEG", 900), ("PNG", 40), ("PNG", 900)])
    def test_truncated(self, file_format: str, missing_bytes: int) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        assert reason_of(saved(Image.fromarray(noise), file_format)[:-missing_bytes]) == "truncated"

    def test_truncated_by_two_bytes(self) -> None:
        assert reason_of(encoded(make_scene(64, 64))[:-2]) == "truncated"

    def test_header_cut_off(self) -> None:
        assert reason_of(encoded(make_scene(64, 64))[:30]) == "truncated"
        assert reason_of(b"\xff\xd8\xff and then something else") == "broken"

    def test_png_with_a_wrong_checksum(self) -> None:
        data = bytearray(encoded(make_scene(64, 64), "PNG"))
        data[data.index(b"IDAT") + 20] ^= 0xFF
        assert reason_of(bytes(data)) in {"broken", "truncated"}

    def test_png_with_a_huge_text(self) -> None:
        data = encoded(make_scene(8, 8), "PNG")
        body = b"zTXt" + b"a\0\0" + zlib.compress(b"x" * 3_000_000)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        assert reason_of(data[:33] + chunk + data[33:]) == "broken"

    def test_more_pixels_than_allowed(self) -> None:
        with pytest.raises(UndecodableImage) as caught:
            decode(encoded(make_scene(64, 32)), max_pixels=2047)
        assert (caught.value.reason, caught.value.width_px, caught.value.height_px) == ("too_many_pixels", 64, 32)
        assert decode(encoded(make_scene(64, 32)), max_pixels=2048).rgb.shape == (32, 64, 3)

    @pytest.mark.parametrize("side_px", [10_000, 14_000])
    def test_bomb(self, side_px: int) -> None:
        header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        data = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
        assert reason_of(data) == "too_many_pixels"

    def test_a_bomb_of_scans(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        data = saved(Image.fromarray(noise), "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        scan, end = data[last:-2], data[-2:]
        assert decode(data[:-2] + scan * 20 + end, MAX_PIXELS).rgb.shape == (32, 32, 3)
        assert reason_of(data[:-2] + scan * 3_000 + end) == "too_many_scans"

    @pytest.mark.parametrize("file_format", ["GIF", "TIFF"])
    def test_frames_beyond_counting(self, file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pipeline.photos.opening.COUNTED_BYTES", 100)
        frames = [Image.fromarray(make_scene(9, 9, seed)) for seed in range(6)]
        several = saved(frames[0], file_format, save_all=True, append_images=frames[1:])
        assert decode(several, MAX_PIXELS).frames == 2
        assert decode(saved(frames[0], file_format), MAX_PIXELS).frames == 1

    @pytest.mark.parametrize("mode", ["F", "I", "LAB"])
    def test_unsupported_pixels(self, mode: str) -> None:
        assert reason_of(saved(Image.new(mode, (4, 4)), "TIFF")) == "unsupported_mode"

    def test_an_unreadable_disk_is_no_broken_picture(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            inspect_file(tmp_path / "missing", MAX_PIXELS)


def test_inspect_tells_what_decode_finds(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(encoded(make_scene(50, 30)))
    info = inspect_file(tmp_path / "good", MAX_PIXELS)
    assert (info.width_px, info.height_px, info.format, info.frames) == (50, 30, "JPEG", 1)


JPEGS = {
    "plain": {}, "progressive": {"progressive": True}, "full colour": {"subsampling": 0},
    "restarts": {"restart_marker_blocks": 4},
}  # fmt: skip


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_inspect_refuses_what_decode_refuses(mode: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Inspecting makes no pixels of a JPEG, yet must find every damage: cut, overwritten or shortened anywhere."""
    whole = saved(Image.fromarray(make_scene(90, 70)).convert(mode), "JPEG", **options)
    rng, path, found = np.random.default_rng(1), tmp_path / "picture", set()
    for number in range(90):
        data, at = bytearray(whole), int(rng.integers(1, len(whole)))
        if number % 3 == 0:
            del data[at:]
        elif number % 3 == 1:
            data[at] = int(rng.integers(256))
        else:
            del data[at : at + int(rng.integers(1, 60))]
        path.write_bytes(data)
        decoded = outcome(decode, bytes(data))
        assert decoded[0] == "good" or outcome(inspect_file, path)[0] != "good", f"{number}: {at}"
        found.add(decoded[0])
    assert {"good", "truncated"} <= found


def outcome(function: Callable[[Any, int], object], picture: bytes | Path) -> tuple[str, str]:
    """Whether it was good; else the reason and the words."""
    try:
        function(picture, MAX_PIXELS)
    except UndecodableImage as error:
        return error.reason, error.detail
    return "good", ""


@pytest.mark.parametrize(
    ("min_short_edge_px", "expected_px"),
    [(100, (128, 100)), (99, (128, 100)), (101, (256, 200)), (900, (1024, 800))],
)
def test_reduced_never_falls_below_its_edge(min_short_edge_px: int, expected_px: tuple[int, int]) -> None:
    data = encoded(make_scene(1024, 800))
    reduced = decode_reduced(data, min_short_edge_px, MAX_PIXELS).rgb
    assert reduced.shape[1::-1] == expected_px
    full = Image.fromarray(decode(data, MAX_PIXELS).rgb).resize(expected_px, Image.Resampling.BOX)
    assert np.abs(reduced.astype(int) - np.asarray(full)).mean() < 1


def test_reduced_leaves_other_formats_whole() -> None:
    data = encoded(make_scene(256, 200), "PNG")
    np.testing.assert_array_equal(decode_reduced(data, 20, MAX_PIXELS).rgb, decode(data, MAX_PIXELS).rgb)


def test_no_warning_leaks_from_any_thread() -> None:
    noisy = encoded(make_scene(40, 24), exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x0f\x01\x02\0\xff\0\0\0\xff\0\0\0")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                decode(noisy, MAX_PIXELS)
        except BaseException as error:
            failures.append(error)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
    assert (failures, caught) == ([], [])


@settings(max_examples=200)
@given(
    kind=st.sampled_from([*FORMATS, HEIF]),
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    keep=st.floats(0, 1),
)
def test_damaged_bytes_decode_or_are_refused(kind: str, damage: list[tuple[int, int]], keep: float) -> None:
    assert reads_heif(), "the development install has the extra `heic`"
    ramp = np.arange(24 * 16 * 3, dtype=np.uint16).reshape(16, 24, 3) % 256
    data = bytearray(saved(Image.fromarray(ramp.astype(np.uint8)), kind))
    for position, value in damage:
        data[position % len(data)] = value
    try:
        found = decode(bytes(data[: round(len(data) * keep)]), MAX_PIXELS).rgb.shape[2]
    except UndecodableImage as error:
        found = error.reason
    assert found in {3, "not_an_image", "truncated", "too_many_pixels", "unsupported_mode", "broken"}

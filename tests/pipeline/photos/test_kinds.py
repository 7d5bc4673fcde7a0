"""Odd kinds of files come out right or are refused with a reason; never as another picture."""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.photos.decode import decode, upright_size
from pipeline.photos.opening import UndecodableImage, inspect_file
from tests.pipeline.photos.odd_pictures import encoded, icc_profile, linear_grey_profile, make_scene, wide_gamut_profile

SCENE = make_scene(40, 24)
GREY = SCENE[..., 1]
Values = Mapping[int, tuple[str, list[int]]]
SHORT, LONG, BYTE = "H", "I", "B"
_TYPES = {"B": 1, "H": 3, "I": 4}


def tiff(*pages: tuple[np.ndarray, Values], order: str = "<") -> bytes:
    """Uncompressed pages [height, width, colours] or [colours, height, width] where tag 284 says so, of uint8 or uint16."""
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    link = 4
    for pixels, tags in pages:
        apart = tags.get(284, (SHORT, [1]))[1] == [2]
        height, width = pixels.shape[1:] if apart else pixels.shape[:2]
        planes = list(pixels) if apart else [pixels]
        count = pixels.shape[0] if apart else (pixels.shape[2] if pixels.ndim == 3 else 1)
        bits = 8 * pixels.dtype.itemsize
        strips = [plane.astype(plane.dtype.newbyteorder(order)).tobytes() for plane in planes]
        starts = [len(out) + sum(len(strip) for strip in strips[:n]) for n in range(len(strips))]
        out += b"".join(strips) + bytes(sum(map(len, strips)) % 2)
        all_tags = {
            256: (SHORT, [width]), 257: (SHORT, [height]), 258: (SHORT, [bits] * count), 259: (SHORT, [1]),
            262: (SHORT, [2 if count > 2 else 1]), 273: (LONG, starts), 277: (SHORT, [count]), 278: (SHORT, [height]),
            279: (LONG, [len(strip) for strip in strips]), **tags,
        }  # fmt: skip
        entries, beside = b"", b""
        at = len(out) + 2 + 12 * len(all_tags) + 4
        for tag, (kind, values) in sorted(all_tags.items()):
            body = struct.pack(f"{order}{len(values)}{kind}", *values)
            if len(body) > 4:
                place = struct.pack(order + "I", at + len(beside))
                beside += body + bytes(len(body) % 2)
            else:
                place = body.ljust(4, b"\0")
            entries += struct.pack(order + "HHI", tag, _TYPES[kind], len(values)) + place
        struct.pack_into(order + "I", out, link, len(out))
        out += struct.pack(order + "H", len(all_tags)) + entries
        link = len(out)
        out += bytes(4) + beside
    return bytes(out)


def png_with(data: bytes, *chunks: tuple[bytes, bytes], last: bool = False) -> bytes:
    """A PNG with chunks after its header, or before its end."""
    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    at = len(data) - 12 if last else 33
    return data[:at] + made + data[at:]


def webp_with(data: bytes, exif: bytes) -> bytes:
    image, buffer = Image.open(io.BytesIO(data)), io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, exif=exif)
    return buffer.getvalue()


def shown(data: bytes, folder: Path) -> np.ndarray:
    """What `decode` gives; the gate and the size by itself agree."""
    rgb = decode(data, 10**6).rgb
    (folder / "picture").write_bytes(data)
    info = inspect_file(folder / "picture", 10**6)
    assert (info.height_px, info.width_px) == rgb.shape[:2] == upright_size(data, 10**6)[::-1]
    return rgb


def refusal_of(data: bytes, folder: Path) -> tuple[str, str]:
    (folder / "picture").write_bytes(data)
    with pytest.raises(UndecodableImage) as at_the_gate:
        inspect_file(folder / "picture", 10**6)
    with pytest.raises(UndecodableImage) as in_use:
        decode(data, 10**6)
    assert at_the_gate.value.reason == in_use.value.reason
    return at_the_gate.value.reason, at_the_gate.value.detail


def apart(pixels: np.ndarray) -> np.ndarray:
    return np.moveaxis(pixels, -1, 0)


class TestTiff:
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_plain_ones_are_shown_right(self, order: str, tmp_path: Path) -> None:
        np.testing.assert_array_equal(shown(tiff((SCENE, {}), order=order), tmp_path), SCENE)
        np.testing.assert_array_equal(shown(tiff((apart(SCENE), {284: (SHORT, [2])}), order=order), tmp_path), SCENE)
        deep = shown(tiff((SCENE.astype(np.uint16) * 257, {}), order=order), tmp_path)
        np.testing.assert_array_equal(deep, SCENE)
        grey = np.repeat(GREY[..., None], 3, -1)
        np.testing.assert_array_equal(shown(tiff((GREY.astype(np.uint16) * 257, {}), order=order), tmp_path), grey)
        np.testing.assert_array_equal(shown(tiff((255 - GREY, {262: (SHORT, [0])}), order=order), tmp_path), grey)

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_what_pillow_garbles_is_refused(self, order: str, tmp_path: Path) -> None:
        deep, grey = SCENE.astype(np.uint16) * 257, GREY.astype(np.uint16) * 257
        garbled = [
            (apart(deep), {284: (SHORT, [2])}),
            (65535 - grey, {262: (SHORT, [0])}),
            (grey, {258: (SHORT, [12])}),
            (GREY, {339: (SHORT, [2])}),
            (grey, {339: (SHORT, [2])}),
        ]
        reasons = {refusal_of(tiff(page, order=order), tmp_path)[0] for page in garbled}
        assert reasons <= {"unsupported_mode", "not_an_image", "broken", "truncated"}

    def test_a_preview_before_its_picture(self, tmp_path: Path) -> None:
        small = SCENE[::4, ::4]
        for kind, number in ((254, 1), (254, 4), (255, 2)):
            reason, detail = refusal_of(tiff((small, {kind: (LONG, [number])}), (SCENE, {})), tmp_path)
            assert (reason, "preview" in detail) == ("unsupported_mode", True)
        assert "page 2 is larger" in refusal_of(tiff((small, {}), (SCENE, {})), tmp_path)[1]
        after = tiff((SCENE, {254: (LONG, [0])}), (small, {254: (LONG, [1])}))
        np.testing.assert_array_equal(shown(after, tmp_path), SCENE)
        np.testing.assert_array_equal(shown(tiff((SCENE, {}), (255 - SCENE, {})), tmp_path), SCENE)


class TestOrientation:
    TURNED = np.rot90(SCENE, -1)

    @pytest.mark.parametrize("kind", [BYTE, SHORT, LONG])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_of_any_type_in_every_container(self, kind: str, order: str, tmp_path: Path) -> None:
        value = struct.pack(order + kind, 6).ljust(4, b"\0")
        entry = struct.pack(order + "HHI", 0x0112, _TYPES[kind], 1) + value
        start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
        exif = start + entry + bytes(4)
        png = encoded(SCENE, "PNG")
        files = {
            "tiff": tiff((SCENE, {0x0112: (kind, [6])}), order=order),
            "png": png_with(png, (b"eXIf", exif)),
            "png, late": png_with(png, (b"eXIf", exif), last=True),
            "webp": webp_with(png, exif),
        }
        for name, data in files.items():
            np.testing.assert_array_equal(shown(data, tmp_path), self.TURNED, err_msg=name)
        jpeg = shown(encoded(SCENE, exif=b"Exif\0\0" + exif), tmp_path)
        assert np.abs(jpeg.astype(int) - self.TURNED).mean() < 3

    def test_nonsense_turns_nothing(self, tmp_path: Path) -> None:
        for number in (0, 9, 200):
            np.testing.assert_array_equal(shown(tiff((SCENE, {0x0112: (SHORT, [number])})), tmp_path), SCENE)


class TestPng:
    PNG = encoded(SCENE, "PNG")
    SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    WIDE_PRIMARIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)

    @staticmethod
    def gama(gamma: float) -> tuple[bytes, bytes]:
        return b"gAMA", struct.pack(">I", round(gamma * 100_000))

    @staticmethod
    def chrm(values: tuple[int, ...]) -> tuple[bytes, bytes]:
        return b"cHRM", struct.pack(">8I", *values)

    def test_srgb_said_in_any_way_changes_nothing(self, tmp_path: Path) -> None:
        says = [
            [(b"sRGB", b"\0")],
            [(b"sRGB", b"\0"), self.gama(1.0)],
            [self.gama(0.45455), self.chrm(self.SRGB_PRIMARIES)],
            [(b"cICP", bytes([1, 13, 0, 1]))],
            [(b"cICP", bytes([1, 13, 0, 1])), self.gama(1.0)],
            [self.chrm((0,) * 8)],
            [self.gama(0.0)],
        ]
        for chunks in says:
            np.testing.assert_array_equal(shown(png_with(self.PNG, *chunks), tmp_path), SCENE)

    def test_gamma_is_applied(self, tmp_path: Path) -> None:
        """Half of the light is level 188 in sRGB; 1.8 was the Macintosh's."""
        flat = encoded(np.full((4, 4, 3), 128, np.uint8), "PNG")
        assert abs(int(shown(png_with(flat, self.gama(1.0)), tmp_path)[0, 0, 0]) - 188) <= 1
        assert abs(int(shown(png_with(flat, self.gama(1 / 1.8)), tmp_path)[0, 0, 0]) - 147) <= 2
        clear = io.BytesIO()
        Image.new("RGBA", (4, 4), (128, 128, 128, 0)).save(clear, "PNG")
        assert shown(png_with(clear.getvalue(), self.gama(1.0)), tmp_path).min() == 255

    def test_other_primaries_and_codes_are_refused(self, tmp_path: Path) -> None:
        says = [
            [self.gama(0.45455), self.chrm(self.WIDE_PRIMARIES)],
            [(b"cICP", bytes([12, 13, 0, 1]))],
            [(b"cICP", bytes([9, 16, 0, 1]))],
            [(b"cICP", bytes([1, 13, 0, 0]))],
            [self.gama(0.001)],
        ]
        for chunks in says:
            assert refusal_of(png_with(self.PNG, *chunks), tmp_path)[0] == "unsupported_mode"

    def test_a_profile_goes_before_all_that(self, tmp_path: Path) -> None:
        data = encoded(SCENE, "PNG", icc_profile=wide_gamut_profile())
        at = data.index(b"iCCP") - 4
        chunks = png_with(data, self.gama(1.0), self.chrm(self.WIDE_PRIMARIES))
        np.testing.assert_array_equal(shown(chunks, tmp_path), shown(data, tmp_path))
        assert at == 33

    @pytest.mark.parametrize("deep", [False, True])
    def test_one_transparent_colour(self, deep: bool, tmp_path: Path) -> None:
        """The colour that tRNS names becomes white, in 16 bits too; one that differs in the low byte alone may."""
        width, height, bits = 2, 1, 16 if deep else 8
        levels = [(200, 10, 10), (10, 200, 10)]
        row = b"".join(struct.pack(">3H", *(v * 257 for v in one)) if deep else bytes(one) for one in levels)
        header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
        transparent = struct.pack(">3H", *(v * 257 if deep else v for v in levels[0]))
        data = b"\x89PNG\r\n\x1a\n" + png_with(
            bytes(33) + bytes(12), (b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(b"\0" + row)),
            (b"IEND", b""),
        )[33:-12]  # fmt: skip
        np.testing.assert_array_equal(shown(data, tmp_path)[0], [(255, 255, 255), (10, 200, 10)])


class TestProfiles:
    def test_one_of_grey_takes_no_colour_away(self, tmp_path: Path) -> None:
        data = encoded(SCENE, "PNG", icc_profile=linear_grey_profile())
        np.testing.assert_array_equal(shown(data, tmp_path), SCENE)

    @pytest.mark.parametrize("kind", [b"link", b"abst", b"nmcl"])
    def test_those_of_no_device_are_ignored(self, kind: bytes, tmp_path: Path) -> None:
        profile = bytearray(wide_gamut_profile())
        profile[12:16] = kind
        np.testing.assert_array_equal(shown(encoded(SCENE, "PNG", icc_profile=bytes(profile)), tmp_path), SCENE)

    def test_cut_ones_are_ignored(self, tmp_path: Path) -> None:
        for profile in (wide_gamut_profile()[:200], icc_profile(b"RGB ", {}), b"\0" * 128):
            np.testing.assert_array_equal(shown(encoded(SCENE, "PNG", icc_profile=profile), tmp_path), SCENE)


def test_pictures_of_other_makers_say_what_they_are(tmp_path: Path) -> None:
    kinds = {
        b"\0\0\0\x18ftypmp42\0\0\0\0isommp42": "a video, or another file of the kind 'mp42'",
        b"\0\0\0\x14ftypmp42\0\0\0\0isom" + 4 * b"heic": "a video", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom": "raw",
        b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL", b"\xff\x0a" + bytes(20): "JPEG XL",
        b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000", b"8BPS\0\1": "Photoshop", b"<?xml version='1.0'?><svg": "SVG",
        b"FUJIFILMCCD-RAW ": "raw",
    }  # fmt: skip
    for data, words in kinds.items():
        reason, detail = refusal_of(data, tmp_path)
        assert reason == "not_an_image"
        assert words in detail
        assert detail.endswith("which is not taken; save it as JPEG, PNG or TIFF")

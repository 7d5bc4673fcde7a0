"""Pictures as phones make them, HEIC and AVIF, come out right or are refused with what to do."""

import builtins
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.curation.hints import camera_and_software
from pipeline.dedupe.hashes import grey_exact, grey_fast
from pipeline.errors import StorageError
from pipeline.photos.decode import decode, decode_reduced, upright_size
from pipeline.photos.opening import UndecodableImage, inspect_file
from pipeline.pillow import reads_heif
from tests.pipeline.photos.odd_pictures import wide_gamut_profile

MAX_PIXELS = 1_000_000
FORMATS = ("HEIF", "AVIF")

assert reads_heif(), "the development install has the extra `heic`"


def drawing(width_px: int = 160, height_px: int = 96) -> Image.Image:
    """Large areas of colour, that lossy codecs keep."""
    image = Image.new("RGB", (width_px, height_px), (190, 180, 160))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width_px // 2, height_px // 3), fill=(200, 60, 50))
    draw.ellipse((width_px // 2, height_px // 2, width_px - 8, height_px - 4), fill=(40, 90, 180))
    return image


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **{"quality": 95, **options})
    return buffer.getvalue()


def exif_of(**tags: object) -> bytes:
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[int(tag.removeprefix("t"), 16)] = value
    return exif.tobytes()


def apart(one: np.ndarray, other: object) -> float:
    """Mean difference in levels."""
    return float(np.abs(one.astype(int) - np.asarray(other).astype(int)).mean())


@pytest.mark.parametrize("file_format", FORMATS)
def test_it_is_shown_as_it_was(file_format: str, tmp_path: Path) -> None:
    data = saved(drawing(), file_format)
    found = decode(data, MAX_PIXELS)
    assert apart(found.rgb, drawing()) < 2
    for grey in (grey_exact, grey_fast):
        assert apart(grey(data), drawing().convert("L")) < 2
    assert (found.format, found.frames) == (file_format, 1)
    (tmp_path / "picture").write_bytes(data)
    info = inspect_file(tmp_path / "picture", MAX_PIXELS)
    assert (info.width_px, info.height_px, info.format) == (160, 96, file_format)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright(file_format: str, orientation: int) -> None:
    stored = np.asarray(drawing())
    upright = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1), 7: np.rot90(stored, 2).transpose(1, 0, 2), 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    data = saved(drawing(), file_format, exif=exif_of(t0112=orientation))
    found = decode(data, MAX_PIXELS).rgb
    assert found.shape == upright.shape
    assert apart(found, upright) < 2
    assert upright_size(data, MAX_PIXELS) == upright.shape[1::-1]


@pytest.mark.parametrize("file_format", FORMATS)
def test_its_profile_counts_and_its_exif_is_read(file_format: str) -> None:
    image = Image.new("RGB", (64, 64), (180, 60, 60))
    data = saved(image, file_format, icc_profile=wide_gamut_profile(), exif=exif_of(t010f="Apple", t0110="iPhone 7"))
    assert apart(decode(data, MAX_PIXELS).rgb, np.full((64, 64, 3), (197, 43, 51))) < 3
    assert camera_and_software(data) == ("Apple iPhone 7", None)


def test_the_preview_in_it_is_not_taken_for_it() -> None:
    """A reduced decode asks for less, and a reader might give the thumbnail: another picture, of other quality."""
    from pillow_heif import HeifFile

    file = HeifFile()
    file.add_from_pillow(drawing(640, 384))
    file[0].info["thumbnails"] = [128]
    buffer = io.BytesIO()
    file.save(buffer, quality=95)
    found = decode_reduced(buffer.getvalue(), 64, MAX_PIXELS)
    assert found.rgb.shape == (384, 640, 3)
    assert apart(found.rgb, drawing(640, 384)) < 2


@pytest.mark.parametrize("file_format", FORMATS)
def test_hdr_without_a_profile_is_refused(file_format: str) -> None:
    """BT.2020 by the curve of HLG: shown as sRGB it would be pale."""
    data = saved(drawing(), file_format)
    at = data.index(b"colrnclx") + 8
    hdr = data[:at] + b"\0\x09\0\x12" + data[at + 4 :]
    with pytest.raises(UndecodableImage, match=r"another colour space than sRGB \(nclx 9 18\), as HDR is; save it as JPEG"):
        decode(hdr, MAX_PIXELS)


@pytest.mark.parametrize("file_format", FORMATS)
def test_it_is_not_decoded_beyond_the_limit(file_format: str) -> None:
    with pytest.raises(UndecodableImage, match="160 × 96 pixels") as caught:
        decode(saved(drawing(), file_format), 1000)
    assert caught.value.reason == "too_many_pixels"


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plain_import = builtins.__import__

    def importing(name: str, *arguments: object, **named: object) -> object:
        if name == "pillow_heif":
            raise ImportError(name)
        return plain_import(name, *arguments, **named)  # pyright: ignore[reportArgumentType]

    reads_heif.cache_clear()
    monkeypatch.setattr(builtins, "__import__", importing)
    yield
    reads_heif.cache_clear()


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_a_heic_says_what_to_install() -> None:
    with pytest.raises(
        UndecodableImage, match=r"a HEIC picture: `pip install 'bokehflow\[heic\]'`.*or save it as JPEG"
    ) as caught:
        decode(saved(drawing(), "HEIF"), MAX_PIXELS)
    assert caught.value.reason == "not_an_image"
    with pytest.raises(StorageError, match=r"cannot be decoded .*`pip install 'bokehflow\[heic\]'`"):
        grey_exact(saved(drawing(), "HEIF"))
    assert apart(decode(saved(drawing(), "AVIF"), MAX_PIXELS).rgb, drawing()) < 2


@pytest.mark.parametrize(
    ("head", "file_format"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", "HEIF"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
    ],
)
def test_by_its_brands_a_broken_one_is_told_from_what_is_no_picture(head: bytes, file_format: str) -> None:
    with pytest.raises(UndecodableImage, match=f"begins like an? {file_format} file, but its header cannot") as caught:
        decode(head, MAX_PIXELS)
    assert caught.value.reason == "broken"

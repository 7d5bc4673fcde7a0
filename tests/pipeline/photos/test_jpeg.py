"""Whole JPEGs pass, however they were saved; broken copies of them do not."""

import io
import random
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from simplejpeg import decode_jpeg

from pipeline.photos.inspectors import Inspectors
from pipeline.photos.jpeg import structure_of
from pipeline.photos.opening import UndecodableImage, inspect_file
from tests.pipeline.dedupe.worlds import scene
from tests.pipeline.photos.odd_pictures import encoded

PORTRAITS = Path(__file__).parents[4] / "shared" / "portraits"
WAYS = {
    "plain": {}, "progressive": {"progressive": True}, "optimised": {"optimize": True}, "full colour": {"subsampling": 0},
    "half colour": {"subsampling": 1}, "restarts": {"restart_marker_blocks": 7},
    "progressive restarts": {"restart_marker_rows": 1, "progressive": True}, "coarse": {"quality": 5, "optimize": True},
    "fine": {"quality": 100}, "coarse progressive": {"quality": 10, "progressive": True},
}  # fmt: skip
MODES = ("RGB", "L", "CMYK")
MOTION = b"\0\0\0\x18ftypmp42" + bytes(3000) + b"\xff\xda" * 300


def saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **({"quality": 90} | options))
    return buffer.getvalue()


def reason_of(data: bytes, folder: Path) -> str | None:
    """None where it is taken."""
    path = folder / "picture"
    path.write_bytes(data)
    try:
        inspect_file(path, 10**7)
    except UndecodableImage as error:
        return error.reason
    return None


def first_code(data: bytes) -> int:
    """Where the first scan's code begins, about."""
    return data.index(b"\xff\xda") + 14


def zero_tail(data: bytes, cut: int, _: bytes) -> bytes:
    return data[:cut] + bytes(len(data) - cut)


def cut_and_closed(data: bytes, cut: int, _: bytes) -> bytes:
    return data[:cut] + b"\xff\xd9"


def zeros_and_closed(data: bytes, cut: int, _: bytes) -> bytes:
    return data[:cut] + bytes(len(data) - cut - 2) + b"\xff\xd9"


def hole(data: bytes, cut: int, _: bytes) -> bytes:
    return data[:cut] + bytes(512) + data[cut + 512 :]


def second_half_of_another(data: bytes, cut: int, other: bytes) -> bytes:
    return data[:cut] + other[min(cut, len(other) // 2) :]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", WAYS)
def test_whole_ones_pass_with_whatever_follows_them(way: str, mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(scene(1)).convert(mode)
    data = saved(image, **WAYS[way])
    exif = Image.Exif()
    exif[0x0112] = 6
    thumbnail = b"Exif\0\0" + exif.tobytes() + saved(Image.fromarray(scene(2, 64, 48)))
    fine = [data, data + bytes(5000), data + MOTION, data + saved(image), data[:-2] + b"\0\xff\xd9"]
    fine += [saved(image, **WAYS[way], exif=thumbnail), saved(image, **WAYS[way], comment=b"\xff\xda" * 400)]
    assert [reason_of(one, tmp_path) for one in fine] == [None] * len(fine)


def test_no_more_pixels_are_made_than_reading_the_code_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []

    def noting(*arguments: object, **options: object) -> object:
        pixels = decode_jpeg(*arguments, **options)
        made.append(pixels.shape)
        return pixels

    monkeypatch.setattr("pipeline.photos.jpeg.simplejpeg.decode_jpeg", noting)
    assert reason_of(saved(Image.new("RGB", (1600, 800), "olive")), tmp_path) is None
    assert made == [(100, 200, 1)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("colour", ["white", "black", (90, 1, 1)])
def test_flat_pictures_are_no_holes(way: str, colour: object, tmp_path: Path) -> None:
    page = Image.new("RGB", (900, 700), colour)
    drawn = page.copy()
    ImageDraw.Draw(drawn).ellipse((400, 100, 700, 500), fill="grey")
    assert [reason_of(saved(image, **WAYS[way]), tmp_path) for image in (page, drawn)] == [None, None]


@pytest.mark.parametrize("break_it", [zero_tail, cut_and_closed, zeros_and_closed, hole, second_half_of_another])
@pytest.mark.parametrize("way", ["plain", "optimised", "full colour", "restarts", "fine"])
def test_broken_copies_do_not(way: str, break_it: Callable[[bytes, int, bytes], bytes], tmp_path: Path) -> None:
    data = saved(Image.fromarray(scene(1, 640, 480)), **WAYS[way])
    other = saved(Image.fromarray(scene(2, 640, 480)), **WAYS[way])
    rng = random.Random(1)
    for _ in range(12):
        cut = rng.randrange(first_code(data) + 100, len(data) - 1000)
        assert reason_of(break_it(data, cut, other), tmp_path) in {"truncated", "broken"}, cut


@pytest.mark.parametrize("way", ["progressive", "progressive restarts"])
def test_nor_do_progressive_ones(way: str, tmp_path: Path) -> None:
    data = saved(Image.fromarray(scene(1, 640, 480)), **WAYS[way])
    for cut in range(first_code(data) + 100, len(data) - 1000, len(data) // 12):
        assert reason_of(zero_tail(data, cut, b""), tmp_path) == "truncated"


def test_oddities_of_the_metadata_hide_no_damage(tmp_path: Path) -> None:
    data = bytearray(saved(Image.fromarray(scene(1))))
    data[data.index(b"JFIF\0") + 5] = 9  # a revision that libjpeg warns of
    assert reason_of(bytes(data), tmp_path) is None
    assert reason_of(bytes(data[: len(data) // 2]) + b"\xff\xd9", tmp_path) == "truncated"


@pytest.mark.parametrize("progressive", [False, True])
def test_scans_are_counted_in_every_jpeg_and_in_it_alone(progressive: bool, tmp_path: Path) -> None:
    data = saved(Image.fromarray(scene(1, 64, 48)), progressive=progressive)
    last = data.rindex(b"\xff\xda")
    many = data[:-2] + data[last:-2] * 200 + b"\xff\xd9"
    assert structure_of(many).scans > 200
    assert reason_of(many, tmp_path) == "too_many_scans"
    assert reason_of(data + b"\xff\xda" * 5000, tmp_path) is None


def test_stray_bytes_before_the_end_are_a_cameras_habit(tmp_path: Path) -> None:
    data = saved(Image.fromarray(scene(1)))
    assert reason_of(data[:-2] + b"\1\2" + data[-2:], tmp_path) is None
    assert reason_of(data[:-2] + bytes(range(1, 60)) + data[-2:], tmp_path) == "broken"


def test_the_processes_say_what_they_took_all_the_same(tmp_path: Path) -> None:
    data = encoded(scene(1, 40, 30), "PNG")
    frames = b"acTL" + bytes(8)
    chunk = b"\0\0\0\x08" + frames + zlib.crc32(frames).to_bytes(4)
    (tmp_path / "odd.png").write_bytes(data[:33] + chunk + data[33:])
    with closing(Inspectors(1)) as inspectors:
        (remark,) = inspectors.inspect(tmp_path / "odd.png", 10**6).remarks
    assert "Invalid APNG" in remark


@pytest.mark.slow
@pytest.mark.skipif(not PORTRAITS.exists(), reason="portraits are not at hand")
def test_no_real_portrait_is_refused(tmp_path: Path) -> None:
    refused = []
    for number, path in enumerate(sorted(PORTRAITS.glob("*/*.jpg"))):
        data = path.read_bytes()
        image = Image.open(path)
        again = saved(image.convert(MODES[number % 3]), **list(WAYS.values())[number % len(WAYS)])
        refused += [path.name for one in (data, data + MOTION, again) if reason_of(one, tmp_path)]
    assert refused == []

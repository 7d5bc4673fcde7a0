"""Depth maps from files: the very numbers, and a reason where there are none."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.depth.files import ReadPicture, read_array, read_depth_map
from pipeline.depth.units import DepthError, DepthUnit
from pipeline.photos.inspectors import Inspectors
from pipeline.photos.opening import UndecodableImage

MILLIMETRES = DepthUnit.parse("mm")


@pytest.fixture(scope="module")
def read_picture() -> Iterator[ReadPicture]:
    with closing(Inspectors(1)) as inspectors:
        yield lambda path: inspectors.read_checked(path, 10_000_000, 1_000_000)


def test_sixteen_bits_are_read_as_they_are(tmp_path: Path, read_picture: ReadPicture) -> None:
    values = np.array([[0, 255, 256], [1000, 40_000, 65_535]], np.uint16)
    for name in ("map.png", "map.tiff"):
        Image.fromarray(values).save(tmp_path / name)
        found = read_depth_map(tmp_path / name, MILLIMETRES, read_picture)
        assert np.allclose(found.disparity[values > 0], 1000 / values[values > 0], rtol=1e-6)
        assert found.disparity[0, 0] == 0


def test_arrays_are_read_whatever_their_order_and_axes(tmp_path: Path, read_picture: ReadPicture) -> None:
    metres = np.arange(1, 13, dtype=np.float64).reshape(3, 4)
    for number, array in enumerate((metres, np.asfortranarray(metres), metres[..., None], metres.astype(">f4"))):
        np.save(tmp_path / f"{number}.npy", array)
        assert np.allclose(
            read_depth_map(tmp_path / f"{number}.npy", DepthUnit.parse("m"), read_picture).disparity, 1 / metres
        )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "shape"),
        (np.zeros((0, 4), np.float32), "shape"),
        (np.zeros((4, 4), np.complex64), "numbers"),
        (np.zeros((4, 4), "U3"), "numbers"),
        (np.full((4, 4), np.nan, np.float32), "no pixel has a depth"),
    ],
)
def test_arrays_that_are_no_maps_are_refused(tmp_path: Path, values: np.ndarray, words: str) -> None:
    np.save(tmp_path / "map.npy", values)
    with pytest.raises(DepthError, match=words):
        read_depth_map(tmp_path / "map.npy", DepthUnit.parse("m"), Path.read_bytes)


def test_objects_are_never_unpickled_and_headers_not_believed(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([[object()]]), allow_pickle=True)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**9)})
    (tmp_path / "huge.npy").write_bytes(buffer.getvalue())
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00{'descr'")
    for name in ("objects", "huge", "cut"):
        with pytest.raises(DepthError):
            read_array(tmp_path / f"{name}.npy")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_array_are_a_reason_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npy"
    for content in (data, b"\x93NUMPY\x01\x00" + data):
        path.write_bytes(content)
        with pytest.raises(DepthError):
            read_array(path)


def test_eight_bits_hold_no_distances_but_an_order(tmp_path: Path, read_picture: ReadPicture) -> None:
    Image.fromarray(np.array([[10, 200]], np.uint8)).save(tmp_path / "map.png")
    with pytest.raises(DepthError, match="8 bits"):
        read_depth_map(tmp_path / "map.png", MILLIMETRES, read_picture)
    assert read_depth_map(tmp_path / "map.png", DepthUnit.parse("disparity"), read_picture).disparity.tolist() == [[10, 200]]


def test_damaged_and_huge_maps_are_a_reason_and_never_a_crash(tmp_path: Path) -> None:
    path, values = tmp_path / "map.png", np.random.default_rng(0).integers(0, 60_000, (40, 40), np.uint16)
    Image.fromarray(values).save(path)
    good = path.read_bytes()
    huge = good[:16] + struct.pack(">II", 60_000, 60_000) + good[24:29]
    huge += struct.pack(">I", zlib.crc32(huge[12:])) + good[33:]
    jpeg = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(jpeg, "jpeg")
    for data, words in (
        (b"<html>", "is no PNG or TIFF"), (b"", "is no PNG or TIFF"), (jpeg.getvalue(), "is no PNG or TIFF"),
        (good[:20], "Truncated"), (good[:500], "truncated"), (good[:45] + b"\xff" + good[46:], "cannot be read"),
        (huge, "3600000000 pixels"),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(DepthError, match=words):
            read_depth_map(path, MILLIMETRES, Path.read_bytes)


def test_coloured_maps_and_no_pictures_are_refused(tmp_path: Path, read_picture: ReadPicture) -> None:
    Image.new("RGB", (3, 3), "red").save(tmp_path / "colour.png")
    (tmp_path / "text.png").write_text("<html>")
    with pytest.raises(DepthError, match="grey"):
        read_depth_map(tmp_path / "colour.png", MILLIMETRES, read_picture)
    with pytest.raises(UndecodableImage):
        read_depth_map(tmp_path / "text.png", MILLIMETRES, read_picture)

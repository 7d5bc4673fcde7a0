"""Maps of depth as a home keeps them: what was known stays so, and what is no map says what to do."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.depth.maps import encoded, map_digest, map_png, read_map
from pipeline.depth.units import DepthError, DepthMap
from pipeline.errors import DatasetError
from pipeline.picture_layers import Encoding


def disparity_map(seed: int, least: float, most: float) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(least, most, (9, 7)).astype(np.float32)
    values[0, :3] = 0
    return values


@given(st.integers(0, 99), st.floats(0.02, 0.4), st.floats(0.5, 30), st.booleans())
def test_sixteen_bits_are_enough_and_the_unknown_stays_unknown(seed: int, least: float, most: float, metric: bool) -> None:
    values = disparity_map(seed, least, most)
    stored, encoding = encoded(DepthMap(values, metric))
    back = Encoding.parse(str(encoding)).disparity(stored)
    assert ((back > 0) == (values > 0)).all()
    assert np.abs(back - values).max() <= encoding.scale * 0.51 + 1e-5
    assert encoding.scale <= max(1e-4, most / 65_000)


def test_a_flat_relative_map_has_a_scale_all_the_same() -> None:
    stored, encoding = encoded(DepthMap(np.full((4, 4), 2.5, np.float32), False))
    np.testing.assert_allclose(encoding.disparity(stored), 2.5, rtol=1e-5)


def test_nothing_known_is_no_map() -> None:
    with pytest.raises(DepthError, match="no pixel has a depth"):
        encoded(DepthMap(np.zeros((4, 4), np.float32), True))


def test_a_file_says_itself_what_its_numbers_mean(tmp_path: Path) -> None:
    stored, encoding = encoded(DepthMap(disparity_map(1, 0.1, 2), True))
    path = tmp_path / "map.png"
    path.write_bytes(map_png(stored, encoding))
    again, text = read_map(path)
    np.testing.assert_array_equal(again, stored)
    assert text == str(encoding) == "dioptre 0.0001 0.0"
    first = map_digest(path)
    path.write_bytes(map_png(stored, Encoding("dioptre", 0.0002, 0.0)))
    assert map_digest(path) != first, "other meaning, other map"


def test_what_is_no_map_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    with pytest.raises(DatasetError, match="is missing"):
        read_map(path)
    Image.new("L", (4, 4)).save(path)
    with pytest.raises(DatasetError, match="has the mode L, not 16-bit grey"):
        read_map(path)
    Image.fromarray(np.ones((4, 4), np.uint16)).save(path)
    with pytest.raises(DatasetError, match="does not say what the numbers"):
        read_map(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="is damaged"):
        read_map(path)

"""What a number in a depth map means: stated, never guessed, and doubted where no portrait has such distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.depth.units import DepthError, DepthMap, DepthUnit
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "stored", "disparity"),
    [
        ("m", 2.0, 0.5), ("mm", 2000, 0.5), ("m/5000", 10_000, 0.5),
        ("dioptre", 0.5, 0.5), ("dioptre/10000", 5000, 0.5), ("disparity", 37.0, 37.0),
    ],
)  # fmt: skip
def test_every_unit_has_its_value(text: str, stored: float, disparity: float) -> None:
    assert DepthUnit.parse(text).disparity(np.array([[stored]]))[0, 0] == pytest.approx(disparity)


@pytest.mark.parametrize("text", ["", "cm", "m/0", "m/-5", "M", "mm/", "m/1e9", "dioptre/nan", "m\n/5", "5000"])
def test_what_is_no_unit_is_refused_with_the_units_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match="m/5000"):
        DepthUnit.parse(text)


@given(
    st.sampled_from([0.0, -1.0, float("nan"), float("inf"), float("-inf")]),
    st.sampled_from(["m", "mm", "dioptre", "disparity"]),
)
def test_no_number_is_unknown_and_not_near(stored: float, unit: str) -> None:
    assert DepthUnit.parse(unit).disparity(np.array([[stored]]))[0, 0] == 0.0


@given(st.floats(0.2, 90))
def test_metres_there_and_back(depth_m: float) -> None:
    unit = DepthUnit.parse("mm")
    assert 1 / unit.disparity(np.array([[depth_m * 1000]]))[0, 0] == pytest.approx(depth_m, rel=1e-5)


@pytest.mark.parametrize("unit", ["m", "mm"])
def test_a_map_in_the_other_unit_is_found_out(unit: str) -> None:
    metres, other = np.full((4, 4), 1.8), {"m": 1000.0, "mm": 1.0}[unit]
    with pytest.raises(DepthError, match=r"median 1\.8e\+03 m|median 0\.0018 m"):
        DepthMap(DepthUnit.parse(unit).disparity(metres * other), True).check("map.png")


def test_a_map_of_nothing_is_refused_and_one_of_something_told_in_metres() -> None:
    with pytest.raises(DepthError, match="no pixel has a depth"):
        DepthMap(np.zeros((2, 2), np.float32), True).check("map.png")
    found = DepthMap(np.array([[0.5, 1.0], [0.25, 0.0]], np.float32), True)
    found.check("map.png")
    assert found.summary() == "1 to 4 m, median 2 m, 75% known"

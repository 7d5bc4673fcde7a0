"""Networks of depth in files: made-up ones of the shapes of the known networks, and files that are none."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import parse_project
from pipeline.depth.onnx_depth import NAMED, NetworkForm, OnnxDepth
from pipeline.depth.units import DepthError
from pipeline.errors import ConfigError
from pipeline.operations.estimators import depth_estimator, depth_makers
from storage import Home
from tests.pipeline.depth.networks import Side, write_network

BYTES = NetworkForm("bytes", 64, 32, "disparity")


def photo() -> np.ndarray:
    """A red subject before a dark wall, 150×100 px."""
    rgb = np.full((100, 150, 3), 40, np.uint8)
    rgb[30:, 60:110, 0] = 200
    return rgb


@pytest.mark.parametrize(("named", "sides"), [("depth_anything_v2_small", ("h", "w")), ("midas_small", (256, 256))])
def test_a_named_network_in_a_file_estimates_the_photos_of_a_project(
    tmp_path: Path, named: str, sides: tuple[Side, Side]
) -> None:
    write_network(tmp_path / "net.onnx", *sides)
    text = f'[domains.ordinary]\n[domains.shallow]\n[depth]\nestimator = "{named}"\nnetwork = "net.onnx"\n'
    project = parse_project(text, tmp_path / "bokehflow.toml")
    estimator = depth_estimator(project, Home(tmp_path))
    found = estimator.depth("ab", ["folder:1"], photo())
    assert found.disparity.shape == (100, 150)
    assert not found.is_metric
    assert found.known.all()
    assert found.disparity[60, 80] > 5 * found.disparity[10, 10]
    made = depth_makers(project, Home(tmp_path), None)
    write_network(tmp_path / "net.onnx", *sides, weights=(0.5, 0.5, 0.5))
    assert depth_estimator(project, Home(tmp_path)).key != estimator.key
    assert depth_makers(project, Home(tmp_path), None) != made


def test_a_network_sees_what_its_form_says(tmp_path: Path) -> None:
    path = write_network(tmp_path / "net.onnx")
    for sees, high, low in (("bytes", 200, 40), ("unit", 200 / 255, 40 / 255)):
        metres = OnnxDepth(path, NetworkForm(sees, 64, 32, "m")).depth(photo() // (1 if sees == "unit" else 40))
        expected = (1 / high, 1 / low) if sees == "unit" else (1 / 5, 1)
        assert metres.is_metric
        assert (metres.disparity.min(), metres.disparity.max()) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    small = NAMED["depth_anything_v2_small"]
    assert (small.short_side_px % small.multiple_px, small.sees) == (0, "imagenet")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"<html>", "onnxruntime cannot read this network"), (b"", "onnxruntime cannot read")],
)
def test_a_file_that_is_no_network_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"net\.onnx.*{said}"):
        OnnxDepth(tmp_path / "net.onnx", BYTES)


def test_what_a_network_gives_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(DepthError, match=r"flat\.onnx gives the same for every pixel"):
        OnnxDepth(write_network(tmp_path / "flat.onnx", weights=(0, 0, 0)), BYTES).depth(photo())
    with pytest.raises(DepthError, match="or what is no number"):
        OnnxDepth(write_network(tmp_path / "nan.onnx", weights=(np.nan, 0, 0)), BYTES).depth(photo())
    with pytest.raises(DepthError, match="which no portrait has; correct the unit of depth"):
        OnnxDepth(write_network(tmp_path / "far.onnx", weights=(1e6, 0, 0)), NetworkForm("bytes", 64, 32, "m")).depth(
            photo()
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('estimator = "midas_small"', "'midas_small' and network = .* go together"),
        ('network = "net.onnx"', "go together"),
        (
            'estimator = "midas_small"\nnetwork = "a.onnx"\nnetwork_side_px = 300',
            "network_side_px: only for estimator = 'onnx'",
        ),
    ],
)
def test_settings_of_a_network_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_project(f"[domains.ordinary]\n[domains.shallow]\n[depth]\n{text}\n", tmp_path / "bokehflow.toml")

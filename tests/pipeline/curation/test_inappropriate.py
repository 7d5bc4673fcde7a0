"""The optional model gets what it was trained on: the middle of the squeezed picture, BGR, less the mean."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.curation.inappropriate import OpenNsfw


@pytest.fixture
def blue_mean(tmp_path: Path) -> Path:
    """A model whose second score is the mean of its input's first channel."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Gather", ["means", "order"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 224, 224, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor("order", TensorProto.INT64, [2], [1, 0])],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_the_model_sees_the_middle_as_bgr_less_the_mean(blue_mean: Path) -> None:
    rate = OpenNsfw(blue_mean)
    picture = np.zeros((512, 768, 3), np.uint8)
    picture[64:-64, 96:-96] = (10, 20, 254)
    picture[:20], picture[:, :20] = 255, 255
    share = (384 / 512 * 256 / 224) * (576 / 768 * 256 / 224)
    assert rate(picture) == pytest.approx(254 * share - 104, abs=1.0)
    assert rate.version.startswith("opennsfw-")

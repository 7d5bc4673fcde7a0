"""Networks of depth in ONNX files, made up."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

Side = int | str


def write_network(path: Path, height: Side = "height", width: Side = "width", weights: Sequence[float] = (1, 0, 0)) -> Path:
    """One convolution of 1×1 without its channel: `weights` of red, green and blue; [1, 3, h, w] → [1, h, w]."""
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, 3, 1, 1], [float(weight) for weight in weights])
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    nodes = [helper.make_node("Conv", ["in", "kernel"], ["deep"]), helper.make_node("Squeeze", ["deep", "axis"], ["out"])]
    seen = helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, height, width])
    given = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, height, width])
    graph = helper.make_graph(nodes, "depth", [seen], [given], [kernel, axis])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path

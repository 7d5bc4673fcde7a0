"""A network stored as ONNX, walked node by node in torch, so that gradients reach its input.

Only what U²-Netp is made of is understood; anything else is refused when the file is read. The weights are buffers outside
the state: they move with a model, but neither train nor enter its checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import WeightsError

Attributes = Mapping[str, Any]
Operation = Callable[[Sequence[Tensor], Attributes], Tensor]


class OnnxNetwork(nn.Module):
    """The part of a stored graph between its input and one value of it."""

    def __init__(self, model: bytes, before: str | None = None) -> None:
        """`before`: a kind of operation, such as "Sigmoid": the value wanted is what the one that makes the graph's first
        output is given; without it, that output. `WeightsError` for a file that is not understood."""
        super().__init__()
        graph = _parsed(model)
        constants = {one.name: _tensor(one) for one in graph.initializer}
        self._input = next(one.name for one in graph.input if one.name not in constants)
        self._wanted = _wanted(graph, before)
        self._nodes = _needed(graph.node, self._wanted)
        for node in self._nodes:
            if node.op_type == "Constant":
                constants[node.output[0]] = _tensor(node.attribute[0].t)
            elif node.op_type not in OPERATIONS:
                raise WeightsError(f"this network has an operation that is not understood: {node.op_type}")
        self._steps = [
            (OPERATIONS[node.op_type], list(node.input), node.output[0], _attributes(node))
            for node in self._nodes
            if node.op_type != "Constant"
        ]
        self._sizes = {name: value for name, value in constants.items() if not value.is_floating_point()}
        self._places = {}
        for number, (name, value) in enumerate(sorted(constants.items())):
            if value.is_floating_point():
                self._places[name] = f"weight_{number}"
                self.register_buffer(self._places[name], value, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        values = {"": images.new_empty(0), self._input: images, **self._sizes}
        values |= {name: getattr(self, place) for name, place in self._places.items()}
        for operation, inputs, output, attributes in self._steps:
            values[output] = operation([values[name] for name in inputs], attributes)
        return values[self._wanted]


def _parsed(model: bytes) -> Any:  # noqa: ANN401  (the package carries no types)
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_from_string(model).graph
    except DecodeError as error:
        raise WeightsError(f"these weights are no ONNX: {error}") from error


def _wanted(graph: Any, before: str | None) -> str:  # noqa: ANN401
    first = graph.output[0].name
    if before is None:
        return first
    makers = [node for node in graph.node if first in node.output and node.op_type == before]
    if not makers:
        raise WeightsError(f"this network does not end with {before}")
    return makers[0].input[0]


def _needed(nodes: Sequence[Any], wanted: str) -> list[Any]:
    """Those that lead to the value wanted, in their order."""
    names, needed = {wanted}, []
    for node in reversed(nodes):
        if names & set(node.output):
            needed.append(node)
            names |= set(node.input)
    return needed[::-1]


def _tensor(stored: Any) -> Tensor:  # noqa: ANN401
    from onnx import numpy_helper

    return torch.from_numpy(numpy_helper.to_array(stored).copy())


def _attributes(node: Any) -> Attributes:  # noqa: ANN401
    from onnx import helper

    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    _refuse_others(node.op_type, found)
    return found


def _refuse_others(kind: str, attributes: Attributes) -> None:
    """Raises `WeightsError` for a way of resizing that torch's would not equal."""
    if kind == "Resize" and (attributes.get("mode"), attributes.get("coordinate_transformation_mode")) != (
        b"linear",
        b"pytorch_half_pixel",
    ):
        raise WeightsError("this network resizes in a way that is not understood")


def _convolution(values: Sequence[Tensor], attributes: Attributes) -> Tensor:
    top, left, _, _ = attributes["pads"]
    picture, weight, bias = values
    stride, dilation = tuple(attributes["strides"]), tuple(attributes["dilations"])
    return functional.conv2d(picture, weight, bias, stride, (top, left), dilation, attributes["group"])


def _pooling(values: Sequence[Tensor], attributes: Attributes) -> Tensor:
    kernel, stride = attributes["kernel_shape"], attributes["strides"]
    return functional.max_pool2d(values[0], kernel, stride, ceil_mode=bool(attributes.get("ceil_mode", 0)))


def _slice(values: Sequence[Tensor], attributes: Attributes) -> Tensor:
    vector, start, end, _ = values
    return vector[int(start) : int(end)]


def _resized(values: Sequence[Tensor], attributes: Attributes) -> Tensor:
    rows, columns = (int(size) for size in values[3][2:])
    return functional.interpolate(values[0], (rows, columns), mode="bilinear", align_corners=False)


OPERATIONS: dict[str, Operation] = {
    "Add": lambda values, attributes: values[0] + values[1],
    "Cast": lambda values, attributes: values[0],
    "Concat": lambda values, attributes: torch.cat([*values], attributes["axis"]),
    "Conv": _convolution,
    "Gather": lambda values, attributes: values[0][values[1]],
    "MaxPool": _pooling,
    "Relu": lambda values, attributes: functional.relu(values[0]),
    "Resize": _resized,
    "Shape": lambda values, attributes: torch.tensor(values[0].shape),
    "Sigmoid": lambda values, attributes: torch.sigmoid(values[0]),
    "Slice": _slice,
    "Unsqueeze": lambda values, attributes: values[0].reshape(1),
}
"""What each kind of node does; whole numbers, as of `Shape`, are sizes and stay on the processor."""

"""What is written in another way where torch compiles or only applies it: the same result, and really the other way."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.layers import Convolution, DoublingConvolution, InstanceNorm
from pipeline.models.networks import Generator, GeneratorConfig
from pipeline.models.unet import UNet


@pytest.fixture
def compiled() -> Iterator[Callable[[nn.Module], tuple[Callable[[Tensor], Tensor], list[str]]]]:
    """Compiles a module; the names of the operations that it was compiled to come with it."""

    def make(module: nn.Module) -> tuple[Callable[[Tensor], Tensor], list[str]]:
        operations: list[str] = []

        def backend(graph: torch.fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
            operations.extend(str(node.target) for node in graph.graph.nodes)
            return graph.forward

        return torch.compile(module, backend=backend, dynamic=False), operations

    torch.compiler.reset()
    yield make
    torch.compiler.reset()


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 3), (8, 9)])
@pytest.mark.parametrize("before_norm", [True, False])
def test_wide_convolutions_compile_to_tall_ones(
    inputs: int, outputs: int, before_norm: bool, compiled: Callable[..., Any]
) -> None:
    convolution = Convolution(inputs, outputs, 7, before_norm=before_norm)
    images = torch.randn(2, inputs, 16, 20)
    plain = nn.functional.pad(images, (3, 3, 3, 3), mode="reflect")
    expected = functional.conv2d(plain, convolution.weight, None if before_norm else convolution.bias)
    call, operations = compiled(convolution)
    torch.testing.assert_close(convolution(images), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(call(images), expected, rtol=1e-5, atol=1e-5)
    assert any("permute" in operation for operation in operations)


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_the_compiled_norm_has_the_gradient_of_the_plain_one(
    precision: torch.dtype, tolerance: float, compiled: Callable[..., Any]
) -> None:
    features = torch.randn(2, 5, 9, 7, dtype=precision, requires_grad=True)
    gradient = torch.randn(2, 5, 9, 7, dtype=precision)
    expected = nn.InstanceNorm2d(5)(features)
    (expected_gradient,) = torch.autograd.grad(expected, features, gradient)
    call, operations = compiled(InstanceNorm())
    for norm in (call, InstanceNorm()):
        result = norm(features)
        torch.testing.assert_close(result, expected, rtol=tolerance, atol=tolerance)
        (found,) = torch.autograd.grad(result, features, gradient)
        torch.testing.assert_close(found, expected_gradient, rtol=tolerance, atol=tolerance)
    assert any("autograd_function" in operation for operation in operations)


@pytest.mark.parametrize(
    "convolution",
    [Convolution(4, 6, 3, before_norm=True), DoublingConvolution(4, 6), Convolution(4, 6, 7, before_norm=True)],
)
def test_a_norm_takes_away_the_bias_that_is_not_added(convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
    assert convolution.bias is not None
    images, norm = torch.randn(2, 4, 16, 16), InstanceNorm()
    with torch.no_grad():
        convolution.bias.normal_()
        added = convolution(images) + convolution.bias.reshape(1, -1, 1, 1)
        torch.testing.assert_close(norm(convolution(images)), norm(added), rtol=1e-3, atol=1e-4)


def test_a_convolution_before_no_norm_adds_its_bias() -> None:
    convolution = Convolution(4, 6, 3, before_norm=False)
    assert convolution.bias is not None
    images = torch.randn(2, 4, 16, 16)
    with torch.no_grad():
        before = convolution(images)
        convolution.bias += 1.0
        torch.testing.assert_close(convolution(images), before + 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Generator(GeneratorConfig(channels=8, blocks=2, skip_channels=4)),
        lambda: UNet(2, (8, 8, 12)),
        lambda: DisparityGenerator(GeneratorConfig(channels=8, output="disparity")),
    ],
    ids=["generator", "unet", "disparity"],
)
def test_networks_are_applied_to_pictures_channels_last_and_learn_as_they_did(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network, images, layouts = make(), torch.rand(2, 3, 32, 40) * 2 - 1, []
    apply = network.output if isinstance(network, Generator) else network
    norms = [module for module in network.modules() if isinstance(module, InstanceNorm)]
    hooks = [norm.register_forward_hook(lambda _, given, __: layouts.append(given[0].is_contiguous())) for norm in norms]
    learning = apply(images)
    assert all(layouts)
    layouts.clear()
    with torch.inference_mode():
        applied = apply(images)
    assert layouts
    assert not any(layouts)
    assert applied.shape == learning.shape
    torch.testing.assert_close(applied, learning.detach(), atol=1e-4, rtol=1e-3)
    for hook in hooks:
        hook.remove()


def test_the_norm_of_channels_that_lie_last_is_the_same() -> None:
    features = torch.randn(2, 5, 7, 9) * 3 + 100
    features[0, 0] = 4.0  # nothing to scale
    last = features.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(InstanceNorm()(last), InstanceNorm()(features), atol=1e-4, rtol=1e-4)

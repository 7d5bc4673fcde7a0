"""Layers that do more than torch's: reflected convolutions, and norms that undo the bias before them.

Where torch compiles them for training on a GPU (not where it exports them), some are written in another way, with the
same result up to rounding: as torch's own kernels do them, half of a step's time is not convolution.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5
WIDE_PX = 7
"""Convolutions with a kernel so wide are those from and to pictures, which have few channels."""
CHANNEL_MULTIPLE = 8
"""Tensor cores take channels in multiples of this."""


class InstanceNorm(nn.Module):
    """Each channel of each picture to mean 0 and variance 1; without parameters."""

    def forward(self, features: Tensor) -> Tensor:
        if torch.compiler.is_dynamo_compiling():
            return Standardised.apply(features)
        if _is_applied_here(features) and features.is_contiguous(memory_format=torch.channels_last):
            return _standardised_over_pixels(features)
        return functional.instance_norm(features, eps=EPSILON)


def laid_out(pictures: Tensor) -> Tensor:
    """The same pictures as a network takes them fastest: to be applied on a processor, channels last in memory.

    That spares a fifth of the time and more. What it learns by, what is compiled and what is exported stays as it is.
    """
    return pictures.contiguous(memory_format=torch.channels_last) if _is_applied_here(pictures) else pictures


def _is_applied_here(features: Tensor) -> bool:
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling()) and features.device.type == "cpu"


def _standardised_over_pixels(features: Tensor) -> Tensor:
    """Instance norm of what lies in memory channels last; torch's own turns it there and back."""
    batch, channels, height, width = features.shape
    pixels = features.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    centred = pixels - pixels.mean(1, keepdim=True)
    scale = torch.rsqrt((centred * centred).mean(1, keepdim=True) + EPSILON)
    return centred.mul_(scale).reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class Standardised(torch.autograd.Function):
    """Instance norm whose gradient takes two sums over the picture; the one that torch derives takes more."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:  # noqa: ANN401 - torch's context has no public type
        values = features.float()
        variance, mean = torch.var_mean(values, dim=(2, 3), keepdim=True, correction=0)
        scale = torch.rsqrt(variance + EPSILON)
        ctx.save_for_backward(features, mean, scale)
        return _as(features, (values - mean) * scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        features, mean, scale = ctx.saved_tensors
        gradient, standard = gradients[0].float(), (features.float() - mean) * scale
        along_mean = gradient.mean((2, 3), keepdim=True)
        along_scale = (gradient * standard).mean((2, 3), keepdim=True)
        return _as(features, scale * (gradient - along_mean - standard * along_scale))


def _as(features: Tensor, values: Tensor) -> Tensor:
    """`values`, float32, in the precision of `features`."""
    # A conversion that changes nothing makes torch 2.11 compile the gradient to zero.
    return values if features.dtype == torch.float32 else values.to(features.dtype)


class Convolution(nn.Conv2d):
    """A convolution that leaves the size as it is, with reflection padding, or halves it, with zeros.

    Before a norm its bias, which the norm would take away again, is not added; it is there for the form of the weights.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_px: int, *, before_norm: bool, stride: int = 1, reflect: bool = True
    ) -> None:
        padding_px = kernel_px // 2 if reflect else 1
        mode = "reflect" if reflect else "zeros"
        super().__init__(inputs, outputs, kernel_px, stride, padding_px, padding_mode=mode)
        self.before_norm = before_norm

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.before_norm else self.bias
        if torch.compiler.is_dynamo_compiling() and self.kernel_size[0] >= WIDE_PX:
            return wide_convolution(input, self.weight, bias)
        return self._conv_forward(input, self.weight, bias)


class DoublingConvolution(nn.ConvTranspose2d):
    """A transposed 3x3 convolution to twice the size; a norm follows, so its bias is not added."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2, padding=1, output_padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return functional.conv_transpose2d(input, self.weight, None, 2, 1, 1)


def wide_convolution(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution with reflection padding from or to few channels: a tall one, of shifted copies beside each other.

    A kernel of k columns over c channels becomes one of a single column over k · c channels, of which tensor cores need
    fewer to fill their multiples: 24 in place of 7 · 8 for the 7x7 kernels from and to RGB.
    """
    outputs, inputs, rows, columns = weight.shape
    width_px, border_px = features.shape[-1], columns // 2
    padded = functional.pad(features, (border_px, border_px, rows // 2, rows // 2), mode="reflect")
    few = min(inputs, outputs)
    spare = -few * columns % CHANNEL_MULTIPLE
    if inputs < outputs:
        shifted = torch.cat([padded[..., shift : shift + width_px] for shift in range(columns)], 1)
        kernel = weight.permute(0, 3, 1, 2).reshape(outputs, columns * inputs, rows, 1)
        filled = functional.pad(shifted, (0, 0, 0, 0, 0, spare))
        return functional.conv2d(filled, functional.pad(kernel, (0, 0, 0, 0, 0, spare)), bias)
    kernel = weight.permute(3, 0, 1, 2).reshape(columns * outputs, inputs, rows, 1)
    parts = functional.conv2d(padded, functional.pad(kernel, (0, 0, 0, 0, 0, 0, 0, spare))).float()
    shifts = [parts[:, shift * outputs : (shift + 1) * outputs, :, shift : shift + width_px] for shift in range(columns)]
    total = torch.stack(shifts).sum(0)
    return total if bias is None else total + bias.reshape(1, -1, 1, 1)

"""TCMonoDepth's small network (Li et al. 2021), for measuring: its published weights, in a network written down here.

A ShuffleNet V2 of half width, without its pooling, and three steps back up. 186,000 parameters are of use at inference.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (24, 48, 96, 192)
"""Of the first convolution and of the three stages."""
BLOCKS = (4, 8, 4)


def _norm(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()]


def _depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)


class Block(nn.Module):
    """Half of the channels pass by a block, those with odd numbers go through it; the first of a stage halves the sides."""

    def __init__(self, given: int, channels: int, opens: bool) -> None:
        super().__init__()
        seen, middle = (given if opens else channels // 2), channels // 2
        self.opens = opens
        self.branch_main = nn.Sequential(
            nn.Conv2d(seen, middle, 1, bias=False), *_norm(middle),
            _depthwise(middle, 2 if opens else 1), nn.BatchNorm2d(middle),
            nn.Conv2d(middle, channels - seen, 1, bias=False), *_norm(channels - seen),
        )  # fmt: skip
        if opens:
            self.branch_proj = nn.Sequential(
                _depthwise(seen, 2), nn.BatchNorm2d(seen), nn.Conv2d(seen, seen, 1, bias=False), *_norm(seen)
            )

    def forward(self, values: Tensor) -> Tensor:
        if self.opens:
            return torch.cat([self.branch_proj(values), self.branch_main(values)], 1)
        return torch.cat([values[:, ::2], self.branch_main(values[:, 1::2])], 1)


class Separable(nn.Module):
    """A convolution in two: channel by channel, then pixel by pixel."""

    def __init__(self, given: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(_depthwise(given), *_norm(given), nn.Conv2d(given, channels, 1, bias=False))

    def forward(self, values: Tensor) -> Tensor:
        return self.conv(values)


class Encoder(nn.Module):
    """The picture at a half, a quarter, an eighth and a sixteenth of its sides."""

    def __init__(self) -> None:
        super().__init__()
        blocks, given = [], CHANNELS[0]
        for channels, count in zip(CHANNELS[1:], BLOCKS, strict=True):
            blocks += [Block(given if number == 0 else channels, channels, number == 0) for number in range(count)]
            given = channels
        self.first_conv = nn.Sequential(nn.Conv2d(3, CHANNELS[0], 3, 2, 1, bias=False), *_norm(CHANNELS[0]))
        self.features = nn.Sequential(*blocks)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        found, seen = [self.first_conv(rgb)], 0
        for count in BLOCKS:
            found.append(self.features[seen : seen + count](found[-1]))
            seen += count
        return found


class Up(nn.Module):
    """A coarse map at the size of a finer one, joined with that."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.skip_conv = nn.Sequential(nn.Conv2d(fine, coarse // 4, 1, bias=False), *_norm(coarse // 4))
        both = coarse + coarse // 4
        self.last_conv = nn.Sequential(Separable(both, fine), *_norm(fine))

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        larger = functional.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=False)
        return self.last_conv(torch.cat([larger, self.skip_conv(fine)], 1))


class TcMonoDepth(nn.Module):
    """RGB 0 to 255 [batch, 3, height, width], sides multiples of 32 → disparity [batch, 1, height, width], ≥ 0, relative."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = nn.ModuleDict({f"decoder{n}": Up(CHANNELS[n - 1], CHANNELS[n]) for n in (1, 2, 3)})
        self.decoder["final"] = nn.Conv2d(CHANNELS[0], 1, 3, padding=1)

    def forward(self, rgb: Tensor) -> Tensor:
        found = self.encoder(rgb / 255)
        upwards = found[3]
        for number in (3, 2, 1):
            upwards = self.decoder[f"decoder{number}"](found[number - 1], upwards)
        final = functional.relu(self.decoder["final"](upwards))
        return functional.interpolate(final, scale_factor=2.0, mode="bilinear", align_corners=False)


def load(path: Path) -> TcMonoDepth:
    """The network with the weights of a published checkpoint. Raises RuntimeError where they are others."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = TcMonoDepth()
    wanted = network.state_dict()
    network.load_state_dict({name: state[name] for name in wanted if name in state}, strict=True)
    return network.eval()

"""How far a run that learns from depth has come, by pictures of its own training set whose depth is known."""

import numpy as np
import torch
from torch import Tensor

from pipeline.models.defocus import PLANES, told_of
from pipeline.models.depth_losses import affine_invariant_loss, log_depth_loss
from pipeline.models.disparity_generator import DisparityGenerator
from pipeline.models.images import Disparities, RgbArray, images_from_uint8, to_model_range, translate
from pipeline.models.networks import Generator
from pipeline.models.translator import DepthLoss
from pipeline.squares import scaled, spread
from pipeline.training.progress_checks import Check
from pipeline.training.runs import Failing
from pipeline.training.sampling import ImageSource, at_size

PICTURES_AT_ONCE = 4


class DepthChecker:
    """Fixed pictures and their disparity, 0 where unknown. `gap` of its checks: what is left of the error that the same
    distance everywhere would have, 1 for a network that has learnt nothing."""

    limits: tuple[str, ...] = ()

    def __init__(self, rgb: RgbArray, disparity: np.ndarray, loss: DepthLoss) -> None:
        """`rgb` uint8 [n, side, side, 3], `disparity` float32 [n, side, side]."""
        self._rgb, self._true = rgb, torch.from_numpy(disparity)[:, None]
        self._loss = log_depth_loss if loss == "log" else affine_invariant_loss
        usual = self._true[self._true > 0].log().median().exp() if (self._true > 0).any() else torch.tensor(1.0)
        self._error_of_constant = self._error(usual.expand_as(self._true))

    @classmethod
    def of(cls, source: ImageSource, size_px: int, most: int, loss: DepthLoss) -> "DepthChecker":
        """At most so many pictures of a source that has their depth, spread evenly, at that size."""
        indices, depth = spread(len(source), most), at_size(source, size_px, layers=("depth",))
        rgb, _ = source.batch(indices)
        return cls(scaled(rgb, size_px), np.stack([depth.view_layer("depth", index) for index in indices.tolist()]), loss)

    def failing(self, generator: Generator) -> Failing | None:
        """The ways in which translations fail are none of depth."""
        return None

    def check(self, generator: Generator, step: int, failing: Failing | None = None) -> Check:
        """Hold the network, as it is after `step` steps, against the pictures."""
        left = self._error(self._predicted(generator)) / max(self._error_of_constant, 1e-6)
        return Check(step=step, gap=round(left, 6), scales=None, change=0.0, left=None, failing=failing)

    def _error(self, disparity: Disparities) -> float:
        return float(self._loss(disparity, self._true))

    @torch.inference_mode()
    def _predicted(self, generator: Generator) -> Disparities:
        assert isinstance(generator, DisparityGenerator)
        device, training = next(generator.parameters()).device, generator.training
        generator.eval()
        parts: list[Tensor] = []
        for start in range(0, len(self._rgb), PICTURES_AT_ONCE):
            images = images_from_uint8(self._rgb[start : start + PICTURES_AT_ONCE], device)
            parts.append(generator.disparity(images).cpu())
        generator.train(training)
        return torch.cat(parts)


class FocusChecker:
    """Fixed pictures, each focused on one of the planes in turn. `gap` of its checks: what is left of the difference between
    the unchanged pictures and those through the lens, where depth is known; 1 for a network that changes nothing."""

    limits: tuple[str, ...] = ()

    def __init__(self, rgb: RgbArray, disparity: np.ndarray) -> None:
        """`rgb` uint8 [n, side, side, 3], `disparity` float32 [n, side, side]."""
        self._rgb, images = rgb, images_from_uint8(rgb, torch.device("cpu"))
        tones = torch.tensor([PLANES[index % len(PLANES)] for index in range(len(rgb))]).reshape(-1, 1, 1, 1)
        self._told = told_of(images, torch.from_numpy(disparity)[:, None], tones)
        self._unchanged = self._error(images)

    @classmethod
    def of(cls, source: ImageSource, size_px: int, most: int) -> "FocusChecker":
        """At most so many pictures of a source that has their depth, spread evenly, at that size."""
        indices, depth = spread(len(source), most), at_size(source, size_px, layers=("depth",))
        rgb, _ = source.batch(indices)
        return cls(scaled(rgb, size_px), np.stack([depth.view_layer("depth", index) for index in indices.tolist()]))

    def failing(self, generator: Generator) -> Failing | None:
        """The ways in which translations fail are told by two domains."""
        return None

    def check(self, generator: Generator, step: int, failing: Failing | None = None) -> Check:
        """Hold the network, as it is after `step` steps, against the pictures."""
        training = generator.training
        focus = np.round(255 * self._told.focus[:, 0].numpy()).astype(np.uint8)
        made = translate(generator.eval(), self._rgb, focus)
        generator.train(training)
        left = self._error(to_model_range(torch.from_numpy(made).permute(0, 3, 1, 2))) / max(self._unchanged, 1e-6)
        return Check(step=step, gap=round(left, 6), scales=None, change=0.0, left=None, failing=failing)

    def _error(self, images: Tensor) -> float:
        counted = self._told.weights
        error = (images - self._told.wanted).abs().mean(1, keepdim=True)
        return float((counted * error).sum() / counted.sum().clamp_min(1.0))

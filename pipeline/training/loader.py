"""The pictures of each step as tensors on the training device.

On a GPU the pictures of both domains are uploaded once, where they fit, and windows are cut and mirrored there: a
step then waits neither for the processor nor for the bus. Elsewhere they are cut in memory. Both give equal tensors.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.models.images import Images, Masks, images_from_uint8, masks_from_uint8, to_model_range
from pipeline.models.translator import Batch
from pipeline.training.sampling import ImageSource, PairSampler, Windows
from pipeline.training.windows import PlaneCutter

DEVICE_MEMORY_SHARE = 0.4
"""At most this share of a GPU's free memory is spent on pictures."""
UPLOAD_PICTURES = 256
HARD_EDGE = 0.5


class _Cutter(Protocol):
    def __call__(self, windows: Windows) -> tuple[Images, Masks]: ...


class BatchLoader:
    """What `PairSampler` chooses, on `device`; alpha is made 0 or 1 where the settings ask for hard edges."""

    def __init__(self, sampler: PairSampler, device: torch.device) -> None:
        self._sampler, self._device = sampler, device
        self._hard = sampler.settings.mask_edge == "hard"
        self._cut_a, self._cut_b = (_cutter(sampler, images, device) for images in (sampler.images_a, sampler.images_b))
        self.steps_per_epoch, self.total_steps = sampler.steps_per_epoch, sampler.total_steps

    def batch(self, step: int, generator: np.random.Generator) -> Batch:
        """The pictures of the step with this index; all chance comes from `generator`."""
        windows_a, windows_b = self._sampler.windows(step, generator)
        (real_a, alpha_a), (real_b, alpha_b) = self._cut_a(windows_a), self._cut_b(windows_b)
        return Batch(real_a, self._edged(alpha_a), real_b, self._edged(alpha_b))

    def _edged(self, alpha: Masks) -> Masks:
        return (alpha >= HARD_EDGE).float() if self._hard else alpha


def _cutter(sampler: PairSampler, images: ImageSource, device: torch.device) -> _Cutter:
    if device.type == "cuda" and _fits(images, device):
        return _OnDevice(images, sampler.settings.size_px, device)

    if device.type == "cpu":
        return InMemory(images, sampler.settings.size_px)

    def cut(windows: Windows) -> tuple[Images, Masks]:
        rgb, alpha = sampler.cut(images, windows)
        return images_from_uint8(rgb, device), masks_from_uint8(alpha, device)

    return cut


class InMemory:
    """Windows of pictures that lie in memory or in mapped files, as tensors of the processor."""

    def __init__(self, images: ImageSource, size_px: int) -> None:
        self._images, self._size_px, self._cutter = images, size_px, PlaneCutter(size_px)

    def __call__(self, windows: Windows) -> tuple[Images, Masks]:
        side = (self._size_px, self._size_px)
        cut, masks = torch.empty(len(windows.indices), 3, *side), torch.empty(len(windows.indices), 1, *side)
        planes, opacity = cut.numpy(), masks.numpy()
        for position, (index, top, left, mirrored) in enumerate(windows):
            rgb, alpha = self._images.view(index)
            self._cutter.cut(rgb, alpha, top, left, mirrored, planes[position], opacity[position, 0])
        return cut, masks


class _OnDevice:
    """All pictures of a domain on the device, [n, 4, side, side] uint8: RGB and alpha."""

    def __init__(self, images: ImageSource, size_px: int, device: torch.device) -> None:
        self._size_px = size_px
        self._stored = torch.empty((len(images), 4, images.size_px, images.size_px), dtype=torch.uint8, device=device)
        for start in range(0, len(images), UPLOAD_PICTURES):
            indices = np.arange(start, min(start + UPLOAD_PICTURES, len(images)))
            rgb, alpha = images.batch(indices)
            together = np.concatenate([rgb, alpha[..., None]], 3)
            self._stored[indices[0] : indices[-1] + 1] = torch.from_numpy(together).to(device).permute(0, 3, 1, 2)

    def __call__(self, windows: Windows) -> tuple[Images, Masks]:
        cut = torch.stack([self._window(*place) for place in windows]).float() / 255.0
        return to_model_range(cut[:, :3]), cut[:, 3:]

    def _window(self, index: int, top: int, left: int, mirrored: bool) -> Tensor:
        # Slices by plain numbers need no answer from the device, unlike indexing by a tensor.
        part = self._stored[index, :, top : top + self._size_px, left : left + self._size_px]
        return part.flip(2) if mirrored else part


def _fits(images: ImageSource, device: torch.device) -> bool:
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return len(images) * images.size_px**2 * 4 <= DEVICE_MEMORY_SHARE * free_bytes

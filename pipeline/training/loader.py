"""The pictures of each step as tensors on the training device.

On a GPU the pictures of both domains are uploaded once, where they fit, and windows are cut and mirrored there: a
step then waits neither for the processor nor for the bus. Elsewhere they are cut in memory. Both give equal tensors.
Layers beside RGB and alpha, where the model asks for them (`pipeline.picture_layers`), are cut in memory.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.models.images import Images, Masks, images_from_uint8, masks_from_uint8, to_model_range
from pipeline.models.translator import Batch
from pipeline.training.recipes import TrainingSettings
from pipeline.training.recording import Replayed
from pipeline.training.sampling import ImageSource, PairSampler, Windows
from pipeline.training.windows import PlaneCutter

DEVICE_MEMORY_SHARE = 0.6
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
        self._cut = _cutter(sampler, device)
        self.steps_per_epoch, self.total_steps = sampler.steps_per_epoch, sampler.total_steps

    def batch(self, step: int, generator: np.random.Generator) -> Batch:
        """The pictures of the step with this index, until the next call; all chance comes from `generator`."""
        windows = self._sampler.windows(step, generator)
        batch = self._with_layers(self._cut(*windows), windows)
        if not self._hard:
            return batch
        return replace(batch, alpha_a=_hard_edged(batch.alpha_a), alpha_b=_hard_edged(batch.alpha_b))

    def _with_layers(self, batch: Batch, windows: tuple[Windows, Windows]) -> Batch:
        sampler, found = self._sampler, {}
        domains = (("a", sampler.images_a, sampler.layers_a), ("b", sampler.images_b, sampler.layers_b))
        for (domain, images, layers), cut in zip(domains, windows, strict=True):
            for name in layers:
                values = sampler.cut_layer(images, cut, name)
                found[f"{name}_{domain}"] = _layer_tensor(values, self._device)
        return replace(batch, **found) if found else batch


def _layer_tensor(values: np.ndarray, device: torch.device) -> Tensor:
    """Pictures in the models' range [batch, 3, …], disparity as it is [batch, 1, …]."""
    if values.dtype == np.uint8:
        return images_from_uint8(values, device)
    return torch.from_numpy(values)[:, None].to(device)


def _hard_edged(alpha: Masks) -> Masks:
    return (alpha >= HARD_EDGE).float()


def _cutter(sampler: PairSampler, device: torch.device) -> Callable[[Windows, Windows], Batch]:
    sources, size_px = (sampler.images_a, sampler.images_b), sampler.settings.size_px
    if device.type == "cuda" and _fit(sources, device):
        return OnDevice(*sources, sampler.settings, device)

    def cut(windows_a: Windows, windows_b: Windows) -> Batch:
        return Batch(*cut_a(windows_a), *cut_b(windows_b))

    cut_a, cut_b = (
        InMemory(source, size_px) if device.type == "cpu" else _uploaded(sampler, source, device) for source in sources
    )
    return cut


def _uploaded(sampler: PairSampler, images: ImageSource, device: torch.device) -> _Cutter:
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


class OnDevice:
    """All pictures of both domains on the device, and windows of them; a GPU records the cutting and replays it."""

    def __init__(
        self, images_a: ImageSource, images_b: ImageSource, settings: TrainingSettings, device: torch.device
    ) -> None:
        self._stored = tuple(_upload(images, device) for images in (images_a, images_b))
        self._size_px, self._device = settings.size_px, device
        self._places = torch.empty((2 * settings.batch_size, 4), dtype=torch.int64, device=device)
        self._both = Replayed(self._cut_both) if device.type == "cuda" else self._cut_both

    def __call__(self, windows_a: Windows, windows_b: Windows) -> Batch:
        """The windows as a batch; it lies where the next one will be written."""
        places = torch.tensor([place for windows in (windows_a, windows_b) for place in windows])
        self._places.copy_(places, non_blocking=True)  # numbers so few are taken over at once
        return Batch(**self._both())

    def _cut_both(self) -> dict[str, Tensor]:
        cut: dict[str, Tensor] = {}
        for domain, stored, places in zip("ab", self._stored, self._places.chunk(2), strict=True):
            together = self._windows(stored, places).float() / 255.0
            cut |= {f"real_{domain}": to_model_range(together[:, :3]), f"alpha_{domain}": together[:, 3:]}
        return cut

    def _windows(self, stored: Tensor, places: Tensor) -> Tensor:
        """Windows of stored pictures by one gathering: [n, 4, side, side] uint8."""
        along = torch.arange(self._size_px, device=self._device)
        index, top, left, mirrored = places.unbind(1)
        columns = left[:, None] + torch.where(mirrored[:, None] > 0, self._size_px - 1 - along, along)
        rows, planes = top[:, None] + along, torch.arange(4, device=self._device)
        return stored[index[:, None, None, None], planes[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def _upload(images: ImageSource, device: torch.device) -> Tensor:
    """[n, 4, side, side] uint8: RGB and alpha."""
    stored = torch.empty((len(images), 4, images.size_px, images.size_px), dtype=torch.uint8, device=device)
    for start in range(0, len(images), UPLOAD_PICTURES):
        indices = np.arange(start, min(start + UPLOAD_PICTURES, len(images)))
        rgb, alpha = images.batch(indices)
        together = np.concatenate([rgb, alpha[..., None]], 3)
        stored[indices[0] : indices[-1] + 1] = torch.from_numpy(together).to(device).permute(0, 3, 1, 2)
    return stored


def _fit(sources: tuple[ImageSource, ...], device: torch.device) -> bool:
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return sum(len(images) * images.size_px**2 * 4 for images in sources) <= DEVICE_MEMORY_SHARE * free_bytes

"""Training pictures: where they come from, at which size they are held, and which ones a step sees.

All chance in a step comes from `step_generator`, a generator made anew from seed and step. A resumed run thus
sees what the uninterrupted one would have seen, with no state to carry over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from jaxtyping import UInt8

from pipeline.errors import TrainingError
from pipeline.models.images import AlphaArray, RgbArray
from pipeline.picture_layers import scaled_nearest
from pipeline.squares import scaled
from pipeline.training.recipes import TrainingSettings
from pipeline.training.windows import copy_window

RESIDENT_BYTES = 2 * 2**30
"""Up to this size the pictures of a domain are kept in memory, ready scaled."""

PREPARATION_BATCH = 256

RgbPicture = UInt8[np.ndarray, "height width 3"]
AlphaPicture = UInt8[np.ndarray, "height width"]
"""One stored picture, sRGB 0 to 255, and its alpha."""

ORDER_STREAM, STEP_STREAM = 0, 1


class ImageSource(Protocol):
    """Stored pictures of one domain, all of one size."""

    @property
    def size_px(self) -> int:
        """Side of the stored squares."""
        ...

    def __len__(self) -> int: ...

    def view(self, index: int) -> tuple[RgbPicture, AlphaPicture]:
        """One picture, RGB and alpha; where it lies in memory already, it is not copied."""
        ...

    def batch(self, indices: np.ndarray) -> tuple[RgbArray, AlphaArray]:
        """Copies of the pictures at `indices`, RGB and alpha."""
        ...

    def view_layer(self, name: str, index: int) -> np.ndarray:
        """An optional layer of a picture, [side, side] or [side, side, 3], by its values: uint8, or float32 disparity."""
        ...


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The source of all chance in the step with this index."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STEP_STREAM, step)))


@dataclass(frozen=True)
class ArrayImages:
    """An `ImageSource` in memory: RGB [n, side, side, 3] and alpha [n, side, side], uint8, and layers by name."""

    rgb: RgbArray
    alpha: AlphaArray
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def size_px(self) -> int:
        """Side of the squares."""
        return self.rgb.shape[1]

    def __len__(self) -> int:
        return len(self.rgb)

    def view(self, index: int) -> tuple[RgbPicture, AlphaPicture]:
        """One picture, RGB and alpha, not copied."""
        return self.rgb[index], self.alpha[index]

    def batch(self, indices: np.ndarray) -> tuple[RgbArray, AlphaArray]:
        """Copies of the pictures at `indices`, RGB and alpha."""
        return self.rgb[indices], self.alpha[indices]

    def view_layer(self, name: str, index: int) -> np.ndarray:
        """An optional layer of a picture, not copied."""
        return self.layers[name][index]


@dataclass(frozen=True)
class ScaledImages:
    """An `ImageSource` at another size, scaled whenever pictures are asked for."""

    source: ImageSource
    size_px: int

    def __len__(self) -> int:
        return len(self.source)

    def view(self, index: int) -> tuple[RgbPicture, AlphaPicture]:
        """One picture, RGB and alpha, scaled now."""
        rgb, alpha = self.batch(np.array([index]))
        return rgb[0], alpha[0]

    def batch(self, indices: np.ndarray) -> tuple[RgbArray, AlphaArray]:
        """The pictures at `indices`, RGB and alpha, at `size_px`."""
        rgb, alpha = self.source.batch(indices)
        return scaled(rgb, self.size_px), scaled(alpha, self.size_px)

    def view_layer(self, name: str, index: int) -> np.ndarray:
        """An optional layer, scaled now: as pictures are, or for disparity, which is never mixed, to the nearest."""
        values = self.source.view_layer(name, index)
        return scaled(values[None], self.size_px)[0] if values.dtype == np.uint8 else scaled_nearest(values, self.size_px)


def at_size(
    source: ImageSource, size_px: int, resident_bytes: int = RESIDENT_BYTES, layers: Sequence[str] = ()
) -> ImageSource:
    """`source` at `size_px`, with these layers: itself where it has that size; read and scaled once if it then fits into
    `resident_bytes`, else scaled on demand."""
    if source.size_px == size_px:
        return source
    on_demand, count = ScaledImages(source, size_px), len(source)
    if count * size_px * size_px * (4 + 4 * len(layers)) > resident_bytes:
        return on_demand
    side = (size_px, size_px)
    others = {name: np.stack([on_demand.view_layer(name, index) for index in range(count)]) for name in layers}
    images = ArrayImages(np.empty((count, *side, 3), np.uint8), np.empty((count, *side), np.uint8), others)
    for start in range(0, count, PREPARATION_BATCH):
        indices = np.arange(start, min(start + PREPARATION_BATCH, count))
        images.rgb[indices], images.alpha[indices] = on_demand.batch(indices)
    return images


@dataclass(frozen=True)
class Windows:
    """Which windows of which pictures a step sees: picture, upper left corner in pixels, mirrored or not."""

    indices: np.ndarray
    corners: np.ndarray
    mirrored: np.ndarray

    def __iter__(self) -> Iterator[tuple[int, int, int, bool]]:
        # As lists: numbers taken out of arrays one by one would cost as much time as a picture's bytes.
        places = zip(self.indices.tolist(), self.corners.tolist(), self.mirrored.tolist(), strict=True)
        for index, (top, left), mirrored in places:
            yield index, top, left, mirrored


class PairSampler:
    """Chooses and augments the pictures of each step: A in shuffled epochs, B at random.

    `layers` are fields of `Batch` such as "depth_a", which all pictures of the domain must have.
    """

    def __init__(
        self,
        source_a: ImageSource,
        source_b: ImageSource,
        settings: TrainingSettings,
        seed: int,
        layers: Sequence[str] = (),
    ) -> None:
        for domain, source in (("A", source_a), ("B", source_b)):
            _check_source(domain, source, settings)
        self.settings = settings
        self._seed = seed
        self.layers_a, self.layers_b = layers_of("a", layers), layers_of("b", layers)
        self.images_a = at_size(source_a, settings.held_size_px, layers=self.layers_a)
        self.images_b = at_size(source_b, settings.held_size_px, layers=self.layers_b)
        self.steps_per_epoch = settings.steps_per_epoch(len(source_a), len(source_b))
        self.total_steps = settings.total_steps(len(source_a), len(source_b))
        self._order_epoch = -1
        self._order = np.empty(0, np.int64)

    def windows(self, step: int, generator: np.random.Generator) -> tuple[Windows, Windows]:
        """What the step with this index sees of A and of B, chosen by `generator`."""
        indices_b = generator.integers(len(self.images_b), size=self.settings.batch_size)
        windows_a = self._augmented(self.images_a, self._indices_a(step), generator)
        return windows_a, self._augmented(self.images_b, indices_b, generator)

    def cut(self, images: ImageSource, windows: Windows) -> tuple[RgbArray, AlphaArray]:
        """Those windows of `images`: RGB [batch, size, size, 3] and alpha [batch, size, size], uint8."""
        side = (len(windows.indices), self.settings.size_px, self.settings.size_px)
        rgb, alpha = np.empty((*side, 3), np.uint8), np.empty(side, np.uint8)
        for position, (index, top, left, mirrored) in enumerate(windows):
            for stored, out in zip(images.view(index), (rgb, alpha), strict=True):
                copy_window(stored, top, left, mirrored, out[position])
        return rgb, alpha

    def cut_layer(self, images: ImageSource, windows: Windows, name: str) -> np.ndarray:
        """A layer of those windows of `images`, [batch, size, size] or [batch, size, size, 3], of the layer's own kind."""
        side_px, found = self.settings.size_px, []
        for index, top, left, mirrored in windows:
            window = images.view_layer(name, index)[top : top + side_px, left : left + side_px]
            found.append(window[:, ::-1] if mirrored else window)
        return np.stack(found)

    def _indices_a(self, step: int) -> np.ndarray:
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._order_epoch:
            self._order_epoch, self._order = epoch, self._shuffled(epoch)
        places = position * self.settings.batch_size + np.arange(self.settings.batch_size)
        return self._order[places % len(self._order)]

    def _shuffled(self, epoch: int) -> np.ndarray:
        """As many indices into A as the larger domain has pictures, each of A's as often as can be."""
        seeds = np.random.SeedSequence(self._seed, spawn_key=(ORDER_STREAM, epoch))
        larger = max(len(self.images_a), len(self.images_b))
        return np.random.default_rng(seeds).permutation(larger) % len(self.images_a)

    def _augmented(self, images: ImageSource, indices: np.ndarray, generator: np.random.Generator) -> Windows:
        """Random windows, mirrored or not, the same for RGB and alpha."""
        corners = generator.integers(images.size_px - self.settings.size_px + 1, size=(len(indices), 2))
        mirrored = generator.random(len(indices)) < (0.5 if self.settings.flip else 0.0)
        return Windows(indices, corners, mirrored)


def layers_of(domain: str, fields: Sequence[str]) -> tuple[str, ...]:
    """The layers that these fields of `Batch` ask for in domain "a" or "b".

    >>> layers_of("a", ["depth_a", "target_a", "depth_b"])
    ('depth', 'target')
    """
    return tuple(name.removesuffix(f"_{domain}") for name in fields if name.endswith(f"_{domain}"))


def _check_source(domain: str, source: ImageSource, settings: TrainingSettings) -> None:
    if len(source) == 0:
        raise TrainingError(f"Domain {domain} has no training pictures; curate more before training.")
    if source.size_px < settings.size_px:
        raise TrainingError(
            f"The snapshot's pictures of domain {domain} have {source.size_px} px but the recipe asks for"
            f" {settings.size_px}; lower size_px or prepare larger pictures."
        )

"""The pool of earlier translations that discriminators are shown again.

Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training" (2017):
a discriminator that also sees old fakes forgets less and oscillates less.
"""

import numpy as np
import torch
from torch import Tensor

from pipeline.models.images import Images

SWAP_PROBABILITY = 0.5


class ImagePool:
    """Up to `size` earlier pictures, kept on the device they came from."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def exchange(self, fakes: Images, generator: np.random.Generator) -> Images:
        """A batch of the same shape: each fake, or with probability one half an old one whose place it takes.

        While the pool fills, fakes are stored and returned as they are; with size 0 always.
        """
        if self.size == 0:
            return fakes
        return torch.stack([self._exchange_one(fake, generator) for fake in fakes])

    def _exchange_one(self, fake: Tensor, generator: np.random.Generator) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(fake.clone())
            return fake
        if generator.random() >= SWAP_PROBABILITY:
            return fake
        place = int(generator.integers(self.size))
        old, self.images[place] = self.images[place], fake.clone()
        return old

    def state(self) -> list[Tensor]:
        """The pictures, for a checkpoint."""
        return list(self.images)

    def restore(self, images: list[Tensor], device: torch.device) -> None:
        """Take over the pictures of a checkpoint."""
        self.images = [image.to(device) for image in images]

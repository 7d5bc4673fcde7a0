"""What a segmenter is: one small interface; `name` and `version` tell whether a mask made earlier is still right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Seen:
    """The people of a picture: `alpha` uint8 [height, width], 0 for background, 255 for a person.

    `uncertainty` is the chance in [0, 1] that its IoU with the truth is below .85, None where nothing is known of it;
    `asked` tells whether a second network was asked.
    """

    alpha: np.ndarray
    uncertainty: float | None
    asked: bool = False


class Segmenter(Protocol):
    """Finds people. May be used by several threads at once."""

    name: str
    """The name in the project file."""
    version: str
    """Changes with the weights and with every parameter that changes an alpha; usable in file names."""

    def see(self, pictures: Sequence[np.ndarray]) -> list[Seen]:
        """The people of each picture, uint8 [height, width, 3] in sRGB, of any sizes; alphas have the same sizes."""
        ...

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Opacity of the people in each picture alone, uint8 [height, width]; the same as seen, or a quicker look.

        For what looks at very many pictures, as hints and evaluation do.
        """
        return [seen.alpha for seen in self.see(pictures)]


def levels(opacity: np.ndarray) -> np.ndarray:
    """Opacity in [0, 1], [height, width], as 8 bits, rounded."""
    from pipeline.pixel_loops import rounded_levels

    return rounded_levels(np.ascontiguousarray(opacity, np.float32))

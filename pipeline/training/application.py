"""A trained model at work on photos that no dataset holds."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.atomic import atomic_path, shortened
from pipeline.file_names import child
from pipeline.models.images import AlphaPhoto, RgbPhoto
from pipeline.models.large_photos import translate_photo
from pipeline.training.inference import Checkpoint, load_generator


def result_stems(photos: Sequence[Path]) -> list[str]:
    """A name for each photo's result: its own without the ending; where several have the same, with folders and ending.

    The folders are those below the one that all photos have in common. No two are alike, in small letters either: what
    still is gets a number. Long ones are shortened, so that the name of a run fits beside them.
    """
    count = Counter(photo.stem.casefold() for photo in photos)
    common = Path(os.path.commonpath([photo.absolute().parent for photo in photos])) if photos else Path()
    stems, taken = list[str](), set[str]()
    for photo in photos:
        parts = photo.absolute().relative_to(common).parts
        stem = photo.stem if count[photo.stem.casefold()] == 1 else "_".join(parts).replace(".", "_")
        stem = shortened(stem)
        names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        stems.append(next(name for name in names if name.casefold() not in taken))
        taken.add(stems[-1].casefold())
    return stems


class Application:
    """The generator from A to B of a finished run.

    `find_alpha` gives the alpha of a photo's subject, uint8 [height, width]. It is asked where the generator holds the
    subject, and where `overlay` lays the real one over the result. TrainingError if the run is unfinished.
    """

    def __init__(
        self,
        run_dir: Path,
        find_alpha: Callable[[RgbPhoto], AlphaPhoto],
        overlay: bool = False,
        checkpoint: Checkpoint = "last",
    ) -> None:
        self._generator, _ = load_generator(run_dir, checkpoint)
        self._name = run_dir.name if checkpoint == "last" else f"{run_dir.name}-{checkpoint}"
        self._find_alpha, self._overlay = find_alpha, overlay

    def translate(self, rgb: RgbPhoto) -> RgbPhoto:
        """The translation; uint8, same shape."""
        alpha = self._find_alpha(rgb) if self._overlay or self._generator.holds_subject else None
        result = translate_photo(self._generator, rgb, alpha)
        if self._overlay and alpha is not None:
            opacity = alpha[..., None].astype(np.float32) / 255
            result += opacity * (rgb.astype(np.float32) / 255 - result)
        return np.round(result * 255).astype(np.uint8)

    def save(self, rgb: RgbPhoto, folder: Path, stem: str) -> Path:
        """Write the translation as `STEM-RUN.png` into `folder`; returns its path."""
        path = child(folder, f"{stem}-{self._name}.png")
        with atomic_path(path) as temporary:
            Image.fromarray(self.translate(rgb)).save(temporary, format="png")
        return path

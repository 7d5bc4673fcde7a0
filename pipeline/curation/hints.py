"""Plain numbers that help a person to decide about a picture; they suggest and never decide.

What each number means and its range stands in `pipeline.hint_table`; how it is measured, below. All
pictures are measured at a long side of `WORK_EDGE_PX`, so that a number means the same for every size of file.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.arrays import Photo, check_array
from pipeline.curation.depth_of_field import SOFTNESS_EDGE_PX, WORK_EDGE_PX, depth_of_field, relative_softness
from pipeline.pillow import from_exif, open_picture, silenced
from pipeline.plain_files import open_plain, plain
from pipeline.tables import among, columns_of, conform

MEASUREMENTS = "3"
"""Raised whenever a number would come out differently for the same picture."""
PERSON_SHARE = 0.01
"""A region of people counts from this share of the frame on."""
EDITING_SOFTWARE = (
    "photoshop", "lightroom", "gimp", "snapseed", "instagram", "vsco", "picsart", "facetune", "afterlight", "pixlr",
    "affinity", "capture one", "luminar", "darktable", "rawtherapee", "photoscape", "meitu", "beautyplus", "prisma",
    "dxo", "nik collection", "polarr", "aviary", "picasa", "paint",
)  # fmt: skip
"""Words in EXIF's `Software` that name a program for editing, not a camera's own."""
SEGMENTED_EDGE_PX = 512
"""Long side of what the segmenter sees."""
TOGETHER = 8
"""Pictures are measured so many at a time: what is written of them then waits for the disk together."""


class PeopleFinder(Protocol):
    """Finds the people of pictures; a segmenter of `pipeline.masks` is one. Used by several threads at once."""

    def alpha(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """From RGB uint8 [height, width, 3] to the opacity of all people, uint8 [height, width], each."""
        ...


Inappropriate = Callable[[np.ndarray], float]
"""From RGB uint8 [height, width, 3] to the likelihood in [0, 1] that the picture is inappropriate."""


@dataclass(frozen=True)
class Hints:
    """What was measured on one picture; see `pipeline.hint_table` for the ranges. None is unknown."""

    person_share: float
    people: int
    cut_off: float
    subject_sharpness: float | None
    background_sharpness: float | None
    shallowness: float
    colourfulness: float
    drawn: float
    edited: float | None
    inappropriate: float | None
    camera: str | None
    software: str | None


def measure(rgb: np.ndarray, finder: PeopleFinder, data: bytes = b"", inappropriate: Inappropriate | None = None) -> Hints:
    """All hints of a picture, RGB uint8 [height, width, 3]. `data` are the bytes of its file, for the EXIF block.

    Raises ValueError for an array of another type.
    """
    check_array("rgb", rgb, Photo)
    return measure_with(rgb, people_of(rgb, finder), data, inappropriate)


def people_of(rgb: np.ndarray, finder: PeopleFinder) -> np.ndarray:
    """The opacity of all people of a picture, uint8 [height, width], at a long side of `SEGMENTED_EDGE_PX` at most."""
    return finder.alpha([_scaled(rgb, min(SEGMENTED_EDGE_PX, max(rgb.shape[:2])))])[0]


def measure_with(rgb: np.ndarray, alpha: np.ndarray, data: bytes = b"", inappropriate: Inappropriate | None = None) -> Hints:
    """`measure` where the people are known, as `people_of` gives them."""
    small = _scaled(rgb, WORK_EDGE_PX)
    people = _mask(alpha, small)
    share = float(people.mean())
    finer = _scaled(rgb, SOFTNESS_EDGE_PX)
    focus = depth_of_field(small, people, relative_softness(finer, _resized(alpha, finer)))
    camera, software = camera_and_software(data)
    return Hints(
        person_share=_rounded(share),
        people=count_people(people),
        cut_off=_rounded(cut_off(people)),
        subject_sharpness=_rounded(focus.subject_sharpness) if share >= PERSON_SHARE else None,
        background_sharpness=_rounded(focus.background_sharpness),
        shallowness=_rounded(focus.shallowness),
        colourfulness=_rounded(colourfulness(small)),
        drawn=_rounded(drawn(rgb)),
        edited=None if software is None else float(any(word in software.lower() for word in EDITING_SOFTWARE)),
        inappropriate=None if inappropriate is None else _rounded(inappropriate(rgb)),
        camera=camera,
        software=software,
    )


def count_people(people: np.ndarray) -> int:
    """Separate regions of a mask, bool [height, width], with at least `PERSON_SHARE` of the frame and a tenth of the
    largest; people who touch in the picture count as one."""
    from pipeline.pixel_loops import parts

    sizes = parts(people)[1][1:, -1]
    return int((sizes >= max(PERSON_SHARE * people.size, 0.1 * sizes.max(initial=0))).sum())


def cut_off(people: np.ndarray) -> float:
    """Share of the top, left and right edge of the frame that a mask, bool [height, width], covers; 0 to 1.

    The lower edge cuts nearly every portrait and tells nothing.
    """
    return float(np.concatenate([people[0], people[:, 0], people[:, -1]]).mean())


def colourfulness(rgb: np.ndarray) -> float:
    """How far the colours of RGB uint8 [height, width, 3] leave a single tint, 0 to 1.

    Chroma is taken against luma (two opponent axes), and what a smooth tint of grey can explain (a quadratic in luma,
    as for sepia) is taken away; the rest's 90th percentile counts, so that a small stain on a black and white picture,
    or JPEG's noise, does not.
    """
    from pipeline.pixel_loops import planes, quantile, tint_distances, tint_sums

    check_array("rgb", rgb, Photo)
    levels = planes(np.ascontiguousarray(rgb), 0)
    left, right = tint_sums(levels)
    # Where luma is constant the equations are singular.
    tint = (np.linalg.pinv(left, hermitian=True) @ right).astype(np.float32)
    return min(1.0, quantile(tint_distances(levels, tint), 0.9))


def drawn(rgb: np.ndarray) -> float:
    """Share of RGB uint8 [height, width, 3] that is perfectly flat, white and black blown out by exposure left aside.

    A photograph has noise nearly everywhere; a drawing, a screenshot or a page of text does not. 0 to 1.
    """
    from pipeline.pixel_loops import flat_pixels

    # Every so many pixels, not a scaled picture: scaling would smooth the noise that is looked for.
    flat, looked_at = flat_pixels(rgb, max(1, max(rgb.shape[:2]) // 512), (8, 247))
    return flat / looked_at if looked_at else 0.0


def camera_and_software(data: bytes) -> tuple[str | None, str | None]:
    """Camera (make and model) and software by the EXIF block of a file; None where it does not say."""
    try:
        with silenced(), open_picture(io.BytesIO(data)) as image:
            words = from_exif(image, _words, ("", "", ""))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, KeyError, Image.DecompressionBombError):
        return None, None
    make, model, software = (" ".join(word.replace("\0", " ").split())[:80] for word in words)
    camera = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    return camera or None, software or None


def _words(exif: Image.Exif) -> tuple[str, ...]:
    return tuple(str(exif.get(tag) or "") for tag in (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software))


def measured_by(segmenter: str, inappropriate: str = "") -> str:
    """The version of all that the hints depend on: `segmenter` and the optional model by name and version."""
    return " ".join(part for part in (f"hints-{MEASUREMENTS}", segmenter, inappropriate) if part)


Measured = tuple[str, Hints | tuple[str, str]]
"""A picture's SHA-256 with its hints, or with the reason and the detail why it has none."""


Measuring = Callable[[Sequence[str]], Sequence[Hints]]
"""From a few pictures to the hints of each."""


def few_at_a_time(pictures: Sequence[str]) -> Iterator[Sequence[str]]:
    """The pictures, as many at a time as shall be measured together."""
    return (pictures[start : start + TOGETHER] for start in range(0, len(pictures), TOGETHER))


def in_threads(measured: Measuring) -> Callable[[Sequence[str]], Iterator[Measured]]:
    """From pictures to what is measured of each, on all cores of this machine."""

    def each(pictures: Sequence[str]) -> Iterator[Measured]:
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
            found = chain.from_iterable(pool.map(measured, few_at_a_time(pictures)))
            yield from zip(pictures, found, strict=True)

    return each


def measure_photos(
    pictures: Sequence[str],
    known: pd.DataFrame,
    by: str,
    each: Callable[[Sequence[str]], Iterator[Measured]],
    journal: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """The table `photo_hints` of the pictures, by SHA-256; `known` is that table as it was and is kept whole.

    Also the pictures that could not be measured, with reason and detail.
    What was measured by the same version `by` is not measured again: `known` tells, and the `journal`, a file of one
    line of JSON a picture that is written while the work goes on, so that a killed run loses only the pictures in
    hand. Delete the journal when the table is written. `each` measures pictures, in any order.
    """
    settled = set(known.loc[known["measured_by"] == by, "sha256"])
    noted = {sha256: facts for sha256, version, facts in _read_journal(journal) if version == by}
    missing = [sha256 for sha256 in dict.fromkeys(pictures) if sha256 not in settled and sha256 not in noted]
    refused: dict[str, tuple[str, str]] = {}
    journal.parent.mkdir(parents=True, exist_ok=True)
    with open(journal, "ab", opener=plain) as file:
        for done, (sha256, hints) in enumerate(each(missing), 1):
            if isinstance(hints, tuple):
                refused[sha256] = hints
            else:
                noted[sha256] = asdict(hints)
                # The line break comes first: the line before it may be torn.
                file.write(f"\n{json.dumps({'sha256': sha256, 'measured_by': by, **noted[sha256]})}\n".encode())
                file.flush()
            progress(done, len(missing))
    rows = [{"sha256": sha256, "measured_by": by, **facts} for sha256, facts in noted.items()]
    fresh = conform("photo_hints", pd.DataFrame(rows, columns=columns_of("photo_hints")))
    kept = known[~among(known["sha256"], fresh["sha256"])]
    table = pd.concat([frame for frame in (kept, fresh) if len(frame)] or [fresh], ignore_index=True)
    return table, refused


def _read_journal(journal: Path) -> Iterator[tuple[str, str, dict[str, object]]]:
    """The lines that were finished; the last may be torn."""
    if not journal.exists():
        return
    with open_plain(journal) as file:
        for line in file:
            try:
                facts = json.loads(line)
                yield facts.pop("sha256"), facts.pop("measured_by"), facts
            except (ValueError, KeyError, AttributeError):
                continue


def _scaled(rgb: np.ndarray, long_edge_px: int) -> np.ndarray:
    from pipeline.resampling import resize

    height_px, width_px = rgb.shape[:2]
    scale = long_edge_px / max(height_px, width_px)
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    return resize(rgb, size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)


def _mask(alpha: np.ndarray, like: np.ndarray) -> np.ndarray:
    """bool [height, width] at the size of `like`."""
    return _resized(alpha, like) >= 128


def _resized(alpha: np.ndarray, like: np.ndarray) -> np.ndarray:
    """uint8 [height, width] at the size of `like`."""
    from pipeline.resampling import resize

    return resize(alpha, (like.shape[1], like.shape[0]), Image.Resampling.BOX)


def _rounded(value: float) -> float:
    return round(min(1.0, max(0.0, float(value))), 4)

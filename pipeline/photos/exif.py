"""What a photo's EXIF says of the lens it was taken with."""

import io

from pipeline.photos.opening import opened
from pipeline.pillow import from_exif, silenced

_EXIF, _FOCAL_LENGTH_IN_35_MM = 0x8769, 0xA405
_PLAUSIBLE_MM = (4, 3000)


def equivalent_focal_mm(data: bytes, max_pixels: int) -> float | None:
    """The focal length that would show as much on 35 mm film; None where EXIF does not tell. Raises `UndecodableImage`."""
    with silenced(), opened(io.BytesIO(data), max_pixels) as image:
        told = from_exif(image, lambda exif: exif.get_ifd(_EXIF).get(_FOCAL_LENGTH_IN_35_MM), None)
    return float(told) if isinstance(told, int) and _PLAUSIBLE_MM[0] <= told <= _PLAUSIBLE_MM[1] else None

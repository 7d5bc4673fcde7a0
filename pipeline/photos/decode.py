"""Picture files of any origin to sRGB pixels.

Pillow ignores colour profiles, a PNG's gamma and EXIF orientation, clips 16-bit grey to white and shows the hidden
colours below transparency; here each of these is set right. What it shows wrong otherwise, `kinds` refuses.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import cast

import numpy as np
from PIL import Image, ImageCms

from pipeline.orientation import SWAPS_SIDES, TRANSPOSE, orientation
from pipeline.photos.kinds import SIXTEEN_BIT_MODES, png_gamma
from pipeline.photos.opening import JPEGS, load, opened
from pipeline.pillow import silenced


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture: `rgb` is uint8 [height, width, 3] in sRGB, upright, transparency laid over white.

    `format` is Pillow's name of the file format; `frames` counts the pictures in the file, of which this is the first
    (2 stands for several in GIFs and TIFFs of over a megabyte).
    `extent` is the width and height, in pixels of `rgb`, that the picture really covers: where a reduced decode rounded
    an odd size up, the last column or row is only partly of the picture.
    """

    rgb: np.ndarray
    format: str
    frames: int
    extent: tuple[float, float]


def decode(data: bytes, max_pixels: int) -> Decoded:
    """The first picture in `data`.

    EXIF orientation is applied, an embedded profile converted to sRGB (one that is damaged or made for another kind
    of picture is ignored), CMYK and 16-bit grey are converted, transparency is laid over white.
    Raises `UndecodableImage` for everything that is not a complete picture of at most `max_pixels` pixels; Pillow's
    own limit of 179 million pixels holds besides.
    """
    with silenced(), opened(io.BytesIO(data), max_pixels) as image:
        return _decoded(image, None)


def decode_reduced(data: bytes, min_short_edge_px: int, max_pixels: int, min_long_edge_px: int | None = None) -> Decoded:
    """`decode` for callers that go on to scale the picture down: its short edge is at least `min_short_edge_px`.

    With `min_long_edge_px` the long edge is so large as well; 0 for the short one then leaves it free.

    A JPEG is reduced to 1/2, 1/4 or 1/8 (sizes rounded up) while it is decoded, which costs a fraction of the time;
    whatever would fall below `min_short_edge_px`, and every other format, comes at full size. The reduction is
    libjpeg's, close to a box filter. Measured on portraits scaled on to 256 pixels against the same from `decode`:
    50 dB, 0.5 levels on average, where `min_short_edge_px` was twice the final edge; 40 dB, 1.6 levels, where it was
    that edge itself. Deterministic for one version of libjpeg-turbo.
    """
    with silenced(), opened(io.BytesIO(data), max_pixels) as image:
        least = max(min_short_edge_px, ceil((min_long_edge_px or 0) * min(image.size) / max(image.size)), 1)
        drafted = image.draft(None, (least, least))
        return _decoded(image, None if drafted is None else drafted[1][2:])


def upright_size(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height in pixels of the upright picture; a JPEG tells by its header. Raises `UndecodableImage`."""
    with silenced(), opened(io.BytesIO(data), max_pixels) as image:
        if image.format not in JPEGS:  # others may be turned while they are loaded
            load(image)
        width_px, height_px = image.size
        return (height_px, width_px) if orientation(image) in SWAPS_SIDES else (width_px, height_px)


def _decoded(image: Image.Image, drafted: tuple[float, float] | None) -> Decoded:
    file_format, gamma = image.format or "", png_gamma(image)
    frames = load(image)
    extent, turned = drafted or image.size, orientation(image)
    upright = TRANSPOSE.get(turned)
    rgb = _to_srgb(image, gamma)
    if turned in SWAPS_SIDES:
        extent = extent[1], extent[0]
    return Decoded(np.array(rgb if upright is None else rgb.transpose(upright)), file_format, frames, extent)


# --- colour -----------------------------------------------------------------------------------------------------------


def _to_srgb(image: Image.Image, gamma: float | None) -> Image.Image:
    """A loaded picture of any accepted mode as mode RGB in sRGB, transparency over white."""
    icc = _profile_of(image)
    if image.mode in SIXTEEN_BIT_MODES:
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return _converted(image, icc, gamma)
    rgba = image.convert("RGBA")
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(_converted(rgba.convert("RGB"), icc, gamma), mask=rgba.getchannel("A"))
    return opaque


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as mode L, rounded; the one transparent level that a PNG may name becomes white."""
    values = np.asarray(image).astype(np.uint32)
    levels = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        levels[values == transparent] = 255
    return Image.fromarray(levels)


def _converted(image: Image.Image, icc: bytes | None, gamma: float | None) -> Image.Image:
    """An opaque picture by its profile, or its gamma, or without either by Pillow's plain rule."""
    if gamma:
        return (image if image.mode == "RGB" else image.convert("RGB")).point(_curve(gamma) * 3)
    if icc is None:
        return image if image.mode == "RGB" else image.convert("RGB")  # `convert` would copy
    mode = {"CMYK": "CMYK", "1": "L", "L": "L"}.get(image.mode, "RGB")
    if mode == "RGB" and _colour_space(icc) == "GRAY":
        mode = "L"
    transform = _transform(icc, mode)
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    return cast("Image.Image", ImageCms.applyTransform(image.convert(mode), transform))


@lru_cache(maxsize=8)
def _curve(gamma: float) -> list[int]:
    """From the levels of a PNG of that gAMA to those of sRGB (IEC 61966-2-1)."""
    light = (np.arange(256) / 255) ** (1 / gamma)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(int).tolist()


def _profile_of(image: Image.Image) -> bytes | None:
    """The embedded profile; None where it is one of grey in a picture of colours, which it would take away."""
    icc = image.info.get("icc_profile")
    if not isinstance(icc, bytes) or not icc:
        return None
    is_grey = image.mode in ("1", "L", "LA", *SIXTEEN_BIT_MODES)
    return icc if is_grey or _colour_space(icc) != "GRAY" else None


_CLASSES = ("scnr", "mntr", "prtr", "spac")
"""Of ICC profiles: those from a picture's numbers to colours; links, abstract ones and named colours are none."""
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}


@lru_cache(maxsize=32)
def _colour_space(icc: bytes) -> str | None:
    """The profile's colour space in ICC's words; None where it cannot be read, or is none of a device or space."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
        of_a_device = profile.device_class in _CLASSES  # pyright: ignore[reportAttributeAccessIssue]
        return profile.xcolor_space.strip() if of_a_device else None  # pyright: ignore[reportAttributeAccessIssue]
    except (ImageCms.PyCMSError, OSError):
        return None


@lru_cache(maxsize=32)
def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile to sRGB; None where the profile is unusable for `mode` or is sRGB itself.

    As sRGB counts what moves no colour of a lattice by more than one level: the many files that carry some edition
    of the sRGB profile keep their exact pixels, and cost no conversion.
    """
    if _colour_space(icc) != _SPACES[mode]:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode == "CMYK":
        return transform
    lattice = _lattice(mode)
    converted = cast("Image.Image", ImageCms.applyTransform(lattice, transform))
    moved = np.asarray(converted).astype(int) - np.asarray(lattice.convert("RGB"))
    return transform if np.abs(moved).max() > 1 else None


def _lattice(mode: str) -> Image.Image:
    """Colours spread evenly over all of mode RGB (17³) or L (256), as a picture one pixel wide."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[:, None])
    levels = np.minimum(np.arange(0, 257, 16), 255).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return Image.fromarray(colours.reshape(-1, 1, 3))

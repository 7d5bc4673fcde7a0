"""Kinds of pictures that Pillow takes and shows otherwise than they are; these are refused.

Each was tried on a file of its kind; a rule goes when Pillow reads the kind right.
"""

import struct
from collections.abc import Iterator
from typing import cast

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

PAGES_LOOKED_AT = 4
"""Of a TIFF: a preview comes right before or after its picture."""

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _PLANAR, _INK_SET, _SAMPLE_FORMAT = 254, 255, 258, 262, 284, 332, 339
_REDUCED, _MASK = 1, 4
_UNSIGNED = (1, 4)
"""Sample formats: unsigned, and undefined, which means the same."""

SRGB_GAMMA = (0.43, 0.48)
"""gAMA of files that mean sRGB, around 1 / 2.2."""
MOST_GAMMAS = (0.1, 3.0)
_SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""As in cHRM: white, red, green, blue, each x and y."""
_PRIMARIES_WITHIN = 0.01
_SRGB_CODES = (1, (1, 6, 13, 14, 15), 0, 1)
"""cICP (ITU-T H.273): BT.709 primaries, sRGB's transfer or BT.709's, RGB, full range."""
_CHUNKS_LOOKED_AT = 1000
_SDR_PRIMARIES, _SDR_TRANSFERS = (1, 2, 5, 6), (1, 2, 6, 13, 14, 15)
"""BT.709's, those of BT.601, which are near them, and what is not told; sRGB's curve, those near it, and likewise."""
_BOXES_LOOKED_AT = 1 << 16
"""Bytes of an AVIF: what describes its picture comes before it."""


def unsupported(image: Image.Image) -> str | None:
    """Why a picture that was opened, and not loaded yet, cannot be shown right; None where it can."""
    if image.mode not in EIGHT_BIT_MODES + SIXTEEN_BIT_MODES:
        return f"{image.format} with pixels of the kind {image.mode}"
    if image.format == "TIFF":
        return _unsupported_tiff(image)
    if image.format == "PNG":
        return _unsupported_png(image)
    if image.format in ("AVIF", "HEIF"):
        return _unsupported_coding(image)
    return None


# --- TIFF (revision 6.0) ----------------------------------------------------------------------------------------------


def _unsupported_tiff(image: Image.Image) -> str | None:
    tags = _tags(image)
    bits = max(_numbers(tags, _BITS, 1))
    if _numbers(tags, _PLANAR, 1)[0] == 2 and bits > 8:
        return f"a TIFF of {bits} bits whose colours lie apart (PlanarConfiguration 2); save it with its colours together"
    if image.mode in SIXTEEN_BIT_MODES and (bits != 16 or _numbers(tags, _PHOTOMETRIC, 1)[0] != 1):
        return f"a TIFF of {bits} bits of grey; of those only 16 bits whose 0 is black are read: save it with 8 bits"
    if not set(_numbers(tags, _SAMPLE_FORMAT, 1)) <= set(_UNSIGNED):
        return "a TIFF of signed numbers; save it with 8 bits without sign"
    if image.mode == "CMYK" and _numbers(tags, _INK_SET, 1)[0] != 1:
        return "a TIFF of other inks than cyan, magenta, yellow and black"
    return _preview_first(image, tags)


def _preview_first(image: Image.Image, tags: ImageFileDirectory_v2) -> str | None:
    """Pages that stand before the picture proper: marked so, or smaller than one of the next."""
    remedy = "save the full picture as a file of its own"
    if _numbers(tags, _NEW_SUBFILE_TYPE, 0)[0] & (_REDUCED | _MASK) or _numbers(tags, _SUBFILE_TYPE, 1)[0] == 2:
        return f"a TIFF whose first page is a preview or a mask; {remedy}"
    first = image.width * image.height
    try:
        for page in range(1, PAGES_LOOKED_AT):
            image.seek(page)
            if image.width * image.height > first:
                return f"a TIFF whose page {page + 1} is larger ({image.width} × {image.height}) than its first; {remedy}"
    except EOFError:  # no more pages
        pass
    finally:
        image.seek(0)
    return None


def _tags(image: Image.Image) -> ImageFileDirectory_v2:
    return image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]


def _numbers(tags: ImageFileDirectory_v2, tag: int, default: int) -> tuple[int, ...]:
    """The values of a tag of whole numbers, whatever type it was written with."""
    found = tags.get(tag, default)
    values = tuple(found) if isinstance(found, (tuple, list, bytes)) else (found,)
    return cast("tuple[int, ...]", values or (default,))


# --- PNG (third edition) ----------------------------------------------------------------------------------------------


def _unsupported_png(image: Image.Image) -> str | None:
    if _has_profile(image):
        return None
    if codes := _coding(image):
        primaries, transfer, matrix, full_range = codes
        right = primaries, transfer in _SRGB_CODES[1], matrix, full_range
        if right != (_SRGB_CODES[0], True, _SRGB_CODES[2], _SRGB_CODES[3]):
            return f"a PNG of another colour space than sRGB (cICP {primaries} {transfer} {matrix} {full_range})"
        return None
    if "srgb" in image.info:
        return None
    gamma = image.info.get("gamma")
    if gamma and not MOST_GAMMAS[0] <= gamma <= MOST_GAMMAS[1]:
        return f"a PNG with a gamma of {gamma}"
    primaries = image.info.get("chromaticity", _SRGB_PRIMARIES)
    is_grey = image.mode in ("1", "L", "LA", *SIXTEEN_BIT_MODES)
    if is_grey or not any(primaries) or _near(primaries, _SRGB_PRIMARIES):
        return None
    return "a PNG of other primaries than sRGB's (cHRM); save it with a colour profile, or as sRGB"


def png_gamma(image: Image.Image) -> float | None:
    """The gAMA by which a PNG, not loaded yet, is to be converted; None: its levels are sRGB's, or a profile tells."""
    gamma = image.info.get("gamma")
    if image.format != "PNG" or not gamma or "srgb" in image.info or _has_profile(image) or _coding(image):
        return None
    return None if SRGB_GAMMA[0] <= gamma <= SRGB_GAMMA[1] else float(gamma)


def _has_profile(image: Image.Image) -> bool:
    return bool(image.info.get("icc_profile"))


def _near(some: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return all(abs(one - other) <= _PRIMARIES_WITHIN for one, other in zip(some, others, strict=True))


def _coding(image: Image.Image) -> tuple[int, int, int, int] | None:
    """The four numbers of cICP, which Pillow passes over."""
    for kind, body in _chunks(image):
        if kind == b"cICP" and len(body) == 4:
            return struct.unpack("4B", body)
    return None


def _chunks(image: Image.Image) -> Iterator[tuple[bytes, bytes]]:
    """Short chunks that come before the pixels."""
    file = image.fp  # pyright: ignore[reportAttributeAccessIssue]
    position = file.tell()
    file.seek(8)
    try:
        for _ in range(_CHUNKS_LOOKED_AT):
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IDAT":
                return
            size_bytes = int.from_bytes(head[:4])
            yield head[4:], file.read(size_bytes) if size_bytes <= 64 else b""
            file.seek(4 if size_bytes <= 64 else size_bytes + 4, 1)
    finally:
        file.seek(position)


# --- AVIF, HEIF (ISO 23008-12) ----------------------------------------------------------------------------------------


def _unsupported_coding(image: Image.Image) -> str | None:
    """Of another colour space than sRGB, as HDR is, without a profile."""
    codes = _nclx(image)
    if codes is None or _has_profile(image) or (codes[0] in _SDR_PRIMARIES and codes[1] in _SDR_TRANSFERS):
        return None
    name = {"HEIF": "a HEIC"}.get(str(image.format), "an AVIF")
    return f"{name} of another colour space than sRGB (nclx {codes[0]} {codes[1]}), as HDR is; save it as JPEG"


def _nclx(image: Image.Image) -> tuple[int, int] | None:
    """Primaries and transfer by the numbers of ITU-T H.273, where the file tells them; Pillow's AVIF passes over them."""
    if image.format == "HEIF":
        told = image.info.get("nclx_profile")
        return (told["color_primaries"], told["transfer_characteristics"]) if told else None
    file = image.fp  # pyright: ignore[reportAttributeAccessIssue]
    position = file.tell()
    file.seek(0)
    _, found, after = file.read(_BOXES_LOOKED_AT).partition(b"colrnclx")
    file.seek(position)
    return struct.unpack(">2H", after[:4]) if found and len(after) >= 4 else None

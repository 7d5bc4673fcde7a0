"""The EXIF orientation of a picture, and what makes it upright (EXIF 2.32, tag 0x0112)."""

from PIL import ExifTags, Image

from pipeline.pillow import from_exif

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""From the orientation to what makes the picture upright; 1 and unknown ones are upright already."""
SWAPS_SIDES = (5, 6, 7, 8)
"""Orientations in which width and height change places."""


def orientation(image: Image.Image) -> int:
    """The EXIF orientation that is still to be applied; 1 where there is none or the block is damaged.

    To be asked after loading: Pillow's TIFF reader turns the picture while it loads, where the tag has the type SHORT
    or LONG, and a PNG may tell its orientation behind its pixels. A damaged block spoils no picture.
    """
    return from_exif(image, lambda exif: _number(exif.get(ExifTags.Base.Orientation, 1)), 1)


def _number(value: object) -> int:
    """The tag should be one SHORT; some write BYTE, which Pillow gives as bytes, or several values."""
    match value:
        case bytes() if value[:1].isdigit():  # as text
            return int(value[:1])
        case bytes():
            return next((byte for byte in value if byte), 1)  # a number of any width, of either byte order
        case tuple() | list():
            return _number(value[0])
    return int(value)  # pyright: ignore[reportArgumentType]

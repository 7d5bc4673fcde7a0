"""The EXIF orientation of a picture, and what makes it upright (EXIF 2.32, tag 0x0112)."""

from PIL import ExifTags, Image

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
    """The EXIF orientation; 1 where there is none or the EXIF block is damaged, which spoils no picture."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged block makes Pillow raise nearly anything
        return 1

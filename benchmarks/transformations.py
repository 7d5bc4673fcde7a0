"""What people do to a picture before they upload it again."""

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

Transformation = Callable[[Image.Image], bytes]
"""From a picture (mode RGB) to the encoded copy."""

QUALITY = 92
"""JPEG quality of all copies that are about something else."""


def transformations() -> dict[str, Transformation]:
    """Every transformation by its name."""
    found: dict[str, Transformation] = {f"re-saved, q {quality}": _resaved(quality) for quality in (90, 75, 50)}
    found |= {f"scaled to {factor}": _saved(_scaled(factor)) for factor in (0.75, 0.5, 0.25)}
    found["mirrored"] = _saved(ImageOps.mirror)
    for percent in (2, 5, 10):
        found |= {f"cropped {percent} % {side}": _saved(_cropped(percent / 100, side)) for side in SIDES}
    found |= {
        f"border {percent} % {colour}": _saved(_bordered(percent / 100, colour)) for percent in (2, 5) for colour in COLOURS
    }
    found["watermarked"] = _saved(_watermarked)
    found["brightness +25 %"] = _saved(lambda image: ImageEnhance.Brightness(image).enhance(1.25))
    found["brightness −25 %"] = _saved(lambda image: ImageEnhance.Brightness(image).enhance(0.75))
    found["contrast +30 %"] = _saved(lambda image: ImageEnhance.Contrast(image).enhance(1.3))
    found["saturation +50 %"] = _saved(lambda image: ImageEnhance.Color(image).enhance(1.5))
    found["monochrome"] = _saved(lambda image: image.convert("L"))
    found["rotated 2°"] = _saved(lambda image: image.rotate(2, Image.Resampling.BICUBIC))
    return found


SIDES = ("all round", "left", "right", "top", "bottom")
COLOURS = ("black", "white")


def _saved(change: Callable[[Image.Image], Image.Image], quality: int = QUALITY) -> Transformation:
    def save(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        change(image).save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    return save


def _resaved(quality: int) -> Transformation:
    return _saved(lambda image: image, quality)


def _scaled(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def _cropped(share: float, side: str) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        x, y = round(image.width * share), round(image.height * share)
        left, top, right, bottom = (int(side in (name, "all round")) for name in ("left", "top", "right", "bottom"))
        return image.crop((left * x, top * y, image.width - right * x, image.height - bottom * y))

    return crop


def _bordered(share: float, colour: str) -> Callable[[Image.Image], Image.Image]:
    return lambda image: ImageOps.expand(image, border=round(min(image.size) * share), fill=colour)


def _watermarked(image: Image.Image) -> Image.Image:
    """White writing, three quarters opaque, at the lower right."""
    marked = image.copy()
    writing = Image.new("L", image.size, 0)
    place = (image.width * 0.62, image.height * 0.9)
    ImageDraw.Draw(writing).text(place, "© somebody, 2024", fill=190, font_size=max(8, image.height // 22))
    marked.paste("white", mask=writing)
    return marked
